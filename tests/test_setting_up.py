"""`assay setup` and `assay import` on a real Label Studio."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows.cli import run
from pipeline import config
from pipeline.config import LabelStudio, Project
from pipeline.label_studio.connection import Connection
from pipeline.label_studio.listing import full_pages
from pipeline.label_studio.project import import_tasks, project_facts

pytestmark = pytest.mark.server
ROWS = [{"text": f"message {number},\u2028naïve <b>ünïcode</b>", "region": "north"} for number in range(5)]


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
        file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS), encoding="utf-8")
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


def test_label_studios_own_export_is_imported_without_what_it_only_numbers(
    folder: Path, label_studio: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(capsys, "setup", str(folder))[0] == 0
    asked = config.load(folder).label_studio
    assert asked is not None
    assert asked.project is not None
    said = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["order_status"]}}]
    given = {"id": 3, "result": said, "was_cancelled": False, "lead_time": 2.5, "task": 8, "project": 9}
    row = {"id": 8, "data": ROWS[0], "annotations": [given], "drafts": [5], "predictions": [12, 13], "meta": {}}
    (folder / "export.json").write_text(json.dumps([row, {**row, "data": ROWS[1], "predictions": [{"result": said}]}]))
    code, body = answer(capsys, "import", str(folder / "export.json"), "--project", str(folder))
    assert (code, body["created"]) == (0, 2), body
    pages = full_pages(label_studio, asked.project, include=["id", "annotations", "result", "predictions"])
    tasks = [task for page in pages for task in page]
    assert [(len(task["annotations"]), len(task["predictions"])) for task in tasks] == [(1, 0), (1, 1)]


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


SPANS = """<View>
  <Labels name="entity" toName="text"><Label value="person"/><Label value="place"/></Labels>
  <Text name="text" value="$text"/>
  <Taxonomy name="kind" toName="text"><Choice value="news"><Choice value="local"/></Choice></Taxonomy>
  <Choices name="mood" toName="text"><Choice value="calm"/><Choice value="tense"/></Choices>
</View>"""


def test_a_change_that_would_orphan_answers_is_refused_and_names_them_unless_told_to(
    folder: Path, label_studio: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "label_config.xml").write_text(SPANS)
    config.save(folder, config.load(folder).model_copy(update={"template": "named_entities"}))
    assert answer(capsys, "setup", str(folder))[0] == 0
    asked = config.load(folder).label_studio
    assert asked is not None
    assert asked.project is not None
    result = [
        {"from_name": "entity", "to_name": "text", "type": "labels", "id": "a",
         "value": {"start": 0, "end": 3, "text": "Ada", "labels": ["person"]}},
        {"from_name": "kind", "to_name": "text", "type": "taxonomy", "value": {"taxonomy": [["news", "local"]]}},
        {"from_name": "mood", "to_name": "text", "type": "choices", "value": {"choices": ["calm"]}},
    ]  # fmt: skip
    odd: list[Any] = [3, "x", None, {"from_name": "mood", "type": ["choices"], "value": "calm"}, {"value": [1]}]
    tasks = [{"data": {"text": f"Ada {n}"}, "annotations": [{"result": [*odd[3:], *result]}]} for n in range(3)]
    tasks.append({"data": {"text": "odd"}, "annotations": [{"result": odd[:3]}]})
    import_tasks(label_studio, asked.project, tasks)
    # (the configuration without what answers use, the name of it, what the refusal says)
    for gone, name, words in (
        ('<Label value="person"/>', "person", "'person' (3 times)"),
        ('<Choice value="local"/>', "news / local", "'news / local' (3 times)"),
        (SPANS.splitlines()[4], "mood", "control 'mood' (6 times)"),
    ):
        before = project_facts(label_studio, asked.project)["label_config"]
        (folder / "label_config.xml").write_text(SPANS.replace(gone, ""))
        code, said = answer(capsys, "setup", str(folder))
        assert code == 2, name
        assert words in str(said["error"])
        assert "--drop" in str(said["error"])
        assert project_facts(label_studio, asked.project)["label_config"] == before
    (folder / "label_config.xml").write_text(SPANS.replace('<Choice value="tense"/>', ""))
    assert answer(capsys, "setup", str(folder))[0] == 0, "what nobody uses may go"
    (folder / "label_config.xml").write_text(SPANS.replace('<Label value="person"/>', ""))
    code, said = answer(capsys, "setup", str(folder), "--drop", "persn")
    assert code == 2
    assert "'persn'" in str(said["error"])
    assert answer(capsys, "setup", str(folder), "--drop", "person")[0] == 0
    assert project_facts(label_studio, asked.project)["task_number"] == 4


def test_responses_are_imported_in_an_order_that_hides_which_is_which(
    tmp_path: Path, label_studio: Connection, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_LABEL_STUDIO_TOKEN", label_studio.token)
    made = ["--template", "pairwise_preference", "--name", f"blind {tmp_path.name}"[-40:], "--url", label_studio.url]
    assert answer(capsys, "init", str(tmp_path / "p"), *made)[0] == 0
    assert answer(capsys, "setup", str(tmp_path / "p"))[0] == 0
    code, body = answer(capsys, "import", "--sample", "--project", str(tmp_path / "p"))
    assert (code, body["present"]) == (0, 0)
    assert answer(capsys, "import", "--sample", "--project", str(tmp_path / "p"))[1]["created"] == 0
    asked = config.load(tmp_path / "p").label_studio
    assert asked is not None
    assert asked.project is not None
    pages = full_pages(label_studio, asked.project, include=["id", "data", "meta"])
    tasks = [task for page in pages for task in page]
    lefts = [task["meta"]["assay_left"] for task in tasks]
    assert 0.25 < lefts.count("a") / len(lefts) < 0.75
    assert not any({"response_a", "response_b"} & set(task["data"]) for task in tasks)
    code, said = answer(capsys, "import", "--project", str(tmp_path / "p"))
    assert code == 2
    assert "--sample" in str(said["error"])
