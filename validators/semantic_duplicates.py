"""Which examples mean the same in other words?"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.evidence.answers import labels_of
from pipeline.evidence.duplicates import exact_groups, group_facts, near_pairs, preference
from pipeline.evidence.semantic import FEW, Pair, close_pairs, threshold_of
from pipeline.statistics import wilson
from pipeline.types import Corpus, IntArray
from validators.check import Report, Skip, check, findings

SHOWN = 20  # pairs named in the facts
GROUPS = 100  # groups at odds named in the facts


@check("semantic_duplicates", "Which examples mean the same in other words?", subject="example")
def semantic_duplicates(corpus: Corpus) -> Report:
    """Flags an example that means the same as one that is kept, though it is worded differently. Never a reason to drop it: other
    wordings of one meaning are what a model learns from. They are a reason to count such examples once, to keep them in one
    split, and to look where their labels differ.

    Two texts mean the same if their embeddings are far closer than texts of this corpus are, and than either text's own
    neighbourhood is (see pipeline/evidence/semantic.py). The examples are gone through in the order of `exact_duplicates`, and
    one that is close to an earlier kept one is flagged, with the cosine as its severity, in [0, 1]; else it is kept, at 0.
    Copies and near-copies are left to the checks of those names; empty texts are not judged.
    """
    known = (corpus.evidence.neighbours >= 0).any(axis=1)
    if int(known.sum()) < FEW:
        raise Skip(f"It takes {FEW} texts with embeddings to know how close texts usually are; there are {int(known.sum())}.")
    examples = corpus.examples
    texts, ids = examples["text"].tolist(), examples["example_id"].tolist()
    pairs = in_other_words(texts, close_pairs(corpus.evidence))
    place = preference(ids, examples["split"].tolist(), corpus.annotations["example_id"])
    kept = _kept(pairs, place, len(texts))
    cosine = {pair[:2]: pair[2] for pair in pairs}
    rows = []
    for row in np.flatnonzero(known).tolist():
        alike = 0.0 if kept[row] == row else cosine[min(row, int(kept[row])), max(row, int(kept[row]))]
        rows.append(_finding(ids[row], ids[kept[row]], alike))
    return Report(findings(rows), _facts(corpus, pairs, kept, ids))


def in_other_words(texts: list[str], pairs: list[Pair]) -> list[Pair]:
    """Without pairs of equal or nearly equal texts."""
    exact = exact_groups(texts).tolist()
    near = {pair[:2] for pair in near_pairs(texts)}
    names = [(pair, sorted((exact[pair[0]], exact[pair[1]]))) for pair in pairs]
    return [pair for pair, (one, two) in names if one != two and (one, two) not in near]


def _kept(pairs: list[Pair], place: IntArray, n: int) -> IntArray:
    """(n,) the closest kept row before each row, itself if there is none: then it is kept. Nobody goes to one who goes."""
    before: dict[int, list[tuple[float, int, int]]] = {}
    for one, two, cosine in pairs:
        first, later = (one, two) if place[one] < place[two] else (two, one)
        before.setdefault(later, []).append((-cosine, int(place[first]), first))
    kept = np.arange(n)
    for row in sorted(before, key=lambda row: int(place[row])):
        options = [item for item in before[row] if kept[item[2]] == item[2]]
        if options:
            kept[row] = min(options)[2]
    return kept


def _finding(name: object, other: object, cosine: float) -> dict[str, Any]:
    reason = f"Means the same as example {other} in other words (cosine {cosine:.2f})." if cosine else ""
    return {"subject_id": str(name), "severity": cosine, "flagged": bool(cosine), "reason": reason, "suggestion": ""}


def _facts(corpus: Corpus, pairs: list[Pair], kept: IntArray, ids: list[Any]) -> dict[str, Any]:
    labels = labels_of(corpus)
    grouped = group_facts(kept, ids, labels)
    both = [(labels[one], labels[two]) for one, two, _ in pairs if labels[one] is not None and labels[two] is not None]
    same = wilson(sum(one == two for one, two in both), len(both)).as_dict() if both else None
    top = sorted(pairs, key=lambda pair: (-pair[2], str(ids[pair[0]]), str(ids[pair[1]])))[:SHOWN]
    return {
        **grouped,
        "conflicts": grouped["conflicts"][:GROUPS],
        "pairs": len(pairs),
        "share": wilson(int((kept != np.arange(len(kept))).sum()), len(kept)).as_dict(),
        "same_label": same,
        "cosine_from": round(threshold_of(corpus.evidence), 4),
        "closest": [
            {"example": str(ids[one]), "other": str(ids[two]), "cosine": round(cosine, 4), "labels": [labels[one], labels[two]]}
            for one, two, cosine in top
        ],
    }
