"""The gate is closed by every broken expectation, and by everything that Great Expectations would be silent about."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.types import Gate
from validators import gate as gate_module
from validators.gate import SHIPPED, evaluate_gate

LABELS = ["refund", "delivery"]
SECRET = "jane.doe@example.org"
WORDS = ("boots", "a lamp", "two chairs", "the invoice", "my order", "garden tools", "delivery", "paint", "curtains", "rugs")
Change = Callable[[dict[str, pd.DataFrame]], object]


def good() -> dict[str, pd.DataFrame]:
    n = 100
    examples = pd.DataFrame(
        {
            "example_id": np.arange(n),
            "text": [f"message {i} about {WORDS[i % 10]} and {WORDS[i // 10]}" for i in range(n)],
            "split": ["train", "validation", "test", "train"] * 25,
            "answer": ['"refund"', '"delivery"'] * 50,
            "label": ["refund", "delivery"] * 50,
            "verdict": ["keep"] * 90 + ["drop"] * 5 + ["relabel"] * 5,
            "doubted": [False] * 95 + [True] * 5,
            "region": ["north", "north", "south", "south"] * 25,
        }
    )
    annotations = pd.DataFrame(
        {
            "annotation_id": np.arange(2 * n),
            "example_id": np.repeat(np.arange(n), 2),
            "annotator": ["anna", "ben"] * n,
            "answer": np.repeat(examples["answer"].to_numpy(), 2),
            "label": np.repeat(examples["label"].to_numpy(), 2),
            "region": np.repeat(examples["region"].to_numpy(), 2),
        }
    )
    numbers = {
        "examples": n, "kept": 90, "kept_share": 0.9, "dropped_share": 0.05, "relabel_share": 0.05, "agreement": 0.7,
        "crashed_checks": 0, "blocking_findings": 0, "personal_data_kept": 0,
        "smallest_class_kept": 30, "test_examples": 30, "quarantined_share": 0.0,
    }  # fmt: skip
    return {"examples": examples, "annotations": annotations, "findings": pd.DataFrame([numbers])}


def ask(tables: dict[str, pd.DataFrame], **rest: Any) -> Gate:
    return evaluate_gate(tables, parameters={"labels": LABELS, "slices": ["region"]}, **rest)


def own(folder: Path, *expectations: dict[str, Any], name: str = "findings") -> Path:
    """A project's folder of suites with one suite in it."""
    entries = [{"meta": {"meaning": "It holds."}, **entry} for entry in expectations]
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, "expectations": entries}), encoding="utf-8")
    return folder


def blocking(found: Gate, table: str = "findings") -> list[dict[str, Any]]:
    assert not found.open
    return [item for item in found.blocking if item["table"] == table]


def test_good_tables_open_the_gate_and_every_expectation_is_listed() -> None:
    found = ask(good())
    assert found.open, found.blocking
    written = [yaml.safe_load(file.read_text())["expectations"] for file in sorted(SHIPPED.glob("*.yaml"))]
    assert [item["expectation"] for item in found.expectations] == [entry["type"] for suite in written for entry in suite]
    for item in found.expectations:
        assert list(item) == ["table", "expectation", "column", "observed", "allowed", "passed", "meaning"]
        assert item["meaning"].endswith(".")
    json.dumps(found.as_dict(), allow_nan=False)


def test_every_threshold_in_the_shipped_suites_carries_its_reason() -> None:
    for file in SHIPPED.glob("*.yaml"):
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.strip().startswith("kwargs:"):
                assert "# " in line, f"{file.name}: {line.strip()}"


def cells(table: str, column: str, value: Any, rows: slice = slice(0, 1)) -> Change:
    def change(tables: dict[str, pd.DataFrame]) -> None:
        tables[table][column] = tables[table][column].astype(object)
        tables[table].loc[tables[table].index[rows], column] = value
        tables[table][column] = tables[table][column].infer_objects()

    return change


def disagreeing(tables: dict[str, pd.DataFrame]) -> None:
    """In the north the second annotator says the opposite of the first."""
    rows = tables["annotations"]
    there = (rows["region"] == "north") & (rows["annotator"] == "ben")
    other = {"refund": "delivery", "delivery": "refund"}
    tables["annotations"] = rows.assign(label=rows["label"].where(~there, rows["label"].map(other)))


def removed(tables: dict[str, pd.DataFrame]) -> None:
    """Half of the north goes."""
    north = np.flatnonzero(tables["examples"]["region"] == "north")
    tables["examples"].loc[north[::2], "verdict"] = "relabel"


