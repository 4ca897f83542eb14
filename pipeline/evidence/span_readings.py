"""From characters to words and back: an example's spans as places among its words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from pipeline.evidence.phrases import Marked, Place
from pipeline.evidence.span_edits import Reading
from pipeline.types import IntArray, Words

Answer = Sequence[Mapping[str, Any]]  # see pipeline/tasks/spans.py
LEAST = 1e-6  # float32 probabilities are no more exact


@dataclass(frozen=True)
class Spread:
    """One example's words. starts, ends: (m,) code points. logs: (m, K + 1), the last of no span."""

    starts: IntArray
    ends: IntArray
    logs: Any

    def place(self, span: Mapping[str, Any], labels: Sequence[str]) -> Place:
        """The words that a span touches (none: the same start and end), and the first of its labels that is among `labels`."""
        first = int(np.searchsorted(self.ends, span["start"], side="right"))
        last = int(np.searchsorted(self.starts, span["end"], side="left"))
        return first, max(first, last), next((label for label in span["labels"] if label in labels), "")

    def characters(self, place: Place) -> tuple[int, int]:
        return int(self.starts[place[0]]), int(self.ends[place[1] - 1])


def spread(words: Words, examples: int) -> Iterator[Spread]:
    """The words of each row of `Corpus.examples`, in reading order."""
    order = np.lexsort((words.start, words.row))
    bounds = np.searchsorted(words.row[order], np.arange(examples + 1))
    for begin, end in pairwise(bounds.tolist()):
        rows = order[begin:end]
        yield Spread(words.start[rows], words.end[rows], np.log(np.maximum(words.probabilities[rows], LEAST)))


def reading(
    text: str, group: int, found: Spread, answer: Answer, votes: Sequence[Answer], labels: Sequence[str]
) -> Reading:
    """answer: the consensus; votes: what each annotator gave."""
    words = tuple(text[start:end].lower() for start, end in zip(found.starts, found.ends, strict=True))
    marked = Marked(group, words, tuple(found.place(span, labels) for span in answer))
    return Reading(marked, found.logs, tuple(tuple(found.place(span, labels) for span in vote) for vote in votes))
