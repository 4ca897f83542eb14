"""Written answers: planted faults are found, right answers are left alone, and nothing of a text is repeated."""

from __future__ import annotations

import dataclasses
import itertools
import sys
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from corpora import annotations_table, bag_of_words, consensus_table, corpus, examples_table, of_template
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evidence.embeddings import embed
from pipeline.evidence.sandbox import refusal
from pipeline.store import Store
from pipeline.tasks import task_type
from pipeline.types import Corpus, Evidence
from validators.answer_duplicates import answer_duplicates
from validators.answers.boilerplate import TEMPLATE, stock_phrases
from validators.answers.constraints import LIST_LINE, broken_constraints, sentences
from validators.answers.copying import copied
from validators.answers.endings import SIGNED, broken_off
from validators.answers.expected_language import wrong_language
from validators.answers.mismatch import auc
from validators.answers.programs import OTHER
from validators.answers.written import Written
from validators.check import run, settings_for
from validators.code_answers import code_answers
from validators.written_answers import written_answers

# What the checks can be asked to find in the templates' samples. Of the others, `wrong_answer` and `conflicting` need knowledge,
# and the rest stand in the question.
FAULTS = ("copied_input", "wrong_language", "off_instruction", "incomplete_answer", "empty_answer")
TEMPLATES = ("instruction_response", "summarization", "translation", "code_generation", "chat")
CHECKS = ("written_answers", "code_answers", "answer_duplicates")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


def sample(name: str, store: Store) -> tuple[Corpus, dict[str, str]]:
    """A template's sample answered by one annotator, faults included, with real embeddings."""
    made, faults = of_template(name, people=1)
    task = task_type(made.task)
    given = {
        example: task.written(orjson.loads(answer))
        for example, answer in zip(made.consensus["example_id"], made.consensus["answer"], strict=True)
    }
    written = [given.get(example, "") for example in made.examples["example_id"]]
    evidence = dataclasses.replace(
        made.evidence,
        embeddings=embed(store, "minilm", made.examples["text"].tolist()), written=embed(store, "minilm", written),
    )  # fmt: skip
    return dataclasses.replace(made, evidence=evidence), faults


def flagged(made: Corpus, *names: str) -> dict[str, str]:
    """Example → the reasons of the checks that flag it."""
    found: dict[str, str] = {}
    for outcome in run(made, {name: settings_for({})[name] for name in names}):
        assert outcome.status in ("passed", "flagged", "skipped"), outcome.reason
        for row in outcome.findings[outcome.findings["flagged"]].itertuples():
            found[row.subject_id] = found.get(row.subject_id, "") + row.reason
    return found


def test_planted_faults_of_the_samples_are_found_without_a_false_alarm(store: Store) -> None:
    """The rules were made with these samples in hand; what they find elsewhere is in tests/benchmarks/measured/written.py."""
    hits, wanted, alarms, called = [], [], [], 0
    for name in TEMPLATES:
        made, faults = sample(name, store)
        found = flagged(made, *(CHECKS[:2] if not refusal() else CHECKS[:1]))
        wanted += [(name, row, fault) for row, fault in faults.items() if fault in FAULTS]
        hits += [(name, row, fault) for row, fault in faults.items() if fault in FAULTS and row in found]
        alarms += [(name, row, found[row]) for row in found if row not in faults]
        called += len(found)
    recall, precision = len(hits) / len(wanted), 1 - len(alarms) / called
    told = f"recall {recall:.2f} ({sorted(set(wanted) - set(hits))} missed), precision {precision:.2f} ({alarms})"
    assert recall >= 0.75, told
    assert precision >= 0.9, told


def test_answers_at_odds_are_found_on_both_sides(store: Store) -> None:
    for name in ("instruction_response", "summarization", "translation"):
        made, faults = sample(name, store)
        found = flagged(made, "answer_duplicates")
        odd = next(row for row, fault in faults.items() if fault == "conflicting")
        assert odd in found, name
        assert len(found) == 2, (name, found)


