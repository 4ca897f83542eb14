"""send back: doubtful examples as tabs in Label Studio, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pandas as pd

from flows.place import Place, connection, project_id
from flows.stages import Progress, quiet
from flows.stages.checking import check_run
from flows.stages.predicting import MODELS
from flows.stages.source import parse_source, sync
from pipeline import reviewed
from pipeline.errors import Missing
from pipeline.types import Parsed

# What a team calls the reasons; a check that is not named here is called by its name.
CLASSES = {"label_errors": "probable label errors", "consensus": "tied answers", "text_quality": "damaged texts"}


def queue(place: Place, check_id: str | None = None) -> pd.DataFrame:
    """QUEUE_COLUMNS of pipeline/review.py: what a check run would have looked at again, first what is worth most."""
    from pipeline import review
    from pipeline.evidence.duplicates import near_groups

    folder = place.store.folder("checks", check_run(place, check_id)["check_id"])
    names = ("examples", "annotations", "consensus", "verdicts")
    examples, annotations, consensus, verdicts = (pd.read_parquet(folder / f"{name}.parquet") for name in names)
    found = reviewed.outcomes(reviewed.pushes(place.store), annotations, examples["example_id"])
    copies, _ = near_groups(examples["text"].tolist())
    return review.queue(examples, annotations, consensus, verdicts, copies=copies, found=reviewed.found_right(found))


def push(place: Place, check_id: str | None = None, progress: Progress = quiet) -> dict[str, Any]:
    """One tab per reason, named with the version (or the check run) and the reason, and an entry in the log. What was reviewed
    since the check is left out; what is as it should be in Label Studio is not written again.

    What will be asked, and which tasks will be opened again for it, is in the log before anything is done: a push that is killed
    can be taken back, and answers given in the meantime are known for what they are.
    """
    from pipeline.label_studio import send_back
    from pipeline.label_studio.connection import server_time
    from pipeline.label_studio.predictions import remove_predictions

    run = check_run(place, check_id)
    server, number = connection(place), project_id(place)
    now = parse_source(place, sync(place))
    log = reviewed.pushes(place.store)
    asked = _still_open(queue(place, run["check_id"]), now, log)
    chosen = asked.head(place.project.review.limit)
    notes = {} if place.project.review.blind else _notes(chosen)
    last: list[dict[str, Any]] = next((entry["tabs"] for entry in reversed(log) if not entry.get("begun")), [])
    views = {tab["check"]: tab["view"] for tab in last}
    version, pushed_at = _version(place, run["check_id"]), server_time(server).isoformat()
    opened = send_back.reopening(server, number, chosen["example_id"].tolist())
    overlaps = _overlaps([*log, {"overlaps": opened}])
    head = {
        "check": run["check_id"], "version": version, "blind": place.project.review.blind, "overlaps": overlaps,
        "tasks": _asked(chosen, now),
    }  # fmt: skip
    log = _record(place, log, {**head, "tabs": last}, pushed_at, begun=True)
    if place.project.review.blind:  # the page would fill in what the model said, and a second look begin with it
        remove_predictions(server, number, chosen["example_id"].tolist(), MODELS)
    tabs = []
    for check, part in chosen.groupby("check", sort=False):
        tab = send_back.push_review_queue(
            server, number, title=_title(str(check), run["check_id"], version), task_ids=part["example_id"].tolist(),
            notes=notes, view=views.pop(check, None), progress=progress,
        )  # fmt: skip
        tabs.append({"check": check, "reason": _class(str(check)), **tab})
    send_back.retire(
        server, number, views=list(views.values()), keep=chosen["example_id"].tolist(),
        overlaps={int(task): (before, since) for task, (before, since) in overlaps.items()},
    )  # fmt: skip
    told = [{name: tab[name] for name in ("check", "view")} for tab in tabs]
    _record(place, log, {**head, "tabs": told}, pushed_at, begun=False)
    url = tabs[0]["url"] if tabs else f"{server.url}/projects/{number}/data"
    shown = [{name: tab[name] for name in ("check", "reason", "view", "url", "tasks")} for tab in tabs]
    counts = {"tasks": sum(tab["tasks"] for tab in tabs), "waiting": len(asked) - len(chosen)}
    facts = {name: head[name] for name in ("check", "version", "blind")}
    return {**facts, **counts, "url": url, "tabs": shown}


def status(place: Place, progress: Progress = quiet) -> dict[str, Any]:
    """What became of every task that was queued, by an up-to-date mirror. Missing if nothing was pushed yet."""
    log = reviewed.pushes(place.store)
    if not log:
        raise Missing("Nothing was sent to review yet: run `assay review push` first.")
    source = sync(place, progress)
    now = parse_source(place, source)
    found = reviewed.outcomes(log, now.annotations, now.examples["example_id"])
    seconds = found["seconds"].dropna()
    rows = found[[name for name in reviewed.OUTCOME_COLUMNS if name != "checks"]].copy()
    rows["annotator"] = [now.users.get(who, who) for who in rows["annotator"]]
    for name in ("asked", "answer"):
        rows[name] = pd.Series([orjson.loads(value) if value else None for value in rows[name]], dtype=object)
    return {
        "source": source,
        "pushes": sum(not entry.get("begun") for entry in log),
        "last": {name: log[-1][name] for name in ("check", "version", "blind", "pushed_at")},
        "counts": {state: int((found["state"] == state).sum()) for state in reviewed.STATES},
        "reasons": [{"reason": _class(row["check"]), **row} for row in reviewed.by_check(found)],
        "minutes": round(float(seconds.sum()) / 60, 2),
        "timed": len(seconds),
        "tasks": orjson.loads(rows.to_json(orient="records")),
    }


def _still_open(asked: pd.DataFrame, now: Parsed, log: list[dict[str, Any]]) -> pd.DataFrame:
    """Without the tasks that are gone, and those that somebody has looked at since, for the same reasons."""
    there = set(now.examples["example_id"])
    found = reviewed.outcomes(log, now.annotations, there)
    looked = reviewed.reviewed(found, now.annotations)
    settled = {row.example_id: set(orjson.loads(row.checks)) for row in looked.itertuples()}
    keep = [
        row.example_id in there and not set(orjson.loads(row.checks)) <= settled.get(row.example_id, set())
        for row in asked.itertuples()
    ]
    return asked[pd.Series(keep, index=asked.index, dtype=bool)].reset_index(drop=True)


def _notes(chosen: pd.DataFrame) -> dict[int, dict[str, str]]:
    from pipeline.label_studio.send_back import REASON, SUGGESTION

    return {
        int(row.example_id): {REASON: row.reason, **({SUGGESTION: row.suggestion} if row.suggestion else {})}
        for row in chosen.itertuples()
    }


def _version(place: Place, check_id: str) -> int | None:
    """The number of the dataset version that was made from this check run."""
    from pipeline.versions import commit

    head = place.store.head(commit.LOG)
    return int(head["number"]) if head and head["check"] == check_id else None


def _class(check: str) -> str:
    return CLASSES.get(check, check.replace("_", " "))


def _title(check: str, check_id: str, version: int | None) -> str:
    """Label Studio's page shows the first 15 characters of a tab's name: the reason comes first, which tells them apart."""
    about = f"v{version}" if version else check_id[:4]
    reason = _class(check)
    return f"{reason[:1].upper()}{reason[1:]} (Assay {about})"


def _overlaps(log: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Task → its overlap before it was first opened again, and since it was last."""
    known: dict[str, list[int]] = {}
    for push in log:
        known |= {task: [known.get(task, new)[0], new[1]] for task, new in push["overlaps"].items()}
    return known


