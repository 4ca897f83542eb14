"""Which answers in Python cannot be read, are not finished, or fail the tests of their task?"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from pipeline.evidence.sandbox import MEMORY_MB, SECONDS, Verdict, refusal, run_all
from pipeline.statistics import wilson
from pipeline.types import Corpus
from validators.answers.programs import OTHER, Program, blocks, cut, defines, other_blocks, parsed, program_of, stubs
from validators.answers.written import Written, read_answers
from validators.check import Report, Skip, check, findings

# Severity: what no test can pass, what fails, what may only be the example's own way of putting it.
UNPARSABLE, WRONG_LANGUAGE, CUT, MISSING, STUB, FAILS, BLOCK = 0.95, 0.95, 0.9, 0.9, 0.6, 0.9, 0.6
UNNAMED = "an exception without a proper name"
Said = tuple[str, float, str]  # kind, severity, one sentence


@check(
    "code_answers",
    "Which answers in Python cannot be read, are not finished, or fail the tests of their task?",
    subject="example",
)
def code_answers(
    corpus: Corpus,
    *,
    run_tests: bool = True,
    seconds: Annotated[int, Field(ge=1, le=60)] = SECONDS,
    memory_mb: Annotated[int, Field(ge=128, le=8192)] = MEMORY_MB,
    limit: Annotated[int, Field(ge=0)] = 2000,
) -> Report:
    """Judges answers whose task has `tests` or an `entry_point`, and fenced blocks that say they are Python. Other languages
    are read by nothing: the facts count them.

    Severity is 0 where nothing speaks against the code, 0.6 for a block that is not Python or a stub, 0.9 for what fails and
    more for what cannot be read. A failing test can itself be wrong: the finding says where to look, not who is right.

    run_tests: run answer and tests, as pipeline/evidence/sandbox.py locks them down; where that cannot be had nothing is
        run, and the facts say why. Passing proves nothing against an answer that sets out to deceive.
    seconds, memory_mb: of each run. limit: at most so many answers are run, in the order of their ids: 0.1 CPU seconds each.
    """
    rows = read_answers(corpus)
    programs = {place: program for place, row in enumerate(rows) if (program := program_of(row)) is not None}
    fenced = {place: found for place, row in enumerate(rows) if place not in programs and (found := blocks(row))}
    others = Counter(name for row in rows for name in other_blocks(row))
    if not programs and not fenced:
        raise Skip(
            "No task asks for Python (its data would have `tests` or `entry_point`), and no answer has a block marked as Python."
        )
    said = {place: _read(program) for place, program in programs.items()}
    why_not = "" if run_tests else "It was switched off: run_tests is false."
    ready = [place for place, found in said.items() if programs[place].tests and (found is None or found[0] == "stub")]
    if ready and run_tests:
        why_not = refusal()
    chosen = [] if why_not else ready[:limit]
    verdicts = dict(
        zip(
            chosen,
            run_all([(programs[p].code, programs[p].tests) for p in chosen], seconds=seconds, memory_mb=memory_mb),
            strict=True,
        )
    )
    said |= {place: _ran(verdict) or said[place] for place, verdict in verdicts.items()}
    said |= {place: _blocks(found) for place, found in fenced.items()}
    facts = {
        "judged": len(said), "run": len(verdicts), "not_run": why_not, "left_out": len(ready) - len(chosen), **_rates(said),
        "walls": sorted({wall for verdict in verdicts.values() for wall in verdict.walls}),
        "languages_not_read": [{"language": name, "blocks": count} for name, count in sorted(others.items())[:20]],
    }  # fmt: skip
    return Report(findings([_row(rows[place], found) for place, found in sorted(said.items())]), facts)


def _row(row: Written, found: Said | None) -> dict[str, Any]:
    _, severity, reason = found or ("", 0.0, "")
    return {
        "subject_id": str(row.example_id),
        "severity": severity,
        "flagged": severity > 0,
        "reason": reason,
        "suggestion": "",
    }


def _read(program: Program) -> Said | None:
    """What reading alone shows."""
    tree = parsed(program.code)
    if isinstance(tree, SyntaxError):
        if OTHER.search(program.code):
            return "wrong_language", WRONG_LANGUAGE, "The answer is code in another language than Python."
        line = tree.lineno or 0
        if cut(program.code, tree):
            return "cut", CUT, f"The code breaks off: Python cannot read its end (line {line})."
        return _unreadable(line)
    if program.entry_point and not defines(tree, program.entry_point):
        return "missing", MISSING, "The answer does not define what the task asks for."
    if stubs(tree, program.code):
        return "stub", STUB, "The code has a part that was left to be written."
    return None


def _unreadable(line: int) -> Said:
    return "unparsable", UNPARSABLE, f"The answer is not Python: it cannot be read from line {line} on."


def _ran(verdict: Verdict) -> Said | None:
    match verdict.status:
        case "passed" | "unavailable":
            return None
        case "failed":
            first = f"the first of them number {verdict.failed[0]} ({verdict.error or UNNAMED})"
            return (
                "fails",
                FAILS,
                f"The answer fails {len(verdict.failed)} of the task's {verdict.tests} tests, {first}; or the test is wrong.",
            )
        case "error":
            return (
                "raises",
                FAILS,
                f"The code raises {verdict.error or UNNAMED} in line {verdict.line}, before any test.",
            )
        case "timeout":
            return "timeout", FAILS, "The code, with its tests, did not end in the time allowed."
        case "unparsable" if verdict.line:  # what only compiling shows, such as a `return` outside of a function
            return _unreadable(verdict.line)
        case "unparsable":
            return "tests", 0.5, "The tests of the task are not Python."
    return "killed", FAILS, "The code ended by itself, or by a limit, before its tests did."


def _blocks(found: Sequence[str]) -> Said | None:
    for code in found:
        tree = parsed(code)
        if isinstance(tree, SyntaxError):
            return (
                "unparsable",
                BLOCK,
                f"A block that says it is Python cannot be read from its line {tree.lineno or 0} on.",
            )
        if any(isinstance(node, ast.FunctionDef) for node in tree.body) and stubs(tree, ""):
            return "stub", BLOCK / 2, "A block of Python has a function that was left to be written."
    return None


def _rates(said: dict[int, Said | None]) -> dict[str, Any]:
    counts = Counter(found[0] for found in said.values() if found)
    return {
        "flagged_share": wilson(sum(found is not None for found in said.values()), len(said)).as_dict(),
        "kinds": [
            {"kind": kind, "answers": count, **wilson(count, len(said)).as_dict()}
            for kind, count in sorted(counts.items())
        ],
    }
