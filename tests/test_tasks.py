"""One contract for all task types, found by listing; and what each of them reads and writes."""

from __future__ import annotations

import inspect
import json
import re
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.label_studio.label_config import read_controls
from pipeline.reading.results import read_items
from pipeline.tasks import bind, known, task_type
from pipeline.types import LEFT, Item, Scheme

# Plain, combining, astral, joined emoji, right-to-left, line breaks.
TEXTS = st.text(st.sampled_from("ab é\u0301\U0001f600\U0001f469\u200d\u05d0\u0627\r\n\t<&"), max_size=30)
SAID = TEXTS.filter(lambda text: bool(text.strip()))

PLAIN = '<Text name="t" value="$text"/>'
LABELS = '<Label value="PER"/><Label value="LOC"/><Label value="a / b"/>'
CHOICES = '<Choice value="a"/><Choice value="b" alias="beta"/><Choice value="a / b"/>'
NESTED = '<Choice value="Top"><Choice value="Leaf" alias="lf"/><Choice value="a / b"/></Choice><Choice value="Alone"/>'
TALK = '<Paragraphs name="t" value="$talk" nameKey="who" textKey="said"/>'
SIDES = '<Choice value="Left"/><Choice value="Tie"/><Choice value="Right"/>'
PAIR = '<Text name="l" value="$a"/><Text name="r" value="$b"/>'
CONFIGS = {
    "text_classification": [
        f'{PLAIN}<Choices name="c" toName="t">{CHOICES}</Choices>',
        f'{PLAIN}<Choices name="c" toName="t" allowNested="true">{NESTED}</Choices>',
    ],
    "multi_label_classification": [
        f'{PLAIN}<Choices name="c" toName="t" choice="multiple">{CHOICES}</Choices>',
        f'{PLAIN}<Choices name="c" toName="t" choice="multiple" allowNested="true">{NESTED}</Choices>',
        f'{PLAIN}<Taxonomy name="c" toName="t">{NESTED}</Taxonomy>',
    ],
    "spans": [
        f'{PLAIN}<Labels name="n" toName="t">{LABELS}</Labels>',
        f'<HyperText name="t" value="$html"/><HyperTextLabels name="n" toName="t">{LABELS}</HyperTextLabels>',
        f'{TALK}<ParagraphLabels name="n" toName="t">{LABELS}</ParagraphLabels>',
    ],
    "text_generation": [f'{PLAIN}<TextArea name="w" toName="t"/>'],
    "chat": [
        '<Paragraphs name="t" value="$messages" nameKey="role" textKey="content"/><TextArea name="w" toName="t"/>',
        f'{PLAIN}<TextArea name="w" toName="t"/>',
        '<Chat name="w" value="$messages"/>',
    ],
    "pairwise_preference": [
        f'{PLAIN}<Choices name="p" toName="t">{SIDES}</Choices>',
        f'{PAIR}<Pairwise name="p" toName="l,r"/>',
    ],
    "response_rating": [f'{PLAIN}<Rating name="x" toName="t"/><Number name="y" toName="t" min="0" max="10"/>'],
}
CASES = [(name, xml) for name, listed in CONFIGS.items() for xml in listed]


def scheme_of(task: ModuleType, xml: str, **more: Any) -> Scheme:
    return bind(task, read_controls(f"<View>{xml}</View>"), **more)


def read(task: ModuleType, scheme: Scheme, result: list[Any], record: dict[str, Any]) -> Any:
    """As a stage reads an annotation."""
    items, problems = read_items(json.loads(json.dumps(result)), scheme.controls, record["data"])
    assert problems == []
    return task.parse([item for item in items if item.control in scheme.answer], scheme, record)


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    messages = st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": TEXTS}), max_size=3)
    lines = st.fixed_dictionaries({"said": TEXTS}, optional={"who": TEXTS})
    words = draw(st.lists(TEXTS, min_size=1, max_size=4))
    escaped = [word.replace("&", "&amp;").replace("<", "&lt;") for word in words]
    data = {
        "text": draw(TEXTS),
        "html": "<style>p{}</style>".join(f"<p>{word}</p>" for word in escaped),
        "talk": draw(st.lists(lines, min_size=1, max_size=4)),
        "messages": draw(messages),
        "a": draw(TEXTS),
        "b": draw(TEXTS),
    }
    meta = draw(st.sampled_from([None, {}, {LEFT: "a"}, {LEFT: "b"}, {"other": 1}]))
    return {"id": 1, "data": data, "meta": meta}


