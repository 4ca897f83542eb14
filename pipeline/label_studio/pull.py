"""What a pull brings: the tasks that differ from what the mirror knows, and those that are gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import orjson

from pipeline.label_studio.connection import Connection
from pipeline.label_studio.listing import CAUSE, PAGE, Page, Task, bare_pages, condition, pages
from pipeline.label_studio.segments import Index, Row, microseconds, revision_numbers, revisions, stream
from pipeline.label_studio.send_back import REVIEW_KEYS
from pipeline.store import Store, digest

DATE_FORM = "%Y-%m-%dT%H:%M:%S.%fZ"

# Every field kept, of tasks and of their annotations. Left out: what Label Studio derives from these, drafts (unfinished;
# the list gives the caller's own alone, and saving one leaves no trace in updated_at), and predictions (ours, or a model's;
# `parent_prediction` says when an answer started from one).
TASK_FIELDS = (
    "id", "inner_id", "project", "data", "meta", "created_at", "updated_at", "file_upload", "storage_filename",
    "annotations",
)  # fmt: skip
ANNOTATION_FIELDS = (
    "result", "completed_by", "updated_by", "was_cancelled", "ground_truth", "lead_time", "draft_created_at",
    "import_id", "last_action", "bulk_created", "parent_prediction", "parent_annotation", "last_created_by",
)  # fmt: skip
FIELDS = (*TASK_FIELDS, *ANNOTATION_FIELDS)
UNREADABLE = f"Label Studio itself fails on this task ({CAUSE}): mend or delete it there, then sync again."


def all_pages(connection: Connection, project_id: int, after: int) -> Iterator[Page]:
    yield from pages(connection, project_id, include=FIELDS, after=after)


def touched_pages(
    connection: Connection, project_id: int, since: datetime, index: Index, after: int
) -> Iterator[Page]:
    """Tasks written after `since`, but for those we have as they are: looking at them alone costs a quarter."""
    newer = condition("updated_at", "greater", "Datetime", since.strftime(DATE_FORM))
    bare = bare_pages(connection, project_id, include=["id", "updated_at"], filters=[newer], after=after)
    for page in bare:
        ids = _differing(page, index)
        for start in range(0, len(ids), PAGE):
            chunk = ids[start : start + PAGE]
            these = condition("id", "in_list", "Number", chunk)
            for full in pages(connection, project_id, include=FIELDS, filters=[these]):
                yield Page(full.tasks, full.unreadable, chunk[-1])


def changed_rows(
    store: Store, segments: Sequence[str], index: Index, page: Page, seen_at: datetime
) -> list[Row]:
    """Those of the page that differ from what is known. A task that cannot be read has a row without content, which keeps
    its updated_at: it is asked for again once somebody touches it there."""
    tasks = [{**task, "annotations": sorted(task["annotations"], key=_by_id)} for task in page.tasks]
    rows = [_row(task, _revision(task), seen_at) for task in tasks]
    rows += [
        _row(task, digest("unreadable", task["updated_at"]), seen_at, UNREADABLE) for task in page.unreadable
    ]
    rows.sort(key=lambda row: int(row["task_id"]))
    at = index.find([row["task_id"] for row in rows])
    known = np.zeros(len(rows), np.bool_)
    if len(index.task_id):
        same = (index.revision[at] == revision_numbers(row["revision"] for row in rows)).all(axis=1)
        known = (at >= 0) & index.living[at] & same
    changed = [row for row, is_known in zip(rows, known.tolist(), strict=True) if not is_known]
    return _with_former_annotators(store, segments, index, changed)


def deleted_rows(connection: Connection, project_id: int, index: Index, seen_at: datetime) -> list[Row]:
    """Label Studio keeps no trace of a deleted task: it is one we know and the server does not."""
    scan = bare_pages(connection, project_id, include=["id"])
    there = np.concatenate(
        [np.array([task["id"] for task in page], np.int64) for page in scan] or [np.empty(0, np.int64)]
    )
    gone = np.setdiff1d(index.task_id[index.living], there, assume_unique=True)
    return [
        {"task_id": task, "revision": "", "raw": "", "deleted": True, "completed_by": [], "seen_at": seen_at}
        for task in gone.tolist()
    ]


def _differing(page: list[Task], index: Index) -> list[int]:
    ids = np.array([task["id"] for task in page], np.int64)
    at = index.find(ids.tolist())
    if not len(index.task_id):
        return [int(number) for number in ids]
    same = index.updated_at[at] == microseconds([task["updated_at"] for task in page])
    return [int(number) for number in ids[~((at >= 0) & index.living[at] & same)]]


def _by_id(answer: dict[str, Any]) -> int:
    return int(answer["id"])


def _row(task: Task, revision: str, seen_at: datetime, reason: str | None = None) -> Row:
    return {
        "task_id": task["id"],
        "revision": revision,
        "raw": "" if reason else orjson.dumps(task).decode(),
        "deleted": False,
        "updated_at": task["updated_at"],
        "completed_by": [answer["completed_by"] for answer in task.get("annotations", ())],
        "seen_at": seen_at,
        "reason": reason,
    }


def _revision(task: Task) -> str:
    """Changes when the task or one of its annotations does; not when a review queue marks it."""
    meta = {key: value for key, value in (task["meta"] or {}).items() if key not in REVIEW_KEYS}
    lasting = {key: value for key, value in task.items() if key not in ("updated_at", "updated_by", "meta")}
    return digest(lasting, meta)


def _with_former_annotators(
    store: Store, segments: Sequence[str], index: Index, rows: list[Row]
) -> list[Row]:
    """A deleted user's annotations name nobody. `completed_by` of the row (not the raw task) keeps whom they named before."""
    nameless = [row for row in rows if None in row["completed_by"]]
    at = index.find([row["task_id"] for row in nameless])
    wanted = np.zeros(len(index.task_id), np.bool_)
    wanted[at[at >= 0]] = True
    before = {}
    for row in stream(store, segments, index, wanted, "task_id", "raw", "completed_by"):
        before[row["task_id"]] = _annotators(row if row["raw"] else _last_readable(store, segments, row))
    for row in nameless:
        answers, former = orjson.loads(row["raw"])["annotations"], before.get(row["task_id"], {})
        pairs = zip(answers, row["completed_by"], strict=True)
        row["completed_by"] = [
            former.get(_known_by(answer)) if user is None else user for answer, user in pairs
        ]
    return rows


def _last_readable(store: Store, segments: Sequence[str], row: Row) -> Row:
    readable = [item for item in revisions(store, segments, row["task_id"]) if item["raw"]]
    return readable[-1] if readable else row


def _annotators(row: Row) -> dict[tuple[int, str], int | None]:
    """Who made each annotation; a row's annotations and its `completed_by` have one order."""
    answers = orjson.loads(row["raw"])["annotations"] if row["raw"] else []
    return {_known_by(answer): user for answer, user in zip(answers, row["completed_by"], strict=True)}


def _known_by(answer: dict[str, Any]) -> tuple[int, str]:
    """An import on SQLite gives the number of the last annotation to a new one if that was deleted."""
    return answer["id"], answer["created_at"]
