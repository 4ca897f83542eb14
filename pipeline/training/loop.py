"""The training loop: an adapter in the encoder and a linear head on it, from token ids to the best epoch's weights.

The head starts as the linear probe and a LoRA adapter starts as the identity, so before the first step the model *is*
the probe. That state takes part in the choice of the best epoch: on the validation rows the outcome is never worse than
the probe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import TrainingError
from pipeline.evidence.encoder import TOKENS_PER_BATCH, device, forward, token_batches
from pipeline.training.probe import Probe, log_loss, softmax
from pipeline.training.settings import Settings
from pipeline.types import FloatArray, IntArray

if TYPE_CHECKING:
    from torch import Tensor, nn

Progress = Callable[[int, int], None]
# A gradient longer than this is cut: the usual guard of transformer training (Devlin et al. 2019).
LONGEST_GRADIENT = 1.0
LAST_LOOK = 32  # training texts; weights that are not finite spoil the answer to any text


@dataclass(frozen=True)
class Rows:
    """Token ids and classes, in the same order; may be empty. soft: (n, K) what to learn instead of the class, rows summing to
    1; None to learn the class."""

    ids: Sequence[Sequence[int]]
    y: IntArray
    soft: FloatArray | None = None

    @property
    def lengths(self) -> list[int]:
        return [len(row) for row in self.ids]


@dataclass(frozen=True)
class Fitted:
    """The head of the best epoch; the adapter's best weights are left in the module."""

    weight: FloatArray  # (K, d), divided by the temperature
    bias: FloatArray  # (K,), likewise
    temperature: float
    best_epoch: int  # 0 is the probe, before any step
    steps: int
    curve: list[dict[str, float]]  # per epoch: epoch, train_loss, validation_loss, validation_accuracy, temperature


def fit(
    module: Any,
    probe: Probe,
    train: Rows,
    validation: Rows,
    *,
    padding: int,
    settings: Settings,
    seed: int,
    progress: Progress,
) -> Fitted:
    """Train the head and whatever in `module` requires a gradient.

    The best epoch is the one with the lowest validation log-loss after temperature scaling, which judges the ranking of
    the classes and not how loudly it is said; ties go to the earlier one. Without validation rows all epochs run and the
    last one counts. `progress` counts texts over all epochs. TrainingError as soon as a loss is not finite.
    """
    import torch

    model = torch.nn.ModuleDict({"body": module, "head": _head(probe)}).to(device())
    rng = np.random.default_rng(seed)
    optimizer, schedule = _optimizer(model, len(token_batches(train.lengths, settings.tokens_per_batch)), settings)
    curve = [{"epoch": 0.0, **_judge(model, validation, padding)}]
    best, best_epoch, steps = _trained(model), 0, 0
    for epoch in range(1, settings.epochs + 1):
        done, total = (epoch - 1) * len(train.ids), settings.epochs * len(train.ids)
        loss = 0.0
        for batch in _shuffled_batches(train, settings.tokens_per_batch, rng):
            loss += _step(model, train, batch, padding, optimizer, schedule) * len(batch)
            done, steps = done + len(batch), steps + 1
            progress(done, total)
        curve.append({"epoch": float(epoch), "train_loss": loss / len(train.ids), **_judge(model, validation, padding)})
        if not len(validation.y) or curve[-1]["validation_loss"] < curve[best_epoch]["validation_loss"]:
            best, best_epoch = _trained(model), epoch
        elif epoch - best_epoch >= settings.patience:
            break
    _restore(model, best)
    if not len(validation.y):  # otherwise nobody has looked at what the last step made of the weights
        _judge(model, Rows(train.ids[:LAST_LOOK], train.y[:LAST_LOOK]), padding)
    heat = curve[best_epoch].get("temperature", 1.0)
    weight, bias = (model["head"].state_dict()[name].cpu().numpy() / np.float32(heat) for name in ("weight", "bias"))
    return Fitted(weight, bias, heat, best_epoch, steps, curve)


