"""Somebody's answers in the course of their own work: does the agreement fall, does a label become frequent?

A sequence is split at a quarter, a half and three quarters, and its two parts are compared by Welch's t, corrected for the three
tries and for neighbouring answers that resemble each other (Newey and West, 1987); of two variances, pooled and apart, the larger
is taken: ten right answers in a row have none of their own. A split at a quarter's place loses little of
the power wherever the change is, and asks for less than a search over all places would. The place shown is the one at which
the cumulative sum departs most (Page, 1954).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.consensus.habits.answers import MIN_COUNT, Array, Row
from pipeline.consensus.habits.sheet import Sheet
from pipeline.statistics import holm

SPLITS = (0.25, 0.5, 0.75)
SHORTEST = 40  # answers: ten in the shorter part
OWN = 0.5  # of a fall that is to be laid at somebody's door, more than half must be theirs alone
EDGE = 0.1  # of the sequence, in which no change is placed
MOST_LABELS = 50


@dataclass(frozen=True)
class Change:
    """place: answers before it. fall: mean before less mean after, with its 95 % interval. p: one-sided."""

    place: int
    fall: float
    low: float
    high: float
    p: float


def change(values: Array) -> Change:
    """Whether a sequence falls; needs at least SHORTEST values."""
    from scipy.stats import t

    n, best = len(values), (-np.inf, 1.0)
    for share in SPLITS:
        z, error = _gap(values, round(share * n))
        best = max(best, (z, error))
    place = _place(values)
    fall = float(values[:place].mean() - values[place:].mean())
    error = _gap(values, place)[1]
    half = 1.96 * error
    return Change(place, fall, fall - half, fall + half, float(min(1.0, len(SPLITS) * t.sf(best[0], n - 2))))


def _gap(values: Array, place: int) -> tuple[float, float]:
    """(t of the fall at this place, its standard error)."""
    before, after = values[:place], values[place:]
    left = np.concatenate([before - before.mean(), after - after.mean()])
    apart = before.var(ddof=1) / len(before) + after.var(ddof=1) / len(after)
    pooled = float(left @ left) / max(len(left) - 2, 1) * (1 / len(before) + 1 / len(after))
    error = (max(apart, pooled) * _inflation(left)) ** 0.5
    return float((before.mean() - after.mean()) / max(error, 1e-9)), float(error)


def _inflation(left: Array) -> float:
    """By how much correlation of neighbours widens the variance of a mean; at least 1."""
    n, power = len(left), float(left @ left)
    lags = int(4 * (n / 100) ** (2 / 9))
    if power <= 0:
        return 1.0
    found = sum((1 - lag / (lags + 1)) * float(left[lag:] @ left[:-lag]) / power for lag in range(1, lags + 1))
    return max(1.0, 1 + 2 * found)


def _place(values: Array) -> int:
    n = len(values)
    low, high = max(1, int(EDGE * n)), n - max(1, int(EDGE * n))
    total = np.cumsum(values - values.mean())
    place = np.arange(low, high + 1)
    scale = np.sqrt(place / n * (1 - place / n))
    return int(place[np.argmax(total[place - 1] / scale)])


def falling(sheet: Sheet, *, alpha: float, min_fall: float) -> list[Row]:
    """Whose agreement with the others falls.

    What the others' agreement among each other on the same examples explains is taken out first, as far as the two vary together;
    where an example has a single other answer it is left out. fall: by how much more the person's agreement falls than that
    of the others. Flagged if this is min_fall at least, above 0 by itself, and more than half of the whole fall, so that harder
    examples, or a worse day for all, are no drift of one person.
    """
    rows: list[Row] = []
    for person, name in enumerate(sheet.people):
        mine = sheet.rows_of(person)
        mine = mine[np.isfinite(sheet.rest[mine])]
        if len(mine) < SHORTEST:
            continue
        own = sheet.own[mine]
        found = change(_adjusted(own, sheet.rest[mine]))
        before, after = float(own[: found.place].mean()), float(own[found.place :].mean())
        ends = {**_beyond(own - sheet.rest[mine], found.place), "p": found.p}
        rows.append({"annotator": name, "n": len(mine), "place": found.place, "before": before, "after": after, **ends})
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        own = row["low"] > 0 and row["fall"] >= OWN * (row["before"] - row["after"])
        row |= {"p": float(p), "flagged": bool(p < alpha and row["fall"] >= min_fall and own)}
    return rows


def _beyond(values: Array, place: int) -> Row:
    """The fall of the values at a place, with its 95 % interval."""
    fall, error = float(values[:place].mean() - values[place:].mean()), _gap(values, place)[1]
    return {"fall": fall, "low": fall - 1.96 * error, "high": fall + 1.96 * error}


def _adjusted(score: Array, rest: Array) -> Array:
    """The score without what varies with `rest` (a control variate; its factor is kept within [0, 1])."""
    away = rest - rest.mean()
    power = float(away @ away)
    factor = min(max(float(away @ (score - score.mean())) / power, 0.0), 1.0) if power > 1e-12 else 0.0
    result: Array = score - factor * away
    return result


def rising(sheet: Sheet, mentions: list[list[str]], *, alpha: float, min_rise: float) -> list[Row]:
    """Labels that somebody begins to give more often than the others on the same examples. mentions: the labels of each of
    `sheet.values`. Only the rows that are flagged.

    One person's new habit makes the others look as if they had dropped it: who was found first does not count for the rest.
    """
    names, given = _given(sheet, mentions)
    found: list[Row] = []
    gone: list[int] = []
    for _ in sheet.people:
        rows = [row for row in _rises(sheet, names, given, gone, alpha, min_rise) if row["flagged"]]
        if not rows:
            break
        best = min(rows, key=lambda row: (row["p"], row["annotator"], row["label"]))
        found.append(best)
        gone.append(sheet.people.index(best["annotator"]))
    return found


def _given(sheet: Sheet, mentions: list[list[str]]) -> tuple[list[str], Array]:
    """(labels, most frequent first; (v, K) 1 where the answer gives the label)."""
    sizes = np.bincount(sheet.code, minlength=len(mentions))
    totals: dict[str, int] = {}
    for labels, size in zip(mentions, sizes.tolist(), strict=True):
        for label in set(labels):
            totals[label] = totals.get(label, 0) + size
    names = sorted(totals, key=lambda label: (-totals[label], label))[:MOST_LABELS]
    table = np.array([[label in labels for label in names] for labels in map(set, mentions)], np.float64)
    return names, table.reshape(len(mentions), len(names))[sheet.code]


def _rises(
    sheet: Sheet, names: list[str], given: Array, gone: list[int], alpha: float, min_rise: float
) -> list[Row]:
    left = ~np.isin(sheet.annotator, gone)
    sums = np.zeros((len(sheet.examples), len(names)))
    np.add.at(sums, sheet.example[left], given[left])
    size = np.bincount(sheet.example[left], minlength=len(sheet.examples))
    rows: list[Row] = []
    tests = 0
    for person in range(len(sheet.people)):
        mine = sheet.rows_of(person)
        others = size[sheet.example[mine]] - 1
        mine, others = mine[others >= 2], others[others >= 2]
        if person in gone or len(mine) < SHORTEST:
            continue
        tests += len(names)
        rest = (sums[sheet.example[mine]] - given[mine]) / others[:, None]
        rows += _person_rises(sheet.people[person], names, given[mine], rest)
    for row, p in zip(rows, holm([row["p"] for row in rows], tests=tests), strict=True):
        row |= {"p": float(p), "flagged": bool(p < alpha and row["rise"] >= min_rise)}
    return rows


def _person_rises(name: str, names: list[str], own: Array, rest: Array) -> list[Row]:
    rows: list[Row] = []
    for column in np.flatnonzero(own.sum(axis=0) >= MIN_COUNT):
        found = change(rest[:, column] - own[:, column])
        parts = (slice(None, found.place), slice(found.place, None))
        before, after = (float(own[part, column].mean()) for part in parts)
        usual = [float(rest[part, column].mean()) for part in parts]
        told = {"annotator": name, "label": names[column], "n": len(own), "place": found.place, "before": before, "after": after}
        ends = {"rise": found.fall, "low": found.low, "high": found.high, "p": found.p}
        rows.append({**told, "others_before": usual[0], "others_after": usual[1], **ends})
    return rows
