"""Vectors of words in their context, computed once per text and model, whatever project or version asks.

From frozen layers at a third, two thirds and the end of the encoder (a probe on MiniLM's layers 2, 4 and 6 ranks wrong labels
better than one on the last: average precision .20 against .07 on CrossNER), the mean over a word's pieces. Texts longer than the
encoder reads are read in windows that overlap; a word is taken from the window that shows most around it.

One byte a number, with a scale for each layer of each word: 1.2 KB a word with MiniLM, 290 MB for 10,000 sentences of 25 words;
the ranking is the same as with float16 (.653 and .653), while a random projection to 384 numbers loses a fifth (.40 to .32).
Segments as in `embeddings.py`, under `cache/words/<model and max_length>/`: any may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.evidence.encoder import (
    TOKENS_PER_BATCH,
    Encoder,
    device,
    encoder_revision,
    load_encoder,
    padding_id,
    token_batches,
)
from pipeline.evidence.segmentation import words_of
from pipeline.store import Store, digest
from pipeline.types import FloatArray, IntArray

FORMAT = 1  # to be raised when layers, segmentation or the segments' layout change
SEGMENT_WORDS = 16_384  # a killed run loses at most this much: 6 s of one core, and 19 MB a segment
OVERLAP = 4  # windows share a fourth of their tokens, so that a word has at least an eighth of a window on either side

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Vectors:
    """m words of one text or of many, one after the other. small: (m, L, d) whole numbers from -127 to 127; scale: (m, L)."""

    small: NDArray[np.int8]
    scale: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.small)

    def whole(self, rows: IntArray) -> FloatArray:
        """(r, L · d) as they were, to within 1 part in 254 of each layer's largest number."""
        part = self.small[rows].astype(np.float32) * self.scale[rows][:, :, None]
        return part.reshape(len(part), -1)


def word_vectors(
    store: Store, model: str, texts: Sequence[str], *, max_length: int = 128, progress: Progress = lambda done, total: None
) -> list[Vectors] | None:
    """For each text the vectors of `words_of(text)`; None if the model's tokenizer cannot say where its pieces lie.

    Only texts not in the cache are computed, equal ones once; `progress` counts those.
    """
    keys = [_key(text) for text in texts]
    wanted = dict(zip(keys, texts, strict=True))
    folder = store.root / "cache" / "words" / digest(encoder_revision(model), max_length, FORMAT)
    known = _lookup(folder, wanted)
    missing = {key: text for key, text in wanted.items() if key not in known}
    if missing:
        encoder = load_encoder(model, max_length=max_length)
        if not encoder.tokenizer.is_fast:
            return None
        for part in _compute(encoder, missing, progress):
            _write(folder, part)
            known |= part
    return [known[key] for key in keys]


@dataclass(frozen=True)
class _Window:
    text: int
    ids: list[int]
    pieces: IntArray  # (t, 2) where each token lies in the text; empty for the special ones


def _compute(encoder: Encoder, texts: dict[bytes, str], progress: Progress) -> Iterator[dict[bytes, Vectors]]:
    """Vectors by key, in parts of about SEGMENT_WORDS, in the order of the texts."""
    keys, part, size, done = list(texts), {}, 0, 0
    for chunk in _chunks(list(texts.values())):
        for vectors in _vectors(encoder, [texts[keys[place]] for place in chunk]):
            part[keys[done]] = vectors
            size, done = size + len(vectors), done + 1
        progress(done, len(keys))
        if size >= SEGMENT_WORDS:
            yield part
            part, size = {}, 0
    if part:
        yield part


def _chunks(texts: Sequence[str]) -> Iterator[range]:
    """Runs of texts that are read together: up to 100,000 characters, about a segment, or one text."""
    start, size = 0, 0
    for place, text in enumerate(texts):
        if place > start and size + len(text) > 100_000:
            yield range(start, place)
            start, size = place, 0
        size += len(text)
    if start < len(texts):
        yield range(start, len(texts))


def _vectors(encoder: Encoder, texts: Sequence[str]) -> list[Vectors]:
    words = [words_of(text) for text in texts]
    windows = _windows(encoder, texts)
    layers = _layers(encoder)
    found = [np.zeros((len(places), len(layers), encoder.dimension), np.float32) for places in words]
    room = [np.full(len(places), -1, np.int64) for places in words]  # tokens to the nearer end of the window it is taken from
    for batch in token_batches([len(window.ids) for window in windows], TOKENS_PER_BATCH):
        hidden = _hidden(encoder, [windows[index].ids for index in batch], layers)
        for index, states in zip(batch, hidden, strict=True):
            window = windows[index]
            _place(window, states[: len(window.ids)], words[window.text], found[window.text], room[window.text])
    return [_shrink(vectors) for vectors in found]


