"""One dataset version and one PEFT method to one published adapter, named by everything that determines it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

from pipeline.errors import TrainingError, unknown
from pipeline.evidence.embeddings import encode
from pipeline.evidence.encoder import (
    PACKAGED,
    Encoder,
    encoder_revision,
    load_encoder,
    padding_id,
    plain_text,
    quiet,
    tokenize,
    use_threads,
)
from pipeline.store import Store, code_digest, digest, write_json
from pipeline.training.loop import Fitted, Rows, fit
from pipeline.training.methods import peft_config
from pipeline.training.probe import Probe, fit_probe
from pipeline.training.settings import Settings, settings_for
from pipeline.types import FloatArray, IntArray

CODE = ("pipeline/training", "pipeline/evidence/encoder.py", "pipeline/evidence/embeddings.py")
LABELS_FROM = ("cleaned", "uncleaned")
PACKAGES = ("torch", "transformers", "peft", "datasets", "scikit-learn", "numpy", "safetensors")


@dataclass(frozen=True)
class Data:
    """What is trained on: blank texts are gone, rows are in the order of their ids."""

    train: pd.DataFrame  # example_id, text, label, split, y
    validation: pd.DataFrame
    labels: tuple[str, ...]
    counts: dict[str, int]
    absent: list[str]  # labels without a training row
    notes: list[str]


def train(
    store: Store,
    *,
    rows: pd.DataFrame,
    labels: tuple[str, ...],
    version: str,
    labels_from: str,
    model: str = "minilm",
    method: str = "lora",
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> str:
    """The adapter's id; one that is published already is returned at once.

    rows: example_id, text, label, split (train, validation; others are left alone) and, for the setting soft_labels,
    distribution (JSON {label: probability}, "" to learn the label). labels_from: "cleaned" or
    "uncleaned", whose labels the rows carry. `progress` counts texts over all epochs. Two runs with one thread on one
    machine give the same bytes. TrainingError: no training rows, fewer than two classes among them, an unknown label,
    method or setting, a model that cannot be had, or a loss that is not finite; nothing is published then.
    """
    chosen = settings_for(settings or {})
    if labels_from not in LABELS_FROM:
        raise TrainingError(unknown("labels_from", labels_from, LABELS_FROM))
    config = peft_config(method, chosen)
    soft = chosen.soft_labels and "distribution" in rows
    rows = rows.assign(distribution=rows["distribution"] if soft else "")
    data = _prepare(rows, labels, chosen.max_length)
    inputs = {
        "version": version, "labels_from": labels_from, "labels": list(labels), "rows": rows_digest(rows),
        **({"soft": digest(*sorted(rows["example_id"].astype(str) + rows["distribution"]))} if soft else {}),
        "model_revision": encoder_revision(model), "method": method, "settings": asdict(chosen), "seed": seed,
    }  # fmt: skip
    key = digest(inputs, code_digest(*CODE))
    if not store.has("adapters", key):
        start = (time.perf_counter(), time.process_time())
        used = use_threads(threads)
        with _seeded(seed):
            encoder = load_encoder(model, max_length=chosen.max_length, threads=used)
            probe = _probe(encoder, data)
            module, fitted = _fit(encoder, config, data, probe, chosen, seed, progress)
        facts = inputs | {"adapter": key, "model": model, "threads": used} | _facts(data, probe, module, fitted, start)
        store.publish("adapters", key, lambda folder: _write(folder, module, fitted, encoder, facts))
    return key


def rows_digest(rows: pd.DataFrame) -> str:
    """The content of the rows, whatever their order."""
    columns = [rows[name].astype(str) for name in ("example_id", "text", "label", "split")]
    return digest(*sorted([list(row) for row in zip(*columns, strict=True)]))


def _prepare(rows: pd.DataFrame, labels: tuple[str, ...], max_length: int) -> Data:
    used = rows[rows["split"].isin(["train", "validation"])].sort_values("example_id", kind="stable")
    strange = sorted(set(used["label"]) - set(labels))
    if strange:
        raise TrainingError(
            f"The rows hold labels that the label configuration does not: {', '.join(strange[:5])}; release again."
        )
    filled = used[used["text"].str.strip() != ""]
    filled = filled.assign(
        text=[plain_text(text, max_length) for text in filled["text"]],
        y=pd.Categorical(filled["label"], categories=list(labels)).codes.astype(np.int64),
    )
    train, validation = (filled[filled["split"] == name] for name in ("train", "validation"))
    present = set(train["label"])
    if len(present) < 2:
        named = f"only the label {min(present)!r}" if present else "no rows"
        raise TrainingError(
            f"The training split holds {named}: training needs at least 2 labels; label more and release again."
        )
    known = validation[validation["label"].isin(present)]
    counts = {"train": len(train), "validation": len(known), "blank": len(used) - len(filled)}
    absent = [label for label in labels if label not in present]
    return Data(train, known, labels, counts, absent, _notes(counts, absent, len(validation)))


def _notes(counts: dict[str, int], absent: list[str], validation: int) -> list[str]:
    notes = []
    if not counts["validation"]:
        notes.append("There are no validation rows: all epochs were run, and nothing was tuned or stopped early.")
    if absent:
        notes.append(f"Labels without a training row, which the adapter never answers: {', '.join(absent)}.")
    if validation > counts["validation"]:
        notes.append(f"{validation - counts['validation']} validation rows with such labels were left out.")
    if counts["blank"]:
        notes.append(f"{counts['blank']} rows with a blank text were left out.")
    return notes


def _probe(encoder: Encoder, data: Data) -> Probe:
    """Not on cached embeddings: their last bits depend on what they were once computed with, and the adapter's would too."""
    vectors = encode(encoder, [*data.train["text"], *data.validation["text"]])
    cut = len(data.train)
    held_out = (vectors[cut:], _classes(data.validation)) if len(data.validation) else None
    return fit_probe(vectors[:cut], _classes(data.train), len(data.labels), validation=held_out)


