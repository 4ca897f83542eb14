"""What a check run's folder holds, read only as far as the page shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from pipeline.errors import Damaged, Missing
from pipeline.policy import urgency
from pipeline.report.render import answer

# Rows shown in one section; the Parquet file beside the page holds the rest.
QUEUE, LISTED = 10, 20
SAID_SHOWN = 8  # annotators side by side under one example


@dataclass(frozen=True)
class Run:
    """flagged: findings a check would act on, worst first. private: examples whose text is not to be shown."""

    folder: Path
    summary: dict[str, Any]
    flagged: pd.DataFrame
    verdicts: pd.DataFrame  # relabel and drop only, most doubtful first
    annotators: pd.DataFrame
    quarantine: pd.DataFrame
    private: frozenset[str]
    names: dict[str, str]  # annotator id -> the name to show


def load(folder: Path) -> Run:
    """Missing if a file is not there, Damaged if the summary is not JSON."""
    flagged, private = _findings(folder)
    annotators = table(folder, "annotators")
    return Run(
        folder=folder,
        summary=read_json(folder / "summary.json"),
        flagged=flagged,
        verdicts=_verdicts(folder),
        annotators=annotators,
        quarantine=table(folder, "quarantine"),
        private=private,
        names=_names(annotators),
    )


def _names(annotators: pd.DataFrame) -> dict[str, str]:
    """A bare number is no name: a reader could take it for a count."""
    pairs = zip(annotators["annotator"], annotators["name"], strict=True)
    named = {str(key): str(name) if name == name and name else str(key) for key, name in pairs}
    return {key: f"Annotator {name}" if _is_number(name) else name for key, name in named.items()}


def read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise Missing(f"{file} is not there: run the step that makes it again.")
    try:
        loaded: dict[str, Any] = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as error:
        raise Damaged(f"{file} is not JSON: run the step that makes it again.") from error
    return loaded


def table(folder: Path, name: str, columns: Sequence[str] | None = None, where: Any = None) -> pd.DataFrame:
    """A table of the run, its id columns as text."""
    import pyarrow.parquet as pq

    file = folder / f"{name}.parquet"
    if not file.is_file():
        raise Missing(f"{file} is not there: run `assay check` again.")
    empty = pq.read_metadata(file).num_rows == 0  # an empty table's columns have no type to compare with
    frame: pd.DataFrame = pq.read_table(file, columns=columns, filters=None if empty else where).to_pandas()
    ids = [column for column in ("example_id", "annotation_id", "subject_id", "annotator") if column in frame]
    return frame.astype(dict.fromkeys(ids, "str"))


def by_id(key: str) -> tuple[int, int, str]:
    """Sorts 9 before 10, and numbers before names."""
    return (0, int(key), "") if _is_number(key) else (1, 0, key)


def _is_number(key: str) -> bool:
    return key.isascii() and key.isdigit() and len(key) < 19  # fits 64 bits, as Label Studio's ids do


def _findings(folder: Path) -> tuple[pd.DataFrame, frozenset[str]]:
    import pyarrow.compute as pc

    act = pc.field("flagged") | ((pc.field("check") == "privacy") & (pc.field("severity") > 0))
    found = table(folder, "findings", where=act)
    private = found[(found["check"] == "privacy") & (found["subject"] == "example")]["subject_id"]
    flagged = found[found["flagged"].astype(bool)]
    order = flagged["subject_id"].map(by_id)
    flagged = flagged.assign(order=order).sort_values(["severity", "check", "order"], ascending=[False, True, True])
    return flagged.drop(columns="order").reset_index(drop=True), frozenset(private)


def _verdicts(folder: Path) -> pd.DataFrame:
    found = table(folder, "verdicts", where=[("verdict", "!=", "keep")])
    why = [reasons(stored) for stored in found["reasons"]]
    worst = [urgency(items) for items in why]
    order = found["example_id"].map(by_id)
    found = found.assign(why=pd.Series(why, index=found.index, dtype=object), severity=worst, order=order)
    return found.sort_values(["severity", "order"], ascending=[False, True]).reset_index(drop=True)


def reasons(stored: Any) -> list[dict[str, Any]]:
    """A verdict's reasons, strongest first, as [{"check", "action", "severity", "reason", "suggestion"}]."""
    empty = {"check": "", "action": "", "severity": 0.0, "reason": "", "suggestion": ""}
    return [{**empty, **item} for item in orjson.loads(stored)]


def cards(run: Run, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What the page shows of these examples: text (None where it is private), current answer, who said what."""
    wanted = sorted(set(ids), key=by_id)
    examples = _rows(run, "examples", ["example_id", "text"], wanted).set_index("example_id")["text"]
    agreed = _rows(run, "consensus", ["example_id", "answer", "confidence"], wanted).set_index("example_id")
    said = _rows(run, "annotations", ["annotation_id", "example_id", "annotator", "answer", "cancelled"], wanted)
    said = said[~said["cancelled"].astype(bool) & said["answer"].notna() & (said["answer"] != "")]
    voices = {str(key): rows for key, rows in said.groupby("example_id")}
    return {
        key: {
            "id": key,
            "about": "example",
            "private": key in run.private,
            "text": None if key in run.private else examples.get(key),
            "answer": answer(agreed["answer"].get(key)),
            "confidence": _number(agreed["confidence"].get(key)),
            **_said(run, voices.get(key), agreed["answer"].get(key)),
        }
        for key in wanted
    }


def _rows(run: Run, name: str, columns: list[str], ids: list[str]) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    file = run.folder / f"{name}.parquet"
    if not file.is_file():
        raise Missing(f"{file} is not there: run `assay check` again.")
    kind = pq.read_schema(file).field("example_id").type
    keys = [int(key) for key in ids if _is_number(key)] if pa.types.is_integer(kind) else ids
    if pa.types.is_null(kind):
        keys = []
    return table(run.folder, name, columns, pc.field("example_id").isin(pa.array(keys, kind)))


def _said(run: Run, rows: pd.DataFrame | None, agreed: Any) -> dict[str, Any]:
    if rows is None:
        return {"said": [], "said_more": 0}
    names = run.names
    voices = [
        {"who": names.get(row.annotator, row.annotator), "answer": answer(row.answer), "differs": row.answer != agreed}
        for row in rows.itertuples()
    ]
    voices.sort(key=lambda voice: (voice["differs"], voice["answer"], voice["who"]))
    kept = voices if len(voices) <= SAID_SHOWN else [*voices[: SAID_SHOWN // 2], *voices[-SAID_SHOWN // 2 :]]
    return {"said": kept, "said_more": len(voices) - len(kept)}


def _number(value: Any) -> float | None:
    return None if value is None or value != value else float(value)
