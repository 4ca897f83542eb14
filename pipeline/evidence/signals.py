"""What a small language model says of written answers: does the question make the answer less surprising?

Instruction-following difficulty is perplexity of the answer given the question over its perplexity alone: near or above 1 the
question does not help. Alone means the same chat template with an empty question: with that, the gain tells right pairs from
wrong ones better than without any template (area .990 against .906 on seed_tasks). Conventions conflict (Cherry LLM drops what is
above 1, data-juicer keeps what is above 1): here it is a column, and what is made of it is the check's to say.

Source: Li et al., From Quantity to Quality: Boosting LLM Performance with Self-Guided Data Selection (2024).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from pipeline.evidence.language_model import log_likelihoods
from pipeline.store import Store

COLUMNS = ("answer_tokens", "nll_given_prompt", "nll_alone", "ifd", "nll_end", "other", "nll_given_other")
LIMIT = 500  # answers: 2 (captions) to 5 (dialogues) CPU minutes of a core with bfloat16, and 20 seconds to load the model
# So many answers are read after another's question as well: they show what a wrong pair looks like.
REFERENCE = 100

Progress = Callable[[int, int], None]


def signals(
    store: Store,
    prompts: Sequence[str],
    written: Sequence[str],
    *,
    model: str | None = None,
    limit: int = LIMIT,
    progress: Progress = lambda done, total: None,
) -> pd.DataFrame | None:
    """One row per example, in the order given, NaN where nothing was written or the limit reached; None without a model.

    COLUMNS: answer_tokens; nll_given_prompt and nll_alone, mean surprise at a token in nats; ifd, their perplexities' ratio;
    nll_end, the surprise that the answer ends where it does; other, the row whose question the answer was read after as well
    (-1 for most), and nll_given_other. written: "" where nobody answered. limit: at most so many answers are read, chosen by
    their content, whatever the order.
    """
    if model is None:
        return None
    chosen = _chosen(prompts, written, limit)
    others = _others(chosen, prompts)
    pairs = [(prompts[row], written[row]) for row in chosen]
    alone = [("", written[row]) for row in chosen]
    crossed = [(prompts[other], written[row]) for row, other in others]
    found = log_likelihoods(store, model, [*pairs, *alone, *crossed], progress=progress).astype(np.float64)
    given, bare, mixed = np.split(found, [len(pairs), 2 * len(pairs)])
    table = pd.DataFrame(np.nan, index=range(len(prompts)), columns=list(COLUMNS))
    table.loc[chosen, ["nll_given_prompt", "answer_tokens", "nll_end"]] = given
    table.loc[chosen, "nll_alone"] = bare[:, 0]
    table["ifd"] = np.exp((table["nll_given_prompt"] - table["nll_alone"]).clip(-20, 20))
    table.loc[[row for row, _ in others], "nll_given_other"] = mixed[:, 0]
    table["other"] = pd.Series({row: other for row, other in others}, dtype="int64").reindex(table.index, fill_value=-1)
    return table


def _chosen(prompts: Sequence[str], written: Sequence[str], limit: int) -> list[int]:
    rows = [
        row for row, (asked, said) in enumerate(zip(prompts, written, strict=True)) if asked.strip() and said.strip()
    ]
    return sorted(rows, key=lambda row: (_order(prompts[row], written[row]), row))[:limit]


def _others(chosen: Sequence[int], prompts: Sequence[str]) -> list[tuple[int, int]]:
    """(row, the row whose question it is given) for the first REFERENCE rows; the next in order, of another question."""
    return [
        (row, other)
        for row, other in zip(chosen[:REFERENCE], [*chosen[1:], *chosen[:1]], strict=False)
        if prompts[row] != prompts[other]
    ]


def _order(asked: str, said: str) -> bytes:
    return hashlib.blake2b(f"{asked}\0{said}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