def _asked(chosen: pd.DataFrame, now: Parsed) -> list[dict[str, Any]]:
    states = reviewed.state_of(now.annotations, chosen["example_id"])
    return [
        {
            "task_id": int(row.example_id), "check": row.check, "checks": orjson.loads(row.checks), "reason": row.reason,
            "suggestion": row.suggestion, "answer": row.answer, "wrong": round(float(row.wrong), 4),
            "gain": round(float(row.gain), 4), "annotations": states[int(row.example_id)],
        }
        for row in chosen.itertuples()
    ]  # fmt: skip


def _record(
    place: Place, log: list[dict[str, Any]], body: Mapping[str, Any], pushed_at: str, *, begun: bool
) -> list[dict[str, Any]]:
    """The log with the push in it. One that changes nothing leaves no entry: what was asked first, and when, stands."""

    def essence(entry: Mapping[str, Any]) -> Any:
        tasks = [(item["task_id"], item["checks"], item["answer"]) for item in entry["tasks"]]
        told = [entry[name] for name in ("check", "version", "blind", "tabs", "overlaps")]
        return orjson.dumps([told, tasks], option=orjson.OPT_SORT_KEYS)

    if log and essence(log[-1]) == essence(body) and (begun or not log[-1].get("begun")):
        return log
    entry = {**body, "pushed_at": pushed_at, "begun": begun}
    number = place.store.append(reviewed.LOG, entry, after=log[-1]["number"] if log else 0)
    return [*log, {**entry, "number": number}]
