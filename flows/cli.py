"""The command line. Each command calls one stage, prints for people or, with --json, one JSON document.

Exit codes: 0 done (gate open), 1 done (gate closed, or not promoted), 2 could not do it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import cli_checks, cli_serve, console, screens
from flows.cli_assign import assign
from flows.cli_back import predictions, review, truth
from flows.cli_compare import compare
from flows.cli_server import server
from flows.options import HERE, Dir, Json, ProjectOption, finish
from pipeline.errors import AssayError, ConfigError, GateClosed

app = typer.Typer(
    name="assay", add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Finds out how much gold is in your labels: Label Studio, checked dataset versions, PEFT adapters, and back.",
)  # fmt: skip
app.add_typer(server, name="server")
app.add_typer(review, name="review")
app.add_typer(truth, name="truth")
app.add_typer(predictions, name="predict")
app.add_typer(assign, name="assign")
app.add_typer(compare, name="compare")


def run(arguments: Sequence[str] | None = None) -> int:
    """The exit code; every AssayError becomes one sentence on standard error (and JSON on standard output)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(given, prog_name="assay")
    except SystemExit as done:
        return int(done.code or 0) if not isinstance(done.code, str) else 2
    except AssayError as error:
        closed = isinstance(error, GateClosed)
        if "--json" in given:
            console.print_json({"error": str(error), "kind": type(error).__name__})
        console.complain(f"assay: {error}")
        return 1 if closed else 2
    return 0


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder of the demo project")] = Path("demo"),
    as_json: Json = False,
) -> None:
    """The whole loop on a local, real Label Studio; ends by naming the report's file."""
    from flows.demo import demo as run_demo

    body = run_demo(folder, hidden=as_json)
    finish(body, as_json, screens.demo)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to make the project")],
    template: Annotated[str, typer.Option("--template", "-t", help="See `assay templates`")] = "text_classification",
    name: Annotated[str | None, typer.Option(help="Default: the folder's name")] = None,
    url: Annotated[str | None, typer.Option(help="Address of the Label Studio that it is for")] = None,
    as_json: Json = False,
) -> None:
    """A new project folder: project.yaml, labeling configuration, guidelines."""
    from flows.place import init as make

    place = make(folder, template, name=name, url=url)
    body = {"folder": str(place.folder), "project": place.project.name, "template": template, "url": url}
    finish(body, as_json, screens.init)


@app.command()
def templates(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show this one")] = None, as_json: Json = False
) -> None:
    """List the annotation templates, or show one."""
    from pipeline import templates as known

    if name is None:
        rows = [{"name": item, **_template(known.template(item), brief=True)} for item in known.names()]
        finish({"templates": rows}, as_json, screens.templates)
    finish(_template(known.template(str(name)), brief=False), as_json, screens.template)


app.command("checks")(cli_checks.checks)


def _template(found: Any, *, brief: bool) -> dict[str, Any]:
    rows = found.read_sample()
    short = {
        "title": found.title, "task": found.task, "description": found.description, "refines": found.refines,
        "items": len(rows), "planted": sum(bool(row["fault"]) for row in rows),
    }  # fmt: skip
    long = {
        "fields": list(found.fields), "answer": list(found.answer), "slices": list(found.slices),
        "example": next(row for row in rows if not row["fault"]),
        "label_config": found.label_config, "guidelines": found.guidelines, "sample": str(found.sample),
    }  # fmt: skip
    return short if brief else {"name": found.name, **short, **long}


@app.command()
def setup(
    folder: Dir = HERE,
    drop: Annotated[
        list[str] | None, typer.Option("--drop", help="A label or control that may go although annotations use it; repeat it")
    ] = None,
    as_json: Json = False,
) -> None:
    """Create or update the Label Studio project from the project folder. A change that would orphan answers is refused."""
    from flows.setting_up import setup as run_setup

    finish(
        run_setup(folder, dropping=drop or ()),
        as_json,
        screens.set_up,
    )


@app.command("import")
def import_(
    file: Annotated[Path | None, typer.Argument(help="Tasks as csv, jsonl, json or parquet")] = None,
    folder: ProjectOption = HERE,
    sample: Annotated[bool, typer.Option("--sample", help="The template's sample, in place of a file")] = False,
    as_json: Json = False,
) -> None:
    """Bring tasks into the Label Studio project; the same tasks twice are imported once."""
    from flows.setting_up import import_file

    if sample is (file is not None):
        raise ConfigError("Give a file of tasks, or --sample for the template's own: one of them.")
    finish(
        import_file(folder, file),
        as_json,
        lambda body: console.say(f"{body['created']} tasks imported, {body['present']} were there already."),
    )


@app.command()
def sync(folder: Dir = HERE, as_json: Json = False) -> None:
    """Bring in what changed since last time."""
    from flows.place import open_place
    from flows.stages.source import bring

    place = open_place(folder)
    with console.progress("sync", hidden=as_json) as report:
        body = bring(place, report)
    finish(body, as_json, screens.synced)


