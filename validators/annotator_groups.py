"""Do groups of annotators answer the same examples differently?

Groups come from what is stated about annotators (`annotators:` in project.yaml: a table with a column per attribute). A
difference is no fault: people see the same text with different eyes, and a majority vote hides whose. It matters because the
labels would be others if others had been asked, the more so where a difference depends on what the text is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.bias import groups as grouping
from pipeline.bias import terms
from pipeline.bias.groups import Group
from pipeline.bias.paired import Difference, difference_of, difference_within, shared
from pipeline.bias.rates import corrected, worst_first
from pipeline.bias.values import Values, values
from pipeline.consensus.build import latest_answers
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings

Row = dict[str, Any]
FEW = 10  # people a side: with fewer, Student's t differs from the normal by over 10 %; said in words beside the result


@check("annotator_groups", "Do groups of annotators answer the same examples differently?", subject="corpus")
def annotator_groups(
    corpus: Corpus,
    *,
    alpha: float = 0.05,
    min_difference: float = 0.1,  # of a label's rate: 10 points are to be examined, Dorans and Holland (1993)
    min_effect: float = 0.2,  # of a rating, in standard deviations: small, Cohen (1988)
    min_people: int = 2,  # on either side: with one person, a person and a group cannot be told apart
    min_examples: int = 30,  # answered by both sides
) -> Report:
    """One row per attribute and group of annotators, against all others whose attribute is known, over the examples that both
    answered; and one where that difference is another one in a group of examples (slices, and texts that mention a group of
    people). Severity is the size of the largest difference, as a share, or of ratings in standard deviations, at most 1.
    Flagged on size and on the p-value over annotators, which asks whether other people of these groups would differ, too;
    corrected by Benjamini–Hochberg over all groups and labels, and over all where texts are told apart, times two for the two.
    `texts_low` and `texts_high` are the interval for these same people on other texts."""
    people = corpus.people.set_index("annotator") if len(corpus.people) else pd.DataFrame()
    if not len(people.columns):
        raise Skip("Nothing is known about the annotators: name a table about them in project.yaml, `annotators: FILE`.")
    answers = latest_answers(corpus.annotations)
    answers = answers[answers["annotator"].astype("str").isin(people.index.astype("str"))].reset_index(drop=True)
    found = values(answers["label"].tolist(), corpus.task) if len(answers) else None
    if found is None:
        raise Skip("The annotators about whom something is known gave no labels or ratings.")
    examples = corpus.examples.sort_values("example_id", ignore_index=True)
    rows, told_apart = _compare(answers, examples, people, found, corpus.slices, min_people, min_examples)
    if not rows:
        raise Skip(
            f"No attribute has two groups of at least {min_people} annotators who share at least {min_examples} examples."
        )
    corrected(rows, told_apart)
    for row in (*rows, *told_apart):
        far = abs(row["effect"]) >= (min_difference if found.shares else min_effect)
        row["flagged"] = bool(far and row["p"] < alpha)
    facts = {
        "groups": worst_first(rows), "by_text": worst_first(told_apart), "shares": found.shares,
        "tested": len(rows) + len(told_apart), "smallest_group": min(min(row["people"], row["others"]) for row in rows),
        "max_effect": max(abs(row["effect"]) for row in rows),
    }  # fmt: skip
    return Report(findings(_rows([*rows, *(row for row in told_apart if row["flagged"])])), facts)


def _compare(
    answers: pd.DataFrame, examples: pd.DataFrame, people: pd.DataFrame, found: Values, slices: Sequence[str],
    min_people: int, min_examples: int,
) -> tuple[list[Row], list[Row]]:  # fmt: skip
    """Rows per attribute, group and label; and per group of examples besides."""
    place = pd.Series(np.arange(len(examples)), index=examples["example_id"])
    example = place.loc[answers["example_id"]].to_numpy(np.int64)
    texts = [
        group
        for group in (*grouping.groups(examples, slices), *terms.mentions(examples["text"].astype("str").tolist(), min_examples))
        if grouping.enough(group, min_examples)
    ]
    rows: list[Row] = []
    told_apart: list[Row] = []
    for attribute in people.columns:
        stated = people[attribute].mask(people[attribute].isna() | (people[attribute] == ""))
        known = answers["annotator"].astype("str").map(stated.rename(index=str))
        use = known.notna().to_numpy(bool)
        groups = sorted(set(known[use].astype("str")))
        for group in groups[:1] if len(groups) == 2 else groups:  # the second of two is the first with another sign
            side = (known[use].astype("str") == group).to_numpy(bool)
            names = answers.loc[use, "annotator"].astype("str").to_numpy()
            rest = " or ".join(name for name in groups if name != group) if len(groups) == 2 else "the others"
            head = {"attribute": str(attribute), "group": group, "against": rest}
            mine, apart = _one(head, (example[use], names, side, found.matrix[use]), found, texts, min_people, min_examples)
            rows, told_apart = rows + mine, told_apart + apart
    return rows, told_apart


def _one(
    head: Row, args: tuple[Any, ...], found: Values, texts: Sequence[Group], min_people: int, min_examples: int
) -> tuple[list[Row], list[Row]]:
    """Rows of one group against the rest, and of the difference of the difference for each group of texts."""
    example, names, side, matrix = args
    people, who = np.unique(names, return_inverse=True)
    member = np.zeros(len(people), bool)
    member[who[side]] = True
    rows: list[Row] = []
    apart: list[Row] = []
    whole = bool(np.isfinite(matrix).all())
    for column in [slice(None)] if whole else [slice(k, k + 1) for k in range(matrix.shape[1])]:
        use = np.isfinite(matrix[:, column]).all(axis=1)  # a rating that some left out is compared by itself
        values, labels = matrix[use][:, column], found.names[column]
        parts = shared(example[use], who[use].astype(np.int64), values, member)
        told = None if parts is None else difference_of(parts)
        if parts is None or told is None or not _enough(told, min_people, min_examples):
            continue
        spread = np.ones(len(labels)) if found.shares else np.maximum(np.std(values, axis=0), 1e-9)
        rows += _told(head, told, labels, spread, _plain(values, side[use]))
        for text in texts:
            more = difference_within(parts, text.members, text.others)
            if more is not None and _enough(more, min_people, min_examples):
                apart += _told({**head, "slice": text.slice, "texts": text.name}, more, labels, spread, None)
    return rows, apart


def _enough(told: Difference, min_people: int, min_examples: int) -> bool:
    return min(told.inside, told.outside) >= min_people and told.examples >= min_examples


def _plain(matrix: NDArray[np.float64], side: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The difference of means as it is, whatever each side was given to answer."""
    result: NDArray[np.float64] = matrix[side].mean(axis=0) - matrix[~side].mean(axis=0)
    return result


