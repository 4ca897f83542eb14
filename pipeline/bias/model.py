"""How a model of the labels serves groups of examples: its errors, how sure it is of itself, whom it takes for whom.

The model is the one of the evidence: each example's probabilities come from a model that has not seen its label. Rates are those
of fairlearn, against which they are tested; they are counted here, because a MetricFrame took 0.2 CPU-s for each group of ten
labels, and its bootstrap 20 CPU-s for 25,000 rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.bias.groups import Group
from pipeline.statistics import difference_of_shares, differs

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Row = dict[str, Any]
BINS = 10  # of the calibration error: Guo et al. (2017) take 15 for test sets of 10,000
Z95 = 1.959964


def error_rates(given: Index, said: Index, group: Group, labels: Sequence[str], min_n: int) -> list[Row]:
    """Rows `error` (share of wrong answers), and per label `false positive` (said where it is not the label) and `false
    negative` (not said where it is), each in the group against the others, with Newcombe's interval and Fisher's p. A rate is
    told only over at least `min_n` examples on either side. given, said: (n,) label numbers, those of `labels` first."""
    counted = [("error", "", given != said, np.ones(len(given), bool))]
    for k, label in enumerate(labels):
        held, called = given == k, said == k
        counted += [("false positive", label, called, ~held), ("false negative", label, ~called, held)]
    rows = []
    for measure, label, wrong, of in counted:
        (hits, n), (other_hits, other_n) = (
            (int((wrong & of & side).sum()), int((of & side).sum())) for side in (group.members, group.others)
        )
        if min(n, other_n) >= min_n:
            rows.append(_gap(measure, label, hits, n, other_hits, other_n))
    return rows


def _gap(measure: str, label: str, hits: int, n: int, other_hits: int, other_n: int) -> Row:
    gap = difference_of_shares(hits, n, other_hits, other_n)
    return {
        "measure": measure, "label": label, "value": hits / n, "others": other_hits / other_n, "difference": gap.value,
        "low": gap.low, "high": gap.high, "n": n, "p": float(differs([hits], [n], [other_hits], [other_n])[0]),
    }  # fmt: skip


def overconfidence(sure: Array, right: NDArray[np.bool_], group: Group) -> Row:
    """Row `overconfidence`: how much surer the model is of its answers than it is right, above 0 if too sure; in the group
    against the others, with the interval and p of the difference of means."""
    from scipy.stats import norm

    gap = sure - right
    here, there = gap[group.members], gap[group.others]
    difference = float(here.mean() - there.mean())
    error = float(np.sqrt(here.var(ddof=1) / len(here) + there.var(ddof=1) / len(there)))
    p = 2 * norm.sf(abs(difference) / error) if error > 0 else 1.0
    return {
        "measure": "overconfidence", "label": "", "value": float(here.mean()), "others": float(there.mean()),
        "difference": difference, "low": difference - Z95 * error, "high": difference + Z95 * error, "n": len(here),
        "p": float(p),
    }  # fmt: skip


def calibration_error(sure: Array, right: NDArray[np.bool_]) -> float:
    """Expected calibration error in [0, 1], 0 is best, over ten bins of equally many examples. Small samples have a larger one by
    chance alone: not to be compared between groups of different size. Source: Naeini et al. (2015); Guo et al. (2017)."""
    parts = np.array_split(np.argsort(sure, kind="stable"), min(BINS, len(sure)))
    return float(sum(len(part) * abs(sure[part].mean() - right[part].mean()) for part in parts) / len(sure))
