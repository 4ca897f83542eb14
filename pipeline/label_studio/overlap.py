"""Blind overlap without Enterprise: a project of his own for each annotator, called his queue, and the way home.

A queue holds copies of the tasks that the plan gives to one annotator, in his order, and nothing else: no suggestions, no
ground truth, nobody else's answers. What he answers is carried home to the project that the tasks came from, under his name.

Why not one project with a tab for each? Seen in 1.23.2: the button "Label All Tasks" forgets the tab's filter; "Label Tasks
As Displayed" forgets every filter on what is no column, such as `meta`; a click on a row shows what others answered; and a
project knows one order of tasks for everybody. A queue's own button, rows and order are right by themselves.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.errors import ConfigError, SourceError
from pipeline.label_studio.connection import Connection, request
from pipeline.label_studio.listing import bare_pages, condition, full_pages
from pipeline.label_studio.project import KEY, TITLE_LIMIT, import_tasks
from pipeline.store import digest

SOURCE = "assay_task"  # in the meta of a queue's task: the task at home that it is a copy of
MARK = re.compile(r"Assay queue of project (\d+) for user (\d+)")  # a queue's description: how it is found again
NAME_ROOM = 20  # characters of a queue's title for the annotator's name; the rest is for the project's
# What a queue has in common with home, and what makes it blind. One annotation closes a task, so that its owner sees how far
# he is; who merely opens a task in somebody else's queue locks it to its owner for as long as the server says (a day).
SAME = (
    "label_config",
    "expert_instruction",
    "show_instruction",
    "show_skip_button",
    "enable_empty_annotation",
)
BLIND = {
    "maximum_annotations": 1,
    "sampling": "Sequential sampling",  # in the order of import
    "skip_queue": "REQUEUE_FOR_OTHERS",  # what he skips does not come back to him
    "show_collab_predictions": False,
    "show_annotation_history": False,
}
ANSWER = ("annotations", "result", "completed_by", "was_cancelled", "ground_truth", "lead_time", "import_id")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Person:
    id: int
    email: str
    name: str


@dataclass(frozen=True)
class Given:
    """One annotation. `task` is the task at home, also where the annotation lies in a queue."""

    task: int
    user: int
    annotation: int
    skipped: bool
    truth: bool
    created_at: str
    updated_at: str
    import_id: int | None
    content: str  # differs when the result does, or whether it was skipped
    said: str  # equal for equal answers; "" for none


def people(connection: Connection, emails: Sequence[str] = ()) -> list[Person]:
    """Those with these addresses, in this order; without any, all users but the token's owner. ConfigError if unknown."""
    owner = request(connection, "GET", "/api/current-user/whoami")["id"]
    known = {}
    for user in request(connection, "GET", "/api/users/"):
        name = f"{user['first_name']} {user['last_name']}".strip() or user["email"].split("@")[0]
        known[user["email"].lower()] = Person(int(user["id"]), user["email"], name)
    wanted = list(dict.fromkeys(email.strip().lower() for email in emails))
    unknown = [email for email in wanted if email not in known]
    if unknown:
        raise ConfigError(
            f"Label Studio at {connection.url} has no user {', '.join(unknown)}; it has {', '.join(sorted(known))}: "
            "send those who are missing the invite link of its Organization page."
        )
    everybody = [person for _, person in sorted(known.items()) if person.id != owner]
    return [known[email] for email in wanted] if wanted else everybody


def find_queues(connection: Connection, project_id: int) -> dict[int, int]:
    """user -> queue (a project's id). SourceError if somebody has two, as after a copy made by hand."""
    queues: dict[int, int] = {}
    page = 1
    while True:
        params = {"page": page, "page_size": 100, "include": "id,description"}
        found = request(connection, "GET", "/api/projects/", params=params)
        for item in found["results"]:
            mark = MARK.fullmatch((item["description"] or "").strip())
            if mark and int(mark[1]) == project_id:
                user = int(mark[2])
                if user in queues:
                    raise SourceError(
                        f"Projects {queues[user]} and {item['id']} both say that they are the queue of user {user} for project "
                        f"{project_id}: change the description of the one that is not."
                    )
                queues[user] = int(item["id"])
        if not found["next"]:
            return queues
        page += 1


def given(
    connection: Connection, project_id: int, queues: Mapping[int, int], controls: Sequence[str] = ()
) -> list[Given]:
    """Every annotation, at home or only in a queue yet, each once. controls: those that hold the answer; default all."""
    home = [one for one, _ in _given(connection, project_id, None, controls)]
    known = {(one.task, one.user, one.import_id) for one in home}
    fresh = (one for queue in queues.values() for one, _ in _given(connection, queue, SOURCE, controls))
    return [*home, *(one for one in fresh if (one.task, one.user, one.annotation) not in known)]


