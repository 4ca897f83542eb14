"""evidence: what is dear to compute, once; and the corpus that the checks are asked about."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

from flows.place import Place
from flows.stages import Progress, quiet
from flows.stages.agreeing import classes, scheme, vocabulary
from pipeline.store import code_digest, digest
from pipeline.types import SUGGESTION_COLUMNS, Corpus, Evidence, FloatArray, IntArray, Words

NEIGHBOURS = 15  # ten vote (see probabilities.py); the rest make up for copies of the row itself


def evidence(place: Place, consensus_key: str, progress: Progress = quiet) -> str:
    """Embeddings (cached by text), nearest neighbours, and what a model that did not see an answer says of it."""
    from pipeline.evidence.encoder import encoder_revision

    model = place.project.model
    code = code_digest("pipeline/evidence", "pipeline/bias/counterfactual.py", "pipeline/bias/identity_terms.yaml")
    reader = _reader(place)
    key = digest("evidence", consensus_key, encoder_revision(model.name), model.max_length, reader, place.project.seed, code)

    def write(folder: Path) -> None:
        tables = place.store.folder("consensus", consensus_key)
        for name, arrays in _arrays(place, tables, progress).items():
            np.savez(folder / f"{name}.npz", **arrays)
        signals = _signals(place, tables, progress)
        if signals is not None:
            signals.to_parquet(folder / "signals.parquet", index=False)

    place.store.publish("evidence", key, write)
    return key


def _arrays(place: Place, tables: Path, progress: Progress) -> dict[str, dict[str, Any]]:
    """File → its arrays."""
    from pipeline.bias.counterfactual import texts as sentences_about_groups
    from pipeline.evidence.neighbours import nearest
    from pipeline.evidence.words import word_evidence

    examples = pd.read_parquet(tables / "examples.parquet")
    texts, groups = examples["text"].tolist(), examples["group"].astype("int64").to_numpy()
    vectors = _embed(place, texts, progress)
    neighbours, similarities = nearest(vectors, NEIGHBOURS)
    answers = _answers(tables, examples)
    probabilities = _probabilities(place, tables, answers, vectors, groups, neighbours, similarities, texts)
    base = {"embeddings": vectors, "probabilities": probabilities, "neighbours": neighbours, "similarities": similarities}
    if place.task.EVIDENCE == "classes":
        base["templates"] = _embed(place, sentences_about_groups(), quiet)
    found: dict[str, dict[str, Any]] = {"evidence": base}
    if place.task.EVIDENCE == "words":
        model = place.project.model
        labels = vocabulary(tables)
        words = word_evidence(
            place.store, model.name, texts, answers, groups, labels, max_length=model.max_length,
            seed=place.project.seed, progress=progress,
        )  # fmt: skip
        if words is not None:
            found["words"] = vars(words)
    if place.task.EVIDENCE == "written":
        found["written"] = {"vectors": _embed(place, _written(place, answers), progress)}
    return found


def _embed(place: Place, texts: list[str], progress: Progress) -> FloatArray:
    from pipeline.evidence.embeddings import embed

    model = place.project.model
    return embed(place.store, model.name, texts, max_length=model.max_length, progress=progress)


def _answers(tables: Path, examples: pd.DataFrame) -> list[Any]:
    """The consensus of each example, None where there is none."""
    given = pd.read_parquet(tables / "consensus.parquet", columns=["example_id", "answer"])
    known = {example: orjson.loads(answer) for example, answer in zip(given["example_id"], given["answer"], strict=True)}
    return [known.get(example) for example in examples["example_id"]]


def _written(place: Place, answers: list[Any]) -> list[str]:
    return ["" if answer is None else str(place.task.written(answer)) for answer in answers]


def _probabilities(
    place: Place, tables: Path, answers: list[Any], vectors: FloatArray, groups: IntArray, neighbours: IntArray,
    similarities: FloatArray, texts: list[str],
) -> FloatArray:  # fmt: skip
    """(n, K); K is 0 where no model can say anything about labels."""
    from pipeline.evidence.multi_label import out_of_sample_sets
    from pipeline.evidence.probabilities import out_of_sample

    labels = vocabulary(tables)
    if place.task.EVIDENCE == "classes":
        numbers = {label: number for number, label in enumerate(labels)}
        given = np.array([-1 if answer is None else numbers.get(answer, -1) for answer in answers], np.int64)
        return out_of_sample(vectors, given, groups, neighbours, similarities, len(labels), texts)
    if place.task.EVIDENCE == "sets":
        known = np.array([answer is not None for answer in answers])
        sets = np.array([[label in (answer or ()) for label in labels] for answer in answers], bool)
        return out_of_sample_sets(
            vectors, sets.reshape(len(answers), len(labels)), known, groups, neighbours, similarities, texts
        )
    return np.zeros((len(answers), 0), np.float32)


def _signals(place: Place, tables: Path, progress: Progress) -> pd.DataFrame | None:
    from pipeline.evidence.signals import signals

    if place.task.EVIDENCE != "written":
        return None
    examples = pd.read_parquet(tables / "examples.parquet")
    written = _written(place, _answers(tables, examples))
    model = place.project.model
    return signals(
        place.store, examples["text"].tolist(), written, model=model.language_model, limit=model.language_model_answers,
        progress=progress,
    )  # fmt: skip


def _reader(place: Place) -> tuple[str, int] | None:
    """What of the language model the evidence depends on, where there is one and something written for it."""
    from pipeline.evidence.language_model import language_model_revision

    model = place.project.model
    if place.task.EVIDENCE != "written" or model.language_model is None:
        return None
    return language_model_revision(model.language_model), model.language_model_answers


def corpus(place: Place, consensus_key: str, evidence_key: str) -> Corpus:
    """What the checks are asked about."""
    tables = place.store.folder("consensus", consensus_key)
    annotations = answered(tables)
    facts = orjson.loads((tables / "facts.json").read_bytes())
    return Corpus(
        examples=pd.read_parquet(tables / "examples.parquet"),
        annotations=annotations,
        consensus=pd.read_parquet(tables / "consensus.parquet"),
        annotators=pd.read_parquet(tables / "annotators.parquet"),
        labels=classes(tables),
        slices=place.slices,
        evidence=_read(place.store.folder("evidence", evidence_key)),
        seed=place.project.seed,
        task=place.template.task,
        scheme=scheme(tables),
        vocabulary=vocabulary(tables),
        people=people(place, facts["users"]),
        suggestions=suggestions(place, annotations),
        left={int(example): side for example, side in facts["left"].items()},
    )


def answered(tables: Path) -> pd.DataFrame:
    """The annotations of a consensus' folder that hold an answer."""
    annotations = pd.read_parquet(tables / "annotations.parquet")
    return annotations[(annotations["answer"] != "") & ~annotations["cancelled"]].reset_index(drop=True)


