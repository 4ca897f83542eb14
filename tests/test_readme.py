"""The README cannot rot: every command it names exists, every file it names is there, and its commands run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from test_loop import SIZE, sample_export

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> set[tuple[str, ...]]:
    """The command line's commands and their sub-commands."""
    from typer.main import get_command

    from flows.cli import app

    found: set[tuple[str, ...]] = set()
    for name, item in get_command(app).commands.items():  # type: ignore[attr-defined]
        below = getattr(item, "commands", None)
        found |= {(name, sub) for sub in below} if below else {(name,)}
    return found


def test_every_command_is_in_the_readme_and_every_command_in_the_readme_exists() -> None:
    written = {tuple(re.findall(r"[a-z]+", match)) for match in re.findall(r"`assay ((?:[a-z]+ ?)+)", README)}
    known = commands()
    assert {name for name in known if name not in written} == set()
    assert {name[:2] for name in written if name[:1] not in known and name[:2] not in known} == set()


@pytest.mark.parametrize(
    "path",
    sorted(set(re.findall(r"`((?:pipeline|validators|flows|annotation_templates|docs|tests)/[\w./]*)`", README))),
)
def test_every_path_in_the_readme_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_page_on_checks_lists_every_check_with_its_subject_and_what_it_leads_to_by_default() -> None:
    from pipeline.policy import actions
    from validators.check import subjects

    page = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| .*? \| ([\w ]+) \| (\w+) \|$", page, re.MULTILINE)
    plural = {"example": "examples", "annotator": "annotators", "slice": "slices", "corpus": "the corpus"}
    action = actions({}, subjects())
    assert {name: (about, leads) for name, about, leads in rows} == {
        name: (plural[subject], action[name]) for name, subject in subjects().items()
    }


def test_the_file_tree_names_what_is_there() -> None:
    tree = README.split("## What is where")[1].split("```")[1]
    names = [name for line in tree.splitlines() for name in re.findall(r"[\w./]+(?:\.\w+|/)(?=\s|$)", line[:28])]
    assert len(names) > 25
    for name in names:
        assert any((ROOT / base / name).exists() for base in ("", "pipeline", "validators", "flows")), name


def test_the_picture_is_there_and_is_one() -> None:
    (picture,) = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    assert (ROOT / picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_commands_for_a_file_run_as_written(tmp_path: Path) -> None:
    import json

    block = README.split("From a file, without any server:")[1].split("```")[1]
    lines = [shlex.split(line) for line in block.strip().splitlines()]
    assert [line[1] for line in lines] == ["check", "release", "train", "evaluate", "promote"]
    (tmp_path / "export.json").write_text(json.dumps(sample_export(SIZE)), encoding="utf-8")
    for line in lines:
        done = subprocess.run([sys.executable, "-m", "flows", *line[1:]], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0 or (line[1] == "promote" and done.returncode == 1), done.stderr
        assert "Traceback" not in done.stderr
    assert (tmp_path / "my-project" / "report.html").is_file()
    assert (tmp_path / "my-project" / "evaluation.html").is_file()
