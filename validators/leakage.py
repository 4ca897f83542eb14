"""Does the training data hold what the test split asks?"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline.evidence.duplicates import THRESHOLD, exact_groups, near_pairs, preference
from pipeline.types import Corpus, IntArray
from validators.check import Report, Skip, check, findings

# What may leak into what. The row that is named is always on the left: the test split is frozen.
DIRECTIONS = (("train", "test"), ("validation", "test"), ("train", "validation"))
# Of banking77's test questions, 943 of 3,080 have a training question of another wording above this cosine: paraphrases
# of one intent, which a test split is meant to hold. Hence a fact for the report, never a finding.
COSINE = 0.95
SHOWN = 20  # pairs by cosine in the facts, for a person to look at

Found = dict[int, tuple[float, int, str]]  # row -> similarity, the row it resembles most, "exact" or "near"
Close = dict[tuple[str, str], dict[tuple[int, int], float]]  # direction -> rows -> cosine


@check("leakage", "Does the training data hold what the test split asks?", subject="example")
def leakage(corpus: Corpus, *, threshold: Annotated[float, Field(gt=0, le=1)] = THRESHOLD) -> Report:
    """Flags train and validation examples whose text equals, or nearly equals, that of a test example.

    Severity is the similarity in [0, 1] (the Jaccard of character 5-grams), 1 where the texts are equal and 0 where none
    is alike. A train example that equals or resembles a validation example has half of that severity and is not flagged:
    it makes early stopping too hopeful, but touches no reported figure. Test examples, and those without a split, are not
    judged. Skipped where no example is in the test split.

    The facts count, for each pair of splits, the examples of the first that equal one of the second, resemble one, or are
    close to one in meaning (by the embeddings, among the nearest neighbours, whatever the wording; never flagged).

    threshold: default measured, see pipeline/evidence/duplicates.py.
    """
    splits = corpus.examples["split"].tolist()
    if "test" not in splits:
        raise Skip("No example is in the test split.")
    ids = corpus.examples["example_id"].tolist()
    place = preference(ids, splits, corpus.annotations["example_id"])
    found = _resemblances(corpus.examples["text"].tolist(), splits, place, threshold)
    rows = {row: _row(ids[row]) for row, split in enumerate(splits) if split in ("train", "validation")}
    for left, right in reversed(DIRECTIONS):  # what touches the test split has the last word
        for row, (similarity, other, how) in found[left, right].items():
            rows[row] = _finding(ids[row], ids[other], left, right, similarity, how)
    return Report(findings(rows.values()), {"threshold": threshold, **_facts(found, _by_meaning(corpus, splits), ids)})


def _resemblances(
    texts: list[str], splits: list[str], place: IntArray, threshold: float
) -> dict[tuple[str, str], Found]:
    """For each direction, the rows of its left split that resemble a row of its right one."""
    rows: dict[tuple[int, str], list[int]] = {}
    exact = exact_groups(texts)
    for row in place.argsort().tolist():
        rows.setdefault((int(exact[row]), splits[row]), []).append(row)
    links = [(group, group, 1.0, "exact") for group in np.unique(exact).tolist()]
    for one, two, similarity in near_pairs(texts, floor=threshold):
        links += [(one, two, similarity, "near"), (two, one, similarity, "near")]
    found: dict[tuple[str, str], Found] = {}
    for left, right in DIRECTIONS:
        best: Found = found.setdefault((left, right), {})
        for one, two, similarity, how in links:
            for row in rows.get((one, left), ()) if (two, right) in rows else ():
                hit = (similarity, rows[two, right][0], how)
                best[row] = max(
                    best.get(row, hit), hit, key=lambda item: (item[2] == "exact", item[0], -place[item[1]])
                )
    return found


def _facts(found: dict[tuple[str, str], Found], close: Close, ids: list[Any]) -> dict[str, Any]:
    pairs = {}
    for direction in DIRECTIONS:
        kinds = [how for _, _, how in found[direction].values()]
        meaning = {row for row, _ in close[direction]}
        name = "-".join(direction)
        pairs[name] = {"exact": kinds.count("exact"), "near": kinds.count("near"), "cosine": len(meaning)}
    everything = [(value, str(ids[a]), str(ids[b])) for part in close.values() for (a, b), value in part.items()]
    top = sorted(everything, key=lambda item: (-item[0], *item[1:]))[:SHOWN]
    shown = [{"example": one, "other": two, "cosine": round(value, 4)} for value, one, two in top]
    return {"pairs": pairs, "cosine_from": COSINE, "closest_in_meaning": shown}


def _row(name: object, severity: float = 0.0, flagged: bool = False, reason: str = "") -> dict[str, Any]:
    return {"subject_id": str(name), "severity": severity, "flagged": flagged, "reason": reason, "suggestion": ""}


def _finding(name: object, other: object, left: str, right: str, similarity: float, how: str) -> dict[str, Any]:
    likeness = "Says the same as" if how == "exact" else f"Nearly says (similarity {similarity:.2f}) the same as"
    reason = f"{likeness} example {other} of the {right} split, but is in the {left} split."
    flagged = right == "test"
    if not flagged:
        reason += " Early stopping sees a text it was trained on; no reported figure does."
    return _row(name, similarity if flagged else similarity / 2, flagged, reason)


def _by_meaning(corpus: Corpus, splits: list[str]) -> Close:
    """For each direction, the pairs of rows that are close in meaning, among each row's nearest neighbours."""
    evidence = corpus.evidence
    close: Close = {direction: {} for direction in DIRECTIONS}
    for row, rank in np.argwhere((evidence.neighbours >= 0) & (evidence.similarities >= COSINE)).tolist():
        other = int(evidence.neighbours[row, rank])
        for one, two in ((row, other), (other, row)):
            if (part := close.get((splits[one], splits[two]))) is not None:
                part[one, two] = float(evidence.similarities[row, rank])
    return close
