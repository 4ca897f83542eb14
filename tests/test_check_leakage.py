from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from planted import CLEAN, EDITS, banking, corpus_of, precision_recall

from pipeline.types import Corpus
from validators.check import Outcome, run

A, B, C, D = CLEAN[:4]


def ask(corpus: Corpus, **settings: object) -> Outcome:
    outcome = run(corpus, {"leakage": settings})[0]
    assert outcome.status in ("passed", "flagged"), outcome.reason
    return outcome


def flagged(outcome: Outcome) -> dict[str, str]:
    table = outcome.findings[outcome.findings["flagged"]]
    return dict(zip(table["subject_id"], table["reason"], strict=True))


def test_the_training_side_is_flagged_and_never_the_test_side() -> None:
    corpus = corpus_of([A, A, B, f"Hello, {B}", C], splits=["test", "train", "validation", "test", "train"])
    outcome = ask(corpus)
    found = flagged(outcome)
    assert set(found) == {"2", "3"}
    assert "example 1 of the test split" in found["2"]
    assert "example 4 of the test split" in found["3"]
    assert "similarity 0.8" in found["3"]
    assert set(outcome.findings["subject_id"]) == {"2", "3", "5"}
    pairs = outcome.facts["pairs"]
    assert pairs["train-test"] == {"exact": 1, "inside": 0, "near": 0, "cosine": 0}
    assert pairs["validation-test"] == {"exact": 0, "inside": 0, "near": 1, "cosine": 0}


def test_training_on_the_validation_split_is_listed_with_half_the_severity_and_not_flagged() -> None:
    outcome = ask(corpus_of([A, A, B, f"{B} thanks", C], splits=["train", "validation", "train", "validation", "test"]))
    assert outcome.status == "passed"
    table = outcome.findings.set_index("subject_id")
    assert table.loc["1", "severity"] == 0.5
    assert 0.35 <= table.loc["3", "severity"] < 0.5
    assert "validation split" in table.loc["3", "reason"]
    assert table.loc["2", "severity"] == table.loc["4", "severity"] == 0
    assert outcome.facts["pairs"]["train-validation"] == {"exact": 1, "inside": 0, "near": 1, "cosine": 0}


def test_a_leak_into_the_test_split_outweighs_one_into_validation() -> None:
    outcome = ask(corpus_of([A, A, f"Hello, {A}"], splits=["train", "validation", "test"]))
    assert set(flagged(outcome)) == {"1", "2"}
    assert "test split" in flagged(outcome)["1"]


def test_every_copy_leaks_and_the_equal_test_text_is_named_before_the_similar_one() -> None:
    outcome = ask(corpus_of([A.upper(), A, f"{A} really", A], splits=["train", "train", "test", "test"]))
    found = flagged(outcome)
    assert set(found) == {"1", "2"}
    assert all("example 4" in reason and reason.startswith("Says the same") for reason in found.values())


def test_empty_texts_and_examples_without_a_split_are_no_leak() -> None:
    outcome = ask(corpus_of(["", " ", A, A], splits=["train", "test", "", "test"]))
    assert flagged(outcome) == {}
    assert set(outcome.findings["subject_id"]) == {"1"}


@pytest.mark.parametrize("splits", [[], ["train"], ["train", "validation"], ["", ""]])
def test_without_a_test_split_the_question_is_skipped(splits: list[str]) -> None:
    outcome = run(corpus_of(CLEAN[: len(splits)], splits=splits), {"leakage": {}})[0]
    assert outcome.status == "skipped"
    assert "test split" in outcome.reason


def test_a_corpus_of_test_examples_alone_leaks_nothing() -> None:
    assert ask(corpus_of([A], splits=["test"])).judged == 0


