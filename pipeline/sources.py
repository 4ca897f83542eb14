"""From Label Studio's raw task JSON, from an export file or the mirror, to tidy tables.

Whatever cannot be read is kept in the quarantine with its reason; `on_bad="fail"` makes the first such record an error.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import orjson
import pandas as pd

from pipeline.errors import SourceError
from pipeline.types import ANNOTATION_COLUMNS, EXAMPLE_COLUMNS, QUARANTINE_COLUMNS, SPLITS, Control, Parsed

OnBad = Literal["fail", "quarantine"]
Record = Mapping[str, Any]


def read_export(file: Path) -> list[dict[str, Any]]:
    """The tasks of a Label Studio JSON export. SourceError if it is not one, or holds two projects' tasks."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}.") from error
    try:
        tasks = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise SourceError(
            f"{file} is not JSON (line {error.lineno}, column {error.colno}): export the project from Label Studio as JSON."
        ) from error
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise SourceError(f"{file} is not a Label Studio JSON export: it must be a list of tasks, each an object.")
    if not tasks:
        raise SourceError(f"{file} holds no task: the project is empty.")
    for position, task in enumerate(tasks):
        if not isinstance(task.get("data"), dict):
            named = task.get("id", f"number {position + 1}")
            raise SourceError(f"{file}: task {named} has no `data` object: export as JSON, not JSON_MIN or CSV.")
    projects = sorted({str(task["project"]) for task in tasks if task.get("project") is not None})
    if len(projects) > 1:
        raise SourceError(f"{file} mixes the tasks of {len(projects)} projects ({', '.join(projects)}): export one at a time.")
    return tasks


def choose_control(tasks: Sequence[Record], configured: Control, field: str | None) -> Control:
    """The control in force for a file.

    An export does not hold its label configuration. If its answers use any of the configured labels, the configuration
    stands (so that an unknown label is an error); if they use none of them, the file is another project's: its own labels,
    control and text field are read from the answers.
    """
    results = [item for task in tasks for annotation in _annotations(task) for item in _results(annotation)]
    choices = [item for item in results if isinstance(item.get("value"), dict) and "choices" in item["value"]]
    used = Counter(
        label for item in choices if isinstance(item["value"]["choices"], list) for label in item["value"]["choices"]
    )
    names = sorted({(str(item.get("from_name")), str(item.get("to_name"))) for item in choices})
    if field is not None:
        configured = Control(configured.name, configured.to_name, configured.tag, field, configured.labels)
    if not used or used.keys() & set(configured.labels):
        if names and (configured.name, configured.to_name) not in names and len(names) == 1:
            return Control(*names[0], configured.tag, configured.field, configured.labels)
        return configured
    if len(names) > 1:
        listed = ", ".join(name for name, _ in names)
        raise SourceError(
            f"The answers come from {len(names)} controls ({listed}): say which project this is with --label-config FILE."
        )
    labels = sorted(label for label in used if isinstance(label, str))
    return Control(*names[0], configured.tag, field or configured.field, tuple(labels))


def parse(
    tasks: Sequence[Record],
    *,
    task: ModuleType,
    control: Control,
    source: str,
    slices: Sequence[str] = (),
    group: str | None = None,
    split: str | None = None,
    users: Mapping[str, str] | None = None,
    on_bad: OnBad = "fail",
) -> Parsed:
    """Tidy tables from raw tasks. `source` is named in errors and in the quarantine.

    Answers that are cancelled, drafts or empty stay in the annotations table (answer "") and count as none.
    """
    examples: list[tuple[Any, ...]] = []
    annotations: list[tuple[Any, ...]] = []
    bad: list[tuple[str, str, str, str]] = []
    names = dict(users or {})
    seen: set[int] = set()
    for position, record in enumerate(tasks):
        try:
            example = _example(record, position, task, control, slices, group, split)
            if example[0] in seen:
                raise ValueError("another task has the same id")
            seen.add(example[0])
            examples.append(example)
        except ValueError as error:
            bad.append(_refuse(error, f"task {record.get('id', f'number {position + 1}')}", record, source, on_bad))
            continue
        for answer in _annotations(record):
            try:
                annotations.append(_annotation(answer, example[0], len(annotations), task, control, names))
            except ValueError as error:
                where = f"annotation {answer.get('id', '?')} of task {example[0]}"
                bad.append(_refuse(error, where, answer, source, on_bad))
    return Parsed(
        examples=pd.DataFrame(examples, columns=[*EXAMPLE_COLUMNS, *slices]).sort_values("example_id", ignore_index=True),
        annotations=_annotation_table(annotations),
        quarantine=pd.DataFrame(bad, columns=list(QUARANTINE_COLUMNS)),
        control=control,
        users=names,
    )


