"""How a model of the labels serves groups of examples: its errors, how sure it is of itself, whom it takes for whom.

The model is the one of the evidence: each example's probabilities come from a model that has not seen its label. Rates by group
are fairlearn's; their intervals are ours, because fairlearn's bootstrap took 20 CPU-s for 25,000 rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    from fairlearn.metrics import MetricFrame

    use = group.members | group.others
    y, predicted, inside = given[use], said[use], group.members[use]
    sizes = _sizes(y, inside, len(labels))
    told = [key for key, size in sizes.items() if min(size) >= min_n]
    frame = MetricFrame(
        metrics={str(key): _rate(*key) for key in told}, y_true=y, y_pred=predicted, sensitive_features=inside.astype(int)
    )
    rates = frame.by_group
    rows = []
    for measure, k in told:
        here, there = (float(rates[str((measure, k))][side]) for side in (1, 0))
        rows.append(_gap(measure, "" if k is None else labels[k], here, there, *sizes[measure, k]))
    return rows


def _sizes(y: Index, inside: NDArray[np.bool_], labels: int) -> dict[tuple[str, int | None], tuple[int, int]]:
    """(measure, label) → over how many examples its rate is told, in the group and outside it."""
    found: dict[tuple[str, int | None], tuple[int, int]] = {("error", None): (int(inside.sum()), int((~inside).sum()))}
    for k in range(labels):
        held = y == k
        found["false positive", k] = (int((inside & ~held).sum()), int((~inside & ~held).sum()))
        found["false negative", k] = (int((inside & held).sum()), int((~inside & held).sum()))
    return found


def _rate(measure: str, label: int | None) -> Callable[[Any, Any], float]:
    """A metric for fairlearn, of one label against the rest."""
    from fairlearn.metrics import false_negative_rate, false_positive_rate

    if label is None:
        return lambda y, said: float(np.mean(np.asarray(y) != np.asarray(said)))
    rate = {"false positive": false_positive_rate, "false negative": false_negative_rate}[measure]
    return lambda y, said: float(rate((np.asarray(y) == label).astype(int), (np.asarray(said) == label).astype(int)))


def _gap(measure: str, label: str, rate: float, other: float, n: int, other_n: int) -> Row:
    hits, other_hits = round(rate * n), round(other * other_n)
    gap = difference_of_shares(hits, n, other_hits, other_n)
    return {
        "measure": measure, "label": label, "value": float(rate), "others": float(other), "difference": gap.value,
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
