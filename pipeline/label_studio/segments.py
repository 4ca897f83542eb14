"""The mirror's segments: immutable Parquet files of task revisions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.store import Store, digest

SEGMENTS = "mirror-segments"
SEGMENT_ROWS = 5000  # tasks held in memory at once

SCHEMA = pa.schema(
    [
        ("task_id", pa.int64()),
        ("revision", pa.string()),  # digest of the task but for what changes by itself; "" for a deletion
        ("raw", pa.string()),  # the task as Label Studio gave it, JSON; "" for a deletion
        ("deleted", pa.bool_()),
        ("updated_at", pa.string()),  # as Label Studio wrote it
        ("completed_by", pa.list_(pa.int64())),  # the annotator of each annotation, null if unknown
        ("seen_at", pa.timestamp("us", tz="UTC")),
    ]
)
Row = dict[str, Any]  # one row of SCHEMA, without seen_at


def write(store: Store, rows: Iterable[Row], seen_at: datetime) -> list[str]:
    """Publish rows in segments; their keys. A segment that no entry lists (a killed sync's) is never read."""
    keys, batch = [], []
    for row in rows:
        batch.append(row)
        if len(batch) == SEGMENT_ROWS:
            keys.append(_write_segment(store, batch, seen_at))
            batch = []
    return [*keys, _write_segment(store, batch, seen_at)] if batch else keys


def _write_segment(store: Store, rows: list[Row], seen_at: datetime) -> str:
    table = pa.Table.from_pylist([{**row, "seen_at": seen_at} for row in rows], schema=SCHEMA)
    key = digest([[row["task_id"], row["revision"]] for row in rows], seen_at.isoformat())

    def write(folder: Path) -> None:
        pq.write_table(table, folder / "tasks.parquet", compression="zstd")

    store.publish(SEGMENTS, key, write)
    return key


def newest(store: Store, segments: Iterable[str], *columns: str) -> list[Row]:
    """The newest row of every task that ever was, with these columns, `task_id` and `deleted`."""
    rows: dict[int, Row] = {}
    for key in segments:
        file = store.folder(SEGMENTS, key) / "tasks.parquet"
        for row in pq.read_table(file, columns=["task_id", "deleted", *columns]).to_pylist():
            rows[row["task_id"]] = row
    return list(rows.values())


def living(store: Store, segments: Iterable[str]) -> dict[int, Row]:
    rows = newest(store, segments, "revision", "updated_at", "completed_by")
    return {row["task_id"]: row for row in rows if not row["deleted"]}
