from __future__ import annotations

import dataclasses
import random
from typing import Any

import numpy as np
import orjson
import pytest
from corpora import annotations_table, consensus_table, corpus, examples_table
from planted import CLEAN, EDITS, corpus_of, precision_recall
from test_check_semantic_duplicates import evidence

from pipeline.types import Control, Corpus, Scheme
from validators.check import Outcome, run

A, B, C = CLEAN[:3]


def ask(made: Corpus, **settings: object) -> Outcome:
    outcome = run(made, {"conflicting_labels": settings})[0]
    assert outcome.status in ("passed", "flagged"), outcome.reason
    return outcome


def flagged(outcome: Outcome) -> dict[str, tuple[float, str, Any]]:
    """Subject → (severity, reason, suggestion) of what was flagged."""
    rows = outcome.findings[outcome.findings["flagged"]].itertuples()
    return {row.subject_id: (row.severity, row.reason, orjson.loads(row.suggestion) if row.suggestion else None) for row in rows}


def answered(texts: list[str], answers: list[Any], task: str, scheme: Scheme | None = None, **rest: Any) -> Corpus:
    given = {"consensus": consensus_table(answers), "task": task, "scheme": scheme, **rest}
    return corpus(examples_table(texts), annotations_table([]), labels=(), **given)


def span(start: int, end: int, label: str, text: str) -> dict[str, Any]:
    return {"start": start, "end": end, "labels": [label], "text": text[start:end]}


def test_the_odd_one_out_of_three_copies_is_flagged_with_the_others_answer() -> None:
    found = ask(corpus_of([A, f"{A} ", A.upper(), B], labels=["refund", "billing", "refund", "other"]))
    odd = flagged(found)
    assert set(odd) == {"2"}
    severity, reason, suggestion = odd["2"]
    assert severity == pytest.approx(2 / 3)
    assert suggestion == "refund"
    assert reason == "Is answered “billing”, but says the same as example 1 (“refund”), 3 (“refund”)."
    table = found.findings.set_index("subject_id")
    assert table.loc["1", "severity"] == pytest.approx(1 / 3)
    assert "4" not in table.index
    assert found.facts["outvoted"] == {"exact": 1, "near": 0, "semantic": 0}
    assert found.facts["contradicted"] == 3


def test_of_two_at_odds_both_are_flagged_and_nobody_says_who_is_right() -> None:
    odd = flagged(ask(corpus_of([A, A], labels=["refund", "billing"])))
    assert {name: (severity, suggestion) for name, (severity, _, suggestion) in odd.items()} == {
        "1": (0.5, None),
        "2": (0.5, None),
    }


def test_an_answer_counts_as_often_as_annotators_stand_behind_it() -> None:
    made = corpus_of([A, A], labels=["refund", "billing"])
    made = dataclasses.replace(made, consensus=made.consensus.assign(annotations=[1, 3]))
    assert {name: suggestion for name, (_, _, suggestion) in flagged(ask(made)).items()} == {"1": "billing"}


def test_nearly_equal_texts_contradict_each_other_less_than_equal_ones() -> None:
    outcome = ask(corpus_of([A, f"Hello, {A}", B], labels=["refund", "billing", "refund"]))
    odd = flagged(outcome)
    assert set(odd) == {"1", "2"}
    assert 0.35 < odd["1"][0] < 0.5
    assert "says nearly the same as example 2" in odd["1"][1]


def test_texts_of_one_meaning_are_compared_where_meaning_decides_the_answer() -> None:
    random_ = np.random.default_rng(0)
    points = random_.normal(size=(60, 48))
    points[30:] = points[:30] + 0.02 * random_.normal(size=(30, 48))
    texts = ["".join(random_.choice(list("abcdefghij klmnop"), 40)) for _ in range(60)]
    labels = [f"label {row % 5}" for row in range(30)] * 2
    labels[40] = "label 3"
    outcome = ask(corpus_of(texts, labels=labels, evidence=evidence(points)))
    odd = flagged(outcome)
    assert set(odd) == {"11", "41"}
    assert odd["11"][0] == pytest.approx(29 / 30 / 2)
    assert "means the same as example 41" in odd["11"][1]
    assert outcome.facts["by_meaning"]["used"] is True
    drawn = [f"label {place}" for place in random_.integers(0, 5, 60)]
    at_random = ask(corpus_of(texts, labels=drawn, evidence=evidence(points)))
    assert at_random.facts["by_meaning"]["used"] is False
    assert flagged(at_random) == {}


