"""Consensus of answers that are not one of a few labels: sets, ratings, spans, texts; and how good each annotator is at them."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.consensus import presence
from pipeline.consensus.build import build
from pipeline.consensus.whole import near_truth
from pipeline.tasks import known, multi_label_classification, response_rating, spans, task_type, text_generation
from pipeline.templates import names, template
from pipeline.types import ANNOTATOR_COLUMNS, CONSENSUS_COLUMNS, Control, Scheme

NONE = Scheme((Control("c", "t", "Rating", "text", ()),), ("c",), ("text",))
TEXT = "Anna met Bo in Rome on Monday, or so she says, and Carl came later."


def annotations(rows: list[tuple[int, str, Any]], truth: set[int] = frozenset()) -> pd.DataFrame:  # type: ignore[assignment]
    texts = [json.dumps(row[2], ensure_ascii=False, sort_keys=True, separators=(",", ":")) for row in rows]
    return pd.DataFrame(
        {
            "annotation_id": range(len(rows)), "example_id": [row[0] for row in rows], "annotator": [row[1] for row in rows],
            "answer": texts, "updated_at": "", "cancelled": False, "ground_truth": [at in truth for at in range(len(rows))],
        }
    )  # fmt: skip


def built(task: ModuleType, rows: list[tuple[int, str, Any]], truth: set[int] = frozenset(), seed: int = 0) -> Any:  # type: ignore[assignment]
    table = annotations(rows, truth)
    examples = pd.DataFrame({"example_id": sorted(table["example_id"].unique()), "text": TEXT})
    return build(table, examples, labels=(), task=task, scheme=NONE, seed=seed)


def chosen(task: ModuleType, *given_: Any, others: list[tuple[int, str, Any]] | None = None) -> tuple[Any, float, bool]:
    """What annotators 0, 1, … come to on one example, beside what they answered to others."""
    found = built(task, [(1, str(who), answer) for who, answer in enumerate(given_)] + (others or []))
    row = found.consensus.set_index("example_id").loc[1]
    return json.loads(row["answer"]), row["confidence"], bool(row["tie"])


def span(start: int, end: int, label: str = "A") -> dict[str, Any]:
    return {"start": start, "end": end, "labels": [label], "text": TEXT[start:end]}


ANNA, BO, ROME, MONDAY, CARL = span(0, 4), span(9, 11), span(15, 19), span(23, 29), span(51, 55)


def test_each_span_is_decided_for_itself_and_nobody_need_have_given_the_whole() -> None:
    answer, confidence, tie = chosen(spans, [ANNA, BO], [BO, ROME], [ANNA, ROME])
    assert answer == [ANNA, BO, ROME]
    assert 0.5 < confidence < 1
    assert tie is False


def test_a_span_of_one_in_three_is_left_out_and_one_of_two_is_for_somebody_to_decide() -> None:
    assert chosen(spans, [ANNA], [ANNA], [ANNA, CARL])[0] == [ANNA]
    assert chosen(spans, [ANNA], [ANNA, CARL])[2] is True


def test_ends_go_with_the_majority_types_too_and_blanks_are_no_difference() -> None:
    longer, blank, typed = span(0, 8), span(0, 5), span(0, 4, "B")
    assert chosen(spans, [longer], [ANNA], [ANNA])[0] == [ANNA]
    assert chosen(spans, [blank], [ANNA], [longer])[0] == [ANNA]
    assert chosen(spans, [blank], [blank], [blank])[0] == [ANNA]
    answer, _, tie = chosen(spans, [ANNA], [typed], [ANNA], [ANNA])
    assert (answer, tie) == ([ANNA], False)
    assert chosen(spans, [ANNA], [typed])[2] is True


def test_spans_on_top_of_each_other_are_kept_only_if_somebody_marked_them_so() -> None:
    whole, first, last = span(0, 11), span(0, 4), span(9, 11)
    answer, _, _ = chosen(spans, [whole], [whole], [first, last], [first, last])
    assert answer in ([whole], [first, last])
    nested = [whole, first]
    assert chosen(spans, nested, nested, nested)[0] == [first, whole]
    both = {**ANNA, "labels": ["A", "B"]}
    assert chosen(spans, [both], [both], [ANNA])[0] == [both]


def test_careless_annotators_lose_against_one_careful_one() -> None:
    random = np.random.default_rng(0)
    places = [ANNA, BO, ROME, MONDAY, CARL]
    others = []
    for example in range(2, 62):
        true = [place for place in places if random.random() < 0.5]
        for who in "0", "3", "4":
            others.append((example, who, true))
        for who in "1", "2":
            others.append((example, who, [place for place in places if random.random() < 0.5]))
    assert chosen(spans, [ANNA], [CARL], [CARL], others=others)[0] == [ANNA]


@st.composite
def span_answers(draw: st.DrawFn) -> list[list[dict[str, Any]]]:
    def one() -> list[dict[str, Any]]:
        found = {}
        for _ in range(draw(st.integers(0, 4))):
            start = draw(st.integers(0, 30))
            end = draw(st.integers(start + 1, 40))
            if TEXT[start:end].strip():
                labels = sorted(draw(st.sets(st.sampled_from("AB"), min_size=1)))
                found[start, end] = {"start": start, "end": end, "labels": labels, "text": TEXT[start:end]}
        return [found[place] for place in sorted(found)]

    return [one() for _ in range(draw(st.integers(1, 4)))]


@settings(max_examples=80, deadline=None)
@given(span_answers())
def test_merged_spans_are_always_a_valid_answer_whatever_came_in(answers: list[list[dict[str, Any]]]) -> None:
    answer, confidence, _ = chosen(spans, *answers)
    places = [(one["start"], one["end"]) for one in answer]
    assert places == sorted(set(places))
    for one in answer:
        assert one["text"] == TEXT[one["start"] : one["end"]]
        assert one["labels"] == sorted(set(one["labels"]))
        assert set(one["labels"]) <= {"A", "B"}
    if len(answers) == 1:
        assert answer == answers[0]
    else:
        assert 0 <= confidence <= 1
        backwards = [(1, str(who), given_) for who, given_ in reversed(list(enumerate(answers)))]
        assert json.loads(built(spans, backwards).consensus["answer"][0]) == answer
    if len(answers) > 1 and all(one == answers[0] for one in answers):
        assert spans.similarity(answer, answers[0], NONE) == 1


def test_sets_are_voted_on_label_by_label() -> None:
    alike = [["a", "b"], ["a", "b"], ["b", "c"]] * 3
    others = [(row, str(who), labels) for row, labels in enumerate(alike, 2) for who in range(3)]
    answer, confidence, _ = chosen(multi_label_classification, ["a", "b"], ["b", "c"], ["a", "b"], others=others)
    assert answer == ["a", "b"]
    assert 0.5 < confidence <= 1
    assert chosen(multi_label_classification, ["a"], ["b"])[2] is True


def test_labels_that_nobody_gives_together_are_not_put_together() -> None:
    others = [(row, str(who), ["none"] if row % 2 else ["a", "b"]) for row in range(2, 30) for who in range(4)]
    answer, _, tie = chosen(multi_label_classification, ["none"], ["none"], ["a"], ["a", "b"], others=others)
    assert answer in (["none"], ["a"], ["a", "b"])
    assert tie is True


def rating(*values: float, others: list[tuple[int, str, Any]] | None = None) -> tuple[Any, float, bool]:
    answer, confidence, tie = chosen(response_rating, *[{"c": value} for value in values], others=others)
    return answer["c"], confidence, tie


def test_ratings_are_averaged_on_the_scale_and_not_beyond_what_was_given() -> None:
    assert rating(4, 4, 5)[0] == 4
    assert rating(5, 5, 5) == (5, pytest.approx(1, abs=1e-3), False)
    assert rating(2.5, 3.5)[0] == pytest.approx(3.0)
    value, confidence, tie = rating(1, 5)
    assert (value, tie) == (3, True)
    assert confidence < rating(3, 4)[1]
    assert rating(3, 4)[2] is False


@pytest.mark.parametrize(
    ("given_", "merged"),
    [
        ([(1, 2), (2, 3), (3, 4), (4, 5)], [2, 3, 4, 5]),
        ([(2.5, 3, 3), (4.5, 4, 5), (1, 1.5, 1)], [3, 4.5, 1]),
        ([(1, 1.5), (2, 2.5), (4, 4.5)], [1.5, 2.5, 4.5]),
        ([(-1, -2), (-2, -3)], [-1, -2]),
        ([(0.1, 0.2), (0.3, 0.5), (0.7, 0.8)], [0.2, 0.4, 0.8]),
        ([(0.25, 1), (0.5, 1)], [0.75, 0.75]),
        ([(1e15, 1e15), (0.5, 1)], [1e15, 1]),
    ],
)
def test_a_merged_rating_is_one_that_could_have_been_given_and_halves_go_up(
    given_: list[tuple[float, ...]], merged: list[float]
) -> None:
    rows = [(row, str(who), {"c": value}) for row, values in enumerate(given_) for who, value in enumerate(values)]
    answers = built(response_rating, rows).consensus.sort_values("example_id")["answer"]
    assert [json.loads(answer)["c"] for answer in answers] == merged


def test_ratings_finer_than_thousandths_have_no_grid() -> None:
    assert rating(1 / 3, 2 / 3)[0] == pytest.approx(0.5)
    assert rating(1 / 7, 2 / 7)[0] == pytest.approx(3 / 14)


@pytest.mark.parametrize("task", [spans, multi_label_classification, response_rating, text_generation])
def test_without_a_single_answer_there_is_an_empty_consensus(task: ModuleType) -> None:
    examples = pd.DataFrame({"example_id": [1, 2], "text": TEXT})
    found = build(annotations([(1, "a", "x")]).iloc[:0], examples, labels=(), task=task, scheme=NONE, seed=0)
    assert list(found.consensus.columns) == list(CONSENSUS_COLUMNS)
    assert not len(found.consensus)


def test_a_severe_annotator_is_corrected_for() -> None:
    random = np.random.default_rng(0)
    others = []
    for row in range(2, 80):
        true = int(random.integers(2, 5))
        others += [(row, "0", {"c": true + 1}), (row, "1", {"c": true - 1}), (row, "2", {"c": true}), (row, "3", {"c": true})]
    assert rating(4, 2, others=others)[0] == 3
    pair = [(1, "0", {"c": 4}), (1, "2", {"c": 3})]
    assert json.loads(built(response_rating, pair + others).consensus.set_index("example_id").loc[1, "answer"]) == {"c": 3}


def test_a_dimension_that_most_left_out_is_left_out() -> None:
    answer, _, _ = chosen(response_rating, {"c": 4}, {"c": 4, "d": 1}, {"c": 4})
    assert answer == {"c": 4}


def test_two_written_answers_are_no_conflict_and_of_three_the_odd_one_does_not_win() -> None:
    assert chosen(text_generation, "the cat sat", "a dog ran")[2] is False
    assert chosen(text_generation, "the cat sat down", "the cat sat", "no")[0] in ("the cat sat down", "the cat sat")


def test_writers_who_paste_the_same_text_everywhere_do_not_outvote_the_others() -> None:
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    others = []
    for row in range(2, 12):
        text = f"{words[row - 2]} thing is said here"
        others += [(row, who, f"{text} {who}") for who in "0345"]
        others += [(row, who, "good work") for who in ("1" if row % 2 else "2",)]
    one, other = "the cat sat on the mat", "the cat sat on a mat"
    assert chosen(text_generation, one, "good work", "good work", other, others=others)[0] in (one, other)


@pytest.mark.parametrize("task", [spans, multi_label_classification, response_rating, text_generation])
def test_a_single_answer_is_taken_as_it_is_and_has_no_confidence(task: ModuleType) -> None:
    given_ = {"spans": [span(0, 5)], "sets": ["b"], "ratings": {"c": 2}, "texts": "hello"}[task.MERGE]
    answer, confidence, tie = chosen(task, given_)
    assert (answer, tie) == (given_, False)
    assert pd.isna(confidence)


SAID = {
    "spans": [[ANNA, BO], [ANNA, BO, MONDAY], [ANNA], []], "sets": [["a", "b"], ["a"], ["c"], ["b", "c"]],
    "ratings": [{"c": 5}, {"c": 4}, {"c": 1}, {"c": 2}], "texts": ["one two", "one two three", "four five", "four six"],
}  # fmt: skip


@pytest.mark.parametrize("task", [spans, multi_label_classification, response_rating, text_generation])
def test_whoever_answers_like_the_others_has_the_better_quality(task: ModuleType) -> None:
    said = SAID[task.MERGE]
    random = np.random.default_rng(0)
    rows = []
    for row in range(60):
        true = said[row % 4]
        rows += [(row, who, true) for who in "abc"]
        rows.append((row, "odd", said[random.integers(4)]))
    found = built(task, rows)
    people = found.annotators.set_index("annotator")
    assert list(found.annotators.columns) == list(ANNOTATOR_COLUMNS)
    assert list(found.consensus.columns) == list(CONSENSUS_COLUMNS)
    assert (people["quality"] <= 1).all()
    assert people.loc["odd", "quality_high"] < people.loc["a", "quality_low"]
    assert ((people["quality_low"] <= people["quality"]) & (people["quality"] <= people["quality_high"])).all()
    agreement = found.facts["agreement"]
    assert agreement["annotators"][0]["annotator"] == "odd"
    assert agreement["overall"]["value"] > 0.3
    again = built(task, [rows[at] for at in random.permutation(len(rows))])
    pd.testing.assert_frame_equal(again.consensus, found.consensus, rtol=1e-6)
    pd.testing.assert_frame_equal(again.annotators, found.annotators, rtol=1e-6)


def test_how_many_are_unsure_is_told() -> None:
    typed = [[span(0, 4, label)] for label in "ABC"]
    rows = [(row, str(who), [ANNA] if row % 2 else typed[who]) for row in range(10) for who in range(3)]
    told = built(spans, rows).facts["consensus"]["confidence"]
    assert (told["of"], told["count"], told["below"]) == (10, 5, 0.5)
    assert "F1" in told["meaning"]


def test_nobody_else_nothing_known() -> None:
    found = built(spans, [(1, "a", [ANNA]), (2, "b", [BO])])
    assert found.annotators["quality"].isna().all()
    assert found.facts["agreement"]["overall"] is None
    assert found.facts["consensus"]["confidence"]["of"] == 0


def test_ground_truth_decides_here_too() -> None:
    found = built(spans, [(1, "0", [ANNA]), (1, "1", [ANNA]), (1, "2", [CARL])], truth={2})
    row = found.consensus.iloc[0]
    assert (json.loads(row["answer"]), row["method"], row["confidence"]) == ([CARL], "ground_truth", 1.0)
    assert found.annotators.set_index("annotator")["gold"].to_dict() == {"0": 1, "1": 1, "2": 0}


def test_how_near_answers_are_to_the_truth_is_no_matter_of_all_or_nothing() -> None:
    table = annotations([(1, "a", [ANNA, BO]), (1, "b", [ANNA]), (1, "t", [ANNA, BO])])
    truth = table.iloc[[2]]
    found = near_truth(table, truth, lambda a, b: spans.similarity(a, b, NONE)).set_index("annotator")["right"]
    assert found.to_dict() == {"a": 1.0, "b": pytest.approx(2 / 3)}


def test_what_nobody_gave_does_not_make_a_wrong_candidate_look_right() -> None:
    """Three annotators find three quarters of what is there, and one in ten of them invents something: candidates of one vote are
    mostly wrong, and are seen to be."""
    random = np.random.default_rng(0)
    item, who, gave, truth = [], [], [], []
    for _ in range(1500):
        right = random.random() < 0.3
        votes = (random.random(3) < (0.75 if right else 0.1)).astype(int)
        if votes.any():
            item += [len(truth)] * 3
            who += random.choice(9, 3, replace=False).tolist()
            gave += votes.tolist()
            truth.append(right)
    found = presence.fit(np.array(item), np.array(who), np.array(gave), annotators=9)
    assert found.rates.mean(1) == pytest.approx([0.1, 0.75], abs=0.05)
    people, votes = np.array(who).reshape(-1, 3), np.array(gave).reshape(-1, 3)
    chance = np.array([found.probability(one, vote) for one, vote in zip(people, votes, strict=True)])
    for count in (1, 2, 3):
        rows = votes.sum(1) == count
        assert chance[rows].mean() == pytest.approx(np.array(truth)[rows].mean(), abs=0.06)


@pytest.mark.parametrize("name", names())
def test_similarity_is_symmetrical_in_range_and_one_for_equal_answers(name: str) -> None:
    task = task_type(template(name).task)
    answers = [row["answer"] for row in template(name).read_sample()[:25]]
    for a in answers:
        assert task.similarity(a, a, NONE) == 1
        for b in answers[:8]:
            value = task.similarity(a, b, NONE)
            assert 0 <= value <= 1
            assert value == pytest.approx(task.similarity(b, a, NONE))
            assert all(isinstance(label, str) for label in task.mentions(a))


@given(st.text(), st.text())
def test_texts_of_no_words_in_common_are_not_alike_at_all(a: str, b: str) -> None:
    value = text_generation.similarity(a, b, NONE)
    assert 0 <= value <= 1
    if not set(a.lower()) & set(b.lower()) and a != b:
        assert value == 0


def test_the_words_of_a_text_are_compared_in_any_script_without_regard_to_case_and_marks() -> None:
    assert text_generation.similarity("The cat.", "the cat", NONE) == pytest.approx(4 / 5)
    assert text_generation.similarity("今日は雨です", "今日は雪です", NONE) == pytest.approx(5 / 6)


def test_every_task_type_says_whether_different_answers_can_all_be_right() -> None:
    assert {name for name in known() if task_type(name).ALTERNATIVES} == {"text_generation", "chat"}
