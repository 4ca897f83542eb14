"""Does a label come up more often in one group of examples than in the others?

Such a difference may be true of the world, or come from how the examples were collected or who labelled them; a model will
learn it either way. With many examples every difference is significant (on the Davidson tweets all eight identity terms
were, from Cramér's V .03 to .57), so nothing is flagged on its p-value alone.

An answer that is a set of labels, or spans, counts for each label that it holds; of ratings the means are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.bias import groups as grouping
from pipeline.bias.groups import Group
from pipeline.bias.rates import corrected, label_rates, meeting_rates, rating_means, worst_first
from pipeline.bias.values import Values, agreed
from pipeline.statistics import cramers_v, cramers_v_interval
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings

Row = dict[str, Any]


@check("slice_labels", "Which labels come up more often in one group of examples than in the others?", subject="slice")
def slice_labels(
    corpus: Corpus,
    *,
    alpha: float = 0.05,
    min_n: int = 30,  # with 30, a rate is known to ±18 points at best in the middle (Wilson, 95 %)
    min_effect: float = 0.2,  # Cohen's h of a rate, d of a rating, small: .10 against .05, .50 against .40
    min_ratio: float = 1.25,  # the four-fifths rule turned round: 29 CFR 1607.4(D), 1978
) -> Report:
    """One row per group of at least `min_n` examples, held against all examples outside the group, and one where two groups
    of different slices meet and a label comes up more or less often than the two explain by themselves. Severity is 1 −
    1/ratio of its most unusual label, with the end of the ratio's interval that lies nearer to 1: 0 is no difference beyond
    chance, 0.5 is at least twice (or half) as often; of a rating it is the end of the interval nearer to 0, in standard
    deviations. Flagged on the corrected p-value (Benjamini–Hochberg over all groups and labels; where two groups meet, over
    all such places) and on the effect sizes. Missing slice values are no group."""
    if not corpus.slices:
        raise Skip("The project defines no slices.")
    table, values = agreed(corpus)
    if values is None:
        raise Skip("The answers of this kind of work hold neither labels nor ratings.")
    found = grouping.groups(table, corpus.slices)
    tests, met, means = _tests(values, found, min_n)
    if not tests and not means:
        raise Skip(f"No slice has two groups of at least {min_n} labelled examples with different labels to compare.")
    corrected(tests, met, means)
    for row in (*tests, *met, *means):
        ratio = max(row["ratio"], 1 / row["ratio"]) if "ratio" in row else min_ratio
        row["flagged"] = bool(row["p"] < alpha and abs(row["effect"]) >= min_effect and ratio >= min_ratio)
    judged = [*tests, *means, *(row for row in met if row["flagged"])]
    association = _association(values, found, corpus.slices)
    facts = {
        "tests": worst_first(tests), "intersections": worst_first(met), "means": worst_first(means),
        "association": association, "tested": len(tests) + len(met) + len(means),
        "smallest_group": min((row["n"] for row in (*tests, *met, *means)), default=0),
        "max_cramers_v": max((row["cramers_v"] for row in association), default=None),
        "max_effect": max(abs(row["effect"]) for row in (*tests, *means)),
    }  # fmt: skip
    return Report(findings(_rows(judged)), facts)


def _tests(values: Values, found: Sequence[Group], min_n: int) -> tuple[list[Row], list[Row], list[Row]]:
    """Rows of labels in groups, of labels where two groups meet, and of ratings in groups."""
    large = [group for group in found if grouping.enough(group, min_n)]
    if not values.shares:
        return [], [], [row for group in large for row in rating_means(values, group)]
    tests = [row for group in large for row in label_rates(values, group)] if _differ(values) else []
    met = [
        row
        for a, b in grouping.crossed(large)
        if tests and min(int((x & y).sum()) for x in (a.members, a.others) for y in (b.members, b.others)) >= min_n
        for row in meeting_rates(values, a, b)
    ]
    return tests, met, []


def _differ(values: Values) -> bool:
    """Whether any two answers are different."""
    return bool(len(values.matrix) and (values.matrix != values.matrix[0]).any())


def _association(values: Values, found: Sequence[Group], slices: Sequence[str]) -> list[Row]:
    """Cramér's V of slice and label; where an answer may hold several labels, of the label for which it is highest."""
    if not values.shares:
        return []
    rows = []
    single = bool((values.matrix.sum(axis=1) == 1).all())
    for name in slices:
        masks = [group.members for group in found if group.slice == name]
        if not masks:
            continue
        held = np.array([values.matrix[mask].sum(axis=0) for mask in masks])
        size = np.array([mask.sum() for mask in masks])
        tables = [held] if single else [np.column_stack([column, size - column]) for column in held.T]
        strongest = max(tables, key=lambda counts: cramers_v(counts)[0])
        interval, (v, p) = cramers_v_interval(strongest), cramers_v(strongest)
        rows.append({"slice": name, "cramers_v": v, "low": interval.low, "high": interval.high, "n": int(size.sum()), "p": p})
    return rows


def _rows(tests: Sequence[Row]) -> list[Row]:
    by_group: dict[str, list[Row]] = {}
    for row in tests:
        by_group.setdefault(f"{row['slice']}={row['group']}", []).append(row)
    return [_row(subject, found) for subject, found in by_group.items()]


def _row(subject: str, found: list[Row]) -> Row:
    flagged = sorted((row for row in found if row["flagged"]), key=_severity, reverse=True)
    calm = f"{'Labels come up about as often' if 'label' in found[0] else 'Ratings are about as high'} as elsewhere"
    return {
        "subject_id": subject, "severity": max(map(_severity, flagged or found)), "flagged": bool(flagged),
        "reason": " ".join(map(_reason, flagged)) or f"{calm} (n = {found[0]['n']:,}).", "suggestion": "",
    }  # fmt: skip


def _severity(row: Row) -> float:
    if "rating" in row:
        end = row["low"] if row["low"] > 0 else -min(row["high"], 0.0)
        return float(min(1.0, end * abs(row["effect"] / row["difference"]))) if row["difference"] else 0.0
    nearest = float(row["ratio_low"] if row["ratio_low"] > 1 else 1 / max(row["ratio_high"], 1e-9))
    return 1 - 1 / max(nearest, 1.0)


def _reason(row: Row) -> str:
    if "rating" in row:
        return (
            f"“{row['rating']}” is {row['mean']:.2f} on average over {row['n']:,} examples here and {row['reference']:.2f} "
            f"elsewhere: {row['difference']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})."
        )
    met = " & " in row["slice"]
    said = f"“{row['label']}” is the answer to {row['rate']:.0%} of the {row['n']:,} examples here ({row['low']:.0%} to "
    joint = f"where {row['reference']:.0%} would follow from the two groups each by itself"
    other = joint if met else f"and to {row['reference']:.0%} elsewhere"
    return f"{said}{row['high']:.0%}) {other}: {row['ratio']:.1f} times as often."
