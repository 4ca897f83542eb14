"""Single-label text classification: an answer is one label, of nested choices "Parent / Child"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.reading import entries, shown
from pipeline.types import Item, Scheme

TAGS = ("Choices",)
SEVERAL = False
PARTIAL = False
ALTERNATIVES = False
MERGE = "labels"
EVIDENCE = "classes"


def classes(scheme: Scheme) -> tuple[str, ...]:
    return entries.choice_labels(scheme.control)


def similarity(a: str, b: str, scheme: Scheme) -> float:
    return float(a == b)


def mentions(answer: str) -> list[str]:
    return [answer]


def parse(items: Sequence[Item], scheme: Scheme, record: Mapping[str, Any]) -> str | None:
    chosen = entries.chosen(items)
    if len(chosen) > 1:
        raise ValueError(f"it has {len(chosen)} labels ({', '.join(chosen)}) where one is allowed")
    return chosen[0] if chosen else None


def text(data: Mapping[str, Any], scheme: Scheme) -> str:
    return shown.example_text(data, scheme)


def to_result(answer: str, scheme: Scheme, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [entries.choices(scheme.control, [answer])]
