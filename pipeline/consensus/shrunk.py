"""Dawid–Skene for few answers: what is known of everybody stands in for what is not known of one annotator.

Each annotator's confusion matrix is drawn to the pooled one, made sharper or softer to the annotator's own accuracy; the
pooled one is anchored to the accuracy that agreement implies. An example may be hard: then a vote comes from the labels' shares
instead of from the annotator, which keeps the posterior from being surer than people are right. A model's probabilities may
stand in for the labels' shares; how far they are believed is fitted to the votes.

Sources: Kim and Ghahramani, Bayesian Classifier Combination (2012), for the priors; Whitehill et al., GLAD (2009), for the
difficulty of examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.consensus.dawid_skene import confusion_counts
from pipeline.consensus.votes import (
    Array,
    Posterior,
    Votes,
    clamped,
    expected_accuracy,
    first_guess,
    label_shares,
    softmax,
    total,
    without_alone,
)

# Pseudo-answers, chosen on the tuning sets (tests/benchmarks/measured/consensus.py), where a factor of 2 either way changes the
# mean accuracy by less than .004.
ACCURACY = 16.0  # draw an annotator's accuracy to the usual one
# Draw an annotator's row of the confusion matrix to the pooled one, times √(K − 1): the more labels, the more an annotator's own
# few answers would confirm themselves (12 and 30 simulated labels: accuracy +.011 by it, dog -.004).
CONFUSION = 8.0
POOLED = 2.0  # per label, draw the pooled matrix to even errors at the accuracy that agreement implies
# Share of an example's votes that come from the labels' shares, and how many examples are so: also from the tuning sets, where
# the expected calibration error falls from .13 to .10 with it.
DIFFICULTY = (0.0, 0.35, 0.7)
HOW_MANY = (0.6, 0.25, 0.15)
# How far a model is believed: the power of its probabilities. 0 leaves it out; an out-of-sample ridge may be too unsure: above 1.
BELIEF = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
BELIEVING = 10  # iterations in which the power may change; it hardly does after two
ITERATIONS = 100
TOLERANCE = 1e-4
EDGE = 1e-3  # accuracies are kept this far from 0 and 1


@dataclass(frozen=True)
class Shrunk:
    """posterior; table: (annotators, said, true) how each annotator answers where the example is not hard; belief: the power
    of the model's probabilities, None without a model."""

    posterior: Posterior
    table: NDArray[np.float64]
    belief: float | None


def shrunk(votes: Votes, model: Array | None = None) -> Posterior:
    return fit(votes, model).posterior


def fit(votes: Votes, model: Array | None = None) -> Shrunk:
    """model: (n, K) out-of-sample probabilities, NaN rows where it says nothing."""
    truth = first_guess(votes)
    usual, share = expected_accuracy(votes), label_shares(votes)
    weights, belief = truth[votes.example], None
    prior = np.log(np.tile(share, (votes.examples, 1)))
    for turn in range(ITERATIONS):
        table = annotator_table(votes, weights, usual)
        said = table[votes.annotator, votes.label]  # (v, K)
        parts = [_mixed(said, hard, share[votes.label]) for hard in DIFFICULTY]
        scores = np.stack([total(np.log(part), votes.example, votes.examples) for part in parts], axis=2)
        scores += np.log(HOW_MANY)
        if model is not None and turn < BELIEVING:
            belief, prior = _believed(scores, model, share)
        joint = _normal(scores + prior[:, :, None])  # (n, K, difficulty)
        updated = clamped(joint.sum(2), votes)
        joint *= (updated / np.maximum(joint.sum(2), 1e-300))[:, :, None]
        weights = np.zeros_like(said)
        for at, (hard, part) in enumerate(zip(DIFFICULTY, parts, strict=True)):
            weights += joint[:, :, at][votes.example] * said * (1 - hard) / part
        done = np.abs(updated - truth).max(initial=0) < TOLERANCE
        truth = updated
        if done:
            break
    own = [scores[:, :, at][votes.example] - np.log(part) for at, part in enumerate(parts)]
    left = softmax(np.logaddexp.reduce(own, axis=0) + prior[votes.example])
    return Shrunk(Posterior(truth, without_alone(left, votes)), table, belief)


def _mixed(said: Array, hard: float, share: Array) -> Array:
    return (1 - hard) * said + hard * share[:, None]


def confusion_answers(votes: Votes) -> float:
    return CONFUSION * float(np.sqrt(max(votes.labels - 1, 1)))


def annotator_table(votes: Votes, weights: Array, usual: float) -> Array:
    """(annotators, said, true), columns summing to 1, from how much each vote says of its annotator (v, K)."""
    table = confusion_counts(votes, weights)
    diagonal = np.arange(votes.labels)
    even = np.full((votes.labels, votes.labels), (1 - usual) / max(votes.labels - 1, 1))
    even[diagonal, diagonal] = usual
    pooled = table.sum(0) + POOLED * votes.labels * even
    pooled /= pooled.sum(0)
    hits, size = table[:, diagonal, diagonal].sum(1), table.sum((1, 2))
    accuracy = np.clip((hits + ACCURACY * usual) / (size + ACCURACY), EDGE, 1 - EDGE)
    everybody = np.clip((hits.sum() + ACCURACY * usual) / (size.sum() + ACCURACY), EDGE, 1 - EDGE)
    better = _logit(accuracy) - _logit(everybody)
    right = 1 / (1 + np.exp(-_logit(np.clip(pooled[diagonal, diagonal], EDGE, 1 - EDGE)) - better[:, None]))
    wrong = pooled.copy()
    wrong[diagonal, diagonal] = 0
    wrong /= np.maximum(wrong.sum(0), 1e-300)
    expected = (1 - right)[:, None, :] * wrong
    expected[:, diagonal, diagonal] = right
    table += confusion_answers(votes) * expected
    result: Array = table / table.sum(1, keepdims=True)
    return result


def _logit(p: Array) -> Array:
    result: Array = np.log(p / (1 - p))
    return result


def _believed(scores: Array, model: Array, share: Array) -> tuple[float, Array]:
    """The power of the model's probabilities under which the votes are likeliest, and the log prior (n, K) at it. A model that
    is surer than it is right is contradicted by the votes, which it has not seen, and gets a power under 1."""
    votes = np.logaddexp.reduce(scores, axis=2)
    known = np.asarray(np.isfinite(model).all(axis=1), dtype=bool)
    log_model = np.log(np.maximum(np.where(known[:, None], model, share), 1e-6))
    best: tuple[float, float, Array] | None = None
    for power in BELIEF:
        prior = power * log_model + max(0.0, 1 - power) * np.log(share)
        prior -= np.logaddexp.reduce(prior, axis=1, keepdims=True)
        likelihood = float(np.logaddexp.reduce(votes[known] + prior[known], axis=1).sum())
        if best is None or likelihood > best[0]:
            best = likelihood, power, prior
    assert best is not None
    return best[1], np.where(known[:, None], best[2], np.log(share))


def _normal(scores: Array) -> Array:
    result: Array = np.exp(scores - scores.max((1, 2), keepdims=True))
    result /= result.sum((1, 2), keepdims=True)
    return result
