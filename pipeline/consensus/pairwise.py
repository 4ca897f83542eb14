"""Two annotators at a time: who answered the same examples, and how far each pair, and each annotator and the others, agree.

Cohen's kappa = 1 − observed distance / expected distance, where the answers to expect are drawn from each one's own: a pair that
agrees only because both nearly always say the same gets 0. Sources: Cohen (1960), with distances Cohen (1968); of numbers by
squared differences it is Lin's concordance (1989).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.consensus.alphas import Array, bootstrap
from pipeline.types import IntArray

MIN_SHARED = 10  # agreement over fewer shared examples says nothing
MOST_PAIRS = 100  # told, those with the most shared examples: of 500 annotators there are 124,750

Row = dict[str, Any]
# Pair numbers, the positions of one's answers and of the other's (n,) → value and interval.
Kappa = Callable[[IntArray, IntArray, IntArray], tuple[float, float, float]]


@dataclass(frozen=True)
class Given:
    """One answer per annotator and example, sorted by both.

    example, annotator: (v,) positions in `ids` (n,) and `people`. answers: (v,) JSON. left, right: (p,) positions of the two
    answers of every pair within an example; left is the annotator who comes first.
    """

    ids: IntArray
    people: list[str]
    example: IntArray
    annotator: IntArray
    answers: list[str]
    left: IntArray
    right: IntArray

    @property
    def n(self) -> int:
        return len(self.ids)


def given(answers: pd.DataFrame) -> Given:
    """From example_id, annotator and answer."""
    ordered = answers.sort_values(["example_id", "annotator"], kind="stable")
    ids, example = np.unique(ordered["example_id"].to_numpy(dtype=np.int64), return_inverse=True)
    people, annotator = np.unique(ordered["annotator"].to_numpy(dtype=object).astype(str), return_inverse=True)
    left, right = within(example)
    return Given(ids, [str(who) for who in people], example, annotator, ordered["answer"].tolist(), left, right)


def within(example: IntArray) -> tuple[IntArray, IntArray]:
    """Positions (p,), (p,) of the pairs of answers to the same example; `example` is sorted."""
    _, start, size = np.unique(example, return_index=True, return_counts=True)
    lefts, rights = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for m in np.unique(size[size > 1]):
        one, other = np.triu_indices(m, 1)
        begins = start[size == m][:, None]
        lefts.append((begins + one).ravel())
        rights.append((begins + other).ravel())
    left, right = np.concatenate(lefts), np.concatenate(rights)
    order = np.lexsort((right, left))
    return left[order], right[order]


def pair_rows(table: Given, kappa: Kappa) -> list[Row]:
    """a, b, value, low, high, n for the MOST_PAIRS pairs of annotators with the most shared examples; lowest first."""
    key = table.annotator[table.left] * len(table.people) + table.annotator[table.right]
    order = np.argsort(key, kind="stable")
    keys, start, size = np.unique(key[order], return_index=True, return_counts=True)
    enough = np.flatnonzero(size >= MIN_SHARED)
    rows = []
    for at in enough[np.argsort(-size[enough], kind="stable")][:MOST_PAIRS]:
        shared = order[start[at] : start[at] + size[at]]
        a, b = divmod(int(keys[at]), len(table.people))
        names = {"a": table.people[a], "b": table.people[b]}
        rows.append({**names, **_told(kappa(shared, table.left[shared], table.right[shared])), "n": int(size[at])})
    return sorted(rows, key=lambda row: (row["value"] is None, row["value"], row["a"], row["b"]))


def annotator_rows(table: Given, distance: Array, chance: float, weight: Array | None = None) -> list[Row]:
    """annotator, value, low, high, n: 1 − the mean distance (p,) to the others' answers over the distance to expect by chance,
    with Student's interval over the annotator's examples; lowest first. weight: (p,) what a pair counts, of texts their
    length."""
    from scipy.stats import t

    weight = np.ones(len(distance)) if weight is None else weight
    both, v = np.concatenate([table.left, table.right]), len(table.example)
    mass = np.bincount(both, np.tile(weight, 2), v)
    far = np.bincount(both, np.tile(weight * distance, 2), v) / np.maximum(mass, 1e-12)
    others = np.bincount(both, minlength=v)
    share = mass / np.maximum(others, 1)  # an example counts once, however many others answered it
    rows = []
    for number, who in enumerate(table.people):
        mine = np.flatnonzero((table.annotator == number) & (mass > 0))
        if len(mine) >= MIN_SHARED and chance > 0:
            mean = float(np.average(far[mine], weights=share[mine]))
            spread = float(np.sqrt(np.sum((share[mine] * (far[mine] - mean)) ** 2)) / share[mine].sum())
            half = float(t.ppf(0.975, len(mine) - 1)) * spread
            values = 1 - mean / chance, 1 - (mean + half) / chance, min(1.0, 1 - (mean - half) / chance)
            rows.append({"annotator": who, **_told(values), "n": len(mine)})
    return sorted(rows, key=lambda row: (row["value"], row["annotator"]))


def _told(values: tuple[float, float, float]) -> dict[str, float | None]:
    return {
        name: None if np.isnan(value) else float(value) for name, value in zip(("value", "low", "high"), values, strict=True)
    }


def of_labels(label: IntArray, distance: Array, *, seed: int) -> Kappa:
    """Cohen's kappa of labels (v,), 0 to K − 1; distance: (K, K), 0 on the diagonal."""
    labels = len(distance)

    def kappa(_: IntArray, left: IntArray, right: IntArray) -> tuple[float, float, float]:
        cells, frequency = np.unique(label[left] * labels + label[right], return_counts=True)
        a, b = cells // labels, cells % labels
        first, second = np.eye(labels)[a], np.eye(labels)[b]

        def value(weights: Array) -> Array:
            total = weights.sum(1)
            chance = ((weights @ first @ distance) * (weights @ second)).sum(1) / total**2
            return _beyond((weights @ distance[a, b]) / total, chance)

        return _interval(value, frequency.astype(np.float64), seed)

    return kappa


