"""Spans in a text: an answer is a list of

    {"start": int, "end": int, "labels": [sorted], "text": str}

in code points of the example's text, end exclusive, sorted by (start, end); of paragraphs also "paragraph" and "end_paragraph".
Two regions on the same place are one span with the labels of both. [] means that the annotator looked and found none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.reading import entries, shown
from pipeline.types import Item, Scheme

TAGS = ("Labels", "HyperTextLabels", "ParagraphLabels")
SEVERAL = False
PARTIAL = True
ALTERNATIVES = False
MERGE = "spans"
EVIDENCE = "words"


def classes(scheme: Scheme) -> tuple[str, ...]:
    return ()


def similarity(a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]], scheme: Scheme) -> float:
    """F1 of (start, end, label), the strict measure of entity recognition, but for blanks at the ends; two answers without spans
    are equal."""
    one, other = triples(a), triples(b)
    return 2 * len(one & other) / (len(one) + len(other)) if one or other else 1.0


def triples(answer: Sequence[Mapping[str, Any]]) -> set[tuple[int, int, str]]:
    """(start, end, label) without the blanks at the ends."""
    return {(*place(span), label) for span in answer for label in span["labels"]}


def place(span: Mapping[str, Any]) -> tuple[int, int]:
    """(start, end) without the blanks at the ends: who drags a little too far means the same. Of LEOKA's spans one in ten has
    some."""
    start, end, text = span["start"], span["end"], span["text"]
    if len(text) != end - start or not text.strip():
        return start, end
    return start + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip())


def mentions(answer: Sequence[Mapping[str, Any]]) -> list[str]:
    return [label for span in answer for label in span["labels"]]


def parse(items: Sequence[Item], scheme: Scheme, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    before = shown.begins(record["data"], scheme, scheme.control.field) if items else 0
    found: dict[tuple[int, int], dict[str, Any]] = {}
    for item in entries.readable(items):
        value = item.value
        start, end = value["start"] + before, value["end"] + before
        labels = set(value["labels"]) | set(found.get((start, end), {}).get("labels", ()))
        paragraphs = {key: value[key] for key in ("paragraph", "end_paragraph") if key in value}
        found[start, end] = {
            "start": start, "end": end, "labels": sorted(labels), "text": value["text"], **paragraphs,
        }  # fmt: skip
    return [found[place] for place in sorted(found)]


def text(data: Mapping[str, Any], scheme: Scheme) -> str:
    return shown.example_text(data, scheme)


def to_result(
    answer: Sequence[Mapping[str, Any]], scheme: Scheme, record: Mapping[str, Any]
) -> list[dict[str, Any]]:
    control, data = scheme.control, record["data"]
    before = shown.begins(data, scheme, control.field)
    return [
        entries.span(control, span["start"] - before, span["end"] - before, span["labels"], data)
        for span in answer
    ]
