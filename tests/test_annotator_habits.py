"""Simulated teams: what is planted in one person is found there, and hardly anybody is named for nothing.

Bounds are below what was measured on these seeds; the full table, on other seeds, is printed by
tests/benchmarks/quality.py --only annotators.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import teams
from hypothesis import given, settings
from hypothesis import strategies as st
from teams import Team, corpus_of, raters, team

from pipeline.consensus.build import latest_answers
from pipeline.consensus.habits.agreement import agreement
from pipeline.consensus.habits.answers import answers_of
from pipeline.consensus.habits.copying import copying
from pipeline.consensus.habits.drift import SHORTEST, change
from pipeline.consensus.habits.gold import gold
from pipeline.consensus.habits.pace import runs
from pipeline.consensus.habits.sheet import Sheet, sheet_of
from pipeline.consensus.habits.spam import pattern
from pipeline.consensus.truth import truths
from pipeline.statistics import wilson
from pipeline.types import Corpus
from validators.annotators import annotators

SEEDS = range(20)
FIVE: dict[str, Any] = {"people": 5, "labels": 4}
SETS: dict[str, Any] = {"people": 5, "labels": 8, "task": "multi_label_classification"}
SPANS: dict[str, Any] = {"people": 5, "labels": 8, "task": "spans"}
SHAPES: tuple[dict[str, int], ...] = (
    {"people": 3, "n": 200, "labels": 3}, {"people": 5, "n": 200, "labels": 2}, {"people": 8, "n": 200, "labels": 6},
    {"people": 10, "n": 300, "labels": 4, "each": 3}, {"people": 12, "n": 250, "labels": 3, "each": 6},
    {"people": 40, "n": 300, "labels": 5, "each": 4}, {"people": 2, "n": 200, "labels": 3},
)  # fmt: skip


def named(corpus: Corpus) -> set[tuple[str, str]]:
    """(annotator, for what)."""
    return {(word["annotator"], word["about"]) for word in annotators.run(corpus).facts["words"]}


def found(make: Callable[[int], Corpus], about: str, who: str = "person 0") -> tuple[int, int]:
    """(runs of 20 in which `who` is named for it, runs in which anybody else but the first two is named for anything)."""
    runs = [named(make(seed)) for seed in SEEDS]
    others = sum(any(name not in ("person 0", "person 1") for name, _ in one) for one in runs)
    return sum((who, about) in one for one in runs), others


def planted(
    plant: Callable[[Team, int], Team], gold: int = 0, task: str = "text_classification", **shape: Any
) -> Callable[[int], Corpus]:
    return lambda seed: corpus_of(plant(team(seed, **shape), seed), gold=gold, task=task)


def sheet(made: Corpus) -> Sheet:
    return sheet_of(latest_answers(made.annotations), made.annotations, None)


@pytest.mark.parametrize("kind", ["logistic", "mixed"])
def test_in_teams_of_equal_skill_hardly_anybody_is_named(kind: str) -> None:
    """Alpha is one team in twenty; measured on 1,200 teams: 1 to 2 in a hundred."""
    hits = []
    for seed in range(70):
        shape = SHAPES[seed % len(SHAPES)]
        made = team(1000 + seed, accuracy=[0.75, 0.85, 0.95][seed % 3], kind=kind, **shape)
        if seed % 2:
            made = teams.suggestions(made, seed, 0.8, [0.4] * shape["people"])
        hits += [(seed, shape, one) for one in [named(corpus_of(made, gold=30 * (seed % 2)))] if one]
    assert len(hits) <= 4, hits


def test_where_answers_are_sets_spans_or_ratings_hardly_anybody_is_named() -> None:
    hits = []
    for seed in range(42):
        shape = SHAPES[seed % len(SHAPES)]
        task = ("multi_label_classification", "spans", "response_rating")[seed % 3]
        made = raters(seed, people=shape["people"]) if seed % 3 == 2 else team(seed, **{**shape, "labels": 8})
        hits += [(seed, task, one) for one in [named(corpus_of(made, task=task))] if one]
    assert len(hits) <= 2, hits


@pytest.mark.parametrize(
    ("about", "least", "make"),
    [
        ("copying", 17, planted(lambda made, seed: teams.copier(made, seed, 0.6), n=200, **FIVE)),
        ("copying", 12, planted(lambda made, seed: teams.copier(made, seed, 0.3), n=600, **FIVE)),
        ("copying", 8, planted(lambda made, seed: teams.copier(made, seed, 0.6), n=200, **SETS)),
        ("suggestions", 19, planted(lambda made, seed: teams.suggestions(made, seed, 0.8, [0.8, *[0.2] * 4]), n=300, **FIVE)),
        ("drift", 14, planted(lambda made, seed: teams.drifter(made, seed, 0.7, 0.9), n=300, accuracy=0.9, **FIVE)),
        ("drift", 14, planted(lambda made, seed: teams.drifter(made, seed, 0.6, 0.9), n=300, accuracy=0.9, **SPANS)),
        ("new_habits", 15, planted(lambda made, seed: teams.newly_fond(made, seed, 1, 0.3), n=300, **FIVE)),
        ("spam", 19, planted(lambda made, seed: teams.spammer(made, seed, "random"), n=100, **FIVE)),
        ("spam", 19, planted(lambda made, seed: teams.spammer(made, seed, "constant"), n=100, people=3, labels=4)),
        ("spam", 17, planted(lambda made, seed: teams.spammer(made, seed, "cycle"), n=100, **FIVE)),
        ("spam", 17, planted(lambda made, seed: teams.spammer(made, seed, "random"), n=100, **SPANS)),
        ("gold", 14, planted(lambda made, seed: teams.drifter(made, seed, 0.6, 0.6), n=200, gold=60, **FIVE)),
        ("scales", 17, lambda seed: corpus_of(raters(seed, shifts=[-0.8]), task="response_rating")),
        ("scales", 17, lambda seed: corpus_of(raters(seed, narrow=0), task="response_rating")),
    ],
)  # fmt: skip
def test_what_is_planted_in_one_person_is_found_there_and_the_others_are_cleared(
    about: str, least: int, make: Callable[[int], Corpus]
) -> None:
    right, others = found(make, about)
    assert right >= least, f"found in {right} of 20 runs"
    assert others <= 1, f"somebody else named in {others} of 20 runs"


def test_who_answered_later_is_the_one_who_copied() -> None:
    made = corpus_of(teams.copier(team(3, n=400, **FIVE), 3, 0.6))
    row = annotators.run(made).facts["copying"][0]
    assert {row["annotator"], row["other"]} == {"person 0", "person 1"}
    assert row["later"] == "person 0"
    assert row["times_later"] == row["timed"] == row["shared"]
    assert 0.3 < row["low"] <= row["share"] <= row["high"] <= 1
    assert ("person 1", "copying") not in named(made)
    told = next(word for word in annotators.run(made).facts["words"] if word["about"] == "copying")
    assert "unusual answers with annotator person 1" in told["sentence"]


def test_without_times_both_are_asked() -> None:
    made = corpus_of(teams.copier(team(3, n=400, **FIVE), 3, 0.6))
    bare = dataclasses.replace(made, annotations=made.annotations.assign(created_at=""))
    assert {("person 0", "copying"), ("person 1", "copying")} <= named(bare)
    assert any("carry no times" in one for one in annotators.run(bare).facts["not_told"])


def test_two_people_with_the_same_habit_are_no_couple() -> None:
    """Both take half of label 1 for label 0, each on other examples. Measured: never in 20 runs."""
    for seed in SEEDS:
        made, random = team(seed, n=400, **FIVE), np.random.default_rng(seed)
        for who in (0, 1):
            rows = np.flatnonzero((made.truth == 1) & (random.random(400) < 0.5))
            made = teams.with_answers(made, who, rows, 0)
        assert not [who for who, about in named(corpus_of(made)) if about == "copying"], seed


def test_three_who_see_things_alike_are_a_circle_and_nobody_is_blamed() -> None:
    made, random = team(0, people=7, n=400, labels=2), np.random.default_rng(0)
    rows = np.flatnonzero(random.random(400) < 0.2)
    for who in (0, 1, 2):
        mine = rows[random.random(len(rows)) < 0.9]
        made = teams.with_answers(made, who, mine, 1 - made.truth[mine])
    report = annotators.run(corpus_of(made))
    assert not [word for word in report.facts["words"] if word["about"] == "copying"]
    assert [circle["people"] for circle in report.facts["circles"]] == [["person 0", "person 1", "person 2"]]


def test_with_two_people_it_is_said_that_nothing_can_be_told() -> None:
    made = corpus_of(teams.copier(team(0, people=2, n=300, labels=4), 0, 0.5))
    report = annotators.run(made)
    assert not report.facts["words"]
    assert not report.facts["copying"]
    assert any("two possible owners" in one for one in report.facts["not_told"])
    assert any("no example has 5 answers" in one for one in report.facts["not_told"])


def test_of_two_people_neither_is_named_for_a_confusion() -> None:
    made, random = team(0, people=2, n=400, labels=4, accuracy=0.95), np.random.default_rng(0)
    rows = np.flatnonzero((made.truth == 1) & (random.random(400) < 0.5))
    report = annotators.run(corpus_of(teams.with_answers(made, 0, rows, 0)))
    assert not report.facts["words"]
    assert any(row["rate"] > 0.4 for row in report.facts["confusions"])


def test_beside_somebody_who_always_says_the_same_the_others_are_not_blamed() -> None:
    """Measured: in 1 of 60 teams of three; in 7 if what such a person says counts."""
    hits = [seed for seed in range(30) if any(
        who != "person 0" for who, _ in named(corpus_of(
            teams.spammer(team(150_000 + seed, people=3, n=100, labels=4, kind="mixed"), seed, "constant")
        ))
    )]  # fmt: skip
    assert len(hits) <= 1, hits


def test_of_two_people_ground_truth_still_tells_who_is_right() -> None:
    made = corpus_of(teams.drifter(team(0, people=2, n=200, labels=4, accuracy=0.9), 0, 0.5, 0.5), gold=80)
    assert ("person 0", "gold") in named(made)
    assert "person 1" not in {who for who, _ in named(made)}


def test_a_run_is_held_against_how_often_the_others_say_so_where_they_answered() -> None:
    """Person 0 shares 30 of 200 answers; in 22 of these the others say “label 0”, so 14 in a row are no wonder."""
    said = np.full((200, 3), -1)
    said[:, 0] = np.array([0, 1, 2, 1, 2])[np.arange(200) % 5]
    said[50:64, 0] = 0
    said[50:64, 1:] = np.where(np.arange(14) < 8, 1, 0)[:, None]
    said[100:116, 1:] = 0
    made = dataclasses.replace(team(0, people=3, n=200, labels=3), said=said)
    base = corpus_of(made)
    answers = answers_of(latest_answers(base.annotations), base.labels)
    assert not runs(answers, base.annotations, alpha=LEVEL)


LEVEL = 0.005  # each question's share of alpha


def wrong_on_gold(made: Team) -> list[str]:
    """Who is named for accuracy where every example's answer was decided."""
    annotations = corpus_of(made, gold=len(made.truth)).annotations
    table, truth = latest_answers(annotations), truths(annotations)
    return [row["annotator"] for row in gold(table, truth, None, alpha=LEVEL, min_effect=0.3, min_gap=0.1) if row["flagged"]]


