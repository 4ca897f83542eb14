"""Dawid–Skene by expectation maximisation: a confusion matrix, or one accuracy, per annotator."""

from __future__ import annotations

import numpy as np

from pipeline.consensus.votes import (
    Array,
    Posterior,
    Votes,
    clamped,
    expected_accuracy,
    first_guess,
    given,
    label_shares,
    softmax,
    total,
    without_alone,
)

SMOOTHING = 1.0  # one pseudo-answer per cell; with it our Dawid–Skene reaches .930 on Snow RTE (crowd-kit: .9275)
COIN = 8.0  # pseudo-answers that draw an annotator's accuracy to the usual one: 4 to 8 were best on the tuning sets
ITERATIONS = 100
TOLERANCE = 1e-5


def dawid_skene(votes: Votes) -> Posterior:
    """Source: Dawid and Skene (1979). For many answers per example and per annotator: with few it falls below majority."""
    truth = first_guess(votes)
    likelihood: Array = np.zeros((len(votes.label), votes.labels))
    for _ in range(ITERATIONS):
        prior = np.log((truth.sum(0) + SMOOTHING) / (truth.sum() + SMOOTHING * votes.labels))
        likelihood = np.log(_confusions(votes, truth))
        scores = prior + total(likelihood, votes.example, votes.examples)
        updated = clamped(softmax(scores), votes)
        done = np.abs(updated - truth).max(initial=0) < TOLERANCE
        truth = updated
        if done:
            break
    return Posterior(truth, without_alone(softmax(scores[votes.example] - likelihood), votes))


def _confusions(votes: Votes, truth: Array) -> Array:
    """(v, K) probability of each vote under each true label."""
    table = confusion_counts(votes, truth[votes.example]) + SMOOTHING / votes.labels
    table /= table.sum(1, keepdims=True)
    result: Array = table[votes.annotator, votes.label]
    return result


def confusion_counts(votes: Votes, weights: Array) -> Array:
    """(annotators, said, true): `weights` (v, K) summed."""
    cells: Array = total(weights, votes.annotator * votes.labels + votes.label, votes.annotators * votes.labels)
    return cells.reshape(votes.annotators, votes.labels, votes.labels)


def one_coin(votes: Votes) -> Posterior:
    """One accuracy per annotator, drawn to the one that agreement implies. Source: Zhang et al. (2014), §2."""
    truth = first_guess(votes)
    prior, usual = np.log(label_shares(votes)), expected_accuracy(votes)
    size = np.bincount(votes.annotator, minlength=votes.annotators)
    likelihood = np.zeros((len(votes.label), votes.labels))
    for _ in range(ITERATIONS):
        hits = np.bincount(votes.annotator, given(truth[votes.example], votes), votes.annotators)
        accuracy = ((hits + COIN * usual) / (size + COIN))[votes.annotator]
        likelihood = np.repeat(np.log((1 - accuracy) / max(votes.labels - 1, 1))[:, None], votes.labels, axis=1)
        likelihood[np.arange(len(accuracy)), votes.label] = np.log(accuracy)
        scores = prior + total(likelihood, votes.example, votes.examples)
        updated = clamped(softmax(scores), votes)
        done = np.abs(updated - truth).max(initial=0) < TOLERANCE
        truth = updated
        if done:
            break
    return Posterior(truth, without_alone(softmax(scores[votes.example] - likelihood), votes))
