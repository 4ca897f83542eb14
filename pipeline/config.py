"""project.yaml: what a project is. Secrets come from the environment, never from the file.

`load(folder)` gives the settings; a typo is answered with the file, the key and the known keys. Stages do not see this
object: the flows read flat arguments out of it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.errors import ConfigError, unknown
from pipeline.types import RESERVED

FILE = "project.yaml"
SCHEMA = "project.schema.json"
Share = Annotated[float, Field(ge=0, le=1)]
Action = Literal["ignore", "note", "fix", "relabel", "block", "drop"]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LabelStudio(Section):
    """The Label Studio project to sync with. The token comes from ASSAY_LABEL_STUDIO_TOKEN."""

    url: str = Field(description="Address of the server, with the sub-path if there is one")
    project: int | None = Field(None, description="Project id; `assay setup` fills it in")
    annotations_per_task: int = Field(1, ge=1, le=100, description="How many answers make a task done")


class Data(Section):
    """Where things are in a task's data."""

    text: str | None = Field(None, description="Data field that holds the text; default: the template's")
    controls: list[str] = Field(
        default_factory=list, description="Controls that hold the answer, the main one first; default: the template's"
    )
    group: str | None = Field(
        None, description="Data field whose equal values never straddle two splits, such as a customer id"
    )
    split: str | None = Field(None, description="Data field that declares the split: train, validation or test")


class Consensus(Section):
    method: Literal["auto", "majority", "dawid_skene", "one_coin", "mace", "shrunk", "crowdlab"] = Field(
        "auto", description="How several annotators' labels become one; auto chooses by the data's shape and by ground truth"
    )
    model: bool = Field(
        True, description="A model that learnt from the other examples may help where there are few answers to each, never alone"
    )


class Model(Section):
    name: str = Field("minilm", description="minilm (ships with Assay), a Hugging Face id, or a local folder")
    max_length: int = Field(128, ge=8, le=8192, description="Tokens; longer texts are cut")
    language_model: str | None = Field(
        None,
        description="Reads written answers as well: smollm2 (ships with Assay), a Hugging Face id, or a folder. Costs 15 CPU "
        "minutes per 1,000 answers, and has not found more than what is found without it",
    )
    language_model_answers: int = Field(500, ge=1, description="Answers that it reads at most, chosen by their content")


class Splits(Section):
    """Shares of the examples. Drawn once, by group and stratified by label; the test split is then frozen."""

    test: Share = 0.15
    validation: Share = 0.15

    @model_validator(mode="after")
    def _leave_room(self) -> Splits:
        if self.test + self.validation >= 0.9:
            raise ValueError("test and validation together must leave at least 0.1 for train")
        return self


class Training(Section):
    method: str = Field("lora", description="A PEFT method: see `assay doctor`")
    settings: dict[str, Any] = Field(default_factory=dict, description="Settings of the method, such as rank or epochs")


class Predictions(Section):
    """What becomes of the champion's answers for tasks that nobody has labelled yet."""

    held_back: Share = Field(
        0.2, description="Share of the tasks that get no suggestion, so that what suggestions do to annotators can be measured"
    )


class Promotion(Section):
    """Accuracy points as shares: 0.03 is three points."""

    margin: Share = Field(0.03, description="How much worse than the reference still counts as not worse")
    slice_margin: Share = Field(0.10, description="How much worse one slice may get")
    min_slice: int = Field(30, ge=1, description="Slices with fewer test examples are not judged")


class Review(Section):
    """The queue of doubtful examples in Label Studio."""

    blind: bool = Field(True, description="Reviewers see neither the reason nor the suggestion; false writes them to the meta")
    limit: int = Field(200, ge=1, le=200, description="Tasks in the queue at most: a day's work, and a filter each")


