"""Agreement beyond chance: published numbers, other libraries' numbers, hand-made cases and properties, for every kind of
answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_folders import build

from pipeline.consensus import agreement as labels_agreement
from pipeline.consensus import pairwise, rating_agreement, span_agreement, whole_agreement
from pipeline.consensus.agreement import agreement, facts
from pipeline.consensus.alphas import (
    EXPECTED_PAIRS,
    alpha,
    from_answers,
    from_counts,
    from_numbers,
    from_ranks,
    interval,
)
from pipeline.consensus.whole import remembered
from pipeline.report import quality
from pipeline.store import write_json
from pipeline.tasks import multi_label_classification, text_generation
from pipeline.types import Control, Scheme

NONE = Scheme((Control("c", "t", "Rating", "text", ()),), ("c",), ("text",))

# Krippendorff's example of four observers and twelve units, with missing values (Computing Krippendorff's
# Alpha-Reliability, 2011): alpha .743 nominal, .815 ordinal, .849 interval.
OBSERVERS = ("1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .", "1 2 3 3 2 4 4 1 2 5 1 .")


def canonical() -> tuple[np.ndarray, np.ndarray]:
    """(unit, value) of each answer."""
    pairs = [(unit, float(value)) for row in OBSERVERS for unit, value in enumerate(row.split()) if value != "."]
    return np.array([unit for unit, _ in pairs]), np.array([value for _, value in pairs])


def counts(example: np.ndarray, value: np.ndarray, n: int = 12, labels: int = 5) -> np.ndarray:
    table = np.zeros((n, labels), np.int64)
    np.add.at(table, (example, value.astype(int) - 1), 1)
    return table


def answers(rows: list[tuple[int, str, Any]]) -> pd.DataFrame:
    texts = [json.dumps(row[2], sort_keys=True, separators=(",", ":")) for row in rows]
    table = pd.DataFrame(rows, columns=["example_id", "annotator", "label"])
    return table.assign(answer=texts)


def of_labels(
    rows: list[tuple[int, str, str]], labels: tuple[str, ...], slices: dict[str, Any] | None = None, **more: Any
) -> Any:
    ids = sorted({row[0] for row in rows})
    examples = pd.DataFrame({"example_id": ids, **(slices or {})})
    return agreement(answers(rows), examples, labels=labels, slices=tuple(slices or {}), seed=0, **more)


def test_alpha_has_krippendorffs_published_values() -> None:
    example, value = canonical()
    assert alpha(from_counts(counts(example, value))) == pytest.approx(0.743, abs=0.0005)
    assert alpha(from_ranks(example, value, 12)) == pytest.approx(0.815, abs=0.0005)
    assert alpha(from_numbers(example, value, 12)) == pytest.approx(0.849, abs=0.0005)


def test_any_distance_gives_the_same_alpha_as_its_own_formula() -> None:
    example, value = canonical()
    order = np.argsort(example, kind="stable")
    example, value = example[order], value[order]
    left, right = pairwise.within(example)
    for far, units in (
        (lambda a, b: float(value[a] != value[b]), from_counts(counts(example, value))),
        (lambda a, b: float((value[a] - value[b]) ** 2), from_numbers(example, value, 12)),
    ):
        distance = np.array([far(a, b) for a, b in zip(left, right, strict=True)])
        general = from_answers(example, left, distance, far, n=12, seed=0)
        assert general.complete
        assert alpha(general) == pytest.approx(alpha(units))
        assert interval(general, seed=0).low == pytest.approx(interval(units, seed=0).low, abs=0.05)  # type: ignore[union-attr]


def test_a_sample_of_pairs_tells_the_expected_distance_well_enough() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 4, 500)
    value = np.where(random.random((500, 3)) < 0.7, truth[:, None], random.integers(0, 4, (500, 3))).ravel()
    example = np.repeat(np.arange(500), 3)
    left, right = pairwise.within(example)
    distance = (value[left] != value[right]).astype(float)
    sampled = from_answers(example, left, distance, lambda a, b: float(value[a] != value[b]), n=500, seed=0)
    assert not sampled.complete
    assert len(sampled.pairs[2]) == EXPECTED_PAIRS  # type: ignore[index]
    exact = interval(from_counts(counts(example, value + 1, 500, 4)), seed=0)
    found = interval(sampled, seed=0)
    assert found is not None
    assert exact is not None
    assert found.value == pytest.approx(exact.value, abs=0.01)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.02)


def test_alpha_is_one_for_perfect_agreement_and_about_zero_for_chance() -> None:
    assert alpha(from_counts(np.array([[3, 0], [0, 3], [3, 0]]))) == 1
    chance = np.random.default_rng(0).multinomial(3, [0.5, 0.5], size=4000)
    assert abs(alpha(from_counts(chance))) < 0.03


def test_alpha_without_overlap_is_unknown_not_perfect() -> None:
    assert interval(from_counts(np.array([[1, 0], [0, 1]])), seed=0) is None
    assert interval(from_counts(np.array([[2, 0], [3, 0]])), seed=0) is None  # one label only: nothing to disagree about
    assert of_labels([(1, "p", "a"), (2, "q", "b")], ("a", "b"))["overall"] is None


def test_the_interval_of_alpha_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)

    def draw(n: int) -> np.ndarray:
        truth = random.integers(0, 3, n)
        wrong = (truth[:, None] + random.integers(1, 3, (n, 4))) % 3
        said = np.where(random.random((n, 4)) < 0.8, truth[:, None], wrong)
        return np.stack([(said == label).sum(1) for label in range(3)], axis=1)

    true = alpha(from_counts(draw(200_000)))
    intervals = [interval(from_counts(draw(120)), seed=seed) for seed in range(100)]
    covered = sum(one is not None and one.low <= true <= one.high for one in intervals)
    assert 88 <= covered <= 100  # 95 expected; fewer than 88 has a probability under 1 %


VOTES = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 3), st.sampled_from("abc")), max_size=40)


@settings(max_examples=60, deadline=None)
@given(VOTES, st.permutations(["a", "b", "c"]), st.randoms())
def test_neither_the_order_of_rows_nor_the_names_of_labels_change_anything(
    votes: list[Any], names: list[str], random: Any
) -> None:
    rows = [(example, str(who), label) for (example, who), label in {(e, w): v for e, w, v in votes}.items()]
    mixed = random.sample(rows, len(rows))
    one, again = of_labels(rows, ("a", "b", "c")), of_labels(mixed, ("a", "b", "c"))
    assert one == again
    renamed = of_labels([(e, w, names["abc".index(v)]) for e, w, v in rows], ("a", "b", "c"))
    assert (renamed["overall"] is None) == (one["overall"] is None)
    if one["overall"]:
        assert renamed["overall"]["value"] == pytest.approx(one["overall"]["value"])
        assert one["overall"]["value"] <= 1
        assert one["overall"]["low"] <= one["overall"]["high"]


def simulated(n: int = 300, people: int = 4, seed: int = 0) -> list[tuple[int, str, str]]:
    random = np.random.default_rng(seed)
    truth = random.integers(0, 3, n)
    return [
        (row, f"p{who}", "abc"[truth[row] if random.random() < 0.9 - 0.1 * who else random.integers(3)])
        for row in range(n)
        for who in range(people)
    ]


def test_kappas_are_those_of_fleiss_and_scikit_learn() -> None:
    from sklearn.metrics import cohen_kappa_score

    rows = simulated()
    found = of_labels(rows, ("a", "b", "c"))
    said = {who: np.array([label for _, name, label in rows if name == who]) for who in ("p0", "p1", "p2", "p3")}
    for pair in found["pairs"]:
        assert pair["value"] == pytest.approx(cohen_kappa_score(said[pair["a"]], said[pair["b"]]))
        assert pair["low"] < pair["value"] < pair["high"]
        assert pair["n"] == 300
    assert len(found["pairs"]) == 6
    kappa = next(row for row in found["also"] if row["measure"] == "Fleiss' kappa")
    table = np.stack([(np.stack(list(said.values())) == label).sum(0) for label in "abc"], axis=1)
    share = table.sum(0) / table.sum()
    agreed = ((table**2).sum(1) - 4) / 12  # Fleiss (1971), equations 1 to 6
    assert kappa["value"] == pytest.approx((agreed.mean() - (share**2).sum()) / (1 - (share**2).sum()))


def test_the_worst_annotator_comes_first_and_a_bad_slice_is_seen() -> None:
    rows = simulated()
    rows = [(e, w, "abc"[(("abc".index(v)) + 1) % 3] if e < 100 and w == "p0" else v) for e, w, v in rows]
    found = of_labels(rows, ("a", "b", "c"), {"part": ["bad"] * 100 + ["good"] * 200})
    assert found["annotators"][-1]["annotator"] == "p1"
    bad, good = found["slices"]
    assert (bad["group"], good["group"], bad["n"], good["n"]) == ("bad", "good", 100, 200)
    assert bad["high"] < good["low"]


def test_a_tie_is_half_as_far_from_a_preference_as_the_other_preference() -> None:
    from pipeline.tasks import pairwise_preference

    def alike(a: str, b: str) -> float:
        return pairwise_preference.similarity(a, b, NONE)

    near = [(1, "p", "a"), (1, "q", "tie"), (2, "p", "b"), (2, "q", "b"), (3, "p", "a"), (3, "q", "a")]
    far = [(e, w, "b" if v == "tie" else v) for e, w, v in near]
    labels = ("a", "b", "tie")
    one, other = of_labels(near, labels, similarity=alike), of_labels(far, labels, similarity=alike)
    assert one["overall"]["value"] > other["overall"]["value"]
    # Observed: one pair of three at ½, 1/6. Expected, over the 30 ordered pairs of 3 a, 2 b, 1 tie: (2·6·1 + 2·3·½ + 2·2·½) / 30.
    assert one["overall"]["value"] == pytest.approx(1 - (1 / 6) / (17 / 30))
    assert "Krippendorff's alpha (nominal)" in [row["measure"] for row in one["also"]]


def rated(rows: list[tuple[int, str, dict[str, float]]]) -> Any:
    table = pairwise.given(answers(rows))
    return facts(table, rating_agreement.measures(table, seed=0), pd.DataFrame({"example_id": table.ids}), slices=(), seed=0)


def test_ratings_are_measured_per_dimension_and_on_their_mean() -> None:
    from sklearn.metrics import cohen_kappa_score

    random = np.random.default_rng(1)
    x = random.integers(1, 6, (200, 1)) + random.integers(-1, 2, (200, 3))
    rows = [(e, f"p{w}", {"good": int(x[e, w]), "noise": int(random.integers(1, 6))}) for e in range(200) for w in range(3)]
    found = rated(rows)
    good, noise = found["labels"]
    assert (good["label"], noise["label"]) == ("good", "noise")
    assert good["value"] > 0.7
    assert abs(noise["value"]) < 0.1
    assert found["overall"]["value"] == pytest.approx((good["value"] + noise["value"]) / 2)
    only = rated([(e, w, {"good": v["good"]}) for e, w, v in rows])
    pair = next(row for row in only["pairs"] if (row["a"], row["b"]) == ("p0", "p2"))
    assert pair["value"] == pytest.approx(cohen_kappa_score(x[:, 0], x[:, 2], weights="quadratic"))
    assert [row["measure"] for row in only["also"]] == ["Krippendorff's alpha (interval)", "ICC(1,k) of good"]


def test_the_reliability_of_mean_ratings_is_shrout_and_fleiss() -> None:
    # Shrout and Fleiss (1979), table 2: six targets, four judges; ICC(1,4) = .44.
    judges = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    found = rated([(e, f"p{w}", {"x": v}) for e, row in enumerate(judges) for w, v in enumerate(row)])
    assert found["also"][-1]["value"] == pytest.approx(0.44, abs=0.005)


def sets(rows: list[tuple[int, str, list[str]]]) -> Any:
    table = pairwise.given(answers(rows))
    found = whole_agreement.measures(table, remembered(multi_label_classification, NONE), sets=True, seed=0)
    return facts(table, found, pd.DataFrame({"example_id": table.ids}), slices=(), seed=0)


def test_sets_have_passonneaus_distance_and_an_alpha_for_each_label() -> None:
    assert whole_agreement.masi(["a"], ["a"]) == 1
    assert whole_agreement.masi(["a"], ["a", "b"]) == pytest.approx(2 / 3 * 1 / 2)
    assert whole_agreement.masi(["a", "c"], ["a", "b"]) == pytest.approx(1 / 3 * 1 / 3)
    assert whole_agreement.masi(["a"], ["b"]) == 0
    rows = [(1, "p", ["a"]), (1, "q", ["a", "b"]), (2, "p", ["c"]), (2, "q", ["c"]), (3, "p", ["b"]), (3, "q", ["b", "c"])]
    found = sets(rows)
    by = {row["label"]: row for row in found["labels"]}
    assert by["a"]["value"] == 1
    assert by["b"]["value"] < 1
    # Jaccard by hand: observed (½ + 0 + ½) / 3; expected over the 15 pairs of the six sets.
    apart = [1 - multi_label_classification.similarity(x[2], y[2], NONE) for n, x in enumerate(rows) for y in rows[:n]]
    assert found["overall"]["value"] == pytest.approx(1 - (1 / 3) / np.mean(apart))


def span(start: int, end: int, label: str = "A") -> dict[str, Any]:
    return {"start": start, "end": end, "labels": [label], "text": "x" * (end - start)}


TEXT = "Anna met Bo in Rome on Monday ."


def spanned(rows: list[tuple[int, str, list[dict[str, Any]]]], text: str = TEXT) -> Any:
    table = pairwise.given(answers(rows))
    examples = pd.DataFrame({"example_id": table.ids, "text": text})
    return facts(table, span_agreement.measures(table, examples, seed=0), examples, slices=(), seed=0)


def test_spans_are_measured_on_words_and_told_as_f1_too() -> None:
    anna, bo, rome = span(0, 4, "PER"), span(9, 11, "PER"), span(15, 19, "LOC")
    rows = [(1, "p", [anna, bo, rome]), (1, "q", [anna, rome]), (2, "p", [anna]), (2, "q", [anna])]
    found = spanned(rows)
    # 16 words, one of which differs: 1/16. Of 32 values 5 are PER, 2 are LOC, 25 are none.
    assert found["overall"]["value"] == pytest.approx(1 - (1 / 16) / ((32**2 - 5**2 - 2**2 - 25**2) / (32 * 31)))
    assert {row["label"]: row["value"] for row in found["labels"]}["LOC"] == 1
    also = {row["measure"]: row["value"] for row in found["also"]}
    assert also["F1 of spans (exact)"] == pytest.approx(6 / 7)
    assert also["F1 of words"] == pytest.approx(6 / 7)


def test_a_stray_blank_is_no_disagreement_and_a_shifted_end_is_half_of_one() -> None:
    plain, blank = {**span(0, 4), "text": "Anna"}, {**span(0, 5), "text": "Anna "}
    other = {**span(0, 8), "text": "Anna met"}
    also = {row["measure"]: row["value"] for row in spanned([(1, "p", [plain]), (1, "q", [blank])])["also"]}
    assert also["F1 of spans (exact)"] == also["F1 of words"] == 1
    found = spanned([(1, "p", [plain]), (1, "q", [other])])
    also = {row["measure"]: row["value"] for row in found["also"]}
    assert (also["F1 of spans (exact)"], also["F1 of spans (overlap)"]) == (0, 1)
    assert also["F1 of words"] == pytest.approx(2 / 3)


def test_texts_without_spaces_have_words_too() -> None:
    assert len(span_agreement.middles("東京に行く")) == 5
    assert len(span_agreement.middles("don't, no")) == 5
    found = spanned([(1, "p", [span(0, 2)]), (1, "q", [span(0, 2)])], text="東京に行く")
    assert found["overall"]["value"] == 1
    assert spanned([(1, "p", []), (1, "q", [])], text=" ")["overall"] is None


def test_written_answers_are_held_against_answers_to_other_examples() -> None:
    def told(rows: list[tuple[int, str, str]]) -> Any:
        table = pairwise.given(answers(rows))
        found = whole_agreement.measures(table, remembered(text_generation, NONE), sets=False, seed=0)
        return facts(table, found, pd.DataFrame({"example_id": table.ids}), slices=(), seed=0)

    words = ["sun", "rain", "fish", "car"]
    near = [(row, who, f"the {words[row]} is {more}") for row in range(4) for who, more in (("p", "here"), ("q", "there"))]
    stock = [(row, who, f"as a model I say {more}") for row in range(4) for who, more in (("p", "yes"), ("q", "no"))]
    assert told(near)["overall"]["value"] > 0.25
    assert told(stock)["overall"]["value"] < 0  # alike, but no more than answers to anything else
    mean = {row["measure"]: row["value"] for row in told(stock)["also"]}["Mean similarity"]
    assert mean == pytest.approx(5 / 6)


@pytest.mark.parametrize("same", [["a"], ["b", "c"]])
def test_everybody_saying_the_same_about_everything_is_not_perfect_agreement_but_unknown(same: list[str]) -> None:
    assert sets([(row, who, same) for row in range(5) for who in "pq"])["overall"] is None


def test_no_fact_is_a_number_that_is_none() -> None:
    unused, empty = of_labels(simulated(40), ("a", "b", "c", "unused")), spanned([(1, "p", []), (1, "q", [])])
    for found in (unused, empty, sets([(1, "p", ["a"])])):
        assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert sets([(1, "p", ["a"])])["reason"] == labels_agreement.ALONE
    assert empty["reason"] == labels_agreement.ALIKE


def test_the_report_shows_what_was_measured_in_plain_words_whatever_texts_come_in(tmp_path: Path) -> None:
    """Of spans, with annotators and types whose names are markup."""
    hostile = "<img src=x onerror=alert(1)>"
    anna, rome = span(0, 4, hostile), span(15, 19, "LOC")
    rows = [(row, who, [anna, rome] if who == "p" or row % 2 else [rome]) for row in range(12) for who in ("p", hostile)]
    found = spanned(rows)
    summary = build(tmp_path)
    write_json(tmp_path / "summary.json", {**summary, "agreement": found})
    page = quality(tmp_path)
    section = page[page.index('<section id="agreement">') : page.index('<section id="annotators">')]
    assert "Two annotators agree on a word if" in section
    assert "Agreement on each type of span" in section
    assert "Agreement of each annotator with the others" in section
    assert "Agreement beyond chance of each pair of annotators" in section
    for row in found["also"]:
        assert row["measure"] in section
        assert f"{row['value']:.2f}" in section
    assert hostile not in page
    assert "&lt;img src=x" in section
