"""Do two groups of annotators answer the same examples differently?

Only answers to an example that both groups answered are held against each other, so that neither the mix of examples nor how
hard they are looks like a difference between people.
"""

from __future__ import annotations

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


def difference(example: Index, annotator: Index, values: Array, member: Mask) -> Difference | None:
    """The difference of two groups of annotators over the examples that both answered, each example weighted by n_in · n_out /
    (n_in + n_out) as Mantel and Haenszel do: `statistics.stratified_excess` with the example as the stratum, or a regression with
    an effect for each example. None if they share none.

    example, annotator: (v,) from 0, no pair twice. values: (v, K) what was answered. member: (people,) who is in the group,
    against the rest.

    The errors are of a jackknife that leaves out an annotator (or an example) at a time; with every annotator on every example
    it is Welch's t test on the annotators' means. A bootstrap over annotators is too narrow with few of them: see how often
    either holds the truth with 3 against 3 in tests/benchmarks/measured/bias.py.
    Source: Bell and McCaffrey (2002); MacKinnon, Nielsen and Webb (2023); degrees of freedom: Welch (1947).
    """
    parts = shared(example, annotator, values, member)
    return None if parts is None else difference_of(parts)


def difference_of(parts: Shared) -> Difference | None:
    """As `difference`, of its parts."""
    return _told(parts, [np.ones(len(parts.example), bool)])


def difference_within(parts: Shared, inside: Mask, outside: Mask) -> Difference | None:
    """The difference of the difference: over the examples `inside` less over those `outside`, both (examples,) in the numbers
    that `shared` was given. None if either holds no example that both groups answered."""
    masks = [np.asarray(mask[parts.example], bool) for mask in (inside, outside)]
    return _told(parts, masks) if all(mask.any() for mask in masks) else None


@dataclass(frozen=True)
class Shared:
    """Answers to the n examples that both sides answered. The difference is top.sum() / bottom.sum() over examples, with top =
    Σ x·y − Σx·Σy / m and bottom = Σx − (Σx)² / m of each example (x: 1 for the group, m answers); leaving a person out changes
    only the terms of the examples that they answered.

    example: (n,) the number given. row, who: (v,) from 0. side: (people,). top: (n, K), bottom: (n,). less_top: (v, K),
    less_bottom: (v,) by what the terms of the answer's example change without it.
    """

    example: Index
    row: Index
    who: Index
    side: Mask
    top: Array
    bottom: Array
    less_top: Array
    less_bottom: Array


def shared(example: Index, annotator: Index, values: Array, member: Mask) -> Shared | None:
    """The parts of `difference`, for several questions about the same two groups; None if they share no example."""
    size = int(example.max(initial=-1)) + 1
    a, b = (np.bincount(example[mask], minlength=size) > 0 for mask in (member[annotator], ~member[annotator]))
    keep = (a & b)[example]
    if not keep.any():
        return None
    numbers, row = np.unique(example[keep], return_inverse=True)
    people, who = np.unique(annotator[keep], return_inverse=True)
    side, y = np.asarray(member[people], bool), values[keep]
    x = side[who].astype(np.float64)
    m, own = (_sums(row, column[:, None], len(numbers))[:, 0] for column in (np.ones(len(row)), x))
    total, product = _sums(row, y, len(numbers)), _sums(row, x[:, None] * y, len(numbers))
    top, bottom = product - own[:, None] * total / m[:, None], own - own**2 / m
    left, own_left = np.maximum(m[row] - 1, 1), own[row] - x
    less_top = product[row] - x[:, None] * y - own_left[:, None] * (total[row] - y) / left[:, None] - top[row]
    less_bottom = own_left - own_left**2 / left - bottom[row]
    return Shared(numbers, row.astype(np.int64), who.astype(np.int64), side, top, bottom, less_top, less_bottom)


def _sums(place: Index, values: Array, n: int) -> Array:
    """(n, K) sums of the rows of `values` (v, K) at each place."""
    from scipy.sparse import csr_array

    at = csr_array((np.ones(len(place)), (place, np.arange(len(place)))), shape=(n, len(place)))
    result: Array = at @ values
    return result


def _told(parts: Shared, masks: list[Mask]) -> Difference | None:
    """Of one mask of examples the difference; of two, of the first less of the second."""
    found = []
    for mask in masks:
        top, bottom, use = parts.top[mask].sum(axis=0), parts.bottom[mask].sum(), mask[parts.row]
        people = _sums(parts.who[use], np.column_stack([parts.less_top, parts.less_bottom])[use], len(parts.side))
        without_person = _ratio(top + people[:, :-1], bottom + people[:, -1])
        without_example = _ratio(top - parts.top * mask[:, None], bottom - parts.bottom * mask)
        found.append((_ratio(top, bottom), without_person, without_example))
    value, person, text = found[0] if len(found) == 1 else (one - other for one, other in zip(*found, strict=True))
    if np.isnan(value).all():
        return None
    seen = np.any(masks, axis=0)
    here = np.unique(parts.who[seen[parts.row]])
    error, freedom = _by_side(person[here], parts.side[here])
    inside = int(parts.side[here].sum())
    return Difference(value, error, freedom, _jackknife(text[seen]), inside, len(here) - inside, int(seen.sum()))


def _ratio(top: Array, bottom: Array) -> Array:
    bottom = np.asarray(bottom)[..., None]
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Array = np.where(bottom > 1e-9, top / bottom, np.nan)
    return result


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
