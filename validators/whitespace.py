"""Which texts hold blanks that nobody meant: at the ends, doubled, of odd widths, of none?

Harmless to a reader, not to a tokenizer, nor to whoever compares texts. With `policy: {whitespace: fix}` the version's text is
set straight, and the verdict records it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.fixes import AT_LINE_END, EMPTY_LINES, LINE_ENDS, OTHER_BLANKS, RUNS, UNSEEN, tidy
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings

BLEMISH = 0.2  # as text_quality ranks undecoded entities: it can be read, and says the same
KINDS: dict[str, Callable[[str], bool]] = {
    "at the ends": lambda text: text != text.strip(),
    "at the ends of lines": lambda text: bool(AT_LINE_END.search(text.strip())),
    "several in a row": lambda text: "\n" not in text.strip() and bool(RUNS.search(text)),
    "of an odd kind": lambda text: bool(OTHER_BLANKS.search(text) or LINE_ENDS.search(text)),
    "of width zero": lambda text: bool(UNSEEN.search(text)),
    "several empty lines": lambda text: bool(EMPTY_LINES.search(text)),
}


@check("whitespace", "Which texts hold blanks that nobody meant?", subject="example")
def whitespace(corpus: Corpus) -> Report:
    """Flags texts that `pipeline.fixes.tidy` would change. Severity is 0.2, a blemish, or 0. Skipped where answers are places
    in the text: to move blanks would move the spans."""
    from pipeline.tasks import task_type

    if task_type(corpus.task).EVIDENCE == "words":
        raise Skip("The answers of this kind of work are places in the text, which must stay as it is.")
    rows: list[dict[str, Any]] = []
    counts = dict.fromkeys(KINDS, 0)
    for name, text in zip(corpus.examples["example_id"], corpus.examples["text"], strict=True):
        kinds = [kind for kind, holds in KINDS.items() if holds(text)] if text.strip() and tidy(text) != text else []
        for kind in kinds:
            counts[kind] += 1
        reason = f"The text holds blanks that nobody meant: {', '.join(kinds)}." if kinds else ""
        severity = BLEMISH if kinds else 0.0
        rows.append(
            {"subject_id": str(name), "severity": severity, "flagged": bool(kinds), "reason": reason, "suggestion": ""}
        )
    return Report(findings(rows), {"kinds": {kind: count for kind, count in counts.items() if count}})
