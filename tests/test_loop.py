"""The loop on a file: killed between any two steps it loses nothing, and a second run does only what changed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flows.place import Place, open_place
from flows.stages import adapters, agreeing, checking, evidence, releasing, source
from pipeline.label_studio.label_config import read_controls
from pipeline.sample import make
from pipeline.store import Store
from pipeline.tasks import bind, task_type
from pipeline.templates import template
from pipeline.types import (
    ANNOTATION_COLUMNS,
    ANNOTATOR_COLUMNS,
    CONSENSUS_COLUMNS,
    FINDING_COLUMNS,
    QUARANTINE_COLUMNS,
    VERDICT_COLUMNS,
)

ROOT = Path(__file__).parents[1]
SIZE = 320  # messages: enough for every check, and a training of seconds

# The stages in a row; the process ends itself after the given number of them, as a kill would.
DRIVER = """
import os, sys
from flows.place import open_place
from flows.stages import adapters, agreeing, checking, evidence, releasing, source
place, left = open_place(sys.argv[1]), int(sys.argv[2])
def step(value):
    global left
    left -= 1
    if left == 0:
        os._exit(9)
    return value
found = step(source.sync(place))
agreed = step(agreeing.consensus(place, found))
known = step(evidence.evidence(place, agreed))
checked = step(checking.check(place, agreed, known))
run = step(checking.decide(place, agreed, known, checked))
version = step(releasing.release(place, run))
one = step(adapters.train(place, version, "cleaned"))
other = step(adapters.train(place, version, "uncleaned"))
evaluation = step(adapters.evaluate(place, version, one, other))
step(adapters.promote(place, evaluation))
"""
STEPS = 10


def sample_export(size: int, *, seed: int = 7) -> list[dict[str, Any]]:
    """A Label Studio export of the template's sample with its planted faults."""
    chosen = template("text_classification")
    task = task_type(chosen.task)
    scheme = bind(task, read_controls(chosen.label_config), names=chosen.answer, fields=chosen.fields)
    made = make(chosen.read_sample()[:size], task=task, scheme=scheme, seed=seed)
    ids = {person["email"]: number for number, person in enumerate(made.people, start=1)}
    tasks = []
    for number, task in enumerate(made.tasks, start=1):
        answers = [
            {**one, "id": 100 * number + place, "completed_by": ids[one["completed_by"]], "updated_at": "2026-01-01"}
            for place, one in enumerate(task["annotations"])
        ]
        tasks.append({"id": number, "project": 1, "data": task["data"], "annotations": answers})
    return tasks


def make_project(folder: Path) -> Path:
    folder.mkdir()
    (folder / "export.json").write_text(json.dumps(sample_export(SIZE)), encoding="utf-8")
    settings = {
        "name": "loop", "template": "text_classification", "source": "export.json", "slices": ["channel", "region", "plan"],
        "data": {"split": "split"}, "training": {"settings": {"epochs": 1}},
    }  # fmt: skip
    (folder / "project.yaml").write_text(json.dumps(settings))
    return folder


def drive(folder: Path, stop_after: int) -> int:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}  # one thread: the same adapter to the last bit
    return subprocess.run([sys.executable, "-c", DRIVER, str(folder), str(stop_after)], cwd=ROOT, env=env).returncode


def published(store: Store) -> dict[str, str]:
    """Every published folder and log entry, with the digest of what it holds; times of making apart."""
    found = {}
    for manifest in sorted(store.root.glob("*/*/manifest.json")):
        if manifest.parts[-3] in ("cache", "tmp"):
            continue
        body = json.loads(manifest.read_bytes())
        files = {
            name: facts["sha256"]
            for name, facts in body["files"].items()
            if name.endswith((".parquet", ".safetensors"))
        }
        found[f"{body['kind']}/{body['key']}"] = json.dumps(files, sort_keys=True)
    for entry in sorted(store.root.glob("*/[0-9]*.json")):
        body = {name: value for name, value in store.read(entry).items() if name not in ("created_at", "at")}
        found[f"{entry.parent.name}/{entry.name}"] = json.dumps(body, sort_keys=True)
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_project(tmp_path_factory.mktemp("loop") / "undisturbed")
    assert drive(folder, -1) == 0
    return folder


@pytest.mark.slow
def test_a_run_killed_between_every_two_steps_ends_as_an_undisturbed_one(undisturbed: Path, tmp_path: Path) -> None:
    folder = make_project(tmp_path / "killed")
    for stop in range(1, STEPS + 1):
        assert drive(folder, stop) == 9
    assert drive(folder, -1) == 0
    assert published(open_place(folder).store) == published(open_place(undisturbed).store)
    assert not list((folder / "store" / "tmp").iterdir())


@pytest.mark.slow
def test_a_second_run_publishes_nothing_new_and_rewrites_nothing(undisturbed: Path) -> None:
    store = open_place(undisturbed).store
    before = published(store)
    stamps = {file: file.stat().st_mtime_ns for file in store.root.rglob("*") if file.is_file()}
    assert drive(undisturbed, -1) == 0
    assert published(store) == before
    assert {file: file.stat().st_mtime_ns for file in store.root.rglob("*") if file.is_file()} == stamps


