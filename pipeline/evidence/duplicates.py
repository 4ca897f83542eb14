"""Which texts say the same thing twice: exactly, or nearly.

Checks and splits share this file, so that what a check calls a duplicate is what a split keeps together. Nothing
here depends on the order of the rows: every step works on the distinct normalised texts in sorted order, and only
the names of the groups (the smallest row of each) come from the rows.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evidence.minhash import candidates, gram_sets, jaccard, likeness, shingles, signatures
from pipeline.types import IntArray

Pair = tuple[int, int, float]  # row, later row, Jaccard similarity in [0, 1]

# Measured on banking77 (13,067 distinct questions) with one edit in each of 2,000: at 0.7, 92 % of typos, 97 % of
# added greetings, 82 % of deleted and 62 % of replaced words are found. Of its own 1,190 pairs from 0.7 up, 83 % are
# at most two words or a quarter of their words apart ("... recognise the / this card payment"); from 0.6 to 0.7 only
# 59 %, from 0.5 to 0.6 33 %: there, pairs of another meaning begin (0.64: "can I top up with cash / check").
THRESHOLD = 0.7
# Single linkage up to here; see `near_groups`.
MAX_CHAIN = 50
# Jaccard 1/3 is half of the n-grams in common (Dice = 2J / (1 + J) = 0.5).
CHAIN_FLOOR = 1 / 3
LISTED = 500  # groups at odds in the facts, and members of each

ENDS = " .,;!?…。、\"'`“”„‘’‚«»"  # not : ) + # %, which carry meaning in ":)", "C++", "C#", "5 %"
SURROGATES = re.compile("[\ud800-\udfff]")
INVISIBLE = re.compile("[\u200b\u2060\ufeff\u00ad]")  # not the joiners, which Persian and emoji need


def normalise(text: str) -> str:
    """The form in which texts are compared: Unicode NFKC, case-folded, zero-width spaces and soft hyphens removed,
    white space collapsed to single blanks, and sentence marks and quotes stripped from both ends (unless nothing else
    is left: "???" stays "???"). Inner punctuation, brackets, emoticons and digits stay. Lone surrogates become U+FFFD.
    "" for a text that is empty or all white space.
    """
    text = INVISIBLE.sub("", SURROGATES.sub("\ufffd", text))
    # Case folding can undo NFKC (and the other way round) for a few letters; the second pass makes it idempotent.
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    text = " ".join(text.split())
    return text.strip(ENDS) or text


def exact_groups(texts: Sequence[str]) -> IntArray:
    """(n,) the smallest row whose normalised text equals that of the row. An empty text is a group of its own."""
    first: dict[str, int] = {}
    keys = [normalise(text) for text in texts]
    return np.array([first.setdefault(key, row) if key else row for row, key in enumerate(keys)], dtype=np.int64)


def near_pairs(texts: Sequence[str], *, floor: float = THRESHOLD) -> list[Pair]:
    """Pairs of different normalised texts whose similarity is at least `floor`, sorted by row.

    A text that occurs in several rows is named by its smallest row, as in `exact_groups`. The similarity is the true
    Jaccard of the shingles; MinHash only proposes whom to compare, so a pair may be missed (see BANDS, CROWD) but none
    is invented. Two texts that differ only in punctuation have similarity 1.
    """
    names, rows = _distinct(texts)
    proposed = candidates(signatures(names), floor)
    wanted = sorted({name for pair in proposed for name in pair})
    grams = dict(zip(wanted, gram_sets([names[name] for name in wanted]), strict=True))
    pairs = []
    for one, two in proposed:
        similarity = likeness(grams[one], grams[two])
        if similarity >= floor:
            pairs.append((min(rows[one], rows[two]), max(rows[one], rows[two]), similarity))
    return sorted(pairs)


def near_groups(
    texts: Sequence[str], *, threshold: float = THRESHOLD, max_chain: int = MAX_CHAIN
) -> tuple[IntArray, list[Pair]]:
    """Groups of equal or nearly equal texts, and the pairs that tie them.

    Returns (n,) the smallest row of each row's group, and `near_pairs` at `threshold`. Groups are the connected
    components of the pairs (single linkage), so that a near-duplicate of a near-duplicate stays with it. Linkage can
    chain: A like B like C like D, with nothing in common between A and D. A component of more than `max_chain`
    distinct texts is therefore cut into balls: the text with the most similarity around it takes what is linked to it
    and shares half of its n-grams, then the next. A thousand messages from one template stay one group; a chain falls
    apart, and the pairs that were cut are still among those returned.
    """
    pairs = near_pairs(texts, floor=threshold)
    return link(texts, pairs, max_chain=max_chain), pairs


def link(texts: Sequence[str], pairs: Sequence[Pair], *, max_chain: int = MAX_CHAIN) -> IntArray:
    """(n,) the groups that `pairs` (from `near_pairs` on the same texts) tie, as `near_groups` describes them."""
    names, rows = _distinct(texts)
    number = {row: name for name, row in enumerate(rows)}
    links: dict[int, dict[int, float]] = {}
    for one, two, similarity in pairs:
        links.setdefault(number[one], {})[number[two]] = similarity
        links.setdefault(number[two], {})[number[one]] = similarity
    grams = cache(lambda name: shingles(names[name]))
    groups = exact_groups(texts)
    parent = np.arange(len(groups), dtype=np.int64)
    for component in _components(links):
        parts = [component] if len(component) <= max_chain else _balls(component, links, grams)
        for part in parts:
            members = [rows[name] for name in part]
            parent[members] = min(members)
    return parent[groups]


def preference(ids: Iterable[object], splits: Iterable[str], annotations: pd.Series) -> IntArray:
    """(n,) the place of each row in the order in which duplicates are kept; 0 is kept first.

    A test example first, because a test split is frozen, then validation, train and the rest; then the one with the
    most annotations (`annotations`: example_id of each annotation), then the lowest id.
    """
    counts = annotations.value_counts().to_dict()
    split_order = {"test": 0, "validation": 1, "train": 2}
    # Length before text: numeric ids in numeric order, whether they came as numbers or as text.
    keys = [
        (split_order.get(split, 3), -counts.get(name, 0), len(str(name)), str(name))
        for name, split in zip(ids, splits, strict=True)
    ]
    place = np.empty(len(keys), dtype=np.int64)
    place[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(len(keys))
    return place


def _distinct(texts: Sequence[str]) -> tuple[list[str], list[int]]:
    """Distinct normalised texts in sorted order, empty ones left out, and the smallest row of each."""
    first: dict[str, int] = {}
    for row, text in enumerate(texts):
        first.setdefault(normalise(text), row)
    first.pop("", None)
    names = sorted(first)
    return names, [first[name] for name in names]


def _components(links: dict[int, dict[int, float]]) -> list[list[int]]:
    seen: set[int] = set()
    out = []
    for start in sorted(links):
        if start not in seen:
            out.append(_reach(start, links, lambda name: name not in seen))
            seen.update(out[-1])
    return out


def _balls(
    component: list[int], links: dict[int, dict[int, float]], grams: Callable[[int], frozenset[int]]
) -> list[list[int]]:
    """Cut a component around its centres, the text with the greatest sum of similarities first, then in text order."""
    left = set(component)
    out = []
    for centre in sorted(component, key=lambda name: (-round(sum(links[name].values()), 9), name)):
        if centre in left:
            heart = grams(centre)
            ball = _reach(centre, links, lambda n, h=heart: n in left and jaccard(h, grams(n)) >= CHAIN_FLOOR)  # type: ignore[misc]
            left.difference_update(ball)
            out.append(ball)
    return out


def _reach(start: int, links: dict[int, dict[int, float]], admit: Callable[[int], bool]) -> list[int]:
    """What can be reached from `start` over links through admitted nodes."""
    found, todo = {start}, [start]
    while todo:
        for name in links[todo.pop()]:
            if name not in found and admit(name):
                found.add(name)
                todo.append(name)
    return sorted(found)


def conflicts(groups: IntArray, labels: Sequence[str | None]) -> dict[int, list[str]]:
    """Groups whose rows carry different labels: group -> its labels, sorted. None is no label and conflicts with none."""
    seen: dict[int, set[str]] = {}
    for group, label in zip(groups.tolist(), labels, strict=True):
        if label is not None:
            seen.setdefault(group, set()).add(label)
    return {group: sorted(found) for group, found in sorted(seen.items()) if len(found) > 1}


def group_facts(groups: IntArray, ids: Sequence[object], labels: Sequence[str | None]) -> dict[str, Any]:
    """For the report: how many groups of two rows and more, of which sizes, and which of them carry different labels."""
    members: dict[int, list[str]] = {}
    for group, name in zip(groups.tolist(), ids, strict=True):
        members.setdefault(group, []).append(str(name))
    sizes = Counter(len(rows) for rows in members.values() if len(rows) > 1)
    at_odds = conflicts(groups, labels)
    return {
        "groups": sum(sizes.values()),
        "sizes": [{"rows": size, "groups": count} for size, count in sorted(sizes.items())],
        "conflicting": len(at_odds),
        "conflicts": [
            {"examples": members[group][:LISTED], "labels": found} for group, found in list(at_odds.items())[:LISTED]
        ],
    }
