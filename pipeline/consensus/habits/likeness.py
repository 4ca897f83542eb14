"""How much somebody's answers are like the others', as a whole: for answers that are not one of a few labels."""

from __future__ import annotations

import numpy as np

from pipeline.consensus.habits.answers import Array, Row
from pipeline.consensus.habits.sheet import Sheet
from pipeline.statistics import holm

ENOUGH = 10  # a t-test on fewer differences leans on their being normal


def mean_test(values: Array, expected: float = 0.0) -> tuple[float, float, float, float]:
    """(mean, the ends of its 95 % interval, p that it lies below `expected` by chance alone) by Student's t."""
    from scipy.stats import t

    n, mean = len(values), float(values.mean())
    error = max(float(values.std(ddof=1)) / n**0.5, 1e-9)
    half = float(t.ppf(0.975, n - 1)) * error
    return mean, mean - half, mean + half, float(t.cdf((mean - expected) / error, n - 1))


def likeness(sheet: Sheet, *, alpha: float, min_gap: float, alternatives: bool) -> list[Row]:
    """Mean similarity to the others' answers against the similarity among those others, on the same examples. rate: the former.
    Flagged if the difference is below −min_gap and by a t-test below 0; never where different answers can all be right
    (`alternatives`), for there it may be the best who differs. With one other annotator an example nothing is judged."""
    rows = []
    for person, name in enumerate(sheet.people):
        mine = np.flatnonzero((sheet.annotator == person) & np.isfinite(sheet.rest))
        seen = np.flatnonzero((sheet.annotator == person) & np.isfinite(sheet.own))
        if len(mine) < ENOUGH:
            rows += [_unjudged(name, sheet.own[seen])] if len(seen) else []
            continue
        gap, low, high, p = mean_test(sheet.own[mine] - sheet.rest[mine])
        rate, others = float(sheet.own[mine].mean()), float(sheet.rest[mine].mean())
        shown = {"rate": rate, "low": max(0.0, others + low), "high": min(1.0, others + high), "others": others}
        rows.append({"annotator": name, "judged": len(mine), **shown, "difference": gap, "p": p})
    judged = [row for row in rows if row["p"] is not None]
    for row, p in zip(judged, holm([row["p"] for row in judged]), strict=True):
        low = bool(p < alpha and row["difference"] <= -min_gap)
        row |= {"p": float(p), "low_agreement": low, "flagged": low and not alternatives}
    return rows


def _unjudged(name: str, own: Array) -> Row:
    unknown = dict.fromkeys(("low", "high", "others", "difference", "p"))
    return {
        "annotator": name, "judged": len(own), "rate": float(own.mean()), **unknown, "low_agreement": False, "flagged": False,
    }  # fmt: skip