# --- one kind at a time ----------------------------------------------------------------------------------------------


def row(asked: str, said: str, **data: Any) -> Written:
    return Written(1, 0, asked, asked, said, data)


LONG = "The committee met on Tuesday and agreed to repair the bridge before winter. The work costs 40,000 and takes three weeks."
ENOUGH = [row("Summarise the meeting.", LONG)] * 25


@pytest.mark.parametrize(
    "said",
    [
        "The committee met on Tuesday and agreed to repair the bridge before the",
        "The committee met on Tuesday and agreed to repair the bridge (which was closed in",
        "The committee met on Tuesday, where it agreed to repair the bridge,",
        "The committee met on Tuesday. It agreed to repair the bridge and to inform everybody who lives near it in time",
        "Here is the plan:\n- Close the bridge on Monday.\n- Repair the pillars first.\n- Inform everybody who lives",
        "Use this:\n```python\nprint(1)",
    ],
)
def test_an_answer_that_breaks_off_is_seen(said: str) -> None:
    assert broken_off([*ENOUGH, row("Summarise the meeting.", said)])[-1][0] >= 0.5


@pytest.mark.parametrize(
    "said",
    [
        "Paris",
        "Yes.",
        "Dear Ms Lind,\nthank you for your invitation to the meeting on Tuesday. I will be glad to come.\nYours sincerely,\nAnna",
        "Thank you for the invitation to the meeting. I will be glad to come. - Anna",
        "1. Java\n2. Python\n3. C++",
        "Nothing beats a puppy's love! You will never be alone again. #PuppyLove",
        "Red, green, blue",
        "See the full list of members and their addresses on https://example.org/members",
    ],
)
def test_an_answer_that_ends_in_its_own_way_is_left_alone(said: str) -> None:
    assert broken_off([*ENOUGH, row("Do it.", said)])[-1][0] == 0


def test_a_language_model_that_expects_more_is_believed_and_so_is_one_that_does_not() -> None:
    open_end = row(
        "Summarise the meeting.",
        "The committee met on Tuesday. It agreed to repair the bridge and to inform the whole town",
    )
    whole = row("Summarise the meeting.", LONG)
    rows = [*ENOUGH, open_end, open_end, whole, whole]
    found = broken_off(rows, [0.5] * len(ENOUGH) + [20.0, 0.5, 20.0, 0.5])
    assert [severity >= 0.5 for severity, _ in found[-4:]] == [True, False, True, False]
    assert not any(severity for severity, _ in found[:-4])


def test_a_translation_of_a_line_without_a_full_stop_needs_none() -> None:
    caption = "Two men in blue shirts stand on a ladder and clean the window of a shop"
    said = "Zwei Männer in blauen Hemden stehen auf einer Leiter und putzen das Fenster eines Ladens"
    assert broken_off([*ENOUGH, row(caption, said)])[-1][0] == 0


def test_an_ending_without_a_full_stop_is_in_order_where_half_of_the_answers_have_none() -> None:
    rows = [row("Do it.", LONG if number % 2 else LONG.rstrip(".")) for number in range(40)]
    assert all(severity == 0 for severity, _ in broken_off(rows))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("Explain it in two sentences.", "One. Two. Three."),
        ("Summarise this in at most 5 words.", "this answer has more than five words in it"),
        ("Give me exactly 3 bullet points.", "- a\n- b"),
        ("Explain rain without the word 'water'.", "Rain is water that falls."),
        ("Return the result as JSON.", "The result is 3."),
        ("Three groups: sleep, food, weather.", "Sleep: tent. Food: rice."),
        ("Write 3 to 5 sentences about rain.", "It rains."),
    ],
)
def test_a_broken_demand_is_seen(asked: str, said: str) -> None:
    assert broken_constraints(asked, said)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("Explain it in two sentences.", "Dr. Lind met us at 3.30 p.m. in St. Ives. We left at once."),
        ("In about 50 words, say why.", "Because."),
        ("Give me 3 bullet points.", "* a\n* b\n* c"),
        ("Return the result as JSON.", '```json\n{"result": 3}\n```'),
        ("Rewrite these two sentences.", "They are one now."),
        ("How many words are in this sentence?", "Seven words are in it."),
        ("Three groups: sleep, food, weather.", "**Sleep** tent **Food** rice **Weather** coat"),
    ],
)
def test_a_demand_that_was_met_or_never_made_is_left_alone(asked: str, said: str) -> None:
    assert broken_constraints(asked, said) == []


