"""Reading the mirror that `sync` fills: a project as it was at each entry, and what came before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson

from pipeline.errors import Missing
from pipeline.label_studio.segments import Index, Row, read_index, revisions, stream
from pipeline.store import Store

LOG = "mirror"


@dataclass(frozen=True)
class Mirror:
    """A project as it was at one entry: living tasks by id, raw; `users` maps annotator ids to names to show.

    unreadable: living tasks that Label Studio itself fails on, as {task_id, reason}; they are not in `tasks`.
    departed: annotators (ids, as in `users`) whose account was deleted. Label Studio then forgets who made their
    annotations; where an earlier revision named them, `completed_by` still does, beside `"completed_by_restored": true`.
    """

    tasks: list[dict[str, Any]]
    label_config: str
    users: dict[str, str]
    number: int
    project_id: int
    url: str
    title: str
    unreadable: list[dict[str, Any]] = field(default_factory=list)
    departed: list[str] = field(default_factory=list)


def read_mirror(store: Store, number: int | None = None) -> Mirror:
    """The project at entry `number`, or as it is now. Missing if nothing was synced, or there is no such entry."""
    return replace(mirror_head(store, number), tasks=list(mirror_tasks(store, number)))


def mirror_head(store: Store, number: int | None = None) -> Mirror:
    """`read_mirror` without the tasks, for whoever streams them."""
    number, body = _entry(store, number)
    index = read_index(store, body["segments"])
    return Mirror(
        [], body["label_config"], body["users"], number, body["project_id"], body["url"], body["title"],
        unreadable(store, body["segments"], index), body.get("departed", []),
    )  # fmt: skip


def mirror_tasks(store: Store, number: int | None = None) -> Iterator[dict[str, Any]]:
    """`read_mirror(store, number).tasks` one by one: holds 42 bytes of each task, and the content of a few hundred."""
    _, body = _entry(store, number)
    yield from _tasks(store, body["segments"], read_index(store, body["segments"]))


def task_revisions(store: Store, task_id: int) -> list[Row]:
    """Every revision of a task that was ever seen, oldest first: seen_at, raw (JSON; "" if there is none), deleted, reason
    (why it could not be read, or null), …"""
    bodies = [store.read(entry) for entry in store.entries(LOG)]
    segments = dict.fromkeys(key for body in bodies for key in [*body["segments"], *body["new_segments"]])
    return revisions(store, segments, task_id)


def label_configs(store: Store) -> list[tuple[int, datetime, str]]:
    """The labeling configurations there were, oldest first: the entry that first saw each, the server's time then, its XML."""
    found: list[tuple[int, datetime, str]] = []
    for entry in store.entries(LOG):
        body = store.read(entry)
        if not found or found[-1][2] != body["label_config"]:
            found.append((int(entry.stem), datetime.fromisoformat(body["watermark"]), body["label_config"]))
    return found


def _entry(store: Store, number: int | None) -> tuple[int, dict[str, Any]]:
    entries = {int(entry.stem): entry for entry in store.entries(LOG)}
    if not entries:
        raise Missing(f"Nothing was synced into {store.root} yet: run `assay sync`.")
    number = max(entries) if number is None else number
    if number not in entries:
        raise Missing(f"The mirror in {store.root} has no entry {number}: it goes from 1 to {max(entries)}.")
    return number, store.read(entries[number])


def _tasks(store: Store, segments: list[str], index: Index) -> Iterator[dict[str, Any]]:
    for row in stream(store, segments, index, index.living & index.readable, "raw", "completed_by"):
        task: dict[str, Any] = orjson.loads(row["raw"])
        for answer, user in zip(task["annotations"], row["completed_by"], strict=True):
            if answer["completed_by"] != user:
                answer |= {"completed_by": user, "completed_by_restored": True}
        yield task


def unreadable(store: Store, segments: list[str], index: Index) -> list[dict[str, Any]]:
    rows = stream(store, segments, index, index.living & ~index.readable, "task_id", "reason")
    return list(rows)
