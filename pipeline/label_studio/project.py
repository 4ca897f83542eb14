"""Making a project, its people and its tasks in Label Studio. Everything here can be run again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from pipeline.errors import ConfigError, LabelStudioError, SourceError
from pipeline.label_studio.connection import Connection, appeared, request, sdk
from pipeline.label_studio.failures import LostReply
from pipeline.label_studio.label_config import read_controls
from pipeline.label_studio.listing import bare_pages, full_pages
from pipeline.store import digest

KEY = "assay_key"  # in a task's meta: what it is known by, so that it is not imported twice
BATCH_TASKS = (
    1000  # the size hardly matters to Label Studio (100 to 2,000 measured); one request is one transaction
)
BATCH_BYTES = 8_000_000  # well under the 200 MB that its own nginx lets through
TITLE_LIMIT = 50  # characters; Label Studio's own


def setup_project(
    connection: Connection,
    *,
    title: str,
    label_config: str,
    guidelines: str = "",
    project_id: int | None = None,
    annotations_per_task: int = 1,
    removing: Collection[str] = (),
) -> int:
    """Create the project, or bring it up to date: by id if given, else by exact title. Returns its id.

    guidelines: Markdown, shown to annotators. annotations_per_task: how many answers make a task done.
    ConfigError if existing annotations use a label or a control that `label_config` no longer has, unless its name is listed
    in `removing`; a taxonomy's node is named by its path, "Person / Victim".
    """
    if not 3 <= len(title) <= TITLE_LIMIT:
        raise ConfigError(
            f"Label Studio takes titles of 3 to {TITLE_LIMIT} characters, not {title!r} ({len(title)}): "
            "mend `name` in project.yaml."
        )
    read_controls(label_config)
    found = project_id if project_id is not None else _by_title(connection, title)
    if found is not None:
        current = project_facts(connection, found)["label_config"]
        _refuse_removal(connection, found, current, label_config, removing)
    settings = {
        "title": title,
        "label_config": label_config,
        "expert_instruction": _as_html(guidelines),
        "show_instruction": bool(guidelines),
        "maximum_annotations": annotations_per_task,
    }
    with sdk(connection) as label_studio:
        if found is not None:
            label_studio.projects.update(found, **settings)
            return found
        return int(label_studio.projects.create(**settings).id)


def _as_html(guidelines: str) -> str:
    """Markdown for the page's window of instructions; HTML in it is shown as text."""
    from markdown_it import MarkdownIt

    html: str = MarkdownIt("commonmark", {"html": False}).enable("table").render(guidelines)
    return html.replace("<table>", '<table border="1" cellpadding="4">')


def project_facts(connection: Connection, project_id: int) -> dict[str, Any]:
    """title, label_config, task_number, total_annotations_number, created_at. LabelStudioError names the known projects."""
    try:
        facts = request(connection, "GET", f"/api/projects/{project_id}/")
    except LabelStudioError as error:
        if error.transient or project_id in (known := dict(_projects(connection))):
            raise
        listed = ", ".join(f"{number} ({title!r})" for number, title in sorted(known.items())) or "none"
        raise LabelStudioError(
            f"Label Studio at {connection.url} has no project {project_id}; its projects: {listed}. "
            "Mend label_studio.project in project.yaml, or run `assay setup`."
        ) from error
    names = ("title", "label_config", "task_number", "total_annotations_number", "created_at")
    return {"id": project_id, **{name: facts[name] for name in names}}


def ensure_users(connection: Connection, people: Iterable[Mapping[str, str]]) -> dict[str, int]:
    """email -> id for every one of `people` (email, first_name, last_name), made where missing.

    They can be named as annotators, but have no password: they cannot log in.
    """
    ids = {user["email"].lower(): int(user["id"]) for user in request(connection, "GET", "/api/users/")}
    wanted = list(people)
    for person in wanted:
        email = person["email"].lower()
        if email not in ids:
            with sdk(connection) as label_studio:
                made = label_studio.users.create(
                    email=email,
                    username=email,
                    first_name=person.get("first_name", ""),
                    last_name=person.get("last_name", ""),
                )
            ids[email] = int(made.id)
    return {person["email"]: ids[person["email"].lower()] for person in wanted}


def users(connection: Connection) -> dict[str, str]:
    """id -> name to show: first and last name, else the user name, else the part of the email before the @."""
    return {str(user["id"]): _shown_name(user) for user in request(connection, "GET", "/api/users/")}


def import_tasks(
    connection: Connection,
    project_id: int,
    tasks: Sequence[Mapping[str, Any]],
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, int]:
    """Bring in the tasks that are not there yet. Returns how many were created and how many were present.

    Each task is in Label Studio's import form ("data", and perhaps "annotations", "predictions", "meta"), and may have a
    "key". A task is known by its data, its key, and which copy it is: two equal rows are two tasks, the same file imported
    twice is not. Annotations are not ground truth unless they say so (Label Studio's own default is that they are).

    SourceError for a task that cannot be sent; LostReply if a batch was sent, no reply came, and it did not appear.
    """
    keyed = _keyed(tasks)
    present = _present(connection, project_id) if keyed else set()
    missing = [body for key, body in keyed if key not in present]
    done = len(keyed) - len(missing)
    for batch in _batches(missing):
        progress(done, len(keyed))
        _import_batch(connection, project_id, batch)
        done += len(batch)
    progress(done, len(keyed))
    return {"created": len(missing), "present": len(keyed) - len(missing)}


