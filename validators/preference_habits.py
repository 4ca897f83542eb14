"""Do people prefer a side, or whatever is longer?

Which response stands left says nothing about it where the order was drawn, so a preference for a side is a habit. Length may
be a merit; that everybody prefers the longer one is still what a model will learn first, and is worth knowing: in 2,312 pairs
of hh-rlhf's harmless set the longer response was chosen in 44 %.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.evidence.pairs import choices, pairs, surface
from pipeline.statistics import holm, wilson
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings

FEW = 10  # choices: with fewer even an unanimous side has p > .001 and no habit can be told from chance after correction


@check("preference_habits", "Who prefers a side, or whatever is longer?", subject="annotator")
def preference_habits(
    corpus: Corpus,
    *,
    alpha: float = 0.01,  # after Holm, as for every check that names a person
    min_side: float = 0.15,  # left in 65 % instead of 50: Cohen's h 0.3, between small and medium, as for other habits
    min_length: float = 0.25,  # longer in 25 points more than the others choose it: length can be a merit, a side cannot
) -> Report:
    """One row per annotator with at least 10 choices. Severity is twice the distance of the rate of the left side from one half,
    or the distance from how often the others choose the longer response, whichever is larger, in [0, 1]. Flagged on effect size
    and on Holm's corrected p: of a binomial test against one half for the side, where the project drew the order; against the
    others' rate for length. Facts: both rates for the whole set, how often ties are given, how agreement goes with the
    difference in length, and how well the surface of the responses alone tells which is preferred."""
    if corpus.task != "pairwise_preference":
        raise Skip("The answers of this kind of work are not preferences between two responses.")
    table = pairs(corpus)
    given = choices(corpus, table) if len(table) else pd.DataFrame()
    if not len(given):
        raise Skip("No comparison of two responses that can be read has an answer.")
    people = _people(given, drawn=bool(corpus.left), alpha=alpha, min_side=min_side, min_length=min_length)
    facts = {
        "left": _rate(given.loc[given["side"] != "tie", "side"] == "left"),
        "longer": _rate(given["longer"].dropna().astype(bool)),
        "ties": _rate(given["side"] == "tie"),
        "order_drawn": bool(corpus.left),
        "agreement_by_length": _by_length(given, table),
        "surface": surface(corpus, table),
        "annotators": people,
    }
    return Report(findings(map(_row, people)), facts)


def _rate(hits: pd.Series) -> dict[str, Any]:
    if not len(hits):
        return {"value": None, "low": None, "high": None, "level": None, "n": 0}
    return {**wilson(int(hits.sum()), len(hits)).as_dict(), "n": len(hits)}


def _people(given: pd.DataFrame, *, drawn: bool, alpha: float, min_side: float, min_length: float) -> list[dict[str, Any]]:
    from scipy.stats import binomtest

    rows: list[dict[str, Any]] = []
    longer = given.dropna(subset=["longer"])
    for name, part in given.groupby("annotator", sort=True):
        sided, own = part[part["side"] != "tie"], longer[longer["annotator"] == name]["longer"].astype(bool)
        if len(sided) < FEW:
            continue
        rest = longer[longer["annotator"] != name]["longer"].astype(bool)
        left = int((sided["side"] == "left").sum())
        usual = float(np.clip(rest.mean(), 0.01, 0.99)) if len(rest) >= FEW else None
        rows.append(
            {
                "annotator": str(name), "n": len(sided), "left": left / len(sided), **_ends("left", left, len(sided)),
                "p_left": binomtest(left, len(sided), 0.5).pvalue if drawn else 1.0,
                "longer": float(own.mean()) if len(own) else None, "longer_n": len(own), "others_longer": usual,
                "p_longer": binomtest(int(own.sum()), len(own), usual).pvalue if len(own) and usual is not None else 1.0,
                "ties": 1 - len(sided) / len(part),
            }
        )  # fmt: skip
    adjusted = holm([p for row in rows for p in (row["p_left"], row["p_longer"])]) if rows else np.zeros(0)
    for row, (p_left, p_longer) in zip(rows, adjusted.reshape(-1, 2), strict=True):
        gap = _gap(row)
        row.update(
            p_left=float(p_left), p_longer=float(p_longer),
            side=bool(p_left < alpha and abs(row["left"] - 0.5) >= min_side),
            length=bool(p_longer < alpha and gap >= min_length),
        )  # fmt: skip
    return rows


def _ends(name: str, hits: int, n: int) -> dict[str, float]:
    interval = wilson(hits, n)
    return {f"{name}_low": interval.low, f"{name}_high": interval.high}


def _gap(row: dict[str, Any]) -> float:
    known = row["longer"] is not None and row["others_longer"] is not None
    return abs(row["longer"] - row["others_longer"]) if known else 0.0


def _by_length(given: pd.DataFrame, table: pd.DataFrame) -> list[dict[str, Any]]:
    """Examples with two answers or more, by how much longer one response is: how often two people agree there. A preference
    that only length decides shows as agreement that grows with the difference."""
    lengths = table.assign(ratio=_ratio(table))[["example_id", "ratio"]]
    both = given.merge(given, on="example_id", suffixes=("", "_other")).query("annotator < annotator_other")
    both = both.assign(same=both["side"] == both["side_other"]).merge(lengths, on="example_id")
    bins = [(1.0, 1.25), (1.25, 2.0), (2.0, np.inf)]
    rows = []
    for low, high in bins:
        part = both[(both["ratio"] >= low) & (both["ratio"] < high)]
        if len(part):
            name = f"{low:g} to {high:g} times" if np.isfinite(high) else f"{low:g} times and more"
            rows.append({"longer_by": name, "agree": float(part["same"].mean()), "pairs": len(part)})
    return rows


def _ratio(table: pd.DataFrame) -> Any:
    words = table[["words_left", "words_right"]].to_numpy(float) + 1
    return words.max(1) / words.min(1)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    said = []
    if row["side"]:
        side, rate = ("left", row["left"]) if row["left"] > 0.5 else ("right", 1 - row["left"])
        said.append(
            f"Prefers the response on the {side} in {rate:.0%} of {row['n']} choices, in an order that was drawn at random."
        )
    if row["length"]:
        said.append(
            f"Prefers the longer response in {row['longer']:.0%} of {row['longer_n']} choices, the others in "
            f"{row['others_longer']:.0%}."
        )
    severity = min(1.0, max(2 * abs(row["left"] - 0.5), _gap(row)))
    calm = f"Chooses the left response in {row['left']:.0%} of {row['n']} choices."
    return {
        "subject_id": row["annotator"], "severity": severity, "flagged": bool(said), "reason": " ".join(said) or calm,
        "suggestion": "",
    }  # fmt: skip