def given_away(tables: dict[str, pd.DataFrame]) -> None:
    tables["examples"]["region"] = tables["examples"]["label"].map({"refund": "north", "delivery": "south"})


BROKEN: dict[str, tuple[Change, str, str]] = {
    "an id twice": (cells("examples", "example_id", 7), "examples", "example_id"),
    "an id missing": (cells("examples", "example_id", None), "examples", "example_id"),
    "a kept example without answer": (cells("examples", "answer", None), "examples", "answer"),
    "a kept example with a label of another project": (cells("examples", "label", SECRET), "examples", "label"),
    "a kept example in no split": (cells("examples", "split", ""), "examples", "split"),
    "a kept example with an empty text": (cells("examples", "text", " \n"), "examples", "text"),
    "a verdict that does not exist": (cells("examples", "verdict", "maybe", slice(99, 100)), "examples", "verdict"),
    "too few examples": (lambda t: t.update(examples=t["examples"][:49]), "examples", ""),
    "a crashed check": (cells("findings", "crashed_checks", 1), "findings", "crashed_checks"),
    "a leak": (cells("examples", "text", "message 2 about two chairs and boots"), "examples", "text, split, verdict"),
    "a finding that blocks": (cells("findings", "blocking_findings", 1), "findings", "blocking_findings"),
    "somebody twice on an example": (cells("annotations", "annotator", "ben"), "annotations", "example_id, annotator"),
    "an annotation of nobody": (cells("annotations", "annotator", None), "annotations", "annotator"),
    "few annotations": (lambda t: t.update(annotations=t["annotations"][:49]), "annotations", ""),
    "a group that disagrees": (disagreeing, "annotations", "label"),
    "a slice that gives the label": (given_away, "examples", "label"),
    "a group that is removed": (removed, "examples", "verdict"),
    "personal data": (cells("findings", "personal_data_kept", 1), "findings", "personal_data_kept"),
    "little kept": (cells("findings", "kept_share", 0.49), "findings", "kept_share"),
    "agreement near chance": (cells("findings", "agreement", 0.1), "findings", "agreement"),
    "a class with four": (cells("findings", "smallest_class_kept", 4), "findings", "smallest_class_kept"),
    "a small test split": (cells("findings", "test_examples", 29), "findings", "test_examples"),
    "many unreadable": (cells("findings", "quarantined_share", 0.11), "findings", "quarantined_share"),
    "many doubts": (cells("examples", "doubted", True, slice(0, 34)), "examples", "doubted"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_each_fault_closes_the_gate_by_its_own_expectation(fault: str) -> None:
    change, table, column = BROKEN[fault]
    tables = good()
    change(tables)
    assert column in {item["column"] for item in blocking(ask(tables), table)}


def test_a_fault_in_a_dropped_example_does_not_close_the_gate() -> None:
    tables = good()
    for column, value in (("text", ""), ("answer", None), ("split", None), ("label", None)):
        cells("examples", column, value, slice(92, 93))(tables)
    assert ask(tables).open


def test_agreement_may_be_missing_and_is_then_listed_as_not_measured() -> None:
    for change in (lambda t: t.assign(agreement=np.nan), lambda t: t.drop(columns="agreement")):
        tables = good()
        found = ask({**tables, "findings": change(tables["findings"])})
        assert found.open
        assert [item["observed"] for item in found.expectations if item["column"] == "agreement"] == ["not measured"]


def test_no_other_number_of_the_summary_may_be_missing() -> None:
    columns = [name for name in good()["findings"].columns if name not in ("agreement", "examples")]
    for change in (lambda t: t.assign(**dict.fromkeys(columns, np.nan)), lambda t: t.drop(columns=columns)):
        tables = good()
        found = ask({**tables, "findings": change(tables["findings"])})
        assert {item["column"] for item in blocking(found)} == set(columns)


def test_no_cell_of_a_task_gets_into_the_gate() -> None:
    tables = good()
    for column in ("text", "answer", "label", "split"):
        cells("examples", column, f"{SECRET} ", slice(0, 3))(tables)
    tables["findings"] = tables["findings"].assign(kept=SECRET, kept_share=SECRET, test_examples=SECRET)
    found = ask(tables)
    assert not found.open
    assert SECRET not in json.dumps(found.as_dict())


# --- what Great Expectations is silent about -------------------------------------------------------------------------


def test_an_expectation_of_an_unknown_type_closes_the_gate(tmp_path: Path) -> None:
    suites = own(tmp_path, {"type": "expect_nope", "kwargs": {"column": "kept"}})
    assert "expect_nope" in blocking(ask(good(), suites=suites))[0]["observed"]


def test_an_expectation_with_an_unknown_key_closes_the_gate(tmp_path: Path) -> None:
    kwargs = {"column": "kept", "min_value": 1, "min_valeu": 2}
    suites = own(tmp_path, {"type": "expect_column_min_to_be_between", "kwargs": kwargs})
    assert "min_valeu" in blocking(ask(good(), suites=suites))[0]["observed"]


@pytest.mark.parametrize("table", ["examples", "findings"])
def test_an_empty_table_closes_the_gate(table: str) -> None:
    tables = good()
    tables[table] = tables[table][:0]
    assert "empty" in blocking(ask(tables), table)[0]["observed"]


def test_a_condition_that_selects_no_row_closes_the_gate(tmp_path: Path) -> None:
    kwargs = {"column": "text", "regex": ".", "row_condition": 'verdict=="kept"', "condition_parser": "pandas"}
    suites = own(tmp_path, {"type": "expect_column_values_to_match_regex", "kwargs": kwargs}, name="examples")
    assert blocking(ask(good(), suites=suites), "examples")[0]["observed"] == "no row to look at"


def test_a_column_is_not_found_under_another_case(tmp_path: Path) -> None:
    tables = good()
    tables["findings"] = tables["findings"].rename(columns={"test_examples": "Test_Examples"})
    assert "no column test_examples" in blocking(ask(tables))[0]["observed"]
    tables["findings"] = tables["findings"].assign(test_examples=5)
    assert "case" in blocking(ask(tables))[0]["observed"]


def test_a_missing_column_closes_the_gate_and_is_named() -> None:
    tables = good()
    found = ask({**tables, "examples": tables["examples"].drop(columns="split")})
    assert [item["observed"] for item in blocking(found, "examples")] == ["the table has no column split"] * 2


def test_empty_cells_are_not_looked_over(tmp_path: Path) -> None:
    tables = good()
    cells("examples", "split", None, slice(3, 5))(tables)
    assert blocking(ask(tables), "examples")[0]["observed"] == "2 of 90 cells are empty"
    entry = {"type": "expect_column_max_to_be_between", "kwargs": {"column": "size", "max_value": 9}}
    suites = own(tmp_path, entry, name="examples")
    tables["examples"] = tables["examples"].assign(size=[np.nan, *[1.0] * 99])
    assert blocking(ask(tables, suites=suites), "examples")[0]["observed"] == "some cells are empty"


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        ("expect_column_max_to_be_between", {"column": "leaked_examples"}),
        ("expect_column_max_to_be_between", {"column": "leaked_examples", "max_value": None}),
        ("expect_column_values_to_be_in_set", {"column": "kept", "value_set": []}),
        ("expect_table_row_count_to_be_between", {}),
    ],
)
def test_an_expectation_that_allows_anything_closes_the_gate(tmp_path: Path, kind: str, kwargs: dict[str, Any]) -> None:
    assert blocking(ask(good(), suites=own(tmp_path, {"type": kind, "kwargs": kwargs})))


