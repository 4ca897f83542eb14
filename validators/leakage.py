"""Does the training data hold what the test split asks?"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from pipeline.evidence.containment import contained
from pipeline.evidence.duplicates import THRESHOLD, exact_groups, near_pairs, normalise, preference
from pipeline.evidence.semantic import close_pairs, threshold_of
from pipeline.types import Corpus, IntArray
from validators.check import Report, Skip, check, findings

# What may leak into what. The row that is named is always on the left: the test split is frozen.
DIRECTIONS = (("train", "test"), ("validation", "test"), ("train", "validation"))
SHOWN = 20  # pairs by cosine in the facts, for a person to look at

# Said of a row, the surest first: it equals the other one, holds it, or nearly equals it.
KINDS = ("exact", "inside", "near")

Direction = tuple[str, str]
Link = tuple[int, int, float, str]  # a row and one that it gives away, similarity or share held, one of KINDS
Found = dict[int, Link]  # row -> its surest link
Close = dict[Direction, dict[tuple[int, int], float]]  # direction -> rows -> cosine


@check("leakage", "Does the training data hold what the test split asks?", subject="example")
def leakage(corpus: Corpus, *, threshold: Annotated[float, Field(gt=0, le=1)] = THRESHOLD) -> Report:
    """Flags train and validation examples whose text equals, or nearly equals, that of a test example, or holds it inside.

    Severity is the similarity in [0, 1] (the Jaccard of character 5-grams), 1 where the texts are equal, the share of the test
    text's words where a longer text holds them (see pipeline/evidence/containment.py), and 0 where none is alike. A train
    example that gives away a validation example has half of that severity and is not flagged: it makes early stopping too
    hopeful, but touches no reported figure. Test examples, and those without a split, are not judged. Skipped where no example
    is in the test split.

    The facts count, for each pair of splits, the examples of the first that equal one of the second, hold one, resemble one, or
    are close to one in meaning (by the embeddings, among the nearest neighbours, whatever the wording; never flagged, because a
    test split is meant to hold other wordings of what was learnt: 31 % of banking77's test questions have one above .95).

    threshold: default measured, see pipeline/evidence/duplicates.py.
    """
    splits = corpus.examples["split"].tolist()
    if "test" not in splits:
        raise Skip("No example is in the test split.")
    ids = corpus.examples["example_id"].tolist()
    place = preference(ids, splits, corpus.annotations["example_id"])
    found = _surest(_links(corpus.examples["text"].tolist(), splits, place, threshold), splits, place)
    rows = {row: _row(ids[row]) for row, split in enumerate(splits) if split in ("train", "validation")}
    for left, right in reversed(DIRECTIONS):  # what touches the test split has the last word
        for row, link in found[left, right].items():
            rows[row] = _finding(ids[row], ids[link[1]], left, right, link[2], link[3])
    return Report(findings(rows.values()), {"threshold": threshold, **_facts(found, corpus, splits, ids)})


def _links(texts: list[str], splits: list[str], place: IntArray, threshold: float) -> list[Link]:
    """Between all rows that have a split: who equals, nearly equals or holds whom."""
    copies: dict[int, list[int]] = {}
    exact = exact_groups(texts)
    for row in place.argsort().tolist():
        if splits[row]:
            copies.setdefault(int(exact[row]), []).append(row)
    links: list[Link] = []
    for group in copies.values():
        links += [(one, two, 1.0, "exact") for one in group for two in _first_of_splits(group, splits) if one != two]
    for a, b, similarity in near_pairs(texts, floor=threshold):
        for one, two in ((a, b), (b, a)):
            others = _first_of_splits(copies.get(two, []), splits)
            links += [(row, other, similarity, "near") for row in copies.get(one, ()) for other in others]
    for left, right in DIRECTIONS:
        order = place.argsort().tolist()  # of many that hold a text, the first count
        short, long = ([row for row in order if splits[row] == split] for split in (right, left))
        held = contained([normalise(texts[row]) for row in short], [normalise(texts[row]) for row in long])
        links += [(long[holder], short[row], share, "inside") for row, holder, share in held]
    return links


def _first_of_splits(group: list[int], splits: list[str]) -> list[int]:
    first: dict[str, int] = {}
    for row in group:
        first.setdefault(splits[row], row)
    return list(first.values())


def _surest(links: list[Link], splits: list[str], place: IntArray) -> dict[Direction, Found]:
    """For each direction, the rows of its left split that give away a row of its right one."""
    found: dict[Direction, Found] = {direction: {} for direction in DIRECTIONS}
    for link in links:
        part = found.get((splits[link[0]], splits[link[1]]))
        if part is not None:
            part[link[0]] = min(
                part.get(link[0], link), link, key=lambda one: (KINDS.index(one[3]), -one[2], int(place[one[1]]))
            )
    return found


def _facts(found: dict[Direction, Found], corpus: Corpus, splits: list[str], ids: list[Any]) -> dict[str, Any]:
    floor = threshold_of(corpus.evidence)
    close: Close = {direction: {} for direction in DIRECTIONS}
    for a, b, cosine in close_pairs(corpus.evidence):
        for one, two in ((a, b), (b, a)):
            if (part := close.get((splits[one], splits[two]))) is not None:
                part[one, two] = cosine
    pairs = {}
    for direction in DIRECTIONS:
        kinds = [link[3] for link in found[direction].values()]
        meaning = {row for row, _ in close[direction]}
        pairs["-".join(direction)] = {**{kind: kinds.count(kind) for kind in KINDS}, "cosine": len(meaning)}
    everything = [(value, str(ids[a]), str(ids[b])) for part in close.values() for (a, b), value in part.items()]
    top = sorted(everything, key=lambda item: (-item[0], *item[1:]))[:SHOWN]
    shown = [{"example": one, "other": two, "cosine": round(value, 4)} for value, one, two in top]
    return {"pairs": pairs, "cosine_from": floor, "closest_in_meaning": shown}


def _row(name: object, severity: float = 0.0, flagged: bool = False, reason: str = "") -> dict[str, Any]:
    return {"subject_id": str(name), "severity": severity, "flagged": flagged, "reason": reason, "suggestion": ""}


def _finding(name: object, other: object, left: str, right: str, similarity: float, how: str) -> dict[str, Any]:
    said = {
        "exact": "Says the same as example",
        "inside": f"Holds {similarity:.0%} of the words, in their order, of example",
        "near": f"Nearly says (similarity {similarity:.2f}) the same as example",
    }
    reason = f"{said[how]} {other} of the {right} split, but is in the {left} split."
    flagged = right == "test"
    if not flagged:
        reason += " Early stopping sees a text it was trained on; no reported figure does."
    return _row(name, similarity if flagged else similarity / 2, flagged, reason)
