"""How good the labels of a group of examples are: how far annotators differ there, and what a model doubts."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.bias.groups import Group
from pipeline.consensus.build import latest_answers
from pipeline.statistics import stratified_excess
from pipeline.tasks import task_type
from pipeline.types import Corpus

Array = NDArray[np.float64]
MOST_PAIRS = 10  # pairs of answers an example compared where answers are long: five annotators have ten
Z95 = 1.959964


def disagreement(corpus: Corpus, table: pd.DataFrame) -> Array:
    """(n,) for the examples of `table`: how unlike two annotators' answers are on average, 0 to 1; NaN with one answer."""
    answers = latest_answers(corpus.annotations)
    answers = answers[answers.duplicated("example_id", keep=False)]
    if corpus.labels:
        size = answers.groupby(["example_id", "answer"]).size()
        same = (size * (size - 1)).groupby(level=0).sum()
        total = size.groupby(level=0).sum()
        unlike = 1 - same / (total * (total - 1))
    elif corpus.scheme is None:
        return np.full(len(table), np.nan)
    else:
        unlike = answers.groupby("example_id")["label"].apply(lambda given: _unlike(given.tolist(), corpus))
    result: Array = table["example_id"].map(unlike).to_numpy(np.float64)
    return result


def _unlike(given: list[Any], corpus: Corpus) -> float:
    alike = task_type(corpus.task).similarity
    pairs = list(combinations(given, 2))[:MOST_PAIRS]
    return float(np.mean([1 - alike(a, b, corpus.scheme) for a, b in pairs]))


def doubted(probabilities: Array, given: NDArray[np.int64]) -> Array:
    """(n,) 1 where a model that has not seen the label is surer of another one than it is on average of examples with that other
    label, else 0; NaN where it says nothing. Source: Northcutt, Jiang and Chuang (2021), the confident joint's cells off the
    diagonal, with one threshold for all groups, so that groups can be compared."""
    known = np.isfinite(probabilities).all(axis=1) & (given >= 0)
    result = np.full(len(given), np.nan)
    if not known.any():
        return result
    p, label = probabilities[known], given[known]
    size = np.bincount(label, minlength=p.shape[1])
    usual = np.array([p[label == k, k].mean() if size[k] else np.inf for k in range(p.shape[1])])
    sure = np.where(p >= usual, p, -1.0)
    result[known] = (sure.max(axis=1) > 0) & (sure.argmax(axis=1) != label)
    return result


def excess(values: Array, group: Group, stratum: NDArray[np.int64]) -> dict[str, Any] | None:
    """How much higher `values` (n,) are in the group than among the others with the same label (stratum), with its interval and
    p; None where the two cannot be compared."""
    from scipy.stats import norm

    use = np.isfinite(values) & (group.members | group.others)
    inside = group.members[use]
    if inside.sum() < 2 or (~inside).sum() < 2:
        return None
    difference, z = stratified_excess(values[use][:, None], stratum[use], (~inside).astype(np.int64), 2)
    d, score = float(difference[0, 0]), float(z[0, 0])
    if not np.isfinite(d):
        return None
    told = np.isfinite(score) and score != 0  # else all values of a label are the same, inside and outside
    half, score = (Z95 * abs(d / score), score) if told else (0.0, 0.0)
    return {
        "value": float(values[use][inside].mean()), "others": float(values[use][~inside].mean()), "difference": d,
        "low": d - half, "high": d + half, "n": int(inside.sum()), "p": float(2 * norm.sf(abs(score))),
    }  # fmt: skip
