"""Error rates that differ from slice to slice: where people, or a source, err more often, labels are doubted more.

Source: errors are looked for with a rate per group in DeCoLe, Li et al. (2025), Decoupled Confident Learning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.evidence.doubt import HIGHEST, LINE, bounded, error_rate, surest_of_each
from pipeline.statistics import difference_of_shares
from pipeline.types import IntArray

Array = NDArray[np.float64]
PRIOR = 50  # examples' worth of the overall rate in the rate of a slice, and the fewest for a rate of its own


def rates_of_examples(judged: pd.DataFrame, probabilities: Array, given: IntArray, slices: Sequence[str]) -> Array:
    """(n,) the error rate of each example's slices: the overall one, shifted (in log-odds) for each of its groups where labels
    differ more often, or less, from the model's first choice than elsewhere, among the half on which the model is surest.
    """
    first = probabilities.argmax(axis=1)
    sure = np.zeros(len(given), bool)
    sure[surest_of_each(probabilities.max(axis=1), first)[: round(LINE * len(given))]] = True
    missed = first != given
    usual = bounded(float(missed[sure].mean()), len(given))
    overall = bounded(error_rate(probabilities, given).value, len(given))
    shift = np.zeros(len(given))
    for column in slices:
        for _, rows in _groups(judged, column):
            inside = np.zeros(len(given), bool)
            inside[rows] = True
            hits, size, rest = int(missed[inside & sure].sum()), int((inside & sure).sum()), sure & ~inside
            if not size or not rest.any() or not _apart(hits, size, int(missed[rest].sum()), int(rest.sum())):
                continue
            own = bounded((hits + usual * PRIOR) / (size + PRIOR), len(given))
            shift[rows] += np.log(own / (1 - own)) - np.log(usual / (1 - usual))
    odds = overall / (1 - overall) * np.exp(shift)
    rates = odds / (1 + odds)
    result: Array = np.clip(rates * overall / rates.mean(), 1 / (2 * len(given)), HIGHEST)
    return result


def _apart(hits: int, n: int, other_hits: int, other_n: int) -> bool:
    """At 99 %, since there are many groups, and chance differences would blur the ranking."""
    difference = difference_of_shares(hits, n, other_hits, other_n, level=0.99)
    return difference.low > 0 or difference.high < 0


def rate_by_slice(
    judged: pd.DataFrame, probabilities: Array, given: IntArray, flagged: NDArray[np.bool_], slices: Sequence[str]
) -> list[dict[str, Any]]:
    """For each group with enough examples: how many are judged and flagged, and its estimated error rate with interval."""
    return [
        {
            "slice": column, "group": name, "judged": len(rows), "flagged": int(flagged[rows].sum()),
            "estimated_error_rate": error_rate(probabilities[rows], given[rows]).as_dict(),
        }
        for column in slices
        for name, rows in _groups(judged, column)
    ]  # fmt: skip


def _groups(judged: pd.DataFrame, column: str) -> list[tuple[str, IntArray]]:
    """(group, its rows), where a group has a name and enough rows for a rate of its own."""
    values = judged[column].astype("str").to_numpy()
    found = [(str(name), np.flatnonzero(values == name)) for name in sorted(set(values)) if name]
    return [(name, rows) for name, rows in found if len(rows) >= PRIOR]
