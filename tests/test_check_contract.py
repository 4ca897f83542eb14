"""One contract for all checks, found by listing them: a new check is tested here without a line being added."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from corpora import (
    LABELS,
    annotations_table,
    answer_all,
    careful,
    clusters,
    corpus,
    examples_table,
    leave_one_out,
    of_template,
)

from pipeline.errors import CheckError
from pipeline.types import FINDING_COLUMNS, SUBJECTS, Corpus, Evidence
from validators import check as contract
from validators.check import Check, Outcome, Report, all_checks, findings, run, settings_for

NAMES = sorted(all_checks())
MAIL, PHONE, CARD, KEY = "jane.doe@example.org", "+49 30 901820", "4111 1111 1111 1111", "sk-proj-abcDEF123456abcDEF123456"
PRIVATE = f"I am Jane, write to {MAIL} or call {PHONE}, card {CARD}, key {KEY}."


def usual(n: int = 120, *, labels: tuple[str, ...] = LABELS, seed: int = 0, text: str = "") -> Corpus:
    """Three annotators, slices, splits, copies and near-copies, planted wrong labels and personal data, with evidence."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, len(labels), n)
    texts = [f"{text} message number {i} about {labels[place]}" for i, place in enumerate(truth)]
    if n >= 10:
        texts[1], texts[2], texts[3], texts[4] = texts[0], f"{texts[0]}!", PRIVATE, ""
    split = [str(name) for name in random.choice(["train", "validation", "test"], n)]
    slices = {"region": [str(name) for name in random.choice(["north", "süd"], n)]}
    examples = examples_table(texts, slices, split)
    given = [labels[place] for place in truth]
    people = {
        name: (careful(accuracy, labels), seconds)
        for name, accuracy, seconds in (("anna", 0.95, 20.0), ("ben", 0.9, 25.0), ("carl", 0.7, 4.0))
    }
    made = corpus(examples, answer_all(given, examples, people, seed=seed), labels=labels, slices=("region",), seed=seed)
    return dataclasses.replace(made, evidence=evidence(made, truth))


def evidence(made: Corpus, truth: np.ndarray) -> Evidence:
    n, k = len(made.examples), len(made.labels)
    points = clusters(truth, k, spread=0.7, seed=1)
    given = np.array([made.labels.index(orjson.loads(answer)) for answer in made.consensus["answer"]], np.int64)
    near = points @ points.T - 2 * np.eye(n, dtype=np.float32)
    order = np.argsort(-near, axis=1, kind="stable")[:, : min(5, n - 1)]
    probabilities = leave_one_out(points, given, k) if n > 1 else np.full((n, k), np.nan, np.float32)
    return Evidence(points, probabilities, order.astype(np.int64), np.take_along_axis(near, order, axis=1).astype(np.float32))


def one_annotator() -> Corpus:
    made = usual()
    mine = made.annotations[made.annotations["annotator"] == "anna"].reset_index(drop=True)
    return dataclasses.replace(
        corpus(made.examples, mine, slices=made.slices), evidence=made.evidence
    )


def unanswered() -> Corpus:
    made = usual()
    bare = corpus(made.examples, annotations_table([]), slices=made.slices)
    return dataclasses.replace(bare, evidence=made.evidence)


def mostly_missing() -> Corpus:
    """Slices, seconds and times that nobody filled in."""
    made = usual()
    examples = made.examples.assign(region="", split="")
    annotations = made.annotations.assign(seconds=np.nan, created_at="", updated_at="")
    return dataclasses.replace(made, examples=examples, annotations=annotations)


SAMPLES = (
    "multi_label_classification", "named_entities", "instruction_response", "code_generation", "chat", "pairwise_preference",
    "response_rating",
)  # fmt: skip


def sample(name: str) -> Corpus:
    return of_template(name)[0]


