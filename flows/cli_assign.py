"""`assay assign`: blind overlap, from the plan to the answers."""

from __future__ import annotations

from typing import Annotated

import typer

from flows import console, screens_assign
from flows.options import HERE, Dir, Json, finish

assign = typer.Typer(no_args_is_help=True, help="Several annotators per task, each in a blind queue of his own.")


@assign.command("plan")
def assign_plan(
    folder: Dir = HERE,
    annotators: Annotated[
        list[str] | None,
        typer.Option("--annotator", metavar="EMAIL", help="Repeat it; default: those of the last plan, or all users but you"),
    ] = None,
    per_task: Annotated[int | None, typer.Option(help="Annotators per task; default: as before, or 2")] = None,
    gold_share: Annotated[
        float | None, typer.Option(help="Part of each queue that is gold questions; default: as before, or 0.1")
    ] = None,
    as_json: Json = False,
) -> None:
    """Who labels which task. Run again when tasks or people come or go: what is assigned stays assigned."""
    from flows.place import open_place
    from flows.stages.assigning import plan

    body = plan(open_place(folder), emails=annotators or (), per_task=per_task, gold_share=gold_share)
    finish(body, as_json, screens_assign.plan)


@assign.command("push")
def assign_push(folder: Dir = HERE, as_json: Json = False) -> None:
    """A queue in Label Studio for each annotator, by the newest plan; what is right already is not touched."""
    from flows.place import open_place
    from flows.stages.assigning import push

    with console.progress("assign", hidden=as_json) as report:
        body = push(open_place(folder), report)
    finish(body, as_json, screens_assign.push)


@assign.command("pull")
def assign_pull(folder: Dir = HERE, as_json: Json = False) -> None:
    """The answers in the queues, home into the project, each under its author's name."""
    from flows.place import open_place
    from flows.stages.assigning import pull

    with console.progress("assign", hidden=as_json) as report:
        body = pull(open_place(folder), report)
    finish(dict(body), as_json, screens_assign.pull)


@assign.command("status")
def assign_status(folder: Dir = HERE, as_json: Json = False) -> None:
    """How far everybody is, who answered what was not his, and how gold questions were answered."""
    from flows.place import open_place
    from flows.stages.assigning import status

    finish(status(open_place(folder)), as_json, screens_assign.status)
