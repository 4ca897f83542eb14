"""Consensus for answers that are not one of a few labels: sets, ratings, spans, texts.

How several answers become one is the task type's to say (its MERGE): sets and spans are put together label by label and span by
span, ratings are averaged, of texts the one most like the others stands for all. A merged answer is always one that the task type
could have read; a single answer is taken as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import orjson
import pandas as pd

from pipeline.consensus import (
    agreement,
    pairwise,
    rating_agreement,
    rating_merge,
    set_merge,
    span_agreement,
    span_merge,
    text_merge,
    whole_agreement,
)
from pipeline.consensus.merged import Merged
from pipeline.consensus.pairwise import Given
from pipeline.statistics import wilson
from pipeline.types import ANNOTATOR_COLUMNS, CONSENSUS_COLUMNS, Scheme

MOST_JUDGED = 500  # answers of an annotator that are held against the others': with so many a quality is known to ±.04

Similarity = Callable[[Any, Any], float]
Example = Mapping[int, str]  # annotator number → answer as JSON


@dataclass(frozen=True)
class Way:
    """How several answers become one. merge: of an example's id and its answers, to an answer as JSON. low: confidence below it
    is counted in the facts; meaning: what the confidence is."""

    method: str
    why: str
    merge: Callable[[int, Example], Merged]
    low: float
    meaning: str


def build(
    answers: pd.DataFrame,
    examples: pd.DataFrame,
    *,
    task: ModuleType | None,
    scheme: Scheme | None,
    slices: tuple[str, ...],
    users: dict[str, str],
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """(CONSENSUS_COLUMNS, ANNOTATOR_COLUMNS, facts `agreement` and `consensus`) from one answer per annotator and example
    (example_id, annotator, answer as JSON). Without a `task` answers are equal or not."""
    table = pairwise.given(answers)
    alike = remembered(task, scheme)
    given = _by_example(table)
    way = _way(task, scheme, given, len(table.people), alike, seed)
    consensus = _consensus(table, given, way)
    several = consensus[consensus["annotations"] > 1]
    facts = {
        "agreement": _agreement(table, examples, task, alike, slices, seed),
        "consensus": {
            "method": way.method,
            "why": way.why,
            "alternatives": [],
            "confidence": {
                "meaning": way.meaning, "below": way.low, "count": int((several["confidence"] < way.low).sum()),
                "of": len(several), "median": float(several["confidence"].median()) if len(several) else None,
            },
        },
    }  # fmt: skip
    return consensus, annotators(table, given, way, alike, users), facts


def remembered(task: ModuleType | None, scheme: Scheme | None) -> text_merge.Alike:
    """The task type's similarity of two answers as JSON: equal ones are 1, and no pair is compared twice."""
    known: dict[tuple[str, str], float] = {}

    def alike(a: str, b: str) -> float:
        if a == b or task is None:
            return float(a == b)
        key = (a, b) if a < b else (b, a)
        if key not in known:
            known[key] = float(task.similarity(orjson.loads(a), orjson.loads(b), scheme))
        return known[key]

    return alike


def _by_example(table: Given) -> list[dict[int, str]]:
    given: list[dict[int, str]] = [{} for _ in table.ids]
    for example, who, answer in zip(table.example.tolist(), table.annotator.tolist(), table.answers, strict=True):
        given[example][who] = answer
    return given


def _way(
    task: ModuleType | None, scheme: Scheme | None, given: Sequence[Example], annotators: int, alike: text_merge.Alike, seed: int
) -> Way:
    kind = task.MERGE if task else "texts"
    if kind == "texts":
        weight = text_merge.fit(given, annotators=annotators, alike=alike)
        alternatives = bool(task and task.ALTERNATIVES)

        def texts(example: int, answers: Example) -> Merged:
            return text_merge.merge(answers, weight, alike=alike, alternatives=alternatives, seed=(seed, abs(example)))

        return Way(text_merge.METHOD, text_merge.WHY, texts, text_merge.LOW, text_merge.MEANING)
    loaded = [{who: orjson.loads(answer) for who, answer in one.items()} for one in given]
    how: ModuleType = {"sets": set_merge, "spans": span_merge, "ratings": rating_merge}[kind]
    scale = {"width": lambda name: float(task.width(scheme, name))} if task and kind == "ratings" else {}
    known = how.fit(loaded, annotators=annotators, **scale)

    def merged(_: int, answers: Example) -> Merged:
        found: Merged = how.merge({who: orjson.loads(answer) for who, answer in answers.items()}, known)
        return replace(found, answer=json.dumps(found.answer, ensure_ascii=False, sort_keys=True, separators=(",", ":")))

    return Way(how.METHOD, how.WHY, merged, how.LOW, how.MEANING)


