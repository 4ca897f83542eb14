"""From raw Label Studio JSON to tables: whatever cannot be read is named, and nothing is lost."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import SourceError
from pipeline.reading.exports import infer_controls, read_export
from pipeline.sources import choose_scheme, parse, require_answers
from pipeline.tasks import text_classification
from pipeline.types import Control, Parsed, Scheme

CONTROL = Control("label", "text", "Choices", "text", ("yes", "no"))
SCHEME = Scheme((CONTROL,), ("label",), ("text",))


def result(label: object, name: str = "label") -> list[dict[str, Any]]:
    return [{"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": [label]}}]


def task(number: int, label: object = "yes", **more: Any) -> dict[str, Any]:
    annotation = {"id": 10 * number, "completed_by": 1, "result": result(label), "lead_time": 2.0}
    return {"id": number, "data": {"text": f"text {number}"}, "annotations": [annotation], **more}


def read(tasks: list[dict[str, Any]], **options: Any) -> Parsed:
    return parse(tasks, task=text_classification, scheme=SCHEME, source="x.json", **options)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{not json", ["not JSON", "line 1"]),
        ('{"a": 1}', ["must be a list"]),
        ("[1, 2]", ["each an object"]),
        ("[]", ["no task", "empty"]),
        ('[{"id": 3, "text": "x"}]', ["task 3", "no `data` object"]),
        ('[{"id": 1, "data": {}, "project": 4}, {"id": 2, "data": {}, "project": 9}]', ["2 projects", "4, 9"]),
    ],
)
def test_a_file_that_is_no_export_is_named_with_its_fault(tmp_path: Path, body: str, words: list[str]) -> None:
    file = tmp_path / "e.json"
    file.write_text(body)
    with pytest.raises(SourceError) as caught:
        read_export(file)
    for word in [*words, str(file)]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({**task(7), "data": {"body": "x"}}, ["task 7", "'text'", "missing", "body"]),
        ({**task(7), "data": {"text": ["x"]}}, ["task 7", "list", "not text"]),
        (task(7, "maybe"), ["annotation 70 of task 7", "'maybe'", "yes, no"]),
        (task(7, 5), ["annotation 70 of task 7", "no list of choices"]),
        ({**task(7), "id": "seven"}, ["'seven'", "not a number"]),
        ({**task(7), "id": -7}, ["-7", "not a number that a task can have"]),
        ({**task(7), "id": 2**63}, [str(2**63), "not a number that a task can have"]),
    ],
)
def test_a_bad_record_is_an_error_that_names_it_or_goes_to_quarantine_whole(
    record: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(SourceError) as caught:
        read([task(1), record, task(2)], on_bad="fail")
    for word in [*words, "x.json", "bad_records"]:
        assert word in str(caught.value)
    parsed = read([task(1), record, task(2)])
    assert set(parsed.annotations["example_id"]) == {1, 2}
    assert len(parsed.quarantine) == 1
    kept = json.loads(parsed.quarantine["record"][0])
    assert kept in (record, record["annotations"][0])


def test_two_tasks_with_one_id_are_not_merged() -> None:
    with pytest.raises(SourceError, match="task 1: another task has the same id"):
        read([task(1), task(1)], on_bad="fail")
    parsed = read([task(1), task(1, "no")])
    assert parsed.annotations["answer"].tolist() == ['"yes"']
    assert parsed.quarantine["record_id"].tolist() == ["task 1"]


def test_two_labels_where_one_is_allowed_are_refused() -> None:
    both = task(1)
    both["annotations"][0]["result"] = result("yes") + result("no")
    with pytest.raises(SourceError, match="2 labels"):
        read([both], on_bad="fail")


def test_cancelled_and_empty_answers_and_other_controls_are_kept_but_are_no_answers() -> None:
    one = task(1)
    one["annotations"] += [
        {"id": 2, "completed_by": 2, "result": result("no"), "was_cancelled": True},
        {"id": 3, "completed_by": 3, "result": []},
        {"id": 4, "completed_by": {"id": 4, "email": "d@x"}, "result": result("other", name="mood"), "lead_time": -3},
    ]
    parsed = read([one])
    assert parsed.annotations["answer"].tolist().count("") == 3
    assert parsed.annotations["annotator"].tolist() == ["2", "3", "4", "1"]
    assert parsed.users == {"4": "d@x"}
    assert parsed.annotations["seconds"].isna().sum() == 3  # a negative time is no time


def test_nothing_to_check_is_said_in_one_sentence() -> None:
    with pytest.raises(SourceError, match="2 tasks but no annotation"):
        require_answers(read([{**task(1), "annotations": []}, {**task(2), "annotations": []}]), "x.json")


def test_another_projects_export_brings_its_own_labels_but_a_typo_does_not() -> None:
    def choose(tasks: list[dict[str, Any]], *fields: str) -> Scheme:
        inferred = infer_controls(tasks)
        return choose_scheme(task=text_classification, configured=SCHEME, inferred=inferred, fields=fields)

    assert choose([task(1), task(2, "no")]) == SCHEME
    assert choose([task(1), task(2, "Yes!")]) == SCHEME
    renamed = choose([{**task(1), "annotations": [{"result": result("yes", name="verdict")}]}])
    assert (renamed.answer, renamed.control.labels) == (("verdict",), ("yes", "no"))
    foreign = [
        {**task(n), "annotations": [{"result": result(label, name="intent")}]} for n, label in ((1, "b"), (2, "a"))
    ]
    found = choose(foreign, "body")
    assert (found.answer, found.fields) == (("intent",), ("body",))
    assert sorted(found.control.labels) == ["a", "b"]
    mixed = [*foreign, {**task(3), "annotations": [{"result": result("c", name="tone")}]}]
    with pytest.raises(SourceError, match=r"intent, tone.*--label-config"):
        choose(mixed)


@settings(max_examples=60, deadline=None)
@given(
    st.text(),
    st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.integers(), st.text(max_size=5)), max_size=3),
)
def test_any_text_goes_through_and_the_data_comes_back(text: str, more: dict[str, Any]) -> None:
    data = {**more, "text": text}
    parsed = read([{**task(1), "data": data}])
    assert parsed.examples["text"][0] == text
    assert json.loads(parsed.examples["data"][0]) == data


def test_a_lone_surrogate_is_shown_as_a_replacement_and_can_be_stored(tmp_path: Path) -> None:
    parsed = read([{**task(1), "data": {"text": "broken \ud83d here"}}])
    parsed.examples.to_parquet(tmp_path / "x.parquet")
    assert parsed.examples["text"][0] == "broken ? here"


@pytest.mark.parametrize("hostile", [None, 3, "x", {"a": 1}, [None, 3], [[]]])
def test_odd_shapes_inside_a_task_do_not_crash(hostile: Any) -> None:
    one = {**task(1), "annotations": hostile}
    assert read([one, task(2)]).examples["example_id"].tolist() == [1, 2]
    two = task(3)
    two["annotations"][0]["result"] = hostile
    assert read([two, task(2)]).examples["example_id"].tolist() == [2, 3]


def test_what_a_record_holds_beside_answers_is_counted_and_kept() -> None:
    one = task(1, drafts=[{}, {}], predictions=[{"id": 1}])
    box = {"from_name": "box", "to_name": "image", "type": "rectanglelabels", "id": "r1", "value": {"x": 1}}
    one["annotations"][0]["result"].append(box)
    parsed = read([one])
    assert parsed.counts == {"drafts": 2, "predictions": 1, "not_understood": 1, "incomplete": 0}
    assert not {"drafts", "predictions"} & read([task(1)]).counts.keys(), "not known is not none"
    kept = parsed.results[~parsed.results["understood"]].iloc[0]
    assert (kept["type"], kept["region"], json.loads(kept["value"])) == ("rectanglelabels", "r1", box)


def test_answers_of_deleted_accounts_are_two_peoples_on_one_task() -> None:
    one = task(1)
    one["annotations"] = [{"id": n, "completed_by": None, "result": result(label)} for n, label in ((1, "yes"), (2, "no"))]
    assert sorted(read([one]).annotations["annotator"]) == ["unknown", "unknown 2"]


def test_a_task_that_the_server_itself_cannot_give_is_in_the_quarantine() -> None:
    broken = [{"task_id": 9, "reason": "the server fails on it"}]
    parsed = read([task(1)], unreadable=broken)
    assert parsed.quarantine[["record_id", "reason"]].to_numpy().tolist() == [["task 9", "the server fails on it"]]
    with pytest.raises(SourceError, match="task 9"):
        read([task(1)], unreadable=broken, on_bad="fail")
