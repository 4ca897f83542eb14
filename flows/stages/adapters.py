"""train, evaluate, promote: from a version to the adapter in use."""

from __future__ import annotations

from typing import Any

import orjson
import pandas as pd

from flows.place import Place
from flows.stages import Progress, quiet
from pipeline.errors import Missing, TrainingError
from pipeline.store import write_file
from pipeline.versions.commit import Version

EVALUATION_LOG = "evaluation-log"


def training_rows(place: Place, version: str | None, labels_from: str) -> tuple[Version, pd.DataFrame]:
    """(version, rows with example_id, text, label, split, distribution). `uncleaned` takes every answered example of train and
    validation as it was before the checks, copies and leaks included. TrainingError where an answer is not one of a few labels
    that follow from the text."""
    from pipeline.versions.commit import read

    if not can_train(place):
        raise TrainingError(
            f"There is no training yet for {place.template.task.replace('_', ' ')}: an answer must be one of a few labels "
            "that follow from the text."
        )
    found = read(place.store, version)
    if labels_from == "cleaned":
        rows = found.kept("train", "validation")
    elif labels_from == "uncleaned":
        rows = found.rows[found.rows["split"].isin(["train", "validation"])]
        rows = rows.assign(label=[orjson.loads(answer) for answer in rows["answer"]])
    else:
        raise TrainingError(f"labels_from must be cleaned or uncleaned, not {labels_from!r}.")
    rows = rows.assign(distribution=rows.get("distribution", ""))  # the first versions have none
    return found, rows[["example_id", "text", "label", "split", "distribution"]].reset_index(drop=True)


def can_train(place: Place) -> bool:
    return bool(place.task.EVIDENCE == "classes")


def train(place: Place, version: str | None = None, labels_from: str = "cleaned", progress: Progress = quiet) -> str:
    """One version + one PEFT method → one adapter."""
    from pipeline.training.train import train as train_adapter

    found, rows = training_rows(place, version, labels_from)
    chosen = place.project.training
    return train_adapter(
        place.store,
        rows=rows,
        labels=found.labels,
        version=found.id,
        labels_from=labels_from,
        model=place.project.model.name,
        method=chosen.method,
        settings={"max_length": place.project.model.max_length, **chosen.settings},
        seed=place.project.seed,
        progress=progress,
    )


def evaluate(
    place: Place, version: str | None, adapter: str, uncleaned: str | None = None, progress: Progress = quiet
) -> str:
    """The adapter on the version's frozen test split, beside the base model with a linear probe, the champion, and the
    adapter trained on the uncleaned labels."""
    from pipeline.evaluation.evaluate import evaluate as evaluate_adapter
    from pipeline.evaluation.promotion import champion

    found, rows = training_rows(place, version, "cleaned")
    test = found.kept("test")[["example_id", "text", "label", *found.slices]]
    others = {"uncleaned": uncleaned} if uncleaned else {}
    current = champion(place.store)
    if current and current["adapter"] != adapter:
        others["champion"] = current["adapter"]
    key = evaluate_adapter(
        place.store,
        adapter=adapter,
        rows=test,
        slices=found.slices,
        others=others,
        base=rows,
        min_slice=place.project.promotion.min_slice,
        seed=place.project.seed,
        progress=progress,
    )
    newest = place.store.head(EVALUATION_LOG)
    if not newest or newest["evaluation"] != key:
        entry = {"evaluation": key, "adapter": adapter, "version": found.id}
        place.store.append(EVALUATION_LOG, entry, after=newest["number"] if newest else 0)
    _show(place, key, None)
    return key


def newest_evaluation(place: Place) -> str:
    newest = place.store.head(EVALUATION_LOG)
    if newest is None:
        raise Missing("Nothing was evaluated yet: run `assay evaluate` first.")
    return str(newest["evaluation"])


def evaluation(place: Place, key: str) -> dict[str, Any]:
    """evaluation.json of an evaluation."""
    body: dict[str, Any] = orjson.loads((place.store.folder("evaluations", key) / "evaluation.json").read_bytes())
    return body


def _show(place: Place, key: str, decision: dict[str, Any] | None) -> None:
    """The evaluation's page in the project folder, with the decision once there is one."""
    from pipeline.report import evaluation as page

    newest = place.store.head(EVALUATION_LOG) or {}
    context = {"project": place.project.name, "version": newest.get("version", "")}
    text = page(place.store.folder("evaluations", key), context | ({"decision": decision} if decision else {}))
    write_file(place.folder / "evaluation.html", text)


def promote(place: Place, key: str) -> dict[str, Any]:
    """Champion or not, with the reasons; see pipeline/evaluation/promotion.py for the rules."""
    from pipeline.evaluation import promotion

    rules = place.project.promotion
    decided = promotion.promote(
        place.store,
        evaluation_id=key,
        margin=rules.margin,
        slice_margin=rules.slice_margin,
        min_slice=rules.min_slice,
    )
    _show(place, key, decided)
    return decided
