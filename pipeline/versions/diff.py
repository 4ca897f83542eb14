"""Row-level difference between two versions."""

from __future__ import annotations

from typing import Any

import orjson
import pandas as pd

from pipeline.versions.commit import Version


def diff(a: Version, b: Version) -> dict[str, Any]:
    """From `a` to `b`: added and removed example ids; relabelled and moved examples with from and to; label counts of what was
    kept."""
    before, after = a.rows.set_index("example_id"), b.rows.set_index("example_id")
    both = before.index.intersection(after.index)
    changed = [example for example in both if before.at[example, "row_hash"] != after.at[example, "row_hash"]]
    return {
        "a": {"id": a.id, "number": a.number},
        "b": {"id": b.id, "number": b.number},
        "added": after.index.difference(before.index).tolist(),
        "removed": before.index.difference(after.index).tolist(),
        "relabelled": [row for example in changed if (row := _change(before, after, example, "answer"))],
        "verdict_moved": [row for example in changed if (row := _change(before, after, example, "verdict"))],
        "changed_rows": len(changed),
        "kept": {"a": _kept(a), "b": _kept(b)},
    }


def _change(before: pd.DataFrame, after: pd.DataFrame, example: int, column: str) -> dict[str, Any] | None:
    was, now = before.at[example, column], after.at[example, column]
    if was == now:
        return None
    if column == "answer":
        was, now = orjson.loads(was), orjson.loads(now)
    return {"example_id": int(example), "from": was, "to": now}


def _kept(version: Version) -> dict[str, int]:
    """label → how many kept examples have it as their answer; no counts where answers are not one of a few labels."""
    kept = version.rows.loc[version.rows["verdict"] == "keep", "answer"].value_counts()
    labels = ((label, kept.get(orjson.dumps(label).decode(), 0)) for label in sorted(version.labels))
    return {label: int(count) for label, count in labels if count}