def require_answers(parsed: Parsed, source: str) -> None:
    """SourceError if there is nothing to check: no task, or no answer."""
    if parsed.examples.empty:
        raise SourceError(f"{source} holds no task that can be read: the project is empty.")
    if not (parsed.annotations["answer"] != "").any():
        raise SourceError(
            f"{source} has {len(parsed.examples)} tasks but no annotation: label some of them in Label Studio first."
        )


def _refuse(error: Exception, where: str, record: Record, source: str, on_bad: OnBad) -> tuple[str, str, str, str]:
    reason = str(error)
    if on_bad == "fail":
        raise SourceError(
            f"{source}: {where}: {reason}. Mend it, or set bad_records: quarantine to go on without it."
        ) from error
    return source, where, reason, json.dumps(record, ensure_ascii=True, default=str)


def _example(
    record: Record, position: int, task: ModuleType, control: Control, slices: Sequence[str], group: str | None,
    split: str | None,
) -> tuple[Any, ...]:
    data = record["data"]
    if control.field not in data:
        has = ", ".join(map(str, data)) or "none"
        raise ValueError(f"the data field {control.field!r} is missing (it has {has}; --text-field names another)")
    text = _clean(task.text(data, control))
    number = record.get("id", position + 1)
    if not isinstance(number, int):
        raise ValueError(f"its id {number!r} is not a number")
    declared = "" if split is None else str(data.get(split) or "")
    if declared and declared not in SPLITS:
        raise ValueError(f"the data field {split!r} says {declared!r}, which is none of {', '.join(SPLITS)}")
    row = (number, _dump(data), text, "" if group is None else str(data.get(group) or ""), declared)
    return (*row, *(_clean(str(data.get(name, "") if data.get(name) is not None else "")) for name in slices))


def _annotation(
    answer: Record, example: int, position: int, task: ModuleType, control: Control, names: dict[str, str]
) -> tuple[Any, ...]:
    by = answer.get("completed_by")
    annotator = str(by.get("id") or by.get("email")) if isinstance(by, Mapping) else str(by)
    if isinstance(by, Mapping):
        names.setdefault(annotator, str(by.get("email") or annotator))
    cancelled = bool(answer.get("was_cancelled", False))
    parsed = None if cancelled else task.parse(_results(answer), control)
    seconds = answer.get("lead_time")
    return (
        int(answer.get("id") or -position - 1), example, annotator, "" if parsed is None else _dump(parsed),
        str(answer.get("created_at") or ""), str(answer.get("updated_at") or ""),
        float(seconds) if isinstance(seconds, (int, float)) and seconds >= 0 else None,
        bool(answer.get("ground_truth", False)), cancelled,
    )


def _annotation_table(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(ANNOTATION_COLUMNS))
    types = {"annotation_id": "int64", "example_id": "int64", "seconds": "float64", "ground_truth": "bool", "cancelled": "bool"}
    texts = {name: "str" for name in ("annotator", "answer", "created_at", "updated_at")}
    return table.astype({**types, **texts}).sort_values(["example_id", "annotation_id"], ignore_index=True)


def _annotations(record: Record) -> list[Record]:
    found = record.get("annotations", record.get("completions")) or []
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def _results(annotation: Record) -> list[Record]:
    found = annotation.get("result") or []
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def _dump(value: object) -> str:
    return _clean(json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")))


def _clean(text: str) -> str:
    """Lone surrogates cannot be stored as UTF-8: shown as the replacement character, which the text check reports."""
    return text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text
