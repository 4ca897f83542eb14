"""A project folder, opened: its settings, its store, its task type and the control in force."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from pipeline import config
from pipeline.config import LabelStudio, Project, Secrets
from pipeline.errors import ConfigError, Unauthorized, Unreachable
from pipeline.label_studio.connection import Connection
from pipeline.store import Store
from pipeline.tasks import bind, task_type
from pipeline.templates import Template, template
from pipeline.types import Scheme

LABEL_CONFIG = "label_config.xml"


@dataclass(frozen=True)
class Place:
    folder: Path
    project: Project
    store: Store
    template: Template
    task: ModuleType
    given_config: str | None = None  # a labeling configuration that is not written down yet

    @property
    def has_own_config(self) -> bool:
        """Whether the labeling configuration was given, or lies in the project folder."""
        return self.given_config is not None or (self.folder / LABEL_CONFIG).is_file()

    @property
    def label_config(self) -> str:
        """The labeling configuration in force: given, the project's own, or the template's."""
        if self.given_config is not None:
            return self.given_config
        own = self.folder / LABEL_CONFIG
        return own.read_text(encoding="utf-8") if own.is_file() else self.template.label_config

    @property
    def source_file(self) -> Path | None:
        """The export that project.yaml names, if it names one."""
        named = self.project.source
        return None if named is None else Path(os.path.normpath(self.folder / named))

    def scheme(self, label_config: str | None = None) -> Scheme:
        """How the answers of this labeling configuration (default: the one in force here) are read.

        The template's controls and fields hold as long as the configuration still has those controls; a project that brought
        its own names them in project.yaml, or leaves no choice.
        """
        from pipeline.label_studio.label_config import read_controls

        controls = read_controls(self.label_config if label_config is None else label_config)
        named, text = self.project.data.controls, self.project.data.text
        has_template = set(self.template.answer) <= {control.name for control in controls}
        names = named or (self.template.answer if has_template else ())
        fields = (text,) if text else (self.template.fields if has_template and not named else ())
        return bind(self.task, controls, names=names, fields=fields)

    @property
    def slices(self) -> tuple[str, ...]:
        return tuple(self.project.slices)


def open_place(folder: Path | str) -> Place:
    """The project in `folder`; ConfigError if there is none or a setting is wrong."""
    folder = Path(folder).absolute()
    return open_project(folder, config.load(folder))


def open_project(folder: Path, project: Project, given_config: str | None = None) -> Place:
    """The same for settings that are not in a file yet."""
    from pipeline.policy import actions
    from validators.check import settings_for, subjects

    settings_for(project.checks, str(folder / config.FILE))
    actions(project.policy, subjects())
    chosen = template(project.template)
    return Place(folder, project, Store(folder / project.store), chosen, task_type(chosen.task), given_config)


def init(folder: Path, template_name: str, *, name: str | None = None, url: str | None = None) -> Place:
    """A new project folder: project.yaml with its JSON Schema, the labeling configuration and the guidelines to edit. url: of the
    Label Studio that it is for."""
    if (folder / config.FILE).exists():
        raise ConfigError(f"{folder / config.FILE} is there already: edit it, or choose another folder.")
    chosen = template(template_name)
    server = LabelStudio(url=Connection(url, "unused").url) if url else None
    project = Project(
        name=name or name_of(folder), template=template_name, slices=list(chosen.slices), label_studio=server
    )
    config.save(folder, project)
    (folder / LABEL_CONFIG).write_text(chosen.label_config, encoding="utf-8")
    (folder / "guidelines.md").write_text(chosen.guidelines, encoding="utf-8")
    return open_place(folder)


def name_of(folder: Path) -> str:
    """A project name from a folder's."""
    import re

    return re.sub(r"[^A-Za-z0-9 ._-]", "-", folder.absolute().name).strip(" ._-")[:64] or "project"


def connection(place: Place) -> Connection:
    """To the project's Label Studio, with the token from the environment."""
    if place.project.label_studio is None:
        raise ConfigError(
            f"{place.folder / config.FILE} names no Label Studio: add `label_studio: {{url: …}}`, or give --source FILE."
        )
    token = Secrets().label_studio_token
    if token is None or not token.get_secret_value().strip():
        local = _local(place.project.label_studio.url)
        if local is not None:
            return local
        raise Unauthorized(
            "No token for Label Studio: set ASSAY_LABEL_STUDIO_TOKEN to the one under Account & Settings in Label Studio."
        )
    return Connection(place.project.label_studio.url, token.get_secret_value().strip())


def _local(url: str) -> Connection | None:
    """The demo's server on this machine, if that is the address: its token is in a file that only the user can read.
    Unreachable if it is ours and does not run."""
    from pipeline.label_studio.server import recorded, status

    running = status()
    if running and running.url == url.rstrip("/"):
        return Connection(running.url, running.token)
    if not running and recorded() == url.rstrip("/"):
        raise Unreachable(f"The local Label Studio at {url} is not running: start it with `assay server up`.")
    return None


def project_id(place: Place) -> int:
    found = place.project.label_studio.project if place.project.label_studio else None
    if found is None:
        raise ConfigError(f"{place.folder / config.FILE} has no label_studio.project: run `assay setup` first.")
    return found


def relative(target: Path, folder: Path) -> str:
    """How project.yaml names a file: relative to its folder, so that both can move together."""
    return os.path.relpath(target.absolute(), folder.absolute())