def disagreeing(made: Team) -> list[str]:
    base = corpus_of(made)
    answers = answers_of(latest_answers(base.annotations), base.labels)
    return [row["annotator"] for row in agreement(answers, alpha=LEVEL, min_effect=0.3) if row["flagged"]]


@pytest.mark.parametrize(
    ("named_of", "shape"),
    [
        (wrong_on_gold, {"people": 2, "n": 40, "accuracy": 0.78}),
        (disagreeing, {"people": 4, "n": 100, "each": 3, "accuracy": 0.68}),
    ],
)
def test_each_question_names_equal_annotators_no_more_often_than_its_share_of_alpha(
    named_of: Callable[[Team], list[str]], shape: dict[str, Any]
) -> None:
    """The others' rate is an estimate, too."""
    runs = 240
    hits = sum(bool(named_of(team(seed, labels=2, difficulty=0, **shape))) for seed in range(runs))
    assert wilson(hits, runs).low <= LEVEL, f"somebody named in {hits} of {runs}"


@pytest.mark.parametrize("named_of", [wrong_on_gold, disagreeing])
def test_who_is_right_half_of_the_time_among_six_good_ones_is_found(named_of: Callable[[Team], list[str]]) -> None:
    accuracy = [0.5, *[0.85] * 6]
    hits = [named_of(team(seed, people=7, n=60, labels=2, difficulty=0, accuracy=accuracy)) for seed in SEEDS]
    assert sum(one == ["person 0"] for one in hits) >= 18, hits


