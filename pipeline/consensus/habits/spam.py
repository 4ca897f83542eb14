"""Answers that have nothing to do with what is asked: random, constant, or going round in a circle."""

from __future__ import annotations

import numpy as np

from pipeline.consensus.habits.answers import Index, Row
from pipeline.consensus.habits.likeness import mean_test
from pipeline.consensus.habits.sheet import Sheet
from pipeline.statistics import holm

ENOUGH = 20  # answers; with fewer the t-test leans on their being normal
CONSTANT = 0.95  # share of one answer from which on the answers are called constant
LONGEST_CYCLE = 6
TOLD = 0.2  # the others' chance-corrected agreement below which they know too little themselves: "slight", Landis and Koch (1977)
HALF = 0.5  # of what the others know


def spam(sheet: Sheet, *, alpha: float) -> list[Row]:
    """content: how much of an answer depends on the example: mean similarity to the others on the same example, less that on
    other examples, as a share of what is possible (Cohen's kappa where similarity is equality): 1 all, 0 nothing.

    Flagged if it is below half of the others' among each other on the same examples, by a t-test, and its interval holds 0.
    Where the others do not know either (below TOLD), or an example has a single other answer, nobody is judged.
    """
    rows: list[Row] = []
    for person, name in enumerate(sheet.people):
        mine = np.flatnonzero((sheet.annotator == person) & np.isfinite(sheet.rest))
        chance = float(sheet.chance[person])
        if len(mine) < ENOUGH or not chance < 1 - 1e-9:
            continue
        others = float(sheet.rest[mine].mean())
        usual = (others - _others_chance(sheet, person)) / max(1 - _others_chance(sheet, person), 1e-9)
        if usual < TOLD:
            continue
        mean, low, high, p = mean_test(sheet.own[mine], chance + HALF * usual * (1 - chance))
        value, ends = (mean - chance) / (1 - chance), [(end - chance) / (1 - chance) for end in (low, high)]
        interval = {"low": max(-1.0, ends[0]), "high": min(1.0, ends[1])}
        rows.append({"annotator": name, "n": len(mine), "content": value, **interval, "others": usual, "p": p})
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        flagged = bool(p < alpha and row["low"] <= 0)
        kind = pattern(sheet.code[sheet.rows_of(sheet.people.index(row["annotator"]))]) if flagged else ""
        row |= {"p": float(p), "pattern": kind, "flagged": flagged}
    return rows


def _others_chance(sheet: Sheet, person: int) -> float:
    known = np.isfinite(sheet.chance) & (np.arange(len(sheet.people)) != person)
    return float(np.median(sheet.chance[known])) if known.any() else 0.0


def pattern(codes: Index) -> str:
    """What a sequence of answers looks like: "constant", "cycle of 3", or "random"."""
    if np.bincount(codes).max() >= CONSTANT * len(codes):
        return "constant"
    for step in range(2, LONGEST_CYCLE + 1):
        if len(codes) > 4 * step and (codes[step:] == codes[:-step]).mean() >= CONSTANT:
            return f"cycle of {step}"
    return "random"
