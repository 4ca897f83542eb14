"""Every template: complete, its sample right, and on a real Label Studio a round trip that loses and doubles nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from people import sign_up

from flows.checked import check_folder, place_for
from flows.place import Place, init, open_place, project_id
from flows.setting_up import blinded, import_file, setup
from flows.stages.source import parse_source
from flows.stages.source import sync as run_sync
from pipeline import config
from pipeline.config import LabelStudio
from pipeline.label_studio.connection import Connection, request
from pipeline.label_studio.label_config import read_controls
from pipeline.label_studio.listing import full_pages
from pipeline.label_studio.predictions import Prediction, predicted, push_predictions
from pipeline.label_studio.send_back import push_review_queue
from pipeline.label_studio.sync import read_mirror
from pipeline.reading.results import read_items
from pipeline.tasks import bind, known, task_type
from pipeline.templates import ROOT, Template, names, template
from pipeline.types import Scheme

KINDS = {
    "text_classification", "multi_label_classification", "named_entities", "instruction_response", "summarization",
    "translation", "code_generation", "chat", "pairwise_preference", "response_rating", "medical_entities",
    "legal_clauses", "creative_writing",
}  # fmt: skip
ANSWERED = 6  # items of each sample that the people of the round trip annotate
CARELESS = "given"  # the wrong answer of a planted fault


def scheme_of(chosen: Template) -> Scheme:
    return bind(
        task_type(chosen.task), read_controls(chosen.label_config), names=chosen.answer, fields=chosen.fields
    )


def record_of(row: dict[str, Any], chosen: Template) -> dict[str, Any]:
    return blinded({"data": row["data"]}, chosen.blind)


def read_back(answer: Any, record: dict[str, Any], chosen: Template) -> Any:
    """The answer after it was written in Label Studio's form and read again."""
    task, scheme = task_type(chosen.task), scheme_of(chosen)
    items, problems = read_items(task.to_result(answer, scheme, record), scheme.controls, record["data"])
    assert not problems, problems
    assert all(item.understood for item in items)
    return task.parse([item for item in items if item.control in scheme.answer], scheme, record)


def test_there_is_a_template_for_every_kind_of_work() -> None:
    assert set(names()) >= KINDS
    assert {template(name).task for name in names()} == set(known())
    assert {template(name).refines for name in names()} - {""} <= set(names())


@pytest.mark.parametrize("name", names())
def test_a_template_is_complete(name: str) -> None:
    chosen, scheme = template(name), scheme_of(template(name))
    rows = chosen.read_sample()
    assert scheme.answer == chosen.answer
    assert len(rows) >= 50
    assert all(set(chosen.slices) < set(row["data"]) for row in rows)
    assert len(chosen.guidelines.split()) >= 250, "an annotator cannot work from so few words"
    assert {file.name for file in (ROOT / name).iterdir()} == {
        "label_config.xml", "template.yaml", "guidelines.md", "sample.jsonl",
    }  # fmt: skip
    assert not re.search(r"\b[\w.]+@(?!example\.(com|org))[\w-]+\.\w+", chosen.sample.read_text(encoding="utf-8"))
    if scheme.control.labels:
        used = {label for row in rows for label in _labels(row["answer"])}
        assert used == set(scheme.control.labels)


def _labels(answer: Any) -> list[str]:
    if isinstance(answer, str):
        return [answer] if answer not in ("a", "b") else ["left", "right"]
    return [label for item in answer for label in (item["labels"] if isinstance(item, dict) else [item])]


@pytest.mark.parametrize("name", names())
def test_every_answer_of_a_sample_reads_back_as_it_is(name: str) -> None:
    chosen, task, scheme = template(name), task_type(template(name).task), scheme_of(template(name))
    for row in chosen.read_sample():
        record = record_of(row, chosen)
        assert isinstance(task.text(record["data"], scheme), str)
        assert read_back(row["answer"], record, chosen) == row["answer"]
        if CARELESS in row:
            assert row[CARELESS] != row["answer"]
            assert read_back(row[CARELESS], record, chosen) == row[CARELESS]


@pytest.mark.parametrize("name", sorted(set(names()) - {"text_classification"}))  # its faults are planted by pipeline/sample.py
def test_a_sample_has_faults_planted_and_each_says_what_is_wrong(name: str) -> None:
    rows = template(name).read_sample()
    faulty = [row for row in rows if row["fault"]]
    assert 8 <= len(faulty) <= 16
    assert len({row["fault"] for row in faulty}) >= 4
    assert all(row["why"].strip() for row in faulty)
    texts = [orjson.dumps(row["data"], option=orjson.OPT_SORT_KEYS) for row in rows if not row["fault"]]
    assert len(set(texts)) == len(texts), "a duplicate that is not planted"


