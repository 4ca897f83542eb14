"""Which doubtful examples to look at first: by what a minute of an annotator's time is expected to mend.

    gain per minute = P(the answer is wrong) × effect ÷ minutes such a task takes

Everything that was measured goes in: how often people confirmed a check's doubts so far, how long answers took.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import pandas as pd

from pipeline.policy import ASKING
from pipeline.types import IntArray

QUEUE_COLUMNS = (
    "example_id", "check", "checks", "reason", "suggestion", "answer", "wrong", "effect", "seconds", "gain",
)  # fmt: skip
BUCKETS = 4  # quarters of the texts by length
# With fewer answers than 9 the 95 % interval of a median reaches their extremes (sign test: 1 − 2 · 10 / 2⁹ = .96 at n = 9).
LEAST_TIMED = 9
TIE = "consensus"  # the reason's name in a verdict where annotators are tied


def queue(
    examples: pd.DataFrame,
    annotations: pd.DataFrame,
    consensus: pd.DataFrame,
    verdicts: pd.DataFrame,
    *,
    copies: IntArray,
    found: Mapping[str, tuple[int, int]] | None = None,
) -> pd.DataFrame:
    """QUEUE_COLUMNS for every example whose verdict is relabel, the greatest gain per minute first, then by id.

    copies: (n,) a group number for each row of `examples`; rows of a group say the same thing. found: check → (doubts that a
    reviewer corrected, doubts that were reviewed). check: the tie if there is one, since that is seen and all else guessed;
    else the reason that makes the answer most probably wrong. checks: JSON list of all that ask for a look. wrong in [0, 1];
    effect in examples; seconds per task; gain in examples per minute.
    """
    rows = examples.assign(copies=copies).merge(consensus[["example_id", "answer", "confidence"]], on="example_id")
    rows = rows.merge(verdicts, on="example_id")
    rows["seconds"] = lead_times(rows, annotations)
    rows["alike"] = rows.groupby(["copies", "answer"])["example_id"].transform("size")
    weights = rarity(rows["answer"])
    table = []
    for row in rows[rows["verdict"] == "relabel"].to_dict("records"):
        asking = [item for item in orjson.loads(row["reasons"]) if item["action"] in ASKING]
        chances = [probability(item, row["confidence"], (found or {}).get(item["check"], (0, 0))) for item in asking]
        tied = [item["check"] == TIE for item in asking]
        best = int(np.argmax(tied if any(tied) else chances))
        suggestion = next((item["suggestion"] for item in asking if item["suggestion"]), "")
        effect = row["alike"] * max(weights[row["answer"]], weights.get(suggestion, 0.0))
        table.append(
            {
                "example_id": row["example_id"], "check": asking[best]["check"],
                "checks": orjson.dumps([item["check"] for item in asking]).decode(), "reason": asking[best]["reason"],
                "suggestion": suggestion, "answer": row["answer"], "wrong": max(chances), "effect": effect,
                "seconds": row["seconds"], "gain": 60 * max(chances) * effect / row["seconds"],
            }
        )  # fmt: skip
    made = pd.DataFrame(table, columns=list(QUEUE_COLUMNS))
    return made.sort_values(["gain", "example_id"], ascending=[False, True], ignore_index=True)


def probability(reason: Mapping[str, Any], confidence: float, found: tuple[int, int]) -> float:
    """P(the answer is wrong), in [0, 1], by one reason of a verdict.

    A tie: 1 − the consensus' confidence: a posterior where answers are labels, how much they differ where they are compared as
    a whole. A check's doubt: its severity × the share of its doubts that
    people found right, by Laplace's rule of succession, (corrected + 1) / (reviewed + 2): one half before anybody has looked,
    in the middle of the 20 to 87 % that people confirmed on published sets (see policy.DEFAULTS).
    """
    if reason["check"] == TIE:
        return float(1 - confidence) if confidence == confidence else 0.5
    corrected, reviewed = found
    return float(reason["severity"]) * (corrected + 1) / (reviewed + 2)


def rarity(answers: pd.Series) -> dict[str, float]:
    """Answer → how much one example of it counts, 1 where all are equally frequent: the square root of the balanced weight
    n / (K · n_c), so that a rare class counts more without one odd label leading every queue.

    Source: Mahajan et al., Exploring the Limits of Weakly Supervised Pretraining (2018), §2.2: square-root sampling.
    """
    counts = answers.value_counts()
    return {str(answer): float(np.sqrt(len(answers) / (len(counts) * count))) for answer, count in counts.items()}


def lead_times(rows: pd.DataFrame, annotations: pd.DataFrame) -> pd.Series:
    """Seconds that a task takes, for each row of example_id, text, answer: the median over answers to tasks with the same
    consensus answer and of like length; where those are fewer than LEAST_TIMED, of like length; else over all. 1 second where
    nothing was timed, which leaves the order to the other two factors.
    """
    timed = annotations.loc[annotations["seconds"] > 0, ["example_id", "seconds"]]
    if timed.empty:
        return pd.Series(1.0, index=rows.index)
    ranks = rows["text"].str.len().rank(pct=True)
    kind = pd.DataFrame({"example_id": rows["example_id"], "answer": rows["answer"], "bucket": np.ceil(ranks * BUCKETS)})
    given = timed.merge(kind, on="example_id")
    result = pd.Series(float(timed["seconds"].median()), index=rows.index)
    for names in (["bucket"], ["bucket", "answer"]):
        groups = given.groupby(names)["seconds"].agg(["median", "size"]).reset_index()
        usual = kind.merge(groups[groups["size"] >= LEAST_TIMED], on=names, how="left")["median"].to_numpy()
        result = result.where(np.isnan(usual), usual)
    return result
