"""How far annotators agree beyond chance: Krippendorff's alpha for nominal answers, with bootstrap intervals.

Source: Krippendorff, Content Analysis (2004), chapter 11; Hayes and Krippendorff (2007). Missing answers are allowed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.types import Interval

MEASURE = "Krippendorff's alpha (nominal)"
RESAMPLES = 1000
MIN_SHARED = 10  # a pair's kappa over fewer shared examples says nothing


def counts_table(answers: pd.DataFrame, labels: tuple[str, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(example ids (n,), counts (n, K)): how many annotators gave each label. `answers`: example_id, label."""
    ids, rows = np.unique(answers["example_id"].to_numpy(), return_inverse=True)
    counts = np.zeros((len(ids), len(labels)), dtype=np.int64)
    columns = answers["label"].map({label: number for number, label in enumerate(labels)}).to_numpy()
    np.add.at(counts, (rows, columns), 1)
    return ids, counts


def alpha(counts: NDArray[np.int64]) -> float:
    """Krippendorff's alpha from value counts (n, K): 1 is perfect agreement, 0 is chance, below 0 is systematic
    disagreement. NaN if nobody overlaps or all answers are the same label."""
    return float(_alpha_weighted(counts, np.ones((1, len(counts))))[0])


def alpha_interval(counts: NDArray[np.int64], *, seed: int, level: float = 0.95) -> Interval | None:
    """Percentile bootstrap over examples; None where alpha is not defined."""
    counts = counts[counts.sum(1) >= 2]
    value = alpha(counts) if len(counts) else float("nan")
    if np.isnan(value):
        return None
    random = np.random.default_rng(seed)
    draws = []
    chunk = max(1, 20_000_000 // len(counts))  # keeps the weights under 160 MB
    for start in range(0, RESAMPLES, chunk):
        size = min(chunk, RESAMPLES - start)
        weights = random.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=size)
        draws.append(_alpha_weighted(counts, weights.astype(np.float64)))
    low, high = np.nanquantile(np.concatenate(draws), [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), level)


def _alpha_weighted(counts: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Alpha for each row of example weights (b, n)."""
    counts = counts.astype(np.float64)
    size = counts.sum(1)
    pairable = size >= 2
    counts, size, weights = counts[pairable], size[pairable], weights[:, pairable]
    within = (size * size - (counts * counts).sum(1)) / np.maximum(size - 1, 1)
    total = weights @ size
    values = weights @ counts
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = (weights @ within) / total
        expected = (total * total - (values * values).sum(1)) / (total * (total - 1))
        result: NDArray[np.float64] = np.where(expected > 0, 1 - observed / expected, np.nan)
    return result


def pair_kappas(answers: pd.DataFrame, *, most: int = 100) -> list[dict[str, Any]]:
    """Cohen's kappa for the pairs of annotators with the most shared examples: a, b, value, n; lowest first."""
    from sklearn.metrics import cohen_kappa_score

    both = answers.merge(answers, on="example_id", suffixes=("_a", "_b"))
    both = both[both["annotator_a"] < both["annotator_b"]]
    sizes = both.groupby(["annotator_a", "annotator_b"]).size()
    chosen = sizes[sizes >= MIN_SHARED].nlargest(most).index
    rows = []
    groups = dict(list(both.groupby(["annotator_a", "annotator_b"]))) if len(chosen) else {}
    for a, b in chosen:
        pair = groups[(a, b)]
        value = cohen_kappa_score(pair["label_a"], pair["label_b"])
        rows.append({"a": a, "b": b, "value": None if np.isnan(value) else float(value), "n": len(pair)})
    return sorted(rows, key=lambda row: (row["value"] is None, row["value"], row["a"], row["b"]))


def agreement(
    answers: pd.DataFrame, examples: pd.DataFrame, *, labels: tuple[str, ...], slices: tuple[str, ...], seed: int
) -> dict[str, Any]:
    """Overall, per label (one against the rest), per slice group and per pair of annotators.

    `answers`: one row per annotator and example (example_id, annotator, label).
    """
    ids, counts = counts_table(answers, labels)
    overall = alpha_interval(counts, seed=seed)
    reason = "" if overall else "no example has answers of two annotators, or all answers are the same label"
    return {
        "measure": MEASURE,
        "overall": overall.as_dict() if overall else None,
        "reason": reason,
        "labels": _per_label(counts, labels, seed) if overall else [],
        "slices": _per_slice(ids, counts, examples, slices, seed) if overall else [],
        "pairs": pair_kappas(answers) if overall else [],
    }


def _row(interval: Interval | None, counts: NDArray[np.int64], **names: str) -> dict[str, Any]:
    shown = interval.as_dict() if interval else {"value": None, "low": None, "high": None, "level": None}
    return {**names, **shown, "n": int((counts.sum(1) >= 2).sum())}


def _per_label(counts: NDArray[np.int64], labels: tuple[str, ...], seed: int) -> list[dict[str, Any]]:
    rows = []
    for column, label in enumerate(labels):
        binary = np.stack([counts[:, column], counts.sum(1) - counts[:, column]], axis=1)
        used = binary[binary[:, 0] > 0]
        rows.append({**_row(alpha_interval(binary, seed=seed), used, label=label)})
    return rows


def _per_slice(
    ids: NDArray[np.int64], counts: NDArray[np.int64], examples: pd.DataFrame, slices: tuple[str, ...], seed: int
) -> list[dict[str, Any]]:
    rows = []
    indexed = examples.set_index("example_id")
    for name in slices:
        groups = indexed.loc[ids, name].to_numpy()
        for group in sorted(set(groups)):
            part = counts[groups == group]
            rows.append(_row(alpha_interval(part, seed=seed), part, slice=name, group=str(group)))
    return rows
