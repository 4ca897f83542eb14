"""Is an answer far shorter or longer than others to questions of like length?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from validators.answers.written import Written, words

Array = NDArray[np.float64]
ENOUGH = 30  # answers: below, a median absolute deviation says little
# Iglewicz and Hoaglin (1993) call a robust z of 3.5 an outlier of a normal sample; logarithms of lengths have heavier tails. Of
# seed_tasks and half of llamafactory_demo, 5 leaves none.
OUTLIER = 5.0
LEAST = 0.35  # spread of the logarithm below which nothing is far: a factor of 1.4


def length_scores(rows: Sequence[Written], groups: Sequence[str]) -> Array | None:
    """Robust z of the logarithm of each answer's words, given the question's length and the row's group; None for fewer than 30.

    Negative is shorter than expected. groups: a slice's value, "" for none; those of fewer than 30 rows share one level.
    """
    if len(rows) < ENOUGH:
        return None
    said = np.log1p([len(words(row.answer)) for row in rows])
    asked = np.log1p([len(words(row.prompt)) for row in rows])
    rest = said - _slope(asked, said) * (asked - np.median(asked))
    level = np.full(len(rows), np.median(rest))
    values = np.array(groups)
    for group in sorted(set(groups)):
        inside = values == group
        if inside.sum() >= ENOUGH:
            level[inside] = np.median(rest[inside])
    rest = rest - level
    result: Array = rest / max(1.4826 * float(np.median(np.abs(rest))), LEAST)
    return result


def _slope(x: Array, y: Array) -> float:
    """Of a robust line: the median answer in thirds of the question's length. Source: Tukey's resistant line (1977)."""
    order = np.argsort(x, kind="stable")
    third = len(x) // 3
    low, high = order[:third], order[-third:]
    apart = float(np.median(x[high]) - np.median(x[low]))
    return 0.0 if apart < 0.5 else float((np.median(y[high]) - np.median(y[low])) / apart)
