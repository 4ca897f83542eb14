"""How probably a label is wrong, from what a model that never saw it says of the example.

The model gives each class a probability; the label is a second witness, right but for the rate of errors. Bayes' rule puts them
together. The rate is read where the model is surest, and so best at telling an error from a hard text.

Source: class-conditional noise and its anchor points, Liu and Tao (2016), Classification with Noisy Labels by Importance
Reweighting.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.statistics import wilson
from pipeline.types import IntArray, Interval

Array = NDArray[np.float64]

# Shares of the examples on which the model is surest. The fifth holds errors of the model's, too; the line through the half, read
# at its sure end, overshoots about as far. On the tuning sets (see `probabilities`) with 0 to 20 % of errors the mean of both is
# 2 points too high on average, from 1 too low (TREC) to 7 too high (irony, of which the model understands little).
SUREST, LINE = 0.2, 0.5
FEWEST = 50  # examples, else chance alone makes the rate 0 or 10 %
HIGHEST = 0.4  # of a rate: nearer to one half, a label would say nothing
# Flattened probabilities rank better than these: what fits no class as well as the label fits is doubted less. On the
# tuning sets with many classes the worst loss against five-fold logistic regression falls from 9 to 6 %, the mean stays.
SOFTENED = 0.7
TINY = 1e-6


def error_rate(probabilities: Array, given: IntArray) -> Interval:
    """Share of wrong labels: how often the label is not the model's first choice where it is surest, among the examples of each
    first choice: errors between two labels make the model unsure of all examples of these.

    probabilities: (n, K); given: (n,) class indices; n at least 1. Too high where the model errs even there; too low where people
    err most on hard texts. The interval reaches from the lower end for the line to the upper end for the fifth.
    """
    first = probabilities.argmax(axis=1)
    missed = (first != given)[surest_of_each(probabilities.max(axis=1), first)].astype(np.float64)
    fifth, half = (missed[: max(min(FEWEST, len(given)), round(share * len(given)))] for share in (SUREST, LINE))
    upper = wilson(float(fifth.sum()), len(fifth))
    reached = wilson(_at_sure_end(half) * len(half), len(half))
    return Interval((upper.value + reached.value) / 2, min(reached.low, upper.low), upper.high)


def surest_of_each(sure: Array, first: IntArray) -> IntArray:
    """(n,) rows, ordered by their place among those of the same first choice, surest first, as a share of these."""
    order = np.lexsort((-sure, first))
    sizes = np.bincount(first)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    place = np.empty(len(sure))
    place[order] = (np.arange(len(sure)) - starts[first[order]] + 0.5) / sizes[first[order]]
    result: IntArray = np.lexsort((-sure, place)).astype(np.int64)
    return result


def _at_sure_end(missed: Array) -> float:
    """Where the least-squares line through `missed`, surest first, begins; their mean if it falls. In [0, 1]."""
    place = np.arange(len(missed)) - (len(missed) - 1) / 2
    slope = float(place @ missed) / max(float(place @ place), 1.0)
    return float(np.clip(missed.mean() - max(slope, 0.0) * (len(missed) - 1) / 2, 0, 1))


def chance_wrong(
    probabilities: Array, given: IntArray, odds_right: Array, also: NDArray[np.bool_] | None = None
) -> Array:
    """(n,) in (0, 1): how probably each label is wrong.

    odds_right: (n,) how often a label such as this is right for each time that it is wrong, whatever the text says. A wrong label
    is one of the K - 1 others, or one of a few that are easily confused: the geometric mean of both is taken. also: (n, K) the
    labels that copies of the same text carry; at least one label of such a text is wrong.
    """
    against = 1 / (odds_right * np.sqrt(max(1, probabilities.shape[1] - 1)))
    exact = np.sort(1 / (1 + _odds(_cleaned(probabilities, odds_right), given, against, also)))
    softened = probabilities**SOFTENED
    softened /= softened.sum(axis=1, keepdims=True)
    order = np.argsort(-_odds(softened, given, against**SOFTENED, also), kind="stable")
    result = np.empty(len(given))
    result[order] = exact  # the first by the better ranking has the least chance, and so on
    return result


def _cleaned(probabilities: Array, odds_right: Array) -> Array:
    """Of the true class, where `probabilities` are of the label: those hold the usual share of errors already. A tenth of what it
    was is left of each, so that the order stays."""
    rate = min(float((1 / (1 + odds_right)).mean()), HIGHEST)
    error = rate / (probabilities.shape[1] - 1)
    result = np.maximum((probabilities - error) / (1 - rate - error), 0.1 * probabilities)
    result /= result.sum(axis=1, keepdims=True)
    return result


def _odds(probabilities: Array, given: IntArray, against: Array, also: NDArray[np.bool_] | None) -> Array:
    """Odds that the label is right: its probability to that of the labels of the copies, which have a witness each, and of all
    the rest, which have none."""
    rows = np.arange(len(given))
    own = np.clip(probabilities[rows, given], TINY, 1 - TINY)
    rival = np.zeros(len(given))
    if also is not None:
        others = also.copy()
        others[rows, given] = False
        rival = np.minimum((probabilities * others).sum(axis=1), 1 - own)
    result: Array = own / (rival + against * (1 - own - rival) + TINY**2)
    return result


def odds_of_consensus(confidence: Array, rate: Array, weight: float, sure: float) -> Array:
    """(n,) odds that a label is right before the text is read: those of the error `rate` (n,), shifted by the confidence of the
    annotators' consensus (n,; NaN: no more known than of the usual one), counted by `weight` and up to `sure`.

    Only differences of confidence count: if all are too high by as much, nothing changes.
    """
    known = np.isfinite(confidence)
    if not known.any():
        return (1 - rate) / rate
    believed = np.clip(np.where(known, confidence, 0.5), 1 - sure, sure)
    shift = np.log(believed / (1 - believed))
    shift = weight * np.where(known, shift - shift[known].mean(), 0.0)
    odds = np.exp(shift)
    low, high = -20.0, 20.0
    for _ in range(50):  # the level at which as many are wrong as the rate says
        middle = (low + high) / 2
        wrong = (1 / (1 + odds * (1 - rate) / rate * np.exp(middle))).mean()
        low, high = (middle, high) if wrong > rate.mean() else (low, middle)
    result: Array = odds * (1 - rate) / rate * np.exp((low + high) / 2)
    return result


def worth_a_look(chance: Array, precision: float, least: float) -> NDArray[np.bool_]:
    """(n,) the longest list of the most doubted labels of which at least the share `precision` is expected to be wrong, and none
    with a chance below `least`."""
    order = np.argsort(-chance, kind="stable")
    expected = np.cumsum(chance[order]) / np.arange(1, len(chance) + 1)
    chosen = np.zeros(len(chance), bool)
    chosen[order] = (expected >= precision) & (chance[order] >= least)
    return chosen


def bounded(rate: float, n: int) -> float:
    """Never 0, where no label could be doubted, nor near one half, where none could be believed."""
    return float(np.clip(rate, 1 / (2 * n), HIGHEST))
