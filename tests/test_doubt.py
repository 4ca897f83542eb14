"""How many labels are wrong, of what kind the errors are, and how like the others of its label an example is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.evidence import doubt
from pipeline.evidence.doubt import _evenness, chance_wrong, error_rate
from pipeline.evidence.likeness import SHARPNESS, Likeness, likeness

Array = NDArray[np.float64]
Index = NDArray[np.int64]


def answered(n: int, classes: int, rate: float, unsure: float, seed: int, *, like: bool = False) -> tuple[Array, Index]:
    """Calibrated probabilities (n, classes), more spread out the higher `unsure`, and labels drawn from them, a share `rate` of
    which is then replaced by any other one, or (like) by the likeliest other one."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(n, classes)) * 3 / unsure
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    given = np.array([random.choice(classes, p=row) for row in probabilities])
    wrong = random.random(n) < rate
    rest = probabilities.copy()
    rest[np.arange(n), given] = -1
    other = rest.argmax(axis=1) if like else (given + random.integers(1, classes, n)) % classes
    return probabilities, np.where(wrong, other, given).astype(np.int64)


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("unsure", [0.5, 1.0])
def test_the_error_rate_lies_in_its_interval_also_where_the_model_is_weak(rate: float, unsure: float) -> None:
    found = [error_rate(*answered(600, 6, rate, unsure, seed)) for seed in range(20)]
    assert all(0 <= one.low <= one.value <= one.high <= 1 for one in found)
    assert sum(one.low <= rate <= one.high for one in found) >= 17
    assert abs(np.mean([one.value for one in found]) - rate) < 0.08


def test_errors_of_any_kind_are_told_from_labels_taken_for_their_likes() -> None:
    even = [_evenness(*answered(800, 12, 0.15, 0.4, seed)) for seed in range(5)]
    alike = [_evenness(*answered(800, 12, 0.15, 0.4, seed, like=True)) for seed in range(5)]
    assert min(one for one in even if one is not None) > 0.8
    assert max(one for one in alike if one is not None) < 0.2
    assert _evenness(*answered(100, 2, 0.2, 1.0, 0)) is None


@pytest.mark.parametrize("seed", range(5))
def test_more_labels_than_the_rate_says_are_doubted_half_as_much_more(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities, given = answered(300, 5, 0.1, 2.0, seed)
    odds, alike = np.full(300, 9.0), Likeness(np.random.default_rng(seed).random(300), 1.0)
    severity = chance_wrong(probabilities, given, odds, None, alike)
    assert ((severity > 0) & (severity < 1)).all()
    monkeypatch.setattr(doubt, "_at_most", lambda chance, rate: chance)
    whole = chance_wrong(probabilities, given, odds, None, alike)
    assert 0.1 < severity.mean() < whole.mean()
    assert (np.argsort(severity, kind="stable") == np.argsort(whole, kind="stable")).all()


def test_likeness_is_that_to_the_others_of_the_label_outside_of_the_own_group() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(40, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    given, groups = np.arange(40) % 3, np.arange(40) // 2
    given[1] = given[0]
    found = likeness(vectors, given, groups).own
    for row in (0, 1, 7, 39):
        means = [vectors[given == label].mean(axis=0) for label in range(3)]
        means[given[row]] = vectors[(given == given[row]) & (groups != groups[row])].mean(axis=0)
        scores = np.exp(SHARPNESS * (vectors[row] @ np.array(means).T))
        assert found[row] == pytest.approx(scores[given[row]] / scores.sum(), rel=1e-3)


def test_the_only_one_of_its_label_is_neither_like_nor_unlike_it() -> None:
    vectors = np.eye(4, dtype=np.float32)
    found = likeness(vectors, np.array([0, 0, 1, 2]), np.arange(4)).own
    assert np.isfinite(found).all()
