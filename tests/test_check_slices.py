"""A label that comes up more often in one group is seen, and chance is not taken for it."""

import numpy as np
import pytest
from corpora import LABELS, annotations_table, consensus_table, corpus, examples_table

from pipeline.types import Corpus
from validators.check import Skip
from validators.slice_labels import slice_labels

SHARES = np.array([0.3, 0.2, 0.2, 0.1, 0.1, 0.1])


def simulated(seed: int, n: int, shift: float) -> Corpus:
    """Six regions of equal size; in r0, `shift` of the examples are complaints whatever else they were."""
    random = np.random.default_rng(seed)
    region = random.integers(0, 6, n)
    shifted = SHARES * (1 - shift) + shift * np.eye(6)[LABELS.index("complaint")]
    labels = [str(random.choice(LABELS, p=shifted if place == 0 else SHARES)) for place in region]
    channel = [str(name) for name in random.choice(["mail", "chat", "phone"], n)]
    examples = examples_table(["x"] * n, {"region": [f"r{place}" for place in region], "channel": channel})
    return corpus(examples, annotations_table([]), slices=("region", "channel"), consensus=consensus_table(labels))


def named(made: Corpus) -> set[str]:
    table = slice_labels.run(made).findings
    return set(table.loc[table["flagged"], "subject_id"])


def test_power_and_false_alarms_over_a_hundred_seeds() -> None:
    """600 examples in six regions: complaints 28 % against 10 % are found in 88 of 100 runs; with nothing to be found, 4 of
    100 runs name any group (5 is what the correction allows)."""
    found = sum("region=r0" in named(simulated(seed, 600, 0.2)) for seed in range(100))
    false = sum(bool(named(simulated(seed, 600, 0.0))) for seed in range(100))
    assert found >= 80
    assert false <= 8


def test_a_difference_too_small_to_matter_is_not_flagged_however_many_examples_prove_it() -> None:
    made = simulated(0, 60_000, 0.03)
    report = slice_labels.run(made)
    row = next(r for r in report.facts["tests"] if (r["group"], r["label"]) == ("r0", "complaint"))
    assert row["p"] < 1e-4
    assert not row["flagged"]


def test_the_facts_hold_rate_interval_reference_and_ratio() -> None:
    report = slice_labels.run(simulated(0, 3000, 0.2))
    row = next(r for r in report.facts["tests"] if (r["group"], r["label"]) == ("r0", "complaint"))
    assert row["flagged"]
    assert row["low"] < row["rate"] < row["high"]
    assert row["ratio_low"] < row["ratio"] < row["ratio_high"]
    assert row["ratio"] == pytest.approx(row["rate"] / row["reference"], rel=0.02)
    strength = {item["slice"]: item for item in report.facts["association"]}
    assert strength["region"]["cramers_v"] > 0.05 > strength["channel"]["cramers_v"]
    assert "times as often" in report.findings.iloc[0]["reason"]


def test_small_groups_and_missing_values_are_not_compared() -> None:
    region = ["a"] * 29 + ["b"] * 100 + ["c"] * 100 + [""] * 71
    labels = ["billing"] * 29 + ["refund", "billing"] * 135 + ["refund"]
    examples = examples_table(["x"] * 300, {"region": region})
    made = corpus(examples, annotations_table([]), slices=("region",), consensus=consensus_table(labels))
    assert set(slice_labels.run(made).findings["subject_id"]) == {"region=b", "region=c"}


def test_no_slices_or_nothing_to_compare_is_a_reason_to_skip() -> None:
    examples = examples_table(["x"] * 60, {"region": ["a"] * 60})
    labels = ["billing", "refund"] * 30
    with pytest.raises(Skip, match="no slices"):
        slice_labels.run(corpus(examples, annotations_table([]), consensus=consensus_table(labels)))
    with pytest.raises(Skip, match="at least 30"):
        slice_labels.run(corpus(examples, annotations_table([]), slices=("region",), consensus=consensus_table(labels)))
