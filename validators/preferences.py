"""Which comparisons of two responses contradict themselves, or each other?

What is looked at: two responses that say the same, of which one is preferred; an empty response that is preferred; the same
two responses compared twice with opposite results; and circles: A better than B, B than C, C than A, on one prompt. Of a
circle every comparison is as likely the wrong one as the others.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from typing import Any

import pandas as pd

from pipeline.evidence.duplicates import normalise
from pipeline.evidence.pairs import pairs, preferred
from pipeline.statistics import wilson
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings

# Severity: nothing can be preferred where both say the same; two opposite answers are one wrong of two; of a circle one of three.
KINDS = {
    "same": (1.0, "One response is preferred, but both say the same."),
    "empty": (0.9, "The preferred response is empty."),
    "reversed": (0.5, "The same two responses are compared again in example {others}, with the opposite result."),
    "circle": (1 / 3, "With examples {others} it makes a circle: each response would be better than the next."),
}
MOST = 5  # other examples that a reason names


@check("preferences", "Which comparisons of two responses contradict themselves, or each other?", subject="example")
def preferences(corpus: Corpus) -> Report:
    """One row per compared pair with an answer; severity as in KINDS, 0 where nothing speaks against it. Flagged from "circle"
    on. Responses are compared without case, blanks and marks at the ends. A response as it reads in two examples of one prompt
    is taken for the same response."""
    if corpus.task != "pairwise_preference":
        raise Skip("The answers of this kind of work are not preferences between two responses.")
    table = pairs(corpus)
    if not len(table):
        raise Skip("No example has two responses that can be read: the last two `fields` of the template must hold them.")
    judged = table.merge(corpus.labelled()[["example_id", "label"]], on="example_id").sort_values("example_id")
    found: dict[int, dict[str, list[int]]] = defaultdict(dict)
    for row in judged.to_dict("records"):
        _alone(row, found[row["example_id"]])
    circles = _against_each_other(judged, found)
    rows = [_row(example, kinds) for example, kinds in sorted(found.items())]
    return Report(findings(rows), _facts(judged, found, circles))


def _alone(row: dict[str, Any], kinds: dict[str, list[int]]) -> None:
    """What can be seen in one comparison."""
    better = preferred(row["label"], row)
    if better is None:
        return
    first, second = (normalise(text) for text in better)
    if first == second:
        kinds["same"] = []
    elif not first:
        kinds["empty"] = []


def _against_each_other(judged: pd.DataFrame, found: dict[int, dict[str, list[int]]]) -> int:
    """Comparisons with opposite results, and circles of three; returns the number of circles."""
    circles = 0
    judged = judged.assign(prompt=judged["prompt"].map(normalise))
    for _, group in judged.groupby("prompt", sort=True):
        won: dict[tuple[str, str], list[int]] = defaultdict(list)
        for row in group.to_dict("records"):
            better = preferred(row["label"], row)
            if better is not None and normalise(better[0]) != normalise(better[1]):
                won[normalise(better[0]), normalise(better[1])].append(row["example_id"])
        for first, second in sorted(won):
            opposite = won.get((second, first), [])
            for example in won[first, second] if opposite else []:
                found[example]["reversed"] = opposite
        circles += _circles(won, found)
    return circles


def _circles(won: dict[tuple[str, str], list[int]], found: dict[int, dict[str, list[int]]]) -> int:
    names = sorted({name for pair in won for name in pair})
    number = 0
    for a, b, c in combinations(names, 3):
        for edges in (((a, b), (b, c), (c, a)), ((b, a), (c, b), (a, c))):
            if all(edge in won for edge in edges):
                number += 1
                members = sorted(example for edge in edges for example in won[edge])
                for example in members:
                    others = found[example].setdefault("circle", [])
                    others += [other for other in members if other != example and other not in others]
    return number


def _row(example: int, kinds: dict[str, list[int]]) -> dict[str, Any]:
    named = [(*KINDS[kind], others) for kind, others in sorted(kinds.items(), key=lambda item: -KINDS[item[0]][0])]
    reason = " ".join(text.format(others=_list(others)) for _, text, others in named)
    severity = max((bad for bad, _, _ in named), default=0.0)
    return {
        "subject_id": str(example), "severity": severity, "flagged": bool(named), "reason": reason, "suggestion": "",
    }


def _list(others: list[int]) -> str:
    more = f" and {len(others) - MOST} more" if len(others) > MOST else ""
    return ", ".join(map(str, sorted(others)[:MOST])) + more


def _facts(judged: pd.DataFrame, found: dict[int, dict[str, list[int]]], circles: int) -> dict[str, Any]:
    n = len(judged)
    if not n:
        return {"kinds": {}, "circles": 0, "judged": 0}
    counts = {kind: sum(kind in kinds for kinds in found.values()) for kind in KINDS}
    rates = {kind: {"count": count, **wilson(count, n).as_dict()} for kind, count in counts.items() if count}
    return {"kinds": rates, "circles": circles, "judged": n}
