"""From Label Studio's raw task JSON, from an export file or the mirror, to tidy tables.

Whatever cannot be read is kept in the quarantine with its reason and stops nothing else; `on_bad="fail"` makes the first such
record an error.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from types import ModuleType
from typing import Any, Literal

import pandas as pd

from pipeline.errors import SourceError
from pipeline.reading.results import missing_required, read_items
from pipeline.tasks import bind
from pipeline.types import (
    ANNOTATION_COLUMNS,
    EXAMPLE_COLUMNS,
    LEFT,
    QUARANTINE_COLUMNS,
    RESULT_COLUMNS,
    SPLITS,
    Control,
    Item,
    Parsed,
    Problem,
    Scheme,
)

OnBad = Literal["fail", "quarantine"]
Record = Mapping[str, Any]
UNKNOWN = "unknown"  # the annotator of an answer that names none: the account was deleted


def choose_scheme(
    *, task: ModuleType, configured: Scheme, inferred: Sequence[Control], fields: Sequence[str] = ()
) -> Scheme:
    """The scheme in force for a file.

    An export does not hold its label configuration. If its answers use the configured controls and any of their labels, the
    configuration stands (so that an unknown label is an error); if they use none of them, the file is another project's: its
    controls, labels and text field are `inferred` from the answers. SourceError if it is not clear which of them is meant.
    """
    own = [control for control in inferred if control.tag in task.TAGS]
    mine = [control for control in configured.controls if control.name in configured.answer]
    known = {label for control in mine for label in control.labels}
    used = {label for control in own for label in control.labels}
    if not own or (used & known if known else {control.name for control in own} & set(configured.answer)):
        return _renamed(configured, own)
    if len(own) > 1 and not task.SEVERAL:
        listed = ", ".join(control.name for control in own)
        raise SourceError(
            f"The answers come from {len(own)} controls ({listed}): say which project this is with --label-config FILE."
        )
    return bind(task, inferred, names=[control.name for control in own], fields=fields)


def _renamed(configured: Scheme, own: Sequence[Control]) -> Scheme:
    """The configured labels under another control's name: the name in the file is what its answers are found by."""
    if len(own) != 1 or len(configured.answer) != 1 or own[0].name in {item.name for item in configured.controls}:
        return configured
    main = replace(configured.control, name=own[0].name, to_name=own[0].to_name)
    others = [control for control in configured.controls if control.name != configured.answer[0]]
    return Scheme((main, *others), (main.name,), configured.fields)


@dataclass
class _Reading:
    """What one pass over the tasks collects."""

    source: str
    task: ModuleType
    scheme: Scheme
    on_bad: OnBad
    names: dict[str, str]
    examples: list[tuple[Any, ...]] = dataclass_field(default_factory=list)
    annotations: list[tuple[Any, ...]] = dataclass_field(default_factory=list)
    results: list[tuple[Any, ...]] = dataclass_field(default_factory=list)
    bad: list[tuple[str, str, str, str]] = dataclass_field(default_factory=list)
    left: dict[int, str] = dataclass_field(default_factory=dict)
    counts: Counter[str] = dataclass_field(default_factory=Counter)

    def refuse(self, reason: str, where: str, record: object) -> None:
        if self.on_bad == "fail":
            raise SourceError(
                f"{self.source}: {where}: {reason}. Mend it, or set bad_records: quarantine to go on without it."
            )
        self.bad.append((self.source, where, _clean(reason), json.dumps(record, ensure_ascii=True, default=str)))


