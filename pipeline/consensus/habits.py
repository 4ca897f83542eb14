"""What each annotator does differently from the others.

Each answer is held against what the *other* annotators' answers to the same example say (leave one out), so that nobody
is judged by their own vote. Each function gives rows with numbers and `flagged`; a person is flagged only on effect size
and on a p-value corrected by Holm, because a wrong name costs more than a missed one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.consensus.aggregation import Votes, as_votes, solve
from pipeline.statistics import cohens_h, holm, more_often, stratified_excess, wilson

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Row = dict[str, Any]
LONG_RUN = 8  # shorter runs happen by chance with any label that makes up a third
MIN_COUNT = 5  # a habit seen fewer times is an anecdote; also what the normal approximation wants


@dataclass(frozen=True)
class Answers:
    """Votes with what the others say.

    reference: (v,) the label that the others' answers to the same example speak for, -1 where they are tied or absent.
    right: (v,) probability that the answer is right, by all answers. counts: (n, K) answers per example and label.
    examples: (n,) example ids in index order.
    """

    votes: Votes
    people: list[str]
    labels: list[str]
    reference: Index
    right: Array
    counts: Array
    examples: Index


def answers_of(table: pd.DataFrame, labels: tuple[str, ...]) -> Answers:
    """`table`: example_id, annotator, label, one row per annotator and example. The others' answers are weighed by how
    reliable each of them is (one accuracy per annotator)."""
    names = sorted({*labels, *table["label"]})
    votes, ids, people = as_votes(table, tuple(names))
    posterior = solve(votes, "one_coin")
    best = posterior.own.max(axis=1, keepdims=True)
    single = np.isclose(posterior.own, best, rtol=0, atol=1e-9).sum(axis=1) == 1  # a comparison with NaN is false
    reference = np.where(single, posterior.own.argmax(axis=1), -1)
    right = posterior.probabilities[votes.example, votes.label]
    counts = np.zeros((votes.examples, votes.labels))
    np.add.at(counts, (votes.example, votes.label), 1.0)
    return Answers(votes, [str(item) for item in people], names, reference, right, counts, ids)


def _shared(answers: Answers, person: int, without: Index) -> tuple[Index, Array]:
    """The person's votes on examples that others answered too, and the others' share of each label there (m, K); the
    people in `without` do not count."""
    votes = answers.votes
    counts = answers.counts.copy() if len(without) else answers.counts
    gone = np.isin(votes.annotator, without)
    np.subtract.at(counts, (votes.example[gone], votes.label[gone]), 1.0)
    mine = np.flatnonzero(votes.annotator == person)
    rest = counts[votes.example[mine]] - np.eye(votes.labels)[votes.label[mine]]
    size = rest.sum(axis=1, keepdims=True)
    keep = size[:, 0] > 0
    return mine[keep], rest[keep] / size[keep]


NOBODY = np.array([], np.int64)


def _rate(hits: int, size: int) -> dict[str, float]:
    interval = wilson(hits, size)
    return {"rate": interval.value, "low": interval.low, "high": interval.high}


def agreement(answers: Answers, *, alpha: float, min_effect: float) -> list[Row]:
    """How often each annotator agrees with the others' answer. Flagged if a binomial test puts that below the rest's pooled
    rate, and if the estimated accuracy is lower by Cohen's h: the rates themselves lie closer together, because the
    others' answer is sometimes wrong, the more so the fewer they are."""
    from scipy.stats import binom

    votes, judged = answers.votes, answers.reference >= 0
    agreed = judged & (answers.reference == votes.label)
    size = np.bincount(votes.annotator[judged], minlength=votes.annotators)
    hits = np.bincount(votes.annotator[agreed], minlength=votes.annotators)
    sure = np.bincount(votes.annotator[judged], answers.right[judged], minlength=votes.annotators)
    rest = (hits.sum() - hits) / np.maximum(size.sum() - size, 1)
    p = holm(np.clip(binom.cdf(hits, size, rest), 0, 1))
    accuracy, others = sure / np.maximum(size, 1), (sure.sum() - sure) / np.maximum(size.sum() - size, 1)
    low = (p < alpha) & (size < size.sum())
    far = cohens_h(others, accuracy) >= min_effect
    return [
        {
            "annotator": answers.people[i], "judged": int(size[i]), **_rate(int(hits[i]), int(size[i])),
            "others": float(rest[i]), "accuracy": float(accuracy[i]), "others_accuracy": float(others[i]), "p": float(p[i]),
            "low_agreement": bool(low[i]), "flagged": bool(low[i] and far[i]),
        }
        for i in np.flatnonzero(size)
    ]


