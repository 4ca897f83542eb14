"""Human evaluation: the outputs of two adapters, blind and in random order, as tasks in Label Studio; and what came of it.

Which output is which is written down in the store only, before the first task is made: nothing on the server tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from flows.place import Place, connection
from flows.stages import Progress, quiet
from pipeline.errors import ConfigError, Missing, SourceError, TrainingError, unknown
from pipeline.store import digest, write_json
from pipeline.tasks import bind, task_type
from pipeline.templates import Template, template
from pipeline.types import Scheme

KIND = "comparisons"
LOG = "comparison-log"
RESULT = "human-evaluations"
FORMS = {"pairwise": "pairwise_preference", "rating": "response_rating"}
SPLITS = ("test", "validation", "unlabelled")


@dataclass(frozen=True)
class Output:
    """One prompt with what the two said."""

    prompt: str
    a: str
    b: str


def push(
    place: Place, outputs: Sequence[Output], *, a: str, b: str, form: str = "pairwise", limit: int = 100,
    per_task: int = 1, progress: Progress = quiet,
) -> dict[str, Any]:  # fmt: skip
    """A Label Studio project of its own with blind comparison tasks; the same call again finds it and adds nothing.

    Prompts for which both said the same are counted, not asked. a, b: what the results call them. per_task: how many people
    judge each task. ConfigError for an unknown form.
    """
    from pipeline.label_studio.project import import_tasks, setup_project

    if form not in FORMS:
        raise ConfigError(unknown("form of comparison", form, FORMS))
    chosen, scheme = template(FORMS[form]), _scheme(template(FORMS[form]))
    distinct = list(dict.fromkeys(outputs))
    different = [item for item in distinct if item.a != item.b][:limit]
    if not different:
        raise SourceError(f"{a} and {b} say the same about all of {len(distinct)} prompts: there is nothing to compare.")
    tasks = list(_tasks(different, form, scheme, place.project.seed))
    same = sum(item.a == item.b for item in distinct)
    body = {"a": a, "b": b, "form": form, "same": same, "prompts": len(distinct), "tasks": [meta for _, meta in tasks]}
    key = digest("comparison", body)[:16]
    place.store.publish(KIND, key, lambda folder: write_json(folder / "comparison.json", body))
    server = connection(place)
    project = setup_project(
        server, title=f"{place.project.name[:24]}: comparison {key[:8]}", label_config=chosen.label_config,
        guidelines=chosen.guidelines, annotations_per_task=per_task,
    )  # fmt: skip
    done = import_tasks(server, project, [task for task, _ in tasks], progress=progress)
    newest = place.store.head(LOG)
    if not newest or newest["comparison"] != key:
        entry = {"comparison": key, "project": project}
        place.store.append(LOG, entry, after=newest["number"] if newest else 0)
    return {**done, "comparison": key, "project": project, "same": same, "url": f"{server.url}/projects/{project}/data"}


def _scheme(chosen: Template) -> Scheme:
    from pipeline.label_studio.label_config import read_controls

    return bind(
        task_type(chosen.task), read_controls(chosen.label_config), names=chosen.answer, fields=chosen.fields
    )


def _tasks(
    items: Sequence[Output], form: str, scheme: Scheme, seed: int
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(task, what only the store knows of it), in an order that says nothing: drawn from the content."""
    made = []
    for number, item in enumerate(items):
        if form == "pairwise":
            left = "ab"[int(digest("left", seed, item.prompt, item.a, item.b), 16) % 2]
            right = "b" if left == "a" else "a"
            data = dict(zip(scheme.fields, (item.prompt, getattr(item, left), getattr(item, right)), strict=True))
            made.append(({"data": data}, {"item": number, "left": left, "data": digest(data)}))
        else:
            for which in "ab":
                data = dict(zip(scheme.fields, (item.prompt, getattr(item, which)), strict=True))
                made.append(({"data": data}, {"item": number, "output": which, "data": digest(data)}))
    yield from sorted(made, key=lambda pair: digest("order", seed, pair[1]))


def status(place: Place, key: str | None = None) -> dict[str, Any]:
    """What people have said so far, published as an evaluation. Missing if nothing was pushed."""
    from pipeline.evaluation.human import preferences, ratings

    entry = _entry(place, key)
    body = orjson.loads((place.store.folder(KIND, entry["comparison"]) / "comparison.json").read_bytes())
    rows, quarantined = _judgements(place, entry["project"], body)
    columns = ["item", "annotator", "preferred", "left"] if body["form"] == "pairwise" else [
        "item", "annotator", "output", "dimension", "value",
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns)
    found = preferences(table) if body["form"] == "pairwise" else ratings(table, seed=place.project.seed)
    asked = {name: body[name] for name in ("a", "b", "form", "same", "prompts")}
    answered = len({(row["item"], row.get("output")) for row in rows})
    result = {
        **asked, "comparison": entry["comparison"], "project": entry["project"], "tasks": len(body["tasks"]),
        "answered": answered, "unreadable": quarantined, **found,
    }  # fmt: skip
    name = digest("human evaluation", result)[:16]
    place.store.publish(RESULT, name, lambda folder: write_json(folder / "evaluation.json", result))
    return {**result, "evaluation": name}


