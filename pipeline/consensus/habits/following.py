"""Suggestions taken over: does somebody follow wrong ones more than the others, or agree with them only where they are shown?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pandas as pd
from numpy.typing import NDArray

from pipeline.consensus.habits.answers import MIN_COUNT, Index, Row
from pipeline.consensus.habits.sheet import Sheet
from pipeline.statistics import difference_of_shares, holm, wilson

ENOUGH = 10  # answers beside a shown suggestion, and where one was held back
WEIGHT = 5.0  # pseudo-answers at the team's rate, in the rate of one person


@dataclass(frozen=True)
class Suggested:
    """Of each row of a sheet (v,): whether the answer equals the suggestion; whether that was shown before the answer was begun,
    or held back; and what the others' answers say of it: nothing (0), right (1), wrong (2)."""

    taken: NDArray[np.bool_]
    shown: NDArray[np.bool_]
    held: NDArray[np.bool_]
    others: Index


def following(sheet: Sheet, suggestions: pd.DataFrame, *, alpha: float, min_share: float) -> list[Row]:
    """One row per annotator who answered beside shown suggestions (SUGGESTION_COLUMNS), of those answers that were begun later.

    wrong: suggestions that the others' answers contradict. followed: how many of these were taken over as they stood. share: as
    far as the person's own mistakes without a suggestion do not explain it; others_share: the others' together. shown_rate and
    held_rate: agreement with what was shown, and with what was held back; gap: their difference. Flagged if share or gap is
    above the others' by min_share, with a p corrected over both questions and all people.
    """
    said = _suggested(sheet, suggestions)
    rows = [row for person in range(len(sheet.people)) if (row := _person(sheet, said, person)) is not None]
    counts = ("followed", "wrong", "excused", "taken", "shown", "held_taken", "held")
    total = {key: sum(row[key] for row in rows) for key in counts}
    for row in rows:
        row |= _against(row, {key: total[key] - row[key] for key in total})
    p = holm([row[key] for row in rows for key in ("p_wrong", "p_gap")]).reshape(-1, 2)
    for row, (first, second) in zip(rows, p.tolist(), strict=True):
        blind = first < alpha and row["share"] - row["others_share"] >= min_share and row["followed"] >= MIN_COUNT
        leans = second < alpha and row["gap"] - row["others_gap"] >= min_share
        row |= {"p_wrong": first, "p_gap": second, "follows_wrong": blind, "leans": leans, "flagged": blind or leans}
    return rows


def overall(rows: list[Row]) -> dict[str, Any]:
    """What suggestions do to all together: agreement where they were shown, where they were held back, and the difference."""
    shown, held = sum(row["shown"] for row in rows), sum(row["held"] for row in rows)
    if not shown:
        return {}
    taken, held_taken = sum(row["taken"] for row in rows), sum(row["held_taken"] for row in rows)
    told: dict[str, Any] = {"shown": shown, "shown_rate": taken / shown, "held": held}
    if held:
        gap = difference_of_shares(taken, shown, held_taken, held)
        told |= {"held_rate": held_taken / held, "gap": gap.value, "gap_low": gap.low, "gap_high": gap.high}
    wrong = sum(row["wrong"] for row in rows)
    return told | {"wrong": wrong, "followed": sum(row["followed"] for row in rows)}


def _suggested(sheet: Sheet, suggestions: pd.DataFrame) -> Suggested:
    table = suggestions.drop_duplicates("example_id", keep="last").set_index("example_id")
    codes = {value: code for code, value in enumerate(sheet.values)}
    answer = np.array([codes.get(_canonical(text), -2) for text in table["answer"]], np.int64)
    place = pd.Index(table.index).get_indexer(sheet.examples)[sheet.example] if len(table) else np.full(len(sheet.example), -1)
    known = place >= 0
    pushed = pd.to_datetime(table["pushed_at"], utc=True, errors="coerce", format="ISO8601")
    moment = (pushed - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy(dtype=np.float64)
    later = known & (sheet.when > np.append(moment, np.nan)[place])
    held = np.append(table["held_back"].to_numpy(dtype=bool), False)[place]
    own = np.append(answer, -2)[place]
    most = _others_most(sheet)
    others = np.where(~known | (most < 0), 0, np.where(most == own, 1, 2))
    return Suggested(sheet.code == own, later & ~held, later & held, others)


def _canonical(text: str) -> str:
    return orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS).decode()


