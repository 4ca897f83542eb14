"""Agreement beyond chance for any kind of answer: Krippendorff's alpha = 1 − observed distance / expected distance.

Observed is the mean distance of two annotators' answers to the same example, expected that of two answers taken from anywhere.
1 is perfect agreement, 0 is what chance would give, below 0 is systematic disagreement. Missing answers are allowed: an example
counts from two answers on. Source: Krippendorff, Content Analysis (2004), chapter 11; Hayes and Krippendorff (2007).

Intervals are percentile bootstraps over examples. Examples with the same numbers are drawn together, so that 100,000 examples of
five votes each cost as much as the few hundred patterns they come in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.types import IntArray, Interval

Array = NDArray[np.float64]

RESAMPLES = 1000  # Efron and Tibshirani (1993), chapter 13
MANY = 20_000  # distinct examples from which on FEW resamples do: the interval is narrow, and its ends are worth no more CPU
FEW = 200
CELLS = 20_000_000  # of weights held at once: 160 MB
EXPECTED_PAIRS = 20_000  # up to so many pairs of answers all are compared; of more, so many are drawn: 0.4 % of expected at most


@dataclass(frozen=True)
class Units:
    """What alpha needs of each example.

    within: (n,) the sum of the distances over ordered pairs of its answers, divided by (m − 1); 0 where m < 2. size: (n,) m, its
    answers, 0 where there are fewer than two. The distance to expect is a form over sums of `features` (n, F), v · form · v, over
    ordered pairs; or, where there is no form, is told by `pairs`: examples (p,), examples (p,) and distances (p,) of pairs of
    answers, all there are (`complete`) or a sample.
    """

    within: Array
    size: Array
    features: Array
    form: Array | None = None
    pairs: tuple[IntArray, IntArray, Array] | None = None
    complete: bool = True

    @property
    def n(self) -> int:
        """Examples that two annotators or more answered."""
        return int((self.size > 0).sum())


def from_counts(counts: NDArray[np.int64] | Array, distance: Array | None = None) -> Units:
    """counts: (n, K) how many annotators gave each of K answers. distance: (K, K), 0 on the diagonal; by default 1 elsewhere
    (nominal)."""
    form = 1.0 - np.eye(counts.shape[1]) if distance is None else distance
    held = counts.astype(np.float64)
    held[held.sum(1) < 2] = 0
    size = held.sum(1)
    within = ((held @ form) * held).sum(1) / np.maximum(size - 1, 1)
    return Units(within, size, held, form)


def from_numbers(example: IntArray, values: Array, n: int) -> Units:
    """Squared differences (interval) of the numbers `values` (v,), given to the examples `example` (v,) of 0 to n − 1.

    Σ (x − y)² over ordered pairs of m numbers is 2 (m Σx² − (Σx)²): three sums per example are enough."""
    values = values - values.mean() if len(values) else values  # the sums of squares of far numbers would lose digits
    held = np.stack([sums(example, values**power, n) for power in (0, 1, 2)], axis=1)
    held[held[:, 0] < 2] = 0
    size, total, squares = held.T
    within = np.maximum(2 * (size * squares - total**2), 0) / np.maximum(size - 1, 1)
    return Units(within, size, held, np.array([[0.0, 0, 1], [0, -2, 0], [1, 0, 0]]))


def from_ranks(example: IntArray, values: Array, n: int) -> Units:
    """Krippendorff's ordinal distance: squared differences of the midranks of the answers that have a second one beside them.

    The resamples of the interval keep these ranks."""
    from scipy.stats import rankdata

    paired = np.bincount(example, minlength=n)[example] >= 2
    ranks = rankdata(values[paired]) if paired.any() else np.zeros(0)
    return from_numbers(example[paired], ranks, n)


def from_answers(
    example: IntArray, left: IntArray, distance: Array, far: Callable[[int, int], float], *, n: int, seed: int
) -> Units:
    """Any distance. example: (v,) of each answer, 0 to n − 1. left: (p,) one of the two answers of each pair within an example,
    all such pairs, and their `distance` (p,). far: the distance of any two answers, by their numbers."""
    size = np.bincount(example, minlength=n).astype(np.float64)
    size[size < 2] = 0
    within = 2 * np.bincount(example[left], distance, n) / np.maximum(size - 1, 1)
    there = np.flatnonzero(size[example])
    one, other, complete = _pairs(len(there), seed)
    one, other = there[one], there[other]
    apart = np.array([far(int(a), int(b)) for a, b in zip(one, other, strict=True)], np.float64)
    return Units(within, size, np.zeros((n, 0)), None, (example[one], example[other], apart), complete)


def _pairs(n: int, seed: int) -> tuple[IntArray, IntArray, bool]:
    """All pairs of n things, or EXPECTED_PAIRS drawn with replacement."""
    if n * (n - 1) // 2 <= EXPECTED_PAIRS:
        one, other = np.triu_indices(n, 1)
        return one.astype(np.int64), other.astype(np.int64), True
    random = np.random.default_rng([seed, n])
    one = random.integers(0, n, EXPECTED_PAIRS)
    other = (one + random.integers(1, n, EXPECTED_PAIRS)) % n
    return one, other, False


def alpha(units: Units) -> float:
    """NaN if no example has two answers, or if all answers are the same."""
    return float(_alphas(units, np.ones((1, len(units.size))))[0])


def expected(units: Units, weights: Array | None = None) -> Array:
    """The mean distance of two answers taken from anywhere, for each row of example weights (b, n)."""
    weights = np.ones((1, len(units.size))) if weights is None else weights
    total = weights @ units.size
    with np.errstate(invalid="ignore", divide="ignore"):
        if units.pairs is None:
            sums = weights @ units.features
            assert units.form is not None
            mean: Array = ((sums @ units.form) * sums).sum(1) / (total * (total - 1))
            return mean
        one, other, apart = units.pairs
        both = weights[:, one] * weights[:, other]
        mean = (2 * both @ apart) / (total * (total - 1)) if units.complete else (both @ apart) / both.sum(1)
    return mean


def _alphas(units: Units, weights: Array) -> Array:
    chance = expected(units, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Array = np.where(chance > 0, 1 - (weights @ units.within) / (weights @ units.size) / chance, np.nan)
    return result


def interval(units: Units | Sequence[Units], *, seed: int, level: float = 0.95) -> Interval | None:
    """Alpha with its bootstrap interval; of several units (the dimensions of the same examples) their mean. None where it is not
    defined for any of them."""
    listed = [units] if isinstance(units, Units) else list(units)
    listed = [one for one in listed if not np.isnan(alpha(one))]
    if not listed:
        return None

    def mean(kept: Sequence[Units], weights: Array) -> Array:
        draws: Array = np.mean([_alphas(one, weights) for one in kept], axis=0)
        return draws

    if all(one.pairs is None for one in listed):
        listed, frequency = _patterns(listed)
    else:
        frequency = np.ones(len(listed[0].size))
    value = float(mean(listed, frequency[None])[0])
    draws = bootstrap(lambda weights: mean(listed, weights), frequency, seed=seed)
    low, high = _ends(draws, level)
    return Interval(value, low, high, level)


def _patterns(listed: Sequence[Units]) -> tuple[list[Units], Array]:
    """The distinct examples, and how often each occurs."""
    columns = [np.column_stack([one.within, one.size, one.features]) for one in listed]
    rows, frequency = np.unique(np.concatenate(columns, axis=1), axis=0, return_counts=True)
    parts = np.split(rows, np.cumsum([part.shape[1] for part in columns])[:-1], axis=1)
    made = [Units(part[:, 0], part[:, 1], part[:, 2:], one.form) for part, one in zip(parts, listed, strict=True)]
    return made, frequency.astype(np.float64)


def bootstrap(statistic: Callable[[Array], Array], frequency: Array, *, seed: int) -> Array:
    """`statistic` (b, n) → (b,) of example weights drawn from rows that occur `frequency` (n,) times."""
    random = np.random.default_rng(seed)
    total = int(frequency.sum())
    resamples = RESAMPLES if len(frequency) <= MANY else FEW
    chunk = max(1, min(resamples, CELLS // max(len(frequency), EXPECTED_PAIRS)))
    sizes = [min(chunk, resamples - start) for start in range(0, resamples, chunk)]
    return np.concatenate(
        [statistic(random.multinomial(total, frequency / total, size=size).astype(np.float64)) for size in sizes]
    )


def sums(example: IntArray, values: Array, n: int) -> Array:
    """(n,) of `values` (p,) by example."""
    total: Array = np.bincount(example, values, n).astype(np.float64)
    return total


def ratio(above: Array, below: Array, *, seed: int, level: float = 0.95) -> Interval | None:
    """Σ above / Σ below over examples (n,), with its bootstrap interval; None if nothing is below."""
    if not below.sum() > 0:
        return None
    rows, frequency = np.unique(np.column_stack([above, below]), axis=0, return_counts=True)

    def share(weights: Array) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            result: Array = (weights @ rows[:, 0]) / (weights @ rows[:, 1])
        return result

    low, high = _ends(bootstrap(share, frequency.astype(np.float64), seed=seed), level)
    return Interval(float(above.sum() / below.sum()), low, high, level)


def _ends(draws: Array, level: float) -> tuple[float, float]:
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