def _spans(scheme: Scheme, record: dict[str, Any], draw: Any) -> list[dict[str, Any]]:
    """Answers in normal form; what they hold is cut from the text, by the task's own reading of it."""
    from pipeline.reading import hypertext, shown

    control, data = scheme.control, record["data"]
    text = shown.field_text(data, control.field, control)
    if control.shows == "HyperText":
        places = [(piece.shown, piece.shown + len(piece.content)) for piece in hypertext.read(data["html"]).pieces]
    elif control.shows == "Paragraphs":
        parts = shown.lines(data["talk"], control)
        places = [(at, at + len(part[1])) for at, part in zip(shown.line_begins(parts), parts, strict=True)]
    else:
        places = [(0, len(text))]
    full = [(number, place) for number, place in enumerate(places) if place[1] > place[0]]
    found = {}
    for _ in range(draw(st.integers(0, 3)) if full else 0):
        first, last = sorted(draw(st.tuples(st.sampled_from(full), st.sampled_from(full))))
        start = draw(st.integers(first[1][0], first[1][1] - 1))
        end = draw(st.integers(max(start, last[1][0]) + 1, last[1][1]))
        labels = sorted(draw(st.sets(st.sampled_from(control.labels), min_size=1)))
        numbers = {"paragraph": first[0], "end_paragraph": last[0]} if control.shows == "Paragraphs" else {}
        found[start, end] = {"start": start, "end": end, "labels": labels, "text": text[start:end], **numbers}
    return [found[place] for place in sorted(found)]


def _chat(scheme: Scheme, record: dict[str, Any], draw: Any) -> list[dict[str, str]]:
    data = record["data"]
    before = [{"role": "user", "content": data["text"]}] if scheme.control.field == "text" else list(data["messages"])
    if scheme.control.tag == "Chat":
        more = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": TEXTS})
        return before + draw(st.lists(more, min_size=1, max_size=3))
    return [*before, {"role": "assistant", "content": draw(SAID)}]


def answer_of(name: str, scheme: Scheme, record: dict[str, Any], draw: Any) -> Any:
    nodes = [" / ".join(path) for path in scheme.control.paths] or list(scheme.control.labels)
    if name == "text_classification":
        return draw(st.sampled_from(nodes))
    if name == "multi_label_classification":
        return sorted(draw(st.sets(st.sampled_from(nodes), min_size=1)))
    if name == "text_generation":
        return draw(SAID)
    if name == "pairwise_preference":
        return draw(st.sampled_from(["a", "b"] + ["tie"] * (scheme.control.tag == "Choices")))
    if name == "response_rating":
        number = st.one_of(st.integers(0, 10), st.floats(0, 10))
        given_ = draw(st.fixed_dictionaries({}, optional={"x": st.integers(0, 5), "y": number}))
        assume(given_)
        return given_
    return {"spans": _spans, "chat": _chat}[name](scheme, record, draw)


def test_every_task_type_has_a_case_here() -> None:
    assert sorted(CONFIGS) == known()


@pytest.mark.parametrize("name", known())
def test_every_task_type_keeps_the_contract(name: str) -> None:
    task = task_type(name)
    assert task.__doc__
    assert task.TAGS
    assert all(isinstance(tag, str) for tag in task.TAGS)
    assert isinstance(task.SEVERAL, bool)
    assert isinstance(task.PARTIAL, bool)
    assert task.MERGE in ("labels", "sets", "spans", "ratings", "texts")
    assert hasattr(task, "width") == (task.MERGE == "ratings")
    parameters = {
        "classes": ["scheme"],
        "parse": ["items", "scheme", "record"],
        "text": ["data", "scheme"],
        "to_result": ["answer", "scheme", "record"],
    }
    for function, expected in parameters.items():
        assert list(inspect.signature(getattr(task, function)).parameters) == expected


@pytest.mark.parametrize(("name", "xml"), CASES)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.filter_too_much])
@given(record=records(), data=st.data())
def test_an_answer_written_as_a_result_is_read_back_as_it_was(
    name: str, xml: str, record: dict[str, Any], data: st.DataObject
) -> None:
    task = task_type(name)
    scheme = scheme_of(task, xml)
    answer = answer_of(name, scheme, record, data.draw)
    result = task.to_result(answer, scheme, record)
    assert read(task, scheme, result, record) == answer
    assert task.to_result(answer, scheme, record) == result, "written twice, it is the same twice"
    assert all({"from_name", "to_name", "type", "value", "id"} <= entry.keys() for entry in result)
    if task.classes(scheme):
        assert answer in task.classes(scheme)


