"""The quality report: what a check run found, for somebody who does not code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from pipeline.report import bias_section, measured
from pipeline.report.charts import stacked
from pipeline.report.folder import LISTED, QUEUE, Run, cards, load
from pipeline.report.headline import actions, blocked, key_numbers, sentence
from pipeline.report.render import answer, render

WORST, SHOWN_REASONS, COLUMNS = 5, 4, 8  # examples under a check, reasons under an example, columns of a fact
DUPLICATES = ("exact_duplicates", "near_duplicates", "semantic_duplicates")
# Checks whose facts have a section of their own: the section, and the facts it shows.
SECTIONS = {
    "class_balance": ("labels", {"labels"}),
    "slice_labels": ("bias", {"tests", "association", "intersections", "means"}),
    "representation": ("bias", {"shares", "small"}),
    "term_association": ("bias", {"terms"}),
    "slice_quality": ("bias", {"quality"}),
    "artefacts": ("bias", {"probe", "features"}),
    "annotator_groups": ("bias", {"groups", "by_text"}),
    "model_bias": ("bias", {"gaps", "served"}),
    "counterfactual": ("bias", {"names", "flips"}),
    "disparate_removal": ("bias", {"groups"}),
    "annotators": (
        "annotators",
        {"words", "confusions", "bias", "gold", "suggestions", "suggestions_overall", "circles", "not_told"},
    ),
}


def quality(folder: Path) -> str:
    """The page of a check run: one self-contained HTML file, equal for equal folders.

    folder: holds summary.json and the run's Parquet tables. Missing or Damaged if it does not.
    """
    run = load(folder)
    return render("quality.html.j2", page=_page(run))


def _page(run: Run) -> dict[str, Any]:
    shown = _shown(run)
    known = cards(run, [key for keys in shown.values() for key in keys])
    return {
        **run.summary,
        "title": f"{run.summary['project']['name']}: quality report",
        "sentence": sentence(run.summary),
        "numbers": key_numbers(run.summary),
        "blocked": blocked(run.summary),
        "actions": actions(run.summary),
        "bar": _bar(run.summary["verdicts"]),
        "queue": [_doubt(run, known[key]) for key in shown["queue"]],
        "cards": [_check(run, item, known) for item in _by_urgency(run.summary["checks"])],
        "skipped": [item for item in run.summary["checks"] if item["status"] == "skipped"],
        "label_chart": measured.shares(run.summary["labels"]),
        "kept_chart": measured.kept(run.summary["verdicts_by_slice"]),
        "agreement_charts": measured.agreement(run.summary["agreement"], run.names),
        "pairs": measured.pairs(run.summary["agreement"]["pairs"], run.names),
        "people": measured.people(run),
        "bias": bias_section.section(run),
        "duplicates": [_duplicates(item) for item in run.summary["checks"] if item["check"] in DUPLICATES],
        "leakage": [item for item in run.summary["checks"] if item["check"] == "leakage"],
        "split_bars": {name: _bar(counts) for name, counts in run.summary["splits"].items()},
        "dropped": [_doubt(run, known[key]) for key in shown["dropped"]],
        "by_check": [{"check": name, **counts} for name, counts in sorted(run.summary["verdicts_by_check"].items())],
        "quarantine": _quarantine(run.quarantine),
        "held": _held(run.summary.get("source")),
    }


def _shown(run: Run) -> dict[str, list[str]]:
    """The examples the page shows, by section: chosen first, so that each table is read once and only for them."""
    examples = run.flagged[run.flagged["subject"] == "example"]
    worst = examples.groupby("check", sort=True).head(WORST)
    return {
        "queue": list(run.verdicts[run.verdicts["verdict"] == "relabel"]["example_id"].head(QUEUE)),
        "dropped": list(run.verdicts[run.verdicts["verdict"] == "drop"]["example_id"].head(QUEUE)),
        "checks": list(worst["subject_id"]),
    }


def _bar(counts: dict[str, int]) -> Any:
    parts = [(name, counts.get(name, 0)) for name in ("keep", "relabel", "drop")]
    return stacked(parts, ", ".join(f"{name} {count:,}" for name, count in parts))


def _doubt(run: Run, card: dict[str, Any]) -> dict[str, Any]:
    """A card with why it is doubted and what is suggested instead."""
    why = run.verdicts.loc[run.verdicts["example_id"] == card["id"], "why"].iloc[0]
    hints = [answer(item["suggestion"]) for item in why if item["suggestion"]]
    return {**card, "suggestion": hints[0] if hints else None, "reasons": why[:SHOWN_REASONS]}


def _by_urgency(checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    order = {"crashed": 0, "flagged": 1, "passed": 2, "skipped": 3}
    return sorted(checks, key=lambda item: (order[item["status"]], -item["flagged"], item["check"]))


def _check(run: Run, item: dict[str, Any], known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    rows = run.flagged[run.flagged["check"] == item["check"]].head(WORST)
    worst = []
    for row in rows.itertuples():
        hint = answer(row.suggestion) if row.suggestion == row.suggestion and row.suggestion else None
        said = {"suggestion": hint, "reasons": [{"check": "", "reason": row.reason}]}
        card = known.get(row.subject_id) if row.subject == "example" else None
        name = run.names.get(row.subject_id, row.subject_id) if row.subject == "annotator" else row.subject_id
        worst.append({**(card or {"id": name, "about": row.subject, "private": False, "text": None}), **said})
    elsewhere, told = SECTIONS.get(item["check"], (None, set[str]()))
    facts = [
        _fact(name, value, run.names)
        for name, value in item["facts"].items()
        if name not in told and value not in ({}, [])
    ]
    action = run.summary["policy"].get(item["check"], "")
    return {**item, "worst": worst, "facts_shown": facts[:LISTED], "elsewhere": elsewhere, "action": action}


def _fact(name: str, value: Any, names: dict[str, str]) -> dict[str, Any]:
    """Any JSON value as a small table: a list or mapping of objects by columns, a mapping by rows, else one cell."""
    objects = value if isinstance(value, list) else []
    if isinstance(value, dict) and all(isinstance(item, dict) for item in value.values()):
        objects = [{name: key, **item} for key, item in value.items()]
    if objects and all(isinstance(item, dict) for item in objects):
        head = list(dict.fromkeys(key for item in objects[:LISTED] for key in item))[:COLUMNS]
        rows = [
            [_cell(item.get(key), names if key == "annotator" else {}) for key in head] for item in objects[:LISTED]
        ]
        return {"name": name, "head": head, "rows": rows, "more": len(objects) - len(rows)}
    if isinstance(value, dict):
        rows = [[key, _cell(item)] for key, item in list(value.items())[:LISTED]]
        return {"name": name, "head": [], "rows": rows, "more": len(value) - len(rows)}
    return {"name": name, "head": [], "rows": [[_cell(value)]], "more": 0}


def _cell(value: Any, names: Mapping[str, str] = MappingProxyType({})) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value[:LISTED]) or "none"
    return names.get(value, value) if isinstance(value, str) else value


def _duplicates(item: dict[str, Any]) -> dict[str, Any]:
    """The check with the first groups whose members carry different labels."""
    found = item["facts"].get("conflicts")
    return {**item, "conflicts": found[:WORST] if isinstance(found, list) else []}


def _held(source: dict[str, Any] | None) -> dict[str, Any] | None:
    """What the source holds, entry by entry, most frequent first; None for a run from before this was kept."""
    if source is None:
        return None
    entries = sorted(source["entries"], key=lambda item: (-item["entries"], item["control"]))
    return {**source, "entries": entries[:QUEUE], "more": max(len(entries) - QUEUE, 0)}


def _quarantine(rows: pd.DataFrame) -> dict[str, Any]:
    """Counts by reason and the first records, without what was in them: it may be anything."""
    counts = sorted(rows["reason"].astype(str).value_counts().items(), key=lambda item: (-item[1], item[0]))
    first = rows.sort_values(["source", "record_id"], key=lambda column: column.astype(str)).head(QUEUE)
    return {
        "count": len(rows),
        "reasons": counts[:QUEUE],
        "reasons_more": max(len(counts) - QUEUE, 0),
        "rows": [
            {"source": str(row.source), "id": str(row.record_id), "reason": str(row.reason)}
            for row in first.itertuples()
        ],
    }
