"""A pull that was interrupted goes on where it stopped.

    cache/mirror-pull/about.json            which pull: project, entry it follows, server's time when it began
    cache/mirror-pull/000000000250.parquet  what the page that ended with task 250 brought: rows of a segment, perhaps none

The files are the note: the highest name is the last task looked at. They become segments when the pull is complete; like
all of `cache/` they may be deleted at any time, which costs a new pull.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.store import Store, write_file

ABOUT = "about.json"


@dataclass(frozen=True)
class Pull:
    """`seen_at`: the server's time when it began, however often it was interrupted since: the next pull's watermark."""

    folder: Path
    seen_at: datetime
    last: int  # the highest task id looked at before it was interrupted; 0 for a new one
    looked_at: int  # how many changed tasks that brought


@contextlib.contextmanager
def alone(store: Store) -> Iterator[None]:
    """Waits for another sync into this store; the system ends the wait if that one dies."""
    file = store.root / "cache" / "mirror.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def begin(store: Store, about: Mapping[str, Any], now: Callable[[], datetime]) -> Pull:
    """The interrupted pull that `about` describes, else a new one that begins `now`. The remains of any other, and those
    that cannot be read, are removed."""
    folder = store.root / "cache" / "mirror-pull"
    try:
        noted = orjson.loads((folder / ABOUT).read_bytes())
        seen_at = datetime.fromisoformat(noted.pop("seen_at"))
        if noted == about:
            files = _pages(folder)
            rows = sum(_read(file).num_rows for file in files)
            return Pull(folder, seen_at, int(files[-1].stem) if files else 0, rows)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException):
        pass  # a cache: gone or broken is the same
    shutil.rmtree(folder, ignore_errors=True)
    seen_at = now()
    folder.mkdir(parents=True)
    write_file(folder / ABOUT, orjson.dumps({**about, "seen_at": seen_at.isoformat()}).decode())
    return Pull(folder, seen_at, 0, 0)


def note(pull: Pull, rows: pa.Table, last: int) -> None:
    """Everything up to task `last` has been looked at, and this is what has changed."""
    beside = pull.folder / "new"
    with beside.open("wb") as stream:
        pq.write_table(rows, stream, compression="zstd", write_page_checksum=True)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(beside, pull.folder / f"{last:012d}.parquet")


def noted(pull: Pull) -> Iterator[pa.Table]:
    for file in _pages(pull.folder):
        yield _read(file)


def end(pull: Pull) -> None:
    shutil.rmtree(pull.folder, ignore_errors=True)


def _pages(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def _read(file: Path) -> pa.Table:
    return pq.read_table(file, page_checksum_verification=True)
