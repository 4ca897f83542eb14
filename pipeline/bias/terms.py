"""Which texts mention which groups of people, and how a word's use differs between texts with a label and those without."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.bias.groups import Group
from pipeline.evidence.private_data import spots

Array = NDArray[np.float64]
LONGEST = 30  # signs of a word that is shown: longer ones are seldom words
WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")
FILE = Path(__file__).with_name("identity_terms.yaml")


@dataclass(frozen=True)
class Lexicon:
    """words: word → (axis, group). ambiguous: the same for words that count only before one of `people`."""

    words: Mapping[str, tuple[str, str]]
    ambiguous: Mapping[str, tuple[str, str]]
    people: frozenset[str]


@cache
def stored() -> dict[str, Any]:
    """What `identity_terms.yaml` says."""
    import yaml

    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return loaded


@cache
def lexicon() -> Lexicon:
    known = stored()

    def table(name: str) -> dict[str, tuple[str, str]]:
        return {
            word: (axis, group)
            for axis, found in known[name].items()
            for group, names in found.items()
            for word in names
        }

    return Lexicon(table("axes"), table("ambiguous"), frozenset(known["people"]))


def public(text: str) -> str:
    """The text with personal data blanked out: no word of it may end up in a report."""
    for spot in reversed(spots(text)):
        text = f"{text[: spot.start]} {text[spot.end :]}"
    return text


def words(text: str) -> list[str]:
    """Words in lower case, in order, without personal data and without what is too long for a word."""
    found = (match.group().lower().replace("’", "'") for match in WORD.finditer(public(text)))
    return [word for word in found if len(word) <= LONGEST]


def mentioned(found: Sequence[str]) -> set[tuple[str, str]]:
    """The (axis, group) that the words of a text name."""
    known = lexicon()
    named = {known.words[word] for word in found if word in known.words}
    for word, after in pairwise(found):
        if word in known.ambiguous and after in known.people:
            named.add(known.ambiguous[word])
    return named


def mentions(texts: Sequence[str], min_n: int) -> list[Group]:
    """A group per (axis, group) that at least `min_n` texts name, against all texts that do not name it; sorted."""
    named = [mentioned(words(text)) for text in texts]
    found = []
    for axis, group in sorted(set().union(*named)):
        members = np.array([(axis, group) in one for one in named], bool)
        if members.sum() >= min_n and (~members).sum() >= min_n:
            found.append(Group(f"mentions {axis}", group, members, ~members))
    return found


def log_odds(counts: Array, other: Array) -> tuple[Array, Array]:
    """(log-odds ratio, z) of each of W words between two sets of texts, (W,) counts each: above 0 where the word is more usual in
    the first. The prior is the words' distribution over both, as heavy as both together: rare words are pulled to 0.

    Source: Monroe, Colaresi and Quinn, Fightin' Words (2008), eq. 16, 20 and 22; the prior from the corpus itself as in
    Jurafsky et al. (2014).
    """
    prior = counts + other
    a, b = counts + prior, other + prior
    total_a, total_b = a.sum(), b.sum()
    ratio = np.log(a / np.maximum(total_a - a, 1e-9)) - np.log(b / np.maximum(total_b - b, 1e-9))
    z: Array = ratio / np.sqrt(1 / a + 1 / b)
    return ratio, z
