"""Streams of banking questions in random order, and such that change halfway: how often does the drift check flag?

Bars are conventions (see validators/drift.py), none was chosen on these data. No peer for text that runs without a download.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from corpora import annotations_table
from measured.duplicates import evidence
from measured.row import Row, cost, read_labelled
from planted import corpus_of

from pipeline.statistics import wilson
from pipeline.types import Corpus, Evidence
from validators.drift import drift

SIZE = 600  # six periods of a hundred
SHIFTS = {
    "nothing changes": (0.0, 0.0),
    "from halfway, 20 % of the texts are TREC's": (0.2, 0.0),
    "from halfway, 40 % of the texts are TREC's": (0.4, 0.0),
    "from halfway, 30 % of the questions come from 20 of 77 intents": (0.0, 0.3),
    "from halfway, 60 % of the questions come from 20 of 77 intents": (0.0, 0.6),
}


def rows(*, quick: bool) -> Iterator[Row]:
    train, labels, test, others = read_labelled("banking77")
    foreign = read_labelled("trec")[0]
    texts, given = np.array([*train, *test, *foreign]), np.array([*labels, *others, *[""] * len(foreign)])
    vectors = evidence(texts.tolist()).embeddings
    for name, (away, moved) in SHIFTS.items():
        runs = 3 if quick else 200 if not away + moved else 50
        flagged, below, tests, cpu = 0, 0, 0, 0.0
        for seed in range(runs):
            made = _stream(texts, given, vectors, away, moved, seed)
            with cost() as spent:
                report = drift.run(made)
            cpu += spent.cpu
            flagged += bool(report.findings["flagged"].any())
            below += sum(test["p"] < 0.05 for test in report.facts["tests"])
            tests += len(report.facts["tests"])
        measure = "power" if away + moved else "false alarms"
        yield _row(f"{SIZE} banking questions, {name}", f"{measure}, streams flagged", flagged, runs, cpu / runs)
        if not away + moved:
            yield _row(f"{SIZE} banking questions, {name}", "single comparisons with p below .05", below, tests, cpu / runs)


def _row(data: str, measure: str, hits: int, n: int, cpu: float) -> Row:
    share = wilson(hits, n)
    return Row("drift", data, "Assay", measure, share.value, share.low, share.high, cpu, f"{hits} of {n}")


def _stream(texts: np.ndarray, labels: np.ndarray, vectors: np.ndarray, away: float, moved: float, seed: int) -> Corpus:
    random = np.random.default_rng(seed)
    home, foreign = np.flatnonzero(labels != ""), np.flatnonzero(labels == "")
    chosen = random.permutation(home)[:SIZE]
    few = home[np.isin(labels[home], random.permutation(np.unique(labels[home]))[:20])]
    late = np.arange(SIZE) >= SIZE // 2
    for share, pool in ((away, foreign), (moved, few)):
        hit = late & (random.random(SIZE) < share)
        chosen[hit] = random.choice(pool, int(hit.sum()), replace=False)
    said = [label or "none" for label in labels[chosen].tolist()]
    none = Evidence(vectors[chosen], np.zeros((SIZE, 0), np.float32), np.full((SIZE, 1), -1), np.zeros((SIZE, 1), np.float32))
    made = corpus_of(texts[chosen].tolist(), labels=said, evidence=none)
    return replace(made, annotations=annotations_table([(row + 1, "anna", label, 1.0) for row, label in enumerate(said)]))