@pytest.mark.slow
def test_the_cache_may_be_deleted_and_the_version_id_stays(undisturbed: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(undisturbed, folder)
    for kind in ("cache", "evidence", "findings", "checks", "consensus"):
        shutil.rmtree(folder / "store" / kind)
    place = open_place(folder)
    before = place.store.head("versions")
    run_checks(place)
    assert before is not None
    assert releasing.release(place) == before["id"]
    assert place.store.head("versions") == before


def run_checks(place: Place) -> str:
    agreed = agreeing.consensus(place, source.sync(place))
    known = evidence.evidence(place, agreed)
    return checking.decide(place, agreed, known, checking.check(place, agreed, known))


def test_the_tables_have_their_documented_names_and_columns(undisturbed: Path) -> None:
    columns = {
        "examples": ("example_id", "data", "split", "channel", "region", "plan"), "annotations": ANNOTATION_COLUMNS,
        "consensus": CONSENSUS_COLUMNS, "annotators": ANNOTATOR_COLUMNS, "findings": FINDING_COLUMNS,
        "verdicts": VERDICT_COLUMNS, "quarantine": QUARANTINE_COLUMNS,
    }  # fmt: skip
    for name, wanted in columns.items():
        assert set(wanted) <= set(pd.read_parquet(undisturbed / f"{name}.parquet").columns), name
    summary = json.loads((undisturbed / "summary.json").read_text())
    assert summary == json.loads((undisturbed / "report.json").read_text())
    assert {"counts", "agreement", "checks", "gate", "environment", "verdicts"} <= set(summary)
    assert "default-src 'none'" in (undisturbed / "report.html").read_text()
    readme = (ROOT / "README.md").read_text()
    for name, wanted in columns.items():
        assert f"`{name}.parquet`" in readme
        assert all(column in readme for column in wanted[:3])


def test_no_test_example_is_trained_on_and_none_of_its_copies(undisturbed: Path) -> None:
    place = open_place(undisturbed)
    version, rows = adapters.training_rows(place, None, "cleaned")
    test = version.rows[version.rows["split"] == "test"]
    assert len(test) > 20
    assert not set(rows["example_id"]) & set(test["example_id"])
    assert not {text.casefold() for text in rows["text"]} & {text.casefold() for text in test["text"]}


@pytest.mark.slow
def test_a_new_answer_changes_the_version_by_that_row_and_keeps_the_test_split(
    undisturbed: Path, tmp_path: Path
) -> None:
    import shutil

    from pipeline.versions.commit import read
    from pipeline.versions.diff import diff

    folder = tmp_path / "next"
    shutil.copytree(undisturbed, folder)
    tasks = json.loads((folder / "export.json").read_text())
    place = open_place(folder)
    first = read(place.store)
    kept = first.rows[(first.rows["verdict"] == "keep") & (first.rows["split"] == "train")].iloc[0]
    task = next(task for task in tasks if task["id"] == kept["example_id"])
    other = next(label for label in first.labels if json.dumps(label) != kept["answer"])
    for answer in task["annotations"]:
        answer["result"][0]["value"]["choices"] = [other]
        answer["updated_at"] = "2026-02-02"
    tasks.append(
        {
            "id": 9001,
            "data": {**task["data"], "text": "Wholly new: does the teal kettle whistle?"},
            "annotations": task["annotations"],
        }
    )
    (folder / "export.json").write_text(json.dumps(tasks))
    releasing.release(place, run_checks(place))
    second = read(place.store)
    found = diff(first, second)
    assert second.manifest["parent"] == first.id
    assert 9001 in found["added"]
    assert {"example_id": int(kept["example_id"]), "from": json.loads(kept["answer"]), "to": other} in found[
        "relabelled"
    ]
    assert set(second.rows.loc[second.rows["split"] == "test", "example_id"]) == set(
        first.rows.loc[first.rows["split"] == "test", "example_id"]
    )


@pytest.mark.slow
def test_a_suite_can_bound_what_a_check_measured(undisturbed: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "bounded"
    shutil.copytree(undisturbed, folder)
    said = json.loads((folder / "summary.json").read_text())
    cramers_v = next(item["facts"]["max_cramers_v"] for item in said["checks"] if item["check"] == "slice_labels")
    lines = (
        "  - type: expect_column_max_to_be_between\n"
        "    kwargs: {{column: slice_labels_max_cramers_v, max_value: {bound}}}\n"
        "    meta: {{meaning: No slice carries a label by itself.}}\n"
    )
    shipped = (ROOT / "validators" / "expectations" / "findings.yaml").read_text()
    (folder / "suites").mkdir()
    settings = json.loads((folder / "project.yaml").read_text())
    (folder / "project.yaml").write_text(json.dumps({**settings, "expectations": "suites"}))
    for bound, is_open in ((cramers_v + 0.01, True), (cramers_v - 0.01, False)):
        (folder / "suites" / "findings.yaml").write_text(shipped + lines.format(bound=bound))
        place = open_place(folder)
        assert checking.check_run(place, run_checks(place))["gate"]["open"] is is_open


def test_what_decides_a_result_is_part_of_its_key(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "keys")
    settings = json.loads((folder / "project.yaml").read_text())

    def keys(**changed: object) -> tuple[str, str]:
        (folder / "project.yaml").write_text(json.dumps({**settings, **changed}))
        place = open_place(folder)
        agreed = agreeing.consensus(place, source.sync(place))
        known = evidence.evidence(place, agreed)
        found = checking.check(place, agreed, known)
        return agreed, checking.decide(place, agreed, known, found)

    first = keys()
    assert keys() == first
    assert keys(consensus={"method": "shrunk"})[0] != first[0]  # another reason is told, whatever the answers are
    (folder / "suites").mkdir()
    mine = folder / "suites" / "findings.yaml"
    mine.write_text((ROOT / "validators" / "expectations" / "findings.yaml").read_text())
    before = keys(expectations="suites")[1]
    mine.rename(folder / "suites" / "findngs.yaml")
    after = keys(expectations="suites")[1]
    assert after != before
    place = open_place(folder)
    assert not checking.check_run(place, after)["gate"]["open"]
    parsed = source.parse_source(place, source.sync(place))
    given = np.zeros(len(parsed.examples), np.int64)
    for classes in (8, 9):  # a label was added to the configuration
        ask = agreeing._model(place, parsed, classes)
        assert ask is not None
        assert ask(given).shape == (len(given), classes)


def test_a_check_that_crashes_closes_the_gate_and_nothing_is_released(tmp_path: Path) -> None:
    broken = tmp_path / "validators"
    import shutil

    shutil.copytree(ROOT / "validators", broken)
    for name in ("pipeline", "flows", "annotation_templates"):
        (tmp_path / name).symlink_to(ROOT / name)
    (broken / "broken.py").write_text(
        "from validators.check import Report, check\n"
        "@check('broken', 'Does a crash close the gate?', subject='corpus')\n"
        "def broken(corpus) -> Report:\n    return 1 / 0\n"
    )
    folder = make_project(tmp_path / "project")
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}

    def assay(*arguments: str) -> tuple[int, dict[str, Any]]:
        code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from flows.cli import run; sys.exit(run())"
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, str(tmp_path), *arguments, "--json"],
            capture_output=True,
            text=True,
            env=env,
        )
        return done.returncode, json.loads(done.stdout)

    code, run = assay("check", str(folder))
    assert code == 1
    outcome = next(item for item in run["checks"] if item["check"] == "broken")
    assert outcome["status"] == "crashed"
    assert "ZeroDivisionError" in outcome["reason"]
    assert "broken.py:4" in outcome["reason"]
    assert not run["gate"]["open"]
    code, said = assay("release", str(folder))
    assert code == 1
    assert "gate is closed" in said["error"]
    assert not (folder / "store" / "versions").exists()