def test_closeness_in_meaning_is_counted_and_never_flagged() -> None:
    """Twenty texts all 0.5 from each other, but for two pairs across the splits at 0.97 and 0.96."""
    n, k = 20, 3
    corpus = corpus_of(CLEAN[:n], splits=["train"] * 12 + ["test"] * 4 + ["validation"] * 4)
    neighbours = np.array([[(row + step) % n for step in range(1, k + 1)] for row in range(n)])
    similarities = np.full((n, k), 0.5, np.float32)
    for one, two, cosine in ((0, 12, 0.97), (16, 13, 0.96)):
        neighbours[one], similarities[one] = [two, 1, 2], [cosine, 0.5, 0.5]
    outcome = ask(replace(corpus, evidence=replace(corpus.evidence, neighbours=neighbours, similarities=similarities)))
    assert outcome.status == "passed"
    assert {name: pair["cosine"] for name, pair in outcome.facts["pairs"].items()} == {
        "train-test": 1,
        "validation-test": 1,
        "train-validation": 0,
    }
    assert outcome.facts["closest_in_meaning"][0] == {"example": "1", "other": "13", "cosine": pytest.approx(0.97)}
    assert outcome.facts["cosine_from"] == pytest.approx(0.9135, abs=1e-3)  # 0.4 of an angle of 60 degrees


LETTER = (
    "Dear madam or sir, last week I ordered a lamp at your shop and paid by card as usual. {} I look forward to your answer and "
    "remain with kind regards, a customer of many years."
)
QUESTION = "The lamp that came has a crack in its foot and does not stand straight, can you send me another one please?"


def test_a_test_text_inside_a_longer_training_text_leaks_and_a_short_phrase_does_not() -> None:
    texts = [QUESTION, LETTER.format(QUESTION), LETTER.format("Where is it?"), "Where is it?", LETTER.format(C), C]
    outcome = ask(corpus_of(texts, splits=["test", "train", "train", "test", "train", "test"]))
    found = flagged(outcome)
    assert set(found) == {"2"}
    assert found["2"].startswith("Holds 100% of the words, in their order, of example 1 of the test split")
    assert outcome.facts["pairs"]["train-test"] == {"exact": 0, "inside": 1, "near": 0, "cosine": 0}
    assert outcome.findings.set_index("subject_id").loc["2", "severity"] == 1


def test_one_changed_word_does_not_hide_a_text_inside_another_and_a_longer_test_text_is_no_leak() -> None:
    edited = QUESTION.replace("another", "a new")
    assert set(flagged(ask(corpus_of([QUESTION, LETTER.format(edited)], splits=["test", "train"])))) == {"2"}
    assert flagged(ask(corpus_of([LETTER.format(QUESTION), QUESTION], splits=["test", "train"]))) == {}


def planted(texts: list[str], leaks: int, seed: int) -> tuple[Corpus, set[str]]:
    """Texts in three splits, and edited copies of test texts in the two others; the ids of the copies."""
    draw = random.Random(seed)
    splits = [draw.choice(["train", "train", "validation", "test"]) for _ in texts]
    tests = [text for text, split in zip(texts, splits, strict=True) if split == "test"]
    edits = [EDITS[name] for name in ("typo", "punctuation", "greeting", "extra_word")]
    copies = [edits[number % 4](text, draw) for number, text in enumerate(draw.sample(tests, leaks))]
    where = [draw.choice(["train", "validation"]) for _ in copies]
    ids = {str(len(texts) + number + 1) for number in range(leaks)}
    return corpus_of([*texts, *copies], splits=[*splits, *where]), ids


def test_planted_leaks_among_our_own_texts_are_found_and_nothing_else() -> None:
    corpus, ids = planted(CLEAN, leaks=12, seed=2)
    precision, recall = precision_recall(set(flagged(ask(corpus))), ids)
    assert precision == 1
    assert recall >= 0.9


def test_planted_leaks_among_real_questions_are_found() -> None:
    """Measured: recall .92; of 1,000 questions 32 more are flagged, which resemble a test question by nature."""
    texts = sorted(set(banking()))
    corpus, ids = planted(texts, leaks=400, seed=2)
    found = set(flagged(ask(corpus)))
    assert precision_recall(found, ids)[1] >= 0.87
    assert len(found - ids) / len(texts) * 1000 <= 40


def test_the_order_of_the_examples_changes_nothing() -> None:
    corpus, _ = planted(CLEAN, leaks=8, seed=4)
    turned = replace(corpus, examples=corpus.examples.sample(frac=1, random_state=1).reset_index(drop=True))
    one, two = ask(corpus), ask(turned)
    assert flagged(one) == flagged(two) != {}
    assert one.facts == two.facts
