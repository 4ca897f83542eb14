"""The review queue: what comes first, what became of it, and that a queue by gain beats one by severity."""

from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from corpora import (
    LABELS,
    annotations_table,
    clusters,
    consensus_table,
    corpus,
    examples_table,
    leave_one_out,
    with_probabilities,
)
from hypothesis import given
from hypothesis import strategies as st

from pipeline.policy import decide
from pipeline.review import LEAST_TIMED, QUEUE_COLUMNS, lead_times, probability, queue, rarity
from pipeline.reviewed import by_check, found_right, outcomes, reviewed, state_of
from pipeline.types import REVIEWED_COLUMNS
from validators.label_errors import label_errors


def reason(
    check: str = "label_errors", severity: float = 0.8, suggestion: str = "", action: str = "relabel"
) -> dict[str, Any]:
    return {
        "check": check,
        "action": action,
        "severity": severity,
        "reason": f"{check} says so",
        "suggestion": suggestion,
    }


def verdicts(reasons: dict[int, list[dict[str, Any]]], n: int) -> pd.DataFrame:
    rows = [
        (example, "relabel" if reasons.get(example) else "keep", orjson.dumps(reasons.get(example, [])).decode())
        for example in range(1, n + 1)
    ]
    return pd.DataFrame(rows, columns=["example_id", "verdict", "reasons"])


def ordered(
    labels: list[str], reasons: dict[int, list[dict[str, Any]]], *, copies: list[int] | None = None,
    seconds: list[float] | None = None, confidence: float = 0.9, found: dict[str, tuple[int, int]] | None = None,
) -> pd.DataFrame:  # fmt: skip
    n = len(labels)
    examples = examples_table([f"text number {number:03d}" for number in range(n)])
    times = seconds or [10.0] * n
    annotations = annotations_table([(number + 1, "ada", labels[number], times[number]) for number in range(n)])
    return queue(
        examples, annotations, consensus_table(labels, confidence), verdicts(reasons, n),
        copies=np.array(copies or range(n)), found=found,
    )  # fmt: skip


def test_the_queue_holds_what_is_to_be_relabelled_and_nothing_else_with_every_factor_beside_the_gain() -> None:
    table = ordered(["a", "b"] * 5, {3: [reason()], 4: [reason(severity=0.4)]})
    assert tuple(table.columns) == QUEUE_COLUMNS
    assert table["example_id"].tolist() == [3, 4]
    assert table["gain"].to_numpy() == pytest.approx(60 * table["wrong"] * table["effect"] / table["seconds"])


def test_more_copies_a_rarer_class_and_less_time_each_come_first() -> None:
    same = {2: [reason()], 4: [reason()]}
    assert ordered(["a"] * 6, same)["example_id"].tolist() == [2, 4]
    assert ordered(["a"] * 6, same, copies=[0, 1, 2, 3, 3, 5])["example_id"].tolist() == [4, 2]
    assert ordered(["a", "a", "a", "b", "a", "a"], same)["example_id"].tolist() == [4, 2]
    rare_suggestion = {2: [reason()], 4: [reason(suggestion='"b"')]}
    assert ordered(["a", "a", "a", "a", "a", "b"], rare_suggestion)["example_id"].tolist() == [4, 2]
    labels = ["a"] * 20 + ["b"] * 20
    slow_first = ordered(labels, {2: [reason()], 30: [reason()]}, seconds=[40.0] * 20 + [10.0] * 20)
    assert slow_first["example_id"].tolist() == [30, 2]


def test_a_copy_counts_only_where_it_carries_the_same_answer() -> None:
    table = ordered(["a", "a", "b", "b"], {1: [reason()], 3: [reason()]}, copies=[0, 0, 0, 3])
    assert dict(zip(table["example_id"], table["effect"], strict=True)) == {1: 2.0, 3: 1.0}


def test_a_tie_is_as_doubtful_as_its_confidence_says_and_a_check_as_reviewers_found_it() -> None:
    assert probability(reason("consensus", 1.0), 0.4, (0, 0)) == pytest.approx(0.6)
    assert probability(reason(severity=0.8), 0.9, (0, 0)) == pytest.approx(0.4)
    assert probability(reason(severity=0.8), 0.9, (9, 10)) > probability(reason(severity=0.8), 0.9, (1, 10))


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 50), st.integers(0, 50))
def test_a_probability_is_one(severity: float, confidence: float, right: int, wrong: int) -> None:
    for check in ("consensus", "label_errors"):
        assert 0 <= probability(reason(check, severity), confidence, (right, right + wrong)) <= 1


