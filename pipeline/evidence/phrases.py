"""How is the same phrase marked elsewhere? What the annotators marked, and what they passed over, by phrase.

Two occurrences are the same phrase if their words are, whatever their case.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

LONGEST = 8  # words; of the spans of CrossNER, WNUT 2017 and NCBI's diseases 2 % are longer
REACH = 2  # words to either side of a span that are remembered with it

Phrase = tuple[str, ...]
Place = tuple[int, int, str]  # first word, word after the last, label; the label "" for no span


@dataclass(frozen=True)
class Marked:
    """One text: the group that it belongs to, its words without case, and its spans by words."""

    group: int
    words: Phrase
    spans: tuple[Place, ...]


@dataclass(frozen=True)
class Phrases:
    """seen: phrase → how it, or the part of it that the place (counted from its first word) names, was marked; own: the same
    within one group. known: phrases that were marked as a whole somewhere; begins: their first words."""

    seen: Mapping[Phrase, Counter[Place]]
    own: Mapping[tuple[int, Phrase], Counter[Place]]
    known: Set[Phrase]
    begins: Set[str]

    def elsewhere(self, text: Marked, start: int, end: int) -> Counter[Place]:
        """How the words from start to end of the text are marked in texts of other groups."""
        phrase = text.words[start:end]
        if phrase not in self.seen:
            return Counter()
        return self.seen[phrase] - self.own.get((text.group, phrase), Counter())

    def unmarked(self, text: Marked) -> Iterator[tuple[int, int]]:
        """Where a known phrase stands clear of all spans of the text."""
        taken = covered(text)
        for start, word in enumerate(text.words):
            if word not in self.begins:
                continue
            for end in range(start + 1, min(start + LONGEST, len(text.words)) + 1):
                if taken[end - 1]:
                    break
                if text.words[start:end] in self.known:
                    yield start, end


def phrases(texts: Sequence[Marked]) -> Phrases:
    """Every marked phrase of up to LONGEST words, alone and with up to REACH words around it; and every place where one stands
    unmarked, clear of all spans."""
    seen: defaultdict[Phrase, Counter[Place]] = defaultdict(Counter)
    own: defaultdict[tuple[int, Phrase], Counter[Place]] = defaultdict(Counter)
    known = {text.words[start:end] for text in texts for start, end, _ in text.spans if 0 < end - start <= LONGEST}
    found = Phrases(seen, own, known, {phrase[0] for phrase in known})
    for text in texts:
        passed = ((text.words[start:end], (0, end - start, "")) for start, end in found.unmarked(text))
        for phrase, place in (*_in_context(text), *passed):
            seen[phrase][place] += 1
            own[text.group, phrase][place] += 1
    return found


def _in_context(text: Marked) -> Iterator[tuple[Phrase, Place]]:
    for start, end, label in text.spans:
        if not 0 < end - start <= LONGEST:
            continue
        for before in range(min(REACH, start) + 1):
            for after in range(min(REACH, len(text.words) - end) + 1):
                yield text.words[start - before : end + after], (before, before + end - start, label)


def covered(text: Marked) -> list[bool]:
    """For each word whether it lies in a span."""
    taken = [False] * len(text.words)
    for start, end, _ in text.spans:
        taken[start:end] = [True] * (end - start)
    return taken


def inconsistent(phrases: Phrases) -> int:
    """How many phrases are marked as a whole with two labels or more, or marked in one place and passed over in another."""
    number = 0
    for phrase in phrases.known:
        outcomes = {label for (start, end, label) in phrases.seen[phrase] if (start, end) == (0, len(phrase))}
        number += len(outcomes) > 1
    return number
