"""Tasks of a project, page by page, in a way that misses none.

Paging is by key (id greater than the last one seen), never by offset: deleting 30 tasks during an offset walk hides 30
others. `include` names every field wanted, those of nested annotations too: Label Studio leaves out the rest, which makes
a page three times cheaper (3,000 tasks with 6,000 annotations: 3.7 instead of 11.6 server CPU seconds).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from pipeline.errors import LabelStudioError, SourceError, Unauthorized
from pipeline.label_studio.connection import Connection, request

PAGE = 250  # tasks, 0.4 s of the server's CPU; pages of 1000 were no cheaper, and each is a wait without progress
BARE_PAGE = 5000  # tasks without annotations, 2 s


def condition(column: str, operator: str, kind: str, value: Any) -> dict[str, Any]:
    """One Data Manager filter. Dates must be written `%Y-%m-%dT%H:%M:%S.%fZ`: any other form is answered with 500."""
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}


def full_pages(
    connection: Connection,
    project_id: int,
    *,
    include: Sequence[str],
    filters: Sequence[dict[str, Any]] = (),
) -> Iterator[list[dict[str, Any]]]:
    """Tasks with what belongs to them (annotations, predictions), ascending by id."""
    yield from _pages(connection, project_id, {"fields": "all"}, PAGE, include, filters)


def bare_pages(
    connection: Connection,
    project_id: int,
    *,
    include: Sequence[str],
    filters: Sequence[dict[str, Any]] = (),
) -> Iterator[list[dict[str, Any]]]:
    """Tasks alone, ascending by id: a quarter of the cost."""
    yield from _pages(connection, project_id, {"fields": "task_only"}, BARE_PAGE, include, filters)


def _pages(
    connection: Connection,
    project_id: int,
    params: dict[str, Any],
    size: int,
    include: Sequence[str],
    filters: Sequence[dict[str, Any]],
) -> Iterator[list[dict[str, Any]]]:
    params = {**params, "project": project_id, "include": ",".join(include), "resolve_uri": "false"}
    after = 0
    while True:
        beyond = [*filters, condition("id", "greater", "Number", after)]
        try:
            tasks = _page(connection, params, beyond, size)
        except LabelStudioError as error:
            if error.transient or isinstance(error, Unauthorized):
                raise
            raise _broken_task(connection, params, beyond, size) or error from error
        if tasks:
            yield tasks
        if len(tasks) < size:
            return
        after = tasks[-1]["id"]


def _page(
    connection: Connection, params: dict[str, Any], filters: Sequence[dict[str, Any]], size: int
) -> list[dict[str, Any]]:
    query = {"filters": {"conjunction": "and", "items": list(filters)}, "ordering": ["tasks:id"]}
    asked = {**params, "query": orjson.dumps(query).decode(), "page_size": size}
    tasks: list[dict[str, Any]] = request(connection, "GET", "/api/tasks/", params=asked, timeout=300)[
        "tasks"
    ]
    return tasks


def _broken_task(
    connection: Connection, params: dict[str, Any], filters: Sequence[dict[str, Any]], size: int
) -> SourceError | None:
    """Half a surrogate pair in one text makes Label Studio fail on every page that holds it: halve until it is found."""
    bare = {**params, "fields": "task_only", "include": "id"}
    ids = [task["id"] for task in _page(connection, bare, filters, size)]
    if not ids:
        return None
    while len(ids) > 1:
        half = ids[: len(ids) // 2]
        between = condition("id", "in", "Number", {"min": half[0], "max": half[-1]})
        try:
            _page(connection, params, [*filters, between], size)
        except LabelStudioError as error:
            if error.transient:
                raise
            ids = half
        else:
            ids = ids[len(half) :]
    return SourceError(
        f"Label Studio at {connection.url} itself fails on task {ids[0]} (often broken characters in its text): "
        "delete that task there or mend it, then run this again."
    )
