"""Reading and writing a labeling configuration (Label Studio's XML)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from xml.sax.saxutils import quoteattr

from pipeline.errors import ConfigError
from pipeline.types import Control

CONDITIONS = ("visibleWhen", "whenTagName", "whenChoiceValue", "whenLabelValue")


def read_controls(xml: str) -> tuple[Control, ...]:
    """Every control with its object's data field and its labels, in the order of the configuration.

    Labels are the values that results hold: `<Choice value="Neutral" alias="neu"/>` gives "neu". A <Chat> is its own object.
    Settings are the tag's attributes as written; those of its object come as "object:nameKey", and a condition on which an
    enclosing <View> is shown counts as the control's own. ConfigError for XML that cannot be read, that declares entities, or
    that holds no control, or a control that points nowhere.
    """
    if "<!DOCTYPE" in xml.upper() or "<!ENTITY" in xml.upper():
        raise ConfigError("The labeling configuration declares a DOCTYPE or an entity: leave it out.")
    from label_studio_sdk.label_interface import LabelInterface

    unreadable = _unreadable()
    bare = re.sub(r"^\s*<\?xml[^>]*\?>", "", xml)  # the SDK refuses a declared encoding
    try:
        interface = LabelInterface(bare)
        interface.validate()
        tree = ElementTree.fromstring(bare)
    except unreadable as error:
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise ConfigError(f"The labeling configuration cannot be read: {reason}.") from error
    above = {child: parent for parent in tree.iter() for child in parent}
    named = {element.get("name", ""): element for element in tree.iter() if element.get("name")}
    controls = tuple(
        _control(named[item.name], named[target], tuple(item.labels), above)
        for item in interface.controls
        for target in item.to_name[:1]
        if item.name in named and target in named
    )
    if not controls:
        raise ConfigError(
            "The labeling configuration holds no control, so nothing can be labelled: add one, such as <Choices>."
        )
    return controls


def _control(
    element: Element, shown: Element, labels: tuple[str, ...], above: Mapping[Element, Element]
) -> Control:
    value = shown.get("value") or shown.get("valueList") or ""
    if shown is element:  # a <Chat>: what it shows is no setting of its labels
        settings = {}
    else:
        settings = {
            f"object:{key}": setting for key, setting in shown.items() if key not in ("name", "value")
        }
    targets = element.get("toName", element.get("name", "")).split(",")
    left_out = {"name"} if len(targets) > 1 else {"name", "toName"}
    settings |= _conditions(element, above) | {
        key: item for key, item in element.items() if key not in left_out
    }
    return Control(
        name=element.get("name", ""),
        to_name=targets[0],
        tag=element.tag,
        field=value[1:] if value.startswith("$") else "",
        labels=labels,
        shows=shown.tag,
        paths=tuple(_paths(element, ())) if element.tag == "Taxonomy" or _is_nested(element) else (),
        settings=tuple(sorted(settings.items())),
    )


def _paths(element: Element, before: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Every choice as the path to it, in the order of the configuration; other tags between choices are no level."""
    for child in element:
        label = child.get("alias") or child.get("value")
        here = (*before, label) if child.tag == "Choice" and label else before
        if here != before:
            yield here
        yield from _paths(child, here)


def _is_nested(element: Element) -> bool:
    return any(len(choice) for choice in element.iter("Choice"))


def _conditions(element: Element, above: Mapping[Element, Element]) -> dict[str, str]:
    found: dict[str, str] = {}
    parent = above.get(element)
    while parent is not None:
        found = {key: value for key, value in parent.items() if key in CONDITIONS} | found
        parent = above.get(parent)
    return found


def write_choices(labels: Iterable[str], *, field: str = "text", name: str = "label") -> str:
    """A configuration for choosing one of `labels` for the text in data field `field`."""
    choices = "\n".join(f"    <Choice value={quoteattr(label)}/>" for label in labels)
    return (
        "<View>\n"
        f'  <Text name="text" value={quoteattr("$" + field)}/>\n'
        f'  <Choices name={quoteattr(name)} toName="text" choice="single" showInline="true">\n'
        f"{choices}\n"
        "  </Choices>\n"
        "</View>\n"
    )


def _unreadable() -> tuple[type[Exception], ...]:
    """What reading a hostile or broken configuration raises. The SDK's own errors derive from nothing more specific."""
    from label_studio_sdk._legacy.exceptions import (
        LabelStudioValidationErrorSentryIgnored,
        LabelStudioXMLSyntaxErrorSentryIgnored,
        LSConfigParseException,
    )

    own = (
        LabelStudioXMLSyntaxErrorSentryIgnored,
        LabelStudioValidationErrorSentryIgnored,
        LSConfigParseException,
    )
    return (*own, ElementTree.ParseError, ValueError, LookupError, TypeError, AttributeError)