def parse(
    tasks: Iterable[Record],
    *,
    task: ModuleType,
    scheme: Scheme,
    source: str,
    slices: Sequence[str] = (),
    group: str | None = None,
    split: str | None = None,
    users: Mapping[str, str] | None = None,
    on_bad: OnBad = "quarantine",
    unreadable: Sequence[Mapping[str, Any]] = (),
) -> Parsed:
    """Tidy tables from raw tasks. `source` is named in errors and in the quarantine. unreadable: tasks that Label Studio itself
    could not give, as {task_id, reason}.

    Answers that are cancelled, drafts or empty stay in the annotations table (answer "") and count as none. Entries of controls
    that hold no answer, and of kinds that are not understood, are in `results`.
    """
    reading = _Reading(source, task, scheme, on_bad, dict(users or {}))
    for broken in unreadable:
        reading.refuse(str(broken["reason"]), f"task {broken['task_id']}", None)
    seen: set[int] = set()
    for position, record in enumerate(tasks):
        where = f"task {record.get('id', f'number {position + 1}')}"
        try:
            example = _example(record, position, task, scheme, slices, group, split)
            if example[0] in seen:
                raise ValueError("another task has the same id")
        except ValueError as error:
            reading.refuse(str(error), where, record)
            continue
        seen.add(example[0])
        reading.examples.append(example)
        meta = record.get("meta")
        if isinstance(meta, Mapping) and meta.get(LEFT) in ("a", "b"):
            reading.left[example[0]] = meta[LEFT]
        _read_annotations(reading, record, example[0])
    return Parsed(
        examples=pd.DataFrame(reading.examples, columns=[*EXAMPLE_COLUMNS, *slices]).sort_values(
            "example_id", ignore_index=True
        ),
        annotations=_annotation_table(reading.annotations),
        results=_result_table(reading.results),
        quarantine=pd.DataFrame(reading.bad, columns=list(QUARANTINE_COLUMNS)),
        scheme=scheme,
        users=reading.names,
        left=reading.left,
        counts=dict(reading.counts),
    )


def require_answers(parsed: Parsed, source: str) -> None:
    """SourceError if there is nothing to check: no task, or no answer."""
    why = ""
    if len(parsed.quarantine):
        first = parsed.quarantine.iloc[0]
        why = f" {len(parsed.quarantine)} records could not be read; the first, {first['record_id']}: {first['reason']}."
    if parsed.examples.empty:
        raise SourceError(f"{source} holds no task that can be read{':' + why if why else ': the project is empty.'}")
    if not (parsed.annotations["answer"] != "").any():
        raise SourceError(
            f"{source} has {len(parsed.examples)} tasks but no annotation that can be read:"
            f"{why or ' label some of them in Label Studio first.'}"
        )


def _example(
    record: Record, position: int, task: ModuleType, scheme: Scheme, slices: Sequence[str], group: str | None,
    split: str | None,
) -> tuple[Any, ...]:  # fmt: skip
    data = record.get("data")
    if not isinstance(data, Mapping):
        raise ValueError("it has no `data` object")
    try:
        text = _clean(task.text(data, scheme))
    except KeyError as error:
        has = ", ".join(map(str, data)) or "none"
        raise ValueError(f"the data field {error.args[0]!r} is missing (it has {has}; --text-field names another)") from error
    number = record.get("id", position + 1)
    if not _is_id(number):
        raise ValueError(f"its id {number!r} is not a number that a task can have")
    declared = "" if split is None else str(data.get(split) or "")
    if declared and declared not in SPLITS:
        raise ValueError(f"the data field {split!r} says {declared!r}, which is none of {', '.join(SPLITS)}")
    row = (number, _dump(data), text, "" if group is None else str(data.get(group) or ""), declared)
    return (*row, *(_clean(str(data.get(name, "") if data.get(name) is not None else "")) for name in slices))


def _read_annotations(reading: _Reading, record: Record, example: int) -> None:
    for name in ("drafts", "predictions"):
        if isinstance(record.get(name), list):  # a sync pulls neither, which does not mean that there are none
            reading.counts[name] += len(record[name])
    found = record.get("annotations", record.get("completions"))
    if found is not None and not isinstance(found, list):
        reading.refuse(f"its annotations are {type(found).__name__}, not a list", f"annotations of task {example}", record)
        return
    nameless = 0
    for answer in found or []:
        where = f"annotation {answer.get('id', '?') if isinstance(answer, Mapping) else '?'} of task {example}"
        try:
            if not isinstance(answer, Mapping):
                raise ValueError("it is not an object")
            annotator = _annotator(answer, reading.names)
            if annotator == UNKNOWN:  # two answers without a name are two people's
                nameless += 1
                annotator = UNKNOWN if nameless == 1 else f"{UNKNOWN} {nameless}"
            reading.annotations.append(_annotation(reading, answer, annotator, record, example, where))
        except ValueError as error:
            reading.refuse(str(error), where, answer)


