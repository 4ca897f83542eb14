"""What became of the examples that were sent to review: a log of what was asked, compared with the answers as they are now.

Each push of a queue is an entry of the log `reviews` in the store, with the annotations of each task as they were then. A
review answer is an annotation of a queued task that was not there at the push, or that says something else than it did,
or on which its annotator has spent more time since. One that was brought home from an annotator's own queue since is none: he was
asked for an answer like any other, not to look again. A mark of ground truth alone is none: it changes an annotation's date, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import pandas as pd

from pipeline.consensus.truth import truths
from pipeline.statistics import wilson
from pipeline.store import Store
from pipeline.types import REVIEWED_COLUMNS

LOG = "reviews"
OUTCOME_COLUMNS = (
    "push", "example_id", "check", "checks", "asked", "state", "answer", "annotation_id", "annotator", "updated_at",
    "seconds",
)  # fmt: skip
STATES = ("corrected", "confirmed", "open", "withdrawn", "deleted")
Annotation = dict[str, Any]  # id, answer, updated_at, seconds, annotator, imported


def pushes(store: Store) -> list[dict[str, Any]]:
    """The log's entries, oldest first, with their `number`."""
    return [{**store.read(entry), "number": int(entry.stem)} for entry in store.entries(LOG)]


def state_of(annotations: pd.DataFrame, examples: Iterable[int]) -> dict[int, list[Annotation]]:
    """example id → its answers (neither cancelled nor empty) as they are, for the log."""
    states: dict[int, list[Annotation]] = {int(example): [] for example in examples}
    given = annotations[(annotations["answer"] != "") & ~annotations["cancelled"]]
    given = given[given["example_id"].isin(list(states))]
    for row in given.itertuples():
        seconds = None if np.isnan(row.seconds) else float(row.seconds)
        states[int(row.example_id)].append(
            {"id": int(row.annotation_id), "answer": row.answer, "updated_at": row.updated_at, "seconds": seconds,
             "annotator": row.annotator, "imported": bool(row.imported)}
        )  # fmt: skip
    return states


def outcomes(log: Sequence[Mapping[str, Any]], annotations: pd.DataFrame, there: Iterable[int]) -> pd.DataFrame:
    """OUTCOME_COLUMNS: one row per push and task, but for those that a later push asked about again unanswered.

    `there`: the examples that exist. state: corrected (the last review answer differs from the consensus that was asked about),
    confirmed (it equals it), open, withdrawn (not answered, and not in the newest queue any more), deleted. seconds: the time
    spent on the review, NaN if it is not known.
    """
    asked: dict[int, list[tuple[int, Mapping[str, Any]]]] = {}
    for push in log:
        for item in push["tasks"]:
            asked.setdefault(int(item["task_id"]), []).append((push["number"], item))
    existing, now = set(there), state_of(annotations, asked)
    newest = {int(item["task_id"]) for item in log[-1]["tasks"]} if log else set()
    rows = []
    for example, times in asked.items():
        for place, (number, item) in enumerate(times):
            last = place == len(times) - 1
            after = now[example] if last else times[place + 1][1]["annotations"]
            given = _review_answer(item["annotations"], after)
            if given is None and not last:
                continue
            rows.append((number, example, item["check"], orjson.dumps(item["checks"]).decode(), item["answer"],
                         *_outcome(item, given, example in existing, example in newest)))  # fmt: skip
    table = pd.DataFrame(rows, columns=list(OUTCOME_COLUMNS)).astype({"seconds": "float64"})
    return table.sort_values(["push", "example_id"], ignore_index=True)


def _review_answer(before: Sequence[Annotation], after: Sequence[Annotation]) -> Annotation | None:
    """The last review answer, with the seconds that were spent on it."""
    known = {item["id"]: item for item in before}
    given = []
    for item in after:
        was = known.get(item["id"])
        more = (item["seconds"] or 0.0) - ((was["seconds"] or 0.0) if was else 0.0)
        if was is None and item["imported"]:
            continue
        if was is None or was["answer"] != item["answer"] or more > 0:
            given.append({**item, "seconds": more if more > 0 else None})
    return max(given, key=lambda item: (item["updated_at"], item["id"]), default=None)


def _outcome(item: Mapping[str, Any], given: Annotation | None, exists: bool, asked: bool) -> tuple[Any, ...]:
    if given is None or not exists:
        return ("deleted" if not exists else "open" if asked else "withdrawn", "", -1, "", "", None)
    state = "confirmed" if given["answer"] == item["answer"] else "corrected"
    return state, given["answer"], given["id"], given["annotator"], given["updated_at"], given["seconds"]


def reviewed(found: pd.DataFrame, annotations: pd.DataFrame) -> pd.DataFrame:
    """REVIEWED_COLUMNS: the last review answer of each example, with every check that this answer settles (JSON list). Ground
    truth that somebody set later on another answer overrules it: such a row is left out."""
    done = found[found["state"].isin(["corrected", "confirmed"])]
    rows = []
    for _, part in done.groupby("example_id", sort=True):
        last = part.iloc[-1]
        same = part[part["answer"] == last["answer"]]
        checks = sorted({check for stored in same["checks"] for check in orjson.loads(stored)})
        rows.append(
            {
                "example_id": last["example_id"], "answer": last["answer"], "outcome": last["state"], "asked": last["asked"],
                "checks": orjson.dumps(checks).decode(), "annotation_id": last["annotation_id"],
                "annotator": last["annotator"], "updated_at": last["updated_at"],
            }
        )  # fmt: skip
    table = pd.DataFrame(rows, columns=list(REVIEWED_COLUMNS)).astype({"example_id": "int64", "annotation_id": "int64"})
    truth = table[["example_id"]].merge(truths(annotations), on="example_id", how="left")
    later = (truth["updated_at"] > table["updated_at"]) & (truth["answer"] != table["answer"]) & truth["answer"].notna()
    return table[~later.to_numpy(bool)].reset_index(drop=True)


def read(store: Store, annotations: pd.DataFrame, there: Iterable[int]) -> pd.DataFrame:
    """REVIEWED_COLUMNS by the store's log and the annotations of a source."""
    return reviewed(outcomes(pushes(store), annotations, there), annotations)


def found_right(found: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """check → (doubts that a reviewer corrected, doubts that were reviewed)."""
    done = found[found["state"].isin(["corrected", "confirmed"])]
    wrong = (done["state"] == "corrected").groupby(done["check"])
    return {str(check): (int(part.sum()), len(part)) for check, part in wrong}


def by_check(found: pd.DataFrame) -> list[dict[str, Any]]:
    """Counts of each state per check, and its precision: the share of reviewed doubts in which the answer was wrong, with its
    Wilson interval; None where nothing was reviewed."""
    right = found_right(found)
    rows = []
    for check, part in found.groupby("check", sort=True):
        corrected, done = right.get(str(check), (0, 0))
        counts = {state: int((part["state"] == state).sum()) for state in STATES}
        precision = wilson(corrected, done).as_dict() if done else None
        rows.append({"check": str(check), "queued": len(part), **counts, "precision": precision})
    return rows
