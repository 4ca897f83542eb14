"""Are there enough examples of every label to train on it and to test it?"""

from __future__ import annotations

from typing import Any

from pipeline.statistics import wilson
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings, require_classes


@check("class_balance", "Which labels have too few examples to train and test on?", subject="corpus")
def class_balance(
    corpus: Corpus,
    *,
    # A fifth goes to the test split: 5 of 25. With fewer, even 4 right of 5 leaves anything from 38 to 96 % (Wilson).
    min_examples: int = 25,
    # 100:1 is where the literature speaks of high class imbalance: Leevy et al., Journal of Big Data 5:42 (2018).
    max_ratio: float = 100.0,
) -> Report:
    """One row per label, of the configuration or in use. Severity is the share of the examples needed that is missing: 0 is
    enough, 1 is none. Needed is `min_examples`, or the largest label's number / `max_ratio` if that is more."""
    require_classes(corpus)
    given = corpus.labelled()["label"]
    if not len(given):
        raise Skip("No example has an answer yet.")
    counts = given.value_counts()
    labels = list(dict.fromkeys([*corpus.labels, *sorted(set(given) - set(corpus.labels))]))
    rows, shown = [], []
    for label in labels:
        count = int(counts.get(label, 0))
        share = wilson(count, len(given))
        rows.append(_row(label, count, share.value, int(counts.max()), min_examples, max_ratio))
        shown.append({"label": label, "count": count, "share": share.value, "low": share.low, "high": share.high})
    return Report(findings(rows), {"labels": shown})


def _row(label: str, count: int, share: float, largest: int, min_examples: int, max_ratio: float) -> dict[str, Any]:
    needed = max(float(min_examples), largest / max_ratio)
    flagged = count < needed
    return {
        "subject_id": label,
        "severity": max(0.0, 1 - count / needed),
        "flagged": flagged,
        "reason": _reason(label, count, share, largest, min_examples, max_ratio),
        "suggestion": "",
    }


def _reason(label: str, count: int, share: float, largest: int, min_examples: int, max_ratio: float) -> str:
    if count == 0:
        return f"“{label}” is in the label configuration and nobody used it."
    said = f"“{label}” has {count:,} examples ({share:.1%})"
    if count < min_examples:
        return f"{said}; to train on it and to test it takes {min_examples}."
    if count < largest / max_ratio:
        return f"{said}, the largest label {largest:,}: over {max_ratio:.0f} to 1, a model may never choose it."
    return f"{said}."
