"""Findings → one verdict per example. Checks say, the policy decides; every verdict keeps all its reasons.

Actions: `ignore` (not even a reason), `note` (a reason, the example stays), `relabel` (an annotator must look; out of the
version until then), `drop` (out of the version, kept beside it with its reason). The strongest action wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pandas as pd

from pipeline.errors import ConfigError, unknown
from pipeline.types import VERDICT_COLUMNS

STRENGTH = {"ignore": 0, "note": 1, "relabel": 2, "drop": 3}

# What only a human can know goes to a human; what harms however it is labelled is set aside. A check that is not named
# here is noted: a new check informs before it acts. Near-duplicates are noted, too: they never straddle two splits, and
# 7 % of banking77 are legitimate short paraphrases that resemble another as much.
DEFAULTS = {
    "label_errors": "relabel",  # people confirmed only 20 to 87 % of such flags on real sets: never dropped unseen
    "exact_duplicates": "drop",  # all but one copy
    "leakage": "drop",  # always the training side: the test split is frozen
    "privacy": "drop",
    "text_quality": "drop",
}
REVIEW = "review"  # the name under which a verdict's reasons record that somebody looked again
TIE = "relabel"  # annotators split evenly: nobody knows the answer yet


def actions(configured: Mapping[str, str], known: Mapping[str, Any] | list[str]) -> dict[str, str]:
    """Check name → action for every known check. ConfigError for a name that is none of them."""
    for name in configured:
        if name not in known:
            raise ConfigError(f"project.yaml: policy: {unknown('check', name, known)}")
    return {name: configured.get(name, DEFAULTS.get(name, "note")) for name in sorted(known)}


def decide(
    examples: pd.DataFrame,
    consensus: pd.DataFrame,
    findings: pd.DataFrame,
    action: Mapping[str, str],
    reviewed: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """VERDICT_COLUMNS for every example that has an answer. `reasons`: JSON list of {check, action, severity, reason,
    suggestion}, strongest first.

    `reviewed` (REVIEWED_COLUMNS): what a person answered who was asked to look again. The checks that had asked are settled as
    long as that answer stands: what they say is noted, and asks nobody a second time.
    """
    answered = consensus.merge(examples[["example_id"]], on="example_id")
    reasons: dict[int, list[dict[str, Any]]] = {int(example): [] for example in answered["example_id"]}
    for example in answered.loc[answered["tie"].astype(bool), "example_id"]:
        text = "The annotators' answers are tied: somebody has to decide."
        reasons[int(example)].append(_reason("consensus", TIE, 1.0, text, ""))
    settled = _review(reasons, consensus, reviewed) if reviewed is not None else set()
    flagged = findings[findings["flagged"] & (findings["subject"] == "example")]
    for row in flagged.itertuples():
        taken = action[row.check]
        if (str(row.check), int(row.subject_id)) in settled and STRENGTH[taken] > STRENGTH["note"]:
            taken = "note"
        if taken != "ignore" and int(row.subject_id) in reasons:
            reasons[int(row.subject_id)].append(_reason(row.check, taken, row.severity, row.reason, row.suggestion))
    return pd.DataFrame(
        [_verdict(example, reasons[example]) for example in sorted(reasons)], columns=list(VERDICT_COLUMNS)
    )


def _review(
    reasons: dict[int, list[dict[str, Any]]], consensus: pd.DataFrame, reviewed: pd.DataFrame
) -> set[tuple[str, int]]:
    """Note each review whose answer is the consensus; the (check, example) pairs that it settles."""
    answers = dict(zip(consensus["example_id"], consensus["answer"], strict=True))
    settled: set[tuple[str, int]] = set()
    for row in reviewed.itertuples():
        example = int(row.example_id)
        if example in reasons and answers[example] == row.answer:
            said = "corrected" if row.outcome == "corrected" else "confirmed"
            text = f"A person who was asked to look again {said} the answer."
            reasons[example].append(_reason(REVIEW, "note", 0.0, text, ""))
            settled |= {(str(check), example) for check in orjson.loads(row.checks)}
    return settled


def urgency(reasons: list[dict[str, Any]]) -> float:
    """How doubtful an example is, in [0, 1]: the worst severity among the reasons for its verdict. What was only noted does
    not make it more urgent."""
    strongest = max((STRENGTH[item["action"]] for item in reasons), default=0)
    return max((item["severity"] for item in reasons if STRENGTH[item["action"]] == strongest), default=0.0)


def _reason(check: str, action: str, severity: float, reason: str, suggestion: str) -> dict[str, Any]:
    return {
        "check": check,
        "action": action,
        "severity": round(severity, 4),
        "reason": reason,
        "suggestion": suggestion,
    }


def _verdict(example: int, reasons: list[dict[str, Any]]) -> tuple[int, str, str]:
    ordered = sorted(reasons, key=lambda item: (-STRENGTH[item["action"]], -item["severity"], item["check"]))
    strongest = ordered[0]["action"] if ordered else "note"
    verdict = strongest if strongest in ("relabel", "drop") else "keep"
    return example, verdict, orjson.dumps(ordered).decode()
