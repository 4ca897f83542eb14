"""Comparisons that contradict themselves or each other, and people who prefer a side or a length."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from corpora import annotations_table, corpus, examples_table, of_template

from pipeline.evidence.pairs import choices, pairs, surface
from pipeline.types import Control, Corpus, Scheme
from validators.check import Skip
from validators.preference_habits import preference_habits
from validators.preferences import preferences

LABELS = ("a", "b", "tie")
CONTROL = Control("preference", "prompt", "Choices", "prompt", ("left", "tie", "right"))
SCHEME = Scheme((CONTROL,), ("preference",), ("prompt", "left", "right"))
RUNS = 60


def compared(
    rows: Sequence[tuple[str, str, str]], answers: Sequence[tuple[int, str, str]], left: dict[int, str] | None = None
) -> Corpus:
    """rows: (prompt, left, right) of examples 1, 2, …; answers: (example, annotator, "a" | "b" | "tie")."""
    examples = examples_table([" ".join(row) for row in rows])
    examples["data"] = [
        orjson.dumps(dict(zip(("prompt", "left", "right"), row, strict=True))).decode() for row in rows
    ]
    table = annotations_table([(example, who, answer, 5.0) for example, who, answer in answers])
    made = corpus(examples, table, labels=LABELS, task="pairwise_preference", scheme=SCHEME)
    return dataclasses.replace(made, left=left or {})


def flagged(made: Corpus) -> dict[str, str]:
    table = preferences.run(made).findings
    return {row.subject_id: row.reason for row in table.itertuples() if row.flagged}


def test_a_preference_between_equal_responses_and_one_for_an_empty_response_are_found() -> None:
    rows = [("q", "Yes, it is.", "yes, it  is"), ("q2", "", "An answer."), ("q3", "One.", "Two."), ("q4", "Same", "same")]
    made = compared(rows, [(1, "anna", "a"), (2, "anna", "a"), (3, "anna", "b"), (4, "anna", "tie")])
    found = flagged(made)
    assert set(found) == {"1", "2"}
    assert "both say the same" in found["1"]
    assert "empty" in found["2"]


def test_opposite_results_are_found_on_whichever_side_the_responses_stood() -> None:
    rows = [("q", "One.", "Two."), ("Q", "two", "one"), ("q", "One.", "Three."), ("other", "Two.", "One.")]
    found = flagged(compared(rows, [(1, "anna", "a"), (2, "ben", "a"), (3, "anna", "a"), (4, "ben", "a")]))
    assert set(found) == {"1", "2"}
    assert "example 2, with the opposite result" in found["1"]
    swapped = compared(rows[:2], [(1, "anna", "a"), (2, "ben", "b")], left={2: "b"})  # of 2, `b` stood left: "two" won
    assert set(flagged(swapped)) == {"1", "2"}


def test_every_comparison_of_a_circle_is_named_and_none_of_an_order() -> None:
    rows = [("q", "A", "B"), ("q", "B", "C"), ("q", "C", "A"), ("q", "A", "D"), ("r", "A", "B"), ("r", "B", "C"), ("r", "A", "C")]
    made = compared(rows, [(number, "anna", "a") for number in range(1, 8)])
    found = flagged(made)
    assert set(found) == {"1", "2", "3"}
    assert "examples 2, 3" in found["1"]
    assert preferences.run(made).facts["circles"] == 1


def planted(seed: int, *, contradictions: int = 5) -> tuple[Corpus, set[str]]:
    """30 prompts with four responses each of known quality, compared pairwise without mistakes, and some turned round."""
    random = np.random.default_rng(seed)
    rows, answers, wrong = [], [], set()
    turned = set(random.choice(30, contradictions, replace=False).tolist())
    for prompt in range(30):
        quality = random.permutation(4)
        for a in range(4):
            for b in range(a):
                rows.append((f"prompt {prompt}", f"response {a}", f"response {b}"))
                better = "a" if quality[a] > quality[b] else "b"
                if prompt in turned and {a, b} == {int(quality.argmax()), int(quality.argmin())}:
                    better = {"a": "b", "b": "a"}[better]
                    wrong.add(str(len(rows)))
                answers.append((len(rows), "anna", better))
    return compared(rows, answers), wrong


def test_planted_mistakes_in_orders_of_four_are_all_inside_the_circles_that_are_named() -> None:
    named = right = total = 0
    for seed in range(10):
        made, wrong = planted(seed)
        found = set(flagged(made))
        named, right, total = named + len(found), right + len(found & wrong), total + len(wrong)
    # The best against the worst, turned round, makes two circles with five comparisons: precision one of five, recall all.
    assert right == total, f"recall {right}/{total}"
    assert right / named == pytest.approx(1 / 5), f"precision {right}/{named}"


def people(seed: int, *, left: float = 0.5, longer: float = 0.5, n: int = 120) -> Corpus:
    """Five people compare n pairs; the first chooses the left response at the given rate whatever it says, or the longer one."""
    random = np.random.default_rng(seed)
    rows, answers, shown = [], [], {}
    for number in range(1, n + 1):
        sizes = random.integers(5, 40, 2)
        rows.append((f"prompt {number}", "word " * int(sizes[0]) + "x", "word " * int(sizes[1]) + "y"))
        shown[number] = str(random.choice(["a", "b"]))
        better = str(random.choice(["left", "right"]))
        for who in ("anna", "ben", "carl", "dora", "emil"):
            side = better if random.random() < 0.8 else {"left": "right", "right": "left"}[better]
            if who == "anna" and left != 0.5:
                side = "left" if random.random() < left else "right"
            if who == "anna" and longer != 0.5:
                side = ("left" if sizes[0] > sizes[1] else "right") if random.random() < longer else side
            answers.append((number, who, shown[number] if side == "left" else {"a": "b", "b": "a"}[shown[number]]))
    return compared(rows, answers, left=shown)


def named(made: Corpus) -> set[str]:
    table = preference_habits.run(made).findings
    return set(table.loc[table["flagged"], "subject_id"])


def test_who_prefers_a_side_is_found() -> None:
    hits = [named(people(seed, left=0.8)) for seed in range(RUNS)]
    assert sum(names == {"anna"} for names in hits) >= 0.9 * RUNS, hits  # measured: 60 of 60


def test_who_prefers_whatever_is_longer_is_found() -> None:
    hits = [named(people(seed, longer=0.8)) for seed in range(RUNS)]
    assert sum("anna" in names for names in hits) >= 0.8 * RUNS, hits


def test_people_without_a_habit_are_not_named() -> None:
    assert sum(bool(named(people(seed))) for seed in range(RUNS)) <= 2  # alpha is .01 a run


def test_without_a_drawn_order_the_left_side_may_be_the_better_one() -> None:
    made = dataclasses.replace(people(1, left=0.95), left={})
    assert not any("side" in row and row["side"] for row in preference_habits.run(made).facts["annotators"])


def test_the_side_of_a_choice_follows_what_was_shown() -> None:
    made = compared([("q", "one two", "three")] * 2, [(1, "anna", "a"), (2, "anna", "a")], left={2: "b"})
    given = choices(made, pairs(made)).sort_values("example_id")
    assert given["side"].tolist() == ["left", "right"]
    assert given["longer"].tolist() == [True, False]


def test_length_alone_tells_a_preference_that_follows_length_and_not_one_that_does_not() -> None:
    made = people(3, longer=1.0)
    only = dataclasses.replace(
        made, consensus=_by(made, made.annotations[made.annotations["annotator"] == "anna"])
    )
    found = surface(only, pairs(only))
    assert found["low"] > 0.9
    chance = [surface(one, pairs(one))["auc"] for one in (people(seed) for seed in range(8))]
    assert 0.4 < np.mean(chance) < 0.6


def _by(made: Corpus, answers: pd.DataFrame) -> Any:
    return made.consensus.assign(answer=answers.set_index("example_id")["answer"].loc[made.consensus["example_id"]].to_numpy())


def test_the_shipped_sample_can_be_read_and_its_planted_contradictions_are_found() -> None:
    made, faults = of_template("pairwise_preference")
    assert len(pairs(made)) == len(made.examples)
    found = flagged(made)
    contradictions = {example for example, fault in faults.items() if fault == "conflicting"}
    assert not found or set(found) & contradictions, (found, faults)


@pytest.mark.parametrize("check", [preferences, preference_habits], ids=lambda item: item.name)
def test_other_kinds_of_answers_are_skipped(check: Any) -> None:
    with pytest.raises(Skip):
        check.run(of_template("response_rating")[0])