def _fit(
    encoder: Encoder, config: Any, data: Data, probe: Probe, settings: Settings, seed: int,
    progress: Callable[[int, int], None],
) -> tuple[Any, Fitted]:  # fmt: skip
    from peft import get_peft_model

    with quiet():
        module = get_peft_model(encoder.module, config)
    rows = tokenized(encoder, data.train)
    if settings.soft_labels:
        rows = replace(rows, soft=_soft(data))
    fitted = fit(
        module, probe, rows, tokenized(encoder, data.validation),
        padding=padding_id(encoder), settings=settings, seed=seed, progress=progress,
    )  # fmt: skip
    return module, fitted


def _soft(data: Data) -> FloatArray:
    """(n, K) float32: the distribution of each training row over the labels that have a training row; its label where the
    version has none."""
    numbers = {label: number for number, label in enumerate(data.labels)}
    target = np.zeros((len(data.train), len(data.labels)), dtype=np.float32)
    for row, (label, distribution) in enumerate(zip(data.train["y"], data.train["distribution"], strict=True)):
        shares = {numbers[name]: p for name, p in orjson.loads(distribution or "{}").items() if name not in data.absent}
        for number, p in (shares if sum(shares.values()) > 0 else {int(label): 1.0}).items():
            target[row, number] = p
    soft: FloatArray = target / target.sum(axis=1, keepdims=True)
    return soft


def tokenized(encoder: Encoder, frame: pd.DataFrame) -> Rows:
    """Through `datasets`, in memory: nothing is written to its cache folder, and it shows no bars of its own."""
    import datasets

    if frame.empty:
        return Rows([], np.zeros(0, dtype=np.int64))
    shown = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        table = datasets.Dataset.from_pandas(frame[["text", "y"]], preserve_index=False).map(
            lambda batch: {"input_ids": tokenize(encoder, batch["text"])},
            batched=True, remove_columns=["text"], keep_in_memory=True, load_from_cache_file=False,
            new_fingerprint=digest(encoder.revision, len(frame)),  # otherwise the tokenizer is pickled to make one
        )  # fmt: skip
    finally:
        if not shown:
            datasets.enable_progress_bars()
    return Rows(list(table["input_ids"]), np.asarray(table["y"], dtype=np.int64))


def _classes(frame: pd.DataFrame) -> IntArray:
    classes: IntArray = frame["y"].to_numpy(dtype=np.int64)
    return classes


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch for what is inside; the caller's random state comes back."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def _facts(data: Data, probe: Probe, module: Any, fitted: Fitted, start: tuple[float, float]) -> dict[str, Any]:
    from importlib.metadata import version

    trainable = sum(weights.numel() for weights in module.parameters() if weights.requires_grad)
    total = sum(weights.numel() for weights in module.parameters())
    return {
        "counts": data.counts,
        "absent_labels": data.absent,
        "notes": data.notes,
        "probe": {"penalty": probe.penalty, "validation_loss": probe.validation_loss},
        "best_epoch": fitted.best_epoch,
        "temperature": fitted.temperature,
        "steps": fitted.steps,
        "curve": fitted.curve,
        "trainable_parameters": trainable,
        "trainable_share": trainable / (total - trainable),  # of the encoder's own
        "head_parameters": fitted.weight.size + fitted.bias.size,
        "seconds": round(time.perf_counter() - start[0], 2),
        "cpu_seconds": round(time.process_time() - start[1], 2),
        "peak_memory_mb": peak_memory_mb(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def peak_memory_mb() -> float:
    """The most memory this process ever held, in MB; on a GPU, the most that torch held there."""
    import resource
    import sys

    import torch

    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 1e6, 1)
    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kilobytes elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def _write(folder: Path, module: Any, fitted: Fitted, encoder: Encoder, facts: dict[str, Any]) -> dict[str, Any]:
    from safetensors.numpy import save_file

    config = module.peft_config["default"]
    config.base_model_name_or_path = PACKAGED[encoder.name][2] if encoder.name in PACKAGED else encoder.name
    module.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty form; ours is adapter.json
    settings = folder / "adapter_config.json"  # peft writes sets, whose order changes from process to process
    loaded = {
        name: sorted(value) if isinstance(value, list) else value
        for name, value in orjson.loads(settings.read_bytes()).items()
    }
    write_json(settings, dict(sorted(loaded.items())))
    save_file({"weight": fitted.weight, "bias": fitted.bias}, folder / "head.safetensors")
    write_json(folder / "adapter.json", facts)
    return {
        name: facts[name]
        for name in ("version", "labels_from", "model", "model_revision", "method", "labels", "counts")
    }
