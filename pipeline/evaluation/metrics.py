"""How good the answers are, each number with its interval.

All models are resampled alike: one table of bootstrap weights, drawn once from the seed, so that the interval of a
difference knows which examples both models find hard. The examples are the unit: seed and tuning variance are not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.types import FloatArray, Interval

LEVEL = 0.95
Z = 1.959964  # the normal quantile for LEVEL, two-sided
RESAMPLES = (
    2000  # the ends of a 95 % interval then rest on 50 resamples each (Efron and Tibshirani 1993 advise 1,000 up)
)
BINS = 10  # equal-mass bins for the calibration error: less biased than equal-width ones (Nixon et al. 2019)
LARGEST_TABLE = 50_000_000  # entries of the bootstrap table: 200 MB, 2,000 resamples of 25,000 examples
Counts = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Answers:
    """One model's answers to the test rows. Labels are strings, so that models with other label lists can be compared."""

    predicted: list[str]
    confidence: FloatArray  # (n,) probability of the predicted label

    def take(self, places: NDArray[np.int64]) -> Answers:
        return Answers([self.predicted[place] for place in places], self.confidence[places])


def bootstrap_counts(n: int, *, seed: int, resamples: int = RESAMPLES) -> Counts:
    """(R, n) float32: how often each example occurs in each resample; rows sum to n.

    R is `resamples`, or fewer (100 at least) where the table would pass LARGEST_TABLE.
    """
    rows = min(resamples, max(100, LARGEST_TABLE // n))
    rng = np.random.default_rng(seed)
    counts = np.empty((rows, n), dtype=np.float32)
    for row in counts:
        row[:] = np.bincount(rng.integers(n, size=n), minlength=n)
    return counts


def accuracy(gold: Sequence[str], answers: Answers, weights: Counts) -> Counts:
    """Per row of `weights` (R, n): the share of right answers; 1 is best."""
    share: Counts = weights @ _right(gold, answers) / weights.sum(axis=1)
    return share


def macro_f1(gold: Sequence[str], answers: Answers, weights: Counts) -> Counts:
    """Per row of `weights`: the mean F1 over the labels that occur in the gold answers of that row; 1 is best.

    A label that only the model uses counts through the precision it costs others.
    """
    labels = np.array(sorted(set(gold)))
    is_gold = (np.array(gold)[:, None] == labels).astype(np.float32)
    is_said = (np.array(answers.predicted)[:, None] == labels).astype(np.float32)
    hits, golds, said = weights @ (is_gold * is_said), weights @ is_gold, weights @ is_said
    f1 = 2 * hits / np.maximum(golds + said, 1e-12)
    present = golds > 0
    mean: Counts = (f1 * present).sum(axis=1) / present.sum(axis=1)
    return mean


RESAMPLED = {"accuracy": accuracy, "macro_f1": macro_f1}


def point_and_resamples(name: str, gold: Sequence[str], answers: Answers, counts: Counts) -> tuple[float, Counts]:
    """One of RESAMPLED on the rows as they are, and on each resample."""
    return float(RESAMPLED[name](gold, answers, np.ones((1, len(gold))))[0]), RESAMPLED[name](gold, answers, counts)


def calibration_error(gold: Sequence[str], answers: Answers, weights: Counts) -> Counts:
    """Per row of `weights`: expected calibration error, in [0, 1]; 0 is best. Bins hold equally many examples.

    Source: Guo et al. 2017; equal-mass bins from Nixon et al. 2019, Measuring Calibration in Deep Learning.
    """
    return _binned_gap(_right(gold, answers) - answers.confidence, answers.confidence, weights)


def calibration_interval(gold: Sequence[str], answers: Answers, counts: Counts, *, seed: int) -> dict[str, float]:
    """value, low, high, level, and by_chance: what a perfectly calibrated model stays under 19 times in 20.

    With n examples the error lies above 0 by chance alone. So the interval is the reverse percentile one, which takes
    off the bootstrap's bias, and reaches down to 0 where the value is not above `by_chance`. On simulated models it
    held the truth 8 to 9 times in 10 where there was an error, and always where there was none; the plain percentile
    interval never did in the second case.
    """
    value = float(calibration_error(gold, answers, np.ones((1, len(gold))))[0])
    low, high = 2 * value - np.quantile(calibration_error(gold, answers, counts), [(1 + LEVEL) / 2, (1 - LEVEL) / 2])
    rng = np.random.default_rng(seed)
    perfect = [(rng.random(len(gold)) < answers.confidence) - answers.confidence for _ in range(200)]
    ones = np.ones((1, len(gold)))
    by_chance = float(np.quantile([_binned_gap(gap, answers.confidence, ones)[0] for gap in perfect], LEVEL))
    low = 0.0 if value <= by_chance else max(0.0, float(low))
    return Interval(value, min(low, value), max(float(high), value), LEVEL).as_dict() | {"by_chance": by_chance}


def _binned_gap(gap: Counts, confidence: FloatArray, weights: Counts) -> Counts:
    bins = np.array_split(np.argsort(confidence, kind="stable"), min(BINS, len(gap)))
    error: Counts = np.sum([np.abs(weights[:, part] @ gap[part]) for part in bins], axis=0) / weights.sum(axis=1)
    return error


def percentile_interval(value: float, resampled: Counts) -> Interval:
    """The middle 95 % of the resamples. Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap."""
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(min(low, value)), float(max(high, value)), LEVEL)


def paired_difference(won: int, lost: int, n: int) -> Interval:
    """Interval of accuracy minus the other's accuracy, from the examples that only one of the two got right.

    The bootstrap would give an interval of no width when the two never differ, however few the examples; this one does
    not. Source: Bonett and Price 2012, Adjusted Wald confidence interval for a difference of binomial proportions based
    on paired data; recommended by Fagerland et al. 2014.
    """
    only, other = (won + 1) / (n + 2), (lost + 1) / (n + 2)
    half = Z * np.sqrt((only + other - (only - other) ** 2) / (n + 2))
    value = (won - lost) / n
    low, high = max(-1.0, only - other - half), min(1.0, only - other + half)
    return Interval(value, float(min(low, value)), float(max(high, value)), LEVEL)


def mcnemar(won: int, lost: int) -> float:
    """Two-sided exact p that both models are equally often right alone; 1 if they never differ. Source: McNemar 1947."""
    from scipy.stats import binomtest

    return 1.0 if won + lost == 0 else float(binomtest(won, won + lost, 0.5).pvalue)


def right_answers(gold: Sequence[str], answers: Answers) -> int:
    return int(_right(gold, answers).sum())


def discordant(gold: Sequence[str], one: Answers, other: Answers) -> tuple[int, int]:
    """How many examples only `one` got right, and how many only `other`."""
    first, second = _right(gold, one) > 0, _right(gold, other) > 0
    return int((first & ~second).sum()), int((second & ~first).sum())


def least_difference(won: int, lost: int, n: int) -> float:
    """The true difference of accuracy that a test on n examples would find 4 times in 5, with pairs as discordant as these.

    Source: Miller 2024, Adding Error Bars to Evals (arXiv 2411.00640), power analysis for paired differences.
    """
    share = (won + lost + 2) / (n + 2)  # as in paired_difference: never 0
    return float((Z + 0.841621) * np.sqrt(share / n))


def per_class(gold: Sequence[str], answers: Answers) -> list[dict[str, Any]]:
    """label, n (gold), precision, recall, f1 for each label in the gold or the answers; 0 where undefined."""
    from sklearn.metrics import precision_recall_fscore_support

    labels = sorted({*gold, *answers.predicted})
    columns = precision_recall_fscore_support(gold, answers.predicted, labels=labels, zero_division=0)
    rows = zip(labels, *(column.tolist() for column in columns), strict=True)
    return [{"label": name, "n": n, "precision": p, "recall": r, "f1": f} for name, p, r, f, n in rows]


def confusion(gold: Sequence[str], answers: Answers) -> dict[str, Any]:
    """labels, and matrix[i][j]: rows of gold label i that were answered j."""
    from sklearn.metrics import confusion_matrix

    labels = sorted({*gold, *answers.predicted})
    return {"labels": labels, "matrix": confusion_matrix(gold, answers.predicted, labels=labels).tolist()}


def _right(gold: Sequence[str], answers: Answers) -> Counts:
    right: Counts = (np.array(answers.predicted) == np.array(gold)).astype(np.float32)
    return right
