"""What is removed may hit one group harder than the others: that is a finding of its own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.removal import MIN_N, disparate
from pipeline.statistics import wilson
from pipeline.types import FINDING_COLUMNS

RUNS = 200


def joined(rates: dict[str, float], n: int, seed: int) -> pd.DataFrame:
    """n examples in each group, of which the given share is removed."""
    random = np.random.default_rng(seed)
    rows = [
        (group, "keep" if random.random() >= rate else str(random.choice(["drop", "relabel"])))
        for group, rate in rates.items()
        for _ in range(n)
    ]
    return pd.DataFrame(rows, columns=["region", "verdict"])


def runs_that_flag(rates: dict[str, float], n: int, group: str | None = None) -> int:
    found = [disparate(joined(rates, n, seed), ("region",))[0] for seed in range(RUNS)]
    hit = [table[table["flagged"]]["subject_id"].tolist() for table in found]
    return sum(bool(names) if group is None else f"region={group}" in names for names in hit)


def test_a_group_that_loses_far_more_is_found() -> None:
    power = runs_that_flag({"north": 0.1, "south": 0.1, "coast": 0.35}, 150, "coast")
    assert power >= 0.9 * RUNS, f"found in {power} of {RUNS}"  # measured: 198


def test_groups_that_lose_alike_are_not_named() -> None:
    false = runs_that_flag({"north": 0.2, "south": 0.2, "coast": 0.2}, 150)
    assert wilson(false, RUNS).low <= 0.05, f"named in {false} of {RUNS}"


def test_a_difference_that_is_sure_but_small_is_no_finding() -> None:
    table, facts = disparate(joined({"north": 0.10, "south": 0.14}, 20_000, 1), ("region",))
    assert not table["flagged"].any()
    assert min(row["p"] for row in facts["groups"]) < 1e-6


def test_small_groups_and_missing_values_are_no_groups() -> None:
    made = pd.concat([joined({"north": 0.5, "south": 0.1}, MIN_N - 1, 0), joined({"": 0.9}, 200, 1)])
    table, facts = disparate(made, ("region",))
    assert list(table.columns) == list(FINDING_COLUMNS)
    assert not len(table)
    assert facts == {"groups": []}


@pytest.mark.parametrize("verdict", ["keep", "drop"])
def test_when_all_or_nothing_is_removed_nobody_is_hit_harder(verdict: str) -> None:
    made = joined({"north": 0.0, "south": 0.0}, 50, 0).assign(verdict=verdict)
    table, facts = disparate(made, ("region",))
    assert not table["flagged"].any()
    assert table["severity"].tolist() == [0, 0]
    assert [row["ratio"] for row in facts["groups"]] == [1, 1]


def test_severity_is_one_where_only_one_group_loses_everything() -> None:
    table, _ = disparate(joined({"north": 1.0, "south": 0.0}, 50, 0), ("region",))
    assert table.set_index("subject_id")["severity"].to_dict() == {"region=north": 1, "region=south": 0}
