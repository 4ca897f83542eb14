"""The way back into Label Studio: a queue of tasks as a Data Manager tab."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.label_studio.connection import Connection, request
from pipeline.label_studio.listing import PAGE, bare_pages, condition, full_pages

# The Data Manager orders by one field only, and `meta` is the one field that is free: a task's data is what the annotator
# sees, and changing it would make another example of it. Ordering by `meta` compares its JSON from the left, so the rank
# comes first in it, padded with zeros; a name this short also comes first in the order in which Postgres keeps keys.
RANK = "#"
RANK_STEP = 1000  # room between two ranks, so that a task can be put between them without touching the others
RANK_DIGITS = 9
REASON, SUGGESTION = (
    "assay_reason",
    "assay_suggestion",
)  # in a queued task's meta, where the reviewers may know them
REVIEW_KEYS = (RANK, REASON, SUGGESTION)  # ours: that one of them changed is no change of the task
# Tasks in one queue: more is no day's work, and each is a filter of its own. Label Studio's API knows `in_list`, but its
# Data Manager does not: a tab with such a filter keeps the whole page of the project from loading (seen in 1.23.2).
MOST = 200
NOBODY = -1  # no task has this id: an empty queue must not show everything
# What a tab need not show: a second look should not begin with the first answer.
HIDDEN = (
    "inner_id", "completed_at", "cancelled_annotations", "total_predictions", "annotations_results", "annotations_ids",
    "predictions_score", "predictions_model_versions", "predictions_results", "file_upload", "storage_filename",
    "created_at", "updated_at", "updated_by", "avg_lead_time", "draft_exists",
)  # fmt: skip

Progress = Callable[[int, int], None]


def push_review_queue(
    connection: Connection,
    project_id: int,
    *,
    title: str,
    task_ids: Sequence[int],
    notes: Mapping[int, Mapping[str, str]] | None = None,
    view: int | None = None,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """A tab called `title` with exactly these tasks, in this order, the first MOST of them. Returns view (its id), url, tasks
    (how many it shows), waiting (how many are left for a later queue).

    notes: task id → REASON and SUGGESTION for its meta; a task without any loses those it had. view: the tab to change; by
    default, and where it is gone, the one with this title, else a new one. What is as it should be already is not written.

    A task that is done is opened again for one more annotator (its overlap becomes one more than it has annotators): only so
    does "Label Tasks As Displayed" in the tab hand it out, in this order, to somebody who has not answered it yet, without
    showing what the others said. It closes by itself with that answer.

    Each task that changes costs one request (0.05 to 0.2 s) and gets a new `updated_at`; the mirror knows that this is no
    change. A task has one rank, so of two queues that share tasks the one pushed last keeps its order. Tasks that were deleted
    in the meantime are left out.
    """
    shown = list(dict.fromkeys(task_ids))[:MOST]
    data = _tab(title) | {
        "filters": {
            "conjunction": "or",
            "items": [condition("id", "equal", "Number", task) for task in shown or [NOBODY]],
        },
        "ordering": ["tasks:meta"],
        "hiddenColumns": {"explore": [f"tasks:{name}" for name in HIDDEN], "labeling": []},
    }
    number = _put_view(connection, project_id, view, data)
    tasks = _states(connection, project_id, shown)
    changes = _changes([task for task in shown if task in tasks], tasks, notes or {})
    for done, (task, body) in enumerate(changes.items()):
        progress(done, len(changes))
        request(connection, "PATCH", f"/api/tasks/{task}/", json=body)
    progress(len(changes), len(changes))
    return {
        "view": number,
        "url": f"{connection.url}/projects/{project_id}/data?tab={number}",
        "tasks": len(tasks),
        "waiting": len(set(task_ids)) - len(shown),
    }


def reopening(connection: Connection, project_id: int, tasks: Sequence[int]) -> dict[str, list[int]]:
    """What a push of these tasks would open again: task id as text → its overlap now and then. Writes nothing, so that it can be
    written down before anything is done."""
    states = _states(connection, project_id, tasks)
    return {
        str(task): [state["overlap"], _people(state) + 1] for task, state in states.items() if state["is_labeled"]
    }


def retire(
    connection: Connection,
    project_id: int,
    *,
    views: Sequence[int],
    keep: Sequence[int],
    overlaps: Mapping[int, tuple[int, int]],
) -> None:
    """Take an older queue back: these tabs go, and tasks other than `keep` lose their notes and are closed.

    overlaps: task id → its overlap before it was opened again, and since. A task whose overlap somebody has changed since, or
    which lacked an answer before, stays open.
    """
    there = {item["id"] for item in _views(connection, project_id)}
    for view in sorted(set(views) & there):
        request(connection, "DELETE", f"/api/dm/views/{view}/")
    kept = set(keep)
    noted = condition("meta", "contains", "String", f'"{REASON}"')
    pages = bare_pages(connection, project_id, include=["id", "meta"], filters=[noted])
    bodies: dict[int, dict[str, Any]] = {
        task["id"]: {"meta": _plain(task["meta"])}
        for page in pages
        for task in page
        if task["id"] not in kept
    }
    for task, state in _states(
        connection, project_id, [task for task in overlaps if task not in kept]
    ).items():
        before, since = overlaps[task]
        if not state["is_labeled"] and state["overlap"] == since and _people(state) >= before:
            bodies.setdefault(task, {}).update(overlap=before, is_labeled=True)
    for task, body in sorted(bodies.items()):
        request(connection, "PATCH", f"/api/tasks/{task}/", json=body)


def remove_tab(connection: Connection, project_id: int, title: str) -> None:
    """Take the tab of this title away, where there is one: what it was for is done."""
    for view in _views(connection, project_id):
        if (view.get("data") or {}).get("title") == title:
            request(connection, "DELETE", f"/api/dm/views/{view['id']}/")


def _views(connection: Connection, project_id: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = request(connection, "GET", "/api/dm/views/", params={"project": project_id})
    return found


def _put_view(connection: Connection, project_id: int, view: int | None, data: dict[str, Any]) -> int:
    """The tab's id, made or changed where it is not as it should be."""
    path, body = "/api/dm/views/", {"project": project_id, "data": data}
    views = _views(connection, project_id)
    if (
        not views
    ):  # the page makes this one only where there is none: everybody would miss the list of all tasks
        every = _tab("Default") | {"hiddenColumns": {"explore": [f"tasks:{name}" for name in HIDDEN], "labeling": []}}
        request(connection, "POST", path, json={"project": project_id, "data": every})
    titles = {item["id"]: (item.get("data") or {}).get("title") for item in views}
    same = [number for number in titles if number == view] or [
        number for number, title in titles.items() if title == data["title"]
    ]
    if not same:
        return int(request(connection, "POST", path, json=body)["id"])
    now = next(item["data"] or {} for item in views if item["id"] == same[0])
    if any(now.get(name) != value for name, value in data.items()):
        request(connection, "PATCH", f"{path}{same[0]}/", json=body)
    return int(same[0])


