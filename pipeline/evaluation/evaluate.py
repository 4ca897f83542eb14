"""An adapter beside the bare base model and its rivals, on the frozen test rows of its version: overall and by slice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

from pipeline.errors import TrainingError
from pipeline.evaluation import metrics
from pipeline.evaluation.metrics import Answers, Counts
from pipeline.evidence.embeddings import embed
from pipeline.statistics import wilson
from pipeline.store import Store, code_digest, digest, write_json
from pipeline.training.predict import adapter_manifest, predict
from pipeline.training.probe import fit_probe
from pipeline.training.train import rows_digest

Progress = Callable[[int, int], None]

CODE = ("pipeline/evaluation", "pipeline/training", "pipeline/evidence/encoder.py", "pipeline/evidence/embeddings.py")
ADAPTER, BASE = "adapter", "base"
RESERVED = (ADAPTER, BASE, "example_id", "label", "confidence")
MIN_SLICE = 20  # with 20 examples the interval of an accuracy of 0.8 spans 34 points
VISIBLE = 0.01  # a test that cannot find a difference of one point is said to be small


def evaluate(
    store: Store,
    *,
    adapter: str,
    rows: pd.DataFrame,
    base: pd.DataFrame,
    slices: tuple[str, ...] = (),
    others: Mapping[str, str] | None = None,
    min_slice: int = MIN_SLICE,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress = lambda done, total: None,
) -> str:
    """The evaluation's id; one that is published already is returned at once.

    rows: the test rows: example_id, text, label and the slice columns. base: example_id, text, label, split of the train
    and validation rows on which the model "base" is fitted, a tuned linear probe on the bare base model. others: name ->
    adapter id, such as "uncleaned" or "champion". `progress` counts test rows over all models. TrainingError without test
    rows, or where a name is taken.
    """
    rivals = dict(others or {})
    _refuse(rows, rivals)
    rows = rows.sort_values("example_id", kind="stable", ignore_index=True)
    inputs = {
        "adapter": adapter, "others": rivals, "slices": list(slices), "min_slice": min_slice, "seed": seed,
        "test_rows": digest(rows[["example_id", "text", "label", *slices]].astype(str).values.tolist()),
        "base_rows": rows_digest(base),
    }  # fmt: skip
    key = digest(inputs, code_digest(*CODE))
    if not store.has("evaluations", key):
        answers = _answers(store, adapter, rivals, base, list(rows["text"]), threads, progress)
        facts = adapter_manifest(store, adapter)
        body = {name: facts[name] for name in ("version", "labels_from", "model", "method", "seed")}
        body = {"adapter": adapter, **body, "inputs": inputs, "others": rivals}
        body |= compare(rows, answers, slices=slices, min_slice=min_slice, seed=seed, known=facts["labels"])
        store.publish("evaluations", key, lambda folder: _write(folder, body, rows, answers))
    return key


def read_evaluation(store: Store, evaluation_id: str) -> dict[str, Any]:
    """The body of evaluation.json. Missing or Damaged from the store."""
    file = store.folder("evaluations", evaluation_id) / "evaluation.json"
    loaded: dict[str, Any] = orjson.loads(file.read_bytes())
    return loaded


def _refuse(rows: pd.DataFrame, rivals: Mapping[str, str]) -> None:
    for name in rivals:
        if name in RESERVED:
            raise TrainingError(f"An evaluation cannot call a model {name!r}: that name is taken; choose another.")
    if rows.empty:
        raise TrainingError(
            "The test split is empty: label more examples, release a version with a test split, then evaluate."
        )


def _answers(
    store: Store,
    adapter: str,
    rivals: Mapping[str, str],
    base: pd.DataFrame,
    texts: list[str],
    threads: int | None,
    progress: Progress,
) -> dict[str, Answers]:
    """Everybody's answers to the same texts, the judged adapter first."""
    models = {ADAPTER: adapter, BASE: None, **rivals}
    answers: dict[str, Answers] = {}
    for place, (name, model) in enumerate(models.items()):

        def report(done: int, total: int, place: int = place) -> None:
            progress(int((place + done / total) * len(texts)), len(models) * len(texts))

        if model is None:
            answers[name] = _base_answers(store, adapter_manifest(store, adapter), base, texts, threads, report)
        elif model == adapter and name != ADAPTER:
            answers[name] = answers[ADAPTER]
        else:
            labels, probabilities = predict(store, model, texts, threads=threads, progress=report)
            answers[name] = Answers(labels, probabilities.max(axis=1))
        report(1, 1)  # also where everything was cached
    return answers


