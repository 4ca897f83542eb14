"""Which texts hold personal data or secrets?"""

from __future__ import annotations

from collections import Counter
from typing import Any

from pipeline.evidence.private_data import Spot, spots
from pipeline.types import Corpus
from validators.check import Report, check, findings

SHOWN = 5  # places named in one reason


@check("privacy", "Which texts hold personal data or secrets?", subject="example")
def privacy(corpus: Corpus) -> Report:
    """Flags texts with keys, tokens, passwords, card and account numbers, e-mail addresses, phones, streets, IP addresses.

    Severity is that of the worst kind, from 1 (a secret that opens a door) to 0.4 (an IP address); 0 where nothing
    was found. The reason names kind
    and place, counted in characters from 1, and never the value, since the report is read by more people than the data.
    """
    rows: list[dict[str, Any]] = []
    kinds: Counter[str] = Counter()
    for name, text in zip(corpus.examples["example_id"], corpus.examples["text"], strict=True):
        found = spots(text)
        kinds.update(spot.kind.name for spot in found)
        severity = max((spot.kind.severity for spot in found), default=0.0)
        reason = _reason(found) if found else ""
        rows.append(
            {"subject_id": str(name), "severity": severity, "flagged": bool(found), "reason": reason, "suggestion": ""}
        )
    return Report(findings(rows), {"kinds": dict(sorted(kinds.items()))})


def _reason(found: list[Spot]) -> str:
    places = [f"{spot.kind.words} (characters {spot.start + 1} to {spot.end})" for spot in found[:SHOWN]]
    more = f", and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"The text holds {', '.join(places)}{more}."
