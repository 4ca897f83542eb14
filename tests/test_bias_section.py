"""The report's section on bias: it says what the checks found, in words, and survives whatever a summary holds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from corpora import annotations_table, consensus_table, corpus, examples_table
from report_folders import build

from pipeline import removal
from pipeline.report.bias_answers import ANSWERS
from pipeline.report.bias_section import section
from pipeline.report.folder import load
from pipeline.report.render import render
from validators.check import all_checks, run, settings_for

HOSTILE = '<script>alert(1)</script><img src=x onerror="x">'
ASKED = ("representation", "slice_labels", "term_association", "slice_quality", "artefacts", "annotator_groups", "model_bias")


def page(folder: Path, outcomes: list[dict[str, Any]]) -> str:
    """The section of a report whose checks ended like this."""
    build(folder, n=20)
    run_of = load(folder)
    return render("bias.html.j2", bias=section(dataclasses.replace(run_of, summary={**run_of.summary, "checks": outcomes})))


def skewed(group: str = "south") -> list[dict[str, Any]]:
    """What the checks say of 600 examples in which one group has another label rate than the other."""
    random = np.random.default_rng(0)
    region = np.where(random.random(600) < 0.3, group, "north")
    labels = np.where(random.random(600) < np.where(region == group, 0.6, 0.2), "harsh", "calm").tolist()
    examples = examples_table([f"text {at}" for at in range(600)], {"region": region.tolist()})
    agreed = consensus_table(labels)
    made = corpus(examples, annotations_table([]), labels=("calm", "harsh"), slices=("region",), consensus=agreed)
    chosen = {name: settings_for({})[name] for name in ASKED}
    return [outcome.as_dict() for outcome in run(made, chosen)]


def test_the_section_says_what_was_found_and_what_was_not_asked(tmp_path: Path) -> None:
    shown = page(tmp_path, skewed())
    assert "label rates differ clearly from the rest of their slice" in shown
    assert "region south: harsh" in shown
    assert "No reference is stated" in shown
    assert "Nothing is known about the annotators" in shown
    assert shown.count("● look") == 1


def test_what_comes_from_outside_is_escaped_and_nothing_is_loaded_or_run(tmp_path: Path) -> None:
    shown = page(tmp_path, skewed(HOSTILE))
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown
    assert "<img" not in shown
    assert "http" not in shown


@pytest.mark.parametrize("junk", [None, 7, "x", [1, None, "x"], {"a": HOSTILE}, [{"label": HOSTILE, "flagged": True}]])
def test_facts_of_any_kind_leave_a_page_that_is_whole(tmp_path: Path, junk: Any) -> None:
    keys = ("shares", "tests", "intersections", "means", "terms", "quality", "probe", "features", "words", "groups", "by_text",
            "bias", "gaps", "served", "worst_group", "names", "flips", "small", "small_count", "association")  # fmt: skip
    blank = {"question": "Why?", "status": "flagged", "reason": "", "judged": 1, "flagged": 1, "seconds": 0.1, "settings": {}}
    shown = page(tmp_path, [{**blank, "check": name, "facts": dict.fromkeys(keys, junk)} for name in ANSWERS])
    assert shown.count('<article class="check asked flagged">') == len(ANSWERS)
    assert "<script" not in shown


def test_every_answer_belongs_to_a_check() -> None:
    assert set(ANSWERS) <= {*all_checks(), removal.NAME}


def test_no_name_that_stands_out_is_told_with_how_far_the_furthest_moves_a_label() -> None:
    row = {"name": "X", "label": "refund", "difference": -0.095, "low": -0.1, "high": -0.09, "neutral": 0.005, "flagged": False}
    said = ANSWERS["counterfactual"]({"names": [row, {**row, "difference": 0.02}]}, {})[0]
    assert said == ["No name moves a label clearly; the largest difference is 9.5 points."]
    bounded = ANSWERS["counterfactual"]({"names": [row], "min_difference": 0.1}, {})[0][0]
    assert bounded.startswith("No name moves a label clearly and by 10 points or more;")
    assert ANSWERS["counterfactual"]({"names": []}, {})[0] == ["No name moves a label clearly."]


@pytest.mark.parametrize(
    ("value", "much"), [(0.53, "little."), (0.6, "some of it."), (0.79, "some of it."), (0.8, "much: "), (0.88, "much: ")]
)
@pytest.mark.parametrize("flagged", [False, True])
def test_how_much_is_told_without_the_text_goes_by_how_often_it_is_right(value: float, much: str, flagged: bool) -> None:
    probe = {"value": value, "low": value - 0.09, "high": value + 0.07, "flagged": flagged}
    assert f"That is {much}" in ANSWERS["artefacts"]({"probe": probe}, {})[0][0]


def test_what_is_taken_out_of_one_group_more_than_of_others_is_told(tmp_path: Path) -> None:
    region = np.repeat(["north", "south"], 200)
    verdict = np.where((region == "south") & (np.arange(400) % 2 == 0), "drop", "keep")
    table, facts = removal.disparate(pd.DataFrame({"example_id": range(400), "region": region, "verdict": verdict}), ("region",))
    assert table["flagged"].sum() == 1
    shown = page(tmp_path, [{
        "check": removal.NAME, "question": removal.QUESTION, "status": "flagged", "reason": "", "judged": 2, "flagged": 1,
        "seconds": 0.0, "settings": {}, "facts": facts,
    }])  # fmt: skip
    assert "1 of 2 groups are kept at less than four fifths of the rate of the others." in shown
    assert "region south" in shown
