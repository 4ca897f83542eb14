"""Multi-label classification: an answer is the sorted list of the labels that fit, of nested choices and of taxonomies
"Parent / Child". Never empty: a configuration has a label of its own for "none of these", else no answer looks like none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.reading import entries, shown
from pipeline.types import Item, Scheme

TAGS = ("Choices", "Taxonomy")
SEVERAL = False
PARTIAL = False
ALTERNATIVES = False
MERGE = "sets"
EVIDENCE = "sets"


def classes(scheme: Scheme) -> tuple[str, ...]:
    return ()


def similarity(a: Sequence[str], b: Sequence[str], scheme: Scheme) -> float:
    """Jaccard: labels in common over labels in either."""
    either = set(a) | set(b)
    return len(set(a) & set(b)) / len(either) if either else 1.0


def mentions(answer: Sequence[str]) -> list[str]:
    return list(answer)


def parse(items: Sequence[Item], scheme: Scheme, record: Mapping[str, Any]) -> list[str] | None:
    return entries.chosen(items) or None


def text(data: Mapping[str, Any], scheme: Scheme) -> str:
    return shown.example_text(data, scheme)


def to_result(answer: Sequence[str], scheme: Scheme, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [entries.choices(scheme.control, answer)] if answer else []
