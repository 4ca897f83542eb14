"""Single-label text classification: an answer is one label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.types import Control

TAG = "Choices"


def parse(result: Sequence[Mapping[str, Any]], control: Control) -> str | None:
    """The label in a raw `result`; None if the annotator submitted nothing.

    Raises ValueError for an unknown label, for several labels, and for a value that is not Label Studio's shape. Results of
    other controls are not ours to read and are left alone.
    """
    chosen: list[str] = []
    for item in result:
        if not isinstance(item, Mapping) or item.get("from_name") != control.name:
            continue
        value = item.get("value")
        labels = value.get("choices") if isinstance(value, Mapping) else None
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise ValueError(f"the result of {control.name!r} holds no list of choices")
        chosen += labels
    if len(set(chosen)) > 1:
        raise ValueError(f"it has {len(set(chosen))} labels ({', '.join(sorted(set(chosen)))}) where one is allowed")
    for label in chosen:
        if label not in control.labels:
            known = ", ".join(control.labels[:12]) + (", …" if len(control.labels) > 12 else "")
            raise ValueError(f"the label {label!r} is not in the label configuration (known: {known})")
    return chosen[0] if chosen else None


def text(data: Mapping[str, Any], control: Control) -> str:
    """The text that the annotator saw. KeyError if the field is missing, ValueError if it is not text."""
    value = data[control.field]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)  # Label Studio accepts numbers and shows them as text
    if not isinstance(value, str):
        raise ValueError(f"the field {control.field!r} holds {type(value).__name__}, not text")
    return value


def to_result(answer: str, control: Control) -> list[dict[str, Any]]:
    return [{"from_name": control.name, "to_name": control.to_name, "type": "choices", "value": {"choices": [answer]}}]
