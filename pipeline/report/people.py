"""What the page says of single people beside their quality: who needs a word, and with what evidence."""

from __future__ import annotations

from typing import Any

from pipeline.report.charts import Dot, dots
from pipeline.report.folder import LISTED, QUEUE, Run

SENTENCES = 4  # about one person


def people(run: Run) -> dict[str, Any]:
    """needing: people with what to say to them, worst first; gold: their accuracy on what was decided; suggested: what they do
    with suggestions, and `together` what all do; circles: groups who share unusual answers; not_told: what could not be asked."""
    found = [item["facts"] for item in run.summary["checks"] if item["check"] == "annotators"]
    facts: dict[str, Any] = found[0] if found else {}
    needing = _needing(run, facts.get("words", []))
    suggested = sorted(facts.get("suggestions", []), key=lambda row: (not row["flagged"], -row["share"], row["annotator"]))
    return {
        "needing": needing[:QUEUE],
        "needing_more": max(len(needing) - QUEUE, 0),
        "gold": _gold(run, facts.get("gold", [])),
        "suggested": [{**row, "who": _name(run, row["annotator"])} for row in suggested[:LISTED]],
        "together": facts.get("suggestions_overall", {}),
        "circles": [{**row, "names": [_name(run, who) for who in row["people"]]} for row in facts.get("circles", [])],
        "not_told": facts.get("not_told", []),
    }


def _name(run: Run, annotator: Any) -> str:
    return str(run.names.get(str(annotator), annotator))


def _needing(run: Run, words: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by: dict[str, list[dict[str, Any]]] = {}
    for word in sorted(words, key=lambda word: -word["severity"]):
        by.setdefault(str(word["annotator"]), []).append({"about": word["about"], "sentence": _sentence(run, word)})
    return [{"who": _name(run, key), "said": said[:SENTENCES], "more": len(said[SENTENCES:])} for key, said in by.items()]


def _sentence(run: Run, word: dict[str, Any]) -> str:
    """With the name of the other person, where it speaks of one."""
    other = word.get("other")
    text = str(word["sentence"])
    return text.replace(f"annotator {other};", f"{_name(run, other)};") if other else text


def _gold(run: Run, rows: list[dict[str, Any]]) -> dict[str, Any]:
    made = [
        Dot(_name(run, row["annotator"]), row["accuracy"], row["low"], row["high"], row["n"], row["flagged"], row["others"])
        for row in sorted(rows, key=lambda row: (row["accuracy"], str(row["annotator"])))
    ]
    note = "The upright tick is what the others reach on the same examples."
    return dots(made, title="Accuracy on decided answers", note=note, unit="share")
