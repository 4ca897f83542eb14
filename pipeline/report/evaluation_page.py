"""The evaluation report: is the adapter better than what there is, and where is it not?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.report.charts import Dot, band, dots
from pipeline.report.folder import read_json
from pipeline.report.render import chance, num, pct, plural, points, render, span, val

LISTED, MATRIX = 40, 12  # rows of a table; labels up to which the confusion is drawn as a square
JUDGED = "adapter"  # the model that the others are compared with, as evaluation.json calls it
MEANING = {
    JUDGED: "the one that is judged",
    "base": "the base model with a tuned linear probe",
    "uncleaned": "an adapter trained on the labels as they were before the checks",
    "champion": "the adapter in use",
}


def evaluation(folder: Path, context: dict[str, Any]) -> str:
    """The page of an evaluation: one self-contained HTML file, equal for equal folders and contexts.

    folder: holds evaluation.json. Missing or Damaged if it does not.
    context: may hold "project" (a name to show) and "decision": {"promote", "reasons": [{"rule", "observed", "limit",
        "passed", "meaning"}]}, observed and limit being differences of accuracy in [-1, 1].
    """
    body = read_json(folder / "evaluation.json")
    return render("evaluation.html.j2", page=_page(body, context))


def _page(body: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    models, decision = body["models"], context.get("decision")
    large = [part for part in body["slices"] if isinstance(part["models"][JUDGED], dict)]  # else "too few"
    return {
        **body,
        "title": f"{context.get('project', body['adapter'])}: evaluation",
        "project": context.get("project", ""),
        "decision": decision,
        "rules": _rules(decision),
        "verdict": _verdict(body, decision),
        "numbers": _numbers(body),
        "meaning": MEANING,
        "accuracy_chart": dots(
            [Dot(name, *_three(item["accuracy"]), None, name == JUDGED) for name, item in models.items()],
            title="Accuracy of each model",
            note=f"On the same {plural(body['n'], 'test example', 'test examples')}.",
            unit="share",
        ),
        "difference_chart": dots(
            [Dot(f"than {other}", *_three(item)) for other, item in body["differences"].items()],
            title="How much more accurate the adapter is, in points",
            note="Right of the dashed line is better. An interval that crosses it leaves the question open.",
            unit="points",
            reference=0.0,
        ),
        "slice_chart": dots(
            [Dot(_place(part), *_three(part["models"][JUDGED]), part["n"]) for part in large],
            title="Accuracy of the adapter in each slice",
            note="The dashed line is its accuracy over all.",
            unit="share",
            reference=models[JUDGED]["accuracy"]["value"],
        ),
        "slice_rows": [{**part, "place": _place(part)} for part in body["slices"][:LISTED]],
        "class_rows": sorted(models[JUDGED]["per_class"], key=lambda item: (item["f1"], item["label"]))[:LISTED],
        "confusion_view": _confusion(body["confusion"]),
    }


def _three(item: dict[str, Any]) -> tuple[float, float, float]:
    return item["value"], item["low"], item["high"]


def _place(part: dict[str, Any]) -> str:
    return f"{part['slice']} {part['value']}"


def _rules(decision: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Failed rules first; what they observe and allow are differences of accuracy."""
    rows = []
    for item in decision["reasons"] if decision else []:
        rows.append({**item, "observed": points(item["observed"]), "limit": points(item["limit"])})
    return sorted(rows, key=lambda item: bool(item["passed"]))


def _verdict(body: dict[str, Any], decision: dict[str, Any] | None) -> tuple[str, str, str]:
    """The word, its CSS class, and the rest of the sentence."""
    share = body["models"][JUDGED]["accuracy"]["value"]
    text = f"{pct(share)} of {plural(body['n'], 'test example', 'test examples')} are answered right"
    if body["differences"]:
        other = _rival(body)
        gap = 100 * body["differences"][other]["value"]
        text += f", {abs(gap):.1f} points {'more' if gap >= 0 else 'fewer'} than by {other}"
    if decision is None:
        return "Measured", "", text
    if decision["promote"]:
        return "Promoted", "open", text
    failed = sum(not item["passed"] for item in decision["reasons"])
    return "Not promoted", "closed", f"{text}; {plural(failed, 'rule is', 'rules are')} not met"


def _rival(body: dict[str, Any]) -> str:
    """Who the headline compares with: the champion if there is one."""
    return "champion" if "champion" in body["differences"] else next(iter(body["differences"]))


def _numbers(body: dict[str, Any]) -> list[dict[str, str]]:
    found = body["models"][JUDGED]
    wrong = found["ece"]
    rows = [
        {
            "name": "Accuracy", "value": pct(found["accuracy"]["value"]), "note": "share of right answers",
            "interval": span(found["accuracy"], "share"),
        },
        {
            "name": "Macro F1", "value": val(found["macro_f1"]["value"]), "note": "each label counts the same",
            "interval": span(found["macro_f1"]),
        },
        {
            "name": "Calibration error", "value": val(wrong["value"]),
            "note": f"0 is best; {val(wrong['by_chance'])} may be chance", "interval": span(wrong),
        },
    ]  # fmt: skip
    for other in [_rival(body)] if body["differences"] else []:
        item = body["differences"][other]
        rows.append(
            {
                "name": f"Against {other}",
                "value": points(item["value"]),
                "note": f"of accuracy, p {chance(item['p'])}",
                "interval": span(item, "points"),
            }
        )
    return [
        *rows,
        {"name": "Test examples", "value": num(body["n"]), "note": "frozen, never trained on", "interval": ""},
    ]


def _confusion(confusion: dict[str, Any]) -> dict[str, Any]:
    """A square for few labels; for many, the pairs most often taken for each other."""
    labels, counts = confusion["labels"], confusion["matrix"]
    places = range(len(labels))
    pairs = [(counts[a][b], labels[a], labels[b]) for a in places for b in places if a != b and counts[a][b]]
    square = [
        {"label": labels[at], "cells": [{"count": count, "band": band(count / max(sum(row), 1))} for count in row]}
        for at, row in enumerate(counts)
    ]
    few = len(labels) <= MATRIX
    return {
        "labels": labels,
        "square": square if few else [],
        "pairs": [] if few else sorted(pairs, key=lambda item: (-item[0], item[1], item[2]))[: LISTED // 2],
        "count": len(pairs),
    }
