"""The same unusual answers as somebody else: more of them than two people who work apart would have.

Two good annotators agree because both are right; that says nothing. What counts are answers that few others gave to the same
example. Given that so many people gave such an answer there, which people these are is a matter of how given each of them is
to it: conditional on the counts, the difficulty of the example does not matter (Rasch's argument). How often a pair is among
them is compared with that.
Source: nonparametric tests of the Rasch model for dependence of items, Ponocny (2001), with the roles of people and items
exchanged; of answer copying: Wollack (1997).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.consensus.habits.answers import MIN_COUNT, Array, Index, Row
from pipeline.consensus.habits.sheet import Sheet, group_sizes
from pipeline.statistics import holm, wilson

Mask = NDArray[np.bool_]
RARE = 1 / 3  # an answer that fewer of the third parties gave is unusual
LARGEST = 3  # people who gave the same unusual answer; more of them are a camp, not a couple
COMMON = 5  # an answer that is given to so many examples may be a habit; others have no name of their own
WEIGHT = 5.0  # pseudo-answers at the team's rate, in the rate of one person
MOST_GIVEN = 0.9  # a rate is kept below it: odds are to be finite


@dataclass(frozen=True)
class _Groups:
    """People who gave the same unusual answer to an example, two to LARGEST of them; each by its first row.

    row: (g,). size: (g,). sums: (g, 3) of the odds of everybody who answered the example, of their squares, of their cubes.
    """

    row: Index
    size: Index
    sums: Array


def copying(sheet: Sheet, *, alpha: float, min_share: float, third_parties: int) -> list[Row]:
    """Pairs of annotators who share at least MIN_COUNT unusual answers. shared, expected: how many, and how many two people who
    work apart would. n: the unusual answers of whichever of the two has fewer, to examples that the other answered, too.
    share: of these, what chance does not explain. later: who answered second, "" where the times do not tell. circle: the people
    among whom all share, if they are three or more; they are not flagged.

    third_parties: an example counts if so many others answered it besides the two; with three, five people must have
    answered. Where no example has that many, nothing can be told, and there are no rows.
    """
    size, same = group_sizes(sheet.example, sheet.code)
    unusual = (size - 2 >= third_parties) & (np.maximum(same - 2, 0) < RARE * (size - 2))
    if not unusual.any():
        return []
    habits = _Habits.of(sheet, same)
    groups = _groups(sheet, habits, unusual, same)
    shared, tests = _shared(sheet, groups), _couples(sheet, unusual)
    rows = [_pair(sheet, habits, groups, unusual, a, b, hits) for (a, b), hits in shared.items() if len(hits) >= MIN_COUNT]
    for row, p in zip(rows, holm([row["p"] for row in rows], tests=max(tests, len(rows))), strict=True):
        row |= {"p": float(p), "flagged": bool(p < alpha and row["share"] >= min_share)}
    _divide(sheet, rows)
    return sorted(rows, key=lambda row: (not row["flagged"], -row["share"], row["annotator"], row["other"]))


def _divide(sheet: Sheet, rows: list[Row]) -> None:
    """Take back what looks like camps. Three or more who are all given to the same unusual answers more likely see things
    alike, or have a source in common, than copy; they are named together in `circle`. Beside a camp even those who are in
    none look like a couple, so on its examples no pair is flagged. Seen on HS-Brexit: the target group's three are a circle."""
    circles = _circles([(row["annotator"], row["other"]) for row in rows if row["flagged"]])
    place = {name: number for number, name in enumerate(sheet.people)}
    for row in rows:
        mine = next((circle for circle in circles if row["annotator"] in circle and row["other"] in circle), [])
        row["circle"] = mine
        for circle in circles if row["flagged"] else ():
            there = np.isin(sheet.annotator, [place[name] for name in circle])
            taken = np.bincount(sheet.example[there], minlength=len(sheet.examples)) >= 2
            own = np.isin(sheet.annotator, [place[row["annotator"]], place[row["other"]]])
            both = np.bincount(sheet.example[own], minlength=len(sheet.examples)) == 2
            row["flagged"] = row["flagged"] and bool(taken[both].mean() <= 0.5)


def circles(rows: list[Row]) -> list[Row]:
    """people, and how many unusual answers the closest two share: of groups of three or more who are given to the same ones."""
    found: dict[tuple[str, ...], Row] = {}
    for row in rows:
        if row["circle"]:
            best = found.setdefault(tuple(row["circle"]), {"people": row["circle"], "shared": 0, "n": 0, "expected": 0.0})
            if row["shared"] > best["shared"]:
                best |= {name: row[name] for name in ("shared", "n", "expected")}
    return list(found.values())


def _circles(pairs: list[tuple[str, str]]) -> list[list[str]]:
    """The connected groups of three or more."""
    groups: list[set[str]] = []
    for pair in pairs:
        joined = set(pair).union(*(group for group in groups if group & set(pair)))
        groups = [group for group in groups if not group & set(pair)] + [joined]
    return sorted(sorted(group) for group in groups if len(group) > 2)