def test_log_diff_trace_and_report_tell_what_happened(undisturbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from flows.cli import run

    def said(*arguments: str) -> dict[str, Any]:
        assert run([*arguments, "--json"]) == 0
        body: dict[str, Any] = json.loads(capsys.readouterr().out)
        return body

    (version,) = said("log", str(undisturbed))["versions"]
    assert version["number"] == 1
    same = said("diff", "1", version["id"], "--project", str(undisturbed))
    assert (same["added"], same["removed"], same["changed_rows"]) == ([], [], 0)
    verdicts = pd.read_parquet(undisturbed / "verdicts.parquet")
    splits = pd.read_parquet(undisturbed / "examples.parquet").set_index("example_id")["split"]
    kept = next(int(row) for row in verdicts[verdicts["verdict"] == "keep"]["example_id"] if splits[row] == "train")
    story = said("trace", str(kept), "--project", str(undisturbed))
    assert [item["answer"] for item in story["annotations"]]
    assert story["consensus"][0]["answer"] == story["versions"][0]["answer"]
    assert len(story["versions"][0]["adapters"]) == 2  # trained on the cleaned and on the uncleaned labels
    doubted = next(int(row) for row in verdicts[verdicts["verdict"] != "keep"]["example_id"] if splits[row] == "train")
    told = said("trace", str(doubted), "--project", str(undisturbed))
    assert any(item["flagged"] for item in told["findings"])
    assert len(told["versions"][0]["adapters"]) == 1  # on the uncleaned labels only
    asked = next(int(row) for row in verdicts["example_id"] if splits[row] == "test")
    assert said("trace", str(asked), "--project", str(undisturbed))["versions"][0]["adapters"] == []
    assert said("report", str(undisturbed))["report"].endswith("report.html")
    assert run(["trace", "987654", "--project", str(undisturbed)]) == 2
    for command in (["log"], ["report"], ["check"], ["evaluate"], ["promote"]):
        run([*command, str(undisturbed)])
    run(["trace", str(doubted), "--project", str(undisturbed)])
    shown = capsys.readouterr().out
    assert version["id"] in shown
    assert "95 %" in shown
    assert "\x1b" not in shown.replace("\x1b[1m", "").replace("\x1b[0m", "")
