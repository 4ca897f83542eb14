"""Embeddings, computed once per text and model, whatever project or version asks.

Under `cache/embeddings/<model and max_length>/` lie immutable segments, each a safetensors file with the keys (BLAKE2b
of the text) and the vectors of some texts, named by the BLAKE2b of its bytes: a damaged or half-written segment does not
match its name, is passed over, and its texts are computed again. Any of it may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import orjson

from pipeline.evidence.encoder import (
    TOKENS_PER_BATCH,
    Encoder,
    encoder_revision,
    forward,
    load_encoder,
    model_folder,
    padding_id,
    token_batches,
    tokenize,
)
from pipeline.store import Store, digest
from pipeline.types import FloatArray

FORMAT = 1  # to be raised when pooling or the segments' layout changes
SEGMENT_TEXTS = 2048  # a killed run loses at most this much: 20 s of one core, and 3 MB a segment

Progress = Callable[[int, int], None]


def embed(
    store: Store,
    model: str,
    texts: Sequence[str],
    *,
    max_length: int = 128,
    threads: int | None = None,
    progress: Progress = lambda done, total: None,
) -> FloatArray:
    """(n, d) float32 of unit length, in the order of `texts`; a blank text is a row of zeros.

    Only texts not in the cache are computed, equal ones once; `progress` counts those. The last bits of a vector depend
    on what was in its batch (differences of 1.5e-7 were seen). bfloat16 would be 1.8 times as fast, but moves a cosine
    by up to 1e-3, which is more than separates neighbours.
    """
    keys = [_key(text) for text in texts]
    wanted = {key: text for key, text in zip(keys, texts, strict=True) if text.strip()}
    folder = segments_folder(store, model, max_length)
    known = lookup(folder, wanted)
    missing = {key: text for key, text in wanted.items() if key not in known}
    if missing:
        encoder = load_encoder(model, max_length=max_length, threads=threads)
        for part in _compute(encoder, missing, progress):
            write_segment(folder, part)
            known |= part
    zero = np.zeros(_dimension(model, known), dtype=np.float32)
    return np.stack([known.get(key, zero) for key in keys]) if keys else np.zeros((0, len(zero)), np.float32)


def segments_folder(store: Store, model: str, max_length: int) -> Path:
    return store.root / "cache" / "embeddings" / digest(encoder_revision(model), max_length, FORMAT)


def encode(encoder: Encoder, texts: Sequence[str], progress: Progress = lambda done, total: None) -> FloatArray:
    """(n, d) float32 of unit length, computed now; blank texts are rows of zeros, as in `embed`."""
    unique = {_key(text): text for text in texts if text.strip()}
    vectors: dict[bytes, FloatArray] = {}
    for part in _compute(encoder, unique, progress):
        vectors |= part
    zero = np.zeros(encoder.dimension, dtype=np.float32)
    return np.array([vectors.get(_key(text), zero) for text in texts], dtype=np.float32).reshape(-1, encoder.dimension)


def _compute(encoder: Encoder, texts: dict[bytes, str], progress: Progress) -> Iterator[dict[bytes, FloatArray]]:
    """Vectors by key, in parts of about SEGMENT_TEXTS."""
    import torch

    keys, ids = list(texts), tokenize(encoder, list(texts.values()))
    part: dict[bytes, FloatArray] = {}
    done = 0
    for batch in token_batches([len(row) for row in ids], TOKENS_PER_BATCH):
        with torch.inference_mode():
            vectors = forward(encoder.module, [ids[index] for index in batch], padding_id(encoder)).cpu().numpy()
        part |= {keys[index]: vector for index, vector in zip(batch, vectors, strict=True)}
        done += len(batch)
        progress(done, len(keys))
        if len(part) >= SEGMENT_TEXTS:
            yield part
            part = {}
    if part:
        yield part


def lookup(folder: Path, wanted: Collection[bytes]) -> dict[bytes, FloatArray]:
    """What the segments hold of the wanted keys."""
    found: dict[bytes, FloatArray] = {}
    for segment in sorted(folder.glob("*.safetensors")):
        keys, vectors = read_segment(segment)
        found |= {key: vectors[row] for row, key in enumerate(keys) if key in wanted}
    return found


def read_segment(segment: Path) -> tuple[list[bytes], FloatArray]:
    """Keys and (n, d) vectors; both empty if the file is damaged or gone."""
    from safetensors.numpy import load

    try:
        data = segment.read_bytes()
    except FileNotFoundError:  # the cache may be deleted at any time, also now
        data = b""
    if hashlib.blake2b(data, digest_size=16).hexdigest() != segment.stem:
        return [], np.zeros((0, 0), dtype=np.float32)
    tensors = load(data)
    return [row.tobytes() for row in tensors["keys"]], tensors["vectors"]


def write_segment(folder: Path, part: dict[bytes, FloatArray]) -> None:
    """Vectors of one length by key, as a segment of its own."""
    from safetensors.numpy import save

    keys = np.frombuffer(b"".join(part), dtype=np.uint8).reshape(len(part), -1)
    data = save({"keys": keys, "vectors": np.stack(list(part.values()))})
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{uuid.uuid4().hex}"
    beside.write_bytes(data)
    os.replace(beside, folder / f"{hashlib.blake2b(data, digest_size=16).hexdigest()}.safetensors")


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _dimension(model: str, known: dict[bytes, FloatArray]) -> int:
    for vector in known.values():
        return len(vector)
    size: int = orjson.loads((model_folder(model) / "config.json").read_bytes())["hidden_size"]
    return size  # nothing but blank texts
