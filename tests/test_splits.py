"""Splits: drawn once, by group, stratified, and the test split frozen."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.versions.splits import assign, merge_groups


def draw(labels: list[str | None], groups: list[int], declared: list[str] | None = None, frozen=None, **shares):  # type: ignore[no-untyped-def]
    table = pd.DataFrame({"example_id": range(len(labels)), "split": declared or [""] * len(labels)})
    options = {"test": 0.15, "validation": 0.15, "seed": 0, **shares}
    return assign(table, pd.Series(labels, dtype="str"), np.array(groups), frozen=frozen or {}, **options).tolist()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(0, 15)), min_size=1, max_size=60),
    st.integers(0, 5),
)
def test_a_group_never_straddles_and_everything_answered_gets_a_split(
    rows: list[tuple[str | None, int]], seed: int
) -> None:
    labels, groups = [row[0] for row in rows], [row[1] for row in rows]
    split = draw(labels, groups, seed=seed)
    for label, home in zip(labels, split, strict=True):
        assert (home == "") == (label is None)
    for group in set(groups):
        assert len({home for home, other in zip(split, groups, strict=True) if other == group and home}) <= 1


def test_the_shares_are_met_in_every_class() -> None:
    labels = ["common"] * 400 + ["rare"] * 40
    split = np.array(draw(labels, list(range(440))))
    for label in ("common", "rare"):
        mine = split[np.array(labels) == label]
        assert (mine == "test").mean() == pytest.approx(0.15, abs=0.02)
        assert (mine == "validation").mean() == pytest.approx(0.15, abs=0.02)


def test_the_draw_is_the_same_again_and_another_seed_gives_another() -> None:
    labels, groups = ["a", "b"] * 50, list(range(100))
    assert draw(labels, groups) == draw(labels, groups)
    assert draw(labels, groups) != draw(labels, groups, seed=1)


def test_later_examples_never_enter_the_frozen_test_split() -> None:
    labels = ["a"] * 100
    first = draw(labels, list(range(100)))
    frozen = dict(enumerate(first))
    groups = [*range(100), *([first.index("test")] * 20), *range(120, 180)]  # twenty join a test example's group
    later = draw(["a"] * 180, groups, frozen=frozen)
    assert later[:100] == first
    assert "test" not in later[100:]
    assert set(later[100:120]) == {"train"}  # where the leakage check finds them
    assert "validation" in later[120:]


def test_a_declared_split_stands_and_draws_no_test_of_its_own() -> None:
    split = draw(["a"] * 6, list(range(6)), declared=["test", "train", "validation", "", "", ""])
    assert split[:3] == ["test", "train", "validation"]
    assert "test" not in split[3:]


def test_an_example_that_lost_its_answers_keeps_its_frozen_split() -> None:
    assert draw([None, "a"], [0, 1], frozen={0: "test", 1: "train"}) == ["test", "train"]


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["", "x", "y", "z"])), max_size=40))
def test_groups_join_through_near_duplicates_and_through_keys(rows: list[tuple[int, str]]) -> None:
    near, keys = np.array([row[0] for row in rows], dtype=np.int64), pd.Series([row[1] for row in rows], dtype="str")
    merged = merge_groups(near, keys)
    for i in range(len(rows)):
        for j in range(len(rows)):
            if near[i] == near[j] or (keys[i] and keys[i] == keys[j]):
                assert merged[i] == merged[j]
        assert merged[i] <= i
    assert len(set(merged.tolist())) >= len(set(near.tolist())) - sum(bool(key) for key in keys)
