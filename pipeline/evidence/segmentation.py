"""Where the words of a text begin and end, in any language, without a dictionary.

A word is a run of letters and digits with their combining marks; in scripts that are written without spaces between words, and in
Hangul, whose particles cling to what they follow, each character is a word. Every other visible character stands alone.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import numpy as np

from pipeline.types import IntArray

# Unicode blocks. Source: The Unicode Standard 15.0, Blocks.txt; scripts that use no spaces: UAX #14, complex context (SA) and
# ideographic (ID) classes.
UNSPACED = (
    (0x0E00, 0x0FFF),  # Thai, Lao, Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x11FF),  # Hangul Jamo
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x3400, 0x4DBF),  # CJK extension A
    (0x4E00, 0x9FFF),  # CJK
    (0xAC00, 0xD7AF),  # Hangul syllables
    (0xF900, 0xFAFF),  # CJK compatibility
    (0x20000, 0x3FFFF),  # CJK extensions B and on
)
JOINERS = "\u200c\u200d"  # they join or separate letters of one word
WORD = re.compile("w[wm]*|cm*|pm*|m+")


def words_of(text: str) -> IntArray:
    """(m, 2) start and end of each word in code points, end exclusive, in reading order; whitespace belongs to none."""
    kinds = "".join(map(_kind, text))
    return np.array([match.span() for match in WORD.finditer(kinds)], np.int64).reshape(-1, 2)


@lru_cache(maxsize=65_536)
def _kind(character: str) -> str:
    """"w" letter or digit, "c" of a script without spaces, "m" combining mark or joiner, "s" nothing to see, "p" the rest."""
    category = unicodedata.category(character)
    if category[0] == "M" or character in JOINERS:
        return "m"
    if character.isspace() or category in ("Cc", "Cf"):
        return "s"
    if category[0] not in "LN":
        return "p"
    return "c" if any(low <= ord(character) <= high for low, high in UNSPACED) else "w"
