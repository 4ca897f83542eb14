"""The controls of a file that comes without its labeling configuration, as far as its answers tell.

A result names its control and its type, which gives the tag; labels are those that were used. What cannot be seen from answers
(labels that nobody used, limits, `required`) is not there. The data field is the one whose text holds the spans; without spans
the one that has the object's name, else the first that holds text.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeline.reading.marked import TEXTS
from pipeline.reading.results import SPANS, read_items
from pipeline.reading.values import READERS, STARS
from pipeline.types import Control

TAGS = {
    "choices": "Choices", "taxonomy": "Taxonomy", "textarea": "TextArea", "pairwise": "Pairwise", "rating": "Rating",
    "number": "Number", "datetime": "DateTime", "ranker": "Ranker", "chatmessage": "Chat", "labels": "Labels",
    "hypertextlabels": "HyperTextLabels", "paragraphlabels": "ParagraphLabels", "rectanglelabels": "RectangleLabels",
    "polygonlabels": "PolygonLabels", "keypointlabels": "KeyPointLabels", "brushlabels": "BrushLabels",
    "ellipselabels": "EllipseLabels", "timelinelabels": "TimelineLabels", "videorectangle": "VideoRectangle",
    "timeserieslabels": "TimeSeriesLabels",
}  # fmt: skip
TRIED = 50  # tasks with spans in which a field is looked for

Record = Mapping[str, Any]
Entry = Mapping[str, Any]


def infer_controls(tasks: Sequence[Record]) -> tuple[Control, ...]:
    """In the order in which their names first occur in the answers; labels by frequency, then by name."""
    found: dict[str, list[Entry]] = defaultdict(list)
    regions: dict[str, int] = Counter()
    several: set[str] = set()
    for result in _results(tasks):
        marked = {_text(entry, "id") for entry in result if _text(entry, "type") not in READERS} - {""}
        seen: set[str] = set()
        for entry in result:
            name = _text(entry, "from_name")
            if not name:
                continue
            found[name].append(entry)
            about = _text(entry, "type") in READERS and _text(entry, "id") in marked
            regions[name] += about
            if name in seen and not about:
                several.add(name)
            seen.add(name)
    controls = [
        _control(name, entries, about_regions=regions[name] == len(entries), several=name in several)
        for name, entries in found.items()
    ]
    return _with_fields(controls, tasks)


def _control(name: str, entries: Sequence[Entry], *, about_regions: bool, several: bool) -> Control:
    kinds = Counter(_text(entry, "type") for entry in entries)
    kind = min(kinds, key=lambda one: (one not in READERS and one not in SPANS, -kinds[one], one))
    targets = Counter(_text(entry, "to_name") for entry in entries)
    values = [entry["value"] for entry in entries if isinstance(entry.get("value"), Mapping)]
    used: Counter[tuple[str, ...]] = Counter()
    most = STARS
    for value in values:
        given: list[Any] = next(
            (value[key] for key in (kind, "labels") if isinstance(value.get(key), list)), []
        )
        used.update(path for path in map(_path, given) if path)
        several = several or (kind == "choices" and len(given) > 1)
        stars = value.get("rating")
        most = max(most, stars) if isinstance(stars, int) else most
    paths = [path for path, _ in sorted(used.items(), key=lambda item: (-item[1], item[0]))]
    nested = kind == "taxonomy" or any(
        isinstance(one, list) for value in values for one in _list(value, "choices")
    )
    settings = {"perRegion": "true"} if about_regions else {}
    if kind == "choices":
        settings |= {"choice": "multiple" if several else "single"} | (
            {"allowNested": "true"} if nested else {}
        )
    if kind == "rating":
        settings["maxRating"] = str(most)
    return Control(
        name=name,
        to_name=targets.most_common(1)[0][0],
        tag=TAGS.get(kind, kind),
        field="",
        labels=tuple(dict.fromkeys(path[-1] for path in paths)) if kind not in ("textarea", "ranker") else (),
        shows=_shows(kind, values),
        paths=tuple(sorted(paths)) if nested else (),
        settings=tuple(sorted(settings.items())),
    )


def _shows(kind: str, values: Sequence[Mapping[str, Any]]) -> str:
    """The object's tag, "" if it shows no text."""
    if kind in READERS:
        return {"chatmessage": "Chat", "ranker": "List"}.get(kind, "Text")
    if kind not in SPANS:
        return ""
    starts = [value.get("start") for value in values]
    if kind == "hypertextlabels" or any(isinstance(start, str) and start.startswith("/") for start in starts):
        return "HyperText"
    if kind == "paragraphlabels" or any(isinstance(start, str) for start in starts):
        return "Paragraphs"
    return (
        "Text"
        if any(isinstance(start, int) for start in starts) and not any("x" in value for value in values)
        else ""
    )


def _with_fields(controls: Sequence[Control], tasks: Sequence[Record]) -> tuple[Control, ...]:
    """Controls of one object have one field, found by the spans that lie in it."""
    by_object: dict[str, tuple[str, str]] = {}
    for control in controls:
        if control.tag.lower() in SPANS and control.shows in TEXTS and control.to_name not in by_object:
            field = _field_of_spans(control, tasks)
            if field:
                by_object[control.to_name] = (field, control.shows)
    made = []
    for control in controls:
        field, shows = by_object.get(control.to_name, ("", control.shows))
        made.append(replace(control, field=field or _field(control, tasks), shows=shows))
    return tuple(made)


def _field_of_spans(control: Control, tasks: Sequence[Record]) -> str:
    """The data field in which most of the spans can be read, "" if none can be in any."""
    scores: Counter[str] = Counter()
    tried = 0
    for task in tasks:
        data = task.get("data")
        own = [
            entry
            for result in _results([task])
            for entry in result
            if _text(entry, "from_name") == control.name
        ]
        if not own or not isinstance(data, Mapping):
            continue
        for field, value in data.items():
            if control.shows == "HyperText" and "<" not in str(value):
                continue  # offsets fit any text that is long enough
            items, _ = read_items(own, [replace(control, field=str(field), labels=())], data)
            scores[str(field)] += len(items)
        tried += 1
        if tried == TRIED:
            break
    best = max(scores.values(), default=0)
    return next((field for field, score in scores.items() if score == best), "") if best else ""


def _field(control: Control, tasks: Sequence[Record]) -> str:
    wanted = list if control.shows in ("Chat", "List", "Paragraphs") else str
    texts: Counter[str] = Counter()
    for task in tasks[:TRIED]:
        data = task.get("data")
        for key, value in data.items() if isinstance(data, Mapping) else ():
            texts[str(key)] += isinstance(value, wanted)
    fields = [key for key, often in texts.items() if often]
    return control.to_name if control.to_name in fields else next(iter(fields), "")


def _results(tasks: Iterable[Record]) -> Iterator[list[Entry]]:
    for task in tasks:
        annotations = task.get("annotations", task.get("completions"))
        for annotation in annotations if isinstance(annotations, list) else ():
            result = annotation.get("result") if isinstance(annotation, Mapping) else None
            if isinstance(result, list):
                yield [entry for entry in result if isinstance(entry, Mapping)]


def _path(label: object) -> tuple[str, ...]:
    if isinstance(label, str):
        return (label,)
    return tuple(label) if isinstance(label, list) and all(isinstance(step, str) for step in label) else ()


def _list(value: Mapping[str, Any], key: str) -> list[Any]:
    given = value.get(key)
    return given if isinstance(given, list) else []


def _text(entry: Entry, key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""
