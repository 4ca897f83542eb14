"""check and decide: findings, verdicts, gate, and the quality report."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from flows import summary
from flows.gate_tables import ANY, gate_tables
from flows.place import Place
from flows.stages.agreeing import frame_digest
from flows.stages.evidence import answered, corpus, people, suggestions
from pipeline.errors import GateClosed, Missing
from pipeline.store import code_digest, digest, replace_file, write_json

CODE = ("validators", "pipeline/bias", "pipeline/consensus", "pipeline/evidence", "pipeline/tasks", "pipeline/statistics.py")
DECIDING = (
    *CODE, "pipeline/policy.py", "pipeline/fixes.py", "pipeline/removal.py", "pipeline/report", "flows/summary.py",
    "flows/gate_tables.py",
)  # fmt: skip
CHECK_LOG = "check-log"
OUTPUTS = ("report.html", "report.json", "summary.json")


def check(
    place: Place, consensus_key: str, evidence_key: str, progress: Callable[[str], None] = lambda name: None
) -> str:
    """Ask every check; a crash is an outcome, never an empty result."""
    from validators.check import run, settings_for, table

    settings = settings_for(place.project.checks)
    shown = suggestions(place, answered(place.store.folder("consensus", consensus_key)))
    known = [frame_digest(table) for table in (people(place, _users(place, consensus_key)), shown)]
    asked = [place.project.seed, place.slices, _models(settings)]
    key = digest("findings", consensus_key, evidence_key, settings, known, asked, code_digest(*CODE))

    def write(folder: Path) -> None:
        outcomes = run(corpus(place, consensus_key, evidence_key), settings, progress)
        table(outcomes).to_parquet(folder / "findings.parquet", index=False)
        (folder / "outcomes.json").write_bytes(
            orjson.dumps([item.as_dict() for item in outcomes], option=orjson.OPT_SERIALIZE_NUMPY)
        )

    place.store.publish("findings", key, write)
    return key


def _models(settings: dict[str, dict[str, Any]]) -> list[str]:
    """The revisions of the models that checks are set to ask: a folder may hold another one under the same name."""
    from pipeline.evidence.encoder import encoder_revision

    named = [values["model"] for values in settings.values() if isinstance(values.get("model"), str) and values["model"]]
    return [encoder_revision(name) for name in named]


def decide(place: Place, consensus_key: str, evidence_key: str, findings_key: str) -> str:
    """Verdicts, gate, tables and the quality report: the check run, by whose id a version is released."""
    from pipeline import policy
    from validators.check import subjects

    action = policy.actions(place.project.policy, subjects())
    suites = _suites(place)
    planted = _planted(place)
    suite_text = [(file.name, file.read_text()) for file in sorted(suites.glob("*.yaml"))] if suites else []
    server = place.project.label_studio
    where = [server.url, server.project] if server else []
    head = [place.project.name, place.project.template, str(place.project.source), where, place.slices]
    key = digest("check", consensus_key, findings_key, action, suite_text, planted, head, code_digest(*DECIDING))[:16]

    def write(folder: Path) -> dict[str, Any]:
        return _write_check(place, folder, key, consensus_key, findings_key, action, suites, planted, evidence_key)

    place.store.publish("checks", key, write)
    newest = place.store.head(CHECK_LOG)
    if not newest or newest["check"] != key:
        place.store.append(
            CHECK_LOG, {"check": key, "consensus": consensus_key}, after=newest["number"] if newest else 0
        )
    _show(place, key)
    return key


def _write_check(
    place: Place,
    folder: Path,
    key: str,
    consensus_key: str,
    findings_key: str,
    action: dict[str, str],
    suites: Path | None,
    planted: dict[str, Any] | None,
    evidence_key: str,
) -> dict[str, Any]:
    import pandas as pd

    from pipeline import fixes
    from pipeline.policy import decide as verdicts_of
    from pipeline.report import quality
    from validators.gate import evaluate_gate

    tables = place.store.folder("consensus", consensus_key)
    for file in tables.glob("*.parquet"):
        shutil.copyfile(file, folder / file.name)
    found = place.store.folder("findings", findings_key)
    run = summary.load(tables, found)
    looked = pd.read_parquet(folder / "reviewed.parquet")
    verdicts = verdicts_of(run.examples, run.consensus, run.findings, action, looked)
    verdicts.to_parquet(folder / "verdicts.parquet", index=False)
    fixes.apply(run.examples, verdicts).to_parquet(folder / "examples.parquet", index=False)
    run = summary.with_removal(run, verdicts, place.slices)
    run.findings.to_parquet(folder / "findings.parquet", index=False)
    gate = evaluate_gate(
        gate_tables(run, verdicts, action, place.slices),
        suites=suites,
        parameters={"labels": run.labels or [ANY], "slices": list(place.slices)},
    )
    body = summary.build(
        run, verdicts, gate, check_id=key, action=action, planted=planted, slices=place.slices,
        project={
            "name": place.project.name, "template": place.project.template, "task": place.template.task,
            "source": _source(place),
            "source_ref": run.source,
        },
    )  # fmt: skip
    write_json(folder / "summary.json", body)
    write_json(folder / "report.json", body)
    (folder / "report.html").write_text(quality(folder), encoding="utf-8")
    return {"gate_open": gate.open, "consensus": consensus_key, "evidence": evidence_key, "findings": findings_key}


def _source(place: Place) -> str:
    """Where the annotations come from, in words."""
    asked = place.project.label_studio
    if place.project.source is None and asked is not None:
        return f"Label Studio project {asked.project} at {asked.url}"
    return str(place.project.source)


def _users(place: Place, consensus_key: str) -> dict[str, str]:
    facts = orjson.loads((place.store.folder("consensus", consensus_key) / "facts.json").read_bytes())
    return dict(facts["users"])


def _suites(place: Place) -> Path | None:
    return place.folder / place.project.expectations if place.project.expectations else None


def _planted(place: Place) -> dict[str, Any] | None:
    """What the demo's generator planted, if this is the demo."""
    file = place.folder / "planted.json"
    return orjson.loads(file.read_bytes()) if file.is_file() else None


def _show(place: Place, check_id: str) -> None:
    """Put the newest check run's tables and report into the project folder, the summary last."""
    made = place.store.folder("checks", check_id)
    for file in sorted(made.glob("*.parquet")):
        replace_file(file, place.folder / file.name)
    for name in OUTPUTS:
        replace_file(made / name, place.folder / name)


def check_run(place: Place, check_id: str | None = None) -> dict[str, Any]:
    """summary.json of a check run, the newest by default."""
    if check_id is None:
        newest = place.store.head(CHECK_LOG)
        if newest is None:
            raise Missing("Nothing was checked yet: run `assay check` first.")
        check_id = str(newest["check"])
    body: dict[str, Any] = orjson.loads((place.store.folder("checks", check_id) / "summary.json").read_bytes())
    return body


def require_open(run: dict[str, Any]) -> None:
    gate = run["gate"]
    if not gate["open"]:
        blocking = [item for item in gate["expectations"] if not item["passed"]]
        said = "; ".join(
            f"{item['meaning']} (observed {item['observed']}, allowed {item['allowed']})" for item in blocking
        )
        raise GateClosed(f"The gate is closed, so nothing goes on from check {run['check_id']}: {said}.")