def test_sentences_are_counted_past_abbreviations_and_numbers() -> None:
    assert (
        sentences("Prof. Lind, i.e. the chair, paid 3.50 at 10.30 a.m. today. Fine! Why? See https://example.org/a.b.")
        == 4
    )


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("As an AI language model, I cannot have a favourite colour.", "boilerplate"),
        ("I'm sorry, but I can't assist with that request.", "refusal"),
        ("The answer is 4.<|im_end|>", "template"),
        ("### Response:\nThe answer is 4.", "template"),
        ("Lorem ipsum dolor sit amet", "placeholder"),
        ("n/a", "placeholder"),
        ("Best wishes, [Your Name]", "blank"),
    ],
)
def test_a_stock_phrase_is_named(said: str, kind: str) -> None:
    assert kind in stock_phrases(said, "Tell me.")


def test_a_phrase_that_the_question_holds_is_not_held_against_the_answer() -> None:
    assert not stock_phrases("“<|im_end|>” ends a message.", "What does <|im_end|> mean?")
    assert not stock_phrases("Todo lo demás sigue igual, y no se pierde nada.", "¿Qué cambia?")


DOCUMENT = "The mill was built in 1871 by two men. It burnt down in 1904 and was rebuilt in brick. Today it is a museum of paper."


def test_an_answer_taken_from_its_text_is_seen_and_one_in_own_words_is_not() -> None:
    rows = [
        row(f"{DOCUMENT} Number {n}.", f"Built in the nineteenth century, the mill now shows how paper is made, {n}.")
        for n in range(20)
    ]
    rows[0] = row(DOCUMENT, DOCUMENT)
    rows[1] = row(DOCUMENT, "It burnt down in 1904 and was rebuilt in brick. Today it is a museum of paper.")
    rows[2] = row(
        f"Extract the sentence about the fire.\n\n{DOCUMENT}", "It burnt down in 1904 and was rebuilt in brick."
    )
    severities = [severity for severity, _ in copied(rows)]
    assert min(severities[:2]) >= 0.5
    assert max(severities[2:]) < 0.5


def test_where_taking_from_the_text_is_the_work_it_is_no_fault() -> None:
    rows = [row(f"{DOCUMENT} Number {n}.", "It burnt down in 1904 and was rebuilt in brick.") for n in range(20)]
    assert max(severity for severity, _ in copied(rows)) < 0.5


GERMAN = "Der Ausschuss hat am Dienstag beschlossen, die Brücke vor dem Winter reparieren zu lassen."
ENGLISH = "The committee decided on Tuesday to have the bridge repaired before the winter."
FRENCH = "Le comité a décidé mardi de faire réparer le pont avant l'arrivée de l'hiver."


