"""Can a label be told without understanding the text?

Length, punctuation, a field of metadata: what gives the label away is what a model learns first, and what fails it elsewhere.
Of words nobody but a person can tell whether they are the subject itself (“refund” in complaints about refunds) or a trace of how
the texts were collected (“yankees” in tweets that are no hate speech), so they are listed and not flagged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.bias import surface
from pipeline.bias.rates import corrected
from pipeline.bias.values import Values, agreed
from pipeline.statistics import (
    benjamini_hochberg,
    cohens_h,
    cramers_v,
    cramers_v_interval,
    rank_association,
    wilson_bounds,
)
from pipeline.types import Corpus, Interval
from validators.check import Report, Skip, check, findings

Row = dict[str, Any]
Array = NDArray[np.float64]
MOST_WORDS = 200
MOST_VALUES = 50  # of a field of text; with more it is no category but a text or an id


@check("artefacts", "Can a label be told without understanding the text?", subject="corpus")
def artefacts(
    corpus: Corpus,
    *,
    alpha: float = 0.05,
    min_examples: int = 100,  # of 100, a share is known to ±10 points (Wilson, 95 %)
    min_texts: int = 5,  # different texts that use a word: fewer are an anecdote, and might be somebody's own words
    min_strength: float = 0.14,  # ε², large: Tomczak and Tomczak (2014); medium is .06, and TREC's length has .08
    min_cramers_v: float = 0.3,  # of a field, medium: Cohen (1988) for two rows
    min_auc: float = 0.8,  # “excellent”: Hosmer and Lemeshow (2000), 5.2.4. .57 on SST-2, .67 on TREC, .78 on banking77
) -> Report:
    """One row per surface feature and field of metadata (slices have checks of their own), and `surface` for all features
    together. Severity is the strength: ε², Cramér's V, or 2 · AUC − 1 of a model that sees nothing but the features and has not
    seen the example (at least 0). Flagged on strength, and on a corrected p-value (Benjamini–Hochberg) or an interval that is
    above the limit. Words: z of the label's share among texts with the word against its share overall (Gardner et al. 2021,
    with the share as it is and not 1 / K: on unbalanced data the latter calls half the vocabulary an artefact)."""
    table, values = agreed(corpus)
    if values is None or not values.shares or len(values.names) < 2:
        raise Skip("The answers of this kind of work hold no labels to be told apart.")
    if len(table) < min_examples:
        raise Skip(f"It needs at least {min_examples} labelled examples, and there are {len(table)}.")
    texts = table["text"].astype("str").tolist()
    columns = surface.features(texts)
    fold = surface.folds(table["group"].astype("str").tolist(), table["example_id"].tolist(), corpus.seed)
    seen = surface.auc(surface.probe(columns, values.matrix, fold), values.matrix, fold)
    shown = corpus.scheme.fields if corpus.scheme is not None else ("text",)
    data = surface.fields(table["data"].tolist(), (*shown, *corpus.slices))
    rows = [*_features(columns, values), *_fields(data, values, min_examples)]
    corrected(rows)
    for row in rows:
        limit = min_strength if row["measure"] == "ε²" else min_cramers_v
        row["flagged"] = bool(row["p"] < alpha and row["strength"] >= limit)
    words, counted = _words(texts, values, min_texts, alpha)
    probe = {**seen.as_dict(), "flagged": seen.low >= min_auc}
    facts = {
        "probe": probe, "features": sorted(rows, key=lambda row: -row["strength"]), "words": words, "words_counted": counted,
        "tested": len(rows), "probe_auc": seen.value, "smallest_group": len(table),
        "max_strength": max(row["strength"] for row in rows if row["kind"] == "feature"),
        "max_field_strength": max((row["strength"] for row in rows if row["kind"] == "field"), default=None),
    }  # fmt: skip
    return Report(findings([*map(_row, rows), _whole(seen, bool(probe["flagged"]), len(table))]), facts)


def _targets(values: Values) -> list[tuple[str, NDArray[np.int64]]]:
    """What is to be told: one of K labels, or of each label whether the answer holds it."""
    if bool((values.matrix.sum(axis=1) == 1).all()):
        return [("", values.matrix.argmax(axis=1).astype(np.int64))]
    return [(name, values.matrix[:, k].astype(np.int64)) for k, name in enumerate(values.names)]


def _features(columns: Array, values: Values) -> list[Row]:
    rows = []
    for at, name in enumerate(surface.FEATURES):
        found = [(*rank_association(columns[:, at], target), label) for label, target in _targets(values)]
        rows.append({"kind": "feature", "name": name, "measure": "ε²", **_strongest(found)})
    return rows


def _fields(data: dict[str, list[Any]], values: Values, min_examples: int) -> list[Row]:
    """Fields that hold numbers, by rank; those with a few different values, as categories; others are texts or ids."""
    rows = []
    for name, given in data.items():
        known = np.array([value is not None for value in given])
        if known.sum() < min_examples:
            continue
        column = pd.Series([value for value in given if value is not None], dtype="object")
        numbers = column.map(lambda value: isinstance(value, int | float) and not isinstance(value, bool)).all()
        if not numbers and not 2 <= column.astype("str").nunique() <= MOST_VALUES:
            continue
        found: list[tuple[Interval, float, str]] = []
        for label, target in _targets(values):
            counts = pd.crosstab(column.astype("str").to_numpy(), target[known])
            if numbers:
                found.append((*rank_association(column.to_numpy(np.float64), target[known]), label))
            else:
                found.append((cramers_v_interval(counts), cramers_v(counts)[1], label))
        measure = "ε²" if numbers else "Cramér’s V"
        rows.append({"kind": "field", "name": name[:60], "measure": measure, **_strongest(found)})
    return rows


def _strongest(found: Sequence[tuple[Interval, float, str]]) -> Row:
    """Of the label for which it is strongest; p times the number of labels, of which the strongest was picked (Bonferroni)."""
    seen, p, label = max(found, key=lambda item: (item[0].value, item[2]))
    return {"label": label, "strength": seen.value, "low": seen.low, "high": seen.high, "p": min(1.0, p * len(found))}


def _words(texts: Sequence[str], values: Values, min_texts: int, alpha: float) -> tuple[list[Row], dict[str, int]]:
    """The words that say most about a label, and how many words were looked at and pass the correction."""
    from scipy.stats import norm

    names, size, hits = surface.word_table(texts, values.matrix, min_texts)
    if not names:
        return [], {"words": 0, "beyond_chance": 0}
    usual = values.matrix.mean(axis=0)
    share = hits / size[:, None]
    z = (share - usual) / np.sqrt(np.maximum(usual * (1 - usual), 1e-9) / size[:, None])
    q = benjamini_hochberg(norm.sf(z).ravel()).reshape(z.shape)
    low, high = wilson_bounds(hits, np.broadcast_to(size[:, None], hits.shape))
    effect = cohens_h(share, usual)
    beyond = (q < alpha) & (effect > 0)
    places = sorted(np.argwhere(beyond).tolist(), key=lambda at: (-z[at[0], at[1]], names[at[0]]))[:MOST_WORDS]
    rows = [
        {
            "word": names[w], "label": values.names[k], "share": float(share[w, k]), "low": float(low[w, k]),
            "high": float(high[w, k]), "usual": float(usual[k]), "n": int(size[w]), "z": float(z[w, k]),
            "effect": float(effect[w, k]), "p": float(q[w, k]),
        }
        for w, k in places
    ]  # fmt: skip
    return rows, {"words": len(names), "beyond_chance": int(beyond.any(axis=1).sum())}


def _row(row: Row) -> Row:
    about = f" of “{row['label']}”" if row["label"] else ""
    kind = "The field" if row["kind"] == "field" else "The text's feature"
    return {
        "subject_id": f"{row['kind']}: {row['name']}", "severity": min(1.0, row["strength"]), "flagged": row["flagged"],
        "reason": (
            f"{kind} “{row['name']}” goes with the label{about}: {row['measure']} is {row['strength']:.2f} (0 not at all, 1 "
            "entirely). A model can learn that instead of the text."
        ),
        "suggestion": "",
    }  # fmt: skip


def _whole(seen: Interval, flagged: bool, n: int) -> Row:
    return {
        "subject_id": "surface", "severity": min(1.0, max(0.0, 2 * seen.value - 1)), "flagged": flagged,
        "reason": (
            f"A model that sees only length, capitals, digits and punctuation tells labels apart with an AUC of {seen.value:.2f} "
            f"({seen.low:.2f} to {seen.high:.2f}; 0.5 is chance, 1 is always) on {n:,} examples it has not seen."
        ),
        "suggestion": "",
    }  # fmt: skip
