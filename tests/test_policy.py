"""The policy: the strongest action wins, every reason is kept, and nothing is decided in silence."""

import json

import pandas as pd
import pytest

from pipeline.errors import ConfigError
from pipeline.policy import DEFAULTS, STRENGTH, actions, blocking, decide
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
        actions({"label_erors": "drop"}, {"label_errors": "example"})


def test_every_default_names_a_check_that_exists_and_a_new_check_only_informs() -> None:
    assert set(DEFAULTS) <= set(all_checks())
    assert actions({}, {"brand_new": "example"}) == {"brand_new": "note"}


KNOWN = {"exact_duplicates": "example", "whitespace": "example", "label_errors": "example", "annotators": "annotator"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"label_errors": "fix"}, r"policy.label_errors: only exact_duplicates, whitespace can be fixed"),
        ({"annotators": "drop"}, r"policy.annotators: its findings are about annotators, not examples"),
        ({"annotators": "relabel"}, r"not lead to relabel"),
    ],
)
def test_an_action_that_a_finding_cannot_lead_to_is_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        actions(given, KNOWN)


def test_every_action_of_the_configuration_has_a_strength() -> None:
    from typing import get_args

    from pipeline.config import Action

    assert set(get_args(Action)) == set(STRENGTH)


def test_a_fixed_copy_is_set_aside_and_fixed_blanks_stay_each_with_its_record() -> None:
    rows = [finding("exact_duplicates", 1), finding("whitespace", 2)]
    found = verdicts(rows, {"exact_duplicates": "fix", "whitespace": "fix"})
    assert [found[1][0], found[2][0]] == ["drop", "keep"]
    assert [found[number][1][0]["action"] for number in (1, 2)] == ["fix", "fix"]


def test_a_copy_that_is_fixed_and_doubted_is_set_aside_all_the_same() -> None:
    found = verdicts([finding("exact_duplicates", 1), finding("x", 1)], {"exact_duplicates": "fix", "x": "relabel"})
    assert found[1][0] == "drop"


def test_what_blocks_goes_to_an_annotator_and_counts_until_somebody_has_looked() -> None:
    table = pd.DataFrame([finding("x", 1), finding("x", 2)])
    examples = pd.DataFrame({"example_id": [1, 2]})
    consensus = pd.DataFrame({"example_id": [1, 2], "answer": '"a"', "tie": False})
    action = {"x": "block"}
    found = decide(examples, consensus, table, action)
    assert found["verdict"].tolist() == ["relabel", "relabel"]
    assert blocking(found, table, action) == 2
    looked = pd.DataFrame(
        [{"example_id": 1, "answer": '"a"', "outcome": "confirmed", "checks": '["x"]'}]
    )
    assert blocking(decide(examples, consensus, table, action, looked), table, action) == 1


def test_a_blocking_finding_about_a_person_or_a_group_counts_as_long_as_it_is_flagged() -> None:
    table = pd.DataFrame(
        [
            {**finding("annotators", 0), "subject": "annotator", "subject_id": "anna"},
            {**finding("slice_labels", 0), "subject": "slice", "subject_id": "region=north"},
            {**finding("annotators", 0, flagged=False), "subject": "annotator", "subject_id": "ben"},
        ]
    )
    nothing = pd.DataFrame({"example_id": [], "verdict": [], "reasons": []})
    assert blocking(nothing, table, {"annotators": "block", "slice_labels": "note"}) == 1


def test_what_would_block_but_is_dropped_waits_for_nobody() -> None:
    table = pd.DataFrame([finding("x", 1), finding("exact_duplicates", 1), finding("x", 2)])
    examples = pd.DataFrame({"example_id": [1, 2]})
    consensus = pd.DataFrame({"example_id": [1, 2], "answer": '"a"', "tie": False})
    for action in ({"x": "block", "exact_duplicates": "drop"}, {"x": "block", "exact_duplicates": "fix"}):
        found = decide(examples, consensus, table, action)
        assert found["verdict"].tolist() == ["drop", "relabel"]
        assert blocking(found, table, action) == 1


def test_a_tie_is_as_urgent_as_the_consensus_is_unsure() -> None:
    consensus = pd.DataFrame({"example_id": [1, 2, 3], "answer": '"a"', "tie": True, "confidence": [0.5, 0.99, None]})
    found = decide(consensus[["example_id"]], consensus, pd.DataFrame([finding("x", 9)]), {"x": "note"})
    assert [json.loads(reasons)[0]["severity"] for reasons in found["reasons"]] == [0.5, 0.01, 1.0]
