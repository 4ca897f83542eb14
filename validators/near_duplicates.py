"""Which examples say nearly the same, a word, a typo or a greeting apart?"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline.evidence.answers import labels_of
from pipeline.evidence.duplicates import (
    THRESHOLD,
    Pair,
    exact_groups,
    group_facts,
    link,
    near_pairs,
    normalise,
    preference,
)
from pipeline.types import Corpus, IntArray
from validators.check import Report, Skip, check, findings

# Pairs from here up are listed, unflagged, for whoever wants a lower threshold; of banking77’s, 95 % are found.
LISTED = 0.5


@check("near_duplicates", "Which examples say nearly the same thing?", subject="example")
def near_duplicates(corpus: Corpus, *, threshold: Annotated[float, Field(gt=0, le=1)] = THRESHOLD) -> Report:
    """Flags an example whose text is nearly that of one that is kept.

    Similarity is the Jaccard of character 5-grams in [0, 1]; 1 is the same but for punctuation. The examples are gone
    through in the order of `exact_duplicates` (test first, …): one that resembles an earlier kept one by `threshold` or
    more is flagged, otherwise it is kept. So no example is flagged for the sake of one that is itself flagged, and the
    ends of a chain (A like B like C) both stay. Severity is the similarity to the most similar kept example, 0 where none
    reaches 0.5. Exact copies are left to `exact_duplicates`; empty texts are not judged.

    threshold: default measured, see pipeline/evidence/duplicates.py. Raise it towards 0.8 for texts that are short and
        formal by nature.
    """
    examples = corpus.examples
    if len(examples) < 2:
        raise Skip("There are fewer than two examples.")
    texts, ids, labels = examples["text"].tolist(), examples["example_id"].tolist(), labels_of(corpus)
    place = preference(ids, examples["split"].tolist(), corpus.annotations["example_id"])
    exact = exact_groups(texts)
    chosen = {int(exact[row]): row for row in place.argsort()[::-1].tolist() if normalise(texts[row])}
    pairs = near_pairs(texts, floor=min(LISTED, threshold))
    nearest = _nearest_kept([(chosen[one], chosen[two], value) for one, two, value in pairs], place, threshold)
    rows = [_finding(row, nearest.get(row), ids, labels, threshold) for row in chosen.values()]
    judged = np.array(sorted(chosen.values()), dtype=np.int64)
    groups = link(texts, [pair for pair in pairs if pair[2] >= threshold])[judged]
    facts = group_facts(groups, [ids[row] for row in judged], [labels[row] for row in judged])
    return Report(findings(rows), {**facts, "threshold": threshold})


def _nearest_kept(pairs: list[Pair], place: IntArray, threshold: float) -> dict[int, tuple[int, float]]:
    """Row -> the most similar kept row before it in `place`, and the similarity."""
    before: dict[int, list[tuple[float, int, int]]] = {}
    for one, two, similarity in pairs:
        first, later = sorted((one, two), key=lambda row: int(place[row]))
        before.setdefault(later, []).append((similarity, -int(place[first]), first))
    dropped: set[int] = set()
    nearest: dict[int, tuple[int, float]] = {}
    for row in sorted(before, key=lambda row: int(place[row])):
        similarity, _, first = max((item for item in before[row] if item[2] not in dropped), default=(0.0, 0, -1))
        if similarity:
            nearest[row] = (first, similarity)
        if similarity >= threshold:
            dropped.add(row)
    return nearest


def _finding(
    row: int, nearest: tuple[int, float] | None, ids: list[object], labels: list[str | None], threshold: float
) -> dict[str, Any]:
    other, similarity = nearest or (row, 0.0)
    flagged = nearest is not None and similarity >= threshold
    reason = ""
    if nearest:
        reason = f"Resembles example {ids[other]} (similarity {similarity:.2f})" + (
            ", which is kept." if flagged else "."
        )
        if labels[row] and labels[other] and labels[row] != labels[other]:
            reason += f" Their labels differ: {labels[row]} here, {labels[other]} there."
    return {"subject_id": str(ids[row]), "severity": similarity, "flagged": flagged, "reason": reason, "suggestion": ""}
