"""Several annotators' spans of a text → one answer: each span is decided for itself.

Spans of different annotators that lie on the same place are one candidate. Whether it is kept is voted on by everybody who
answered, its type, and its beginning and end, by those who marked it; all votes are weighed by reliability, which is found with
the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from pipeline.consensus import presence
from pipeline.consensus.alphas import Array
from pipeline.consensus.candidates import Mark, all_marks, candidates, overlap, shared
from pipeline.consensus.merged import Merged
from pipeline.consensus.presence import OWN, Presence

METHOD = "span_vote"
WHY = (
    "Each span is decided for itself: whether there is one by a vote of everybody who answered, its type and its ends by a "
    "vote of those who marked it, with votes weighed by how reliable each annotator is in each of the three."
)
MEANING = "F1 of the spans against the right ones, to be expected"
LOW = 0.5  # as many spans wrong or missing as right
KEEP = 0.5  # as likely there as not; .4 and .6 give the same F1 within .01 on the tuning sets
OTHER_PLACES = 4  # wrong beginnings and ends that are as likely as each other; 2 and 8 give the same F1 within .001
COIN = 0.8  # how often a type or a place is right, to begin with
ROUNDS = 5
LEAST = 0.02

Example = Mapping[int, Sequence[Mapping[str, Any]]]  # annotator number → spans
Value = Callable[[Mark], Hashable]


@dataclass(frozen=True)
class Reliability:
    """types, places: (annotators,) probability that a span that is there has the right type, or beginning and end."""

    presence: Presence
    types: Array
    places: Array
    other_types: int


@dataclass(frozen=True)
class Decided:
    """present: the probability that there is a span. label, place: of the span, if there is; typed, placed: their probability.
    next_type: the probability of the second best type."""

    present: float
    label: str
    typed: float
    next_type: float
    place: tuple[int, int]
    placed: float
    marks: list[Mark]

    @property
    def right(self) -> float:
        """The probability that all of it is right."""
        return self.present * self.typed * self.placed


def fit(examples: Sequence[Example], *, annotators: int) -> Reliability:
    votes: list[tuple[int, int, int]] = []
    found: list[list[Mark]] = []
    for one in examples:
        for marks in candidates(all_marks(one)) if len(one) > 1 else ():
            marked = {mark.annotator for mark in marks}
            votes += [(len(found), who, int(who in marked)) for who in sorted(one)]
            found.append(marks)
    item, who, gave = np.array(votes, np.int64).reshape(-1, 3).T
    others = max(len({mark.label for marks in found for mark in marks}) - 1, 1)
    several = [marks for marks in found if len(marks) > 1]
    return Reliability(
        presence.fit(item, who, gave, annotators=annotators),
        _coins(several, lambda mark: mark.label, others, annotators),
        _coins(several, lambda mark: mark.place, OTHER_PLACES, annotators),
        others,
    )


def _coins(found: Sequence[Sequence[Mark]], value: Value, others: int, annotators: int) -> Array:
    """How often each annotator's value is right, by expectation maximisation with one accuracy per annotator.

    Source: Zhang et al. (2014), §2; here the options differ from candidate to candidate."""
    right = np.full(annotators, COIN)
    for _ in range(ROUNDS):
        hits, total = np.zeros(annotators), np.zeros(annotators)
        for marks in found:
            chance = _choices(marks, value, right, others)
            for mark in marks:
                hits[mark.annotator] += chance[value(mark)]
                total[mark.annotator] += 1
        usual = (hits.sum() + COIN) / (total.sum() + 1)
        right = np.clip((hits + OWN * usual) / (total + OWN), LEAST, 1 - LEAST)
    return right


def _choices(marks: Sequence[Mark], value: Value, right: Array, others: int) -> dict[Any, float]:
    """The probability of each value that somebody gave; what is left is for the `others` that nobody did."""
    options = sorted({value(mark) for mark in marks})  # type: ignore[type-var]
    agreed, differs = np.log(right), np.log((1 - right) / others)
    scores = [sum((agreed if value(mark) == option else differs)[mark.annotator] for mark in marks) for option in options]
    none = sum(differs[mark.annotator] for mark in marks)
    weight = np.exp(np.array([*scores, none]) - max(scores))
    weight[-1] *= max(others + 1 - len(options), 0)
    return dict(zip(options, (weight / weight.sum())[:-1].tolist(), strict=True))


def decide(example: Example, reliability: Reliability) -> list[Decided]:
    """Every candidate of an example."""
    people = np.array(sorted(example), np.int64)
    found = []
    for marks in candidates(all_marks(example)):
        marked = {mark.annotator for mark in marks}
        present = reliability.presence.probability(people, np.array([int(who in marked) for who in people.tolist()]))
        types = _choices(marks, lambda mark: mark.label, reliability.types, reliability.other_types)
        places = _choices(marks, lambda mark: mark.place, reliability.places, OTHER_PLACES)
        label = min(types, key=lambda option: (-round(types[option], 9), option))
        near = {option: sum(shared(option, mark.place) for mark in marks) for option in places}
        place = min(places, key=lambda option: (-round(places[option], 9), -near[option], option))
        second = sorted(types.values())[-2] if len(types) > 1 else 0.0
        found.append(Decided(present, label, types[label], second, place, places[place], marks))
    return found


def merge(example: Example, reliability: Reliability) -> Merged:
    """Two spans that overlap are kept only if some annotator marked overlapping ones here: else the more probable stays.

    confidence: F1 of the answer against the right one, to be expected, in [0, 1]. tie: for some span it is not sure, by DECIDED
    of pipeline/consensus/presence.py, that it is there, or not, or a second type is half as probable as the first; ends that
    differ are no tie, they cost confidence."""
    found = decide(example, reliability)
    own = (all_marks({who: spans}) for who, spans in example.items())
    nested = any(overlap(a.place, b.place) for marks in own for a, b in combinations(marks, 2))
    kept: list[Decided] = []
    for one in sorted((one for one in found if one.present >= KEEP), key=lambda one: (-one.right, one.place, one.label)):
        if nested or not any(overlap(one.place, other.place) for other in kept):
            kept.append(one)
    tie = any(presence.undecided(one.present, one in kept) or (one in kept and 2 * one.next_type > one.typed) for one in found)
    return Merged(_answer(kept), _expected(kept, found), tie)


def _expected(kept: Sequence[Decided], found: Sequence[Decided]) -> float:
    """Twice the spans that are right over the spans of the answer and of the truth; of an empty answer, the probability that
    there is nothing."""
    if not kept:
        return float(np.prod([1 - one.present for one in found]))
    return 2 * sum(one.right for one in kept) / (len(kept) + sum(one.present for one in found))


def _answer(kept: Sequence[Decided]) -> list[dict[str, Any]]:
    """As the task type reads spans: on one place one span, with all its labels."""
    found: dict[tuple[int, int], dict[str, Any]] = {}
    for one in kept:
        span = min((mark for mark in one.marks if mark.place == one.place), key=lambda mark: mark.order).as_trimmed()
        at = span["start"], span["end"]
        labels = {one.label, *found.get(at, {}).get("labels", ())}
        found[at] = {**span, "labels": sorted(labels)}
    return [found[at] for at in sorted(found)]
