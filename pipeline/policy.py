"""Findings → one verdict per example. Checks say, the policy decides; every verdict keeps all its reasons.

Actions: `ignore` (not even a reason), `note` (a reason, the example stays), `fix` (mended without a person, and recorded: see
FIXABLE), `relabel` (an annotator must look; out of the version until then), `block` (the same, and the gate stays closed as
long as the finding stands), `drop` (out of the version, kept beside it with its reason). The strongest action wins; to fix a copy
is to drop it. What is said of an annotator, a slice or the corpus can be ignored, noted or block; no example is removed for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pandas as pd

from pipeline.errors import ConfigError, unknown
from pipeline.types import VERDICT_COLUMNS

STRENGTH = {"ignore": 0, "note": 1, "fix": 2, "relabel": 3, "block": 4, "drop": 5}
ASKING = ("relabel", "block")  # a person must look
# What can be mended without judgement, and the verdict then: all copies but one are set aside, blanks are set straight.
FIXABLE = {"exact_duplicates": "drop", "whitespace": "keep"}

# What only a human can know goes to a human; what harms however it is labelled is set aside. A check that is not named
# here is noted: a new check informs before it acts. Near-duplicates are noted, too: they never straddle two splits, and
# 7 % of banking77 are legitimate short paraphrases that resemble another as much.
DEFAULTS = {
    "label_errors": "relabel",  # people confirmed only 20 to 87 % of such flags on real sets: never dropped unseen
    "span_errors": "relabel",
    "written_answers": "relabel",
    "code_answers": "relabel",
    "preferences": "relabel",  # of a circle any one may be the wrong one
    "conflicting_labels": "relabel",  # of two answers to the same text at most one is right
    "exact_duplicates": "drop",  # all but one copy
    "leakage": "drop",  # always the training side: the test split is frozen
    "privacy": "drop",
    "text_quality": "drop",
}
REVIEW = "review"  # the name under which a verdict's reasons record that somebody looked again
TIE = "relabel"  # annotators split evenly: nobody knows the answer yet


def actions(configured: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """Check name → action for every known check. known: check → the subject of its findings. ConfigError for a name that is
    none of them, or an action that the check's findings cannot lead to."""
    for name, action in configured.items():
        if name not in known:
            raise ConfigError(f"project.yaml: policy: {unknown('check', name, known)}")
        if action == "fix" and name not in FIXABLE:
            raise ConfigError(f"project.yaml: policy.{name}: only {', '.join(FIXABLE)} can be fixed without a person.")
        if known[name] != "example" and action not in ("ignore", "note", "block"):
            raise ConfigError(
                f"project.yaml: policy.{name}: its findings are about {_plural(known[name])}, not examples, so that they can "
                f"be ignored, noted or block the gate, but not lead to {action}."
            )
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
    for row in answered[answered["tie"].astype(bool)].to_dict("records"):
        text = "The annotators' answers are tied: somebody has to decide."
        sure = row.get("confidence")
        severity = 1.0 if sure is None or pd.isna(sure) else 1.0 - float(sure)
        reasons[int(row["example_id"])].append(_reason("consensus", TIE, severity, text, ""))
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


def _plural(subject: str) -> str:
    return {"annotator": "annotators", "slice": "groups of examples", "corpus": "the corpus"}[subject]


def blocking(verdicts: pd.DataFrame, findings: pd.DataFrame, action: Mapping[str, str]) -> int:
    """How many findings keep the gate closed: of checks whose action is `block`, those about examples that wait for somebody to
    settle them, and all about annotators, slices or the corpus. What is dropped for another reason waits for nobody."""
    waiting = verdicts.loc[verdicts["verdict"] != "drop", "reasons"]
    of_examples = sum(item["action"] == "block" for reasons in waiting for item in orjson.loads(reasons))
    others = findings[findings["flagged"] & (findings["subject"] != "example")]
    return int(of_examples + sum(action.get(check) == "block" for check in others["check"]))


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
    verdict = {"relabel": "relabel", "block": "relabel", "drop": "drop"}.get(strongest, "keep")
    if any(item["action"] == "fix" and FIXABLE[item["check"]] == "drop" for item in ordered):
        verdict = "drop"
    return example, verdict, orjson.dumps(ordered).decode()
