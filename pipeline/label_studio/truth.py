"""Adjudicated answers as ground truth in Label Studio."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.label_studio.connection import Connection, appeared, request
from pipeline.label_studio.failures import LostReply
from pipeline.label_studio.listing import PAGE, condition, full_pages

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Truth:
    """result: the answer in Label Studio's form. same: ids of the task's annotations that give this answer, that first which
    should be marked; empty if a new one is to be made."""

    task: int
    result: list[dict[str, Any]]
    same: tuple[int, ...] = ()


def push_truth(
    connection: Connection,
    project_id: int,
    truths: Sequence[Truth],
    *,
    progress: Progress = lambda done, total: None,
) -> dict[str, int]:
    """Mark an existing annotation of each task as ground truth, or make one in the name of the token's user. A task has one
    ground truth: marking a second takes the mark from the first.

    What is so already is not written. Returns how many were marked, created, present, and gone (their task was deleted in the
    meantime). LostReply if a reply was lost and what was sent did not appear.
    """
    counts = {"marked": 0, "created": 0, "present": 0, "gone": 0}
    tasks = _tasks(connection, project_id, [item.task for item in truths])
    for done, item in enumerate(truths):
        progress(done, len(truths))
        if item.task not in tasks:
            counts["gone"] += 1
            continue
        annotations = {answer["id"]: answer for answer in tasks[item.task]["annotations"]}
        marked = [number for number, answer in annotations.items() if answer["ground_truth"]]
        there = [number for number in item.same if number in annotations]
        if len(marked) == 1 and _is_it(annotations[marked[0]], item):
            counts["present"] += 1
        elif there:
            _mark(connection, there[0])
            counts["marked"] += 1
        else:
            _create(connection, project_id, item)
            counts["created"] += 1
    progress(len(truths), len(truths))
    return counts


def _is_it(annotation: dict[str, Any], item: Truth) -> bool:
    return annotation["id"] in item.same if item.same else bool(annotation["result"] == item.result)


def _tasks(connection: Connection, project_id: int, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    include = ["id", "annotations", "ground_truth", "result"]
    for start in range(0, len(ids), PAGE):
        these = condition("id", "in_list", "Number", list(ids[start : start + PAGE]))
        for page in full_pages(connection, project_id, include=include, filters=[these]):
            found |= {task["id"]: task for task in page}
    return found


def _mark(connection: Connection, annotation: int) -> None:
    path = f"/api/annotations/{annotation}/"
    try:
        request(connection, "PATCH", path, json={"ground_truth": True})
    except LostReply:
        if not appeared(lambda: bool(request(connection, "GET", path)["ground_truth"])):
            raise


def _create(connection: Connection, project_id: int, item: Truth) -> None:
    body = {"result": item.result, "ground_truth": True}
    try:
        request(connection, "POST", f"/api/tasks/{item.task}/annotations/", json=body)
    except LostReply:
        if not appeared(lambda: _is_there(connection, project_id, item)):
            raise


def _is_there(connection: Connection, project_id: int, item: Truth) -> bool:
    annotations = _tasks(connection, project_id, [item.task])[item.task]["annotations"]
    return any(answer["ground_truth"] and answer["result"] == item.result for answer in annotations)
