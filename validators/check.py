"""The contract of a check, and the loop that runs them.

A check is a function from a corpus to a `Report`, marked with `@check`. It lives in a file of its own in this folder and is
found by listing it. Its keyword arguments are its settings in `project.yaml` under `checks: {<name>: {...}}`.

    @check("exact_duplicates", "Which examples say the same thing twice?", subject="example")
    def exact_duplicates(corpus: Corpus, *, ignore_case: bool = True) -> Report: ...

A check *says*; it never drops or edits a row. It raises `Skip("why")` where its question makes no sense. Whatever else
it raises makes it *crashed*, which closes the gate: a crashed check never looks like a clean data set.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import ValidationError, create_model

from pipeline.errors import CheckError, unknown
from pipeline.types import FINDING_COLUMNS, SUBJECTS, Corpus

Status = Literal["passed", "flagged", "skipped", "crashed"]
NOT_CHECKS = {"check", "gate", "own_expectations"}


class Skip(Exception):
    """The question makes no sense for this corpus; the message says why."""


def require_classes(corpus: Corpus) -> None:
    """Skip where an answer is not one of a few labels: spans, sets, written answers, ratings."""
    if not corpus.labels:
        raise Skip("The answers of this kind of work are not one of a few labels.")


@dataclass(frozen=True)
class Report:
    """What a check says.

    findings: FINDING_COLUMNS without `check` and `subject`. A ranking check lists every subject it could judge, with a
        severity in [0, 1] (1 is worst); `flagged` marks those it would act on.
    facts: JSON-able numbers and tables for the report, such as rates with intervals.
    """

    findings: pd.DataFrame
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    name: str
    question: str
    subject: str
    run: Callable[..., Report]

    @property
    def settings(self) -> dict[str, Any]:
        """Setting -> default, from the function's keyword arguments."""
        parameters = inspect.signature(self.run).parameters.values()
        return {item.name: item.default for item in parameters if item.kind is item.KEYWORD_ONLY}


@dataclass(frozen=True)
class Outcome:
    """How one check ended. `reason` is empty unless it was skipped or crashed."""

    check: str
    question: str
    status: Status
    reason: str
    judged: int  # subjects with a finding row
    flagged: int
    seconds: float
    settings: dict[str, Any]
    facts: dict[str, Any]
    findings: pd.DataFrame

    def as_dict(self) -> dict[str, Any]:
        names = ("check", "question", "status", "reason", "judged", "flagged", "seconds", "settings", "facts")
        return {name: getattr(self, name) for name in names}


def check(name: str, question: str, *, subject: str) -> Callable[[Callable[..., Report]], Check]:
    """Mark a function as a check. `name` is stable: other programs read it."""
    assert subject in SUBJECTS, subject

    def mark(run: Callable[..., Report]) -> Check:
        return Check(name, question, subject, run)

    return mark


def findings(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows with subject_id, severity, flagged, reason, suggestion (JSON or "") as a table, worst first."""
    columns = [name for name in FINDING_COLUMNS if name not in ("check", "subject")]
    table = pd.DataFrame(list(rows), columns=columns)
    table = table.astype(
        {"subject_id": "str", "severity": "float64", "flagged": "bool", "reason": "str", "suggestion": "str"}
    )
    return table.sort_values(["severity", "subject_id"], ascending=[False, True], ignore_index=True)


@cache
def all_checks() -> dict[str, Check]:
    """Every check of this folder, by name."""
    found: dict[str, Check] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.ispkg or module.name in NOT_CHECKS:
            continue
        for item in vars(importlib.import_module(f"validators.{module.name}")).values():
            if isinstance(item, Check):
                found[item.name] = item
    return dict(sorted(found.items()))


def subjects() -> dict[str, str]:
    """Check name → what its findings are about: what the policy needs to know of it."""
    return {name: item.subject for name, item in all_checks().items()}


def settings_for(
    configured: Mapping[str, Mapping[str, Any] | bool], where: str = "project.yaml"
) -> dict[str, dict[str, Any]]:
    """Check name -> settings, defaults filled in, for every check that is switched on.

    `configured` is the `checks` section: a mapping of settings, or `false` to switch a check off. CheckError names the
    file, the key and the known keys.
    """
    known = all_checks()
    for name, given in configured.items():
        if name not in known:
            raise CheckError(f"{where}: checks: {unknown('check', name, known)}")
        if isinstance(given, Mapping):
            _validate(known[name], given, f"{where}: checks.{name}")
    return {
        name: {**item.settings, **(given if isinstance(given, Mapping) else {})}
        for name, item in known.items()
        if (given := configured.get(name, True)) is not False
    }


def _validate(item: Check, given: Mapping[str, Any], where: str) -> None:
    for key in given:
        if key not in item.settings:
            raise CheckError(f"{where}: {unknown('setting', key, item.settings)}")
    hints = inspect.get_annotations(item.run, eval_str=True)
    fields: dict[str, Any] = {key: (hints[key], default) for key, default in item.settings.items()}
    try:
        create_model(item.name, **fields).model_validate(dict(given), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckError(f"{where}.{first['loc'][0]}: {first['msg']}, not {first['input']!r}.") from error


def run(
    corpus: Corpus, settings: Mapping[str, Mapping[str, Any]], progress: Callable[[str], None] = lambda name: None
) -> list[Outcome]:
    """Ask every check named in `settings`, in name order."""
    outcomes = []
    for name in sorted(settings):
        progress(name)
        outcomes.append(_ask(all_checks()[name], corpus, dict(settings[name])))
    return outcomes


def _ask(item: Check, corpus: Corpus, settings: dict[str, Any]) -> Outcome:
    start = time.perf_counter()
    status: Status = "passed"
    reason, report = "", Report(findings([]))
    try:
        report = _complete(item, item.run(corpus, **settings))
        status = "flagged" if bool(report.findings["flagged"].any()) else "passed"
    except Skip as skip:
        status, reason = "skipped", str(skip)
    except CheckError:
        raise  # a setting that cannot be: project.yaml has to be mended, whatever the data say
    except Exception as error:  # noqa: BLE001 a crash is an outcome: it closes the gate, and its place is kept
        last = traceback.extract_tb(error.__traceback__)[-1]
        status, reason = "crashed", f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
    return Outcome(
        check=item.name,
        question=item.question,
        status=status,
        reason=reason,
        judged=len(report.findings),
        flagged=int(report.findings["flagged"].sum()),
        seconds=round(time.perf_counter() - start, 3),
        settings=settings,
        facts=report.facts,
        findings=report.findings,
    )


def _complete(item: Check, report: Report) -> Report:
    """Refuse what breaks the contract, and add the check's name and subject."""
    table = report.findings
    if not table["severity"].between(0, 1).all():
        raise ValueError("a severity outside [0, 1]")
    if (table["flagged"] & (table["reason"] == "")).any():
        raise ValueError("a flagged finding without a reason")
    table = table.assign(check=item.name, subject=item.subject)
    return Report(table[list(FINDING_COLUMNS)], report.facts)


def table(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """All findings in one table: FINDING_COLUMNS."""
    parts = [item.findings for item in outcomes if len(item.findings)]
    if not parts:
        return findings([]).assign(check="", subject="")[list(FINDING_COLUMNS)]
    return pd.concat(parts, ignore_index=True)
