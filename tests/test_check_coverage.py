from __future__ import annotations

from dataclasses import replace

import numpy as np
import orjson
import pytest
from corpora import clusters
from planted import CLEAN, corpus_of
from test_check_semantic_duplicates import evidence

from pipeline.evidence.regions import names, regions
from pipeline.types import Corpus
from validators.check import Outcome, run

TOPICS = ("card", "refund", "parcel", "login", "invoice", "voucher")


def topical(n: int, seed: int) -> tuple[Corpus, np.ndarray]:
    """n texts of six topics, each with its word in it; labelled by topic, a fifth in the test split; and the topics."""
    random = np.random.default_rng(seed)
    topic = random.integers(0, 6, n)
    texts = [f"{' '.join(random.choice(['please', 'when', 'again', 'today', 'still'], 3))} {TOPICS[place]}" for place in topic]
    splits = random.choice(["train", "train", "train", "train", "test"], n).tolist()
    points = clusters(topic, 6, spread=0.4, seed=seed, dimensions=32)
    return corpus_of(texts, splits=splits, labels=[TOPICS[place] for place in topic], evidence=evidence(points)), topic


def ask(corpus: Corpus) -> Outcome:
    outcome = run(corpus, {"coverage": {}})[0]
    assert outcome.status in ("passed", "flagged"), outcome.reason
    return outcome


def flagged(outcome: Outcome) -> dict[str, str]:
    table = outcome.findings[outcome.findings["flagged"]]
    return dict(zip(table["subject_id"], table["reason"], strict=True))


def without(corpus: Corpus, lost: np.ndarray) -> Corpus:
    return replace(corpus, consensus=corpus.consensus[~lost].reset_index(drop=True))


def test_a_topic_that_nobody_labelled_is_found_and_named_by_its_word() -> None:
    """Of 20 sets; a region of a few texts has no name, since no word is in five of them."""
    hits = total = 0
    for seed in range(20):
        corpus, topic = topical(600, seed)
        random = np.random.default_rng(seed)
        found = flagged(ask(without(corpus, (topic == 2) & (random.random(600) < 0.9))))
        assert found, seed
        assert all(name.startswith("labelled: region") for name in found)
        assert all("have an answer" in reason for reason in found.values())
        hits, total = hits + sum("parcel" in name for name in found), total + len(found)
    assert hits / total >= 0.95, (hits, total)


@pytest.mark.parametrize(("question", "place", "split"), [("test", 1, "train"), ("train", 4, "test")])
def test_a_topic_that_only_one_split_holds_is_found(question: str, place: int, split: str) -> None:
    hits = total = missed = 0
    for seed in range(20):
        corpus, topic = topical(600, seed)
        moved = corpus.examples["split"].where(topic != place, split)
        found = [name for name in flagged(ask(replace(corpus, examples=corpus.examples.assign(split=moved)))) if question in name]
        missed += not found
        hits, total = hits + sum(TOPICS[place] in name for name in found), total + len(found)
    assert (hits / total >= 0.95, missed <= 2) == (True, True), (hits, total, missed)


def test_labels_and_splits_at_random_are_flagged_in_at_most_one_set_of_twenty() -> None:
    """The nominal rate; both questions of all regions together."""
    alarms = 0
    for seed in range(100):
        corpus, _ = topical(400, seed)
        random = np.random.default_rng(seed)
        alarms += bool(flagged(ask(without(corpus, random.random(400) < 0.6))))
    assert alarms <= 10, alarms  # 5 are expected at most; more than 10 in 100 have a chance of 1 %


def test_the_facts_show_every_region_with_its_labels_and_doubts() -> None:
    corpus, topic = topical(600, 1)
    wrong = np.eye(7, dtype=np.float32)[(topic + 1) % 6]
    order = [corpus.labels.index(name) for name in TOPICS]
    probabilities = np.zeros((600, len(corpus.labels)), np.float32)
    probabilities[:, order] = wrong[:, :6]
    facts = ask(replace(corpus, evidence=replace(corpus.evidence, probabilities=probabilities))).facts["regions"]
    assert sum(row["examples"] for row in facts) == 600
    assert [row["examples"] for row in facts] == sorted((row["examples"] for row in facts), reverse=True)
    assert all(row["doubted"] == 1 and row["labelled"] == 1 for row in facts)
    assert all(row["labels"].endswith("100%") and row["words"].split(", ")[0] in row["labels"] for row in facts)


def test_no_name_is_a_word_of_fewer_than_five_texts_nor_part_of_an_address() -> None:
    texts = ["write to jane.doe@example.org about the lamp"] * 8 + ["the lamp of Miller is broken"] * 4 + ["a parcel came"] * 9
    said = names(texts, np.array([0] * 12 + [1] * 9))
    assert "lamp" in said[0]
    assert not {"jane", "doe", "example", "org", "miller"} & set(said[0])


def test_regions_are_the_same_for_the_same_seed_and_an_empty_text_is_in_none() -> None:
    corpus, _ = topical(300, 2)
    points = corpus.evidence.embeddings.copy()
    points[3] = 0
    one, two = regions(points, 5), regions(points, 5)
    assert (one == two).all()
    assert one[3] == -1
    assert (np.bincount(one[one >= 0]) == sorted(np.bincount(one[one >= 0]), reverse=True)).all()
    assert regions(np.zeros((4, 8), np.float32), 0).tolist() == [-1] * 4


def test_few_texts_are_skipped_and_a_set_without_answers_or_splits_is_only_described() -> None:
    points = np.random.default_rng(0).normal(size=(40, 8))
    assert run(corpus_of(CLEAN[:40], evidence=evidence(points)), {"coverage": {}})[0].status == "skipped"
    corpus, _ = topical(300, 0)
    bare = replace(corpus, consensus=corpus.consensus[:0], examples=corpus.examples.assign(split=""))
    outcome = ask(bare)
    assert len(outcome.findings) == 0
    assert len(outcome.facts["regions"]) >= 6
    orjson.dumps(outcome.facts)


@pytest.mark.parametrize("seed", [0, 2**40])
def test_any_seed_will_do(seed: int) -> None:
    corpus, _ = topical(200, 1)
    assert len(ask(replace(corpus, seed=seed)).facts["regions"]) >= 4


def test_a_word_that_is_all_there_is_names_no_region() -> None:
    assert names(["word"] * 20, np.repeat([0, 1], 10)) == [[], []]
