"""What could be wrong with the spans of a text: each way in which they could be changed, and how much speaks for it.

Four kinds of change: another label, other ends, no span, a span where there is none. Three things speak for or against each: what
a model that did not see the text says of its words, how the same phrase is marked elsewhere, and what the annotators gave.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.evidence.phrases import Marked, Phrases, Place, covered
from pipeline.types import FloatArray

Kind = Literal["wrong type", "wrong boundary", "spurious entity", "missed entity"]
KINDS: tuple[Kind, ...] = ("wrong type", "wrong boundary", "spurious entity", "missed entity")

# Log-odds that the change is right = intercept + model × (mean log-ratio of the words' probabilities) + phrase × (log-ratio of
# how often the phrase is marked so elsewhere). Logistic regression on CrossNER AI and the development part of WNUT 2017 with 5,
# 10 and 20 % of the sentences given one wrong span, 3 seeds each; fitted on one of the two, average precision on the other is
# less by .00 to .03. The boundary's weight of phrases is cut from 1.7: phrases with the words around them are few.
WEIGHTS: dict[Kind, tuple[float, float, float]] = {
    "wrong type": (-5.5, 0.74, 0.98),
    "wrong boundary": (-5.2, 0.53, 1.2),
    "spurious entity": (-6.9, 1.08, 0.8),
    "missed entity": (-4.1, 0.63, 0.52),
}
# Occurrences elsewhere beyond these count no more. Without a limit, what is seldom marked (“vehicle”, where it is the weapon) is
# doubted whatever else is known; the average precision is the same with 5, with 20 and without (.71).
ENOUGH = 20
HALF = 0.5  # added to counts in log-ratios: what was never seen is not impossible. Source: Haldane 1956, Anscombe 1956
# What each annotator's vote counts for beyond the one that the answer takes for granted: log(4), of somebody who gives four in
# five of the spans that belong, as in pipeline/consensus/presence.py.
VOTE = 1.4
FURTHEST = 3  # words by which one end is moved


@dataclass(frozen=True)
class Reading:
    """One example in words. logs: (m, K + 1) log-probabilities, the last of no span; votes: what each annotator gave."""

    text: Marked
    logs: FloatArray
    votes: tuple[tuple[Place, ...], ...] = ()


@dataclass(frozen=True)
class Edit:
    """Instead of `given` it should be `better`; None is no span. span: which of the text's spans, -1 for none. probability: in
    [0, 1] that it should. ratio: how much more probable `better` is for the model, seen: (better, given) how often elsewhere,
    votes: (better, given) annotators, (0, 0) where only one answered."""

    kind: Kind
    span: int
    given: Place | None
    better: Place | None
    probability: float
    ratio: float
    seen: tuple[int, int]
    votes: tuple[int, int]


def edits(reading: Reading, phrases: Phrases, labels: Sequence[str]) -> list[Edit]:
    """The best change of each kind for each span, and what may have been missed; the most probable first."""
    found: list[Edit] = []
    for span, place in enumerate(reading.text.spans):
        if place[2] in labels and place[1] > place[0]:
            found += _of_span(reading, phrases, labels, span, place)
    found += _apart(_missed(reading, phrases, labels))
    return sorted(found, key=lambda edit: (-edit.probability, edit.span, edit.better or edit.given, edit.kind))


def _of_span(reading: Reading, phrases: Phrases, labels: Sequence[str], span: int, place: Place) -> list[Edit]:
    start, end, label = place
    inside = _own(reading.text, place)
    if not inside:
        return []  # other spans lie on all of its words, and the model says of a word only what the innermost is
    counts = phrases.elsewhere(reading.text, start, end)
    given, mean = labels.index(label), reading.logs[inside].mean(axis=0)
    found = [
        _edit("wrong type", reading, span, place, (start, end, other), float(mean[number] - mean[given]),
              (counts[0, end - start, other], counts[0, end - start, label]))
        for number, other in enumerate(labels) if other != label
    ]  # fmt: skip
    best = [max(found, key=lambda edit: edit.probability)] if found else []
    against = (counts[0, end - start, ""], counts[0, end - start, label])
    best.append(_edit("spurious entity", reading, span, place, None, float(mean[-1] - mean[given]), against))
    if len(inside) == end - start:
        moved = list(_moved(reading, phrases, span, place, given))
        best += [max(moved, key=lambda edit: edit.probability)] if moved else []
    return best


def _own(text: Marked, place: Place) -> list[int]:
    """The words of a span on which no span inside it lies."""
    inner = [other for other in text.spans if other != place and place[0] <= other[0] and other[1] <= place[1]]
    return [word for word in range(place[0], place[1]) if not any(start <= word < end for start, end, _ in inner)]


def _moved(reading: Reading, phrases: Phrases, span: int, place: Place, given: int) -> Iterator[Edit]:
    """The same span with one end elsewhere."""
    start, end, label = place
    taken = covered(reading.text)
    for better in _ends(start, end, len(taken)):
        low, high = min(start, better[0]), max(end, better[1])
        added = [word for word in (*range(better[0], start), *range(end, better[1]))]
        if any(taken[word] for word in added):
            continue
        removed = [word for word in range(start, end) if not better[0] <= word < better[1]]
        gain = reading.logs[:, given] - reading.logs[:, -1]
        ratio = float(np.mean([*gain[added], *-gain[removed]]))
        counts = phrases.elsewhere(reading.text, low, high)
        seen = counts[better[0] - low, better[1] - low, label], counts[start - low, end - low, label]
        yield _edit("wrong boundary", reading, span, place, (*better, label), ratio, seen)


def _ends(start: int, end: int, words: int) -> Iterator[tuple[int, int]]:
    for step in (step for step in range(-FURTHEST, FURTHEST + 1) if step):
        if 0 <= start + step < end:
            yield start + step, end
        if start < end + step <= words:
            yield start, end + step


def _missed(reading: Reading, phrases: Phrases, labels: Sequence[str]) -> Iterator[Edit]:
    for start, end in sorted(_candidates(reading, phrases)):
        beside = {label for first, last, label in reading.text.spans if end == first or start == last}
        mean = reading.logs[start:end].mean(axis=0)
        counts = phrases.elsewhere(reading.text, start, end)
        found = [
            _edit("missed entity", reading, -1, None, (start, end, label), float(mean[number] - mean[-1]),
                  (counts[0, end - start, label], counts[0, end - start, ""]))
            for number, label in enumerate(labels) if label not in beside  # there its end is in question, see `_moved`
        ]  # fmt: skip
        if found:
            yield max(found, key=lambda edit: edit.probability)


def _candidates(reading: Reading, phrases: Phrases) -> set[tuple[int, int]]:
    """Where the model rather sees a span, where a phrase stands that is marked elsewhere, and what an annotator marked; if there
    is none of these, the word that is least surely none."""
    taken = covered(reading.text)
    found = {(start, end) for start, end, _ in sum(reading.votes, ()) if end > start and not any(taken[start:end])}
    found |= set(phrases.unmarked(reading.text))
    likely = [not inside and none < np.log(0.5) for inside, none in zip(taken, reading.logs[:, -1], strict=True)]
    start = 0
    for word in range(len(likely) + 1):
        if word == len(likely) or not likely[word]:
            if word > start:
                found.add((start, word))
            start = word + 1
    free = [word for word, inside in enumerate(taken) if not inside]
    if not found and free:
        least = min(free, key=lambda word: reading.logs[word, -1])
        found.add((least, least + 1))
    return found


def _apart(found: Iterator[Edit]) -> list[Edit]:
    """Of changes that lie over each other, the most probable."""
    kept: list[Edit] = []
    for edit in sorted(found, key=lambda edit: (-edit.probability, edit.better)):
        assert edit.better is not None
        start, end, _ = edit.better
        if all(end <= other.better[0] or other.better[1] <= start for other in kept if other.better):
            kept.append(edit)
    return kept


def _edit(
    kind: Kind, reading: Reading, span: int, given: Place | None, better: Place | None, ratio: float, seen: tuple[int, int]
) -> Edit:
    intercept, model, phrase = WEIGHTS[kind]
    votes = _votes(reading, given, better)
    known = float(np.log((min(seen[0], ENOUGH) + HALF) / (min(seen[1], ENOUGH) + HALF)))
    odds = intercept + model * ratio + phrase * known + (VOTE * (votes[0] - votes[1] + 1) if any(votes) else 0.0)
    return Edit(kind, span, given, better, float(1 / (1 + np.exp(-odds))), ratio, seen, votes)


def _votes(reading: Reading, given: Place | None, better: Place | None) -> tuple[int, int]:
    """How many annotators gave the one, and the other. Where the ends are in question they must be the same, else a span of the
    label over the place will do; who marked nothing there gave no span."""
    if len(reading.votes) < 2:
        return 0, 0
    place = given or better
    assert place is not None
    ends = given is not None and better is not None and given[2] == better[2]

    def gave(vote: Sequence[Place], one: Place | None) -> bool:
        if one is None:
            return not any(_overlap(place, other) for other in vote)
        return one in vote if ends else any(one[2] == other[2] and _overlap(one, other) for other in vote)

    return sum(gave(vote, better) for vote in reading.votes), sum(gave(vote, given) for vote in reading.votes)


def _overlap(one: Place, other: Place) -> bool:
    return one[0] < other[1] and other[0] < one[1]

