"""Examples on which careful annotators split: ambiguous, not wrong.

For each example with enough answers, two labels at once (each half the time) are held against the likeliest single one, given how
often each annotator errs. How large that ratio of likelihoods gets by errors alone is simulated: the same annotators answer
an example of one true label. What is larger than that, with Benjamini–Hochberg over all examples tested, is ambiguous: of those
so called, at most a share of LEVEL is expected to be a split by errors alone. Annotators' errors are estimated on the same
answers, but for the examples that a first pass finds most divided: those would make everybody look careless.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.consensus.shrunk import annotator_table
from pipeline.consensus.votes import Array, Index, Posterior, Votes, counts, expected_accuracy
from pipeline.statistics import benjamini_hochberg

LEVEL = 0.05  # expected share of false ones among those called ambiguous
# Of the level, what Benjamini–Hochberg gets: annotators look a little better than they are without the examples left out: at the
# full level 1.6 times as many were false in simulations (20 seeds, 300 examples, 10 answers of annotators right by 84 %).
SHARE = 0.5
LEAST = 4  # answers; a split of 2 to 1 is what any annotator's error looks like
LEAST_SIDE = 2  # answers for the second label: one is a slip
DRAWS = (199, 4999)  # a first look, and a second one where the first leaves it open
OPEN = 0.05
# An example with a smaller adjusted p-value says nothing of how often annotators err, and is left out of the next pass. With .1
# a fifth as many are found, with .3 a share of .2 of them is false.
TRIMMED = 0.2
PASSES = 4


@dataclass(frozen=True)
class Ambiguity:
    """ambiguous: (n,). tested: examples with enough answers. weights: (annotators,) in [0, 1], how much better than guessing."""

    ambiguous: NDArray[np.bool_]
    tested: int
    weights: Array


def ambiguity(votes: Votes, posterior: Posterior, seed: int) -> Ambiguity:
    truth, usual = posterior.probabilities, expected_accuracy(votes)
    tested = votes.sizes >= LEAST
    table = annotator_table(votes, truth[votes.example], usual)
    adjusted = np.ones(votes.examples)
    for _ in range(PASSES):
        adjusted[tested] = benjamini_hochberg(_chances(votes, truth, table, tested, seed)[tested])
        kept = (adjusted > TRIMMED)[votes.example]
        table = annotator_table(votes, truth[votes.example] * kept[:, None], usual)
        if kept.all():
            break
    found = adjusted <= SHARE * LEVEL
    return Ambiguity(found, int(tested.sum()), _weights(table))


def _chances(votes: Votes, truth: Array, table: Array, tested: NDArray[np.bool_], seed: int) -> Array:
    """(n,) p-values; 1 where the second label has too few answers to be a split."""
    second = np.sort(counts(votes), axis=1)[:, -2] if votes.labels > 1 else np.zeros(votes.examples)
    order = np.argsort(votes.example, kind="stable")
    starts = np.concatenate([[0], np.cumsum(votes.sizes)])
    p = np.ones(votes.examples)
    for example in np.flatnonzero(tested & (second >= LEAST_SIDE)):
        rows = order[starts[example] : starts[example + 1]]
        p[example] = _p(table[votes.annotator[rows]], votes.label[rows], truth[example], [seed, int(example)])
    return p


def _p(tables: Array, said: Index, truth: Array, seed: list[int]) -> float:
    """The probability that the annotators (m, said, true), by errors alone, split as much as they did."""
    random = np.random.default_rng(seed)
    observed = _ratio(tables, said[None, :])[0]
    p = 1.0
    for draws in DRAWS:
        labels = random.choice(len(truth), draws, p=truth / truth.sum())
        chances = np.cumsum(tables[:, :, labels], axis=1)  # (m, said, draws)
        drawn = (random.random((len(said), 1, draws)) > chances).sum(1).clip(max=len(truth) - 1).T  # (draws, m)
        p = float((1 + (_ratio(tables, drawn) >= observed - 1e-9).sum()) / (1 + draws))
        if p > OPEN:
            break
    return p


def _ratio(tables: Array, said: NDArray[np.int64]) -> Array:
    """(draws,) log-likelihood of the likeliest label with the best second one at half each, less that of the label alone."""
    likely = tables[np.arange(len(tables))[None, :], said]  # (draws, m, true)
    best = np.log(likely).sum(1).argmax(1)
    of_best = np.take_along_axis(likely, best[:, None, None], axis=2)
    both = np.log((likely + of_best) / 2).sum(1).max(1)
    result: Array = both - np.log(of_best[:, :, 0]).sum(1)
    return result


def _weights(table: Array) -> Array:
    """How much better than guessing an annotator is, in [0, 1]."""
    chance = 1 / table.shape[2]
    accuracy = np.einsum("ikk->ik", table).mean(1)
    result: Array = np.clip((accuracy - chance) / max(1 - chance, 1e-9), 0, 1)
    return result


def soft_labels(votes: Votes, calibrated: Array, found: Ambiguity) -> Array:
    """(n, K): the calibrated posterior; where ambiguous, the annotators' answers, each weighed by how much better than guessing
    its annotator is: there the labels' shares are what is to be learnt, and not which of them is the true one."""
    weight = found.weights[votes.annotator] + 1e-6
    shares = np.bincount(votes.example * votes.labels + votes.label, weight, votes.examples * votes.labels)
    shares = shares.reshape(votes.examples, votes.labels)
    shares = shares / np.maximum(shares.sum(1, keepdims=True), 1e-12)
    result: Array = np.where(found.ambiguous[:, None], shares, calibrated)
    return result