def test_a_check_that_reviewers_found_right_overtakes_one_that_they_found_wrong() -> None:
    doubts = {1: [reason("good", 0.7)], 2: [reason("bad", 0.9)]}
    assert ordered(["a"] * 4, doubts)["example_id"].tolist() == [2, 1]
    found = {"good": (18, 20), "bad": (3, 20)}
    assert ordered(["a"] * 4, doubts, found=found)["example_id"].tolist() == [1, 2]


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=60))
def test_rarity_is_one_where_all_answers_are_equally_frequent_and_greater_for_the_rarer(labels: list[str]) -> None:
    answers = pd.Series(labels)
    weights = rarity(answers)
    counts = answers.value_counts()
    for one in counts.index:
        for other in counts.index:
            assert (counts[one] < counts[other]) == (weights[one] > weights[other])
    if counts.nunique() == 1:
        assert all(weight == pytest.approx(1) for weight in weights.values())


def test_lead_time_is_that_of_like_tasks_and_falls_back_where_there_are_too_few() -> None:
    texts = ["x" * (10 if number % 2 else 100) for number in range(60)]
    rows = examples_table(texts).assign(answer=['"a"'] * 57 + ['"b"'] * 3)
    given_times = [(number + 1, "ada", "a", 5.0 if number % 2 else 50.0) for number in range(60)]
    times = lead_times(rows, annotations_table(given_times))
    assert times[1] == 5.0
    assert times[0] == 50.0
    assert times[58] == 50.0  # fewer than LEAST_TIMED of its label: like length decides
    few = annotations_table(given_times[: LEAST_TIMED - 1])
    assert lead_times(rows, few).nunique() == 1
    none = few.assign(seconds=np.nan)
    assert set(lead_times(rows, none)) == {1.0}


# --- what became of it


def pushed(
    number: int, annotations: pd.DataFrame, asked: dict[int, str], check: str = "label_errors"
) -> dict[str, Any]:
    states = state_of(annotations, asked)
    tasks = [
        {"task_id": example, "check": check, "checks": [check], "answer": answer, "annotations": states[example]}
        for example, answer in asked.items()
    ]
    return {"number": number, "tasks": tasks}


def changed(table: pd.DataFrame, row: int, **values: Any) -> pd.DataFrame:
    table = table.copy()
    for name, value in values.items():
        table.loc[row, name] = value
    return table


def added(table: pd.DataFrame, example: int, label: str, *, who: str = "rex", seconds: float = 7.0) -> pd.DataFrame:
    number = int(table["annotation_id"].max()) + 1
    own = {"annotation_id": number, "example_id": example, "annotator": who, "answer": orjson.dumps(label).decode()}
    row = {**table.iloc[0].to_dict(), **own, "seconds": seconds, "updated_at": f"2026-03-01T00:00:{number:02}Z"}
    return pd.concat([table, pd.DataFrame([row])], ignore_index=True)


BEFORE = annotations_table([(example, who, "a", 10.0) for example in (1, 2, 3) for who in ("ada", "ben")])


def states(log: list[dict[str, Any]], annotations: pd.DataFrame, there: tuple[int, ...] = (1, 2, 3)) -> dict[int, str]:
    found = outcomes(log, annotations, there)
    return dict(zip(found["example_id"], found["state"], strict=True))


def test_each_task_is_corrected_confirmed_open_or_deleted() -> None:
    log = [pushed(1, BEFORE, {1: '"a"', 2: '"a"', 3: '"a"'})]
    assert states(log, BEFORE) == {1: "open", 2: "open", 3: "open"}
    later = added(added(BEFORE, 1, "b"), 2, "a")
    assert states(log, later, (1, 2)) == {1: "corrected", 2: "confirmed", 3: "deleted"}
    found = outcomes(log, later, (1, 2, 3))
    assert found["seconds"].sum() == 14.0
    (row,) = by_check(found)
    assert (row["queued"], row["corrected"], row["confirmed"], row["open"]) == (3, 1, 1, 1)
    assert row["precision"]["value"] == 0.5
    assert row["precision"]["low"] < 0.5 < row["precision"]["high"]
    assert found_right(found) == {"label_errors": (1, 2)}