def _keyed(tasks: Sequence[Mapping[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    copies: Counter[str] = Counter()
    keyed = []
    for position, task in enumerate(tasks, start=1):
        try:
            same = digest(task["data"], task.get("key"))
            key = digest(same, copies[same])
            orjson.dumps(dict(task))
        except KeyError as error:
            raise SourceError(f"Task number {position} has no `data`: it cannot be imported.") from error
        except (
            TypeError,
            ValueError,
        ) as error:  # half a surrogate pair, a number too large, an object of Python's own
            raise SourceError(f"Task number {position} cannot be sent to Label Studio: {error}.") from error
        copies[same] += 1
        body = {name: value for name, value in task.items() if name != "key"}
        body["meta"] = {**(task.get("meta") or {}), KEY: key}
        if "annotations" in task:
            body["annotations"] = [{"ground_truth": False, **answer} for answer in task["annotations"]]
        keyed.append((key, body))
    return keyed


def _present(connection: Connection, project_id: int) -> set[str]:
    pages = bare_pages(connection, project_id, include=["id", "meta"])
    return {str(task["meta"][KEY]) for page in pages for task in page if KEY in (task["meta"] or {})}


def _batches(tasks: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    for task in tasks:
        length = len(orjson.dumps(task))
        if batch and (len(batch) == BATCH_TASKS or size + length > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(task)
        size += length
    if batch:
        yield batch


def _import_batch(connection: Connection, project_id: int, batch: list[dict[str, Any]]) -> None:
    """One request is one transaction. If its reply is lost, look for its tasks rather than sending them again."""
    try:
        answer = request(connection, "POST", f"/api/projects/{project_id}/import", json=batch, timeout=600)
    except LostReply:
        keys = {task["meta"][KEY] for task in batch}
        if appeared(lambda: keys <= _present(connection, project_id)):
            return
        raise
    if answer["task_count"] != len(batch):
        raise LabelStudioError(
            f"Label Studio took {answer['task_count']} of {len(batch)} tasks into project {project_id}: run the import again."
        )


def _projects(connection: Connection, title: str | None = None) -> Iterator[tuple[int, str]]:
    page = 1
    while True:
        params = {
            "page": page,
            "page_size": 100,
            "include": "id,title",
            **({"title": title} if title else {}),
        }
        found = request(connection, "GET", "/api/projects/", params=params)
        yield from ((int(item["id"]), str(item["title"])) for item in found["results"])
        if not found["next"]:
            return
        page += 1


def _by_title(connection: Connection, title: str) -> int | None:
    """Label Studio's filter finds parts of titles, too."""
    same = [number for number, name in _projects(connection, title) if name == title]
    if len(same) > 1:
        listed = ", ".join(map(str, sorted(same)))
        raise ConfigError(
            f"{len(same)} projects are called {title!r} ({listed}): say which with label_studio.project."
        )
    return same[0] if same else None


def _refuse_removal(
    connection: Connection, project_id: int, old: str, new: str, removing: Collection[str]
) -> None:
    gone = _names(old) - _names(new)
    if not gone:
        return
    odd = sorted(set(removing) - {name for _, name in gone})
    if odd:
        raise ConfigError(
            f"Nothing called {odd[0]!r} is dropped by the labeling configuration; dropped are: "
            f"{', '.join(sorted({name for _, name in gone})) or 'none'}."
        )
    used = Counter(name for name in _answers(connection, project_id) if name in gone and name[1] not in removing)
    if used:
        dropped = {control for control, name in gone if control == name}
        named = {pair: count for pair, count in used.items() if pair[0] == pair[1] or pair[0] not in dropped}
        listed = ", ".join(
            f"{'control ' if control == name else ''}{name!r} ({count} times)" for (control, name), count in sorted(named.items())
        )
        raise ConfigError(
            f"The labeling configuration drops what annotations of project {project_id} use: {listed}. Keep it, have those "
            "tasks labelled anew first, or name it with --drop."
        )


def _names(label_config: str) -> set[tuple[str, str]]:
    """(control, control), (control, label) and (control, path) of everything that an annotation can hold."""
    try:
        controls = read_controls(label_config)
    except ConfigError:  # a new project's configuration is empty: nothing can be lost
        return set()
    labels = {(control.name, label) for control in controls for label in control.labels if not control.paths}
    paths = {(control.name, " / ".join(path)) for control in controls for path in control.paths}
    # nested choices are found by their labels, a taxonomy by its paths
    leaves = {(control.name, path[-1]) for control in controls for path in control.paths if control.tag != "Taxonomy"}
    return {(control.name, control.name) for control in controls} | labels | paths | leaves


def _answers(connection: Connection, project_id: int) -> Iterator[tuple[str, str]]:
    """(control, control) of every entry in every annotation, and (control, label) of every label in it."""
    for page in full_pages(connection, project_id, include=["id", "annotations", "result"]):
        for entry in (item for task in page for answer in task["annotations"] for item in answer["result"] or []):
            if not isinstance(entry, dict):
                continue  # Label Studio takes anything that is in a list
            control, value = str(entry.get("from_name")), entry.get("value")
            yield control, control
            labels = value.get(str(entry.get("type")), value.get("labels")) if isinstance(value, dict) else []
            for label in labels if isinstance(labels, list) else []:
                yield control, " / ".join(map(str, label)) if isinstance(label, list) else str(label)


def _shown_name(user: Mapping[str, Any]) -> str:
    full = f"{user.get('first_name') or ''} {user.get('last_name') or ''}".strip()
    name = full or user.get("username") or user.get("email") or f"user {user['id']}"
    return str(name).split("@")[0]
