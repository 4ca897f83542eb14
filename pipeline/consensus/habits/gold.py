"""Answers to examples whose right answer was decided."""

from __future__ import annotations

import numpy as np
import orjson
import pandas as pd

from pipeline.consensus.habits.answers import Array, Row
from pipeline.consensus.habits.likeness import ENOUGH, mean_test
from pipeline.consensus.habits.sheet import Similarity
from pipeline.statistics import cohens_h, holm, more_often, wilson

WEIGHT = 2.0  # pseudo-answers at everybody's rate, in how often the others get an example right


def gold(
    table: pd.DataFrame, truth: pd.DataFrame, similarity: Similarity | None, *, alpha: float, min_effect: float,
    min_gap: float,
) -> list[Row]:
    """Accuracy of each annotator on ground truth, against the others' on the same examples. `table`, `truth`: as `latest_answers`
    and `truths` give them. similarity: how near an answer is to the truth, in [0, 1]; None where it is right or wrong.

    Flagged by Fisher's exact test on wrong answers, the person's against the others', and Cohen's h of min_effect; with a
    similarity by a t-test and a gap of min_gap.
    """
    scored = _scored(table, truth, similarity)
    rows = []
    for name, mine in scored.groupby("annotator", sort=True):
        score, others = mine["score"].to_numpy(), mine["others"].to_numpy()
        shown = {"annotator": str(name), "n": len(mine), "accuracy": float(score.mean()), "others": float(others.mean())}
        counted = _counted(scored, str(name)) if similarity is None else None
        rows.append({**shown, **_judged(score, others, counted)})
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        gap, effect = row["others"] - row["accuracy"], float(cohens_h(row["others"], row["accuracy"]))
        far = effect >= min_effect if similarity is None else gap >= min_gap
        row |= {"p": float(p), "flagged": bool(p < alpha and far)}
    return rows


def _scored(table: pd.DataFrame, truth: pd.DataFrame, similarity: Similarity | None) -> pd.DataFrame:
    """example_id, annotator, score, and `others`: the mean score of the others on the same example."""
    both = table.merge(truth[["example_id", "annotation_id", "answer"]], on="example_id", suffixes=("", "_true"))
    both = both[both["annotation_id"] != both["annotation_id_true"]].sort_values(["example_id", "annotator"])
    pairs = zip(both["answer"], both["answer_true"], strict=True)
    score = np.array(
        [float(a == b) if similarity is None or a == b else similarity(orjson.loads(a), orjson.loads(b)) for a, b in pairs],
        np.float64,
    )
    example = both["example_id"]
    total = pd.Series(score, index=both.index)
    sums, size = total.groupby(example).transform("sum"), total.groupby(example).transform("size")
    who = both["annotator"]
    rest = (total.sum() - total.groupby(who).transform("sum")) / np.maximum(len(both) - total.groupby(who).transform("size"), 1)
    others = (sums - total + WEIGHT * rest) / (size - 1 + WEIGHT)
    alone = who.nunique() < 2
    return pd.DataFrame({"example_id": example, "annotator": who, "score": score, "others": np.nan if alone else others})


def _counted(scored: pd.DataFrame, person: str) -> int:
    """How many answers of equal weight know as much as the mean of `others` of this person: where all answered all examples,
    the number of the others' answers. Source: Kish, Survey Sampling (1965), effective sample size."""
    mine = (scored["annotator"] == person).to_numpy()
    same = scored["example_id"].isin(scored["example_id"][mine]).to_numpy() & ~mine
    size = scored.groupby("example_id")["score"].transform("size").to_numpy() - 1.0
    weight = np.where(same, 1 / (size + WEIGHT), 0.0)[~mine] + (WEIGHT / (size + WEIGHT))[mine].sum() / max((~mine).sum(), 1)
    return round(float(weight.sum() ** 2 / (weight**2).sum())) if len(weight) else 0


def _judged(score: Array, others: Array, counted: int | None) -> Row:
    """The interval of the accuracy, and p that it is below the others'. counted: their answers where an answer is right or wrong,
    None where it has a similarity."""
    if counted is not None:
        interval = wilson(float(score.sum()), len(score))
        if counted == 0:
            return {"low": interval.low, "high": interval.high, "p": 1.0}
        wrong = round(counted * (1 - float(others.mean())))
        p = float(more_often(len(score) - score.sum(), len(score), wrong, counted))
        return {"low": interval.low, "high": interval.high, "p": p}
    if len(score) < ENOUGH:
        return {"low": None, "high": None, "p": 1.0}
    _, low, high, _ = mean_test(score)
    p = 1.0 if np.isnan(others).any() else mean_test(score - others)[3]
    return {"low": max(0.0, low), "high": min(1.0, high), "p": p}