def _windows(encoder: Encoder, texts: Sequence[str]) -> list[_Window]:
    windows = []
    for number, text in enumerate(texts):
        read = encoder.tokenizer(
            text.encode("utf-8", "replace").decode(),  # half a surrogate pair becomes "?": one character as well
            truncation=True,
            max_length=encoder.max_length,
            stride=encoder.max_length // OVERLAP,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        for ids, pieces in zip(read["input_ids"], read["offset_mapping"], strict=True):
            if ids:
                windows.append(_Window(number, ids, np.array(pieces, np.int64).reshape(-1, 2)))
    return windows


def _layers(encoder: Encoder) -> list[int]:
    """Which hidden states, 0 being the input's; a model of fewer than three layers gives fewer."""
    number = int(encoder.module.config.num_hidden_layers)
    return sorted({round(number * third / 3) for third in (1, 2, 3)})


def _hidden(encoder: Encoder, ids: Sequence[Sequence[int]], layers: Sequence[int]) -> FloatArray:
    """(b, t, L, d) float32."""
    import torch

    lengths = torch.tensor([len(row) for row in ids])
    mask = torch.arange(int(lengths.max()))[None, :] < lengths[:, None]
    tokens = torch.full(mask.shape, padding_id(encoder))
    tokens[mask] = torch.tensor([token for row in ids for token in row])
    with torch.inference_mode():
        states = encoder.module(
            input_ids=tokens.to(device()), attention_mask=mask.long().to(device()), output_hidden_states=True
        ).hidden_states
        result: FloatArray = torch.stack([states[layer] for layer in layers], dim=2).float().cpu().numpy()
    return result


def _place(window: _Window, states: FloatArray, words: IntArray, found: FloatArray, room: IntArray) -> None:
    """Each word that this window shows better than those before gets the mean of its pieces."""
    real = window.pieces[:, 1] > window.pieces[:, 0]
    pieces, states = window.pieces[real], states[real]
    first = np.searchsorted(pieces[:, 1], words[:, 0], side="right")
    end = np.searchsorted(pieces[:, 0], words[:, 1], side="left")
    around = np.minimum(first, len(pieces) - end)
    better = (end > first) & (around > room)
    sums = np.concatenate([np.zeros((1, *states.shape[1:])), np.cumsum(states, axis=0, dtype=np.float64)])
    first, end = first[better], end[better]
    found[better] = (sums[end] - sums[first]) / (end - first)[:, None, None]
    room[better] = around[better]


def _shrink(vectors: FloatArray) -> Vectors:
    scale = np.abs(vectors).max(axis=2, initial=0.0) / 127
    small = np.round(vectors / np.maximum(scale, 1e-12)[:, :, None]).astype(np.int8)
    return Vectors(small, scale.astype(np.float32))


def _lookup(folder: Path, wanted: dict[bytes, str]) -> dict[bytes, Vectors]:
    found: dict[bytes, Vectors] = {}
    for segment in sorted(folder.glob("*.safetensors")):
        for key, vectors in _read(segment):
            if key in wanted:
                found[key] = Vectors(vectors.small.copy(), vectors.scale.copy())  # not the whole segment for one text
    return found


def _read(segment: Path) -> Iterator[tuple[bytes, Vectors]]:
    """Nothing if the file is damaged or gone."""
    from safetensors.numpy import load

    try:
        data = segment.read_bytes()
    except FileNotFoundError:  # the cache may be deleted at any time, also now
        return
    if hashlib.blake2b(data, digest_size=16).hexdigest() != segment.stem:
        return
    tensors: dict[str, Any] = load(data)
    ends = np.cumsum(tensors["words"])
    for key, start, end in zip(tensors["keys"], ends - tensors["words"], ends, strict=True):
        yield key.tobytes(), Vectors(tensors["small"][start:end], tensors["scale"][start:end])


def _write(folder: Path, part: dict[bytes, Vectors]) -> None:
    from safetensors.numpy import save

    tensors = {
        "keys": np.frombuffer(b"".join(part), dtype=np.uint8).reshape(len(part), -1),
        "words": np.array([len(vectors) for vectors in part.values()], np.int64),
        "small": np.concatenate([vectors.small for vectors in part.values()]),
        "scale": np.concatenate([vectors.scale for vectors in part.values()]),
    }
    data = save(tensors)
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{uuid.uuid4().hex}"
    beside.write_bytes(data)
    os.replace(beside, folder / f"{hashlib.blake2b(data, digest_size=16).hexdigest()}.safetensors")


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
