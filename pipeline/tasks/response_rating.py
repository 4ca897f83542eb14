"""Ratings of a response: an answer is {control: stars or number}, with a key for each rating that was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.reading import entries, shown
from pipeline.reading.values import STARS, limit
from pipeline.types import Item, Scheme

TAGS = ("Rating", "Number")
SEVERAL = True
PARTIAL = False
ALTERNATIVES = False
MERGE = "ratings"
EVIDENCE = ""

Ratings = dict[str, int | float]


def classes(scheme: Scheme) -> tuple[str, ...]:
    return ()


def similarity(a: Ratings, b: Ratings, scheme: Scheme) -> float:
    """1 − the mean distance of the ratings that either gave, as a share of the scale; a rating that one lacks is far away."""
    names = a.keys() | b.keys()
    far = [abs(a[name] - b[name]) / width(scheme, name) if name in a and name in b else 1.0 for name in names]
    return max(0.0, 1 - sum(far) / len(far)) if far else 1.0


def width(scheme: Scheme, name: str) -> float:
    """From the lowest rating to the highest: Label Studio's own default is five stars."""
    control = scheme.named(name)
    if control is None:
        return STARS - 1.0
    low, high = limit(control, "min", 1.0), limit(control, "max") or limit(control, "maxRating", STARS)
    return max((high or STARS) - (low or 0.0), 1.0)


def mentions(answer: Ratings) -> list[str]:
    return []


def parse(items: Sequence[Item], scheme: Scheme, record: Mapping[str, Any]) -> Ratings | None:
    found: Ratings = {}
    for item in entries.readable(items):
        if found.setdefault(item.control, item.value) != item.value:
            raise ValueError(f"it rates {item.control!r} twice, with {found[item.control]} and {item.value}")
    return found or None


def text(data: Mapping[str, Any], scheme: Scheme) -> str:
    return shown.example_text(data, scheme)


def to_result(answer: Ratings, scheme: Scheme, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    made = []
    for name in scheme.answer:
        control = scheme.named(name)
        if control is not None and name in answer:
            kind = control.tag.lower()
            made.append(entries.entry(control, kind, {kind: answer[name]}))
    return made