@pytest.mark.parametrize(("name", "xml"), CASES)
def test_no_result_is_no_answer_but_for_spans_where_it_says_that_there_are_none(name: str, xml: str) -> None:
    task = task_type(name)
    data = {"text": "x", "html": "x", "talk": [{"said": "x"}], "messages": [], "a": "x", "b": "x"}
    found = task.parse([], scheme_of(task, xml), {"data": data})
    assert found == ([] if name == "spans" else None)


@pytest.mark.parametrize(("name", "xml"), CASES)
def test_what_was_carried_through_unread_is_no_answer(name: str, xml: str) -> None:
    task = task_type(name)
    scheme = scheme_of(task, xml)
    box = {"from_name": scheme.answer[0], "type": "rectanglelabels", "value": {"x": 1}}
    record = {"data": {"text": "x", "html": "x", "talk": [{"said": "x"}], "messages": [], "a": "x", "b": "x"}}
    with pytest.raises(ValueError, match="'rectanglelabels', which this kind of work does not read"):
        task.parse([Item(scheme.answer[0], "rectanglelabels", box, understood=False)], scheme, record)


@pytest.mark.parametrize(("name", "xml"), CASES)
@given(record=records())
@settings(deadline=None, max_examples=20)
def test_the_text_is_text_and_a_missing_field_is_a_key_error(name: str, xml: str, record: dict[str, Any]) -> None:
    task = task_type(name)
    scheme = scheme_of(task, xml)
    assert isinstance(task.text(record["data"], scheme), str)
    with pytest.raises(KeyError):
        task.text({}, scheme)
    with pytest.raises(ValueError, match="holds NoneType, not text"):
        task.text({**record["data"], scheme.fields[0]: None}, scheme)


def test_the_text_of_every_kind_of_object_is_joined_by_blank_lines() -> None:
    xml = (
        '<Text name="t" value="$text"/><HyperText name="h" value="$html"/><Paragraphs name="p" value="$talk"/>'
        '<Chat name="c" value="$messages"/><Text name="n" value="$number"/><Text name="e" value="$empty"/>'
        '<Choices name="x" toName="t"><Choice value="a"/></Choices><Choices name="y" toName="h"><Choice value="a"/></Choices>'
        '<Choices name="z" toName="p"><Choice value="a"/></Choices>'
    )
    data = {
        "text": "one",
        "html": "<p>Hi &amp; ho</p><p>there</p>",
        "talk": [{"author": "Ada", "text": "hello"}, {"text": "no name"}],
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}],
        "number": 7,
        "empty": "",
        "unbound": [{"role": "user", "content": "who"}],
        "outer": {"inner": "deep"},
    }
    fields = ("text", "html", "talk", "messages", "empty", "number", "unbound", "outer.inner")
    task = task_type("text_classification")
    scheme = scheme_of(task, xml, names=["x"], fields=fields)
    assert task.text(data, scheme) == (
        "one\n\nHi & ho\nthere\n\nAda: hello\nno name\n\nuser: hi\nassistant: yes\n\n7\n\nuser: who\n\ndeep"
    )


def test_an_address_is_not_taken_for_the_text_behind_it() -> None:
    xml = '<Text name="t" value="$text" valueType="url"/><Choices name="c" toName="t"><Choice value="a"/></Choices>'
    task = task_type("text_classification")
    with pytest.raises(ValueError, match="holds the address of a text"):
        task.text({"text": "http://example.com/1.txt"}, scheme_of(task, xml))


def test_spans_lie_in_the_whole_text_also_when_their_field_is_not_the_first() -> None:
    task = task_type("spans")
    scheme = scheme_of(task, CONFIGS["spans"][0], fields=["a", "empty", "text"])
    record = {"data": {"a": "\U0001f600 before", "empty": "", "text": "\U0001f600 Ada"}}
    whole = task.text(record["data"], scheme)
    start = whole.index("Ada")
    answer = [{"start": start, "end": start + 3, "labels": ["PER"], "text": "Ada"}]
    result = task.to_result(answer, scheme, record)
    assert result[0]["value"] == {"start": 2, "end": 5, "text": "Ada", "labels": ["PER"]}
    assert read(task, scheme, result, record) == answer
    elsewhere = scheme_of(task, CONFIGS["spans"][0], fields=["a"])
    with pytest.raises(ValueError, match="'text' is not among those that are read"):
        read(task, elsewhere, result, record)