@pytest.mark.parametrize(
    ("asked", "said", "data", "wrong"),
    [
        (ENGLISH, GERMAN, {"target_language": "German"}, False),
        (ENGLISH, FRENCH, {"target_language": "German"}, True),
        (ENGLISH, ENGLISH, {"pair": "en-de"}, True),
        ("Answer in German, please: what did the committee decide?", GERMAN, {}, False),
        ("Answer in German, please: what did the committee decide?", ENGLISH, {}, True),
        ("What did the committee decide about the old bridge?", ENGLISH, {}, False),
        ("What did the committee decide about the old bridge?", GERMAN, {}, True),
        ("How would a teacher explain this long sentence in French?", FRENCH, {}, False),
        ("What did the committee decide about the old bridge?", "Ja.", {}, False),
        ("Qu'est-ce que le comité a décidé pour le pont ?", ENGLISH, {}, True),
    ],
)
def test_the_language_is_held_against_what_was_asked_for_or_is_usual(
    asked: str, said: str, data: dict[str, str], wrong: bool
) -> None:
    usual = [row("What did the committee decide about the bridge last week?", f"{ENGLISH} {n}") for n in range(30)]
    found, _ = wrong_language([*usual, row(asked, said, **data)])
    assert bool(found[-1]) == wrong
    assert not any(found[:-1])


# --- the mismatch ----------------------------------------------------------------------------------------------------

NAMES = """
bridge harbour violin orchard lantern glacier saddle kettle compass pigeon marble ladder anchor candle quarry meadow
pepper walnut chimney ferry beetle sparrow carpet engine mirror basket hammer tunnel statue cactus puzzle rocket
turtle magnet velvet barrel copper island salmon trumpet window button blanket desert forest garden jungle kitchen
lemon museum
"""
THINGS = NAMES.split()


def pairs(seed: int, n: int = 150) -> tuple[list[str], list[str], np.ndarray]:
    """Questions about three things each, answers that speak of two of them; every twentieth answers another question."""
    random = np.random.default_rng(seed)
    asked, said = [], []
    for _ in range(2 * n):
        one, two, three = random.choice(THINGS, 3, replace=False)
        asked.append(f"What do people know about the {one}, the {two} and the {three} of our town?")
        said.append(
            f"Most of them remember that the {one} is older than the {two}, and few have ever seen it by night."
        )
    wrong = random.permutation(n) < n // 20
    return asked[:n], [said[n + i] if wrong[i] else said[i] for i in range(n)], wrong


def corpus_of(asked: list[str], said: list[str]) -> Corpus:
    nothing = np.zeros((len(asked), 0), np.float32)
    evidence = Evidence(
        bag_of_words(asked, 256), nothing, nothing.astype(np.int64), nothing, written=bag_of_words(said, 256)
    )
    return written_corpus(asked, said, evidence=evidence)


def written_corpus(asked: list[str], said: list[Any], **rest: Any) -> Corpus:
    given = {"task": "text_generation", **rest}
    return corpus(examples_table(asked), annotations_table([]), labels=(), consensus=consensus_table(said), **given)


def test_answers_to_other_questions_are_ranked_and_flagged_over_twenty_seeds() -> None:
    areas = []
    hit = planted = called = right = 0
    for seed in range(20):
        asked, said, wrong = pairs(seed)
        table = written_answers.run(corpus_of(asked, said)).findings
        order = table["subject_id"].astype(int).to_numpy() - 1
        severity, flags = np.zeros(len(wrong)), np.zeros(len(wrong), bool)
        severity[order], flags[order] = table["severity"], table["flagged"]
        areas.append(auc(severity[wrong], severity[~wrong]))
        hit, planted = hit + int(flags[wrong].sum()), planted + int(wrong.sum())
        called, right = called + int(flags.sum()), right + int((flags & wrong).sum())
    told = f"area {np.mean(areas):.3f}, recall {hit / planted:.2f}, precision {right / max(called, 1):.2f}"
    assert np.mean(areas) >= 0.97, told
    assert hit / planted >= 0.7, told
    assert right / called >= 0.8, told


def test_where_answers_have_nothing_to_do_with_questions_no_single_one_is_blamed() -> None:
    random = np.random.default_rng(0)
    asked, said, _ = pairs(1)
    shuffled = [said[i] for i in random.permutation(len(said))]
    report = written_answers.run(corpus_of(asked, shuffled))
    assert not report.facts["mismatch"]["used"]
    assert report.facts["not_judged"]["mismatch"] == len(asked)
    assert not report.findings["flagged"].any()