def _tab(title: str) -> dict[str, Any]:
    return {"title": title, "type": "list", "target": "tasks"}


def _states(connection: Connection, project_id: int, tasks: Sequence[int]) -> dict[int, dict[str, Any]]:
    """task id → meta, overlap, is_labeled and annotations of those tasks that exist."""
    include = ["id", "meta", "overlap", "is_labeled", "annotations", "completed_by", "was_cancelled"]
    states: dict[int, dict[str, Any]] = {}
    for start in range(0, len(tasks), PAGE):
        these = condition("id", "in_list", "Number", list(tasks[start : start + PAGE]))
        for page in full_pages(connection, project_id, include=include, filters=[these]):
            states |= {task["id"]: {**task, "meta": task["meta"] or {}} for task in page}
    return states


def _people(state: Mapping[str, Any]) -> int:
    """How many annotators a task has, as Label Studio counts them for its overlap."""
    return len({answer["completed_by"] for answer in state["annotations"] if not answer["was_cancelled"]})


def _plain(meta: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in meta.items() if key not in (REASON, SUGGESTION)}


def _changes(
    queue: Sequence[int], tasks: Mapping[int, Mapping[str, Any]], notes: Mapping[int, Mapping[str, str]]
) -> dict[int, dict[str, Any]]:
    """task id → what to write, for those that are not yet as they should be."""
    metas = {task: tasks[task]["meta"] for task in queue}
    ranks = _ranks(queue, metas)
    changes: dict[int, dict[str, Any]] = {}
    for task in queue:
        old = metas[task]
        rest = {key: value for key, value in old.items() if key not in REVIEW_KEYS}
        meta = {RANK: ranks.get(task, old.get(RANK)), **notes.get(task, {}), **rest}
        if meta != old or next(iter(old)) != RANK:
            changes.setdefault(task, {})["meta"] = meta
        if tasks[task]["is_labeled"]:
            changes.setdefault(task, {}).update(overlap=_people(tasks[task]) + 1, is_labeled=False)
    return changes


def _ranks(queue: Sequence[int], metas: Mapping[int, Mapping[str, Any]]) -> dict[int, str]:
    """task id -> new rank, for those that must move for the ranks to ascend along the queue."""
    moved, last = {}, 0
    for task in queue:
        rank = str(metas[task].get(RANK, ""))
        if len(rank) == RANK_DIGITS and rank.isdecimal() and int(rank) > last:
            last = int(rank)
            continue
        last += 1 if rank else RANK_STEP
        moved[task] = f"{last:0{RANK_DIGITS}d}"
    return moved
