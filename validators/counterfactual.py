"""Does a model that learns these labels change its mind if only the name of a group of people changes?

The evidence holds the embeddings of sentences such as “I spoke with a … person about it yesterday.”, which say nothing that a
label should hang on. In these the name alone moves the answer, whatever the texts of the project are about; a project whose
labels are far from such sentences sees small numbers, and that is no proof that it has no such bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.bias.counterfactual import gaps, predicted, sentences
from pipeline.bias.rates import corrected, worst_first
from pipeline.statistics import wilson
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings, require_classes

Row = dict[str, Any]


@check("counterfactual", "Does the name of a group of people alone change what a model says?", subject="corpus")
def counterfactual(
    corpus: Corpus,
    *,
    alpha: float = 0.05,
    min_difference: float = 0.1,  # 10 points of probability, as for rates: Dorans and Holland (1993)
    min_examples: int = 50,  # as `label_errors`: a model of fewer says little
) -> Report:
    """One row per name. Severity is its largest difference from the other names of its axis, as a probability. Flagged if that is
    at least `min_difference` with a corrected p-value: over sentences, and against how far neutral words (“tall”) move the same
    label (Benjamini–Hochberg over all names and labels). `neutral` is the standard deviation of the latter."""
    require_classes(corpus)
    wanted = corpus.evidence.templates
    if wanted is None or not len(wanted):
        raise Skip("The evidence holds no sentences about groups of people.")
    table = corpus.labelled().sort_values("example_id", ignore_index=True)
    table = table[table["label"].isin(corpus.labels).to_numpy(bool)]
    labels = sorted(set(table["label"]))
    if len(table) < min_examples or len(labels) < 2:
        raise Skip(f"It needs at least {min_examples} labelled examples with two labels, and there are {len(table)}.")
    if len(wanted) != len(sentences()) or wanted.shape[1] != corpus.evidence.embeddings.shape[1]:
        raise Skip("The sentences about groups of people were changed since the evidence was computed.")
    number = {label: at for at, label in enumerate(labels)}
    embeddings = corpus.evidence.embeddings[table["row"].to_numpy(np.int64)].astype(np.float64)
    given = table["label"].map(number).to_numpy(np.int64)
    rows, flips = gaps(predicted(embeddings, given, len(labels), wanted.astype(np.float64)), labels)
    corrected(rows)
    for row in rows:
        row["flagged"] = bool(row["p"] < alpha and abs(row["difference"]) >= min_difference)
    for flip in flips:
        share = wilson(flip["flipped"], flip["sentences"])
        flip.update(share=share.value, low=share.low, high=share.high)
    facts = {
        "names": worst_first(rows, "difference"), "flips": flips, "tested": len(rows),
        "smallest_group": min(row["n"] for row in rows), "worst_gap": max(abs(row["difference"]) for row in rows),
        "flip_share": sum(flip["flipped"] for flip in flips) / sum(flip["sentences"] for flip in flips),
        "min_difference": min_difference,
    }  # fmt: skip
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        by_name.setdefault(f"{row['axis']}: {row['name']}", []).append(row)
    return Report(findings(_row(subject, mine) for subject, mine in by_name.items()), facts)


def _row(subject: str, rows: Sequence[Row]) -> Row:
    largest = max(rows, key=lambda row: (row["flagged"], abs(row["difference"])))
    return {
        "subject_id": subject, "severity": min(1.0, abs(largest["difference"])), "flagged": largest["flagged"],
        "reason": (
            f"In the same {largest['n']} sentences, a model gives “{largest['label']}” {largest['probability']:.0%} with "
            f"“{largest['name']}” and {largest['others']:.0%} with other names: {largest['difference'] * 100:+.0f} points "
            f"({largest['low'] * 100:+.0f} to {largest['high'] * 100:+.0f})."
        ),
        "suggestion": "",
    }  # fmt: skip