def test_sets_agree_from_half_and_from_what_annotators_reach_if_that_is_more() -> None:
    texts, answers = [A, A, B, B], [["x", "y"], ["x"], ["x"], ["y", "z"]]
    made = answered(texts, answers, "multi_label_classification")
    assert set(flagged(ask(made))) == {"3", "4"}
    rows = [(example, who, "", 1.0) for example in range(1, 41) for who in ("anna", "ben")]
    given = annotations_table(rows).assign(answer='["x","y"]')
    strict = dataclasses.replace(made, annotations=given)
    outcome = ask(strict)
    assert outcome.facts["agree_from"] == 1
    assert set(flagged(outcome)) == {"1", "2", "3", "4"}


def test_spans_are_compared_by_place_in_equal_texts_and_by_words_in_nearly_equal_ones() -> None:
    text = "Send the lamp to Mrs Miller in Leeds before the weekend please."
    moved = f"Hello, {text}"
    person, moved_person = span(17, 27, "PER", text), span(24, 34, "PER", moved)
    assert person["text"] == moved_person["text"] == "Mrs Miller"
    place = span(31, 36, "LOC", text)
    agreeing = answered([text, moved], [[person], [moved_person]], "spans")
    assert flagged(ask(agreeing)) == {}
    missed = answered([text, moved, text], [[person, place], [moved_person], [place]], "spans")
    outcome = ask(missed, min_agreement=0.7)
    assert set(flagged(outcome)) == {"1", "2", "3"}
    assert "Miller" not in orjson.dumps(outcome.as_dict(), default=str).decode()
    assert "1 × LOC, 1 × PER" in flagged(outcome)["2"][1]


def test_an_edit_inside_an_entity_is_no_contradiction() -> None:
    one = "The order came on 3 May and the box was open at the side."
    other = one.replace("3 May", "9 May")
    made = answered([one, other], [[span(18, 23, "DATE", one)], [span(18, 23, "DATE", other)]], "spans")
    assert ask(made).flagged == 0


def test_the_spans_of_most_copies_are_suggested_where_the_text_is_the_same_to_the_letter() -> None:
    text = "Send the lamp to Mrs Miller in Leeds before the weekend please."
    right, wrong = [span(17, 27, "PER", text)], [span(31, 36, "LOC", text)]
    odd = flagged(ask(answered([text, text, text], [right, wrong, right], "spans")))
    assert odd["2"][2] == right
    odd = flagged(ask(answered([text, f" {text}", text], [right, [span(32, 37, "LOC", f" {text}")], right], "spans")))
    assert odd["2"][2] is None


def test_ratings_far_apart_contradict_each_other() -> None:
    control = Control("help", "text", "Rating", "text", (), settings=(("maxRating", "5"),))
    scheme = Scheme((control,), ("help",), ("text",))
    answers = [{"help": 5}, {"help": 4}, {"help": 5}, {"help": 1}, {"help": 5}]
    odd = flagged(ask(answered([A, A, B, B, B], answers, "response_rating", scheme)))
    assert set(odd) == {"4"}
    assert odd["4"][2] == {"help": 5}
    assert "help 1" in odd["4"][1]


def test_preferences_are_compared_as_they_were_shown() -> None:
    texts, answers = [A, A, A], ["a", "b", "a"]
    same = answered(texts, answers, "pairwise_preference", left={1: "a", 2: "b", 3: "a"})
    assert flagged(ask(same)) == {}
    odd = flagged(ask(answered(texts, answers, "pairwise_preference", left={1: "a", 2: "a", 3: "a"})))
    assert odd["2"][2] == "a"
    assert "left" in odd["2"][1]


def test_written_answers_may_differ() -> None:
    outcome = run(answered([A, A], ["Yes.", "No."], "text_generation"), {"conflicting_labels": {}})[0]
    assert outcome.status == "skipped"
    assert "all be right" in outcome.reason


def test_planted_wrong_labels_on_copies_are_found_and_suggested_right() -> None:
    """60 texts in three copies each, one in seven of the copies labelled wrong. Measured over 20 seeds: precision .90, recall
    .91, suggestions right .95; what is missed or wrongly flagged are texts with two wrong copies of three."""
    scores = []
    for seed in range(20):
        draw = random.Random(seed)
        texts = [edit(text, draw) for text in CLEAN for edit in (lambda text, _: text, EDITS["punctuation"], EDITS["greeting"])]
        truth = [str(row // 3 % 6) for row in range(len(texts))]
        given = [draw.choice([x for x in "012345" if x != label]) if draw.random() < 1 / 7 else label for label in truth]
        wrong = {str(row + 1) for row in range(len(texts)) if given[row] != truth[row]}
        found = flagged(ask(corpus_of(texts, labels=given)))
        right = [suggestion == truth[int(name) - 1] for name, (_, _, suggestion) in found.items() if suggestion is not None]
        scores.append((*precision_recall(set(found), wrong), np.mean(right)))
    precision, recall, suggested = np.mean(scores, axis=0)
    assert (precision > 0.87, recall > 0.88, suggested > 0.92) == (True, True, True), (precision, recall, suggested)
