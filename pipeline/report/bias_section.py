"""The report's section on bias: of the data, of the annotators, of the model, and of the policy itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.report.bias_answers import ANSWERS, Row
from pipeline.report.folder import Run
from pipeline.report.render import plural

PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Of the data", ("representation", "slice_labels", "term_association", "slice_quality", "artefacts", "toxicity")),
    ("Of the annotators", ("annotator_groups", "annotators")),
    ("Of a model that learns these labels", ("model_bias", "counterfactual")),
    ("Of what is taken out", ("disparate_removal",)),
)
MEMBERS = {"annotator_groups": "people", "counterfactual": "sentences"}  # of what the smallest group is counted in


def section(run: Run) -> dict[str, Any]:
    """What `bias.html.j2` shows: parts with the answers of their checks, and how many questions were answered and found
    something."""
    asked = {item["check"]: item for item in run.summary["checks"]}
    told = [(title, [_answer(asked[name], run.names) for name in checks if name in asked]) for title, checks in PARTS]
    answers = [answer for _, part in told for answer in part]
    return {
        "parts": [{"title": title, "answers": part} for title, part in told if part],
        "flagged": sum(answer["status"] == "flagged" for answer in answers),
        "asked": sum(answer["status"] in ("flagged", "passed") for answer in answers),
    }


def _answer(item: Row, names: Mapping[str, str]) -> dict[str, Any]:
    facts = item["facts"] if isinstance(item["facts"], dict) else {}
    head = {name: item[name] for name in ("check", "question", "status", "reason")}
    if item["status"] in ("skipped", "crashed"):
        return {**head, "said": [], "note": "", "charts": []}
    said, charts = ANSWERS[item["check"]](facts, names)
    return {**head, "said": said, "note": _note(item["check"], facts), "charts": [chart for chart in charts if chart["rows"]]}


def _note(check: str, facts: Row) -> str:
    """How many comparisons were corrected together, and how small the smallest group is."""
    parts = []
    tested, smallest = facts.get("tested"), facts.get("smallest_group")
    if isinstance(tested, int) and tested:
        parts.append(f"{plural(tested, 'comparison', 'comparisons')}, corrected for their number (Benjamini–Hochberg).")
    if isinstance(smallest, int) and check != "artefacts":
        parts.append(f"The smallest group shown or compared has {smallest:,} {MEMBERS.get(check, 'examples')}.")
    return " ".join(parts)
