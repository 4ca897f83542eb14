"""A conversation: an answer is the whole of it, a list of {"role", "content"}.

The messages are the task's, then what the annotator added: one message of the assistant in a text area, or, from Label Studio
Enterprise, the messages of a <Chat> (Community has no such tag: its page shows an error, and nobody can work on it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.reading import entries, shown
from pipeline.reading.words import same_words
from pipeline.types import Control, Item, Scheme

TAGS = ("TextArea", "Chat")
SEVERAL = False
PARTIAL = False
ALTERNATIVES = True
MERGE = "texts"
EVIDENCE = "written"

Message = dict[str, str]


def classes(scheme: Scheme) -> tuple[str, ...]:
    return ()


def similarity(a: Sequence[Message], b: Sequence[Message], scheme: Scheme) -> float:
    """Of what was written: what the task itself says would be the same in both."""
    return same_words(written(a), written(b))


def mentions(answer: Sequence[Message]) -> list[str]:
    return []


def written(answer: Sequence[Message]) -> str:
    """The last message: the assistant's."""
    return answer[-1]["content"] if answer else ""


def parse(items: Sequence[Item], scheme: Scheme, record: Mapping[str, Any]) -> list[Message] | None:
    added: list[Message] = []
    replies: list[str] = []
    for item in entries.readable(items):
        if item.type == "chatmessage":
            added.append({"role": item.value["role"], "content": item.value["content"]})
        else:
            replies += item.value
    if replies:
        added.append({"role": "assistant", "content": "\n".join(replies)})
    return [*given(record["data"], scheme.control), *added] if added else None


def text(data: Mapping[str, Any], scheme: Scheme) -> str:
    return shown.example_text(data, scheme)


def to_result(
    answer: Sequence[Mapping[str, str]], scheme: Scheme, record: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """ValueError if the answer does not go on from the task's messages, or by more than a text area can hold."""
    control = scheme.control
    before = given(record["data"], control)
    added = list(answer[len(before) :])
    if [dict(message) for message in answer[: len(before)]] != before or not added:
        raise ValueError("the answer does not continue the task's conversation")
    if control.tag == "Chat":
        return [entries.entry(control, "chatmessage", {"chatmessage": dict(message)}) for message in added]
    if len(added) > 1 or added[0]["role"] != "assistant":
        raise ValueError("the answer adds more than one message of the assistant")
    return [entries.entry(control, "textarea", {"text": [added[0]["content"]]})]


def given(data: Mapping[str, Any], control: Control) -> list[Message]:
    """The task's own messages; a plain text is the user's first. ValueError if they are none."""
    try:
        value = shown.look_up(data, control.field)
    except KeyError as error:
        raise ValueError(f"the task has no field {control.field!r} with the conversation") from error
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, list):
        raise ValueError(f"the field {control.field!r} holds {type(value).__name__}, not a list of messages")
    role = shown.object_setting(control, "nameKey") or "role"
    content = shown.object_setting(control, "textKey") or "content"
    for number, message in enumerate(value):
        if not isinstance(message, Mapping) or not all(
            isinstance(message.get(key), str) for key in (role, content)
        ):
            raise ValueError(
                f"message {number} of the field {control.field!r} has no {role} and {content} that are text"
            )
    return [{"role": message[role], "content": message[content]} for message in value]