def of_numbers(values: Array, *, seed: int) -> Kappa:
    """Kappa of numbers by squared differences, the mean over dimensions; values: (v, D), NaN where one was not given."""

    def kappa(_: IntArray, left: IntArray, right: IntArray) -> tuple[float, float, float]:
        x, y = values[left], values[right]
        there = ~np.isnan(x + y)
        x, y = np.where(there, x, 0.0), np.where(there, y, 0.0)

        def value(weights: Array) -> Array:
            n = np.maximum(weights @ there, 1e-12)
            mx, my = weights @ x / n, weights @ y / n
            chance = weights @ (x * x + y * y) / n - 2 * mx * my
            return _mean_known(_beyond(weights @ (x - y) ** 2 / n, chance))

        return _interval(value, np.ones(len(x)), seed)

    return kappa


def _mean_known(values: Array) -> Array:
    """Over columns; NaN where none is known."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean: Array = np.where(known, values, 0.0).sum(1) / np.where(known.any(1), known.sum(1), np.nan)
    return mean


def of_distances(distance: Array, chance: float, weight: Array | None = None, *, seed: int) -> Kappa:
    """1 − the mean distance (p,) of the pair's answers over the distance to expect between any two."""
    counted = np.ones(len(distance)) if weight is None else weight

    def kappa(shared: IntArray, left: IntArray, right: IntArray) -> tuple[float, float, float]:
        heavy, far = counted[shared], counted[shared] * distance[shared]

        def value(weights: Array) -> Array:
            return _beyond(weights @ far, chance * (weights @ heavy))

        return _interval(value, np.ones(len(heavy)), seed)

    return kappa


def _beyond(observed: Array, chance: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Array = np.where(chance > 1e-12, 1 - observed / chance, np.nan)
    return result


def _interval(value: Callable[[Array], Array], frequency: Array, seed: int) -> tuple[float, float, float]:
    draws = bootstrap(value, frequency, seed=seed)
    known = draws[~np.isnan(draws)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
    return float(value(frequency[None])[0]), float(low), float(high)
