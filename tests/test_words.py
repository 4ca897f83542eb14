"""Words of a text in any script, their vectors, and what a model that never saw a text's spans says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evidence import word_embeddings
from pipeline.evidence.segmentation import words_of
from pipeline.evidence.word_embeddings import word_vectors
from pipeline.evidence.word_features import beside, hashed_features, spread
from pipeline.evidence.word_ridge import RIDGE, Table, left_out_scores
from pipeline.evidence.words import word_evidence
from pipeline.store import Store
from pipeline.types import Words

PLACES = ("Paris", "Oslo", "Lima", "Kyoto", "Quito", "Delhi")
PEOPLE = ("Anna", "Bruno", "Clara", "Dmitri", "Elena", "Farid")


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in words_of(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's 5mg, twice-daily.", ["It", "'", "s", "5mg", ",", "twice", "-", "daily", "."]),
        ("ìtàn àtọwọ́dọ́wọ́ọ", ["ìtàn", "àtọwọ́dọ́wọ́ọ"]),  # combining marks stay with their letter
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("東京とNY", ["東", "京", "と", "NY"]),
        ("서울에", ["서", "울", "에"]),
        ("กรุง", ["ก", "รุ", "ง"]),
        ("a\u0000b \u202ec 👩‍👧", ["a", "b", "c", "👩\u200d", "👧"]),
        (" \n\t", []),
    ],
)
def test_words_are_found_in_any_script(text: str, words: list[str]) -> None:
    assert split(text) == words


@given(st.text())
def test_words_are_in_order_apart_and_hold_all_that_can_be_seen(text: str) -> None:
    words = words_of(text)
    assert (words[:, 1] > words[:, 0]).all()
    assert (words[1:, 0] >= words[:-1, 1]).all()
    covered = "".join(split(text))
    assert all(character in covered for character in text if character.isalnum())


def test_neighbours_are_those_of_the_same_text() -> None:
    row = np.array([0, 0, 0, 1, 1])
    values = np.array([1, 2, 3, 4, 5])
    assert beside(values, row, -1).tolist() == [0, 1, 2, 0, 4]
    assert beside(values, row, 2).tolist() == [3, 0, 0, 0, 0]
    assert beside(values, row, 9).tolist() == [0] * 5


def test_features_depend_on_the_word_and_its_neighbours_alone() -> None:
    words, row = ["Anna", "went", "Anna", "went", "went", "Anna"], np.array([0, 0, 1, 1, 2, 2])
    dense = spread(*hashed_features(words, row))
    assert (dense[:2] == dense[2:4]).all()
    assert (dense[0] != dense[5]).any()  # the same word, but not at the beginning
    assert np.abs(dense).sum(axis=1).max() <= 13


def ridge_table(seed: int, words: int = 60, folds: int = 4) -> Table:
    random = np.random.default_rng(seed)
    vectors = word_embeddings._shrink(random.normal(size=(words, 3, 5)).astype(np.float32))
    columns, signs = hashed_features([f"w{number % 7}" for number in range(words)], np.arange(words) // 5)
    target, fold = random.integers(0, 3, words), random.permutation(words) % folds
    return Table(vectors, columns, signs, target, fold)


def test_left_out_scores_are_those_of_a_ridge_that_never_saw_the_fold() -> None:
    from pipeline.evidence.word_ridge import _centre, _features

    table = ridge_table(seed=3)
    x = _features(table, np.arange(60), *_centre(table)).astype(np.float64)
    expected = np.zeros((60, 3))
    for fold in range(4):
        rest = table.fold != fold
        weights = np.linalg.solve(x[rest].T @ x[rest] + RIDGE * np.eye(x.shape[1]), x[rest].T @ np.eye(3)[table.target[rest]])
        expected[~rest] = x[~rest] @ weights
    np.testing.assert_allclose(left_out_scores(table, 3), expected, atol=1e-4)


def sentences(number: int, seed: int = 0) -> tuple[list[str], list[list[dict[str, Any]]]]:
    """“Anna lives in Paris.” and the like, with both names marked."""
    random = np.random.default_rng(seed)
    texts, answers = [], []
    for _ in range(number):
        person, place = str(random.choice(PEOPLE)), str(random.choice(PLACES))
        verb = str(random.choice(["lives in", "flew to", "comes from"]))
        text = f"{person} {verb} {place}."
        texts.append(text)
        answers.append([span(text, person, "person"), span(text, place, "place")])
    return texts, answers


def span(text: str, part: str, label: str) -> dict[str, Any]:
    start = text.index(part)
    return {"start": start, "end": start + len(part), "labels": [label], "text": part}


def evidence(folder: Path, texts: list[str], answers: list[Any], groups: Any = None, **settings: Any) -> Words:
    groups = np.arange(len(texts)) if groups is None else groups
    found = word_evidence(Store(folder), "minilm", texts, answers, groups, ("person", "place"), **settings)
    assert found is not None
    return found


def test_words_get_the_label_that_the_rest_of_the_corpus_gives_them(tmp_path: Path) -> None:
    texts, answers = sentences(40)
    words = evidence(tmp_path, texts, answers)
    np.testing.assert_allclose(words.probabilities.sum(axis=1), 1, atol=1e-5)
    for text, answer, row in zip(texts, answers, range(40), strict=True):
        mine = words.row == row
        assert [text[start:end] for start, end in zip(words.start[mine], words.end[mine], strict=True)] == split(text)
        assert words.probabilities[mine].argmax(axis=1).tolist() == [0, 2, 2, 1, 2], answer


def test_what_is_said_of_a_text_does_not_follow_its_own_answer_nor_that_of_its_group(tmp_path: Path) -> None:
    texts, answers = sentences(30)
    groups = np.arange(30)
    groups[[4, 5, 6]] = 4
    before = evidence(tmp_path, texts, answers, groups)
    changed = [[] if row in (4, 5, 6) else answer for row, answer in enumerate(answers)]
    after = evidence(tmp_path, texts, changed, groups)
    mine = np.isin(before.row, [4, 5, 6])
    # Not to the last bit: the softmax learns from scores of other texts, which have seen these answers among many.
    np.testing.assert_allclose(before.probabilities[mine], after.probabilities[mine], atol=0.02)
    assert np.abs(before.probabilities[~mine] - after.probabilities[~mine]).max() > 1e-4


def test_without_a_consensus_nothing_is_said_and_nothing_learned(tmp_path: Path) -> None:
    texts, answers = sentences(20)
    without = evidence(tmp_path, texts, [None, *answers[1:]])
    assert np.isnan(without.probabilities[without.row == 0]).all()
    assert np.isfinite(without.probabilities[without.row > 0]).all()
    strange = evidence(tmp_path, texts, [[{**answers[0][0], "labels": ["unheard of"]}], *answers[1:]])
    np.testing.assert_array_equal(strange.probabilities, without.probabilities)
    alone = evidence(tmp_path, texts, answers, np.zeros(20, np.int64))
    assert np.isnan(alone.probabilities).all()


def test_empty_corpora_and_empty_texts_have_no_words(tmp_path: Path) -> None:
    assert evidence(tmp_path, [], []).probabilities.shape == (0, 3)
    texts, answers = sentences(10)
    words = evidence(tmp_path, ["", *texts, " \n", "\ud800"], [[], *answers, [], []])
    assert not np.isin([0, 11], words.row).any()


def test_every_word_of_a_long_text_has_a_vector_and_it_is_near_that_of_a_whole_reading(tmp_path: Path) -> None:
    text = " ".join(f"{PEOPLE[i % 6]} met {PEOPLE[i * 5 % 6]} in {PLACES[i % 5]} ." for i in range(17))
    (windows,) = word_vectors(Store(tmp_path), "minilm", [text], max_length=32) or []
    (whole,) = word_vectors(Store(tmp_path), "minilm", [text], max_length=256) or []
    every = np.arange(len(words_of(text)))
    one, other = windows.whole(every), whole.whole(every)
    assert len(one) == len(every)
    cosine = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert cosine.min() > 0.5
    assert np.median(cosine) > 0.85


def test_vectors_are_computed_once_and_a_damaged_segment_is_computed_again(tmp_path: Path) -> None:
    texts, _ = sentences(12)
    counted: list[int] = []
    first = word_vectors(Store(tmp_path), "minilm", texts, progress=lambda done, total: counted.append(total))
    assert counted
    counted.clear()
    again = word_vectors(Store(tmp_path), "minilm", texts, progress=lambda done, total: counted.append(total))
    assert not counted
    assert first is not None
    assert again is not None
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.small, other.small)
    (segment,) = (tmp_path / "cache" / "words").rglob("*.safetensors")
    segment.write_bytes(segment.read_bytes()[:-1])
    word_vectors(Store(tmp_path), "minilm", texts, progress=lambda done, total: counted.append(total))
    assert counted
