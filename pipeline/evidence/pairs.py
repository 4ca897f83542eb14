"""Comparisons of two responses, as a table: what stood on which side, and what people chose there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import pandas as pd

from pipeline.types import Corpus

OTHER = {"a": "b", "b": "a"}


def pairs(corpus: Corpus) -> pd.DataFrame:
    """One row per example whose two responses can be read: example_id, prompt, left, right (texts), shown ("a" or "b": which of
    them is on the left), words_left, words_right."""
    from pipeline.tasks.pairwise_preference import responses

    columns = ["example_id", "prompt", "left", "right", "shown"]
    if corpus.scheme is None:
        return pd.DataFrame(columns=[*columns, "words_left", "words_right"])
    rows = []
    for example, data in zip(corpus.examples["example_id"], corpus.examples["data"], strict=True):
        found = responses(orjson.loads(data), corpus.scheme)
        if found is not None:
            rows.append((int(example), *found, corpus.left.get(int(example), "a")))
    table = pd.DataFrame(rows, columns=columns).sort_values("example_id", ignore_index=True)
    for side in ("left", "right"):
        table[f"words_{side}"] = [len(text.split()) for text in table[side]]
    return table


def choices(corpus: Corpus, table: pd.DataFrame) -> pd.DataFrame:
    """One row per annotator and example of `table`: example_id, annotator, side ("left", "right" or "tie"), longer (True if the
    longer response was chosen, None for a tie or equal lengths)."""
    from pipeline.consensus.build import latest_answers

    given = latest_answers(corpus.annotations)[["example_id", "annotator", "label"]].merge(table, on="example_id")
    side = np.where(given["label"] == "tie", "tie", np.where(given["label"] == given["shown"], "left", "right"))
    more = given["words_left"].to_numpy() - given["words_right"].to_numpy()
    chosen = np.where(side == "left", more, -more)
    undecided = (side == "tie") | (more == 0)
    given["side"] = side
    given["longer"] = [None if blank else bool(value > 0) for blank, value in zip(undecided, chosen, strict=True)]
    return given[["example_id", "annotator", "side", "longer"]]


def preferred(answer: str, row: Mapping[str, str]) -> tuple[str, str] | None:
    """(the better response, the worse one) by an answer "a" or "b"; None for a tie."""
    if answer == "tie":
        return None
    first, second = (row["left"], row["right"]) if answer == row["shown"] else (row["right"], row["left"])
    return first, second


SIGNS = ("\n", "*", "#", "`", "?", "!", ",", ".", ":", ";", "(", '"')


def surface(corpus: Corpus, table: pd.DataFrame) -> dict[str, Any]:
    """How well the surface of two responses (their lengths, how often each of SIGNS and digits occur) tells which is preferred:
    the area under the ROC curve (auc, 0.5 is chance, 1 is perfectly) by ridge regression that leaves each pair out, with its
    interval (Hanley and McNeil, 1982), n pairs. None for fewer than 40 preferences: the interval would hold nearly everything.
    What a model of rewards can learn without reading. On hh-rlhf's harmless set .60 was measured."""
    labels = corpus.labelled()[["example_id", "label"]]
    judged = table.merge(labels[labels["label"] != "tie"], on="example_id").sort_values("example_id")
    chosen = (judged["label"] == judged["shown"]).to_numpy()
    n, positive = len(chosen), int(chosen.sum())
    if n < 40 or not 0 < positive < n:
        return {"auc": None, "low": None, "high": None, "n": n}
    x = np.array([_features(left) - _features(right) for left, right in zip(judged["left"], judged["right"], strict=True)])
    x = x / np.maximum(x.std(0), 1e-9)
    hat = x @ np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T)  # no intercept: with the sides exchanged it says the opposite
    y = np.where(chosen, 1.0, -1.0)
    score = (hat @ y - np.diag(hat) * y) / (1 - np.diag(hat))
    auc = float((score[chosen][:, None] > score[~chosen]).mean() + 0.5 * (score[chosen][:, None] == score[~chosen]).mean())
    first, second = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (positive - 1) * (first - auc**2) + (n - positive - 1) * (second - auc**2)
    half = 1.959964 * np.sqrt(max(spread, 0) / (positive * (n - positive)))
    return {"auc": auc, "low": float(max(0.0, auc - half)), "high": float(min(1.0, auc + half)), "n": n}


def _features(text: str) -> Any:
    counts = [text.count(sign) for sign in SIGNS] + [sum(letter.isdigit() for letter in text), len(text.split()), len(text)]
    return np.log1p(np.array(counts, np.float64))
