"""Several answers to one example → one consensus answer, its confidence, and each annotator's quality.

Methods
- majority: most votes; a tie is broken by the seed and marked as needing adjudication (always taking the first label
  costs 2.2 points on Snow RTE, see crowd-kit).
- dawid_skene: a confusion matrix per annotator, by expectation maximisation. Source: Dawid and Skene (1979).
- one_coin: the same with one accuracy per annotator: for many labels or few answers. Source: Zhang et al. (2014), §2.
- auto: chooses by the data's shape and says why.

A ground-truth answer, where an example has exactly one, is the consensus.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import ConfigError, unknown

Array = NDArray[np.float64]
METHODS = ("majority", "dawid_skene", "one_coin")
SMOOTHING = 1.0  # one pseudo-answer per cell; with it our Dawid–Skene reaches .930 on Snow RTE (crowd-kit: .9275)
ITERATIONS = 100
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Votes:
    """Answers as parallel index arrays (v,), one per annotator and example."""

    example: NDArray[np.int64]
    annotator: NDArray[np.int64]
    label: NDArray[np.int64]
    examples: int
    annotators: int
    labels: int


@dataclass(frozen=True)
class Posterior:
    """probabilities: (n, K). own: (v, K) the same without the vote in question, NaN rows where nothing is left."""

    probabilities: Array
    own: Array


def choose(votes: Votes) -> tuple[str, str]:
    """(method, why) for `auto`."""
    per_example = len(votes.label) / max(votes.examples, 1)
    per_annotator = len(votes.label) / max(votes.annotators, 1)
    if votes.examples == len(votes.label):
        return "majority", "Each example has one answer, which is taken as it is."
    if per_example < 2 or per_annotator < votes.labels**2:
        return "one_coin", (
            f"One accuracy per annotator: {per_annotator:.0f} answers per annotator are too few for a confusion matrix of "
            f"{votes.labels} × {votes.labels} labels."
        )
    return "dawid_skene", (
        f"Dawid–Skene, a confusion matrix per annotator: {per_annotator:.0f} answers per annotator and "
        f"{per_example:.1f} per example are enough for {votes.labels} labels."
    )


def solve(votes: Votes, method: str) -> Posterior:
    if method not in METHODS:
        raise ConfigError(f"consensus.method: {unknown('method', method, METHODS)}")
    if method == "majority":
        return _majority(votes)
    return _expectation_maximisation(votes, full=method == "dawid_skene")


def _counts(votes: Votes) -> Array:
    counts = np.zeros((votes.examples, votes.labels))
    np.add.at(counts, (votes.example, votes.label), 1.0)
    return counts


def _majority(votes: Votes) -> Posterior:
    counts = _counts(votes)
    others = counts[votes.example]
    others[np.arange(len(others)), votes.label] -= 1
    return Posterior(_shares(counts), _shares(others))


def _shares(counts: Array) -> Array:
    total = counts.sum(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Array = np.where(total > 0, counts / total, np.nan)
    return result


def _expectation_maximisation(votes: Votes, full: bool) -> Posterior:
    truth = _shares(_counts(votes))
    for _ in range(ITERATIONS):
        prior = np.log((truth.sum(0) + SMOOTHING) / (truth.sum() + SMOOTHING * votes.labels))
        likelihood = _confusions(votes, truth) if full else _coins(votes, truth)  # (v, K) log p(vote | true label)
        scores = np.tile(prior, (votes.examples, 1))
        np.add.at(scores, votes.example, likelihood)
        updated = _softmax(scores)
        done = np.abs(updated - truth).max() < TOLERANCE
        truth = updated
        if done:
            break
    own = _softmax(scores[votes.example] - likelihood)
    alone = np.bincount(votes.example, minlength=votes.examples)[votes.example] < 2
    own[alone] = np.nan
    return Posterior(truth, own)


def _confusions(votes: Votes, truth: Array) -> Array:
    table = np.full((votes.annotators, votes.labels, votes.labels), SMOOTHING / votes.labels)  # [annotator, said, true]
    np.add.at(table, (votes.annotator, votes.label), truth[votes.example])
    table /= table.sum(1, keepdims=True)
    result: Array = np.log(table[votes.annotator, votes.label])
    return result


def _coins(votes: Votes, truth: Array) -> Array:
    right = truth[votes.example, votes.label]
    hits = np.bincount(votes.annotator, right, votes.annotators)
    size = np.bincount(votes.annotator, minlength=votes.annotators)
    accuracy = ((hits + SMOOTHING) / (size + 2 * SMOOTHING))[votes.annotator]
    wrong = np.log((1 - accuracy) / max(votes.labels - 1, 1))
    result = np.repeat(wrong[:, None], votes.labels, axis=1)
    result[np.arange(len(right)), votes.label] = np.log(accuracy)
    return result


def _softmax(scores: Array) -> Array:
    scores = np.exp(scores - scores.max(1, keepdims=True))
    result: Array = scores / scores.sum(1, keepdims=True)
    return result


def decide(posterior: Posterior, ids: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(label (n,), tie (n,)). A tie is broken by a number drawn from the seed and the example's id, so that neither the
    order of rows nor what else is in the table changes it."""
    best = posterior.probabilities.max(1, keepdims=True)
    tied = np.isclose(posterior.probabilities, best, rtol=0, atol=1e-9)
    tie = tied.sum(1) > 1
    chosen = tied.argmax(1)
    for row in np.flatnonzero(tie):
        options = np.flatnonzero(tied[row])
        chosen[row] = options[np.random.default_rng([seed, abs(int(ids[row]))]).integers(len(options))]
    return chosen, tie


def as_votes(answers: pd.DataFrame, labels: tuple[str, ...]) -> tuple[Votes, NDArray[np.int64], NDArray[np.object_]]:
    """Index arrays from example_id, annotator, label; with the example ids and the annotators in index order."""
    ids, example = np.unique(answers["example_id"].to_numpy(), return_inverse=True)
    people, annotator = np.unique(answers["annotator"].to_numpy(dtype=object), return_inverse=True)
    label = answers["label"].map({name: number for number, name in enumerate(labels)}).to_numpy(dtype=np.int64)
    return Votes(example, annotator, label, len(ids), len(people), len(labels)), ids, people
