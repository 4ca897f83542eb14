"""Setup, import, sync and the ways back, against a real Label Studio."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ConfigError, LabelStudioError, Missing, SourceError, Unauthorized
from pipeline.label_studio.connection import Connection, request
from pipeline.label_studio.label_config import read_controls, write_choices
from pipeline.label_studio.listing import full_pages
from pipeline.label_studio.predictions import Prediction, push_predictions
from pipeline.label_studio.project import ensure_users, import_tasks, project_facts, setup_project, users
from pipeline.label_studio.segments import SEGMENTS
from pipeline.label_studio.send_back import MOST, push_review_queue
from pipeline.label_studio.sync import read_mirror, sync
from pipeline.store import Store

pytestmark = pytest.mark.server

LABELS = ["refund", "delivery", "R&D <questions>"]
PEOPLE = [
    {"email": f"{name.lower()}@example.com", "first_name": name, "last_name": "Ex"}
    for name in ("Ada", "Bea", "Cem", "Dan", "Eva")
]


def answer(user: int, label: str) -> dict[str, Any]:
    result = {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}
    return {"completed_by": user, "result": [result], "lead_time": 2.5}


@dataclass(frozen=True)
class Filled:
    connection: Connection
    project: int
    annotators: list[int]
    tasks: list[dict[str, Any]]


@pytest.fixture
def filled(label_studio: Connection, request: pytest.FixtureRequest) -> Filled:
    """A project of 12 tasks (two with equal data), each answered by five people."""
    title = request.node.name[5:50]
    project = setup_project(
        label_studio, title=title, label_config=write_choices(LABELS), guidelines="Be kind.\n<b>"
    )
    ids = list(ensure_users(label_studio, PEOPLE).values())
    texts = [f"Where is parcel {number}? 👩‍🚀\r\n<script>" for number in range(11)]
    tasks = [
        {"data": {"text": text}, "annotations": [answer(user, LABELS[number % 3]) for user in ids]}
        for number, text in enumerate([*texts, texts[0]])
    ]
    import_tasks(label_studio, project, tasks)
    return Filled(label_studio, project, ids, tasks)


def test_what_was_imported_comes_back_as_it_was_with_its_annotators(filled: Filled, tmp_path: Path) -> None:
    store = Store(tmp_path)
    synced = sync(store, filled.connection, filled.project)
    mirror = read_mirror(store)
    assert (synced["number"], synced["tasks"], synced["annotations"], synced["added"]) == (1, 12, 60, 12)
    assert [task["data"] for task in mirror.tasks] == [task["data"] for task in filled.tasks]
    assert [task["id"] for task in mirror.tasks] == sorted(task["id"] for task in mirror.tasks)
    answers = [answer for task in mirror.tasks for answer in task["annotations"]]
    assert [item["completed_by"] for item in answers] == filled.annotators * 12
    assert not any(item["ground_truth"] for item in answers)
    assert all(item["lead_time"] == 2.5 and item["created_at"] and item["updated_at"] for item in answers)
    assert answers[-1]["result"][0]["value"] == {"choices": [LABELS[11 % 3]]}
    assert mirror.users == {
        str(user): f"{person['first_name']} Ex"
        for user, person in zip(filled.annotators, PEOPLE, strict=True)
    }
    (control,) = read_controls(mirror.label_config)
    assert control.labels == tuple(LABELS)
    assert (mirror.project_id, mirror.url) == (filled.project, filled.connection.url)


def test_a_second_import_and_a_second_sync_do_nothing(filled: Filled, tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = sync(store, filled.connection, filled.project)
    before = copy.deepcopy(filled.tasks)
    assert import_tasks(filled.connection, filled.project, filled.tasks) == {"created": 0, "present": 12}
    assert filled.tasks == before
    again = sync(store, filled.connection, filled.project)
    assert (again["number"], again["new"]) == (first["number"], False)
    assert (again["added"], again["changed"], again["deleted"]) == (0, 0, 0)
    assert len(store.entries("mirror")) == 1
    more = [*filled.tasks, {"data": {"text": "another"}}, {"data": {"text": "another"}, "key": "row 14"}]
    assert import_tasks(filled.connection, filled.project, more) == {"created": 2, "present": 12}
    assert import_tasks(filled.connection, filled.project, more) == {"created": 0, "present": 14}


def test_sync_sees_exactly_the_changed_annotation_and_the_deleted_task_and_forgets_nothing(
    filled: Filled, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    sync(store, filled.connection, filled.project)
    old = read_mirror(store)
    changed, deleted = old.tasks[3], old.tasks[7]
    annotation = changed["annotations"][2]
    new_result = answer(
        0, "delivery" if LABELS[0] == annotation["result"][0]["value"]["choices"][0] else LABELS[0]
    )["result"]
    request(filled.connection, "PATCH", f"/api/annotations/{annotation['id']}/", json={"result": new_result})
    request(filled.connection, "DELETE", f"/api/tasks/{deleted['id']}/")

    synced = sync(store, filled.connection, filled.project)
    assert (synced["number"], synced["new"]) == (2, True)
    assert (synced["added"], synced["changed"], synced["deleted"]) == (0, 1, 1)
    now = read_mirror(store)
    assert [task["id"] for task in now.tasks] == [
        task["id"] for task in old.tasks if task["id"] != deleted["id"]
    ]
    differing = [task["id"] for task in now.tasks if task not in old.tasks]
    assert differing == [changed["id"]]
    mended = next(task for task in now.tasks if task["id"] == changed["id"])
    assert mended["annotations"][2]["result"] == new_result
    assert [item["completed_by"] for item in mended["annotations"]] == filled.annotators

    assert read_mirror(store, 1) == old
    rows = [
        row
        for file in sorted(tmp_path.glob(f"{SEGMENTS}/*/*.parquet"))
        for row in pq.read_table(file).to_pylist()
    ]
    kept = [orjson.loads(row["raw"]) for row in rows if row["task_id"] == changed["id"]]
    assert sorted(orjson.dumps(item) for item in kept) == sorted(
        orjson.dumps(item) for item in (changed, mended)
    )
    assert [row["deleted"] for row in rows if row["task_id"] == deleted["id"]].count(True) == 1
    assert sync(store, filled.connection, filled.project)["new"] is False


def test_a_removed_annotation_a_new_task_and_a_new_configuration_each_make_an_entry(
    filled: Filled, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    sync(store, filled.connection, filled.project)
    gone = read_mirror(store).tasks[0]["annotations"][0]["id"]
    request(filled.connection, "DELETE", f"/api/annotations/{gone}/")
    assert sync(store, filled.connection, filled.project)["changed"] == 1
    assert gone not in [item["id"] for item in read_mirror(store).tasks[0]["annotations"]]
    import_tasks(filled.connection, filled.project, [{"data": {"text": "new"}}])
    assert sync(store, filled.connection, filled.project)["added"] == 1
    wider = write_choices([*LABELS, "other"])
    title = project_facts(filled.connection, filled.project)["title"]
    assert setup_project(filled.connection, title=title, label_config=wider) == filled.project
    synced = sync(store, filled.connection, filled.project)
    assert (synced["number"], synced["changed"]) == (4, 0)
    assert read_mirror(store).label_config == wider.strip()
    assert "other" not in read_mirror(store, 3).label_config


def test_the_watermark_can_be_lost(filled: Filled, tmp_path: Path) -> None:
    store = Store(tmp_path)
    sync(store, filled.connection, filled.project)
    (tmp_path / "cache" / "mirror-watermark.json").write_text("broken")
    assert sync(store, filled.connection, filled.project)["new"] is False
    (tmp_path / "cache" / "mirror-watermark.json").unlink()
    assert sync(store, filled.connection, filled.project)["new"] is False


def test_predictions_pushed_twice_are_there_once_and_shown(filled: Filled, tmp_path: Path) -> None:
    store = Store(tmp_path)
    sync(store, filled.connection, filled.project)
    mirror = read_mirror(store)
    rows = [Prediction(task["id"], answer(0, LABELS[2])["result"], 0.75) for task in mirror.tasks[:5]]

    def push(version: str) -> dict[str, int]:
        return push_predictions(filled.connection, filled.project, model_version=version, predictions=rows)

    assert push("assay-1") == {"created": 5, "present": 0}
    assert push("assay-1") == {"created": 0, "present": 5}
    rows.append(Prediction(mirror.tasks[5]["id"], answer(0, LABELS[0])["result"], 1.0))
    assert push("assay-1") == {"created": 1, "present": 5}
    assert push("assay-12") == {"created": 6, "present": 0}  # a longer name that holds the other
    assert push("assay-1") == {"created": 0, "present": 6}
    facts = request(filled.connection, "GET", f"/api/projects/{filled.project}/")
    assert facts["model_version"] == "assay-1"
    task = request(filled.connection, "GET", f"/api/tasks/{mirror.tasks[0]['id']}/")
    first = next(item for item in task["predictions"] if item["model_version"] == "assay-1")
    assert (first["score"], first["result"][0]["value"]) == (0.75, {"choices": [LABELS[2]]})
    assert sync(store, filled.connection, filled.project)["new"] is False
    for result, score in (([], 0.5), (rows[0].result, 1.5), (rows[0].result, float("nan"))):
        with pytest.raises(SourceError, match=f"task {mirror.tasks[0]['id']}"):
            push_predictions(
                filled.connection, filled.project, model_version="x",
                predictions=[Prediction(mirror.tasks[0]["id"], result, score)],
            )  # fmt: skip


def listed(connection: Connection, view: int) -> list[int]:
    tasks = request(connection, "GET", "/api/tasks/", params={"view": view, "page_size": 100})["tasks"]
    return [task["id"] for task in tasks]


# What the Data Manager's page takes (its own error message, 1.23.2). Another operator in a tab keeps the page from loading.
SHOWN = {
    "equal", "not_equal", "less", "greater", "less_or_equal", "greater_or_equal", "in", "not_in", "empty", "contains",
    "not_contains", "regex",
}  # fmt: skip


def test_the_queue_can_be_shown_by_the_page_beside_all_tasks_and_is_a_days_work_at_most(filled: Filled) -> None:
    tasks = range(1, MOST + 31)
    made = push_review_queue(filled.connection, filled.project, title="Long", task_ids=tasks)
    assert made["waiting"] == 30
    views = request(filled.connection, "GET", "/api/dm/views/", params={"project": filled.project})
    data = {view["data"]["title"]: view["data"] for view in views}
    assert next(iter(data)) == "Default"
    items = data["Long"]["filters"]["items"]
    assert len(items) == MOST
    assert {item["operator"] for item in items} <= SHOWN
    assert all(isinstance(item["value"], int) for item in items)
    columns = request(filled.connection, "GET", "/api/dm/columns/", params={"project": filled.project})["columns"]
    assert set(data["Long"]["hiddenColumns"]["explore"]) <= {f"tasks:{column['id']}" for column in columns}
    nobody = push_review_queue(filled.connection, filled.project, title="Long", task_ids=[])
    assert (nobody["tasks"], nobody["waiting"]) == (0, 0)


def test_the_review_queue_lists_exactly_its_tasks_in_their_order(filled: Filled, tmp_path: Path) -> None:
    store = Store(tmp_path)
    sync(store, filled.connection, filled.project)
    ids = [task["id"] for task in read_mirror(store).tasks]
    queue = [ids[8], ids[2], ids[11], ids[0], ids[5]]
    first = push_review_queue(filled.connection, filled.project, title="Doubts", task_ids=queue)
    assert first["tasks"] == 5
    assert listed(filled.connection, first["view"]) == queue
    assert str(first["view"]) in first["url"]

    for queue in ([ids[5], ids[8], ids[1], ids[2]], [ids[8], ids[1], ids[2]], ids[::-1], []):
        again = push_review_queue(filled.connection, filled.project, title="Doubts", task_ids=queue)
        assert (again["view"], again["tasks"]) == (first["view"], len(queue))
        assert listed(filled.connection, first["view"]) == queue
    views = request(filled.connection, "GET", "/api/dm/views/", params={"project": filled.project})
    assert [view["data"]["title"] for view in views].count("Doubts") == 1

    assert sync(store, filled.connection, filled.project)["new"] is False  # a rank is no change of the task
    assert (
        import_tasks(filled.connection, filled.project, filled.tasks)["created"] == 0
    )  # and its key is still there
    gone = ids[4]
    request(filled.connection, "DELETE", f"/api/tasks/{gone}/")
    left = push_review_queue(filled.connection, filled.project, title="Doubts", task_ids=[gone, ids[3]])
    assert left["tasks"] == 1


def test_labels_in_use_cannot_be_dropped_by_accident(filled: Filled) -> None:
    title = project_facts(filled.connection, filled.project)["title"]
    fewer = write_choices(["refund", "R&D <questions>"])
    with pytest.raises(ConfigError, match=r"'delivery' \(20 times\)"):
        setup_project(filled.connection, title=title, label_config=fewer)
    assert (
        setup_project(filled.connection, title=title, label_config=fewer, removing=["delivery"])
        == filled.project
    )
    assert read_controls(project_facts(filled.connection, filled.project)["label_config"])[0].labels == (
        "refund",
        "R&D <questions>",
    )


def test_people_are_made_once_and_shown_by_name(label_studio: Connection) -> None:
    first = ensure_users(label_studio, PEOPLE)
    assert ensure_users(label_studio, [*PEOPLE, {"email": "ADA@example.com"}]) == {
        **first,
        "ADA@example.com": first["ada@example.com"],
    }
    names = users(label_studio)
    assert names[str(first["eva@example.com"])] == "Eva Ex"


def test_an_unknown_project_is_answered_with_the_known_ones(filled: Filled, tmp_path: Path) -> None:
    with pytest.raises(LabelStudioError, match=rf"no project 987654; its projects: .*{filled.project} \("):
        sync(Store(tmp_path), filled.connection, 987654)
    assert not store_files(tmp_path)


def test_a_wrong_token_is_named_but_not_shown(label_studio: Connection, tmp_path: Path) -> None:
    wrong = Connection(label_studio.url, "0" * 40)
    for call in (lambda: sync(Store(tmp_path), wrong, 1), lambda: ensure_users(wrong, PEOPLE)):
        with pytest.raises(Unauthorized, match="ASSAY_LABEL_STUDIO_TOKEN") as caught:
            call()
        assert wrong.token not in str(caught.value)
    with pytest.raises(Unauthorized, match="ASSAY_LABEL_STUDIO_TOKEN"):
        setup_project(wrong, title="never made", label_config=write_choices(LABELS), project_id=None)
    assert not store_files(tmp_path)


def test_a_personal_access_token_works_like_a_legacy_one(
    label_studio: Connection, filled: Filled, tmp_path: Path
) -> None:
    personal = request(label_studio, "POST", "/api/token/")["token"]
    connection = Connection(label_studio.url, f" {personal}\n")
    assert sync(Store(tmp_path), connection, filled.project)["tasks"] == 12
    title = project_facts(connection, filled.project)["title"]
    assert setup_project(connection, title=title, label_config=write_choices(LABELS)) == filled.project
    broken = Connection(label_studio.url, personal[:-3] + "abc")
    with pytest.raises(Unauthorized):
        project_facts(broken, filled.project)


def test_a_mirror_keeps_to_its_project(filled: Filled, tmp_path: Path) -> None:
    store = Store(tmp_path)
    sync(store, filled.connection, filled.project)
    other = setup_project(filled.connection, title="another project", label_config=write_choices(LABELS))
    with pytest.raises(SourceError, match="holds project"):
        sync(store, filled.connection, other)
    assert len(store.entries("mirror")) == 1
    with pytest.raises(Missing, match="no entry 7"):
        read_mirror(store, 7)


def test_what_cannot_be_sent_is_refused_before_anything_is_sent(filled: Filled) -> None:
    for bad, words in (({"data": {"text": "\ud83d"}}, "number 2"), ({"text": "flat"}, "no `data`")):
        with pytest.raises(SourceError, match=words):
            import_tasks(filled.connection, filled.project, [{"data": {"text": "fine"}}, bad])
    assert project_facts(filled.connection, filled.project)["task_number"] == 12


def test_a_task_that_breaks_label_studio_itself_is_named(filled: Filled, tmp_path: Path) -> None:
    import httpx

    raw = b'[{"data": {"text": "half a pair: \\ud83d"}}]'  # what another client may send
    headers = {"Authorization": f"Token {filled.connection.token}", "Content-Type": "application/json"}
    url = f"{filled.connection.url}/api/projects/{filled.project}/import?return_task_ids=true"
    poisoned = httpx.post(url, content=raw, headers=headers, trust_env=False).json()["task_ids"][0]
    with pytest.raises(SourceError, match=f"task {poisoned} "):
        list(full_pages(filled.connection, filled.project, include=["id", "data"]))
    synced = sync(Store(tmp_path), filled.connection, filled.project)
    assert (synced["tasks"], [item["task_id"] for item in synced["unreadable"]]) == (13, [poisoned])
    request(filled.connection, "DELETE", f"/api/tasks/{poisoned}/")
    synced = sync(Store(tmp_path), filled.connection, filled.project)
    assert (synced["tasks"], synced["unreadable"]) == (12, [])


def store_files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]
