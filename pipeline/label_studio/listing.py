"""Tasks of a project, page by page, in a way that misses none.

Paging is by key (id greater than the last one seen), never by offset: deleting 30 tasks during an offset walk hides 30
others. `include` names every field wanted, those of nested annotations too: Label Studio leaves out the rest, which makes
a page three times cheaper (3,000 tasks with 6,000 annotations: 3.7 instead of 11.6 server CPU seconds).

Half a surrogate pair in one text makes Label Studio fail on every page that holds it: such a page is halved until the
task is alone, and the others on it are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from pipeline.errors import SourceError
from pipeline.label_studio.connection import TRIES, Connection, request
from pipeline.label_studio.failures import ServerFault

PAGE = 250  # tasks, 0.4 s of the server's CPU; pages of 1000 were no cheaper, and each is a wait without progress
BARE_PAGE = 5000  # tasks without annotations, 2 s
ALONE_TRIES = 2  # for a task by itself: the server may have stumbled over something else a moment ago
CAUSE = "often half of a character's code, a lone surrogate, in its text or in an annotation"

Task = dict[str, Any]
Filter = dict[str, Any]


@dataclass(frozen=True)
class Page:
    """Tasks ascending by id; those the server fails on, with id and updated_at alone; the highest id looked at."""

    tasks: list[Task]
    unreadable: list[Task]
    last: int


def condition(column: str, operator: str, kind: str, value: Any) -> Filter:
    """One Data Manager filter. Dates must be written `%Y-%m-%dT%H:%M:%S.%fZ`: any other form is answered with 500."""
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}


def pages(
    connection: Connection,
    project_id: int,
    *,
    include: Sequence[str],
    filters: Sequence[Filter] = (),
    after: int = 0,
) -> Iterator[Page]:
    """Tasks with what belongs to them (annotations, predictions) whose id is greater than `after`, ascending by id.

    A page with p tasks that the server fails on costs some 2 p log2(PAGE / p) requests more.
    """
    yield from _pages(connection, project_id, {"fields": "all"}, PAGE, include, filters, after)


def full_pages(
    connection: Connection, project_id: int, *, include: Sequence[str], filters: Sequence[Filter] = ()
) -> Iterator[list[Task]]:
    """The same, all of them; SourceError for a task that the server fails on."""
    for page in pages(connection, project_id, include=include, filters=filters):
        yield _readable(connection, page)


def bare_pages(
    connection: Connection,
    project_id: int,
    *,
    include: Sequence[str],
    filters: Sequence[Filter] = (),
    after: int = 0,
) -> Iterator[list[Task]]:
    """Tasks alone, ascending by id: a quarter of the cost. SourceError for a task that the server fails on."""
    for page in _pages(connection, project_id, {"fields": "task_only"}, BARE_PAGE, include, filters, after):
        yield _readable(connection, page)


def count(connection: Connection, project_id: int, *, filters: Sequence[Filter] = ()) -> int:
    """How many tasks there are, in one small request."""
    params = {"fields": "task_only", "project": project_id, "include": "id"}
    return int(_ask(connection, params, filters, 1)["total"])


def _pages(
    connection: Connection, project_id: int, params: dict[str, Any], size: int, include: Sequence[str],
    filters: Sequence[Filter], after: int,
) -> Iterator[Page]:  # fmt: skip
    params = {**params, "project": project_id, "include": ",".join(include), "resolve_uri": "false"}
    while True:
        beyond = [*filters, condition("id", "greater", "Number", after)]
        try:
            known = tasks = _ask(connection, params, beyond, size)["tasks"]
            unreadable: list[Task] = []
        except ServerFault as fault:
            known = _known(connection, params, beyond, size, fault)
            ask = partial(_between, connection, params, filters, size)
            tasks, unreadable = _apart(ask, known, sure=True)
        if known:
            yield Page(tasks, unreadable, known[-1]["id"])
        if len(known) < size:
            return
        after = known[-1]["id"]


def _ask(
    connection: Connection, params: dict[str, Any], filters: Sequence[Filter], size: int, tries: int = TRIES
) -> dict[str, Any]:
    query = {"filters": {"conjunction": "and", "items": list(filters)}, "ordering": ["tasks:id"]}
    asked = {**params, "query": orjson.dumps(query).decode(), "page_size": size}
    answer: dict[str, Any] = request(connection, "GET", "/api/tasks/", params=asked, timeout=300, tries=tries)
    return answer


def _known(
    connection: Connection, params: dict[str, Any], filters: Sequence[Filter], size: int, fault: ServerFault
) -> list[Task]:
    """The page that the server failed on as bare ids, which it can still list. If there are none, they were not at fault."""
    bare = {**params, "fields": "task_only", "include": "id,updated_at"}
    known: list[Task] = _ask(connection, bare, filters, size)["tasks"]
    if not known:
        raise fault
    return known


def _between(
    connection: Connection, params: dict[str, Any], filters: Sequence[Filter], size: int, known: list[Task]
) -> list[Task] | None:
    """These tasks, or None if one of them breaks the server."""
    span = condition("id", "in", "Number", {"min": known[0]["id"], "max": known[-1]["id"]})
    tries = ALONE_TRIES if len(known) == 1 else 1
    try:
        tasks: list[Task] = _ask(connection, params, [*filters, span], size, tries)["tasks"]
    except ServerFault:
        return None
    return tasks


def _apart(
    ask: partial[list[Task] | None], known: list[Task], *, sure: bool
) -> tuple[list[Task], list[Task]]:
    """What can be read of `known`, and what cannot. `sure`: one of them is known to break the server; a task alone is asked
    for all the same, since a server that stumbled for another reason must not cost us a task."""
    if not sure or len(known) == 1:
        tasks = ask(known)
        if tasks is not None:
            return tasks, []
        if len(known) == 1:
            return [], known
    half = len(known) // 2
    left, left_broken = _apart(ask, known[:half], sure=False)
    right, right_broken = _apart(ask, known[half:], sure=not left_broken)
    return left + right, left_broken + right_broken


def _readable(connection: Connection, page: Page) -> list[Task]:
    if page.unreadable:
        listed = ", ".join(str(task["id"]) for task in page.unreadable)
        raise SourceError(
            f"Label Studio at {connection.url} itself fails on task {listed} ({CAUSE}): "
            "delete that task there or mend it, then run this again."
        )
    return page.tasks
