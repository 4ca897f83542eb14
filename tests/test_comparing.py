"""Human evaluation: two models' outputs, blind, judged by people in a real Label Studio."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from people import sign_up

from flows.cli import run
from flows.place import Place, open_place
from flows.stages import comparing
from flows.stages.comparing import Output
from pipeline.config import LabelStudio, Project, save
from pipeline.errors import Missing, SourceError
from pipeline.evaluation.human import preferences, ratings
from pipeline.label_studio.connection import Connection, request
from pipeline.label_studio.listing import full_pages

COLUMNS = ["item", "annotator", "preferred", "left"]


def test_a_better_model_is_seen_and_equal_ones_are_not_told_apart() -> None:
    draw = np.random.default_rng(3)
    rows = [(item, who, "b" if draw.random() < 0.75 else "a", "ab"[draw.integers(2)]) for item in range(80) for who in "xyz"]
    found = preferences(pd.DataFrame(rows, columns=COLUMNS))
    assert found["win_rate"]["low"] > 0.5
    assert found["p"] < 0.001
    rows = [(item, "x", "ab"[item % 2], "a") for item in range(80)]
    found = preferences(pd.DataFrame(rows, columns=COLUMNS))
    assert found["win_rate"]["low"] < 0.5 < found["win_rate"]["high"]
    assert found["p"] == pytest.approx(1.0)


def test_whoever_always_takes_the_left_one_shows_as_position_bias_not_as_preference() -> None:
    rows = [(item, "x", "ab"[item % 2], "ab"[item % 2]) for item in range(60)]
    found = preferences(pd.DataFrame(rows, columns=COLUMNS))
    assert found["left"]["value"] == 1
    assert found["win_rate"]["value"] == 0.5


def test_nothing_judged_yet_is_no_result() -> None:
    assert preferences(pd.DataFrame([], columns=COLUMNS))["win_rate"] is None
    none = pd.DataFrame([], columns=["item", "annotator", "output", "dimension", "value"])
    assert ratings(none, seed=0)["dimensions"] == []


def test_ratings_are_compared_on_the_items_that_have_both() -> None:
    rows = [(item, "x", out, "accuracy", 3 + (out == "b")) for item in range(20) for out in "ab"]
    rows.append((99, "x", "a", "accuracy", 1))
    found = ratings(pd.DataFrame(rows, columns=["item", "annotator", "output", "dimension", "value"]), seed=0)["dimensions"][0]
    assert (found["items"], found["difference"]["value"]) == (20, 1.0)
    assert found["difference"]["low"] == found["difference"]["high"] == 1.0


@pytest.fixture
def place(label_studio: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("ASSAY_LABEL_STUDIO_TOKEN", label_studio.token)
    save(tmp_path, Project(name=f"cmp {tmp_path.name}"[-30:], label_studio=LabelStudio(url=label_studio.url)))
    return open_place(tmp_path)


def outputs(size: int) -> list[Output]:
    """b is the better one but for the last two prompts, about which both say the same."""
    rows = [Output(f"Question {n}? <b>😀</b>", f"poor {n}", f"good {n}") for n in range(size)]
    return [*rows[:-2], *(Output(item.prompt, item.a, item.a) for item in rows[-2:])]


@pytest.mark.server
def test_outputs_are_judged_blind_and_the_result_names_the_better_one(place: Place, label_studio: Connection) -> None:
    pushed = comparing.push(place, outputs(16), a="old", b="new", per_task=2)
    assert (pushed["created"], pushed["same"]) == (14, 2)
    again = comparing.push(place, outputs(16), a="old", b="new", per_task=2)
    assert (again["created"], again["present"], again["project"]) == (0, 14, pushed["project"])
    listed = [task for page in full_pages(label_studio, pushed["project"], include=["id", "data", "meta"]) for task in page]
    assert {key for task in listed for key in task["meta"]} == {"assay_key"}, "nothing may tell which is which"
    left = ["good" in task["data"]["left"] for task in listed]
    assert 0 < sum(left) < len(left), "the order must not say which is which"
    empty = comparing.status(place)
    assert (empty["judgements"], empty["win_rate"]) == (0, None)

    people = sign_up(label_studio, "Ada", "Bea")
    for own, _ in people.values():
        for at, task in enumerate(listed):
            side = "tie" if at == 0 else "left" if "good" in task["data"]["left"] else "right"
            result = [{"from_name": "preference", "to_name": "prompt", "type": "choices", "value": {"choices": [side]}}]
            request(own, "POST", f"/api/tasks/{task['id']}/annotations/", json={"result": result})
    ada, task = people["Ada"][0], f"/api/tasks/{listed[1]['id']}/"
    (own,) = [one for one in request(ada, "GET", task)["annotations"] if one["completed_by"]["id"] == people["Ada"][1]]
    other = json.loads(json.dumps(own["result"]).replace("left", "?").replace("right", "left").replace("?", "right"))
    request(ada, "POST", f"{task}annotations/", json={"result": other})  # she errs, and then sees it
    request(ada, "PATCH", f"/api/annotations/{own['id']}/", json={"result": own["result"]})
    body = comparing.status(place)
    assert body["wins"] == {"a": 0, "b": 26, "tie": 2}
    assert (body["answered"], body["tasks"], body["annotators"], body["same"]) == (14, 14, 2, 2)
    assert body["win_rate"]["value"] == pytest.approx(13.5 / 14)
    assert body["p"] < 0.001
    kept = place.store.folder(comparing.RESULT, body["evaluation"]) / "evaluation.json"
    assert orjson.loads(kept.read_bytes())["wins"] == body["wins"]
    assert comparing.status(place)["evaluation"] == body["evaluation"]


@pytest.mark.server
def test_outputs_can_be_rated_one_by_one(place: Place, label_studio: Connection, tmp_path: Path, capsys: Any) -> None:
    for name in "ab":
        rows = [{"prompt": item.prompt, "output": getattr(item, name)} for item in outputs(8)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    files = [str(tmp_path / f"{name}.jsonl") for name in "ab"]
    assert run(["compare", "push", *files, "--as", "rating", "-C", str(tmp_path), "--json"]) == 0
    pushed = json.loads(capsys.readouterr().out)
    assert (pushed["created"], pushed["same"]) == (12, 2)
    for page in full_pages(label_studio, pushed["project"], include=["id", "data"]):
        for task in page:
            stars = 5 if "good" in str(task["data"]) else 2
            names = ("coherence", "relevance", "accuracy")
            result = [
                {"from_name": name, "to_name": "response", "type": "rating", "value": {"rating": stars}} for name in names
            ]
            request(label_studio, "POST", f"/api/tasks/{task['id']}/annotations/", json={"result": result})
    assert run(["compare", "status", "-C", str(tmp_path), "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["unreadable"] == 0
    assert [(row["a"], row["b"], row["difference"]["value"]) for row in body["dimensions"]] == [(2.0, 5.0, 3.0)] * 3


def test_an_adapter_is_found_by_the_beginning_of_its_id_if_no_other_begins_so(tmp_path: Path) -> None:
    save(tmp_path, Project(name="adapters"))
    place = open_place(tmp_path)
    for name in ("3f2a01", "3f2b02"):
        (place.store.root / "adapters" / name).mkdir(parents=True)
    assert comparing.adapter(place, "3f2a") == comparing.adapter(place, "3f2a01") == "3f2a01"
    for name in ("3f", "4", "champion"):
        with pytest.raises(Missing):
            comparing.adapter(place, name)


def test_files_that_do_not_fit_are_named(tmp_path: Path, place: Place) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "p", "output": "x"}\n{"prompt": "q", "output": "x"}\n')
    (tmp_path / "b.jsonl").write_text('{"prompt": "p", "output": "y"}\n')
    (tmp_path / "c.jsonl").write_text('{"prompt": "p"}\n')
    with pytest.raises(SourceError, match=r"b\.jsonl has no output for the prompt 'q'"):
        comparing.outputs_of_files(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    with pytest.raises(SourceError, match=r"c\.jsonl: line 1"):
        comparing.outputs_of_files(tmp_path / "a.jsonl", tmp_path / "c.jsonl")
    with pytest.raises(Missing, match="compare push"):
        comparing.status(place)
    same = [Output("p", "x", "x")]
    with pytest.raises(SourceError, match="nothing to compare"):
        comparing.push(place, same, a="old", b="new")
