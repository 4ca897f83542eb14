"""What a classifier on this machine says of texts, such as that they are toxic. Safetensors only, no code that comes with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.errors import TrainingError, unknown
from pipeline.evidence.encoder import model_folder, quiet, token_batches
from pipeline.types import FloatArray

TOKENS_PER_BATCH = 1024  # as for embeddings, see encoder.py
HARMLESS = ("non-toxic", "not toxic", "neutral", "normal", "label_0")  # of models with two labels, the one that is not asked for


def probabilities(model: str, texts: Sequence[str], *, label: str = "", max_length: int = 128) -> FloatArray:
    """(n,) probability in [0, 1] that `label` fits, 0 for blank texts. label: one of the model's own; "" takes its only one, or
    of two the one that is not harmless. TrainingError if the model cannot be loaded or has no such label."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = model_folder(model)
    if not any(folder.glob("*.safetensors")):
        raise TrainingError(f"The model {model!r} holds no .safetensors file in {folder}: convert it to safetensors first.")
    with quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            module = AutoModelForSequenceClassification.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
            ).eval()
        except Exception as error:  # a damaged file: safetensors and tokenizers raise errors with no base but this one
            raise TrainingError(f"The model {model!r} cannot be loaded from {folder} as a text classifier: {error}") from error
    place = _place([str(module.config.id2label[at]) for at in range(module.config.num_labels)], label, model)
    several = module.config.problem_type == "multi_label_classification" or module.config.num_labels == 1
    filled = [at for at, text in enumerate(texts) if text.strip()]
    ids = [tokenizer(texts[at], truncation=True, max_length=max_length)["input_ids"] for at in filled]
    result = np.zeros(len(texts), np.float32)
    for batch in token_batches([len(row) for row in ids], TOKENS_PER_BATCH):
        padded = tokenizer.pad({"input_ids": [ids[at] for at in batch]}, return_tensors="pt")
        with torch.inference_mode():
            scores = module(**padded).logits
        given = (scores.sigmoid() if several else scores.softmax(dim=1))[:, place].numpy()
        result[[filled[at] for at in batch]] = given
    return result


def _place(names: list[str], label: str, model: str) -> int:
    if label:
        if label not in names:
            raise TrainingError(f"The model {model!r} does not know it: {unknown('label', label, names)}")
        return names.index(label)
    asked = [at for at, name in enumerate(names) if name.lower() not in HARMLESS]
    if len(asked) != 1:
        raise TrainingError(f"The model {model!r} has several labels, so say which is meant: {', '.join(names)}.")
    return asked[0]
