"""The real exports of the shared data go through `assay check`: a report worth reading, or one sentence on why there is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

SHARED = Path(os.environ.get("ASSAY_SHARED", Path(__file__).parents[2] / "shared")) / "data"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data is absent")


def check(file: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows", "check", "--source", str(file), "--out", str(out), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)


def looked_at(file: Path, out: Path, *more: str) -> dict[str, Any]:
    """summary.json of a run that came to its end: gate open or closed, nothing crashed, everything written."""
    done = check(file, out, *more)
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    summary: dict[str, Any] = json.loads((out / "summary.json").read_bytes())
    assert [item["check"] for item in summary["checks"] if item["status"] == "crashed"] == []
    assert "</html>" in (out / "report.html").read_text(encoding="utf-8")
    return summary


@pytest.mark.slow
def test_three_annotators_spans_of_an_enterprise_export(tmp_path: Path) -> None:
    file = SHARED / "labelstudio_leoka_ner" / "LEOKA_team_1.json"
    summary = looked_at(file, tmp_path, "--template", "named_entities")
    assert summary["counts"]["annotated"] == 130
    assert summary["agreement"]["overall"]["value"] > 0.6
    asked = {item["check"]: item for item in summary["checks"]}
    assert asked["span_errors"]["status"] == "flagged"
    people = pd.read_parquet(tmp_path / "annotators.parquet")
    assert len(people) == 3
    assert people["quality"].notna().all()
    findings = pd.read_parquet(tmp_path / "findings.parquet")
    doubted = findings[(findings["check"] == "span_errors") & findings["flagged"]]
    assert doubted["suggestion"].map(lambda text: isinstance(json.loads(text), list)).all()


@pytest.mark.parametrize("project", ["45", "33", "30"])
def test_each_project_of_a_file_with_many(tmp_path: Path, project: str) -> None:
    file = SHARED / "labelstudio_labic_ner" / "all_annotations_export.json"
    summary = looked_at(file, tmp_path, "--template", "named_entities", "--source-project", project)
    assert summary["counts"]["annotated"] >= 1
    blocking = [item["meaning"] for item in summary["gate"]["expectations"] if not item["passed"]]
    assert "There are enough labelled examples to judge them." in blocking


@pytest.mark.parametrize(
    ("name", "said"), [("all_annotations_export", "say which is meant: 45 "), ("labelstudio_annotated_export", "no task in any")]
)
def test_a_file_of_projects_says_which_there_are(tmp_path: Path, name: str, said: str) -> None:
    done = check(SHARED / "labelstudio_labic_ner" / f"{name}.json", tmp_path / "out", "--template", "named_entities")
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize("name", ["test_export_csv_csv_test2", "test_export_csv_csv_test_history"])
def test_small_files_of_the_vendor(tmp_path: Path, name: str) -> None:
    file = SHARED / "labelstudio_sdk_tests" / f"{name}.json"
    summary = looked_at(file, tmp_path, "--template", "text_classification")
    blocking = [item["meaning"] for item in summary["gate"]["expectations"] if not item["passed"]]
    assert "There are enough labelled examples to judge them." in blocking


IMAGES = [
    *("labelstudio_sdk_tests/test_export_coco_data.json", "labelstudio_sdk_tests/test_export_yolo_data_obb.json"),
    *("labelstudio_mlbackend_tests/test_brush_labels.json", "labelstudio_mlbackend_tests/test_polygon_labels.json"),
    *("labelstudio_mlbackend_tests/opossum_snow_short_1.json", "labelstudio_mlbackend_tests/test_timeline_labels_1.json"),
]


@pytest.mark.parametrize("name", IMAGES)
def test_images_and_videos_are_refused_in_one_sentence_that_says_what_the_file_holds(tmp_path: Path, name: str) -> None:
    done = check(SHARED / name, tmp_path / "out", "--template", "named_entities")
    assert done.returncode == 2, done.stdout
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert Path(name).name in done.stderr or "TimelineLabels" in done.stderr
