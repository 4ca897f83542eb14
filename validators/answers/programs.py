"""Python in a written answer: the program that it is, or the blocks of it that it holds, and the tests of its task."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from validators.answers.written import Written

BLOCK = re.compile(r"```(\w*)[^\S\n]*\n(.*?)(?:```|\Z)", re.DOTALL)
PYTHON = ("python", "py", "python3")
LONGEST = 50_000  # characters: what a person writes for a task has fewer
# Signs of other languages that no Python has at the beginning of a line.
OTHER = re.compile(
    r"^[^\S\n]*(?:function\s+\w+\s*\(|(?:const|let|var)\s+\w+\s*=|(?:public|private|static)\s+\w|#include\b|using namespace"
    r"|package \w+;|import [\w.*]+;|fn \w+\(|func \w+\(|SELECT\b|<\?php|<html|console\.log|System\.out"
    r"|#!/bin/(?:ba)?sh|\w[\w<>\[\], ]* \w+\([^)]{0,300}\)\s*\{)",
    re.MULTILINE,
)
STUB = re.compile(r"#\s*(?:TODO|FIXME|XXX|your code)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Program:
    """code: as it is to be run, with the task's beginning where the answer only completes it. tests: "" if the task has none."""

    code: str
    tests: str = ""
    entry_point: str = ""


def program_of(row: Written) -> Program | None:
    """The program that the answer is to be; None where its task wants no Python."""
    entry, tests = str(row.data.get("entry_point") or ""), str(row.data.get("tests") or row.data.get("test") or "")
    language = str(row.data.get("programming_language") or row.data.get("language") or "python").casefold()
    if not (entry or tests) or language not in PYTHON:
        return None
    answer = _bare(row.answer)
    if (
        re.search(r"^def check\(", tests, re.MULTILINE) and entry.isidentifier()
    ):  # HumanEval: a function that takes the candidate
        tests = f"{tests}\n\ncheck({entry})\n"
    whole = _completed(row.prompt, answer, entry)
    return Program(whole, tests, entry)


def blocks(row: Written) -> list[str]:
    """The fenced blocks that say they are Python."""
    return [code for language, code in BLOCK.findall(row.answer) if language.casefold() in PYTHON and ">>>" not in code]


def other_blocks(row: Written) -> list[str]:
    """The languages of the other fenced blocks that name one."""
    return [
        language.casefold()
        for language, _ in BLOCK.findall(row.answer)
        if language and language.casefold() not in PYTHON
    ]


def parsed(code: str) -> ast.Module | SyntaxError:
    """Read, never run. Too long or too deep a text counts as unparsable."""
    try:
        return ast.parse(code) if len(code) <= LONGEST else SyntaxError("too long")
    except SyntaxError as error:
        return error
    except (ValueError, RecursionError, MemoryError):
        return SyntaxError("too deep, or a character that no source may hold")


def cut(code: str, error: SyntaxError) -> bool:
    """Whether what is wrong is that it ends too early."""
    message, last = str(error.msg), len(code.rstrip().splitlines())
    early = "was never closed" in message or "unexpected EOF" in message or "unterminated triple-quoted" in message
    late = (error.lineno or 0) >= last and (
        "expected" in message or "unterminated" in message or "invalid syntax" in message
    )
    return early or late


def defines(tree: ast.Module, name: str) -> bool:
    return any(
        (isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name == name)
        or (
            isinstance(node, ast.Assign)
            and any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
        )
        or (isinstance(node, ast.ImportFrom) and any((item.asname or item.name) == name for item in node.names))
        for node in ast.walk(tree)
    )


def stubs(tree: ast.Module, code: str) -> bool:
    """A function that was left to be written: only `pass`, `...` or NotImplementedError, or a note to do it."""
    return STUB.search(code) is not None or any(map(_hollow, _functions(tree)))


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    return (node for node in tree.body if isinstance(node, ast.FunctionDef))


def _hollow(function: ast.FunctionDef) -> bool:
    body = [node for node in function.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    if not body:
        return True
    only = body[0]
    unwritten = isinstance(only, ast.Raise) and "NotImplemented" in ast.dump(only)
    return len(body) == 1 and (isinstance(only, ast.Pass) or unwritten)


def _bare(answer: str) -> str:
    """Without the fence around it; of several blocks the Python ones, one after the other."""
    found = BLOCK.findall(answer)
    mine = [code for language, code in found if language.casefold() in ("", *PYTHON)]
    return "\n".join(mine) if mine else answer


def _completed(prompt: str, answer: str, entry: str) -> str:
    """The answer, or the task's text and the answer where that is what defines the function (as in HumanEval)."""
    alone = parsed(answer)
    if isinstance(alone, ast.Module) and (not entry or defines(alone, entry)):
        return answer
    begun = parsed(prompt)
    if isinstance(begun, ast.Module) and defines(begun, entry):
        return f"{prompt.rstrip()}\n{answer}"
    return answer
