"""Which texts mean the same in other words: closer by their embeddings than texts of this corpus are, here and elsewhere.

No fixed cosine tells a paraphrase from a neighbour: from 0.9 up lie 99 % true pairs in 1,000 translations of 100 sentences, but
also two thirds of banking77, whose intents are all alike. So the yardstick is the corpus: the angle to a text's last known
neighbour (the fifteenth), which is hardly ever a copy. Source: Zelnik-Manor and Perona, Self-tuning spectral clustering (2004),
for a scale of each point's own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.types import Evidence

Pair = tuple[int, int, float]  # row, later row, cosine

# Below it, pairs of one meaning are a minority whatever the corpus: from .85 to .9, 83 % of sst2's and 86 % of TREC's pairs share
# their label, as many as any two neighbours do.
FLOOR = 0.9
# Chosen on TREC and banking77 by reading 24 pairs of each up to here: all but 3 ask the same.
SHARE = 0.4
FEW = 16  # with fewer texts, the last neighbour is the other end of the corpus


def close_pairs(evidence: Evidence) -> list[Pair]:
    """Pairs whose angle is at most SHARE of the usual angle to the last neighbour, of the corpus and of both texts, and whose
    cosine is at least FLOOR; sorted by row. None in a corpus of fewer than FEW texts.

    A text with more paraphrases than it has known neighbours is close to none: such a text is usual there.
    """
    angles, last = _angles(evidence)
    if not _usual(last):
        return []
    own = np.minimum(last[:, None], np.where(evidence.neighbours >= 0, last[evidence.neighbours], 0.0))
    limit = np.minimum(SHARE * own, np.arccos(threshold_of(evidence)))
    found: dict[tuple[int, int], float] = {}
    for row, rank in np.argwhere((angles <= limit) & (evidence.neighbours >= 0)).tolist():
        other = int(evidence.neighbours[row, rank])
        found[min(row, other), max(row, other)] = float(min(evidence.similarities[row, rank], 1.0))
    return sorted((one, two, cosine) for (one, two), cosine in found.items())


def threshold_of(evidence: Evidence) -> float:
    """The least cosine of a close pair in this corpus, in [FLOOR, 1]."""
    usual = _usual(_angles(evidence)[1])
    return max(FLOOR, float(np.cos(SHARE * usual))) if usual else 1.0


def _angles(evidence: Evidence) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """((n, k) angles to the neighbours in radians, (n,) to the last of them; NaN for a text that has none)."""
    angles = np.arccos(np.clip(evidence.similarities.astype(np.float64), -1, 1))
    known = (evidence.neighbours >= 0).sum(axis=1)
    last = np.full(len(angles), np.nan)
    rows = np.flatnonzero(known)
    last[rows] = angles[rows, known[rows] - 1]
    return angles, last


def _usual(last: NDArray[np.float64]) -> float:
    """The median over the corpus; 0 if it has too few texts to say."""
    known = last[~np.isnan(last)]
    return float(np.median(known)) if len(known) >= FEW else 0.0
