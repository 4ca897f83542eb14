"""The consensus stage: answers → consensus, annotators, agreement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import orjson
import pandas as pd

from pipeline.consensus import labelled, whole
from pipeline.consensus.agreement import agreement
from pipeline.consensus.truth import against_truth, judged, put, truths, with_gold
from pipeline.consensus.votes import Array, Votes
from pipeline.statistics import wilson
from pipeline.types import ANNOTATOR_COLUMNS, Scheme

LEAST_SURE = 0.1  # below it the others' answers say so little that a quality solved from them would be noise


@dataclass(frozen=True)
class Consensus:
    """consensus: CONSENSUS_COLUMNS; annotators: ANNOTATOR_COLUMNS; facts: `agreement` and `consensus` of summary.json."""

    consensus: pd.DataFrame
    annotators: pd.DataFrame
    facts: dict[str, Any]


def latest_answers(annotations: pd.DataFrame) -> pd.DataFrame:
    """One answer per annotator and example (example_id, annotation_id, annotator, answer as JSON, label as its value): the
    last one given; none that was cancelled or empty."""
    given = annotations[(annotations["answer"] != "") & ~annotations["cancelled"]]
    given = given.sort_values(["example_id", "annotator", "updated_at", "annotation_id"])
    last = given.drop_duplicates(["example_id", "annotator"], keep="last")
    return pd.DataFrame(
        {
            "example_id": last["example_id"],
            "annotation_id": last["annotation_id"],
            "annotator": last["annotator"],
            "answer": last["answer"],
            "label": [orjson.loads(answer) for answer in last["answer"]],
        }
    ).reset_index(drop=True)


def build(
    annotations: pd.DataFrame,
    examples: pd.DataFrame,
    *,
    labels: tuple[str, ...],
    slices: tuple[str, ...] = (),
    users: dict[str, str] | None = None,
    method: str = "auto",
    seed: int = 0,
    reviewed: Mapping[int, str] | None = None,
    task: ModuleType | None = None,
    scheme: Scheme | None = None,
    model: labelled.Model | None = None,
) -> Consensus:
    """`reviewed`: example id → the answer (JSON) of somebody who was asked to look again; it is the consensus, before ground
    truth, which is the consensus before the votes. `task` and `scheme` say how near two answers are to each other and,
    without `labels`, how several become one; without them answers are equal or not. `model`: see `labelled.Model`; asked only
    where it can help, never where each example has one answer."""
    truth = truths(annotations)
    gold = dict(zip(truth["example_id"].tolist(), truth["answer"].tolist(), strict=True))
    decided = {"ground_truth": gold, "review": reviewed or {}}
    if not labels:
        answers = latest_answers(annotations)
        table, people_table, facts = whole.build(
            answers, examples, task=task, scheme=scheme, slices=slices, users=users or {}, seed=seed
        )
        _put_decided(table, decided)
        facts["consensus"] |= {"ties": int(table["tie"].sum()), **_decided_counts(table)}
        near = whole.similarity(task, scheme)
        judged_answers = whole.near_truth(answers, truth, near) if near is not None else judged(answers, truth)
        return Consensus(table, with_gold(people_table, judged_answers), facts)
    answers = latest_answers(annotations)
    solved = labelled.solve_labels(answers, examples, labels, truth, method=method, seed=seed, model=model)
    table = labelled.table(solved, labels)
    _put_decided(table, decided)
    final = dict(zip(table["example_id"].tolist(), table["answer"].tolist(), strict=True))
    near = whole.similarity(task, scheme)
    facts = {
        "agreement": agreement(answers, examples, labels=labels, slices=slices, seed=seed, similarity=near),
        "consensus": {**labelled.facts(solved, final, labels, table, seed), **_decided_counts(table)},
    }
    own = against_truth(solved.posterior.own, answers, truth, labels)
    people = _annotator_table(solved.votes, solved.people, own, users or {})
    return Consensus(table, with_gold(people, judged(answers, truth)), facts)


def _put_decided(table: pd.DataFrame, decided: Mapping[str, Mapping[int, str]]) -> None:
    for method, answers in decided.items():
        put(table, answers, method)


def _decided_counts(table: pd.DataFrame) -> dict[str, int]:
    names = {"ground_truth": "ground_truth", "reviewed": "review"}
    return {name: int((table["method"] == method).sum()) for name, method in names.items()}


def _annotator_table(votes: Votes, people: Any, others: Array, users: dict[str, str]) -> pd.DataFrame:
    """quality: the probability that an answer of this annotator is right, judged by ground truth where there is any, else
    by the others' answers only; NaN where nobody else answered. others: (v, K) what is said of each vote's example without it.

    The others are not always right themselves. Where they give the right answer with probability a on average, and each wrong
    one with b, an annotator of quality s agrees with them at the rate s·a + (1 − s)·b; this is solved for s, and the Wilson
    interval of the rate with it.
    """
    judged = ~np.isnan(others[:, 0]) if len(votes.label) else np.zeros(0, dtype=bool)
    own, label, who = others[judged], votes.label[judged], votes.annotator[judged]
    size = np.bincount(votes.annotator, minlength=votes.annotators)
    seen = np.bincount(who, minlength=votes.annotators)
    agreed = np.bincount(who, own[np.arange(len(label)), label], votes.annotators)
    sure = np.bincount(who, (own * own).sum(1), votes.annotators)
    rows = []
    for number, person in enumerate(people):
        values = _quality(agreed[number], sure[number], int(seen[number]), votes.labels)
        rows.append((person, users.get(person, person), int(size[number]), *values))
    table = pd.DataFrame(rows, columns=[name for name in ANNOTATOR_COLUMNS if not name.startswith("gold")])
    return table.astype({"quality": "float64", "quality_low": "float64", "quality_high": "float64"})


def _quality(agreed: float, sure: float, seen: int, labels: int) -> tuple[float, float, float]:
    if seen == 0 or labels < 2:
        return np.nan, np.nan, np.nan
    right = sure / seen
    wrong = (1 - right) / (labels - 1)
    if right - wrong < LEAST_SURE:
        return np.nan, np.nan, np.nan
    rate = wilson(min(agreed, seen), seen)
    value, low, high = (float(np.clip((x - wrong) / (right - wrong), 0, 1)) for x in (rate.value, rate.low, rate.high))
    return value, low, high
