"""The mirror's segments: immutable Parquet files of task revisions.

An entry of the mirror lists segments oldest first: of two rows of a task, the one in the later segment is newer. Where the
newest row of every task lies is its `Index`, 42 bytes a task. Contents are read a few rows at a time, in id order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.store import Store, digest

SEGMENTS = "mirror-segments"
SEGMENT_ROWS = 5000  # held in memory at once when a segment is written
SEGMENT_BYTES = 32_000_000  # the same, for tasks with long texts
ROWS_TOGETHER = 250  # of one row group: what a reader holds of each segment
# An entry that lists more small segments than this gets them merged into one; one whose superseded rows outnumber the
# newest ones gets all merged. So reading costs at most twice the project and this many files, after however many syncs.
MOST_SMALL = 32

SCHEMA = pa.schema(
    [
        ("task_id", pa.int64()),
        ("revision", pa.string()),  # digest of the task but for what changes by itself; "" for a deletion
        (
            "raw",
            pa.string(),
        ),  # the task as Label Studio gave it, JSON; "" for a deletion or an unreadable task
        ("deleted", pa.bool_()),
        ("updated_at", pa.string()),  # as Label Studio wrote it
        (
            "completed_by",
            pa.list_(pa.int64()),
        ),  # who made each annotation, null if that was never known; see `sync`
        ("seen_at", pa.timestamp("us", tz="UTC")),
        (
            "reason",
            pa.string(),
        ),  # why the task cannot be read, null if it can; older segments lack this column
    ]
)
Row = dict[str, Any]  # one row of SCHEMA
Bools = NDArray[np.bool_]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Index:
    """One item for every task that ever was, ascending by id: its newest row, and where that lies."""

    task_id: Ids
    revision: NDArray[np.uint64]  # (tasks, 2): the digest as numbers
    updated_at: Ids  # microseconds since 1970, -1 for a deletion
    living: Bools
    readable: Bools
    segment: NDArray[np.int32]  # position in the list of segments
    row: NDArray[np.int32]
    rows: int  # in all segments, superseded ones too

    def find(self, ids: Sequence[int]) -> NDArray[np.int64]:
        """The position of each id, -1 for those unknown."""
        wanted = np.asarray(ids, dtype=np.int64)
        if not len(self.task_id):
            return np.full(len(wanted), -1, dtype=np.int64)
        found = np.minimum(np.searchsorted(self.task_id, wanted), len(self.task_id) - 1)
        return np.where(self.task_id[found] == wanted, found, -1)


def to_table(rows: Iterable[Row]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def write(store: Store, tables: Iterable[pa.Table]) -> list[str]:
    """Publish rows of SCHEMA in segments; their keys. A segment that no entry lists (a killed sync's) is never read."""
    keys: list[str] = []
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        if (
            sum(part.num_rows for part in held) >= SEGMENT_ROWS
            or sum(part.nbytes for part in held) >= SEGMENT_BYTES
        ):
            keys.append(_write_segment(store, pa.concat_tables(held)))
            held = []
    rest = pa.concat_tables(held) if held else SCHEMA.empty_table()
    return [*keys, _write_segment(store, rest)] if rest.num_rows else keys


def _write_segment(store: Store, table: pa.Table) -> str:
    seen = [time.isoformat() for time in table.column("seen_at").to_pylist()]
    key = digest(table.column("task_id").to_pylist(), table.column("revision").to_pylist(), seen)

    def write(folder: Path) -> None:
        pq.write_table(table, folder / "tasks.parquet", compression="zstd", row_group_size=ROWS_TOGETHER)

    store.publish(SEGMENTS, key, write)
    return key


def read_index(store: Store, segments: Sequence[str]) -> Index:
    """The newest row of every task in these segments. Holds 42 bytes for each row of theirs while it works."""
    names = ["task_id", "revision", "updated_at", "deleted", "reason"]
    tables = (_read(store.folder(SEGMENTS, key), names) for key in segments)
    parts = [_arrays(SCHEMA.empty_table()), *map(_arrays, tables)]
    lengths = [len(part["task_id"]) for part in parts]
    every = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    every["segment"] = np.repeat(np.arange(-1, len(segments), dtype=np.int32), lengths)
    every["row"] = np.concatenate([np.arange(length, dtype=np.int32) for length in lengths])
    order = np.argsort(every["task_id"], kind="stable")  # rows of a task stay in the order of the segments
    ids = every["task_id"][order]
    newest = order[np.append(ids[1:] != ids[:-1], np.ones(len(ids[:1]), np.bool_))]
    return Index(**{name: array[newest] for name, array in every.items()}, rows=len(ids))


def _arrays(table: pa.Table) -> dict[str, NDArray[Any]]:
    return {
        "task_id": table.column("task_id").to_numpy(),
        "revision": revision_numbers(table.column("revision").to_pylist()),
        "updated_at": microseconds(table.column("updated_at").to_pylist()),
        "living": ~table.column("deleted").to_numpy(zero_copy_only=False).astype(np.bool_),
        "readable": table.column("reason").is_null().to_numpy(zero_copy_only=False).astype(np.bool_),
    }


def revision_numbers(revisions: Iterable[str]) -> NDArray[np.uint64]:
    """Digests as pairs of numbers; (0, 0) for a deletion."""
    raw = bytes.fromhex("".join(revision or "0" * 32 for revision in revisions))
    numbers: NDArray[np.uint64] = np.frombuffer(raw, dtype=np.uint64).reshape(-1, 2)
    return numbers


def microseconds(times: Sequence[str | None]) -> Ids:
    """Times as Label Studio writes them, since 1970; -1 for none."""
    stamps = pa.array(times, pa.string()).cast(pa.timestamp("us", tz="UTC"))
    return np.asarray(stamps.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False))


