"""Ground truth: adjudicated answers into Label Studio, and the annotators against it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from flows.place import Place, connection, project_id
from flows.stages import Progress, quiet
from flows.stages.source import parse_source, sync
from pipeline import reviewed
from pipeline.errors import SourceError
from pipeline.types import Parsed

READERS = ("csv", "json", "jsonl", "parquet")


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
    examples = now.examples[now.examples["example_id"].isin(list(every))].set_index("example_id")
    given = now.annotations[now.annotations["example_id"].isin(list(every)) & ~now.annotations["cancelled"]]
    truths = [
        _truth(
            place, now, examples, given[given["example_id"] == example], example, answer, by.get(example),
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
    examples: pd.DataFrame,
    given: pd.DataFrame,
    example: int,
    answer: str,
    by: int | None,
    file: Path | None,
) -> Any:
    """An answer in Label Studio's form, with the annotations (`given`) that are it, the reviewer's (`by`) first. SourceError if
    the task or the answer is not one of this project's."""
    from pipeline.label_studio.truth import Truth
    from pipeline.reading.results import read_items

    where = f"{file}: example {example}" if file else f"The reviewed answer of example {example}"
    if example not in examples.index:
        raise SourceError(f"{where} is not a task of this project: ids are Label Studio's task ids.")
    same = given.loc[given["answer"] == answer, "annotation_id"].tolist()
    if same:
        return Truth(example, [], tuple(sorted(same, key=lambda number: (number != by, number))))
    record = {"id": example, "data": orjson.loads(examples.loc[example, "data"])}
    try:
        result = place.task.to_result(orjson.loads(answer), now.scheme, record)
        items, problems = read_items(result, now.scheme.controls, record["data"])
        if problems:
            raise ValueError(problems[0].reason)
        if place.task.parse(items, now.scheme, record) != orjson.loads(answer):
            raise ValueError("it does not come back as it was given")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SourceError(f"{where}: {answer} is not an answer of this kind of work: {error}.") from error
    return Truth(example, result)


def _read(file: Path) -> dict[int, str]:
    """example id → answer as JSON, from a table with the columns example_id and answer. In csv and parquet an answer is JSON, as
    in the tables that a check writes, or else the text itself."""
    kind = file.suffix.lstrip(".").lower()
    if kind not in READERS:
        raise SourceError(f"{file} is none of {', '.join(READERS)}: give a table of example_id and answer.")
    try:
        rows = _rows(file, kind)
    except (OSError, ValueError) as error:
        raise SourceError(f"{file} cannot be read as {kind}: {str(error).splitlines()[0]}.") from error
    answers: dict[int, str] = {}
    for place, row in enumerate(rows, start=1):
        try:
            example, answer = int(row["example_id"]), _canonical(row["answer"], plain=kind in ("csv", "parquet"))
        except (KeyError, ValueError, TypeError) as error:
            raise SourceError(f"{file}: row {place} has no example_id (a task's number) and answer.") from error
        if answers.setdefault(example, answer) != answer:
            raise SourceError(f"{file} gives two answers for example {example}: keep one.")
    return answers


def _rows(file: Path, kind: str) -> list[Mapping[str, Any]]:
    if kind == "parquet":
        return [dict(row) for row in pd.read_parquet(file).to_dict("records")]
    if kind == "csv":
        return [dict(row) for row in pd.read_csv(file, dtype=str, keep_default_na=False).to_dict("records")]
    text = file.read_text(encoding="utf-8")
    loaded = (
        orjson.loads(text) if kind == "json" else [orjson.loads(line) for line in text.split("\n") if line.strip()]
    )
    if not isinstance(loaded, list) or not all(isinstance(row, dict) for row in loaded):
        raise ValueError("it must be a list of objects")
    return loaded


def _canonical(answer: Any, *, plain: bool) -> str:
    """As annotations.parquet holds it."""
    if plain:
        with contextlib.suppress(ValueError):
            loaded = json.loads(answer)
            answer = loaded if isinstance(loaded, (str, list, dict)) else answer
    return json.dumps(answer, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
