"""The parts into which the texts of a corpus fall by meaning, each with the words that set it apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from pipeline.evidence.private_data import spots
from pipeline.types import FloatArray, IntArray

# Words of three letters and more, without digits: a number names nothing, and may be somebody's.
WORD = re.compile(r"[^\W\d_]{3,}")
MOST = 100
# A word that fewer texts of a region hold may be a name or an address. Source: k-anonymity as statistical offices use it, k = 5.
ANONYMOUS = 5
PRIOR = 500.0  # the prior's weight in words: Monroe et al. weigh it by the size of an average document's vocabulary


def regions(embeddings: FloatArray, seed: int) -> IntArray:
    """(n,) the region of each text, from 0, the largest first; -1 for a text without an embedding.

    Spherical k-means on the embeddings, k = √(n / 2), at most MOST. Source: Mardia, Kent and Bibby, Multivariate Analysis (1979),
    for the rule of thumb.
    """
    import faiss

    known = np.flatnonzero(np.linalg.norm(embeddings, axis=1) > 0)
    rows = np.ascontiguousarray(embeddings[known], dtype=np.float32)
    k = max(1, min(MOST, round(float(np.sqrt(len(rows) / 2)))))
    found = np.full(len(embeddings), -1, np.int64)
    if len(rows):
        # No warning for few points to a region: they are few by the rule.
        means = faiss.Kmeans(rows.shape[1], k, niter=25, seed=seed % 2**31, spherical=True, min_points_per_centroid=1)
        means.train(rows)
        nearest = means.index.search(rows, 1)[1][:, 0]
        order = sorted(set(nearest.tolist()), key=lambda name: (-int((nearest == name).sum()), int(np.argmax(nearest == name))))
        place = {name: number for number, name in enumerate(order)}
        found[known] = [place[name] for name in nearest.tolist()]
    return found


def names(texts: Sequence[str], region: IntArray, *, words: int = 4) -> list[list[str]]:
    """For each region the words that it holds most beyond the rest, by log-odds with a prior of the whole corpus; fewer or none
    where none is held by ANONYMOUS texts. What looks like personal data names nothing.

    Source: Monroe, Colaresi and Quinn, Fightin' Words (2008).
    """
    counts: list[Counter[str]] = [Counter() for _ in range(int(region.max(initial=-1)) + 1)]
    for text, number in zip(texts, region.tolist(), strict=True):
        if number >= 0:
            counts[number].update(set(_words(text)))
    total: Counter[str] = sum(counts, Counter())
    size = sum(total.values())
    return [_telling(count, total, size, words) for count in counts]


def _words(text: str) -> list[str]:
    for spot in reversed(spots(text)):
        text = f"{text[: spot.start]} {text[spot.end :]}"
    return [word.casefold() for word in WORD.findall(text)]


def _telling(count: Counter[str], total: Counter[str], size: int, words: int) -> list[str]:
    inside = sum(count.values())
    scores = []
    for word, hits in count.items():
        if hits >= ANONYMOUS and total[word] < size:  # a word that is all there is tells no region from another
            prior = PRIOR * total[word] / size
            rest = total[word] - hits + prior
            odds = np.log((hits + prior) / (inside + PRIOR - hits - prior))
            other = np.log(rest / (size - inside + PRIOR - rest))
            scores.append(((odds - other) / np.sqrt(1 / (hits + prior) + 1 / rest), word))
    return [word for score, word in sorted(scores, key=lambda item: (-round(item[0], 9), item[1]))[:words] if score > 0]
