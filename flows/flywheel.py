"""The whole loop as one Prefect flow. Each task wraps a plain function and passes references, never rows.

Retries are where a repeat can help: only in what talks to Label Studio, and never after a refusal or bad data. Publishing
happens in our own atomic commits, so a killed run is simply run again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.tasks import exponential_backoff

from flows import console
from flows.place import open_place
from flows.stages import adapters, agreeing, checking, predicting, releasing, reviewing, source
from flows.stages import evidence as evidence_stage
from pipeline.errors import AssayError

NETWORK = {"retries": 3, "retry_delay_seconds": exponential_backoff(backoff_factor=2), "retry_jitter_factor": 0.5}


def _may_help(task: Any, run: Any, state: Any) -> bool:
    """Only what is transient is tried again: a wrong token or a broken export stays what it is."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, AssayError) and error.transient


@task(task_run_name="sync", retry_condition_fn=_may_help, **NETWORK)  # type: ignore[call-overload,untyped-decorator]
def sync(folder: str, hidden: bool) -> str:
    with console.progress("sync", hidden=hidden) as report:
        return source.sync(open_place(folder), report)


@task(task_run_name="consensus")
def consensus(folder: str, source_ref: str) -> str:
    return agreeing.consensus(open_place(folder), source_ref)


@task(task_run_name="evidence")
def evidence(folder: str, consensus_key: str, hidden: bool) -> str:
    with console.progress("embed", hidden=hidden) as report:
        return evidence_stage.evidence(open_place(folder), consensus_key, report)


@task(task_run_name="check")
def check(folder: str, consensus_key: str, evidence_key: str) -> str:
    return checking.check(open_place(folder), consensus_key, evidence_key)


@task(task_run_name="decide")
def decide(folder: str, consensus_key: str, evidence_key: str, findings_key: str) -> str:
    return checking.decide(open_place(folder), consensus_key, evidence_key, findings_key)


@task(task_run_name="version")
def version(folder: str, check_id: str) -> str:
    return releasing.release(open_place(folder), check_id)


@task(task_run_name="train {labels_from}")
def train(folder: str, version_id: str, labels_from: str, hidden: bool) -> str:
    with console.progress(f"train ({labels_from})", hidden=hidden) as report:
        return adapters.train(open_place(folder), version_id, labels_from, report)


@task(task_run_name="evaluate")
def evaluate(folder: str, version_id: str, adapter: str, uncleaned: str, hidden: bool) -> str:
    with console.progress("evaluate", hidden=hidden) as report:
        return adapters.evaluate(open_place(folder), version_id, adapter, uncleaned, report)


@task(task_run_name="promote")
def promote(folder: str, evaluation_id: str) -> dict[str, Any]:
    return adapters.promote(open_place(folder), evaluation_id)


@task(task_run_name="review queue", retry_condition_fn=_may_help, **NETWORK)  # type: ignore[call-overload,untyped-decorator]
def push_review(folder: str, check_id: str) -> dict[str, Any]:
    return reviewing.push(open_place(folder), check_id)


@task(task_run_name="predictions", retry_condition_fn=_may_help, **NETWORK)  # type: ignore[call-overload,untyped-decorator]
def push_predictions(folder: str, check_id: str, hidden: bool) -> dict[str, Any]:
    with console.progress("predict", hidden=hidden) as report:
        return predicting.push_predictions(open_place(folder), check_id, report)


def _name() -> str:
    from prefect.runtime import flow_run

    return f"{flow_run.parameters['project_name']}: from annotations to adapter"


@flow(name="assay-flywheel", flow_run_name=_name, log_prints=False)
def flywheel(folder: str, project_name: str, hidden: bool = False) -> dict[str, Any]:
    """Sync, check, version, train, evaluate, promote, and send back.

    A closed gate ends the run after the review queue: the doubts still reach the annotators, nothing is trained or promoted.
    Where an answer is not one of a few labels it ends after the version and the review queue.
    """
    place = open_place(folder)
    live = place.project.source is None
    consensus_key = consensus(folder, sync(folder, hidden))
    evidence_key = evidence(folder, consensus_key, hidden)
    check_id = decide(folder, consensus_key, evidence_key, check(folder, consensus_key, evidence_key))
    run = checking.check_run(place, check_id)
    _leave_artifact(place.folder, run)
    done: dict[str, Any] = {"check_id": check_id, "gate": run["gate"], "report": str(place.folder / "report.html")}
    version_id = version(folder, check_id) if run["gate"]["open"] else None
    if version_id is None or not adapters.can_train(place):
        review = push_review(folder, check_id) if live else None
        untrained = dict.fromkeys(("adapter", "evaluation", "promotion", "predictions"))
        return {**done, **untrained, "review": review, "version": version_id}
    adapter = train(folder, version_id, "cleaned", hidden)
    uncleaned = train(folder, version_id, "uncleaned", hidden)
    evaluation_id = evaluate(folder, version_id, adapter, uncleaned, hidden)
    promotion = promote(folder, evaluation_id)
    return {
        **done,
        "version": version_id,
        "adapter": adapter,
        "evaluation": evaluation_id,
        "promotion": promotion,
        "review": push_review(folder, check_id) if live else None,
        "predictions": push_predictions(folder, check_id, hidden) if live else None,
    }


def _leave_artifact(folder: Path, run: dict[str, Any]) -> None:
    from pipeline.report import markdown_summary

    text = markdown_summary(run, (folder / "report.html").as_uri())
    create_markdown_artifact(text, key="assay-quality", description=f"Check {run['check_id']}")