def _told(head: Row, told: Difference, names: Sequence[str], spread: Any, plain: Any) -> list[Row]:
    """One row per label or rating."""
    low, high = told.interval()
    texts_low, texts_high = told.text_interval()
    p = told.p()
    return [
        {
            **head, "label": name, "difference": _number(told.value[k]), "low": _number(low[k]), "high": _number(high[k]),
            "texts_low": _number(texts_low[k]), "texts_high": _number(texts_high[k]), "people": told.inside,
            "others": told.outside, "n": told.examples, "effect": float(told.value[k] / spread[k]), "p": float(p[k]),
            **({} if "slice" in head else {"plain": _number(plain[k])}),
        }
        for k, name in enumerate(names)
        if np.isfinite(told.value[k])
    ]  # fmt: skip


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _rows(rows: Sequence[Row]) -> list[Row]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        where = f" × {row['slice']}={row['texts']}" if "slice" in row else ""
        found.setdefault(f"{row['attribute']}={row['group']}{where}", []).append(row)
    return [_row(subject, mine) for subject, mine in found.items()]


def _row(subject: str, rows: list[Row]) -> Row:
    flagged = sorted((row for row in rows if row["flagged"]), key=lambda row: -abs(row["effect"]))
    largest = max(rows, key=lambda row: abs(row["effect"]))
    return {
        "subject_id": subject, "severity": min(1.0, abs(largest["effect"])), "flagged": bool(flagged),
        "reason": " ".join(map(_reason, flagged or [largest])), "suggestion": "",
    }  # fmt: skip


def _reason(row: Row) -> str:
    where = f" where {row['slice']} is “{row['texts']}”, compared with elsewhere" if "slice" in row else ""
    few = " With so few people, one of them can turn this." if min(row["people"], row["others"]) < FEW else ""
    span = "" if row["low"] is None else f" ({row['low']:+.2f} to {row['high']:+.2f} for other people like them)"
    return (
        f"On {row['n']:,} examples that both answered, the {row['people']} annotators with {row['attribute']} “{row['group']}” "
        f"differ from {row['against']} ({row['others']}) by {row['difference']:+.2f}{span} in “{row['label']}”{where}.{few}"
    )
