"""Files that Label Studio, or somebody's script around its API, wrote: their tasks in the one form that all of Assay reads.

JSON export        a list of tasks, each with `data` and `annotations` (Enterprise: who completed them as an object)
old JSON export    `completions` in place of `annotations`
JSON_MIN           a row for each annotation; it has lost what was skipped, ground truth and relations, and which of its
                   columns are answers, so it takes the labeling configuration to read it
several projects   {"projects": [{"project": {…}, "tasks": […]}]}, or that list alone
one at a time      {"task": {…}, …annotation} as storages and webhooks write them, alone or in a list
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from pipeline.errors import SourceError
from pipeline.reading.inferred import infer_controls
from pipeline.reading.json_min import is_json_min, read_json_min
from pipeline.types import Control

__all__ = ["Export", "infer_controls", "open_export", "read_export", "read_json_min"]

Task = dict[str, Any]


@dataclass(frozen=True)
class Export:
    tasks: list[Task]
    label_config: str = ""  # where the file holds it
    project: str = ""  # its title, else its id


def read_export(file: Path, *, project: str = "", controls: Sequence[Control] = ()) -> list[Task]:
    return open_export(file, project=project, controls=controls).tasks


def open_export(file: Path, *, project: str = "", controls: Sequence[Control] = ()) -> Export:
    """The tasks of one project.

    project: the id or the title of the one that is meant, where the file holds several. controls: those of the labeling
    configuration, which JSON_MIN needs. SourceError if it is no export, is empty, or if it is not clear what is meant.
    """
    content = _load(file)
    found = _projects(content)
    if found is not None:
        return _chosen(found, project, file)
    if is_json_min(content):
        if not controls:
            raise SourceError(
                f"{file} is a JSON_MIN export, which does not say which of its columns are answers: give the labeling "
                "configuration with --label-config FILE, or export as JSON."
            )
        return Export(_checked(read_json_min(content, controls), project, file))
    singles, config = _singles(content)
    tasks = singles or (content.get("tasks") if isinstance(content, Mapping) else content)
    if isinstance(content, Mapping) and isinstance(content.get("data"), Mapping):
        tasks = [dict(content)]
    return Export(_checked(tasks, project, file), config)


def _load(file: Path) -> Any:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}.") from error
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        with contextlib.suppress(ValueError, RecursionError):
            return _with_half_characters(raw)
        raise SourceError(
            f"{file} is not JSON (line {error.lineno}, column {error.colno}): export the project from Label Studio as JSON."
        ) from error


def _with_half_characters(raw: bytes) -> Any:
    """Half of a surrogate pair, which scripts write into texts, becomes a question mark: orjson would refuse all the others for
    it. ValueError if that is not what was wrong."""
    return orjson.loads(json.dumps(json.loads(raw), ensure_ascii=False).encode("utf-8", "replace"))


def _checked(tasks: object, project: str, file: Path) -> list[Task]:
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise SourceError(
            f"{file} is not a Label Studio JSON export: it must be a list of tasks, each an object."
        )
    if not tasks:
        raise SourceError(f"{file} holds no task: the project is empty.")
    if not any(isinstance(task.get("data"), dict) for task in tasks):  # a single one is set aside by who reads them
        named = tasks[0].get("id", "number 1")
        raise SourceError(f"{file}: task {named} has no `data` object, nor has any other: export as JSON, not CSV.")
    ids = sorted({str(task["project"]) for task in tasks if task.get("project") is not None})
    if project and ids and project not in ids:
        raise SourceError(f"{file} holds no task of project {project}: it holds {', '.join(ids)}.")
    if project:
        tasks = [task for task in tasks if str(task.get("project")) in (project, "None")]
    elif len(ids) > 1:
        raise SourceError(
            f"{file} mixes the tasks of {len(ids)} projects ({', '.join(ids)}): export one at a time."
        )
    return [_modern(task) for task in tasks]


def _projects(content: object) -> list[Mapping[str, Any]] | None:
    """The entries of a file with several projects; None if it is no such file."""
    listed = content.get("projects") if isinstance(content, Mapping) else content
    if isinstance(content, Mapping) and listed is None and isinstance(content.get("project"), Mapping):
        listed = [content]
    if not isinstance(listed, list) or not listed:
        return None
    if not all(isinstance(item, Mapping) and isinstance(item.get("project"), Mapping) for item in listed):
        return None
    return listed if all(isinstance(_tasks(item), list) for item in listed) else None


def _tasks(item: Mapping[str, Any]) -> object:
    return item.get("tasks", item.get("annotated_tasks"))


def _chosen(found: Sequence[Mapping[str, Any]], project: str, file: Path) -> Export:
    full = [item for item in found if _tasks(item)]
    if not full:
        raise SourceError(f"{file} holds {len(found)} projects, and no task in any of them.")
    named = [item for item in full if project in _names(item)] if project else full
    if len(named) != 1:
        listed = ", ".join(" ".join(_names(item)) for item in full)
        wrong = f"no single one is {project!r}" if project else "say which is meant"
        raise SourceError(f"{file} holds tasks of {len(full)} projects; {wrong}: {listed}.")
    about = named[0]["project"]
    raw = about.get("raw") if isinstance(about.get("raw"), Mapping) else {}
    config = about.get("label_config") or raw.get("label_config") or ""
    tasks = _checked(_tasks(named[0]), "", file)
    return Export(tasks, config if isinstance(config, str) else "", _names(named[0])[-1])


def _names(item: Mapping[str, Any]) -> list[str]:
    """Its id and its title."""
    about = item["project"]
    return [str(about[key]) for key in ("id", "title") if about.get(key) is not None] or ["?"]


def _singles(content: object) -> tuple[list[Task], str]:
    """Annotations that each hold their task, as tasks with all their annotations; and the labeling configuration, if one of
    them holds it. ([], "") if the file is of another form."""
    listed = [content] if isinstance(content, Mapping) else content
    if not isinstance(listed, list) or not listed:
        return [], ""
    tasks: dict[str, Task] = {}
    config = ""
    for item in listed:
        task = item.get("task") if isinstance(item, Mapping) else None
        own = item.get("annotation", item) if isinstance(item, Mapping) else None
        if (
            not isinstance(task, Mapping)
            or not isinstance(own, Mapping)
            or not isinstance(own.get("result"), list)
        ):
            return [], ""
        known = tasks.setdefault(str(task.get("id")), {**task, "annotations": []})
        known["annotations"].append(
            {key: value for key, value in own.items() if key not in ("task", "project")}
        )
        about = item.get("project")
        config = config or str(about.get("label_config") or "" if isinstance(about, Mapping) else "")
    return list(tasks.values()), config


def _modern(task: Task) -> Task:
    """A task of the years before 2021 had completions, honeypots and seconds since 1970."""
    if "annotations" in task or not isinstance(task.get("completions"), list):
        return task
    rest = {key: value for key, value in task.items() if key != "completions"}
    return {**rest, "annotations": list(_modern_annotations(task["completions"]))}


def _modern_annotations(completions: Iterable[Any]) -> Iterable[Any]:
    for old in completions:
        if not isinstance(old, Mapping):
            yield old
            continue
        new = {key: value for key, value in old.items() if key not in ("honeypot", "skipped")}
        new.setdefault("ground_truth", bool(old.get("honeypot", False)))
        new.setdefault("was_cancelled", bool(old.get("skipped", False)))
        created = old.get("created_at")
        if isinstance(created, (int, float)) and 0 <= created < 4e9:  # until 2096
            new["created_at"] = datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z")
        yield new
