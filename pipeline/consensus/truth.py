"""What somebody has decided: ground truth, and how the annotators' answers compare with it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import orjson
import pandas as pd

from pipeline.consensus.votes import Array


def truths(annotations: pd.DataFrame) -> pd.DataFrame:
    """The annotations that are ground truth (example_id, annotation_id, annotator, answer, updated_at), where an example has
    exactly one. Label Studio marks every imported annotation as ground truth unless told otherwise; a project in which all
    are marked has told us nothing."""
    given = annotations[(annotations["answer"] != "") & ~annotations["cancelled"]]
    columns = ["example_id", "annotation_id", "annotator", "answer", "updated_at"]
    if given["ground_truth"].all():
        return given[columns].iloc[:0]
    return given[given["ground_truth"]].drop_duplicates("example_id", keep=False)[columns].reset_index(drop=True)


def put(table: pd.DataFrame, decided: Mapping[int, str], method: str) -> None:
    """Write decided answers (example id → JSON) into a consensus table, in place: what is decided is not ambiguous any more."""
    marked = table["example_id"].isin(list(decided))
    table.loc[marked, "answer"] = table.loc[marked, "example_id"].map(decided)
    table.loc[marked, ["confidence", "tie", "method", "distribution", "ambiguous"]] = [1.0, False, method, "", False]


def judged(answers: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Every answer on an example with ground truth (example_id, annotator, right), but for the annotation that is the ground
    truth: it would be judged by itself. `answers` as `latest_answers` gives them. Answers are the same if their JSON is."""
    both = answers.merge(truth[["example_id", "annotation_id", "answer"]], on="example_id", suffixes=("", "_true"))
    both = both[both["annotation_id"] != both["annotation_id_true"]]
    return pd.DataFrame(
        {
            "example_id": both["example_id"],
            "annotator": both["annotator"],
            "right": both["answer"] == both["answer_true"],
        }
    )


def with_gold(annotators: pd.DataFrame, judged: pd.DataFrame) -> pd.DataFrame:
    """The annotator table with `gold` (answers judged against ground truth) and `gold_accuracy` (share of them that equal it, or
    how alike they are to it on average where answers are compared as a whole, in [0, 1]; NaN where none was judged). `judged`:
    see `judged` and `whole.near_truth`."""
    by = judged.groupby("annotator")["right"]
    gold = annotators["annotator"].map(by.size()).fillna(0).astype("int64")
    accuracy = annotators["annotator"].map(by.mean()).astype("float64")
    return annotators.assign(gold=gold, gold_accuracy=accuracy)


def against_truth(own: Array, answers: pd.DataFrame, truth: pd.DataFrame, labels: tuple[str, ...]) -> Array:
    """`Posterior.own` with ground truth in place of what the others said: certain, where there is any; NaN for the vote that
    is the ground truth itself. Row i belongs to row i of `answers`."""
    names = {orjson.dumps(label).decode(): number for number, label in enumerate(labels)}
    known = answers[["example_id", "annotation_id"]].merge(
        truth[["example_id", "annotation_id", "answer"]], on="example_id", how="left", suffixes=("", "_true")
    )
    right = known["answer"].map(names)
    rows = np.flatnonzero(right.notna())
    result = own.copy()
    result[rows] = np.eye(len(labels))[right.iloc[rows].astype("int64")]
    result[np.flatnonzero(known["annotation_id"] == known["annotation_id_true"])] = np.nan
    return result
