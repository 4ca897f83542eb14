"""What a small language model says of written answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from pipeline.store import Store


def signals(
    store: Store,
    prompts: Sequence[str],
    written: Sequence[str],
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame | None:
    """One row per example, in the order given; None where no language model is at hand. written: "" where nobody answered."""
    return None
