"""Out-of-sample probabilities: exactly without the example's own group, and good at ranking planted errors."""

import numpy as np
import pytest

from pipeline.evidence.neighbours import nearest
from pipeline.evidence.probabilities import out_of_sample
from pipeline.evidence.ridge import basis, left_out
from pipeline.evidence.tfidf import word_vectors


def blobs(seed: int, n: int = 300, classes: int = 4, d: int = 16):  # type: ignore[no-untyped-def]
    random = np.random.default_rng(seed)
    y = random.integers(0, classes, n)
    x = random.normal(size=(classes, d))[y] * 1.2 + random.normal(size=(n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), y


@pytest.mark.parametrize("penalty", [0.3, 10.0])
@pytest.mark.parametrize("largest", [3, 30], ids=["groups of three", "a group larger than there are columns"])
def test_the_closed_form_equals_leaving_each_group_out_by_hand(penalty: float, largest: int) -> None:
    x, y = blobs(0, n=60)
    groups = np.arange(60) // 3 * 3
    groups[30:] = np.arange(30, 60)
    groups[:largest] = 0
    wide = np.hstack([x.astype(float), np.ones((60, 1))])
    target = np.eye(4)[y]
    by_hand = np.zeros((60, 4))
    for row in range(60):
        rest = groups != groups[row]
        weights = np.linalg.solve(wide[rest].T @ wide[rest] + penalty * np.eye(17), wide[rest].T @ target[rest])
        by_hand[row] = wide[row] @ weights
    ours = left_out(basis(x, groups), target.astype(np.float32), penalty)
    np.testing.assert_allclose(ours, by_hand, atol=2e-5)


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


@pytest.mark.parametrize("classes", [2, 77, 1000])
def test_any_number_of_classes_and_any_size_has_probabilities(classes: int) -> None:
    random = np.random.default_rng(0)
    x, _ = blobs(5, n=50)
    y = random.integers(0, min(classes, 49), 50)
    y[0] = classes - 1  # a class with one member
    neighbours, similarities = nearest(x, 15)
    for given in (y, np.zeros(50, np.int64)):
        texts = [f"word{number % 7} and {number}" for number in range(50)]
        p = out_of_sample(x, given, np.arange(50), neighbours, similarities, classes, texts)
        assert p.shape == (50, classes)
        assert np.isfinite(p).all()
        np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)


def test_words_are_heard_where_the_embedding_says_nothing() -> None:
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 400)
    texts = [f"{'退款' if label else '发货'}{chr(0x4E00 + int(random.integers(3000)))} order {random.integers(9)}" for label in y]
    x = random.normal(size=(400, 8)).astype(np.float32)
    neighbours, similarities = nearest(x, 15)
    deaf = out_of_sample(x, y, np.arange(400), neighbours, similarities, 2)
    heard = out_of_sample(x, y, np.arange(400), neighbours, similarities, 2, texts)
    assert (deaf.argmax(1) == y).mean() < 0.65
    assert (heard.argmax(1) == y).mean() > 0.95


def test_word_vectors_follow_the_texts_and_nothing_else() -> None:
    texts = ["pay by card", "pay by bill", "", "card lost", "lost my card", "   ", "unique", "bill by card", "my bill"]
    vectors = word_vectors(texts)
    assert vectors.shape == (9, 3)
    assert np.isfinite(vectors).all()
    assert not vectors[[2, 5, 6]].any()  # nothing that another text says, too
    np.testing.assert_array_equal(vectors, word_vectors(texts))
    assert word_vectors([]).shape == (0, 0)
    assert word_vectors(["one", "two", "three"]).shape[0] == 3
