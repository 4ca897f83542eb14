"""Labels that one annotator gives more often in one slice group than the others do."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.consensus.habits.answers import MIN_COUNT, NOBODY, Answers, Index, Row, rated, shared
from pipeline.statistics import holm, stratified_excess


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
    mine, rest = shared(answers, person, without)
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
            **rated(int(counts[g, label]), int(size[g])), "others": float(usual[g, label] / size[g]), "n": int(size[g]),
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