@pytest.mark.parametrize("name", names())
def test_a_check_of_a_sample_runs_every_check_to_its_end(name: str, tmp_path: Path) -> None:
    chosen, task, scheme = template(name), task_type(template(name).task), scheme_of(template(name))
    tasks = []
    for number, row in enumerate(chosen.read_sample()[:80], start=1):
        record = record_of(row, chosen)
        given = [row["answer"], row["answer"], row.get(CARELESS, row["answer"])]
        annotations = [
            {"id": 10 * number + who, "completed_by": who, "result": task.to_result(answer, scheme, record), "lead_time": 20}
            for who, answer in enumerate(given, start=1)
        ]
        tasks.append({"id": number, **record, "annotations": annotations})
    file = tmp_path / "export.json"
    file.write_text(json.dumps(tasks))
    options: dict[str, Any] = {"label_config": None, "text_field": None, "slices": None, "bad_records": None}
    body = check_folder(place_for(tmp_path / "out", source=file, template=name, **options), hidden=True)
    assert body["counts"]["annotations"] == 3 * len(tasks)
    assert body["counts"]["quarantined"] == 0
    assert not [item for item in body["checks"] if item["status"] == "crashed"]
    assert "<script>" not in Path(body["report"]).read_text().split("<main", 1)[1].replace("</main>", "")


@pytest.fixture
def placed(label_studio: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Place:
    """A project made from the template, set up in Label Studio, with its sample imported."""
    monkeypatch.setenv("ASSAY_LABEL_STUDIO_TOKEN", label_studio.token)
    name = request.node.callspec.params["name"]
    made = init(tmp_path, name, name=f"{name} round trip")
    config.save(tmp_path, made.project.model_copy(update={"label_studio": LabelStudio(url=label_studio.url)}))
    setup(tmp_path)
    place = open_place(tmp_path)
    size = len(place.template.read_sample()[:60])
    rows = [{"data": row["data"]} for row in place.template.read_sample()[:size]]
    (tmp_path / "tasks.json").write_text(json.dumps(rows))
    assert import_file(tmp_path, tmp_path / "tasks.json") == {"created": size, "present": 0}
    assert import_file(tmp_path, tmp_path / "tasks.json") == {"created": 0, "present": size}
    return place


@pytest.mark.server
@pytest.mark.parametrize("name", names())
def test_a_round_trip_loses_nothing_and_doubles_nothing(name: str, placed: Place, label_studio: Connection) -> None:
    number, scheme, task = project_id(placed), placed.scheme(), placed.task
    people = sign_up(label_studio, "Ada", "Bea", "Cem")
    listed = [item for page in full_pages(label_studio, number, include=["id", "data", "meta"]) for item in page]
    rows = placed.template.read_sample()[: len(listed)]
    assert [item["data"] for item in listed] == [record_of(row, placed.template)["data"] for row in rows]
    said = {}
    for row, item in list(zip(rows, listed, strict=True))[:ANSWERED]:
        for person, (own, user) in people.items():
            answer = row.get(CARELESS, row["answer"]) if person == "Cem" else row["answer"]
            body = {"result": task.to_result(answer, scheme, item), "lead_time": 12.5}
            request(own, "POST", f"/api/tasks/{item['id']}/annotations/", json=body)
            said[item["id"], str(user)] = answer
    skipped = listed[ANSWERED]["id"]
    request(people["Ada"][0], "POST", f"/api/tasks/{skipped}/annotations/", json={"result": [], "was_cancelled": True})

    first = run_sync(placed)
    parsed = parse_source(placed, first)
    assert parsed.quarantine.empty, parsed.quarantine.to_dict("records")
    assert [orjson.loads(data) for data in parsed.examples["data"]] == [item["data"] for item in listed]
    given = parsed.annotations[~parsed.annotations["cancelled"]]
    read = {(row.example_id, row.annotator): orjson.loads(row.answer) for row in given.itertuples()}
    assert read == said
    assert len(given) == len(said)
    assert parsed.annotations[parsed.annotations["cancelled"]]["example_id"].tolist() == [skipped]

    suggestions = [
        Prediction(item["id"], task.to_result(row["answer"], scheme, item), 0.5)
        for row, item in list(zip(rows, listed, strict=True))[ANSWERED + 1 :]
        if row["answer"] not in ([], "")
    ]
    queue = [item["id"] for item in listed[:ANSWERED]][::-1]
    for created in (len(suggestions), 0):
        pushed = push_predictions(label_studio, number, model_version="m1", predictions=suggestions)
        assert pushed["created"] == created
        assert push_review_queue(label_studio, number, title="Look again", task_ids=queue)["tasks"] == ANSWERED
    assert set(predicted(label_studio, number, "m1").values()) == {1}
    assert len(predicted(label_studio, number, "m1")) == len(suggestions)
    shown = _prediction(label_studio, suggestions[0].task)
    assert [item["value"] for item in shown] == [item["value"] for item in suggestions[0].result]

    before = read_mirror(placed.store)
    assert run_sync(placed) == run_sync(placed) == first
    assert read_mirror(placed.store) == before
    assert import_file(placed.folder, placed.folder / "tasks.json") == {"created": 0, "present": len(listed)}


def _prediction(server: Connection, task: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = request(server, "GET", f"/api/tasks/{task}/")["predictions"][0]["result"]
    return found
