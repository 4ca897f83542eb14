"""CROWDLAB: annotators and a model, each weighed by how much better than guessing they agree with the rest.

Source: Goh, Tkachenko and Mueller, CROWDLAB (2022), §3. Ours calibrates the model's probabilities first, by how well they
foretell the votes: with a model that is surer than it is right the method falls below majority.
"""

from __future__ import annotations

import numpy as np

from pipeline.consensus.shrunk import fit
from pipeline.consensus.votes import (
    Array,
    Index,
    Posterior,
    Votes,
    clamped,
    counts,
    given,
    shares,
    total,
    without_alone,
)

LEAST = 1e-6  # nobody has a weight below it: with all at 0 there would be nothing to divide by


def crowdlab(votes: Votes, model: Array) -> Posterior:
    """model: (n, K) out-of-sample probabilities, NaN rows where it says nothing."""
    probabilities = _calibrated(votes, model)
    majority = _majority(votes, probabilities)
    several = (votes.sizes > 1)[votes.example]
    agreed = (majority[votes.example] == votes.label)[several]
    usual = float(np.clip(agreed.mean(), LEAST, 1 - LEAST)) if len(agreed) else 0.5
    guess = _share_of_commonest(majority, votes)
    person = _weights(_agreement(votes), guess)[votes.annotator]
    right = (probabilities.argmax(1) == majority)[votes.sizes > 1]
    per_example = len(votes.label) / max(votes.examples, 1)
    of_model = _weights(np.array([right.mean() if len(right) else 0.0]), guess)[0] * np.sqrt(per_example)
    spread = np.full((len(votes.label), votes.labels), (1 - usual) / max(votes.labels - 1, 1))
    spread[np.arange(len(votes.label)), votes.label] = usual
    said = person[:, None] * spread
    summed = total(said, votes.example, votes.examples) + of_model * probabilities
    left = shares(summed[votes.example] - said)
    return Posterior(clamped(shares(summed), votes), without_alone(left, votes))


def _calibrated(votes: Votes, model: Array) -> Array:
    """Only ever less sure: what the model is more sure of than it says is worth little here (TREC, 2 answers: -.02 accuracy)."""
    power = min(fit(votes, model).belief or 0.0, 1.0)
    raised = np.maximum(np.where(np.isfinite(model), model, 1 / votes.labels), 1e-6) ** power
    return shares(raised)


def _majority(votes: Votes, probabilities: Array) -> Index:
    """Most votes, ties to what the model holds likelier."""
    result: Index = (counts(votes) + 0.5 * probabilities).argmax(1)
    return result


def _agreement(votes: Votes) -> Array:
    """(annotators,) share of the other annotators' answers to the same examples that are the same; the mean where alone."""
    counted = counts(votes)
    others = (votes.sizes - 1)[votes.example]
    same = given(counted[votes.example], votes) - 1
    pairs = np.bincount(votes.annotator, others, votes.annotators)
    agreed = np.bincount(votes.annotator, same, votes.annotators)
    mean = agreed.sum() / max(pairs.sum(), 1)
    result: Array = np.where(pairs > 0, agreed / np.maximum(pairs, 1), mean)
    return result


def _share_of_commonest(majority: Index, votes: Votes) -> float:
    """How often one is right who always gives the commonest label."""
    several = majority[votes.sizes > 1]
    return float(np.bincount(several).max() / len(several)) if len(several) else 1 / votes.labels


def _weights(agreement: Array, guess: float) -> Array:
    result: Array = np.maximum(1 - (1 - agreement) / max(1 - guess, LEAST), LEAST)
    return result
