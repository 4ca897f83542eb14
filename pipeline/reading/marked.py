"""Reading a marked span of Text, HyperText or Paragraphs, and verifying it against the text. The form that it gets is in
`pipeline/reading/results.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.reading import hypertext, shown, spans
from pipeline.reading.values import Entry, check_labels
from pipeline.types import Control

TEXTS = ("Text", "HyperText", "Paragraphs")


@dataclass(frozen=True)
class Surface:
    """What the spans of one control lie in, prepared once for all of them."""

    text: str  # as `pipeline/reading/shown.py` gives it
    page: hypertext.HyperText | None = None
    lines: tuple[tuple[str, str], ...] | None = None
    begins: tuple[int, ...] = ()  # where the text of each line begins in the whole


def surface(control: Control, data: Mapping[str, Any]) -> Surface:
    """ValueError if the task does not hold the text that the control's object shows."""
    try:
        raw = shown.look_up(data, control.field)
    except KeyError as error:
        raise ValueError(f"the task has no field {control.field!r}, in which the span should lie") from error
    text = shown.field_text(data, control.field, control)
    if control.shows == "HyperText":
        return Surface(text, page=hypertext.read(raw if isinstance(raw, str) else text))
    if control.shows == "Paragraphs":
        if not isinstance(raw, list):
            raise ValueError(f"the field {control.field!r} holds no list of paragraphs")
        lines = shown.lines(raw, control)
        return Surface(text, lines=tuple(lines), begins=tuple(shown.line_begins(lines)))
    return Surface(text)


def read_span(
    value: Entry, kind: str, control: Control, data: Mapping[str, Any], ground: Surface
) -> dict[str, Any]:
    labels = _labels(value, kind, control, data)
    if ground.page is not None:
        return _in_hypertext(value, labels, ground.text, ground.page)
    if ground.lines is not None:
        return _in_paragraphs(value, labels, ground.text, ground.lines, ground.begins)
    start, end = spans.locate(ground.text, _whole(value, "start"), _whole(value, "end"), said=_said(value))
    return _normal(ground.text, start, end, labels)


def _labels(value: Entry, kind: str, control: Control, data: Mapping[str, Any]) -> list[str]:
    """Under the type's own key, or under `labels`: both are found, whatever the tag."""
    given = next((value[key] for key in (control.tag.lower(), kind, "labels") if key in value), None)
    if not isinstance(given, list) or not all(isinstance(label, str) for label in given):
        raise ValueError(f"the result of {control.name!r} holds no list of labels")
    if not given:
        raise ValueError(f"the span of {control.name!r} has no label")
    check_labels(given, control, data)
    return list(dict.fromkeys(given))


def _in_hypertext(value: Entry, labels: list[str], text: str, page: hypertext.HyperText) -> dict[str, Any]:
    start, end = page.shown(*_counted(value, page))
    said = _said(value)
    if said is not None and spans.but_for_white_space(text[start:end]) != spans.but_for_white_space(said):
        there = spans.quote(text[start:end])
        raise ValueError(
            f"the span at {start}-{end} of the shown text holds {there}, not its text {spans.quote(said)}"
        )
    found = _normal(text, start, end, labels)
    if isinstance(value.get("start"), str):
        found["xpath"] = [value.get(key) for key in ("start", "startOffset", "end", "endOffset")]
    return found


def _counted(value: Entry, page: hypertext.HyperText) -> tuple[int, int]:
    """Offsets as the editor counts them: globalOffsets where there are any, else the XPaths' (older editors, scripts)."""
    offsets = value.get("globalOffsets")
    if isinstance(offsets, Mapping):
        start, end = _whole(offsets, "start"), _whole(offsets, "end")
    elif isinstance(value.get("start"), str):
        found = [page.at(str(value.get(side)), _whole(value, f"{side}Offset")) for side in ("start", "end")]
        if found[0] is None or found[1] is None:
            raise ValueError("the span's XPath leads to no text of the HTML")
        start, end = found[0], found[1]
    else:
        start, end = _whole(value, "start"), _whole(value, "end")
    if end <= start:
        raise ValueError(
            f"the span {start}-{end} " + ("is empty" if end == start else "ends before it begins")
        )
    return start, end


def _in_paragraphs(
    value: Entry, labels: list[str], text: str, lines: tuple[tuple[str, str], ...], begins: tuple[int, ...]
) -> dict[str, Any]:
    first, last = _index(value, "start", len(lines)), _index(value, "end", len(lines))
    if last < first:
        raise ValueError(f"the span ends in paragraph {last}, before it begins in paragraph {first}")
    offsets, said = (_whole(value, "startOffset"), _whole(value, "endOffset")), _said(value)
    if first == last:
        inside = spans.locate(lines[first][1], *offsets, said=said, unit="UTF-16")
    else:
        inside = _across(lines[first][1], lines[last][1], *offsets, said)
    found = _normal(text, begins[first] + inside[0], begins[last] + inside[1], labels)
    return {**found, "paragraph": first, "end_paragraph": last}


def _across(head: str, tail: str, start: int, end: int, said: str | None) -> tuple[int, int]:
    """A span over several paragraphs. Between them the browser also selects names and times, so only both ends can be
    verified: the first paragraph's rest and the last one's beginning."""
    units = spans.utf16_to_code_points(head, start), spans.utf16_to_code_points(tail, end)
    readings = [(units[0], units[1])] if units[0] is not None and units[1] is not None else []
    if 0 <= start <= len(head) and 0 <= end <= len(tail):
        readings.append((start, end))
    bare = None if said is None else spans.but_for_white_space(said)
    for first, last in readings:
        ends = spans.but_for_white_space(head[first:]), spans.but_for_white_space(tail[:last])
        if bare is None or (bare.startswith(ends[0]) and bare.endswith(ends[1])):
            return first, last
    why = "lies outside their text" if not readings else f"does not hold its text {spans.quote(said or '')}"
    raise ValueError(f"the span from {start} in one paragraph to {end} in another {why}")


def _normal(text: str, start: int, end: int, labels: list[str]) -> dict[str, Any]:
    return {"start": start, "end": end, "labels": labels, "text": text[start:end]}


def _whole(value: Entry, key: str) -> int:
    given = value.get(key)
    if not isinstance(given, int) or isinstance(given, bool):
        raise ValueError(f"the span's {key} is {given!r}, not a whole number")
    return given


def _index(value: Entry, key: str, count: int) -> int:
    """A paragraph's number; the editor writes it as a string."""
    given = value.get(key)
    if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) < 9:
        given = int(given)
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given < count:
        raise ValueError(f"the span's {key} is {given!r}, which is none of the {count} paragraphs")
    return given


def _said(value: Entry) -> str | None:
    said = value.get("text")
    return said if isinstance(said, str) else None
