"""How often each label comes up in a group, and how high ratings are there, against the other examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.bias.groups import Group, meeting
from pipeline.bias.values import Values
from pipeline.statistics import benjamini_hochberg, cohens_h, differs, risk_ratio, wilson_bounds

Array = NDArray[np.float64]
Row = dict[str, Any]
Z95 = 1.959964
MOST_ROWS = 200  # rows of a table in the facts, worst first: no reader goes further, and summary.json stays small


def label_rates(values: Values, group: Group) -> list[Row]:
    """One row per label: its rate in the group, with Wilson's interval, against the rate among the others (`reference`), as a
    ratio with its interval and as Cohen's h (`effect`)."""
    hits, other_hits = (values.matrix[mask].sum(axis=0).astype(np.int64) for mask in (group.members, group.others))
    size, rest = np.full_like(hits, group.n), np.full_like(hits, group.others.sum())
    low, high = wilson_bounds(hits, size)
    ratio, ratio_low, ratio_high = risk_ratio(hits, size, other_hits, rest)
    effect, p = cohens_h(hits / size, other_hits / rest), differs(hits, size, other_hits, rest)
    return [
        {
            "slice": group.slice, "group": group.name, "label": label, "rate": float(hits[k] / size[k]), "low": float(low[k]),
            "high": float(high[k]), "n": group.n, "reference": float(other_hits[k] / rest[k]), "ratio": float(ratio[k]),
            "ratio_low": float(ratio_low[k]), "ratio_high": float(ratio_high[k]), "effect": float(effect[k]), "p": float(p[k]),
        }
        for k, label in enumerate(values.names)
    ]  # fmt: skip


def meeting_rates(values: Values, a: Group, b: Group) -> list[Row]:
    """One row per label: its rate where the two groups meet, against what they would give together if each shifted the odds by
    itself (`reference`), estimated from the three other cells of the fourfold table.

    p is of the difference of log odds ratios, half an example added to each count. Source: Woolf (1955); Haldane (1956).
    """
    from scipy.special import expit
    from scipy.stats import norm

    here = meeting(a, b)
    cells = (here.members, a.members & b.others, a.others & b.members, a.others & b.others)
    n = np.array([[cell.sum()] for cell in cells], np.float64)
    hits = np.array([values.matrix[cell].sum(axis=0) for cell in cells])
    logit = np.log((hits + 0.5) / (n - hits + 0.5))
    expected = expit(logit[1] + logit[2] - logit[3])
    spread = np.sqrt((1 / (hits + 0.5) + 1 / (n - hits + 0.5)).sum(axis=0))
    p = 2 * norm.sf(np.abs(logit[0] - logit[1] - logit[2] + logit[3]) / spread)
    rate, (low, high) = hits[0] / n[0], wilson_bounds(hits[0], np.full_like(hits[0], n[0, 0]))
    ratio, effect = (hits[0] + 0.5) / (n[0] + 0.5) / expected, cohens_h(rate, expected)
    return [
        {
            "slice": here.slice, "group": here.name, "label": label, "rate": float(rate[k]), "low": float(low[k]),
            "high": float(high[k]), "n": here.n, "reference": float(expected[k]), "ratio": float(ratio[k]),
            "ratio_low": float(low[k] / expected[k]), "ratio_high": float(high[k] / expected[k]), "effect": float(effect[k]),
            "p": float(p[k]),
        }
        for k, label in enumerate(values.names)
    ]  # fmt: skip


def rating_means(values: Values, group: Group) -> list[Row]:
    """One row per rating: its mean in the group against the others' mean (`reference`); `difference` with Welch's interval;
    `effect` is the difference in standard deviations (Cohen's d: .2 is small, .5 medium, .8 large). Source: Welch (1947)."""
    from scipy.stats import t

    rows: list[Row] = []
    for k, name in enumerate(values.names):
        given = np.isfinite(values.matrix[:, k])
        here, there = (values.matrix[mask & given, k] for mask in (group.members, group.others))
        if len(here) < 2 or len(there) < 2:
            continue
        parts = here.var(ddof=1) / len(here), there.var(ddof=1) / len(there)
        spread = np.sqrt((here.var(ddof=1) + there.var(ddof=1)) / 2)
        if spread == 0:
            continue
        freedom = sum(parts) ** 2 / (parts[0] ** 2 / (len(here) - 1) + parts[1] ** 2 / (len(there) - 1))
        difference, error = here.mean() - there.mean(), np.sqrt(sum(parts))
        half = t.ppf(0.975, freedom) * error
        rows.append(
            {
                "slice": group.slice, "group": group.name, "rating": name, "mean": float(here.mean()), "n": len(here),
                "reference": float(there.mean()), "difference": float(difference), "low": float(difference - half),
                "high": float(difference + half), "effect": float(difference / spread),
                "p": float(2 * t.sf(abs(difference) / error, freedom)),
            }
        )  # fmt: skip
    return rows


def worst_first(rows: Sequence[Row], key: str = "effect") -> list[Row]:
    """What is flagged before the rest, large effects before small ones; not more rows than a reader can use."""
    return sorted(rows, key=lambda row: (not row["flagged"], -abs(row[key] or 0.0)))[:MOST_ROWS]


def corrected(*families: Sequence[Row]) -> None:
    """Put a corrected value in the place of each row's p: Benjamini and Hochberg's q over its family, times the number of
    families that hold any row (Bonferroni): with nothing to be found, all families together name anything at the stated rate."""
    several = sum(bool(rows) for rows in families)
    for rows in families:
        for row, q in zip(rows, benjamini_hochberg([row["p"] for row in rows]), strict=True):
            row["p"] = min(1.0, float(q) * several)
