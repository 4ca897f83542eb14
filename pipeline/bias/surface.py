"""What a text looks like, without what it says: signs of a label that has nothing to do with the text's meaning."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from pipeline.bias.terms import words
from pipeline.types import Interval

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Row = dict[str, Any]
FOLDS = 5
RIDGE = 1.0  # with standardised columns and hundreds of rows it hardly shrinks: it only keeps constant columns from failing


def _share(pattern: str) -> Callable[[str], float]:
    found = re.compile(pattern)
    return lambda text: len(found.findall(text)) / max(len(text), 1)


FEATURES: Mapping[str, Callable[[str], float]] = {
    "length in signs": lambda text: float(len(text)),
    "length in words": lambda text: float(len(text.split())),
    "signs a word": lambda text: len(text) / max(len(text.split()), 1),
    "capitals": lambda text: sum(map(str.isupper, text)) / max(len(text), 1),
    "digits": _share(r"\d"),
    "punctuation": _share(r"[^\w\s]"),
    "question marks": lambda text: float(text.count("?")),
    "exclamation marks": lambda text: float(text.count("!")),
    "line breaks": lambda text: float(text.count("\n")),
    "links": lambda text: float(len(re.findall(r"https?://|www\.|<url>", text))),
    "mentions and hashtags": lambda text: float(len(re.findall(r"[@#]\w|<user>", text))),
}


def features(texts: Sequence[str]) -> Array:
    """(n, len(FEATURES))."""
    return np.array([[measure(text) for measure in FEATURES.values()] for text in texts], np.float64).reshape(-1, len(FEATURES))


def folds(groups: Sequence[str], ids: Sequence[Any], seed: int) -> Index:
    """(n,) fold of each row, 0 to 4; rows of one group (copies of one text) share a fold. "" is no group."""
    keys = [group or f"row {key}" for group, key in zip(groups, ids, strict=True)]
    names, place = np.unique(np.array(keys, dtype=object).astype(str), return_inverse=True)
    drawn: Index = np.random.default_rng(seed).permutation(np.arange(len(names)) % FOLDS)[place].astype(np.int64)
    return drawn


def probe(columns: Array, matrix: Array, fold: Index) -> Array:
    """(n, K) scores from a ridge regression on the columns' ranks and their squares that has not seen the row's fold."""
    from scipy.stats import rankdata

    ranks = (rankdata(columns, axis=0) - 0.5) / max(len(columns), 1) - 0.5
    x = np.hstack([ranks, ranks**2 - 1 / 12])
    x = x / np.maximum(x.std(axis=0), 1e-9)
    scores = np.zeros_like(matrix)
    for number in range(FOLDS):
        out = fold == number
        if not out.any() or out.all():
            continue
        mean, target = x[~out].mean(axis=0), matrix[~out].mean(axis=0)
        centred = x[~out] - mean
        weights = np.linalg.solve(centred.T @ centred + RIDGE * np.eye(x.shape[1]), centred.T @ (matrix[~out] - target))
        scores[out] = (x[out] - mean) @ weights
    return scores


def auc(scores: Array, matrix: Array, fold: Index) -> Interval:
    """Area under the ROC curve, averaged over labels by how many examples have them: 0.5 is chance, 1 gives every label away.
    Rows are ranked within their fold; the interval is from the rows' influence. Source: DeLong, DeLong, Clarke-Pearson (1988)."""
    from scipy.stats import rankdata

    n, weight = len(scores), matrix.mean(axis=0) / max(matrix.mean(axis=0).sum(), 1e-9)
    ranks = np.zeros_like(scores)
    for number in np.unique(fold):
        rows = fold == number
        ranks[rows] = rankdata(scores[rows], axis=0) / max(rows.sum(), 1)
    value, influence = 0.0, np.zeros(n)
    for k in range(matrix.shape[1]):
        held = matrix[:, k] > 0
        m, rest = int(held.sum()), int((~held).sum())
        if not m or not rest:
            continue
        order = rankdata(ranks[:, k])
        own = np.zeros(n)
        own[held] = (order[held] - rankdata(ranks[held, k])) / rest
        own[~held] = 1 - (order[~held] - rankdata(ranks[~held, k])) / m
        area = float(own[held].mean())
        value += float(weight[k]) * area
        influence += weight[k] * np.where(held, (own - area) * n / m, (own - area) * n / rest)
    half = 1.959964 * float(influence.std()) / n**0.5
    return Interval(value, max(0.0, value - half), min(1.0, value + half))


def word_table(texts: Sequence[str], matrix: Array, min_texts: int) -> tuple[list[str], Array, Array]:
    """(W words that at least `min_texts` different texts use, (W,) how many texts, (W, K) how many of these have each label)."""
    seen: set[str] = set()
    held: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        plain = " ".join(words(text))
        if plain not in seen:
            seen.add(plain)
            for word in set(plain.split()):
                held.setdefault(word, []).append(row)
    names = sorted(word for word, rows in held.items() if len(rows) >= min_texts)
    size = np.array([len(held[word]) for word in names], np.float64)
    hits = np.array([matrix[held[word]].sum(axis=0) for word in names], np.float64).reshape(len(names), matrix.shape[1])
    return names, size, hits


def fields(data: Sequence[str], without: Sequence[str]) -> dict[str, list[Any]]:
    """Field of the examples' data → its values, None where absent: single values only, of fields that are neither shown as the
    text nor a slice."""
    records = [loaded if isinstance(loaded := orjson.loads(item), dict) else {} for item in data]
    names = sorted({str(name) for record in records for name in record} - set(without))
    found = {name: [_single(record.get(name)) for record in records] for name in names}
    return {name: values for name, values in found.items() if any(value is not None for value in values)}


def _single(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) and value != "" else None
