"""Out-of-sample probabilities where an answer is a set of labels: for each label, that it belongs to the set.

The same three voices as for single labels (see `probabilities`), asked about all labels at once; how much each counts is the
same for all labels, so that rare ones borrow from common ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.evidence.probabilities import bases, best_left_out, votes
from pipeline.types import FloatArray, IntArray

CELLS = 2_000_000  # labels of examples on which the weights are fitted; six numbers need no more


def out_of_sample_sets(
    embeddings: FloatArray,
    sets: NDArray[np.bool_],
    known: NDArray[np.bool_],
    groups: IntArray,
    neighbours: IntArray,
    similarities: FloatArray,
    texts: Sequence[str],
) -> FloatArray:
    """(n, K) probabilities in [0, 1], each column for itself. sets: (n, K) whether the label is in the answer; known: (n,)
    whether there is an answer (NaN row, and no influence, where there is none)."""
    result = np.full(sets.shape, np.nan, np.float32)
    rows = np.flatnonzero(known)
    if len(rows) < 2 or not sets.shape[1]:
        return result
    targets = sets.astype(np.float32)
    usual = (targets[rows].sum(axis=0, dtype=np.float64) + 1) / (len(rows) + 2)
    shares = votes(targets, usual, known, groups, neighbours, similarities)[rows]
    voices = [best_left_out(made, targets[rows]) for made in bases(embeddings, texts, groups, rows)]
    result[rows] = _weighed([*voices, shares], usual, sets[rows])
    return result


def _weighed(voices: Sequence[FloatArray], usual: NDArray[np.float64], held: NDArray[np.bool_]) -> FloatArray:
    """Logistic regression on what each voice says beyond the label's usual share, and on the log-odds of that share."""
    from sklearn.linear_model import LogisticRegression

    apart = [one - usual.astype(np.float32) for one in voices]
    apart.append(np.broadcast_to(np.log(usual / (1 - usual)).astype(np.float32), held.shape))
    cells = np.column_stack([one.ravel() for one in apart])
    answers = held.ravel()
    if answers.all() or not answers.any():
        return np.broadcast_to(usual.astype(np.float32), held.shape)
    step = max(1, len(cells) // CELLS)
    fitted = LogisticRegression(C=1e3, max_iter=200).fit(cells[::step], answers[::step])
    chances: FloatArray = fitted.predict_proba(cells)[:, 1].reshape(held.shape).astype(np.float32)
    return chances
