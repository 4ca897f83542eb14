"""Ground truth: how it judges annotators, and how it gets into a real Label Studio once and no more."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from corpora import LABELS, annotations_table, answer_all, careful, examples_table
from hypothesis import given
from hypothesis import strategies as st

from flows.place import Place, open_place
from flows.stages import source, truth
from pipeline import reviewed
from pipeline.config import Data, LabelStudio, Project, save
from pipeline.consensus.build import build, latest_answers
from pipeline.consensus.truth import judged, truths
from pipeline.errors import SourceError
from pipeline.label_studio.connection import Connection, request
from pipeline.label_studio.project import ensure_users, import_tasks
from pipeline.label_studio.truth import Truth, push_truth
from pipeline.types import ANNOTATOR_COLUMNS

LETTERS = ("a", "b", "c")


def marked(rows: list[tuple[int, str, str]], gold: set[int]) -> pd.DataFrame:
    """Annotations (example, annotator, label); those at the places in `gold` are ground truth."""
    table = annotations_table([(*row, 5.0) for row in rows])
    return table.assign(ground_truth=[place in gold for place in range(len(rows))])


def people(table: pd.DataFrame, labels: tuple[str, ...] = LETTERS) -> pd.DataFrame:
    examples = examples_table(["x"] * int(table["example_id"].max()))
    return build(table, examples, labels=labels).annotators.set_index("annotator")


def test_annotators_are_judged_by_ground_truth_and_whoever_gave_it_is_not_judged_by_himself() -> None:
    rows = [(1, "ada", "a"), (1, "ben", "b"), (1, "cem", "b"), (2, "ada", "b"), (2, "ben", "b"), (3, "ben", "c")]
    table = people(marked(rows, {0}))
    assert tuple(table.reset_index().columns) == ANNOTATOR_COLUMNS
    assert table["gold"].to_dict() == {"ada": 0, "ben": 1, "cem": 1}
    assert np.isnan(table.loc["ada", "gold_accuracy"])
    assert table.loc["ben", "gold_accuracy"] == 0
    assert people(marked(rows, set()))["gold"].sum() == 0


def test_ground_truth_counts_for_answers_of_any_kind() -> None:
    table = annotations_table([(1, "ada", "x", 5.0), (1, "ben", "y", 5.0), (2, "ada", "z", 5.0)])
    table = table.assign(ground_truth=[True, False, False])
    found = build(table, examples_table(["one", "two"]), labels=()).annotators.set_index("annotator")
    assert (found.loc["ben", "gold"], found.loc["ben", "gold_accuracy"]) == (1, 0.0)


def test_a_careful_annotator_against_a_wrong_majority_is_rehabilitated_by_ground_truth() -> None:
    random = np.random.default_rng(3)
    rows = []
    for example in range(1, 61):
        right = LETTERS[random.integers(3)]
        wrong = LETTERS[(LETTERS.index(right) + 1) % 3]
        rows += [(example, "ada", right), (example, "ben", wrong), (example, "cem", wrong)]
        rows.append((example, "gold", right))
    without = people(marked([row for row in rows if row[1] != "gold"], set()))
    table = people(marked(rows, {place for place, row in enumerate(rows) if row[1] == "gold"}))
    assert without.loc["ada", "quality"] < 0.5 < table.loc["ada", "quality"]
    assert table.loc["ada", "gold_accuracy"] == 1
    assert table.loc["ben", "quality"] < 0.1
    assert table.loc["gold", "gold"] == 0


def test_the_accuracy_against_ground_truth_is_near_the_planted_one() -> None:
    examples = examples_table([f"text {number}" for number in range(400)])
    random = np.random.default_rng(0)
    right = [LABELS[number] for number in random.integers(len(LABELS), size=400)]
    crew = {name: (careful(accuracy), 5.0) for name, accuracy in (("ada", 0.95), ("ben", 0.7), ("cem", 0.5))}
    table = answer_all(right, examples, crew, seed=1)
    truth_rows = annotations_table([(number + 1, "gold", right[number], 5.0) for number in range(400)])
    truth_rows = truth_rows.assign(ground_truth=True, annotation_id=truth_rows["annotation_id"] + len(table))
    both = pd.concat([table, truth_rows], ignore_index=True)
    found = build(both, examples, labels=LABELS).annotators.set_index("annotator")
    for name, accuracy in (("ada", 0.95), ("ben", 0.7), ("cem", 0.5)):
        assert found.loc[name, "gold"] == 400
        assert abs(found.loc[name, "gold_accuracy"] - accuracy) < 0.07
        assert found.loc[name, "quality_low"] <= accuracy <= found.loc[name, "quality_high"]


ROWS = st.tuples(st.integers(1, 6), st.sampled_from(["ada", "ben", "cem"]), st.sampled_from(LETTERS))


@given(st.lists(ROWS, min_size=1, max_size=25), st.data())
def test_every_answer_beside_the_only_ground_truth_is_judged_once(
    rows: list[tuple[int, str, str]], data: st.DataObject
) -> None:
    gold = set(data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=6)))
    table = marked(rows, gold)
    found = truths(table)
    if len(gold) == len(rows):
        assert found.empty  # all marked: Label Studio's own default, which says nothing
        return
    sizes = table[table["ground_truth"]].groupby("example_id").size()
    assert set(found["example_id"]) == set(sizes[sizes == 1].index)
    answers = latest_answers(table)
    by = judged(answers, found)
    assert not by.duplicated(["example_id", "annotator"]).any()
    assert set(by["example_id"]) <= set(found["example_id"])
    beside = answers[answers["example_id"].isin(found["example_id"])]
    assert len(by) == len(beside) - int(beside["annotation_id"].isin(found["annotation_id"]).sum())


# --- a file of answers


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", 'example_id,answer\n1,refund\n2,"""delivery"""\n'),
        ("t.jsonl", '{"example_id": 1, "answer": "refund"}\n{"example_id": 2, "answer": "delivery"}\n'),
        ("t.json", '[{"example_id": 1, "answer": "refund"}, {"example_id": 2, "answer": "delivery"}]'),
    ],
)
def test_a_file_of_answers_is_read_in_each_form(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert truth._read(tmp_path / name) == {1: '"refund"', 2: '"delivery"'}


def test_a_table_that_a_check_wrote_is_read_as_it_is_whatever_the_kind_of_answer(tmp_path: Path) -> None:
    answers = {1: '"Dear Ada,"', 2: '["noise","staff"]', 3: '{"accuracy":4}'}
    pd.DataFrame(answers.items(), columns=["example_id", "answer"]).to_parquet(tmp_path / "t.parquet")
    assert truth._read(tmp_path / "t.parquet") == answers


def test_a_line_of_answers_ends_where_json_lines_end_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"example_id": 1, "answer": "two\u2028parts\x85"}\n', encoding="utf-8")
    assert truth._read(tmp_path / "t.jsonl") == {1: '"two\u2028parts\x85"'}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("t.txt", "", "csv, json, jsonl, parquet"),
        ("t.csv", "id,answer\n1,a\n", "row 1"),
        (
            "t.jsonl",
            '{"example_id": 1, "answer": "a"}\n{"example_id": 1, "answer": "b"}\n',
            "two answers for example 1",
        ),
        ("t.json", "{}", "list"),
        ("t.jsonl", "{", "cannot be read"),
    ],
)
def test_a_file_that_does_not_fit_is_answered_in_one_sentence(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(SourceError, match=words):
        truth._read(tmp_path / name)


# --- on a real server


@pytest.fixture
def place(
    label_studio: Connection, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Place:
    """Eight messages; Ada says order_status to all, Ben cancel_order to the first four, Cem billing_payment to the first."""
    from flows.setting_up import setup

    monkeypatch.setenv("ASSAY_LABEL_STUDIO_TOKEN", label_studio.token)
    name = request.node.name[5:50].strip("_")
    save(tmp_path, Project(name=name, label_studio=LabelStudio(url=label_studio.url), data=Data(text="text")))
    project = setup(tmp_path)["project"]
    crew = [{"email": f"{who}@truth.example.com", "first_name": who} for who in ("Ada", "Ben", "Cem")]
    ada, ben, cem = ensure_users(label_studio, crew).values()
    said = [[(ada, "order_status"), *([(ben, "cancel_order")] if n < 4 else []), *([(cem, "billing_payment")] if n < 1 else [])]
            for n in range(8)]  # fmt: skip
    tasks = [
        {"data": {"text": f"message {n}", "channel": "chat", "region": "north", "plan": "guest"},
         "annotations": [{"completed_by": who, "result": chosen(label), "lead_time": 4.0} for who, label in said[n]]}
        for n in range(8)
    ]  # fmt: skip
    import_tasks(label_studio, project, tasks)
    return open_place(tmp_path)


def chosen(label: str) -> list[dict[str, Any]]:
    return [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}]


def tables(place: Place) -> pd.DataFrame:
    return source.parse_source(place, source.sync(place)).annotations


def told(place: Place, answers: dict[int, str]) -> Path:
    file = place.folder / "answers.jsonl"
    file.write_text(
        "".join(json.dumps({"example_id": task, "answer": label}) + "\n" for task, label in answers.items())
    )
    return file


@pytest.mark.server
def test_an_answer_that_somebody_gave_is_marked_and_another_is_written_and_a_second_push_does_nothing(
    place: Place,
) -> None:
    before = tables(place)
    ids = sorted(before["example_id"].unique().tolist())
    file = told(place, {ids[0]: "cancel_order", ids[5]: "damaged_item"})
    assert truth.push(place, file) == {
        "marked": 1,
        "created": 1,
        "present": 0,
        "gone": 0,
        "reviewed": 0,
        "from_file": 2,
    }
    after = tables(place)
    gold = truths(after).set_index("example_id")["answer"].to_dict()
    assert gold == {ids[0]: '"cancel_order"', ids[5]: '"damaged_item"'}
    assert len(after) == len(before) + 1
    again = truth.push(place, file)
    assert (again["marked"], again["created"], again["present"]) == (0, 0, 2)
    assert tables(place).equals(after)
    moved = told(place, {ids[0]: "billing_payment"})
    assert truth.push(place, moved)["marked"] == 1
    now = tables(place)
    assert truths(now).set_index("example_id")["answer"].to_dict()[ids[0]] == '"billing_payment"'
    assert now.loc[now["example_id"] == ids[0], "ground_truth"].sum() == 1


@pytest.mark.server
def test_a_reviewed_answer_becomes_ground_truth_and_the_reviewers_own_annotation_is_the_one_marked(
    place: Place, label_studio: Connection
) -> None:
    before = tables(place)
    example = int(before["example_id"].min())
    item = {"task_id": example, "check": "consensus", "checks": ["consensus"], "reason": "", "suggestion": "",
            "answer": '"order_status"', "annotations": reviewed.state_of(before, [example])[example]}  # fmt: skip
    place.store.append(reviewed.LOG, {"tasks": [item], "tabs": []}, after=0)
    body = {"result": chosen("cancel_order"), "lead_time": 9.0}
    own = request(label_studio, "POST", f"/api/tasks/{example}/annotations/", json=body)["id"]
    assert truth.push(place)["marked"] == 1
    (row,) = truths(tables(place)).to_dict("records")
    assert (row["annotation_id"], row["answer"]) == (own, '"cancel_order"')
    assert truth.push(place)["present"] == 1  # the mark alone is no second review
    body = truth.status(place)
    assert (body["ground_truth"], body["doubted"]) == (1, 1)
    assert {person["name"]: person["accuracy"]["value"] for person in body["annotators"]} == {
        "Ada": 0.0,
        "Ben": 1.0,
        "Cem": 0.0,
    }
    assert all(person["undoubted"] is None for person in body["annotators"])


@pytest.mark.server
def test_status_gives_each_annotators_accuracy_with_its_interval_and_the_commands_print_it(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.cli import run

    ids = sorted(tables(place)["example_id"].unique().tolist())
    file = told(place, {task: "order_status" if n % 2 else "cancel_order" for n, task in enumerate(ids)})
    assert run(["truth", "push", str(place.folder), "--file", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["marked"] == 6
    assert run(["truth", "status", str(place.folder), "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["ground_truth"] == 8
    # Ben's annotations are the ground truth on examples 1 and 3, Ada's on 2, 4, 6, 8; 5 and 7 were written.
    rates = {person["name"]: (person["gold"], person["accuracy"]["value"]) for person in body["annotators"]}
    assert rates == {"Ada": (4, 0.0), "Ben": (2, 0.0), "Cem": (1, 0.0)}
    low, high = body["annotators"][0]["accuracy"]["low"], body["annotators"][0]["accuracy"]["high"]
    assert low == 0
    assert 0.4 < high < 0.8
    assert run(["truth", "status", str(place.folder)]) == 0
    assert "Cem" in capsys.readouterr().out


@pytest.mark.server
@pytest.mark.parametrize(
    ("answer", "words"), [("banana", "banana"), (["order_status"], "order_status"), (None, "null")]
)
def test_an_answer_that_the_project_does_not_know_stops_all_before_anything_is_sent(
    place: Place, answer: Any, words: str
) -> None:
    before = tables(place)
    ids = sorted(before["example_id"].unique().tolist())
    with pytest.raises(SourceError, match=words):
        truth.push(place, told(place, {ids[0]: "cancel_order", ids[1]: answer}))
    with pytest.raises(SourceError, match="987654 is not a task"):
        truth.push(place, told(place, {ids[0]: "cancel_order", 987654: "cancel_order"}))
    assert tables(place).equals(before)


@contextmanager
def forgetful(target: str) -> Iterator[tuple[str, list[str]]]:
    """The address of a proxy that passes each request on and loses the reply to every write; and the writes."""
    writes: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {
                name: value for name, value in self.headers.items() if name.lower() in ("authorization", "content-type")
            }
            answer = httpx.request(
                self.command, target + self.path, content=body, headers=headers, timeout=60, trust_env=False
            )
            if self.command != "GET":
                writes.append(f"{self.command} {self.path}")
                self.close_connection = True
                return
            self.send_response(answer.status_code)
            self.send_header("content-type", answer.headers.get("content-type", "application/json"))
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PATCH = pass_on

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", writes
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.server
def test_nothing_is_sent_twice_after_a_lost_reply(place: Place, label_studio: Connection) -> None:
    before = tables(place)
    ids = sorted(before["example_id"].unique().tolist())
    mark = int(before.loc[before["example_id"] == ids[0], "annotation_id"].max())
    wanted = [Truth(ids[0], [], (mark,)), Truth(ids[6], chosen("damaged_item"))]
    assert place.project.label_studio is not None
    project = place.project.label_studio.project
    assert project is not None
    with forgetful(label_studio.url) as (address, writes):
        sent = push_truth(Connection(address, label_studio.token), project, wanted)
    assert (sent["marked"], sent["created"]) == (1, 1)
    assert len(writes) == 2
    after = tables(place)
    assert len(after) == len(before) + 1
    assert set(truths(after)["example_id"]) == {ids[0], ids[6]}
    request(label_studio, "DELETE", f"/api/tasks/{ids[7]}/")
    gone = push_truth(label_studio, project, [*wanted, Truth(ids[7], chosen("damaged_item"))])
    assert gone == {"marked": 0, "created": 0, "present": 2, "gone": 1}


@pytest.mark.server
def test_a_preference_is_written_on_the_side_on_which_the_response_was_shown(
    label_studio: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.place import init
    from flows.setting_up import import_file, setup

    monkeypatch.setenv("ASSAY_LABEL_STUDIO_TOKEN", label_studio.token)
    init(tmp_path, "pairwise_preference", name=f"sides {tmp_path.name}"[-40:], url=label_studio.url)
    project = setup(tmp_path)["project"]
    import_file(tmp_path, None)
    params = {"project": project, "page_size": 100, "fields": "all"}
    listed = request(label_studio, "GET", "/api/tasks/", params=params)["tasks"]
    left = {task["id"]: task["meta"]["assay_left"] for task in listed}
    assert set(left.values()) == {"a", "b"}
    tie = [{"from_name": "preference", "to_name": "prompt", "type": "choices", "value": {"choices": ["tie"]}}]
    request(label_studio, "POST", f"/api/tasks/{listed[0]['id']}/annotations/", json={"result": tie})
    asked = {next(task for task, side in left.items() if side == shown): "a" for shown in "ab"}
    opened = open_place(tmp_path)
    assert truth.push(opened, told(opened, asked))["created"] == 2
    stored = {task: request(label_studio, "GET", f"/api/tasks/{task}/")["annotations"][-1]["result"] for task in asked}
    shown = {left[task]: result[0]["value"]["choices"] for task, result in stored.items()}
    assert shown == {"a": ["left"], "b": ["right"]}
    gold = truths(tables(opened)).set_index("example_id")["answer"].to_dict()
    assert gold == dict.fromkeys(asked, '"a"')
