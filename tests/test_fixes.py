"""Blanks that nobody meant: found, and set straight without touching what was said."""

from __future__ import annotations

import orjson
import pandas as pd
import pytest
from corpora import annotations_table, consensus_table, corpus, examples_table, of_template
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fixes import apply, tidy
from validators.check import Skip
from validators.whitespace import whitespace

CASES = {
    "  two blanks before": "two blanks before",
    "after\t\n": "after",
    "in  the   middle": "in the middle",
    "no-break\u00a0space and\u3000wide": "no-break space and wide",
    "zero\u200bwidth\ufeff": "zerowidth",
    "old\r\nlines\rhere": "old\nlines\nhere",
    "ends \nof lines\t\nhere": "ends\nof lines\nhere",
    "four\n\n\n\nlines": "four\n\nlines",
}
LEFT_ALONE = (
    "an ordinary text.",
    "def f():\n    return  1", "name   age\nanna    31", "می\u200cخواهم", "👩\u200d🔧", "e\u0301te\u0301", "",
)  # fmt: skip


@pytest.mark.parametrize("text", CASES)
def test_blanks_are_set_straight(text: str) -> None:
    assert tidy(text) == CASES[text]


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_what_has_a_meaning_stays(text: str) -> None:
    assert tidy(text) == text


@given(st.text(alphabet="ab \t\n\r\u00a0\u200b\u2028\u200d.", max_size=40))
def test_a_mended_text_needs_no_mending_and_says_the_same(text: str) -> None:
    once = tidy(text)
    assert tidy(once) == once
    meant = [sign for sign in text if not sign.isspace() and sign != "\u200b"]
    assert [sign for sign in once if not sign.isspace()] == meant


def test_every_planted_blank_is_found_and_nothing_else() -> None:
    texts = [*CASES, *LEFT_ALONE]
    made = corpus(examples_table(texts), annotations_table([]), consensus=consensus_table(["other"] * len(texts)))
    report = whitespace.run(made)
    flagged = set(report.findings.loc[report.findings["flagged"], "subject_id"])
    assert flagged == {str(number) for number in range(1, len(CASES) + 1)}
    assert sum(report.facts["kinds"].values()) >= len(CASES)


def test_texts_in_which_places_are_marked_are_left_alone() -> None:
    with pytest.raises(Skip, match="places in the text"):
        whitespace.run(of_template("named_entities")[0])


def test_only_what_the_verdict_records_as_fixed_is_changed() -> None:
    examples = pd.DataFrame({"example_id": [1, 2], "text": [" a ", " b "], "data": ["{}", "{}"]})
    reasons = [[{"check": "whitespace", "action": "fix"}], [{"check": "whitespace", "action": "note"}]]
    verdicts = pd.DataFrame({"example_id": [1, 2], "reasons": [orjson.dumps(row).decode() for row in reasons]})
    assert apply(examples, verdicts)["text"].tolist() == ["a", " b "]
