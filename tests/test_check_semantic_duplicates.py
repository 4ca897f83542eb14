from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from corpora import clusters
from planted import CLEAN, corpus_of, precision_recall

from pipeline.evidence.neighbours import nearest
from pipeline.evidence.semantic import close_pairs, threshold_of
from pipeline.types import Corpus, Evidence
from validators.check import Outcome, run


def evidence(points: np.ndarray, k: int = 15) -> Evidence:
    rows = points.astype(np.float32) / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-9)
    return Evidence(rows, np.zeros((len(rows), 0), np.float32), *nearest(rows, k))


def paraphrased(n: int, planted: int, *, spread: float, angle: float, seed: int) -> tuple[Corpus, set[str]]:
    """n texts around 8 topics, and `planted` paraphrases of some of them at the given angle; the paraphrases' ids. All texts
    are of other words, as far as characters go."""
    random = np.random.default_rng(seed)
    points = clusters(random.integers(0, 8, n), 8, spread=spread, seed=seed, dimensions=48)
    chosen = random.permutation(n)[:planted]
    away = random.normal(size=(planted, 48))
    away -= (away * points[chosen]).sum(1, keepdims=True) * points[chosen]
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    copies = np.cos(angle) * points[chosen] + np.sin(angle) * away
    texts = ["".join(random.choice(list("abcdefghijklmnopqrstuvwxyz "), 40)) for _ in range(n + planted)]
    return corpus_of(texts, evidence=evidence(np.vstack([points, copies]))), {str(n + row + 1) for row in range(planted)}


def ask(corpus: Corpus) -> Outcome:
    outcome = run(corpus, {"semantic_duplicates": {}})[0]
    assert outcome.status in ("passed", "flagged"), outcome.reason
    return outcome


def flagged(outcome: Outcome) -> dict[str, str]:
    table = outcome.findings[outcome.findings["flagged"]]
    return dict(zip(table["subject_id"], table["reason"], strict=True))


@pytest.mark.parametrize("spread", [0.9, 0.5], ids=["topics apart", "crowded topics"])
def test_planted_paraphrases_are_found_and_nothing_else_however_crowded_the_topics_are(spread: float) -> None:
    """Twenty corpora. The same angle would be a tenth of all pairs in the crowded one if the threshold were fixed at 0.9."""
    scores = []
    for seed in range(20):
        corpus, ids = paraphrased(400, 40, spread=spread, angle=0.15, seed=seed)
        scores.append(precision_recall(set(flagged(ask(corpus))), ids))
    precision, recall = np.mean(scores, axis=0)
    assert precision >= 0.97, (precision, recall)
    assert recall >= 0.97, (precision, recall)


def test_texts_of_one_topic_are_no_duplicates() -> None:
    found = [len(flagged(ask(paraphrased(400, 0, spread=0.5, angle=0, seed=seed)[0]))) for seed in range(20)]
    assert np.mean(found) <= 1, found


def test_the_yardstick_is_the_corpus() -> None:
    apart, crowded = (paraphrased(400, 0, spread=spread, angle=0, seed=1)[0].evidence for spread in (0.9, 0.3))
    assert 0.9 < threshold_of(apart) < 0.94
    assert threshold_of(crowded) > 0.97
    random = np.random.default_rng(3)
    wide = evidence(random.normal(size=(300, 64)))
    assert threshold_of(wide) == 0.9
    assert close_pairs(wide) == []


def test_the_reason_names_the_kept_one_and_copies_are_left_to_the_other_checks() -> None:
    corpus, _ = paraphrased(100, 1, spread=0.9, angle=0.1, seed=2)
    found = flagged(ask(corpus))
    assert set(found) == {"101"}
    kept = found["101"].split("example ")[1].split()[0]
    same = corpus.examples.copy()
    same.loc[100, "text"] = same.loc[int(kept) - 1, "text"] + "!"
    outcome = ask(dataclasses.replace(corpus, examples=same))
    assert flagged(outcome) == {}
    assert outcome.facts["pairs"] == 0


def test_the_one_in_the_test_split_is_kept_and_its_own_paraphrases_of_another_label_are_told() -> None:
    corpus, _ = paraphrased(100, 1, spread=0.9, angle=0.1, seed=2)
    kept = flagged(ask(corpus))["101"].split("example ")[1].split()[0]
    splits = ["train"] * 100 + ["test"]
    labels = ["refund"] * 100 + ["billing"]
    told = corpus_of(corpus.examples["text"].tolist(), splits=splits, labels=labels, evidence=corpus.evidence)
    outcome = ask(told)
    assert set(flagged(outcome)) == {kept}
    assert outcome.facts["groups"] == outcome.facts["conflicting"] == 1
    assert outcome.facts["conflicts"] == [{"examples": [kept, "101"], "labels": ["billing", "refund"]}]
    assert outcome.facts["same_label"]["value"] == 0
    assert outcome.facts["closest"][0]["labels"] == ["refund", "billing"]


def test_few_texts_and_texts_without_embeddings_are_skipped() -> None:
    assert run(corpus_of(CLEAN[:10], evidence=evidence(np.eye(10))), {"semantic_duplicates": {}})[0].status == "skipped"
    assert run(corpus_of(CLEAN), {"semantic_duplicates": {}})[0].status == "skipped"


def test_an_empty_text_means_nothing() -> None:
    corpus, _ = paraphrased(60, 0, spread=0.9, angle=0, seed=4)
    points = corpus.evidence.embeddings.copy()
    points[:2] = 0
    outcome = ask(corpus_of(["", "", *corpus.examples["text"].tolist()[2:]], evidence=evidence(points)))
    assert not {"1", "2"} & set(outcome.findings["subject_id"])
