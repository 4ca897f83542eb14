"""Which examples say the same thing twice, down to case, blanks and the marks at the ends?"""

from __future__ import annotations

from typing import Any

from pipeline.evidence.answers import labels_of
from pipeline.evidence.duplicates import conflicts, exact_groups, group_facts, preference
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings


@check("exact_duplicates", "Which examples say the same thing twice?", subject="example")
def exact_duplicates(corpus: Corpus) -> Report:
    """Flags all but one example of each group of equal texts, as `normalise` compares them; empty texts equal nothing.

    Kept is the one in the test split (it is frozen), else in validation, else in train; then the one with the most
    annotations; then the lowest id. Severity is 1 where the group's consensus labels contradict each other and 0.8
    where they do not (a copy distorts counts, a contradiction teaches the model a wrong thing as well), 0 for what is
    kept.
    """
    examples = corpus.examples
    if len(examples) < 2:
        raise Skip("There are fewer than two examples.")
    ids, splits, labels = examples["example_id"].tolist(), examples["split"].tolist(), labels_of(corpus)
    groups = exact_groups(examples["text"].tolist())
    place = preference(ids, splits, corpus.annotations["example_id"])
    at_odds = conflicts(groups, labels)
    kept: dict[int, int] = {}
    rows: list[dict[str, Any]] = []
    for row in place.argsort().tolist():
        group = int(groups[row])
        first = kept.setdefault(group, row)
        severity, reason = 0.0, ""
        if first != row:
            severity = 1.0 if group in at_odds else 0.8
            reason = f"Says the same as example {ids[first]}, which is kept{_where(splits[first])}."
            if group in at_odds:
                reason += f" The copies are labelled differently: {', '.join(at_odds[group])}."
        rows.append(_row(ids[row], severity, reason))
    return Report(findings(rows), group_facts(groups, ids, labels))


def _row(name: object, severity: float, reason: str) -> dict[str, Any]:
    flagged = severity > 0
    return {"subject_id": str(name), "severity": severity, "flagged": flagged, "reason": reason, "suggestion": ""}


def _where(split: str) -> str:
    return f" (in the {split} split)" if split else ""
