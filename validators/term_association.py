"""Does a label hang on whether a text mentions a group of people?

A model learns such a link at once, and then rates people by the group's name. Whether the link is in the world, in how the
texts were collected or in the annotators, the numbers cannot say; somebody has to look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.bias import terms
from pipeline.bias.groups import Group
from pipeline.bias.rates import corrected, label_rates, worst_first
from pipeline.bias.values import Values, agreed
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings

Row = dict[str, Any]


@check("term_association", "Does a label hang on whether a text mentions a group of people?", subject="corpus")
def term_association(
    corpus: Corpus,
    *,
    alpha: float = 0.05,
    min_texts: int = 10,  # see `label_rates`: of ten, the interval of a rate is 60 points wide; fewer say nothing
    min_effect: float = 0.3,  # Cohen's h, between small and medium: .15 against .06, .50 against .35
    min_ratio: float = 1.5,
) -> Report:
    """One row per group of people that at least `min_texts` texts mention (English terms, pipeline/bias/identity_terms.yaml).
    Severity as in `slice_labels`. Flagged on the corrected p-value (Benjamini–Hochberg over all groups and labels) and on both
    effect sizes. `log_odds`: how much more usual the group's words are among the words of texts with the label, with a prior
    (Monroe et al. 2008), and its z: where z is far below what the ratio suggests, few words carry it."""
    table, values = agreed(corpus)
    if values is None or not values.shares:
        raise Skip("The answers of this kind of work hold no labels.")
    texts = table["text"].astype("str").tolist()
    found = terms.mentions(texts, min_texts)
    if not found or not (values.matrix != values.matrix[0]).any():
        raise Skip(f"No group of people is mentioned in at least {min_texts} labelled texts with different labels.")
    rows = [row for group in found for row in label_rates(values, group)]
    corrected(rows)
    weights = _log_odds(texts, values)
    for row in rows:
        row["axis"] = row.pop("slice").removeprefix("mentions ")
        row.update(weights[row["axis"], row["group"]][row["label"]])
        far = abs(row["effect"]) >= min_effect and max(row["ratio"], 1 / row["ratio"]) >= min_ratio
        row["flagged"] = bool(row["p"] < alpha and far)
    facts = {
        "terms": worst_first(rows), "groups": len(found), "tested": len(rows),
        "smallest_group": min(group.n for group in found), "max_effect": max(abs(row["effect"]) for row in rows),
        "max_ratio": max((max(row["ratio"], 1 / row["ratio"]) for row in rows if row["flagged"]), default=1.0),
    }  # fmt: skip
    return Report(findings(_row(group, rows) for group in found), facts)


def _log_odds(texts: Sequence[str], values: Values) -> dict[tuple[str, str], dict[str, Row]]:
    """(axis, group) → label → log_odds and log_odds_z, all words of a group taken as one word."""
    known = {**terms.lexicon().words, **terms.lexicon().ambiguous}
    vocabulary: dict[Any, int] = {}
    counted = [Counter(known.get(word, word) for word in terms.words(text)) for text in texts]
    for one in counted:
        for word in one:
            vocabulary.setdefault(word, len(vocabulary))
    place = [np.array([vocabulary[word] for word in one], np.int64) for one in counted]
    number = [np.array(list(one.values()), np.float64) for one in counted]
    result: dict[tuple[str, str], dict[str, Row]] = {}
    for k, label in enumerate(values.names):
        held = values.matrix[:, k] > 0
        ratio, z = terms.log_odds(*(_sum(place, number, mask, len(vocabulary)) for mask in (held, ~held)))
        for word, at in vocabulary.items():
            if isinstance(word, tuple):
                found = {"log_odds": float(ratio[at]), "log_odds_z": float(z[at])}
                result.setdefault(word, {})[label] = found
    return result


def _sum(place: Sequence[Any], number: Sequence[Any], mask: NDArray[np.bool_], size: int) -> NDArray[np.float64]:
    rows = np.flatnonzero(mask)
    if not len(rows):
        return np.zeros(size)
    at, weight = (np.concatenate([one[row] for row in rows]) for one in (place, number))
    return np.bincount(at, weight, minlength=size).astype(np.float64)


def _row(group: Group, rows: Sequence[Row]) -> Row:
    axis = group.slice.removeprefix("mentions ")
    mine = [row for row in rows if (row["axis"], row["group"]) == (axis, group.name)]
    flagged = sorted((row for row in mine if row["flagged"]), key=lambda row: -abs(row["effect"]))
    calm = f"Labels come up about as often as in texts that do not mention it (n = {group.n:,})."
    return {
        "subject_id": f"{axis}: {group.name}", "severity": max(map(_severity, flagged or mine)), "flagged": bool(flagged),
        "reason": " ".join(map(_reason, flagged)) or calm, "suggestion": "",
    }  # fmt: skip


def _severity(row: Row) -> float:
    nearest = float(row["ratio_low"] if row["ratio_low"] > 1 else 1 / max(row["ratio_high"], 1e-9))
    return 1 - 1 / max(nearest, 1.0)


def _reason(row: Row) -> str:
    return (
        f"Of {row['n']:,} texts that mention “{row['group']}”, {row['rate']:.0%} are “{row['label']}” ({row['low']:.0%} to "
        f"{row['high']:.0%}); of the texts that do not, {row['reference']:.0%}: {row['ratio']:.1f} times as often."
    )
