"""What the commands share: their usual options, and how each ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import console

Dir = Annotated[Path, typer.Argument(metavar="[DIR]", help="Project folder", show_default="here")]
ProjectOption = Annotated[
    Path, typer.Option("--project", "-C", metavar="DIR", help="Project folder", show_default="here")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else")]
HERE = Path(".")


def finish(body: dict[str, Any], as_json: bool, screen: Callable[[dict[str, Any]], None], code: int = 0) -> None:
    """Print the result, for programs or for people, and exit with `code`."""
    if as_json:
        console.print_json(body)
    else:
        screen(body)
    raise typer.Exit(code)
