"""`assay trace`: from an example to every click, finding, version and adapter that it touched."""

from __future__ import annotations

from typing import Any

import orjson
import pandas as pd

from flows.place import Place
from flows.stages.checking import check_run
from pipeline.errors import Missing
from pipeline.versions import commit


def trace(place: Place, example: int) -> dict[str, Any]:
    """The newest check run's view of an example, and its fate in every version. Missing if no check run knows it."""
    run = check_run(place)
    folder = place.store.folder("checks", run["check_id"])
    tables = {
        name: pd.read_parquet(folder / f"{name}.parquet")
        for name in ("examples", "annotations", "annotators", "consensus", "verdicts", "findings")
    }
    names = dict(zip(tables["annotators"]["annotator"], tables["annotators"]["name"], strict=True))
    found = tables["examples"][tables["examples"]["example_id"] == example]
    if found.empty:
        raise Missing(f"Example {example} is not in check {run['check_id']}: ids are Label Studio's task ids.")
    findings = tables["findings"]
    findings = findings[(findings["subject"] == "example") & (findings["subject_id"] == str(example))]
    return {
        "example_id": example,
        "data": orjson.loads(found.iloc[0]["data"]),
        "split": found.iloc[0]["split"],
        "group": found.iloc[0]["group"],
        "annotations": [
            {**one, "name": names.get(one["annotator"], one["annotator"])}
            for one in _records(tables["annotations"], example, "answer")
        ],
        "consensus": _records(tables["consensus"], example, "answer"),
        "findings": orjson.loads(findings[["check", "severity", "flagged", "reason"]].to_json(orient="records")),
        "verdict": _records(tables["verdicts"], example, "reasons"),
        "versions": _versions(place, example),
        "check_id": run["check_id"],
    }


def _records(table: pd.DataFrame, example: int, parsed: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = orjson.loads(table[table["example_id"] == example].to_json(orient="records"))
    return [{**row, parsed: orjson.loads(row[parsed]) if row[parsed] else None} for row in rows]


def _versions(place: Place, example: int) -> list[dict[str, Any]]:
    """Each version that holds the example, with the adapters trained on it there."""
    trained: dict[str, list[tuple[str, str]]] = {}  # version → adapters and which labels they were trained on
    for file in sorted((place.store.root / "adapters").glob("*/adapter.json")):
        facts = orjson.loads(file.read_bytes())
        trained.setdefault(facts["version"], []).append((file.parent.name, facts["labels_from"]))
    rows = []
    for entry in place.store.entries(commit.LOG):
        version = commit.read(place.store, place.store.read(entry)["id"])
        mine = version.rows[version.rows["example_id"] == example]
        if not mine.empty:
            row = mine.iloc[0]
            # Training on the uncleaned labels takes what the checks doubt, too.
            seen = {"uncleaned", "cleaned"} if row["verdict"] == "keep" else {"uncleaned"}
            seen = seen if row["split"] in ("train", "validation") else set()
            adapters = [adapter for adapter, labels in trained.get(version.id, []) if labels in seen]
            rows.append(
                {
                    "version": version.id, "number": version.number, "split": row["split"], "verdict": row["verdict"],
                    "answer": orjson.loads(row["answer"]), "adapters": adapters,
                }
            )  # fmt: skip
    return rows