def _read(folder: Path, columns: Sequence[str], groups: list[int] | None = None) -> pa.Table:
    """The columns of a segment; those that it lacks are null."""
    with pq.ParquetFile(folder / "tasks.parquet") as file:
        there = [name for name in columns if name in file.schema_arrow.names]
        table = file.read(there) if groups is None else file.read_row_groups(groups, there)
    for name in columns:
        if name not in there:
            table = table.append_column(name, pa.nulls(table.num_rows, SCHEMA.field(name).type))
    return table


class _Group(NamedTuple):
    start: int
    rows: list[Row]


def stream(
    store: Store, segments: Sequence[str], index: Index, wanted: Bools, *columns: str
) -> Iterator[Row]:
    """These columns of the newest rows of the wanted tasks, ascending by id; of each segment a row group is held."""
    left = Counter(index.segment[wanted].tolist())
    held: dict[int, _Group] = {}
    for segment, row in zip(index.segment[wanted].tolist(), index.row[wanted].tolist(), strict=True):
        group = held.get(segment)
        if group is None or not group.start <= row < group.start + len(group.rows):
            group = held[segment] = _group(store.folder(SEGMENTS, segments[segment]), row, columns)
        yield group.rows[row - group.start]
        left[segment] -= 1
        if not left[segment]:
            del held[segment]


def _group(folder: Path, row: int, columns: Sequence[str]) -> _Group:
    """The row group that holds this row."""
    facts = pq.read_metadata(folder / "tasks.parquet")
    start = 0
    for number in range(facts.num_row_groups):
        size = facts.row_group(number).num_rows
        if row < start + size:
            return _Group(start, _read(folder, columns, [number]).to_pylist())
        start += size
    raise AssertionError("no such row")


def annotators(store: Store, segments: Sequence[str], index: Index) -> tuple[int, set[int]]:
    """How many annotations the living, readable tasks have, and who made them."""
    total, who = 0, set()
    for number, key in enumerate(segments):
        rows = index.row[(index.segment == number) & index.living & index.readable]
        if len(rows):
            column = _read(store.folder(SEGMENTS, key), ["completed_by"]).column("completed_by")
            made = column.take(pa.array(rows)).combine_chunks().flatten()
            total += len(made)
            who |= set(made.unique().drop_null().to_pylist())
    return total, who


def compacted(store: Store, segments: Sequence[str], index: Index) -> list[str]:
    """The same segments, or fewer that hold the same newest rows (see MOST_SMALL). What was merged stays in the store for
    the older entries that list it, and with it every revision."""
    small = [number for number, key in enumerate(segments) if _is_small(store.folder(SEGMENTS, key))]
    if index.rows > 2 * len(index.task_id) + SEGMENT_ROWS:
        chosen = list(range(len(segments)))
    elif len(small) > MOST_SMALL:
        chosen = small
    else:
        return list(segments)
    rows = stream(store, segments, index, np.isin(index.segment, chosen), *SCHEMA.names)
    return [
        *(key for number, key in enumerate(segments) if number not in chosen),
        *write(store, _tables(rows)),
    ]


def _is_small(folder: Path) -> bool:
    facts = pq.read_metadata(folder / "tasks.parquet")
    size = sum(facts.row_group(number).total_byte_size for number in range(facts.num_row_groups))
    return bool(facts.num_rows < SEGMENT_ROWS // 2 and size < SEGMENT_BYTES // 2)


def _tables(rows: Iterator[Row]) -> Iterator[pa.Table]:
    while batch := list(islice(rows, ROWS_TOGETHER)):
        yield to_table(batch)


def revisions(store: Store, segments: Iterable[str], task_id: int) -> list[Row]:
    """Every row of one task in these segments, oldest first; one that was merged into another segment counts once."""
    found: dict[tuple[datetime, str], Row] = {}
    for key in segments:
        file = store.folder(SEGMENTS, key) / "tasks.parquet"
        for row in pq.read_table(file, filters=[("task_id", "=", task_id)]).to_pylist():
            found.setdefault((row["seen_at"], row["revision"]), {"reason": None, **row})
    return [found[key] for key in sorted(found, key=lambda item: item[0])]
