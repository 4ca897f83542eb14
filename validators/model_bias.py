"""Whom would a model that learns these labels serve worse?

Asked of a model of the evidence that has not seen the example's own label, against the consensus. Where the labels of a group are
themselves worse (see `slice_quality`), the model looks worse there, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.bias import groups as grouping
from pipeline.bias import terms
from pipeline.bias.groups import Group
from pipeline.bias.model import calibration_error, error_rates, overconfidence
from pipeline.bias.rates import corrected, worst_first
from pipeline.statistics import wilson
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings, require_classes

Row = dict[str, Any]
WORDS = {
    "error": "is wrong in", "overconfidence": "is surer than it is right, by", "false positive": "wrongly says “{}” in",
    "false negative": "misses “{}” in",
}  # fmt: skip


@check("model_bias", "Whom would a model that learns these labels serve worse?", subject="slice")
def model_bias(
    corpus: Corpus,
    *,
    alpha: float = 0.05,
    min_difference: float = 0.1,  # 10 points, as between annotators: Dorans and Holland (1993)
    min_n: int = 30,  # with 30, a rate is known to ±18 points at best (Wilson, 95 %)
    most_labels: int = 10,  # whose false positives and negatives are looked at, the most frequent
) -> Report:
    """One row per group of at least `min_n` examples: of the slices, and of texts that mention a group of people. Each against
    the examples outside it: the rate of errors, of false positives and false negatives of each label, and by how much the model
    is surer than it is right. Severity is the largest gap whose interval lies on one side of 0. Flagged if a group is worse by
    `min_difference` with a corrected p-value (Benjamini–Hochberg over all groups and measures). `calibration_error` is not
    compared: it grows as groups get smaller."""
    require_classes(corpus)
    if corpus.evidence.probabilities.shape[1] != len(corpus.labels) or len(corpus.labels) < 2:
        raise Skip("There is no model of these labels.")
    table = _known(corpus)
    found = grouping.groups(table, corpus.slices) if len(table) else []
    found += terms.mentions(table["text"].astype("str").tolist(), min_n) if len(table) else []
    found = [group for group in found if grouping.enough(group, min_n)]
    if not found:
        raise Skip(f"There are no two groups of at least {min_n} examples, of which a model has learnt, to compare.")
    rows, served = _measure(corpus, table, found, min_n, most_labels)
    corrected(rows)
    for row in rows:
        row["flagged"] = bool(row["p"] < alpha and row["difference"] >= min_difference)
    errors = [row for row in rows if row["measure"] == "error"]
    facts = {
        "gaps": worst_first(rows, "difference"), "served": served, "tested": len(rows),
        "smallest_group": min(row["n"] for row in rows), "worst_group": max(served, key=lambda row: row["error"]),
        "worst_error_gap": max(0.0, max(row["difference"] for row in errors)),
        "worst_gap": max(0.0, max(row["difference"] for row in rows)),
    }  # fmt: skip
    by_group: dict[str, list[Row]] = {}
    for row in rows:
        by_group.setdefault(f"{row['slice']}={row['group']}", []).append(row)
    return Report(findings(_row(subject, mine) for subject, mine in by_group.items()), facts)


def _known(corpus: Corpus) -> pd.DataFrame:
    """Labelled examples of which the model says something, by id."""
    table = corpus.labelled().sort_values("example_id", ignore_index=True)
    seen = np.isfinite(corpus.evidence.probabilities[table["row"].to_numpy(np.int64)]).all(axis=1)
    return table[seen & table["label"].isin(corpus.labels).to_numpy(bool)].reset_index(drop=True)


def _measure(
    corpus: Corpus, table: pd.DataFrame, found: Sequence[Group], min_n: int, most_labels: int
) -> tuple[list[Row], list[Row]]:
    """Rows of gaps, and one row per group of how it is served."""
    number = {label: at for at, label in enumerate(corpus.labels)}
    given = table["label"].map(number).to_numpy(np.int64)
    probabilities = corpus.evidence.probabilities[table["row"].to_numpy(np.int64)].astype(np.float64)
    said, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    frequent = np.argsort(-np.bincount(given, minlength=len(number)), kind="stable")[:most_labels]
    place = np.full(len(number), -1)
    place[frequent] = np.arange(len(frequent))
    names = [corpus.labels[at] for at in frequent]
    # labels that are not looked at get numbers of their own, so that taking one for another still is an error
    shifted = [np.where(place[x] >= 0, place[x], len(number) + x) for x in (given, said)]
    rows, served = [], []
    for group in found:
        head = {"slice": group.slice, "group": group.name}
        mine = [*error_rates(shifted[0], shifted[1], group, names, min_n), overconfidence(sure, given == said, group)]
        rows += [{**head, **row} for row in mine]
        here = group.members
        served.append(
            {
                **head, "n": group.n, "error": mine[0]["value"], **_ends(mine[0]), "overconfidence": mine[-1]["value"],
                "calibration_error": calibration_error(sure[here], (given == said)[here]),
            }
        )  # fmt: skip
    return rows, served


def _ends(row: Row) -> dict[str, float]:
    interval = wilson(round(row["value"] * row["n"]), row["n"])
    return {"low": interval.low, "high": interval.high}


def _row(subject: str, rows: list[Row]) -> Row:
    flagged = sorted((row for row in rows if row["flagged"]), key=lambda row: -row["difference"])
    sure = [row["difference"] for row in rows if row["low"] > 0]
    calm = f"A model serves this group about as well as the others (wrong in {rows[0]['value']:.0%}, n = {rows[0]['n']:,})."
    return {
        "subject_id": subject, "severity": min(1.0, max(sure, default=0.0)), "flagged": bool(flagged),
        "reason": " ".join(map(_reason, flagged)) or calm, "suggestion": "",
    }  # fmt: skip


def _reason(row: Row) -> str:
    said = WORDS[row["measure"]].format(row["label"])
    return (
        f"A model that has not seen the label {said} {row['value']:.0%} here and {row['others']:.0%} elsewhere: "
        f"{row['difference'] * 100:+.0f} points ({row['low'] * 100:+.0f} to {row['high'] * 100:+.0f}; n = {row['n']:,})."
    )
