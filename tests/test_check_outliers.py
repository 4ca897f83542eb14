from __future__ import annotations

import numpy as np
import pytest
from corpora import bag_of_words, clusters
from planted import CLEAN, banking, corpus_of, precision_recall
from test_check_semantic_duplicates import evidence

from pipeline.evidence.outlying import robust_z
from pipeline.types import Corpus
from validators.check import Outcome, run

HOME = [f"w{number}" for number in range(300)]
AWAY = [f"q{number}" for number in range(300)]


def ask(corpus: Corpus, **settings: object) -> Outcome:
    outcome = run(corpus, {"outliers": settings})[0]
    assert outcome.status in ("passed", "flagged"), outcome.reason
    return outcome


def flagged(outcome: Outcome) -> dict[str, str]:
    table = outcome.findings[outcome.findings["flagged"]]
    return dict(zip(table["subject_id"], table["reason"], strict=True))


def mixed(n: int, foreign: int, seed: int) -> tuple[Corpus, set[str]]:
    """n texts around 8 topics of one domain, and `foreign` ones of another that lies elsewhere, in other words; their ids."""
    random = np.random.default_rng(seed)
    home = clusters(random.integers(0, 8, n), 8, spread=0.8, seed=seed, dimensions=48)
    lift = np.zeros(48, np.float32)
    lift[0] = 1.5
    away = random.normal(size=(foreign, 48)) / np.sqrt(48)
    texts = [" ".join(random.choice(HOME, 9)) for _ in range(n)] + [" ".join(random.choice(AWAY, 9)) for _ in range(foreign)]
    made = corpus_of(texts, evidence=evidence(np.vstack([home + lift, away - lift])))
    return made, {str(n + row + 1) for row in range(foreign)}


@pytest.mark.parametrize(("share", "least"), [(0.01, 0.75), (0.05, 0.93)])
def test_texts_of_another_domain_are_found_and_hardly_anything_else(share: float, least: float) -> None:
    """Measured over 20 seeds: recall 1, precision .82 where 1 % were planted and .97 where 5 % were."""
    scores = []
    for seed in range(20):
        corpus, ids = mixed(600, round(600 * share), seed)
        scores.append(precision_recall(set(flagged(ask(corpus))), ids))
    precision, recall = np.mean(scores, axis=0)
    assert (precision > least, recall > 0.98) == (True, True), (precision, recall)


def test_a_set_to_which_nothing_was_added_has_at_most_one_in_a_hundred() -> None:
    found = [len(flagged(ask(mixed(600, 0, seed)[0]))) / 600 for seed in range(20)]
    assert np.mean(found) <= 0.01, found


def test_among_real_questions_few_are_flagged_and_a_stranger_is() -> None:
    """Measured with these bags of words: 2.6 %, with embeddings 1.0 %."""
    texts = sorted(set(banking()))[:3000]
    stranger = "sphinx of black quartz judge my vow"
    made = corpus_of([*texts, stranger], evidence=evidence(bag_of_words([*texts, stranger], 256)))
    found = flagged(ask(made))
    assert str(len(texts) + 1) in found
    assert len(found) <= 0.035 * len(texts), len(found)


def test_copies_of_an_odd_text_are_all_flagged_and_do_not_make_it_usual() -> None:
    corpus, _ = mixed(600, 1, 3)
    texts = corpus.examples["text"].tolist()
    points = corpus.evidence.embeddings
    many = corpus_of(texts + texts[-1:] * 19, evidence=evidence(np.vstack([points, np.repeat(points[-1:], 19, axis=0)])))
    assert {str(row) for row in range(601, 621)} <= set(flagged(ask(many)))


def test_the_reason_says_what_is_unlike_and_severity_is_half_at_the_bar() -> None:
    corpus, ids = mixed(600, 6, 1)
    outcome = ask(corpus)
    reason = flagged(outcome)[min(ids)]
    assert "its words are rare here" in reason
    assert "robust standard deviations" in reason
    table = outcome.findings
    assert table.loc[table["flagged"], "severity"].min() >= 0.5 > table.loc[~table["flagged"], "severity"].max()
    assert len(flagged(ask(corpus, z=1.0))) > len(flagged(outcome))


def test_groups_that_are_mostly_strangers_are_told_in_the_facts() -> None:
    from dataclasses import replace

    corpus, _ = mixed(600, 20, 2)
    examples = corpus.examples.assign(source=["shop"] * 600 + ["forum"] * 20)
    outcome = ask(replace(corpus, examples=examples, slices=("source",)))
    assert outcome.facts["slices"][0]["group"] == "forum"
    assert outcome.facts["slices"][0]["value"] > 0.8


def test_few_texts_are_skipped_and_equal_values_are_all_usual() -> None:
    assert run(corpus_of(CLEAN), {"outliers": {}})[0].status == "skipped"
    assert robust_z(np.array([1.0, 1.0, 1.0, 9.0])).tolist() == [0, 0, 0, 0]
    assert robust_z(np.zeros(0)).tolist() == []
