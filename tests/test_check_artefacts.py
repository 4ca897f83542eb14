"""Length, punctuation and metadata that give a label away are found; words are listed; personal data is never a word."""

from __future__ import annotations

import dataclasses

import numpy as np
import orjson
import pytest
from corpora import annotations_table, consensus_table, corpus, examples_table

from pipeline.bias import surface
from pipeline.types import Corpus
from validators.artefacts import artefacts
from validators.check import Skip

SEEDS = 20


def made(seed: int, *, length: float = 1.0, field: float = 0.0, word: bool = False) -> Corpus:
    """Two labels; those of "b" are `length` times as long, name source z in a share `field`, and end with a word if asked."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 2, 400)
    size = random.integers(5, 30, 400) * np.where(truth == 1, length, 1.0)
    known = [f"word{chr(97 + at % 26)}{chr(97 + at // 26)}" for at in range(200)]
    texts = [" ".join(random.choice(known, int(n))) for n in size]
    if word:
        texts = [f"{text} yankees" if truth[at] and at % 3 == 0 else text for at, text in enumerate(texts)]
    source = np.where((truth == 1) & (random.random(400) < field), "z", random.choice(["x", "y", "z"], 400))
    records = [{"text": text, "source": str(source[at]), "id": at} for at, text in enumerate(texts)]
    examples = examples_table(texts).assign(data=[orjson.dumps(record).decode() for record in records])
    labels = ["ab"[at] for at in truth]
    return corpus(examples, annotations_table([]), labels=("a", "b"), consensus=consensus_table(labels))


def named(corpus: Corpus) -> set[str]:
    table = artefacts.run(corpus).findings
    return set(table.loc[table["flagged"], "subject_id"])


def test_planted_length_and_metadata_are_found_and_chance_is_not() -> None:
    long = sum("feature: length in words" in named(made(seed, length=1.6)) for seed in range(SEEDS))
    told = sum("field: source" in named(made(seed, field=0.6)) for seed in range(SEEDS))
    false = sum(bool(named(made(seed))) for seed in range(SEEDS))
    assert long >= 19, f"length found in {long} of {SEEDS}"
    assert told >= 19, f"field found in {told} of {SEEDS}"
    assert false <= 2, f"false alarms in {false} of {SEEDS}"


def test_a_word_that_gives_the_label_away_comes_first_and_is_not_flagged() -> None:
    report = artefacts.run(made(0, word=True))
    first = report.facts["words"][0]
    assert (first["word"], first["label"], first["share"]) == ("yankees", "b", 1.0)
    assert first["low"] < first["share"] <= first["high"]
    assert not any("yankees" in subject for subject in report.findings["subject_id"])


def test_words_of_few_different_texts_and_of_personal_data_are_not_listed() -> None:
    base = made(0)
    texts = base.examples["text"].tolist()
    texts[:50] = ["secretword mail jane.doe@example.org now"] * 50
    report = artefacts.run(dataclasses.replace(base, examples=base.examples.assign(text=texts)))
    listed = orjson.dumps(report.facts)
    assert b"secretword" not in listed
    assert b"jane" not in listed


def test_the_probe_is_at_chance_without_a_signal_and_its_interval_holds_it() -> None:
    random = np.random.default_rng(0)
    inside, values = 0, []
    for _ in range(50):
        columns, label = random.normal(size=(300, 4)), np.eye(2)[random.integers(0, 2, 300)]
        fold = random.integers(0, 5, 300)
        seen = surface.auc(surface.probe(columns, label, fold), label, fold)
        inside += seen.low <= 0.5 <= seen.high
        values.append(seen.value)
    assert inside >= 42, f"the interval held 0.5 in {inside} of 50"
    assert np.mean(values) == pytest.approx(0.5, abs=0.02)


def test_the_area_is_scikit_learns_within_one_fold() -> None:
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(1)
    label = random.integers(0, 2, 200)
    score = random.normal(size=200) + label
    seen = surface.auc(np.column_stack([-score, score]), np.eye(2)[label], np.zeros(200, np.int64))
    assert seen.value == pytest.approx(roc_auc_score(label, score))


def test_copies_of_a_text_stay_in_one_fold() -> None:
    fold = surface.folds(["a", "a", "", "", "a"] * 20, list(range(100)), 0)
    assert len(set(fold[[0, 1, 4, 5, 6, 9]])) == 1
    assert len(set(fold)) == 5


def test_few_examples_or_one_label_are_a_reason_to_skip() -> None:
    few = consensus_table(["a", "b"] * 10)
    small = corpus(examples_table(["x"] * 20), annotations_table([]), labels=("a", "b"), consensus=few)
    with pytest.raises(Skip, match="at least 100"):
        artefacts.run(small)
