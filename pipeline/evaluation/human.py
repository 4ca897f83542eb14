"""What people say of two models' outputs, compared blind: preferences and ratings, with intervals over the examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.statistics import bootstrap, wilson


def preferences(judgements: pd.DataFrame) -> dict[str, Any]:
    """judgements: one row per person and item: item, annotator, preferred ("a", "b" or "tie"), left ("a" or "b": the one shown
    on the left).

    win_rate: share of items' judgements for b, ties half, in [0, 1]; above 0.5 b is preferred. The interval is Wilson's over
    items, since several judgements of one item are not independent; a bootstrap of few unanimous items has no width. p: sign
    test over items, each by the majority of its judgements, ties left out. left: share of decided judgements that went to the
    left one; far from 0.5 is position bias.
    """
    from scipy.stats import binomtest

    if judgements.empty:
        return {"judgements": 0, "items": 0, "win_rate": None, "p": None, "left": None, "wins": {"a": 0, "b": 0, "tie": 0}}
    score = judgements["preferred"].map({"a": 0.0, "tie": 0.5, "b": 1.0})
    by_item = score.groupby(judgements["item"]).mean()
    means = by_item.to_numpy(np.float64)
    rate = wilson(float(means.sum()), len(means))
    wins, losses = int((means > 0.5).sum()), int((means < 0.5).sum())
    decided = judgements[judgements["preferred"] != "tie"]
    left = int((decided["preferred"] == decided["left"]).sum())
    return {
        "judgements": len(judgements),
        "items": len(means),
        "annotators": int(judgements["annotator"].nunique()),
        "wins": {name: int((judgements["preferred"] == name).sum()) for name in ("a", "b", "tie")},
        "win_rate": rate.as_dict(),
        "p": float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0,
        "left": wilson(left, len(decided)).as_dict() if len(decided) else None,
        "agreement": _same_share(judgements),
    }


def ratings(judgements: pd.DataFrame, *, seed: int) -> dict[str, Any]:
    """judgements: one row per person, item, output and dimension: item, annotator, output ("a" or "b"), dimension, value.

    For each dimension the mean of each output and the mean difference b − a over the items that have both, with a bootstrap
    interval over items (None with fewer than two).
    """
    rows = []
    for dimension, part in judgements.groupby("dimension", sort=True):
        means = part.pivot_table(index="item", columns="output", values="value", aggfunc="mean")
        both = means.reindex(columns=["a", "b"]).dropna()
        gap = (both["b"] - both["a"]).to_numpy(np.float64)
        interval = bootstrap(lambda at, gap=gap: float(gap[at].mean()), len(gap), seed=seed) if len(gap) > 1 else None  # type: ignore[misc]
        rows.append(
            {
                "dimension": str(dimension), "items": len(both),
                "a": _mean(means, "a"), "b": _mean(means, "b"),
                "difference": interval.as_dict() if interval else None,
            }
        )  # fmt: skip
    return {
        "judgements": len(judgements), "items": int(judgements["item"].nunique()),
        "annotators": int(judgements["annotator"].nunique()), "dimensions": rows,
    }  # fmt: skip


def _mean(means: pd.DataFrame, name: str) -> float | None:
    return float(means[name].mean()) if name in means and means[name].notna().any() else None


def _same_share(judgements: pd.DataFrame) -> dict[str, Any]:
    """How often two people who judged the same item said the same."""
    sizes = judgements.groupby("item").size()
    pairs = int((sizes * (sizes - 1) // 2).sum())
    equal = judgements.groupby(["item", "preferred"]).size()
    return {"value": float((equal * (equal - 1) // 2).sum() / pairs) if pairs else None, "pairs": pairs}
