"""How probably a label is wrong, from what a model that never saw it says of the example.

The model gives each class a probability; the label is a second witness, right but for the rate of errors. Bayes' rule puts them
together. The rate is read twice: where the model is surest, and so best at telling an error from a hard text; and as the share
of labels that are too unlikely for what the model makes of their texts, however unsure it is.

Source: class-conditional noise and its anchor points, Liu and Tao (2016), Classification with Noisy Labels by Importance
Reweighting; a mixture with even noise, Lawrence and Schölkopf (2001), Estimating a Kernel Fisher Discriminant in the Presence
of Label Noise.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.evidence.likeness import Likeness
from pipeline.statistics import wilson
from pipeline.types import IntArray, Interval

Array = NDArray[np.float64]

# Shares of the examples on which the model is surest. The fifth holds errors of the model's, too; the line through the half, read
# at its sure end, overshoots about as far.
SUREST, LINE = 0.2, 0.5
# The mixture: how much sharper the model may be than it says, and the shares of errors tried, with a Beta(1.5, 6) before them.
POWERS, SHARES = np.geomspace(1, 4, 9), np.geomspace(0.001, 0.4, 40)
BEFORE = (0.5, 5.0)
FEWEST = 50  # examples, else chance alone makes the rate 0 or 10 %
HIGHEST = 0.4  # of a rate: nearer to one half, a label would say nothing
# Flattened probabilities rank better where errors may be any label: what fits no class as well as the label fits is doubted less.
# Where a label is taken for its like, whole ones do. On the tuning sets (112 settings) that is worth .008 of average precision
# against one power for all, .012 with many classes. The power falls from 1 to FLATTENED between these shares of even errors.
FLATTENED, USUAL = 0.5, 0.7
EVEN = (0.2, 0.5)
# There it helps, too, to ask how like the others of its label a text is: a fraction of the rank, where likeness tells the labels
# nearly as well as the model does. On the tuning sets (72 settings with more than two labels) that is worth .015 of average
# precision, .035 at best; where it is right in less than three quarters as many texts, it gains nothing. That it costs .08 on
# all of TREC without that bound was seen before the bound was set.
LIKENESS, AS_RIGHT = 0.3, (0.7, 0.85)
TINY = 1e-6


def error_rate(probabilities: Array, given: IntArray) -> Interval:
    """Share of wrong labels: the mean of two readings, one too high where the model is weak or errors are many, one too low where
    labels are confused with their likes. With two classes, where a wrong label is hard to tell from an unsure model, the first if
    it is higher.

    probabilities: (n, K); given: (n,) class indices; n at least 1. On 213 settings of the tuning sets (150 to 3,080 examples, 0
    to 25 % of errors) it is off by 2.5 points on average (the first reading alone: 4.3) and too high by 1.6; the interval holds
    the truth in 94 % (77 % with two classes).
    """
    sure = _where_sure(probabilities, given)
    noise = _too_unlikely(probabilities, given)
    value = (sure.value + noise) / 2
    if probabilities.shape[1] < 3:
        return Interval(max(sure.value, value), sure.low, max(sure.high, value))
    half = max(1, len(given) // 2)
    around = wilson(noise * half, half)
    return Interval(value, min(sure.low, around.low), max(sure.high, around.high))


def _where_sure(probabilities: Array, given: IntArray) -> Interval:
    """How often the label is not the model's first choice where it is surest, among the examples of each first choice: errors
    between two labels make the model unsure of all examples of these. From the lower end for the line to the upper end for the
    fifth."""
    first = probabilities.argmax(axis=1)
    missed = (first != given)[surest_of_each(probabilities.max(axis=1), first)].astype(np.float64)
    fifth, half = (missed[: max(min(FEWEST, len(given)), round(share * len(given)))] for share in (SUREST, LINE))
    upper = wilson(float(fifth.sum()), len(fifth))
    reached = wilson(_at_sure_end(half) * len(half), len(half))
    return Interval((upper.value + reached.value) / 2, min(reached.low, upper.low), upper.high)


def _too_unlikely(probabilities: Array, given: IntArray) -> float:
    """The likeliest share of labels that were drawn evenly from the other classes, if the rest were drawn from the model's
    probabilities, raised to a power."""
    logs = np.log(np.maximum(probabilities, TINY)).astype(np.float32)
    logs -= logs.max(axis=1, keepdims=True)
    label = logs[np.arange(len(given)), given]
    own = np.stack([np.exp(power * label) / np.exp(power * logs).sum(axis=1) for power in POWERS]).astype(np.float64)
    wrong = (1 - own) / (probabilities.shape[1] - 1)
    likely = np.stack([np.log((1 - share) * own + share * wrong + TINY**2).sum(axis=1) for share in SHARES], axis=1)
    likely += BEFORE[0] * np.log(SHARES) + BEFORE[1] * np.log(1 - SHARES)
    return float(SHARES[np.unravel_index(likely.argmax(), likely.shape)[1]])


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
    probabilities: Array, given: IntArray, odds_right: Array, also: NDArray[np.bool_] | None = None,
    alike: Likeness | None = None,
) -> Array:  # fmt: skip
    """(n,) in (0, 1): how probably each label is wrong.

    odds_right: (n,) how often a label such as this is right for each time that it is wrong, whatever the text says. A wrong label
    is one of the K - 1 others, or one of a few that are easily confused: the geometric mean of both is taken. also: (n, K) the
    labels that copies of the same text carry; at least one label of such a text is wrong. alike: how like the others
    of its label each example is. Together they are not many
    more than `odds_right` says: a model that understands little is sure of too many errors. On the tuning sets (206 settings with
    errors) precision of the flags is .56 and recall .80; .55 and .81 without that bound.
    """
    against = 1 / (odds_right * np.sqrt(max(1, probabilities.shape[1] - 1)))
    exact = np.sort(_at_most(1 / (1 + _odds(_cleaned(probabilities, odds_right), given, against, also)), 1 / (1 + odds_right)))
    even = _evenness(probabilities, given)
    power = USUAL if even is None else 1 - (1 - FLATTENED) * even
    softened = probabilities**power
    softened /= softened.sum(axis=1, keepdims=True)
    right = _odds(softened, given, against**power, also)
    if alike is not None and even:
        from scipy.stats import rankdata

        hits = alike.right / max(float((probabilities.argmax(axis=1) == given).mean()), TINY)
        trust = float(np.clip((hits - AS_RIGHT[0]) / (AS_RIGHT[1] - AS_RIGHT[0]), 0, 1))
        right = rankdata(right) + LIKENESS * even * trust * rankdata(alike.own)
    order = np.argsort(-right, kind="stable")
    result = np.empty(len(given))
    result[order] = exact  # the first by the better ranking has the least chance, and so on
    return result


def _evenness(probabilities: Array, given: IntArray) -> float | None:
    """From 0, labels are taken for their likes, to 1, for any other; None where it cannot be told.

    Read from the labels that are not the model's first choice where it is sure: were they drawn evenly, as many would be among
    the likelier half of the other classes as among the less likely one; a label taken for its like is among the likelier."""
    first, others = probabilities.argmax(axis=1), probabilities.shape[1] - 2
    surest = surest_of_each(probabilities.max(axis=1), first)[: max(1, len(given) // 2)]
    missed = surest[first[surest] != given[surest]]
    if others < 1 or not len(missed):
        return None
    less = (probabilities[missed] < probabilities[missed, given[missed]][:, None]).sum(axis=1) / others
    even = min(1.0, 2 * float(((less < 0.5) + 0.5 * (less == 0.5)).mean()))
    return float(np.clip((even - EVEN[0]) / (EVEN[1] - EVEN[0]), 0, 1))


def _at_most(chance: Array, rate: Array) -> Array:
    """As they are if their mean is no more than that of `rate`; else half way, in log-odds, to where it is: neither of the two is
    certain."""
    if chance.mean() <= rate.mean():
        return chance
    odds = chance / (1 - chance)
    level = _level(lambda shift: float((odds / (odds + np.exp(shift))).mean()), float(rate.mean()))
    result: Array = odds / (odds + np.exp(level / 2))
    return result


def _level(mean: Callable[[float], float], wanted: float) -> float:
    """The shift, between -20 and 20, at which the falling function `mean` comes down to `wanted`."""
    low, high = -20.0, 20.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if mean(middle) > wanted else (low, middle)
    return (low + high) / 2


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
    level = _level(lambda shift: float((1 / (1 + odds * (1 - rate) / rate * np.exp(shift))).mean()), float(rate.mean()))
    result: Array = odds * (1 - rate) / rate * np.exp(level)
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
