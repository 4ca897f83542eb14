"""The mirror's files without a server: segments however they are merged, and the notes of an interrupted pull."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.label_studio import resume, segments
from pipeline.store import Store


def row(task: int, turn: int, kind: str) -> dict[str, Any]:
    seen = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=turn)
    raw = orjson.dumps({"id": task, "turn": turn}).decode()
    return {
        "task_id": task,
        "revision": "" if kind == "deleted" else f"{turn:032x}",
        "raw": raw if kind == "living" else "",
        "deleted": kind == "deleted",
        "updated_at": None if kind == "deleted" else seen.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "completed_by": [turn] if kind == "living" else [],
        "seen_at": seen,
        "reason": "cannot be read" if kind == "unreadable" else None,
    }


KINDS = st.sampled_from(["living", "living", "deleted", "unreadable"])
PULLS = st.lists(st.dictionaries(st.integers(1, 12), KINDS, min_size=1), min_size=1, max_size=14)


@given(pulls=PULLS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_segments_give_the_newest_row_of_each_task_however_they_were_merged(
    pulls: list[dict[int, str]], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "MOST_SMALL", 2)
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 6)  # so that small, full and overgrown lists all occur
    monkeypatch.setattr(segments, "ROWS_TOGETHER", 2)
    store = Store(tmp_path_factory.mktemp("segments"))
    listed: list[str] = []
    model: dict[int, dict[str, Any]] = {}
    history: list[tuple[list[str], dict[int, dict[str, Any]]]] = []
    for turn, pull in enumerate(pulls):
        rows = [row(task, turn, kind) for task, kind in sorted(pull.items())]
        listed = [*listed, *segments.write(store, [segments.to_table(rows)])]
        listed = segments.compacted(store, listed, segments.read_index(store, listed))
        model = {**model, **{item["task_id"]: item for item in rows}}
        history.append((listed, model))
        total = sum(segments.read_index(store, [key]).rows for key in listed)
        assert total <= 2 * len(model) + segments.SEGMENT_ROWS
    for keys, expected in history:
        index = segments.read_index(store, keys)
        every = list(segments.stream(store, keys, index, index.task_id > 0, *segments.SCHEMA.names))
        assert every == [expected[task] for task in sorted(expected)]
        living = {task for task, item in expected.items() if not item["deleted"]}
        assert set(index.task_id[index.living].tolist()) == living
        answers, who = segments.annotators(store, keys, index)
        assert answers == sum(len(item["completed_by"]) for item in expected.values())
        assert who == {user for item in expected.values() for user in item["completed_by"]}


def test_segments_written_before_there_was_a_reason_column_can_be_read_and_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "MOST_SMALL", 1)
    store, rows = Store(tmp_path), [row(3, 0, "deleted"), row(1, 0, "living"), row(2, 0, "living")]
    old = segments.to_table(rows).drop_columns(["reason"])

    def write(folder: Path) -> None:
        pq.write_table(old, folder / "tasks.parquet")

    store.publish(segments.SEGMENTS, "old", write)
    keys = ["old", *segments.write(store, [segments.to_table([row(2, 1, "unreadable")])])]
    for listed in (keys, segments.compacted(store, keys, segments.read_index(store, keys))):
        index = segments.read_index(store, listed)
        found = list(segments.stream(store, listed, index, index.living, "task_id", "raw", "reason"))
        assert [(item["task_id"], item["reason"]) for item in found] == [(1, None), (2, "cannot be read")]
    assert [item["reason"] for item in segments.revisions(store, keys, 2)] == [None, "cannot be read"]
    assert len(listed) == 1


def test_a_note_of_another_pull_or_a_broken_one_is_ignored(tmp_path: Path) -> None:
    store, started = Store(tmp_path), datetime(2024, 1, 1, tzinfo=UTC)
    about = {"id": 1, "created_at": "2024", "entry": 3, "form": "x"}
    table = segments.to_table([row(task, 1, "living") for task in (1, 2)])

    def begin(told: dict[str, Any], hours: int) -> resume.Pull:
        return resume.begin(store, told, lambda: started + timedelta(hours=hours))

    def noted() -> None:
        resume.note(begin(about, 1), table, 250)

    noted()
    again = begin(about, 2)
    assert (again.last, again.looked_at, again.seen_at) == (250, 2, started + timedelta(hours=1))
    assert [part.num_rows for part in resume.noted(again)] == [2]
    for changed in ({"id": 2}, {"created_at": "2025"}, {"entry": 4}, {"form": "y"}):
        assert (begin({**about, **changed}, 3).last, begin({**about, **changed}, 4).seen_at.hour) == (0, 3)
        noted()
    page = next(tmp_path.glob("cache/mirror-pull/*.parquet"))
    for broken in (b"", page.read_bytes()[:-9], bytes(reversed(page.read_bytes()))):
        page.write_bytes(broken)
        assert begin(about, 5).last == 0
        noted()
    (tmp_path / "cache" / "mirror-pull" / "about.json").write_text("[1]")
    assert begin(about, 6).last == 0
