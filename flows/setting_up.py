"""`assay setup` and `assay import`: a project folder's Label Studio project, and tasks into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.place import Place, connection, open_place, project_id
from flows.tables import read_rows
from pipeline import config
from pipeline.errors import ConfigError, SourceError
from pipeline.store import digest
from pipeline.types import LEFT

# Seen in 1.23.2: the server takes the tag, the page shows "Not expecting tag: chat" in place of the conversation.
CHAT = "<Chat> works in Label Studio Enterprise only; the template `chat` does the same with <Paragraphs> and <TextArea>."
CARRIED = ("data", "meta", "annotations", "predictions")


def setup(folder: Path, *, dropping: Sequence[str] = ()) -> dict[str, Any]:
    """Create or update the project in Label Studio, and note its id in project.yaml. `dropping` names labels and controls that
    may go although annotations use them."""
    from pipeline.label_studio.project import setup_project

    place = open_place(folder)
    server = connection(place)
    asked = place.project.label_studio
    assert asked is not None  # connection() has said so otherwise
    number = setup_project(
        server, title=place.project.name, label_config=place.label_config, guidelines=_guidelines(place),
        project_id=asked.project, annotations_per_task=asked.annotations_per_task, removing=dropping,
    )  # fmt: skip
    if asked.project != number:
        settings = place.project.model_copy(update={"label_studio": asked.model_copy(update={"project": number})})
        config.save(place.folder, settings)
    warnings = [CHAT] if any(control.tag == "Chat" for control in place.scheme().controls) else []
    return {"project": number, "url": f"{asked.url.rstrip('/')}/projects/{number}/data", "warnings": warnings}


def _guidelines(place: Place) -> str:
    own = place.folder / "guidelines.md"
    return own.read_text(encoding="utf-8") if own.is_file() else place.template.guidelines


def import_file(folder: Path, file: Path | None) -> dict[str, Any]:
    """Tasks from a file into the Label Studio project; each row becomes a task's data. None takes the template's sample."""
    from pipeline.label_studio.project import import_tasks

    place = open_place(folder)
    rows = [{"data": row["data"]} for row in place.template.read_sample()] if file is None else read_rows(file)
    named = place.template.sample if file is None else file
    fields = place.scheme().fields
    tasks = [_as_task(row, number, place, named, fields) for number, row in enumerate(rows)]
    if not tasks:
        raise SourceError(f"{named} holds no rows: there is nothing to import.")
    return import_tasks(connection(place), project_id(place), tasks)


def _as_task(row: dict[str, Any], number: int, place: Place, file: Path, fields: Sequence[str]) -> dict[str, Any]:
    """A row is a task's data, or already a task in Label Studio's form, of which what an import can carry is taken."""
    is_task = isinstance(row.get("data"), dict)
    task: dict[str, Any] = {name: row[name] for name in CARRIED if name in row} if is_task else {"data": row}
    if "predictions" in task:  # Label Studio's own JSON export holds their numbers alone, on which its import fails
        task["predictions"] = [item for item in task["predictions"] or [] if isinstance(item, dict)]
    task = blinded(task, place.template.blind)
    if "source" in task["data"] and "source" in fields:
        raise ConfigError(
            f"{file}: row {number + 1}: Label Studio's page puts the whole task in place of a data field called 'source': rename "
            "it, here and in the labeling configuration."
        )
    missing = [name for name in fields if name not in task["data"]]
    if missing:
        raise ConfigError(
            f"{file}: row {number + 1} has no field {missing[0]!r} (it has {', '.join(map(str, row.get('data', row)))}): "
            "rename it, or set data.text in project.yaml."
        )
    return task


def blinded(task: dict[str, Any], blind: Mapping[str, str]) -> dict[str, Any]:
    """The two responses of a comparison in an order that says nothing about them, drawn from the row itself so that the same row
    always gives the same task. Which is which is kept in the task's meta: "a" is the one that the template names first.

    blind: {"left": "response_a", "right": "response_b"}; a row that already has left and right is taken as it stands.
    """
    data = task["data"]
    if not blind or not set(blind.values()) <= set(data):
        return task
    (left, a), (right, b) = blind.items()
    swapped = int(digest("blind", data), 16) % 2 == 1
    rest = {name: value for name, value in data.items() if name not in (a, b)}
    shown = {left: data[b if swapped else a], right: data[a if swapped else b]}
    return {**task, "data": {**rest, **shown}, "meta": {**(task.get("meta") or {}), LEFT: "b" if swapped else "a"}}
