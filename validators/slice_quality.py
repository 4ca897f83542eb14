"""Are the labels of some groups of examples worse than those of others?

A group whose labels are noisier is served worse by whatever learns from them, and the mean over all examples does not show it.
Groups are the project's slices, and the texts that mention a group of people.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.bias import groups as grouping
from pipeline.bias import terms
from pipeline.bias.quality import disagreement, doubted, excess
from pipeline.bias.rates import corrected, worst_first
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings

Row = dict[str, Any]
WORDS = {
    "disagreement": "two annotators’ answers differ",
    "doubted": "a model that has not seen the label is sure of another one",
    "uncertainty": "the consensus is uncertain",
}


@check("slice_quality", "Are the labels of some groups worse than those of the others?", subject="slice")
def slice_quality(
    corpus: Corpus,
    *,
    alpha: float = 0.05,
    min_difference: float = 0.1,  # 10 points, as between annotators: Dorans and Holland (1993)
    min_n: int = 30,  # with 30, a rate is known to ±18 points at best (Wilson, 95 %)
) -> Report:
    """One row per group of at least `min_n` examples. Three measures, each against the examples outside the group with the same
    label, so that a group with many examples of a difficult label is not worse for that: how unlike two annotators' answers
    are, how often the model doubts the label, how uncertain the consensus is. Severity is the largest excess whose interval
    lies above 0. Flagged if one is larger than `min_difference` with a corrected p-value (Benjamini–Hochberg over all groups and
    measures); a group that is better than the others is not."""
    table = corpus.labelled().sort_values("example_id", ignore_index=True)
    found = grouping.groups(table, corpus.slices) if len(table) else []
    found += terms.mentions(table["text"].astype("str").tolist(), min_n) if len(table) else []
    found = [group for group in found if grouping.enough(group, min_n)]
    if not found:
        raise Skip(f"There are no two groups of at least {min_n} labelled examples to compare.")
    labels = table["label"].astype("str") if corpus.labels else pd.Series("", index=table.index)
    stratum = pd.factorize(labels, sort=True)[0].astype(np.int64)
    rows = [
        {"slice": group.slice, "group": group.name, "measure": name, **told}
        for name, values in _measures(corpus, table).items()
        for group in found
        if (told := excess(values, group, stratum)) is not None and told["n"] >= min_n
    ]
    if not rows:
        raise Skip("Nothing says how good labels are: no two annotators share examples, and there is no model of the labels.")
    corrected(rows)
    for row in rows:
        row["flagged"] = bool(row["p"] < alpha and row["difference"] >= min_difference)
    facts = {
        "quality": worst_first(rows, "difference"), "tested": len(rows), "smallest_group": min(row["n"] for row in rows),
        "worst_gap": max(0.0, max(row["difference"] for row in rows)),
    }  # fmt: skip
    by_group: dict[str, list[Row]] = {}
    for row in rows:
        by_group.setdefault(f"{row['slice']}={row['group']}", []).append(row)
    return Report(findings(_row(subject, mine) for subject, mine in by_group.items()), facts)


def _measures(corpus: Corpus, table: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Each (n,), higher is worse."""
    found = {"disagreement": disagreement(corpus, table)}
    found["uncertainty"] = 1 - table["confidence"].astype("float64").to_numpy()
    if corpus.labels and corpus.evidence.probabilities.shape[1] == len(corpus.labels) > 1:
        number = {label: at for at, label in enumerate(corpus.labels)}
        given = table["label"].map(number).fillna(-1).to_numpy(np.int64)
        rows = table["row"].to_numpy(np.int64)
        found["doubted"] = doubted(corpus.evidence.probabilities[rows].astype(np.float64), given)
    return found


def _row(subject: str, rows: list[Row]) -> Row:
    flagged = sorted((row for row in rows if row["flagged"]), key=lambda row: -row["difference"])
    sure = [row["difference"] for row in rows if row["low"] > 0]
    return {
        "subject_id": subject, "severity": min(1.0, max(sure, default=0.0)), "flagged": bool(flagged),
        "reason": " ".join(map(_reason, flagged)) or f"Labels are about as good as elsewhere (n = {rows[0]['n']:,}).",
        "suggestion": "",
    }  # fmt: skip


def _reason(row: Row) -> str:
    said = WORDS[row["measure"]]
    return (
        f"In {row['value']:.0%} of the cases {said}, elsewhere in {row['others']:.0%}; among examples with the same label it is "
        f"{row['difference'] * 100:.0f} points more ({row['low'] * 100:.0f} to {row['high'] * 100:.0f}; n = {row['n']:,})."
    )
