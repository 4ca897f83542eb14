"""Ground truth: adjudicated answers into Label Studio, and the annotators against it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from flows.place import Place, connection, project_id
from flows.stages import Progress, quiet
from flows.stages.source import parse_source, sync
from flows.stages.writing import as_result, records
from flows.tables import read_rows
from pipeline import reviewed
from pipeline.errors import SourceError
from pipeline.types import Parsed


def push(place: Place, file: Path | None = None, progress: Progress = quiet) -> dict[str, Any]:
    """Reviewed answers, and those of a file (which overrule them), become ground truth. Nothing is sent unless all can be."""
    from pipeline.label_studio.truth import push_truth

    server, number = connection(place), project_id(place)
    now = parse_source(place, sync(place))
    looked = reviewed.read(place.store, now.annotations, now.examples["example_id"])
    answers = dict(zip(looked["example_id"].tolist(), looked["answer"].tolist(), strict=True))
    told = _read(file) if file is not None else {}
    by = dict(zip(looked["example_id"].tolist(), looked["annotation_id"].tolist(), strict=True))
    every = {**answers, **told}
    there = records(place, every)
    given = now.annotations[now.annotations["example_id"].isin(list(every)) & ~now.annotations["cancelled"]]
    truths = [
        _truth(
            place, now, there.get(example), given[given["example_id"] == example], example, answer, by.get(example),
            file if example in told else None,
        )
        for example, answer in sorted(every.items())
    ]  # fmt: skip
    sent = push_truth(server, number, truths, progress=progress)
    return {**sent, "reviewed": len(answers.keys() - told.keys()), "from_file": len(told)}


def status(place: Place, progress: Progress = quiet) -> dict[str, Any]:
    """Each annotator's accuracy against ground truth, with its Wilson interval, by an up-to-date mirror.

    `doubted` says how many of the judged answers are on examples that were sent to review: those were chosen because they were
    in doubt, so that accuracy on them is lower than on the rest, which is given apart as `undoubted`.
    """
    from pipeline.consensus.build import latest_answers
    from pipeline.consensus.truth import judged, truths

    source = sync(place, progress)
    now = parse_source(place, source)
    truth = truths(now.annotations)
    table = judged(latest_answers(now.annotations), truth)
    asked = {int(item["task_id"]) for push in reviewed.pushes(place.store) for item in push["tasks"]}
    doubted = table["example_id"].isin(asked)
    rows = [
        {
            "annotator": who, "name": now.users.get(str(who), str(who)), "gold": len(part),
            "accuracy": _rate(part["right"]), "doubted": int(doubted[part.index].sum()),
            "undoubted": _rate(part["right"][~doubted[part.index]]),
        }
        for who, part in table.groupby("annotator", sort=True)
    ]  # fmt: skip
    rows.sort(key=lambda row: (row["accuracy"]["value"], row["name"]))
    return {
        "source": source, "ground_truth": len(truth), "doubted": int(truth["example_id"].isin(asked).sum()),
        "annotators": rows,
    }  # fmt: skip


def _rate(right: pd.Series) -> dict[str, float] | None:
    from pipeline.statistics import wilson

    return wilson(int(right.sum()), len(right)).as_dict() if len(right) else None


def _truth(
    place: Place,
    now: Parsed,
    record: dict[str, Any] | None,
    given: pd.DataFrame,
    example: int,
    answer: str,
    by: int | None,
    file: Path | None,
) -> Any:
    """An answer in Label Studio's form, with the annotations (`given`) that are it, the reviewer's (`by`) first. SourceError if
    the task or the answer is not one of this project's."""
    from pipeline.label_studio.truth import Truth

    where = f"{file}: example {example}" if file else f"The reviewed answer of example {example}"
    if record is None:
        raise SourceError(f"{where} is not a task of this project: ids are Label Studio's task ids.")
    same = given.loc[given["answer"] == answer, "annotation_id"].tolist()
    if same:
        return Truth(example, [], tuple(sorted(same, key=lambda number: (number != by, number))))
    try:
        return Truth(example, as_result(place, now.scheme, orjson.loads(answer), record))
    except ValueError as error:
        raise SourceError(f"{where}: {answer} is not an answer of this kind of work: {error}.") from error


def _read(file: Path) -> dict[int, str]:
    """example id → answer as JSON, from a table with the columns example_id and answer. In csv and parquet an answer is JSON, as
    in the tables that a check writes, or else the text itself."""
    answers: dict[int, str] = {}
    for place, row in enumerate(read_rows(file), start=1):
        try:
            example, answer = int(row["example_id"]), _canonical(row["answer"], plain=file.suffix.lower() in (".csv", ".parquet"))
        except (KeyError, ValueError, TypeError) as error:
            raise SourceError(f"{file}: row {place} has no example_id (a task's number) and answer.") from error
        if answers.setdefault(example, answer) != answer:
            raise SourceError(f"{file} gives two answers for example {example}: keep one.")
    return answers


def _canonical(answer: Any, *, plain: bool) -> str:
    """As annotations.parquet holds it."""
    if plain:
        with contextlib.suppress(ValueError):
            loaded = json.loads(answer)
            answer = loaded if isinstance(loaded, (str, list, dict)) else answer
    return json.dumps(answer, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