class Project(Section):
    """One project.yaml."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$", description="Shown in reports and Label Studio")
    template: str = Field("text_classification", description="A folder in annotation_templates/")
    source: str | None = Field(None, description="A Label Studio JSON export, instead of a live project")
    source_project: str | None = Field(None, description="Which project, where the export holds several: its id or title")
    label_studio: LabelStudio | None = None
    store: str = Field("store", description="Folder of the store, relative to project.yaml")
    data: Data = Data()
    slices: list[str] = Field(default_factory=list, description="Data fields over which everything is broken down")
    annotators: str | None = Field(
        None, description="File (csv, json, jsonl, parquet) with a column `annotator` and what is known about each of them"
    )
    consensus: Consensus = Consensus()
    model: Model = Model()
    checks: dict[str, dict[str, Any] | bool] = Field(
        default_factory=dict, description="Settings by check; false switches one off"
    )
    policy: dict[str, Action] = Field(default_factory=dict, description="What a check's findings lead to, by check")
    expectations: str | None = Field(None, description="Folder whose suites replace Assay's own by file name")
    bad_records: Literal["fail", "quarantine"] = Field(
        "quarantine", description="What cannot be read is set aside, counted and shown; or is an error"
    )
    splits: Splits = Splits()
    training: Training = Training()
    promotion: Promotion = Promotion()
    predictions: Predictions = Predictions()
    review: Review = Review()
    seed: int = Field(0, ge=0)

    @field_validator("slices")
    @classmethod
    def _free_names(cls, slices: list[str]) -> list[str]:
        taken = sorted(RESERVED.intersection(slices))
        if taken:
            raise ValueError(f"{', '.join(taken)}: a column of Assay's own tables has this name; rename the data field")
        if len(set(slices)) != len(slices):
            raise ValueError("a slice is listed twice")
        return slices

    @field_validator("store")
    @classmethod
    def _folder(cls, store: str) -> str:
        if re.match(r"^[a-z0-9+]+://", store):
            raise ValueError("only a folder is supported so far, not an address")
        return store


class Secrets(BaseSettings):
    """From the environment: ASSAY_LABEL_STUDIO_TOKEN and, for `assay serve`, ASSAY_WEBHOOK_SECRET."""

    model_config = SettingsConfigDict(env_prefix="ASSAY_", extra="ignore")

    label_studio_token: SecretStr | None = None
    webhook_secret: SecretStr | None = None


def load(folder: Path) -> Project:
    """The project in `folder`. ConfigError names the file, the key and the known keys."""
    file = folder / FILE
    if not file.is_file():
        raise ConfigError(
            f"There is no {FILE} in {folder}: make one with `assay init {folder} --template text_classification`."
        )
    try:
        loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not YAML: {_first_line(error)}.") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"{file} holds no settings: it must begin with `name: …`.")
    try:
        return Project.model_validate(loaded)
    except ValidationError as error:
        raise ConfigError(f"{file}: {explain(error)}") from error


def save(folder: Path, project: Project) -> Path:
    """Write project.yaml, with the JSON Schema beside it to which the first line points the editor."""
    import orjson

    folder.mkdir(parents=True, exist_ok=True)
    schema = orjson.dumps(Project.model_json_schema(), option=orjson.OPT_INDENT_2)
    (folder / SCHEMA).write_bytes(schema + b"\n")
    settings = {"name": project.name, "template": project.template, **project.model_dump(exclude_defaults=True)}
    body = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    text = f"# yaml-language-server: $schema=./{SCHEMA}\n{body}"
    beside = folder / f".{FILE}.new"
    beside.write_text(text, encoding="utf-8")
    return beside.replace(folder / FILE)


def explain(error: ValidationError) -> str:
    """The first fault in one sentence, with the key and the known keys."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    where = ".".join(path)
    if first["type"] == "extra_forbidden":
        known = _keys_at(path[:-1])
        return f"{'.'.join(path[:-1]) + ': ' if path[:-1] else ''}{unknown('key', path[-1], known)}"
    if first["type"] == "missing":
        return f"the key {where!r} is missing."
    given = first["input"]
    shown = f", not {given!r}" if isinstance(given, (str, int, float)) else ""
    return f"{where}: {first['msg'].removeprefix('Value error, ')}{shown}."


def _keys_at(path: list[str]) -> list[str]:
    model: Any = Project
    for part in path:
        hint = model.model_fields[part].annotation
        options = [hint, *getattr(hint, "__args__", ())]
        model = next(item for item in options if isinstance(item, type) and issubclass(item, BaseModel))
    return list(model.model_fields)


def _first_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return place + str(getattr(error, "problem", None) or error).splitlines()[0]
