"""Writing a text: an answer is what the annotator wrote, or left standing of a draft. Several entries are joined by a newline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.reading import entries, shown
from pipeline.reading.words import same_words
from pipeline.types import Item, Scheme

TAGS = ("TextArea",)
SEVERAL = False
PARTIAL = False
ALTERNATIVES = True
MERGE = "texts"
EVIDENCE = "written"


def classes(scheme: Scheme) -> tuple[str, ...]:
    return ()


def similarity(a: str, b: str, scheme: Scheme) -> float:
    return same_words(a, b)


def mentions(answer: str) -> list[str]:
    return []


def written(answer: str) -> str:
    return answer


def parse(items: Sequence[Item], scheme: Scheme, record: Mapping[str, Any]) -> str | None:
    return "\n".join(text for item in entries.readable(items) for text in item.value) or None


def text(data: Mapping[str, Any], scheme: Scheme) -> str:
    return shown.example_text(data, scheme)


def to_result(answer: str, scheme: Scheme, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [entries.entry(scheme.control, "textarea", {"text": [answer]})]
