"""Answers of any kind, one row each, with how much they are like what others answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pandas as pd

from pipeline.consensus.habits.answers import Array, Index

Similarity = Callable[[Any, Any], float]
NEAREST = 6  # where answers must be compared one by one, each is compared with at most so many before and after it
ROUNDS = 3  # comparisons of an answer with others' answers to other examples: enough for a mean over a person


@dataclass(frozen=True)
class Sheet:
    """All of v answers, sorted by example and annotator; the arrays are (v,).

    example, annotator: places in `examples` and `people`. code: place in `values`, JSON; equal answers have the same.
    when: seconds since 1970 at which the answer was given on the page, NaN where unknown or brought in from elsewhere. turn: its
    place in the order of all answers. own: mean similarity to the others' answers to the same example, NaN where nobody else
    answered. rest: mean similarity among those others, NaN where they are fewer than two. chance: (people,) mean similarity
    of a person's answers to what others answer to other examples.
    """

    example: Index
    annotator: Index
    code: Index
    when: Array
    turn: Index
    own: Array
    rest: Array
    chance: Array
    examples: Index
    people: list[str]
    values: list[str]

    def rows_of(self, person: int) -> Index:
        """The person's rows in the order in which the answers were given."""
        mine = np.flatnonzero(self.annotator == person)
        return mine[np.argsort(self.turn[mine], kind="stable")]


def sheet_of(table: pd.DataFrame, annotations: pd.DataFrame, similarity: Similarity | None) -> Sheet:
    """`table`: example_id, annotator, annotation_id, answer (JSON), one row per annotator and example. similarity: of two
    answers, in [0, 1]; None where they are equal or not, which is quicker."""
    table = table.sort_values(["example_id", "annotator"], ignore_index=True)
    ids, example = np.unique(table["example_id"].to_numpy(), return_inverse=True)
    people, annotator = np.unique(table["annotator"].to_numpy(dtype=object), return_inverse=True)
    values, code = np.unique(table["answer"].to_numpy(dtype=object), return_inverse=True)
    when = _instants(table, annotations)
    made = _equal if similarity is None else _alike
    known = [str(item) for item in values]
    own, rest, chance = made(example, annotator, code, known, similarity)
    turn = np.argsort(np.lexsort((table["annotation_id"].to_numpy(), when)), kind="stable")
    return Sheet(example, annotator, code, when, turn, own, rest, chance, ids, [str(item) for item in people], known)


def _instants(table: pd.DataFrame, annotations: pd.DataFrame) -> Array:
    here = annotations[~annotations["imported"]].drop_duplicates("annotation_id").set_index("annotation_id")["created_at"]
    begun = table["annotation_id"].map(here)
    moment = pd.to_datetime(begun, utc=True, errors="coerce", format="ISO8601")
    seconds: Array = (moment - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy(dtype=np.float64)
    return seconds


def group_sizes(example: Index, code: Index) -> tuple[Index, Index]:
    """(answers to the same example (v,), those of them that are equal to this one, itself included (v,))."""
    size = np.bincount(example)[example]
    _, group = np.unique(example * (int(code.max(initial=0)) + 1) + code, return_inverse=True)
    return size, np.bincount(group)[group]


def _equal(
    example: Index, annotator: Index, code: Index, values: list[str], similarity: Similarity | None
) -> tuple[Array, Array, Array]:
    size, same = group_sizes(example, code)
    pairs = np.bincount(example, same - 1.0)[example]  # ordered pairs of equal answers to the example
    own = np.where(size > 1, (same - 1) / np.maximum(size - 1, 1), np.nan)
    rest = np.where(size > 2, (pairs - 2 * (same - 1)) / np.maximum((size - 1) * (size - 2), 1), np.nan)
    used, number = np.unique(annotator * len(values) + code, return_counts=True)
    who, what = used // max(len(values), 1), used % max(len(values), 1)
    total, mine = np.bincount(code, minlength=len(values)), np.bincount(annotator)
    agreed = np.bincount(who, number * (total[what] - number), len(mine))
    with np.errstate(invalid="ignore", divide="ignore"):
        chance: Array = agreed / (mine * (len(code) - mine))
    return own, rest, chance


def _alike(
    example: Index, annotator: Index, code: Index, values: list[str], similarity: Similarity | None
) -> tuple[Array, Array, Array]:
    assert similarity is not None
    compare = _remembered(values, similarity)
    n, people = len(example), int(annotator.max(initial=-1)) + 1
    sums, counts = np.zeros(n), np.zeros(n)
    for step in range(1, NEAREST + 1):
        first = np.flatnonzero(example[:-step] == example[step:]) if n > step else np.zeros(0, np.int64)
        found = compare(code[first], code[first + step])
        for end in (first, first + step):
            sums[end] += found
            counts[end] += 1
    total, pairs = np.bincount(example, sums)[example] / 2, np.bincount(example, counts)[example] / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        own, rest = sums / counts, np.where(pairs > counts, (total - sums) / (pairs - counts), np.nan)
    far, seen = np.zeros(people), np.zeros(people)
    random = np.random.default_rng(0)
    for _ in range(ROUNDS):
        other = random.permutation(n)
        use = np.flatnonzero((example != example[other]) & (annotator != annotator[other]))
        far += np.bincount(annotator[use], compare(code[use], code[other[use]]), people)
        seen += np.bincount(annotator[use], minlength=people)
    with np.errstate(invalid="ignore", divide="ignore"):
        chance: Array = far / seen
    return own, rest, chance


def _remembered(values: list[str], similarity: Similarity) -> Callable[[Index, Index], Array]:
    """`similarity` of answers by their codes; each pair is compared once."""
    loaded = [orjson.loads(value) for value in values]
    known: dict[tuple[int, int], float] = {}

    def one(a: int, b: int) -> float:
        if a == b:
            return 1.0
        pair = (a, b) if a < b else (b, a)
        if pair not in known:
            known[pair] = similarity(loaded[pair[0]], loaded[pair[1]])
        return known[pair]

    def compare(first: Index, second: Index) -> Array:
        return np.array([one(a, b) for a, b in zip(first.tolist(), second.tolist(), strict=True)], np.float64)

    return compare