@app.command()
def check(
    folder: Dir = HERE,
    source: Annotated[Path | None, typer.Option(help="A Label Studio JSON export, instead of a live project")] = None,
    template: Annotated[str | None, typer.Option("--template", "-t", help="With --source: the kind of work")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Project folder; made if it is not there")] = None,
    label_config: Annotated[Path | None, typer.Option(help="The project's labeling configuration (XML)")] = None,
    text_field: Annotated[str | None, typer.Option(help="Data field that holds the text")] = None,
    slices: Annotated[list[str] | None, typer.Option("--slice", help="Data field to break down by; repeat it")] = None,
    bad_records: Annotated[str | None, typer.Option(help="fail or quarantine")] = None,
    source_project: Annotated[str | None, typer.Option(help="Which one, if the export holds several projects")] = None,
    as_json: Json = False,
) -> None:
    """Consensus, evidence, checks, verdicts, gate; writes the quality report."""
    from flows.checked import check_folder, place_for

    place = place_for(
        out or folder,
        source=source,
        template=template,
        label_config=label_config,
        text_field=text_field,
        slices=slices,
        bad_records=bad_records,
        source_project=source_project,
    )
    body = check_folder(place, hidden=as_json)
    finish(body, as_json, screens.check, 0 if body["gate"]["open"] else 1)


@app.command()
def release(folder: Dir = HERE, as_json: Json = False) -> None:
    """The next dataset version, from the newest check run."""
    from flows.place import open_place
    from flows.stages.releasing import release as run_release
    from pipeline.versions.commit import find

    place = open_place(folder)
    found = find(place.store, run_release(place))
    finish(_version(found), as_json, screens.version)


def _version(found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in ("id", "number", "parent", "counts", "labels", "check", "created_at")}


@app.command("log")
def log_(folder: Dir = HERE, as_json: Json = False) -> None:
    """The dataset versions, newest first."""
    from flows.place import open_place
    from pipeline.versions.commit import LOG

    store = open_place(folder).store
    bodies = [{**store.read(entry), "number": int(entry.stem)} for entry in reversed(store.entries(LOG))]
    finish({"versions": [_version(body) for body in bodies]}, as_json, screens.log)


@app.command()
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="Id or number of a version")],
    b: Annotated[str, typer.Argument(metavar="B", help="Of another one")],
    folder: ProjectOption = HERE,
    as_json: Json = False,
) -> None:
    """What changed between two versions, row by row."""
    from flows.place import open_place
    from pipeline.versions.commit import read
    from pipeline.versions.diff import diff as compare

    store = open_place(folder).store
    finish(compare(read(store, a), read(store, b)), as_json, screens.diff)


@app.command()
def trace(
    example: Annotated[int, typer.Argument(metavar="ID", help="Number of the task in Label Studio")],
    folder: ProjectOption = HERE,
    as_json: Json = False,
) -> None:
    """An example's whole lineage: clicks, consensus, findings, verdicts, versions, adapters."""
    from flows.place import open_place
    from flows.tracing import trace as follow

    finish(follow(open_place(folder), example), as_json, screens.trace)


@app.command()
def train(
    folder: Dir = HERE,
    version: Annotated[str | None, typer.Option(help="Id or number; default: the newest")] = None,
    labels: Annotated[str, typer.Option(help="cleaned, or uncleaned to measure what curation bought")] = "cleaned",
    as_json: Json = False,
) -> None:
    """One version and one PEFT method make one adapter."""
    from flows.place import open_place
    from flows.stages.adapters import train as run_train

    place = open_place(folder)
    with console.progress(f"train ({labels})", hidden=as_json) as report:
        adapter = run_train(place, version, labels, report)
    finish(screens.adapter_facts(place.store, adapter), as_json, screens.adapter)


@app.command()
def evaluate(
    folder: Dir = HERE,
    version: Annotated[str | None, typer.Option(help="Id or number; default: the newest")] = None,
    adapter: Annotated[str | None, typer.Option(help="Default: this version's, trained if it is not there")] = None,
    uncleaned: Annotated[bool, typer.Option(help="Also beside an adapter trained on the uncleaned labels")] = True,
    as_json: Json = False,
) -> None:
    """An adapter on the frozen test split, beside the base model, the champion and the uncleaned labels."""
    from flows.checked import evaluate_folder
    from flows.place import open_place

    body = evaluate_folder(open_place(folder), version, adapter, uncleaned=uncleaned, hidden=as_json)
    finish(body, as_json, screens.evaluation)


@app.command()
def promote(folder: Dir = HERE, as_json: Json = False) -> None:
    """Make the newest evaluated adapter the champion, if the comparison says so."""
    from flows.place import open_place
    from flows.stages.adapters import newest_evaluation
    from flows.stages.adapters import promote as run_promote

    place = open_place(folder)
    body = run_promote(place, newest_evaluation(place))
    finish(body, as_json, screens.promotion, 0 if body["promote"] else 1)


@app.command("run")
def run_(folder: Dir = HERE, as_json: Json = False) -> None:
    """All of it, as the Prefect flow: on PREFECT_API_URL, or on a server of its own."""
    from flows.running import run_flywheel

    body = run_flywheel(folder, hidden=as_json)
    finish(body, as_json, screens.flywheel, 0 if body["gate"]["open"] else 1)


cli_serve.add(app)


@app.command()
def report(
    folder: Dir = HERE,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser")] = False,
    as_json: Json = False,
) -> None:
    """Where the newest quality report is."""
    file = folder.absolute() / "report.html"
    if not file.is_file():
        raise ConfigError(f"There is no report in {folder.absolute()}: run `assay check` first.")
    if open_it:
        import webbrowser

        webbrowser.open(file.as_uri())
    finish({"report": str(file)}, as_json, lambda body: console.say(body["report"]))


@app.command()
def doctor(as_json: Json = False) -> None:
    """What is missing, and how to mend it."""
    from flows.doctor import examine

    body = examine()
    finish(body, as_json, screens.doctor, 0 if all(item["ok"] for item in body["checks"]) else 2)
