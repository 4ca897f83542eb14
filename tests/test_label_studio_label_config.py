"""Reading labeling configurations that people, or enemies, wrote."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.label_studio.label_config import read_controls, write_choices
from pipeline.tasks import bind, task_type
from pipeline.types import Control

TEXT = '<Text name="t" value="$body"/>'


def test_labels_are_the_values_that_results_hold() -> None:
    xml = (
        f'<?xml version="1.0" encoding="utf-8"?><View>{TEXT}<Header value="$title"/>'
        '<Choices name="l" toName="t"><Choice value="Neutral" alias="neu"/><Choice value="A &amp; B"/></Choices></View>'
    )
    assert read_controls(xml) == (Control("l", "t", "Choices", "body", ("neu", "A & B")),)


def test_a_control_keeps_its_object_its_settings_and_the_conditions_on_which_it_is_shown() -> None:
    xml = (
        '<View><Paragraphs name="p" value="$talk" nameKey="who" textKey="said"/>'
        '<View visibleWhen="choice-selected" whenTagName="a"><View whenTagName="outer">'
        '<TextArea name="w" toName="p" required="true" whenTagName="own"/></View></View></View>'
    )
    (control,) = read_controls(xml)
    assert (control.field, control.shows) == ("talk", "Paragraphs")
    assert control.settings == (
        ("object:nameKey", "who"),
        ("object:textKey", "said"),
        ("required", "true"),
        ("visibleWhen", "choice-selected"),
        ("whenTagName", "own"),
    )


def test_nested_choices_and_taxonomies_give_every_node_as_the_path_to_it() -> None:
    nested = '<Choice value="A"><Choice value="A1" alias="one"/><View><Choice value="A2"/></View></Choice><Choice value="B"/>'
    xml = f'<View>{TEXT}<Taxonomy name="x" toName="t">{nested}</Taxonomy><Choices name="c" toName="t">{nested}</Choices></View>'
    for control in read_controls(xml):
        assert control.paths == (("A",), ("A", "one"), ("A", "A2"), ("B",))
    flat = f'<View>{TEXT}<Choices name="c" toName="t"><Choice value="A"/></Choices></View>'
    assert read_controls(flat)[0].paths == ()


def test_a_chat_is_its_own_object_and_a_pairwise_names_both_of_its_own() -> None:
    (chat,) = read_controls('<View><Chat name="c" value="$messages" minMessages="2"/></View>')
    assert (chat.name, chat.to_name, chat.tag, chat.shows, chat.field) == ("c", "c", "Chat", "Chat", "messages")
    assert chat.setting("minMessages") == "2"
    assert read_controls('<View><Chat name="c"/></View>')[0].field == ""
    two = '<Text name="l" value="$left"/><Text name="r" value="$right"/>'
    (pair,) = read_controls(f'<View>{two}<Pairwise name="p" toName="l,r"/></View>')
    assert (pair.to_name, pair.field, pair.setting("toName")) == ("l", "left", "l,r")


def test_relations_rankers_regions_and_images_are_read_too() -> None:
    xml = (
        f'<View>{TEXT}<Labels name="ner" toName="t"><Label value="PER" alias="per"/></Labels>'
        '<Relations><Relation value="of"/></Relations>'
        '<Choices name="sure" toName="t" perRegion="true"><Choice value="yes"/></Choices>'
        '<List name="list" value="$items"/><Ranker name="rank" toName="list"><Bucket name="good"/></Ranker>'
        '<Image name="i" value="$image"/><RectangleLabels name="box" toName="i"><Label value="cat"/></RectangleLabels></View>'
    )
    found = {control.name: control for control in read_controls(xml)}
    assert list(found) == ["ner", "sure", "rank", "box"]
    assert found["ner"].labels == ("per",)
    assert found["sure"].setting("perRegion") == "true"
    assert (found["rank"].shows, found["box"].shows) == ("List", "Image")


def test_an_object_that_shows_fixed_text_is_bound_to_no_field() -> None:
    xml = '<View><Text name="t" value="Read this"/><Choices name="c" toName="t"><Choice value="a"/></Choices></View>'
    assert read_controls(xml)[0].field == ""


printable = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)


@settings(deadline=None)  # the first example also pays the SDK's import
@given(st.lists(printable, min_size=1, unique=True))
def test_written_choices_are_read_back_as_they_were(labels: list[str]) -> None:
    (control,) = read_controls(write_choices(labels, field="body"))
    written = (("choice", "single"), ("showInline", "true"))
    assert control == Control("label", "text", "Choices", "body", tuple(labels), settings=written)


@pytest.mark.parametrize(
    "xml",
    [
        "",
        "not xml",
        "<View>",
        "<View/>",
        f"<View>{TEXT}</View>",
        f'<View>{TEXT}<Choices name="l" toName="elsewhere"><Choice value="a"/></Choices></View>',
        f'<View>{TEXT}<Choices name="t" toName="t"><Choice value="a"/></Choices></View>',
        f'<View>{TEXT}<Choices name="l" toName="t"><Choice alias="a"/></Choices></View>',
        '<!DOCTYPE v [<!ENTITY x SYSTEM "file:///etc/passwd">]><View>&x;</View>',
    ],
)
def test_what_cannot_be_used_is_a_config_error(xml: str) -> None:
    with pytest.raises(ConfigError, match="labeling configuration") as caught:
        read_controls(xml)
    assert "root:" not in str(caught.value)


def test_the_control_that_holds_the_answer_is_found_or_asked_for() -> None:
    choices = '<Choices name="{}" toName="t"><Choice value="a"/></Choices>'
    rating = '<Rating name="stars" toName="t"/>'
    one = read_controls(f"<View>{TEXT}{choices.format('l')}{rating}</View>")
    two = read_controls(f"<View>{TEXT}{choices.format('l')}{choices.format('m')}</View>")
    label, stars = task_type("text_classification"), task_type("response_rating")
    assert bind(label, one).answer == ("l",)
    assert bind(stars, one).answer == ("stars",)
    assert bind(label, two, names=["m"], fields=["body"]).fields == ("body",)
    with pytest.raises(ConfigError, match=r"must hold a <Labels> or .*<Choices name='l'>, <Rating name='stars'>"):
        bind(task_type("spans"), one)
    with pytest.raises(ConfigError, match=r"holds 2 of <Choices>: say with data\.controls"):
        bind(label, two)
    with pytest.raises(ConfigError, match="no control 'n'"):
        bind(label, two, names=["n"])
