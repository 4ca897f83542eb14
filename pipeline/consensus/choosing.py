"""Which method: by the data's shape, and by gold items where there are any.

The rules were chosen on the tuning sets named in tests/benchmarks/measured/consensus.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.consensus.aggregation import METHODS, WITH_MODEL, decide, solve
from pipeline.consensus.votes import Array, Index, Posterior, Votes
from pipeline.statistics import wilson

# From here on the classical Dawid–Skene has enough to go by, and shrinking costs up to a point (dog and affect, 7 and 10 answers
# an example); below, it falls under majority. Per annotator and label, so that rows of the confusion matrix are known.
MANY = 7.0
ANSWERS_PER_ROW = 8.0
# Below MANY answers a model adds to them; with fewer examples it has learnt nothing to add (TREC: .26 precision of what it doubts
# with 100 examples, .48 with 1,000).
MODEL_EXAMPLES = 200
LEVEL = 0.05  # another method must beat the one chosen by shape on gold at this level, divided by how many are compared


@dataclass(frozen=True)
class Choice:
    method: str
    why: str


def by_shape(votes: Votes, with_model: bool = False) -> Choice:
    per_example = len(votes.label) / max(votes.examples, 1)
    per_row = len(votes.label) / max(votes.annotators * votes.labels, 1)
    if votes.examples == len(votes.label):
        return Choice("majority", "Each example has one answer, which is taken as it is.")
    if per_example >= MANY and per_row >= ANSWERS_PER_ROW:
        return Choice(
            "dawid_skene",
            f"Dawid–Skene, a confusion matrix per annotator: {per_example:.1f} answers per example and {per_row:.0f} per "
            f"annotator and label are enough for it.",
        )
    few = f"{per_example:.1f} answers per example and {per_row:.0f} per annotator and label"
    model = ", with a model's word beside the annotators'" if with_model else ""
    return Choice(
        "shrunk",
        f"Dawid–Skene drawn to what is known of all annotators{model}: {few} are too few for a confusion matrix of each alone.",
    )


def wants_model(votes: Votes) -> bool:
    """Whether a model's word can add to the annotators'. Never where each example has one answer."""
    per_example = len(votes.label) / max(votes.examples, 1)
    return votes.labels > 1 and votes.examples >= MODEL_EXAMPLES and 1 < per_example < MANY


def by_gold(
    votes: Votes, gold: Index, ids: Index, chosen: Choice, seed: int, model: Array | None
) -> tuple[Choice, list[dict[str, Any]], dict[str, Posterior]]:
    """(choice, how right each method is on gold, the posterior of each, out of sample).

    gold: (n,) the true label, -1 where unknown. `votes` hold neither what is known nor the answers that are the gold itself, so
    that no method has seen what it is judged by. Another method than the one chosen by shape is taken only if it is right
    significantly more often on the same examples (one-sided sign test on those where just one is right).
    """
    from scipy.stats import binomtest

    judged = np.flatnonzero((gold >= 0) & (votes.sizes > 0))
    posteriors = {method: solve(votes, method, model) for method in candidates(model, chosen.method)}
    right = {method: (decide(posterior, ids, seed)[0] == gold)[judged] for method, posterior in posteriors.items()}
    rows = [
        {
            "method": method,
            "right": int(hits.sum()),
            "examples": len(judged),
            "accuracy": wilson(int(hits.sum()), len(judged)).as_dict(),
        }
        for method, hits in right.items()
        if len(judged)
    ]
    best = max(right, key=lambda method: (right[method].sum(), method == chosen.method))
    more, fewer = int((right[best] & ~right[chosen.method]).sum()), int((~right[best] & right[chosen.method]).sum())
    p = binomtest(more, more + fewer, alternative="greater").pvalue if more > fewer else 1.0
    if len(judged) and p <= LEVEL / max(len(right) - 1, 1):
        told = f"{int(right[best].sum())} of {len(judged)} gold examples right, {chosen.method} {int(right[chosen.method].sum())}"
        return Choice(best, f"By gold: {best} has {told}, which is no chance (p = {p:.1g})."), rows, posteriors
    if len(judged):
        told = (
            f"Of {len(judged)} gold examples it has {int(right[chosen.method].sum())} right; no other method is clearly better."
        )
        chosen = replace(chosen, why=f"{chosen.why} {told}")
    return chosen, rows, posteriors


def candidates(model: Array | None, *also: str) -> list[str]:
    """The methods that can be asked, `also` among them."""
    known = [*METHODS, *(sorted(set(WITH_MODEL) - set(METHODS)) if model is not None else [])]
    return [*known, *(method for method in also if method not in known)]
