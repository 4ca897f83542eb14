"""Every form of file that Label Studio, or a script around it, writes; and the controls behind answers that come without them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SourceError
from pipeline.label_studio.label_config import read_controls
from pipeline.reading.exports import infer_controls, open_export, read_export, read_json_min
from pipeline.reading.results import read_items

CONFIG = """<View><Text name="t" value="$text"/>
<Labels name="ner" toName="t"><Label value="PER"/><Label value="LOC"/></Labels>
<Choices name="sure" toName="t" perRegion="true" choice="multiple"><Choice value="yes"/><Choice value="well"/></Choices>
<Choices name="one" toName="t"><Choice value="a"/><Choice value="b"/></Choices>
<Choices name="many" toName="t" choice="multiple"><Choice value="a"/><Choice value="b"/></Choices>
<Choices name="nest" toName="t" allowNested="true"><Choice value="T"><Choice value="L"/></Choice><Choice value="S"/></Choices>
<Taxonomy name="tax" toName="t"><Choice value="A"><Choice value="B"/></Choice></Taxonomy>
<TextArea name="area" toName="t"/><TextArea name="single" toName="t"/>
<Rating name="stars" toName="t"/><Number name="num" toName="t"/><DateTime name="when" toName="t"/>
<Text name="l" value="$a"/><Text name="r" value="$b"/><Pairwise name="pw" toName="l,r"/>
<List name="list" value="$items"/><Ranker name="rank" toName="list"/>
<HyperText name="h" value="$html"/><HyperTextLabels name="hl" toName="h"><Label value="H"/></HyperTextLabels>
<Paragraphs name="p" value="$talk"/><ParagraphLabels name="pl" toName="p"><Label value="P"/></ParagraphLabels>
</View>"""
DATA: dict[str, Any] = {
    "text": "Hi \U0001f600 Ada in Paris",
    "a": "x",
    "b": "y",
    "items": [{"id": "i1"}, {"id": "i2"}],
    "html": "<p>Hi <b>Ada</b></p>",
    "talk": [{"author": "Ada", "text": "hello \U0001f600 there"}],
}
VALUES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("ner", "labels", "r1", {"start": 5, "end": 8, "text": "Ada", "labels": ["PER"]}),
    ("sure", "choices", "r1", {"start": 5, "end": 8, "text": "Ada", "choices": ["yes", "well"]}),
    ("ner", "labels", "r2", {"start": 12, "end": 17, "text": "Paris", "labels": ["LOC", "PER"]}),
    ("one", "choices", "", {"choices": ["a"]}),
    ("many", "choices", "", {"choices": ["a", "b"]}),
    ("nest", "choices", "", {"choices": [["T", "L"]]}),
    ("tax", "taxonomy", "", {"taxonomy": [["A", "B"], ["A"]]}),
    ("area", "textarea", "", {"text": ["first", "second"]}),
    ("single", "textarea", "", {"text": ["only\none"]}),
    ("stars", "rating", "", {"rating": 4}),
    ("num", "number", "", {"number": 2.5}),
    ("when", "datetime", "", {"datetime": "2024-01-02"}),
    ("pw", "pairwise", "", {"selected": "left"}),
    ("rank", "ranker", "", {"ranker": {"rank": ["i2", "i1"]}}),
    ("hl", "hypertextlabels", "r3", {"start": "/p[1]/b[1]/text()[1]", "startOffset": 0, "end": "/p[1]/b[1]/text()[1]",
                                     "endOffset": 3, "globalOffsets": {"start": 3, "end": 6}, "hypertextlabels": ["H"]}),
    ("pl", "paragraphlabels", "r4", {"start": "0", "end": "0", "startOffset": 9, "endOffset": 14, "text": "there",
                                     "paragraphlabels": ["P"]}),
]  # fmt: skip
TARGETS = {"pw": "pw", "rank": "list", "hl": "h", "pl": "p"}


def result() -> list[dict[str, Any]]:
    return [
        {"from_name": name, "to_name": TARGETS.get(name, "t"), "type": kind, "value": value, "id": region or f"x{number}"}
        for number, (name, kind, region, value) in enumerate(VALUES)
    ]


def annotation(number: int, entries: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "id": number, "completed_by": 7, "result": result() if entries is None else entries, "was_cancelled": False,
        "created_at": f"2024-05-15T12:09:0{number}Z", "updated_at": "2024-05-15T12:10:00Z", "lead_time": 1.5, **more,
    }  # fmt: skip


def written(folder: Path, content: Any) -> Path:
    file = folder / "export.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def read_all(tasks: list[dict[str, Any]], controls: Any) -> list[list[tuple[str, Any]]]:
    found = []
    for task in tasks:
        for given_ in task["annotations"]:
            items, problems = read_items(given_["result"], controls, task["data"])
            assert problems == []
            found.append(sorted(((item.control, item.value) for item in items), key=repr))
    return found


def test_a_json_export_is_its_tasks(tmp_path: Path) -> None:
    tasks = [{"id": 1, "data": DATA, "annotations": [annotation(1)]}, {"id": 2, "data": DATA, "annotations": []}]
    assert read_export(written(tmp_path, tasks)) == tasks
    assert read_export(written(tmp_path, {"tasks": tasks, "total": 2})) == tasks
    assert read_export(written(tmp_path, tasks[0])) == tasks[:1]


def test_json_min_as_the_vendors_converter_writes_it_says_what_the_json_export_says(tmp_path: Path) -> None:
    from label_studio_sdk.converter import Converter

    skipped = annotation(3, [], was_cancelled=True)
    tasks = [
        {"id": 5, "data": DATA, "annotations": [annotation(1), annotation(2, result()[3:5]), skipped]},
        {"id": 6, "data": {**DATA, "id": "mine"}, "annotations": [annotation(4, [])]},
        {"id": 7, "data": DATA, "annotations": []},
    ]
    Converter(CONFIG, None, download_resources=False).convert(
        str(written(tmp_path, tasks)), str(tmp_path / "out"), "JSON_MIN", is_dir=False
    )
    file = tmp_path / "out" / "result.json"
    controls = read_controls(CONFIG)
    found = read_export(file, controls=controls)
    assert found == read_json_min(json.loads(file.read_text()), controls)
    assert [task["id"] for task in found] == [5, 6, 7]
    assert [sorted(given_["id"] for given_ in task["annotations"]) for task in found] == [[1, 2], [4], []]
    assert all(task["data"].items() <= DATA.items() for task in found)
    expected = read_all([{**task, "annotations": [a for a in task["annotations"] if not a["was_cancelled"]]} for task in tasks],
                        controls)  # fmt: skip
    assert sorted(map(repr, read_all(found, controls))) == sorted(map(repr, expected))
    first = next(given_ for given_ in found[0]["annotations"] if given_["id"] == 1)
    items, _ = read_items(first["result"], controls, DATA)
    (region,) = [item.region for item in items if item.value == {"start": 5, "end": 8, "labels": ["PER"], "text": "Ada"}]
    assert [item.parent for item in items if item.control == "sure"] == [region], "the region is found again by its offsets"
    with pytest.raises(SourceError, match=r"JSON_MIN.*--label-config"):
        read_export(file)


def test_chat_messages_of_json_min_are_read(tmp_path: Path) -> None:
    row = {"m": [], "chat": [{"role": "user", "content": "hi"}], "id": 1, "annotator": 3, "annotation_id": 9}
    controls = read_controls('<View><Chat name="chat" value="$m"/></View>')
    (task,) = read_export(written(tmp_path, [row]), controls=controls)
    assert read_all([task], controls) == [[("chat", {"role": "user", "content": "hi"})]]
    assert task["annotations"][0]["completed_by"] == 3


def test_completions_of_old_exports_are_annotations(tmp_path: Path) -> None:
    old = {"id": 3, "result": [], "honeypot": True, "skipped": True, "created_at": 1600000000}
    (task,) = read_export(written(tmp_path, [{"id": 1, "data": DATA, "completions": [old, "broken"]}]))
    assert "completions" not in task
    first, second = task["annotations"]
    assert first == {
        "id": 3, "result": [], "ground_truth": True, "was_cancelled": True, "created_at": "2020-09-13T12:26:40Z",
    }  # fmt: skip
    assert second == "broken"


def projects() -> list[dict[str, Any]]:
    tasks = [{"id": 1, "data": DATA, "annotations": [annotation(1)]}]
    return [
        {"project": {"id": 8, "title": "full", "label_config": CONFIG}, "tasks": tasks},
        {"project": {"id": 9, "title": "empty"}, "tasks": []},
    ]


@pytest.mark.parametrize("wrap", [lambda listed: {"projects": listed}, lambda listed: listed])
def test_of_several_projects_the_one_with_tasks_or_the_named_one_is_taken(tmp_path: Path, wrap: Any) -> None:
    listed = projects()
    found = open_export(written(tmp_path, wrap(listed)))
    assert (found.tasks, found.label_config, found.project) == (listed[0]["tasks"], CONFIG, "full")
    other = {"project": {"id": 10, "title": "other", "raw": {"label_config": "<View/>"}}, "annotated_tasks": listed[0]["tasks"]}
    file = written(tmp_path, wrap([*listed, other]))
    with pytest.raises(SourceError, match="tasks of 2 projects; say which is meant: 8 full, 10 other"):
        open_export(file)
    assert open_export(file, project="8").project == "full"
    assert open_export(file, project="other").label_config == "<View/>"
    with pytest.raises(SourceError, match="no single one is 'nobody': 8 full, 10 other"):
        open_export(file, project="nobody")
    with pytest.raises(SourceError, match="no task in any of them"):
        open_export(written(tmp_path, wrap(listed[1:])))


def test_of_mixed_tasks_those_of_one_project_can_be_chosen(tmp_path: Path) -> None:
    tasks = [{"id": number, "project": number, "data": DATA, "annotations": []} for number in (1, 2)]
    file = written(tmp_path, tasks)
    with pytest.raises(SourceError, match=r"mixes the tasks of 2 projects \(1, 2\)"):
        read_export(file)
    assert [task["id"] for task in read_export(file, project="2")] == [2]
    with pytest.raises(SourceError, match="no task of project 3: it holds 1, 2"):
        read_export(file, project="3")


def test_annotations_that_each_hold_their_task_are_brought_together(tmp_path: Path) -> None:
    task = {"id": 4, "data": DATA}
    singles = [{**annotation(number), "task": task} for number in (1, 2)]
    (found,) = read_export(written(tmp_path, singles))
    assert found["id"] == 4
    assert [given_["id"] for given_ in found["annotations"]] == [1, 2]
    hook = {"annotation": annotation(1), "task": task, "project": {"id": 3, "label_config": CONFIG}}
    assert open_export(written(tmp_path, hook)).label_config == CONFIG


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("nope", "is not JSON"),
        ("[]", "holds no task: the project is empty"),
        ("3", "must be a list of tasks"),
        ('{"a": 1}', "must be a list of tasks"),
        ("[1]", "must be a list of tasks"),
        ('[{"id": 4}]', "task 4 has no `data` object"),
        ('[{"data": []}]', "task number 1 has no `data` object"),
    ],
)
def test_what_is_no_export_is_refused_with_its_reason(tmp_path: Path, content: str, why: str) -> None:
    file = tmp_path / "export.json"
    file.write_text(content)
    with pytest.raises(SourceError, match=why):
        read_export(file)
    with pytest.raises(SourceError, match="cannot be read"):
        read_export(tmp_path / "absent.json")


def test_one_broken_task_or_text_does_not_cost_the_others_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "export.json"
    whole = '{"id": 2, "text": "no data"}, {"id": 3, "data": {"text": "é"}}'
    file.write_text(f'[{{"id": 1, "data": {{"text": "half \\ud83d"}}}}, {whole}]')
    found = read_export(file)
    assert [task["id"] for task in found] == [1, 2, 3]
    assert [task.get("data") for task in found] == [{"text": "half ?"}, None, {"text": "é"}]
    for spoiled in ('[{"id": 1, "data": {"text": NaN}}]', '[{"id": 1, "data": {"text": "\\ud83d"', "[" * 100_000):
        file.write_text(spoiled)
        with pytest.raises(SourceError, match="is not JSON"):
            read_export(file)


def test_controls_are_inferred_from_answers_well_enough_to_read_all_of_them() -> None:
    tasks = [{"id": 1, "data": {"image": "/a.png", "other": "b", **DATA}, "annotations": [annotation(1), annotation(2)]}]
    controls = infer_controls(tasks)
    configured = {control.name: control for control in read_controls(CONFIG)}
    assert read_all(tasks, controls) == read_all(tasks, tuple(configured.values()))
    for control in controls:
        told = configured[control.name]
        assert control.tag == told.tag
        assert control.to_name == (told.name if told.tag == "Pairwise" else told.to_name)
        if control.tag.endswith("Labels"):
            assert (control.field, control.shows) == (told.field, told.shows)
    found = {control.name: control for control in controls}
    assert found["ner"].labels == ("PER", "LOC"), "by frequency"
    assert found["many"].setting("choice") == "multiple"
    assert found["one"].setting("choice") == "single"
    assert found["sure"].setting("perRegion") == "true"
    assert found["nest"].setting("allowNested") == "true"
    assert found["one"].field == "text", "the field of the object in which spans were verified"


def test_without_spans_the_field_is_the_objects_name_or_the_first_text() -> None:
    entries = [{"from_name": "c", "to_name": "body", "type": "choices", "value": {"choices": ["z", "a"]}}]
    entries += [{"from_name": "c", "to_name": "body", "type": "choices", "value": {"choices": ["b"]}}]
    for data, field in (({"n": 3, "x": "one", "body": "two"}, "body"), ({"n": 3, "x": "one", "y": "two"}, "x"), ({"n": 3}, "")):
        (control,) = infer_controls([{"id": 1, "data": data, "annotations": [{"result": entries}]}])
        assert control.field == field
        assert control.labels == ("a", "b", "z")


def test_stars_beyond_five_and_regions_of_images_are_inferred_too() -> None:
    entries = [
        {"from_name": "s", "to_name": "t", "type": "rating", "value": {"rating": 9}},
        {"from_name": "b", "to_name": "i", "type": "rectanglelabels", "value": {"x": 1, "rectanglelabels": ["cat"]}},
        {"from_name": "l", "to_name": "i", "type": "labels", "value": {"x": 1, "labels": ["cat"]}},
    ]
    task = {"id": 1, "data": {"text": "x"}, "annotations": [{"result": entries}]}
    controls = infer_controls([task])
    assert [(control.tag, control.shows, control.labels) for control in controls] == [
        ("Rating", "Text", ()),
        ("RectangleLabels", "", ("cat",)),
        ("Labels", "", ("cat",)),
    ]
    items, problems = read_items(entries, controls, task["data"])
    assert problems == []
    assert [item.understood for item in items] == [True, False, False]


KEYS = {
    "id", "data", "annotations", "completions", "result", "from_name", "to_name", "type", "value", "choices", "labels",
    "taxonomy", "start", "end", "text", "rating", "project", "tasks", "task", "annotation", "annotation_id", "projects",
    "annotated_tasks", "title", "label_config", "created_at",
}  # fmt: skip
JSON = st.recursive(
    st.one_of(st.none(), st.integers(-3, 9), st.floats(), st.text(max_size=4), st.sampled_from(["choices", "labels", "Ada"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                sorted(KEYS)
            ),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=15,
)


@given(st.lists(st.dictionaries(st.sampled_from(["id", "data", "annotations", "completions"]), JSON, max_size=4), max_size=3))
def test_nothing_in_a_task_stops_inferring(tasks: list[dict[str, Any]]) -> None:
    for control in infer_controls(tasks):
        assert control.name


@given(JSON)
def test_any_json_is_an_export_or_a_source_error(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    file = written(tmp_path_factory.getbasetemp(), content)
    try:
        tasks = read_export(file, controls=read_controls(CONFIG))
    except SourceError:
        return
    assert tasks
    assert all(isinstance(task["data"], dict) for task in tasks)


# --- real files


def annotated(file: Path) -> list[tuple[dict[str, Any], list[Any]]]:
    """(data, result) of every annotation of a file of whatever form, found by walking it; nothing of ours is used."""
    found: list[tuple[dict[str, Any], list[Any]]] = []

    def walk(node: Any, data: dict[str, Any]) -> None:
        if isinstance(node, list):
            for item in node:
                walk(item, data)
        elif isinstance(node, dict):
            data = node["data"] if isinstance(node.get("data"), dict) else data
            data = node["task"]["data"] if isinstance(node.get("task"), dict) and "data" in node["task"] else data
            if isinstance(node.get("result"), list):
                found.append((data, node["result"]))
            for key, value in node.items():
                if key not in ("data", "result", "drafts", "predictions", "history", "reviews", "prediction"):
                    walk(value, data)

    walk(json.loads(file.read_text(encoding="utf-8")), {})
    return found


REAL = {"labels", "taxonomy", "choices", "textarea", "chatmessage", "relation"}  # of the types in these files, those we read


def real_files(shared: Path) -> list[Path]:
    return sorted((shared / "data").glob("labelstudio_*/*.json"))


def test_every_annotation_of_every_real_file_is_read_and_what_is_not_for_us_is_carried(shared: Path) -> None:
    total: Counter[str] = Counter()
    for file in real_files(shared):
        for data, raw in annotated(file):
            tasks = [{"data": data, "annotations": [{"result": raw}]}]
            items, problems = read_items(raw, infer_controls(tasks), data)
            assert problems == [], file
            assert len(items) == len(raw)
            assert [item.type for item in items] == [entry["type"] for entry in raw]
            for item, entry in zip(items, raw, strict=True):
                assert item.understood == (entry["type"] in REAL), (file, entry["type"])
                if item.type == "labels":
                    given_ = entry["value"]
                    assert data["text"][item.value["start"] : item.value["end"]] == item.value["text"]
                    assert item.value["text"].split() == given_["text"].split()
                    total["white space differs"] += item.value["text"] != given_["text"]
                    assert item.value["labels"] == given_["labels"]
                if not item.understood:
                    assert item.value == entry
            total["annotations"] += 1
            total["items"] += len(items)
            total["understood"] += sum(item.understood for item in items)
    # 7093 entries of the two Enterprise files, 39 of the many-projects file, 31 of the ML backend's, 54 of the SDK's.
    assert total == {"annotations": 783, "items": 7217, "understood": 7146, "white space differs": 50}


@pytest.mark.parametrize("name", ["LEOKA_team_1.json", "LEOKA_team_4.json"])
def test_the_enterprise_export_is_read_to_the_last_annotation(shared: Path, name: str) -> None:
    file = shared / "data" / "labelstudio_leoka_ner" / name
    tasks = read_export(file)
    raw = json.loads(file.read_text(encoding="utf-8"))
    assert len(tasks) == len(raw) == 130
    controls = infer_controls(tasks)
    assert {control.name: (control.tag, control.field) for control in controls} == {
        "label": ("Labels", "text"), "Category": ("Taxonomy", "text"),
    }  # fmt: skip
    entries = [entry for task in raw for given_ in task["annotations"] for entry in given_["result"]]
    used = Counter(label for entry in entries if entry["type"] == "labels" for label in entry["value"]["labels"])
    assert controls[0].labels == tuple(sorted(used, key=lambda label: (-used[label], label)))
    for task, same in zip(tasks, raw, strict=True):
        for given_, was in zip(task["annotations"], same["annotations"], strict=True):
            items, problems = read_items(given_["result"], controls, task["data"])
            assert problems == []
            assert Counter(item.type for item in items) == Counter(entry["type"] for entry in was["result"])
            assert all(item.understood for item in items)
    assert all(isinstance(given_["completed_by"], dict) for task in tasks for given_ in task["annotations"])


def test_the_file_of_fifty_four_projects_asks_which_and_gives_each(shared: Path) -> None:
    file = shared / "data" / "labelstudio_labic_ner" / "all_annotations_export.json"
    with pytest.raises(SourceError, match="tasks of 3 projects; say which is meant: 45 "):
        read_export(file)
    controls = read_controls((file.parent / "label_config_ner.xml").read_text())
    counts = Counter[str]()
    for project in ("45", "33", "30"):
        for task in open_export(file, project=project).tasks:
            counts["tasks"] += 1
            for given_ in task["annotations"]:
                items, problems = read_items(given_["result"], controls, task["data"])
                assert problems == []
                counts["spans"] += len(items)
    assert counts == {"tasks": 13, "spans": 39}
    with pytest.raises(SourceError, match="30 projects, and no task in any of them"):
        read_export(file.parent / "labelstudio_annotated_export.json")


def test_the_vendors_own_chat_and_webhook_files_are_read(shared: Path) -> None:
    folder = shared / "data"
    tasks = read_export(folder / "labelstudio_sdk_tests" / "test_export_json_min_chat_data.json")
    (chat,) = infer_controls(tasks)
    assert (chat.tag, chat.field) == ("Chat", "input_chat")
    items, _ = read_items(tasks[0]["annotations"][0]["result"], [chat], tasks[0]["data"])
    assert [item.value["role"] for item in items] == ["user", "assistant", "user", "assistant"]
    hook = open_export(folder / "labelstudio_mlbackend_tests" / "test_timeline_labels_1.json")
    assert [control.tag for control in read_controls(hook.label_config)] == ["TimelineLabels"]
    assert len(hook.tasks[0]["annotations"][0]["result"]) == 2
