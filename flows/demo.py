"""`assay demo`: the whole loop on a real Label Studio on this machine, with the template's sample.

A second run finds the server, the project and every result where they are, and does only what changed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from flows import console
from flows.place import LABEL_CONFIG, Place, open_place, project_id
from flows.setting_up import setup
from pipeline import config
from pipeline.config import Data, LabelStudio, Project, Promotion
from pipeline.label_studio.process import Running
from pipeline.sample import Sample
from pipeline.store import write_json

NAME = "Assay demo"
TEMPLATE = "text_classification"


def demo(folder: Path, *, hidden: bool) -> dict[str, Any]:
    """What `assay run` gives, and the numbers, paths and addresses that the last screen shows."""
    from flows.running import run_flywheel
    from pipeline.label_studio.server import up

    say = console.silence if hidden else console.complain
    say("Label Studio: starting a local server …")
    server = up(progress=say)
    os.environ["ASSAY_LABEL_STUDIO_TOKEN"] = server.token
    folder = folder.absolute()
    _make_project(folder, server)
    project = setup(folder)
    place = open_place(folder)
    _import_sample(place, say)
    say("The loop: sync, consensus, evidence, checks, version, training, evaluation, promotion …")
    body = run_flywheel(folder, hidden=hidden)
    return {**body, **_numbers(place, body), "label_studio": _address(server, project), "folder": str(folder)}


def _make_project(folder: Path, server: Running) -> None:
    """project.yaml of the demo, pointed at the server that runs now."""
    from pipeline.templates import template

    chosen = template(TEMPLATE)
    known = config.load(folder) if (folder / config.FILE).is_file() else None
    if known is None:
        # On 104 test messages a difference is known to about 7 points: at the usual margin of 3 points only luck would promote.
        margin = Promotion(margin=0.05)
        known = Project(
            name=NAME, template=TEMPLATE, slices=list(chosen.slices), data=Data(split="split"), promotion=margin
        )
    if known.label_studio is None or known.label_studio.url != server.url:
        number = known.label_studio.project if known.label_studio else None
        known = known.model_copy(update={"label_studio": LabelStudio(url=server.url, project=number)})
        config.save(folder, known)
    for name, text in ((LABEL_CONFIG, chosen.label_config), ("guidelines.md", chosen.guidelines)):
        if not (folder / name).exists():
            (folder / name).write_text(text, encoding="utf-8")


def _import_sample(place: Place, say: Any) -> None:
    """The sample's messages with the answers of five annotators, who are real users of the server."""
    from flows.place import connection
    from pipeline.label_studio.project import ensure_users, import_tasks

    sample = make_sample(place)
    server = connection(place)
    say(f"Label Studio: {len(sample.tasks)} messages with the answers of {len(sample.people)} annotators …")
    ids = ensure_users(server, sample.people)
    import_tasks(server, project_id(place), with_users(sample, ids))
    users = {email: str(number) for email, number in ids.items()}
    write_json(place.folder / "planted.json", {"planted": sample.planted, "truth": sample.truth, "users": users})


def make_sample(place: Place) -> Sample:
    """The template's sample with planted faults; the same for the same seed."""
    from pipeline.sample import make

    return make(place.template.read_sample(), task=place.task, scheme=place.scheme())


def with_users(sample: Sample, ids: dict[str, int]) -> list[dict[str, Any]]:
    """The tasks with the annotators' ids in place of their addresses."""
    return [
        {**task, "annotations": [{**one, "completed_by": ids[one["completed_by"]]} for one in task["annotations"]]}
        for task in sample.tasks
    ]


def _address(server: Running, project: dict[str, Any]) -> dict[str, Any]:
    return {"url": project["url"], "username": server.username, "password": server.password}


def _numbers(place: Place, body: dict[str, Any]) -> dict[str, Any]:
    """The short table of the last screen."""
    from flows.stages.adapters import evaluation
    from flows.stages.checking import check_run

    run = check_run(place, body["check_id"])
    found = evaluation(place, body["evaluation"]) if body["evaluation"] else None
    return {
        "counts": run["counts"],
        "first_doubt": _first_doubt(place, run["check_id"]),
        "verdicts": run["verdicts"],
        "agreement": run["agreement"]["overall"],
        "planted": run["planted"],
        "models": found["models"] if found else None,
        "differences": found["differences"] if found else None,
        "evaluation_page": str(place.folder / "evaluation.html") if found else None,
    }


def _first_doubt(place: Place, check_id: str) -> int:
    """The example that most needs a second look."""
    from flows.stages.reviewing import queue

    doubts = queue(place, check_id)["example_id"].tolist()
    return int(doubts[0]) if doubts else 1
