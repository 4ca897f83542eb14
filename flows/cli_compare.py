"""`assay compare`: two models' outputs, judged blind by people in Label Studio."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flows import console
from flows.options import HERE, Json, ProjectOption, finish
from pipeline.errors import ConfigError

compare = typer.Typer(no_args_is_help=True, help="Two models' outputs, judged blind by people in Label Studio.")


@compare.command("push")
def compare_push(
    a: Annotated[str, typer.Argument(help="An adapter (id, its beginning, or champion), or a file of outputs")],
    b: Annotated[str, typer.Argument(help="The other one")],
    folder: ProjectOption = HERE,
    form: Annotated[str, typer.Option("--as", help="pairwise or rating")] = "pairwise",
    split: Annotated[str, typer.Option("--on", help="test, validation or unlabelled examples")] = "test",
    limit: Annotated[int, typer.Option(min=1, help="Comparisons at most")] = 100,
    per_task: Annotated[int, typer.Option(min=1, help="How many people judge each")] = 1,
    as_json: Json = False,
) -> None:
    """Tasks in a Label Studio project of its own: which output is better, or how good each is. Files hold JSON lines with
    `prompt` and `output`."""
    from flows.place import open_place
    from flows.stages import comparing

    place = open_place(folder)
    files = [Path(name) for name in (a, b) if Path(name).suffix in (".jsonl", ".json") or Path(name).is_file()]
    if len(files) == 1:
        raise ConfigError("Give two adapters or two files of outputs, not one of each.")
    with console.progress("compare", hidden=as_json) as report:
        if files:
            outputs = comparing.outputs_of_files(*files)
        else:  # by their ids: `champion` will be another one some day
            a, b = comparing.adapter(place, a), comparing.adapter(place, b)
            outputs = comparing.outputs_of_adapters(place, a, b, split=split, progress=report)
        body = comparing.push(place, outputs, a=a, b=b, form=form, limit=limit, per_task=per_task, progress=report)
    finish(body, as_json, _pushed)


@compare.command("status")
def compare_status(
    comparison: Annotated[str | None, typer.Argument(help="Default: the newest")] = None,
    folder: ProjectOption = HERE,
    as_json: Json = False,
) -> None:
    """What people have said so far, with intervals; kept in the store as an evaluation."""
    from flows.place import open_place
    from flows.stages import comparing

    finish(comparing.status(open_place(folder), comparison), as_json, _judged)


def _pushed(body: dict[str, Any]) -> None:
    console.say(f"{body['created']} tasks made, {body['present']} were there already: {body['url']}")
    if body["same"]:
        console.say(f"About {body['same']} prompts both say the same: they are not asked.")
    console.say("What people said: `assay compare status`.")


def _judged(body: dict[str, Any]) -> None:
    names = f"a is {body['a']}, b is {body['b']}"
    console.say(f"{body['answered']} of {body['tasks']} tasks judged ({names}); {body['same']} prompts were the same anyway.")
    if body["form"] == "pairwise" and body["win_rate"]:
        wins, rate = body["wins"], body["win_rate"]
        console.say(f"b preferred {wins['b']} times, a {wins['a']} times, {wins['tie']} ties.")
        interval = f"{rate['value']:.0%} [{rate['low']:.0%}, {rate['high']:.0%}]"
        console.say(f"b wins {interval}, a tie counting half; sign test p = {body['p']:.3f}.")
        if body["left"]:
            left = body["left"]
            console.say(f"The left one was chosen {left['value']:.0%} [{left['low']:.0%}, {left['high']:.0%}] of the time.")
    for row in body.get("dimensions", []):
        gap = row["difference"]
        shown = f"{gap['value']:+.2f} [{gap['low']:+.2f}, {gap['high']:+.2f}]" if gap else "too few to say"
        a, b = (f"{row[name]:.2f}" if row[name] is not None else "–" for name in "ab")
        console.say(f"{row['dimension']}: a {a}, b {b}, b − a {shown}")
