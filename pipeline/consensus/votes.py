"""Answers as arrays, and what every method of aggregation does with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Votes:
    """Answers as parallel index arrays (v,), one per annotator and example.

    known: (n,) the true label of examples whose truth somebody decided, -1 elsewhere; None where nobody did.
    """

    example: Index
    annotator: Index
    label: Index
    examples: int
    annotators: int
    labels: int
    known: Index | None = None

    @property
    def sizes(self) -> Index:
        """(n,) answers per example."""
        return np.bincount(self.example, minlength=self.examples)


@dataclass(frozen=True)
class Posterior:
    """probabilities: (n, K). own: (v, K) the same without the vote in question, NaN rows where nothing is left."""

    probabilities: Array
    own: Array


def as_votes(answers: pd.DataFrame, labels: tuple[str, ...]) -> tuple[Votes, Index, NDArray[np.object_]]:
    """Index arrays from example_id, annotator, label; with the example ids and the annotators in index order."""
    ids, example = np.unique(answers["example_id"].to_numpy(), return_inverse=True)
    people, annotator = np.unique(answers["annotator"].to_numpy(dtype=object), return_inverse=True)
    label = answers["label"].map({name: number for number, name in enumerate(labels)}).to_numpy(dtype=np.int64)
    return Votes(example, annotator, label, len(ids), len(people), len(labels)), ids, people


def total(values: Array, group: Index, size: int) -> Array:
    """(size, K): the rows of `values` (v, K) summed by group."""
    columns = [np.bincount(group, values[:, column], size) for column in range(values.shape[1])]
    return np.stack(columns, axis=1).astype(np.float64) if columns else np.zeros((size, 0))


def counts(votes: Votes) -> Array:
    """(n, K): how many annotators gave each label."""
    cells = np.bincount(votes.example * votes.labels + votes.label, minlength=votes.examples * votes.labels)
    result: Array = cells.astype(np.float64).reshape(votes.examples, votes.labels)
    return result


def shares(counted: Array) -> Array:
    """Rows divided by their sum; NaN where it is 0."""
    sums = counted.sum(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Array = np.where(sums > 0, counted / sums, np.nan)
    return result


def softmax(scores: Array) -> Array:
    scores = np.exp(scores - scores.max(1, keepdims=True))
    result: Array = scores / scores.sum(1, keepdims=True)
    return result


def given(table: Array, votes: Votes) -> Array:
    """(v,) the column of each vote's own label."""
    result: Array = table[np.arange(len(votes.label)), votes.label]
    return result


def first_guess(votes: Votes) -> Array:
    """(n, K): the shares of each example's votes, the labels' shares where there are none, certainty where the truth is known."""
    counted = counts(votes)
    return clamped(np.where(counted.sum(1, keepdims=True) > 0, shares(counted), label_shares(votes)), votes)


def clamped(truth: Array, votes: Votes) -> Array:
    """(n, K) with certainty where the truth is known."""
    if votes.known is None:
        return truth
    sure = np.eye(votes.labels)[np.maximum(votes.known, 0)]
    result: Array = np.where((votes.known >= 0)[:, None], sure, truth)
    return result


def without_alone(own: Array, votes: Votes) -> Array:
    """`own` with NaN for votes that nobody else's stand beside; in place."""
    own[votes.sizes[votes.example] < 2] = np.nan
    return own


def label_shares(votes: Votes) -> Array:
    """(K,) how often each label is given, one pseudo-answer each: the prior of the methods that must not run away with the
    commonest label where answers are few."""
    shares_: Array = (np.bincount(votes.label, minlength=votes.labels) + 1.0) / (len(votes.label) + votes.labels)
    return shares_


def expected_accuracy(votes: Votes) -> float:
    """The accuracy that annotators have on average if they agree as often as they do and err evenly: s solves
    s² + (1 − s)² / (K − 1) = share of agreeing pairs. Between chance and .99.

    It anchors what expectation maximisation may believe of people: with 2 answers an example it would else explain every
    disagreement away (Snow RTE: accuracy .66 without it, .81 with it).
    """
    if votes.labels < 2:
        return 0.99
    counted = counts(votes)
    size = counted.sum(1)
    agreed = ((counted * (counted - 1)).sum() + 1) / ((size * (size - 1)).sum() + 2)
    a, b, c = 1 + 1 / (votes.labels - 1), -2 / (votes.labels - 1), 1 / (votes.labels - 1) - agreed
    root = (-b + np.sqrt(max(b * b - 4 * a * c, 0.0))) / (2 * a)
    return float(np.clip(root, 1 / votes.labels + 0.05, 0.99))
