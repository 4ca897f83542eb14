"""Does what the policy removes hit one group of examples harder than the others?

To clean by rules that know nothing of groups can still thin out one of them: a dialect whose labels a model doubts, a channel
whose texts repeat. That is a finding of its own, made from the verdicts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.statistics import benjamini_hochberg, difference_of_shares, more_often
from pipeline.types import FINDING_COLUMNS

NAME = "disparate_removal"
QUESTION = "Does what is removed hit one group of examples harder than the others?"
ALPHA = 0.05
FOUR_FIFTHS = 0.8  # kept at less than four fifths of the others' rate: 29 CFR 1607.4(D), 1978
MIN_N = 30  # as for the rates of labels (see slice_labels)


def disparate(joined: pd.DataFrame, slices: tuple[str, ...]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """(FINDING_COLUMNS, one row per group of at least MIN_N examples; facts `groups`).

    joined: examples with `verdict` and the slices' columns. A group is flagged if it is removed (dropped, or waiting for an
    annotator) more often than the rest by Fisher's exact test after Benjamini–Hochberg, and kept at less than FOUR_FIFTHS of
    the rest's rate. Severity is the share of the rest's rate that is missing: 0 is none, also where both lose everything, 1 is
    that nothing is left.
    """
    rows = [row for name in slices for row in _groups(joined, name)]
    for row, p in zip(rows, benjamini_hochberg([row["p"] for row in rows]) if rows else [], strict=True):
        row.update(p=float(p), flagged=bool(p < ALPHA and row["ratio"] < FOUR_FIFTHS))
    table = pd.DataFrame([_finding(row) for row in rows], columns=list(FINDING_COLUMNS))
    types = {"severity": "float64", "flagged": "bool"}
    texts = {name: "str" for name in FINDING_COLUMNS if name not in types}
    table = table.astype({**types, **texts}).sort_values(["severity", "subject_id"], ascending=[False, True])
    return table.reset_index(drop=True), {"groups": rows}


def _groups(joined: pd.DataFrame, name: str) -> list[dict[str, Any]]:
    value = joined[name].where(joined[name].notna() & (joined[name] != ""))
    kept = (joined["verdict"] == "keep").to_numpy()
    rows = []
    for group in sorted(value.dropna().unique()):
        inside = (value == group).to_numpy()
        n, rest = int(inside.sum()), int((~inside & value.notna().to_numpy()).sum())
        if n < MIN_N or rest < MIN_N:
            continue
        gone, gone_rest = int((inside & ~kept).sum()), int((~inside & value.notna().to_numpy() & ~kept).sum())
        gap = difference_of_shares(gone, n, gone_rest, rest)
        ratio = (1 - gone / n) / max(1 - gone_rest / rest, 1e-9) if (gone, gone_rest) != (n, rest) else 1.0
        p = float(more_often(np.array([gone]), np.array([n]), np.array([gone_rest]), np.array([rest]))[0])
        rows.append(
            {
                "slice": name, "group": str(group), "removed": gone / n, "others": gone_rest / rest, "difference": gap.value,
                "low": gap.low, "high": gap.high, "ratio": min(ratio, 1e6), "n": n, "p": p, "flagged": False,
            }
        )  # fmt: skip
    return rows


def _finding(row: dict[str, Any]) -> dict[str, Any]:
    said = (
        f"{row['removed']:.0%} of the {row['n']:,} examples here are removed, {row['others']:.0%} elsewhere: "
        f"{row['difference'] * 100:+.0f} points ({row['low'] * 100:+.0f} to {row['high'] * 100:+.0f})."
    )
    return {
        "check": NAME, "subject": "slice", "subject_id": f"{row['slice']}={row['group']}",
        "severity": float(np.clip(1 - row["ratio"], 0, 1)), "flagged": row["flagged"], "reason": said, "suggestion": "",
    }  # fmt: skip