def test_examples_that_become_harder_for_all_are_no_drift() -> None:
    for seed in SEEDS:
        made = team(seed, n=300, accuracy=0.95, **FIVE)
        random = np.random.default_rng(seed)
        for who in range(5):
            late = np.arange(150, 300)
            made = teams.with_answers(made, who, late, teams.slipping(made, random, late, 0.65))
        assert not [one for one in named(corpus_of(made)) if one[1] == "drift"], seed


def test_the_place_of_a_change_is_found() -> None:
    places = []
    for seed in SEEDS:
        made = corpus_of(teams.drifter(team(seed, n=400, accuracy=0.92, **FIVE), seed, 0.5, at=0.4))
        places += [row["place"] for row in annotators.run(made).facts["drift"] if row["annotator"] == "person 0"]
    assert np.median(np.abs(np.array(places) - 160)) <= 15, places


def test_a_follower_is_told_with_what_was_shown_and_what_was_held_back() -> None:
    made = corpus_of(teams.suggestions(team(5, n=400, **FIVE), 5, 0.75, [0.9, 0.1, 0.1, 0.1, 0.1], held=0.3))
    facts = annotators.run(made).facts
    row = next(row for row in facts["suggestions"] if row["annotator"] == "person 0")
    assert row["follows_wrong"]
    assert row["leans"]
    assert row["shown"] + row["held"] == 400
    assert row["gap_low"] <= row["gap"] <= row["gap_high"]
    assert {word["annotator"] for word in facts["words"] if word["about"] == "suggestions"} == {"person 0"}
    assert facts["suggestions_overall"]["shown"] == 5 * row["shown"]


