"""Ridge regression, solved exactly without an example's own group, for many targets and penalties at once.

Source: the block form of the leave-one-out identity; Hastie, Tibshirani, Friedman, The Elements of Statistical Learning,
eq. 7.64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.types import FloatArray, IntArray

PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0)  # with rows of unit length; the tuning sets chose each of them but the first
BATCH_BYTES = 1 << 27  # of the rows of groups solved together


@dataclass(frozen=True)
class Basis:
    """The rows and a constant, turned so that their products are diagonal: every penalty then costs one product.

    rows: (n, d + 1). strength: (d + 1,) sums of squares of the columns. sizes: groups by their size; size → (groups, size)
    row numbers, for sizes above 1.
    """

    rows: FloatArray
    strength: FloatArray
    sizes: dict[int, IntArray]


def basis(x: FloatArray, groups: IntArray) -> Basis:
    """x: (n, d). groups: (n,); rows of one group are left out together."""
    wide = np.hstack([x.astype(np.float32, copy=False), np.ones((len(x), 1), np.float32)])
    values, turn = np.linalg.eigh((wide.T @ wide).astype(np.float64))
    return Basis(wide @ turn.astype(np.float32), np.maximum(values, 0).astype(np.float32), _by_size(groups))


def _by_size(groups: IntArray) -> dict[int, IntArray]:
    _, where, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(where, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return {
        int(size): order[starts[counts == size][:, None] + np.arange(size)].astype(np.int64)
        for size in np.unique(counts[counts > 1])
    }


def left_out(made: Basis, targets: FloatArray, penalty: float) -> FloatArray:
    """(n, K) predictions of `targets` (n, K) for each row by the regression that never saw its group."""
    shrunk = 1 / (made.strength + np.float32(penalty))
    weights = shrunk[:, None] * (made.rows.T @ targets)
    scores = made.rows @ weights
    leverage = np.einsum("ij,ij,j->i", made.rows, made.rows, shrunk)[:, None]
    result: FloatArray = (scores - leverage * targets) / (1 - leverage)
    for size, members in made.sizes.items():
        width = made.rows.shape[1]
        if size > width:
            for rows in members:
                result[rows] = _without(made, targets, rows, penalty)
            continue
        step = max(1, BATCH_BYTES // (4 * size * width))
        for start in range(0, len(members), step):
            rows = members[start : start + step]
            part = made.rows[rows]
            hat = (part * shrunk) @ part.transpose(0, 2, 1)
            result[rows] = np.linalg.solve(np.eye(size, dtype=np.float32) - hat, scores[rows] - hat @ targets[rows])
    return result


def _without(made: Basis, targets: FloatArray, rows: IntArray, penalty: float) -> NDArray[np.float64]:
    """For a group larger than there are columns: the regression on the rest, solved anew."""
    part = made.rows[rows].astype(np.float64)
    products = np.diag(made.strength.astype(np.float64) + penalty) - part.T @ part
    weights = np.linalg.solve(products, made.rows.T @ targets - part.T @ targets[rows])
    result: NDArray[np.float64] = part @ weights
    return result
