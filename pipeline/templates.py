"""Annotation templates: one folder each in `annotation_templates/`, data only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import ConfigError, unknown

ROOT = Path(__file__).parent.parent / "annotation_templates"


@dataclass(frozen=True)
class Template:
    """A template's folder, read."""

    name: str
    title: str
    task: str  # a task type: a file in pipeline/tasks/
    description: str
    field: str  # the data key that holds the text
    slices: tuple[str, ...]
    label_config: str
    guidelines: str
    sample: Path

    def read_sample(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.sample.read_text(encoding="utf-8").splitlines() if line]


def names() -> list[str]:
    return sorted(folder.parent.name for folder in ROOT.glob("*/template.yaml"))


def template(name: str) -> Template:
    if name not in names():
        raise ConfigError(unknown("template", name, names()))
    folder = ROOT / name
    facts = yaml.safe_load((folder / "template.yaml").read_text(encoding="utf-8"))
    return Template(
        name=name,
        title=facts["title"],
        task=facts["task"],
        description=facts["description"],
        field=facts["field"],
        slices=tuple(facts["slices"]),
        sample=folder / "sample.jsonl",
        label_config=(folder / "label_config.xml").read_text(encoding="utf-8"),
        guidelines=(folder / "guidelines.md").read_text(encoding="utf-8"),
    )