def test_answers_begun_before_a_suggestion_was_pushed_do_not_follow_it() -> None:
    made = corpus_of(teams.suggestions(team(5, n=400, **FIVE), 5, 0.75, [0.9, 0.1, 0.1, 0.1, 0.1]))
    late = dataclasses.replace(made, suggestions=made.suggestions.assign(pushed_at="2027-01-01T00:00:00Z"))
    report = annotators.run(late)
    assert not report.facts["suggestions"]
    assert any("Copying from suggestions" in one for one in report.facts["not_told"])


def test_a_written_answer_that_is_unlike_the_others_names_nobody_but_the_same_words_twice_do() -> None:
    random = np.random.default_rng(0)
    words = [f"word{number}" for number in range(400)]
    rows = []
    for example in range(1, 81):
        said = [" ".join(random.choice(words, 12)) for _ in range(5)]
        said[1] = said[0] if random.random() < 0.4 else said[1]
        rows += [(example, f"person {who}", text) for who, text in enumerate(said)]
    base = corpus_of(team(0, n=80, **FIVE), task="text_generation")
    table = base.annotations.iloc[: len(rows)].assign(
        example_id=[row[0] for row in rows], annotator=[row[1] for row in rows], answer=[f'"{row[2]}"' for row in rows]
    )
    made = dataclasses.replace(base, annotations=table.reset_index(drop=True))
    assert {about for _, about in named(made)} == {"copying"}
    assert {who for who, _ in named(made)} <= {"person 0", "person 1"}


