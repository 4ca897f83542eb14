"""Several annotators' sets of labels → one set: each label is voted on for itself, with votes weighed by reliability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from pipeline.consensus import presence
from pipeline.consensus.merged import Merged
from pipeline.consensus.presence import Presence

METHOD = "label_vote"
WHY = (
    "Each label of a set is voted on for itself, with votes weighed by how often an annotator gives labels that belong, and "
    "labels that do not. A set that somebody gave stands for all, unless another one is clearly better."
)
MEANING = "labels in common with the right set, of the labels in either, to be expected"
LOW = 0.5  # as much wrong or missing as right
# By so much more must a set that nobody gave share with the right one, to be expected: labels hang together in ways that votes
# on each do not know. On Snow's affect (5 annotators) sets that were given come nearer to the experts than free ones (.499 for
# .494), on sets of entity types with simulated annotators it is the other way round (.920 for .930); with the margin .501 and
# .929.
MARGIN = 0.05

Labels = Sequence[str]


@dataclass(frozen=True)
class Reliability:
    presence: Presence
    together: frozenset[tuple[str, str]]  # labels that somebody has given together


def fit(examples: Sequence[Mapping[int, Labels]], *, annotators: int) -> Reliability:
    """examples: of each, annotator number → labels."""
    votes: list[tuple[int, int, int]] = []
    count = 0
    for one in examples:
        for label in _candidates(one) if len(one) > 1 else ():
            votes += [(count, who, int(label in labels)) for who, labels in sorted(one.items())]
            count += 1
    item, who, gave = np.array(votes, np.int64).reshape(-1, 3).T
    together = {pair for one in examples for labels in one.values() for pair in combinations(sorted(labels), 2)}
    return Reliability(presence.fit(item, who, gave, annotators=annotators), frozenset(together))


def merge(example: Mapping[int, Labels], reliability: Reliability) -> Merged:
    """Never an empty set where nobody gave one, and never two labels together that nobody ever gave together.

    confidence: labels in the set and in the right one over labels in either (Jaccard), to be expected, in [0, 1]. tie: for some
    label what was decided is not sure by DECIDED of pipeline/consensus/presence.py."""
    people = np.array(sorted(example), np.int64)
    chance = {
        label: reliability.presence.probability(people, np.array([int(label in example[who]) for who in people.tolist()]))
        for label in _candidates(example)
    }
    given = max(sorted(list(labels) for labels in example.values()), key=lambda labels: _expected(labels, chance))
    free = _best(chance, reliability)
    chosen = free if _expected(free, chance) > _expected(given, chance) + MARGIN else given
    tie = any(presence.undecided(value, label in chosen) for label, value in chance.items())
    return Merged(sorted(chosen), _expected(chosen, chance), tie)


def _candidates(example: Mapping[int, Labels]) -> list[str]:
    return sorted({label for labels in example.values() for label in labels})


def _expected(labels: Labels, chance: Mapping[str, float]) -> float:
    """Expected labels in common over expected labels in either."""
    inside = sum(chance[label] for label in labels)
    either = len(labels) + sum(chance.values()) - inside
    return inside / either if either else 1.0


def _best(chance: Mapping[str, float], reliability: Reliability) -> list[str]:
    """The most probable labels, as many as make the set best."""
    chosen: list[str] = []
    best: list[str] = []
    for label in sorted(chance, key=lambda label: (-chance[label], label)):
        if all((min(label, other), max(label, other)) in reliability.together for other in chosen):
            chosen.append(label)
            if not best or _expected(chosen, chance) > _expected(best, chance):
                best = list(chosen)
    return best
