"""What the gate's suites look at, from the tables of a check run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import orjson
import pandas as pd

from flows.summary import Run
from pipeline.policy import blocking
from pipeline.tasks import task_type

ANY = "any"  # the label that the gate's tables give to answers that are not one of a few labels
DOUBTING = ("label_errors", "span_errors")  # the checks that say of an answer that it is probably wrong


def gate_tables(
    run: Run, verdicts: pd.DataFrame, action: Mapping[str, str], slices: tuple[str, ...]
) -> dict[str, pd.DataFrame]:
    """The examples as they would go into a version, the annotations that count, and one row of numbers, with those of the
    checks."""
    examples = run.examples.merge(run.consensus[["example_id", "answer"]], on="example_id").merge(
        verdicts, on="example_id"
    )
    examples["label"] = [orjson.loads(answer) for answer in examples["answer"]] if run.labels else ANY
    examples["doubted"] = examples["example_id"].astype(str).isin(_flagged(run, *DOUBTING))
    return {
        "examples": examples,
        "annotations": _annotations(run, slices),
        "findings": _numbers(run, examples, action),
    }


def _annotations(run: Run, slices: tuple[str, ...]) -> pd.DataFrame:
    """One row per annotator and example, with the slices; `label` only where an answer is one of a few labels."""
    from pipeline.consensus.build import latest_answers

    given = latest_answers(run.annotations).merge(run.examples[["example_id", *slices]], on="example_id")
    return given if run.labels else given.drop(columns="label")


def _flagged(run: Run, *checks: str) -> set[str]:
    rows = run.findings[run.findings["flagged"] & run.findings["check"].isin(checks)]
    return set(rows["subject_id"])


def _numbers(run: Run, examples: pd.DataFrame, action: Mapping[str, str]) -> pd.DataFrame:
    kept = examples["verdict"] == "keep"
    test = examples["split"] == "test"
    size = max(len(examples), 1)
    private = examples["example_id"].astype(str).isin(_flagged(run, "privacy"))
    overall = run.facts["agreement"]["overall"]
    if task_type(run.facts["task"]).ALTERNATIVES:  # written answers may differ and all be right: nothing to demand
        overall = None
    per_class = examples.loc[kept & (examples["split"] == "train"), "label"].value_counts()
    in_use = examples["label"].unique()
    row = {
        "examples": len(examples),
        "kept": int(kept.sum()),
        "kept_share": kept.sum() / size,
        "dropped_share": (examples["verdict"] == "drop").sum() / size,
        "relabel_share": (examples["verdict"] == "relabel").sum() / size,
        "agreement": overall["value"] if overall else np.nan,
        "blocking_findings": blocking(examples, run.findings, action),
        "crashed_checks": sum(item["status"] == "crashed" for item in run.outcomes),
        "personal_data_kept": int((kept & private).sum()),
        "smallest_class_kept": int(min(per_class.get(label, 0) for label in in_use)) if len(in_use) else 0,
        "test_examples": int((test & (examples["verdict"] != "drop")).sum()),
        "quarantined_share": len(run.quarantine) / max(len(run.quarantine) + len(run.examples), 1),
    }
    return pd.DataFrame([row | _of_checks(run)])


def _of_checks(run: Run) -> dict[str, float]:
    """What the checks measured, as `<check>_<fact>`: every number on the first level of their facts, for suites to bound."""
    return {
        f"{item['check']}_{name}": float(value)
        for item in run.outcomes
        for name, value in item["facts"].items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
