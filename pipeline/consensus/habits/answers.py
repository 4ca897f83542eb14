"""Votes for one of a few labels, with what the others say of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.consensus.aggregation import Votes, as_votes, solve
from pipeline.statistics import wilson

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Row = dict[str, Any]
MIN_COUNT = 5  # a habit seen fewer times is an anecdote; also what the normal approximation wants
NOBODY = np.array([], np.int64)


@dataclass(frozen=True)
class Answers:
    """Votes with what the others say.

    reference: (v,) the label that the others' answers to the same example speak for, -1 where they are tied or absent.
    right: (v,) probability that the answer is right, by all answers. counts: (n, K) answers per example and label.
    examples: (n,) example ids in index order.
    """

    votes: Votes
    people: list[str]
    labels: list[str]
    reference: Index
    right: Array
    counts: Array
    examples: Index


def answers_of(table: pd.DataFrame, labels: tuple[str, ...]) -> Answers:
    """`table`: example_id, annotator, label, one row per annotator and example. The others' answers are weighed by how
    reliable each of them is (one accuracy per annotator)."""
    names = sorted({*labels, *table["label"]})
    votes, ids, people = as_votes(table, tuple(names))
    posterior = solve(votes, "one_coin")
    best = posterior.own.max(axis=1, keepdims=True)
    single = np.isclose(posterior.own, best, rtol=0, atol=1e-9).sum(axis=1) == 1  # a comparison with NaN is false
    reference = np.where(single, posterior.own.argmax(axis=1), -1)
    right = posterior.probabilities[votes.example, votes.label]
    counts = np.zeros((votes.examples, votes.labels))
    np.add.at(counts, (votes.example, votes.label), 1.0)
    return Answers(votes, [str(item) for item in people], names, reference, right, counts, ids)


def shared(answers: Answers, person: int, without: Index) -> tuple[Index, Array]:
    """The person's votes on examples that others answered too, and the others' share of each label there (m, K); the
    people in `without` do not count."""
    votes = answers.votes
    counts = answers.counts.copy() if len(without) else answers.counts
    if len(without):
        gone = np.isin(votes.annotator, without)
        np.subtract.at(counts, (votes.example[gone], votes.label[gone]), 1.0)
    mine = np.flatnonzero(votes.annotator == person)
    rest = counts[votes.example[mine]] - np.eye(votes.labels)[votes.label[mine]]
    size = rest.sum(axis=1, keepdims=True)
    keep = size[:, 0] > 0
    return mine[keep], rest[keep] / size[keep]


def rated(hits: int, size: int) -> dict[str, float]:
    """rate, low and high: a share with its interval, as the rows hold it."""
    interval = wilson(hits, size)
    return {"rate": interval.value, "low": interval.low, "high": interval.high}