def confusions(answers: Answers, *, alpha: float, min_effect: float) -> list[Row]:
    """Pairs (given, the others' label) that an annotator produces more often than the other annotators do."""
    votes, seen = answers.votes, answers.reference >= 0
    cells = np.zeros((votes.annotators, votes.labels, votes.labels), np.int64)  # [annotator, given, reference]
    np.add.at(cells, (votes.annotator[seen], votes.label[seen], answers.reference[seen]), 1)
    size = cells.sum(axis=1)
    who, given, said = np.nonzero(cells * (1 - np.eye(votes.labels, dtype=np.int64)))
    hits, n = cells[who, given, said], size[who, said]
    other_hits, other_n = cells.sum(0)[given, said] - hits, size.sum(0)[said] - n
    p = holm(more_often(hits, n, other_hits, other_n), tests=votes.annotators * votes.labels * (votes.labels - 1))
    usual = other_hits / np.maximum(other_n, 1)
    flagged = (p < alpha) & (cohens_h(hits / n, usual) >= min_effect) & (hits >= MIN_COUNT) & (other_n > 0)
    return [
        {
            "annotator": answers.people[who[i]], "given": answers.labels[given[i]], "consensus": answers.labels[said[i]],
            "count": int(hits[i]), "n": int(n[i]), **_rate(int(hits[i]), int(n[i])), "others": float(usual[i]),
            "p": float(p[i]), "flagged": bool(flagged[i]),
        }
        for i in range(len(who))
    ]


def bias(answers: Answers, examples: pd.DataFrame, *, slices: tuple[str, ...], alpha: float, min_bias: float) -> list[Row]:
    """A label given more often inside a slice group than outside it: each answer less the others' share of that label on
    the same example, among examples for which the others speak for the same label. So neither the mix of labels in a
    group, nor how hard its examples are, nor a habit that holds everywhere looks like bias."""
    from scipy.stats import norm

    rows: list[Row] = []
    tests = 0
    for name in slices:
        group, names = _groups(answers, examples, name)
        for person in range(answers.votes.annotators):
            found, cells = _person_bias(answers, group, names, name, person, NOBODY)
            rows, tests = rows + found, tests + cells
    p = holm(norm.sf([row["z"] for row in rows]), tests=tests)
    rows = [
        {**row, "p": float(q), "flagged": bool(q < alpha and row["difference"] >= min_bias)}
        for row, q in zip(rows, p, strict=True)
    ]
    limit = float(norm.isf(alpha / max(tests, 1)))
    return _without_echoes(answers, examples, rows, limit, min_bias)


def _groups(answers: Answers, examples: pd.DataFrame, name: str) -> tuple[Index, list[str]]:
    value = examples.set_index("example_id").loc[answers.examples, name]
    codes, names = pd.factorize(value.mask(value.isna() | (value == "")), sort=True)
    return np.asarray(codes, np.int64), [str(item) for item in names]


def _person_bias(
    answers: Answers, group: Index, names: list[str], slice_name: str, person: int, without: Index
) -> tuple[list[Row], int]:
    """The cells in which the person gives a label more often, and how many cells there were to look at."""
    votes = answers.votes
    mine, rest = _shared(answers, person, without)
    mine, rest = mine[(inside := group[votes.example[mine]] >= 0)], rest[inside]
    if not len(mine):
        return [], 0
    said, place = np.eye(votes.labels)[votes.label[mine]], group[votes.example[mine]]
    difference, z = stratified_excess(said - rest, answers.reference[mine], place, len(names))
    size = np.bincount(place, minlength=len(names))
    counts, usual = np.zeros((2, len(names), votes.labels))
    np.add.at(counts, place, said)
    np.add.at(usual, place, rest)
    enough = (counts >= MIN_COUNT) & np.isfinite(z)
    rows = [
        {
            "annotator": answers.people[person], "slice": slice_name, "group": names[g], "label": answers.labels[label],
            **_rate(int(counts[g, label]), int(size[g])), "others": float(usual[g, label] / size[g]), "n": int(size[g]),
            "difference": float(difference[g, label]), "z": float(z[g, label]),
        }
        for g, label in zip(*np.nonzero(enough & (difference > 0)), strict=True)
    ]
    return rows, int(enough.sum())


def _without_echoes(
    answers: Answers, examples: pd.DataFrame, rows: list[Row], limit: float, min_bias: float
) -> list[Row]:
    """Take back what is only the echo of a stronger bias, strongest first: where few answer each example, one person's bias
    in a group makes the others look biased the other way there, and a label given more often in one group is given
    less often in the rest. A flag stays if it holds against the others without those already named, and if it is about
    the label for which the person is named in this slice."""
    kept: dict[tuple[str, str], str] = {}
    for row in sorted((row for row in rows if row["flagged"]), key=lambda row: -row["z"]):
        own = (row["annotator"], row["slice"])
        stronger = sorted({person for person, name in kept if name == row["slice"]} - {row["annotator"]})
        if stronger and own not in kept:
            row["flagged"] = _holds(answers, examples, row, stronger, limit, min_bias)
        if row["flagged"] and kept.setdefault(own, row["label"]) != row["label"]:
            row["flagged"] = False
    return rows