def _consensus(table: Given, given: Sequence[Example], way: Way) -> pd.DataFrame:
    """confidence: see `Way.meaning`; NaN for a single answer."""
    rows = []
    for example, answers in zip(table.ids.tolist(), given, strict=True):
        if len(answers) == 1:
            rows.append((example, *answers.values(), np.nan, 1, False, way.method, "", False))
            continue
        found = way.merge(example, answers)
        rows.append((example, found.answer, found.confidence, len(answers), found.tie, way.method, "", False))
    frame = pd.DataFrame(rows, columns=list(CONSENSUS_COLUMNS))
    return frame.astype({"confidence": "float64", "tie": "bool", "annotations": "int64", "ambiguous": "bool"})


def _agreement(
    table: Given, examples: pd.DataFrame, task: ModuleType | None, alike: text_merge.Alike, slices: tuple[str, ...], seed: int
) -> dict[str, Any]:
    kind = task.MERGE if task else "texts"
    if kind == "ratings":
        found = rating_agreement.measures(table, seed=seed)
    elif kind == "spans":
        found = span_agreement.measures(table, examples, seed=seed)
    else:
        found = whole_agreement.measures(table, alike, sets=kind == "sets", seed=seed)
    return agreement.facts(table, found, examples, slices=slices, seed=seed)


def annotators(
    table: Given, given: Sequence[Example], way: Way, alike: text_merge.Alike, users: dict[str, str]
) -> pd.DataFrame:
    """ANNOTATOR_COLUMNS. quality: how alike an annotator's answers are to what the others' answers to the same examples come
    to, in [0, 1], by the task type's similarity: of spans F1, of sets the labels in common (Jaccard), of ratings 1 − the
    distance as a share of the scale, of texts the words in common. The others are not always right, and with one other it is
    only that one: it is a lower bound, to compare annotators by. The interval is Wilson's, wider than it need be for likenesses
    that are not 0 or 1. NaN where nobody else answered."""
    rows = []
    for number, who in enumerate(table.people):
        mine = [example for example, answers in enumerate(given) if number in answers]
        shared = [example for example in mine if len(given[example]) > 1]
        near = [_to_others(int(table.ids[at]), number, given[at], way, alike) for at in _spread(shared, MOST_JUDGED)]
        values = (np.nan, np.nan, np.nan)
        if near:
            found = wilson(float(np.sum(near)), len(near))
            values = found.value, found.low, found.high
        rows.append((who, users.get(who, who), len(mine), *values, 0, np.nan))
    frame = pd.DataFrame(rows, columns=list(ANNOTATOR_COLUMNS))
    unknown = ("quality", "quality_low", "quality_high", "gold_accuracy")
    return frame.astype({"annotations": "int64", "gold": "int64", **dict.fromkeys(unknown, "float64")})


def _spread(listed: Sequence[int], most: int) -> Sequence[int]:
    """`most` of them at even distances: the same ones each time, from the whole length."""
    return listed if len(listed) <= most else [listed[at * len(listed) // most] for at in range(most)]


def _to_others(example: int, who: int, answers: Example, way: Way, alike: text_merge.Alike) -> float:
    rest = {other: answer for other, answer in answers.items() if other != who}
    said = next(iter(rest.values())) if len(rest) == 1 else way.merge(example, rest).answer
    return alike(answers[who], said)


def near_truth(answers: pd.DataFrame, truth: pd.DataFrame, similarity: Similarity) -> pd.DataFrame:
    """How alike every answer to an example with ground truth is to it (example_id, annotator, right in [0, 1]), but for the
    annotation that is the ground truth. `answers` and `truth` as `latest_answers` and `truths` give them."""
    both = answers.merge(truth[["example_id", "annotation_id", "answer"]], on="example_id", suffixes=("", "_true"))
    both = both[both["annotation_id"] != both["annotation_id_true"]]
    pairs = zip(both["answer"], both["answer_true"], strict=True)
    right = [1.0 if a == b else float(similarity(orjson.loads(a), orjson.loads(b))) for a, b in pairs]
    return pd.DataFrame({"example_id": both["example_id"], "annotator": both["annotator"], "right": np.array(right, np.float64)})


def similarity(task: ModuleType | None, scheme: Scheme | None) -> Similarity | None:
    """The task type's own; None without one."""
    if task is None:
        return None
    return lambda a, b: float(task.similarity(a, b, scheme))