def push_queues(
    connection: Connection,
    project_id: int,
    queues: Mapping[int, Sequence[int]],
    names: Mapping[int, str],
    *,
    progress: Progress = lambda done, total: None,
) -> list[dict[str, Any]]:
    """Bring every annotator's queue to what `queues` (user -> task ids in order) says; what is right is not touched.

    Missing tasks are appended in the order given. What is in a queue and not in the plan is deleted, unless it was
    answered; so is all that is unanswered in the queue of somebody who is not in the plan. A copy whose task changed at home
    follows, unless it was answered. Returns for each user: user, project, url, created, changed, removed.
    """
    home = request(connection, "GET", f"/api/projects/{project_id}/")
    there = find_queues(connection, project_id)
    outcomes: list[dict[str, Any]] = []
    for user in [*queues, *(user for user in there if user not in queues)]:
        progress(len(outcomes), len({*queues, *there}))
        if user not in there:
            if not queues[user]:
                continue
            there[user] = _make_queue(connection, home, user, names.get(user, f"user {user}"))
        else:
            _settle(connection, home, there[user])
        counts = _fill(connection, project_id, there[user], queues.get(user, ()))
        url = f"{connection.url}/projects/{there[user]}/data"
        outcomes.append({"user": user, "project": there[user], "url": url, **counts})
    return outcomes


def pull_queues(
    connection: Connection,
    project_id: int,
    queues: Mapping[int, int],
    *,
    progress: Progress = lambda done, total: None,
) -> dict[str, int]:
    """Carry answers home: created, changed (there newer than at home), moved, kept (differs, but home is newer), homeless (its
    task was deleted at home).

    Each costs one request (0.1 to 0.4 s) and keeps its author, result and lead time, not the time at which it was given;
    `import_id` names the annotation in the queue, by which it is known again. What was deleted at home comes back as long as
    the queue has it. A task that somebody else answered in an annotator's queue would be closed to him: that answer goes
    home and is then taken out of the queue (moved).
    """
    home: dict[int, dict[tuple[int, int | None], Given]] = {
        task["id"]: {} for page in bare_pages(connection, project_id, include=["id"]) for task in page
    }
    for one, _ in _given(connection, project_id, None):
        home.setdefault(one.task, {})[one.user, one.import_id] = one
    counts: Counter[str] = Counter()
    todo = []
    for owner, queue in queues.items():
        for one, raw in _given(connection, queue, SOURCE):
            twin = home.get(one.task, {}).get((one.user, one.annotation))
            if twin is not None and datetime.fromisoformat(twin.created_at) < datetime.fromisoformat(one.created_at):
                twin = None  # older than what it would be a copy of: imported from elsewhere, with the same number by chance
            if one.task not in home:
                counts["homeless"] += 1
            elif one.user != owner or twin is None or twin.content != one.content:
                todo.append((owner, one, raw, twin))
    for done, (owner, one, raw, twin) in enumerate(todo):
        progress(done, len(todo))
        counts[_carry(connection, one, raw, twin)] += 1
        if one.user != owner:  # and only now that it is home
            request(connection, "DELETE", f"/api/annotations/{one.annotation}/")
            counts["moved"] += 1
    progress(len(todo), len(todo))
    return {name: counts[name] for name in ("created", "changed", "moved", "kept", "homeless")}


def said(result: Sequence[Mapping[str, Any]], controls: Sequence[str] = ()) -> str:
    """A digest by which equal answers are equal, whatever the ids of their regions and the order of their entries."""
    entries = []
    for item in result:
        if not controls or item.get("from_name") in controls:
            value = item.get("value")
            if isinstance(value, Mapping):
                value = {key: sorted(map(str, part)) if isinstance(part, list) else part for key, part in value.items()}
            entries.append(digest(item.get("from_name"), item.get("type"), value))
    return digest(sorted(entries)) if entries else ""


