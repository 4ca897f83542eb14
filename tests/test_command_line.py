"""The command line: bad input gets one sentence, exit code 2, and leaves the store untouched."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows import screens
from flows.cli import run
from pipeline.label_studio.connection import Connection

ROOT = Path(__file__).parents[1]


def assay(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and the JSON document of a command, run in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "flows", *arguments, "--json"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    try:
        return done.returncode, json.loads(done.stdout)
    except ValueError:
        raise AssertionError(f"not one JSON document: {done.stdout!r} {done.stderr!r}") from None


def export(folder: Path, tasks: object) -> Path:
    file = folder / "export.json"
    file.write_text(tasks if isinstance(tasks, str) else json.dumps(tasks), encoding="utf-8")
    return file


def task(number: int, label: str = "order_status", **more: Any) -> dict[str, Any]:
    value = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}]
    answer = {"id": number, "completed_by": 1, "result": value}
    return {
        "id": number,
        "data": {"text": f"where is my order {number}"},
        "annotations": [answer],
        "project": 1,
        **more,
    }


BAD = {
    "not JSON": ("{", ["not JSON", "export.json"]),
    "a task without the text field": ([task(1), task(2, data={"body": "x"})], ["task 2", "'text'", "body"]),
    "an unknown label": ([task(1), task(2, "banana")], ["annotation 2 of task 2", "'banana'", "order_status"]),
    "two projects mixed": ([task(1), task(2, project=5)], ["2 projects", "1, 5"]),
    "an empty project": ([], ["no task", "empty"]),
    "a project with no annotation": ([task(1, annotations=[])], ["1 tasks but no annotation"]),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_export_gets_one_sentence_and_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    body, words = BAD[name]
    out = tmp_path / "project"
    code, said = assay(
        "check", "--source", str(export(tmp_path, body)), "--template", "text_classification", "--out", str(out),
        "--bad-records", "fail",
    )  # fmt: skip
    assert code == 2
    assert all(word in said["error"] for word in words), said
    assert "\n" not in said["error"]
    assert not out.exists()


def test_a_bad_record_stops_nothing_else_and_is_counted_and_shown(tmp_path: Path) -> None:
    tasks = [task(1), task(2, "banana"), task(3, data={"body": "x"}), task(4, data=None), task(5, annotations="x")]
    out = tmp_path / "project"
    code, said = assay(
        "check", "--source", str(export(tmp_path, tasks)), "--template", "text_classification", "--out", str(out)
    )
    assert code == 1  # three examples are not enough for the gate; what could not be read closes it, too
    assert (said["counts"]["quarantined"], said["counts"]["annotations"], said["counts"]["tasks"]) == (4, 1, 5)
    blocking = [item["meaning"] for item in said["gate"]["expectations"] if not item["passed"]]
    assert "Nearly all records of the source could be read." in blocking
    assert "banana" in (out / "report.html").read_text()


def test_an_option_that_does_not_fit_is_one_sentence_too(tmp_path: Path) -> None:
    file = str(export(tmp_path, [task(1)]))
    out = str(tmp_path / "project")
    for option, value, words in (
        ("--bad-records", "maybe", ["bad_records", "maybe"]),
        ("--slice", "split", ["slices", "split"]),
        ("--label-config", "none.xml", ["none.xml"]),
        ("--template", "text_clasification", ["text_classification"]),
    ):
        code, said = assay("check", "--source", file, "--template", "text_classification", "--out", out, option, value)
        assert code == 2, option
        assert all(word in said["error"] for word in words), said
        assert "\n" not in said["error"]
    assert not Path(out).exists()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_export_leaves_an_existing_store_untouched(tmp_path: Path, name: str) -> None:
    out = tmp_path / "project"
    (out / "store").mkdir(parents=True)
    (out / "store" / "kept").write_text("x")
    (out / "project.yaml").write_text("name: p\nsource: ../export.json\nbad_records: fail\n")
    export(tmp_path, BAD[name][0])
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    code, _ = assay("check", str(out))
    assert code == 2
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before


def test_a_label_studio_that_is_down_is_named_with_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_LABEL_STUDIO_TOKEN", "0" * 40)
    (tmp_path / "project.yaml").write_text("name: p\nlabel_studio: {url: 'http://127.0.0.1:9', project: 1}\n")
    code, said = assay("check", str(tmp_path))
    assert code == 2
    assert "http://127.0.0.1:9" in said["error"]
    assert "assay server up" in said["error"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["project.yaml"]


@pytest.mark.server
def test_a_wrong_token_is_refused_without_being_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label_studio: Connection
) -> None:
    monkeypatch.setenv("ASSAY_LABEL_STUDIO_TOKEN", "wrong-" * 6)
    (tmp_path / "project.yaml").write_text(f"name: p\nlabel_studio: {{url: '{label_studio.url}', project: 1}}\n")
    code, said = assay("check", str(tmp_path))
    assert code == 2
    assert "ASSAY_LABEL_STUDIO_TOKEN" in said["error"]
    assert "wrong-wrong" not in json.dumps(said)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["project.yaml"]


def test_a_typo_in_project_yaml_is_answered_with_file_key_and_known_keys(tmp_path: Path) -> None:
    (tmp_path / "project.yaml").write_text("name: p\nchecks: {label_erors: {}}\n")
    code, said = assay("check", str(tmp_path))
    assert code == 2
    assert all(word in said["error"] for word in ("project.yaml", "label_erors", "label_errors", "privacy"))
    (tmp_path / "project.yaml").write_text("name: p\nchecks: {near_duplicates: {treshold: 0.8}}\n")
    code, said = assay("check", str(tmp_path))
    assert code == 2
    assert all(word in said["error"] for word in ("near_duplicates", "'treshold'", "threshold"))


@pytest.mark.parametrize("command", ["release", "train", "evaluate", "promote", "report"])
def test_a_step_too_early_says_which_comes_first(tmp_path: Path, command: str) -> None:
    (tmp_path / "project.yaml").write_text("name: p\nsource: x.json\n")
    code, said = assay(command, str(tmp_path))
    assert code == 2
    assert "assay " in said["error"]


def test_init_makes_a_folder_that_loads_and_refuses_to_overwrite_it(tmp_path: Path) -> None:
    code, said = assay("init", str(tmp_path / "new"), "--template", "text_classification")
    assert code == 0
    assert {file.name for file in (tmp_path / "new").iterdir()} == {
        "project.yaml", "project.schema.json", "label_config.xml", "guidelines.md",
    }  # fmt: skip
    assert said["project"] == "new"
    assert assay("init", str(tmp_path / "new"))[0] == 2
    code, said = assay("init", str(tmp_path / "other"), "--template", "text_clasification")
    assert code == 2
    assert "text_classification" in said["error"]


def test_templates_server_status_and_doctor_answer_in_json() -> None:
    assert "text_classification" in {item["name"] for item in assay("templates")[1]["templates"]}
    assert "order_status" in assay("templates", "text_classification")[1]["label_config"]
    assert set(assay("server", "status")[1]) == {"running", "url", "pid"}
    code, found = assay("doctor")
    assert code == 0, found


def test_an_unknown_command_or_option_is_exit_code_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["chekc"]) == 2
    assert run(["check", "--sorce", "x"]) == 2
    assert "--source" in capsys.readouterr().err


def test_another_distribution_called_validators_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "validators").mkdir()
    (tmp_path / "validators" / "__init__.py").write_text("")
    code = "import sys; sys.path.insert(0, sys.argv[1]); sys.argv = ['assay', 'templates']; import flows.__main__ as m; m.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 2
    assert "uninstall" in done.stderr
    assert str(tmp_path) in done.stderr


def test_make_and_a_shell_in_one_checkout_mean_the_same_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from pipeline.label_studio.server import home

    monkeypatch.delenv("ASSAY_HOME", raising=False)
    assert home() == ROOT / ".assay"
    assert "ASSAY_HOME" not in (ROOT / "Makefile").read_text()
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path))
    assert home() == tmp_path


def test_no_control_character_of_a_written_answer_reaches_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x9b2J\u202e"  # clears the screen; turns the line around
    annotation = {"annotation_id": 1, "name": evil, "answer": f'"{evil}"', "updated_at": ""}
    consensus = {"answer": f'"{evil}"', "method": "medoid", "confidence": 0.5}
    nothing: dict[str, list[object]] = {"findings": [], "versions": []}
    one = {"example_id": 1, "split": "train", "data": {evil: evil}, "annotations": [annotation], "consensus": [consensus]}
    screens.trace({**one, **nothing})
    shown = capsys.readouterr().out
    assert shown.count("\\x9b") == 5
    assert not set(evil[:1] + evil[-1]) & set(shown)
