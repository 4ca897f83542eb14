"""`assay review`, `assay truth` and `assay predict`: doubts, settled answers and suggestions, back into Label Studio."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows import console, screens, screens_back
from flows.options import HERE, Dir, Json, finish

review = typer.Typer(no_args_is_help=True, help="Doubtful examples, back to the annotators, and what became of them.")
truth = typer.Typer(no_args_is_help=True, help="Settled answers as ground truth, and the annotators against it.")

predictions = typer.Typer(
    no_args_is_help=True, help="The champion's answers, as suggestions for what is not labelled yet."
)


@review.command("push")
def review_push(folder: Dir = HERE, as_json: Json = False) -> None:
    """The examples to look at again, as tabs in Label Studio, first what a minute is expected to mend most."""
    from flows.place import open_place
    from flows.stages import reviewing

    with console.progress("review", hidden=as_json) as report:
        body = reviewing.push(open_place(folder), None, report)
    finish(body, as_json, screens_back.review)


@review.command("status")
def review_status(folder: Dir = HERE, as_json: Json = False) -> None:
    """What became of each: corrected, confirmed, open, deleted; how often each check was right; how long it took."""
    from flows.place import open_place
    from flows.stages import reviewing

    with console.progress("sync", hidden=as_json) as report:
        body = reviewing.status(open_place(folder), report)
    finish(body, as_json, screens_back.reviewed)


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
    finish(body, as_json, screens_back.truth)


@truth.command("status")
def truth_status(folder: Dir = HERE, as_json: Json = False) -> None:
    """Each annotator's accuracy against ground truth."""
    from flows.place import open_place
    from flows.stages import truth as stage

    with console.progress("sync", hidden=as_json) as report:
        body = stage.status(open_place(folder), report)
    finish(body, as_json, screens_back.against_truth)


@predictions.command("push")
def predict_push(folder: Dir = HERE, as_json: Json = False) -> None:
    """The champion's answers for the tasks without annotation, into Label Studio."""
    from flows.place import open_place
    from flows.stages.predicting import push_predictions

    with console.progress("predict", hidden=as_json) as report:
        body = push_predictions(open_place(folder), None, report)
    finish(body, as_json, screens.predicted)


@predictions.command("status")
def predict_status(folder: Dir = HERE, as_json: Json = False) -> None:
    """Whether annotators follow the suggestions, right or wrong: shown against held back."""
    from flows.place import open_place
    from flows.stages.predicting import prediction_status
    from flows.stages.source import sync as run_sync

    place = open_place(folder)
    with console.progress("sync", hidden=as_json) as report:
        run_sync(place, report)
    finish(prediction_status(place), as_json, screens.anchoring)
