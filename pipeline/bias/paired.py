"""Do two groups of annotators answer the same examples differently?

Only answers to an example that both groups answered are held against each other, so that neither the mix of examples nor how
hard they are looks like a difference between people.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Difference:
    """value: (K,) how much higher the group's answers are than the others' on the same examples. people_error, freedom: (K,)
    standard error over annotators and its degrees of freedom: what other people of these groups would say. text_error: (K,) over
    examples: what these same people would say of other texts. inside, outside: annotators of either side who share examples
    with the other; examples: how many they share."""

    value: Array
    people_error: Array
    freedom: Array
    text_error: Array
    inside: int
    outside: int
    examples: int

    def interval(self, level: float = 0.95) -> tuple[Array, Array]:
        """Student's, over annotators; NaN with a single annotator on a side."""
        from scipy.stats import t

        half = t.ppf(0.5 + level / 2, self.freedom) * self.people_error
        return self.value - half, self.value + half

    def text_interval(self, level: float = 0.95) -> tuple[Array, Array]:
        from scipy.special import ndtri

        half = float(ndtri(0.5 + level / 2)) * self.text_error
        return self.value - half, self.value + half

    def p(self) -> Array:
        """Two-sided, over annotators; 1 where it is not defined."""
        return _p(self.value, self.people_error, self.freedom)

    def text_p(self) -> Array:
        return _p(self.value, self.text_error, np.full_like(self.value, np.inf))


def _p(value: Array, error: Array, freedom: Array) -> Array:
    from scipy.stats import t

    known = (error > 1e-12) & (freedom > 0)
    ratio = np.where(known, np.abs(value) / np.where(known, error, 1.0), 0.0)
    result: Array = np.where(known, 2 * t.sf(ratio, np.where(known, freedom, 1.0)), 1.0)
    return result


def difference(example: Index, annotator: Index, values: Array, member: Mask, within: Mask | None = None) -> Difference | None:
    """The difference of two groups of annotators over the examples that both answered, each example weighted by n_in · n_out /
    (n_in + n_out) as Mantel and Haenszel do: `statistics.stratified_excess` with the example as the stratum, or a regression with
    an effect for each example. None if they share none.

    example, annotator: (v,) from 0, no pair twice. values: (v, K) what was answered. member: (people,) who is in the group,
    against the rest. within: (examples,) if given, the difference of the difference: in these examples less in the others.

    The errors are of a jackknife that leaves out an annotator (or an example) at a time; with every annotator on every example
    it is Welch's t test on the annotators' means. A bootstrap over annotators is too narrow with few of them: see how often
    either holds the truth with 3 against 3 in tests/benchmarks/measured/bias.py.
    Source: Bell and McCaffrey (2002); MacKinnon, Nielsen and Webb (2023); degrees of freedom: Welch (1947).
    """
    keep = _shared(example, member[annotator])
    if not keep.any():
        return None
    _, row = np.unique(example[keep], return_inverse=True)
    people, who = np.unique(annotator[keep], return_inverse=True)
    side = np.asarray(member[people], bool)
    inner = None if within is None else np.asarray(within[np.unique(example[keep])], bool)
    parts = _Parts(row.astype(np.int64), who.astype(np.int64), values[keep], side, inner)
    value = parts.estimate()
    if np.isnan(value).all():
        return None
    people_error, freedom = _by_side(parts.without_person(), side)
    return Difference(
        value, people_error, freedom, _jackknife(parts.without_example()), int(side.sum()), int((~side).sum()), int(row.max()) + 1
    )


def _shared(example: Index, inside: Mask) -> Mask:
    """Answers to examples that both sides answered."""
    size = int(example.max(initial=-1)) + 1
    a, b = (np.bincount(example[mask], minlength=size) > 0 for mask in (inside, ~inside))
    both: Mask = (a & b)[example]
    return both


