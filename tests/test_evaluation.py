"""Intervals against simulated truth and hand-computed cases, and one evaluation of a real adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import TrainingError
from pipeline.evaluation import metrics
from pipeline.evaluation.evaluate import ADAPTER, BASE, compare, evaluate, read_evaluation
from pipeline.evaluation.metrics import Answers
from pipeline.statistics import wilson
from pipeline.store import Store
from pipeline.training.train import train

SAMPLE = Path(__file__).parent.parent / "annotation_templates" / "text_classification" / "sample.jsonl"


def answers(predicted: list[str], confidence: float = 0.9) -> Answers:
    return Answers(predicted, np.full(len(predicted), confidence, dtype=np.float32))


def simulated(rng: np.random.Generator, n: int, accuracy: float) -> tuple[list[str], list[str]]:
    gold = rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2])
    wrong = np.array([{"a": "b", "b": "c", "c": "a"}[label] for label in gold])
    return gold.tolist(), np.where(rng.random(n) < accuracy, gold, wrong).tolist()


def test_the_bootstrap_s_intervals_hold_the_truth_about_19_times_in_20() -> None:
    rng = np.random.default_rng(0)
    gold, said = simulated(rng, 200_000, 0.8)
    truth = metrics.macro_f1(gold, answers(said), np.ones((1, 200_000)))[0]
    held = {"accuracy": 0, "macro_f1": 0}
    for trial in range(300):
        gold, said = simulated(rng, 150, 0.8)
        counts = metrics.bootstrap_counts(150, seed=trial, resamples=400)
        for name, right in (("accuracy", 0.8), ("macro_f1", truth)):
            found = metrics.percentile_interval(*metrics.point_and_resamples(name, gold, answers(said), counts))
            held[name] += found.low <= right <= found.high
    # 300 trials at 95 %: three standard errors are 3.8 points
    assert all(0.91 <= hits / 300 <= 0.99 for hits in held.values()), held


@pytest.mark.parametrize(("n", "accuracy"), [(40, 0.95), (150, 0.8), (600, 0.5)])
def test_the_interval_of_an_accuracy_holds_the_truth_about_19_times_in_20(n: int, accuracy: float) -> None:
    hits = np.random.default_rng(n).binomial(n, accuracy, 2000)
    held = 0
    for right in hits:
        said = answers(["a"] * right + ["b"] * (n - right))
        found = wilson(metrics.right_answers(["a"] * n, said), n)
        held += found.low <= accuracy <= found.high
    # 2,000 trials: three standard errors are 1.5 points; on 40 examples the number of right ones moves in steps
    assert 0.93 <= held / 2000 <= 0.985


@pytest.mark.parametrize("n", [30, 150])
def test_the_interval_of_a_difference_holds_the_truth_about_19_times_in_20(n: int) -> None:
    """Only one right: 0.15; only the other: 0.05; so the true difference is 0.10."""
    rng = np.random.default_rng(n)
    held = 0
    for won, lost, _ in rng.multinomial(n, [0.15, 0.05, 0.80], size=2000):
        found = metrics.paired_difference(int(won), int(lost), n)
        held += found.low <= 0.10 <= found.high
    assert 0.93 <= held / 2000 <= 0.98


def test_models_that_never_differ_on_few_examples_are_not_proven_equal() -> None:
    found = metrics.paired_difference(0, 0, 20)
    assert found.value == 0
    assert found.low == pytest.approx(-found.high)
    assert found.high > 0.1
    assert metrics.paired_difference(0, 0, 2000).high < 0.01


def test_a_paired_difference_has_less_noise_than_two_accuracies() -> None:
    """The resamples are shared: what is hard for both cancels."""
    rng = np.random.default_rng(1)
    gold, said = simulated(rng, 300, 0.7)
    other = [label if rng.random() > 0.02 else "a" for label in said]
    counts = metrics.bootstrap_counts(300, seed=0)
    (_, mine), (_, its) = (metrics.point_and_resamples("accuracy", gold, answers(x), counts) for x in (said, other))
    assert np.std(mine - its) < 0.5 * np.std(mine)


def test_mcnemar_is_the_binomial_sum_by_hand() -> None:
    # 2 * P(X <= 2), X ~ Binomial(10, 1/2) = 2 * (1 + 10 + 45) / 1024
    assert metrics.mcnemar(8, 2) == pytest.approx(112 / 1024)
    assert metrics.mcnemar(2, 8) == metrics.mcnemar(8, 2)
    assert metrics.mcnemar(0, 5) == pytest.approx(2 / 32)
    assert metrics.mcnemar(0, 0) == metrics.mcnemar(3, 3) == 1


def test_equal_models_are_called_different_at_most_once_in_20() -> None:
    rng = np.random.default_rng(5)
    called = [
        metrics.mcnemar(int(won), int(lost)) < 0.05 for won, lost, _ in rng.multinomial(200, [0.1, 0.1, 0.8], 2000)
    ]
    assert 0.01 < np.mean(called) <= 0.05  # an exact test is never above, and on few pairs well below


def test_metrics_are_those_of_sklearn() -> None:
    from sklearn.metrics import accuracy_score, f1_score

    gold, said = simulated(np.random.default_rng(2), 200, 0.7)
    ones = np.ones((1, 200))
    assert metrics.accuracy(gold, answers(said), ones)[0] == pytest.approx(accuracy_score(gold, said))
    assert metrics.macro_f1(gold, answers(said), ones)[0] == pytest.approx(f1_score(gold, said, average="macro"))


def test_a_resample_counts_as_the_rows_that_it_repeats() -> None:
    gold, said = simulated(np.random.default_rng(3), 50, 0.6)
    counts = metrics.bootstrap_counts(50, seed=9, resamples=5)
    assert (counts.sum(axis=1) == 50).all()
    rows = [np.repeat(np.arange(50), row.astype(int)) for row in counts]
    for name, metric in metrics.RESAMPLED.items():
        by_weight = metric(gold, answers(said), counts)
        by_rows = [metric([gold[i] for i in row], answers([said[i] for i in row]), np.ones((1, 50)))[0] for row in rows]
        assert by_weight == pytest.approx(by_rows, rel=1e-5), name


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    gold = ["a"] * 100
    said = answers(["a"] * 70 + ["b"] * 30, 0.9)
    shuffled = np.random.default_rng(0).permutation(100)
    mixed = Answers([said.predicted[i] for i in shuffled], said.confidence)
    # every bin holds one tenth at confidence 0.9; the mean of |share - 0.9| is at least 0.2, and 0.2 if no bin is above 0.9
    assert metrics.calibration_error(gold, mixed, np.ones((1, 100)))[0] >= 0.2 - 1e-6
    assert metrics.calibration_error(gold, answers(gold, 1.0), np.ones((1, 100)))[0] == 0


@pytest.mark.parametrize("overconfidence", [0.0, 0.1])
def test_the_calibration_interval_holds_the_truth(overconfidence: float) -> None:
    rng, held, above = np.random.default_rng(4), 0, 0
    for trial in range(100):
        confidence = rng.uniform(0.5, 1, 400).astype(np.float32)
        right = rng.random(400) < confidence - overconfidence
        said = Answers(["a" if hit else "b" for hit in right], confidence)
        counts = metrics.bootstrap_counts(400, seed=trial, resamples=200)
        found = metrics.calibration_interval(["a"] * 400, said, counts, seed=trial)
        held += found["low"] <= overconfidence <= found["high"]
        above += found["value"] > found["by_chance"]
    assert held >= 80
    assert above >= 95 if overconfidence else above <= 12


def table(n: int, **columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"example_id": range(n), "text": "t", "label": ["a", "b"] * (n // 2), **columns})


def compared(
    rows: pd.DataFrame, said: dict[str, Answers], slices: tuple[str, ...] = (), known: tuple[str, ...] = ("a", "b")
) -> dict[str, Any]:
    return compare(rows, said, slices=slices, min_slice=20, seed=0, known=known)


def test_a_difference_is_positive_where_the_adapter_is_better() -> None:
    rows = table(100)
    gold = rows["label"].tolist()
    body = compared(rows, {ADAPTER: answers(gold), BASE: answers(["a"] * 100)})
    assert body["models"][ADAPTER]["accuracy"]["value"] == 1
    assert body["models"][ADAPTER]["accuracy"]["low"] < 1  # 100 of 100 is no proof of perfection
    assert body["differences"][BASE]["value"] == 0.5
    assert body["differences"][BASE]["low"] > 0.3
    assert body["differences"][BASE]["p"] < 1e-9
    assert body["confusion"] == {"labels": ["a", "b"], "matrix": [[50, 0], [0, 50]]}


def test_a_planted_bad_slice_is_found_and_a_small_one_is_not_judged() -> None:
    region = ["north"] * 60 + ["south"] * 30 + ["islands"] * 9 + [""]
    rows = table(100, region=region)
    gold = rows["label"].tolist()
    worse = ["b" if where == "south" else label for label, where in zip(gold, region, strict=True)]
    body = compared(rows, {ADAPTER: answers(worse), BASE: answers(gold)}, ("region",))
    parts = {part["value"]: part for part in body["slices"]}
    assert {name: part["n"] for name, part in parts.items()} == {"north": 60, "south": 30, "islands": 9, "(none)": 1}
    assert parts["south"]["differences"][BASE]["value"] == -0.5
    assert parts["south"]["differences"][BASE]["high"] < 0
    assert parts["north"]["differences"][BASE]["value"] == 0
    assert parts["islands"]["models"] == {ADAPTER: "too few", BASE: "too few"}
    assert any("islands (9)" in warning for warning in body["warnings"])


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (pd.Categorical(["x", None] * 20), {"x": 20, "(none)": 20}),
        ([1.5, np.nan] * 20, {"1.5": 20, "(none)": 20}),
        ([True, False] * 20, {"True": 20, "False": 20}),
        (["<b>", ""] * 20, {"<b>": 20, "(none)": 20}),
    ],
)
def test_a_slice_may_hold_any_kind_of_value_and_gaps(values: Any, named: dict[str, int]) -> None:
    rows = table(40).assign(kind=values)
    gold = answers(rows["label"].tolist())
    body = compared(rows, {ADAPTER: gold, BASE: gold}, ("kind",))
    assert {part["value"]: part["n"] for part in body["slices"]} == named


def test_a_small_test_split_says_what_it_cannot_see() -> None:
    rows = table(84)
    gold = rows["label"].tolist()
    body = compared(rows, {ADAPTER: answers(gold), BASE: answers(gold)})
    assert any("84 examples" in warning and "points" in warning for warning in body["warnings"])
    big = table(60_000)
    same = answers(big["label"].tolist())
    assert compared(big, {ADAPTER: same, BASE: same})["warnings"] == []


def test_labels_that_only_one_side_knows_are_named() -> None:
    rows = table(40)
    gold = rows["label"].tolist()
    body = compared(rows, {ADAPTER: answers(["a"] * 40), BASE: answers(gold)}, known=("a", "z"))
    text = " ".join(body["warnings"])
    assert "does not know and so always gets wrong: b" in text
    assert "about which nothing is said: z" in text


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 200))
def test_an_interval_of_a_difference_is_ordered_and_turns_with_the_sides(won: int, lost: int, rest: int) -> None:
    n = won + lost + rest + 1
    found, turned = metrics.paired_difference(won, lost, n), metrics.paired_difference(lost, won, n)
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, str, str, pd.DataFrame, pd.DataFrame]:
    """(store, adapter, evaluation, test rows, training rows) of a quick real run."""
    found = [orjson.loads(line) for line in SAMPLE.read_bytes().splitlines()]
    rows = pd.DataFrame(
        [(item["data"]["text"], item["answer"], item["data"]["region"]) for item in found], columns=["text", "label", "region"]
    )
    rows = rows[rows["label"].isin(["cancel_order", "order_status"])].sample(140, random_state=0, ignore_index=True)
    rows.insert(0, "example_id", np.arange(140))
    rows["split"] = ["train"] * 60 + ["validation"] * 20 + ["test"] * 60
    base = rows[rows["split"] != "test"].drop(columns="region")
    store = Store(tmp_path_factory.mktemp("store"))
    adapter = train(
        store, rows=base, labels=("cancel_order", "order_status"), version="v1", labels_from="cleaned", threads=1,
        settings={"epochs": 1, "max_length": 32},
    )  # fmt: skip
    test = rows[rows["split"] == "test"]
    key = evaluate(
        store, adapter=adapter, rows=test, base=base, slices=("region",), others={"champion": adapter}, threads=1
    )
    return store, adapter, key, test, base


def test_an_evaluation_is_published_with_every_model_s_answers(
    evaluated: tuple[Store, str, str, pd.DataFrame, pd.DataFrame],
) -> None:
    store, adapter, key, test, _ = evaluated
    body = read_evaluation(store, key)
    assert list(body["models"]) == [ADAPTER, BASE, "champion"]
    assert body["adapter"] == adapter
    assert body["differences"]["champion"]["value"] == 0
    assert body["models"][BASE]["accuracy"]["value"] > 0.7
    said = pd.read_parquet(store.folder("evaluations", key) / "predictions.parquet")
    assert list(said.columns) == ["example_id", "label", ADAPTER, BASE, "champion", "confidence"]
    assert said["example_id"].tolist() == sorted(test["example_id"])
    for name in body["models"]:
        assert (said[name] == said["label"]).mean() == pytest.approx(body["models"][name]["accuracy"]["value"])


def test_the_same_evaluation_is_not_done_twice(
    evaluated: tuple[Store, str, str, pd.DataFrame, pd.DataFrame],
) -> None:
    store, adapter, key, test, base = evaluated
    calls: list[int] = []
    again = evaluate(
        store, adapter=adapter, rows=test.sample(frac=1, random_state=1), base=base, slices=("region",),
        others={"champion": adapter}, threads=1, progress=lambda done, total: calls.append(done),
    )  # fmt: skip
    assert again == key
    assert calls == []


def test_another_seed_other_rows_or_another_rival_is_another_evaluation(
    evaluated: tuple[Store, str, str, pd.DataFrame, pd.DataFrame],
) -> None:
    store, adapter, key, test, base = evaluated
    calls: list[tuple[int, int]] = []
    given: dict[str, Any] = {"rows": test, "slices": ("region",), "others": {"champion": adapter}}
    changes: list[dict[str, Any]] = [{"seed": 1}, {"others": {}}, {"rows": test.iloc[1:]}, {"slices": ()}]
    ids = [
        evaluate(
            store, adapter=adapter, base=base, threads=1, progress=lambda done, total: calls.append((done, total)),
            **(given | change),
        )
        for change in changes
    ]  # fmt: skip
    assert len({key, *ids}) == 5
    assert {done for done, total in calls if done == total} == {
        180,
        120,
        177,
    }  # 3 or 2 models on 60 or 59 rows, to the end


def test_the_base_model_may_know_labels_that_the_adapter_does_not(
    evaluated: tuple[Store, str, str, pd.DataFrame, pd.DataFrame],
) -> None:
    """As when an adapter of an older version is judged again on a newer one."""
    store, adapter, _, test, base = evaluated
    renamed = {"order_status": "where_is_it"}
    newer, judged = (rows.assign(label=rows["label"].replace(renamed)) for rows in (base, test))
    key = evaluate(store, adapter=adapter, rows=judged, base=newer, threads=1)
    said = pd.read_parquet(store.folder("evaluations", key) / "predictions.parquet")
    assert set(said[BASE]) == {"cancel_order", "where_is_it"}
    body = read_evaluation(store, key)
    assert body["models"][BASE]["accuracy"]["value"] > 0.7
    assert any("does not know" in warning and "where_is_it" in warning for warning in body["warnings"])


def test_without_test_rows_it_says_what_to_do(
    evaluated: tuple[Store, str, str, pd.DataFrame, pd.DataFrame],
) -> None:
    store, adapter, _, test, base = evaluated
    with pytest.raises(TrainingError, match=r"test split is empty.*release"):
        evaluate(store, adapter=adapter, rows=test.head(0), base=base)


@pytest.mark.parametrize("name", ["adapter", "base", "confidence", "example_id"])
def test_a_rival_cannot_take_a_name_that_means_something_else(
    evaluated: tuple[Store, str, str, pd.DataFrame, pd.DataFrame], name: str
) -> None:
    store, adapter, _, test, base = evaluated
    with pytest.raises(TrainingError, match=name):
        evaluate(store, adapter=adapter, rows=test, base=base, others={name: adapter})
