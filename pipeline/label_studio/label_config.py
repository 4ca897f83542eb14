"""Reading and writing a labeling configuration (Label Studio's XML)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import quoteattr

from pipeline.errors import ConfigError
from pipeline.types import Control


def read_controls(xml: str) -> tuple[Control, ...]:
    """Every control with its object's data field and its labels, in the order of the configuration.

    Labels are the values that results hold: `<Choice value="Neutral" alias="neu"/>` gives "neu". ConfigError for XML that
    cannot be read, that declares entities, or that holds no control, or a control that points nowhere.
    """
    if "<!DOCTYPE" in xml.upper() or "<!ENTITY" in xml.upper():
        raise ConfigError("The labeling configuration declares a DOCTYPE or an entity: leave it out.")
    from label_studio_sdk.label_interface import LabelInterface

    unreadable = _unreadable()
    try:
        interface = LabelInterface(
            re.sub(r"^\s*<\?xml[^>]*\?>", "", xml)
        )  # the SDK refuses a declared encoding
        interface.validate()
    except unreadable as error:
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise ConfigError(f"The labeling configuration cannot be read: {reason}.") from error
    fields = {item.name: item.value_name for item in interface.objects}
    controls = tuple(
        Control(item.name, target, item.tag, fields.get(target) or "", tuple(item.labels))
        for item in interface.controls
        for target in item.to_name[:1]
    )
    if not controls:
        raise ConfigError(
            "The labeling configuration holds no control, so nothing can be labelled: add one, such as <Choices>."
        )
    return controls


def only(controls: Sequence[Control], tag: str = "Choices") -> Control:
    """The one control of this kind; ConfigError, listing what is there, if there is none or more than one."""
    found = [control for control in controls if control.tag == tag]
    if len(found) != 1:
        there = ", ".join(f"<{control.tag} name={control.name!r}>" for control in controls) or "none"
        raise ConfigError(
            f"The labeling configuration must hold exactly one <{tag}>, not {len(found)}; its controls: {there}."
        )
    if not found[0].field:
        raise ConfigError(
            f'<{tag} name={found[0].name!r}> is not bound to a data field: give its object value="$text".'
        )
    return found[0]


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
    return (*own, ValueError, LookupError, TypeError, AttributeError)
