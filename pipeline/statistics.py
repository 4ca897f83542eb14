"""The few statistics that several stages share: an interval for a rate, an interval for anything, corrected p-values.

Everything here is deterministic: the bootstrap draws from the seed it is given.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.types import Interval

Array = NDArray[np.float64]


def wilson(successes: float, n: int, level: float = 0.95) -> Interval:
    """The rate successes / n with Wilson's score interval, inside [0, 1] also at 0 and n.

    `successes` may be a sum of probabilities. ValueError if n < 1 or successes is not within [0, n].
    Source: Wilson (1927); recommended for all n by Brown, Cai and DasGupta (2001).
    """
    low, high = wilson_bounds([successes], [n], level)
    return Interval(float(successes / n), float(low[0]), float(high[0]), level)


def difference_of_shares(hits: float, n: int, other_hits: float, other_n: int, level: float = 0.95) -> Interval:
    """hits / n − other_hits / other_n, in [-1, 1], with Newcombe's interval from the two Wilson intervals. ValueError if one of
    the groups is empty.

    Source: Newcombe (1998), method 10.
    """
    a, b = wilson(hits, n, level), wilson(other_hits, other_n, level)
    value = a.value - b.value
    low = value - float(np.hypot(a.value - a.low, b.high - b.value))
    high = value + float(np.hypot(a.high - a.value, b.value - b.low))
    return Interval(value, low, high, level)


def wilson_bounds(successes: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[Array, Array]:
    """Wilson's (low, high) for arrays of counts; see `wilson`."""
    from scipy.special import ndtri

    hits, size = np.asarray(successes, np.float64), np.asarray(n, np.float64)
    if (size < 1).any() or (hits < -1e-9).any() or (hits > size * (1 + 1e-9)).any():
        raise ValueError("a rate needs n of at least 1 and 0 ≤ successes ≤ n")
    rate, square = np.clip(hits / size, 0.0, 1.0), float(ndtri(0.5 + level / 2)) ** 2
    centre = (rate + square / (2 * size)) / (1 + square / size)
    half = np.sqrt(square * (rate * (1 - rate) / size + square / (4 * size**2))) / (1 + square / size)
    return np.minimum(np.clip(centre - half, 0, 1), rate), np.maximum(np.clip(centre + half, 0, 1), rate)


def holm(p: ArrayLike, tests: int | None = None) -> Array:
    """Holm's adjusted p-values, in the order given: at most `level` of all families report any false one.

    `tests` is the size of the family where only its smallest p-values are given (the others count as 1).
    Source: Holm (1979).
    """
    values, order, size = _ordered(p, tests)
    stepped = values[order] * (size - np.arange(len(order)))
    return _restore(np.maximum.accumulate(np.minimum(stepped, 1.0)), order)


def benjamini_hochberg(p: ArrayLike, tests: int | None = None) -> Array:
    """Adjusted p-values (q-values), in the order given: on average at most `level` of the reported are false.

    `tests` as in `holm`. Source: Benjamini and Hochberg (1995).
    """
    values, order, size = _ordered(p, tests)
    stepped = values[order] * size / np.arange(1, len(order) + 1)
    return _restore(np.minimum(np.minimum.accumulate(stepped[::-1])[::-1], 1.0), order)


