"""Which short text stands inside a longer one: what Jaccard cannot see, because the longer text has so much besides.

A text is contained as far as its words lie in n-grams of words that the other text holds as well, as Touvron et al., Llama 2
(2023), appendix A.6, count contaminated tokens. Only texts of 13 words and more are judged, as in Brown et al., GPT-3 (2020),
appendix C; n is 6, so that one changed word in the middle of 13 leaves both halves. Of banking77's test questions, this finds 11
inside a training question, all of them rightly; n-grams of 13, which any edit breaks, find 5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.types import IntArray

NGRAM, LEAST = 6, 13
# Llama 2 calls a text dirty from 80 % of its tokens.
SHARE = 0.8
# Whoever holds an n-gram beyond these many is not looked at: a signature in 10,000 letters would cost 10^8 comparisons.
CROWD = 50
WORD = re.compile(r"\w+")
SEED = 43

Hashes = NDArray[np.uint64]
Contained = tuple[int, int, float]  # row of the short text, row of the longer one, share of the short one's words in [0, 1]


def contained(short: Sequence[str], long: Sequence[str], *, floor: float = SHARE, n: int = NGRAM) -> list[Contained]:
    """Pairs of a text of `short` with at least LEAST words and a text of `long` that holds a share of `floor` or more of them.

    Texts are normalised ones; a word is a run of letters and digits, so scripts without blanks have few words and are hardly ever
    judged. Sorted by row. A text of `long` that is not longer in words holds nothing: what is alike and of one length is for
    `duplicates.near_pairs`. Of more than CROWD texts of `long` with one n-gram, the first count.
    """
    asked, given = [WORD.findall(text) for text in short], [WORD.findall(text) for text in long]
    asked = [words if len(words) >= LEAST else [] for words in asked]
    words: dict[tuple[int, int], set[int]] = {}
    for row, holder, place in _shared(asked, given, n):
        if len(given[holder]) > len(asked[row]):
            words.setdefault((row, holder), set()).update(range(place, place + n))
    shares = [(row, holder, len(held) / len(asked[row])) for (row, holder), held in words.items()]
    return sorted(pair for pair in shares if pair[2] >= floor)


def _shared(asked: list[list[str]], given: list[list[str]], n: int) -> Iterator[tuple[int, int, int]]:
    """(text of `asked`, text of `given`, place in the first) of every n-gram that both hold."""
    numbers = {word: number for number, word in enumerate(sorted({word for text in (*asked, *given) for word in text}))}
    random = np.random.default_rng(SEED)
    keys = random.integers(1 << 63, size=len(numbers), dtype=np.uint64)
    odd = random.integers(1 << 62, size=n, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    rows, places, first = _ngrams(asked, numbers, keys, odd)
    holders, _, second = _ngrams(given, numbers, keys, odd)
    wanted = np.isin(second, first)
    holders, second = holders[wanted], second[wanted]
    order = np.lexsort((holders, second))
    holders, second = holders[order], second[order]
    begin, end = (np.searchsorted(second, first, side) for side in ("left", "right"))
    for gram in np.flatnonzero(end > begin).tolist():
        for holder in dict.fromkeys(holders[begin[gram] : end[gram]].tolist()[:CROWD]):
            yield int(rows[gram]), holder, int(places[gram])


def _ngrams(
    texts: list[list[str]], numbers: dict[str, int], keys: Hashes, odd: Hashes
) -> tuple[IntArray, IntArray, Hashes]:
    """Of every n-gram of words: its text's number, its place in it, and a hash (64 bits: two n-grams share one with probability
    2^-63 each, which is never among fewer than a thousand million)."""
    n = len(odd)
    sizes = np.array([len(text) for text in texts], dtype=np.int64)
    row = np.repeat(np.arange(len(texts)), sizes)
    place = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    flat = np.fromiter((numbers[word] for text in texts for word in text), np.int64, count=len(row))
    size = max(len(flat) - n + 1, 0)
    hashes = np.zeros(size, np.uint64)
    for step in range(n):
        hashes += keys[flat[step : step + size]] * odd[step]
    inside = row[:size] == row[n - 1 : n - 1 + size]
    return row[:size][inside], place[:size][inside], hashes[inside]
