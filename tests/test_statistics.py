"""Intervals cover what they say, corrections agree with scipy's, and the matched difference sees what is there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, contingency, false_discovery_control, fisher_exact

from pipeline import statistics


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy_and_holds_the_rate(counts: tuple[int, int]) -> None:
    hits, n = counts
    ours, theirs = statistics.wilson(hits, n), binomtest(hits, n).proportion_ci(method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert 0 <= ours.low <= ours.value <= ours.high <= 1


@pytest.mark.parametrize(("hits", "n"), [(0, 0), (3, 2), (-1, 5)])
def test_wilson_refuses_what_is_no_rate(hits: int, n: int) -> None:
    with pytest.raises(ValueError, match="rate"):
        statistics.wilson(hits, n)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_corrections_never_lower_a_p_value_and_keep_the_order(p: list[float]) -> None:
    for adjusted in (statistics.holm(p), statistics.benjamini_hochberg(p)):
        assert (adjusted >= np.array(p) - 1e-12).all()
        assert (adjusted <= 1).all()
        assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= -1e-12).all()
    assert statistics.benjamini_hochberg(p) == pytest.approx(false_discovery_control(p))
    assert (statistics.holm(p) >= statistics.benjamini_hochberg(p) - 1e-12).all()


def test_a_family_larger_than_its_listed_tests_is_corrected_as_if_the_rest_were_one() -> None:
    p = [0.001, 0.004, 0.03]
    full = [*p, *[1.0] * 7]
    assert statistics.holm(p, tests=10) == pytest.approx(statistics.holm(full)[:3])
    assert statistics.benjamini_hochberg(p, tests=10) == pytest.approx(statistics.benjamini_hochberg(full)[:3])
    with pytest.raises(ValueError, match="family"):
        statistics.holm(p, tests=2)


def test_more_often_is_fishers_exact_test() -> None:
    ours = statistics.more_often([7, 0], [20, 5], [3, 4], [30, 9])
    theirs = [fisher_exact([[a, n - a], [b, m - b]], "greater").pvalue for a, n, b, m in ((7, 20, 3, 30), (0, 5, 4, 9))]
    assert ours == pytest.approx(theirs)


def test_cramers_v_is_near_zero_for_independent_and_one_for_equal_variables() -> None:
    random = np.random.default_rng(0)
    corrected, plain = [], []
    for _ in range(50):
        table = np.zeros((5, 4))
        np.add.at(table, (random.integers(0, 5, 200), random.integers(0, 4, 200)), 1)
        corrected.append(statistics.cramers_v(table)[0])
        plain.append(contingency.association(table.astype(int), "cramer"))
    assert np.mean(corrected) < 0.05 < np.mean(plain)
    assert statistics.cramers_v(np.diag([50, 50, 50]))[0] == pytest.approx(1, abs=0.02)
    assert statistics.cramers_v([[5, 0], [9, 0]]) == (0.0, 1.0)


def test_a_bootstrap_interval_is_repeatable_and_near_the_exact_one() -> None:
    values = np.random.default_rng(3).random(400) < 0.3
    first, again = (statistics.bootstrap(lambda rows: float(values[rows].mean()), 400, seed=5) for _ in range(2))
    exact = statistics.wilson(int(values.sum()), 400)
    assert first == again
    assert (first.low, first.high) == pytest.approx((exact.low, exact.high), abs=0.02)
    with pytest.raises(ValueError, match="at least one row"):
        statistics.bootstrap(lambda rows: 0.0, 0, seed=0)


def test_a_matched_difference_is_blind_to_the_mix_of_strata_and_sees_what_is_inside_them() -> None:
    random = np.random.default_rng(1)
    stratum = random.integers(0, 2, 4000)
    group = (random.random(4000) < np.where(stratum == 1, 0.8, 0.2)).astype(np.int64)
    same = (random.random(4000) < np.where(stratum == 1, 0.7, 0.1)).astype(float)[:, None]
    assert abs(same[group == 1].mean() - same[group == 0].mean()) > 0.3
    difference, z = statistics.stratified_excess(same, stratum, group, 2)
    assert abs(difference[1, 0]) < 0.04
    assert abs(z[1, 0]) < 3
    shifted, z = statistics.stratified_excess(same + 0.2 * group[:, None], stratum, group, 2)
    assert shifted[1, 0] == pytest.approx(difference[1, 0] + 0.2)
    assert z[1, 0] > 10


def test_the_matched_differences_z_is_a_standard_normal_where_nothing_is_to_be_found() -> None:
    random = np.random.default_rng(2)
    found = []
    for _ in range(400):
        stratum, group = random.integers(0, 3, 120), random.integers(0, 2, 120)
        found.append(statistics.stratified_excess(random.random((120, 1)) < 0.3, stratum, group, 2)[1][1, 0])
    assert np.std(found) == pytest.approx(1, abs=0.12)
    assert abs(np.mean(found)) < 0.15
