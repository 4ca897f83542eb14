"""Consensus for answers that are not one of a few labels (sets, spans, texts, ratings): whole answers are compared.

The answer that most annotators gave, character by character, wins; a tie is broken by the seed and marked. That is right for
short answers and too strict for long ones: two texts are hardly ever equal, so each example of several written answers is
a tie, which a person decides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.types import ANNOTATOR_COLUMNS, CONSENSUS_COLUMNS

METHOD = "plurality"


def plurality(answers: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """CONSENSUS_COLUMNS from one row per annotator and example (example_id, annotator, answer as JSON).

    confidence: the winner's share of the answers in (0, 1], NaN for a single answer. tie: another answer has as many.
    """
    rows = []
    for example, given in answers.groupby("example_id", sort=True)["answer"]:
        counts = given.value_counts().sort_index()
        best = counts.index[counts == counts.max()]
        chosen = best[np.random.default_rng([seed, int(example)]).integers(len(best))]
        share = counts.max() / len(given) if len(given) > 1 else np.nan
        rows.append((example, chosen, share, len(given), len(best) > 1, METHOD))
    table = pd.DataFrame(rows, columns=list(CONSENSUS_COLUMNS))
    return table.astype({"confidence": "float64", "tie": "bool", "annotations": "int64"})


def same_share(answers: pd.DataFrame) -> dict[str, Any]:
    """How often two annotators of an example gave the very same answer: share in [0, 1], None without pairs, and their number."""
    sizes = answers.groupby("example_id").size()
    pairs = (sizes * (sizes - 1) // 2).sum()
    same = answers.groupby(["example_id", "answer"]).size()
    equal = (same * (same - 1) // 2).sum()
    return {"value": float(equal / pairs) if pairs else None, "pairs": int(pairs)}


def agreement(answers: pd.DataFrame) -> dict[str, Any]:
    """The agreement facts of a check run: no chance-corrected figure, and why."""
    same = same_share(answers)
    told = (
        f"; two annotators of an example gave the very same answer in {same['value']:.0%} of {same['pairs']} pairs"
        if same["pairs"]
        else ""
    )
    return {
        "measure": "share of equal answers",
        "overall": None,
        "reason": f"answers of this kind are compared as a whole, for which no chance-corrected agreement is defined{told}",
        "labels": [],
        "slices": [],
        "pairs": [],
        "same": same,
    }


def annotators(answers: pd.DataFrame, users: dict[str, str]) -> pd.DataFrame:
    """ANNOTATOR_COLUMNS: how many answers each gave; their quality is not known."""
    sizes = answers.groupby("annotator").size()
    rows = [(str(who), users.get(str(who), str(who)), int(n)) for who, n in sizes.items()]
    table = pd.DataFrame(rows, columns=["annotator", "name", "annotations"]).reindex(columns=list(ANNOTATOR_COLUMNS))
    unknown = ("quality", "quality_low", "quality_high", "gold_accuracy")
    return table.fillna({"gold": 0}).astype({"annotations": "int64", "gold": "int64", **dict.fromkeys(unknown, "float64")})
