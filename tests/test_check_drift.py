from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from corpora import annotations_table, consensus_table, corpus, examples_table, of_template
from test_check_semantic_duplicates import evidence

from pipeline.evidence.shift import shares, told_apart
from pipeline.types import Corpus
from validators.check import Outcome, run

LABELS = ("refund", "billing", "other")


def stream(
    seed: int, *, n: int = 240, share: float = 0.0, away: float = 0.0, longer: int = 0, slices: dict[str, list[str]] | None = None
) -> Corpus:
    """n examples, answered in their order. In the second half `share` of the labels is "refund" whatever they were, `away` of
    the texts lie elsewhere, and all are `longer` by so many words."""
    random = np.random.default_rng(seed)
    late = np.arange(n) >= n // 2
    labels = random.choice(LABELS, n)
    labels[late & (random.random(n) < share)] = "refund"
    points = random.normal(size=(n, 16)) / 4
    points[late & (random.random(n) < away), 0] += 3
    texts = [" ".join(random.choice(["word", "term"], random.integers(5, 20) + longer * int(then))) for then in late]
    given = annotations_table([(row + 1, "anna", str(label), 1.0) for row, label in enumerate(labels)])
    rest = {"consensus": consensus_table(labels.tolist()), "slices": tuple(slices or ()), "evidence": evidence(points)}
    return corpus(examples_table(texts, slices), given, labels=LABELS, **rest)


def ask(made: Corpus, **settings: Any) -> Outcome:
    outcome = run(made, {"drift": {"min_batch": 60, **settings}})[0]
    assert outcome.status in ("passed", "flagged"), outcome.reason
    return outcome


def flagged(outcome: Outcome) -> dict[str, str]:
    table = outcome.findings[outcome.findings["flagged"]]
    return dict(zip(table["subject_id"], table["reason"], strict=True))


def test_in_200_streams_without_drift_no_comparison_alarms_above_its_nominal_rate() -> None:
    p: dict[str, list[float]] = {}
    alarms = 0
    for seed in range(200):
        outcome = ask(stream(seed))
        alarms += bool(flagged(outcome))
        for test in outcome.facts["tests"]:
            p.setdefault(test["what"].split(" (")[0], []).append(test["p"])
    rates = {what: float(np.mean(np.array(values) < 0.05)) for what, values in p.items()}
    assert len(rates) == 2 + 4 + 1
    assert max(rates.values()) <= 0.085, rates  # 5 % of 200 and its upper 1 % bound
    assert float(np.mean(list(rates.values()))) == pytest.approx(0.05, abs=0.02)
    assert alarms <= 17, alarms


@pytest.mark.parametrize(
    ("shift", "what"),
    [({"share": 0.6}, "labels"), ({"away": 0.5}, "texts"), ({"longer": 8}, "length")],
    ids=["60 % of the labels", "half of the texts", "8 words longer"],
)
def test_a_shift_in_the_second_half_is_found(shift: dict[str, Any], what: str) -> None:
    found = [any(name.startswith(what) for name in flagged(ask(stream(seed, **shift)))) for seed in range(50)]
    assert np.mean(found) >= 0.95, np.mean(found)


def test_a_small_shift_is_measured_and_not_flagged() -> None:
    made = stream(3, n=4000, share=0.15)
    outcome = ask(made)
    labels = next(test for test in outcome.facts["tests"] if test["what"] == "labels")
    assert labels["p"] <= 0.01
    assert 0 < labels["effect"] < 0.25
    assert "labels" not in flagged(outcome)
    assert "labels" in flagged(ask(made, min_w=0.02))


def test_the_reason_names_the_label_and_the_batch_and_the_facts_every_batch() -> None:
    outcome = ask(stream(1, share=0.7))
    assert "“refund”" in flagged(outcome)["labels"] or "Most of all" in flagged(outcome)["labels"]
    assert [batch["examples"] for batch in outcome.facts["batches"]] == [60] * 4
    assert outcome.facts["batches"][0]["batch"].startswith("2026-01-01 00:00 to ")
    assert {row["class"] for row in outcome.facts["moved"]} >= {"refund"}


def test_batches_can_be_the_groups_of_a_slice_and_then_the_time_plays_no_part() -> None:
    source = ["shop", "forum"] * 120
    made = stream(2, share=0.8, slices={"source": source})
    assert not flagged(ask(made, by="source"))
    late = ["first"] * 120 + ["second"] * 120
    outcome = ask(stream(2, share=0.8, slices={"source": late}), by="source")
    assert "labels" in flagged(outcome)
    assert [batch["batch"] for batch in outcome.facts["batches"]] == ["first", "second"]
    assert run(made, {"drift": {"by": "region"}})[0].reason.startswith("There is no slice 'region'")


def test_examples_of_one_time_stay_in_one_period() -> None:
    made = stream(0)
    stamped = made.annotations.assign(created_at=["2026-01-01T00:00:00Z"] * 120 + ["2026-01-02T00:00:00Z"] * 120)
    outcome = ask(replace(made, annotations=stamped))
    assert [batch["examples"] for batch in outcome.facts["batches"]] == [120, 120]
    same = made.annotations.assign(created_at="2026-01-01T00:00:00Z")
    assert run(replace(made, annotations=same), {"drift": {"min_batch": 60}})[0].status == "skipped"


def test_few_examples_and_missing_times_are_skipped() -> None:
    made = stream(0)
    assert run(made, {"drift": {"min_batch": 200}})[0].status == "skipped"
    blank = replace(made, annotations=made.annotations.assign(created_at=""))
    assert "there are none" in run(blank, {"drift": {"min_batch": 60}})[0].reason


@pytest.mark.parametrize(
    ("template", "compared"),
    [
        ("multi_label_classification", "label "),
        ("named_entities", "label "),
        ("instruction_response", "length of the answers"),
        ("pairwise_preference", "labels"),
        ("response_rating", "ratings of "),
    ],
)
def test_every_kind_of_answer_is_compared(template: str, compared: str) -> None:
    made, _ = of_template(template)
    size = max(20, len(made.examples) // 3)
    if len(made.examples) < 2 * size:
        pytest.skip("the sample is too small")
    outcome = ask(made, min_batch=size)
    assert any(test["what"].startswith(compared) for test in outcome.facts["tests"])


def test_what_is_the_same_everywhere_has_no_effect_and_what_is_not_has() -> None:
    codes, batch = np.tile([0, 1], 100), np.repeat([0, 1], 100)
    found = shares(codes, batch, 0)
    assert found is not None
    assert found.w == 0
    assert found.p > 0.5
    apart = shares(batch, batch, 0)
    assert apart is not None
    assert apart.w == pytest.approx(1, abs=0.01)
    assert apart.p == 0.001
    assert shares(np.zeros(200, np.int64), batch, 0) is None
    assert shares(np.full(200, -1), batch, 0) is None


def test_the_auc_is_one_for_texts_that_can_be_told_apart_and_a_half_for_equal_ones() -> None:
    parts = np.repeat([True, False], 100)[:, None]
    apart = np.where(parts, [[1.0, 0.0]], [[0.0, 1.0]]).astype(np.float32)
    auc, p = told_apart(apart, parts, 0)
    assert auc[0] == 1
    assert p[0] < 1e-6
    auc, p = told_apart(np.ones((200, 2), np.float32), parts, 0)
    assert auc[0] == pytest.approx(0.5)
    assert p[0] > 0.1
