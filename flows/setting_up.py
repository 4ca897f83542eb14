"""`assay setup` and `assay import`: a project folder's Label Studio project, and tasks into it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flows.place import Place, connection, open_place, project_id
from pipeline import config
from pipeline.config import LabelStudio
from pipeline.errors import ConfigError, SourceError

READERS = ("csv", "json", "jsonl", "parquet")


def setup(folder: Path) -> dict[str, Any]:
    """Create or update the project in Label Studio, and note its id in project.yaml."""
    from pipeline.label_studio.project import setup_project

    place = open_place(folder)
    server = connection(place)
    asked = place.project.label_studio
    assert asked is not None  # connection() has said so otherwise
    number = setup_project(
        server, title=place.project.name, label_config=place.label_config, guidelines=_guidelines(place),
        project_id=asked.project,
    )  # fmt: skip
    if asked.project != number:
        settings = place.project.model_copy(update={"label_studio": LabelStudio(url=asked.url, project=number)})
        config.save(place.folder, settings)
    return {"project": number, "url": f"{asked.url.rstrip('/')}/projects/{number}/data"}


def _guidelines(place: Place) -> str:
    own = place.folder / "guidelines.md"
    return own.read_text(encoding="utf-8") if own.is_file() else place.template.guidelines


def import_file(folder: Path, file: Path) -> dict[str, Any]:
    """Tasks from a file into the Label Studio project; each row becomes a task's data."""
    from pipeline.label_studio.project import import_tasks

    place = open_place(folder)
    tasks = [_as_task(row, number, place, file) for number, row in enumerate(_read(file))]
    if not tasks:
        raise SourceError(f"{file} holds no rows: there is nothing to import.")
    return import_tasks(connection(place), project_id(place), tasks)


def _read(file: Path) -> list[dict[str, Any]]:
    import pandas as pd

    kind = file.suffix.lstrip(".").lower()
    if kind not in READERS:
        raise SourceError(f"{file} is none of {', '.join(READERS)}: convert it first.")
    try:
        if kind == "jsonl":
            rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        elif kind == "json":
            rows = json.loads(file.read_text(encoding="utf-8"))
        else:
            table = pd.read_csv(file, dtype=str, keep_default_na=False) if kind == "csv" else pd.read_parquet(file)
            rows = json.loads(table.to_json(orient="records"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{file} cannot be read as {kind}: {error}.") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SourceError(
            f"{file} must hold rows, each an object with the field {'text'!r} and whatever slices you use."
        )
    return rows


def _as_task(row: dict[str, Any], number: int, place: Place, file: Path) -> dict[str, Any]:
    """A row is a task's data, or already a task in Label Studio's form."""
    task = row if isinstance(row.get("data"), dict) else {"data": row}
    if place.text_field not in task["data"]:
        raise ConfigError(
            f"{file}: row {number + 1} has no field {place.text_field!r} (it has {', '.join(map(str, task['data']))}): "
            "rename it, or set data.text in project.yaml."
        )
    return task
