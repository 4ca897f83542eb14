"""Ratings: who is stricter or milder than the others, and who uses only part of the scale."""

from __future__ import annotations

import numpy as np
import orjson
from numpy.typing import NDArray

from pipeline.consensus.habits.answers import Array, Row
from pipeline.consensus.habits.likeness import ENOUGH, mean_test
from pipeline.consensus.habits.sheet import Sheet
from pipeline.statistics import holm

Mask = NDArray[np.bool_]
MANY = 8  # people from whom on it is known how much they differ
OUTSIDE = 2.0  # robust standard deviations of the people's shifts: who lies within is as far off as anybody
LEAST_SPREAD = 20  # ratings; a standard deviation of fewer says little


def widths(sheet: Sheet) -> dict[str, float]:
    """Scale → highest less lowest rating that anybody gave."""
    found: dict[str, list[float]] = {}
    for value in map(orjson.loads, sheet.values):
        for name, rating in value.items() if isinstance(value, dict) else ():
            found.setdefault(name, []).append(float(rating))
    return {name: max(ratings) - min(ratings) for name, ratings in sorted(found.items())}


def scales(sheet: Sheet, widths: dict[str, float], *, alpha: float, min_shift: float, min_spread: float) -> list[Row]:
    """A row per annotator and scale. widths: scale → its highest less its lowest rating.

    shift: mean difference to the others' mean on the same examples, as a share of the scale's width; above 0 is milder.
    spread: the standard deviation of the ratings over that of the others' on the same examples. Flagged (`shifted`) if the
    shift is at least min_shift, outside of what is usual among many, and by a t-test not 0; (`narrow`) if the spread is
    below min_spread, by the same on log-spread with its jackknife error. Who was found first does not count as one of the
    others for the rest: beside a strict colleague everybody looks mild. An example needs two others: between two people a
    difference has no owner.
    """
    tables = {name: _ratings(sheet, name) for name in widths}
    found: dict[str, Row] = {}
    gone: list[int] = []
    rows = _rows(sheet, tables, widths, gone, alpha, min_shift, min_spread)
    while left := [row for row in rows if row["shifted"] and sheet.people.index(row["annotator"]) not in gone]:
        best = min(left, key=lambda row: (-abs(row["shift"]), row["annotator"], row["scale"]))
        gone.append(sheet.people.index(best["annotator"]))
        found |= {f"{row['annotator']} {row['scale']}": row for row in rows if row["annotator"] == best["annotator"]}
        rows = _rows(sheet, tables, widths, gone, alpha, min_shift, min_spread)
    return [found.get(f"{row['annotator']} {row['scale']}", row) for row in rows]


def _ratings(sheet: Sheet, name: str) -> Array:
    """(v,) the rating on this scale, NaN where none was given."""
    values = [orjson.loads(value) for value in sheet.values]
    each = [value.get(name) if isinstance(value, dict) else None for value in values]
    return np.array([np.nan if value is None else float(value) for value in each], np.float64)[sheet.code]


def _rows(
    sheet: Sheet, tables: dict[str, Array], widths: dict[str, float], gone: list[int], alpha: float, min_shift: float,
    min_spread: float,
) -> list[Row]:  # fmt: skip
    rows = []
    for name, given in tables.items():
        usable = np.isfinite(given)
        counted = usable & ~np.isin(sheet.annotator, gone)
        for person in range(len(sheet.people)):
            row = _person(sheet, given, usable & (sheet.annotator == person), counted, person in gone, widths[name])
            rows += [{"annotator": sheet.people[person], "scale": name, **row}] if row else []
    shifts, spreads = (holm([row[key] for row in rows]) for key in ("p", "p_spread"))
    usual = {name: _usual([row["shift"] for row in rows if row["scale"] == name]) for name in tables}
    for row, p, q in zip(rows, shifts.tolist(), spreads.tolist(), strict=True):
        shifted = p < alpha and abs(row["shift"]) >= max(min_shift, OUTSIDE * usual[row["scale"]])
        narrow = q < alpha and row["spread"] < min_spread
        row |= {"p": p, "p_spread": q, "shifted": shifted, "narrow": narrow, "flagged": shifted or narrow}
    return rows


def _usual(shifts: list[float]) -> float:
    """The robust standard deviation of people's shifts; 0 where there are few. In POPQUORN half of 262 people lie more than a
    tenth of the scale off: where tastes differ, that is no fault of one of them."""
    return 1.4826 * float(np.median(np.abs(shifts))) if len(shifts) >= MANY else 0.0


def _person(sheet: Sheet, given: Array, mine: Mask, counted: Mask, is_gone: bool, width: float) -> Row | None:
    examples = len(sheet.examples)
    size = np.bincount(sheet.example[counted], minlength=examples)
    sums = np.bincount(sheet.example[counted], given[counted], examples)
    squares = np.bincount(sheet.example[counted], given[counted] ** 2, examples)
    rows = np.flatnonzero(mine)
    own, where = given[rows], sheet.example[rows]
    inside = 0 if is_gone else 1
    others = (size[where] - inside).astype(np.float64)
    keep = others >= 2
    if keep.sum() < ENOUGH or width <= 0:
        return None
    own, where, others = own[keep], where[keep], others[keep]
    total, square = sums[where] - inside * own, squares[where] - inside * own**2
    shift, low, high, p = mean_test((own - total / others) / width)
    told = {"n": len(own), "shift": shift, "low": low, "high": high, "p": float(min(1.0, 2 * min(p, 1 - p)))}
    return {**told, **_spread(own, total, square, others)}


def _spread(own: Array, total: Array, square: Array, others: Array) -> Row:
    """Ratio of standard deviations, with p (one-sided) by the delete-one jackknife of its logarithm."""
    from scipy.stats import t

    n = len(own)
    rest_n, rest_sum, rest_square = float(others.sum()), float(total.sum()), float(square.sum())
    rest = max(rest_square / rest_n - (rest_sum / rest_n) ** 2, 0.0) ** 0.5
    if n < LEAST_SPREAD or rest <= 1e-9:
        return {"spread": 1.0, "p_spread": 1.0}
    floor = 1e-3 * rest  # a person who always gives the same rating has a spread of 0, whose logarithm is not a number
    left_sum, left_square = own.sum() - own, (own**2).sum() - own**2
    mine = np.sqrt(np.maximum(left_square / (n - 1) - (left_sum / (n - 1)) ** 2, 0.0))
    again_n = rest_n - others
    again = np.sqrt(np.maximum((rest_square - square) / again_n - ((rest_sum - total) / again_n) ** 2, 0.0))
    ratio = np.log(np.maximum(mine, floor) / np.maximum(again, floor))
    value = max(float(own.std()), floor) / rest
    error = max(float(np.sqrt((n - 1) / n * ((ratio - ratio.mean()) ** 2).sum())), (2 * (n - 1)) ** -0.5)
    return {"spread": float(own.std()) / rest, "p_spread": float(t.cdf(np.log(value) / error, n - 1))}