def test_two_regions_on_one_place_are_one_span_and_the_order_of_drawing_does_not_matter() -> None:
    task = task_type("spans")
    scheme = scheme_of(task, CONFIGS["spans"][0])
    record = {"data": {"text": "Ada in Paris"}}

    def region(start: int, end: int, *labels: str) -> dict[str, Any]:
        value = {"start": start, "end": end, "labels": list(labels)}
        return {"from_name": "n", "to_name": "t", "type": "labels", "value": value}

    drawn = [region(7, 12, "LOC"), region(0, 3, "PER"), region(0, 3, "LOC"), region(7, 12, "LOC"), region(0, 12, "PER")]
    expected = [
        {"start": 0, "end": 3, "labels": ["LOC", "PER"], "text": "Ada"},
        {"start": 0, "end": 12, "labels": ["PER"], "text": "Ada in Paris"},
        {"start": 7, "end": 12, "labels": ["LOC"], "text": "Paris"},
    ]
    assert read(task, scheme, drawn, record) == expected
    assert read(task, scheme, drawn[::-1], record) == expected


def test_a_span_that_is_not_in_the_text_is_not_written() -> None:
    task = task_type("spans")
    record = {"data": {"text": "Ada", "talk": [{"who": "Ada", "said": "hi"}]}}
    beyond = [{"start": 0, "end": 9, "labels": ["PER"], "text": "Ada"}]
    with pytest.raises(ValueError, match="the span 0-9 does not lie in the text, which has 3 characters"):
        task.to_result(beyond, scheme_of(task, CONFIGS["spans"][0]), record)
    name = [{"start": 0, "end": 3, "labels": ["PER"], "text": "Ada"}]
    with pytest.raises(ValueError, match="only the name before it"):
        task.to_result(name, scheme_of(task, CONFIGS["spans"][2]), record)


def test_paragraph_offsets_are_written_in_utf16_and_text_offsets_in_code_points_as_the_editor_does() -> None:
    task = task_type("spans")
    record = {"data": {"text": "Hi \U0001f600 Ada", "talk": [{"who": "A", "said": "Hi \U0001f600 Ada"}]}}
    plain = [{"start": 5, "end": 8, "labels": ["PER"], "text": "Ada"}]
    assert task.to_result(plain, scheme_of(task, CONFIGS["spans"][0]), record)[0]["value"]["start"] == 5
    talk = [{"start": 8, "end": 11, "labels": ["PER"], "text": "Ada", "paragraph": 0, "end_paragraph": 0}]
    value = task.to_result(talk, scheme_of(task, CONFIGS["spans"][2]), record)[0]["value"]
    assert (value["start"], value["startOffset"], value["endOffset"]) == ("0", 6, 9)


def test_several_entries_of_a_text_area_are_joined_by_a_newline() -> None:
    task = task_type("text_generation")
    scheme = scheme_of(task, CONFIGS["text_generation"][0])
    entry = {"from_name": "w", "to_name": "t", "type": "textarea", "value": {"text": ["one", "two"]}}
    record = {"data": {"text": "x"}}
    assert read(task, scheme, [entry, {**entry, "value": {"text": "three"}}], record) == "one\ntwo\nthree"


def test_a_conversation_is_the_tasks_messages_without_their_other_keys_and_what_was_added() -> None:
    task = task_type("chat")
    scheme = scheme_of(task, CONFIGS["chat"][0], fields=["messages", "draft"])
    record = {"data": {"messages": [{"role": "user", "content": "hi", "id": 3}], "draft": ""}}
    entry = {"from_name": "w", "to_name": "t", "type": "textarea", "value": {"text": ["hello"]}}
    whole = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    assert read(task, scheme, [entry], record) == whole
    assert task.text(record["data"], scheme) == "user: hi"
    with pytest.raises(ValueError, match="does not continue"):
        task.to_result(whole[1:], scheme, record)
    with pytest.raises(ValueError, match="does not continue"):
        task.to_result(whole[:1], scheme, record)
    with pytest.raises(ValueError, match="more than one message"):
        task.to_result([*whole, whole[1]], scheme, record)
    broken = {"data": {"messages": [{"role": "user"}], "draft": ""}}
    with pytest.raises(ValueError, match="message 0 of the field 'messages' has no role and content"):
        read(task, scheme, [entry], broken)