def test_a_changed_answer_and_more_time_on_an_old_one_are_reviews_and_a_mark_of_ground_truth_is_none() -> None:
    log = [pushed(1, BEFORE, {1: '"a"', 2: '"a"', 3: '"a"'})]
    touched = changed(BEFORE, 0, answer='"b"', seconds=15.0, updated_at="2026-03-01T00:00:00Z")
    touched = changed(touched, 2, seconds=14.0, updated_at="2026-03-01T00:00:00Z")
    touched = changed(touched, 4, ground_truth=True, updated_at="2026-03-01T00:00:00Z")
    assert states(log, touched) == {1: "corrected", 2: "confirmed", 3: "open"}
    assert outcomes(log, touched, (1, 2, 3))["seconds"].dropna().tolist() == [5.0, 4.0]


def test_a_cancelled_answer_is_none_and_a_review_answer_that_is_withdrawn_leaves_the_task_open() -> None:
    log = [pushed(1, BEFORE, {1: '"a"'})]
    later = added(BEFORE, 1, "b")
    assert states(log, later) == {1: "corrected"}
    assert states(log, changed(later, len(later) - 1, cancelled=True)) == {1: "open"}
    assert states(log, BEFORE) == {1: "open"}


def test_an_answer_that_was_brought_home_from_a_queue_is_no_review() -> None:
    log = [pushed(1, BEFORE, {1: '"a"'})]
    home = added(BEFORE, 1, "b")
    assert states(log, changed(home, len(home) - 1, imported=True)) == {1: "open"}


def test_the_last_review_answer_counts() -> None:
    log = [pushed(1, BEFORE, {1: '"a"'})]
    twice = added(added(BEFORE, 1, "b"), 1, "a", who="sue")
    (row,) = reviewed(outcomes(log, twice, (1, 2, 3)), twice).to_dict("records")
    assert (row["answer"], row["outcome"], row["annotator"]) == ('"a"', "confirmed", "sue")


def test_a_task_asked_again_unanswered_counts_once_and_an_answered_one_for_the_push_that_asked() -> None:
    between = added(BEFORE, 1, "b")
    log = [pushed(1, BEFORE, {1: '"a"', 2: '"a"'}), pushed(2, between, {1: '"b"', 2: '"a"'}, check="text_quality")]
    found = outcomes(log, between, (1, 2, 3))
    assert found[["push", "example_id", "state"]].to_dict("split")["data"] == [
        [1, 1, "corrected"],
        [2, 1, "open"],
        [2, 2, "open"],
    ]
    done = reviewed(found, between)
    assert done["checks"].tolist() == ['["label_errors"]']


def test_ground_truth_set_later_on_another_answer_overrules_a_review() -> None:
    log = [pushed(1, BEFORE, {1: '"a"'})]
    later = added(BEFORE, 1, "b")
    found = outcomes(log, later, (1, 2, 3))
    assert len(reviewed(found, later)) == 1
    assert len(reviewed(found, changed(later, 0, ground_truth=True))) == 1  # older than the review
    starred = changed(later, 0, ground_truth=True, updated_at="2026-04-01T00:00:00Z")
    assert reviewed(found, starred).empty


def test_nothing_pushed_is_a_table_without_rows() -> None:
    table = reviewed(outcomes([], BEFORE, (1, 2, 3)), BEFORE)
    assert tuple(table.columns) == REVIEWED_COLUMNS
    assert table.empty


# --- what the next check makes of it


def looked(answer: str, checks: list[str], outcome: str = "confirmed") -> pd.DataFrame:
    row = (1, answer, outcome, '"a"', orjson.dumps(checks).decode(), 9, "rex", "2026-03-01T00:00:00Z")
    return pd.DataFrame([row], columns=list(REVIEWED_COLUMNS))


def decided(
    consensus_answer: str, review: pd.DataFrame, check: str = "label_errors"
) -> tuple[str, list[tuple[str, str]]]:
    examples = pd.DataFrame({"example_id": [1]})
    consensus = pd.DataFrame({"example_id": [1], "answer": [consensus_answer], "tie": [False]})
    finding = {"check": check, "subject": "example", "subject_id": "1", "severity": 0.9, "flagged": True, "reason": "r",
               "suggestion": ""}  # fmt: skip
    action = {"label_errors": "relabel", "privacy": "drop", "text_quality": "ignore"}
    (row,) = decide(examples, consensus, pd.DataFrame([finding]), action, review).itertuples()
    return row.verdict, sorted((item["check"], item["action"]) for item in orjson.loads(row.reasons))


