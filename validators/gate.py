"""The gate: suites of expectations on tables, run by Great Expectations. Open only if every single one passed.

A suite is a YAML file in `expectations/`, named after the table it is about. Great Expectations can be silent where a gate must
not be: it drops an expectation whose type it does not know, passes everything on an empty table, looks over empty cells,
and finds column `a` where only `A` exists. Each of these closes the gate here, and so does any error.
"""

from __future__ import annotations

import logging
import math
import numbers
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from pipeline.errors import ConfigError
from pipeline.types import Gate

SHIPPED = Path(__file__).parent / "expectations"
# With pandas 3 these fail or pass by the spelling of the type, not by what the column holds.
UNRELIABLE = {"expect_column_values_to_be_of_type", "expect_column_values_to_be_in_type_list"}
# Those of own_expectations.py, which say themselves what an empty cell means: no group, or a row that is not kept.
OWN = {
    "expect_agreement_to_be_at_least", "expect_flagged_share_to_be_at_most", "expect_leakage_to_be_at_most",
    "expect_slice_association_to_be_at_most", "expect_kept_ratio_to_be_at_least",
}  # fmt: skip
# Columns of `findings` that no suite of a project can leave out: a crash is no result, and `block` is the project's own word.
ALWAYS = ("crashed_checks", "blocking_findings")
Item = dict[str, Any]


def evaluate_gate(
    tables: Mapping[str, pd.DataFrame], *, suites: Path | None = None, parameters: Mapping[str, Any] | None = None
) -> Gate:
    """One item per expectation: table, expectation, column, observed, allowed, passed, meaning. No cell's value is in it.

    tables: name → table; each needs a suite of that name, and each suite a table. suites: a project's own folder, whose files
    replace the shipped ones by name. parameters: what a suite refers to as `{$PARAMETER: name}`. An expectation with
    `optional: true` in its `meta` passes, and says that nothing was measured, where its column is absent or
    empty or its parameter is not given. ConfigError if the folder does not exist.
    """
    files = _files(suites)
    given = {name: list(value) if isinstance(value, tuple) else value for name, value in (parameters or {}).items()}
    items: list[Item] = []
    for name in sorted({*files, *tables}):
        if name not in tables:
            items.append(_closed(name, f"there is no table for the suite {files[name].name}"))
        elif name not in files:
            items.append(_closed(name, "no suite says what must hold for this table"))
        else:
            items += _evaluate(name, files[name], tables[name], given)
    return Gate("version", bool(items) and all(item["passed"] for item in items), items)


def _files(suites: Path | None) -> dict[str, Path]:
    if suites is not None and not suites.is_dir():
        raise ConfigError(f"{suites} is no folder: make it, or take `expectations` out of project.yaml.")
    folders = [SHIPPED] if suites is None else [SHIPPED, suites]
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.yaml"))}


def _closed(table: str, why: str) -> Item:
    meaning = "The gate itself could be evaluated."
    return _item(table, "evaluate_gate", "", observed=why, allowed="no problem", passed=False, meaning=meaning)


def _item(table: str, expectation: str, column: str, **rest: Any) -> Item:
    return {"table": table, "expectation": expectation, "column": column, **rest}


def _evaluate(name: str, file: Path, table: pd.DataFrame, parameters: dict[str, Any]) -> list[Item]:
    try:
        entries = _entries(file)
        entries += _always(file, entries, table)
        _require_rows_and_columns(table)
        early = {number: found for number, entry in enumerate(entries) if (found := _early(entry, table, parameters))}
        asked = {number: entry for number, entry in enumerate(entries) if number not in early}
        results = _checkpoint(name, asked, table, parameters) if asked else {}
        judged = early | {number: _judge(asked[number], result, table) for number, result in results.items()}
        if sorted(judged) != list(range(len(entries))):
            raise _Broken(f"only {len(judged)} of {len(entries)} expectations were answered")
    except _Broken as error:
        return [_closed(name, f"{file.name}: {error}")]
    except Exception as error:  # noqa: BLE001 whatever breaks inside Great Expectations closes the gate
        return [_closed(name, f"{file.name}: Great Expectations broke off with {type(error).__name__}")]
    return [_shown(name, entry, parameters, *judged[number]) for number, entry in enumerate(entries)]


class _Broken(ValueError):
    """What closes the gate, in one sentence without any cell's value."""


