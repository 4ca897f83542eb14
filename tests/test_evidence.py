"""Out-of-sample probabilities: exactly without the example's own group, and good at ranking planted errors."""

import numpy as np
import pytest

from pipeline.evidence.neighbours import nearest
from pipeline.evidence.probabilities import RIDGE, _ridge, out_of_sample


def blobs(seed: int, n: int = 300, classes: int = 4, d: int = 16):  # type: ignore[no-untyped-def]
    random = np.random.default_rng(seed)
    y = random.integers(0, classes, n)
    x = random.normal(size=(classes, d))[y] * 1.2 + random.normal(size=(n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), y


def test_the_closed_form_equals_leaving_each_group_out_by_hand() -> None:
    x, y = blobs(0, n=60)
    groups = np.arange(60) // 3 * 3
    groups[30:] = np.arange(30, 60)
    wide = np.hstack([x.astype(float), np.ones((60, 1))])
    target = np.eye(4)[y]
    by_hand = np.zeros((60, 4))
    for row in range(60):
        rest = groups != groups[row]
        weights = np.linalg.solve(wide[rest].T @ wide[rest] + RIDGE * np.eye(17), wide[rest].T @ target[rest])
        by_hand[row] = wide[row] @ weights
    ours = _ridge(x.astype(np.float64), y, groups, 4)
    # Both are turned into probabilities at one sharpness: the differences of log-probabilities are proportional.
    logs, scores = np.log(ours), by_hand
    sharp = (logs[0, 0] - logs[0, 1]) / (scores[0, 0] - scores[0, 1])
    np.testing.assert_allclose(logs - logs[:, :1], sharp * (scores - scores[:, :1]), atol=1e-6)


def test_an_examples_own_label_and_its_copies_do_not_vouch_for_it() -> None:
    x, y = blobs(1)
    x = np.vstack([x, x[:1], x[:1]])
    y = np.concatenate([y, y[:1], y[:1]])
    groups = np.arange(len(y))
    groups[-2:] = 0
    wrong = y.copy()
    wrong[[0, -1, -2]] = (y[0] + 1) % 4
    neighbours, similarities = nearest(x, 15)
    right_label = out_of_sample(x, y, groups, neighbours, similarities, 4)
    wrong_label = out_of_sample(x, wrong, groups, neighbours, similarities, 4)
    np.testing.assert_allclose(right_label[0], wrong_label[0], atol=0.02)  # only the priors move
    assert wrong_label[0].argmax() == y[0]


def test_planted_errors_rank_first() -> None:
    from sklearn.metrics import roc_auc_score

    x, y = blobs(2, n=600)
    given = y.copy()
    planted = np.random.default_rng(0).choice(600, 60, replace=False)
    given[planted] = (y[planted] + 1) % 4
    neighbours, similarities = nearest(x, 15)
    p = out_of_sample(x, given, np.arange(600), neighbours, similarities, 4)
    assert roc_auc_score(np.isin(np.arange(600), planted), 1 - p[np.arange(600), given]) > 0.95
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)


def test_rows_without_a_consensus_get_none_and_teach_none() -> None:
    x, y = blobs(3)
    some = y.copy()
    some[::2] = -1
    neighbours, similarities = nearest(x, 15)
    p = out_of_sample(x, some, np.arange(len(y)), neighbours, similarities, 4)
    assert np.isnan(p[::2]).all()
    assert np.isfinite(p[1::2]).all()
    other = np.where(some == -1, -1, y)
    np.testing.assert_array_equal(p, out_of_sample(x, other, np.arange(len(y)), neighbours, similarities, 4))


@pytest.mark.parametrize("n", [0, 1, 2])
def test_tiny_corpora_have_neighbours_and_probabilities_of_the_right_shape(n: int) -> None:
    x = np.eye(3, dtype=np.float32)[:n]
    neighbours, similarities = nearest(x, 5)
    assert neighbours.shape == similarities.shape == (n, 5)
    assert out_of_sample(x, np.zeros(n, dtype=np.int64), np.arange(n), neighbours, similarities, 2).shape == (n, 2)


def test_an_empty_text_is_nobodys_neighbour() -> None:
    x, _ = blobs(4, n=20)
    x[5] = 0
    neighbours, _ = nearest(x, 19)
    assert (neighbours[5] == -1).all()
    assert not (np.delete(neighbours, 5, axis=0) == 5).any()
    assert all(row not in neighbours[row] for row in range(20))
