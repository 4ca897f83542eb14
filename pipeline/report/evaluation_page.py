"""The evaluation report: is the adapter better than what there is, and where is it not?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.report.charts import Dot, band, dots
from pipeline.report.folder import read_json
from pipeline.report.render import num, pct, plural, render, span, val

LISTED, MATRIX = 40, 12  # rows of a table; labels up to which the confusion is drawn as a square


def evaluation(folder: Path, context: dict[str, Any]) -> str:
    """The page of an evaluation: one self-contained HTML file, equal for equal folders and contexts.

    folder: holds evaluation.json. Missing or Damaged if it does not.
    context: may hold "decision" {"promote", "reasons": [{"rule", "observed", "limit", "passed"}]}, "project" and
        "version" (names to show).
    """
    body = read_json(folder / "evaluation.json")
    return render("evaluation.html.j2", page=_page(body, context))


def _page(body: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    models, decision = body["models"], context.get("decision")
    name = candidate(body)
    return {
        **body,
        "title": f"{context.get('project', body['adapter'])}: evaluation",
        "project": context.get("project", ""),
        "version": context.get("version", ""),
        "decision": decision,
        "candidate": name,
        "verdict": _verdict(body, name, decision),
        "numbers": _numbers(body, name),
        "accuracy_chart": dots(
            [Dot(key, *_three(item["accuracy"]), item["n"], key == name) for key, item in models.items()],
            title="Accuracy of each model",
            percent=True,
        ),
        "difference_chart": dots(
            [Dot(f"than {other}", *_three(item)) for other, item in body["differences"].items()],
            title=f"How much more accurate {name} is",
            percent=True,
            reference=0.0,
            note="Right of the dashed line is better. An interval that crosses it leaves the question open.",
        ),
        "slice_chart": _slices(body, name),
        "slice_rows": body["slices"][:LISTED],
        "confusion_view": _confusion(body["confusion"]),
    }


def candidate(body: dict[str, Any]) -> str:
    """The model that the others are compared with: the one that has no difference to itself."""
    alone = [name for name in body["models"] if name not in body["differences"]]
    return str(alone[0] if alone else next(iter(body["models"])))


def _three(item: dict[str, Any]) -> tuple[float, float, float]:
    return item["value"], item["low"], item["high"]


def _verdict(body: dict[str, Any], name: str, decision: dict[str, Any] | None) -> tuple[str, str, str]:
    """The word, its CSS class, and the rest of the sentence."""
    found = body["models"][name]
    text = f"{pct(found['accuracy']['value'])} of {plural(found['n'], 'test example', 'test examples')} are right"
    if body["differences"]:
        other, item = next(iter(body["differences"].items()))
        side = "more" if item["value"] >= 0 else "fewer"
        text += f", {abs(100 * item['value']):.1f} points {side} than {other}"
    if decision is None:
        return "Measured", "", text
    if decision["promote"]:
        return "Promoted", "open", text
    failed = sum(not item["passed"] for item in decision["reasons"])
    return "Not promoted", "closed", f"{text}, but {plural(failed, 'rule is', 'rules are')} not met"


def _numbers(body: dict[str, Any], name: str) -> list[dict[str, str]]:
    found = body["models"][name]
    rows = [
        {
            "name": "Accuracy",
            "value": pct(found["accuracy"]["value"]),
            "note": "share of right answers",
            "interval": span(found["accuracy"], True),
        },
        {
            "name": "Macro F1",
            "value": val(found["macro_f1"]["value"]),
            "note": "each label counts the same",
            "interval": span(found["macro_f1"]),
        },
        {
            "name": "Calibration error",
            "value": val(found["ece"]["value"]),
            "note": "0 is best",
            "interval": span(found["ece"]),
        },
    ]
    for other, item in list(body["differences"].items())[:1]:
        points = f"{100 * item['value']:+.1f}".replace("-", "−")
        rows.append(
            {
                "name": f"Against {other}",
                "value": points,
                "note": f"points of accuracy, p {num(item['p'])}",
                "interval": span(item, True),
            }
        )
    return [
        *rows,
        {"name": "Test examples", "value": num(found["n"]), "note": "frozen, never trained on", "interval": ""},
    ]


def _slices(body: dict[str, Any], name: str) -> dict[str, Any]:
    """The candidate's accuracy in each slice that has enough examples."""
    rows = [
        Dot(f"{item['slice']} {item['value']}", *_three(item["models"][name]), item["n"])
        for item in body["slices"]
        if isinstance(item["models"].get(name), dict)
    ]
    overall = body["models"][name]["accuracy"]["value"]
    return dots(
        rows,
        title=f"Accuracy of {name} in each slice",
        note="The dashed line is the accuracy over all.",
        percent=True,
        reference=overall,
    )


def _confusion(confusion: dict[str, Any]) -> dict[str, Any]:
    """A square for few labels; for many, the pairs most often taken for each other."""
    labels, matrix = confusion["labels"], confusion["matrix"]
    pairs = sorted(
        (
            (matrix[a][b], labels[a], labels[b])
            for a in range(len(labels))
            for b in range(len(labels))
            if a != b and matrix[a][b]
        ),
        key=lambda item: (-item[0], item[1], item[2]),
    )
    square = [
        {"label": labels[at], "cells": [{"count": count, "band": band(count / max(sum(row), 1))} for count in row]}
        for at, row in enumerate(matrix)
    ]
    few = len(labels) <= MATRIX
    return {
        "labels": labels,
        "square": square if few else [],
        "pairs": [] if few else pairs[: LISTED // 2],
        "count": len(pairs),
    }
