"""Wrong labels found: Assay beside cleanlab's Datalab, which is given five-fold probabilities of a logistic regression (C = 1) on
the same embeddings, the customary route. Embedding is left out of both costs; it has a row of its own.

Quoted on: the training files of banking77, TREC and SST-2 with planted errors; Yoruba news headlines with their natural errors
(distant supervision; the encoder is English); sets of labels, made by joining one to three training texts of banking77 or TREC.
Chosen on: the test files of banking77 and TREC, SST-2's development file, tweeteval irony, Amazon reviews and the template's
sample (see pipeline/evidence/probabilities.py), sets of labels on three of these. Nothing was chosen on what is quoted.

Not independent of the choice: that banking77's test file asks for the same 77 intents as its training file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
from corpora import annotations_table, consensus_table, corpus, examples_table
from measured.row import Row, cost, over_seeds, planted_labels, read_labelled, shared
from numpy.typing import NDArray

from pipeline.evidence.embeddings import embed
from pipeline.evidence.multi_label import out_of_sample_sets
from pipeline.evidence.neighbours import nearest
from pipeline.evidence.probabilities import best_left_out, out_of_sample, votes
from pipeline.evidence.ridge import basis
from pipeline.store import Store
from pipeline.types import Corpus, Evidence, FloatArray
from validators.label_errors import label_errors

SECTION = "label errors"
SETS = ("banking77", "trec", "sst2")
KINDS = ("uniform", "confusable", "annotator")
SHARES = (0.05, 0.1, 0.2)
SEEDS = (0, 1, 2)
NEIGHBOURS = 15  # as the evidence stage asks for
OURS, THEIRS = "Assay", "Datalab, five-fold regression"
FOLDS = 5


@dataclass
class Texts:
    """Texts with their labels, embeddings (computed once, in a folder of the system's for temporary files) and neighbours."""

    name: str
    texts: list[str]
    truth: list[str]
    embeddings: FloatArray
    neighbours: NDArray[np.int64]
    similarities: FloatArray
    embedding_cpu: float
    graph_cpu: float

    @property
    def names(self) -> list[str]:
        return sorted(set(self.truth))


def prepare(name: str, texts: list[str], truth: list[str]) -> Texts:
    with cost() as embedding:
        vectors = embed(Store(Path(tempfile.gettempdir()) / "assay_benchmarks"), "minilm", texts, threads=1)
    with cost() as graph:
        neighbours, similarities = nearest(vectors, NEIGHBOURS)
    return Texts(name, texts, truth, vectors, neighbours, similarities, embedding.cpu, graph.cpu)


def nearest_classes(data: Texts) -> dict[str, list[str]]:
    """Label → the three whose mean texts are nearest: what a person would take it for."""
    names = data.names
    means = np.stack([data.embeddings[np.array(data.truth) == name].mean(axis=0) for name in names])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    alike = means @ means.T - 2 * np.eye(len(names))
    return {name: [names[other] for other in np.argsort(-alike[row])[: min(3, len(names) - 1)]] for row, name in enumerate(names)}


def rows(*, quick: bool) -> Iterator[Row]:
    ratios: list[float] = []
    spent: dict[str, float] = {}
    for name in ("trec",) if quick else SETS:
        texts, truth, _, _ = read_labelled(name)
        if quick:
            texts, truth = texts[:1000], truth[:1000]
        data = prepare(name, texts, truth)
        cpu = data.embedding_cpu
        yield Row(SECTION, f"{name}, {len(texts)} texts", "MiniLM", "embeddings", len(texts), cpu=cpu, note="near 0 if cached")
        yield from _planted(data, SEEDS[:1] if quick else SEEDS, SHARES[1:2] if quick else SHARES, ratios, spent)
    yield from _ratios(ratios, spent)
    yield from _natural()
    yield from _sets(SEEDS[:1] if quick else SEEDS, ("trec",) if quick else ("trec", "banking77"), 400 if quick else 2000)


def _planted(
    data: Texts, seeds: tuple[int, ...], shares: tuple[float, ...], ratios: list[float], spent: dict[str, float]
) -> Iterator[Row]:
    kinds = KINDS if len(data.names) > 2 else ("uniform", "annotator")  # with two labels a confusable one is any other one
    pieces: dict[str, list[float]] = {"ridge on the embedding": [], "ridge on the words": [], "10 nearest neighbours": []}
    flags: dict[str, list[tuple[float, ...]]] = {OURS: [], THEIRS: []}
    for kind in kinds:
        for share in shares:
            runs = [_run(data, kind, share, seed) for seed in seeds]
            for method in (OURS, THEIRS):
                yield _row(data.name, kind, share, method, [run[method] for run in runs])
                flags[method] += [(*run[method]["flags"], run["wrong"]) for run in runs]
            ratios += [run[OURS]["ap"] / run[THEIRS]["ap"] for run in runs]
            for name, values in pieces.items():
                values += [run["pieces"][name] for run in runs]
            for method in (OURS, THEIRS):
                spent[method] = spent.get(method, 0) + sum(run[method]["cpu"] for run in runs)
            spent["graph"] = spent.get("graph", 0) + data.graph_cpu * len(runs)
    for name, values in pieces.items():
        yield Row(SECTION, f"{data.name}, all of these", f"{name} alone", "average precision", *over_seeds(values))
    for method, found in flags.items():
        yield from _flag_rows(f"{data.name}, all of these", method, found)


def _row(name: str, kind: str, share: float, method: str, found: list[dict[str, Any]]) -> Row:
    at_k = over_seeds([one["at_k"] for one in found])[0]
    return Row(
        SECTION, f"{name}, {share:.0%} {kind}", method, "average precision", *over_seeds([one["ap"] for one in found]),
        cpu=float(np.mean([one["cpu"] for one in found])), note=f"precision at k {at_k:.3f}",
    )  # fmt: skip


def _run(data: Texts, kind: str, share: float, seed: int) -> dict[str, Any]:
    given = planted_labels(data.truth, nearest_classes(data), kind=kind, share=share, seed=seed)
    wrong = np.array(given) != np.array(data.truth)
    return {
        OURS: _judged(wrong, *ours(data, given)),
        THEIRS: _judged(wrong, *theirs(data.embeddings, given)),
        "pieces": _pieces(data, given, wrong),
        "wrong": int(wrong.sum()),
    }


def _judged(wrong: NDArray[np.bool_], severity: NDArray[np.float64], flagged: NDArray[np.bool_], cpu: float) -> dict[str, Any]:
    """severity: (n,) higher is worse."""
    from sklearn.metrics import average_precision_score

    first = np.argsort(-severity, kind="stable")[: int(wrong.sum())]
    return {
        "ap": float(average_precision_score(wrong, severity)),
        "at_k": float(wrong[first].mean()),
        "cpu": cpu,
        "flags": (float((flagged & wrong).sum()), float(flagged.sum())),
    }


def ours(data: Texts, given: list[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_], float]:
    """(severity, flagged, CPU seconds) of the evidence stage's probabilities and the check, as they run in a project."""
    numbers = {name: number for number, name in enumerate(data.names)}
    y = np.array([numbers[label] for label in given])
    with cost() as spent:
        chances = out_of_sample(
            data.embeddings, y, np.arange(len(y)), data.neighbours, data.similarities, len(numbers), data.texts
        )
        made = _corpus(data, given, chances)
        table = label_errors.run(made).findings
    return *_by_row(table, len(y)), spent.cpu


def _corpus(data: Texts, given: list[str], chances: FloatArray) -> Corpus:
    evidence = Evidence(data.embeddings, chances, data.neighbours, data.similarities)
    said = consensus_table(given, np.nan)
    return corpus(examples_table(data.texts), annotations_table([]), labels=data.names, consensus=said, evidence=evidence)


def _by_row(table: pd.DataFrame, n: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What was not judged comes last."""
    severity, flagged = np.full(n, -1.0), np.zeros(n, bool)
    place = table["subject_id"].astype("int64").to_numpy() - 1
    severity[place], flagged[place] = table["severity"], table["flagged"]
    return severity, flagged


def theirs(embeddings: FloatArray, given: list[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_], float]:
    from cleanlab import Datalab
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    with cost() as spent:
        chances = cross_val_predict(
            LogisticRegression(C=1.0, max_iter=1000), embeddings, np.array(given), cv=FOLDS, method="predict_proba"
        )
        lab = Datalab(data={"label": given}, label_name="label", verbosity=0)
        lab.find_issues(pred_probs=chances, issue_types={"label": {}})
        found = lab.get_issues("label")
    return -found["label_score"].to_numpy(), found["is_label_issue"].to_numpy(bool), spent.cpu


def _pieces(data: Texts, given: list[str], wrong: NDArray[np.bool_]) -> dict[str, float]:
    """Average precision of each voice alone."""
    from sklearn.metrics import average_precision_score

    from pipeline.evidence.tfidf import word_vectors

    y = np.array([data.names.index(label) for label in given])
    own, rows_ = np.arange(len(y)), np.arange(len(y))
    targets = np.eye(len(data.names), dtype=np.float32)[y]
    usual = targets.mean(axis=0, dtype=np.float64)
    said = {
        "ridge on the embedding": best_left_out(basis(data.embeddings, own), targets),
        "ridge on the words": best_left_out(basis(word_vectors(data.texts), own), targets),
        "10 nearest neighbours": votes(targets, usual, y >= 0, own, data.neighbours, data.similarities),
    }
    return {name: float(average_precision_score(wrong, -scores[rows_, y])) for name, scores in said.items()}


def _flag_rows(data: str, method: str, found: list[tuple[float, ...]]) -> Iterator[Row]:
    right, listed, wrong = (np.array(column) for column in zip(*found, strict=True))
    yield Row(SECTION, data, method, "precision of the flags", *over_seeds(list(right / np.maximum(listed, 1))))
    yield Row(SECTION, data, method, "recall of the flags", *over_seeds(list(right / wrong)))


def _ratios(ratios: list[float], spent: dict[str, float]) -> Iterator[Row]:
    data, both = f"{len(ratios)} runs", f"{OURS} / {THEIRS}"
    below = f"{np.mean(np.array(ratios) < 1):.0%} of the runs below 1"
    graph = (spent[OURS] + spent["graph"]) / spent[THEIRS]
    yield Row(SECTION, data, both, "ratio of average precision", *over_seeds(ratios), note="interval over runs")
    yield Row(SECTION, data, both, "worst ratio", min(ratios), note=below)
    yield Row(SECTION, data, both, "ratio of CPU", spent[OURS] / spent[THEIRS], cpu=spent[OURS])
    yield Row(SECTION, data, both, "ratio of CPU with the neighbour graph, which other checks share", graph)


def _natural() -> Iterator[Row]:
    """Yoruba headlines: the labels of a keyword rule, beside those of people."""
    clean, noisy = (shared("yoruba_newsclass_noisy", f"train_clean{end}.tsv") for end in ("", "_noisy_labels"))
    if clean is None or noisy is None:
        return
    table = pd.read_csv(clean, sep="\t").assign(given=pd.read_csv(noisy, sep="\t")["label"])
    data = prepare("yoruba news", table["news_title"].astype(str).tolist(), table["label"].tolist())
    given = table["given"].tolist()
    wrong = np.array(given) != np.array(data.truth)
    found = {OURS: ours(data, given), THEIRS: theirs(data.embeddings, given)}
    for method, (severity, flagged, cpu) in found.items():
        judged = _judged(wrong, severity, flagged, cpu)
        right, listed = judged["flags"]
        flags = f"flags: precision {right / max(listed, 1):.2f}, recall {right / wrong.sum():.2f}"
        name, note = f"yoruba news, {wrong.mean():.0%} natural", f"precision at k {judged['at_k']:.3f}; {flags}; bootstrap"
        yield Row(SECTION, name, method, "average precision", judged["ap"], *_bootstrapped(wrong, severity), cpu, note)


def _bootstrapped(wrong: NDArray[np.bool_], severity: NDArray[np.float64]) -> tuple[float, float]:
    from sklearn.metrics import average_precision_score

    random = np.random.default_rng(0)
    draws = [random.integers(0, len(wrong), len(wrong)) for _ in range(300)]
    low, high = np.quantile([average_precision_score(wrong[draw], severity[draw]) for draw in draws], [0.025, 0.975])
    return float(low), float(high)


def _sets(seeds: tuple[int, ...], names: tuple[str, ...], n: int) -> Iterator[Row]:
    """A tenth of the sets lacks a label or has one too many."""
    peer = "cleanlab, five-fold one-vs-rest regressions"
    for name in names:
        data, held, labels = _joined(name, n)
        runs: dict[str, list[dict[str, Any]]] = {OURS: [], peer: []}
        right: list[float] = []
        for seed in seeds:
            given = _spoilt(held, seed)
            wrong = (given != held).any(axis=1)
            severity, flagged, cpu, exact = _our_sets(data, given, held, labels)
            runs[OURS].append(_judged(wrong, severity, flagged, cpu))
            right.append(exact)
            runs[peer].append(_judged(wrong, *_their_sets(data.embeddings, given)))
        for method, found in runs.items():
            row = _row(f"{name}, sets of up to 3 of {len(labels)} labels", "missing or added", 0.1, method, found)
            yield row
            yield from _flag_rows(row.data, method, [(*one["flags"], wrong.sum()) for one in found])
        yield Row(SECTION, row.data, OURS, "share of found sets whose suggestion is right", *over_seeds(right))


def _joined(name: str, n: int) -> tuple[Texts, NDArray[np.bool_], list[str]]:
    texts, truth, _, _ = read_labelled(name)
    random, labels = np.random.default_rng(0), sorted(set(truth))
    joined, held = [], np.zeros((n, len(labels)), bool)
    for row in range(n):
        chosen = random.choice(len(texts), random.choice([1, 2, 3], p=[0.4, 0.4, 0.2]), replace=False)
        joined.append(" ".join(texts[one] for one in chosen))
        held[row, [labels.index(truth[one]) for one in chosen]] = True
    return prepare(name, joined, []), held, labels


def _spoilt(held: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    random, given = np.random.default_rng(seed), held.copy()
    for row in random.permutation(len(held))[: len(held) // 10]:
        lose = held[row].sum() > 1 and random.random() < 0.5
        column = random.choice(np.flatnonzero(held[row] if lose else ~held[row]))
        given[row, column] = not given[row, column]
    return given


def _our_sets(
    data: Texts, given: NDArray[np.bool_], held: NDArray[np.bool_], labels: list[str]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], float, float]:
    n, known = len(given), np.ones(len(given), bool)
    with cost() as spent:
        chances = out_of_sample_sets(
            data.embeddings, given, known, np.arange(n), data.neighbours, data.similarities, data.texts
        )
        answers = [orjson.dumps([name for name, use in zip(labels, row, strict=True) if use]).decode() for row in given]
        made = corpus(
            examples_table(data.texts), annotations_table([]), labels=(), vocabulary=tuple(labels),
            consensus=consensus_table(["x"] * n, np.nan).assign(answer=answers),
            evidence=Evidence(data.embeddings, chances, data.neighbours, data.similarities),
        )  # fmt: skip
        table = label_errors.run(made).findings
    severity, flagged = _by_row(table, n)
    suggested = dict(zip(table["subject_id"].astype("int64") - 1, table["suggestion"], strict=True))
    found = np.flatnonzero(flagged & (given != held).any(axis=1))
    exact = [suggested[row] == orjson.dumps([labels[one] for one in np.flatnonzero(held[row])]).decode() for row in found]
    return severity, flagged, spent.cpu, float(np.mean(exact)) if exact else 0.0


def _their_sets(
    embeddings: FloatArray, given: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], float]:
    from cleanlab.multilabel_classification import get_label_quality_scores
    from cleanlab.multilabel_classification.filter import find_label_issues
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.multiclass import OneVsRestClassifier

    with cost() as spent:
        model = OneVsRestClassifier(LogisticRegression(C=1.0, max_iter=1000))
        chances = cross_val_predict(model, embeddings, given.astype(int), cv=FOLDS, method="predict_proba")
        said = [np.flatnonzero(row).tolist() for row in given]
        quality = get_label_quality_scores(said, chances)
        flagged = find_label_issues(said, chances, n_jobs=1)
    return -quality, np.asarray(flagged, bool), spent.cpu
