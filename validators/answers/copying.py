"""Was an answer copied from what the annotator was shown?"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.evidence.duplicates import normalise
from pipeline.evidence.minhash import jaccard, shingles
from validators.answers.written import Written, words

WORDS = 5  # shorter answers are found in a long text by chance, or are what was to be picked out
CONTAINED = 0.95  # of the answer's character 5-grams
UNCHANGED = 0.9  # Jaccard of two whole texts: a typo or a quotation mark apart
# Where a sixth of all answers are taken from the text, taking from the text is the work.
USUAL = 1 / 6
# Work whose right answer can stand in the text.
PICKING = re.compile(
    r"\b(?:extract|quote|copy|repeat|pick|choose|select|highlight|identify|find|which|correct|proofread|fix|spell\w*|punctuat\w*"
    r"|capitali[sz]e|remove|delete|sort|order|reorder|arrange|rearrange|divide|split|organi[sz]e|format|classify|label|categori[sz]e"
    r"|complete|fill in|grammar)\b",
    re.IGNORECASE,
)
# Texts of a task that nobody is to give back. A draft may be right as it is, and a reference answer is right.
FIELDS = ("tests", "test", "context", "hint", "rubric")
UNCHANGED_SAYS = "The answer is the text of the task, given back nearly unchanged."
PART_SAYS = "The whole answer stands in the text of the task, nearly word for word."


def copied(rows: Sequence[Written]) -> list[tuple[float, str]]:
    """Per row a severity in [0, 1] and one sentence; (0, "") where nothing was copied."""
    found = [_how(row) for row in rows]
    usual = sum(how in ("whole", "last", "part") for how in found) > USUAL * len(rows)
    return [_said(how, row, usual) for how, row in zip(found, rows, strict=True)]


def _said(how: str, row: Written, usual: bool) -> tuple[float, str]:
    picking = usual or (PICKING.search(row.asked) is not None and len(row.asked) < 2000)
    match how:
        case "whole":
            return (0.4 if usual else 0.9), UNCHANGED_SAYS
        case "last":
            return (0.4 if picking else 0.9), UNCHANGED_SAYS
        case "part":
            return (0.3 if picking else 0.8), PART_SAYS
        case "field":
            return 0.9, "The answer is the text of another field of the task."
    return 0.0, ""


def _how(row: Written) -> str:
    """ "whole" for the question, "last" for its last paragraph, "part" for a passage, "field" for a field of FIELDS, or ""."""
    answer = normalise(row.answer)
    if len(words(answer)) < WORDS and not (row.messages and answer and answer == normalise(row.asked)):
        return ""
    grams = shingles(answer)
    if jaccard(grams, shingles(normalise(row.asked))) >= UNCHANGED:
        return "whole"
    if jaccard(grams, shingles(normalise(re.split(r"\n\s*\n", row.asked)[-1]))) >= UNCHANGED:
        return "last"
    others = [str(row.data[name]) for name in FIELDS if isinstance(row.data.get(name), str) and row.data[name].strip()]
    if any(jaccard(grams, shingles(normalise(text))) >= UNCHANGED for text in others):
        return "field"
    prompt = normalise(row.prompt)
    return "part" if answer in prompt or (not row.is_code and _contained(row.answer, prompt, grams)) else ""


def _contained(answer: str, prompt: str, grams: frozenset[int]) -> bool:
    """Sentence by sentence, so that words of the text in another order are not taken for a copy."""
    sentences = [part for part in re.split(r"(?<=[.!?])\s+|\n+", answer) if words(part)]
    there = sum(len(part) for part in sentences if normalise(part) in prompt)
    inside = len(grams & shingles(prompt)) / len(grams)
    return inside >= CONTAINED and there >= 0.8 * sum(map(len, sentences))
