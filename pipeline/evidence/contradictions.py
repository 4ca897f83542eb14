"""Who of several examples that say the same has another answer than the rest.

Every example is a witness of its copies: its answer counts as often as annotators stand behind it (their number times the
confidence). An example is at odds with those whose answers are not the same as its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

Kind = Literal["exact", "near", "semantic"]
Tie = tuple[int, int, float, Kind]  # a text, another or the same one, how alike they are in [0, 1], and how they are
Agree = Callable[[int, int, Any, Any], bool]  # rows and their answers


@dataclass(frozen=True)
class Stand:
    """Where one row stands among its copies. Weights are in annotators.

    against, along, own: weight of the others that disagree, of the others that agree, and its own. alike: how alike those
    against are to it, on average by weight, in [0, 1]; kind: of the most alike of them ("" if nobody is against). others: rows
    against it, the most alike first. better: the row whose answer has more than half of all the weight, -1 if none has.
    """

    row: int
    against: float
    along: float
    own: float
    alike: float
    kind: str
    others: tuple[int, ...]
    better: int

    @property
    def severity(self) -> float:
        """In [0, 1]: the share of the weight that speaks against the answer, times the likeness. A copy against a copy, each
        with one annotator, is at 0.5; the odd one of ten equal texts at 0.9; those whom it contradicts at 0.1."""
        total = self.against + self.along + self.own
        return self.alike * self.against / total if total else 0.0

    @property
    def outvoted(self) -> bool:
        """The answers against weigh at least as much as those for it: of two copies at odds, both."""
        return self.against > 0 and self.against >= (self.along + self.own) * (1 - 1e-9)


def stands(
    text: Sequence[int], answers: Sequence[Any], weights: Sequence[float], ties: Iterable[Tie], agree: Agree
) -> list[Stand]:
    """One for each row that has an answer and a tied or equal row with one.

    text: (n,) which text each row holds (as `exact_groups`; rows of one text are tied by themselves). answers: None for no
    answer. ties: between texts, each pair once, by the numbers in `text`.
    """
    held: dict[int, dict[str, list[int]]] = {}
    for row, answer in enumerate(answers):
        if answer is not None:
            key = orjson.dumps(answer, option=orjson.OPT_SORT_KEYS).decode()
            held.setdefault(text[row], {}).setdefault(key, []).append(row)
    near: dict[int, list[tuple[float, Kind, int]]] = {name: [(1.0, "exact", name)] for name in held}
    for one, two, alike, kind in ties:
        if one in held and two in held:
            near[one].append((alike, kind, two))
            near[two].append((alike, kind, one))
    out = []
    for name in sorted(held):
        if len(near[name]) > 1 or sum(map(len, held[name].values())) > 1:
            for rows in held[name].values():
                out += _stands(rows, sorted(near[name], key=lambda tie: (-tie[0], tie[1:])), held, answers, weights, agree)
    return sorted(out, key=lambda stand: stand.row)


def _stands(
    rows: list[int],
    near: list[tuple[float, Kind, int]],
    held: dict[int, dict[str, list[int]]],
    answers: Sequence[Any],
    weights: Sequence[float],
    agree: Agree,
) -> list[Stand]:
    """Of the rows of one text with one answer: they have the same copies, and differ by their own weight alone."""
    first = rows[0]
    along, against, likeness = 0.0, 0.0, 0.0
    others: list[int] = []
    kind = ""
    votes: dict[str, tuple[float, int]] = {}
    for alike, how, name in near:
        for key, members in held[name].items():
            weight = sum(weights[member] for member in members)
            votes[key] = (votes.get(key, (0.0, -1))[0] + weight, votes.get(key, (0.0, members[0]))[1])
            if agree(first, members[0], answers[first], answers[members[0]]):
                along += weight
                continue
            against, likeness = against + weight, likeness + alike * weight
            others, kind = [*others, *members], kind or how
    total = along + against
    most, better = max(votes.values(), key=lambda vote: (vote[0], -vote[1]))
    better = better if most > total / 2 * (1 + 1e-9) and better in others else -1
    alike = likeness / against if against else 0.0
    return [
        Stand(row, against, along - weights[row], weights[row], alike, kind, tuple(others), better) for row in rows
    ]
