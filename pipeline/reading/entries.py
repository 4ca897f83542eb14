"""Entries of a `result`, written as Label Studio's editor writes them (seen in a browser on 1.23.2)."""

from __future__ import annotations

import base64
import hashlib
import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.reading import hypertext, shown
from pipeline.reading.marked import surface
from pipeline.reading.spans import code_points_to_utf16
from pipeline.reading.values import PATH
from pipeline.types import Control, Item

ID_LENGTH = 10  # as long as the editor's own


def entry(control: Control, kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Its id is made from its content: written twice, it is the same twice."""
    to_name = control.name if control.tag in ("Pairwise", "Chat") else control.to_name
    made = {"from_name": control.name, "to_name": to_name, "type": kind, "value": dict(value)}
    key = json.dumps(made, sort_keys=True).encode()
    name = base64.urlsafe_b64encode(hashlib.blake2b(key, digest_size=9).digest()).decode()[:ID_LENGTH]
    return {"id": name, **made, "origin": "manual"}


def choice_labels(control: Control) -> tuple[str, ...]:
    """The labels that an answer of this control can hold: of nested choices and taxonomies every path, as "Parent / Child"."""
    return tuple(PATH.join(path) for path in control.paths) if is_nested(control) else control.labels


def choices(control: Control, labels: Sequence[str]) -> dict[str, Any]:
    """An entry of Choices or Taxonomy."""
    kind = control.tag.lower()
    if not is_nested(control):
        return entry(control, kind, {kind: list(labels)})
    paths = {PATH.join(path): list(path) for path in control.paths}
    return entry(control, kind, {kind: [paths.get(label) or label.split(PATH) for label in labels]})


def is_nested(control: Control) -> bool:
    """Whether results hold paths: of Choices with allowNested, of a Taxonomy always."""
    return control.tag == "Taxonomy" or shown.attribute(control, "allowNested").lower() == "true"


def chosen(items: Sequence[Item]) -> list[str]:
    """The labels in items of Choices or Taxonomy, sorted, each once."""
    found = {
        label if isinstance(label, str) else PATH.join(label)
        for item in readable(items)
        for label in item.value
    }
    return sorted(found)


def readable(items: Sequence[Item]) -> Sequence[Item]:
    """The items, if all of them could be read. ValueError names one that could not."""
    for item in items:
        if not item.understood:
            raise ValueError(
                f"the result of {item.control!r} is of type {item.type!r}, which this kind of work does not read"
            )
    return items


def span(
    control: Control, start: int, end: int, labels: Sequence[str], data: Mapping[str, Any]
) -> dict[str, Any]:
    """A marked span, given in code points of the field's text. ValueError if it does not lie in the text.

    Text gets code points, HyperText the editor's count (from which it finds the XPaths itself), Paragraphs UTF-16.
    """
    ground = surface(control, data)
    if not 0 <= start < end <= len(ground.text):
        raise ValueError(
            f"the span {start}-{end} does not lie in the text, which has {len(ground.text)} characters"
        )
    kind = control.tag.lower()
    rest = {"text": ground.text[start:end], kind: list(labels)}
    if ground.page is not None:
        return entry(control, kind, {**_hypertext_place(ground.page, start, end), **rest})
    if ground.lines is not None:
        return entry(control, kind, {**_paragraph_place(ground.lines, ground.begins, start, end), **rest})
    return entry(control, kind, {"start": start, "end": end, **rest})


def _hypertext_place(page: hypertext.HyperText, start: int, end: int) -> dict[str, Any]:
    first, last = page.counted(start, end)
    offsets = {"start": first, "end": last}
    return {"start": "", "end": "", "startOffset": 0, "endOffset": 0, "globalOffsets": offsets}


def _paragraph_place(
    lines: Sequence[tuple[str, str]], begins: Sequence[int], start: int, end: int
) -> dict[str, Any]:
    """A name before a paragraph cannot be marked: a span that begins or ends in one is cut to the text."""
    first = max(0, bisect_right(begins, start) - 1)
    if start > begins[first] + len(lines[first][1]):
        first += 1
    last = max(first, bisect_right(begins, end - 1) - 1)
    inside = max(0, start - begins[first]), min(len(lines[last][1]), end - begins[last])
    if first == last and inside[0] >= inside[1]:
        raise ValueError(f"the span {start}-{end} holds nothing of what was said, only the name before it")
    return {
        "start": str(first),
        "end": str(last),
        "startOffset": code_points_to_utf16(lines[first][1], inside[0]),
        "endOffset": code_points_to_utf16(lines[last][1], inside[1]),
    }
