"""Annotation templates: one folder each in `annotation_templates/`, data only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import ConfigError, unknown

ROOT = Path(__file__).parent.parent / "annotation_templates"


KEYS = {"title", "task", "description", "fields", "answer", "slices"}
OPTIONAL = {"refines", "blind"}


@dataclass(frozen=True)
class Template:
    """A template's folder, read."""

    name: str
    title: str
    task: str  # a task type: a file in pipeline/tasks/
    description: str
    fields: tuple[str, ...]  # the data fields that make up what the annotator reads, in order
    answer: tuple[str, ...]  # the controls that hold the answer; the first is the main one
    slices: tuple[str, ...]
    refines: str  # the template that a domain pack builds on, or ""
    blind: dict[str, str]  # shown field → field of the imported row, shuffled per task; empty where nothing is hidden
    label_config: str
    guidelines: str
    sample: Path

    def read_sample(self) -> list[dict[str, Any]]:
        """Rows with `data`, `answer` (the right one, in the task type's form) and `fault` ("" or what was planted; then perhaps
        `given`, a wrong answer, and `why`)."""
        lines = self.sample.read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in lines if line]


def names() -> list[str]:
    return sorted(folder.parent.name for folder in ROOT.glob("*/template.yaml"))


def template(name: str) -> Template:
    if name not in names():
        raise ConfigError(unknown("template", name, names()))
    folder = ROOT / name
    facts = yaml.safe_load((folder / "template.yaml").read_text(encoding="utf-8"))
    if not KEYS <= set(facts) <= KEYS | OPTIONAL:
        odd = ", ".join(sorted(KEYS - set(facts) | set(facts) - KEYS - OPTIONAL))
        raise ConfigError(f"{folder / 'template.yaml'}: missing or unknown: {odd}; it has {', '.join(sorted(KEYS))}.")
    return Template(
        name=name,
        title=facts["title"],
        task=facts["task"],
        description=facts["description"],
        fields=tuple(facts["fields"]),
        answer=tuple(facts["answer"]),
        slices=tuple(facts["slices"]),
        refines=facts.get("refines") or "",
        blind=dict(facts.get("blind") or {}),
        sample=folder / "sample.jsonl",
        label_config=(folder / "label_config.xml").read_text(encoding="utf-8"),
        guidelines=(folder / "guidelines.md").read_text(encoding="utf-8"),
    )
