"""project.yaml: a typo is answered with the file, the key and the known keys."""

import json
from pathlib import Path

import pytest

from pipeline import config
from pipeline.config import LabelStudio, Project
from pipeline.errors import ConfigError

GOOD = "name: mine\ntemplate: text_classification\n"


def load(folder: Path, text: str) -> Project:
    (folder / config.FILE).write_text(text, encoding="utf-8")
    return config.load(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "slicess: [a]\n", ["'slicess'", "slices", "project.yaml"]),
        (GOOD + "splits: {tets: 0.2}\n", ["splits", "'tets'", "test", "validation"]),
        (GOOD + "label_studio: {url: x, projekt: 3}\n", ["label_studio", "'projekt'", "project"]),
        (GOOD + "splits: {test: 1.5}\n", ["splits.test", "1.5"]),
        (GOOD + "splits: {test: 0.5, validation: 0.5}\n", ["splits", "at least 0.1"]),
        (GOOD + "slices: [split]\n", ["split", "rename"]),
        (GOOD + "slices: [a, a]\n", ["twice"]),
        (GOOD + "store: s3://bucket/x\n", ["store", "only a folder"]),
        ("template: text_classification\n", ["'name'", "missing"]),
        ("name: [unclosed\n", ["not YAML", "line"]),
        ("", ["no settings"]),
        (GOOD + "policy: {label_errors: dorp}\n", ["policy.label_errors", "dorp"]),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    for word in [*words, str(tmp_path)]:
        assert word in str(caught.value)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="assay init"):
        config.load(tmp_path)


def test_what_is_saved_is_what_is_loaded_and_the_editor_finds_the_schema(tmp_path: Path) -> None:
    project = Project(name="a b", slices=["x"], label_studio=LabelStudio(url="http://h/ls", project=4))
    file = config.save(tmp_path, project)
    assert config.load(tmp_path) == project
    first = file.read_text().splitlines()[0]
    schema = json.loads((tmp_path / first.split("$schema=./")[1]).read_text())
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == set(Project.model_fields)


def test_the_schema_and_the_file_hold_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_LABEL_STUDIO_TOKEN", "s3cr3t-token")
    secrets = config.Secrets()
    assert secrets.label_studio_token is not None
    assert "s3cr3t" not in repr(secrets)
    config.save(tmp_path, Project(name="x"))
    assert all("s3cr3t" not in file.read_text() for file in tmp_path.iterdir())
