"""evidence: what is dear to compute, once; and the corpus that the checks are asked about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pandas as pd

from flows.place import Place
from flows.stages import Progress, quiet
from flows.stages.agreeing import classes
from pipeline.store import code_digest, digest
from pipeline.types import Corpus, Evidence, IntArray

NEIGHBOURS = 15  # ten vote (see probabilities.py); the rest make up for copies of the row itself


def evidence(place: Place, consensus_key: str, progress: Progress = quiet) -> str:
    """Embeddings (cached by text), nearest neighbours, and out-of-sample probabilities."""
    from pipeline.evidence.embeddings import embed
    from pipeline.evidence.encoder import encoder_revision
    from pipeline.evidence.neighbours import nearest
    from pipeline.evidence.probabilities import out_of_sample

    model = place.project.model
    key = digest(
        "evidence", consensus_key, encoder_revision(model.name), model.max_length, code_digest("pipeline/evidence")
    )

    def write(folder: Path) -> None:
        tables = place.store.folder("consensus", consensus_key)
        examples = pd.read_parquet(tables / "examples.parquet")
        labels = _label_numbers(examples, pd.read_parquet(tables / "consensus.parquet"), classes(tables))
        vectors = embed(
            place.store, model.name, examples["text"].tolist(), max_length=model.max_length, progress=progress
        )
        neighbours, similarities = nearest(vectors, NEIGHBOURS)
        groups = examples["group"].astype("int64").to_numpy()
        size = len(classes(tables)) if place.task.FROM_TEXT else 0
        probabilities = (
            out_of_sample(vectors, labels, groups, neighbours, similarities, size)
            if size
            else np.zeros((len(examples), 0), np.float32)
        )
        np.savez(
            folder / "evidence.npz",
            embeddings=vectors,
            probabilities=probabilities,
            neighbours=neighbours,
            similarities=similarities,
        )

    place.store.publish("evidence", key, write)
    return key


def _label_numbers(examples: pd.DataFrame, answers: pd.DataFrame, labels: tuple[str, ...]) -> IntArray:
    numbers = {orjson.dumps(label).decode(): number for number, label in enumerate(labels)}
    joined = examples[["example_id"]].merge(answers, on="example_id", how="left")["answer"]
    found: IntArray = joined.map(numbers).fillna(-1).astype("int64").to_numpy()
    return found


def corpus(place: Place, consensus_key: str, evidence_key: str) -> Corpus:
    """What the checks are asked about."""
    tables = place.store.folder("consensus", consensus_key)
    with np.load(place.store.folder("evidence", evidence_key) / "evidence.npz", allow_pickle=False) as arrays:
        found = Evidence(**{name: arrays[name] for name in arrays.files})
    annotations = pd.read_parquet(tables / "annotations.parquet")
    return Corpus(
        examples=pd.read_parquet(tables / "examples.parquet"),
        annotations=annotations[(annotations["answer"] != "") & ~annotations["cancelled"]].reset_index(drop=True),
        consensus=pd.read_parquet(tables / "consensus.parquet"),
        annotators=pd.read_parquet(tables / "annotators.parquet"),
        labels=classes(tables),
        slices=place.slices,
        evidence=found,
        seed=place.project.seed,
    )