@dataclass(frozen=True)
class _Parts:
    """An estimate is top.sum() / bottom.sum() over examples, with top = Σ x·y − Σx·Σy / n and bottom = Σx − (Σx)² / n of each
    example (x: 1 for the group), so that leaving something out only changes a few terms."""

    row: Index
    who: Index
    values: Array
    side: Mask
    within: Mask | None

    def _terms(self) -> tuple[Array, ...]:
        n, x = len(np.unique(self.row)), self.side[self.who].astype(np.float64)
        size, own = np.bincount(self.row, minlength=n), np.bincount(self.row, x, minlength=n)
        total, product = np.zeros((2, n, self.values.shape[1]))
        np.add.at(total, self.row, self.values)
        np.add.at(product, self.row, x[:, None] * self.values)
        return x, size.astype(np.float64), own.astype(np.float64), total, product

    def _parts(self) -> list[Mask]:
        """Which examples count: all, or first those within and then the others."""
        n = int(self.row.max()) + 1
        return [np.ones(n, bool)] if self.within is None else [self.within, ~self.within]

    def _over(self, sums: Callable[[Mask], tuple[Array, Array]]) -> Array:
        """top / bottom of each part; the second is taken from the first."""
        found = []
        for part in self._parts():
            top, bottom = sums(part)
            with np.errstate(invalid="ignore", divide="ignore"):
                found.append(np.where(bottom[..., None] > 1e-9, top / bottom[..., None], np.nan))
        return found[0] if len(found) == 1 else found[0] - found[1]

    def _by_example(self) -> tuple[Array, Array]:
        _, size, own, total, product = self._terms()
        return product - own[:, None] * total / size[:, None], own - own**2 / size

    def estimate(self) -> Array:
        top, bottom = self._by_example()
        return self._over(lambda part: (top[part].sum(axis=0), np.asarray(bottom[part].sum())))

    def without_example(self) -> Array:
        """(examples, K), each without one of them."""
        top, bottom = self._by_example()
        return self._over(
            lambda part: (
                top[part].sum(axis=0) - np.where(part[:, None], top, 0), bottom[part].sum() - np.where(part, bottom, 0)
            )
        )  # fmt: skip

    def without_person(self) -> Array:
        """(people, K), each without one of them."""
        x, size, own, total, product = self._terms()
        top, bottom = self._by_example()
        row, left = self.row, np.maximum(size[self.row] - 1, 1)
        own_left = own[row] - x
        less_top = product[row] - x[:, None] * self.values - own_left[:, None] * (total[row] - self.values) / left[:, None]
        less_bottom = own_left - own_left**2 / left

        def sums(part: Mask) -> tuple[Array, Array]:
            use, people = part[row], len(self.side)
            change = np.zeros((people, self.values.shape[1]))
            np.add.at(change, self.who[use], (less_top - top[row])[use])
            fall = np.bincount(self.who[use], (less_bottom - bottom[row])[use], minlength=people)
            return top[part].sum(axis=0) + change, bottom[part].sum() + fall

        return self._over(sums)


def _by_side(without: Array, side: Mask) -> tuple[Array, Array]:
    """(standard error, degrees of freedom) from the two sides' jackknives, as of two samples with variances of their own."""
    parts, sizes = [], []
    for mask in (side, ~side):
        kept = without[mask]
        m = len(kept)
        parts.append((m - 1) / m * ((kept - kept.mean(axis=0)) ** 2).sum(axis=0) if m > 1 else np.full(without.shape[1], np.nan))
        sizes.append(m)
    total = parts[0] + parts[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = total**2 / sum(part**2 / max(m - 1, 1) for part, m in zip(parts, sizes, strict=True))
    return np.sqrt(total), np.where(np.isfinite(freedom), np.maximum(freedom, 1.0), 0.0)


def _jackknife(without: Array) -> Array:
    kept = without[np.isfinite(without).all(axis=1)]
    m = len(kept)
    if m < 2:
        return np.full(without.shape[1], np.nan)
    result: Array = np.sqrt((m - 1) / m * ((kept - kept.mean(axis=0)) ** 2).sum(axis=0))
    return result
