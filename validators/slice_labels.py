"""Does a label come up more often in one group of examples than in the others?

Such a difference may be true of the world, or come from how the examples were collected or who labelled them; a model will
learn it either way. With many examples every difference is significant (on the Davidson tweets all eight identity terms
were, from Cramér's V .03 to .57), so nothing is flagged on its p-value alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.statistics import benjamini_hochberg, cohens_h, cramers_v, more_often, wilson_bounds
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings, require_classes

Array = NDArray[np.float64]
Z95 = 1.959964


@check("slice_labels", "Which labels come up more often in one group of examples than in the others?", subject="slice")
def slice_labels(
    corpus: Corpus,
    *,
    alpha: float = 0.05,
    min_n: int = 30,  # with 30, a rate is known to ±18 points at best in the middle (Wilson, 95 %)
    min_effect: float = 0.2,  # Cohen's h, small: .10 against .05, .50 against .40
    min_ratio: float = 1.25,  # the four-fifths rule turned round: 29 CFR 1607.4(D), 1978
) -> Report:
    """One row per group of at least `min_n` examples, held against all examples outside the group. Severity is 1 − 1/ratio of
    its most unusual label, with the end of the ratio's interval that lies nearer to 1: 0 is no difference beyond
    chance, 0.5 is at least twice (or half) as often. Flagged on the corrected p-value (Benjamini–Hochberg over all groups and
    labels) and on both effect sizes. Missing slice values are no group."""
    if not corpus.slices:
        raise Skip("The project defines no slices.")
    require_classes(corpus)
    labelled = corpus.labelled()
    tables = {name: table for name in corpus.slices if len(table := _counts(labelled, name))}
    tests = [row for name, table in tables.items() for row in _tests(name, table, min_n)]
    if not tests:
        raise Skip(f"No slice has two groups of at least {min_n} labelled examples with different labels to compare.")
    for row, p in zip(tests, benjamini_hochberg([row["p"] for row in tests]), strict=True):
        far = abs(row["effect"]) >= min_effect and max(row["ratio"], 1 / row["ratio"]) >= min_ratio
        row.update(p=float(p), flagged=bool(p < alpha and far))
    strength = {name: cramers_v(table) for name, table in tables.items()}
    association = [{"slice": name, "cramers_v": v, "p": p} for name, (v, p) in strength.items()]
    return Report(findings(_rows(tests)), {"tests": tests, "association": association})


def _counts(labelled: pd.DataFrame, name: str) -> pd.DataFrame:
    """(groups, labels) counts, both sorted."""
    value = labelled[name].mask(labelled[name].isna() | (labelled[name] == ""))
    return pd.crosstab(value.astype("str").where(value.notna()), labelled["label"])


def _tests(name: str, table: pd.DataFrame, min_n: int) -> list[dict[str, Any]]:
    """One test per group and label, both with at least `min_n` examples inside and outside the group."""
    counts = table.to_numpy(np.int64)
    size = counts.sum(axis=1, keepdims=True) + np.zeros_like(counts)
    outside, rest = counts.sum(axis=0) - counts, counts.sum() - size
    if counts.shape[1] < 2 or not ((use := (size >= min_n) & (rest >= min_n)).any()):
        return []
    p = np.minimum(1.0, 2 * np.minimum(more_often(counts, size, outside, rest), more_often(outside, rest, counts, size)))
    ratio, low, high = _ratio(counts, size, outside, rest)
    rate, reference = counts / size, outside / np.maximum(rest, 1)
    rate_low, rate_high = wilson_bounds(counts, size)
    effect = cohens_h(rate, reference)
    return [
        {
            "slice": name, "group": str(table.index[g]), "label": table.columns[label], "rate": float(rate[g, label]),
            "low": float(rate_low[g, label]), "high": float(rate_high[g, label]), "n": int(size[g, label]),
            "reference": float(reference[g, label]), "ratio": float(ratio[g, label]), "ratio_low": float(low[g, label]),
            "ratio_high": float(high[g, label]), "effect": float(effect[g, label]), "p": float(p[g, label]),
        }
        for g, label in np.argwhere(use)
    ]


def _ratio(hits: Any, n: Any, other_hits: Any, other_n: Any) -> tuple[Array, Array, Array]:
    """Risk ratio with a 95 % interval; half an example is added to each count so that 0 has one too.
    Source: Katz et al. (1978); the half: Walter (1975)."""
    a, b = hits + 0.5, other_hits + 0.5
    ratio = (a / (n + 0.5)) / (b / (other_n + 0.5))
    half = Z95 * np.sqrt(np.maximum(1 / a - 1 / (n + 0.5) + 1 / b - 1 / (other_n + 0.5), 0))
    return ratio, ratio * np.exp(-half), ratio * np.exp(half)


def _rows(tests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in tests:
        groups.setdefault(f"{row['slice']}={row['group']}", []).append(row)
    return [_row(subject, found) for subject, found in groups.items()]


def _row(subject: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    flagged = sorted((row for row in found if row["flagged"]), key=_severity, reverse=True)
    calm = f"Labels come up about as often as elsewhere (n = {found[0]['n']:,})."
    return {
        "subject_id": subject, "severity": max(map(_severity, flagged or found)), "flagged": bool(flagged),
        "reason": " ".join(map(_reason, flagged)) or calm, "suggestion": "",
    }


def _severity(row: dict[str, Any]) -> float:
    nearest = float(row["ratio_low"] if row["ratio_low"] > 1 else 1 / row["ratio_high"])
    return 1 - 1 / max(nearest, 1.0)


def _reason(row: dict[str, Any]) -> str:
    return (
        f"“{row['label']}” is the answer to {row['rate']:.0%} of the {row['n']:,} examples here ({row['low']:.0%} to "
        f"{row['high']:.0%}) and to {row['reference']:.0%} elsewhere: {row['ratio']:.1f} times as often."
    )
