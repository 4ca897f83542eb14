"""Expectations of our own, for the suites in `expectations/`: what Great Expectations has no words for.

    expect_agreement_to_be_at_least        Krippendorff's alpha over a table of annotations, the lowest of the groups given
    expect_flagged_share_to_be_at_most     the share of rows that a check doubts
    expect_leakage_to_be_at_most           kept rows outside the test split that equal or nearly equal a test row
    expect_slice_association_to_be_at_most Cramér's V of a label and a slice, the largest of the slices given
    expect_kept_ratio_to_be_at_least       how much less of a group is kept than of the rest, the worst group of the slices given

Each observes one number, compares it with `min_value` or `max_value`, and fails if it cannot be computed. To import this module
registers them; Great Expectations drops what it does not know, which `gate` guards against.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider


def lowest_agreement(table: pd.DataFrame, column: str, columns: Sequence[str], min_n: int) -> float | None:
    """The lowest alpha (nominal) of `column` over the groups of the slices `columns` in which at least `min_n` examples have
    two answers; over all rows without `columns`. None where there is no such group."""
    from pipeline.consensus.alphas import alpha, from_counts

    parts = [part for name in columns for _, part in table[table[name].fillna("") != ""].groupby(name)] if columns else [table]
    found = []
    for part in parts:
        counts = pd.crosstab(part["example_id"], part[column]).to_numpy(np.int64)
        if int((counts.sum(1) >= 2).sum()) >= min_n:
            found.append(alpha(from_counts(counts)))
    known = [value for value in found if np.isfinite(value)]
    return float(min(known)) if known else None


def leaks(table: pd.DataFrame) -> int:
    """Rows outside the test split whose text (`text`) equals or nearly equals one of the test split (`split`)."""
    from pipeline.evidence.duplicates import exact_groups, near_pairs

    texts = table["text"].tolist()
    test = (table["split"] == "test").to_numpy()
    exact = exact_groups(texts)
    linked: dict[int, set[int]] = {int(row): {int(row)} for row in exact}
    for a, b, _ in near_pairs(texts):
        linked[a].add(b)
        linked[b].add(a)
    in_test = set(exact[test].tolist())
    return sum(bool(linked[int(exact[row])] & in_test) for row in np.flatnonzero(~test) if texts[row].strip())


def strongest_association(table: pd.DataFrame, column: str, columns: Sequence[str]) -> float:
    """The largest Cramér's V of `column` with one of the slices `columns`; rows without a value are no group."""
    from pipeline.statistics import cramers_v

    return max(
        cramers_v(pd.crosstab(part[name], part[column]).to_numpy())[0]
        for name in columns
        for part in [table[table[name].fillna("") != ""]]
    )


def worst_kept_ratio(table: pd.DataFrame, column: str, columns: Sequence[str], min_n: int) -> float | None:
    """Of each group with at least `min_n` rows inside and outside: kept inside / kept outside, as the upper end of its 95 %
    interval, so that a small group is no alarm; the lowest of these. `column` holds verdicts. Source of the interval: Katz et
    al. (1978), half a row added to each count."""
    kept = (table[column] == "keep").to_numpy(float)
    found = []
    for name in columns:
        value = table[name].fillna("").to_numpy(object)
        for group in set(value) - {""}:
            inside, outside = kept[value == group], kept[(value != group) & (value != "")]
            if min(len(inside), len(outside)) >= min_n:
                a, b, n, m = inside.sum() + 0.5, outside.sum() + 0.5, len(inside) + 0.5, len(outside) + 0.5
                spread = np.sqrt(max(1 / a - 1 / n + 1 / b - 1 / m, 0))
                found.append(a / n / (b / m) * np.exp(1.959964 * spread))
    return float(min(found)) if found else None