def _entries(file: Path) -> list[dict[str, Any]]:
    try:
        suite = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise _Broken("it is not YAML") from error
    entries = suite.get("expectations") if isinstance(suite, dict) else None
    if not isinstance(entries, list) or not entries:
        raise _Broken("it lists no `expectations`")
    for number, entry in enumerate(entries, start=1):
        meta = entry.get("meta") if isinstance(entry, dict) else None
        if not isinstance(meta, dict) or not meta.get("meaning") or not isinstance(entry.get("kwargs"), dict):
            raise _Broken(f"expectation {number} needs `type`, `kwargs` and `meta: {{meaning: one sentence}}`")
        if entry.get("type") in UNRELIABLE:
            raise _Broken(f"{entry['type']} gives wrong answers on pandas 3: check the values, not the column's type")
    return entries


def _always(file: Path, entries: list[dict[str, Any]], table: pd.DataFrame) -> list[dict[str, Any]]:
    """Shipped expectations on columns of ALWAYS that the file does not name, where there is something to tell."""
    shipped = SHIPPED / file.name
    if file == shipped or not shipped.is_file():
        return []
    named = {column for entry in entries for column in _columns(entry["kwargs"])}
    wanted = {column for column in ALWAYS if column in table.columns and (table[column] > 0).any()} - named
    return [entry for entry in _entries(shipped) if set(_columns(entry["kwargs"])) & wanted]


def _require_rows_and_columns(table: pd.DataFrame) -> None:
    if not len(table):
        raise _Broken("the table is empty, and an empty table passes everything")
    twins = [name for name, count in Counter(str(column).lower() for column in table.columns).items() if count > 1]
    if twins:
        raise _Broken(f"columns differ in nothing but case: {', '.join(sorted(twins))}")


def _early(entry: dict[str, Any], table: pd.DataFrame, parameters: dict[str, Any]) -> tuple[Any, bool] | None:
    """(observed, passed) where Great Expectations need not be asked, or would not see the problem."""
    kwargs, optional = entry["kwargs"], entry["meta"].get("optional") is True
    missing = [column for column in _columns(kwargs) if column not in table.columns]
    wanted = [value["$PARAMETER"] for value in kwargs.values() if isinstance(value, dict) and "$PARAMETER" in value]
    ungiven = [name for name in wanted if parameters.get(name) in (None, [], ())]
    if optional and (missing or ungiven or any(table[column].isna().all() for column in _columns(kwargs))):
        return "not measured", True
    if missing:
        return f"the table has no column {', '.join(missing)}", False
    return (f"{', '.join(ungiven)} was not given", False) if ungiven else None


def _columns(kwargs: Mapping[str, Any]) -> list[str]:
    named = [kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs]
    return [str(name) for name in (*named, *kwargs.get("column_list", ()))]


def _checkpoint(
    name: str, entries: dict[int, dict[str, Any]], table: pd.DataFrame, parameters: dict[str, Any]
) -> dict[int, Any]:
    """Entry number → Great Expectations' result."""
    with _quiet():
        import great_expectations as gx

        import validators.own_expectations  # noqa: F401 to import them is to make them known

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        suite = context.suites.add(_suite(name, entries))
        asset = context.data_sources.add_pandas("tables").add_dataframe_asset(name)
        definition = gx.ValidationDefinition(
            name=name, data=asset.add_batch_definition_whole_dataframe("whole"), suite=suite
        )
        checkpoint = context.checkpoints.add(
            gx.Checkpoint(
                name=name,
                validation_definitions=[context.validation_definitions.add(definition)],
                actions=[],
                result_format="SUMMARY",
            )
        )
        run = checkpoint.run(batch_parameters={"dataframe": table}, expectation_parameters=parameters or None)
        results = [result for part in run.run_results.values() for result in part.results]
    return {result.expectation_config.meta["number"]: result for result in results}


def _suite(name: str, entries: dict[int, dict[str, Any]]) -> Any:
    import great_expectations as gx

    numbered = [{**entry, "meta": {**entry["meta"], "number": number}} for number, entry in entries.items()]
    try:
        suite = gx.ExpectationSuite(name=name, expectations=[dict(entry) for entry in numbered])
    except Exception as error:  # its own kinds and pydantic's; no table is loaded yet, so nothing of one can be in the message
        raise _Broken(f"Great Expectations does not take it: {' '.join(str(error).split())[:300]}") from error
    _require_complete(suite.expectations, numbered)
    return suite


