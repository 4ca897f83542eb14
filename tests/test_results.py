"""Raw results: what the editor writes is read, what nobody can mean is a problem, and nothing is lost or raises."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.label_studio.label_config import read_controls
from pipeline.reading.results import missing_required, read_items
from pipeline.types import Item

CONFIG = """<View>
<Text name="t" value="$text"/>
<Labels name="ner" toName="t" choice="multiple"><Label value="PER" alias="per"/><Label value="LOC"/></Labels>
<Choices name="sure" toName="t" perRegion="true"><Choice value="yes"/><Choice value="no"/></Choices>
<TextArea name="note" toName="t" perRegion="true"/>
<Choices name="one" toName="t" required="true"><Choice value="a" alias="AA"/><Choice value="b"/></Choices>
<Choices name="many" toName="t" choice="multiple"><Choice value="a"/><Choice value="b"/></Choices>
<Choices name="nest" toName="t" choice="multiple" allowNested="true">
  <Choice value="Top"><Choice value="Leaf" alias="lf"/></Choice><Choice value="Alone"/></Choices>
<Taxonomy name="tax" toName="t"><Choice value="A"><Choice value="A1"/></Choice><Choice value="B"/></Taxonomy>
<TextArea name="area" toName="t" required="true"/>
<Rating name="stars" toName="t" maxRating="4"/>
<Number name="num" toName="t" min="0" max="10"/>
<DateTime name="dt" toName="t" only="date,time"/>
<ParagraphLabels name="pl" toName="p"><Label value="PPER"/></ParagraphLabels>
<Paragraphs name="p" value="$dialogue" nameKey="who" textKey="said"/>
<HyperText name="h" value="$html"/>
<HyperTextLabels name="hl" toName="h"><Label value="HPER"/></HyperTextLabels>
<Text name="l" value="$a"/><Text name="r" value="$b"/><Pairwise name="pw" toName="l,r"/>
<List name="list" value="$items"/><Ranker name="rank" toName="list"/>
<Chat name="chat" value="$messages"/>
<Image name="i" value="$image"/><RectangleLabels name="box" toName="i"><Label value="cat"/></RectangleLabels>
<Labels name="boxed" toName="i"><Label value="cat"/></Labels>
<Choices name="free" toName="t" value="$options"/>
</View>"""
CONTROLS = read_controls(CONFIG)
TEXT = "Hi \U0001f600 Ada Lovelace"
DATA: dict[str, Any] = {
    "text": TEXT,
    "dialogue": [
        {"who": "A \U0001f600", "said": "Hello \U0001f600 Ada here"},
        {"who": "B", "said": "In \U0001f600 Paris\nsecond  line\r\n third"},
    ],
    "html": "<p>Hi \U0001f600 <b>Ada</b></p><p>met Bob</p>",
    "a": "left text",
    "b": "right text",
    "items": [{"id": "i1"}, {"id": "i2"}],
    "messages": [{"role": "user", "content": "hi"}],
    "image": "http://example.com/1.png",
    "options": ["x", "y"],
}


def entry(name: str, kind: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"from_name": name, "to_name": "t", "type": kind, "value": value, **more}


def span(start: Any = 5, end: Any = 8, said: str | None = "Ada", labels: Any = ("per",), **more: Any) -> dict[str, Any]:
    value = {"start": start, "end": end, "labels": list(labels) if isinstance(labels, tuple) else labels}
    return entry("ner", "labels", value | ({} if said is None else {"text": said}), **more)


def paragraphs(start: str, end: str, start_offset: int, end_offset: int) -> dict[str, Any]:
    value = {"start": start, "end": end, "startOffset": start_offset, "endOffset": end_offset, "paragraphlabels": ["PPER"]}
    return entry("pl", "paragraphlabels", value)


def one(raw: Any) -> Item:
    items, problems = read_items([raw], CONTROLS, DATA)
    assert problems == []
    return items[0]


# The `result` of one annotation, made in a browser with the editor of Label Studio 1.23.2, nearly under CONFIG.
EDITOR: list[dict[str, Any]] = [
    {"value": {"start": 5, "end": 8, "text": "Ada", "labels": ["per"]}, "id": "uf_bj5K9Jx", "from_name": "ner", "to_name": "t",
     "type": "labels", "origin": "manual"},
    {"value": {"start": 5, "end": 8, "text": "Ada", "choices": ["yes"]}, "id": "uf_bj5K9Jx", "from_name": "sure", "to_name": "t",
     "type": "choices", "origin": "manual"},
    {"value": {"start": 5, "end": 8, "text": ["a note"]}, "id": "uf_bj5K9Jx", "from_name": "note", "to_name": "t",
     "type": "textarea", "origin": "manual"},
    {"value": {"start": 5, "end": 17, "text": "Ada Lovelace", "labels": ["LOC"]}, "id": "ZvHJmihtCC", "from_name": "ner",
     "to_name": "t", "type": "labels", "origin": "manual"},
    {"value": {"start": "0", "end": "0", "startOffset": 9, "endOffset": 12, "text": "Ada", "paragraphlabels": ["PPER"]},
     "id": "ZlbjWNZFr5", "from_name": "pl", "to_name": "p", "type": "paragraphlabels", "origin": "manual"},
    {"value": {"start": "0", "end": "1", "startOffset": 13, "endOffset": 11, "paragraphlabels": ["PPER"],
               "text": "here\n00:00:00 - 00:00:00\nIn \U0001f600 Paris"},
     "id": "n7UoZmIPGJ", "from_name": "pl", "to_name": "p", "type": "paragraphlabels", "origin": "manual"},
    {"value": {"start": "1", "end": "1", "startOffset": 27, "endOffset": 32, "text": "third", "paragraphlabels": ["PPER"]},
     "id": "ijYKvJJSRl", "from_name": "pl", "to_name": "p", "type": "paragraphlabels", "origin": "manual"},
    {"value": {"choices": ["AA"]}, "id": "7V9dK9lQui", "from_name": "one", "to_name": "t", "type": "choices", "origin": "manual"},
    {"value": {"choices": ["a", "b"]}, "id": "cJK04msQ02", "from_name": "many", "to_name": "t", "type": "choices",
     "origin": "manual"},
    {"value": {"choices": [["Top", "lf"], ["Alone"]]}, "id": "vvZErc3VHa", "from_name": "nest", "to_name": "t",
     "type": "choices", "origin": "manual"},
    {"value": {"taxonomy": [["A", "A1"], ["B"]]}, "id": "kcihmRMh-8", "from_name": "tax", "to_name": "t", "type": "taxonomy",
     "origin": "manual"},
    {"value": {"text": ["first\nline", "\U0001f600 second"]}, "id": "7J7qOKhnRv", "from_name": "area", "to_name": "t",
     "type": "textarea", "origin": "manual"},
    {"value": {"rating": 4}, "id": "BGwuw0aN5v", "from_name": "stars", "to_name": "t", "type": "rating", "origin": "manual"},
    {"value": {"number": 3.5}, "id": "ToX6za8-Ll", "from_name": "num", "to_name": "t", "type": "number", "origin": "manual"},
    {"value": {"selected": "left"}, "id": "dDziyBDHIf", "from_name": "pw", "to_name": "pw", "type": "pairwise",
     "origin": "manual"},
    {"value": {"ranker": {"rank": ["i2", "i1"]}}, "id": "HicyAz3xkL", "from_name": "rank", "to_name": "list", "type": "ranker",
     "origin": "manual"},
    {"from_id": "uf_bj5K9Jx", "to_id": "ZvHJmihtCC", "type": "relation", "direction": "right"},
]  # fmt: skip


def test_what_the_editor_wrote_in_a_browser_is_read_to_the_last_entry() -> None:
    items, problems = read_items(EDITOR, CONTROLS, DATA)
    assert problems == []
    assert all(item.understood for item in items)
    spoken = "A \U0001f600: Hello \U0001f600 Ada here\nB: In \U0001f600 Paris\nsecond  line\r\n third"
    across = "here\nB: In \U0001f600 Paris"
    ada, here, third = spoken.index("Ada"), spoken.index("here"), spoken.index("third")
    assert [(item.control, item.value) for item in items] == [
        ("ner", {"start": 5, "end": 8, "labels": ["per"], "text": "Ada"}),
        ("sure", ["yes"]),
        ("note", ["a note"]),
        ("ner", {"start": 5, "end": 17, "labels": ["LOC"], "text": "Ada Lovelace"}),
        ("pl", {"start": ada, "end": ada + 3, "labels": ["PPER"], "text": "Ada", "paragraph": 0, "end_paragraph": 0}),
        ("pl", {"start": here, "end": here + 18, "labels": ["PPER"], "text": across, "paragraph": 0, "end_paragraph": 1}),
        ("pl", {"start": third, "end": third + 5, "labels": ["PPER"], "text": "third", "paragraph": 1, "end_paragraph": 1}),
        ("one", ["AA"]),
        ("many", ["a", "b"]),
        ("nest", ["Top / lf", "Alone"]),
        ("tax", [["A", "A1"], ["B"]]),
        ("area", ["first\nline", "\U0001f600 second"]),
        ("stars", 4),
        ("num", 3.5),
        ("pw", "left"),
        ("rank", {"rank": ["i2", "i1"]}),
        ("", {"from": "uf_bj5K9Jx", "to": "ZvHJmihtCC", "direction": "right", "labels": []}),
    ]
    assert [item.parent for item in items[:4]] == ["", "uf_bj5K9Jx", "uf_bj5K9Jx", ""]


def test_hypertext_is_read_by_its_offsets_or_by_its_xpaths() -> None:
    value = {
        "start": "/p[1]/b[1]/text()[1]", "startOffset": 0, "end": "/p[2]/text()[1]", "endOffset": 3,
        "globalOffsets": {"start": 5, "end": 11}, "text": "Ada\\n\\nmet", "hypertextlabels": ["HPER"],
    }  # fmt: skip
    xpath = ["/p[1]/b[1]/text()[1]", 0, "/p[2]/text()[1]", 3]
    expected = {"start": 5, "end": 12, "labels": ["HPER"], "text": "Ada\nmet", "xpath": xpath}
    assert one(entry("hl", "hypertextlabels", value)).value == expected
    del value["globalOffsets"]
    assert one(entry("hl", "hypertextlabels", value)).value == expected


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (span(said=None), {"start": 5, "end": 8, "labels": ["per"], "text": "Ada"}),
        (span(6, 9), {"start": 5, "end": 8, "labels": ["per"], "text": "Ada"}),  # UTF-16, from an older editor
        (span(labels=("per", "LOC")), {"start": 5, "end": 8, "labels": ["per", "LOC"], "text": "Ada"}),
        (entry("pl", "paragraphlabels", {"start": 0, "end": "0", "startOffset": 8, "endOffset": 11, "text": "Ada",
                                         "labels": ["PPER"]}),
         {"start": 13, "end": 16, "labels": ["PPER"], "text": "Ada", "paragraph": 0, "end_paragraph": 0}),
        (entry("area", "textarea", {"text": "bare"}), ["bare"]),
        (entry("stars", "rating", {"rating": 3.0}), 3),
        (entry("num", "number", {"number": 0}), 0),
        (entry("dt", "datetime", {"datetime": "2024-01-02T10:11"}), "2024-01-02T10:11"),
        (entry("rank", "ranker", {"ranker": ["i1"]}), {"rank": ["i1"]}),
        (entry("rank", "ranker", {"ranker": {"_": ["i1"], "good": []}}), {"_": ["i1"], "good": []}),
        (entry("nest", "choices", {"choices": ["Alone"]}), ["Alone"]),
        (entry("free", "choices", {"choices": ["from the task"]}), ["from the task"]),
        (entry("chat", "chatmessage", {"chatmessage": {"role": "user", "content": "", "createdAt": 1}}),
         {"role": "user", "content": "", "createdAt": 1}),
    ],
)  # fmt: skip
def test_what_scripts_and_older_editors_write_is_read_too(raw: dict[str, Any], value: Any) -> None:
    assert one(raw).value == value


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (entry("one", "choices", {"choices": ["AA", "b"]}), "2 labels (AA, b) where one is allowed"),
        (entry("one", "choices", {"choices": []}), "'one' chooses nothing"),
        (entry("one", "choices", {"choices": "AA"}), "holds no list of choices"),
        (entry("one", "choices", {"choices": [1]}), "holds no list of choices"),
        (entry("one", "choices", {}), "holds no list of choices"),
        (entry("one", "choices", {"choices": ["a"]}), "the label 'a' is not in the label configuration (known: AA, b)"),
        (entry("nest", "choices", {"choices": [["Alone", "lf"]]}), "the label 'Alone / lf' is not in"),
        (entry("one", "choices", None), "has no value that is an object"),
        (entry("one", "labels", {"labels": ["x"]}), "type 'labels' stands under <Choices name='one'>"),
        (entry("stars", "number", {"number": 1}), "type 'number' stands under <Rating"),
        (span(8, 5), "the span 8-5 ends before it begins"),
        (span(-1, 5), "begins before the text does"),
        (span(5, 99), "ends after the text, which has 17 characters"),
        (span(5.0, 8), "the span's start is 5.0, not a whole number"),
        (span("5", 8), "not a whole number"),
        (span(True, 8), "not a whole number"),
        (span(5, 5), "is empty"),
        (span(said="Bob"), "neither in code points nor in UTF-16"),
        (span(labels=()), "has no label"),
        (span(labels=None), "holds no list of labels"),
        (span(labels=("PER",)), "the label 'PER' is not in the label configuration"),
        (paragraphs("2", "2", 0, 1), "which is none of the 2 paragraphs"),
        (paragraphs("1", "0", 0, 1), "ends in paragraph 0, before it begins in paragraph 1"),
        (paragraphs("0", "1", 0, 99), "lies outside their text"),
        (entry("hl", "hypertextlabels", {"start": "/div[9]", "end": "/p[1]/text()[1]", "startOffset": 0, "endOffset": 1,
                                         "hypertextlabels": ["HPER"]}), "XPath leads to no text"),
        (entry("hl", "hypertextlabels", {"globalOffsets": {"start": 5, "end": 8}, "text": "Bob", "labels": ["HPER"]}),
         "holds 'Ada', not its text 'Bob'"),
        (entry("tax", "taxonomy", {"taxonomy": []}), "chooses nothing"),
        (entry("tax", "taxonomy", {"taxonomy": ["A"]}), "holds no list of paths"),
        (entry("tax", "taxonomy", {"taxonomy": [["A", "B"]]}), "the path 'A / B' is not in"),
        (entry("area", "textarea", {"text": [""]}), "holds an empty text"),
        (entry("area", "textarea", {"text": ["good", "  \n"]}), "holds an empty text"),
        (entry("area", "textarea", {"text": []}), "holds an empty text"),
        (entry("area", "textarea", {"text": 3}), "holds no list of texts"),
        (entry("stars", "rating", {"rating": 5}), "the rating 5 of 'stars' lies outside 0 to 4"),
        (entry("stars", "rating", {"rating": "4"}), "is '4', not a number"),
        (entry("stars", "rating", {"rating": 3.5}), "is not a whole number"),
        (entry("num", "number", {"number": 11}), "the number 11 of 'num' lies outside 0 to 10"),
        (entry("num", "number", {"number": float("nan")}), "not a number"),
        (entry("num", "number", {"number": 10**400}), "not a number"),
        (entry("num", "number", {"number": True}), "not a number"),
        (entry("dt", "datetime", {"datetime": ""}), "holds no date"),
        (entry("pw", "pairwise", {"selected": "tie"}), "neither left nor right"),
        (entry("pw", "pairwise", {"selected": "none"}), "neither left nor right"),
        (entry("rank", "ranker", {"ranker": {"a": ["i1"], "b": ["i1"]}}), "ranks an item twice"),
        (entry("rank", "ranker", {"ranker": {"a": "i1"}}), "holds no lists of items"),
        (entry("chat", "chatmessage", {"chatmessage": {"role": "user"}}), "no role and content"),
        (entry("sure", "choices", {"choices": ["yes"]}, id="gone"), "belongs to region 'gone', which the annotation lacks"),
        (entry("sure", "choices", {"choices": ["yes"]}), "which the annotation lacks"),
        ({"type": "relation", "from_id": "x", "to_id": "y"}, "leads from region 'x', which the annotation does not have"),
        ("a string", "not an object"),
        (None, "not an object"),
    ],
)  # fmt: skip
def test_what_the_server_wrongly_accepts_is_a_problem_that_keeps_the_entry(raw: Any, why: str) -> None:
    items, problems = read_items([*EDITOR, raw], CONTROLS, DATA)
    assert len(items) == len(EDITOR), "the rest is read as ever"
    (problem,) = problems
    assert why in problem.reason
    assert problem.raw == raw
    assert problem.control == (raw.get("from_name", "") if isinstance(raw, dict) else "")


@pytest.mark.parametrize(
    "raw",
    [
        entry("box", "rectanglelabels", {"x": 1, "y": 2, "width": 3, "height": 4, "rectanglelabels": ["cat"]}, id="r1"),
        entry("boxed", "labels", {"x": 1, "y": 2, "labels": ["cat"]}),
        entry("nobody", "choices", {"choices": ["x"]}),
        entry("one", "hologram", {"depth": 3}),
        entry("one", "", {}),
        {"value": {}},
    ],
)
def test_what_is_not_for_us_is_carried_through_untouched(raw: dict[str, Any]) -> None:
    item = one(raw)
    assert not item.understood
    assert item.value == raw
    assert item.region == raw.get("id", "")


def test_a_result_about_an_image_region_belongs_to_it() -> None:
    box = entry("box", "rectanglelabels", {"x": 1}, id="r1")
    items, problems = read_items([box, entry("sure", "choices", {"choices": ["no"]}, id="r1")], CONTROLS, DATA)
    assert problems == []
    assert [item.parent for item in items] == ["", "r1"]


def test_a_span_in_a_field_that_the_task_lacks_is_a_problem() -> None:
    for data in ({}, {"text": None}, {"text": {"a": 1}}):
        items, problems = read_items([span()], CONTROLS, data)
        assert items == []
        assert len(problems) == 1


def test_required_controls_that_have_no_answer_are_named_but_for_conditional_ones() -> None:
    assert missing_required([], CONTROLS) == ["one", "area"]
    assert missing_required([Item("one", "choices", ["AA"])], CONTROLS) == ["area"]
    text = '<Text name="t" value="$text"/>'
    conditions = (
        'perRegion="true"', 'visibleWhen="choice-selected"', 'whenTagName="x"', 'whenChoiceValue="x"', 'whenLabelValue="x"',
    )  # fmt: skip
    for condition in conditions:
        own = f'<TextArea name="w" toName="t" required="true" {condition}/>'
        assert missing_required([], read_controls(f"<View>{text}{own}</View>")) == []
        inside = f'<View {condition}><TextArea name="w" toName="t" required="true"/></View>'
        expected = ["w"] if "perRegion" in condition else []
        assert missing_required([], read_controls(f"<View>{text}{inside}</View>")) == expected
    off = '<TextArea name="w" toName="t" required="true" perRegion="false"/>'
    assert missing_required([], read_controls(f"<View>{text}{off}</View>")) == ["w"]


@pytest.mark.parametrize("result", [None, []])
def test_no_result_is_no_item_and_no_problem(result: object) -> None:
    assert read_items(result, CONTROLS, DATA) == ([], [])


@pytest.mark.parametrize("result", [{}, "x", 3])
def test_a_result_that_is_no_list_is_one_problem(result: object) -> None:
    items, problems = read_items(result, CONTROLS, DATA)
    assert items == []
    assert problems[0].raw == result


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6),
        st.sampled_from(["Ada", "AA", "per", "PPER", "0", "1", 5, 8, "left", "/p[1]/text()[1]"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["start", "end", "text", "labels", "choices", "taxonomy", "rating", "number", "ranker", "selected",
                             "chatmessage", "role", "content", "startOffset", "endOffset", "globalOffsets", "paragraphlabels",
                             "hypertextlabels", "datetime", "x"]),
            inner, max_size=6,
        ),
    ),
    max_leaves=12,
)  # fmt: skip
NAMES = st.one_of(st.sampled_from([control.name for control in CONTROLS]), JSON)
KINDS = st.one_of(st.sampled_from(sorted({str(item["type"]) for item in EDITOR} | {"hypertextlabels", "chatmessage"})), JSON)
ENTRIES = st.one_of(
    JSON,
    st.fixed_dictionaries(
        {"from_name": NAMES, "type": KINDS, "value": JSON},
        optional={"id": JSON, "parentID": JSON, "from_id": JSON, "to_id": JSON, "labels": JSON},
    ),
)
ANY_DATA = st.one_of(st.just(DATA), st.dictionaries(st.sampled_from(list(DATA)), JSON, max_size=5))


@given(st.lists(ENTRIES, max_size=4), ANY_DATA)
def test_whatever_a_result_holds_every_entry_becomes_an_item_or_a_problem(result: list[Any], data: dict[str, Any]) -> None:
    items, problems = read_items(result, CONTROLS, data)
    assert len(items) + len(problems) == len(result)
    for item in items:
        if not item.understood:
            assert any(item.value is raw or item.value == raw or repr(item.value) == repr(raw) for raw in result)
    for problem in problems:
        assert problem.reason
        assert not problem.reason.endswith(".")


@given(st.lists(ENTRIES, max_size=3))
def test_one_bad_entry_does_not_touch_the_others(more: list[Any]) -> None:
    ours = [item for item in read_items(EDITOR, CONTROLS, DATA)[0] if item.type != "relation"]
    items, _ = read_items([*EDITOR, *more], CONTROLS, DATA)
    assert [item for item in items[: len(EDITOR)] if item.type != "relation"] == ours
