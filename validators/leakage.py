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


@check("leakage", "Does the training data hold what the test split asks?", subject="example")
def leakage(corpus: Corpus, *, threshold: Annotated[float, Field(gt=0, le=1)] = THRESHOLD) -> Report:
    """Flags train and validation examples whose text equals, or nearly equals, that of a test example.

    Severity is the similarity in [0, 1] (the Jaccard of character 5-grams), 1 where the texts are equal. A train example
    that equals or resembles a validation example is listed with half of that severity and not flagged: it makes early
    stopping too hopeful, but touches no reported figure. Test examples are never listed. Examples without a split are
    not judged. Skipped where no example is in the test split.

    threshold: default measured, see pipeline/evidence/duplicates.py.
    """
    splits = corpus.examples["split"].tolist()
    if "test" not in splits:
        raise Skip("No example is in the test split.")
    ids = corpus.examples["example_id"].tolist()
    place = preference(ids, splits, corpus.annotations["example_id"])
    found = _resemblances(corpus.examples["text"].tolist(), splits, place, threshold)
    rows: dict[int, dict[str, Any]] = {}
    counts = {f"{left}-{right}": {"exact": 0, "near": 0} for left, right in DIRECTIONS}
    for left, right in DIRECTIONS:
        for row, (similarity, other, how) in sorted(found[left, right].items()):
            counts[f"{left}-{right}"][how] += 1
            rows.setdefault(row, _finding(ids[row], ids[other], left, right, similarity, how))
    judged = sum(split in ("train", "validation") for split in splits)
    facts = {"judged": judged, "threshold": threshold, "pairs": counts, "cosine": _by_meaning(corpus, ids, splits)}
    return Report(findings(rows.values()), facts)


Found = dict[int, tuple[float, int, str]]  # row -> similarity, the row it resembles most, "exact" or "near"


def _resemblances(
    texts: list[str], splits: list[str], place: IntArray, threshold: float
) -> dict[tuple[str, str], Found]:
    """For each direction, the rows of its left split that resemble a row of its right one."""
    rows: dict[tuple[int, str], list[int]] = {}
    exact = exact_groups(texts)
    for row in place.argsort().tolist():
        rows.setdefault((int(exact[row]), splits[row]), []).append(row)
    same = [(group, group, 1.0) for group in np.unique(exact).tolist()]
    near = [
        (one, two, value) for pair in near_pairs(texts, floor=threshold) for one, two, value in (pair, _turned(pair))
    ]
    found: dict[tuple[str, str], Found] = {direction: {} for direction in DIRECTIONS}
    for how, pairs in (("exact", same), ("near", near)):
        for direction in DIRECTIONS:
            left, right = direction
            for one, two, similarity in pairs:
                for row in rows.get((one, left), ()) if (two, right) in rows else ():
                    best = (similarity, rows[two, right][0], how)
                    now = found[direction].setdefault(row, best)
                    # An equal text stays the better witness than one that differs in punctuation only.
                    if now[2] == how and (similarity, -place[best[1]]) > (now[0], -place[now[1]]):
                        found[direction][row] = best
    return found


def _turned(pair: tuple[int, int, float]) -> tuple[int, int, float]:
    return pair[1], pair[0], pair[2]


def _finding(name: object, other: object, left: str, right: str, similarity: float, how: str) -> dict[str, Any]:
    likeness = "Says the same as" if how == "exact" else f"Nearly says (similarity {similarity:.2f}) the same as"
    reason = f"{likeness} example {other} of the {right} split, but is in the {left} split."
    flagged = right == "test"
    if not flagged:
        reason += " Early stopping sees a text it was trained on; no reported figure does."
    return {
        "subject_id": str(name),
        "severity": similarity if flagged else similarity / 2,
        "flagged": flagged,
        "reason": reason,
        "suggestion": "",
    }


def _by_meaning(corpus: Corpus, ids: list[object], splits: list[str]) -> dict[str, Any]:
    """How many pairs across splits are close in meaning, among each example's nearest neighbours."""
    evidence = corpus.evidence
    near = np.argwhere((evidence.neighbours >= 0) & (evidence.similarities >= COSINE))
    pairs: dict[tuple[int, int], float] = {}
    for row, rank in near.tolist():
        one, two = row, int(evidence.neighbours[row, rank])
        for pair in ((one, two), (two, one)):
            if (splits[pair[0]], splits[pair[1]]) in DIRECTIONS:
                pairs[pair] = float(evidence.similarities[row, rank])
    counts = {f"{left}-{right}": 0 for left, right in DIRECTIONS}
    for left, right in pairs:
        counts[f"{splits[left]}-{splits[right]}"] += 1
    top = sorted(pairs.items(), key=lambda item: (-item[1], str(ids[item[0][0]]), str(ids[item[0][1]])))[:SHOWN]
    shown = [{"example": str(ids[a]), "other": str(ids[b]), "cosine": round(value, 4)} for (a, b), value in top]
    return {"at_least": COSINE, "pairs": counts, "top": shown}
