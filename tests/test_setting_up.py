"""`assay setup` and `assay import` on a real Label Studio."""

import json
from pathlib import Path

import pandas as pd
import pytest

from flows.cli import run
from pipeline import config
from pipeline.config import LabelStudio, Project
from pipeline.label_studio.connection import Connection
from pipeline.label_studio.project import project_facts

pytestmark = pytest.mark.server
ROWS = [{"text": f"message {number}, naïve <b>ünïcode</b>", "region": "north"} for number in range(5)]


@pytest.fixture
def folder(tmp_path: Path, label_studio: Connection, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_LABEL_STUDIO_TOKEN", label_studio.token)
    project = Project(
        name=f"setup {tmp_path.name}"[-40:], slices=["region"], label_studio=LabelStudio(url=label_studio.url)
    )
    config.save(tmp_path, project)
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    code = run([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def write(folder: Path, kind: str) -> Path:
    file = folder / f"tasks.{kind}"
    table = pd.DataFrame(ROWS)
    if kind == "csv":
        table.to_csv(file, index=False)
    elif kind == "parquet":
        table.to_parquet(file)
    elif kind == "json":
        file.write_text(json.dumps(ROWS))
    else:
        file.write_text("\n".join(json.dumps(row) for row in ROWS))
    return file


def test_the_same_tasks_from_any_format_are_imported_once(
    folder: Path, label_studio: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(capsys, "setup", str(folder))[0] == 0
    number = config.load(folder).label_studio
    assert number is not None
    assert number.project is not None
    for position, kind in enumerate(("csv", "json", "jsonl", "parquet")):
        code, body = answer(capsys, "import", str(write(folder, kind)), "--project", str(folder))
        assert code == 0, body
        assert (body["created"], body["present"]) == ((5, 0) if position == 0 else (0, 5)), kind
    assert project_facts(label_studio, number.project)["task_number"] == 5
    assert answer(capsys, "setup", str(folder))[1]["project"] == number.project


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("a.csv", "body,region\nx,north\n", ["row 1", "'text'", "body, region"]),
        ("a.txt", "x", ["csv, json, jsonl, parquet"]),
        ("a.json", "{", ["a.json", "cannot be read"]),
        ("a.json", "3", ["must hold rows"]),
        ("a.csv", "text\n", ["no rows"]),
        ("missing.csv", None, ["missing.csv", "cannot be read"]),
    ],
)
def test_a_bad_file_is_named_and_nothing_is_imported(
    folder: Path,
    label_studio: Connection,
    capsys: pytest.CaptureFixture[str],
    name: str,
    body: str | None,
    words: list[str],
) -> None:
    assert answer(capsys, "setup", str(folder))[0] == 0
    if body is not None:
        (folder / name).write_text(body)
    code, said = answer(capsys, "import", str(folder / name), "--project", str(folder))
    assert code == 2
    assert all(word in str(said["error"]) for word in words), said
    settings = config.load(folder).label_studio
    assert settings is not None
    assert settings.project is not None
    assert project_facts(label_studio, settings.project)["task_number"] == 0


def test_a_project_with_no_task_or_no_answer_is_an_error_and_leaves_no_store(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(capsys, "setup", str(folder))[0] == 0
    code, said = answer(capsys, "check", str(folder))
    assert code == 2
    assert "no task" in str(said["error"])
    answer(capsys, "import", str(write(folder, "csv")), "--project", str(folder))
    code, said = answer(capsys, "check", str(folder))
    assert code == 2
    assert "5 tasks but no annotation" in str(said["error"])
    assert not (folder / "store").exists()
