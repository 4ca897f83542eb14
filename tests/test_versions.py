"""Versions: the id is the content, deltas read back whole, and what was removed is kept beside what was kept."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Damaged, Missing, StoreError
from pipeline.store import Store
from pipeline.versions.commit import SEGMENTS, commit, logical_rows, read, version_id
from pipeline.versions.diff import diff

LABELS = ("a", "b")


def rows(
    answers: dict[int, str], verdicts: dict[int, str] | None = None, splits: dict[int, str] | None = None
) -> pd.DataFrame:
    verdicts, splits = verdicts or {}, splits or {}
    ids = list(answers)
    examples = pd.DataFrame(
        {
            "example_id": ids, "data": [json.dumps({"text": f"t{i}"}) for i in ids], "text": [f"t{i}" for i in ids],
            "group": [str(i) for i in ids], "split": [splits.get(i, "train") for i in ids], "region": "north",
        }
    )  # fmt: skip
    consensus = pd.DataFrame(
        {"example_id": ids, "answer": [f'"{label}"' for label in answers.values()], "confidence": 0.9, "distribution": ""}
    )
    reason = json.dumps([{"check": "x", "action": "drop", "severity": 0.5, "reason": "r", "suggestion": ""}])
    table = pd.DataFrame(
        {
            "example_id": ids, "verdict": [verdicts.get(i, "keep") for i in ids],
            "reasons": [reason if i in verdicts else "[]" for i in ids],
        }
    )  # fmt: skip
    clicks = pd.DataFrame(
        {
            "annotation_id": [100 + i for i in ids], "example_id": ids, "annotator": "7",
            "answer": consensus["answer"], "updated_at": "2026-01-01",
        }
    )  # fmt: skip
    return logical_rows(examples, consensus, table, clicks)


def put(store: Store, table: pd.DataFrame) -> str:
    return commit(store, table, labels=LABELS, slices=("region",), facts={})


def test_the_same_rows_give_the_same_id_whatever_their_order_and_the_writer(tmp_path: Path) -> None:
    table = rows({1: "a", 2: "b", 3: "a"})
    assert version_id(table, LABELS) == version_id(table.iloc[::-1], LABELS)
    assert put(Store(tmp_path / "one"), table) == put(Store(tmp_path / "two"), table)
    assert version_id(rows({1: "a", 2: "a", 3: "a"}), LABELS) != version_id(table, LABELS)


def test_publishing_the_same_rows_again_makes_no_new_version(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = put(store, rows({1: "a"}))
    assert put(store, rows({1: "a"})) == first
    assert read(store).number == 1


def test_what_was_dropped_is_kept_beside_with_its_reason_and_its_clicks(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, rows({1: "a", 2: "b"}, verdicts={2: "drop"}))
    version = read(store)
    assert version.kept("train")["example_id"].tolist() == [1]
    dropped = version.rows[version.rows["verdict"] == "drop"].iloc[0]
    assert json.loads(dropped["reasons"])[0]["check"] == "x"
    assert json.loads(dropped["annotations"]) == [
        {"annotation_id": 102, "annotator": "7", "answer": '"b"', "updated_at": "2026-01-01"}
    ]


def test_a_doubtful_test_example_stays_in_the_test_split_so_that_results_are_not_flattered(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, rows({1: "a", 2: "b", 3: "a"}, {1: "relabel", 2: "drop", 3: "relabel"}, {1: "test", 2: "test"}))
    assert read(store).kept("test")["example_id"].tolist() == [1]
    assert read(store).kept("train").empty


def test_the_test_split_is_frozen_and_what_left_it_at_the_source_is_recorded(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, rows({1: "a", 2: "b", 3: "a"}, splits={1: "test", 2: "test"}))
    with pytest.raises(StoreError, match=r"frozen.*\[2\]"):
        put(store, rows({1: "a", 2: "b", 3: "a"}, splits={1: "test"}))
    put(store, rows({1: "a", 3: "a"}, splits={1: "test"}))
    assert read(store).manifest["test_removed"] == [2]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.integers(1, 30), st.sampled_from(LABELS), min_size=1), min_size=1, max_size=6))
def test_any_history_reads_back_exactly_at_every_version(
    tmp_path_factory: pytest.TempPathFactory, history: list[dict[int, str]]
) -> None:
    store = Store(tmp_path_factory.mktemp("history"))
    written: dict[str, pd.DataFrame] = {}
    for answers in history:
        table = rows(answers)
        written[put(store, table)] = table
    for identity, table in written.items():
        pd.testing.assert_frame_equal(read(store, identity).rows, table)


def test_small_changes_are_stored_as_deltas_and_many_of_them_are_compacted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    answers = dict.fromkeys(range(1, 201), "a")
    put(store, rows(answers))
    sizes = []
    for step in range(1, 30):
        answers[step] = "b"
        put(store, rows(answers))
        sizes.append((read(store).manifest["added_rows"], len(read(store).manifest["segments"])))
    assert sizes[0] == (1, 2)
    assert max(added for added, _ in sizes) in (1, 200)
    assert read(store).rows["answer"].tolist()[:30] == ['"b"'] * 29 + ['"a"']


def test_a_damaged_or_exchanged_segment_is_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, rows({1: "a", 2: "b"}))
    file = next((tmp_path / SEGMENTS).glob("*/rows.parquet"))
    body = bytearray(file.read_bytes())
    body[len(body) // 2] ^= 1
    file.write_bytes(bytes(body))
    with pytest.raises(Damaged, match=r"rows\.parquet"):
        read(store)


def test_versions_are_found_by_number_by_prefix_and_not_by_chance(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(Missing, match="assay release"):
        read(store)
    one, two = put(store, rows({1: "a"})), put(store, rows({1: "b"}))
    assert read(store).id == two
    assert read(store, "1").id == one
    assert read(store, one[:6]).id == one
    with pytest.raises(Missing, match=one):
        read(store, "nope")


def test_the_difference_names_every_row(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, rows({1: "a", 2: "b", 3: "a"}))
    put(store, rows({1: "b", 3: "a", 4: "a"}, verdicts={3: "drop"}))
    found = diff(read(store, "1"), read(store, "2"))
    assert (found["added"], found["removed"]) == ([4], [2])
    assert found["relabelled"] == [{"example_id": 1, "from": "a", "to": "b"}]
    assert found["verdict_moved"] == [{"example_id": 3, "from": "keep", "to": "drop"}]
    assert found["kept"] == {"a": {"a": 2, "b": 1}, "b": {"a": 1, "b": 1}}


def test_written_answers_are_not_counted_as_if_they_were_labels(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for answers in ({1: "Dear Ada,"}, {1: "Dear Bea,"}):
        commit(store, rows(answers), labels=(), slices=("region",), facts={})
    found = diff(read(store, "1"), read(store, "2"))
    assert len(found["relabelled"]) == 1
    assert found["kept"] == {"a": {}, "b": {}}


def test_an_unknown_confidence_is_not_a_different_row_each_time(tmp_path: Path) -> None:
    table = rows({1: "a"})
    table["confidence"] = np.nan
    store = Store(tmp_path)
    assert put(store, table) == put(store, table)
