"""The written answers of a corpus, with what was asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from pipeline.tasks import task_type
from pipeline.types import Corpus
from validators.check import Skip

FENCE = re.compile(r"```[^\n`]*\n.*?(?:```|\Z)|`[^`\n]{1,300}`", re.DOTALL)
CODE_LINE = re.compile(
    r"(?:(?:async\s+)?def |class |return\b|import |from \w+ import |for .+:\s*$|while .+:\s*$"
    r"|if .+:\s*$|elif |else:|try:|except\b|assert |print\(|@\w|#include|function |const |let |var |public |private "
    r"|(?:SELECT|INSERT|FROM|WHERE|GROUP BY|HAVING|ORDER BY|(?:LEFT |INNER )?JOIN|LIMIT)\b|[\w.\[\]\"']+ *(?:[-+*/|&]?=) *\S"
    r"|[})\]];?\s*$|.*[;{]\s*$|<[a-z!/])"
)
QUOTATION = re.compile(
    r"“[^”]{1,300}”|„[^“”]{1,300}[“”]|«[^»]{1,300}»|\"[^\"\n]{1,300}\"|(?<!\w)['‘][^'’\n]{2,80}['’](?!\w)|\*[^*\n]{1,80}\*"
)
WORD = re.compile(r"\w+(?:['’]\w+)*")


@dataclass(frozen=True)
class Written:
    """One example with a consensus. prompt: what was asked, without a draft; of a conversation, all that was said before.
    asked: the part that asks, a conversation's last message before the answer. row: the position in `Corpus.examples`."""

    example_id: int
    row: int
    prompt: str
    asked: str
    answer: str
    data: Mapping[str, Any] = field(repr=False)
    messages: tuple[Mapping[str, str], ...] = field(default=(), repr=False)

    @property
    def is_code(self) -> bool:
        """Whether the answer is to be a program: its task has tests, or most of its lines look like code."""
        return "entry_point" in self.data or looks_like_code(self.answer)


def read_answers(corpus: Corpus) -> list[Written]:
    """By example id, so that nothing depends on the order of the rows. Skip where answers are not written, or there are none."""
    task = task_type(corpus.task)
    if task.EVIDENCE != "written":
        raise Skip("The answers of this kind of work are not written texts.")
    rows = corpus.examples[["example_id", "data", "text"]].assign(row=range(len(corpus.examples)))
    given = rows.merge(corpus.consensus[["example_id", "answer"]], on="example_id").sort_values("example_id")
    found = [
        _written(task, int(example), int(row), text, orjson.loads(data), orjson.loads(answer))
        for example, data, text, row, answer in given.itertuples(index=False)
    ]
    if not found:
        raise Skip("Nobody has answered yet.")
    return found


def _written(task: Any, example: int, row: int, text: str, data: Any, answer: Any) -> Written:
    data = data if isinstance(data, dict) else {}
    said = str(task.written(answer))
    if not isinstance(answer, list):
        return Written(example, row, text, text, said, data)
    before = [str(message.get("content", "")) for message in answer[:-1]]
    return Written(example, row, "\n".join(before), before[-1] if before else "", said, data, tuple(answer))


def looks_like_code(text: str) -> bool:
    lines = [line for line in text.splitlines() if line.strip()]
    if text.lstrip().startswith("```"):
        return True
    return bool(lines) and sum(bool(CODE_LINE.match(line.strip())) for line in lines) >= 0.6 * len(lines)


def prose(text: str) -> str:
    """Without what stands in code fences and backquotes."""
    return FENCE.sub(" ", text)


def own_words(text: str) -> str:
    """Without quotations either, which may be in another language."""
    return QUOTATION.sub(" ", prose(text))


def words(text: str) -> list[str]:
    return WORD.findall(text.casefold())
