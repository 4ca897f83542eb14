"""Several annotators' texts → one of them: the one that is most like the others (the medoid), with an annotator's voice
counting for more the more like the others his answers usually are.

An answer that somebody wrote stands for all, never a mixture that nobody did. Source of the weights: the worker reliability of
RASA (Li, 2020), without its embeddings. On translations by a crowd (CrowdWSA 2019) the weights change nothing (GLEU .43 with
and without); they are for those who answer at random: see tests/benchmarks/measured/agreement.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pipeline.consensus.alphas import Array
from pipeline.consensus.merged import Merged
from pipeline.consensus.presence import OWN

METHOD = "medoid"
WHY = "Of several answers the one that is most like the others, which count for more the more like the others they usually are."

MEANING = "how alike the answer is to the others, of 1"
LOW = 0.3  # half as alike as two translations of one sentence by a crowd are to each other (.58)
CLOSE = 1e-9  # two answers are as good as each other if they differ by less: floating point
ROUNDS = 10

Example = Mapping[int, str]  # annotator number → answer as JSON
Alike = Callable[[str, str], float]  # of two answers as JSON


def fit(examples: Sequence[Example], *, annotators: int, alike: Alike) -> Array:
    """(annotators,) in [0, 1]: how like the others an annotator's answers are, others counting by the same measure."""
    parts = [(np.array(sorted(one)), likeness([one[who] for who in sorted(one)], alike)) for one in examples if len(one) > 1]
    weight = np.ones(annotators)
    for _ in range(ROUNDS):
        near, total = np.zeros(annotators), np.zeros(annotators)
        for people, matrix in parts:
            near[people] += _to_others(matrix, weight[people])
            total[people] += 1
        usual = near.sum() / max(total.sum(), 1)
        weight = (near + OWN * usual) / (total + OWN)
    return weight


def likeness(answers: Sequence[str], alike: Alike) -> Array:
    matrix = np.eye(len(answers))
    for a in range(len(answers)):
        for b in range(a):
            matrix[a, b] = matrix[b, a] = alike(answers[a], answers[b])
    return matrix


def _to_others(matrix: Array, weight: Array) -> Array:
    """(m,) the weighted mean likeness of each answer to the others."""
    total = weight.sum() - weight
    mean: Array = np.where(total > 0, (matrix @ weight - np.diag(matrix) * weight) / np.maximum(total, 1e-12), 0.0)
    return mean


def merge(example: Example, weight: Array, *, alike: Alike, alternatives: bool, seed: Sequence[int]) -> Merged:
    """confidence: the chosen answer's weighted mean likeness to the others, in [0, 1]. tie: another answer is as much like the
    others, so that the more reliable annotator, or the seed, chose, unless `alternatives` says that both may be right."""
    people = sorted(example)
    answers = [example[who] for who in people]
    mean = _to_others(likeness(answers, alike), np.maximum(weight[people], 1e-9))
    first = np.flatnonzero(mean >= mean.max() - CLOSE)
    best = sorted({answers[row] for row in first})
    trusted = [answers[row] for row in first if weight[people[row]] >= max(weight[people[other]] for other in first) - CLOSE]
    options = sorted(set(trusted))
    chosen = options[np.random.default_rng(list(seed)).integers(len(options))]
    return Merged(chosen, float(np.clip(mean.max(), 0, 1)), len(best) > 1 and not alternatives)
