"""One folder in which everything is published whole or not at all.

Two shapes, and no other:

- a *folder* (check run, adapter, evaluation, …) is named by the content it was made from. It is written beside, its
  manifest (the SHA-256 of every file) last, and made visible by one rename. What is published is never rewritten.
- a *log* (mirror, versions, champion) is a row of numbered JSON entries. The next number is taken with a hard link,
  which fails if somebody else was first: two writers cannot both win.

`cache/` may be deleted at any time. `tmp/` holds what a killed run left; it is never read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from pipeline.errors import Conflict, Damaged, Missing, StoreError

MANIFEST = "manifest.json"


def digest(*parts: object) -> str:
    """Hex BLAKE2b-128 over JSON-able parts; the key of everything that is addressed by content."""
    blake = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part if isinstance(part, bytes) else orjson.dumps(part, option=orjson.OPT_SORT_KEYS)
        blake.update(len(data).to_bytes(8, "big") + data)
    return blake.hexdigest()


@cache
def code_digest(*names: str) -> str:
    """Changes when the code in these files and folders does (named from the root, such as "pipeline/consensus"): a result of
    older code is never taken for one of this code, and a change elsewhere makes nobody train again."""
    root = Path(__file__).parent.parent
    found = [
        file for name in names for file in ([root / name] if (root / name).is_file() else (root / name).rglob("*"))
    ]
    files = sorted(file for file in found if file.suffix in {".py", ".yaml", ".j2"})
    if not files:
        raise ValueError(f"no code in {names}")
    return digest(*[file.read_bytes() for file in files])


@dataclass(frozen=True)
class Store:
    root: Path

    def folder(self, kind: str, key: str) -> Path:
        """The path of a published folder, its checksums verified. Missing or Damaged otherwise."""
        path = self.root / kind / key
        if not (path / MANIFEST).is_file():
            raise Missing(f"{kind}/{key} is not in the store at {self.root}: run the step that makes it again.")
        _verify(path)
        return path

    def has(self, kind: str, key: str) -> bool:
        return (self.root / kind / key / MANIFEST).is_file()

    def manifest(self, kind: str, key: str) -> dict[str, Any]:
        loaded: dict[str, Any] = orjson.loads((self.folder(kind, key) / MANIFEST).read_bytes())
        return loaded

    def publish(self, kind: str, key: str, write: Callable[[Path], dict[str, Any] | None]) -> Path:
        """Let `write` fill an empty folder, then make it visible as kind/key in one step.

        `write` may return facts for the manifest. If kind/key is there already, nothing is written.
        """
        final = self.root / kind / key
        if self.has(kind, key):
            return self.folder(kind, key)
        with self._scratch() as work:
            facts = write(work) or {}
            files = {
                str(file.relative_to(work)): {"bytes": file.stat().st_size, "sha256": sha256(file)}
                for file in sorted(work.rglob("*"))
                if file.is_file()
            }
            _write_through(work / MANIFEST, {"kind": kind, "key": key, "facts": facts, "files": files})
            final.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.rename(work, final)
            except OSError as error:
                if not self.has(kind, key):  # another writer of the same content is a success
                    raise StoreError(f"Cannot publish {kind}/{key} in {self.root}: {error}") from error
        _sync_folder(final.parent)
        return final

    def entries(self, log: str) -> list[Path]:
        """The log's entries, oldest first."""
        return sorted((self.root / log).glob("[0-9]*.json"))

    def read(self, entry: Path) -> dict[str, Any]:
        """One log entry; Damaged if its own checksum does not match."""
        try:
            sealed = orjson.loads(entry.read_bytes())
            body: dict[str, Any] = sealed["body"]
            if sealed["digest"] != digest(body):
                raise ValueError("checksum")
        except (ValueError, KeyError, TypeError) as error:
            raise Damaged(f"{entry} does not match its checksum: restore it from a backup.") from error
        return body

    def head(self, log: str) -> dict[str, Any] | None:
        """The newest entry's body with its `number`, or None if the log is empty."""
        found = self.entries(log)
        return None if not found else {**self.read(found[-1]), "number": int(found[-1].stem)}

    def append(self, log: str, body: dict[str, Any], after: int) -> int:
        """Publish `body` as number after + 1. Raises Conflict if that number is taken."""
        number = after + 1
        final = self.root / log / f"{number:06d}.json"
        final.parent.mkdir(parents=True, exist_ok=True)
        with self._scratch() as work:
            _write_through(work / "entry", {"digest": digest(body), "body": body})
            try:
                os.link(work / "entry", final)
            except FileExistsError as error:
                raise Conflict(
                    f"{log} number {number} was published by another run in the meantime: run the step again."
                ) from error
        _sync_folder(final.parent)
        return number

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Path]:
        work = self.root / "tmp" / uuid.uuid4().hex
        work.mkdir(parents=True)
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


def sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


_verified: set[tuple[Path, int]] = set()


def _verify(path: Path) -> None:
    """Compare every file with the manifest, once a process and modification."""
    mark = (path, max(file.stat().st_mtime_ns for file in path.rglob("*")))
    if mark in _verified:
        return
    try:
        files = orjson.loads((path / MANIFEST).read_bytes())["files"]
    except (ValueError, KeyError) as error:
        raise Damaged(
            f"{path / MANIFEST} cannot be read: restore it from a backup, or delete {path} and run again."
        ) from error
    for name, facts in files.items():
        file = path / name
        if not file.is_file() or sha256(file) != facts["sha256"]:
            raise Damaged(
                f"{file} does not match its checksum: restore it from a backup, or delete {path} and run again."
            )
    _verified.add(mark)


def _write_through(file: Path, body: dict[str, Any]) -> None:
    with file.open("wb") as stream:
        stream.write(orjson.dumps(body, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2))
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_file(source: Path, target: Path) -> None:
    """Copy `source` over `target` so that a reader sees the old file or the new one, never a part."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    shutil.copyfile(source, beside)
    os.replace(beside, target)


def write_file(target: Path, text: str) -> None:
    """Write `target` so that a reader sees the old text or the new one, never a part."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, target)


def write_json(file: Path, body: object) -> None:
    """Readable JSON, keys in the order given."""
    file.write_text(json.dumps(body, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
