"""consensus: tidy tables with groups and splits, the consensus, the annotators and the agreement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
from numpy.typing import NDArray

from flows.place import Place
from flows.stages.source import parse_source
from pipeline.store import code_digest, digest, write_json
from pipeline.types import Control, FloatArray, IntArray, Parsed, Scheme

CODE = (
    "pipeline/consensus", "pipeline/reading", "pipeline/tasks", "pipeline/sources.py", "pipeline/versions/splits.py",
    "pipeline/statistics.py",
)  # fmt: skip
MODEL = ("pipeline/evidence",)
NEIGHBOURS = 15  # as in the evidence stage
DUPLICATES = ("pipeline/evidence/duplicates.py", "pipeline/evidence/minhash.py")


def consensus(place: Place, source: str) -> str:
    """Tidy tables with groups and splits, the consensus, the annotators and the agreement."""
    from pipeline import reviewed
    from pipeline.consensus.build import build

    parsed = parse_source(place, source)
    settings = place.project
    looked = reviewed.read(place.store, parsed.annotations, parsed.examples["example_id"])
    classes = place.task.classes(parsed.scheme)

    built = build(
        parsed.annotations,
        parsed.examples,
        labels=classes,
        slices=place.slices,
        users=parsed.users,
        method=settings.consensus.method,
        seed=settings.seed,
        task=place.task,
        scheme=parsed.scheme,
        model=_model(place, parsed, len(classes)),
        reviewed=dict(zip(looked["example_id"].tolist(), looked["answer"].tolist(), strict=True)),
    )
    examples = _with_splits(place, parsed, built.consensus, classes)
    frames = [frame_digest(table) for table in (examples, built.consensus, looked)]
    left, code = sorted(parsed.left.items()), code_digest(*CODE, "pipeline/reviewed.py")
    asked = [settings.consensus.model_dump(mode="json"), settings.seed, place.slices, place.template.task]
    key = digest("consensus", source, asdict(parsed.scheme), left, asked, *frames, code)

    def write(folder: Path) -> dict[str, Any]:
        for name, table in (
            ("examples", examples),
            ("annotations", parsed.annotations),
            ("results", parsed.results),
            ("consensus", built.consensus),
            ("annotators", built.annotators),
            ("quarantine", parsed.quarantine),
            ("reviewed", looked),
        ):
            table.to_parquet(folder / f"{name}.parquet", index=False)
        facts = {
            "task": place.template.task, "scheme": asdict(parsed.scheme), "classes": classes, "users": parsed.users,
            "counts": parsed.counts, "left": {str(example): side for example, side in parsed.left.items()},
        }  # fmt: skip
        write_json(folder / "facts.json", {**built.facts, **facts, "source": source})
        return {"source": source}

    place.store.publish("consensus", key, write)
    return key


def _with_splits(place: Place, parsed: Parsed, answers: pd.DataFrame, classes: tuple[str, ...]) -> pd.DataFrame:
    """Examples with `group` (what must stay together: near-duplicates, and the project's group key) and `split`, stratified
    where an answer is one of a few labels."""
    from pipeline.versions import commit
    from pipeline.versions.splits import assign, merge_groups

    examples = parsed.examples
    groups = merge_groups(_near_groups(place, examples["text"].tolist()), examples["group"])
    labels = examples[["example_id"]].merge(answers, on="example_id", how="left")["answer"]
    labels = labels if classes else labels.where(labels.isna(), "")
    head = place.store.head(commit.LOG)
    parent = commit.read(place.store, head["id"]).rows if head else None
    frozen = dict(zip(parent["example_id"], parent["split"], strict=True)) if parent is not None else {}
    shares = place.project.splits
    split = assign(
        examples, labels, groups, test=shares.test, validation=shares.validation, seed=place.project.seed, frozen=frozen
    )
    names = examples["example_id"].to_numpy()[groups].astype(str)
    return examples.assign(group=names, split=split.astype(str))


def _near_groups(place: Place, texts: list[str]) -> IntArray:
    from pipeline.evidence.duplicates import near_groups

    key = digest("near", texts, code_digest(*DUPLICATES))
    found: IntArray = _cached(place, "groups", key, lambda: near_groups(texts)[0])
    return found


def _model(place: Place, parsed: Parsed, classes: int) -> Callable[[IntArray], FloatArray] | None:
    """From a label per example (n,), -1 where there is none, to what a model says that learnt from the others': (n, K)
    out-of-sample probabilities. None where a label does not follow from the text, or project.yaml wants no model."""
    if place.task.EVIDENCE != "classes" or not classes or not place.project.consensus.model:
        return None
    from pipeline.evidence.encoder import encoder_revision
    from pipeline.versions.splits import merge_groups

    texts, model = parsed.examples["text"].tolist(), place.project.model

    def ask(labels: IntArray) -> FloatArray:
        groups = merge_groups(_near_groups(place, texts), parsed.examples["group"])
        named = (encoder_revision(model.name), model.max_length, code_digest(*MODEL))
        key = digest("said", texts, groups.tolist(), labels.tolist(), classes, *named)
        found: FloatArray = _cached(place, "said", key, lambda: _said(place, texts, groups, labels, classes))
        return found

    return ask


def _said(place: Place, texts: list[str], groups: IntArray, labels: IntArray, classes: int) -> FloatArray:
    from pipeline.evidence.embeddings import embed
    from pipeline.evidence.neighbours import nearest
    from pipeline.evidence.probabilities import out_of_sample

    model = place.project.model
    vectors = embed(place.store, model.name, texts, max_length=model.max_length)  # cached by text, for the evidence stage, too
    return out_of_sample(vectors, labels, groups, *nearest(vectors, NEIGHBOURS), classes, texts)


def _cached(place: Place, kind: str, key: str, compute: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """An array by what determines it; may be deleted at any time."""
    file = place.store.root / "cache" / kind / f"{key}.npy"
    if file.is_file():
        known: NDArray[Any] = np.load(file, allow_pickle=False)
        return known
    found = compute()
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".new.npy")
    np.save(beside, found, allow_pickle=False)
    beside.replace(file)
    return found


def frame_digest(table: pd.DataFrame) -> str:
    return digest(list(table.columns), pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())


def scheme(tables: Path) -> Scheme:
    """The scheme by which a consensus' answers were read."""
    stored = orjson.loads((tables / "facts.json").read_bytes())["scheme"]
    return Scheme(
        tuple(
            Control(
                **{
                    **one,
                    "labels": tuple(one["labels"]),
                    "paths": tuple(map(tuple, one["paths"])),
                    "settings": tuple(map(tuple, one["settings"])),
                }
            )
            for one in stored["controls"]
        ),
        tuple(stored["answer"]),
        tuple(stored["fields"]),
    )


def vocabulary(tables: Path) -> tuple[str, ...]:
    """The labels that the main control offers, also where an answer holds several of them, or none; () if it offers none."""
    from pipeline.reading.entries import choice_labels

    one = classes(tables)
    return one or tuple(choice_labels(scheme(tables).control))


def classes(tables: Path) -> tuple[str, ...]:
    """The labels, if an answer is exactly one of them; else none."""
    return tuple(orjson.loads((tables / "facts.json").read_bytes())["classes"])
