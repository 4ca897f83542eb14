"""Texts of another set planted among those of one: does the ranking put them first, and what is flagged?

The score and its bar were chosen on banking77 with TREC's questions and on TREC with tweets (irony) and with banking questions.
Quoted are five other pairs, among them such that lie close to each other (reviews among tweets) and such that come as a tight
crowd (banking questions among reviews), which neighbours alone hardly find. cleanlab gets the same neighbours as a graph.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

import numpy as np
from measured.duplicates import evidence
from measured.row import Row, cost, over_seeds, read_labelled, shared

from pipeline.evidence.outlying import outlying
from pipeline.types import Evidence
from validators.outliers import Z

PAIRS = (("sst2", "yoruba"), ("banking77", "irony"), ("irony", "sst2"), ("sst2", "banking77"), ("yoruba", "sst2"))
SHARES = (0.01, 0.05)
MOST = 5000


def rows(*, quick: bool) -> Iterator[Row]:
    everything: dict[tuple[str, str, float], list[float]] = {}
    for home, foreign in PAIRS[:1] if quick else PAIRS:
        for share in SHARES:
            found: dict[tuple[str, str], list[float]] = {}
            for seed in range(1 if quick else 3):
                for name, scores in _scores(_texts(home), _texts(foreign), share, seed).items():
                    for measure, value in scores.items():
                        found.setdefault((name, measure), []).append(value)
                        everything.setdefault((name, measure, share), []).append(value)
            for (name, measure), values in found.items():
                if measure in ("AUROC", "average precision"):
                    yield Row("outliers", f"{home}, {share:.0%} of {foreign}", name, measure, *over_seeds(values))
    for (name, measure, share), values in everything.items():
        if measure != "CPU":
            cpu = float(np.mean(everything[name, "CPU", share]))
            yield Row("outliers", f"all pairs, {share:.0%}", name, measure, *over_seeds(values), cpu=cpu)


def _scores(home: list[str], foreign: list[str], share: float, seed: int) -> dict[str, dict[str, float]]:
    random = np.random.default_rng(seed)
    kept = [home[row] for row in random.permutation(len(home))[:MOST]]
    count = round(share * len(kept) / (1 - share))
    texts = kept + [foreign[row] for row in random.permutation(len(foreign))[:count]]
    truth = np.arange(len(texts)) >= len(kept)
    given = evidence(texts)
    with cost() as ours:
        found = outlying(texts, given)
    with cost() as theirs:
        score, flagged = _cleanlab(given)
    return {
        "Assay": _measures(truth, found.total, found.total >= Z, ours.cpu),
        "cleanlab": _measures(truth, -score, flagged, theirs.cpu),
    }


def _measures(truth: np.ndarray, score: np.ndarray, flagged: np.ndarray, cpu: float) -> dict[str, float]:
    from sklearn.metrics import average_precision_score, roc_auc_score

    worst = np.argsort(-score, kind="stable")[: truth.sum()]
    return {
        "AUROC": float(roc_auc_score(truth, score)), "average precision": float(average_precision_score(truth, score)),
        "precision at as many as were planted": float(truth[worst].mean()), "recall of flagged": float(flagged[truth].mean()),
        "false alarms among the set's own": float(flagged[~truth].mean()), "CPU": cpu,
    }  # fmt: skip


def _cleanlab(given: Evidence) -> tuple[np.ndarray, np.ndarray]:
    from cleanlab import Datalab
    from scipy.sparse import csr_matrix

    n, k = given.neighbours.shape
    distance = np.clip(1 - given.similarities.astype(np.float64), 0, None).ravel()
    graph = csr_matrix((distance, given.neighbours.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))
    lab = Datalab(data={"row": list(range(n))}, verbosity=0)
    lab.find_issues(knn_graph=graph, issue_types={"outlier": {}})
    table = lab.get_issues("outlier")
    return table["outlier_score"].to_numpy(), table["is_outlier_issue"].to_numpy()


def _texts(name: str) -> list[str]:
    """The distinct texts of a set that are not blank."""
    if name == "irony":
        files = [shared("tweeteval_irony", f"irony_{part}_text.txt") for part in ("train", "val", "test")]
        found = [line for file in files if file is not None for line in file.read_text(encoding="utf-8").splitlines()]
    elif name == "yoruba":
        file = shared("yoruba_newsclass_noisy", "train_clean.tsv")
        assert file is not None, "the shared data is absent"
        with file.open(encoding="utf-8", newline="") as handle:
            found = [row["news_title"] for row in csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)]
    else:
        train, _, test, _ = read_labelled(name)
        found = [*train, *test]
    return [text for text in dict.fromkeys(found) if text.strip()]