def _holds(
    answers: Answers, examples: pd.DataFrame, row: Row, without: list[str], limit: float, min_bias: float
) -> bool:
    person, gone = answers.people.index(row["annotator"]), np.flatnonzero(np.isin(answers.people, without))
    group, names = _groups(answers, examples, row["slice"])
    again, _ = _person_bias(answers, group, names, row["slice"], person, gone)
    same = [item for item in again if (item["group"], item["label"]) == (row["group"], row["label"])]
    return any(item["z"] > limit and item["difference"] >= min_bias for item in same)


def speed(agreement: list[Row], annotations: pd.DataFrame, *, quick: float) -> list[Row]:
    """Median seconds an answer against the median of the others' medians. To be quick is a fault only together with an
    agreement below the rest's."""
    seconds = pd.to_numeric(annotations["seconds"], errors="coerce")
    median = seconds[seconds > 0].groupby(annotations["annotator"].astype("str")).median()
    rows = []
    for row in agreement:
        others = float(median.drop(row["annotator"], errors="ignore").median())
        if row["annotator"] in median and others > 0:
            own = float(median[row["annotator"]])
            flagged = bool(own < quick * others and row["low_agreement"])
            shown = {"seconds": own, "others": others, "ratio": own / others, "agreement": row["rate"]}
            rows.append({"annotator": row["annotator"], **shown, "flagged": flagged})
    return rows


def runs(answers: Answers, annotations: pd.DataFrame, *, alpha: float) -> list[Row]:
    """Runs of one answer, in the order given, of which the others share at most half. p is at most the number of places where
    a run could begin, over all people and labels, times the chance of so many in a row at the label's usual rate: the
    others' or the person's own outside the run, whichever is higher."""
    votes, rows = answers.votes, []
    order = _order(answers, annotations)
    for person in range(votes.annotators):
        mine = order[votes.annotator[order] == person]
        same = votes.label[mine]
        usual = _shared(answers, person, NOBODY)[1].sum(axis=0) / max(len(mine), 1)
        for start, length in _stretches(same):
            label, told = same[start], answers.reference[mine[start : start + length]]
            own = ((same == label).sum() - length) / max(len(mine) - length, 1)
            chance = max(own, usual[label], 1 / (len(mine) + 1)) ** length
            p = min(1.0, votes.annotators * votes.labels * len(mine) * float(chance))
            agree = float((told == label).sum() / max((told >= 0).sum(), 1))
            if p < alpha and agree <= 0.5 and (told >= 0).sum() >= LONG_RUN:
                shown = {"label": answers.labels[label], "length": length, "agree": agree, "p": p, "flagged": True}
                rows.append({"annotator": answers.people[person], **shown})
    return rows


def _order(answers: Answers, annotations: pd.DataFrame) -> Index:
    """Vote numbers in the order in which the answers were given."""
    given = annotations.sort_values(["created_at", "annotation_id"])
    pairs = zip(given["example_id"].tolist(), given["annotator"].astype("str").tolist(), strict=True)
    place = {pair: number for number, pair in enumerate(pairs)}
    votes = answers.votes
    mine = zip(answers.examples[votes.example].tolist(), (answers.people[i] for i in votes.annotator), strict=True)
    return np.argsort([place[pair] for pair in mine], kind="stable")


def _stretches(labels: Index) -> list[tuple[int, int]]:
    """(start, length) of every run of at least LONG_RUN equal labels."""
    edges = np.flatnonzero(np.diff(labels, prepend=-1, append=-1))
    return [(int(start), int(end - start)) for start, end in pairwise(edges) if end - start >= LONG_RUN]


def distribution(answers: Answers) -> list[Row]:
    """How often each annotator gives each label, against the others on the same examples. Never flagged: on Snow's RTE such
    a test named many good annotators (accuracy .72), where agreement with the others named the bad ones (.53)."""
    votes, rows = answers.votes, []
    for person in range(votes.annotators):
        mine, rest = _shared(answers, person, NOBODY)
        if len(mine):
            own = np.bincount(votes.label[mine], minlength=votes.labels) / len(mine)
            pairs = zip(answers.labels, own.tolist(), rest.mean(axis=0).tolist(), strict=True)
            shown = [{"label": label, "rate": a, "others": b, "difference": a - b} for label, a, b in pairs]
            rows += [{"annotator": answers.people[person], **item} for item in shown]
    return rows
