"""Several annotators' ratings → one: the mean, corrected for how severe and how careless each annotator is, on the scale's grid:
the nearest multiple of the step in which ratings were given, halves upwards.

A rating is the example's true value + the annotator's bias + noise of the annotator's own size. Biases are shrunken by how much
annotators differ at all (empirical Bayes): where they do not, the mean stays the mean. Source: the one-way random-effects model,
as in Searle, Casella and McCulloch (1992), chapter 3. The mean and not the median: on Snow's ratings of anger and joy (2008) it
comes nearer to the experts (r .66 and .59 for .57 and .40 with 5 annotators each).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import erf, exp, floor, gcd, pi, sqrt

import numpy as np

from pipeline.consensus.alphas import Array
from pipeline.consensus.merged import Merged
from pipeline.types import IntArray

METHOD = "corrected_mean"
WHY = (
    "Of several ratings the mean, weighed by how close each annotator usually is to the others, less how much above or below "
    "them; never above the highest or below the lowest that was given."
)

MEANING = "1 − the distance to the true rating to be expected, as a share of the scale"
LOW = 0.75  # off by a star of five
OWN = 50.0  # ratings: an annotator's noise is drawn to everybody's; .60/.52 in r with anger/joy of 3, as the plain mean, and .89
# for .81 where one in five rates at random (20 is better there, but costs .01 to .02 on joy)
UNTOLD = 20.0  # ratings beyond the first of each example: up to about so many, all that annotators differ by is taken for noise
FLOOR = 0.1  # of the usual variance: nobody is taken for more exact
ROUNDS = 20
PARTS = 1000  # of one: finer than thousandths is no grid
EXACT = 1e-6  # what floats are off: a mean so little below a half is a half
SPREAD = 4.0  # degrees of freedom that the annotators' usual noise is worth beside the spread of the example's own ratings
NEAR = 0.25  # of the scale: a star of five

Ratings = Mapping[str, float]
Width = Callable[[str], float]


@dataclass(frozen=True)
class Dimension:
    """bias, variance: (annotators,) in the scale's units. width: from the scale's lowest to its highest. step: the largest, at
    most 1, that every rating given is a multiple of, such as .5 where halves were given; 0 if they are finer than thousandths."""

    bias: Array
    variance: Array
    width: float
    step: float


def fit(examples: Sequence[Mapping[int, Ratings]], *, annotators: int, width: Width) -> dict[str, Dimension]:
    names = sorted({name for one in examples for given in one.values() for name in given})
    return {name: _dimension(name, examples, annotators, width(name)) for name in names}


def _dimension(name: str, examples: Sequence[Mapping[int, Ratings]], annotators: int, width: float) -> Dimension:
    rows = [
        (number, who, given[name]) for number, one in enumerate(examples) for who, given in sorted(one.items()) if name in given
    ]
    example, who, values = (np.array(column) for column in zip(*rows, strict=True))
    step = _step(values.astype(np.float64))
    several = np.bincount(example)[example] > 1
    _, example = np.unique(example[several], return_inverse=True)
    bias, variance = _solve(example, who[several], values[several].astype(np.float64), annotators, width)
    return Dimension(bias, variance, width, step)


def _step(values: Array) -> float:
    parts = values % 1 * PARTS
    near = np.round(parts)
    return gcd(PARTS, *near.astype(np.int64).tolist()) / PARTS if (np.abs(parts - near) < EXACT).all() else 0.0


def _on_grid(value: float, step: float) -> float:
    """The nearest multiple of the step, of two the higher; without a step the value itself."""
    if not step:
        return value
    whole = floor(value)
    rating = round(whole + floor((value - whole) / step + 0.5 + EXACT) * step, 3)
    return int(rating) if rating == floor(rating) else rating


def _solve(example: IntArray, who: IntArray, values: Array, annotators: int, width: float) -> tuple[Array, Array]:
    bias, variance = np.zeros(annotators), np.full(annotators, (width / 4) ** 2)
    if not len(values):
        return bias, variance
    size = np.bincount(who, minlength=annotators)
    people, shared = int((size > 0).sum()), len(values) - int(example.max()) - 1
    for _ in range(ROUNDS):
        weight = 1 / variance[who]
        true = np.bincount(example, weight * (values - bias[who])) / np.bincount(example, weight)
        rest = values - true[example]
        raw = np.bincount(who, rest, annotators) / np.maximum(size, 1)
        apart, least = float((rest**2).sum() / shared), 1e-9 * width**2
        within = float(((rest - raw[who]) ** 2).sum())
        noise = max((within + UNTOLD * apart) / (max(shared - people + 1, 0) + UNTOLD), least)
        differ = max((float((size * raw**2).sum()) - noise * people) / len(values), 0.0)
        bias = raw * size * differ / (size * differ + noise)
        bias -= np.average(bias, weights=size)
        square = (rest - bias[who]) ** 2 * len(values) / shared  # the means are fitted, too
        variance = (np.bincount(who, square, annotators) + OWN * square.mean()) / (size + OWN)
        variance = np.maximum(variance, max(FLOOR * float(square.mean()), least))
    return bias, variance


def merge(example: Mapping[int, Ratings], dimensions: Mapping[str, Dimension]) -> Merged:
    """A dimension that most annotators left out is left out. confidence: 1 − the distance to the true rating to be expected, as
    a share of the scale, mean over the dimensions. tie: for some dimension half of the annotators or more are farther from it
    than a quarter of the scale: nobody holds what lies between them."""
    given = {name: [who for who in sorted(example) if name in example[who]] for name in dimensions}
    most = max(len(people) for people in given.values())
    answer: dict[str, float] = {}
    sure, tie = [], False
    for name, people in given.items():
        if people and (2 * len(people) > len(example) or len(people) == most):
            values = np.array([example[who][name] for who in people], np.float64)
            answer[name], near = _mean(values, np.array(people), dimensions[name])
            sure.append(near)
            tie |= bool(2 * (np.abs(values - answer[name]) > NEAR * dimensions[name].width).sum() >= len(values))
    return Merged(answer, float(np.mean(sure)), tie)


def _mean(values: Array, people: IntArray, how: Dimension) -> tuple[float, float]:
    """(rating, on the grid; 1 − its expected distance over the scale)."""
    weight = 1 / how.variance[people]
    corrected = values - how.bias[people]
    mean = float(np.clip(np.average(corrected, weights=weight), values.min(), values.max()))
    rating = _on_grid(mean, how.step)
    usual = len(values) / float(weight.sum())
    spread = (float((weight * (corrected - mean) ** 2).sum() / weight.sum() * len(values)) + SPREAD * usual) / (
        len(values) - 1 + SPREAD
    )
    return rating, 1 - min(_folded(rating - mean, sqrt(spread / len(values))) / how.width, 1.0)


def _folded(off: float, deviation: float) -> float:
    """The mean distance from 0 of a normal variable with this mean and standard deviation."""
    if deviation <= 0:
        return abs(off)
    at = off / deviation
    return deviation * sqrt(2 / pi) * exp(-at * at / 2) + off * erf(at / sqrt(2))
