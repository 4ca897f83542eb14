"""Out-of-sample class probabilities that cost little: what would the rest of the data say about this example?

Three voices, none of which has seen the example's own group: ridge regression on the embeddings and on the words (closed form, no
folds), and the share of each class among the nearest neighbours. How strongly each ridge is penalised and how much each voice
counts is what predicts the labels best; a handful of numbers for all examples, so that no label can bend them its way.

A group holds what must not vouch for each other: copies and near-copies of one text.

Chosen on the test files of banking77 and TREC, SST-2's development file, tweeteval irony, Amazon reviews and the sample of the
template, each with 5, 10 and 20 % of uniform, class-confusable and annotator-shaped errors; what comes of it is measured on
others (tests/benchmarks/measured/labels.py). What did not help: logistic regression as a fourth voice, a kernel (Nyström), votes
among neighbours by words, character n-grams, a second fit in which doubted labels count less, an estimated confusion matrix.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.evidence.ridge import PENALTIES, Basis, basis, left_out
from pipeline.evidence.tfidf import word_vectors
from pipeline.types import FloatArray, IntArray

NEIGHBOURS = 10  # 6 and 15 do as well
WEIGHED = 4000  # examples, evenly spread, tell the weights of three voices as well as all
SHRINKAGE = 1e-3  # of the voices' weights: they stay finite where a handful of examples is told apart without a fault


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
    `groups`: (n,) any integers. `neighbours`, `similarities`: see `nearest`. `texts`: without them the words have no voice.
    """
    result = np.full((len(labels), classes), np.nan, dtype=np.float32)
    known = np.flatnonzero(labels >= 0)
    if len(known) < 2 or classes < 2:
        return result
    targets = np.eye(classes, dtype=np.float32)[labels]
    usual = (np.bincount(labels[known], minlength=classes) + 1) / (len(known) + classes)
    shares = votes(targets, usual, labels >= 0, groups, neighbours, similarities)[known]
    given, targets = labels[known], targets[known]
    voices = [best_left_out(made, targets) for made in bases(embeddings, texts, groups, known)]
    result[known] = _stacked([*voices, shares], given)
    return result


def bases(embeddings: FloatArray, texts: Sequence[str], groups: IntArray, known: IntArray) -> list[Basis]:
    """What the ridges learn from: the known rows of the embeddings, and of the words if they say anything."""
    words = word_vectors(texts)[known] if texts else np.zeros((len(known), 0), np.float32)
    return [basis(x, groups[known]) for x in (embeddings[known], words) if x.shape[1]]


def votes(
    targets: FloatArray,
    usual: NDArray[np.float64],
    known: NDArray[np.bool_],
    groups: IntArray,
    neighbours: IntArray,
    similarities: FloatArray,
) -> FloatArray:
    """(n, K): the mean of the targets (n, K) of the first neighbours that are known and outside the row's own group, weighted by
    cosine, with one vote for the `usual` (K,), so that nothing is impossible."""
    from scipy import sparse

    counted = (neighbours >= 0) & known[neighbours] & (groups[neighbours] != groups[:, None])
    first = counted & (np.cumsum(counted, axis=1) <= NEIGHBOURS)  # index -1 reads the last row, but is not counted
    rows, places = np.nonzero(first)
    weights = np.maximum(similarities[rows, places], 0).astype(np.float32)
    said = sparse.csr_matrix((weights, (rows, neighbours[rows, places])), shape=(len(targets), len(targets)))
    result: FloatArray = (said @ targets + usual.astype(np.float32)) / (np.asarray(said.sum(axis=1)) + 1)
    return result


def best_left_out(made: Basis, targets: FloatArray) -> FloatArray:
    """The left-out scores (n, K) of the penalty with the least squared error: the PRESS statistic, Allen (1974). It chooses as
    well as log-loss does, for less."""
    found = []
    for penalty in PENALTIES:
        scores = left_out(made, targets, penalty)
        found.append((float(np.square(scores - targets).mean()), scores))
    return min(found, key=lambda item: item[0])[1]


def _stacked(voices: Sequence[FloatArray], given: IntArray) -> FloatArray:
    """Softmax of the weighted sum of the voices, with the weights (none negative) of the least log-loss.

    Source: Wolpert (1992), stacked generalisation; Breiman (1996) for weights that are not negative.
    """
    from scipy.optimize import minimize

    some = np.linspace(0, len(given) - 1, min(WEIGHED, len(given))).astype(np.int64)
    heard, wanted, rows = [one[some] for one in voices], given[some], np.arange(len(some))

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        chances = _mixed(heard, weights)
        value = -np.log(np.maximum(chances[rows, wanted], 1e-12), dtype=np.float64).mean()
        slope = [float((np.einsum("ij,ij->i", chances, one) - one[rows, wanted]).mean()) for one in heard]
        return float(value + SHRINKAGE * weights @ weights), np.array(slope) + 2 * SHRINKAGE * weights

    start = np.array([1 / max(float(one.std()), 1e-3) for one in voices]) / len(voices)
    fitted = minimize(loss, start, jac=True, bounds=[(0, None)] * len(voices), method="L-BFGS-B", options={"ftol": 1e-7})
    return _mixed(voices, fitted.x)


def _mixed(voices: Sequence[FloatArray], weights: NDArray[np.float64]) -> FloatArray:
    logits = np.zeros_like(voices[0])
    for one, weight in zip(voices, weights, strict=True):
        logits += np.float32(weight) * one
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return logits