def test_a_default_of_great_expectations_that_is_not_neutral_must_be_written_out(tmp_path: Path) -> None:
    import great_expectations.expectations as gxe

    kwargs = {"column": "kept", "min_value": 1}
    suites = own(tmp_path, {"type": "expect_column_min_to_be_between", "kwargs": kwargs})
    field = gxe.ExpectColumnMinToBeBetween.__fields__["strict_max"]
    assert ask(good(), suites=suites).open
    field.default = True  # what a new version of the library may bring
    try:
        assert "strict_max" in blocking(ask(good(), suites=suites))[0]["observed"]
    finally:
        field.default = False


def test_a_check_of_a_columns_type_closes_the_gate_because_pandas_3_answers_it_wrongly(tmp_path: Path) -> None:
    kwargs = {"column": "text", "type_list": ["str", "object", "string"]}
    suites = own(tmp_path, {"type": "expect_column_values_to_be_in_type_list", "kwargs": kwargs}, name="examples")
    assert "pandas 3" in blocking(ask(good(), suites=suites), "examples")[0]["observed"]


def test_an_error_inside_great_expectations_closes_the_gate_with_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    import great_expectations as gx

    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError(f"cannot convert {SECRET}")

    monkeypatch.setattr(gx, "Checkpoint", broken)
    found = ask(good())
    said = [item["observed"].split(": ", 1)[1] for item in found.blocking]
    assert said == ["Great Expectations broke off with RuntimeError"] * 3
    assert SECRET not in json.dumps(found.as_dict())


