"""Ridge regression on words, in folds of whole groups, solved exactly and in pieces that fit the memory.

Leaving out one group at a time has a closed form as well (the block form of `probabilities.py`'s identity), but needs each word's
row of the hat matrix: twice the cost for no better a ranking, as ten folds leave nine tenths of the corpus to learn from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.evidence.word_embeddings import Vectors
from pipeline.evidence.word_features import COLUMNS, spread
from pipeline.types import FloatArray, IntArray

RIDGE = 3.0  # rows have unit length on average; from 0.3 to 30 the average precision on WNUT 2017 moves by .02
# What the hashed features count for beside the vectors, which have unit length in all. 0.15 and 0.4 rank equally well on
# CrossNER (AI): .653 and .653.
HASHED = 0.15
CHUNK = 8_192  # words taken to float32 at a time: 55 MB with MiniLM

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """m words. vectors: m of them; columns, signs: (m, f), see `word_features`; target: (m,) class; fold: (m,) from 0."""

    vectors: Vectors
    columns: NDArray[np.int16]
    signs: NDArray[np.int8]
    target: IntArray
    fold: IntArray


def left_out_scores(table: Table, classes: int) -> FloatArray:
    """(m, K) scores of each word from the words of all other folds: near 1 for its class, near 0 for others."""
    from scipy.linalg import cho_factor, cho_solve

    mean, length = _centre(table)
    folds = [_sums(table, rows, classes, mean, length) for rows in _folds(table)]
    cross, product = RIDGE * np.eye(len(folds[0][0])), np.zeros_like(folds[0][1])
    for own_cross, own_product in folds:
        cross, product = cross + own_cross, product + own_product
    result = np.zeros((len(table.target), classes), np.float32)
    for rows, (own_cross, own_product) in zip(_folds(table), folds, strict=True):
        weights = cho_solve(cho_factor(cross - own_cross), product - own_product).astype(np.float32)
        for part in _parts(rows):
            result[part] = _features(table, part, mean, length) @ weights
    return result


def _folds(table: Table) -> list[IntArray]:
    return [np.flatnonzero(table.fold == number) for number in range(int(table.fold.max()) + 1)]


def _parts(rows: IntArray) -> Iterator[IntArray]:
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]


def _sums(table: Table, rows: IntArray, classes: int, mean: FloatArray, length: float) -> tuple[Array, Array]:
    """X'X and X'Y of some rows."""
    size = len(mean) + COLUMNS + 1
    cross, product = np.zeros((size, size)), np.zeros((size, classes))
    for part in _parts(rows):
        x = _features(table, part, mean, length)
        cross += x.T @ x
        product += x.T @ np.eye(classes, dtype=np.float32)[table.target[part]]
    return cross, product


def _centre(table: Table) -> tuple[FloatArray, float]:
    """Mean of the vectors, and the root of their mean squared distance from it."""
    total, squares = 0.0, 0.0
    for part in _parts(np.arange(len(table.target))):
        whole = table.vectors.whole(part)
        total, squares = total + whole.sum(axis=0, dtype=np.float64), squares + float((whole**2).sum(dtype=np.float64))
    mean = np.asarray(total) / len(table.target)
    return mean.astype(np.float32), float(np.sqrt(max(squares / len(table.target) - float(mean @ mean), 1e-12)))


def _features(table: Table, rows: IntArray, mean: FloatArray, length: float) -> FloatArray:
    """(r, d + COLUMNS + 1) float32: vectors, hashed features, and a one."""
    near = (table.vectors.whole(rows) - mean) / length
    hashed = HASHED * spread(table.columns[rows], table.signs[rows])
    return np.hstack([near, hashed, np.ones((len(near), 1), np.float32)]).astype(np.float32)
