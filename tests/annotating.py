"""Simulated annotators of spans and of sets, over sentences with known ones. Everything is drawn from the seed given.

Each annotator has rates of their own: of missing, of inventing, of shifting an end, of taking one type for another. What is hard
is hard for all: misses and shifted ends of different annotators go together, as real ones do, and so do some of the inventions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Spans = list[dict[str, Any]]


@dataclass(frozen=True)
class Sentence:
    """places: (start, end) of each word in the text. spans: (first word, last word + 1, type)."""

    text: str
    places: list[tuple[int, int]]
    spans: list[tuple[int, int, str]]


def read_conll(file: Path) -> list[Sentence]:
    """From word<TAB>tag lines with BIO tags, an empty line between sentences."""
    parts = file.read_text(encoding="utf-8").split("\n\n")
    rows = [[line.split("\t") for line in part.split("\n") if "\t" in line] for part in parts]
    return [_sentence([row[0] for row in one], [row[-1] for row in one]) for one in rows if one]


def _sentence(words: Sequence[str], tags: Sequence[str]) -> Sentence:
    ends = np.cumsum([len(word) + 1 for word in words])
    places = [(int(end) - len(word) - 1, int(end) - 1) for word, end in zip(words, ends, strict=True)]
    spans, at = [], 0
    while at < len(words):
        last = at + 1
        if tags[at] != "O":
            while last < len(words) and tags[last] == f"I-{tags[at][2:]}":
                last += 1
            spans.append((at, last, tags[at][2:]))
        at = last
    return Sentence(" ".join(words), places, spans)


def answer(sentence: Sentence, spans: Sequence[tuple[int, int, str]]) -> Spans:
    """As the task type reads them."""
    found: dict[tuple[int, int], set[str]] = {}
    for first, last, label in spans:
        found.setdefault((sentence.places[first][0], sentence.places[last - 1][1]), set()).add(label)
    return [
        {"start": start, "end": end, "labels": sorted(labels), "text": sentence.text[start:end]}
        for (start, end), labels in sorted(found.items())
    ]


def annotate(sentences: Sequence[Sentence], *, each: int, people: int, seed: int) -> list[dict[int, Spans]]:
    """Of each sentence, annotator → spans, by `each` of `people` annotators: mean recall .75, an end shifted in a fifth of the
    spans, a type wrong in an eighth, one invention in about eight short sentences."""
    random = np.random.default_rng(seed)
    labels = sorted({label for one in sentences for *_, label in one.spans})
    finds, invents = random.beta(6, 2, people), random.gamma(2, 0.06, people)
    shifts, mistakes = random.beta(2, 8, people), random.beta(1.5, 10, people)
    habit = {label: str(random.choice([other for other in labels if other != label] or [label])) for label in labels}
    made = []
    for one in sentences:
        size = len(one.places)
        ease = random.beta(2, 2, len(one.spans)) + 0.5
        shifted = [_shift(random, first, last, size) for first, last, _ in one.spans]
        decoys = random.integers(0, size, 3)
        answers = {}
        for who in random.choice(people, each, replace=False).tolist():
            mine = []
            for at, (first, last, label) in enumerate(one.spans):
                if random.random() >= np.clip(1 - (1 - finds[who]) * (2 - ease[at]), 0.02, 0.99):
                    continue
                if random.random() < mistakes[who]:
                    label = habit[label] if random.random() < 0.6 else str(random.choice(labels))
                if random.random() < shifts[who]:
                    first, last = shifted[at] if random.random() < 0.6 else _shift(random, first, last, size)
                mine.append((first, last, label))
            for _ in range(random.poisson(invents[who] * max(size / 10, 1))):
                first = int(random.choice(decoys)) if random.random() < 0.4 else int(random.integers(size))
                mine.append((first, min(size, first + int(random.integers(1, 3))), str(random.choice(labels))))
            answers[int(who)] = answer(one, mine)
        made.append(answers)
    return made


def _shift(random: np.random.Generator, first: int, last: int, size: int) -> tuple[int, int]:
    """One word more at one end, or one less at the beginning."""
    way = random.integers(3)
    if way == 2 and last - first > 1:
        return first + 1, last
    return (max(first - 1, 0), last) if way else (first, min(last + 1, size))


def annotate_sets(truth: Sequence[list[str]], *, each: int, people: int, seed: int) -> list[dict[int, list[str]]]:
    """Of each set of labels, annotator → set: each label found with a chance of the annotator's own (mean .75), others added."""
    random = np.random.default_rng(seed)
    labels = sorted({label for one in truth for label in one})
    finds, adds = random.beta(6, 2, people), random.beta(1.5, 30, people)
    made = []
    for one in truth:
        ease = dict(zip(labels, random.beta(2, 2, len(labels)) * 0.5 + 0.75, strict=True))
        answers = {}
        for who in random.choice(people, each, replace=False).tolist():
            chance = [min(finds[who] * ease[label], 0.98) if label in one else adds[who] for label in labels]
            mine = [label for label, rate in zip(labels, chance, strict=True) if random.random() < rate]
            mine = [label for label in mine if label != "none" or len(mine) == 1]
            answers[int(who)] = sorted(mine) or ["none"]
        made.append(answers)
    return made