def _read(folder: Path) -> Evidence:
    def load(name: str) -> dict[str, Any] | None:
        file = folder / f"{name}.npz"
        if not file.is_file():
            return None
        with np.load(file, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}

    base, words, written = load("evidence") or {}, load("words"), load("written")
    file = folder / "signals.parquet"
    return Evidence(
        **base,
        words=Words(**words) if words else None,
        written=written["vectors"] if written else None,
        signals=pd.read_parquet(file) if file.is_file() else None,
    )


def people(place: Place, users: Mapping[str, str]) -> pd.DataFrame:
    """What project.yaml's `annotators` file says about people: annotator (the id), then a column per attribute, as text.
    users: id → address or name; the file may name people either way."""
    from flows.tables import read_rows
    from pipeline.errors import SourceError

    if place.project.annotators is None:
        return pd.DataFrame({"annotator": pd.Series(dtype="str")})
    file = place.folder / place.project.annotators
    table = pd.DataFrame(read_rows(file)).astype("str")
    if "annotator" not in table.columns:
        raise SourceError(f"{file} has no column `annotator` with the ids or addresses of people; it has {', '.join(table)}.")
    table["annotator"] = table["annotator"].replace({name: key for key, name in users.items()})
    if table["annotator"].duplicated().any():
        twice = table.loc[table["annotator"].duplicated(), "annotator"].iloc[0]
        raise SourceError(f"{file} names the annotator {twice!r} twice.")
    return table.sort_values("annotator", ignore_index=True)


def suggestions(place: Place, annotations: pd.DataFrame) -> pd.DataFrame:
    """What was shown to annotators, or held back from them, before they answered: SUGGESTION_COLUMNS, the newest of each. Only
    where somebody answered: what waits for an answer says nothing yet, and must not ask every check anew."""
    from flows.stages.predicting import LOG

    answered = set(annotations["example_id"])
    entries = [place.store.read(entry) for entry in place.store.entries(LOG)]
    rows = {
        row["task"]: (row["task"], orjson.dumps(row["answer"]).decode(), row["held_back"], entry["pushed_at"])
        for entry in entries
        for row in entry["rows"]
        if row["task"] in answered
    }
    table = pd.DataFrame(list(rows.values()), columns=list(SUGGESTION_COLUMNS))
    return table.sort_values("example_id", ignore_index=True)
