"""Consensus, on textbook numbers, on simulated annotators, and on Snow's RTE."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.consensus.aggregation import METHODS
from pipeline.consensus.build import build


def answers(rows: list[tuple[int, str, str]], gold: set[int] = frozenset()) -> pd.DataFrame:  # type: ignore[assignment]
    return pd.DataFrame(
        {
            "annotation_id": range(len(rows)), "example_id": [row[0] for row in rows], "annotator": [row[1] for row in rows],
            "answer": [f'"{row[2]}"' if row[2] else "" for row in rows], "created_at": "", "updated_at": "", "seconds": 1.0,
            "ground_truth": [number in gold for number in range(len(rows))], "cancelled": False,
            "imported": False,
        }
    )  # fmt: skip


def examples(annotations: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"example_id": sorted(annotations["example_id"].unique())})


def solve(rows: list[tuple[int, str, str]], labels: tuple[str, ...] = ("a", "b", "c"), **options: object):  # type: ignore[no-untyped-def]
    table = answers(rows)
    return build(table, examples(table), labels=labels, **options)  # type: ignore[arg-type]


def test_a_tie_is_marked_and_broken_by_seed_and_id_alone() -> None:
    rows = [(1, "p", "a"), (1, "q", "b"), (2, "p", "a"), (2, "q", "a")]
    one, again = solve(rows, method="majority").consensus, solve(rows[::-1], method="majority").consensus
    assert one["tie"].tolist() == [True, False]
    assert one["answer"].tolist() == again["answer"].tolist()
    picks = {solve(rows, method="majority", seed=seed).consensus["answer"][0] for seed in range(20)}
    assert picks == {'"a"', '"b"'}


def test_the_last_answer_of_an_annotator_counts_and_empty_or_cancelled_ones_do_not() -> None:
    table = answers([(1, "p", "a"), (1, "p", "b"), (2, "p", ""), (3, "p", "c")])
    table.loc[3, "cancelled"] = True
    found = build(table, examples(table), labels=("a", "b", "c")).consensus
    assert found["example_id"].tolist() == [1]
    assert found["answer"].tolist() == ['"b"']
    assert np.isnan(found["confidence"][0])  # one answer: nobody has confirmed it


def test_a_ground_truth_answer_wins_unless_all_are_marked() -> None:
    rows = [(1, "p", "a"), (1, "q", "a"), (1, "lead", "b"), (2, "p", "a"), (2, "q", "a")]
    one = answers(rows, gold={2})
    found = build(one, examples(one), labels=("a", "b")).consensus
    assert found["answer"].tolist() == ['"b"', '"a"']
    assert found["method"][0] == "ground_truth"
    imported = answers(rows, gold=set(range(5)))  # what Label Studio does to an import that does not say
    assert build(imported, examples(imported), labels=("a", "b")).consensus["answer"].tolist() == ['"a"', '"a"']


def simulate(seed: int, per_example: int, n: int = 400):  # type: ignore[no-untyped-def]
    random = np.random.default_rng(seed)
    skill = random.uniform(0.45, 0.95, 12)
    truth = random.integers(0, 3, n)
    rows = []
    for example in range(n):
        for person in random.choice(12, per_example, replace=False):
            right = random.random() < skill[person]
            said = truth[example] if right else (truth[example] + random.integers(1, 3)) % 3
            rows.append((example, f"p{person:02d}", "abc"[said]))
    return rows, truth, skill


def test_weighing_annotators_beats_counting_heads_and_finds_who_is_good() -> None:
    gains, ranks, covered = [], [], []
    for seed in range(8):
        rows, truth, skill = simulate(seed, per_example=5)
        right = [f'"{"abc"[label]}"' for label in truth]
        accuracy = {
            method: float((solve(rows, method=method).consensus["answer"] == right).mean()) for method in METHODS
        }
        gains.append(accuracy["dawid_skene"] - accuracy["majority"])
        people = solve(rows).annotators
        ranks.append(people["quality"].corr(pd.Series(skill), method="spearman"))
        covered.append(((people["quality_low"] <= skill) & (skill <= people["quality_high"])).mean())
    assert np.mean(gains) > 0.01
    assert np.mean(ranks) > 0.9
    assert np.mean(covered) > 0.85


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_neither_the_order_of_rows_nor_the_names_of_annotators_change_the_consensus(
    method: str, data: st.DataObject
) -> None:
    rows = data.draw(
        st.lists(
            st.tuples(st.integers(1, 6), st.sampled_from("pqrs"), st.sampled_from("abc")),
            min_size=1,
            max_size=24,
            unique_by=lambda row: row[:2],
        )
    )
    mixed = data.draw(st.permutations(rows))
    renamed = [(example, f"z{ord(person)}", label) for example, person, label in mixed]
    one, other = solve(rows, method=method).consensus, solve(renamed, method=method).consensus
    pd.testing.assert_frame_equal(one, other, check_exact=False, atol=1e-9)
    assert one["confidence"].dropna().between(0, 1).all()


def test_rte_consensus_is_better_than_majority_and_quality_follows_the_truth(shared: Path) -> None:
    raw = pd.read_csv(shared / "data" / "snow2008_rte_affect" / "rte.standardized.tsv", sep="\t")
    raw["example"] = pd.factorize(raw["orig_id"])[0]
    people = raw["!amt_worker_ids"].astype(str)
    table = answers(list(zip(raw["example"], people, raw["response"].astype(str), strict=True)))
    gold = raw.drop_duplicates("example").set_index("example")["gold"].astype(str)
    found = {method: build(table, examples(table), labels=("0", "1"), method=method) for method in ("auto", "majority")}
    accuracy = {
        method: (one.consensus.set_index("example_id")["answer"].str.strip('"') == gold).mean()
        for method, one in found.items()
    }
    assert accuracy["auto"] >= accuracy["majority"] + 0.02
    quality = found["auto"].annotators.set_index("annotator")["quality"]
    true = (raw["response"] == raw["gold"]).groupby(people).mean()
    assert quality.corr(true, method="spearman") > 0.75
    overall = found["auto"].facts["agreement"]["overall"]
    assert overall["low"] < overall["value"] < overall["high"]


@pytest.mark.parametrize("method", ["auto", "shrunk", "crowdlab"])
def test_what_all_agree_on_is_not_overruled_and_no_answer_is_one_that_nobody_gave(method: str) -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 300)
    rows = []
    for number, true in enumerate(truth, start=1):
        for person in random.choice(list("pqrs"), 2, replace=False):
            said = true if random.random() < 0.7 else random.integers(0, 3)
            rows.append((number, str(person), "abc"[said]))
    table = answers(rows)

    def model(given: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return np.where(np.eye(3)[truth] > 0, 0.998, 0.001)  # knows it better than any of them

    found = build(table, examples(table), labels=("a", "b", "c"), method=method, model=model).consensus.set_index("example_id")
    for example, part in table.groupby("example_id"):
        given = set(part["answer"])
        assert found.loc[example, "answer"] in given
        if len(given) == 1:
            assert not found.loc[example, "tie"]
