"""Immutable dataset versions: a Parquet base plus delta segments under numbered manifests.

A version holds every answered example, kept and removed side by side, with its verdict, its reasons and its lineage to the
annotators' clicks. Its id is a hash over logical rows: two writers, or two versions of Parquet, give the same id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

from pipeline.errors import Damaged, Missing, StoreError, unknown
from pipeline.store import Store, digest

LOG = "versions"
SEGMENTS = "version-segments"
COMPACT_AT = 0.2  # deltas above this share of the base make reading dearer than a new base (measured: 20 % doubles it)


@dataclass(frozen=True)
class Version:
    """rows: example_id, data, text, group, split, <slices>, answer, confidence, distribution, verdict, reasons, annotations,
    row_hash."""

    id: str
    number: int
    rows: pd.DataFrame
    manifest: dict[str, Any]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.manifest["labels"])

    @property
    def slices(self) -> tuple[str, ...]:
        return tuple(self.manifest["slices"])

    def kept(self, *splits: str) -> pd.DataFrame:
        """Kept rows of these splits, with `label` as plain text. Every row of the frozen test split that is not dropped
        counts as kept: to leave out the doubtful ones would flatter whatever is measured on it."""
        rows = self.rows[self.rows["split"].isin(splits)]
        fit = (rows["verdict"] == "keep") | ((rows["split"] == "test") & (rows["verdict"] != "drop"))
        rows = rows[fit]
        return rows.assign(label=[orjson.loads(answer) for answer in rows["answer"]]).reset_index(drop=True)


def logical_rows(
    examples: pd.DataFrame, consensus: pd.DataFrame, verdicts: pd.DataFrame, annotations: pd.DataFrame
) -> pd.DataFrame:
    """One row per answered example, sorted by id, with its row hash."""
    lineage = annotations[annotations["answer"] != ""]
    clicks = lineage[["annotation_id", "annotator", "answer", "updated_at"]].to_dict("records")
    per_example: dict[int, list[dict[str, Any]]] = {}
    for example, click in zip(lineage["example_id"], clicks, strict=True):
        per_example.setdefault(int(example), []).append(click)
    rows = examples.merge(consensus[["example_id", "answer", "confidence", "distribution"]], on="example_id")
    rows = rows.merge(verdicts, on="example_id").sort_values("example_id", ignore_index=True)
    rows["annotations"] = [orjson.dumps(per_example.get(int(example), [])).decode() for example in rows["example_id"]]
    rows["row_hash"] = [_row_hash(row) for row in rows.to_dict("records")]
    return rows


def _row_hash(row: Mapping[Any, Any]) -> str:
    """Over what the row means. Severities and the wording of reasons are left out: they depend on the last bits of floating
    point, which differ between machines; which check asked for which action does not."""
    acted = sorted((item["check"], item["action"]) for item in orjson.loads(row["reasons"]))
    confidence = None if np.isnan(row["confidence"]) else round(float(row["confidence"]), 4)
    soft = {label: round(p, 3) for label, p in orjson.loads(row["distribution"] or "{}").items()}
    parts = ("example_id", "data", "group", "split", "answer", "verdict", "annotations")
    return digest([row[part] for part in parts], acted, confidence, sorted(soft.items()))


def version_id(rows: pd.DataFrame, labels: Sequence[str]) -> str:
    return digest("version", sorted(rows["row_hash"]), list(labels))[:16]


def commit(
    store: Store, rows: pd.DataFrame, *, labels: Sequence[str], slices: Sequence[str], facts: dict[str, Any]
) -> str:
    """Publish `rows` as the next version and return its id. The same rows as the newest version publish nothing.

    `facts` go into the manifest. StoreError if the rows break an invariant of splits. Conflict if another run was first.
    """
    head = store.head(LOG)
    parent = read(store, head["id"]) if head else None
    identity = version_id(rows, labels)
    if parent and parent.id == identity:
        return identity
    _require_sound_splits(rows, parent)
    segments, added = _segments(store, rows, parent)
    manifest = {
        "id": identity,
        "parent": parent.id if parent else None,
        "segments": segments,
        "labels": list(labels),
        "slices": list(slices),
        "counts": _counts(rows),
        "added_rows": added,
        "test_removed": _test_removed(rows, parent),
        **facts,
    }
    store.append(LOG, manifest, after=head["number"] if head else 0)
    return identity


def read(store: Store, identity: str | None = None) -> Version:
    """A version by id, unique prefix of an id, or number; the newest by default. Missing lists the known ones."""
    manifest = find(store, identity)
    parts = [pd.read_parquet(store.folder(SEGMENTS, key) / "rows.parquet") for key in manifest["segments"]]
    rows = pd.concat(parts, ignore_index=True).drop_duplicates("example_id", keep="last")
    rows = rows[~rows["removed"]].drop(columns="removed").sort_values("example_id", ignore_index=True)
    if version_id(rows, manifest["labels"]) != manifest["id"]:
        raise Damaged(
            f"Version {manifest['id']} does not match its rows: restore {store.root / SEGMENTS} from a backup."
        )
    return Version(manifest["id"], manifest["number"], rows, manifest)


def find(store: Store, identity: str | None = None) -> dict[str, Any]:
    """The manifest with its `number`. See `read`."""
    entries = store.entries(LOG)
    if not entries:
        raise Missing("There is no version yet: make one with `assay release`.")
    bodies = [{**store.read(entry), "number": int(entry.stem)} for entry in entries]
    if identity is None:
        return bodies[-1]
    matches = [
        body for body in bodies if body["id"].startswith(identity) or str(body["number"]) == identity.lstrip("v")
    ]
    if not matches:
        raise Missing(unknown("version", identity, [body["id"] for body in bodies]))
    if len({body["id"] for body in matches}) > 1:
        raise Missing(f"{identity!r} begins several versions' ids: give more of it.")
    return matches[-1]


def _segments(store: Store, rows: pd.DataFrame, parent: Version | None) -> tuple[list[str], int]:
    """Segment keys in order, and how many rows were written."""
    if parent is None or list(parent.rows.columns) != list(rows.columns):
        return [_write(store, rows.assign(removed=False))], len(rows)
    changed = rows[~rows["row_hash"].isin(set(parent.rows["row_hash"]))].assign(removed=False)
    gone = parent.rows[~parent.rows["example_id"].isin(set(rows["example_id"]))].assign(removed=True)
    delta = pd.concat([changed, gone], ignore_index=True)
    size = len(delta) + sum(_length(store, key) for key in parent.manifest["segments"][1:])
    if size > COMPACT_AT * len(rows):
        return [_write(store, rows.assign(removed=False))], len(rows)
    return [*parent.manifest["segments"], _write(store, delta)], len(delta)


def _write(store: Store, rows: pd.DataFrame) -> str:
    key = digest(sorted(rows["row_hash"] + rows["removed"].astype(str)), sorted(rows["example_id"].tolist()))

    def fill(folder: Path) -> dict[str, Any]:
        rows.to_parquet(folder / "rows.parquet", index=False, compression="zstd")
        return {"rows": len(rows)}

    store.publish(SEGMENTS, key, fill)
    return key


def _length(store: Store, key: str) -> int:
    return int(store.manifest(SEGMENTS, key)["facts"]["rows"])


def _counts(rows: pd.DataFrame) -> dict[str, dict[str, int]]:
    table = rows.groupby(["split", "verdict"]).size()
    splits: dict[str, dict[str, int]] = {}
    for (split, verdict), size in table.items():
        splits.setdefault(str(split), {})[str(verdict)] = int(size)
    return splits


def _test_removed(rows: pd.DataFrame, parent: Version | None) -> list[int]:
    """Test examples whose task or answers are gone at the source: recorded, since the test split is frozen."""
    if parent is None:
        return []
    test = parent.rows.loc[parent.rows["split"] == "test", "example_id"]
    return sorted(set(test.tolist()) - set(rows["example_id"].tolist()))


def _require_sound_splits(rows: pd.DataFrame, parent: Version | None) -> None:
    if parent is not None:
        both = parent.rows[["example_id", "split"]].merge(rows[["example_id", "split"]], on="example_id")
        was, now = both["split_x"] == "test", both["split_y"] == "test"
        if (was != now).any():
            moved = both.loc[was != now, "example_id"].tolist()[:5]
            raise StoreError(
                f"The test split is frozen, but examples {moved} would enter or leave it: keep their split."
            )