def test_the_language_models_say_is_heard_where_there_is_one() -> None:
    """Signals by hand: the question takes a nat off a token of its own answer and nothing off another's."""
    import pandas as pd

    asked, said, wrong = pairs(3)
    random, n = np.random.default_rng(0), len(asked)
    gain = np.where(wrong, 0.0, 1.0) + 0.2 * random.normal(size=n)
    table = pd.DataFrame({
        "answer_tokens": 20.0, "nll_alone": 3.0, "nll_given_prompt": 3.0 - gain, "ifd": np.exp(-gain), "nll_end": 5.0,
        "other": np.roll(np.arange(n), 1), "nll_given_other": 3.0 + 0.2 * random.normal(size=n),
    })  # fmt: skip
    made = corpus_of(asked, said)
    heard = dataclasses.replace(made, evidence=dataclasses.replace(made.evidence, signals=table))
    areas = []
    for one in (made, heard):
        report = written_answers.run(one)
        severity = (
            report.findings.assign(place=report.findings["subject_id"].astype(int))
            .sort_values("place")["severity"]
            .to_numpy()
        )
        areas.append(auc(severity[wrong], severity[~wrong]))
    assert report.facts["mismatch"]["language_model_heard"] == n
    assert areas[1] >= areas[0]


# --- twice, code, facts ----------------------------------------------------------------------------------------------


def test_one_answer_to_different_questions_is_found_and_a_short_one_is_not() -> None:
    asked, said, _ = pairs(5, 60)
    asked[7] = "Which trains run to the coast on Sundays, and what is the fare?"
    said[7] = said[3] = "Please give me more details so that I can help you with this question."
    said[9] = said[11] = "I do not know."
    report = answer_duplicates.run(corpus_of(asked, said))
    assert set(report.findings.loc[report.findings["flagged"], "subject_id"]) == {"4", "8"}


def test_the_same_answer_to_the_same_question_is_no_finding_and_another_one_only_if_it_contradicts() -> None:
    asked, said, _ = pairs(6, 40)
    for first, second, one, two in (
        (0, 1, "Yes, the old bridge can be crossed by car.", "No, the old bridge is closed for cars."),
        (2, 3, "The bridge was built of local stone in 1871.", "In 1871 workers built it, of stone from nearby."),
        (4, 5, "The bridge was built in 1871.", "The bridge was built in 1871."),
    ):
        asked[second], said[first], said[second] = asked[first], one, two
    report = answer_duplicates.run(corpus_of(asked, said))
    assert set(report.findings.loc[report.findings["flagged"], "subject_id"]) == {"1", "2"}


