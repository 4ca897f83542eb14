"""MACE: an annotator either knows the answer or answers by habit, whatever is true.

Source: Hovy, Berg-Kirkpatrick, Vaswani and Hovy, Learning Whom to Trust with MACE (2013). Expectation maximisation from the
vote shares, without random restarts, so that a run can be repeated; what agreement implies anchors how often people know.
"""

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

KNOWING = 4.0  # pseudo-answers that draw an annotator to the usual share of knowing; 2 to 8 make no difference on the tuning sets
HABIT = 1.0  # pseudo-answers per label that draw an annotator's habit to everybody's
ITERATIONS = 100
TOLERANCE = 1e-5


def mace(votes: Votes) -> Posterior:
    truth = first_guess(votes)
    chance = 1 / votes.labels
    usual = max((expected_accuracy(votes) - chance) / (1 - chance), 0.05) if votes.labels > 1 else 0.5
    prior = np.log(label_shares(votes))
    knew = 0.7 * given(truth[votes.example], votes)  # a start; the fixed point does not depend on it
    likelihood = np.zeros((len(votes.label), votes.labels))
    for _ in range(ITERATIONS):
        knows, habit = _people(votes, knew, usual)
        guess = (1 - knows) * habit
        likelihood = np.repeat(np.log(guess)[:, None], votes.labels, axis=1)
        likelihood[np.arange(len(guess)), votes.label] = np.log(knows + guess)
        scores = prior + total(likelihood, votes.example, votes.examples)
        updated = clamped(softmax(scores), votes)
        done = np.abs(updated - truth).max(initial=0) < TOLERANCE
        truth = updated
        knew = given(truth[votes.example], votes) * knows / (knows + guess)
        if done:
            break
    return Posterior(truth, without_alone(softmax(scores[votes.example] - likelihood), votes))


def _people(votes: Votes, knew: Array, usual: float) -> tuple[Array, Array]:
    """(v,) how often the vote's annotator knows, and how often he gives the vote's label when he does not."""
    size = np.bincount(votes.annotator, minlength=votes.annotators)
    knows = (np.bincount(votes.annotator, knew, votes.annotators) + KNOWING * usual) / (size + KNOWING)
    cells = votes.annotator * votes.labels + votes.label
    habits = np.bincount(cells, 1 - knew, votes.annotators * votes.labels).reshape(votes.annotators, votes.labels)
    everybody = (habits.sum(0) + 1) / (habits.sum() + votes.labels)
    habits = habits + HABIT * votes.labels * everybody
    return knows[votes.annotator], (habits / habits.sum(1, keepdims=True))[votes.annotator, votes.label]