def _couples(sheet: Sheet, unusual: Mask) -> int:
    """How many pairs of people could have been found: both answered an example with an unusual answer."""
    from scipy.sparse import csr_matrix

    use = np.isin(sheet.example, np.unique(sheet.example[unusual]))
    shape = (len(sheet.people), len(sheet.examples))
    there = csr_matrix((np.ones(int(use.sum()), np.int32), (sheet.annotator[use], sheet.example[use])), shape)
    return int(((there @ there.T).nnz - len(np.unique(sheet.annotator[use]))) // 2)


def _groups(sheet: Sheet, habits: _Habits, unusual: Mask, same: Index) -> _Groups:
    rows = np.flatnonzero(unusual & (same >= 2) & (same <= LARGEST))
    _, first = np.unique(sheet.example[rows] * len(sheet.values) + sheet.code[rows], return_index=True)
    row = rows[first]
    start = np.searchsorted(sheet.example, sheet.example[row])
    end = np.searchsorted(sheet.example, sheet.example[row], side="right")
    sums = np.zeros((len(row), 3))
    number = np.repeat(np.arange(len(row)), end - start)
    member = np.repeat(start - np.cumsum(end - start) + (end - start), end - start) + np.arange(len(number))
    odds = habits.odds(sheet.annotator[member], row[number])
    for power in range(3):
        sums[:, power] = np.bincount(number, odds ** (power + 1), len(row))
    return _Groups(row, same[row], sums)


def _shared(sheet: Sheet, groups: _Groups) -> dict[tuple[int, int], list[int]]:
    """Pair of people → the groups in which both are."""
    pairs: dict[tuple[int, int], list[int]] = {}
    width = len(sheet.values)
    order = np.argsort(sheet.example * width + sheet.code, kind="stable")
    keys = (sheet.example * width + sheet.code)[order]
    start = np.searchsorted(keys, sheet.example[groups.row] * width + sheet.code[groups.row])
    for number, (begin, size) in enumerate(zip(start.tolist(), groups.size.tolist(), strict=True)):
        who = sorted(sheet.annotator[order[begin : begin + size]].tolist())
        for place, a in enumerate(who):
            for b in who[place + 1 :]:
                pairs.setdefault((a, b), []).append(number)
    return dict(sorted(pairs.items()))


def _pair(
    sheet: Sheet, habits: _Habits, groups: _Groups, unusual: Mask, a: int, b: int, hits: list[int]
) -> Row:
    from scipy.stats import binom

    mine, theirs = (np.flatnonzero(sheet.annotator == who) for who in (a, b))
    both = np.intersect1d(sheet.example[mine], sheet.example[theirs], assume_unique=True)
    place = np.flatnonzero(np.isin(sheet.example[groups.row], both))
    chance = _chance(groups, habits, place, a, b)
    n, expected, shared = len(place), float(chance.sum()), len(hits)
    own = min(int((unusual[rows] & np.isin(sheet.example[rows], both)).sum()) for rows in (mine, theirs))
    interval = wilson(shared, max(own, shared))
    usual = min(expected / own, 1 - 1e-9)
    share, low, high = ((end - usual) / (1 - usual) for end in (shared / own, interval.low, interval.high))
    p = float(binom.sf(shared - 1, n, expected / n))
    example = sheet.example[groups.row[hits]]
    order = _order(*(sheet.when[rows[np.searchsorted(sheet.example[rows], example)]] for rows in (mine, theirs)))
    names = (sheet.people[a], sheet.people[b])
    later = {1: names[1], -1: names[0], 0: ""}[order[0]]
    return {
        "annotator": names[0], "other": names[1], "shared": shared, "n": own, "expected": expected,
        "share": max(0.0, share), "low": max(0.0, low), "high": max(0.0, high), "later": later, "times_later": order[1],
        "timed": order[2], "p": p,
    }  # fmt: skip


def _chance(groups: _Groups, habits: _Habits, place: Index, a: int, b: int) -> Array:
    """The probability that a and b are both in each of these groups: by elementary symmetric functions of the odds."""
    row, size = groups.row[place], groups.size[place]
    one, two = (habits.odds(np.full(len(row), who), row) for who in (a, b))
    first, second, third = groups.sums[place].T
    pairs, triples = (first**2 - second) / 2, (first**3 - 3 * first * second + 2 * third) / 6
    of_two = one * two / np.maximum(pairs, 1e-300)
    of_three = one * two * (first - one - two) / np.maximum(triples, 1e-300)
    result: Array = np.clip(np.where(size == 2, of_two, of_three), 0.0, 1.0)
    return result


def _order(first: Array, second: Array) -> tuple[int, int, int]:
    """(1 if the second person came later, −1 if the first did, 0 if it cannot be told; how many times; of how many)."""
    from scipy.stats import binomtest

    ahead, behind = int((second > first).sum()), int((second < first).sum())
    if ahead + behind == 0 or binomtest(ahead, ahead + behind).pvalue >= 0.05:
        return 0, max(ahead, behind), ahead + behind
    return (1 if ahead > behind else -1), max(ahead, behind), ahead + behind


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

    def odds(self, who: Index, rows: Index) -> Array:
        """The odds at which these people give answers of the kind of these rows."""
        cells, mosts = len(self.team), int(self.most.max()) + 1
        hits = _looked_up(self.counts, who * cells + self.cell[rows])
        size = _looked_up(self.sizes, who * mosts + self.most[rows])
        rate = np.minimum((hits + WEIGHT * self.team[self.cell[rows]]) / (size + WEIGHT), MOST_GIVEN)
        result: Array = rate / (1 - rate)
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