def _annotation(
    reading: _Reading, answer: Record, annotator: str, record: Record, example: int, where: str
) -> tuple[Any, ...]:
    scheme, task = reading.scheme, reading.task
    number: int = answer["id"] if _is_id(answer.get("id")) else -len(reading.annotations) - 1
    raw = answer.get("result")
    if raw is not None and not isinstance(raw, list):
        raise ValueError(f"its result is {type(raw).__name__}, not a list")
    items, problems = read_items(raw or [], scheme.controls, record["data"])
    cancelled = bool(answer.get("was_cancelled", answer.get("skipped", False)))
    own = [item for item in items if item.control in scheme.answer]
    parsed = None if cancelled else _answer(task, scheme, own, problems, record)
    for problem in problems:
        reading.refuse(problem.reason, where, problem.raw)
    reading.results += [_result(item, number, example) for item in items]
    if not cancelled and items:
        reading.counts["incomplete"] += bool(missing_required(items, scheme.controls))
    reading.counts["not_understood"] += sum(not item.understood for item in items)
    seconds = answer.get("lead_time")
    known = isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and seconds >= 0
    return (
        number, example, annotator, "" if parsed is None else _dump(parsed), str(answer.get("created_at") or ""),
        str(answer.get("updated_at") or ""), float(seconds or 0) if known else None, bool(answer.get("ground_truth", False)),
        cancelled, answer.get("import_id") is not None,
    )  # fmt: skip


def _answer(
    task: ModuleType, scheme: Scheme, own: Sequence[Item], problems: Sequence[Problem], record: Record
) -> Any:
    """The answer; ValueError if an entry that belongs to it cannot be read and the rest cannot stand without it."""
    broken = [problem for problem in problems if problem.control in scheme.answer]
    if broken and (not task.PARTIAL or not own):
        raise ValueError("; ".join(problem.reason for problem in broken))
    return task.parse(own, scheme, record)


def _annotator(answer: Record, names: dict[str, str]) -> str:
    by = answer.get("completed_by")
    if isinstance(by, Mapping):
        annotator = str(by.get("id") or by.get("email") or UNKNOWN)
        names.setdefault(annotator, str(by.get("email") or annotator))
        return annotator
    return UNKNOWN if by is None else str(by)


def _result(item: Item, annotation: int, example: int) -> tuple[Any, ...]:
    return (
        annotation, example, item.control, item.type, item.region, item.parent, _dump(item.value), item.understood,
    )  # fmt: skip


def _annotation_table(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(ANNOTATION_COLUMNS))
    types = {"annotation_id": "int64", "example_id": "int64", "seconds": "float64", "ground_truth": "bool", "cancelled": "bool"}
    types |= {"imported": "bool"}
    texts = {name: "str" for name in ("annotator", "answer", "created_at", "updated_at")}
    return table.astype({**types, **texts}).sort_values(["example_id", "annotation_id"], ignore_index=True)


def _result_table(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(RESULT_COLUMNS))
    texts = {name: "str" for name in ("control", "type", "region", "parent", "value")}
    types = {"annotation_id": "int64", "example_id": "int64", "understood": "bool", **texts}
    return table.astype(types).sort_values(["example_id", "annotation_id"], ignore_index=True, kind="stable")


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63  # as a database counts


def _dump(value: object) -> str:
    return _clean(json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")))


def _clean(text: str) -> str:
    """Lone surrogates cannot be stored as UTF-8: shown as the replacement character, which the text check reports."""
    return text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text