UNICODE = ("退款", "livraison retardée", "شكوى", "🤷‍♀️ other", '<script>alert("x")</script>', "a\u0000b\u202e%s{}")
CORPORA: dict[str, Callable[[], Corpus]] = {
    "usual": usual,
    "empty": lambda: corpus(examples_table([], {"region": []}), annotations_table([]), slices=("region",)),
    "one row": lambda: usual(1),
    "two rows": lambda: usual(2),
    "one class": lambda: usual(labels=("billing",)),
    "one annotator": one_annotator,
    "no answers": unanswered,
    "no slices": lambda: dataclasses.replace(usual(), slices=()),
    "missing values": mostly_missing,
    "unicode": lambda: usual(labels=UNICODE, text='𝕳ello ﷽ \u202e <img src=x onerror="x"> {0} %s \ud7ff'),
    **{f"sample of {name}": partial(sample, name) for name in SAMPLES},
    "no evidence": lambda: dataclasses.replace(usual(), evidence=corpus(usual().examples, annotations_table([])).evidence),
}


def ask(name: str, made: Corpus) -> Outcome:
    return run(made, {name: settings_for({})[name]})[0]


def sorted_rows(table: pd.DataFrame) -> pd.DataFrame:
    """By every column that is there: a check that was skipped has no rows, and no column with its name."""
    return table.sort_values([name for name in FINDING_COLUMNS if name in table], ignore_index=True)