def work(done: Callable[[], object]) -> int:
    """How many functions were called for it."""
    calls = 0

    def count(_frame: object, event: str, _what: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        done()
    finally:
        sys.setprofile(None)
    return calls


def test_what_comparing_costs_grows_with_the_answers_and_not_with_their_pairs() -> None:
    few, many = (
        [f"Question {n * 7919} is about topic {n * 104729}, is it?" for n in range(size)] for size in (60, 480)
    )
    refusals = [
        corpus_of(asked, ["I am sorry, but I cannot help you with that."] * len(asked)) for asked in (few, many)
    ]
    poems = [corpus_of(["Write a poem."] * len(asked), asked) for asked in (few, many)]
    for small, large in (refusals, poems):
        answer_duplicates.run(small)  # so that what is made once is not counted
        assert work(lambda: answer_duplicates.run(large)) < 24 * work(lambda: answer_duplicates.run(small))  # noqa: B023


def test_in_a_great_group_every_answer_is_held_against_the_first_and_they_against_it() -> None:
    asked = ["Can the old bridge be crossed by car?"] * 60
    said = [
        f"Yes, it can, says {name}, who knows."
        for name in itertools.islice(map("".join, itertools.product("abcdefgh", repeat=2)), 60)
    ]
    said[1], said[50] = "It can.", "No, it is closed for cars."
    report = answer_duplicates.run(corpus_of(asked, said))
    table = report.findings.set_index("subject_id")["reason"]
    assert "Example 51 asks the same and is answered otherwise: one says yes and the other no" in table["1"]
    assert "Example 1 asks the same and is answered otherwise: one says yes and the other no" in table["51"]


def programs(*answers: str, tests: str = "assert double(2) == 4\nassert double(0) == 0", **data: str) -> Corpus:
    examples = examples_table([f"double(x), number {n}: twice the value." for n in range(len(answers))])
    examples["data"] = [orjson.dumps({"tests": tests, "entry_point": "double", **data}).decode() for _ in answers]
    return corpus(
        examples, annotations_table([]), labels=(), consensus=consensus_table(answers), task="text_generation"
    )


RIGHT = "def double(x):\n    return 2 * x"
BROKEN = {
    "fails": "def double(x):\n    return x",
    "raises": "import nothing_there\n\ndef double(x):\n    return 2 * x",
    "unparsable": "twice the value it is, they say\nand more",
    "cut": "def double(x):\n    return sum([x, x",
    "missing": "def triple(x):\n    return 3 * x",
    "wrong_language": "function double(x) {\n  return 2 * x;\n}",
    "stub": "def double(x):\n    # TODO\n    return {0: 0, 2: 4}[x]",
    "killed": "import os\nos._exit(0)\n\ndef double(x):\n    return x",
}


@pytest.fixture(scope="module")
def locked_down() -> None:
    if refusal():
        pytest.skip(refusal())


@pytest.mark.usefixtures("locked_down")
def test_each_way_of_failing_is_told_and_right_code_passes() -> None:
    answers = [RIGHT, f"```python\n{RIGHT}\n```", *BROKEN.values()]
    report = code_answers.run(programs(*answers))
    table = report.findings.set_index("subject_id")
    assert not table.loc[["1", "2"], "flagged"].any()
    assert table.loc[[str(3 + place) for place in range(len(BROKEN))], "flagged"].all()
    assert {item["kind"] for item in report.facts["kinds"]} == set(BROKEN)
    assert "fails 1 of the task's 2 tests, the first of them number 1" in table.loc["3", "reason"]


@pytest.mark.usefixtures("locked_down")
@pytest.mark.parametrize(
    "said",
    [
        b'{"status": "failed", "error": "", "line": 0, "tests": 1, "failed": []}',
        b'{"status": "passed", "error": "", "line": Infinity, "tests": 0, "failed": []}',
        b"[" * 20_000,
    ],
)
def test_an_answer_that_writes_its_own_verdict_stops_no_other_from_being_judged(said: bytes) -> None:
    forged = f"import os\nos.write(3, {said[:1]!r} * {len(said)} + b'\\n')\nos._exit(0)\n{RIGHT}"
    if len(set(said)) > 1:
        forged = f"import os\nos.write(3, {said!r} + b'\\n')\nos._exit(0)\n{RIGHT}"
    report = code_answers.run(programs(forged, RIGHT))
    assert {item["kind"]: item["answers"] for item in report.facts["kinds"]} == {"killed": 1}
    assert not report.findings.set_index("subject_id").loc["2", "flagged"]


@pytest.mark.usefixtures("locked_down")
def test_what_an_answer_calls_its_exception_is_not_repeated() -> None:
    raising = "raise type('call 0800-SECRET', (Exception,), {})"
    report = code_answers.run(programs(f"{RIGHT}\n{raising}", f"def double(x):\n    {raising}"))
    assert {item["kind"] for item in report.facts["kinds"]} == {"raises", "fails"}
    assert "SECRET" not in report.findings.to_json()
    assert report.findings["reason"].str.contains("an exception without a proper name").all()


@pytest.mark.usefixtures("locked_down")
def test_tests_that_do_not_compile_are_not_held_against_the_answer() -> None:
    made = programs(RIGHT, f"{RIGHT}\nreturn double", tests="assert double(2) == 4\nreturn double")
    report = code_answers.run(made)
    assert {item["kind"]: item["answers"] for item in report.facts["kinds"]} == {"tests": 1, "unparsable": 1}
    reasons = report.findings.set_index("subject_id")["reason"]
    assert reasons["1"] == "The tests of the task are not Python."
    assert reasons["2"] == "The answer is not Python: it cannot be read from line 3 on."


def test_nothing_is_run_where_that_is_switched_off_or_cannot_be_locked_down(monkeypatch: pytest.MonkeyPatch) -> None:
    made = programs("def double(x):\n    return x", BROKEN["cut"])
    off = code_answers.run(made, run_tests=False)
    assert off.facts["run"] == 0
    assert "switched off" in off.facts["not_run"]
    assert off.findings["flagged"].sum() == 1
    monkeypatch.setattr("validators.code_answers.refusal", lambda: "No wall here.")
    refused = code_answers.run(made)
    assert refused.facts["run"] == 0
    assert refused.facts["not_run"] == "No wall here."


def test_a_block_marked_as_python_is_read_and_others_are_counted() -> None:
    said = [
        "Like this:\n```python\nprint(1\n```",
        "Like this:\n```python\nprint(1)\n```",
        "Like this:\n```rust\nfn main( {\n```",
    ]
    made = written_corpus(["a", "b", "c"], said)
    report = code_answers.run(made)
    assert list(report.findings.loc[report.findings["flagged"], "subject_id"]) == ["1"]
    assert report.facts["languages_not_read"] == [{"language": "rust", "blocks": 1}]


def test_turns_out_of_order_are_seen() -> None:
    user, bot = (
        {"role": "user", "content": "Is the pool open on Sunday?"},
        {"role": "assistant", "content": "Yes, from nine to five."},
    )
    talks = [
        [user, bot],
        [user, user, bot],
        [user, bot, bot],
        [user],
        [{"role": "system", "content": "Be brief."}, user, bot],
    ]
    made = written_corpus(["x"] * len(talks), talks, task="chat")
    table = written_answers.run(made).findings.set_index("subject_id")
    assert {name for name in table.index if "message" in table["reason"][name] or "twice" in table["reason"][name]} == {
        "2",
        "3",
        "4",
    }


def test_rates_per_kind_and_slice_are_facts_with_intervals() -> None:
    asked, said, _ = pairs(8, 60)
    said[:6] = ["As an AI language model, I cannot say anything about this place."] * 6
    made = corpus_of(asked, said)
    made = dataclasses.replace(
        made, examples=made.examples.assign(site=["north"] * 20 + ["south"] * 40), slices=("site",)
    )
    facts = written_answers.run(made).facts
    kind = next(item for item in facts["kinds"] if item["kind"] == "boilerplate")
    assert (kind["answers"], kind["low"] < 0.1 < kind["high"]) == (6, True)
    assert facts["by_slice"][0]["group"] == "north"
    allowed = written_answers.run(made, allow=["boilerplate"]).facts
    assert not any(item["kind"] == "boilerplate" for item in allowed["kinds"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=300), st.text(max_size=300)), min_size=1, max_size=5))
