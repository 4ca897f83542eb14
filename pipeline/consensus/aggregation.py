"""Several answers to one example → one consensus answer and how likely it is.

Methods
- majority: most votes; a tie is broken by the seed and marked as needing adjudication (always taking the first label
  costs 2.2 points on Snow RTE, see crowd-kit).
- dawid_skene: a confusion matrix per annotator, by expectation maximisation: for many answers.
- one_coin: one accuracy per annotator.
- mace: annotators know, or answer by habit.
- shrunk: Dawid–Skene for few answers, with hard examples and, if there is one, a model's word.
- crowdlab: annotators and a model, weighed by agreement; only with a model.

Each is described, with its source, in the file of its name.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.consensus.crowdlab import crowdlab
from pipeline.consensus.dawid_skene import dawid_skene, one_coin
from pipeline.consensus.mace import mace
from pipeline.consensus.shrunk import shrunk
from pipeline.consensus.votes import Array, Posterior, Votes, as_votes, counts, first_guess, shares
from pipeline.errors import ConfigError, unknown

__all__ = ["METHODS", "WITH_MODEL", "Array", "Posterior", "Votes", "as_votes", "decide", "solve"]


def majority(votes: Votes) -> Posterior:
    counted = counts(votes)
    others = counted[votes.example]
    others[np.arange(len(others)), votes.label] -= 1
    return Posterior(first_guess(votes), shares(others))


OF_VOTES: dict[str, Callable[[Votes], Posterior]] = {
    "majority": majority, "dawid_skene": dawid_skene, "one_coin": one_coin, "mace": mace, "shrunk": shrunk,
}  # fmt: skip
WITH_MODEL: dict[str, Callable[[Votes, Array], Posterior]] = {"crowdlab": crowdlab, "shrunk": shrunk}
METHODS = tuple(OF_VOTES)  # those that need nothing but the votes


def solve(votes: Votes, method: str, model: Array | None = None) -> Posterior:
    """model: (n, K) out-of-sample probabilities, NaN rows where it says nothing; methods that know no use for it do without."""
    if method not in {**OF_VOTES, **WITH_MODEL}:
        raise ConfigError(f"consensus.method: {unknown('method', method, sorted({**OF_VOTES, **WITH_MODEL}))}")
    if model is not None and method in WITH_MODEL:
        return WITH_MODEL[method](votes, model)
    if method not in OF_VOTES:
        raise ConfigError(f"consensus.method: {method} needs a model's probabilities, which this project's answers do not give.")
    return OF_VOTES[method](votes)


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
