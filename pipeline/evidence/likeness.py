"""How like the other examples of its label is an example? A coarse second opinion beside a model, and wrong elsewhere."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.types import FloatArray, IntArray

SHARPNESS = 40.0  # of the softmax over cosines; 20 and 80 do about as well


class Likeness(NamedTuple):
    """own: (n,) in [0, 1]. right: the share of rows that are most like their given label."""

    own: NDArray[np.float64]
    right: float


def likeness(embeddings: FloatArray, given: IntArray, groups: IntArray) -> Likeness:
    """The softmax, at the given label, of each row's products with the mean of every label's rows.

    embeddings: (n, d), rows of unit length. given: (n,) class indices. groups: (n,); a row's own group does not count for its own
    label; where nobody else has that label, its likeness is that of an average label.

    Source: nearest class mean, Rocchio (1971); the softmax over it as in Snell et al. (2017), Prototypical Networks.
    """
    from scipy import sparse

    rows = np.arange(len(given))
    classes = int(given.max()) + 1
    together = np.unique(np.stack([groups, given]), axis=1, return_inverse=True)[1].ravel()
    held = sparse.csr_matrix((np.ones(len(given), np.float32), (together, rows)))
    own_group, size = held @ embeddings, np.bincount(together)
    sums, counts = np.zeros((classes, embeddings.shape[1]), np.float32), np.bincount(given, minlength=classes)
    np.add.at(sums, given, embeddings)
    scores = (embeddings @ (sums / np.maximum(counts, 1)[:, None]).T).astype(np.float64)
    left = counts[given] - size[together]
    others = np.einsum("ij,ij->i", embeddings, sums[given] - own_group[together])
    scores[rows, given] = np.where(left > 0, others / np.maximum(left, 1), scores.mean(axis=1))
    right = float((scores.argmax(axis=1) == given).mean())
    scores = np.exp(SHARPNESS * (scores - scores.max(axis=1, keepdims=True)))
    return Likeness(scores[rows, given] / scores.sum(axis=1), right)
