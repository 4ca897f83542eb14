"""The sync as a Prefect flow, and the process in which `assay serve` runs it.

`python -m flows.syncing` takes jobs as lines of JSON on its standard input, answers each with a line on its standard
output, and ends with its input. It is a process of its own, so that nothing it does delays an answer to Label Studio; and
one that stays, since a Prefect server of its own takes far longer to start than a sync.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from prefect import flow

from flows.place import Place, connection, open_place, project_id
from flows.stages import source
from pipeline.errors import AssayError, SourceError

MOST_MESSAGE = 2_000  # characters, for the log of one failure


def _name() -> str:
    from prefect.runtime import flow_run

    return f"{flow_run.parameters['project_name']}: sync"


@flow(name="assay-sync", flow_run_name=_name, log_prints=False)
def sync(folder: str, project_name: str) -> dict[str, str]:
    """{"state": "synced", "source"}, or {"state": "waiting", "message"} for a project without tasks or annotations."""
    place = open_place(folder)
    try:
        return {"state": "synced", "source": source.sync(place)}
    except SourceError as error:
        if _holds_answers(place):
            raise
        return {"state": "waiting", "message": str(error)}


def _holds_answers(place: Place) -> bool:
    from pipeline.label_studio.project import project_facts

    facts = project_facts(connection(place), project_id(place))
    return bool(facts["task_number"] and facts["total_annotations_number"])


def _flywheel(folder: str) -> dict[str, str]:
    from flows.running import run_flywheel

    body = run_flywheel(Path(folder), hidden=True)
    gate = "open" if body["gate"]["open"] else "closed"
    return {"state": "synced", "message": f"The whole loop ran, the gate is {gate}: {body['report']}"}


def answer(job: dict[str, str]) -> dict[str, Any]:
    """{"do": "sync" or "run", "folder", "project_name"} → an `Outcome`'s fields. Any error but ours ends the process."""
    try:
        if job["do"] == "run":
            return _flywheel(job["folder"])
        done: dict[str, Any] = sync(job["folder"], job["project_name"])
        return done
    except AssayError as error:
        return {"state": "failed", "kind": type(error).__name__, "message": str(error)[:MOST_MESSAGE]}


def main() -> None:
    jobs, answers = _pipes()
    for line in jobs:
        answers.write(orjson.dumps(answer(orjson.loads(line))) + b"\n")
        answers.flush()


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output, moved to where neither our own printing nor a child's can reach them."""
    jobs, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return jobs, answers


if __name__ == "__main__":
    main()
