"""Agreement on answers that are compared as a whole, by the task type's similarity: sets of labels, and written texts.

Distance is 1 − similarity. Two annotators' answers to one example are held against answers to other examples: of texts, 0 means
that they have no more in common than texts about different things.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import orjson

from pipeline.consensus import pairwise
from pipeline.consensus.agreement import Measures, equal_share, further, one_against_rest
from pipeline.consensus.alphas import Array, Units, expected, from_answers, interval, ratio, sums
from pipeline.consensus.pairwise import Given, Row
from pipeline.types import IntArray

Alike = Callable[[str, str], float]


def measures(table: Given, alike: Alike, *, sets: bool, seed: int) -> Measures:
    """alike: of two answers as JSON. sets: answers are lists of labels."""
    near = _of_pairs(table, alike)
    units = _units(table, alike, near, seed)
    chance = float(expected(units(np.arange(table.n)))[0])
    values = [orjson.loads(answer) for answer in table.answers] if sets else []
    return Measures(
        measure=f"Krippendorff's alpha ({'Jaccard' if sets else 'words in common'})",
        units=lambda rows: [units(rows)],
        labels=_labels(table, values) if sets else [],
        distance=1 - near,
        chance=chance,
        kappa=pairwise.of_distances(1 - near, chance, seed=seed),
        pairs_measure="Agreement beyond chance",
        meaning="Two sets agree by the share of their labels that they have in common."
        if sets
        else "Two texts agree by the words that they have in common, beyond what answers to different examples have.",
        also=[
            *(_masi(table, seed) if sets else []),
            *_mean(table, near, seed),
            *equal_share(table, _of_pairs(table, lambda a, b: float(a == b)), seed=seed),
        ],
    )


def _of_pairs(table: Given, alike: Alike) -> Array:
    """(p,) for each pair of answers to one example."""
    pairs = zip(table.left.tolist(), table.right.tolist(), strict=True)
    return np.array([alike(table.answers[a], table.answers[b]) for a, b in pairs], np.float64)


def _units(table: Given, alike: Alike, near: Array, seed: int) -> Callable[[IntArray], Units]:
    def units(rows: IntArray) -> Units:
        place = np.full(table.n, -1)
        place[rows] = np.arange(len(rows))
        chosen = np.flatnonzero(place[table.example] >= 0)
        at = np.full(len(table.example), -1)
        at[chosen] = np.arange(len(chosen))
        inside = at[table.left] >= 0

        def far(a: int, b: int) -> float:
            return 1 - alike(table.answers[chosen[a]], table.answers[chosen[b]])

        return from_answers(
            place[table.example[chosen]], at[table.left[inside]], 1 - near[inside], far, n=len(rows), seed=seed
        )

    return units


def _labels(table: Given, values: Sequence[Sequence[str]]) -> list[tuple[str, Units, int]]:
    """Each label for itself: in the set, or not."""
    names = tuple(sorted({label for value in values for label in value}))
    column = {name: number for number, name in enumerate(names)}
    counts = np.zeros((table.n, len(names)))
    for example, value in zip(table.example, values, strict=True):
        counts[example, [column[label] for label in value]] += 1
    return one_against_rest(counts, np.bincount(table.example, minlength=table.n).astype(np.float64), names)


def _masi(table: Given, seed: int) -> list[Row]:
    def alike(a: str, b: str) -> float:
        return masi(orjson.loads(a), orjson.loads(b))

    units = _units(table, alike, _of_pairs(table, alike), seed)(np.arange(table.n))
    meaning = "as the figure above, with a set that lies within the other nearer than one that only shares labels with it"
    return further("Krippendorff's alpha (MASI)", interval(units, seed=seed), units.n, meaning)


def masi(a: Sequence[str], b: Sequence[str]) -> float:
    """Jaccard times 1 for equal sets, 2/3 if one holds the other, 1/3 if they only overlap, 0 if they share nothing; in [0, 1].

    Source: Passonneau (2006)."""
    one, other = set(a), set(b)
    shared, either = one & other, one | other
    if not shared:
        return float(one == other)
    kind = 1.0 if one == other else 2 / 3 if shared in (one, other) else 1 / 3
    return len(shared) / len(either) * kind


def _mean(table: Given, near: Array, seed: int) -> list[Row]:
    where = table.example[table.left]
    below = np.bincount(where, minlength=table.n).astype(np.float64)
    found = ratio(sums(where, near, table.n), below, seed=seed)
    meaning = "how alike two annotators' answers to an example are, of 1; chance is not taken out"
    return further("Mean similarity", found, int((below > 0).sum()), meaning)
