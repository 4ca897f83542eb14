"""The words of a text, in any script, and how many two texts have in common."""

from __future__ import annotations

import re
from collections import Counter

# Scripts without spaces (Thai, Lao, Burmese, Khmer, kana, Han): each character counts for a word.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]")


def words(text: str) -> list[str]:
    """In lower case; a punctuation mark is a word of its own, so that "Yes." and "yes" share one."""
    return WORD.findall(text.lower())


def same_words(a: str, b: str) -> float:
    """F1 of the words of two texts, each counted as often as it occurs, in [0, 1]; 1 for equal texts.

    Source: Rajpurkar et al. (2016), SQuAD, without their list of words to leave out.
    """
    if a == b:
        return 1.0
    one, other = Counter(words(a)), Counter(words(b))
    total = one.total() + other.total()
    return 2 * (one & other).total() / total if total else 0.0