def _head(probe: Probe) -> nn.Linear:
    import torch

    head = torch.nn.Linear(probe.weight.shape[1], probe.weight.shape[0])
    head.load_state_dict({"weight": torch.tensor(probe.weight), "bias": torch.tensor(probe.bias)})
    return head


def _optimizer(model: nn.ModuleDict, batches: int, settings: Settings) -> tuple[Any, Any]:
    """AdamW with a rate for the adapter and one for the head; both rise over the warm-up, then fall to 0 linearly."""
    import torch

    adapter = [weights for weights in model["body"].parameters() if weights.requires_grad]
    head = [{"params": list(model["head"].parameters()), "lr": settings.head_learning_rate, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW([{"params": adapter, "lr": settings.learning_rate}, *head])
    steps = settings.epochs * batches
    rise = max(1, round(settings.warmup * steps))

    def share(step: int) -> float:
        return min((step + 1) / rise, max(0.0, (steps - step) / max(1, steps - rise)))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, share)


def _shuffled_batches(rows: Rows, budget: int, rng: np.random.Generator) -> list[IntArray]:
    """Batches of like length whose members and order change every epoch."""
    shuffled = rng.permutation(len(rows.ids))
    batches = token_batches([len(rows.ids[index]) for index in shuffled], budget)
    return [shuffled[batches[index]] for index in rng.permutation(len(batches))]


def _step(model: nn.ModuleDict, rows: Rows, batch: IntArray, padding: int, optimizer: Any, schedule: Any) -> float:
    import torch

    model.train()
    target = torch.tensor((rows.y if rows.soft is None else rows.soft)[batch], device=device())
    loss = torch.nn.functional.cross_entropy(_logits(model, rows, batch, padding), target)
    value = float(loss.detach())
    if not np.isfinite(value):
        raise TrainingError(
            f"Training diverged: the loss is {value} after {schedule.last_epoch} steps; set training.settings.learning_rate "
            "to a tenth of what it is."
        )
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(
        [weights for weights in model.parameters() if weights.requires_grad], LONGEST_GRADIENT
    )
    optimizer.step()
    schedule.step()
    return value


def _logits(model: nn.ModuleDict, rows: Rows, batch: IntArray, padding: int) -> Tensor:
    logits: Tensor = model["head"](forward(model["body"], [rows.ids[index] for index in batch], padding))
    return logits


def _judge(model: nn.ModuleDict, rows: Rows, padding: int) -> dict[str, float]:
    """Accuracy, temperature, and log-loss at that temperature, on the validation rows; nothing without any."""
    import torch

    if not len(rows.y):
        return {}
    model.eval()
    logits = np.zeros((len(rows.y), len(model.get_parameter("head.bias"))), dtype=np.float32)
    with torch.inference_mode():
        for batch in token_batches(rows.lengths, TOKENS_PER_BATCH):
            logits[batch] = _logits(model, rows, batch, padding).cpu().numpy()
    if not np.isfinite(logits).all():
        raise TrainingError(
            "Training diverged: the outputs are not finite; set training.settings.learning_rate to a tenth."
        )
    heat = temperature(logits, rows.y)
    accuracy = float((logits.argmax(axis=1) == rows.y).mean())
    return {
        "validation_loss": log_loss(softmax(logits / np.float32(heat)), rows.y),
        "validation_accuracy": accuracy,
        "temperature": heat,
    }


def temperature(logits: FloatArray, y: IntArray) -> float:
    """The number in [0.1, 10] by which to divide the logits for the lowest log-loss.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks.
    """
    from scipy.optimize import minimize_scalar

    found: Any = minimize_scalar(
        lambda exponent: log_loss(softmax(logits / np.float32(10**exponent)), y),
        bounds=(-1, 1),
        method="bounded",
    )
    return float(10**found.x)


def _trained(model: nn.ModuleDict) -> dict[str, Tensor]:
    return {name: weights.detach().clone() for name, weights in model.named_parameters() if weights.requires_grad}


def _restore(model: nn.ModuleDict, weights: dict[str, Tensor]) -> None:
    model.load_state_dict(weights, strict=False)
