"""The mirror: everything a Label Studio project held, revision by revision.

A log `mirror` in the store. Each entry names the project, the labeling configuration in force, the people, and the
segments: immutable Parquet files of task revisions, oldest first. The newest row of a task is the task as it is now; older
rows, and those of deleted tasks, stay. Nothing changed means no new entry.

The first pull and the later ones take the same road, the task list with annotations (see `listing`), so that a task looks
the same whichever brought it. For 50,000 tasks with 100,000 annotations it cost 81 server CPU seconds, the SDK's
`exports.as_json` 80, a snapshot 60 (tests/benchmarks/label_studio_sync.py). But an export holds the whole project in the
server's memory (0.97 GB; the list 0.32), starts over when it is interrupted, is cut off by proxies after a minute, and leaves a
copy on the server's disk; and while the snapshot ran on SQLite, the server refused 5 of 7 answers that an annotator tried
to save, each after 11 s. The list lets them (the longest of 55 saves took 1.3 s), resumes, and holds a page at both ends.

A pull that is interrupted, at whatever point, goes on where it stopped (see `resume`). A task that the server itself fails on
is a row without content: it is there, it counts, and `Mirror.unreadable` says why it cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from pipeline.errors import SourceError
from pipeline.label_studio import resume
from pipeline.label_studio.connection import Connection, server_time
from pipeline.label_studio.listing import condition, count
from pipeline.label_studio.mirror import (
    LOG,
    Mirror,
    label_configs,
    mirror_tasks,
    read_mirror,
    task_revisions,
    unreadable,
)
from pipeline.label_studio.project import project_facts, users
from pipeline.label_studio.pull import FIELDS, all_pages, changed_rows, deleted_rows, touched_pages
from pipeline.label_studio.segments import SCHEMA, Index, annotators, compacted, read_index, to_table, write
from pipeline.store import Store, digest

__all__ = [
    "LOG",
    "OVERLAP",
    "Mirror",
    "label_configs",
    "mirror_tasks",
    "read_mirror",
    "sync",
    "task_revisions",
]

# A transaction's rows carry the time they were written, and are seen once it ends: 6 s later for 5,000 imported tasks.
# What changed in the last minutes before a pull is read again by the next.
OVERLAP = timedelta(minutes=5)


def sync(
    store: Store,
    connection: Connection,
    project_id: int,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Bring the mirror up to date. Returns number (of the newest entry), new (whether it was made now), tasks (unreadable
    ones too), annotations, how many tasks were added, changed and deleted, unreadable (a list of {task_id, reason}), and
    drafts (how many tasks have an answer that somebody began and did not submit; its content is not pulled).

    SourceError if the mirror belongs to another project. Waits while another sync into the same store runs on this machine;
    Conflict if one on another machine published at the same time: run again.
    """
    facts = project_facts(connection, project_id)
    _same_project(store, store.head(LOG), facts)
    with resume.alone(store):
        last = store.head(LOG)
        old = list(last["segments"]) if last else []
        before = read_index(store, old)
        about = {name: facts[name] for name in ("id", "created_at")}
        about |= {"entry": last["number"] if last else 0, "form": digest(FIELDS, SCHEMA.names)}
        pull = resume.begin(store, about, lambda: server_time(connection))
        _fetch(store, connection, facts, last, before, pull, progress)
        new = write(store, resume.noted(pull))
        facts = project_facts(connection, project_id)
        now = read_index(store, [*old, *new])
        if now.living.sum() != facts["task_number"]:
            new += write(store, [to_table(deleted_rows(connection, project_id, now, pull.seen_at))])
            now = read_index(store, [*old, *new])
        result = _publish(store, connection, last, facts, before, now, new, pull.seen_at)
        resume.end(pull)
        return result


def _same_project(store: Store, last: dict[str, Any] | None, facts: dict[str, Any]) -> None:
    """A server set up afresh gives old numbers to new projects: the time of making tells them apart."""
    if last and (last["project_id"], last["project_created_at"]) != (facts["id"], facts["created_at"]):
        raise SourceError(
            f"The mirror in {store.root} holds project {last['project_id']} ({last['title']!r}, made "
            f"{last['project_created_at']}), not {facts['id']} ({facts['title']!r}, made {facts['created_at']}): "
            "mend label_studio in project.yaml, or choose another `store` there."
        )


def _fetch(
    store: Store, connection: Connection, facts: dict[str, Any], last: dict[str, Any] | None, before: Index,
    pull: resume.Pull, progress: Callable[[int, int], None],
) -> None:  # fmt: skip
    """Note what has changed, page by page."""
    segments = last["segments"] if last else []
    if last is None:
        pages = all_pages(connection, facts["id"], pull.last)
    else:
        since = _watermark(store, last) - OVERLAP
        pages = touched_pages(connection, facts["id"], since, before, pull.last)
    done, expected = pull.looked_at, 0 if last else facts["task_number"]
    for page in pages:
        rows = changed_rows(store, segments, before, page, pull.seen_at)
        resume.note(pull, to_table(rows), page.last)
        done += len(page.tasks) + len(page.unreadable)
        progress(done, max(done, expected))


def _publish(
    store: Store, connection: Connection, last: dict[str, Any] | None, facts: dict[str, Any], before: Index,
    now: Index, new: list[str], seen_at: datetime,
) -> dict[str, Any]:  # fmt: skip
    segments = [*(last["segments"] if last else []), *new]
    annotations, who = annotators(store, segments, now)
    counts = {"annotations": annotations, **_counts(before, now)}
    names, departed = _people(connection, last, who)
    body = {
        "project_id": facts["id"],
        "project_created_at": facts["created_at"],
        "url": connection.url,
        "title": facts["title"],
        "label_config": facts["label_config"],
        "users": names,
        "departed": departed,
        "segments": segments,
    }
    same = last is not None and all(last.get(name) == value for name, value in body.items())
    drafts = count(connection, facts["id"], filters=[condition("draft_exists", "equal", "Boolean", "true")])
    if last is None or not same:
        entry = {**body, "segments": compacted(store, segments, now), "counts": counts, "new_segments": new}
        number = store.append(
            LOG, {**entry, "watermark": seen_at.isoformat()}, after=last["number"] if last else 0
        )
    else:
        number = last["number"]
    _note_watermark(store, number, seen_at)
    return {
        "number": number, "new": not same, "project_id": facts["id"], **counts,
        "unreadable": unreadable(store, segments, now), "drafts": drafts,
    }  # fmt: skip


def _counts(before: Index, now: Index) -> dict[str, int]:
    known, there = before.task_id[before.living], now.task_id[now.living]
    both = np.intersect1d(known, there, assume_unique=True).tolist()
    differs = before.revision[before.find(both)] != now.revision[now.find(both)]
    return {
        "tasks": len(there),
        "added": len(there) - len(both),
        "changed": int(differs.any(axis=1).sum()),
        "deleted": len(known) - len(both),
    }


def _people(
    connection: Connection, last: dict[str, Any] | None, who: set[int]
) -> tuple[dict[str, str], list[str]]:
    """Names of those who annotated here, no others, and those of them who are not on the server any more: they keep the last
    known name."""
    there, former = users(connection), last["users"] if last else {}
    ids = sorted({str(user) for user in who} | former.keys(), key=int)
    known = {**former, **there}
    return {user: known.get(user, f"user {user}") for user in ids}, [
        user for user in ids if user not in there
    ]


def _watermark(store: Store, last: dict[str, Any]) -> datetime:
    """The server's time when the last pull began: later than the entry's, if later pulls found nothing new."""
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
