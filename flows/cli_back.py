"""`assay review` and `assay truth`: doubts to the annotators, and what is settled back to Label Studio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import console, screens_back

review = typer.Typer(no_args_is_help=True, help="Doubtful examples, back to the annotators, and what became of them.")
truth = typer.Typer(no_args_is_help=True, help="Settled answers as ground truth, and the annotators against it.")

Dir = Annotated[Path, typer.Argument(metavar="[DIR]", help="Project folder", show_default="here")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else")]
HERE = Path(".")


def _finish(body: dict[str, Any], as_json: bool, screen: Callable[[dict[str, Any]], None]) -> None:
    if as_json:
        console.print_json(body)
    else:
        screen(body)


@review.command("push")
def review_push(folder: Dir = HERE, as_json: Json = False) -> None:
    """The examples to look at again, as tabs in Label Studio, first what a minute is expected to mend most."""
    from flows.place import open_place
    from flows.stages import reviewing

    with console.progress("review", hidden=as_json) as report:
        body = reviewing.push(open_place(folder), None, report)
    _finish(body, as_json, screens_back.review)


@review.command("status")
def review_status(folder: Dir = HERE, as_json: Json = False) -> None:
    """What became of each: corrected, confirmed, open, deleted; how often each check was right; how long it took."""
    from flows.place import open_place
    from flows.stages import reviewing

    with console.progress("sync", hidden=as_json) as report:
        body = reviewing.status(open_place(folder), report)
    _finish(body, as_json, screens_back.reviewed)


@truth.command("push")
def truth_push(
    folder: Dir = HERE,
    file: Annotated[Path | None, typer.Option("--file", help="Also these: a table of example_id and answer")] = None,
    as_json: Json = False,
) -> None:
    """Reviewed answers become ground truth in Label Studio."""
    from flows.place import open_place
    from flows.stages import truth as stage

    with console.progress("ground truth", hidden=as_json) as report:
        body = stage.push(open_place(folder), file, report)
    _finish(body, as_json, screens_back.truth)


@truth.command("status")
def truth_status(folder: Dir = HERE, as_json: Json = False) -> None:
    """Each annotator's accuracy against ground truth."""
    from flows.place import open_place
    from flows.stages import truth as stage

    with console.progress("sync", hidden=as_json) as report:
        body = stage.status(open_place(folder), report)
    _finish(body, as_json, screens_back.against_truth)
