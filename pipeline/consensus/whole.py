"""Consensus for answers that are not one of a few labels: sets, spans, texts, ratings.

The answer that is most like the others (the medoid) stands for all of them: it is an answer that somebody gave, never a
mixture that nobody did. How much two answers are alike is the task type's to say: F1 for spans, Jaccard for sets, words
in common for texts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pandas as pd

from pipeline.types import ANNOTATOR_COLUMNS, CONSENSUS_COLUMNS

METHOD = "medoid"
CLOSE = 1e-9  # two answers are as good as each other if their likeness to the rest differs by less: floating point

Similarity = Callable[[Any, Any], float]


def build(
    answers: pd.DataFrame,
    examples: pd.DataFrame,
    similarity: Similarity,
    *,
    slices: tuple[str, ...],
    users: dict[str, str],
    alternatives: bool,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """(CONSENSUS_COLUMNS, ANNOTATOR_COLUMNS, facts `agreement` and `consensus`) from one answer per annotator and example
    (example_id, annotator, answer as JSON)."""
    table = medoids(answers, similarity, alternatives=alternatives, seed=seed)
    why = "Of several answers the one that is most like the others."
    facts = {
        "agreement": agreement(answers, similarity),
        "consensus": {"method": METHOD, "why": why, "alternatives": []},
    }
    return table, annotators(answers, users), facts


def medoids(answers: pd.DataFrame, similarity: Similarity, *, alternatives: bool, seed: int) -> pd.DataFrame:
    """CONSENSUS_COLUMNS from one row per annotator and example (example_id, annotator, answer as JSON).

    confidence: the mean similarity of the chosen answer to the other annotators', in [0, 1]; NaN for a single answer. tie:
    another answer is as much like the others, so the seed chose, unless `alternatives` says that both may be right.
    """
    rows = [
        _medoid(int(example), given.tolist(), similarity, alternatives, seed)
        for example, given in answers.groupby("example_id", sort=True)["answer"]
    ]
    table = pd.DataFrame(rows, columns=list(CONSENSUS_COLUMNS))
    return table.astype({"confidence": "float64", "tie": "bool", "annotations": "int64", "ambiguous": "bool"})


def _medoid(
    example: int, given: list[str], similarity: Similarity, alternatives: bool, seed: int
) -> tuple[Any, ...]:
    alike = _matrix(given, similarity)
    if len(given) == 1:
        return example, given[0], np.nan, 1, False, METHOD, "", False
    mean = (alike.sum(1) - 1) / (len(given) - 1)
    best = sorted({given[row] for row in np.flatnonzero(mean >= mean.max() - CLOSE)})
    chosen = best[np.random.default_rng([seed, example]).integers(len(best))]
    return example, chosen, float(mean.max()), len(given), len(best) > 1 and not alternatives, METHOD, "", False


def _matrix(given: list[str], similarity: Similarity) -> Any:
    values = [orjson.loads(answer) for answer in given]
    alike = np.eye(len(given))
    for a in range(len(given)):
        for b in range(a):
            alike[a, b] = alike[b, a] = 1.0 if given[a] == given[b] else similarity(values[a], values[b])
    return alike


def agreement(answers: pd.DataFrame, similarity: Similarity) -> dict[str, Any]:
    """The agreement facts of a check run: no chance-corrected figure, and why; how alike two annotators' answers are instead."""
    pairs = [_matrix(given.tolist(), similarity) for _, given in answers.groupby("example_id")["answer"] if len(given) > 1]
    alike = np.concatenate([part[np.tril_indices(len(part), -1)] for part in pairs]) if pairs else np.zeros(0)
    mean, same = (float(alike.mean()), float((alike == 1).mean())) if len(alike) else (None, None)
    told = (
        f"; two annotators' answers to an example are alike by {mean:.2f} of 1 on average, and equal in {same:.0%} of "
        f"{len(alike)} pairs"
        if mean is not None
        else ""
    )
    return {
        "measure": "similarity of answers",
        "overall": None,
        "reason": f"answers of this kind are compared as a whole, for which no chance-corrected agreement is defined{told}",
        "labels": [],
        "slices": [],
        "pairs": [],
        "similarity": {"mean": mean, "equal": same, "pairs": len(alike)},
    }


def annotators(answers: pd.DataFrame, users: dict[str, str]) -> pd.DataFrame:
    """ANNOTATOR_COLUMNS: how many answers each gave; their quality is not known."""
    sizes = answers.groupby("annotator").size()
    rows = [(str(who), users.get(str(who), str(who)), int(n)) for who, n in sizes.items()]
    table = pd.DataFrame(rows, columns=["annotator", "name", "annotations"]).reindex(columns=list(ANNOTATOR_COLUMNS))
    unknown = ("quality", "quality_low", "quality_high", "gold_accuracy")
    return table.fillna({"gold": 0}).astype({"annotations": "int64", "gold": "int64", **dict.fromkeys(unknown, "float64")})
