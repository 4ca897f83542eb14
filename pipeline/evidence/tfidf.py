"""What the words say beside the embedding: TF-IDF of words and word pairs, folded to a few hundred dimensions.

Words alone do as well here as words and character n-grams, at an eighth of the cost (see `probabilities`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.types import FloatArray, IntArray

DIMENSIONS = 256  # 512 gain less than .01 of average precision over the tuning sets, and 128 lose as much
TERMS = 1 << 15  # most frequent ones; bounds the memory at 100,000 texts to 40 MB
OVERSAMPLING, PASSES = 16, 1  # Halko, Martinsson and Tropp (2011): a handful, and one or two; here two gain nothing
# Scripts written without spaces: each character is a word, and a pair of them a word pair.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+|[^\w\s]")


def word_vectors(texts: Sequence[str], dimensions: int = DIMENSIONS) -> FloatArray:
    """(n, at most `dimensions`) float32, rows of length at most 1, whose products are about those of the TF-IDF vectors; a
    text without a word that another one has is a row of zeros. As few columns as a third of the texts, else they would
    describe single texts; none where there is nothing to learn from. Always the same for the same texts.

    Source: randomised singular value decomposition, Halko, Martinsson and Tropp (2011), algorithm 4.4.
    """
    weights = _tfidf(texts)
    size = min(dimensions, len(texts) // 3, weights.shape[1])
    if size < 1:
        return np.zeros((len(texts), 0), np.float32)
    width = min(size + OVERSAMPLING, *weights.shape)
    start = np.random.default_rng(0).standard_normal((weights.shape[1], width), dtype=np.float32)
    range_ = _orthonormal(weights @ start)
    for _ in range(PASSES):
        range_ = _orthonormal(weights @ (weights.T @ range_))
    folded = weights.T @ range_
    values, turn = np.linalg.eigh(folded.T @ folded)
    best = np.argsort(-values, kind="stable")[:size]
    result: FloatArray = (range_ @ np.ascontiguousarray(turn[:, best])) * np.sqrt(np.maximum(values[best], 0))
    result[weights.getnnz(axis=1) == 0] = 0  # and not 1e-18, which has a direction
    return result.astype(np.float32)


def _orthonormal(columns: FloatArray) -> FloatArray:
    """(n, at most k) with the same range, by the eigenvectors of the products: a fifth of the cost of a QR decomposition, and
    exact enough, since the passes keep the columns apart."""
    values, turn = np.linalg.eigh((columns.T @ columns).astype(np.float64))
    real = values > 1e-6 * values[-1]
    result: FloatArray = columns @ (turn[:, real] / np.sqrt(values[real])).astype(np.float32)
    return result


def _tfidf(texts: Sequence[str]) -> Any:
    """(n, terms) sparse, rows of unit length: (1 + log tf) × idf of the terms that at least two texts have."""
    from scipy import sparse

    rows, columns, names = _terms(texts)
    counts = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(len(texts), names))
    counts.sum_duplicates()
    documents = np.bincount(counts.indices, minlength=names)
    often = np.argsort(-documents, kind="stable")[:TERMS]
    kept = np.sort(often[documents[often] > 1])
    counts = counts[:, kept]
    counts.data = 1 + np.log(counts.data)
    rarity = np.log((1 + len(texts)) / (1 + documents[kept])) + 1
    weights = (counts @ sparse.diags(rarity.astype(np.float32))).tocsr()
    length = np.sqrt(np.asarray(weights.multiply(weights).sum(axis=1)).ravel())
    return sparse.diags((1 / np.where(length > 0, length, 1)).astype(np.float32)) @ weights


def _terms(texts: Sequence[str]) -> tuple[IntArray, IntArray, int]:
    """(row of each term, its number, how many there are); numbers follow the terms' order, not the texts'."""
    words = [WORD.findall(text.lower()) for text in texts]
    flat = list(itertools.chain.from_iterable(words))
    known = {word: number for number, word in enumerate(sorted(set(flat)))}
    columns = np.fromiter(map(known.__getitem__, flat), np.int64, len(flat))
    rows = np.repeat(np.arange(len(texts)), [len(row) for row in words])
    beside = rows[:-1] == rows[1:]
    pairs, paired = np.unique((columns[:-1] * len(known) + columns[1:])[beside], return_inverse=True)
    return (
        np.concatenate([rows, rows[:-1][beside]]), np.concatenate([columns, paired + len(known)]), len(known) + len(pairs)
    )  # fmt: skip
