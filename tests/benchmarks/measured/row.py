"""One line of the table of measurements, and what a part of it costs."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Row:
    """value, with the ends of its interval where there is one; cpu: seconds of this process and its children."""

    section: str  # "label errors", "consensus", ...
    data: str  # the data set, and what was done to it
    method: str
    measure: str  # "average precision", "accuracy", ...
    value: float
    low: float | None = None
    high: float | None = None
    cpu: float | None = None
    note: str = ""


@dataclass
class Cost:
    cpu: float = 0.0
    wall: float = 0.0


@contextmanager
def cost() -> Iterator[Cost]:
    """CPU and wall seconds spent inside the block, filled in at its end."""
    spent, before, start = Cost(), os.times(), time.perf_counter()
    yield spent
    after = os.times()
    spent.cpu = sum(after[:4]) - sum(before[:4])
    spent.wall = time.perf_counter() - start


def over_seeds(values: list[float]) -> tuple[float, float, float]:
    """Mean with the 95 % interval of Student's t over seeds; the value itself thrice where there is one seed only."""
    from scipy.stats import t

    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, mean, mean
    half = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return mean, mean - half, mean + half


def shared(*parts: str) -> Path | None:
    """A file of the shared data, None where it is absent."""
    root = Path(os.environ.get("ASSAY_SHARED", Path(__file__).parents[4] / "shared"))
    file = root.joinpath("data", *parts)
    return file if file.exists() else None


def planted_labels(
    truth: list[str], similar: dict[str, list[str]], *, kind: str, share: float, seed: int, annotators: int = 12
) -> list[str]:
    """Labels with a share of them wrong. kind: "uniform" (any other label), "confusable" (one of the `similar` labels of the
    true one), "annotator" (texts go to annotators with error rates of their own, from 0 to about 3 × share, each with
    wrong labels of their own liking)."""
    random = np.random.default_rng(seed)
    names = sorted(set(truth))
    given = list(truth)
    if kind == "annotator":
        rates = random.gamma(1.0, 1.0, annotators)
        who = random.integers(0, annotators, len(truth))
        chance = np.clip(rates[who] / rates[who].mean() * share, 0, 0.9)
        habit = {
            (person, label): str(random.choice([name for name in names if name != label]))
            for person in range(annotators)
            for label in names
        }
        hit = random.random(len(truth)) < chance
        for row in np.flatnonzero(hit):
            own = random.random() < 0.7
            options = [name for name in names if name != truth[row]]
            given[row] = habit[int(who[row]), truth[row]] if own else str(random.choice(options))
        return given
    for row in random.permutation(len(truth))[: round(share * len(truth))]:
        options = similar[truth[row]] if kind == "confusable" else [name for name in names if name != truth[row]]
        given[row] = str(options[random.integers(len(options))])
    return given


def read_labelled(name: str) -> tuple[list[str], list[str], list[str], list[str]]:
    """(train texts, train labels, test texts, test labels) of banking77, trec or sst2."""
    if name == "banking77":
        parts = []
        for split in ("train", "test"):
            file = shared("banking77", f"{split}.csv")
            assert file is not None, "the shared data is absent"
            with file.open(encoding="utf-8", newline="") as handle:
                rows = list(csv.DictReader(handle))
            parts += [[row["text"] for row in rows], [row["category"] for row in rows]]
        return parts[0], parts[1], parts[2], parts[3]
    files = {"trec": ("TREC.train.all", "TREC.test.all"), "sst2": ("stsa.binary.train", "stsa.binary.test")}[name]
    parts = []
    for file_name in files:
        file = shared(name, file_name)
        assert file is not None, "the shared data is absent"
        pairs = [line.split(" ", 1) for line in file.read_text(encoding="latin-1").splitlines() if " " in line]
        parts += [[text for _, text in pairs], [label for label, _ in pairs]]
    return parts[0], parts[1], parts[2], parts[3]
