"""`assay check` and `assay evaluate` on a project folder: stages in a row, with progress."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from flows import console
from flows.place import LABEL_CONFIG, Place, name_of, open_place, open_project, relative
from flows.stages import adapters, checking
from flows.stages.agreeing import consensus
from flows.stages.evidence import evidence
from flows.stages.source import parse_source, sync
from pipeline import config
from pipeline.config import Data, Project
from pipeline.errors import ConfigError
from pipeline.templates import template as read_template
from pipeline.types import SPLITS, Scheme


def place_for(
    folder: Path,
    *,
    source: Path | None,
    template: str | None,
    label_config: Path | None,
    text_field: str | None,
    slices: Sequence[str] | None,
    bad_records: str | None,
    source_project: str | None = None,
) -> Place:
    """The project in `folder`; made from a source and a template if it is not there. What is given is kept in project.yaml,
    but only once the source could be read: a bad one leaves nothing behind."""
    folder = folder.absolute()
    exists = (folder / config.FILE).is_file()
    if not exists and source is None:
        return open_place(folder)  # raises, naming what to do
    if not exists and template is None:
        raise ConfigError("--source needs --template: say which kind of work it is, see `assay templates`.")
    if label_config is not None and not label_config.is_file():
        raise ConfigError(f"{label_config} is not there: give the file that holds the labeling configuration.")
    project = config.load(folder) if exists else Project(name=name_of(folder), template=str(template))
    given: dict[str, Any] = {
        "source": relative(source, folder) if source else None, "template": template, "bad_records": bad_records,
        "slices": list(slices) if slices else None, "source_project": source_project,
    }  # fmt: skip
    changed = {name: value for name, value in given.items() if value is not None}
    if text_field:
        changed["data"] = Data(**{**project.data.model_dump(), "text": text_field}).model_dump()
    if not changed and label_config is None:
        return open_place(folder)
    try:
        project = Project.model_validate({**project.model_dump(), **changed})
    except ValidationError as error:
        raise ConfigError(f"The options do not fit: {config.explain(error)}") from error
    xml = label_config.read_text(encoding="utf-8") if label_config else None
    return _keep(folder, project, xml, guess=not exists)


def _keep(folder: Path, project: Project, xml: str | None, *, guess: bool) -> Place:
    place = open_project(folder, project, xml)
    if project.source is not None:
        parsed = parse_source(place, f"file:{place.source_file}")
        if guess:  # a new project: slices and splits that are in the data without being named
            wanted = read_template(project.template).slices
            datas = [orjson.loads(data) for data in parsed.examples["data"]]
            there = [name for name in wanted if all(name in data for data in datas)]
            declared = {str(data.get("split") or "") for data in datas}
            split = "split" if declared & set(SPLITS) and declared <= {"", *SPLITS} else None
            data = Data(**{**project.data.model_dump(), "split": split})
            project = project.model_copy(update={"slices": project.slices or there, "data": data})
            place = open_project(folder, project, xml)
            parse_source(place, f"file:{place.source_file}")
        xml = xml or _own_config(place, parsed.scheme)
    config.save(folder, project)
    if xml is not None:
        (folder / LABEL_CONFIG).write_text(xml, encoding="utf-8")
    return open_place(folder)


def _own_config(place: Place, scheme: Scheme) -> str | None:
    """The labels of another project's export, written down, so that from now on a label outside them is an error."""
    from pipeline.label_studio.label_config import write_choices

    control = scheme.control
    if scheme == place.scheme() or control.tag != "Choices" or control.setting("choice", "single") != "single":
        return None
    return write_choices(control.labels, field=scheme.fields[0], name=control.name)


def check_folder(place: Place, *, hidden: bool) -> dict[str, Any]:
    """From sync to the quality report; the summary, with the paths of what was written."""
    with console.progress("sync", hidden=hidden) as report:
        source = sync(place, report)
    agreed = consensus(place, source)
    with console.progress("embed", hidden=hidden) as report:
        known = evidence(place, agreed, report)
    found = checking.check(place, agreed, known)
    check_id = checking.decide(place, agreed, known, found)
    body = checking.check_run(place, check_id)
    return {**body, "report": str(place.folder / "report.html"), "folder": str(place.folder)}


def evaluate_folder(
    place: Place, version: str | None, adapter: str | None, *, uncleaned: bool, hidden: bool
) -> dict[str, Any]:
    """Train what is missing, evaluate, and give the evaluation with the path of its page."""
    if adapter is None:
        with console.progress("train (cleaned)", hidden=hidden) as report:
            adapter = adapters.train(place, version, "cleaned", report)
    other = None
    if uncleaned:
        with console.progress("train (uncleaned)", hidden=hidden) as report:
            other = adapters.train(place, version, "uncleaned", report)
    with console.progress("evaluate", hidden=hidden) as report:
        key = adapters.evaluate(place, version, adapter, other, report)
    return {**adapters.evaluation(place, key), "evaluation": key, "page": str(place.folder / "evaluation.html")}
