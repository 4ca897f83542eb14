"""The review queue on a real Label Studio: pushed, answered by real people in its own label stream, and taken into the next
version."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pytest
from people import sign_up

from flows.place import Place, open_place
from flows.stages import agreeing, checking, evidence, releasing, reviewing, source
from pipeline import config, reviewed
from pipeline.config import LabelStudio, Project, Review, save
from pipeline.errors import Missing
from pipeline.label_studio.connection import Connection, _client, request
from pipeline.label_studio.project import import_tasks
from pipeline.label_studio.send_back import REASON, SUGGESTION

pytestmark = pytest.mark.server

SIZE, WRONG, TIED = 120, 6, 4


@dataclass(frozen=True)
class World:
    place: Place
    connection: Connection
    project: int
    people: dict[str, tuple[Connection, int]]
    truth: dict[int, str]
    planted: list[int]


def answer(user: int, label: str, seconds: float = 6.0) -> dict[str, Any]:
    result = {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}
    return {"completed_by": user, "result": [result], "lead_time": seconds}


@pytest.fixture(scope="module")
def world(label_studio: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """120 messages, each answered by two people; six consensus labels planted wrong, four ties; checked once."""
    from flows.setting_up import setup

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_LABEL_STUDIO_TOKEN", label_studio.token)
        folder = tmp_path_factory.mktemp("review") / "project"
        save(folder, Project(name="review test", label_studio=LabelStudio(url=label_studio.url)))
        project = setup(folder)["project"]
        people = sign_up(label_studio, "Ada", "Ben", "Rex")
        place = open_place(folder)
        rows = [row for row in place.template.read_sample() if not row["fault"]][:SIZE]
        labels = sorted({row["answer"] for row in rows})
        tasks = []
        for number, row in enumerate(rows):
            other = labels[(labels.index(row["answer"]) + 1) % len(labels)]
            first = other if number < WRONG else row["answer"]
            second = other if number < WRONG + TIED else row["answer"]
            given = [answer(people["Ada"][1], first), answer(people["Ben"][1], second)]
            tasks.append({"data": row["data"], "annotations": given})
        import_tasks(label_studio, project, tasks)
        check(place)
        ids = pd.read_parquet(place.folder / "examples.parquet")["example_id"].tolist()
        truth = dict(zip(ids, [row["answer"] for row in rows], strict=True))
        yield World(place, label_studio, project, people, truth, ids[: WRONG + TIED])


def check(place: Place) -> str:
    agreed = agreeing.consensus(place, source.sync(place))
    known = evidence.evidence(place, agreed)
    return checking.decide(place, agreed, known, checking.check(place, agreed, known))


def reopened(world: World, **review: Any) -> Place:
    """The place with other settings of `review`."""
    project = config.load(world.place.folder).model_copy(update={"review": Review(**review)})
    save(world.place.folder, project)
    return open_place(world.place.folder)


@contextmanager
def writes() -> Iterator[list[str]]:
    """What is sent to Label Studio but for reading."""
    sent: list[str] = []

    def note(outgoing: Any) -> None:
        if outgoing.method != "GET":
            sent.append(f"{outgoing.method} {outgoing.url.path}")

    _client().event_hooks["request"].append(note)
    try:
        yield sent
    finally:
        _client().event_hooks["request"].remove(note)


def views(world: World) -> dict[str, dict[str, Any]]:
    found = request(world.connection, "GET", "/api/dm/views/", params={"project": world.project})
    return {view["data"]["title"]: view for view in found}


def listed(world: World, view: int) -> list[int]:
    tasks = request(world.connection, "GET", "/api/tasks/", params={"view": view, "page_size": 300})["tasks"]
    return [task["id"] for task in tasks]


def metas(world: World) -> dict[int, dict[str, Any]]:
    params = {"project": world.project, "page_size": 500, "include": "id,meta"}
    tasks = request(world.connection, "GET", "/api/tasks/", params=params)["tasks"]
    return {task["id"]: task["meta"] or {} for task in tasks}


def next_task(world: World, who: Connection, view: dict[str, Any]) -> dict[str, Any] | None:
    """What "Label Tasks As Displayed" in the tab asks for."""
    from pipeline.errors import LabelStudioError

    body = {name: view["data"][name] for name in ("filters", "ordering")}
    params = {"id": "next_task", "tabID": view["id"], "project": world.project}
    try:
        found: dict[str, Any] = request(who, "POST", "/api/dm/actions", params=params, json=body)
    except LabelStudioError as error:
        if "404" not in str(error):
            raise
        return None
    return found


def submit(who: Connection, task: int, label: str, seconds: float = 30.0) -> int:
    result = answer(0, label, seconds)
    body = {"result": result["result"], "lead_time": seconds}
    return int(request(who, "POST", f"/api/tasks/{task}/annotations/", json=body)["id"])


def test_status_before_a_push_says_what_comes_first(world: World) -> None:
    if not reviewed.pushes(world.place.store):
        with pytest.raises(Missing, match="assay review push"):
            reviewing.status(world.place)


def test_the_queue_is_in_tabs_by_reason_in_the_order_of_gain_and_a_second_push_writes_nothing(world: World) -> None:
    table = reviewing.queue(world.place)
    assert set(world.planted) & set(table["example_id"])
    body = reviewing.push(world.place)
    assert body["tasks"] == len(table)
    assert {tab["reason"] for tab in body["tabs"]} == {"probable label errors", "tied answers"}
    short = body["check"][:4]
    for tab in body["tabs"]:
        assert f"{tab['reason'].capitalize()} (Assay {short})" in views(world)
        mine = table.loc[table["check"] == tab["check"], "example_id"].tolist()
        assert listed(world, tab["view"]) == mine
    with writes() as sent:
        again = reviewing.push(world.place)
    assert sent == []
    assert again == body
    assert [entry["begun"] for entry in reviewed.pushes(world.place.store)] == [True, False]


def test_the_log_holds_what_was_asked_and_what_was_answered_by_then(world: World) -> None:
    begun, entry = reviewed.pushes(world.place.store)
    assert {**begun, "begun": False, "tabs": entry["tabs"], "number": 2} == entry
    assert reviewing.status(world.place)["pushes"] == 1
    table = reviewing.queue(world.place).set_index("example_id")
    assert {item["task_id"] for item in entry["tasks"]} == set(table.index)
    assert entry["pushed_at"].endswith("+00:00")
    for item in entry["tasks"]:
        assert item["reason"] == table.loc[item["task_id"], "reason"]
        assert item["answer"] == table.loc[item["task_id"], "answer"]
        assert len(item["annotations"]) == 2
    assert set(reviewing.status(world.place)["counts"].items()) >= {("open", len(table)), ("corrected", 0)}


def test_reasons_are_in_the_meta_only_if_the_project_says_so_and_the_mirror_sees_no_change(world: World) -> None:
    before = source.sync(world.place)
    assert not any(REASON in meta for meta in metas(world).values())
    table = reviewing.queue(world.place).set_index("example_id")
    open_eyed = reopened(world, blind=False)
    body = reviewing.push(open_eyed)
    noted = {task: meta for task, meta in metas(world).items() if REASON in meta}
    assert set(noted) == set(table.index)
    assert all(meta[REASON] == table.loc[task, "reason"] for task, meta in noted.items())
    told = {task: meta.get(SUGGESTION, "") for task, meta in noted.items()}
    assert told == table["suggestion"].to_dict()
    with writes() as sent:
        assert reviewing.push(open_eyed) == body
    assert sent == []
    for tab in body["tabs"]:
        assert listed(world, tab["view"]) == table.index[table["check"] == tab["check"]].tolist()
    few = reopened(world, blind=False, limit=2)
    assert reviewing.push(few)["tasks"] == 2
    assert sum(REASON in meta for meta in metas(world).values()) == 2  # who left the queue loses the note
    reviewing.push(reopened(world))
    assert not any(REASON in meta or SUGGESTION in meta for meta in metas(world).values())
    assert source.sync(world.place) == before


def test_a_queue_that_shrinks_closes_the_tasks_it_had_opened(world: World) -> None:
    params = {"project": world.project, "page_size": 500, "include": "id,is_labeled,overlap"}

    def states() -> dict[int, tuple[bool, int]]:
        tasks = request(world.connection, "GET", "/api/tasks/", params=params)["tasks"]
        return {task["id"]: (task["is_labeled"], task["overlap"]) for task in tasks}

    queued = set(reviewing.queue(world.place)["example_id"])
    assert {task for task, (done, _) in states().items() if not done} == queued
    reviewing.push(reopened(world, limit=1))
    left = {task for task, (done, _) in states().items() if not done}
    assert len(left) == 1
    assert all(overlap == 1 for task, (_, overlap) in states().items() if task not in left)
    reviewing.push(reopened(world))
    assert {task for task, (done, _) in states().items() if not done} == queued


def test_a_push_that_is_killed_half_way_can_be_taken_back(world: World) -> None:
    params = {"project": world.project, "page_size": 500, "include": "id,is_labeled,overlap"}

    def still_open() -> set[int]:
        tasks = request(world.connection, "GET", "/api/tasks/", params=params)["tasks"]
        return {task["id"] for task in tasks if not task["is_labeled"]}

    def kill(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    queued = set(reviewing.queue(world.place)["example_id"])
    reviewing.push(reopened(world, limit=1))
    with pytest.raises(KeyboardInterrupt):
        reviewing.push(reopened(world), progress=kill)
    assert 1 < len(still_open()) < len(queued)
    reviewing.push(reopened(world, limit=1))
    assert len(still_open()) == 1, "what the killed push had opened is closed again"
    reviewing.push(reopened(world))
    assert still_open() == queued


def test_the_label_stream_of_a_tab_hands_out_its_tasks_in_order_once_and_without_the_others_answers(
    world: World,
) -> None:
    body = reviewing.push(world.place)
    tab = next(tab for tab in body["tabs"] if tab["check"] == "label_errors")
    view = next(view for view in views(world).values() if view["id"] == tab["view"])
    rex, ada = world.people["Rex"][0], world.people["Ada"][0]
    assert next_task(world, ada, view) is None  # she has answered them all
    order = listed(world, tab["view"])
    for number, task in enumerate(order):
        found = next_task(world, rex, view)
        assert found is not None
        assert found["id"] == task
        assert not found.get("annotations")
        if number < len(order) - 1:
            submit(rex, task, world.truth[task])
    request(ada, "DELETE", f"/api/tasks/{order[-1]}/")
    assert next_task(world, rex, view) is None


def test_status_tells_what_became_of_each_and_the_next_check_and_version_take_it(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.cli import run

    log = reviewed.pushes(world.place.store)
    asked = {item["task_id"]: item for item in log[-1]["tasks"]}
    errors = [task for task, item in asked.items() if item["check"] == "label_errors"]
    assert run(["review", "status", str(world.place.folder), "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    states = {item["example_id"]: item["state"] for item in body["tasks"] if item["example_id"] in errors}
    gone = [task for task, state in states.items() if state == "deleted"]
    assert len(gone) == 1
    for task in set(errors) - set(gone):
        wrong = json.loads(asked[task]["answer"]) != world.truth[task]
        assert states[task] == ("corrected" if wrong else "confirmed")
    row = next(row for row in body["reasons"] if row["check"] == "label_errors")
    assert row["corrected"] + row["confirmed"] == len(errors) - 1
    assert row["precision"]["value"] == pytest.approx(row["corrected"] / (len(errors) - 1))
    assert body["minutes"] == pytest.approx((len(errors) - 1) * 0.5)
    assert run(["review", "status", str(world.place.folder)]) == 0
    assert "looked at in" in capsys.readouterr().out

    checked = check(world.place)
    consensus = pd.read_parquet(world.place.folder / "consensus.parquet").set_index("example_id")
    verdicts = pd.read_parquet(world.place.folder / "verdicts.parquet").set_index("example_id")
    for task in set(errors) - set(gone):
        assert json.loads(consensus.loc[task, "answer"]) == world.truth[task]
        assert consensus.loc[task, "method"] == "review"
        reasons = json.loads(verdicts.loc[task, "reasons"])
        assert ("label_errors", "relabel") not in {(item["check"], item["action"]) for item in reasons}
        assert "review" in {item["check"] for item in reasons}
    pushed = reviewing.push(world.place, checked)
    assert not set(errors) & {item["task_id"] for item in reviewed.pushes(world.place.store)[-1]["tasks"]}
    with writes() as sent:
        assert reviewing.push(world.place, checked) == pushed
    assert sent == []


def test_the_version_says_what_was_reviewed_and_the_tabs_carry_its_number(world: World) -> None:
    from pipeline.versions.commit import find, read

    store = world.place.store
    table = pd.read_parquet(world.place.folder / "reviewed.parquet")
    assert len(table) > 0
    releasing.release(_lenient(world))
    counts = table["outcome"].value_counts()
    facts = find(store)["review"]
    assert facts["reviewed"] == len(table)
    assert facts["corrected"] == counts.get("corrected", 0)
    rows = read(store).rows.set_index("example_id")
    noted = rows.loc[table["example_id"], "reasons"]
    assert all("review" in {item["check"] for item in json.loads(reasons)} for reasons in noted)
    body = reviewing.push(world.place)
    assert body["version"] == 1
    titles = [title for title in views(world) if "Assay" in title]
    assert titles
    assert all(title.endswith(" (Assay v1)") for title in titles), titles


def _lenient(world: World) -> Place:
    """With a gate that a small test project can pass."""
    suites = world.place.folder / "suites"
    suites.mkdir(exist_ok=True)
    only = "expectations: [{type: expect_table_row_count_to_be_between, kwargs: {min_value: 1}, meta: {meaning: Not empty.}}]"
    for name in ("examples", "findings"):
        (suites / f"{name}.yaml").write_text(f"name: {name}\n{only}\n", encoding="utf-8")
    project = config.load(world.place.folder).model_copy(update={"expectations": "suites"})
    save(world.place.folder, project)
    place = open_place(world.place.folder)
    check(place)
    return place


def test_a_blind_queue_shows_no_suggestion_and_another_keeps_it(world: World) -> None:
    from pipeline.label_studio.predictions import Prediction, predicted, push_predictions

    queued = reviewing.queue(world.place)["example_id"].tolist()
    assert queued
    one = queued[0]
    result = answer(0, world.truth[one])["result"]
    for version in ("assay-1", "theirs"):
        made = [Prediction(one, result, 0.9)]
        push_predictions(world.connection, world.project, model_version=version, predictions=made)
    reviewing.push(reopened(world, blind=False))
    assert one in predicted(world.connection, world.project, "assay-1")
    reviewing.push(reopened(world))
    assert one not in predicted(world.connection, world.project, "assay-1")
    assert one in predicted(world.connection, world.project, "theirs"), "what is not ours is not taken away"
