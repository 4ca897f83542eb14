"""Ratings of a response: an answer is {control: stars or number}, with a key for each rating that was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.reading import entries, shown
from pipeline.types import Item, Scheme

TAGS = ("Rating", "Number")
SEVERAL = True
PARTIAL = False

Ratings = dict[str, int | float]


def classes(scheme: Scheme) -> tuple[str, ...]:
    return ()


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