def test_patterns_have_names() -> None:
    random = np.random.default_rng(0)
    assert pattern(np.zeros(40, np.int64)) == "constant"
    assert pattern(np.arange(60) % 3) == "cycle of 3"
    assert pattern(random.integers(0, 4, 100)) == "random"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(SHORTEST, 200))
def test_a_change_turned_round_is_no_fall(seed: int, n: int) -> None:
    values = np.random.default_rng(seed).random(n) + np.linspace(1, 0, n)
    down, up = change(values), change(values[::-1].copy())
    assert down.p < up.p
    assert up.p > 0.2
    assert 0 < down.place < n


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_copying_does_not_depend_on_the_names_or_the_order_of_rows(seed: int) -> None:
    made = corpus_of(teams.copier(team(seed, n=150, **FIVE), seed, 0.7))
    table = made.annotations.sample(frac=1, random_state=seed).reset_index(drop=True)
    again = dataclasses.replace(made, annotations=table)
    first, second = (copying(sheet(one), alpha=0.005, min_share=0.1, third_parties=3) for one in (made, again))
    assert first == second


def test_agreement_of_a_sheet_is_the_same_counted_or_compared() -> None:
    made = corpus_of(team(1, people=6, n=100, labels=3, each=4))
    table = latest_answers(made.annotations)
    counted, compared = (sheet_of(table, made.annotations, how) for how in (None, lambda a, b: float(a == b)))
    np.testing.assert_allclose(counted.own, compared.own)
    np.testing.assert_allclose(counted.rest, compared.rest)
    np.testing.assert_allclose(counted.chance, compared.chance, atol=0.12)


# --- real people -----------------------------------------------------------------------------------------------------


def real(name: str) -> Corpus:
    import sys

    sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
    from measured import annotators as bench

    answers = {"rte": lambda: (bench._rte() or [None])[0], "brexit": lambda: bench._le_wi_di("hsbrexit", "HS-Brexit")}[name]()
    if not answers:
        pytest.skip("the shared data is absent")
    return bench.real_corpus(answers)


def test_on_snow_rte_the_named_are_truly_bad() -> None:
    """164 people, gold known and not used: the named are right in .52, the rest in .85."""
    made = real("rte")
    gold = {}
    from measured import annotators as bench

    answers, truth = bench._rte()  # type: ignore[misc]
    for item, who, answer in answers:
        gold.setdefault(who, []).append(answer == truth[item])
    bad = {who for who, _ in named(made)}
    assert 4 <= len(bad) <= 10
    assert np.mean([hit for who in bad for hit in gold[who]]) < 0.6
    assert np.mean([hit for who in set(gold) - bad for hit in gold[who]]) > 0.84
    assert max(np.mean(gold[who]) for who in bad) < 0.7


def test_on_hs_brexit_the_target_group_is_a_circle_and_nobody_a_copier() -> None:
    report = annotators.run(real("brexit"))
    assert [circle["people"] for circle in report.facts["circles"]] == [["Ann1", "Ann2", "Ann3"]]
    assert not [word for word in report.facts["words"] if word["about"] == "copying"]


def test_empty_tables_of_times_and_seconds_are_no_reason_to_fail() -> None:
    made = corpus_of(team(0, n=50, **FIVE))
    bare = made.annotations.assign(created_at="", seconds=np.nan, imported=True)
    report = annotators.run(dataclasses.replace(made, annotations=bare))
    assert isinstance(report.findings, pd.DataFrame)
    assert not report.facts["speed"]
