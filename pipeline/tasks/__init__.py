"""Task types, one file each: what an answer is, how to read it from Label Studio's JSON, how to write it back.

A task type is a module with

    TAGS                                   tags of the controls that can hold its answer
    SEVERAL                                True if the answer lies in several controls (all ratings), False if in one
    PARTIAL                                True if one unreadable entry of a result leaves the rest of the answer standing
    classes(scheme) -> tuple[str, ...]     the labels, if an answer is exactly one of them; else ()
    ALTERNATIVES                           True if different answers can all be right (written ones), False if one must be wrong
    EVIDENCE                               how a model can doubt an answer: "classes" one of K labels, "sets" a set of labels,
                                           "words" the words inside spans, "written" what somebody wrote; "" if it cannot
    MERGE                                  how several answers become one, and how agreement is measured: "labels" (one of a few),
                                           "sets", "spans", "ratings", "texts" (the one most like the others stands for all)
    similarity(a, b, scheme) -> float      of two answers, in [0, 1], symmetrical; 1 for equal ones. 1 − it is the distance of
                                           agreement, where this is by labels, sets or texts
    width(scheme, name) -> float           only where MERGE is "ratings": from the lowest of a rating's scale to the highest
    mentions(answer) -> list[str]          the labels that an answer gives; [] where answers hold no labels
    parse(items, scheme, record) -> answer None for an empty answer; ValueError with one clause if it cannot be read.
                                           `items` are those of the answer's controls that could be read, `record` is the raw task
    text(data, scheme) -> str              what the annotator saw; KeyError if the task lacks it, ValueError if it is not text
    written(answer) -> str                 only where EVIDENCE is "written": what the annotator wrote, without what the task said
    to_result(answer, scheme, record)      Label Studio's `result` for an answer, such that parse gives the answer again

and is found by listing this folder. An answer is JSON-able, and equal answers are equal as JSON with sorted keys.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from pipeline.errors import ConfigError, unknown
from pipeline.types import Control, Scheme


def known() -> list[str]:
    return sorted(item.name for item in pkgutil.iter_modules([str(Path(__file__).parent)]))


def task_type(name: str) -> ModuleType:
    if name not in known():
        raise ConfigError(unknown("task type", name, known()))
    return importlib.import_module(f"pipeline.tasks.{name}")


def bind(
    task: ModuleType, controls: Sequence[Control], *, names: Sequence[str] = (), fields: Sequence[str] = ()
) -> Scheme:
    """The scheme by which `task` reads a configuration with these controls.

    names: the controls that hold the answer; by default those with one of the task type's tags, of which there must be one,
    unless the type takes several. fields: the data fields of the text; by default the main control's. ConfigError, listing
    what is there, if nothing fits or it is not clear which control is meant.
    """
    there = ", ".join(f"<{control.tag} name={control.name!r}>" for control in controls) or "none"
    wanted = " or ".join(f"<{tag}>" for tag in task.TAGS)
    for name in names:
        if name not in [control.name for control in controls]:
            raise ConfigError(f"The labeling configuration has no control {name!r} to hold the answer; its controls: {there}.")
    found = [control for control in controls if control.tag in task.TAGS and (not names or control.name in names)]
    if not found:
        raise ConfigError(f"The labeling configuration must hold a {wanted} for this kind of work; its controls: {there}.")
    if len(found) > 1 and not task.SEVERAL:
        raise ConfigError(
            f"The labeling configuration holds {len(found)} of {wanted}: say with data.controls in project.yaml which one "
            f"is the answer; its controls: {there}."
        )
    ordered = sorted(found, key=lambda control: names.index(control.name)) if names else found
    seen = tuple(fields) or tuple(dict.fromkeys(control.field for control in ordered if control.field))
    if not seen:
        raise ConfigError(
            f'<{ordered[0].tag} name={ordered[0].name!r}> is not bound to a data field: give its object value="$text".'
        )
    return Scheme(tuple(controls), tuple(control.name for control in ordered), seen)