def _require_complete(loaded: list[Any], entries: list[dict[str, Any]]) -> None:
    """Nothing was dropped or changed on loading, and nothing hangs on a default of Great Expectations'."""
    got = {item.meta["number"]: item for item in loaded}
    unknown = sorted({str(entry.get("type")) for entry in entries if entry["meta"]["number"] not in got})
    if unknown:
        raise _Broken(f"Great Expectations does not take {', '.join(unknown)}")
    for entry in entries:
        item, kind = got[entry["meta"]["number"]], entry["type"]
        written = {key for key, value in entry["kwargs"].items() if value is not None and value != []}
        keys = set(item.success_keys)
        if item.expectation_type != kind:
            raise _Broken(f"{kind} was loaded as {item.expectation_type}")
        bounds = keys - {"mostly", "strict_min", "strict_max"}
        if bounds and not bounds & written:
            raise _Broken(f"{kind} allows anything: write at least one of {', '.join(sorted(bounds))}")
        for key in sorted(keys):
            value = getattr(item, key)
            if key in written and value != entry["kwargs"][key]:
                raise _Broken(f"{kind} was loaded with another {key}")
            neutral = value is None or value is False or (key == "mostly" and value == 1)
            if key not in written and not neutral:
                raise _Broken(f"{kind} would take {key} from Great Expectations' defaults: write it out")


@contextmanager
def _quiet() -> Iterator[None]:
    """Great Expectations logs what we report ourselves, with tracebacks, from loggers that set their own level on import."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _judge(entry: dict[str, Any], result: Any, table: pd.DataFrame) -> tuple[Any, bool]:
    """(observed, passed): a pass counts only if rows were looked at and none of the cells was empty."""
    found, passed = dict(result.result), result.success is True
    if "element_count" in found:
        rows, empty = int(found["element_count"]), int(found.get("missing_count") or 0)
        wrong = int(found.get("unexpected_count") or 0)
        if not rows:
            return "no row to look at", False
        if empty and not entry["type"].endswith("_null"):
            return f"{empty:,} of {rows:,} cells are empty", False
        return f"{rows - wrong:,} of {rows:,} rows", passed
    value = found.get("observed_value")
    if value is None and found.get("details") == {"nothing_to_measure": True}:
        return "not measured", entry["meta"].get("optional") is True
    if entry["type"] not in OWN and any(table[column].isna().any() for column in _columns(entry["kwargs"])):
        return "some cells are empty", False
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(number := float(value)):
        return (int(number) if number.is_integer() else number), passed
    # Anything but a number may be a cell's value; a result without one is a failure inside.
    return ("it holds" if passed else "it does not hold, or could not be evaluated"), passed


def _shown(table: str, entry: dict[str, Any], parameters: dict[str, Any], observed: Any, passed: bool) -> Item:
    column = ", ".join(_columns(entry["kwargs"]))
    rest = {"observed": observed, "allowed": _allowed(entry, parameters), "passed": passed}
    return _item(table, entry["type"], column, **rest, meaning=entry["meta"]["meaning"])


def _allowed(entry: dict[str, Any], parameters: dict[str, Any]) -> str:
    kwargs = {
        key: parameters.get(value["$PARAMETER"], "?") if isinstance(value, dict) and "$PARAMETER" in value else value
        for key, value in entry["kwargs"].items()
    }
    low, high, values = kwargs.get("min_value"), kwargs.get("max_value"), kwargs.get("value_set")
    said = []
    if low is not None and low == high:
        said.append(f"{low}")
    elif low is not None or high is not None:
        said.append(" and ".join([f"at least {low}"] * (low is not None) + [f"at most {high}"] * (high is not None)))
    if isinstance(values, (list, tuple)):
        more = f", … ({len(values)} in all)" if len(values) > 8 else ""
        said.append("one of " + ", ".join(str(value) for value in values[:8]) + more)
    if "regex" in kwargs:
        said.append(f"text that matches {kwargs['regex']}")
    share = kwargs.get("mostly")
    if isinstance(share, (int, float)):
        said.append("in all rows" if share == 1 else f"in at least {share:.0%} of the rows")
    return ", ".join(said) or "as the expectation says"
