"""Whether batches differ: by what was answered, or by whether a classifier can tell their texts apart.

Source of the latter: Lopez-Paz and Oquab, Revisiting classifier two-sample tests (2017); here a ridge regression on the
embeddings, whose predictions for permuted batches cost one matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.types import FloatArray, IntArray

Array = NDArray[np.float64]

FOLDS = 5
RIDGE = 1.0  # of unit vectors: as much as one more text in every direction
# Of an AUC only their mean and deviation are used, which 99 draws give to a tenth. Of a table the rank is: 1 in 1,000 survives a
# correction for 50 comparisons.
PERMUTATIONS, TABLES = 99, 999
MOST = 5000  # texts looked at: the standard error of an AUC between 500 and 4,500 of them is 0.013


@dataclass(frozen=True)
class Moved:
    """The batch in which a class is most unlike what it is in the others: its share there and elsewhere, and their z."""

    code: int
    batch: int
    share: float
    rest: float
    z: float


@dataclass(frozen=True)
class Shares:
    """w: Cohen's effect of batch on class, from 0, less what chance gives; p that it is chance; moved: one for each class."""

    w: float
    p: float
    moved: list[Moved]


def shares(codes: IntArray, batch: IntArray, seed: int) -> Shares | None:
    """Whether the classes' shares differ between batches; None if there is but one class, or one batch with any.

    codes, batch: (n,) from 0, -1 where unknown. The chi-squared statistic is compared with that of permuted batches, so that
    classes may be rare. Source: Cohen (1988), chapter 7, for w.
    """
    known = (codes >= 0) & (batch >= 0)
    used, rows = np.unique(batch[known], return_inverse=True)
    there, columns = np.unique(codes[known], return_inverse=True)
    if min(len(used), len(there)) < 2:
        return None
    counts = _counts(rows, columns, (len(used), len(there)))
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    random = np.random.default_rng(seed)
    drawn = [_counts(random.permutation(rows), columns, counts.shape) for _ in range(TABLES)]
    chance = np.array([((table - expected) ** 2 / expected).sum() for table in drawn])
    seen = float(((counts - expected) ** 2 / expected).sum())
    w = float(np.sqrt(max(0.0, seen - chance.mean()) / counts.sum()))
    p = float((1 + (chance >= seen * (1 - 1e-9)).sum()) / (1 + TABLES))
    return Shares(w, p, [_moved(code, column, counts, used) for column, code in enumerate(there.tolist())])


def _counts(rows: IntArray, columns: IntArray, shape: tuple[int, ...]) -> Array:
    flat = np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1])
    return flat.reshape(shape[0], shape[1]).astype(np.float64)


def _moved(code: int, column: int, counts: Array, used: IntArray) -> Moved:
    hits, size = counts[:, column], counts.sum(axis=1)
    other = size.sum() - size
    share, rest, pooled = hits / size, (hits.sum() - hits) / other, hits.sum() / size.sum()
    z = (share - rest) / np.sqrt(max(pooled * (1 - pooled), 1e-12) * (1 / size + 1 / other))
    worst = int(np.argmax(np.abs(z)))
    return Moved(code, int(used[worst]), float(share[worst]), float(rest[worst]), round(float(z[worst]), 2))


def told_apart(vectors: FloatArray, parts: NDArray[np.bool_], seed: int) -> tuple[Array, Array]:
    """For each part: (the AUC of telling its texts from all others, the p-value that both are drawn from the same).

    vectors: (n, d). parts: (n, m), whether a text belongs to a part. AUC in [0, 1]: 0.5 is chance, 1 tells all apart; it is of
    texts that the classifier did not see, as a mean over the folds. p is one-sided and takes the AUC of permuted rows to be
    normal. A sample of MOST is looked at where there are more.
    """
    from scipy.special import ndtr

    random = np.random.default_rng(seed)
    kept = np.sort(random.permutation(len(parts))[:MOST])
    rows = np.column_stack([vectors[kept].astype(np.float64), np.ones(len(kept))])
    member = parts[kept].astype(np.float64)
    orders = [np.arange(len(kept)), *(random.permutation(len(kept)) for _ in range(PERMUTATIONS))]
    fold = random.permutation(len(kept)) % FOLDS
    aucs = np.mean([_fold(rows, fold == part, member, orders) for part in range(FOLDS)], axis=0)
    spread = aucs[1:].std(axis=0, ddof=1)
    z = np.where(spread > 0, (aucs[0] - aucs[1:].mean(axis=0)) / np.where(spread > 0, spread, 1.0), 0.0)
    return aucs[0], np.asarray(ndtr(-z), np.float64)


def _fold(rows: Array, held: NDArray[np.bool_], member: Array, orders: list[IntArray]) -> Array:
    """(orders, parts) AUC on the held-out rows; 0.5 where these are all in the part, or none is."""
    inside = rows[~held]
    product = np.linalg.solve(inside.T @ inside + RIDGE * np.eye(rows.shape[1]), inside.T)
    out = np.empty((len(orders), member.shape[1]))
    for number, order in enumerate(orders):
        drawn = member[order]
        out[number] = _auc(rows[held] @ (product @ drawn[~held]), drawn[held])
    return out


def _auc(scores: Array, hit: Array) -> Array:
    """Of each column, by ranks; ties count half."""
    from scipy.stats import rankdata

    ranks = rankdata(scores, axis=0)
    inside = hit.sum(axis=0)
    outside = len(hit) - inside
    above = (ranks * hit).sum(axis=0) - inside * (inside + 1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Array = np.where((inside > 0) & (outside > 0), above / (inside * outside), 0.5)
    return result
