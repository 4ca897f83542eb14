"""Reading labeling configurations that people, or enemies, wrote."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.label_studio.label_config import only, read_controls, write_choices
from pipeline.types import Control

TEXT = '<Text name="t" value="$body"/>'


def test_labels_are_the_values_that_results_hold() -> None:
    xml = (
        f'<?xml version="1.0" encoding="utf-8"?><View>{TEXT}<Header value="$title"/>'
        '<Choices name="l" toName="t"><Choice value="Neutral" alias="neu"/><Choice value="A &amp; B"/></Choices></View>'
    )
    assert read_controls(xml) == (Control("l", "t", "Choices", "body", ("neu", "A & B")),)


printable = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)


@settings(deadline=None)  # the first example also pays the SDK's import
@given(st.lists(printable, min_size=1, unique=True))
def test_written_choices_are_read_back_as_they_were(labels: list[str]) -> None:
    control = only(read_controls(write_choices(labels, field="body")))
    assert control == Control("label", "text", "Choices", "body", tuple(labels))


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


def test_exactly_one_control_of_a_kind_is_asked_for() -> None:
    choices = '<Choices name="{}" toName="t"><Choice value="a"/></Choices>'
    rating = '<Rating name="stars" toName="t"/>'
    one = read_controls(f"<View>{TEXT}{choices.format('l')}{rating}</View>")
    assert only(one).name == "l"
    assert only(one, "Rating").name == "stars"
    with pytest.raises(
        ConfigError, match=r"exactly one <Taxonomy>, not 0; .*<Choices name='l'>, <Rating name='stars'>"
    ):
        only(one, "Taxonomy")
    with pytest.raises(ConfigError, match="not 2"):
        only(read_controls(f"<View>{TEXT}{choices.format('l')}{choices.format('m')}</View>"))