def permuted(made: Corpus, seed: int) -> Corpus:
    """The same corpus with the rows of every table, and of the evidence with them, in another order."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(made.examples))
    place = np.argsort(order)
    given = made.evidence
    neighbours = given.neighbours[order]
    moved = np.where(neighbours >= 0, place[neighbours], -1).astype(np.int64)
    shuffled = {
        name: (table := getattr(made, name)).iloc[random.permutation(len(table))].reset_index(drop=True)
        for name in ("annotations", "consensus", "annotators")
    }
    return dataclasses.replace(
        made,
        examples=made.examples.iloc[order].reset_index(drop=True),
        evidence=Evidence(given.embeddings[order], given.probabilities[order], moved, given.similarities[order]),
        **shuffled,
    )


def test_the_known_checks_are_found() -> None:
    assert {"label_errors", "annotators", "class_balance", "slice_labels"} <= set(NAMES)


@pytest.mark.parametrize("kind", CORPORA)
@pytest.mark.parametrize("name", NAMES)
def test_a_check_answers_for_any_corpus_and_never_crashes(name: str, kind: str) -> None:
    outcome = ask(name, CORPORA[kind]())
    assert outcome.status in ("passed", "flagged", "skipped"), outcome.reason
    assert bool(outcome.reason) == (outcome.status == "skipped")
    assert list(outcome.findings.columns) == list(FINDING_COLUMNS) or not len(outcome.findings)
    assert outcome.findings["severity"].between(0, 1).all()
    assert not outcome.findings["subject_id"].duplicated().any()
    assert all(text == "" or orjson.loads(text) is not None for text in outcome.findings["suggestion"])
    json.dumps(outcome.as_dict(), allow_nan=False, ensure_ascii=False, default=_refuse).encode("utf-8")


def _refuse(value: object) -> None:
    raise TypeError(f"a {type(value).__name__} in the outcome is not JSON")


@pytest.mark.parametrize("name", NAMES)
def test_a_check_says_the_same_twice(name: str) -> None:
    first, second = ask(name, usual()), ask(name, usual())
    pd.testing.assert_frame_equal(first.findings, second.findings)
    assert first.facts == second.facts


@pytest.mark.parametrize("name", NAMES)
def test_a_check_says_the_same_whatever_the_order_of_the_rows(name: str) -> None:
    here, there = ask(name, usual()), ask(name, permuted(usual(), seed=5))
    pd.testing.assert_frame_equal(sorted_rows(here.findings), sorted_rows(there.findings), rtol=1e-6)
    assert here.status == there.status


@pytest.mark.parametrize("name", NAMES)
def test_a_check_leaves_the_corpus_as_it_was(name: str) -> None:
    made, untouched = usual(), usual()
    ask(name, made)
    for table in ("examples", "annotations", "consensus", "annotators"):
        pd.testing.assert_frame_equal(getattr(made, table), getattr(untouched, table))
    for array in ("embeddings", "probabilities", "neighbours", "similarities"):
        np.testing.assert_array_equal(getattr(made.evidence, array), getattr(untouched.evidence, array))


@pytest.mark.parametrize("name", NAMES)
def test_a_check_repeats_no_personal_data(name: str) -> None:
    """Three copies of a text with an address, numbers and a key: whatever is found out about them, what they say is in no
    reason, suggestion or fact."""
    made = usual()
    made.examples.loc[made.examples.index[3:6], "text"] = PRIVATE
    outcome = ask(name, made)
    said = json.dumps(outcome.facts, default=str) + outcome.findings.to_json()
    for secret in (MAIL, "jane.doe", "901820", "1111 1111", "sk-proj", "I am Jane"):
        assert secret not in said


@pytest.mark.parametrize("name", NAMES)
def test_a_check_is_named_like_its_subject_and_question(name: str) -> None:
    item = all_checks()[name]
    assert item.subject in SUBJECTS
    assert item.question.endswith("?")
    assert item.name == name == name.lower().replace(" ", "_")
    assert item.run.__doc__ or __import__(item.run.__module__, fromlist=["x"]).__doc__


# --- the loop itself -------------------------------------------------------------------------------------------------


def outcome_of(body: Callable[..., Report]) -> Outcome:
    return contract._ask(Check("probe", "Does it work?", "example", body), usual(10), {})


def test_a_check_that_raises_is_crashed_with_its_place_and_finds_nothing() -> None:
    def broken(corpus: Corpus) -> Report:
        raise ZeroDivisionError("nothing to divide")

    outcome = outcome_of(broken)
    assert outcome.status == "crashed"
    assert "ZeroDivisionError: nothing to divide (test_check_contract.py:" in outcome.reason
    assert not len(outcome.findings)


@pytest.mark.parametrize(
    "row",
    [
        {"subject_id": "1", "severity": 1.1, "flagged": True, "reason": "x", "suggestion": ""},
        {"subject_id": "1", "severity": float("nan"), "flagged": True, "reason": "x", "suggestion": ""},
        {"subject_id": "1", "severity": 0.5, "flagged": True, "reason": "", "suggestion": ""},
    ],
    ids=["severity above 1", "no severity", "no reason"],
)
def test_a_check_that_breaks_the_contract_is_crashed(row: dict[str, Any]) -> None:
    assert outcome_of(lambda corpus: Report(findings([row]))).status == "crashed"


def test_an_unknown_check_is_answered_with_the_known_ones() -> None:
    with pytest.raises(CheckError) as error:
        settings_for({"label_error": {}})
    assert "label_error" in str(error.value)
    assert all(name in str(error.value) for name in NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if all_checks()[name].settings])
def test_an_unknown_setting_or_a_wrong_kind_of_value_is_answered_with_file_and_key(name: str) -> None:
    known = all_checks()[name].settings
    with pytest.raises(CheckError) as error:
        settings_for({name: {"no_such_setting": 1}}, where="project.yaml")
    assert f"project.yaml: checks.{name}" in str(error.value)
    assert all(key in str(error.value) for key in known)
    with pytest.raises(CheckError, match=f"checks.{name}.{next(iter(known))}"):
        settings_for({name: {next(iter(known)): object()}})


def test_a_check_can_be_switched_off_and_keeps_its_defaults_otherwise() -> None:
    chosen = settings_for({"label_errors": False, "class_balance": {"min_examples": 7}})
    assert "label_errors" not in chosen
    assert chosen["class_balance"] == {**all_checks()["class_balance"].settings, "min_examples": 7}