def _base_answers(
    store: Store,
    facts: Mapping[str, Any],
    base: pd.DataFrame,
    texts: list[str],
    threads: int | None,
    progress: Progress,
) -> Answers:
    filled = base[base["text"].str.strip() != ""].sort_values("example_id", kind="stable")
    parts = [filled[filled["split"] == name] for name in ("train", "validation")]
    labels = list(dict.fromkeys([*facts["labels"], *sorted(filled["label"])]))  # it may know more than an older adapter
    everything = [*parts[0]["text"], *parts[1]["text"], *texts]
    limit = facts["settings"]["max_length"]
    vectors = embed(store, facts["model"], everything, max_length=limit, threads=threads, progress=progress)
    train, validation, test = np.split(vectors, np.cumsum([len(part) for part in parts]))
    y, held_out = (pd.Categorical(part["label"], categories=labels).codes.astype(np.int64) for part in parts)
    probabilities = fit_probe(train, y, len(labels), validation=(validation, held_out)).probabilities(test)
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
    """Everything that is said about the answers: models, differences, slices, confusion, warnings.

    A difference is the value of "adapter" minus the other's: above 0 the adapter is better. All resamples are shared.
    known: the adapter's labels.
    """
    gold = [str(label) for label in rows["label"]]
    counts = metrics.bootstrap_counts(len(gold), seed=seed)
    rivals = {name: said for name, said in answers.items() if name != ADAPTER}
    differences = {name: _difference(gold, answers[ADAPTER], other, counts) for name, other in rivals.items()}
    parts = [part for name in slices for part in _slice_parts(rows, name, gold, answers, min_slice)]
    return {
        "n": len(gold),
        "level": metrics.LEVEL,
        "resamples": len(counts),
        "models": {name: _model(gold, said, counts, seed) for name, said in answers.items()},
        "differences": differences,
        "slices": parts,
        "confusion": metrics.confusion(gold, answers[ADAPTER]),
        "warnings": _warnings(gold, differences, parts, min_slice, known),
    }


def _model(gold: Sequence[str], answers: Answers, counts: Counts, seed: int) -> dict[str, Any]:
    """The accuracy's interval is Wilson's, which also holds at 0 and 1, where the bootstrap's has no width."""
    resampled = {name: metrics.point_and_resamples(name, gold, answers, counts) for name in metrics.RESAMPLED}
    return {
        "n": len(gold),
        "accuracy": wilson(metrics.right_answers(gold, answers), len(gold), metrics.LEVEL).as_dict(),
        "accuracy_bootstrap": metrics.percentile_interval(*resampled["accuracy"]).as_dict(),
        "macro_f1": metrics.percentile_interval(*resampled["macro_f1"]).as_dict(),
        "ece": metrics.calibration_interval(gold, answers, counts, seed=seed),
        "per_class": metrics.per_class(gold, answers),
    }


def _difference(gold: Sequence[str], one: Answers, other: Answers, counts: Counts) -> dict[str, Any]:
    won, lost = metrics.discordant(gold, one, other)
    result: dict[str, Any] = {
        **metrics.paired_difference(won, lost, len(gold)).as_dict(),
        "p": metrics.mcnemar(won, lost),
        "n": len(gold),
        "won": won,  # only the adapter was right
        "lost": lost,  # only the other was
        "least_difference": metrics.least_difference(won, lost, len(gold)),
    }
    for name in metrics.RESAMPLED:
        mine, its = (metrics.point_and_resamples(name, gold, answers, counts) for answers in (one, other))
        result[f"{name}_bootstrap"] = metrics.percentile_interval(mine[0] - its[0], mine[1] - its[1]).as_dict()
    return result


def _slice_parts(
    rows: pd.DataFrame, name: str, gold: Sequence[str], answers: Mapping[str, Answers], min_slice: int
) -> list[dict[str, Any]]:
    """One entry per value of the slice, in the order of the values; a missing value is "(none)"."""
    values = rows[name].astype(object).fillna("").astype(str).replace("", "(none)")
    found = []
    for value in sorted(values.unique()):
        places = np.flatnonzero(values == value)
        entry = _slice(
            [gold[place] for place in places], {m: said.take(places) for m, said in answers.items()}, min_slice
        )
        found.append({"slice": name, "value": value, **entry})
    return found


def _slice(gold: Sequence[str], answers: Mapping[str, Answers], min_slice: int) -> dict[str, Any]:
    n, models, differences = len(gold), {}, {}
    for name, said in answers.items():
        interval = wilson(metrics.right_answers(gold, said), n, metrics.LEVEL).as_dict()
        models[name] = interval if n >= min_slice else "too few"
        if name != ADAPTER:
            won, lost = metrics.discordant(gold, answers[ADAPTER], said)
            differences[name] = {**metrics.paired_difference(won, lost, n).as_dict(), "won": won, "lost": lost}
    return {"n": n, "models": models, "differences": differences}


def _warnings(
    gold: Sequence[str],
    differences: Mapping[str, Any],
    parts: Sequence[Mapping[str, Any]],
    min_slice: int,
    known: Sequence[str],
) -> list[str]:
    found = []
    least = max(item["least_difference"] for item in differences.values())
    if least > VISIBLE:
        found.append(
            f"The test split has {len(gold)} examples: differences of accuracy under {100 * least:.1f} points would "
            "mostly go unseen."
        )
    few = [f"{part['slice']} {part['value']} ({part['n']})" for part in parts if part["n"] < min_slice]
    if few:
        found.append(f"Slices with too few test examples to judge: {', '.join(few)}.")
    unseen = sorted(set(gold) - set(known))
    if unseen:
        found.append(f"Test labels that the adapter does not know and so always gets wrong: {', '.join(unseen)}.")
    missing = sorted(set(known) - set(gold))
    if missing:
        found.append(f"Labels without a test example, about which nothing is said: {', '.join(missing)}.")
    return found


def _write(folder: Path, body: dict[str, Any], rows: pd.DataFrame, answers: Mapping[str, Answers]) -> dict[str, Any]:
    write_json(folder / "evaluation.json", body)
    table = rows[["example_id", "label"]].assign(**{name: said.predicted for name, said in answers.items()})
    table.assign(confidence=answers[ADAPTER].confidence).to_parquet(folder / "predictions.parquet", index=False)
    return {name: body[name] for name in ("adapter", "version", "others", "n")}
