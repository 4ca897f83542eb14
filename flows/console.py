"""What a person sees: tables and sentences on standard output, progress on standard error.

With `--json` standard output holds one JSON document and nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson


def print_json(body: object) -> None:
    sys.stdout.write(orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode() + "\n")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def complain(text: str) -> None:
    sys.stderr.write(text + "\n")


def visible(value: object) -> str:
    """Text from a task on a terminal: control characters could move the cursor or rewrite the screen."""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def silence(text: str) -> None:
    """Where nobody wants to hear it."""


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Cells are plain text: no markup and no control character from data is acted on."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=title, title_justify="left", title_style="bold", show_edge=False, pad_edge=False)
    for column in columns:
        shown.add_column(column, overflow="fold", justify="left")
    for row in rows:
        shown.add_row(*(Text(visible(str(cell))) for cell in row))
    console = Console()
    console.print()
    console.print(shown)


def interval(body: dict[str, Any] | None, *, percent: bool = False) -> str:
    """0.71 [0.68, 0.74]; an en dash where there is no value."""
    if not body or body.get("value") is None:
        return "–"
    if percent:
        return f"{body['value']:.1%} [{body['low']:.1%}, {body['high']:.1%}]"
    return f"{body['value']:.2f} [{body['low']:.2f}, {body['high']:.2f}]"


@contextmanager
def progress(name: str, *, hidden: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error that appears with the first report of (done, total); nothing if it is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=Console(stderr=True), transient=True, disable=hidden or not sys.stderr.isatty(),
    )  # fmt: skip
    with bar:
        task = bar.add_task(name, total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield report
