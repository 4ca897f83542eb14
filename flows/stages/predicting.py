"""send back: the champion's answers as suggestions, a share held back, and what suggestions do to the annotators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import pandas as pd

from flows.place import Place, connection, project_id
from flows.stages import Progress, quiet
from flows.stages.agreeing import scheme
from flows.stages.checking import check_run
from flows.stages.source import parse_source, sync
from flows.stages.writing import as_result, records
from pipeline.errors import Missing, SourceError
from pipeline.store import digest
from pipeline.types import FloatArray, Parsed

LOG = "predictions"
NEXT = "Assay: label next"
MODELS = "assay-"  # how the model versions of ours begin


def push_predictions(place: Place, check_id: str | None, progress: Progress = quiet) -> dict[str, Any]:
    """The champion's answers for the tasks that nobody has labelled yet (by an up-to-date mirror), and a tab in which those from
    which the model would learn most come first.

    A share of the tasks (predictions.held_back) gets no suggestion: which ones is drawn by task id, so that it never changes.
    What the model would have said there is kept in the store, for `prediction_status`.
    """
    from pipeline.evaluation.promotion import champion
    from pipeline.label_studio.predictions import push_predictions as push
    from pipeline.label_studio.send_back import push_review_queue, remove_tab

    current = champion(place.store)
    if current is None:
        return {"created": 0, "present": 0, "reason": "there is no champion"}
    run = check_run(place, check_id)
    todo, answers, probabilities = _predicted(place, run["check_id"], current["adapter"], progress)
    tasks = [int(task) for task in todo["example_id"]]
    scores = probabilities.max(1).astype(float).round(4).tolist() if len(todo) else []
    held = {task for task in tasks if is_held_back(task, place.project.predictions.held_back, place.project.seed)}
    version = f"{MODELS}{current['adapter'][:12]}"
    rows = [
        (task, answer, score) for task, answer, score in zip(tasks, answers, scores, strict=True) if task not in held
    ]
    server, number = connection(place), project_id(place)
    made = _predictions(place, run["check_id"], rows)
    # before anything is shown: an answer given while this runs counts as given with the suggestion in sight
    _record(place, version, run["check_id"], tasks, answers, scores, held)
    sent = push(server, number, model_version=version, predictions=made, progress=progress)
    order = [tasks[row] for row in learning_order(probabilities, todo["group"].tolist())]
    tab = push_review_queue(server, number, title=NEXT, task_ids=order) if order else None
    if not order:
        remove_tab(server, number, NEXT)
    return {**sent, "held_back": len(held), "model_version": version, "tab": tab}


def _predicted(
    place: Place, check_id: str, adapter: str, progress: Progress
) -> tuple[pd.DataFrame, list[str], FloatArray]:
    """(examples that have no answer now, the adapter's answers, (n, K) probabilities)."""
    from pipeline.training.predict import predict

    examples = pd.read_parquet(place.store.folder("checks", check_id) / "examples.parquet")
    todo = unanswered(examples, parse_source(place, sync(place)))
    labels, probabilities = predict(place.store, adapter, todo["text"].tolist(), progress=progress)
    return todo, labels, probabilities


def unanswered(examples: pd.DataFrame, now: Parsed) -> pd.DataFrame:
    """Those of a check's examples that are still there, have no answer yet, and have a text. A suggestion would come too late
    for one that was answered since, and the tab would open its task again."""
    given = now.annotations[(now.annotations["answer"] != "") & ~now.annotations["cancelled"]]
    waiting = set(now.examples["example_id"]) - set(given["example_id"])
    return examples[examples["example_id"].isin(waiting) & (examples["text"].str.strip() != "")].reset_index(drop=True)


def _predictions(place: Place, check_id: str, rows: Sequence[tuple[int, str, float]]) -> list[Any]:
    """Label Studio's form of each. SourceError for an answer that the labeling configuration in force cannot hold."""
    from pipeline.label_studio.predictions import Prediction

    asked = scheme(place.store.folder("consensus", place.store.manifest("checks", check_id)["facts"]["consensus"]))
    there = records(place, [task for task, _, _ in rows])
    made = []
    for task, answer, score in rows:
        if task not in there:  # deleted in Label Studio since the check
            continue
        try:
            made.append(Prediction(task, as_result(place, asked, answer, there[task]), score))
        except ValueError as error:
            raise SourceError(f"The prediction for task {task} cannot be shown: {error}.") from error
    return made


def is_held_back(task: int, share: float, seed: int) -> bool:
    """Whether a task is labelled without a suggestion: a draw by its id alone, the same at every push and for every model."""
    return int(digest("held back", seed, int(task))[:8], 16) / 0xFFFFFFFF < share


def learning_order(probabilities: FloatArray, groups: Sequence[object]) -> list[int]:
    """Rows, those first from which the model would learn most: the smallest margin between its two best answers. The second and
    further members of a group of near-duplicates come last: they teach what the first one did.

    Source: Scheffer, Decomain and Wrobel (2001), margin sampling.
    """
    if not len(probabilities):
        return []
    ordered = np.sort(probabilities, axis=1)
    margin = ordered[:, -1] - (ordered[:, -2] if ordered.shape[1] > 1 else 0)
    seen: set[object] = set()
    first: list[int] = []
    rest: list[int] = []
    for row in np.argsort(margin, kind="stable").tolist():
        (rest if groups[row] in seen else first).append(row)
        seen.add(groups[row])
    return first + rest


def _record(
    place: Place, version: str, check_id: str, tasks: Sequence[int], answers: Sequence[str], scores: Sequence[float],
    held: set[int],
) -> None:  # fmt: skip
    """Keep what was shown and what was held back. The same push again adds nothing."""
    from pipeline.label_studio.connection import server_time

    rows = [
        {"task": task, "answer": answer, "score": score, "held_back": task in held}
        for task, answer, score in zip(tasks, answers, scores, strict=True)
    ]
    newest = place.store.head(LOG)
    if not rows or (newest and (newest["model_version"], newest["rows"]) == (version, rows)):
        return
    body = {
        "model_version": version,
        "check": check_id,
        "pushed_at": server_time(connection(place)).isoformat(),
        "rows": rows,
    }
    place.store.append(LOG, body, after=newest["number"] if newest else 0)


def prediction_status(place: Place) -> dict[str, Any]:
    """Do annotators follow suggestions, right or wrong? Among the tasks that were answered after a push: how often the answer
    equals the model's where it was shown and where it was held back; the difference is anchoring, with its interval.

    Held-back tasks are drawn at random, so the model is as often right on them: whatever more agreement there is where the
    suggestion could be seen comes from seeing it. Missing if nothing was pushed. The mirror must be in sync.
    """
    from pipeline.statistics import difference_of_shares, wilson

    entries = [place.store.read(entry) for entry in place.store.entries(LOG)]
    if not entries:
        raise Missing("No predictions were pushed yet: run `assay predict push` first.")
    answers = _answers(place)
    groups: dict[bool, list[bool]] = {False: [], True: []}
    waiting = 0
    for task, row in _first_pushes(entries).items():
        pushed = pd.Timestamp(row["pushed_at"])
        given = [item for item in answers.get(task, []) if item["created_at"] >= pushed]
        waiting += not given
        groups[row["held_back"]] += [item["answer"] == row["answer"] for item in given]
    shown, held = groups[False], groups[True]
    both = bool(shown and held)
    return {
        "pushed": len(_first_pushes(entries)),
        "waiting": waiting,
        "shown": {"answers": len(shown), **(wilson(sum(shown), len(shown)).as_dict() if shown else {})},
        "held_back": {"answers": len(held), **(wilson(sum(held), len(held)).as_dict() if held else {})},
        "anchoring": difference_of_shares(sum(shown), len(shown), sum(held), len(held)).as_dict() if both else None,
        "reason": "" if both else "Both kinds of tasks need answers before they can be compared.",
    }


def _first_pushes(entries: Sequence[Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """task → its row, with the time of the push since which the model has said this."""
    rows: dict[int, dict[str, Any]] = {}
    for entry in entries:
        for row in entry["rows"]:
            same = rows.get(row["task"])
            if same is None or same["answer"] != row["answer"]:
                rows[row["task"]] = {**row, "pushed_at": entry["pushed_at"]}
    return rows


def _answers(place: Place) -> dict[int, list[dict[str, Any]]]:
    """task → answers as the mirror has them now, each with the time at which it was given. Not those that were imported or
    brought home from an annotator's queue: there nobody saw a suggestion, held back or not."""
    newest = place.store.head("mirror")
    if newest is None:
        raise Missing("Nothing was synced yet: run `assay sync` first.")
    given = parse_source(place, f"mirror:{newest['number']}").annotations
    given = given[(given["answer"] != "") & ~given["cancelled"] & ~given["imported"]]
    found: dict[int, list[dict[str, Any]]] = {}
    for row in given.itertuples():
        known = {"answer": orjson.loads(row.answer), "created_at": pd.Timestamp(row.created_at)}
        found.setdefault(int(row.example_id), []).append(known)
    return found
