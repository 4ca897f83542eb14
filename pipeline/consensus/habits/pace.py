"""How quickly an annotator answers, and runs of one answer."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from pipeline.consensus.habits.answers import NOBODY, Answers, Index, Row, shared

LONG_RUN = 8  # shorter runs happen by chance with any label that makes up a third


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
    others' on the shared examples or the person's own outside the run, whichever is higher."""
    votes, rows = answers.votes, []
    order = _order(answers, annotations)
    for person in range(votes.annotators):
        mine = order[votes.annotator[order] == person]
        same = votes.label[mine]
        rest = shared(answers, person, NOBODY)[1]
        usual = rest.sum(axis=0) / max(len(rest), 1)
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
