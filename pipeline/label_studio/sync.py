"""The mirror: everything a Label Studio project held, revision by revision.

A log `mirror` in the store. Each entry names the project, the labeling configuration in force, the people, and the
segments: immutable Parquet files of task revisions, oldest first. The newest row of a task is the task as it is now; older
rows, and those of deleted tasks, stay. Nothing changed means no new entry.

The first pull and the later ones take the same road, the task list with annotations (see `listing`), so that a task looks
the same whichever brought it. It cost 1.3 server CPU milliseconds a task, as much as an export; but an export holds
the whole project in the server's memory (0.9 GB for 50,000 tasks), is cut off by proxies after a minute, leaves a copy on the
server's disk, and as a snapshot on SQLite keeps annotators from saving while it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from pipeline.errors import Missing, SourceError
from pipeline.label_studio.connection import Connection, server_time
from pipeline.label_studio.listing import PAGE, bare_pages, condition, full_pages
from pipeline.label_studio.project import project_facts, users
from pipeline.label_studio.segments import Row, living, newest, write
from pipeline.label_studio.send_back import RANK
from pipeline.store import Store, digest

LOG = "mirror"
# A transaction's rows carry the time they were written, and are seen once it ends: 6 s later for 5,000 imported tasks.
# What changed in the last minutes before a pull is read again by the next.
OVERLAP = timedelta(minutes=5)
DATE_FORM = "%Y-%m-%dT%H:%M:%S.%fZ"

# Every field kept, of tasks and of their annotations. Left out: what Label Studio derives from these, drafts (unfinished),
# and predictions (ours, or a model's; `parent_prediction` says when an answer started from one).
TASK_FIELDS = (
    "id", "inner_id", "project", "data", "meta", "created_at", "updated_at", "file_upload", "storage_filename",
    "annotations",
)  # fmt: skip
ANNOTATION_FIELDS = (
    "result", "completed_by", "updated_by", "was_cancelled", "ground_truth", "lead_time", "draft_created_at",
    "import_id", "last_action", "bulk_created", "parent_prediction", "parent_annotation", "last_created_by",
)  # fmt: skip


@dataclass(frozen=True)
class Mirror:
    """A project as it was at one entry: living tasks by id, raw; `users` maps annotator ids to names to show."""

    tasks: list[dict[str, Any]]
    label_config: str
    users: dict[str, str]
    number: int
    project_id: int
    url: str
    title: str


def sync(
    store: Store,
    connection: Connection,
    project_id: int,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Bring the mirror up to date. Returns number (of the newest entry), new (whether it was made now), tasks,
    annotations, and how many tasks were added, changed and deleted.

    SourceError if the mirror belongs to another project. Conflict if another sync published at the same time: run again.
    """
    facts = project_facts(connection, project_id)
    last = store.head(LOG)
    _same_project(store, last, facts)
    seen_at = server_time(connection)
    old = list(last["segments"]) if last else []
    before = living(store, old)
    since = _watermark(store, last)
    if since is None:
        pages = full_pages(connection, project_id, include=_FIELDS)
    else:
        pages = _touched(connection, project_id, since - OVERLAP, before)
    expected = 0 if last else facts["task_number"]
    changes = _changes(_watched(pages, lambda done: progress(done, max(done, expected))), before)
    new = write(store, changes, seen_at)
    facts = project_facts(connection, project_id)
    if len(living(store, [*old, *new])) != facts["task_number"]:
        gone = _deletions(connection, project_id, living(store, [*old, *new]))
        new += write(store, gone, seen_at)
    return _publish(store, connection, last, facts, before, new, seen_at)


def read_mirror(store: Store, number: int | None = None) -> Mirror:
    """The project at entry `number`, or as it is now. Missing if nothing was synced, or there is no such entry."""
    entries = {int(entry.stem): entry for entry in store.entries(LOG)}
    if not entries:
        raise Missing(f"Nothing was synced into {store.root} yet: run `assay sync`.")
    number = max(entries) if number is None else number
    if number not in entries:
        raise Missing(f"The mirror in {store.root} has no entry {number}: it goes from 1 to {max(entries)}.")
    body = store.read(entries[number])
    rows = newest(store, body["segments"], "raw")
    raw = {row["task_id"]: row["raw"] for row in rows if not row["deleted"]}
    return Mirror(
        [orjson.loads(raw[task]) for task in sorted(raw)],
        body["label_config"], body["users"], number, body["project_id"], body["url"], body["title"],
    )  # fmt: skip


_FIELDS = (*TASK_FIELDS, *ANNOTATION_FIELDS)


def _same_project(store: Store, last: dict[str, Any] | None, facts: dict[str, Any]) -> None:
    """A server set up afresh gives old numbers to new projects: the time of making tells them apart."""
    if last and (last["project_id"], last["project_created_at"]) != (facts["id"], facts["created_at"]):
        raise SourceError(
            f"The mirror in {store.root} holds project {last['project_id']} ({last['title']!r}, made "
            f"{last['project_created_at']}), not {facts['id']} ({facts['title']!r}, made {facts['created_at']}): "
            "mend label_studio in project.yaml, or choose another `store` there."
        )


