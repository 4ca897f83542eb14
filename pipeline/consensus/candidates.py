"""Spans of several annotators that lie on the same place are one candidate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.tasks.spans import place

SAME_PLACE = 0.3  # share of characters in common from which on; .01, .2 and .5 cost .002 to .003 of F1 on the tuning sets
SAME_TYPE = 0.5  # of two spans as near, the one of the same type comes first

Place = tuple[int, int]


@dataclass(frozen=True)
class Mark:
    """One type of one annotator's span; place: without the blanks at its ends."""

    annotator: int
    place: Place
    label: str
    span: Mapping[str, Any]

    @property
    def order(self) -> tuple[int, int, str, int]:
        return *self.place, self.label, self.annotator

    def as_trimmed(self) -> dict[str, Any]:
        """The span without the blanks at its ends; of paragraphs as it was given, since their numbers would have to follow."""
        if "paragraph" in self.span:
            return dict(self.span)
        start, end = self.place
        at = start - self.span["start"]
        return {**self.span, "start": start, "end": end, "text": self.span["text"][at : at + end - start]}


def all_marks(example: Mapping[int, Sequence[Mapping[str, Any]]]) -> list[Mark]:
    """Of annotator number → spans, in the order of the text."""
    found = [Mark(who, place(span), label, span) for who, spans in example.items() for span in spans for label in span["labels"]]
    return sorted(found, key=lambda mark: mark.order)


def candidates(marks: Sequence[Mark]) -> list[list[Mark]]:
    """The nearest are put together first; a candidate has at most one mark of each annotator."""
    group = list(range(len(marks)))
    people = {number: {mark.annotator} for number, mark in enumerate(marks)}
    for _, a, b in _near(marks):
        one, other = group[a], group[b]
        if one != other and not people[one] & people[other]:
            people[one] |= people.pop(other)
            group = [one if number == other else number for number in group]
    found: dict[int, list[Mark]] = defaultdict(list)
    for mark, number in zip(marks, group, strict=True):
        found[number].append(mark)
    return list(found.values())


def _near(marks: Sequence[Mark]) -> list[tuple[float, int, int]]:
    """(how near, the nearest first; two marks) of different annotators on the same place."""
    found = []
    for b, other in enumerate(marks):
        for a in range(b - 1, -1, -1):
            one = marks[a]
            if one.annotator != other.annotator and overlap(one.place, other.place):
                near = shared(one.place, other.place)
                if near >= SAME_PLACE:
                    found.append((-near - SAME_TYPE * (one.label == other.label), a, b))
    return sorted(found)


def overlap(a: Place, b: Place) -> bool:
    return a[0] < b[1] and b[0] < a[1]


def shared(a: Place, b: Place) -> float:
    """Characters in both over characters in either, in [0, 1]."""
    both, either = min(a[1], b[1]) - max(a[0], b[0]), max(a[1], b[1]) - min(a[0], b[0])
    return max(both, 0) / either if either else 1.0
