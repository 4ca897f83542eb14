"""MinHash: which of many texts are worth comparing, and how alike two texts are.

Source: Broder, On the resemblance and containment of documents (1997). What it finds and costs, beside its peers:
tests/benchmarks/measured/duplicates.py.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.types import IntArray

Signatures = NDArray[np.uint32]
Hashes = NDArray[np.uint64]

NGRAM = 5
# 128 permutations in 32 bands of 4 rows: a pair of similarity s is compared with probability 1 - (1 - s^4)^32, which is
# 0.9998 at 0.7 and 0.87 at 0.5. Source: Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, chapter 3.4.
PERMUTATIONS, BANDS = 128, 32
SEED = 42  # of the permutations: another one gives other candidates, not other similarities
# The estimate from 128 permutations has a standard deviation of at most 0.044: a pair this far below the floor is not
# worth its exact comparison (3.4 deviations).
ESTIMATE_MARGIN = 0.15
# In a bucket of more than 20 texts, a text meets only the next 3 in sorted order, and not all: 100,000 messages from one
# template would cost 5 billion comparisons. They still link up, neighbour by neighbour, in one band or another. On
# banking77, no pair from 0.7 up is lost to it.
CROWD, IN_CROWD = 20, 3
CHARACTERS = 1 << 21  # hashed at once: 16 MB of hashes, whatever the number and length of the texts

NOT_WORD = re.compile(r"[\W_]+")
NO_SIGN = "\U0010ffff"  # fills up a text that is shorter than an n-gram: no character, so no text holds it by right
# Random multipliers: two n-grams share a 64-bit hash with probability 2^-63 (multiply-shift hashing, Dietzfelbinger 1996).
MIX = np.random.default_rng(SEED).integers(1 << 62, size=NGRAM, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def padded(text: str) -> str:
    """A normalised text whose punctuation counts as blanks, with a blank at both ends, not shorter than an n-gram."""
    return f" {NOT_WORD.sub(' ', text).strip() or text} ".ljust(NGRAM, NO_SIGN)


def shingles(text: str) -> frozenset[int]:
    """Hashes of the character 5-grams of a normalised text, never empty: a text shorter than an n-gram is one shingle."""
    return frozenset(_hashes(padded(text)).tolist())


def gram_sets(names: Sequence[str]) -> list[Hashes]:
    """For each normalised text its shingles as in `shingles`, sorted: a sixth of a set's memory, and made for all at once."""
    out: list[Hashes] = []
    for part in _parts([padded(name) for name in names]):
        hashes, offsets = _flat(part)
        ends = offsets.astype(np.int64).tolist()
        out += [np.unique(hashes[start:end]) for start, end in itertools.pairwise(ends)]
    return out


def likeness(one: Hashes, two: Hashes) -> float:
    """`jaccard` of two of `gram_sets`."""
    both = np.concatenate([one, two])
    both.sort()
    shared = int((both[1:] == both[:-1]).sum())
    return shared / (len(both) - shared)


def jaccard(one: frozenset[int], two: frozenset[int]) -> float:
    """Shared shingles over all shingles, in [0, 1]; 1 is the same set."""
    shared = len(one & two)
    return shared / (len(one) + len(two) - shared)


def signatures(names: Sequence[str]) -> Signatures:
    """(n, PERMUTATIONS) MinHash signatures of normalised texts."""
    from rensa import RMinHash

    out = np.empty((len(names), PERMUTATIONS), dtype=np.uint32)
    start = 0
    for part in _parts([padded(name) for name in names]):
        hashes, offsets = _flat(part)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, PERMUTATIONS, SEED)
        out[start : start + len(part)] = matrix.to_rows()
        start += len(part)
    return out


def _parts(texts: list[str]) -> Iterator[list[str]]:
    """The texts in parts of about CHARACTERS."""
    part: list[str] = []
    size = 0
    for text in texts:
        part.append(text)
        size += len(text)
        if size >= CHARACTERS:
            yield part
            part, size = [], 0
    if part:
        yield part


def _flat(texts: list[str]) -> tuple[Hashes, NDArray[np.uint64]]:
    """The hashes of all n-grams of all texts, one after the other, and where each text begins and the last one ends."""
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    ends = np.cumsum(lengths)
    inside = np.ones(int(ends[-1]) - NGRAM + 1, dtype=bool)
    for back in range(1, NGRAM):  # an n-gram that begins so near a text's end would run into the next text
        inside[(ends[:-1] - back)] = False
    hashes = _hashes("".join(texts))[inside]
    return hashes, np.concatenate([[0], np.cumsum(lengths - NGRAM + 1)]).astype(np.uint64)


def _hashes(text: str) -> Hashes:
    """(len - NGRAM + 1,) a hash of each n-gram. Equal n-grams have equal ones."""
    signs = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    size = len(signs) - NGRAM + 1
    mixed: Hashes = signs[:size] * MIX[0]
    for place in range(1, NGRAM):
        mixed += signs[place : place + size] * MIX[place]
    # The low bits of a sum of products depend on the low bits of the signs only; fold the high ones in.
    mixed ^= mixed >> np.uint64(29)
    mixed *= MIX[0]
    return mixed


def candidates(sketches: Signatures, floor: float, chunk: int = 1 << 18) -> list[tuple[int, int]]:
    """Pairs that agree in a band and whose estimated similarity is near `floor` or above, sorted."""
    count, width = len(sketches), PERMUTATIONS // BANDS
    found: IntArray = np.empty(0, dtype=np.int64)
    # Odd multipliers mix a band's four 32-bit values into one 64-bit key. A collision costs a comparison, no more.
    odd = np.random.default_rng(SEED).integers(1 << 62, dtype=np.uint64, size=width) * np.uint64(2) + np.uint64(1)
    for band in range(0, PERMUTATIONS, width):
        key = (sketches[:, band : band + width] * odd).sum(axis=1, dtype=np.uint64)
        order = np.argsort(key, kind="stable").astype(np.int64)
        key = key[order]
        _, inverse, sizes = np.unique(key, return_inverse=True, return_counts=True)
        crowded = sizes[inverse] > CROWD
        codes: list[IntArray] = [found]
        for step in range(1, CROWD):
            meets = key[step:] == key[:-step]
            same = np.flatnonzero(meets & ~crowded[step:] if step > IN_CROWD else meets)
            if not len(same):
                break
            codes.append(order[same] * count + order[same + step])
        found = np.unique(np.concatenate(codes))
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(found), chunk):
        one, two = np.divmod(found[start : start + chunk], count)
        keep = (sketches[one] == sketches[two]).mean(axis=1) >= floor - ESTIMATE_MARGIN
        pairs.extend(zip(one[keep].tolist(), two[keep].tolist(), strict=True))
    return pairs
