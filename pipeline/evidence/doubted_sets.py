"""Sets of labels, judged label by label: which are wrongly in the set, which are missing, and what the set should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from pipeline.evidence.doubt import SUREST, bounded, chance_wrong, error_rate, surest_of_each

Array = NDArray[np.float64]
LIKELY = 0.5  # from this chance on, a label is turned round in the suggestion; else the most doubted, if the model says so


@dataclass(frozen=True)
class DoubtedSets:
    """severity: (n,) the chance that the set's most doubted label is wrongly there or missing. reasons, suggestions (JSON, or ""
    where nothing is doubted enough): per example. labels: for each label judged, how often it is wrong either way."""

    severity: Array
    reasons: list[str]
    suggestions: list[str]
    labels: list[dict[str, Any]]


def doubted_sets(
    chances: Array, held: NDArray[np.bool_], judged: NDArray[np.bool_], labels: Sequence[str]
) -> DoubtedSets:
    """chances: (n, K) that a label belongs to the set, from a model that never saw it; held: (n, K) whether it is in it; judged:
    (K,) the labels with enough examples either way, the others are let stand."""
    wrong = np.zeros(held.shape)
    wrong[:, judged] = _wrong(chances[:, judged], held[:, judged])
    turned = wrong > LIKELY
    worst = wrong.argmax(axis=1)
    rows = np.flatnonzero(~turned.any(axis=1))
    turned[rows, worst[rows]] = ((chances > 0.5) != held)[rows, worst[rows]]
    right = held ^ turned
    for row in np.flatnonzero(~right.any(axis=1)):  # a set is never empty: the most likely label stays
        right[row, chances[row].argmax()] = True
    suggestions = [
        orjson.dumps(sorted(name for name, use in zip(labels, row, strict=True) if use)).decode() if (row != own).any() else ""
        for row, own in zip(right, held, strict=True)
    ]
    reasons = [_reason(labels, held[row], chances[row], wrong[row]) for row in range(len(held))]
    return DoubtedSets(wrong.max(axis=1, initial=0.0), reasons, suggestions, _labels(labels, held, wrong, judged))


def _wrong(chances: Array, held: NDArray[np.bool_]) -> Array:
    """(n, K) how probably each label's presence, or absence, is wrong, at one rate for all. With a rate for each label the
    ranking is worse: average precision .68 against .74, on sets of the texts on which it was chosen (see `probabilities`).

    So few of all these are wrong that the errors counted where the model is surest are few, too; what it expects of itself there,
    being fitted on all of them, is steadier: the larger of both is taken.
    """
    chance, given = chances.ravel(), held.ravel().astype(np.int64)
    both = np.column_stack([1 - chance, chance])
    sure = both.max(axis=1)
    surest = surest_of_each(sure, both.argmax(axis=1))[: max(1, round(SUREST * len(given)))]
    rate = bounded(max(error_rate(both, given).value, float(1 - sure[surest].mean())), len(given))
    return chance_wrong(both, given, np.full(len(given), (1 - rate) / rate)).reshape(held.shape)


def _reason(labels: Sequence[str], held: NDArray[np.bool_], chances: Array, wrong: Array) -> str:
    """The doubted labels, or the most doubted one."""
    doubted = np.flatnonzero(wrong > LIKELY) if (wrong > LIKELY).any() else np.array([wrong.argmax()])
    doubted = doubted[np.argsort(-wrong[doubted], kind="stable")][:3]
    said = [
        f"“{labels[one]}” is {'in' if held[one] else 'not in'} the answer, and a model that learned from all other examples "
        f"gives it {chances[one]:.0%}"
        for one in doubted
    ]
    return "; ".join(said) + "."


def _labels(
    labels: Sequence[str], held: NDArray[np.bool_], wrong: Array, judged: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Expected numbers of errors of each label: in sets where it does not belong, and missing where it does."""
    return [
        {
            "label": labels[one], "in_sets": int(held[:, one].sum()),
            "expected_wrong": round(float(wrong[held[:, one], one].sum()), 1),
            "expected_missing": round(float(wrong[~held[:, one], one].sum()), 1),
        }
        for one in np.flatnonzero(judged)[:100]
    ]  # fmt: skip
