"""How far annotators agree beyond chance: overall, per label, per slice group, per pair of annotators, per annotator.

What is measured depends on what an answer is, one file each: labels (here), ratings, sets and texts, spans. All give a figure on
the same scale: 1 is perfect agreement, 0 is what chance alone would give, below 0 is systematic disagreement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.consensus import pairwise
from pipeline.consensus.alphas import Array, Units, expected, from_counts, interval, ratio, sums
from pipeline.consensus.pairwise import Given, Kappa, Row
from pipeline.types import IntArray, Interval

MOST_LABELS = 500  # rows told: no reader goes further
ALONE = "no example has answers of two annotators"
ALIKE = "all answers are the same: chance alone would agree as well"


@dataclass(frozen=True)
class Measures:
    """measure: its name. units: what alpha needs of the examples (positions) asked for, or of each dimension of these, whose
    mean is the figure. labels: of each label its name, the same, and the examples in which it was given. distance: (p,) of the
    pairs of answers, and what each counts, `weight`, if not the same; chance: the distance to expect. kappa: of two annotators,
    in the words `pairs_measure`. also: further measures. meaning: in plain words, when two answers agree. parts: what `labels`
    are of.
    """

    measure: str
    units: Callable[[IntArray], list[Units]]
    labels: list[tuple[str, Units, int]]
    distance: Array
    chance: float
    kappa: Kappa
    pairs_measure: str
    also: list[Row]
    meaning: str
    parts: str = "label"
    weight: Array | None = None


def facts(table: Given, found: Measures, examples: pd.DataFrame, *, slices: tuple[str, ...], seed: int) -> dict[str, Any]:
    """measure, meaning, overall (value, low, high, level), reason (why there is none), labels, slices, pairs, annotators, and
    `also`: further measures (measure, value, low, high, n, meaning), not all of them corrected for chance: their meaning says
    so."""
    overall = interval(found.units(np.arange(table.n)), seed=seed)
    said = {"measure": found.measure, "meaning": found.meaning, "parts": found.parts, "pairs_measure": found.pairs_measure}
    if overall is None:
        reason = ALIKE if len(table.left) else ALONE
        return {**said, "overall": None, "reason": reason, "labels": [], "slices": [], "pairs": [], "annotators": [], "also": []}
    return {
        **said,
        "overall": overall.as_dict(),
        "reason": "",
        "labels": [
            {"label": name, **_shown(interval(units, seed=seed)), "n": n} for name, units, n in found.labels[:MOST_LABELS]
        ],
        "slices": _per_slice(table, found, examples, slices, seed),
        "pairs": pairwise.pair_rows(table, found.kappa),
        "annotators": pairwise.annotator_rows(table, found.distance, found.chance, found.weight),
        "also": found.also,
    }


def _shown(found: Interval | None) -> Row:
    return dict(found.as_dict()) if found else {"value": None, "low": None, "high": None, "level": None}


def _per_slice(table: Given, found: Measures, examples: pd.DataFrame, slices: tuple[str, ...], seed: int) -> list[Row]:
    rows = []
    indexed = examples.set_index("example_id")
    for name in slices:
        groups = indexed.loc[table.ids, name].to_numpy()
        for group in sorted(set(groups)):
            units = found.units(np.flatnonzero(groups == group))
            n = max((one.n for one in units), default=0)
            rows.append({"slice": name, "group": str(group), **_shown(interval(units, seed=seed)), "n": n})
    return rows


def further(measure: str, found: Interval | None, n: int, meaning: str) -> list[Row]:
    """A row of `also`; none where it is not defined."""
    if found is None:
        return []
    return [{"measure": measure, "value": found.value, "low": found.low, "high": found.high, "n": n, "meaning": meaning}]


def equal_share(table: Given, equal: Array, *, seed: int) -> list[Row]:
    """The row of `also` for the share of pairs of answers (p,) that are the same."""
    n = len(np.unique(table.example[table.left]))
    above = sums(table.example[table.left], equal, table.n)
    below = np.bincount(table.example[table.left], minlength=table.n).astype(np.float64)
    meaning = "how often two annotators give the very same answer to an example; chance is not taken out"
    return further("Same answer", ratio(above, below, seed=seed), n, meaning)


def take(units: Units, rows: IntArray) -> Units:
    """The same of some examples only; not of units that hold a sample of pairs."""
    return Units(units.within[rows], units.size[rows], units.features[rows], units.form)


def agreement(
    answers: pd.DataFrame,
    examples: pd.DataFrame,
    *,
    labels: tuple[str, ...],
    slices: tuple[str, ...],
    seed: int,
    similarity: Callable[[Any, Any], float] | None = None,
) -> dict[str, Any]:
    """The agreement facts where an answer is one of `labels`. answers: one row per annotator and example (example_id, annotator,
    label). similarity: of two labels, in [0, 1], where some are nearer to each other than others; by default equal or not."""
    distance = np.array([[1 - float(similarity(a, b) if similarity else a == b) for b in labels] for a in labels])
    distance = distance.reshape(len(labels), len(labels))
    number = {label: place for place, label in enumerate(labels)}
    table = pairwise.given(answers.assign(answer=answers["label"].map(number)))
    label = np.array(table.answers, np.int64)
    counts = np.zeros((table.n, len(labels)))
    np.add.at(counts, (table.example, label), 1.0)
    units = from_counts(counts, distance)
    plain = bool(np.isin(distance, (0.0, 1.0)).all())
    found = Measures(
        measure=f"Krippendorff's alpha ({'nominal' if plain else 'some labels nearer than others'})",
        units=lambda rows: [take(units, rows)],
        labels=one_against_rest(counts, counts.sum(1), labels),
        distance=distance[label[table.left], label[table.right]],
        chance=float(expected(units)[0]),
        kappa=pairwise.of_labels(label, distance, seed=seed),
        pairs_measure="Cohen's kappa" if plain else "Cohen's kappa, weighted",
        also=_also(table, counts, label, plain, seed),
        meaning="Two annotators agree on an example if they give it the same label"
        + ("." if plain else "; some labels are nearer to each other than others, and half agree."),
    )
    return facts(table, found, examples, slices=slices, seed=seed)


def one_against_rest(given: Array, total: Array, labels: tuple[str, ...]) -> list[tuple[str, Units, int]]:
    """given: (n, K) how many of the `total` (n,) annotators gave each label."""
    binary = [from_counts(np.stack([column, total - column], axis=1)) for column in given.T]
    used = ((given > 0) & (total >= 2)[:, None]).sum(0)
    return [(label, units, int(n)) for label, units, n in zip(labels, binary, used, strict=True)]


def _also(table: Given, counts: Array, label: IntArray, plain: bool, seed: int) -> list[Row]:
    nominal = from_counts(counts)
    rows = equal_share(table, (label[table.left] == label[table.right]).astype(np.float64), seed=seed)
    found = interval(nominal, seed=seed)
    if not plain:
        meaning = "the same without nearness: a different label is a different label"
        rows = further("Krippendorff's alpha (nominal)", found, nominal.n, meaning) + rows
    if found and len(np.unique(nominal.size)) == 1:
        meaning = "as alpha, for examples that all have the same number of answers"
        rows = further("Fleiss' kappa", _fleiss(found, nominal.size.sum()), nominal.n, meaning) + rows
    return rows


def _fleiss(found: Interval, answers: float) -> Interval:
    """Fleiss (1971) expects two answers to be drawn with replacement, alpha without: N / (N − 1) of its expected distance."""
    value, low, high = (float(1 - (1 - x) * answers / (answers - 1)) for x in (found.value, found.low, found.high))
    return Interval(value, low, high, found.level)