def _ordered(p: ArrayLike, tests: int | None) -> tuple[Array, NDArray[np.int64], int]:
    values = np.asarray(p, np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError("p-values are a list of numbers in [0, 1]")
    if tests is not None and tests < len(values):
        raise ValueError(f"a family of {tests} tests cannot have {len(values)} p-values")
    return values, np.argsort(values, kind="stable"), len(values) if tests is None else tests


def _restore(adjusted: Array, order: NDArray[np.int64]) -> Array:
    result = np.empty_like(adjusted)
    result[order] = adjusted
    return result


def cohens_h(a: ArrayLike, b: ArrayLike) -> Array:
    """How far rate `a` lies above rate `b`, in [-π, π]; 0 is no difference. The same number of points counts for more
    near 0 and 1. By convention 0.2 is small, 0.5 medium, 0.8 large. Source: Cohen (1988), chapter 6."""
    first, second = (np.arcsin(np.sqrt(np.clip(np.asarray(x, np.float64), 0, 1))) for x in (a, b))
    result: Array = 2 * first - 2 * second
    return result


def cramers_v(counts: ArrayLike) -> tuple[float, float]:
    """(Cramér's V, p of the chi-squared test) of a table of counts (rows, columns).

    V is in [0, 1], 0 without association, with bias correction: the plain V of independent variables is above 0, the
    more so the smaller the counts. (0, 1) if fewer than two rows or columns are in use. Source: Bergsma (2013).
    """
    from scipy.stats import chi2

    table = np.asarray(counts, np.float64)
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    n, (rows, columns) = table.sum(), table.shape
    if min(rows, columns) < 2:
        return 0.0, 1.0
    expected = np.outer(table.sum(1), table.sum(0)) / n
    statistic, freedom = float(((table - expected) ** 2 / expected).sum()), (rows - 1) * (columns - 1)
    excess = max(0.0, statistic / n - freedom / (n - 1))
    width = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    v = min(1.0, (excess / width) ** 0.5) if width > 0 else 0.0
    return float(v), float(chi2.sf(statistic, freedom))


def more_often(hits: ArrayLike, n: ArrayLike, other_hits: ArrayLike, other_n: ArrayLike) -> Array:
    """p that hits / n lies above other_hits / other_n by chance alone: Fisher's exact test, one-sided, for arrays."""
    from scipy.stats import hypergeom

    a, size, b, other = (np.asarray(x, np.int64) for x in (hits, n, other_hits, other_n))
    result: Array = np.clip(hypergeom.sf(a - 1, size + other, a + b, size), 0.0, 1.0)
    return result


def differs(hits: ArrayLike, n: ArrayLike, other_hits: ArrayLike, other_n: ArrayLike) -> Array:
    """p that two rates differ by chance alone: Fisher's exact test, two-sided (twice the smaller side), for arrays."""
    a, size, b, other = (np.asarray(x, np.int64) for x in (hits, n, other_hits, other_n))
    smaller = np.minimum(more_often(a, size, b, other), more_often(b, other, a, size))
    result: Array = np.minimum(1.0, 2 * smaller)
    return result


def risk_ratio(
    hits: ArrayLike, n: ArrayLike, other_hits: ArrayLike, other_n: ArrayLike, level: float = 0.95
) -> tuple[Array, Array, Array]:
    """(hits / n) / (other_hits / other_n) and the ends of its interval, for arrays; half an example is added to each count so
    that 0 has an interval, too. Source: Katz et al. (1978); the half: Walter (1975)."""
    from scipy.special import ndtri

    a, size, b, other = (np.asarray(x, np.float64) + 0.5 for x in (hits, n, other_hits, other_n))
    ratio = (a / size) / (b / other)
    half = float(ndtri(0.5 + level / 2)) * np.sqrt(np.maximum(1 / a - 1 / size + 1 / b - 1 / other, 0))
    return ratio, ratio * np.exp(-half), ratio * np.exp(half)


def rank_association(values: ArrayLike, group: NDArray[np.int64]) -> tuple[Interval, float]:
    """(ε², p of the Kruskal–Wallis test): how far the group says whether a value is high or low, whatever its scale.

    values: (n,); group: (n,). ε² is in [0, 1], 0 without association, corrected so that chance alone gives 0 on average. By
    convention .01 is small, .06 medium, .14 large. (0, 1) if all values are equal or there is one group.
    Source: Kruskal and Wallis (1952); Tomczak and Tomczak (2014), there as η² of H.
    """
    from scipy.stats import chi2, rankdata

    x = np.asarray(values, np.float64)
    _, place, size = np.unique(group, return_inverse=True, return_counts=True)
    n, groups = len(x), len(size)
    if groups < 2 or n <= groups or (x == x[0]).all():
        return Interval(0.0, 0.0, 0.0), 1.0
    ranks = rankdata(x)
    means = np.bincount(place, ranks) / size
    between = float((size * (means - (n + 1) / 2) ** 2).sum())
    statistic = between * (n - 1) / float(((ranks - (n + 1) / 2) ** 2).sum())  # tie-corrected
    value = max(0.0, (statistic - groups + 1) / (n - groups))
    low, high = (min(1.0, end / (n - groups)) for end in _noncentrality(statistic, groups - 1))
    return Interval(value, min(low, value), max(high, value)), float(chi2.sf(statistic, groups - 1))


def cramers_v_interval(counts: ArrayLike) -> Interval:
    """Cramér's V (see `cramers_v`) with its 95 % interval. Source: Smithson, Confidence Intervals (2003), chapter 4."""
    value, _ = cramers_v(counts)
    table = np.asarray(counts, np.float64)
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    n, (rows, columns) = float(table.sum()), table.shape
    if min(rows, columns) < 2:
        return Interval(0.0, 0.0, 0.0)
    expected = np.outer(table.sum(1), table.sum(0)) / n
    freedom = (rows - 1) * (columns - 1)
    ends = _noncentrality(float(((table - expected) ** 2 / expected).sum()), freedom)
    low, high = (min(1.0, (end / (n * (min(rows, columns) - 1))) ** 0.5) for end in ends)
    return Interval(value, min(low, value), max(high, value))


def _noncentrality(statistic: float, freedom: int) -> tuple[float, float]:
    """The 95 % interval of the noncentrality of a chi-squared statistic."""
    from scipy.special import chndtrinc
    from scipy.stats import chi2

    ends = []
    for share in (0.975, 0.025):
        inside = chi2.cdf(statistic, freedom) > share  # else even no association at all would give more more often
        end = float(chndtrinc(statistic, freedom, share)) if inside else 0.0
        ends.append(end if np.isfinite(end) else statistic)
    return ends[0], ends[1]


def stratified_excess(
    values: Array, stratum: NDArray[np.int64], group: NDArray[np.int64], groups: int
) -> tuple[Array, Array]:
    """How much larger `values` are inside a group than outside it, among rows of the same stratum.

    values: (n, K). stratum, group: (n,), group from 0 to groups - 1. Returns (difference of means (groups, K), weighted as
    Mantel and Haenszel do; z (groups, K)). NaN where a group shares no stratum with the others. z takes the larger of two
    variances: under exchange of rows within a stratum, and with a variance of its own inside and outside (Welch), as where
    a group is harder to label for everybody. The normal approximation wants some ten rows a group.
    Source: Mantel (1963); as a measure of differential item functioning: Dorans and Holland (1993).
    """
    _, level = np.unique(stratum, return_inverse=True)
    shape = (groups, int(level.max(initial=-1)) + 1)
    inside, (sums, squares) = np.zeros(shape), np.zeros((2, *shape, values.shape[1]))
    np.add.at(inside, (group, level), 1.0)
    np.add.at(sums, (group, level), values)
    np.add.at(squares, (group, level), values**2)
    size, total, square = inside.sum(0), sums.sum(0), squares.sum(0)
    outside = size - inside
    weight = inside * outside / np.maximum(size, 1)
    excess = sums.sum(1) - inside @ (total / np.maximum(size, 1)[:, None])
    own = _variance(sums, squares, inside) / np.maximum(inside, 1)[..., None]
    rest = _variance(total - sums, square - squares, outside) / np.maximum(outside, 1)[..., None]
    apart = np.einsum("gl,glk->gk", weight**2, own + rest)
    variance = np.maximum(weight @ _variance(total, square, size), apart)
    with np.errstate(invalid="ignore", divide="ignore"):
        difference: Array = np.where(weight.sum(1) > 0, excess.T / weight.sum(1), np.nan).T
        z: Array = np.where(variance > 1e-12, excess / np.sqrt(variance), np.nan)
    return difference, z


def _variance(sums: Array, squares: Array, n: Array) -> Array:
    """Sample variances from sums (…, K) and sums of squares over n (…) rows; 0 for a single row."""
    n = n[..., None]
    result: Array = np.where(n > 1, np.maximum(squares - sums**2 / np.maximum(n, 1), 0) / np.maximum(n - 1, 1), 0.0)
    return result


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float], n: int, *, seed: int, resamples: int = 1000, level: float = 0.95
) -> Interval:
    """`statistic` of all rows with its percentile interval over `resamples` draws of n rows with replacement.

    `statistic` takes row numbers (n,) and may give NaN for a draw in which it is not defined; such draws are left out.
    ValueError if n < 1, or if it is not defined for all rows. 1000 resamples: Efron and Tibshirani (1993), chapter 13.
    """
    if n < 1:
        raise ValueError("a bootstrap needs at least one row")
    value = float(statistic(np.arange(n)))
    if np.isnan(value):
        raise ValueError("the statistic is not defined for these rows")
    random = np.random.default_rng(seed)
    draws = np.array([statistic(random.integers(0, n, n)) for _ in range(resamples)], np.float64)
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), level)
