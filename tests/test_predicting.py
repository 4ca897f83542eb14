"""Suggestions: a fixed share held back, an order to learn by, and whether annotators follow what they see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from people import sign_up

from flows.place import Place, open_place, project_id
from flows.stages.predicting import LOG, is_held_back, learning_order, prediction_status, unanswered
from flows.stages.source import sync as run_sync
from pipeline.config import LabelStudio, Project, save
from pipeline.errors import Missing
from pipeline.label_studio.connection import Connection, request, server_time
from pipeline.label_studio.label_config import read_controls
from pipeline.label_studio.listing import bare_pages
from pipeline.label_studio.overlap import pull_queues, push_queues
from pipeline.label_studio.project import import_tasks, setup_project
from pipeline.sources import parse
from pipeline.statistics import difference_of_shares
from pipeline.tasks import bind, task_type
from pipeline.templates import template


def test_the_share_that_is_held_back_is_about_what_was_asked_and_never_changes() -> None:
    held = {task for task in range(5000) if is_held_back(task, 0.2, 7)}
    assert 0.17 < len(held) / 5000 < 0.23
    assert held == {task for task in range(5000) if is_held_back(task, 0.2, 7)}
    assert {task for task in range(5000) if is_held_back(task, 0.1, 7)} < held  # more held back keeps those that were
    assert not any(is_held_back(task, 0.0, 7) for task in range(500))
    assert all(is_held_back(task, 1.0, 7) for task in range(500))


def test_what_the_model_is_least_sure_of_comes_first_and_copies_come_last() -> None:
    probabilities = np.array([[0.9, 0.05, 0.05], [0.4, 0.35, 0.25], [0.5, 0.3, 0.2], [0.42, 0.36, 0.22]], np.float32)
    assert learning_order(probabilities, ["a", "b", "c", "b"]) == [1, 2, 0, 3]
    assert learning_order(np.zeros((0, 3), np.float32), []) == []


def test_what_was_answered_or_deleted_since_the_check_gets_no_suggestion() -> None:
    def task(number: int, *said: str, **more: Any) -> dict[str, Any]:
        entry = {"from_name": "label", "to_name": "text", "type": "choices"}
        given = [{"result": [{**entry, "value": {"choices": [label]}}], **more} for label in said]
        return {"id": number, "data": {"text": f"parcel {number}"}, "annotations": given}

    chosen = template("text_classification")
    kind = task_type(chosen.task)
    scheme = bind(kind, read_controls(chosen.label_config), names=chosen.answer, fields=chosen.fields)
    then = parse([task(n) for n in (1, 2, 3, 4)], task=kind, scheme=scheme, source="x")
    skipped = task(3, "order_status", was_cancelled=True)
    now = parse([task(1), task(2, "order_status"), skipped], task=kind, scheme=scheme, source="x")
    assert unanswered(then.examples, now)["example_id"].tolist() == [1, 3]


@given(st.integers(1, 200), st.integers(1, 200), st.data())
def test_the_difference_of_two_shares_lies_in_its_interval(n: int, m: int, data: st.DataObject) -> None:
    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    found = difference_of_shares(a, n, b, m)
    assert -1 - 1e-9 <= found.low <= found.value + 1e-9
    assert found.value - 1e-9 <= found.high <= 1 + 1e-9
    other = difference_of_shares(b, m, a, n)
    assert (other.value, other.low) == pytest.approx((-found.value, -found.high), abs=1e-9)


def test_newcombes_own_example() -> None:
    found = difference_of_shares(56, 70, 48, 80)  # Newcombe (1998), table II, example (a), method 10
    assert (round(found.value, 4), round(found.low, 4), round(found.high, 4)) == (0.2, 0.0524, 0.3339)


@pytest.fixture
def suggested(label_studio: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Place, list[int]]:
    """40 tasks with suggestions on record, half of them held back, every suggestion `order_status`."""
    monkeypatch.setenv("ASSAY_LABEL_STUDIO_TOKEN", label_studio.token)
    config = template("text_classification").label_config
    number = setup_project(label_studio, title=f"anchoring {tmp_path.name}"[-50:], label_config=config)
    import_tasks(label_studio, number, [{"data": {"text": f"parcel {n}"}} for n in range(40)])
    save(tmp_path, Project(name="anchoring", label_studio=LabelStudio(url=label_studio.url, project=number)))
    place = open_place(tmp_path)
    tasks = [task["id"] for page in bare_pages(label_studio, number, include=["id"]) for task in page]
    rows = [
        {"task": task, "answer": "order_status", "score": 0.6, "held_back": at % 2 == 1} for at, task in enumerate(tasks)
    ]
    body = {"model_version": "m", "check": "c", "pushed_at": server_time(label_studio).isoformat(), "rows": rows}
    with pytest.raises(Missing, match="predict push"):
        prediction_status(place)
    place.store.append(LOG, body, after=0)
    return place, tasks


@pytest.mark.server
def test_annotators_who_follow_suggestions_are_found_out(
    suggested: tuple[Place, list[int]], label_studio: Connection
) -> None:
    place, tasks = suggested
    own, _ = sign_up(label_studio, "Ada")["Ada"]
    for at, task in enumerate(tasks[:-4]):
        shown = at % 2 == 0
        agrees = (at // 2) % 10 < (9 if shown else 3)  # nine of ten where it is seen, three of ten where it is not
        value: dict[str, Any] = {"choices": ["order_status" if agrees else "cancel_order"]}
        result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": value}]
        request(own, "POST", f"/api/tasks/{task}/annotations/", json={"result": result})
    run_sync(place)
    body = prediction_status(place)
    assert (body["pushed"], body["waiting"]) == (40, 4)
    assert (body["shown"]["answers"], body["held_back"]["answers"]) == (18, 18)
    assert body["shown"]["value"] == pytest.approx(17 / 18)
    assert body["held_back"]["value"] == pytest.approx(6 / 18)
    assert body["anchoring"]["low"] > 0.25


@pytest.mark.server
def test_answers_that_were_given_where_no_suggestion_is_shown_say_nothing_about_suggestions(
    suggested: tuple[Place, list[int]], label_studio: Connection
) -> None:
    place, tasks = suggested
    home = project_id(place)
    own, user = sign_up(label_studio, "Zoe")["Zoe"]
    (queue,) = push_queues(label_studio, home, {user: tasks[:6]}, {user: "Zoe"})
    result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["cancel_order"]}}]
    for page in bare_pages(label_studio, queue["project"], include=["id"]):
        for task in page:
            request(own, "POST", f"/api/tasks/{task['id']}/annotations/", json={"result": result})
    assert pull_queues(label_studio, home, {user: queue["project"]})["created"] == 6
    request(own, "POST", f"/api/tasks/{tasks[6]}/annotations/", json={"result": result})
    run_sync(place)
    body = prediction_status(place)
    assert (body["shown"]["answers"], body["held_back"]["answers"]) == (1, 0)


@pytest.mark.server
def test_with_one_kind_of_task_answered_nothing_is_compared(
    suggested: tuple[Place, list[int]], label_studio: Connection
) -> None:
    place, tasks = suggested
    result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["order_status"]}}]
    request(label_studio, "POST", f"/api/tasks/{tasks[0]}/annotations/", json={"result": result})
    run_sync(place)
    body = prediction_status(place)
    assert body["anchoring"] is None
    assert "Both kinds" in body["reason"]
