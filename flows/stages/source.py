"""sync: bring the source in, and read tables out of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flows.place import Place, connection, project_id
from flows.stages import Progress, quiet
from pipeline.errors import SourceError
from pipeline.label_studio.connection import Connection
from pipeline.reading.exports import Export
from pipeline.store import sha256
from pipeline.types import Parsed


def sync(place: Place, progress: Progress = quiet) -> str:
    """Bring the source in: `file:<sha256>` or `mirror:<number>`. A bad file leaves the store untouched."""
    return str(bring(place, progress)["source"])


def bring(place: Place, progress: Progress = quiet) -> dict[str, Any]:
    """The same with what came: of a live project whether anything is new, how many tasks were added, changed and deleted,
    unreadable ones, drafts, and answers brought home from the annotators' own queues."""
    if place.source_file is not None:
        return {"source": _take_file(place, place.source_file)}
    from flows.stages import assigning
    from pipeline.label_studio.sync import LOG
    from pipeline.label_studio.sync import sync as sync_mirror

    home: dict[str, Any] = {}
    if place.store.head(assigning.LOG) is not None:  # answers given in the annotators' own queues come home first
        home = {"brought_home": assigning.pull(place, progress)}
    server, number = connection(place), project_id(place)
    if place.store.head(LOG) is None:
        _refuse_empty(server, number)
    synced = sync_mirror(place.store, server, number, progress=progress)
    return {"source": f"mirror:{synced['number']}", **synced, **home}


def _refuse_empty(server: Connection, number: int) -> None:
    """SourceError before the first pull of a project in which there is nothing to check yet. One that was emptied later is
    mirrored like any other change."""
    from pipeline.label_studio.project import project_facts

    facts = project_facts(server, number)
    where = f"Label Studio project {number} ({facts['title']!r})"
    if not facts["task_number"]:
        raise SourceError(f"{where} holds no task: the project is empty. Import some with `assay import FILE`.")
    if not facts["total_annotations_number"]:
        raise SourceError(f"{where} has {facts['task_number']} tasks but no annotation: label some of them first.")


def _take_file(place: Place, file: Path) -> str:
    _open(place, file)
    key = sha256(file)

    def copy(folder: Path) -> dict[str, Any]:
        shutil.copyfile(file, folder / "export.json")
        return {"name": file.name}

    if not place.store.has("sources", key):
        parse_source(place, f"file:{file}")
        place.store.publish("sources", key, copy)
    return f"file:{key}"


def parse_source(place: Place, source: str) -> Parsed:
    """The tables of a source; SourceError if there is nothing to check in it."""
    from pipeline.reading.exports import infer_controls
    from pipeline.sources import choose_scheme, parse, require_answers

    kind, _, name = source.partition(":")
    users: dict[str, str] = {}
    if kind == "mirror":
        from pipeline.label_studio.mirror import mirror_head, mirror_tasks

        mirror = mirror_head(place.store, int(name))
        tasks: Iterable[dict[str, Any]] = mirror_tasks(place.store, int(name))
        users, shown, broken = mirror.users, f"Label Studio project {mirror.project_id}", mirror.unreadable
        scheme = place.scheme(mirror.label_config)
    else:
        is_key = place.store.has("sources", name)
        file = place.store.folder("sources", name) / "export.json" if is_key else Path(name)
        export, shown, broken = _open(place, file), str(place.source_file), []
        tasks, text = export.tasks, place.project.data.text
        configured = place.scheme(None if place.has_own_config else export.label_config or None)
        fields = (text,) if text else ()
        inferred = infer_controls(export.tasks)
        scheme = choose_scheme(task=place.task, configured=configured, inferred=inferred, fields=fields)
    data = place.project.data
    parsed = parse(
        tasks,
        task=place.task,
        scheme=scheme,
        source=shown,
        slices=place.slices,
        group=data.group,
        split=data.split,
        users=users,
        on_bad=place.project.bad_records,
        unreadable=broken,
    )
    require_answers(parsed, shown)
    return parsed


def _open(place: Place, file: Path) -> Export:
    """The export's tasks. A JSON_MIN export is read by the labeling configuration in force."""
    from pipeline.label_studio.label_config import read_controls
    from pipeline.reading.exports import open_export

    return open_export(file, project=place.project.source_project or "", controls=read_controls(place.label_config))