def test_a_result_that_does_not_come_back_closes_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    import great_expectations as gx

    whole = gx.Checkpoint.run

    def forgetful(self: Any, **rest: Any) -> Any:
        result = whole(self, **rest)
        for part in result.run_results.values():
            part.results.pop()
        return result

    monkeypatch.setattr(gx.Checkpoint, "run", forgetful)
    assert "only 11 of 12 expectations were answered" in blocking(ask(good()), "examples")[0]["observed"]


@pytest.mark.parametrize(
    "text", ["", "name: x", "expectations: []", "[1, 2]", "{", "expectations: [1]", "expectations: [{type: expect_x}]"]
)
def test_a_suite_that_is_none_closes_the_gate(tmp_path: Path, text: str) -> None:
    (tmp_path / "findings.yaml").write_text(text)
    assert "findings.yaml" in blocking(ask(good(), suites=tmp_path))[0]["observed"]


def test_a_table_without_suite_and_a_suite_without_table_close_the_gate() -> None:
    tables = good()
    assert blocking(ask({"examples": tables["examples"]}))
    assert blocking(ask({**tables, "adapters": tables["findings"]}), "adapters")
    assert not ask({}).open


# --- a project's own suites ------------------------------------------------------------------------------------------


def test_a_projects_own_suite_replaces_the_shipped_one_of_that_name(tmp_path: Path) -> None:
    suites = own(tmp_path, {"type": "expect_column_min_to_be_between", "kwargs": {"column": "kept", "min_value": 91}})
    found = ask(good(), suites=suites)
    rows = [item for item in found.expectations if item["table"] == "findings"]
    assert [(item["observed"], item["allowed"], item["passed"]) for item in rows] == [(90, "at least 91", False)]
    assert sum(item["table"] == "examples" for item in found.expectations) > 5


def test_a_folder_of_suites_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        ask(good(), suites=tmp_path / "nowhere")


def test_a_parameter_that_is_not_given_closes_the_gate_unless_the_expectation_is_optional(tmp_path: Path) -> None:
    assert blocking(evaluate_gate(good()), "examples")[0]["observed"] == "labels was not given"
    kwargs = {"column": "label", "value_set": {"$PARAMETER": "labels"}}
    entry = {"type": "expect_column_values_to_be_in_set", "kwargs": kwargs, "meta": {"meaning": "x", "optional": True}}
    assert evaluate_gate(good(), suites=own(tmp_path, entry, name="examples")).open


def test_a_parameter_may_be_a_tuple() -> None:
    assert evaluate_gate(good(), parameters={"labels": tuple(LABELS)}).open
    assert not evaluate_gate(good(), parameters={"labels": ("refund",)}).open


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(["kept_share", "dropped_share", "relabel_share", "quarantined_share"]), st.floats(0, 1))
def test_the_gate_says_what_plain_arithmetic_says(column: str, value: float) -> None:
    bounds = {"kept_share": (0.5, 1), "dropped_share": (0, 0.3), "relabel_share": (0, 0.4), "quarantined_share": (0, 0.1)}
    tables = good()
    tables["findings"][column] = value
    low, high = bounds[column]
    assert ask(tables).open == (low <= value <= high)


def test_great_expectations_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    own(tmp_path, {"type": "expect_nope", "kwargs": {}})
    ask(good(), suites=tmp_path)
    ask(good())
    assert capfd.readouterr() == ("", "")
    assert [file.name for file in tmp_path.iterdir()] == ["findings.yaml"]
    assert gate_module.logging.getLogger("great_expectations").level == 0


@pytest.mark.parametrize("column", ["crashed_checks", "blocking_findings"])
def test_a_suite_of_ones_own_cannot_leave_out_crashes_and_what_blocks(tmp_path: Path, column: str) -> None:
    suites = own(tmp_path, {"type": "expect_column_min_to_be_between", "kwargs": {"column": "kept", "min_value": 1}})
    tables = good()
    assert ask(tables, suites=suites).open
    tables["findings"][column] = 1
    gate = ask(tables, suites=suites)
    assert not gate.open
    assert [item["column"] for item in blocking(gate)] == [column]
