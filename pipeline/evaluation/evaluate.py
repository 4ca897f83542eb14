"""An adapter beside the base model and its rivals, on the frozen test rows of its version: overall and by slice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import TrainingError
from pipeline.evaluation import metrics
from pipeline.evaluation.metrics import Answers, Counts
from pipeline.evidence.embeddings import embed
from pipeline.store import Store, code_digest, digest, write_json
from pipeline.training.predict import adapter_manifest, predict
from pipeline.training.probe import fit_probe
from pipeline.training.train import rows_digest

ADAPTER, BASE = "adapter", "base"
RESERVED = (ADAPTER, BASE, "example_id", "label", "confidence")
# Below this many examples a 95 % interval of an accuracy is wider than 20 points on either side.
MIN_SLICE = 20
VISIBLE = 0.01  # a test that cannot find a difference of one point is said to be small


def evaluate(
    store: Store,
    *,
    adapter: str,
    rows: pd.DataFrame,
    training_rows: pd.DataFrame,
    slices: tuple[str, ...] = (),
    others: Mapping[str, str] | None = None,
    min_slice: int = MIN_SLICE,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[str, int, int], None] = lambda model, done, total: None,
) -> str:
    """The evaluation's id; one that is published already is returned at once.

    rows: the test rows: example_id, text, label and the slice columns. training_rows: example_id, text, label, split of
    the version; on its train and validation rows the baseline "base" is fitted, a tuned linear probe on the bare base
    model. others: name -> adapter id, such as "uncleaned" or "champion". `progress` gets a model's name and counts texts.
    TrainingError without test rows, or where a name is taken.
    """
    rivals = dict(others or {})
    for name in rivals:
        if name in RESERVED:
            raise TrainingError(f"An evaluation cannot call a model {name!r}: that name is taken; choose another.")
    if rows.empty:
        raise TrainingError(
            "The test split is empty: label more examples and release a version with a test split, then evaluate."
        )
    rows = rows.sort_values("example_id", kind="stable", ignore_index=True)
    tested = digest(rows[["example_id", "text", "label", *slices]].astype(str).values.tolist())
    inputs = {
        "adapter": adapter, "others": rivals, "test_rows": tested, "training_rows": rows_digest(training_rows),
        "slices": list(slices), "min_slice": min_slice, "seed": seed,
    }  # fmt: skip
    key = digest(inputs, code_digest())
    if store.has("evaluations", key):
        return key
    texts = list(rows["text"])
    answers = {ADAPTER: _adapter_answers(store, adapter, texts, threads, ADAPTER, progress)}
    answers[BASE] = _base_answers(store, adapter, training_rows, texts, threads, progress)
    for name, rival in rivals.items():
        answers[name] = (
            answers[ADAPTER] if rival == adapter else _adapter_answers(store, rival, texts, threads, name, progress)
        )
    facts = adapter_manifest(store, adapter)
    body = inputs | {name: facts[name] for name in ("version", "labels_from", "model", "method")}
    body |= compare(rows, answers, slices=slices, min_slice=min_slice, seed=seed, known=facts["labels"])
    store.publish("evaluations", key, lambda folder: _write(folder, body, rows, answers))
    return key


def _adapter_answers(
    store: Store,
    adapter: str,
    texts: Sequence[str],
    threads: int | None,
    name: str,
    progress: Callable[[str, int, int], None],
) -> Answers:
    labels, probabilities = predict(
        store, adapter, texts, threads=threads, progress=lambda done, total: progress(name, done, total)
    )
    return Answers(labels, probabilities.max(axis=1))


def _base_answers(
    store: Store,
    adapter: str,
    training_rows: pd.DataFrame,
    texts: Sequence[str],
    threads: int | None,
    progress: Callable[[str, int, int], None],
) -> Answers:
    facts = adapter_manifest(store, adapter)
    labels: list[str] = facts["labels"]
    filled = training_rows[training_rows["text"].str.strip() != ""].sort_values("example_id", kind="stable")
    parts = [filled[filled["split"] == name] for name in ("train", "validation")]
    everything = [*parts[0]["text"], *parts[1]["text"], *texts]
    vectors = embed(
        store, facts["model"], everything, max_length=facts["settings"]["max_length"], threads=threads,
        progress=lambda done, total: progress(BASE, done, total),
    )  # fmt: skip
    train, validation, test = np.split(vectors, np.cumsum([len(part) for part in parts]))
    y, held_out = (pd.Categorical(part["label"], categories=labels).codes.astype(np.int64) for part in parts)
    probe = fit_probe(train, y, len(labels), validation=(validation, held_out))
    probabilities = probe.probabilities(test)
    return Answers([labels[best] for best in probabilities.argmax(axis=1)], probabilities.max(axis=1))


def compare(
    rows: pd.DataFrame,
    answers: Mapping[str, Answers],
    *,
    slices: Sequence[str],
    min_slice: int,
    seed: int,
    known: Sequence[str],
) -> dict[str, Any]:
    """Everything that is said about the answers: models, differences, slices, warnings. "adapter" is who is judged.

    A difference is the adapter's value minus the other's: above 0 the adapter is better. All resamples are shared.
    """
    gold = [str(label) for label in rows["label"]]
    counts = metrics.bootstrap_counts(len(gold), seed=seed)
    differences = {
        name: _difference(gold, answers[ADAPTER], other, counts) for name, other in answers.items() if name != ADAPTER
    }
    parts = [part for name in slices for part in _slice_parts(rows, name, gold, answers, min_slice)]
    return {
        "n": len(gold),
        "level": metrics.LEVEL,
        "resamples": len(counts),
        "models": {name: _model(gold, said, counts, seed) for name, said in answers.items()},
        "differences": differences,
        "slice_results": parts,
        "warnings": _warnings(gold, differences, parts, known),
    }


def _model(gold: Sequence[str], answers: Answers, counts: Counts, seed: int) -> dict[str, Any]:
    right = sum(said == true for said, true in zip(answers.predicted, gold, strict=True))
    accuracy, f1 = (
        metrics.percentile_interval(*metrics.point_and_resamples(name, gold, answers, counts))
        for name in metrics.RESAMPLED
    )
    return {
        "accuracy": accuracy.as_dict(),
        "accuracy_wilson": metrics.wilson(right, len(gold)).as_dict(),
        "macro_f1": f1.as_dict(),
        "calibration_error": metrics.calibration_interval(gold, answers, counts, seed=seed),
        "per_class": metrics.per_class(gold, answers),
        "confusion": metrics.confusion(gold, answers),
    }


def _difference(gold: Sequence[str], one: Answers, other: Answers, counts: Counts) -> dict[str, Any]:
    won, lost = metrics.discordant(gold, one, other)
    result: dict[str, Any] = {
        "n": len(gold),
        "won": won,  # only the adapter was right
        "lost": lost,  # only the other was
        "accuracy": metrics.paired_difference(won, lost, len(gold)).as_dict(),
        "mcnemar_p": metrics.mcnemar(won, lost),
        "least_difference": metrics.least_difference(won, lost, len(gold)),
    }
    for name in metrics.RESAMPLED:
        mine, its = (metrics.point_and_resamples(name, gold, answers, counts) for answers in (one, other))
        result[f"{name}_bootstrap"] = metrics.percentile_interval(mine[0] - its[0], mine[1] - its[1]).as_dict()
    return result


def _slice_parts(
    rows: pd.DataFrame, name: str, gold: Sequence[str], answers: Mapping[str, Answers], min_slice: int
) -> list[dict[str, Any]]:
    """One entry per value of the slice, in the order of the values; no value is shown as ""."""
    values = rows[name].fillna("").astype(str)
    return [
        _slice(name, value, np.flatnonzero(values == value), gold, answers, min_slice)
        for value in sorted(values.unique())
    ]


def _slice(
    name: str,
    value: str,
    places: np.ndarray[Any, Any],
    gold: Sequence[str],
    answers: Mapping[str, Answers],
    min_slice: int,
) -> dict[str, Any]:
    true = [gold[place] for place in places]
    inside = {
        model: Answers([said.predicted[place] for place in places], said.confidence[places])
        for model, said in answers.items()
    }
    models, differences = {}, {}
    for model, said in inside.items():
        right = sum(answer == label for answer, label in zip(said.predicted, true, strict=True))
        models[model] = {"accuracy": metrics.wilson(right, len(true)).as_dict()}
        if model != ADAPTER:
            won, lost = metrics.discordant(true, inside[ADAPTER], said)
            differences[model] = {
                "won": won,
                "lost": lost,
                "accuracy": metrics.paired_difference(won, lost, len(true)).as_dict(),
            }
    n = len(true)
    return {
        "slice": name,
        "value": value,
        "n": n,
        "too_few": n < min_slice,
        "models": models,
        "differences": differences,
    }


def _warnings(
    gold: Sequence[str],
    differences: Mapping[str, Any],
    parts: Sequence[Mapping[str, Any]],
    known: Sequence[str],
) -> list[str]:
    found = []
    least = max(item["least_difference"] for item in differences.values())
    if least > VISIBLE:
        found.append(
            f"The test split has {len(gold)} examples: differences of accuracy under {100 * least:.1f} points "
            "would mostly go unseen."
        )
    few = [f"{part['slice']}={part['value']!r} ({part['n']})" for part in parts if part["too_few"]]
    if few:
        found.append(f"Slices with too few test examples to judge: {', '.join(few)}.")
    unseen = sorted(set(gold) - set(known))
    if unseen:
        found.append(f"Test labels that the adapter does not know and so always gets wrong: {', '.join(unseen)}.")
    missing = sorted(set(known) - set(gold))
    if missing:
        found.append(f"Labels without a test example, of which nothing is known: {', '.join(missing)}.")
    return found


def _write(folder: Path, body: dict[str, Any], rows: pd.DataFrame, answers: Mapping[str, Answers]) -> dict[str, Any]:
    write_json(folder / "evaluation.json", body)
    table = rows[["example_id", "label"]].assign(**{name: said.predicted for name, said in answers.items()})
    table.assign(confidence=answers[ADAPTER].confidence).to_parquet(folder / "predictions.parquet", index=False)
    return {name: body[name] for name in ("adapter", "version", "others", "n")}


def read_evaluation(store: Store, evaluation_id: str) -> dict[str, Any]:
    """The body of evaluation.json. Missing or Damaged from the store."""
    import orjson

    loaded: dict[str, Any] = orjson.loads((store.folder("evaluations", evaluation_id) / "evaluation.json").read_bytes())
    return loaded
