"""Task types, one file each: what an answer is, how to read it from Label Studio's JSON, how to write it back.

A task type is a module with

    TAG                                   the control's tag in the label configuration
    parse(result, control) -> answer      None for an empty answer; ValueError with one sentence if it cannot be read
    text(data, control) -> str            what the annotator saw; KeyError if the task lacks it
    to_result(answer, control) -> list    Label Studio's `result` for an answer

and is found by listing this folder.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

from pipeline.errors import ConfigError, unknown


def known() -> list[str]:
    return sorted(item.name for item in pkgutil.iter_modules([str(Path(__file__).parent)]))


def task_type(name: str) -> ModuleType:
    if name not in known():
        raise ConfigError(unknown("task type", name, known()))
    return importlib.import_module(f"pipeline.tasks.{name}")
