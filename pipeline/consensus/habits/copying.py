"""The same unusual answers as somebody else: more of them than two people who work apart would have.

Two good annotators agree because both are right; that says nothing. What counts are answers that hardly anybody else gave to the
same example. How often two people who work apart share one is learnt from all the other pairs of the project: the more so,
the more others gave it, too (a hard example misleads many), and the more this person is given to it anyway (a habit).
Source: in the spirit of the ω index of answer copying, Wollack (1997), with the examples' difficulty taken from the other
pairs instead of from a model of the responses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.consensus.habits.answers import MIN_COUNT, Array, Index, Row
from pipeline.consensus.habits.sheet import Sheet, group_sizes
from pipeline.statistics import holm, wilson

RARE = 1 / 3  # an answer that fewer of the third parties gave is unusual
COMMON = 5  # an answer that is given to so many examples may be a habit; others have no name of their own
BUCKETS = 4  # unusual answers that none, one, two, or more of the third parties gave
WEIGHT = 5.0  # pseudo-answers at the team's rate, in the rate of one person
CEILING = 0.9  # the most that chance may explain of the shared answers
CHUNK = 2_000_000  # pairs at a time: about 100 MB


@dataclass(frozen=True)
class _Pairs:
    """Ordered pairs of answers to the same example of which the first is unusual: (m,) the two rows, whether they are equal,
    how many of the third parties gave the same (at most BUCKETS − 1), and how often the second person gives such an answer."""

    first: Index
    second: Index
    same: Array
    bucket: Index
    usual: Array


def copying(sheet: Sheet, *, alpha: float, min_share: float, third_parties: int) -> list[Row]:
    """Pairs of annotators who share at least MIN_COUNT unusual answers, most first. share: how many of the unusual answers of the
    one are copied, as far as chance does not explain them: the higher of the two directions. p: of the direction with
    the weaker evidence. later: who answered second, "" where the times do not tell.

    third_parties: an example counts if so many others answered it besides the two; with three, five people must have
    answered. Where no example has that many, nothing can be told, and there are no rows.
    """
    found = list(_unusual(sheet, third_parties))
    if not found:
        return []
    pairs = _Pairs(*(np.concatenate([getattr(one, name) for one in found]) for name in _Pairs.__dataclass_fields__))
    people = len(sheet.people)
    key = sheet.annotator[pairs.first] * people + sheet.annotator[pairs.second]
    names, place = np.unique(key, return_inverse=True)
    trials = np.bincount(place)
    same, usual = (_by_bucket(place, pairs.bucket, weight) for weight in (pairs.same, pairs.usual))
    one, other = names // people, names % people
    tests = len(np.unique(np.minimum(one, other) * people + np.maximum(one, other)))
    where = {int(name): number for number, name in enumerate(names)}
    rows = []
    for number in np.flatnonzero(same.sum(axis=1) >= MIN_COUNT):
        a, b = divmod(int(names[number]), people)
        back = where.get(b * people + a)
        if a < b and back is not None:
            rows.append(_pair(sheet, pairs, place, number, back, trials, same, usual))
    for row, p in zip(rows, holm([row["p"] for row in rows], tests=max(tests, len(rows))), strict=True):
        row |= {"p": float(p), "flagged": bool(p < alpha and row["share"] >= min_share)}
    return sorted(rows, key=lambda row: (not row["flagged"], -row["share"], row["annotator"], row["other"]))


def _by_bucket(place: Index, bucket: Index, weight: Array) -> Array:
    table = np.bincount(place * BUCKETS + bucket, weight, (int(place.max()) + 1) * BUCKETS)
    result: Array = table.reshape(-1, BUCKETS)
    return result


def _pair(
    sheet: Sheet, pairs: _Pairs, place: Index, one: int, back: int, trials: Index, same: Array, usual: Array
) -> Row:
    """The evidence of a pair, in both directions. What they share themselves does not count as what is usual."""
    from scipy.stats import binom

    own = same[one] + same[back]
    lift = (same.sum(axis=0) - own + 1) / np.maximum(usual.sum(axis=0) - usual[one] - usual[back], 1e-9)
    told = []
    for side in (one, back):
        n, hits = int(trials[side]), int(same[side].sum())
        chance = min(float((lift * usual[side]).sum()) / n, CEILING)
        told.append((float(binom.sf(hits - 1, n, chance)), (hits / n - chance) / (1 - chance), n, hits, chance))
    p = max(item[0] for item in told)
    _, share, n, hits, chance = max(told, key=lambda item: item[1])
    interval = wilson(hits, n)
    low, high = ((end - chance) / (1 - chance) for end in (interval.low, interval.high))
    mine = np.flatnonzero((place == one) & (pairs.same > 0))
    a, b = (sheet.people[int(sheet.annotator[side[mine[0]]])] for side in (pairs.first, pairs.second))
    order = _order(sheet.when[pairs.first[mine]], sheet.when[pairs.second[mine]])
    later = {1: b, -1: a, 0: ""}[order[0]]
    return {
        "annotator": a, "other": b, "shared": hits, "n": n, "expected": chance * n, "share": max(0.0, share),
        "low": max(0.0, low), "high": max(0.0, high), "later": later, "times_later": order[1], "timed": order[2], "p": p,
    }  # fmt: skip


def _order(first: Array, second: Array) -> tuple[int, int, int]:
    """(1 if the second person came later, −1 if the first did, 0 if it cannot be told; how many times; of how many)."""
    from scipy.stats import binomtest

    ahead, behind = int((second > first).sum()), int((second < first).sum())
    if ahead + behind == 0 or binomtest(ahead, ahead + behind).pvalue >= 0.05:
        return 0, max(ahead, behind), ahead + behind
    return (1 if ahead > behind else -1), max(ahead, behind), ahead + behind


def _unusual(sheet: Sheet, third_parties: int) -> Iterator[_Pairs]:
    size, group = group_sizes(sheet.example, sheet.code)
    start = np.searchsorted(sheet.example, sheet.example)
    third = size - 2
    rare = np.flatnonzero((third >= third_parties) & (np.maximum(group - 2, 0) < RARE * third))
    habits = _Habits.of(sheet, group)
    cuts = np.searchsorted(np.cumsum(size[rare]), np.arange(CHUNK, size[rare].sum() + CHUNK, CHUNK))
    for rows in np.split(rare, cuts):
        if not len(rows):
            continue
        first = np.repeat(rows, size[rows])
        second = start[first] + np.arange(len(first)) - np.repeat(np.cumsum(size[rows]) - size[rows], size[rows])
        same = sheet.code[first] == sheet.code[second]
        third_votes = group[first] - 1 - same
        keep = (first != second) & (third_votes < RARE * third[first])
        first, second, same, third_votes = first[keep], second[keep], same[keep], third_votes[keep]
        usual = habits.rates(sheet.annotator[second], first)
        yield _Pairs(first, second, same.astype(np.float64), np.minimum(third_votes, BUCKETS - 1), usual)


@dataclass(frozen=True)
class _Habits:
    """How often each person gives an answer of some kind where most say what they say to the example: the kind is the answer
    itself if it is common in the project, else "something else"."""

    most: Index  # (v,) kind of the answer that most gave to the example
    cell: Index  # (v,) number of the pair (most, kind)
    team: Array  # rate of each cell over all
    counts: dict[int, int]  # annotator and cell → answers
    sizes: dict[int, int]  # annotator and most → answers

    @staticmethod
    def of(sheet: Sheet, group: Index) -> _Habits:
        spread = np.bincount(np.unique(np.stack([sheet.code, sheet.example]), axis=1)[0], minlength=len(sheet.values))
        kind = np.where(spread[sheet.code] >= COMMON, sheet.code + 1, 0)
        order = np.lexsort((sheet.code, -group, sheet.example))
        heads = order[np.unique(sheet.example[order], return_index=True)[1]]
        most = kind[heads][sheet.example]
        _, cell = np.unique(most * (len(sheet.values) + 1) + kind, return_inverse=True)
        of_most = np.bincount(most)
        head = np.zeros(int(cell.max(initial=-1)) + 1, np.int64)
        head[cell] = most
        team = np.bincount(cell) / np.maximum(of_most[head], 1)
        cells, mosts = int(cell.max(initial=-1)) + 1, int(most.max(initial=-1)) + 1
        return _Habits(most, cell, team, _tally(sheet.annotator * cells + cell), _tally(sheet.annotator * mosts + most))

    def rates(self, who: Index, rows: Index) -> Array:
        """How often these people give answers of the kind of these rows."""
        cells, mosts = len(self.team), int(self.most.max()) + 1
        hits = _looked_up(self.counts, who * cells + self.cell[rows])
        size = _looked_up(self.sizes, who * mosts + self.most[rows])
        result: Array = (hits + WEIGHT * self.team[self.cell[rows]]) / (size + WEIGHT)
        return result


def _tally(keys: Index) -> dict[int, int]:
    names, counts = np.unique(keys, return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def _looked_up(counts: dict[int, int], keys: Index) -> Array:
    names = np.fromiter(counts, np.int64, len(counts))
    values = np.fromiter(counts.values(), np.float64, len(counts))
    place = np.minimum(np.searchsorted(names, keys), len(names) - 1)
    result: Array = np.where(names[place] == keys, values[place], 0.0)
    return result