def _given(
    connection: Connection, project_id: int, source: str | None, controls: Sequence[str] = ()
) -> Iterator[tuple[Given, dict[str, Any]]]:
    include = ["id", "meta", "created_at", "updated_at", "draft_created_at", *ANSWER]
    for task in (task for page in full_pages(connection, project_id, include=include) for task in page):
        number = (task["meta"] or {}).get(source) if source else task["id"]
        for raw in task["annotations"]:
            if not isinstance(number, int) or raw["completed_by"] is None:
                continue  # not one of our tasks, or its author was deleted
            result = [item for item in raw["result"] or [] if isinstance(item, dict)]
            skipped = bool(raw["was_cancelled"])
            one = Given(
                number, int(raw["completed_by"]), int(raw["id"]), skipped, bool(raw["ground_truth"]),
                raw["created_at"], raw["updated_at"], raw["import_id"], digest(result, skipped),
                "" if skipped else said(result, controls),
            )  # fmt: skip
            yield one, raw


def _carry(connection: Connection, one: Given, raw: Mapping[str, Any], twin: Given | None) -> str:
    """What became of one answer; a reply that is lost is found out by the next pull, which looks before it writes."""
    if twin is not None and twin.content == one.content:
        return "same"
    if twin is not None and twin.updated_at > one.updated_at:
        return "kept"  # somebody corrected it at home since it was carried there
    body = {"result": raw["result"] or [], "was_cancelled": one.skipped, "lead_time": raw["lead_time"]}
    if twin is not None:
        request(connection, "PATCH", f"/api/annotations/{twin.annotation}/", json=body)
        return "changed"
    own = {"completed_by": one.user, "import_id": one.annotation, "draft_created_at": raw["draft_created_at"]}
    request(connection, "POST", f"/api/tasks/{one.task}/annotations/", json={**body, **own})
    return "created"


def _make_queue(connection: Connection, home: Mapping[str, Any], user: int, name: str) -> int:
    title = f"{home['title'][: TITLE_LIMIT - NAME_ROOM - 3].strip()} · {name[:NAME_ROOM]}"
    mark = f"Assay queue of project {home['id']} for user {user}"
    body = {"title": title, "description": mark, **{key: home[key] for key in SAME}, **BLIND}
    return int(request(connection, "POST", "/api/projects/", json=body)["id"])


def _settle(connection: Connection, home: Mapping[str, Any], queue: int) -> None:
    """A queue's settings follow home's; its title is for people to change."""
    now = request(connection, "GET", f"/api/projects/{queue}/")
    wanted = {**{key: home[key] for key in SAME}, **BLIND}
    differing = {key: value for key, value in wanted.items() if now[key] != value}
    if differing:
        request(connection, "PATCH", f"/api/projects/{queue}/", json=differing)


def _fill(connection: Connection, project_id: int, queue: int, plan: Sequence[int]) -> dict[str, int]:
    include = ["id", "meta", "total_annotations", "cancelled_annotations"]
    # the list does not say it, but it can be asked for
    drafted = condition("draft_exists", "equal", "Boolean", "true")
    begun = {task["id"] for page in bare_pages(connection, queue, include=["id"], filters=[drafted]) for task in page}
    copies = {
        task["meta"][SOURCE]: task
        for page in bare_pages(connection, queue, include=include)
        for task in page
        if isinstance((task["meta"] or {}).get(SOURCE), int)
    }
    untouched = {
        source
        for source, copy in copies.items()
        if not copy["total_annotations"] + copy["cancelled_annotations"] and copy["id"] not in begun
    }
    bodies, changed, wanted = {}, 0, set(plan)
    for task in (task for page in bare_pages(connection, project_id, include=["id", "data"]) for task in page):
        number, body = (
            task["id"],
            {"data": task["data"], "key": str(task["id"]), "meta": {SOURCE: task["id"]}},
        )
        if number in wanted and number not in copies:
            bodies[number] = body
        elif number in wanted & untouched and copies[number]["meta"].get(KEY) != _key(body):
            meta = {**copies[number]["meta"], KEY: _key(body)}
            patch = {"data": task["data"], "meta": meta}
            request(connection, "PATCH", f"/api/tasks/{copies[number]['id']}/", json=patch)
            changed += 1
    missing = [bodies[task] for task in plan if task in bodies]
    if missing:
        import_tasks(connection, queue, missing)
    surplus = [copies[source]["id"] for source in sorted(untouched - wanted)]
    if surplus:
        params = {"id": "delete_tasks", "project": queue}
        chosen = {"selectedItems": {"all": False, "included": surplus}}
        request(connection, "POST", "/api/dm/actions/", params=params, json=chosen, timeout=300)
    return {"created": len(missing), "changed": changed, "removed": len(surplus)}


def _key(body: Mapping[str, Any]) -> str:
    """As `import_tasks` makes it: no two copies have the same key, so each is the first of its kind."""
    return digest(digest(body["data"], body["key"]), 0)
