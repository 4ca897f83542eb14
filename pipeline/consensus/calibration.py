"""A posterior that is as sure as people are right.

Dawid–Skene takes annotators' errors to be independent; where examples are hard they are not, and the posterior is too sure. It is
raised to a power 1/T. T is chosen by gold where there is enough; else by how well the others' answers foretell each left-out one,
which needs no gold. Source for the temperature: Guo et al., On Calibration of Modern Neural Networks (2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.consensus.shrunk import annotator_table, confusion_answers
from pipeline.consensus.votes import Array, Index, Posterior, Votes, expected_accuracy, softmax

LEAST_GOLD = 50  # gold examples; with fewer the temperature they give is as uncertain as none
BY_GOLD = np.geomspace(0.5, 8, 33)
# Left-out answers cannot tell a posterior that is too unsure, because each has had a part in what is known of its annotator.
BY_ANSWERS = np.geomspace(1, 8, 25)


@dataclass(frozen=True)
class Calibration:
    """temperature: 1 leaves the posterior as it is, more makes it less sure. by: "gold", "left-out answers" or "nothing"."""

    temperature: float
    by: str


def calibrate(votes: Votes, posterior: Posterior, gold: Index | None = None, unseen: Posterior | None = None) -> Calibration:
    """gold: (n,) true labels, -1 where unknown or where no answer but the truth itself is left; unseen: the posterior of the same
    method that has seen none of it."""
    if gold is not None and unseen is not None and int((gold >= 0).sum()) >= LEAST_GOLD:
        known = np.flatnonzero((gold >= 0) & np.isfinite(unseen.probabilities[:, 0]))
        heat = min(BY_GOLD, key=lambda heat: _loss(tempered(unseen.probabilities[known], heat), gold[known]))
        return Calibration(float(heat), "gold")
    seen = np.isfinite(posterior.own).all(1) if len(votes.label) else np.zeros(0, bool)
    if not seen.any() or votes.labels < 2:
        return Calibration(1.0, "nothing")
    said = _said(votes, posterior)[seen]
    own = posterior.own[seen]
    heat = min(BY_ANSWERS, key=lambda heat: -np.log(np.maximum((tempered(own, heat) * said).sum(1), 1e-9)).mean())
    return Calibration(float(heat), "left-out answers")


def tempered(probabilities: Array, heat: float) -> Array:
    """Rows of the same order, less sure where heat is above 1."""
    return softmax(np.log(np.maximum(probabilities, 1e-12)) / heat)


def _said(votes: Votes, posterior: Posterior) -> Array:
    """(v, K): how likely the vote's annotator gives its label under each true one, the vote itself left out."""
    weights = np.where(np.isfinite(posterior.probabilities), posterior.probabilities, 1 / votes.labels)[votes.example]
    table = annotator_table(votes, weights, expected_accuracy(votes))
    size: Array = np.zeros((votes.annotators, votes.labels))
    np.add.at(size, votes.annotator, weights)
    size = size[votes.annotator] + confusion_answers(votes)
    left: Array = (table[votes.annotator, votes.label] * size - weights) / np.maximum(size - weights, 1e-9)
    return np.maximum(left, 1e-9)


def _loss(probabilities: Array, gold: Index) -> float:
    return float(-np.log(np.maximum(probabilities[np.arange(len(gold)), gold], 1e-9)).mean())