def _touched(
    connection: Connection, project_id: int, since: datetime, before: dict[int, Row]
) -> Iterator[list[dict[str, Any]]]:
    """Tasks written after `since`, but for those we have as they are: looking at them alone costs a quarter."""
    newer = condition("updated_at", "greater", "Datetime", since.strftime(DATE_FORM))
    for page in bare_pages(connection, project_id, include=["id", "updated_at"], filters=[newer]):
        ids = [
            task["id"] for task in page if before.get(task["id"], {}).get("updated_at") != task["updated_at"]
        ]
        for start in range(0, len(ids), PAGE):
            these = condition("id", "in_list", "Number", ids[start : start + PAGE])
            yield from full_pages(connection, project_id, include=_FIELDS, filters=[these])


def _changes(pages: Iterable[list[dict[str, Any]]], before: dict[int, Row]) -> Iterator[Row]:
    """The tasks that differ from what is known."""
    for task in (task for page in pages for task in page):
        answers = sorted(task["annotations"], key=lambda answer: answer["id"])
        task = {**task, "annotations": answers}
        revision = _revision(task)
        if task["id"] not in before or before[task["id"]]["revision"] != revision:
            yield {
                "task_id": task["id"],
                "revision": revision,
                "raw": orjson.dumps(task).decode(),
                "deleted": False,
                "updated_at": task["updated_at"],
                "completed_by": [answer["completed_by"] for answer in answers],
            }


def _revision(task: dict[str, Any]) -> str:
    """Changes when the task or one of its annotations does; not when its place in a review queue does."""
    meta = {key: value for key, value in (task["meta"] or {}).items() if key != RANK}
    lasting = {key: value for key, value in task.items() if key not in ("updated_at", "updated_by", "meta")}
    return digest(lasting, meta)


def _deletions(connection: Connection, project_id: int, living: dict[int, Row]) -> Iterator[Row]:
    """Label Studio keeps no trace of a deleted task: it is one we know and the server does not."""
    there = {task["id"] for page in bare_pages(connection, project_id, include=["id"]) for task in page}
    for task in sorted(living.keys() - there):
        gone = {"revision": "", "raw": "", "deleted": True, "updated_at": None, "completed_by": []}
        yield {"task_id": task, **gone}


def _watched(
    pages: Iterable[list[dict[str, Any]]], progress: Callable[[int], None]
) -> Iterator[list[dict[str, Any]]]:
    done = 0
    for page in pages:
        yield page
        done += len(page)
        progress(done)


def _publish(
    store: Store, connection: Connection, last: dict[str, Any] | None, facts: dict[str, Any], before: dict[int, Row],
    new: list[str], seen_at: datetime,
) -> dict[str, Any]:  # fmt: skip
    segments = [*(last["segments"] if last else []), *new]
    now = living(store, segments)
    counts = {
        "tasks": len(now),
        "annotations": sum(len(row["completed_by"]) for row in now.values()),
        "added": len(now.keys() - before.keys()),
        "changed": sum(
            row["revision"] != before[task]["revision"] for task, row in now.items() if task in before
        ),
        "deleted": len(before.keys() - now.keys()),
    }
    body = {
        "project_id": facts["id"],
        "project_created_at": facts["created_at"],
        "url": connection.url,
        "title": facts["title"],
        "label_config": facts["label_config"],
        "users": _names(connection, last, now),
        "segments": segments,
    }
    same = last is not None and all(last[name] == value for name, value in body.items())
    number = last["number"] if last is not None and same else _append(store, last, body, counts, new, seen_at)
    _note_watermark(store, number, seen_at)
    return {"number": number, "new": not same, "project_id": facts["id"], **counts}


def _append(
    store: Store, last: dict[str, Any] | None, body: dict[str, Any], counts: dict[str, int], new: list[str],
    seen_at: datetime,
) -> int:  # fmt: skip
    entry = {**body, "counts": counts, "new_segments": new, "watermark": seen_at.isoformat()}
    return store.append(LOG, entry, after=last["number"] if last else 0)


def _names(connection: Connection, last: dict[str, Any] | None, now: dict[int, Row]) -> dict[str, str]:
    """Names of those who annotated here, no others. Who has left the server keeps the last known name."""
    annotators = {str(user) for row in now.values() for user in row["completed_by"] if user is not None}
    known = {**(last["users"] if last else {}), **users(connection)}
    former = set(last["users"]) if last else set()
    return {user: known.get(user, f"user {user}") for user in sorted(annotators | former, key=int)}


def _watermark(store: Store, last: dict[str, Any] | None) -> datetime | None:
    """The server's time when the last pull began: later than the entry's, if later pulls found nothing new."""
    if last is None:
        return None
    try:
        noted = orjson.loads(_note(store).read_bytes())
        if noted["number"] == last["number"]:
            return datetime.fromisoformat(noted["watermark"])
    except (OSError, ValueError, KeyError, TypeError):  # a cache: gone or broken is the same
        pass
    return datetime.fromisoformat(last["watermark"])


def _note_watermark(store: Store, number: int, seen_at: datetime) -> None:
    _note(store).parent.mkdir(parents=True, exist_ok=True)
    _note(store).write_bytes(orjson.dumps({"number": number, "watermark": seen_at.isoformat()}))


def _note(store: Store) -> Path:
    return store.root / "cache" / "mirror-watermark.json"
