"""Wrong spans: planted faults of four kinds, with what was found of them; and the slips that characters alone show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from corpora import annotations_table, bare_evidence, consensus_table, corpus, examples_table

from pipeline.evidence.phrases import Marked, inconsistent, phrases
from pipeline.evidence.segmentation import words_of
from pipeline.types import Corpus, Words
from validators.check import Skip
from validators.span_errors import span_errors

LABELS = ("person", "place")
NAMES = {
    "person": ("Anna Berg", "Bruno", "Clara Diaz", "Elena", "Farid Haddad", "Greta", "Hugo Ito", "Ines"),
    "place": ("Paris", "Oslo", "Lima Norte", "Kyoto", "Quito", "New Delhi", "Turin", "Accra"),
}
PATTERNS = (
    "{person} lives in {place} now .",
    "yesterday {person} flew from {place} to see {person} .",
    "{place} was cold , {person} said .",
)


def span(text: str, start: int, end: int, label: str) -> dict[str, Any]:
    return {"start": start, "end": end, "labels": [label], "text": text[start:end]}


def sentence(random: np.random.Generator) -> tuple[str, list[dict[str, Any]]]:
    text, spans = "", []
    for part in str(random.choice(PATTERNS)).split(" "):
        label = part.strip("{}")
        word = str(random.choice(NAMES[label])) if label in NAMES else part
        text += " " if text else ""
        if label in NAMES:
            spans.append({"start": len(text), "end": len(text) + len(word), "labels": [label], "text": word})
        text += word
    return text, spans


def told(texts: Sequence[str], truth: Sequence[Sequence[dict[str, Any]]], random: np.random.Generator, noise: float) -> Words:
    """Evidence as a fair model gives it: log-odds of 3 for the right label of each word, and noise."""
    row, start, end, chances = [], [], [], []
    for number, (text, spans) in enumerate(zip(texts, truth, strict=True)):
        for first, last in words_of(text).tolist():
            label = next((LABELS.index(s["labels"][0]) for s in spans if s["start"] < last and first < s["end"]), 2)
            scores = 3.0 * np.eye(3)[label] + random.normal(scale=noise, size=3)
            row.append(number)
            start.append(first)
            end.append(last)
            chances.append(np.exp(scores) / np.exp(scores).sum())
    table = np.array(chances, np.float32).reshape(-1, 3)
    return Words(np.array(row, np.int64), np.array(start, np.int64), np.array(end, np.int64), table)


def of_spans(texts: Sequence[str], answers: Sequence[Any], words: Words | None, votes: Sequence[Any] = ()) -> Corpus:
    consensus = consensus_table([""] * len(texts)).assign(answer=[orjson.dumps(answer).decode() for answer in answers])
    return corpus(
        examples_table(texts), annotations_table(votes), labels=(), consensus=consensus, task="spans", vocabulary=LABELS,
        evidence=replace(bare_evidence(len(texts), 0), words=words),
    )  # fmt: skip


def planted(seed: int, number: int = 300, noise: float = 1.0) -> tuple[Corpus, dict[int, tuple[str, list[dict[str, Any]]]]]:
    """300 sentences, 10 % with one wrong span, the kinds in turn; example id → (kind, the right answer)."""
    random = np.random.default_rng(seed)
    pairs = [sentence(random) for _ in range(number)]
    texts, truth = [text for text, _ in pairs], [spans for _, spans in pairs]
    given = [[dict(one) for one in spans] for spans in truth]
    faults = {}
    kinds = ("wrong type", "wrong boundary", "spurious entity", "missed entity")
    for turn, row in enumerate(random.permutation(number)[: number // 10].tolist()):
        kind, text, answer = kinds[turn % 4], texts[row], given[row]
        if kind == "wrong type":
            answer[0]["labels"] = [LABELS[1 - LABELS.index(answer[0]["labels"][0])]]
        elif kind == "wrong boundary":
            end = answer[0]["end"]
            answer[0] = span(text, answer[0]["start"], text.index(" ", end + 1), answer[0]["labels"][0])
        elif kind == "missed entity":
            del answer[0]
        else:
            taken = {place for one in answer for place in range(one["start"], one["end"])}
            free = [(a, b) for a, b in words_of(text).tolist() if b - a > 1 and a not in taken]
            answer.append(span(text, *free[int(random.integers(len(free)))], LABELS[turn // 4 % 2]))
            answer.sort(key=lambda one: one["start"])
        faults[row + 1] = (kind, truth[row])
    return of_spans(texts, given, told(texts, truth, random, noise)), faults


def by_example(made: Corpus, **settings: Any) -> pd.DataFrame:
    table = span_errors.run(made, **settings).findings
    return table.assign(example=table["subject_id"].astype(int)).set_index("example")


def test_planted_errors_of_all_kinds_are_found_with_the_right_suggestion() -> None:
    """Over 20 seeds, always the same: precision 1.000, recall .380 (standard error .024), suggestion right .380 (.020).
    The bounds lie a little below, to notice when it gets worse."""
    precision, recall, right = [], [], list[bool]()
    for seed in range(20):
        made, faults = planted(seed)
        table = by_example(made)
        flagged = set(table.index[table["flagged"]])
        precision.append(len(flagged & set(faults)) / len(flagged))
        recall.append(len(flagged & set(faults)) / len(faults))
        suggestions = {example: table.loc[example, "suggestion"] or "null" for example in faults}
        right += [orjson.loads(suggestions[example]) == truth for example, (_, truth) in faults.items()]
    measured = f"precision {np.mean(precision):.3f}, recall {np.mean(recall):.3f}, suggestion right {np.mean(right):.3f}"
    assert np.mean(precision) > 0.97, measured
    assert np.mean(recall) > 0.35, measured
    assert np.mean(right) > 0.35, measured


def test_the_worst_come_first_and_every_example_is_judged() -> None:
    from sklearn.metrics import average_precision_score

    made, faults = planted(1)
    table = by_example(made)
    assert len(table) == 300
    score = average_precision_score(table.index.isin(list(faults)), table["severity"])
    assert score > 0.8, f"average precision {score:.3f}"


def test_a_clean_corpus_is_hardly_flagged() -> None:
    shares = []
    for seed in range(10):
        random = np.random.default_rng(seed)
        pairs = [sentence(random) for _ in range(300)]
        texts, answers = [text for text, _ in pairs], [spans for _, spans in pairs]
        made = of_spans(texts, answers, told(texts, answers, random, 1.0))
        shares.append(float(by_example(made)["flagged"].mean()))
    assert np.mean(shares) < 0.01, shares


def test_a_reason_names_the_place_and_the_label_but_not_what_stands_there() -> None:
    made, faults = planted(2)
    report = span_errors.run(made)
    said = " ".join(report.findings["reason"]) + orjson.dumps(report.facts).decode()
    assert not any(name in said for names in NAMES.values() for name in names)
    worst = by_example(made).loc[next(example for example, (kind, _) in faults.items() if kind == "wrong type")]
    assert "is marked “" in worst["reason"]
    assert "A model that learned from other examples" in worst["reason"]


def test_facts_count_by_kind_label_and_confusion() -> None:
    made, _ = planted(3)
    facts = span_errors.run(made).facts
    chosen = facts["doubts"]
    assert sum(row["doubted"] for row in facts["kinds"]) == len(chosen) > 0
    assert sum(row["spans"] for row in facts["labels"]) == facts["spans"]
    assert sum(row["missed"] for row in facts["labels"]) == sum(row["kind"] == "missed entity" for row in chosen)
    assert sum(row["number"] for row in facts["confusions"]) == sum(row["kind"] == "wrong type" for row in chosen)
    low, high = facts["estimated_wrong_spans"]["low"], facts["estimated_wrong_spans"]["high"]
    assert low < 30 / facts["spans"] < high
    assert facts["inconsistent_phrases"] > 0


def plain(number: int = 60) -> tuple[list[str], list[list[dict[str, Any]]]]:
    pairs = [sentence(np.random.default_rng(seed)) for seed in range(number)]
    return [text for text, _ in pairs], [spans for _, spans in pairs]


def test_annotators_who_gave_the_other_answer_raise_the_doubt_and_those_who_agree_lower_it() -> None:
    texts, answers = plain()
    words = told(texts, answers, np.random.default_rng(0), 0.5)
    wrong = [{**answers[0][0], "labels": [LABELS[1 - LABELS.index(answers[0][0]["labels"][0])]]}, *answers[0][1:]]
    given = [wrong, *answers[1:]]
    severity = {}
    for name, votes in (("agree", [wrong] * 3), ("nobody", []), ("split", [wrong, answers[0], answers[0]])):
        made = of_spans(texts, given, words, [(1, f"a{number}", vote, 1.0) for number, vote in enumerate(votes)])
        severity[name] = by_example(made).loc[1, "severity"]
    assert severity["agree"] < severity["nobody"] < severity["split"]
    # What only one of two marked is a candidate, too.
    without = [answers[0][1:], *answers[1:]]
    gave = [(1, "a", answers[0], 1.0), (1, "b", answers[0][1:], 1.0)]
    assert "a span seems to be missing" in by_example(of_spans(texts, without, words, gave)).loc[1, "reason"]


def test_a_span_cut_inside_a_word_or_without_one_is_doubted_and_blanks_at_its_ends_are_not() -> None:
    texts, answers = plain()
    words = told(texts, answers, np.random.default_rng(0), 0.1)
    first, second, third = answers[0][0], answers[1][0], answers[2][0]
    cut = span(texts[0], first["start"], first["end"] - 1, first["labels"][0])
    empty = {"start": second["end"], "end": second["end"] + 1, "labels": second["labels"], "text": " "}
    blank = span(texts[2], third["start"], third["end"] + 1, third["labels"][0])
    with_empty = sorted([*answers[1], empty], key=lambda one: one["start"])
    given = [[cut, *answers[0][1:]], with_empty, [blank, *answers[2][1:]], *answers[3:]]
    table = by_example(of_spans(texts, given, words))
    assert "begins or ends inside a word" in table.loc[1, "reason"]
    assert orjson.loads(table.loc[1, "suggestion"]) == answers[0]
    assert "It holds no word." in table.loc[2, "reason"]
    assert orjson.loads(table.loc[2, "suggestion"]) == answers[1]
    assert not table.loc[3, "flagged"]


def test_spans_inside_words_are_no_slip_where_the_project_marks_so() -> None:
    texts, answers = plain()
    words = told(texts, answers, np.random.default_rng(0), 0.1)
    given = [
        [span(text, one["start"], one["end"] - 1, one["labels"][0]) for one in spans]
        for text, spans in zip(texts, answers, strict=True)
    ]
    report = span_errors.run(of_spans(texts, given, words))
    assert report.facts["spans_inside_words"] == sum(map(len, given))
    assert not report.findings["flagged"].any()


def test_spans_over_each_other_and_with_several_labels_keep_what_is_not_in_question() -> None:
    texts, answers = plain()
    words = told(texts, answers, np.random.default_rng(0), 0.1)
    both = [{**one, "labels": ["person", "place"]} for one in answers[0]]
    around = [span(texts[1], 0, len(texts[1]), "place"), *answers[1]]
    table = by_example(of_spans(texts, [both, around, *answers[2:]], words))
    assert not table.loc[1, "flagged"], table.loc[1, "reason"]
    assert table["severity"].between(0, 1).all()


def test_phrases_count_other_groups_alone_and_what_was_passed_over() -> None:
    paris = Marked(1, ("in", "paris", "now"), ((1, 2, "place"),))
    again = Marked(1, ("paris", "!"), ((0, 1, "person"),))
    bare = Marked(2, ("no", "paris"), ())
    found = phrases([paris, again, bare])
    assert found.elsewhere(bare, 1, 2) == {(0, 1, "place"): 1, (0, 1, "person"): 1}
    assert found.elsewhere(paris, 1, 2) == {(0, 1, ""): 1}
    assert inconsistent(found) == 1
    wide = Marked(3, ("in", "paris", "now"), ((0, 2, "place"),))
    assert phrases([paris, wide]).elsewhere(wide, 0, 2) == {(1, 2, "place"): 1}


def test_where_the_question_makes_no_sense_it_is_not_asked() -> None:
    texts, answers = plain()
    words = told(texts, answers, np.random.default_rng(0), 0.1)
    with pytest.raises(Skip, match="no spans of a text"):
        span_errors.run(replace(of_spans(texts, answers, words), task="text_classification"))
    with pytest.raises(Skip, match="no evidence about words"):
        span_errors.run(of_spans(texts, answers, None))
    with pytest.raises(Skip, match="at least 50 examples"):
        span_errors.run(of_spans(texts[:40], answers[:40], told(texts[:40], answers[:40], np.random.default_rng(0), 0.1)))
    with pytest.raises(Skip, match="20 spans"):
        span_errors.run(of_spans(texts, [[] for _ in texts], words))


def test_the_order_of_rows_changes_nothing() -> None:
    made, _ = planted(4)
    order = np.random.default_rng(0).permutation(300)
    place = np.argsort(order)
    words = made.evidence.words
    assert words is not None
    mixed = np.random.default_rng(1).permutation(len(words.row))
    moved = Words(place[words.row][mixed], words.start[mixed], words.end[mixed], words.probabilities[mixed])
    other = replace(
        made, examples=made.examples.iloc[order].reset_index(drop=True),
        consensus=made.consensus.iloc[::-1].reset_index(drop=True), evidence=replace(made.evidence, words=moved),
    )  # fmt: skip
    one, two = span_errors.run(made), span_errors.run(other)
    pd.testing.assert_frame_equal(one.findings, two.findings, rtol=1e-6)
    assert one.facts == two.facts
