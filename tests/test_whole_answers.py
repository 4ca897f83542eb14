"""Consensus of answers that are compared as a whole: the one most like the others stands for all."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.consensus.build import build
from pipeline.consensus.whole import agreement, medoids
from pipeline.tasks import known, multi_label_classification, response_rating, spans, task_type, text_generation
from pipeline.templates import names, template
from pipeline.types import Control, Scheme

NONE = Scheme((Control("c", "t", "Rating", "text", ()),), ("c",), ("text",))


def table(*given: Any) -> pd.DataFrame:
    rows = [(1, str(who), json.dumps(answer, sort_keys=True, separators=(",", ":"))) for who, answer in enumerate(given)]
    return pd.DataFrame(rows, columns=["example_id", "annotator", "answer"])


def span(start: int, end: int, label: str = "A") -> dict[str, Any]:
    return {"start": start, "end": end, "labels": [label], "text": "x" * (end - start)}


def chosen(task: Any, *given: Any) -> tuple[Any, float, bool]:
    def alike(a: Any, b: Any) -> float:
        return float(task.similarity(a, b, NONE))

    row = medoids(table(*given), alike, alternatives=task.ALTERNATIVES, seed=0).iloc[0]
    return json.loads(row["answer"]), row["confidence"], bool(row["tie"])


def test_the_spans_that_share_most_with_the_others_win() -> None:
    one, two, far = [span(0, 3), span(5, 8)], [span(0, 3), span(5, 8), span(9, 12)], [span(20, 24)]
    assert chosen(spans, far, one, two)[0] in (one, two)
    assert chosen(spans, one, one, far) == (one, pytest.approx(0.5), False)
    assert chosen(spans, one, far)[2], "two annotators, two answers: nobody knows"


def test_sets_and_ratings_take_the_middle_and_not_the_outlier() -> None:
    assert chosen(multi_label_classification, ["a", "b"], ["a"], ["a", "b", "c"])[0] == ["a", "b"]
    assert chosen(response_rating, {"c": 5}, {"c": 1}, {"c": 4})[0] == {"c": 4}


def test_two_written_answers_are_no_conflict() -> None:
    assert chosen(text_generation, "the cat sat", "a dog ran")[2] is False
    assert chosen(text_generation, "the cat sat down", "the cat sat", "no")[0] in ("the cat sat down", "the cat sat")


def test_a_single_answer_has_no_confidence() -> None:
    answer, confidence, tie = chosen(spans, [span(0, 3)])
    assert (answer, tie) == ([span(0, 3)], False)
    assert pd.isna(confidence)


def test_the_order_of_the_answers_does_not_matter() -> None:
    given = ([span(0, 3)], [span(4, 5)], [span(0, 3), span(7, 9)])
    assert chosen(spans, *given)[0] == chosen(spans, *given[::-1])[0]


def test_how_alike_two_annotators_are_is_told_where_no_chance_corrected_figure_is() -> None:
    def alike(a: Any, b: Any) -> float:
        return float(spans.similarity(a, b, NONE))

    found = agreement(table([span(0, 3)], [span(0, 3)], [span(5, 6)]), alike)
    assert found["overall"] is None
    assert found["similarity"] == {"mean": pytest.approx(1 / 3), "equal": pytest.approx(1 / 3), "pairs": 3}


def test_ground_truth_decides_here_too() -> None:
    answers = table([span(0, 3)], [span(0, 3)], [span(5, 6)]).assign(
        annotation_id=[1, 2, 3], updated_at="", cancelled=False, ground_truth=[False, False, True]
    )
    built = build(answers, pd.DataFrame({"example_id": [1]}), labels=())
    row = built.consensus.iloc[0]
    assert (json.loads(row["answer"]), row["method"], row["confidence"]) == ([span(5, 6)], "ground_truth", 1.0)
    assert built.annotators.set_index("annotator")["gold"].to_dict() == {"0": 1, "1": 1, "2": 0}


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
    if not set(a.split()) & set(b.split()) and a != b:
        assert value == 0


def test_every_task_type_says_whether_different_answers_can_all_be_right() -> None:
    assert {name for name in known() if task_type(name).ALTERNATIVES} == {"text_generation", "chat"}
