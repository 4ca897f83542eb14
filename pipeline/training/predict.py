"""Answers of a published adapter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson

from pipeline.errors import TrainingError
from pipeline.evidence.embeddings import encode
from pipeline.evidence.encoder import Encoder, encoder_revision, load_encoder, quiet
from pipeline.store import Store
from pipeline.training.probe import softmax
from pipeline.types import FloatArray


@dataclass(frozen=True)
class Adapter:
    encoder: Encoder  # its module is the base model with the adapter in it
    weight: FloatArray  # (K, d)
    bias: FloatArray  # (K,)
    labels: tuple[str, ...]
    manifest: dict[str, Any]


def adapter_manifest(store: Store, adapter_id: str) -> dict[str, Any]:
    """What adapter.json says: base model, version, settings, seed, packages, counts, curve. Missing, Damaged."""
    loaded: dict[str, Any] = orjson.loads((store.folder("adapters", adapter_id) / "adapter.json").read_bytes())
    return loaded


def load_adapter(store: Store, adapter_id: str, *, threads: int | None = None) -> Adapter:
    """Missing or Damaged from the store; TrainingError if the base model here is not the one it was trained on."""
    from peft import PeftModel
    from safetensors.numpy import load_file

    facts = adapter_manifest(store, adapter_id)
    if encoder_revision(facts["model"]) != facts["model_revision"]:
        raise TrainingError(
            f"Adapter {adapter_id} was trained on another revision of the model {facts['model']!r} than the one installed "
            "here: install that one, or train again."
        )
    folder = store.folder("adapters", adapter_id)
    base = load_encoder(facts["model"], max_length=facts["settings"]["max_length"], threads=threads)
    with quiet():
        module = PeftModel.from_pretrained(base.module, folder).eval()
    head = load_file(folder / "head.safetensors")
    return Adapter(replace(base, module=module), head["weight"], head["bias"], tuple(facts["labels"]), facts)


def predict(
    store: Store,
    adapter_id: str,
    texts: Sequence[str],
    *,
    threads: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[str], FloatArray]:
    """Labels, and (n, K) float32 probabilities in the order of the manifest's labels. A blank text gets what the head
    says without any evidence. `progress` counts distinct texts."""
    if not texts:
        return [], np.zeros((0, len(adapter_manifest(store, adapter_id)["labels"])), dtype=np.float32)
    adapter = load_adapter(store, adapter_id, threads=threads)
    vectors = encode(adapter.encoder, texts, progress)
    probabilities = softmax(vectors @ adapter.weight.T + adapter.bias)
    return [adapter.labels[best] for best in probabilities.argmax(axis=1)], probabilities
