"""The policy: the strongest action wins, every reason is kept, and nothing is decided in silence."""

import json

import pandas as pd
import pytest

from pipeline.errors import ConfigError
from pipeline.policy import DEFAULTS, actions, decide
from validators.check import all_checks


def finding(check: str, example: int, severity: float = 0.5, flagged: bool = True) -> dict[str, object]:
    return {
        "check": check, "subject": "example", "subject_id": str(example), "severity": severity, "flagged": flagged,
        "reason": f"{check} says so", "suggestion": "",
    }  # fmt: skip


def verdicts(
    rows: list[dict[str, object]], action: dict[str, str], ties: tuple[int, ...] = ()
) -> dict[int, tuple[str, list[dict]]]:  # type: ignore[type-arg]
    examples = pd.DataFrame({"example_id": [1, 2, 3]})
    consensus = pd.DataFrame({"example_id": [1, 2], "answer": '"a"', "tie": [1 in ties, 2 in ties]})
    found = decide(examples, consensus, pd.DataFrame(rows or [finding("x", 9, flagged=False)]), action)
    return {row.example_id: (row.verdict, json.loads(row.reasons)) for row in found.itertuples()}


def test_the_strongest_action_wins_and_all_reasons_stay() -> None:
    found = verdicts([finding("x", 1), finding("y", 1), finding("z", 1)], {"x": "note", "y": "drop", "z": "relabel"})
    assert found[1][0] == "drop"
    assert [reason["check"] for reason in found[1][1]] == ["y", "z", "x"]
    assert found[2] == ("keep", [])
    assert 3 not in found  # nobody has answered it: there is nothing to decide


def test_an_unflagged_row_a_note_and_an_ignored_check_change_nothing() -> None:
    rows = [finding("x", 1, flagged=False), finding("y", 1), finding("z", 1)]
    verdict, reasons = verdicts(rows, {"x": "drop", "y": "ignore", "z": "note"})[1]
    assert verdict == "keep"
    assert [reason["check"] for reason in reasons] == ["z"]


def test_a_tie_goes_to_an_annotator() -> None:
    found = verdicts([], {"x": "note"}, ties=(2,))
    assert found[2][0] == "relabel"
    assert found[2][1][0]["check"] == "consensus"


def test_an_unknown_check_in_the_policy_is_named() -> None:
    with pytest.raises(ConfigError, match=r"label_erors.*label_errors"):
        actions({"label_erors": "drop"}, ["label_errors"])


def test_every_default_names_a_check_that_exists_and_a_new_check_only_informs() -> None:
    assert set(DEFAULTS) <= set(all_checks())
    assert actions({}, ["brand_new"]) == {"brand_new": "note"}