def _entry(place: Place, key: str | None) -> dict[str, Any]:
    bodies = [place.store.read(entry) for entry in place.store.entries(LOG)]
    if not bodies:
        raise Missing("No comparison was pushed yet: run `assay compare push` first.")
    found = [body for body in bodies if key is None or body["comparison"].startswith(key)]
    if not found:
        raise Missing(unknown("comparison", str(key), [body["comparison"] for body in bodies]))
    return found[-1]


def _judgements(place: Place, project: int, body: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """One row per answer with who is who put back, and how many records could not be read."""
    from pipeline.consensus.build import latest_answers
    from pipeline.label_studio.listing import full_pages
    from pipeline.label_studio.pull import FIELDS
    from pipeline.sources import parse

    chosen = template(FORMS[body["form"]])
    pages = full_pages(connection(place), project, include=FIELDS)
    tasks = (task for page in pages for task in page)
    parsed = parse(tasks, task=task_type(chosen.task), scheme=_scheme(chosen), source=f"comparison in project {project}")
    secret = {meta["data"]: meta for meta in body["tasks"]}
    known = {
        int(example): secret.get(digest(orjson.loads(data)))
        for example, data in zip(parsed.examples["example_id"], parsed.examples["data"], strict=True)
    }
    rows: list[dict[str, Any]] = []
    for row in latest_answers(parsed.annotations).itertuples():
        meta, answer = known[int(row.example_id)], row.label
        if meta is None:  # a task that somebody added by hand
            continue
        if body["form"] == "pairwise":
            rows.append({"item": meta["item"], "annotator": row.annotator, "left": meta["left"], "preferred": _who(answer, meta)})
        else:
            rows += [
                {"item": meta["item"], "annotator": row.annotator, "output": meta["output"], "dimension": name, "value": value}
                for name, value in answer.items()
            ]
    return rows, len(parsed.quarantine)


def _who(answer: str, meta: dict[str, Any]) -> str:
    """The task says nothing about who is who, so "a" stands for the one on the left."""
    if answer == "tie":
        return "tie"
    right = "b" if meta["left"] == "a" else "a"
    return str(meta["left"]) if answer == "a" else right


def outputs_of_adapters(
    place: Place, a: str, b: str, *, split: str = "test", progress: Progress = quiet
) -> list[Output]:
    """What two adapters say about the newest version's examples of a split, or about those that nobody has labelled."""
    from flows.stages.checking import check_run
    from pipeline.training.predict import predict
    from pipeline.versions.commit import read

    if split not in SPLITS:
        raise ConfigError(unknown("split", split, SPLITS))
    if split == "unlabelled":
        folder = place.store.folder("checks", check_run(place)["check_id"])
        examples = pd.read_parquet(folder / "examples.parquet")
        answered = set(pd.read_parquet(folder / "consensus.parquet")["example_id"])
        texts = examples.loc[~examples["example_id"].isin(answered), "text"].tolist()
    else:
        texts = read(place.store).kept(split)["text"].tolist()
    if not texts:
        raise TrainingError(f"There is no {split} example to compare outputs on.")
    first, _ = predict(place.store, adapter(place, a), texts, progress=progress)
    second, _ = predict(place.store, adapter(place, b), texts, progress=progress)
    return [Output(text, one, two) for text, one, two in zip(texts, first, second, strict=True)]


def adapter(place: Place, name: str) -> str:
    """The id of an adapter by its id, a unique beginning of it, or `champion`. Missing if there is none, or more than one."""
    from pipeline.evaluation.promotion import champion

    if name == "champion":
        current = champion(place.store)
        if current is None:
            raise Missing("There is no champion yet: run `assay promote` first.")
        return str(current["adapter"])
    folder = place.store.root / "adapters"
    there = sorted(item.name for item in folder.iterdir()) if folder.is_dir() else []
    found = [item for item in there if item.startswith(name)]
    if len(found) != 1:
        raise Missing(unknown("adapter", name, there))
    return found[0]


def outputs_of_files(a: Path, b: Path) -> list[Output]:
    """Outputs of any two models, from JSON lines with `prompt` and `output`; a prompt that one file lacks is an error."""
    first, second = _read_outputs(a), _read_outputs(b)
    lacking = sorted(first.keys() ^ second.keys())
    if lacking:
        where = b if lacking[0] in first else a
        raise SourceError(f"{where} has no output for the prompt {lacking[0][:80]!r}: both files must have the same prompts.")
    return [Output(prompt, first[prompt], second[prompt]) for prompt in first]


def _read_outputs(file: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{file} cannot be read: {error}.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
            prompt, output = row["prompt"], row["output"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise SourceError(f"{file}: line {number} is not an object with `prompt` and `output`.") from error
        if not isinstance(prompt, str) or not isinstance(output, str):
            raise SourceError(f"{file}: line {number}: `prompt` and `output` must be text.")
        if found.get(prompt, output) != output:
            raise SourceError(f"{file}: line {number}: another line has the same prompt and another output.")
        found[prompt] = output
    return found
