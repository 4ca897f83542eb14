"""The values of results that mark nothing: how each type is read and checked. The forms are in `pipeline/reading/results.py`.

A reader takes an entry's `value`, its control and the task's data, and raises ValueError with one clause.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.reading.shown import attribute
from pipeline.types import Control

PATH = " / "  # between the levels of a nested choice
KNOWN = 12  # labels listed in a reason
MOST = 2.0**1023  # beyond it a whole number is no float any more; infinity is beyond it too
STARS = 5  # Label Studio's default for maxRating

Entry = Mapping[str, Any]
Reader = Callable[[Entry, Control, Mapping[str, Any]], Any]


def _choices(value: Entry, control: Control, data: Mapping[str, Any]) -> list[str]:
    given = value.get("choices")
    if not isinstance(given, list):
        raise ValueError(f"the result of {control.name!r} holds no list of choices")
    chosen = [PATH.join(choice) if _strings(choice) else choice for choice in given]
    if not all(isinstance(choice, str) for choice in chosen):
        raise ValueError(f"the result of {control.name!r} holds no list of choices")
    if not chosen:
        raise ValueError(f"the result of {control.name!r} chooses nothing")
    if len(set(chosen)) > 1 and attribute(control, "choice") != "multiple":
        raise ValueError(
            f"it has {len(set(chosen))} labels ({', '.join(sorted(set(chosen)))}) where one is allowed"
        )
    nested = [PATH.join(path) for path in control.paths]
    check_labels([label for label in chosen if label not in nested], control, data)
    return list(dict.fromkeys(chosen))


def _taxonomy(value: Entry, control: Control, data: Mapping[str, Any]) -> list[list[str]]:
    given = value.get("taxonomy")
    if not isinstance(given, list) or not all(_strings(path) for path in given):
        raise ValueError(f"the result of {control.name!r} holds no list of paths")
    if not given:
        raise ValueError(f"the result of {control.name!r} chooses nothing")
    for path in given:
        if control.paths and not _dynamic(control) and tuple(path) not in control.paths:
            raise ValueError(f"the path {PATH.join(path)!r} is not in the label configuration")
    return [list(path) for path in given]


def _textarea(value: Entry, control: Control, data: Mapping[str, Any]) -> list[str]:
    given = value.get("text")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"the result of {control.name!r} holds no list of texts")
    if not texts or not all(text.strip() for text in texts):
        raise ValueError(f"the result of {control.name!r} holds an empty text")
    return list(texts)


def _pairwise(value: Entry, control: Control, data: Mapping[str, Any]) -> str:
    selected = value.get("selected")
    if selected not in ("left", "right"):
        raise ValueError(
            f"the result of {control.name!r} selects {selected!r}, which is neither left nor right"
        )
    return str(selected)


def _rating(value: Entry, control: Control, data: Mapping[str, Any]) -> int:
    given = _finite(value.get("rating"), control)
    most = limit(control, "maxRating", STARS)
    if given != int(given):
        raise ValueError(f"the rating {given:g} of {control.name!r} is not a whole number")
    if most is not None and not 0 <= given <= most:
        raise ValueError(f"the rating {given:g} of {control.name!r} lies outside 0 to {most:g}")
    return int(given)


def _number(value: Entry, control: Control, data: Mapping[str, Any]) -> int | float:
    given = _finite(value.get("number"), control)
    least, most = limit(control, "min"), limit(control, "max")
    if (least is not None and given < least) or (most is not None and given > most):
        bounds = (
            f"{'-∞' if least is None else format(least, 'g')} to {'∞' if most is None else format(most, 'g')}"
        )
        raise ValueError(f"the number {given:g} of {control.name!r} lies outside {bounds}")
    return given


def _datetime(value: Entry, control: Control, data: Mapping[str, Any]) -> str:
    given = value.get("datetime")
    if not isinstance(given, str) or not given.strip():
        raise ValueError(f"the result of {control.name!r} holds no date")
    return given


def _ranker(value: Entry, control: Control, data: Mapping[str, Any]) -> dict[str, list[str]]:
    given = value.get("ranker")
    buckets = {control.name: given} if isinstance(given, list) else given
    if not isinstance(buckets, Mapping) or not all(_strings(ids) or ids == [] for ids in buckets.values()):
        raise ValueError(f"the result of {control.name!r} holds no lists of items")
    ranked = [item for ids in buckets.values() for item in ids]
    if len(set(ranked)) < len(ranked):
        raise ValueError(f"the result of {control.name!r} ranks an item twice")
    return {str(bucket): list(ids) for bucket, ids in buckets.items()}


def _chatmessage(value: Entry, control: Control, data: Mapping[str, Any]) -> dict[str, Any]:
    given = value.get("chatmessage")
    if not isinstance(given, Mapping) or not all(
        isinstance(given.get(key), str) for key in ("role", "content")
    ):
        raise ValueError(f"a message of {control.name!r} has no role and content that are text")
    if not given["role"]:
        raise ValueError(f"a message of {control.name!r} has no role")
    return dict(given)


def check_labels(labels: Sequence[str], control: Control, data: Mapping[str, Any]) -> None:
    if _dynamic(control) or not control.labels:
        return  # the labels come from the task or from a service: they cannot be judged
    allowed = {
        str(data.get(label[1:], label)) if label.startswith("$") else label for label in control.labels
    }
    for label in labels:
        if label not in allowed:
            known = ", ".join(control.labels[:KNOWN]) + (", …" if len(control.labels) > KNOWN else "")
            raise ValueError(f"the label {label!r} is not in the label configuration (known: {known})")


def _dynamic(control: Control) -> bool:
    return attribute(control, "value").startswith("$") or bool(attribute(control, "apiUrl"))


def _finite(given: object, control: Control) -> int | float:
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not abs(given) <= MOST:
        raise ValueError(f"the result of {control.name!r} is {given!r}, not a number")
    return given


def limit(control: Control, name: str, default: float | None = None) -> float | None:
    """A number among the settings; None if it is not there, or is none (the configuration's fault, not the annotator's)."""
    try:
        return float(attribute(control, name)) if attribute(control, name) else default
    except ValueError:
        return default


def _strings(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


READERS: dict[str, Reader] = {
    "choices": _choices,
    "taxonomy": _taxonomy,
    "textarea": _textarea,
    "pairwise": _pairwise,
    "rating": _rating,
    "number": _number,
    "datetime": _datetime,
    "ranker": _ranker,
    "chatmessage": _chatmessage,
}
