"""Answers of different examples, side by side: as a person reads them, and how far they agree.

What is shown holds labels, numbers and counts, never a word that somebody marked or wrote: it may be personal.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from pipeline.evidence.duplicates import normalise
from pipeline.tasks import task_type
from pipeline.types import Corpus, Scheme

Spans = Sequence[Mapping[str, Any]]

OTHER = {"a": "b", "b": "a"}
# Pairs of annotators of one example from which their usual likeness is taken: of fewer, the lower tenth is under three pairs.
PAIRS, MOST_PAIRS, LOWER = 30, 5000, 0.1


def answers_of(corpus: Corpus) -> list[Any]:
    """(n,) the consensus of each example, None where there is none. A preference says which response was better *as shown*:
    "left", "right" or "tie", since `a` may stand left in one example and right in its copy."""
    given = dict(zip(corpus.consensus["example_id"].tolist(), corpus.consensus["answer"], strict=True))
    loaded = {answer: orjson.loads(answer) for answer in set(given.values())}
    out = [loaded[given[example]] if example in given else None for example in corpus.examples["example_id"].tolist()]
    if corpus.task != "pairwise_preference":
        return out
    return [answer and side(corpus, int(name), answer) for name, answer in zip(corpus.examples["example_id"], out, strict=True)]


def side(corpus: Corpus, example: int, answer: str) -> str:
    """Of a preference, the side that it is for; of a side, the response that was shown there: the one undoes the other."""
    left = corpus.left.get(example, "a")
    names = {left: "left", OTHER[left]: "right", "left": left, "right": OTHER[left]}
    return names.get(answer, answer)


def labels_of(corpus: Corpus) -> list[str | None]:
    """(n,) the consensus of each example in a few words, None where there is none, or where different ones can all be right."""
    if task_type(corpus.task).ALTERNATIVES:
        return [None] * len(corpus.examples)
    return [None if answer is None else shown(answer) for answer in answers_of(corpus)]


def shown(answer: Any) -> str:
    """An answer as its label or labels, how many spans of each, its ratings."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, dict):
        return ", ".join(f"{name} {answer[name]}" for name in sorted(answer)) or "nothing"
    if answer and all(isinstance(item, str) for item in answer):  # sets are never empty
        return ", ".join(answer)
    counts = Counter("/".join(item.get("labels", ())) for item in answer)
    return ", ".join(f"{count} × {label}" for label, count in sorted(counts.items())) or "no span"


def agreement(corpus: Corpus) -> Callable[[int, int, Any, Any], float]:
    """How far the answers a, b of two examples (rows i, j; answers as in `answers_of`) say the same, in [0, 1], as the task type
    measures it. Of spans in two different texts: see `spans_in_both`."""
    similarity = task_type(corpus.task).similarity
    scheme = corpus.scheme or Scheme((), (), ())
    texts = corpus.examples["text"].tolist()
    spans = task_type(corpus.task).EVIDENCE == "words"

    def compare(i: int, j: int, a: Any, b: Any) -> float:
        if spans and texts[i] != texts[j]:
            return spans_in_both(texts[i], texts[j], a, b)
        return float(similarity(a, b, scheme))

    return compare


def spans_in_both(one: str, other: str, a: Spans, b: Spans) -> float:
    """F1 of (label, words) over the spans whose words stand in both texts, whatever their places; 1 where there are none."""
    first, second = _words(a, other), _words(b, one)
    total = sum(first.values()) + sum(second.values())
    return 2 * sum((first & second).values()) / total if total else 1.0


def _words(answer: Spans, text: str) -> Counter[tuple[str, str]]:
    place = normalise(text)
    found: Counter[tuple[str, str]] = Counter()
    for span in answer:
        words = normalise(str(span.get("text", "")))
        if words and words in place:
            found.update((label, words) for label in span["labels"])
    return found


def least_agreement(corpus: Corpus, floor: float) -> float:
    """From which similarity on two answers count as the same: what nine of ten pairs of annotators of one and the same example
    reach, where there are enough pairs, and at least `floor`. 1 where answers are one of a few labels."""
    task = task_type(corpus.task)
    if corpus.labels:
        return 1.0
    scheme = corpus.scheme or Scheme((), (), ())
    given = corpus.annotations.sort_values(["example_id", "annotator", "annotation_id"]).drop_duplicates(
        ["example_id", "annotator"], keep="last"
    )
    found: list[float] = []
    for _, answers in given.groupby("example_id")["answer"]:
        values = [orjson.loads(answer) for answer in answers]
        found += [float(task.similarity(a, b, scheme)) for a, b in itertools.combinations(values, 2)]
        if len(found) >= MOST_PAIRS:
            break
    return max(floor, float(np.quantile(found, LOWER))) if len(found) >= PAIRS else floor
