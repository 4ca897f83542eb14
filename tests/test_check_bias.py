"""Bias of the data, of the annotators and of a model: what was planted is found, and chance is not taken for it.

Power and false alarms over 200 seeds are measured by tests/benchmarks/measured/bias.py; here the bounds are wide enough for 20.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from corpora import (
    annotations_table,
    clusters,
    consensus_table,
    corpus,
    examples_table,
    leave_one_out,
    of_template,
    with_probabilities,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.bias import counterfactual as sentences
from pipeline.bias import terms
from pipeline.bias.groups import crossed, groups, meeting
from pipeline.bias.model import calibration_error, error_rates
from pipeline.bias.paired import difference, difference_within, shared
from pipeline.bias.values import values
from pipeline.statistics import cramers_v_interval, differs, rank_association, risk_ratio, stratified_excess
from pipeline.types import Corpus, Interval
from validators.annotator_groups import annotator_groups
from validators.check import Check, Skip
from validators.counterfactual import counterfactual
from validators.model_bias import model_bias
from validators.representation import representation
from validators.slice_labels import slice_labels
from validators.slice_quality import slice_quality
from validators.term_association import term_association

LABELS = ("calm", "harsh", "other")
SEEDS = 20


def stated(
    said: list[str], slices: dict[str, list[str]] | None = None, texts: list[str] | None = None, votes: Any = (), **rest: Any
) -> Corpus:
    """A corpus with a stated consensus."""
    examples = examples_table(texts or [f"text {at}" for at in range(len(said))], slices)
    given, names = annotations_table(list(votes)), rest.pop("labels", LABELS)
    return corpus(examples, given, labels=names, slices=tuple(slices or ()), consensus=consensus_table(said), **rest)


def flagged(check: Check, made: Corpus, **setting: object) -> set[str]:
    table = check.run(made, **setting).findings
    return set(table.loc[table["flagged"], "subject_id"])


def named_over_seeds(
    check: Check, make: Callable[[np.random.Generator, bool], Corpus], planted: str
) -> tuple[int, int]:
    """(seeds in which `planted` is found, seeds in which anything is named where nothing was planted)."""
    found = sum(planted in flagged(check, make(np.random.default_rng(seed), True)) for seed in range(SEEDS))
    false = sum(bool(flagged(check, make(np.random.default_rng(seed), False))) for seed in range(SEEDS))
    return found, false


# --- who is in the data ----------------------------------------------------------------------------------------------


def test_a_group_that_is_rarer_than_the_reference_says_is_named_and_one_that_is_absent_too() -> None:
    made = stated(["calm"] * 400, {"region": ["north"] * 40 + ["south"] * 360})
    wanted = {"region": {"north": 0.3, "south": 0.6, "west": 0.1}}
    report = representation.run(made, reference=wanted)
    table = report.findings.set_index("subject_id")
    assert set(table.index[table["flagged"]]) == {"region=north", "region=south", "region=west"}
    assert table.loc["region=west", "severity"] == 1
    assert "40 of 400 examples (10.0%" in table.loc["region=north", "reason"]
    assert report.facts["worst_gap"] == pytest.approx(0.3)


def test_without_a_reference_shares_are_told_and_small_meetings_counted_but_nothing_is_flagged() -> None:
    made = stated(["calm"] * 100, {"region": ["n", "s"] * 50, "plan": ["free"] * 97 + ["paid"] * 3})
    report = representation.run(made)
    assert not report.findings["flagged"].any()
    assert report.facts["small"][0] == {"group": "region=n & plan=paid", "n": 1}
    assert report.facts["worst_gap"] is None


# --- labels by group -----------------------------------------------------------------------------------------------------


def test_where_two_groups_meet_only_what_goes_beyond_both_is_flagged() -> None:
    random = np.random.default_rng(0)
    region, plan = random.integers(0, 2, 4000), random.integers(0, 2, 4000)
    additive = 1 / (1 + np.exp(-(-2 + region + plan)))
    joint = np.where((region == 1) & (plan == 1), 0.9, additive)
    for chance, expected in ((additive, False), (joint, True)):
        labels = np.where(random.random(4000) < chance, "harsh", "calm")
        made = stated(labels.tolist(), {"region": [f"r{at}" for at in region], "plan": [f"p{at}" for at in plan]})
        report = slice_labels.run(made)
        assert any(row["flagged"] for row in report.facts["intersections"]) is expected
        assert any("&" in name for name in flagged(slice_labels, made)) is expected


@pytest.mark.parametrize("template", ["multi_label_classification", "named_entities", "response_rating"])
def test_sets_spans_and_ratings_are_compared_by_group(template: str) -> None:
    made = of_template(template)[0]
    rows = pd.concat([made.examples] * 12, ignore_index=True)
    size = len(made.examples)
    rows["example_id"] = np.arange(1, len(rows) + 1)
    said = made.consensus.set_index("example_id").reindex(made.examples["example_id"]).reset_index(drop=True)
    many = pd.concat([said] * 12, ignore_index=True).assign(example_id=rows["example_id"])
    rows["side"] = np.where(np.arange(len(rows)) % size < size // 2, "a", "b")
    grown = dataclasses.replace(made, examples=rows, consensus=many.dropna(subset=["answer"]), slices=("side",))
    facts = slice_labels.run(grown, min_n=10).facts
    assert facts["means"] if template == "response_rating" else facts["tests"]
    assert facts["tested"] >= 2


def test_meeting_groups_are_those_of_different_slices_and_exclude_missing_values() -> None:
    table = pd.DataFrame({"a": ["x", "x", "y", ""], "b": ["1", "2", "1", "1"]})
    found = groups(table, ("a", "b"))
    pairs = [meeting(*pair) for pair in crossed(found)]
    assert [pair.subject for pair in pairs] == ["a=x & b=1", "a=x & b=2", "a=y & b=1", "a=y & b=2"]
    assert pairs[0].members.tolist() == [True, False, False, False]
    assert pairs[0].others.tolist() == [False, True, True, False]


# --- terms -----------------------------------------------------------------------------------------------------------------


def mentioning(random: np.random.Generator, planted: bool) -> Corpus:
    names = np.array(["muslim", "jewish", "christian", "local"])
    who = names[random.integers(0, 4, 600)]
    chance = np.where((who == "muslim") & planted, 0.5, 0.2)
    labels = np.where(random.random(600) < chance, "harsh", "calm")
    return stated(labels.tolist(), texts=[f"a {name} family of number {at}" for at, name in enumerate(who)])


def test_a_label_that_hangs_on_a_group_of_people_is_found_and_nobody_is_named_by_chance() -> None:
    found, false = named_over_seeds(term_association, mentioning, "religion: muslim")
    assert found >= 18, f"found in {found} of {SEEDS}"
    assert false <= 3, f"false alarms in {false} of {SEEDS}"


def test_ambiguous_words_count_only_before_people() -> None:
    assert terms.mentioned(terms.words("The white table and the old invoice")) == set()
    assert terms.mentioned(terms.words("An old WOMAN and a white man")) == {
        ("age", "old"), ("ethnicity", "white"), ("gender", "woman"), ("gender", "man"),
    }  # fmt: skip


def test_words_never_hold_personal_data() -> None:
    assert terms.words("write to jane.doe@example.org or +49 30 901820 please") == ["write", "to", "or", "please"]


def test_log_odds_pull_rare_words_to_nothing() -> None:
    ratio, z = terms.log_odds(np.array([3.0, 300.0, 1000.0]), np.array([0.0, 100.0, 1300.0]))
    assert ratio[0] > 0
    assert z[1] > 3 > z[0]
    even, none = terms.log_odds(np.array([5.0, 10.0]), np.array([5.0, 10.0]))
    np.testing.assert_allclose(even, 0, atol=1e-12)
    np.testing.assert_allclose(none, 0, atol=1e-12)


# --- quality of labels by group ------------------------------------------------------------------------------------------


def noisy(random: np.random.Generator, planted: bool) -> Corpus:
    """Every group has another mix of labels, one label is harder for everybody; in r0 labels are worse where it is planted."""
    region, truth = random.integers(0, 3, 500), random.integers(0, 3, 500)
    truth = np.where((region == 1) & (random.random(500) < 0.5), 2, truth)
    points = clusters(truth, 3, spread=0.6, seed=int(random.integers(1000)))
    slip = np.where((region == 0) & planted, 0.35, 0.05) + 0.1 * (truth == 2)
    drawn = [np.where(random.random(500) < slip, random.integers(0, 3, 500), truth) for _ in range(3)]
    votes = [(row + 1, f"p{who}", LABELS[drawn[who][row]], 9.0) for row in range(500) for who in range(3)]
    made = stated([LABELS[at] for at in drawn[0]], {"region": [f"r{at}" for at in region]}, votes=votes)
    return dataclasses.replace(made, evidence=with_probabilities(500, 3, points, leave_one_out(points, drawn[0], 3)))


def test_worse_labels_in_a_group_are_found_and_a_harder_mix_of_labels_is_not_taken_for_them() -> None:
    found, false = named_over_seeds(slice_quality, noisy, "region=r0")
    assert found >= 18, f"found in {found} of {SEEDS}"
    assert false <= 3, f"false alarms in {false} of {SEEDS}"


def test_labels_without_a_fault_are_no_worse_anywhere() -> None:
    votes = [(row + 1, f"p{who}", LABELS[row % 3], 9.0) for row in range(90) for who in range(2)]
    report = slice_quality.run(stated([LABELS[row % 3] for row in range(90)], {"side": ["a", "b"] * 45}, votes=votes))
    assert not report.findings["flagged"].any()
    assert report.facts["worst_gap"] == 0


# --- annotators ------------------------------------------------------------------------------------------------------------


def test_the_difference_of_two_groups_is_the_stratified_excess_and_welchs_test_in_a_complete_design() -> None:
    from scipy.stats import ttest_ind

    random = np.random.default_rng(1)
    example, who = (at.ravel() for at in np.indices((80, 9)))
    said = random.normal(size=(80, 9)) + random.normal(size=(80, 1)) + 0.3 * random.normal(size=(1, 9))
    member = np.arange(9) < 4
    told = difference(example, who, said.reshape(-1, 1), member)
    assert told is not None
    welch = ttest_ind(said.mean(axis=0)[member], said.mean(axis=0)[~member], equal_var=False)
    assert told.p()[0] == pytest.approx(welch.pvalue)
    interval = welch.confidence_interval()
    np.testing.assert_allclose([end[0] for end in told.interval()], [interval.low, interval.high])
    keep = random.random(720) < 0.4
    sparse = difference(example[keep], who[keep], said.reshape(-1, 1)[keep], member)
    assert sparse is not None
    side = (~member[who[keep]]).astype(np.int64)
    excess, _ = stratified_excess(said.reshape(-1, 1)[keep], example[keep], side, 2)
    assert sparse.value[0] == pytest.approx(excess[0, 0])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_the_jackknife_is_what_leaving_out_each_person_gives(seed: int) -> None:
    random = np.random.default_rng(seed)
    example, who = np.nonzero(random.random((30, 8)) < 0.6)  # at most one answer per person and example
    said, member = random.normal(size=(len(who), 2)), np.arange(8) < 4
    told = difference(example, who, said, member)
    assert told is not None
    without = [difference(example[who != k], who[who != k], said[who != k], member) for k in range(8)]
    left = np.array([one.value for one in without if one is not None])
    parts = [3 / 4 * ((left[side] - left[side].mean(axis=0)) ** 2).sum(axis=0) for side in (member, ~member)]
    np.testing.assert_allclose(told.people_error, np.sqrt(parts[0] + parts[1]))


def test_the_difference_of_a_difference_is_that_of_two_parts_of_the_examples() -> None:
    random = np.random.default_rng(3)
    example, who = np.nonzero(random.random((120, 10)) < 0.5)
    said, member, inside = random.normal(size=(len(who), 1)), np.arange(10) < 5, random.random(120) < 0.4
    outside = ~inside & (random.random(120) < 0.8)
    parts = shared(example, who, said, member)
    assert parts is not None
    told = difference_within(parts, inside, outside)
    assert told is not None
    apart = [difference(example[keep], who[keep], said[keep], member) for keep in (inside[example], outside[example])]
    assert apart[0] is not None
    assert apart[1] is not None
    np.testing.assert_allclose(told.value, apart[0].value - apart[1].value)
    assert told.examples == apart[0].examples + apart[1].examples


def teams(random: np.random.Generator, planted: bool) -> Corpus:
    """Twenty people with rates of their own; those of team b give "harsh" .2 more often where it is planted. Those of team a got
    the harsher examples, which is no difference between people."""
    own = random.normal(0, 0.05, 20) + 0.2 * planted * (np.arange(20) % 2)
    harsh = random.random(300) < 0.5
    votes = []
    for row in range(300):
        likely = np.where((np.arange(20) % 2 == 0) == harsh[row], 3.0, 1.0)
        for who in random.choice(20, 5, replace=False, p=likely / likely.sum()):
            said = random.random() < np.clip(0.2 + 0.3 * harsh[row] + own[who], 0, 1)
            votes.append((row + 1, f"p{who:02}", "harsh" if said else "calm", 9.0))
    people = pd.DataFrame({"annotator": [f"p{at:02}" for at in range(20)], "team": ["ab"[at % 2] for at in range(20)]})
    return stated(["calm"] * 300, votes=votes, people=people.astype("str"), labels=("calm", "harsh"))


def test_groups_of_annotators_who_answer_differently_are_found_whatever_each_was_given() -> None:
    found, false = named_over_seeds(annotator_groups, teams, "team=a")
    assert found >= 18, f"found in {found} of {SEEDS}"
    assert false <= 3, f"false alarms in {false} of {SEEDS}"
    row = annotator_groups.run(teams(np.random.default_rng(0), False)).facts["groups"][0]
    assert abs(row["plain"]) > 0.08 > abs(row["difference"])


def test_a_group_of_one_is_not_told_from_a_person_and_few_people_are_said_to_be_few() -> None:
    made = teams(np.random.default_rng(0), True)
    alone = made.people.assign(team=["only"] + ["rest"] * 19)
    with pytest.raises(Skip, match="at least 2 annotators"):
        annotator_groups.run(dataclasses.replace(made, people=alone))
    few = made.people.assign(team=["a", "b", "a", "b", *[""] * 16])
    report = annotator_groups.run(dataclasses.replace(made, people=few))
    assert report.facts["smallest_group"] == 2
    assert report.findings["reason"].str.contains("one of them can turn this").all()


def test_ratings_by_groups_of_annotators() -> None:
    random = np.random.default_rng(2)
    votes = [
        (row + 1, f"p{who}", {"quality": int(np.clip(round(random.normal(3 + (who % 2), 0.7)), 1, 5))}, 9.0)
        for row in range(100)
        for who in range(12)
    ]
    people = pd.DataFrame({"annotator": [f"p{at}" for at in range(12)], "team": ["ab"[at % 2] for at in range(12)]}).astype("str")
    made = corpus(
        examples_table(["x"] * 100), annotations_table(votes), labels=(), consensus=consensus_table([]), people=people,  # type: ignore[arg-type]
        task="response_rating",
    )  # fmt: skip
    row = annotator_groups.run(made).facts["groups"][0]
    assert row["flagged"]
    assert row["difference"] == pytest.approx(-0.95, abs=0.15)


# --- model -----------------------------------------------------------------------------------------------------------------


def served(random: np.random.Generator, planted: bool) -> Corpus:
    region, truth = random.integers(0, 3, 450), random.integers(0, 3, 450)
    seed = int(random.integers(1000))
    near, far = (clusters(truth, 3, spread=spread, seed=seed) for spread in (0.85, 2.5))
    points = np.where(((region == 0) & planted)[:, None], far, near)
    made = stated([LABELS[at] for at in truth], {"region": [f"r{at}" for at in region]})
    return dataclasses.replace(made, evidence=with_probabilities(450, 3, points, leave_one_out(points, truth, 3)))


def test_a_group_that_a_model_serves_worse_is_found() -> None:
    found, false = named_over_seeds(model_bias, served, "region=r0")
    assert found >= 18, f"found in {found} of {SEEDS}"
    assert false <= 3, f"false alarms in {false} of {SEEDS}"
    facts = model_bias.run(served(np.random.default_rng(0), True)).facts
    assert facts["worst_group"]["group"] == "r0"


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_rates_of_a_group_are_fairlearns(seed: int) -> None:
    from fairlearn.metrics import MetricFrame, false_negative_rate, false_positive_rate

    random = np.random.default_rng(seed)
    given_, said, side = random.integers(0, 3, 200), random.integers(0, 3, 200), random.integers(0, 2, 200)
    group = groups(pd.DataFrame({"side": np.array(["a", "b"])[side]}), ("side",))[0]
    rows = {(row["measure"], row["label"]): row for row in error_rates(given_, said, group, ["x", "y", "z"], 5)}
    for k, label in enumerate("xyz"):
        frame = MetricFrame(
            metrics={"false positive": false_positive_rate, "false negative": false_negative_rate},
            y_true=(given_ == k).astype(int), y_pred=(said == k).astype(int), sensitive_features=side,
        )  # fmt: skip
        for measure in ("false positive", "false negative"):
            assert rows[measure, label]["value"] == pytest.approx(frame.by_group[measure][0])
            assert abs(rows[measure, label]["difference"]) == pytest.approx(frame.difference()[measure])
    assert rows["error", ""]["value"] == pytest.approx((given_ != said)[side == 0].mean())


def test_calibration_error_is_nought_for_a_model_that_means_what_it_says() -> None:
    random = np.random.default_rng(0)
    sure = random.uniform(0.5, 1, 20_000)
    assert calibration_error(sure, random.random(20_000) < sure) < 0.02
    assert calibration_error(sure, random.random(20_000) < sure - 0.2) == pytest.approx(0.2, abs=0.02)


def sensitive(move: float, seed: int = 0) -> Corpus:
    """Labels follow one direction of the embeddings; sentences with "muslim" lie further along it by `move`."""
    random = np.random.default_rng(seed)
    points = random.normal(size=(300, 16)).astype(np.float32)
    labels = np.where(points[:, 0] > 0, "harsh", "calm").tolist()
    told = sentences.sentences()
    templates = random.normal(size=(len(told), 16)).astype(np.float32) * 0.1
    templates[[at for at, sentence in enumerate(told) if sentence[1] == "muslim"], 0] += move
    made = stated(labels, labels=("calm", "harsh"))
    bare = with_probabilities(300, 2, points, np.full((300, 2), np.nan))
    return dataclasses.replace(made, evidence=dataclasses.replace(bare, templates=templates))


def test_a_name_that_moves_the_answer_further_than_neutral_words_do_is_found() -> None:
    found = sum("religion: muslim" in flagged(counterfactual, sensitive(2.0, seed)) for seed in range(SEEDS))
    false = sum(bool(flagged(counterfactual, sensitive(0.0, seed))) for seed in range(SEEDS))
    assert found >= 18, f"found in {found} of {SEEDS}"
    assert false <= 2, f"false alarms in {false} of {SEEDS}"


def test_sentences_are_whole_and_the_names_are_known_groups() -> None:
    told = sentences.sentences()
    assert all("{" not in text for _, _, _, text in told)
    assert ("disability", "blind", 0, "I am a blind person.") in told
    assert ("ethnicity", "arab", 0, "I am an arab person.") in told
    known = {*terms.lexicon().words, *terms.lexicon().ambiguous}
    assert {name for axis, name, _, _ in told if axis != sentences.NEUTRAL} <= known


# --- statistics ----------------------------------------------------------------------------------------------------------------


def test_a_risk_ratio_and_its_p_agree_with_the_book() -> None:
    from scipy.stats import fisher_exact

    ratio, low, high = risk_ratio([15], [100], [5], [100])
    spread = np.exp(1.96 * np.sqrt(1 / 15.5 - 1 / 100.5 + 1 / 5.5 - 1 / 100.5))
    assert ratio[0] == pytest.approx(15.5 / 5.5)
    np.testing.assert_allclose([low[0], high[0]], [ratio[0] / spread, ratio[0] * spread], rtol=1e-3)
    assert differs([15], [100], [5], [100])[0] == pytest.approx(fisher_exact([[15, 85], [5, 95]])[1], rel=0.05)


@given(st.integers(0, 1000))
def test_rank_association_is_that_of_kruskal_and_wallis_and_does_not_depend_on_the_scale(seed: int) -> None:
    from scipy.stats import kruskal

    random = np.random.default_rng(seed)
    group, values_ = random.integers(0, 3, 60), random.integers(0, 5, 60).astype(np.float64)
    strength, p = rank_association(values_, group)
    assert p == pytest.approx(kruskal(*(values_[group == k] for k in range(3))).pvalue)
    assert rank_association(np.exp(values_), group)[0].value == pytest.approx(strength.value)
    assert rank_association(np.ones(60), group) == (Interval(0.0, 0.0, 0.0), 1.0)


def test_the_intervals_of_associations_hold_the_truth() -> None:
    random, held = np.random.default_rng(0), np.zeros(2)
    group = np.repeat([0, 1], 200)
    for _ in range(200):
        hits = [random.binomial(200, 0.6), random.binomial(200, 0.4)]  # V is .2
        seen = cramers_v_interval([[hit, 200 - hit] for hit in hits])
        ranked = rank_association(random.normal(size=400) + 0.5 * group, group)[0]  # ε² is about 3 / π of η² = .0588
        held += [seen.low <= 0.2 <= seen.high, ranked.low <= 0.0588 * 3 / np.pi <= ranked.high]
    assert (held >= 180).all(), held


def test_what_answers_hold_as_numbers() -> None:
    held = values([["b", "a"], ["a"]], "multi_label_classification")
    assert held is not None
    assert held.names == ["a", "b"]
    assert held.matrix.tolist() == [[1, 1], [1, 0]]
    rated = values([{"style": 3}, {"style": 4, "truth": 1}], "response_rating")
    assert rated is not None
    assert np.isnan(rated.matrix[0, 1])
    assert values(["some text"], "text_generation") is None