@pytest.mark.parametrize(
    ("left", "chosen", "answer"), [("a", "Left", "a"), ("b", "Left", "b"), ("b", "Right", "a"), ("b", "Tie", "tie")]
)
def test_a_preference_is_for_the_response_and_not_for_its_side(left: str, chosen: str, answer: str) -> None:
    task = task_type("pairwise_preference")
    scheme = scheme_of(task, CONFIGS["pairwise_preference"][0])
    record = {"data": {"text": "x"}, "meta": {LEFT: left}}
    entry = {"from_name": "p", "to_name": "t", "type": "choices", "value": {"choices": [chosen]}}
    assert read(task, scheme, [entry], record) == answer
    assert task.to_result(answer, scheme, record)[0]["value"] == {"choices": [chosen]}
    assert task.classes(scheme) == ("a", "b", "tie")


def test_a_pairwise_control_names_itself_and_knows_no_tie() -> None:
    task = task_type("pairwise_preference")
    scheme = scheme_of(task, CONFIGS["pairwise_preference"][1])
    record = {"data": {"a": "x", "b": "y"}, "meta": {LEFT: "b"}}
    (entry,) = task.to_result("a", scheme, record)
    assert (entry["to_name"], entry["value"]) == ("p", {"selected": "right"})
    assert task.classes(scheme) == ("a", "b")
    with pytest.raises(ValueError, match="knows no tie"):
        task.to_result("tie", scheme, record)
    with pytest.raises(ValueError, match="neither a nor b"):
        task.to_result("a", scheme, {**record, "meta": {LEFT: "c"}})


def test_a_choice_that_is_no_side_is_not_taken_for_one() -> None:
    task = task_type("pairwise_preference")
    xml = f'{PLAIN}<Choices name="p" toName="t"><Choice value="left"/><Choice value="A"/></Choices>'
    entry = {"from_name": "p", "to_name": "t", "type": "choices", "value": {"choices": ["A"]}}
    with pytest.raises(ValueError, match="neither left nor right nor a tie"):
        read(task, scheme_of(task, xml), [entry], {"data": {"text": "x"}})


def test_contradictory_entries_are_no_answer() -> None:
    record = {"data": {"text": "x"}}

    def twice(name: str, kind: str, first: Any, second: Any) -> list[dict[str, Any]]:
        return [{"from_name": name, "to_name": "t", "type": kind, "value": value} for value in (first, second)]

    cases = [
        ("text_classification", twice("c", "choices", {"choices": ["a"]}, {"choices": ["beta"]}), "2 labels (a, beta)"),
        ("pairwise_preference", twice("p", "choices", {"choices": ["Left"]}, {"choices": ["Tie"]}), "prefers both"),
        ("response_rating", twice("x", "rating", {"rating": 1}, {"rating": 2}), "rates 'x' twice, with 1 and 2"),
    ]
    for name, result, why in cases:
        task = task_type(name)
        with pytest.raises(ValueError, match=re.escape(why)):
            read(task, scheme_of(task, CONFIGS[name][0]), result, record)


def test_ratings_are_read_from_all_their_controls_or_from_those_that_are_named() -> None:
    task = task_type("response_rating")
    result = [
        {"from_name": "y", "to_name": "t", "type": "number", "value": {"number": 2.5}},
        {"from_name": "x", "to_name": "t", "type": "rating", "value": {"rating": 4}},
    ]
    record = {"data": {"text": "x"}}
    assert read(task, scheme_of(task, CONFIGS["response_rating"][0]), result, record) == {"x": 4, "y": 2.5}
    assert read(task, scheme_of(task, CONFIGS["response_rating"][0], names=["x"]), result, record) == {"x": 4}


@pytest.mark.parametrize("name", known())
def test_a_configuration_without_a_fitting_control_is_refused_with_what_is_there(name: str) -> None:
    with pytest.raises(ConfigError, match="its controls: <DateTime name='d'>"):
        scheme_of(task_type(name), f'{PLAIN}<DateTime name="d" toName="t"/>')
