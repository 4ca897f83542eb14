"""An answer in Label Studio's form, for a task as the mirror has it now."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from flows.place import Place
from pipeline.types import Scheme


def records(place: Place, tasks: Collection[int]) -> dict[int, dict[str, Any]]:
    """task id → the raw task, of those that exist: its data, and its meta, which says how a comparison was shown."""
    from pipeline.label_studio.mirror import mirror_tasks

    wanted = set(tasks)
    return {task["id"]: task for task in mirror_tasks(place.store) if task["id"] in wanted}


def as_result(place: Place, scheme: Scheme, answer: Any, record: dict[str, Any]) -> list[dict[str, Any]]:
    """Label Studio's `result` for an answer. ValueError if it is no answer of this kind of work, or would not be read back as it
    was given."""
    from pipeline.reading.results import read_items

    try:
        result: list[dict[str, Any]] = place.task.to_result(answer, scheme, record)
        items, problems = read_items(result, scheme.controls, record["data"])
        if problems:
            raise ValueError(problems[0].reason)
        if place.task.parse(items, scheme, record) != answer:
            raise ValueError("it does not come back as it was given")
    except (TypeError, KeyError, AttributeError) as error:  # an answer of another shape, such as a list for a label
        raise ValueError(str(error)) from error
    return result
