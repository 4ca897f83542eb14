"""PEFT methods, one entry each: from settings to a peft configuration. To add one, add a function to METHODS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.errors import TrainingError, unknown
from pipeline.training.settings import Settings


def lora(settings: Settings) -> Any:
    """Source: Hu et al. 2021, LoRA. Every linear layer: one rule for all architectures (peft has no default targets for
    ModernBERT, for one)."""
    from peft import LoraConfig

    return LoraConfig(
        task_type="FEATURE_EXTRACTION",
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="all-linear",
        exclude_modules=r".*pooler.*",  # mean pooling does not read the pooler: its weights would only be carried
    )


METHODS: dict[str, Callable[[Settings], Any]] = {"lora": lora}


def peft_config(method: str, settings: Settings) -> Any:
    """TrainingError for an unknown method, naming the known ones."""
    if method not in METHODS:
        raise TrainingError(unknown("PEFT method", method, METHODS))
    return METHODS[method](settings)
