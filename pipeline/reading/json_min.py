"""JSON_MIN exports: rows of Label Studio's converter back into tasks with annotations.

A row holds the task's data, a column for each control that has an answer, and who answered when. The converter writes one
choice or one text plainly, everything else as a list of the results' values; a nested choice as the list of its levels.
Source: label_studio_sdk.converter (2.1.2), `prettify_result` and `convert_to_json_min`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.types import Control

# What a row holds beside the task's data and the controls.
FACTS = ("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement")
PLAIN = {
    "Choices": "choices",
    "TextArea": "text",
}  # tags of which one value is written plainly, and the key of the value

Row = Mapping[str, Any]


def is_json_min(content: object) -> bool:
    return (
        isinstance(content, list)
        and bool(content)
        and all(
            isinstance(row, Mapping) and "annotation_id" in row and "annotations" not in row
            for row in content
        )
    )


def read_json_min(rows: Iterable[Row], controls: Sequence[Control]) -> list[dict[str, Any]]:
    """Tasks, in the order in which they first come; rows with one task id are annotations of that task.

    A region's id is made from its offsets, by which a result about that region is found again where it was written with them.
    """
    named = {control.name: control for control in controls}
    tasks: dict[str, dict[str, Any]] = {}
    for position, row in enumerate(rows):
        number = row.get("id", position + 1)
        data = {key: value for key, value in row.items() if key not in FACTS and key not in named}
        task = tasks.setdefault(repr(number), {"id": number, "data": data, "annotations": []})
        if "agreement" in row:
            task["agreement"] = row["agreement"]
        if row.get("annotation_id") is None:
            continue  # a task that nobody has answered
        result = [
            entry for name, control in named.items() if name in row for entry in _entries(row[name], control)
        ]
        task["annotations"].append(
            {
                "id": row["annotation_id"],
                "completed_by": row.get("annotator"),
                "result": result,
                **{key: row[key] for key in ("created_at", "updated_at", "lead_time") if key in row},
            }
        )
    return list(tasks.values())


def _entries(column: Any, control: Control) -> list[dict[str, Any]]:
    if control.tag in PLAIN:
        values = _plain_values(column, control)
    elif control.tag == "Chat":
        values = [{"chatmessage": message} for message in _listed(column)]
    else:
        values = _listed(column)
    kind = "chatmessage" if control.tag == "Chat" else control.tag.lower()
    made = []
    for value in values:
        entry = {"from_name": control.name, "to_name": control.to_name, "type": kind, "value": value}
        if isinstance(value, Mapping) and "start" in value and "end" in value:
            entry["id"] = "-".join(
                str(value.get(key, "")) for key in ("start", "startOffset", "end", "endOffset")
            )
        made.append(entry)
    return made


def _plain_values(column: Any, control: Control) -> list[Any]:
    """One value, or a list of them; each a value's object, or what its only choice or text is."""
    key = PLAIN[control.tag]
    is_path = control.tag == "Choices" and bool(control.paths) and _texts(column)
    return [
        value if isinstance(value, Mapping) else {key: [value]}
        for value in ([column] if is_path else _listed(column))
    ]


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
