"""The measured part of the quality page: labels, slices, agreement and annotators, as plots and tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from pipeline.report import people as people_section
from pipeline.report.charts import Dot, band, dots
from pipeline.report.folder import LISTED, QUEUE, Run, by_id

FEW = 5  # of a list in which nothing stands out
MATRIX = 12  # annotators up to which pairs are drawn as a square
WIDEST = 0.30  # an annotator's interval wider than this is not ranked: about 40 answers at a quality of 0.5


def shares(labels: list[dict[str, Any]]) -> dict[str, Any]:
    rows = sorted(labels, key=lambda item: (-item["count"], item["label"]))
    return dots(
        [Dot(item["label"], item["share"], item["low"], item["high"], item["count"]) for item in rows],
        title="Share of each label",
        unit="share",
    )


def _facts(summary: dict[str, Any], check: str, key: str) -> list[dict[str, Any]]:
    """A list a known check leaves in its facts; empty if it was skipped or leaves something else."""
    found = next((item["facts"].get(key) for item in summary["checks"] if item["check"] == check), None)
    return found if isinstance(found, list) else []


def _rate_chart(rows: list[dict[str, Any]], title: str, note: str) -> dict[str, Any]:
    made = [
        Dot(
            f"{item['slice']} {item['group']}: {item['label']}",
            item["rate"],
            item["low"],
            item["high"],
            item.get("n"),
            bool(item["flagged"]),
            _numeric(item.get("reference", item.get("others"))),
        )
        for item in rows
    ]
    return dots(made, title=title, note=note, unit="share")


def _numeric(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def kept(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Share of the examples with a verdict that are kept, in each group of each slice."""
    made = [
        Dot(
            f"{row['slice']} {row['group']}",
            row["kept"],
            row["kept_low"],
            row["kept_high"],
            row["n"],
        )
        for row in sorted(rows, key=lambda row: (row["slice"], row["group"]))
    ]
    return dots(made, title="Share fit for training, by slice", unit="share")


def agreement(agreement: dict[str, Any], names: dict[str, str]) -> list[dict[str, Any]]:
    """A chart each for labels (or ratings, or types of spans), slices and annotators, where there are any."""
    overall = agreement["overall"]["value"] if agreement["overall"] else None
    parts: list[tuple[str, str, Callable[[dict[str, Any]], str]]] = [
        ("labels", f"Agreement on each {agreement.get('parts', 'label')}", lambda item: str(item["label"])),
        ("slices", "Agreement in each slice", lambda item: f"{item['slice']} {item['group']}"),
        (
            "annotators",
            "Agreement of each annotator with the others",
            lambda item: names.get(str(item["annotator"]), str(item["annotator"])),
        ),
    ]
    charts = []
    for key, title, name in parts:
        rows = [Dot(name(item), item["value"], item["low"], item["high"], item["n"]) for item in agreement.get(key, [])]
        note = "" if overall is None else "The dashed line is the agreement over all."
        charts.append(dots(rows, title=title, note=note, unit="value", reference=overall))
    return [chart for chart in charts if chart["rows"]]


def pairs(pairs: list[dict[str, Any]], names: dict[str, str]) -> dict[str, Any]:
    """A square of agreement for few annotators, the lowest pairs for many."""
    people = sorted({str(item[side]) for item in pairs for side in ("a", "b")}, key=by_id)
    cells = {frozenset((str(item["a"]), str(item["b"]))): item for item in pairs}
    low = sorted(pairs, key=lambda item: (item["value"] is None, item["value"], str(item["a"]), str(item["b"])))
    square = [
        [
            {**found, "band": band(found["value"])} if (found := cells.get(frozenset((a, b)))) and a != b else None
            for b in people
        ]
        for a in people
    ]
    few = len(people) <= MATRIX
    return {
        "names": [names.get(key, key) for key in people],
        "square": square if few else [],
        "count": len(pairs),
        "lowest": []
        if few
        else [
            {**item, "a": names.get(str(item["a"]), item["a"]), "b": names.get(str(item["b"]), item["b"])}
            for item in low[:LISTED]
        ],
    }


def people(run: Run) -> dict[str, Any]:
    """Annotators in order of quality; those whose interval is too wide to say stand apart, those with most answers
    first."""
    columns = ("annotator", "annotations", "quality", "quality_low", "quality_high")
    rows = [
        Dot(run.names[key], _missing(value), _missing(low), _missing(high), int(n))
        for key, n, value, low, high in zip(*(run.annotators[name] for name in columns), strict=True)
    ]
    sure = [row for row in rows if row.low is not None and row.high is not None and row.high - row.low <= WIDEST]
    ranked = sorted(sure, key=lambda row: (row.value or 0.0, row.label))
    unranked = sorted([row for row in rows if row not in sure], key=lambda row: (-(row.n or 0), row.label))
    return {
        "count": len(rows),
        "ranked": dots(ranked, title="Quality of each annotator", unit="share"),
        "unranked": dots(unranked, title="Too few answers to rank", unit="share"),
        **_confusions(run),
        "bias": _bias(run),
        **people_section.people(run),
    }


def _confusions(run: Run) -> dict[str, Any]:
    """Those that stand out, or where none does, the most frequent few."""
    rows = _facts(run.summary, "annotators", "confusions")
    flagged = [item for item in rows if item.get("flagged")]
    order = sorted(
        flagged or rows, key=lambda item: (-item["count"], str(item["annotator"]), item["given"], item["consensus"])
    )
    shown = order[: QUEUE if flagged else FEW]
    title = (
        "What stands out as taken for something else"
        if flagged
        else "Most frequently taken for something else; none stands out"
    )
    return {
        "confusions": [{**item, "who": _who(run, item)} for item in shown],
        "confusions_title": title,
        "confusions_more": len(rows) - len(shown),
    }


def _bias(run: Run) -> dict[str, Any]:
    rows = _facts(run.summary, "annotators", "bias")
    flagged = sorted(
        [item for item in rows if item["flagged"]],
        key=lambda item: (str(item["annotator"]), str(item["slice"]), str(item["group"]), item["label"]),
    )
    return _rate_chart(
        [{**item, "slice": f"{_who(run, item)}, {item['slice']}"} for item in flagged[:LISTED]],
        "Where one annotator labels a slice unlike the others",
        "The upright tick is the rate of the others.",
    )


def _who(run: Run, item: dict[str, Any]) -> str:
    return run.names.get(str(item["annotator"]), str(item["annotator"]))


def _missing(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)
