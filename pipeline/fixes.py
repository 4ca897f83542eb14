"""What is mended without a person: blanks that nobody meant. The task's own data stay as they are; the version's text is the
mended one, and the verdict's reasons say so.
"""

from __future__ import annotations

import re

import orjson
import pandas as pd

# Blanks of other widths, as word processors and web pages put them.
OTHER_BLANKS = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
# Width zero and no meaning of their own. The joiners U+200C and U+200D have one, in Persian, Indic scripts and emoji.
UNSEEN = re.compile("[\u200b\u2060\ufeff\u00ad]")
LINE_ENDS = re.compile(r"\r\n?|\u2028|\u2029|\x85")
AT_LINE_END = re.compile(r"[ \t]+(?=\n)")
RUNS = re.compile(r"(?<=\S)[ \t]{2,}(?=\S)")
EMPTY_LINES = re.compile(r"\n{3,}")


def tidy(text: str) -> str:
    """The text without blanks at its ends and at the ends of lines, with ordinary blanks and line ends, without marks of width
    zero, and with at most one empty line in a row. Runs of blanks inside a line become one only where the text is a single
    line: in several lines they may be a table or code. tidy(tidy(text)) == tidy(text)."""
    text = UNSEEN.sub("", OTHER_BLANKS.sub(" ", LINE_ENDS.sub("\n", text)))
    text = EMPTY_LINES.sub("\n\n", AT_LINE_END.sub("", text.strip()))
    return text if "\n" in text else RUNS.sub(" ", text)


def apply(examples: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """`examples` with the text mended where a verdict's reasons say that blanks are fixed."""
    fixed = {
        example
        for example, reasons in zip(verdicts["example_id"], verdicts["reasons"], strict=True)
        if any(item["check"] == "whitespace" and item["action"] == "fix" for item in orjson.loads(reasons))
    }
    rows = examples["example_id"].isin(fixed)
    return examples.assign(text=examples["text"].where(~rows, examples["text"].map(tidy)))
