"""What an instruction asks of the form of its answer, where that can be checked without understanding either.

Source of the idea: Zhou et al., Instruction-Following Evaluation for Large Language Models (2023). Only what is stated in
plain words is read; English alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from validators.answers.written import prose, words

NUMBERS = {
    name: value
    for value, name in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    )
} | {"a single": 1, "fifteen": 15, "twenty": 20, "thirty": 30, "fifty": 50, "a hundred": 100}
NUMBER = r"(\d{1,4}|" + "|".join(sorted(NUMBERS, key=len, reverse=True)) + ")"
MOST = (
    r"(?:under|below|at most|no more than|not more than|fewer than|less than|max(?:imum)?\.?(?: of)?|up to|within|in)"
)
QUOTED = r"['\"‘“]([^'\"’”]{2,40})['\"’”]"
UNITS = {
    "words": r"words?", "sentences": r"sentences?",
    "items": r"(?:bullet(?: ?points?)?|bullets|items?|bulleted points?|numbered points?)",
}  # fmt: skip
# Titles and shortened words after which a full stop ends no sentence.
SHORT = re.compile(
    r"\b(?:dr|mr|mrs|ms|prof|st|vs|etc|e\.g|i\.e|no|approx|p\.m|a\.m|u\.s|bzw|z\.b|inc|ltd|jr|sr|[A-Z])\.",
    re.IGNORECASE,
)
LIST_LINE = re.compile(r"^[^\S\n]*(?:[-*•–+]|\d{1,3}[.)])\s+\S", re.MULTILINE)
PARTS = re.compile(
    rf"\b{NUMBER}\s+(?:groups|parts|sections|headings|columns|categories|fields)\s*:\s*([^.!?:\n]{{5,120}})"
)
NEAR = 600  # characters of a long task, from its beginning and its end, in which demands are looked for
Measure = Callable[[str], int]


def broken_constraints(asked: str, answer: str) -> list[str]:
    """One sentence for each demand on its form that the answer breaks."""
    if len(asked) > 2 * NEAR:  # the text to work on stands in the middle, and demands nothing
        asked = f"{asked[:NEAR]}\n\n{asked[-NEAR:]}"
    plain = asked.casefold()
    found = [*_counted(plain, answer), *_forbidden(asked, answer), *_left_out(plain, answer)]
    if re.search(r"\b(?:as|in|valid|only) json\b", plain) and not _is_json(answer):
        found.append("JSON was asked for, and the answer is none.")
    if (
        re.search(r"\b(?:in |all )(?:all )?(?:lower ?case)(?: letters| only)?\b", plain)
        and _asks_all(plain, "lower")
        and answer != answer.lower()
    ):
        found.append("Lower case was asked for, and the answer has capitals.")
    return found


def _counted(asked: str, answer: str) -> list[str]:
    """Of sentences, words and list items: the number asked for against the number found."""
    found = []
    for unit, name in UNITS.items():
        bounds = _bounds(asked, name)
        if bounds is None:
            continue
        low, high = bounds
        count = MEASURES[unit](answer)
        if not count and unit == "items":  # a list in another form, or a question back
            continue
        # Who counts words by hand is out by a few; a tenth is forgiven.
        slack = 0.1 * high if unit == "words" else 0
        if count > high + slack or count < low - (0.1 * low if unit == "words" else 0):
            wanted = (
                f"{low}"
                if low == high
                else f"at most {high}"
                if not low
                else f"at least {low}"
                if high >= 10**6
                else f"{low} to {high}"
            )
            found.append(f"The task asks for {wanted} {unit if high > 1 else unit[:-1]}, and the answer has {count}.")
    return found


def _bounds(asked: str, name: str) -> tuple[int, int] | None:
    """(least, most) that is asked for of a unit; None where nothing is, or where it is not clear."""
    tail = rf"[ -]?(?:\w+ )?{name}\b"
    if re.search(rf"\b(?:about|around|approximately|roughly|~)\s*{NUMBER}{tail}", asked):
        return None
    if spread := re.search(rf"\b{NUMBER}\s*(?:to|-|–|or)\s*{NUMBER}{tail}", asked):
        return _value(spread[1]), _value(spread[2])
    if least := re.search(rf"\b(?:at least|no fewer than|minimum(?: of)?|more than)\s+{NUMBER}{tail}", asked):
        return _value(least[1]), 10**6
    if most := re.search(rf"\b{MOST}\s+{NUMBER}{tail}", asked):
        exact = most[0].startswith("in ") and name != UNITS["words"]
        return (_value(most[1]), _value(most[1])) if exact else (0, _value(most[1]))
    several = re.findall(rf"\b{NUMBER}{tail}", asked)
    if (
        len(several) == 1
        and name != UNITS["words"]
        and re.search(
            rf"(?:^|[.!?,:]\s*|\b(?:write|give|with|using|list|of)\s+(?:me\s+)?(?:a\s+)?)(?:exactly\s+)?{NUMBER}{tail}",
            asked,
        )
    ):
        return _value(several[0]), _value(several[0])
    return None


def _value(text: str) -> int:
    return int(text) if text.isdigit() else NUMBERS[text]


def sentences(text: str) -> int:
    """How many sentences a text has: parts that end in a sign of that, or with the text."""
    plain = re.sub(r"\d[.:]\d|\.{2,}|https?://\S{1,500}", "x", prose(text))
    plain = SHORT.sub("x", plain)
    return len([part for part in re.split(r"(?<![.!?])[.!?]+[\"'”’)\]]*(?:\s+|\Z)|\n\s*\n", plain) if words(part)])


def _forbidden(asked: str, answer: str) -> list[str]:
    found = []
    for word in re.findall(
        rf"\b(?:without|do(?: not|n't) use|avoid|not using|never use)(?: using)?(?: the)? words? {QUOTED}",
        asked,
        re.IGNORECASE,
    ):
        if re.search(rf"\b{re.escape(word.strip())}\b", answer, re.IGNORECASE):
            found.append("The answer holds a word that the task forbids.")
    return found


def _left_out(asked: str, answer: str) -> list[str]:
    """Of "three groups: sleep, food, weather", those that the answer does not name."""
    match = PARTS.search(asked)
    names = [name.strip() for name in re.split(r",|\band\b", match[2])] if match else []
    if not match or len(names) != _value(match[1]) or any(not 1 <= len(name.split()) <= 3 for name in names):
        return []
    missing = sum(name not in answer.casefold() for name in names)
    return [f"The answer lacks {missing} of the {len(names)} parts that the task names."] if missing else []


def _is_json(answer: str) -> bool:
    bare = re.sub(r"\A\s*```\w*\n|```\s*\Z", "", answer).strip()
    try:
        json.loads(bare)
    except (ValueError, RecursionError):
        return False
    return True


def _asks_all(asked: str, case: str) -> bool:
    return (
        re.search(rf"\b(?:all|only|everything|entire\w*|answer|respond|write)\b[^.!?]{{0,40}}{case}", asked) is not None
    )


MEASURES: dict[str, Measure] = {
    "words": lambda text: len(words(text)),
    "sentences": sentences,
    "items": lambda text: len(LIST_LINE.findall(text)),
}
