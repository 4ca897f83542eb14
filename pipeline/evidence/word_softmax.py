"""From scores to probabilities: multinomial logistic regression on few columns, in folds of whole groups."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.types import FloatArray, IntArray

FOLDS = 3  # 3 and 5 rank equally well (.653 and .655 on CrossNER AI; .63 on WNUT 2017), as there are few weights to learn
PENALTY = 3.0  # half the squared weights, times this; from 0.3 to 10 the average precision moves by less than .01
ROUNDS = 50  # of L-BFGS; 80 ranks no better
LEAST = np.float32(-30)  # of a log-chance: float32 below 1e-38 costs a processor ten times as long

Array = NDArray[np.float64]


def left_out_softmax(columns: FloatArray, target: IntArray, fold: IntArray, classes: int) -> FloatArray:
    """(m, K) probabilities, rows summing to 1: of each word from the words of other folds, which are joined to FOLDS at most.
    columns: (m, c); target: (m,) class; fold: (m,) from 0, at least two."""
    fold = fold % FOLDS
    result = np.zeros((len(columns), classes), np.float32)
    for number in np.unique(fold):
        mine = fold == number
        mean, deviation = columns[~mine].mean(axis=0), np.maximum(columns[~mine].std(axis=0), 1e-6)
        x = np.hstack([(columns - mean) / deviation, np.ones((len(columns), 1))]).astype(np.float32)
        result[mine] = _softmax(_fit(x[~mine], target[~mine], classes) @ x[mine].T).T
    return result


def _fit(x: FloatArray, target: IntArray, classes: int) -> FloatArray:
    """(K, c) weights with the least penalised log-loss."""
    from scipy.optimize import minimize

    loss = _loss(x, target, classes)
    found = minimize(loss, np.zeros(x.shape[1] * classes), jac=True, method="L-BFGS-B", options={"maxiter": ROUNDS})
    weights: FloatArray = found.x.reshape(classes, -1).astype(np.float32)
    return weights


def _loss(x: FloatArray, target: IntArray, classes: int) -> Callable[[Array], tuple[float, Array]]:
    rows, across = np.arange(len(x)), np.ascontiguousarray(x.T)

    def loss(flat: Array) -> tuple[float, Array]:
        chances = _softmax(flat.reshape(classes, -1).astype(np.float32) @ across)
        value = -float(np.log(np.maximum(chances[target, rows], 1e-12)).sum()) + PENALTY / 2 * float(flat @ flat)
        chances[target, rows] -= 1
        return value, (chances @ x).ravel().astype(np.float64) + PENALTY * flat

    return loss


def _softmax(scores: FloatArray) -> FloatArray:
    """Over the first axis, the classes: maxima and sums along the longer one cost five times as little."""
    scores = np.exp(np.maximum(scores - scores.max(axis=0), LEAST))
    result: FloatArray = scores / scores.sum(axis=0)
    return result
