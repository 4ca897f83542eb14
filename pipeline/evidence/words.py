"""What a model that never saw an example's own spans says about each word of its text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.store import Store
from pipeline.types import IntArray, Words

Span = Mapping[str, Any]  # start, end, labels, text: see pipeline/tasks/spans.py


def word_evidence(
    store: Store,
    model: str,
    texts: Sequence[str],
    answers: Sequence[Sequence[Span] | None],
    groups: IntArray,
    labels: Sequence[str],
    *,
    max_length: int = 128,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Words | None:
    """One row per word. answers: the consensus' spans, None where there is no consensus. groups: texts of one group do not
    vouch for each other."""
    return None
