"""Where a span lies: offsets in code points (Python's) and in UTF-16 units (the browser's), and which of the two were meant.

What Label Studio 1.23.2's editor writes was measured in a browser, with emoji before the span: for Text and for HyperText's
globalOffsets code points, for Paragraphs UTF-16 units. Older editors wrote UTF-16 everywhere (label-studio#1347), scripts
write what they like. So the text that the annotator saw marked (`value.text`) decides, and only if both readings hold that
text, or if it is missing, does the editor's unit.

All of it is linear in the text's length, once for each text, and logarithmic in it for each span.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import lru_cache
from typing import Literal

Unit = Literal["code points", "UTF-16"]
ASTRAL = re.compile("[\U00010000-\U0010ffff]")  # what takes two UTF-16 units
SHOWN = 40  # characters of a span quoted in a reason


def code_points_to_utf16(text: str, offset: int) -> int:
    """The offset in UTF-16 units of the code point at `offset`, 0 <= offset <= len(text)."""
    return offset + bisect_left(_astral(text)[0], offset)


def utf16_to_code_points(text: str, offset: int) -> int | None:
    """The offset in code points; None if it lies outside the text or in the middle of a character."""
    inside = _astral(text)[1]
    before = bisect_left(inside, offset)
    if before < len(inside) and inside[before] == offset:
        return None
    found = offset - before
    return found if 0 <= found <= len(text) else None


def locate(
    text: str, start: int, end: int, *, said: str | None = None, unit: Unit = "code points"
) -> tuple[int, int]:
    """The span start-end (end exclusive) of `text` in code points.

    said: the text that the span holds according to the annotation. unit: what the editor writes for this kind of text; it
    decides where both fit. `said` is compared exactly first, then without white space, since the browser's selection collapses
    it and the editor writes a line break as backslash and n. ValueError with one clause for a span that is empty, that ends
    before it begins, or that lies or reads differently in both units.
    """
    if end < start:
        raise ValueError(f"the span {start}-{end} ends before it begins")
    if start < 0:
        raise ValueError(f"the span {start}-{end} begins before the text does")
    if start == end:
        raise ValueError(f"the span {start}-{end} is empty")
    readings = _readings(text, start, end, unit)
    if not readings:
        raise ValueError(f"the span {start}-{end} ends after the text, which has {len(text)} characters")
    if said is None:
        return readings[0]
    for same in (_exactly, _but_for_white_space):
        for first, last in readings:
            if same(text[first:last], said):
                return first, last
    held = " and ".join(dict.fromkeys(quote(text[first:last]) for first, last in readings))
    raise ValueError(
        f"the span {start}-{end} does not hold its text {quote(said)}, neither in code points nor in UTF-16 units (there: {held})"
    )


def but_for_white_space(text: str) -> str:
    """What is left for comparing a text with what the browser showed of it."""
    return re.sub(r"\\[nr]|\s", "", text)


def _readings(text: str, start: int, end: int, unit: Unit) -> list[tuple[int, int]]:
    plain = (start, end) if end <= len(text) else None
    first, last = utf16_to_code_points(text, start), utf16_to_code_points(text, end)
    units = (first, last) if first is not None and last is not None else None
    ordered = [plain, units] if unit == "code points" else [units, plain]
    return list(dict.fromkeys(found for found in ordered if found is not None))


def _exactly(held: str, said: str) -> bool:
    return held == said


def _but_for_white_space(held: str, said: str) -> bool:
    left = but_for_white_space(held)
    return bool(left) and left == but_for_white_space(said)


@lru_cache(maxsize=4)  # an annotation's spans all lie in the same text, or in the few of its task
def _astral(text: str) -> tuple[list[int], list[int]]:
    """Of the characters that take two UTF-16 units: offsets in code points, and offsets of their second unit in UTF-16."""
    if text.isascii():
        return [], []
    found = [match.start() for match in ASTRAL.finditer(text)]
    return found, [offset + order + 1 for order, offset in enumerate(found)]


def quote(text: str) -> str:
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")
