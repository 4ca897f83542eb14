"""Out-of-sample probabilities where an answer is a set of labels: for each label, that it belongs to the set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.evidence.probabilities import out_of_sample
from pipeline.types import FloatArray, IntArray


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
    for label in range(sets.shape[1]):
        given = np.where(known, sets[:, label].astype(np.int64), -1)
        result[:, label] = out_of_sample(embeddings, given, groups, neighbours, similarities, 2, texts)[:, 1]
    return result
