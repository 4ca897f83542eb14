"""What a merge of several answers gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Merged:
    """answer: in the task type's own form. confidence: in [0, 1], how alike the answer is to the right one, to be expected by the
    task type's similarity: each merge says how it comes by that. tie: somebody must decide."""

    answer: Any
    confidence: float
    tie: bool
