"""Agreement on spans: alpha of words, each with the types of the spans that it lies in; and F1 of spans, as further measures.

A word is the unit, so that a span found by half of the annotators counts for as much as it covers, and words outside of all spans
count as agreed on, which chance then takes out again. It is Krippendorff's alpha for unitized text (2016), on words instead of
characters, with "outside" as a value of its own. Resamples are of examples: words of one text are no independent observations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pandas as pd

from pipeline.consensus import pairwise
from pipeline.consensus.agreement import Measures, further, take
from pipeline.consensus.alphas import Array, Units, expected, from_counts, ratio, sums
from pipeline.consensus.pairwise import Given, Row
from pipeline.reading.words import WORD
from pipeline.tasks.spans import triples
from pipeline.types import IntArray

Span = Mapping[str, Any]


@dataclass(frozen=True)
class Words:
    """Every annotator's value of every word. values: of each example (m, W) numbers of `kinds`, sets of types (the first is
    none); rows in the order of the table's answers. size: (n,) words."""

    values: Sequence[IntArray]
    kinds: list[frozenset[str]]
    size: Array


def middles(text: str) -> IntArray:
    """The middle character of each word: a span holds the words whose middle it holds, stray blanks or cut letters or not."""
    return np.array([(match.start() + match.end() - 1) // 2 for match in WORD.finditer(text)], np.int64)


def words(table: Given, spans: Sequence[Sequence[Span]], examples: pd.DataFrame) -> Words:
    texts = dict(zip(examples["example_id"].tolist(), examples["text"].tolist(), strict=True))
    first = np.searchsorted(table.example, np.arange(table.n + 1))
    number: dict[frozenset[str], int] = {frozenset(): 0}
    values = []
    for row, example in enumerate(table.ids.tolist()):
        place = middles(texts[example])
        held = [_types(place, spans[at]) for at in range(first[row], first[row + 1])]
        values.append(
            np.array([[number.setdefault(kind, len(number)) for kind in one] for one in held], np.int64).reshape(len(held), -1)
        )
    return Words(values, list(number), np.array([part.shape[1] for part in values], np.float64))


def _types(place: IntArray, spans: Sequence[Span]) -> list[frozenset[str]]:
    """Of each word, the types of the spans that it lies in."""
    held = [frozenset[str]()] * len(place)
    for span in spans:
        first, last = np.searchsorted(place, (span["start"], span["end"]))
        for at in range(first, last):
            held[at] = held[at] | frozenset(span["labels"])
    return held


def measures(table: Given, examples: pd.DataFrame, *, seed: int) -> Measures:
    spans = [orjson.loads(answer) for answer in table.answers]
    read = words(table, spans, examples)
    units = _units(read.values, len(read.kinds))
    distance = _apart(table, read)
    chance = float(expected(units)[0]) if units.n else 0.0
    weight = read.size[table.example[table.left]]
    return Measures(
        measure="Krippendorff's alpha (words in spans)",
        units=lambda rows: [take(units, rows)],
        labels=_labels(read),
        distance=distance,
        chance=chance,
        kappa=pairwise.of_distances(distance, chance, weight, seed=seed),
        pairs_measure="Agreement beyond chance",
        also=_f1(table, spans, read, seed),
        meaning="Two annotators agree on a word if it lies in spans of the same types for both, or in none for both.",
        parts="type of span",
        weight=weight,
    )


def _units(values: Sequence[IntArray], kinds: int) -> Units:
    """Words as units, summed over each example; (n, kinds) counts of values."""
    features, within = np.zeros((len(values), kinds)), np.zeros(len(values))
    for row, part in enumerate(values):
        if len(part) >= 2 and part.size:
            counts = np.stack([(part == kind).sum(0) for kind in np.unique(part)], axis=1)
            within[row] = from_counts(counts).within.sum()
            np.add.at(features[row], part.ravel(), 1.0)
    return Units(within, features.sum(1), features, 1.0 - np.eye(kinds))


def _labels(read: Words) -> list[tuple[str, Units, int]]:
    """Each type for itself: in a span of it, or not."""
    rows = []
    for name in sorted({name for kind in read.kinds for name in kind}):
        has = np.array([name in kind for kind in read.kinds], np.int64)
        inside = [has[part] for part in read.values]
        used = sum(len(part) >= 2 and bool(part.any()) for part in inside)
        rows.append((name, _units(inside, 2), used))
    return rows


def _apart(table: Given, read: Words) -> Array:
    """(p,) the share of words on which two answers differ; 0 for a text without words."""
    first = np.searchsorted(table.example, np.arange(table.n))
    far = np.zeros(len(table.left))
    for number, (a, b) in enumerate(zip(table.left.tolist(), table.right.tolist(), strict=True)):
        row = table.example[a]
        part = read.values[row]
        if part.shape[1]:
            far[number] = float((part[a - first[row]] != part[b - first[row]]).mean())
    return far


def _f1(table: Given, spans: Sequence[Sequence[Span]], read: Words, seed: int) -> list[Row]:
    """F1 of one annotator against another, over all pairs. Of exact spans chance alone gives next to nothing, so that F1 is
    already agreement beyond chance. Source: Hripcsak and Rothschild (2005)."""
    kinds: list[tuple[str, Count, str]] = [
        ("F1 of spans (exact)", exact, "spans of the same type with the same ends, over all that either marked"),
        ("F1 of spans (overlap)", overlap, "spans of the same type that touch one of the other's, over all that either marked"),
    ]
    made: list[Row] = []
    for name, count, meaning in kinds:
        counted = [count(spans[a], spans[b]) for a, b in zip(table.left, table.right, strict=True)]
        made += _ratio_row(table, counted, name, meaning, seed)
    first = np.searchsorted(table.example, np.arange(table.n))
    in_common = []
    for a, b in zip(table.left.tolist(), table.right.tolist(), strict=True):
        row = table.example[a]
        one, other = read.values[row][a - first[row]], read.values[row][b - first[row]]
        in_common.append((2.0 * ((one == other) & (one > 0)).sum(), float((one > 0).sum() + (other > 0).sum())))
    meaning = "words in spans of the same type, over all words in spans of either"
    return made + _ratio_row(table, in_common, "F1 of words", meaning, seed)


def _ratio_row(table: Given, counted: Sequence[tuple[float, float]], name: str, meaning: str, seed: int) -> list[Row]:
    above, below = np.array(counted, np.float64).reshape(-1, 2).T
    where = table.example[table.left]
    found = ratio(sums(where, above, table.n), sums(where, below, table.n), seed=seed)
    return further(name, found, len(np.unique(where)), meaning)


Count = Callable[[Sequence[Span], Sequence[Span]], tuple[float, float]]


def exact(a: Sequence[Span], b: Sequence[Span]) -> tuple[float, float]:
    """(twice the spans in common, the spans of both)."""
    one, other = triples(a), triples(b)
    return 2.0 * len(one & other), float(len(one) + len(other))


def overlap(a: Sequence[Span], b: Sequence[Span]) -> tuple[float, float]:
    """(spans that share a character with one of the same type of the other, the spans of both)."""
    one, other = triples(a), triples(b)
    hits = sum(_touches(span, other) for span in one) + sum(_touches(span, one) for span in other)
    return float(hits), float(len(one) + len(other))


def _touches(span: tuple[int, int, str], others: set[tuple[int, int, str]]) -> bool:
    return any(span[2] == label and span[0] < end and start < span[1] for start, end, label in others)