def test_any_text_is_judged_and_none_is_repeated(texts: list[tuple[str, str]]) -> None:
    asked, said = [one for one, _ in texts], [f"{two} jane.doe@example.org 4111 1111 1111 1111" for _, two in texts]
    outcome = run(corpus_of(asked, said), {name: settings_for({})[name] for name in CHECKS})
    for one in outcome:
        assert one.status != "crashed", one.reason
        assert "jane.doe" not in orjson.dumps(one.facts).decode() + one.findings.to_json()


@pytest.mark.parametrize(
    "bad",
    [
        "a" * 200_000,
        "a: " * 50_000,
        "(" * 100_000,
        "- x\n" * 50_000,
        "'" * 100_000,
        "1. " * 60_000,
        "<" * 100_000,
        "\n" * 100_000 + "x",
    ],
)
def test_a_hostile_answer_costs_no_more_than_its_length(bad: str) -> None:
    """Whatever is quadratic would take minutes here."""
    for one, two in ((bad, "A short answer to it."), ("A short question?", bad)):
        for outcome in run(corpus_of([one] * 3, [two] * 3), {name: settings_for({})[name] for name in CHECKS}):
            assert outcome.status != "crashed", outcome.reason


PATTERNS: dict[str, Callable[[str], object]] = {
    "other languages": OTHER.search, "templates": TEMPLATE.search, "lists": LIST_LINE.findall, "endings": SIGNED.search,
    "sentences": sentences,
}  # fmt: skip
HOSTILE = (
    "\n",
    " \n",
    "a.",
    "`",
    "[",
    "a a(\n",
    "!",
    "- ",
    ".'",
    "a://",
    "a./",
    "### User ",
    "\n-",
    "public ",
    ", ",
    " ",
    "const\n",
)


