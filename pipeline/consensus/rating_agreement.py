"""Agreement on ratings: ordinal and interval alpha of each dimension, their mean over all, and how reliable a mean of ratings
is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import orjson

from pipeline.consensus import pairwise
from pipeline.consensus.agreement import Measures, further
from pipeline.consensus.alphas import Array, Units, bootstrap, expected, from_numbers, from_ranks, interval
from pipeline.consensus.pairwise import Given, Row
from pipeline.types import IntArray, Interval

Build = Callable[[IntArray, Array, int], Units]


def values_of(table: Given) -> tuple[list[str], Array]:
    """(dimensions, values (v, D), NaN where an annotator did not give one)."""
    loaded: list[dict[str, Any]] = [orjson.loads(answer) for answer in table.answers]
    names = sorted({name for one in loaded for name in one})
    values = [[one.get(name, np.nan) for name in names] for one in loaded]
    return names, np.array(values, np.float64).reshape(len(loaded), len(names))


def measures(table: Given, *, seed: int) -> Measures:
    names, values = values_of(table)
    ordinal = [_dimension(table, values[:, column], from_ranks) for column in range(len(names))]
    squared = [_dimension(table, values[:, column], from_numbers) for column in range(len(names))]
    several = f", mean of {len(names)} ratings" if len(names) > 1 else ""
    return Measures(
        measure=f"Krippendorff's alpha (ordinal{several})",
        units=lambda rows: [_dimension(table, values[:, column], from_ranks, rows) for column in range(len(names))],
        labels=[(name, units, units.n) for name, units in zip(names, ordinal, strict=True)],
        distance=_distances(table, values, squared),
        chance=1.0,
        kappa=pairwise.of_numbers(values, seed=seed),
        pairs_measure="Cohen's kappa, weighted by squared differences",
        also=_also(names, squared, seed),
        meaning="Two ratings agree the more, the fewer of all ratings lie between them.",
        parts="rating",
    )


def _dimension(table: Given, values: Array, build: Build, rows: IntArray | None = None) -> Units:
    """Of the examples `rows` only, or of all."""
    rows = np.arange(table.n) if rows is None else rows
    place = np.full(table.n, -1)
    place[rows] = np.arange(len(rows))
    there = ~np.isnan(values) & (place[table.example] >= 0)
    return build(place[table.example[there]], values[there], len(rows))


def _distances(table: Given, values: Array, squared: list[Units]) -> Array:
    """(p,) squared differences over those to expect by chance, the mean over the dimensions that both gave: 1 is chance."""
    chance = np.array([expected(one)[0] for one in squared])
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = (values[table.left] - values[table.right]) ** 2 / np.where(chance > 0, chance, np.nan)
    known = ~np.isnan(apart)
    mean: Array = np.where(known, apart, 0.0).sum(1) / np.maximum(known.sum(1), 1)
    return mean


def _also(names: list[str], squared: list[Units], seed: int) -> list[Row]:
    n = max((one.n for one in squared), default=0)
    rows = further(
        "Krippendorff's alpha (interval)", interval(squared, seed=seed), n,
        "as the figure above, with the distances between the numbers taken at their word",
    )  # fmt: skip
    for name, units in zip(names, squared, strict=True):
        rows += further(
            f"ICC(1,k) of {name}", _mean_reliability(units, seed), units.n,
            "how reliable the mean of an example's ratings is; 1 is perfect, 0 is noise",
        )  # fmt: skip
    return rows


def _mean_reliability(units: Units, seed: int) -> Interval | None:
    """One-way intraclass correlation of the mean of k ratings, k as usual in these examples: (MSB − MSW) / MSB. Source: Shrout
    and Fleiss (1979), case 1; with unequal numbers of ratings as McGraw and Wong (1996)."""
    kept = units.features[units.size > 0]
    if len(kept) < 2 or units.within.sum() == 0:
        return None

    def reliability(weights: Array) -> Array:
        size, total, squares = kept.T
        n, answers = weights.sum(1), weights @ size
        inside = weights @ (squares - total**2 / size)
        between = weights @ (total**2 / size) - (weights @ total) ** 2 / answers
        with np.errstate(invalid="ignore", divide="ignore"):
            result: Array = 1 - (inside / (answers - n)) / (between / (n - 1))
        return result

    draws = bootstrap(reliability, np.ones(len(kept)), seed=seed)
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return Interval(float(reliability(np.ones((1, len(kept))))[0]), float(low), float(high))
