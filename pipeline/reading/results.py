"""From an annotation's raw `result` to items: what each entry says, in one form for each type, checked against the configuration.

Neither the server nor the SDK checks most of this, so it is checked here: an entry that a known control cannot mean becomes a
`Problem`, with the raw entry. What is not for us to read (images, audio, video, controls that the configuration does not
have, types that we do not know) is carried through as an item with `understood=False` and the raw entry as its value.

    type             value of the item
    choices          list of str, in the order given; of nested choices "Parent / Child"
    labels,
    hypertextlabels,
    paragraphlabels  {"start", "end": code points of the field's text as `pipeline/reading/shown.py` gives it, end exclusive,
                      "labels": list of str, "text": str}; of HyperText also "xpath": [start, startOffset, end, endOffset] where
                      given; of Paragraphs also "paragraph", "end_paragraph": int
    taxonomy         list of paths, each a list of str
    textarea         list of str
    pairwise         "left" or "right"
    rating           int
    number           int or float
    datetime         str, as the control's format has it
    ranker           {bucket: [item ids, best first]}; with neither bucket nor name, under the control's name
    chatmessage      {"role": str, "content": str, ...the message's other keys}
    relation         {"from", "to": region ids, "direction": str, "labels": list of str}; its control is ""

`region` is the entry's id. `parent` is the region that it belongs to: for a control with perRegion the id itself, which
Label Studio gives to the region's labels and to what is said about the region alike; else the entry's parentID.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.reading.marked import TEXTS, Surface, read_span, surface
from pipeline.reading.shown import attribute
from pipeline.reading.values import READERS, Entry
from pipeline.types import Control, Item, Problem

SPANS = ("labels", "hypertextlabels", "paragraphlabels")
CONDITIONS = ("visibleWhen", "whenTagName", "whenChoiceValue", "whenLabelValue", "perRegion")


def read_items(
    result: object, controls: Sequence[Control], data: Mapping[str, Any]
) -> tuple[list[Item], list[Problem]]:
    """Every entry of a raw `result`, in order, either as an item or as a problem; raises nothing for what it reads.

    data: the task's data, against which spans are verified.
    """
    if result is None:
        return [], []
    if not isinstance(result, list):
        return [], [Problem("", "the result is not a list", result)]
    reading = _Reading({control.name: control for control in controls}, data, {}, _regions(result, controls))
    items: list[Item] = []
    problems: list[Problem] = []
    for entry in result:
        try:
            items.append(_item(entry, reading))
        except ValueError as error:
            name = _str(entry.get("from_name")) if isinstance(entry, Mapping) else ""
            problems.append(Problem(name, str(error), entry))
    return items, problems


def missing_required(items: Sequence[Item], controls: Sequence[Control]) -> list[str]:
    """Names of the controls with required="true" to which no item belongs.

    A control that is only shown on a condition (another's choice or label, a region) is not asked for: whether it was shown
    is not in the result.
    """
    given = {item.control for item in items}
    return [
        control.name
        for control in controls
        if attribute(control, "required").lower() == "true"
        and control.name not in given
        and not any(attribute(control, condition).lower() not in ("", "false") for condition in CONDITIONS)
    ]


@dataclass(frozen=True)
class _Reading:
    """What reading one entry may look at."""

    controls: Mapping[str, Control]
    data: Mapping[str, Any]
    surfaces: dict[str, Surface]  # filled as spans are met
    regions: frozenset[str]


def _item(entry: object, reading: _Reading) -> Item:
    if not isinstance(entry, Mapping):
        raise ValueError("an entry of the result is not an object")
    kind, region, name = _str(entry.get("type")), _str(entry.get("id")), _str(entry.get("from_name"))
    parent = _str(entry.get("parentID"))
    if kind == "relation":
        return Item("", kind, _relation(entry, reading.regions), region)
    control = reading.controls.get(name)
    if control is None or not _is_ours(kind, control):
        return Item(name, kind, dict(entry), region, parent, understood=False)
    value = entry.get("value")
    if not isinstance(value, Mapping):
        raise ValueError(f"the result of {name!r} has no value that is an object")
    if _per_region(control):
        parent = region if region in reading.regions else parent
        if parent not in reading.regions:
            raise ValueError(
                f"the result of {name!r} belongs to region {parent or region!r}, which the annotation lacks"
            )
    if kind not in SPANS:
        return Item(name, kind, READERS[kind](value, control, reading.data), region, parent)
    if name not in reading.surfaces:
        reading.surfaces[name] = surface(control, reading.data)
    return Item(
        name, kind, read_span(value, kind, control, reading.data, reading.surfaces[name]), region, parent
    )


def _is_ours(kind: str, control: Control) -> bool:
    """Whether this type is read under this control. ValueError if the two do not go together."""
    if kind not in READERS and kind not in SPANS:
        return False
    tag = control.tag.lower()
    fits = tag.endswith("labels") if kind in SPANS else tag == {"chatmessage": "chat"}.get(kind, kind)
    if not fits:
        raise ValueError(f"a result of type {kind!r} stands under <{control.tag} name={control.name!r}>")
    return kind not in SPANS or control.shows in TEXTS


def _regions(result: Sequence[object], controls: Sequence[Control]) -> frozenset[str]:
    """Ids that a perRegion result or a relation may name: those of entries that mark something, be it understood or not."""
    about = {control.name for control in controls if _per_region(control)}
    marks = [
        entry
        for entry in result
        if isinstance(entry, Mapping)
        and _str(entry.get("type")) not in (*READERS, "relation")
        and _str(entry.get("from_name")) not in about
    ]
    return frozenset(_str(entry.get("id")) for entry in marks) - {""}


def _per_region(control: Control) -> bool:
    return attribute(control, "perRegion").lower() == "true"


def _relation(entry: Entry, regions: frozenset[str]) -> dict[str, Any]:
    ends = {"from": entry.get("from_id"), "to": entry.get("to_id")}
    for side, region in ends.items():
        if not isinstance(region, str) or region not in regions:
            raise ValueError(
                f"the relation leads {side} region {region!r}, which the annotation does not have"
            )
    labels = entry.get("labels") or []
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ValueError("the relation's labels are not a list of text")
    return {**ends, "direction": _str(entry.get("direction")), "labels": list(labels)}


def _str(value: object) -> str:
    return value if isinstance(value, str) else ""
