"""Does it belong to the answer? What some annotators put into theirs (a span, a label of a set) and others did not, decided by a
vote that is weighed by how reliable each of them is.

Everything that at least one annotator of an example gave is a candidate; each annotator of the example votes on each. How often
an annotator gives what belongs, and what does not, is found with the answers, by Dawid and Skene's expectation maximisation on
these two classes, but for one thing: what nobody gave is not seen. Of 3 annotators who each miss one in four, one right span in
64 is missing from the candidates; of what does not belong nearly everything is, so that the rest looks as if everybody gave it
often. Taken as it stands, the method turns round (F1 .637 for .765 of a plain vote, on 500 sentences of ncbi_disease's devel
part with simulated annotators). So the likelihood is that of votes of which at least one is cast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.consensus.alphas import Array
from pipeline.types import IntArray

# What a careful annotator does, counted as so many candidates until there are answers enough to tell: gives four in five of what
# belongs and one in ten of what does not.
USUAL = (0.1, 0.8)
STRENGTH = 20.0  # candidates of all annotators together
OWN = 5.0  # an annotator's rates are drawn to everybody's by so many candidates: few answers say little about a person
ROUNDS = 100
DONE = 1e-4
DECIDED = 0.8  # of three careful annotators two reach it (.89), and one is left out with it (.83); one of two is neither
LEAST = 0.01  # no rate is nearer to 0 or 1: a habit seen without exception may still have one


@dataclass(frozen=True)
class Presence:
    """prior: log-odds that a candidate belongs to the answer. rates: (2, annotators) how often each gives what does not belong,
    and what does."""

    prior: float
    rates: Array

    def probability(self, annotators: IntArray, gave: IntArray) -> float:
        """That a candidate belongs to the answer, by the votes `gave` (m,) of 1 and 0 of `annotators` (m,), of which one is 1."""
        item = np.zeros(len(annotators), np.int64)
        return float(_belongs(item, annotators, gave, self.prior, self.rates, 1)[0])


def fit(item: IntArray, annotator: IntArray, gave: IntArray, *, annotators: int) -> Presence:
    """item, annotator, gave: (v,) each vote's candidate, its annotator, and 1 if the annotator gave it, else 0."""
    items = int(item.max()) + 1 if len(item) else 0
    share = np.bincount(item, gave, items) / np.maximum(np.bincount(item, minlength=items), 1)
    belongs = np.clip(share, 0.05, 0.95)
    prior, rates = _rates(item, annotator, gave, belongs, np.tile(np.array(USUAL)[:, None], annotators))
    for _ in range(ROUNDS):
        updated = _belongs(item, annotator, gave, prior, rates, items)
        if not items or np.abs(updated - belongs).max() < DONE:
            break
        belongs = updated
        prior, rates = _rates(item, annotator, gave, belongs, rates)
    return Presence(prior, rates)


def _belongs(item: IntArray, annotator: IntArray, gave: IntArray, prior: float, rates: Array, items: int) -> Array:
    vote = np.where(gave, np.log(rates)[:, annotator], np.log(1 - rates)[:, annotator])
    votes = np.stack([np.bincount(item, one, items) for one in vote])
    wrong, right = votes - np.log(1 - _unseen(item, annotator, rates, items))
    result: Array = 1 / (1 + np.exp(np.clip(wrong - right - prior, -50, 50)))
    return result


def _unseen(item: IntArray, annotator: IntArray, rates: Array, items: int) -> Array:
    """(2, items): how probable it is that none of a candidate's annotators would have given it."""
    return np.exp(np.stack([np.bincount(item, np.log(1 - one)[annotator], items) for one in rates]))


def _rates(item: IntArray, annotator: IntArray, gave: IntArray, belongs: Array, rates: Array) -> tuple[float, Array]:
    made = []
    annotators, items = rates.shape[1], len(belongs)
    for weight, unseen, usual in zip((1 - belongs, belongs), _unseen(item, annotator, rates, items), USUAL, strict=True):
        mass = (weight / (1 - unseen))[item]  # with those of the same kind that nobody gave
        total = np.bincount(annotator, mass, annotators)
        hits = np.bincount(annotator, weight[item] * gave, annotators)
        pooled = (hits.sum() + STRENGTH * usual) / (total.sum() + STRENGTH)
        made.append(np.clip((hits + OWN * pooled) / (total + OWN), LEAST, 1 - LEAST))
    prior = float(np.log((belongs.sum() + 1) / ((1 - belongs).sum() + 1)))
    return prior, np.stack(made)


def undecided(probability: float, kept: bool) -> bool:
    """Whether keeping a candidate of this probability, or leaving it out, is wrong more than once in five times."""
    return probability < DECIDED if kept else probability > 1 - DECIDED
