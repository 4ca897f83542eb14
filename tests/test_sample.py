"""The template's sample: natural, distinct, and with exactly the faults that are written beside it."""

import itertools
import json
from collections import Counter

import pytest

from pipeline.label_studio.label_config import read_controls
from pipeline.sample import PROFILES, SLICES, make
from pipeline.tasks import bind, task_type
from pipeline.templates import Template, template
from pipeline.types import Scheme


def scheme(chosen: Template) -> Scheme:
    controls = read_controls(chosen.label_config)
    return bind(task_type(chosen.task), controls, names=chosen.answer, fields=chosen.fields)


@pytest.fixture(scope="module")
def sample():  # type: ignore[no-untyped-def]
    chosen = template("text_classification")
    return make(chosen.read_sample(), task=task_type(chosen.task), scheme=scheme(chosen))


def test_the_guidelines_explain_every_label() -> None:
    chosen = template("text_classification")
    assert all(f"`{label}`" in chosen.guidelines for label in scheme(chosen).control.labels)


def test_the_messages_are_many_distinct_and_no_template_filled_in() -> None:
    rows = template("text_classification").read_sample()
    assert len(rows) >= 600
    assert len({row["data"]["text"].casefold() for row in rows}) == len(rows)
    assert len({row["answer"] for row in rows}) == 8
    runs: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        words = row["data"]["text"].casefold().split()
        runs.update({tuple(words[i : i + 6]) for i in range(len(words) - 5)})
    shared = [run for run, count in runs.items() if count > 1]
    assert len(shared) <= 10, shared  # six words in a row in two messages: next to none


def test_the_same_seed_gives_the_same_sample_and_another_another() -> None:
    chosen = template("text_classification")
    first, again, other = (
        make(chosen.read_sample(), task=task_type(chosen.task), scheme=scheme(chosen), seed=seed) for seed in (7, 7, 8)
    )
    assert first == again
    assert first.tasks != other.tasks


def test_what_is_planted_is_there(sample) -> None:  # type: ignore[no-untyped-def]
    tasks = {task["data"]["message_id"]: task for task in sample.tasks}
    said = {
        key: [one["result"][0]["value"]["choices"][0] for one in task["annotations"]] for key, task in tasks.items()
    }
    by_fault: dict[str, list[dict[str, str]]] = {}
    for item in sample.planted:
        by_fault.setdefault(item["fault"], []).append(item)
    assert all(set(said[item["key"]]) != {sample.truth[item["key"]]} for item in by_fault["wrong_label"])
    assert all(len(set(said[item["key"]])) == 1 for item in by_fault["wrong_label"])
    for item in by_fault["exact_duplicate"]:
        assert tasks[item["key"]]["data"]["text"] == tasks[item["other"]]["data"]["text"]
    for item in by_fault["near_duplicate"]:
        assert tasks[item["key"]]["data"]["text"] != tasks[item["other"]]["data"]["text"]
    for item in by_fault["leakage"]:
        assert tasks[item["other"]]["data"]["split"] == "test"
        assert tasks[item["key"]]["data"]["split"] == "train"
    assert all(not tasks[item["key"]]["data"]["text"].strip() for item in by_fault["empty_text"])
    assert all("<script>" in tasks[item["key"]]["data"]["text"] for item in by_fault["markup"])
    assert {item["key"] for item in by_fault["annotator"]} == {one.email for one in PROFILES if one.fault}
    keys = [item["key"] for item in sample.planted]
    assert len(keys) == len(set(keys))


def test_the_answer_is_not_in_the_data_that_annotators_and_models_see(sample) -> None:  # type: ignore[no-untyped-def]
    assert {name for task in sample.tasks for name in task["data"]} == {"message_id", "text", "split", *SLICES}
    labels = set(sample.truth.values())
    assert not any(label in json.dumps(task["data"]) for task, label in itertools.product(sample.tasks, labels))


def test_the_annotators_behave_as_their_profiles_say(sample) -> None:  # type: ignore[no-untyped-def]
    planted = {item["key"] for item in sample.planted if item["fault"] == "wrong_label"}
    right: dict[str, list[bool]] = {}
    for task in sample.tasks:
        key = task["data"]["message_id"]
        for one in task["annotations"]:
            if key not in planted:
                label = one["result"][0]["value"]["choices"][0]
                right.setdefault(one["completed_by"], []).append(label == sample.truth[key])
    accuracy = {name: sum(hits) / len(hits) for name, hits in right.items()}
    assert accuracy["ada@annotators.example"] > 0.93
    assert accuracy["cleo@annotators.example"] < 0.85
    assert accuracy["eve@annotators.example"] < accuracy["ben@annotators.example"]
