"""Whose answers differ from the others', in what way, and who needs a word?

Each question is answered in a file of pipeline/consensus/habits. Of labels only: agreement, confusions, bias by slice, runs.
Of any answers: likeness, speed, spam, drift, new habits, copying, suggestions followed, ground truth; of ratings, use of scale.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import orjson
import pandas as pd

from pipeline.consensus.build import latest_answers
from pipeline.consensus.habits import agreement, copying, drift, following, gold, pace, scales, slices, spam, told
from pipeline.consensus.habits.answers import Row, answers_of
from pipeline.consensus.habits.likeness import likeness
from pipeline.consensus.habits.sheet import Sheet, Similarity, sheet_of
from pipeline.consensus.truth import truths
from pipeline.tasks import task_type
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings

MOST_ROWS = 500  # rows of a table in the facts, worst first: no reader goes further, and summary.json stays small
MOST_SAID = 4  # sentences about one person: who is told ten things hears none
QUESTIONS = 10  # each gets its share of alpha: by Bonferroni the whole check keeps it
THREE = 3  # people: with fewer, nobody stands between the two
THIRD_PARTIES = 3  # copying: with two, a couple that agrees against another could be either
Said = Callable[[Row], told.Said | list[told.Said]]
Part = tuple[str, list[Row], Said]


@check("annotators", "Whose answers differ from the others', and how?", subject="annotator")
def annotators(
    corpus: Corpus,
    *,
    alpha: float = 0.05,  # over all questions and people: at most one run in twenty names anybody for nothing
    min_effect: float = 0.3,  # Cohen's h, between small (0.2) and medium (0.5): accuracy .95 against .87, .80 against .67
    min_confusion: float = 0.5,  # Cohen's h, medium: given .16 of the time against .02
    min_bias: float = 0.1,  # a matched difference of 10 points is to be examined: Dorans and Holland (1993)
    min_gap: float = 0.1,  # ten points of similarity, of agreement lost, or of a scale: as for bias
    min_share: float = 0.1,  # of unusual answers copied, of wrong suggestions followed
    quick: float = 0.5,  # less than half of the others' median time
    narrow: float = 0.5,  # ratings that vary less than half as much as the others'
) -> Report:
    """One row per annotator who shares examples with others. Severity is at least 0.5 if anything is flagged, by the worst of
    it; else it is half the rate of disagreement. What cannot be told, as with two annotators, is said in `not_told`."""
    table = latest_answers(corpus.annotations)
    if not table.duplicated("example_id").any():
        raise Skip("No example has answers of two annotators: nothing can be compared.")
    task = task_type(corpus.task)
    alike = None if corpus.labels else _similarity(corpus, task)
    sheet = sheet_of(table, corpus.annotations, alike)
    level = alpha / QUESTIONS
    spammed = spam.spam(sheet, alpha=level)
    spammers = {row["annotator"] for row in spammed if row["flagged"]}
    if corpus.labels:
        parts = _of_labels(corpus, table, spammers, level, min_effect, min_confusion, min_bias)
    else:
        rows = likeness(sheet, alpha=level, min_gap=min_gap, alternatives=task.ALTERNATIVES)
        parts = [("agreement", rows, told.likeness)]
    people = parts[0][1]
    truth = truths(corpus.annotations)
    known = gold.gold(table, truth, alike, alpha=level, min_effect=min_effect, min_gap=min_gap)
    parts += [
        ("speed", pace.speed(people, corpus.annotations, quick=quick), told.speed),
        ("spam", spammed, told.spam),
        ("copying", copying.copying(sheet, alpha=level, min_share=min_share, third_parties=THIRD_PARTIES), told.copied),
        ("suggestions", _followed(corpus, sheet, level, min_share), told.followed),
        ("gold", known, told.gold),
        ("scales", _scales(corpus, sheet, level, min_gap, narrow), told.scale),
        *_in_time(task, sheet, level, min_gap),
    ]
    words = told.words(parts)
    facts = _facts(corpus, table, sheet, parts, words)
    return Report(findings(_row(row, words, exact=bool(corpus.labels)) for row in people), facts)


def _similarity(corpus: Corpus, task: ModuleType) -> Similarity:
    return lambda a, b: float(task.similarity(a, b, corpus.scheme))


def _of_labels(
    corpus: Corpus, table: pd.DataFrame, spammers: set[str], level: float, min_effect: float, min_confusion: float,
    min_bias: float,
) -> list[Part]:  # fmt: skip
    """What can be asked of labels only. Beside somebody who always says the same the others seem to confuse that label, so spam
    does not count as what the others say; and where a single other person is left, a difference has two possible owners."""
    answers = answers_of(table, corpus.labels)
    bias = slices.bias(answers, corpus.examples, slices=corpus.slices, alpha=level, min_bias=min_bias)
    confusions = agreement.confusions(answers, alpha=level, min_effect=min_confusion)
    counted = table[~table["annotator"].isin(spammers)]
    if spammers and len(counted):
        clean = agreement.confusions(answers_of(counted, corpus.labels), alpha=level, min_effect=min_confusion)
        confusions = [row for row in confusions if row["annotator"] in spammers] + clean
    if counted["annotator"].nunique() < THREE:
        confusions, bias = (_cleared(rows, spammers) for rows in (confusions, bias))
    return [
        ("agreement", agreement.agreement(answers, alpha=level, min_effect=min_effect), told.agreement),
        ("confusions", confusions, told.confusion),
        ("bias", bias, told.bias),
        ("runs", pace.runs(answers, corpus.annotations, alpha=level), told.run),
    ]


def _cleared(rows: list[Row], but: set[str]) -> list[Row]:
    return [{**row, "flagged": row["flagged"] and row["annotator"] in but} for row in rows]


def _in_time(task: ModuleType, sheet: Sheet, level: float, min_gap: float) -> list[Part]:
    """What changes in the course of somebody's work. Where different answers can all be right, less agreement is no fault."""
    falls = drift.falling(sheet, alpha=level, min_fall=min_gap)
    if task.ALTERNATIVES:
        falls = [{**row, "flagged": False} for row in falls]
    mentions = [task.mentions(orjson.loads(value)) for value in sheet.values]
    rises = drift.rising(sheet, mentions, alpha=level, min_rise=min_gap)
    return [("drift", falls, told.drift), ("new_habits", rises, told.habit)]


