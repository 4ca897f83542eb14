"""Whose answers differ from the others', and in what way?

Five questions, each answered in pipeline/consensus/habits.py:

- is agreement lower than the rest's?
- is one label given where the others say another?
- is a label given more often in one slice group than the others give it to the same examples?
- is the pace far quicker than the others', with low agreement?
- are there long runs of one answer that the others do not share?
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.consensus import habits
from pipeline.consensus.build import latest_answers
from pipeline.consensus.habits import Row
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings, require_classes

Said = tuple[float, str]  # how bad, in [0, 1], and the sentence
MOST_ROWS = 500  # rows of a table in the facts, worst first: no reader goes further, and summary.json stays small


@check("annotators", "Whose answers differ from the others', and how?", subject="annotator")
def annotators(
    corpus: Corpus,
    *,
    alpha: float = 0.01,  # after Holm: at most one run in a hundred names anybody for nothing
    min_effect: float = 0.3,  # Cohen's h, between small (0.2) and medium (0.5): accuracy .95 against .87, .80 against .67
    min_confusion: float = 0.5,  # Cohen's h, medium: given .16 of the time against .02
    min_bias: float = 0.1,  # a matched difference of 10 points is to be examined: Dorans and Holland (1993)
    quick: float = 0.5,  # less than half of the others' median time
) -> Report:
    """One row per annotator who shares examples with others. Severity is at least 0.5 if anything is flagged, by the worst
    of it; else it is half the rate of disagreement. With two annotators a difference cannot be laid at one door: both
    may be named."""
    require_classes(corpus)
    table = latest_answers(corpus.annotations)
    if not table.duplicated("example_id").any():
        raise Skip("No example has answers of two annotators: nothing can be compared.")
    answers = habits.answers_of(table, corpus.labels)
    agreement = habits.agreement(answers, alpha=alpha, min_effect=min_effect)
    confusions = habits.confusions(answers, alpha=alpha, min_effect=min_confusion)
    bias = habits.bias(answers, corpus.examples, slices=corpus.slices, alpha=alpha, min_bias=min_bias)
    speed = habits.speed(agreement, corpus.annotations, quick=quick)
    runs = habits.runs(answers, corpus.annotations, alpha=alpha)
    said = _said([(agreement, _agreement), (confusions, _confusion), (bias, _bias), (speed, _speed), (runs, _run)])
    facts = {
        "agreement": agreement,
        "confusions": _worst(confusions, "rate"),
        "bias": _worst(bias, "difference"),
        "speed": speed,
        "runs": runs,
        "labels": _worst(habits.distribution(answers), "difference"),
    }
    return Report(findings(_row(row, said.get(row["annotator"], [])) for row in agreement), facts)


def _worst(rows: list[Row], key: str) -> list[Row]:
    return sorted(rows, key=lambda row: (not row.get("flagged", False), -abs(row[key])))[:MOST_ROWS]


def _said(parts: list[tuple[list[Row], Callable[[Row], Said]]]) -> dict[str, list[Said]]:
    said: dict[str, list[Said]] = {}
    for rows, say in parts:
        for row in rows:
            if row["flagged"]:
                said.setdefault(row["annotator"], []).append(say(row))
    return said


def _row(row: Row, said: list[Said]) -> dict[str, Any]:
    calm = (
        f"Agrees with the others in {row['rate']:.0%} of {row['judged']} shared answers; the others among each other in "
        f"{row['others']:.0%}."
    )
    severity = 0.5 + 0.5 * max(bad for bad, _ in said) if said else 0.5 * (1 - row["rate"])
    reason = " ".join(text for _, text in said) or calm
    return {
        "subject_id": row["annotator"], "severity": severity, "flagged": bool(said), "reason": reason, "suggestion": "",
    }


def _agreement(row: Row) -> Said:
    return 1 - row["rate"], (
        f"Agrees with the others in {row['rate']:.0%} of {row['judged']} shared answers "
        f"({row['low']:.0%} to {row['high']:.0%}); the others agree among each other in {row['others']:.0%}."
    )


def _confusion(row: Row) -> Said:
    return row["rate"], (
        f"Gives “{row['given']}” in {row['count']} of {row['n']} cases ({row['rate']:.0%}) where the others say "
        f"“{row['consensus']}”; others do so in {row['others']:.0%}."
    )


def _bias(row: Row) -> Said:
    return min(row["difference"], 1.0), (
        f"Where {row['slice']} is “{row['group']}”, gives “{row['label']}” in {row['rate']:.0%} of {row['n']} examples "
        f"({row['low']:.0%} to {row['high']:.0%}); the others give it to {row['others']:.0%} of the same examples. Elsewhere "
        f"the gap is {row['difference'] * 100:.0f} points smaller."
    )


def _speed(row: Row) -> Said:
    return 1 - row["ratio"], (
        f"Takes {row['seconds']:.1f} seconds an answer (median), the others {row['others']:.1f}, and agrees with them less."
    )


def _run(row: Row) -> Said:
    return 1 - row["agree"], (
        f"Gave “{row['label']}” {row['length']} times in a row, where the others say so for {row['agree']:.0%} of these."
    )