def test_a_reviewed_answer_is_not_doubted_again_by_the_check_that_asked_but_by_another_or_for_another_answer() -> None:
    asked = looked('"a"', ["label_errors"])
    assert decided('"a"', asked) == ("keep", [("label_errors", "note"), ("review", "note")])
    assert decided('"b"', asked) == ("relabel", [("label_errors", "relabel")])
    assert decided('"a"', asked, "privacy") == ("drop", [("privacy", "drop"), ("review", "note")])
    assert decided('"a"', looked('"a"', ["consensus"])) == (
        "relabel",
        [("label_errors", "relabel"), ("review", "note")],
    )
    assert decided('"a"', looked('"a"', ["text_quality"]), "text_quality") == ("keep", [("review", "note")])


def test_a_review_answer_is_the_consensus_whatever_the_others_say() -> None:
    from pipeline.consensus.build import build

    table = annotations_table([(1, who, "a", 5.0) for who in ("ada", "ben", "cem")] + [(2, "ada", "b", 5.0)])
    examples = examples_table(["one", "two"])
    built = build(table, examples, labels=("a", "b"), reviewed={1: '"b"', 7: '"a"'})
    row = built.consensus.set_index("example_id").loc[1]
    assert (row["answer"], row["method"], row["tie"], row["confidence"]) == ('"b"', "review", False, 1.0)
    assert built.facts["consensus"]["reviewed"] == 1
    assert 7 not in set(built.consensus["example_id"])


# --- what it is worth: planted wrong labels


def planted(seed: int, n: int = 600, share: float = 0.08) -> tuple[Any, pd.Series, pd.Series]:
    """A corpus in which 8 % of the consensus is wrong, the time of a task follows the length of its text, and classes are of
    unequal size; with the wrong examples and the seconds that each review takes."""
    random = np.random.default_rng(seed)
    truth = random.choice(len(LABELS), size=n, p=[0.3, 0.25, 0.2, 0.12, 0.08, 0.05])
    given = truth.copy()
    wrong = random.random(n) < share
    given[wrong] = (given[wrong] + random.integers(1, len(LABELS), wrong.sum())) % len(LABELS)
    words = np.maximum(3, random.lognormal(2.7, 0.8, n)).astype(int)
    examples = examples_table([" ".join(["word"] * count) + f" {number}" for number, count in enumerate(words)])
    seconds = (3 + 0.8 * words) * random.lognormal(0, 0.4, n)
    labels = [LABELS[number] for number in given]
    annotations = annotations_table(list(zip(range(1, n + 1), ["ada"] * n, labels, seconds, strict=True)))
    points = clusters(truth, len(LABELS), spread=0.9, seed=seed)
    evidence = with_probabilities(n, len(LABELS), points, leave_one_out(points, given, len(LABELS)))
    consensus = consensus_table(labels, np.nan)
    found = corpus(examples, annotations, consensus=consensus, evidence=evidence)
    spent = (3 + 0.8 * words) * random.lognormal(0, 0.4, n)  # what the review takes is not known beforehand
    ids = examples["example_id"]
    return found, pd.Series(wrong, index=ids), pd.Series(spent, index=ids)


def found_in(order: list[int], wrong: pd.Series, spent: pd.Series, minutes: float) -> int:
    done = spent.loc[order].cumsum() <= 60 * minutes
    return int(wrong.loc[order][done.to_numpy()].sum())


def test_by_gain_a_minute_finds_more_wrong_labels_than_by_severity_or_at_random(record_property: Any) -> None:
    totals = {"gain": 0, "severity": 0, "random": 0}
    minutes = 5.0
    for seed in range(12):
        found, wrong, spent = planted(seed)
        findings = label_errors.run(found).findings.assign(check="label_errors", subject="example")
        # the queue's own question is the order: every example that could be judged is a candidate
        judged = decide(found.examples, found.consensus, findings.assign(flagged=findings["severity"] > 0.5,
                        reason="r"), {"label_errors": "relabel"})  # fmt: skip
        table = queue(found.examples, found.annotations, found.consensus, judged, copies=np.arange(len(wrong)))
        by_severity = table.sort_values(["wrong", "example_id"], ascending=[False, True])["example_id"].tolist()
        at_random = np.random.default_rng(seed).permutation(table["example_id"].to_numpy()).tolist()
        orders = {"gain": table["example_id"].tolist(), "severity": by_severity, "random": at_random}
        for name, order in orders.items():
            totals[name] += found_in(order, wrong, spent, minutes)
    rates = {name: count / (12 * minutes) for name, count in totals.items()}
    record_property("wrong labels found per minute", rates)
    assert rates["gain"] > 1.1 * rates["severity"]
    assert rates["severity"] > rates["random"]