def _others_most(sheet: Sheet) -> Index:
    """(v,) the answer that most of the others gave to the example; -1 on a tie or without others. The three most frequent
    answers to an example, less the person's own, decide it."""
    width = len(sheet.values)
    names, number = np.unique(sheet.example * width + sheet.code, return_counts=True)
    order = np.lexsort((-number, names // width))
    names, number = names[order], number[order]
    first = np.searchsorted(names // width, np.arange(len(sheet.examples)))
    three = [_at(names % width, number, names // width, first, step) for step in range(3)]
    code = np.stack([item[0] for item in three], axis=1)[sheet.example]
    votes = np.stack([item[1] for item in three], axis=1)[sheet.example] - (code == sheet.code[:, None])
    best = votes.max(axis=1, keepdims=True)
    single = ((votes == best).sum(axis=1) == 1) & (best[:, 0] > 0)
    return np.where(single, code[np.arange(len(code)), votes.argmax(axis=1)], -1)


def _at(code: Index, number: Index, example: Index, first: Index, step: int) -> tuple[Index, Index]:
    """(answer, how many gave it) of the step-most frequent answer to each example; (-1, 0) where there is none."""
    place = np.minimum(first + step, len(code) - 1)
    there = (first + step < len(code)) & (example[place] == np.arange(len(first)))
    return np.where(there, code[place], -1), np.where(there, number[place], 0)


def _person(sheet: Sheet, said: Suggested, person: int) -> Row | None:
    mine = sheet.annotator == person
    shown, held = mine & said.shown, mine & said.held
    if shown.sum() < ENOUGH:
        return None
    wrong = shown & (said.others == 2)
    blind = mine & ~said.shown & (said.others == 2)  # would they have said so by themselves?
    usual = said.others == 2
    team = (said.taken[usual & ~said.shown].sum() + 1) / ((usual & ~said.shown).sum() + 2 * WEIGHT)
    slips = float((said.taken[blind].sum() + WEIGHT * team) / (blind.sum() + WEIGHT))
    return {
        "annotator": sheet.people[person], "shown": int(shown.sum()), "taken": int(said.taken[shown].sum()),
        "held": int(held.sum()), "held_taken": int(said.taken[held].sum()), "wrong": int(wrong.sum()),
        "followed": int(said.taken[wrong].sum()), "excused": slips * float(wrong.sum()),
    }  # fmt: skip


def _against(row: Row, rest: dict[str, float]) -> Row:
    """The person against the others together."""
    from scipy.stats import binom, norm

    told: Row = {"followed_low": None, "followed_high": None, "share": 0.0, "others_share": 0.0, "p_wrong": 1.0}
    if row["wrong"]:
        slips = row["excused"] / row["wrong"]
        others = _beyond(rest["followed"], rest["wrong"], rest["excused"])
        expected = slips + others * (1 - slips)
        interval = wilson(row["followed"], row["wrong"])
        told |= {
            "followed_low": interval.low, "followed_high": interval.high, "others_share": others,
            "share": _beyond(row["followed"], row["wrong"], row["excused"]),
            "p_wrong": float(binom.sf(row["followed"] - 1, row["wrong"], expected)) if rest["wrong"] else 1.0,
        }  # fmt: skip
    told |= {"shown_rate": row["taken"] / row["shown"], "held_rate": None, "gap": 0.0, "gap_low": None, "gap_high": None}
    told |= {"others_gap": 0.0, "p_gap": 1.0}
    if row["held"] >= ENOUGH:
        gap = difference_of_shares(row["taken"], row["shown"], row["held_taken"], row["held"])
        told |= {"held_rate": row["held_taken"] / row["held"], "gap": gap.value, "gap_low": gap.low, "gap_high": gap.high}
        if rest["held"] and rest["shown"]:
            other = difference_of_shares(rest["taken"], int(rest["shown"]), rest["held_taken"], int(rest["held"]))
            error = float(np.hypot(gap.value - gap.low, other.high - other.value)) / 1.96
            told |= {"others_gap": other.value, "p_gap": float(norm.sf((gap.value - other.value) / max(error, 1e-9)))}
    return told


def _beyond(hits: float, n: float, excused: float) -> float:
    return max(0.0, float((hits - excused) / (n - excused))) if n - excused > 1e-9 else 0.0
