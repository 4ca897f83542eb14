"""Predictions: a model's answers, which annotators see as suggestions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import SourceError
from pipeline.label_studio.connection import Connection, appeared, request
from pipeline.label_studio.failures import LostReply
from pipeline.label_studio.listing import PAGE, condition, full_pages

BATCH = 500  # predictions; Label Studio stores them by this number, and a batch whole or not at all

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Prediction:
    """result: Label Studio's list, as a task type's `to_result` makes it. score: in [0, 1]; 1 is sure."""

    task: int
    result: list[dict[str, Any]]
    score: float


def push_predictions(
    connection: Connection,
    project_id: int,
    *,
    model_version: str,
    predictions: Sequence[Prediction],
    progress: Progress = lambda done, total: None,
) -> dict[str, int]:
    """Bring in those that are not there yet. A task that has a prediction of this model version keeps it. Afterwards the project
    shows this version. Returns how many were created and how many were present.

    SourceError for a score outside [0, 1] or an empty result, which Label Studio itself would take. LostReply if a batch was
    sent, no reply came, and it did not appear.
    """
    wanted = {item.task: _body(item, model_version) for item in predictions}
    there = predicted(connection, project_id, model_version) if wanted else {}
    missing = [item for task, item in wanted.items() if task not in there]
    for start in range(0, len(missing), BATCH):
        progress(start, len(missing))
        _import_batch(connection, project_id, missing[start : start + BATCH])
    progress(len(missing), len(missing))
    if wanted and _shown_version(connection, project_id) != model_version:
        request(connection, "PATCH", f"/api/projects/{project_id}/", json={"model_version": model_version})
    return {"created": len(missing), "present": len(wanted) - len(missing)}


def predicted(connection: Connection, project_id: int, model_version: str) -> dict[int, int]:
    """task id → how many predictions of exactly this version it has; Label Studio's filter also finds parts of names."""
    like = condition("predictions_model_versions", "contains", "List", [model_version])
    pages = full_pages(connection, project_id, include=["id", "predictions", "model_version"], filters=[like])
    found = {
        task["id"]: sum(item["model_version"] == model_version for item in task["predictions"])
        for page in pages
        for task in page
    }
    return {task: count for task, count in found.items() if count}


def remove_predictions(connection: Connection, project_id: int, tasks: Sequence[int], prefix: str) -> int:
    """Take away these tasks' predictions of model versions that begin so: the page fills an annotator's answer in with them.
    Returns how many there were."""
    gone = 0
    for start in range(0, len(tasks), PAGE):
        these = condition("id", "in_list", "Number", list(tasks[start : start + PAGE]))
        include = ["id", "predictions", "model_version"]
        for page in full_pages(connection, project_id, include=include, filters=[these]):
            for item in (item for task in page for item in task["predictions"]):
                if str(item["model_version"]).startswith(prefix):
                    request(connection, "DELETE", f"/api/predictions/{item['id']}/")
                    gone += 1
    return gone


def _body(item: Prediction, model_version: str) -> Mapping[str, Any]:
    if not 0 <= item.score <= 1:  # false for NaN, too
        raise SourceError(f"The prediction for task {item.task} has the score {item.score}: it must lie between 0 and 1.")
    if not item.result:
        raise SourceError(f"The prediction for task {item.task} is empty: leave it out.")
    return {
        "task": int(item.task), "model_version": model_version, "score": float(item.score), "result": item.result,
    }  # fmt: skip


def _shown_version(connection: Connection, project_id: int) -> str | None:
    answer = request(connection, "GET", f"/api/projects/{project_id}/", params={"include": "id,model_version"})
    version: str | None = answer.get("model_version")
    return version


def _import_batch(connection: Connection, project_id: int, batch: Sequence[Mapping[str, Any]]) -> None:
    try:
        request(connection, "POST", f"/api/projects/{project_id}/import/predictions", json=batch, timeout=300)
    except LostReply:
        tasks, version = {item["task"] for item in batch}, batch[0]["model_version"]
        if not appeared(lambda: tasks <= predicted(connection, project_id, version).keys()):
            raise