class _Agreement(TableMetricProvider):  # type: ignore[misc]
    metric_name = "table.lowest_agreement"
    value_keys = ("column", "columns", "min_n")

    @metric_value(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(cls, execution_engine: Any, metric_domain_kwargs: Any, metric_value_kwargs: Any, **rest: Any) -> Any:
        return lowest_agreement(_table(execution_engine, metric_domain_kwargs), **metric_value_kwargs)


class _Flagged(TableMetricProvider):  # type: ignore[misc]
    metric_name = "table.flagged_share"
    value_keys = ("column",)

    @metric_value(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(cls, execution_engine: Any, metric_domain_kwargs: Any, metric_value_kwargs: Any, **rest: Any) -> Any:
        return float(_table(execution_engine, metric_domain_kwargs)[metric_value_kwargs["column"]].astype(bool).mean())


class _Leaks(TableMetricProvider):  # type: ignore[misc]
    metric_name = "table.leaks"
    value_keys = ("column_list",)

    @metric_value(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(cls, execution_engine: Any, metric_domain_kwargs: Any, metric_value_kwargs: Any, **rest: Any) -> Any:
        text, split, verdict = metric_value_kwargs["column_list"]
        table = _table(execution_engine, metric_domain_kwargs)
        table = pd.DataFrame({"text": table[text], "split": table[split], "verdict": table[verdict]})
        # the test split is frozen: what it holds counts whatever its verdict is, as long as it is not dropped
        there = (table["verdict"] == "keep") | ((table["split"] == "test") & (table["verdict"] != "drop"))
        return leaks(table[there])


class _Association(TableMetricProvider):  # type: ignore[misc]
    metric_name = "table.strongest_association"
    value_keys = ("column", "columns")

    @metric_value(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(cls, execution_engine: Any, metric_domain_kwargs: Any, metric_value_kwargs: Any, **rest: Any) -> Any:
        return strongest_association(_table(execution_engine, metric_domain_kwargs), **metric_value_kwargs)


class _KeptRatio(TableMetricProvider):  # type: ignore[misc]
    metric_name = "table.worst_kept_ratio"
    value_keys = ("column", "columns", "min_n")

    @metric_value(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(cls, execution_engine: Any, metric_domain_kwargs: Any, metric_value_kwargs: Any, **rest: Any) -> Any:
        return worst_kept_ratio(_table(execution_engine, metric_domain_kwargs), **metric_value_kwargs)


def _table(execution_engine: Any, domain: Any) -> pd.DataFrame:
    table: pd.DataFrame = execution_engine.get_compute_domain(domain, domain_type="table")[0]
    return table


NOTHING = {"nothing_to_measure": True}  # in a result's details: no group is large enough, which is neither good nor bad


def _judged(value: float | None, *, at_least: float | None = None, at_most: float | None = None) -> dict[str, Any]:
    if value is None:
        return {"success": False, "result": {"observed_value": None, "details": NOTHING}}
    holds = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
    return {"success": bool(holds), "result": {"observed_value": value}}


class ExpectAgreementToBeAtLeast(BatchExpectation):  # type: ignore[misc]
    """column: the answers; columns: slices, [] for all rows at once; min_n: examples with two answers that a group needs."""

    column: str
    columns: Any = None
    min_n: int
    min_value: float
    metric_dependencies: ClassVar[tuple[str, ...]] = ("table.lowest_agreement",)
    success_keys: ClassVar[tuple[str, ...]] = ("column", "columns", "min_n", "min_value")

    def _validate(self, metrics: dict[str, Any], runtime_configuration: Any = None, execution_engine: Any = None) -> Any:
        return _judged(metrics["table.lowest_agreement"], at_least=self.min_value)


class ExpectFlaggedShareToBeAtMost(BatchExpectation):  # type: ignore[misc]
    """column: true where a check doubts the row."""

    column: str
    max_value: float
    metric_dependencies: ClassVar[tuple[str, ...]] = ("table.flagged_share",)
    success_keys: ClassVar[tuple[str, ...]] = ("column", "max_value")

    def _validate(self, metrics: dict[str, Any], runtime_configuration: Any = None, execution_engine: Any = None) -> Any:
        return _judged(metrics["table.flagged_share"], at_most=self.max_value)


class ExpectLeakageToBeAtMost(BatchExpectation):  # type: ignore[misc]
    """column_list: the columns of the text, the split and the verdict, in this order."""

    column_list: Any
    max_value: int
    metric_dependencies: ClassVar[tuple[str, ...]] = ("table.leaks",)
    success_keys: ClassVar[tuple[str, ...]] = ("column_list", "max_value")

    def _validate(self, metrics: dict[str, Any], runtime_configuration: Any = None, execution_engine: Any = None) -> Any:
        return _judged(metrics["table.leaks"], at_most=self.max_value)


class ExpectSliceAssociationToBeAtMost(BatchExpectation):  # type: ignore[misc]
    """column: the label; columns: slices."""

    column: str
    columns: Any
    max_value: float
    metric_dependencies: ClassVar[tuple[str, ...]] = ("table.strongest_association",)
    success_keys: ClassVar[tuple[str, ...]] = ("column", "columns", "max_value")

    def _validate(self, metrics: dict[str, Any], runtime_configuration: Any = None, execution_engine: Any = None) -> Any:
        return _judged(metrics["table.strongest_association"], at_most=self.max_value)


class ExpectKeptRatioToBeAtLeast(BatchExpectation):  # type: ignore[misc]
    """column: the verdict; columns: slices; min_n: rows that a group and the rest need."""

    column: str
    columns: Any
    min_n: int
    min_value: float
    metric_dependencies: ClassVar[tuple[str, ...]] = ("table.worst_kept_ratio",)
    success_keys: ClassVar[tuple[str, ...]] = ("column", "columns", "min_n", "min_value")

    def _validate(self, metrics: dict[str, Any], runtime_configuration: Any = None, execution_engine: Any = None) -> Any:
        return _judged(metrics["table.worst_kept_ratio"], at_least=self.min_value)