def _followed(corpus: Corpus, sheet: Sheet, level: float, min_share: float) -> list[Row]:
    if not len(corpus.suggestions):
        return []
    return following.following(sheet, corpus.suggestions, alpha=level, min_share=min_share)


def _scales(corpus: Corpus, sheet: Sheet, level: float, min_shift: float, narrow: float) -> list[Row]:
    widths = scales.widths(sheet) if corpus.task == "response_rating" else {}
    return scales.scales(sheet, widths, alpha=level, min_shift=min_shift, min_spread=narrow)


def _facts(corpus: Corpus, table: pd.DataFrame, sheet: Sheet, parts: list[Part], words: list[Row]) -> dict[str, Any]:
    order = {"confusions": "rate", "bias": "difference", "labels": "difference"}
    rows = {name: found for name, found, _ in parts}
    if corpus.labels:
        rows["labels"] = agreement.distribution(answers_of(table, corpus.labels))
    facts: dict[str, Any] = {name: _worst(found, order.get(name, "")) for name, found in rows.items()}
    facts |= {"suggestions_overall": following.overall(rows["suggestions"]), "circles": copying.circles(rows["copying"])}
    return {"words": words[:MOST_ROWS], **facts, "not_told": told.not_told(sheet, rows, len(corpus.suggestions))}


def _worst(rows: list[Row], key: str) -> list[Row]:
    return sorted(rows, key=lambda row: (not row.get("flagged", False), -abs(row.get(key, 0.0))))[:MOST_ROWS]


def _row(row: Row, words: list[Row], *, exact: bool) -> dict[str, Any]:
    mine = [item for item in words if item["annotator"] == row["annotator"]]
    severity = 0.5 + 0.5 * max(item["severity"] for item in mine) if mine else 0.5 * (1 - row["rate"])
    reason = " ".join(item["sentence"] for item in mine[:MOST_SAID]) or told.calm(row, exact)
    return {
        "subject_id": row["annotator"], "severity": severity, "flagged": bool(mine), "reason": reason, "suggestion": "",
    }  # fmt: skip
