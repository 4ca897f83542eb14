"""What the annotator saw: the text of a task's data fields, as one text that people, checks and models read.

    Text            the string; numbers as Label Studio shows them
    HyperText       its text content, see `pipeline/reading/hypertext.py`
    Paragraphs      a line "name: text" for each paragraph (nameKey and textKey of the object, else author and text)
    Chat            a line "role: content" for each message
    List            a line "title: body" for each item; Table: a line "key: value" for each row

An example's text is its fields' texts, those that are not empty, joined by a blank line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.reading import hypertext
from pipeline.types import Control, Scheme

BETWEEN = "\n\n"


def example_text(data: Mapping[str, Any], scheme: Scheme) -> str:
    """KeyError for a field that the task lacks, ValueError for one that holds no text."""
    texts = [field_text(data, field, showing(scheme.controls, field)) for field in scheme.fields]
    return BETWEEN.join(text for text in texts if text)


def begins(data: Mapping[str, Any], scheme: Scheme, field: str) -> int:
    """Where the text of `field` begins in the example's. ValueError if the field is none of the scheme's."""
    if field not in scheme.fields:
        raise ValueError(
            f"the data field {field!r} is not among those that are read ({', '.join(scheme.fields)})"
        )
    before = scheme.fields[: scheme.fields.index(field)]
    texts = [field_text(data, name, showing(scheme.controls, name)) for name in before]
    return sum(len(text) + len(BETWEEN) for text in texts if text)


def showing(controls: Sequence[Control], field: str) -> Control | None:
    """A control whose object shows this data field: it knows how."""
    return next((control for control in controls if control.field == field), None)


def field_text(data: Mapping[str, Any], field: str, control: Control | None = None) -> str:
    value = look_up(data, field)
    shows = control.shows if control is not None else "Text"
    if control is not None and object_setting(control, "valueType") == "url":
        raise ValueError(f"the field {field!r} holds the address of a text, not the text")
    if isinstance(value, str):
        return hypertext.read(value).text if shows == "HyperText" else value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        return "\n".join(name + text for name, text in lines(value, control))
    if isinstance(value, Mapping) and shows == "Table":
        return "\n".join(f"{key}: {item}" for key, item in value.items())
    raise ValueError(f"the field {field!r} holds {type(value).__name__}, not text")


def lines(value: Sequence[Mapping[str, Any]], control: Control | None = None) -> list[tuple[str, str]]:
    """Of paragraphs, chat messages or list items: what is put before each (such as "Ada: "), and its text."""
    shows = control.shows if control is not None else ""
    if shows == "Chat" or (not shows and all("role" in item for item in value)):
        name, text = "role", "content"
    elif shows == "List":
        name, text = "title", "body"
    else:
        name = object_setting(control, "nameKey") or "author"
        text = object_setting(control, "textKey") or "text"
    return [(f"{_plain(item[name])}: " if item.get(name) else "", _plain(item.get(text))) for item in value]


def line_begins(parts: Sequence[tuple[str, str]]) -> list[int]:
    """Where each line's text begins in the whole, after what is put before it."""
    found, at = [], 0
    for name, text in parts:
        found.append(at + len(name))
        at += len(name) + len(text) + 1
    return found


def look_up(data: Mapping[str, Any], field: str) -> Any:
    """The value of a data field; "a.b" also means the key b of the object in field a, as in Label Studio. KeyError."""
    if field in data or "." not in field:
        return data[field]
    outer, _, inner = field.partition(".")
    value = data[outer]
    if not isinstance(value, Mapping):
        raise KeyError(field)
    return look_up(value, inner)


def object_setting(control: Control | None, name: str) -> str:
    """An attribute of the object that a control is bound to; `read_controls` keeps them as "object:nameKey"."""
    return "" if control is None else attribute(control, f"object:{name}")


def attribute(control: Control, name: str) -> str:
    """A setting, "" if there is none. Label Studio does not look at the case of an attribute's name."""
    return next((value for key, value in control.settings if key.lower() == name.lower()), "")


def _plain(value: object) -> str:
    return "" if value is None else str(value)
