"""Whose ratings of one thing colour all the others?

Somebody who likes a response rates it high on everything: the halo. Then several ratings are one, and what each was meant to
tell apart is lost. Held against what the others say of the same responses, so that dimensions which truly go together, or
responses which are good in every way, name nobody. Source: Thorndike (1920); as excess correlation within raters: Balzer and
Sulsky (1992).
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from pipeline.statistics import holm
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings

FEW = 15  # responses that an annotator shares with others: fewer cannot reach p < .01 after Holm at the effect asked for
ALIKE = 0.9  # a correlation at which two dimensions share four fifths of what they measure


@check("rating_halo", "Whose ratings of one thing colour all the others?", subject="annotator")
def rating_halo(
    corpus: Corpus,
    *,
    alpha: float = 0.01,  # after Holm, as for every check that names a person
    min_effect: float = 0.25,  # the same rating on every dimension in 25 points more of the responses than the others give it
) -> Report:
    """One row per annotator who rates several dimensions of at least 15 responses that others rate, too. Severity is how much
    more often all dimensions get the same rating than the others give it to the same responses, in [0, 1]. Flagged on that and
    on a paired test (signs, one-sided, Holm). Facts: for each dimension its spread and how often its ends are used; for each two
    dimensions how they go together."""
    if corpus.task != "response_rating":
        raise Skip("The answers of this kind of work are not ratings.")
    table = ratings(corpus)
    names = [name for name in table.columns if name not in ("example_id", "annotator")]
    if len(names) < 2:
        raise Skip("Ratings of one dimension cannot colour another.")
    people = _people(table, names, alpha, min_effect)
    facts = {"dimensions": _dimensions(table, names), "together": _together(table, names), "annotators": people}
    return Report(findings(map(_row, people)), facts)


def ratings(corpus: Corpus) -> pd.DataFrame:
    """One row per annotator and example: example_id, annotator, then a column per dimension (NaN where not rated)."""
    from pipeline.consensus.build import latest_answers

    given = latest_answers(corpus.annotations)
    names = sorted({name for answer in given["label"] for name in answer})
    values = {name: [float(answer.get(name, np.nan)) for answer in given["label"]] for name in names}
    return pd.DataFrame({"example_id": given["example_id"], "annotator": given["annotator"].astype(str), **values})


def _people(table: pd.DataFrame, names: list[str], alpha: float, min_effect: float) -> list[dict[str, Any]]:
    """Flat: all dimensions rated, and all alike. Paired with the share of the others' ratings of the same response that are."""
    from scipy.stats import binomtest

    whole = table.dropna(subset=names)
    flat = whole.assign(flat=whole[names].nunique(axis=1) == 1)
    total = flat.groupby("example_id")["flat"].agg(["sum", "size"])
    joined = flat.merge(total, left_on="example_id", right_index=True)
    joined = joined[joined["size"] > 1]
    joined["others"] = (joined["sum"] - joined["flat"]) / (joined["size"] - 1)
    rows: list[dict[str, Any]] = []
    for name, part in joined.groupby("annotator", sort=True):
        if len(part) < FEW:
            continue
        more, less = int((part["flat"] > part["others"]).sum()), int((part["flat"] < part["others"]).sum())
        p = binomtest(more, more + less, 0.5, alternative="greater").pvalue if more + less else 1.0
        own, others = float(part["flat"].mean()), float(part["others"].mean())
        rows.append(
            {"annotator": str(name), "n": len(part), "same_on_all": own, "others": others, "difference": own - others, "p": p}
        )
    for row, p in zip(rows, holm([row["p"] for row in rows]) if rows else [], strict=True):
        row.update(p=float(p), flagged=bool(p < alpha and row["difference"] >= min_effect))
    return rows


def _dimensions(table: pd.DataFrame, names: list[str]) -> list[dict[str, Any]]:
    rows = []
    for name in names:
        values = table[name].dropna()
        if len(values):
            low, high = float(values.min()), float(values.max())
            rows.append(
                {
                    "dimension": name, "mean": float(values.mean()), "spread": float(values.std(ddof=0)), "lowest": low,
                    "highest": high, "at_lowest": float((values == low).mean()), "at_highest": float((values == high).mean()),
                    "n": len(values),
                }
            )  # fmt: skip
    return rows


def _together(table: pd.DataFrame, names: list[str]) -> list[dict[str, Any]]:
    """Spearman's correlation of every two dimensions over responses (the mean of their ratings), and whether it is so high that
    one of the two would do."""
    from scipy.stats import spearmanr

    means = table.groupby("example_id")[names].mean()
    rows = []
    for a, b in combinations(names, 2):
        both = means[[a, b]].dropna()
        if len(both) >= FEW and both[a].nunique() > 1 and both[b].nunique() > 1:
            value = float(spearmanr(both[a], both[b]).statistic)
            low, high = _ends(value, len(both))
            rows.append({"a": a, "b": b, "correlation": value, "low": low, "high": high, "n": len(both), "alike": low > ALIKE})
    return rows


def _ends(value: float, n: int) -> tuple[float, float]:
    """95 % interval of Spearman's correlation. Source: Fieller, Hartley and Pearson (1957)."""
    centre, half = np.arctanh(np.clip(value, -0.999999, 0.999999)), 1.959964 * np.sqrt(1.06 / (n - 3))
    return float(np.tanh(centre - half)), float(np.tanh(centre + half))


def _row(row: dict[str, Any]) -> dict[str, Any]:
    said = (
        f"Gives {'every' if row['same_on_all'] == 1 else 'a'} response the same rating on every dimension in "
        f"{row['same_on_all']:.0%} of {row['n']} responses; the others rate {row['others']:.0%} of the same ones so."
    )
    return {
        "subject_id": row["annotator"], "severity": float(np.clip(row["difference"], 0, 1)), "flagged": row["flagged"],
        "reason": said, "suggestion": "",
    }  # fmt: skip
