"""Out-of-sample class probabilities that cost little: what would the rest of the data say about this example?

Ridge regression on the embeddings, solved exactly without the example's own group (closed form, no folds), times the vote of
its nearest neighbours outside the group, as a geometric mean. Measured on banking77 with 10 % class-confusable errors:
average precision 0.90 at 6 CPU-s, where five-fold logistic regression reaches 0.80 at 52 CPU-s.

A group holds what must not vouch for each other: copies and near-copies of one text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.types import FloatArray, IntArray

RIDGE = 1.0  # with unit-length embeddings; from 0.3 to 3 the ranking on banking77 changes by less than .01
NEIGHBOURS = 10  # as measured beside the ridge
SHARPNESS = np.geomspace(1, 64, 25)  # inverse temperatures tried for the softmax, chosen by log-loss

Array = NDArray[np.float64]


def out_of_sample(
    embeddings: FloatArray,
    labels: IntArray,
    groups: IntArray,
    neighbours: IntArray,
    similarities: FloatArray,
    classes: int,
    texts: Sequence[str] = (),
) -> FloatArray:
    """(n, K) probabilities in [0, 1], rows summing to 1.

    `labels`: (n,) class indices, -1 where there is no consensus (NaN row; the example vouches for nobody either).
    `groups`: (n,) any integers. `neighbours`, `similarities`: see `nearest`.
    """
    result = np.full((len(labels), classes), np.nan, dtype=np.float32)
    known = np.flatnonzero(labels >= 0)
    if len(known) < 2 or classes < 2:
        return result
    ridge = _ridge(embeddings[known].astype(np.float64), labels[known], groups[known], classes)
    votes = _votes(labels, groups, neighbours, similarities, classes)[known]
    mixed = np.sqrt(ridge * votes)
    result[known] = mixed / mixed.sum(1, keepdims=True)
    return result


def _ridge(x: Array, y: IntArray, groups: IntArray, classes: int) -> Array:
    """Leave-group-out ridge scores, made probabilities.

    For a group g with hat block H_gg the scores without it are (I − H_gg)⁻¹ (S_g − H_gg Y_g): the block form of the
    leave-one-out identity. Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, eq. 7.64.
    """
    x = np.hstack([x, np.ones((len(x), 1))])
    target = np.eye(classes)[y]
    inverse = np.linalg.inv(x.T @ x + RIDGE * np.eye(x.shape[1]))
    projected = x @ inverse
    scores = projected @ (x.T @ target)
    leverage = np.einsum("ij,ij->i", projected, x)
    left_out = (scores - leverage[:, None] * target) / (1 - leverage)[:, None]
    _, sizes = np.unique(groups, return_counts=True)
    order = np.argsort(groups, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)])
    for number in np.flatnonzero(sizes > 1):
        rows = order[starts[number] : starts[number + 1]]
        hat = projected[rows] @ x[rows].T
        left_out[rows] = np.linalg.solve(np.eye(len(rows)) - hat, scores[rows] - hat @ target[rows])
    return _probabilities(left_out, y)


def _probabilities(scores: Array, y: IntArray) -> Array:
    """Softmax at the sharpness with the least log-loss on the left-out scores themselves."""
    rows = np.arange(len(y))
    best: tuple[float, Array] | None = None
    for sharpness in SHARPNESS:
        scaled = scores * sharpness
        scaled = np.exp(scaled - scaled.max(1, keepdims=True))
        scaled /= scaled.sum(1, keepdims=True)
        loss = -float(np.log(np.maximum(scaled[rows, y], 1e-12)).mean())
        if best is None or loss < best[0]:
            best = (loss, scaled)
    assert best is not None
    return best[1]


def _votes(labels: IntArray, groups: IntArray, neighbours: IntArray, similarities: FloatArray, classes: int) -> Array:
    """Share of each class among the neighbours outside the row's own group, weighted by cosine, smoothed by the class
    shares so that no class is impossible."""
    prior = np.bincount(labels[labels >= 0], minlength=classes) + 1.0
    prior /= prior.sum()
    counted = (
        (neighbours >= 0) & (labels[neighbours] >= 0) & (groups[neighbours] != groups[:, None])
    )  # index -1 reads the last row; the first condition takes it out
    first = np.cumsum(counted, axis=1) <= NEIGHBOURS
    weights = np.where(counted & first, np.maximum(similarities, 0), 0.0)
    votes = np.tile(prior, (len(labels), 1))  # one vote's worth of prior
    rows = np.repeat(np.arange(len(labels)), neighbours.shape[1])
    np.add.at(votes, (rows, np.maximum(labels[neighbours], 0).ravel()), weights.ravel())
    result: Array = votes / votes.sum(1, keepdims=True)
    return result