@pytest.mark.parametrize("name", PATTERNS)
def test_what_reading_a_hostile_text_costs_grows_with_its_length(name: str) -> None:
    """16 times the length: 16 times the time where it grows with the length, 256 times where it grows with its square."""
    for bad in HOSTILE:
        short, long = (bad * (size // len(bad)) + "x" for size in (1_000, 16_000))
        assert seconds(PATTERNS[name], long) < 80 * seconds(PATTERNS[name], short), bad


def seconds(read: Callable[[str], object], text: str) -> float:
    return min(timeit.repeat(lambda: read(text), number=1, repeat=5))


@pytest.mark.parametrize(
    ("name", "text", "seen"),
    [
        ("other languages", "\n\n  \n  function double(x) {", True),
        ("other languages", "Here:\n\n\tint main(int a,\n  int b)\n{", True),
        ("other languages", "the function of it", False),
        ("templates", "Hello.\n\n \n\nHuman: and?", True),
        ("templates", "Hello.\nHuman: and?", False),
        ("templates", "Well:\n### Response:  \n\n It is.", True),
        ("templates", "### Response to it", False),
        ("endings", "It is so.\n\n  - Anna Smith", True),
        ("endings", "It is so, see https://example.org/a/b", True),
        ("endings", "It is so, see example.org/a/b", True),
        ("endings", "It is so and so", False),
    ],
)
def test_what_such_patterns_are_for_is_seen_as_before(name: str, text: str, seen: bool) -> None:
    assert (PATTERNS[name](text) is not None) == seen


def test_items_and_sentences_are_counted_past_empty_lines() -> None:
    assert len(LIST_LINE.findall("\n\n - one\n\n\n* two\n\t3. three\nfour\n-five")) == 3
    assert sentences("Really?! Yes... \n\n no\n \n\nSo (he said.) It is!") == 5


@pytest.mark.usefixtures("locked_down")
def test_humanevals_solutions_pass_where_the_shared_data_is(shared: Path) -> None:
    import gzip
    import json

    file = shared / "data" / "humaneval" / "HumanEval.jsonl.gz"
    loaded = [json.loads(line) for line in gzip.decompress(file.read_bytes()).decode().splitlines()][:20]
    examples = examples_table([item["prompt"] for item in loaded])
    examples["data"] = [
        orjson.dumps({"test": item["test"], "entry_point": item["entry_point"]}).decode() for item in loaded
    ]
    said = [item["canonical_solution"] for item in loaded]
    made = corpus(examples, annotations_table([]), labels=(), consensus=consensus_table(said), task="text_generation")
    report = code_answers.run(made)
    assert report.facts["run"] == len(loaded)
    assert not report.findings["flagged"].any()
