"""The quality report: what a check run found, for somebody who does not code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.report.charts import Dot, band, dots, stacked
from pipeline.report.folder import Run, by_id, cards, load, reasons
from pipeline.report.headline import actions, blocked, key_numbers, sentence
from pipeline.report.render import answer, render

# Rows shown in one section; the Parquet file beside the page holds the rest.
QUEUE, WORST, LISTED, MATRIX = 10, 5, 20, 12
WIDEST = 0.30  # an annotator's interval wider than this is not ranked: about 40 answers at a quality of 0.5
DUPLICATES = ("exact_duplicates", "near_duplicates")
TOLD_ELSEWHERE = {"class_balance": "labels", "slice_labels": "slices", "annotators": "annotators"}


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
        "label_chart": _shares(run.summary["labels"]),
        "rates": _slice_rates(run.summary),
        "kept_chart": _kept(run.summary["verdicts_by_slice"]),
        "agreement_charts": _agreement(run.summary["agreement"]),
        "pairs": _pairs(run.summary["agreement"]["pairs"], run.names),
        "people": _people(run),
        "duplicates": [item for item in run.summary["checks"] if item["check"] in DUPLICATES],
        "leakage": [item for item in run.summary["checks"] if item["check"] == "leakage"],
        "split_bars": {name: _bar(counts) for name, counts in run.summary["splits"].items()},
        "dropped": [_doubt(run, known[key]) for key in shown["dropped"]],
        "by_check": [{"check": name, **counts} for name, counts in sorted(run.summary["verdicts_by_check"].items())],
        "quarantine": _quarantine(run.quarantine),
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
    mine = run.flagged[(run.flagged["subject"] == "example") & (run.flagged["subject_id"] == card["id"])]
    hints = [answer(hint) for hint in mine["suggestion"] if hint == hint and hint]
    stored = run.verdicts[run.verdicts["example_id"] == card["id"]]["reasons"]
    return {**card, "suggestion": hints[0] if hints else None, "reasons": reasons(stored.iloc[0])[:4]}


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
    elsewhere = TOLD_ELSEWHERE.get(item["check"])
    facts = [] if elsewhere else [_fact(name, value) for name, value in item["facts"].items()]
    action = run.summary["policy"].get(item["check"], "")
    return {**item, "worst": worst, "facts_shown": facts[:LISTED], "elsewhere": elsewhere, "action": action}


def _fact(name: str, value: Any) -> dict[str, Any]:
    """Any JSON value as a small table: a list of objects by columns, an object by rows, else one cell."""
    if isinstance(value, dict):
        rows = [[key, _cell(item)] for key, item in list(value.items())[:LISTED]]
        return {"name": name, "head": [], "rows": rows, "more": len(value) - len(rows)}
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        head = list(dict.fromkeys(key for item in value[:LISTED] for key in item))[:8]
        rows = [[_cell(item.get(key)) for key in head] for item in value[:LISTED]]
        return {"name": name, "head": head, "rows": rows, "more": len(value) - len(rows)}
    return {"name": name, "head": [], "rows": [[_cell(value)]], "more": 0}


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value[:LISTED]) or "none"
    return str(value) if isinstance(value, dict) else value


def _shares(labels: list[dict[str, Any]]) -> dict[str, Any]:
    rows = sorted(labels, key=lambda item: (-item["count"], item["label"]))
    return dots(
        [Dot(item["label"], item["share"], item["low"], item["high"], item["count"]) for item in rows],
        title="Share of each label", percent=True,
    )


def _facts(summary: dict[str, Any], check: str, key: str) -> list[dict[str, Any]]:
    """A list a known check leaves in its facts; empty if it was skipped or leaves something else."""
    found = next((item["facts"].get(key) for item in summary["checks"] if item["check"] == check), None)
    return found if isinstance(found, list) else []


def _slice_rates(summary: dict[str, Any]) -> dict[str, Any]:
    tests = _facts(summary, "slice_labels", "tests")
    rows = sorted(tests, key=lambda item: (not item["flagged"], str(item["slice"]), str(item["group"]), item["label"]))
    flagged = [item for item in rows if item["flagged"]]
    return {
        "chart": _rate_chart(flagged[:LISTED], "Label rates that differ from slice to slice"),
        "flagged": len(flagged), "tests": len(tests),
        "association": sorted(
            _facts(summary, "slice_labels", "association"), key=lambda item: (-(item["cramers_v"] or 0), item["slice"])
        ),
    }


def _rate_chart(rows: list[dict[str, Any]], title: str) -> dict[str, Any]:
    made = [
        Dot(
            f"{item['slice']} {item['group']}: {item['label']}", item["rate"], item["low"], item["high"], item.get("n"),
            bool(item["flagged"]), _numeric(item.get("reference", item.get("others"))),
        )
        for item in rows
    ]
    return dots(made, title=title, percent=True)


def _numeric(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _kept(rows: list[dict[str, Any]]) -> dict[str, Any]:
    made = [
        Dot(f"{row['slice']} {row['group']}", row["kept"] / row["n"] if row["n"] else None, row["kept_low"], row["kept_high"], row["n"])
        for row in sorted(rows, key=lambda row: (row["slice"], row["group"]))
    ]
    return dots(made, title="Share fit for training, by slice", percent=True)


def _agreement(agreement: dict[str, Any]) -> list[dict[str, Any]]:
    overall = agreement["overall"]["value"] if agreement["overall"] else None
    names: list[tuple[str, str, Callable[[dict[str, Any]], str]]] = [
        ("labels", "Agreement on each label", lambda item: str(item["label"])),
        ("slices", "Agreement in each slice", lambda item: f"{item['slice']} {item['group']}"),
    ]
    charts = []
    for key, title, name in names:
        rows = [Dot(name(item), item["value"], item["low"], item["high"], item["n"]) for item in agreement[key]]
        charts.append(dots(rows, title=title, percent=False, reference=overall))
    return [chart for chart in charts if chart["rows"]]


def _pairs(pairs: list[dict[str, Any]], names: dict[str, str]) -> dict[str, Any]:
    """A square of agreement for few annotators, the lowest pairs for many."""
    people = sorted({str(item[side]) for item in pairs for side in ("a", "b")}, key=by_id)
    cells = {frozenset((str(item["a"]), str(item["b"]))): item for item in pairs}
    low = sorted(pairs, key=lambda item: (item["value"] is None, item["value"], str(item["a"]), str(item["b"])))
    square = [
        [{**found, "band": band(found["value"])} if (found := cells.get(frozenset((a, b)))) and a != b else None for b in people]
        for a in people
    ]
    few = len(people) <= MATRIX
    return {
        "names": [names.get(key, key) for key in people], "square": square if few else [], "count": len(pairs),
        "lowest": [] if few else [
            {**item, "a": names.get(str(item["a"]), item["a"]), "b": names.get(str(item["b"]), item["b"])} for item in low[:LISTED]
        ],
    }


def _people(run: Run) -> dict[str, Any]:
    """Annotators in order of quality; those whose interval is too wide to say stand apart, in order of name."""
    rows = [
        Dot(run.names[key], _missing(value), _missing(low), _missing(high), int(n))
        for key, n, value, low, high in zip(
            *(run.annotators[name] for name in ("annotator", "annotations", "quality", "quality_low", "quality_high")), strict=True
        )
    ]
    sure = [row for row in rows if row.low is not None and row.high is not None and row.high - row.low <= WIDEST]
    unsure = [row for row in rows if row not in sure]
    bias = sorted(
        _facts(run.summary, "annotators", "bias"),
        key=lambda item: (not item["flagged"], str(item["annotator"]), str(item["slice"]), str(item["group"]), item["label"]),
    )
    flagged = [{**item, "slice": f"{_who(run, item)}, {item['slice']}"} for item in bias if item["flagged"]]
    confusions = sorted(
        _facts(run.summary, "annotators", "confusions"),
        key=lambda item: (-item["count"], str(item["annotator"]), item["given"], item["consensus"]),
    )
    return {
        "count": len(rows),
        "ranked": dots(sorted(sure, key=lambda row: (row.value or 0.0, row.label)), title="Quality of each annotator", percent=True),
        "unranked": dots(sorted(unsure, key=lambda row: (-(row.n or 0), row.label)), title="Too few answers to rank", percent=True),
        "confusions": [{**item, "who": _who(run, item)} for item in confusions[:QUEUE]],
        "confusions_more": max(len(confusions) - QUEUE, 0),
        "bias": _rate_chart(flagged[:LISTED], "Where one annotator labels a slice unlike the others"),
        "bias_tests": len(bias),
    }


def _who(run: Run, item: dict[str, Any]) -> str:
    return run.names.get(str(item["annotator"]), str(item["annotator"]))


def _missing(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def _quarantine(rows: pd.DataFrame) -> dict[str, Any]:
    """Counts by reason and the first records, without what was in them: it may be anything."""
    counts = sorted(rows["reason"].astype(str).value_counts().items(), key=lambda item: (-item[1], item[0]))
    first = rows.sort_values(["source", "record_id"], key=lambda column: column.astype(str)).head(QUEUE)
    return {
        "count": len(rows), "reasons": counts[:QUEUE], "reasons_more": max(len(counts) - QUEUE, 0),
        "rows": [
            {"source": str(row.source), "id": str(row.record_id), "reason": str(row.reason)} for row in first.itertuples()
        ],
    }


