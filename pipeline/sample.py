"""A template's sample with the answers of five made-up annotators and planted faults: what the demo runs on.

Everything follows from the seed. `make` gives the tasks to import, and says what was planted where, so that the demo's report
can say how much of it was found. Each message has a `message_id` in its data, by which the two are matched.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from pipeline.types import Scheme

SHARES = (("test", 0.15), ("validation", 0.15))
UNLABELLED = 6  # messages of each intent that nobody has labelled yet: the next batch
THREE_OF_FIVE = 0.75  # share of messages that three annotators answer; all five answer the rest
SLICES = ("channel", "region", "plan")

# How many of each fault are planted among about 670 messages: about the rates seen in real sets (labels 5 %, copies 3 %).
WRONG_LABELS = 36
EXACT_COPIES = 18
NEAR_COPIES = 18
LEAKS = 12
PERSONAL = 12
BROKEN = 8
EMPTY = 4
SCRIPTS = 3


@dataclass(frozen=True)
class Profile:
    """accuracy: share of right answers where nothing else applies. seconds: median time for an answer."""

    first_name: str
    accuracy: float
    seconds: float
    confuses: dict[str, tuple[str, float]] = field(default_factory=dict)  # label → (what is said instead, how often)
    harsher: tuple[str, str, str, float] | None = None  # slice, group, label said instead, how often
    fault: str = ""

    @property
    def email(self) -> str:
        return f"{self.first_name.lower()}@annotators.example"


PROFILES = (
    Profile("Ada", 0.97, 11.0),
    Profile("Ben", 0.96, 13.0),
    Profile("Cleo", 0.78, 3.0, fault="hasty: a quarter of the time of the others, one answer in five at random"),
    Profile(
        "Dan", 0.95, 12.0,
        confuses={"return_refund": ("cancel_order", 0.45), "cancel_order": ("return_refund", 0.25)},
        fault="confuses return_refund and cancel_order",
    ),
    Profile(
        "Eve", 0.95, 12.0, harsher=("region", "islands", "complaint_service", 0.35),
        fault="says complaint_service too often for region islands",
    ),
)  # fmt: skip

# What a careful reader could mistake each intent for: the consensus errors are of this hard kind, not random ones.
CONFUSABLE = {
    "order_status": "complaint_service", "cancel_order": "order_status", "return_refund": "damaged_item",
    "damaged_item": "return_refund", "billing_payment": "return_refund", "account_access": "billing_payment",
    "product_question": "order_status", "complaint_service": "order_status",
}  # fmt: skip

# All of it invented, or published as an example: the card numbers are the networks' test numbers.
PERSONAL_DATA = (
    "You can reach me at marta.lindqvist@example.com.", "Please ring me back on +44 7700 900123 after five.",
    "My card is 4111 1111 1111 1111, just charge it again.", "The refund can go to DE89 3704 0044 0532 0130 00.",
    "Write to j_okafor77@example.org if anything is unclear.", "Call 020 7946 0958 and ask for the kitchen.",
    "I paid with 5555 5555 5555 4444, if that helps.", "Send it to GB29 NWBK 6016 1331 9268 19 please.",
    "my mail is tomasz@example.net, my phone is +1 212-555-0147", "SSN 536-90-4399 in case you must verify me.",
    "I logged in from 203.0.113.77 this morning.", "cc accounts.payable@example.com on the answer, thanks",
)  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """tasks: Label Studio's import form; `completed_by` holds the e-mail address, and ids must be put in its place.
    planted: {key (message id, or an annotator's e-mail address), fault, what, other (the original of a copy)}.
    truth: message id → right label. people: for the Label Studio accounts."""

    tasks: list[dict[str, Any]]
    planted: list[dict[str, str]]
    truth: dict[str, str]
    people: list[dict[str, str]]


@dataclass
class _Message:
    key: str
    text: str
    truth: str
    slices: dict[str, str]
    split: str = "train"
    said: str | None = None  # what all annotators say, where the consensus is planted wrong
    labelled: bool = True


def make(rows: Sequence[dict[str, Any]], *, task: ModuleType, scheme: Scheme, seed: int = 7) -> Sample:
    """`rows`: data (text and slices) and answer, as in the sample.jsonl of text_classification."""
    draw = random.Random(seed)
    messages = [
        _Message(f"m{number:04d}", row["data"]["text"], row["answer"], {name: row["data"][name] for name in SLICES})
        for number, row in enumerate(rows)
    ]
    _set_apart(messages, draw)
    planted = _plant(messages, draw)
    tasks = [_task(message, task, scheme, draw) for message in messages]
    planted += [
        {"key": profile.email, "fault": "annotator", "what": profile.fault, "other": ""} for profile in PROFILES if profile.fault
    ]
    people = [{"email": one.email, "first_name": one.first_name, "last_name": "(made up)"} for one in PROFILES]
    return Sample(tasks, planted, {message.key: message.truth for message in messages}, people)


def _set_apart(messages: list[_Message], draw: random.Random) -> None:
    """The next batch, then the declared splits, each in equal shares of the intents."""
    by_intent: dict[str, list[_Message]] = {}
    for message in messages:
        by_intent.setdefault(message.truth, []).append(message)
    for group in by_intent.values():
        shuffled = draw.sample(group, len(group))
        for message in shuffled[:UNLABELLED]:
            message.labelled = False
        start = UNLABELLED
        for name, share in SHARES:
            size = round(share * (len(group) - UNLABELLED))
            for message in shuffled[start : start + size]:
                message.split = name
            start += size


def _plant(messages: list[_Message], draw: random.Random) -> list[dict[str, str]]:
    """Each fault on messages of its own, so that one does not hide another."""
    train = [message for message in messages if message.labelled and message.split == "train"]
    test = [message for message in messages if message.labelled and message.split == "test"]
    rest = [message for message in messages if message.labelled and message.split == "validation"]
    train, test = draw.sample(train, len(train)), draw.sample(test, len(test))
    planted: list[dict[str, str]] = []

    def mark(message: _Message, fault: str, what: str = "", other: str = "") -> None:
        planted.append({"key": message.key, "fault": fault, "what": what, "other": other})

    share = WRONG_LABELS // 6
    for message in train[: 4 * share] + rest[:share] + test[:share]:
        message.said = CONFUSABLE[message.truth]
        mark(message, "wrong_label", f"all say {message.said}, right is {message.truth}")
    del train[: 4 * share], test[:share]
    for message, extra in zip(_take(train, PERSONAL), PERSONAL_DATA, strict=True):
        message.text = f"{message.text} {extra}"
        mark(message, "personal_data")
    for number, message in enumerate(_take(train, BROKEN)):
        message.text = _break(message.text, number)
        mark(message, "broken_text")
    for number, message in enumerate(_take(train, EMPTY)):
        message.text = ("", "   ", "\n\n", " \t ")[number % 4]
        mark(message, "empty_text")
    for message in _take(train, SCRIPTS):
        message.text = f"<p>{message.text}</p><script>document.title = 'owned'</script><img src=x onerror=alert(1)>"
        mark(message, "markup")
    for message in _take(train, EXACT_COPIES):
        mark(_copy(messages, message, message.text), "exact_duplicate", "the same text", message.key)
    for number, message in enumerate(_take(train, NEAR_COPIES)):
        mark(
            _copy(messages, message, _edit(message.text, number, draw)), "near_duplicate", "the text, edited", message.key
        )
    for number, message in enumerate(test[:LEAKS]):
        text = message.text if number % 2 else _edit(message.text, number, draw)
        mark(_copy(messages, message, text), "leakage", "a test message, or an edited one", message.key)
    return planted


def _take(pool: list[_Message], size: int) -> list[_Message]:
    taken = pool[:size]
    del pool[:size]
    return taken


def _copy(messages: list[_Message], original: _Message, text: str) -> _Message:
    twin = _Message(f"m{len(messages):04d}", text, original.truth, dict(original.slices))
    messages.append(twin)
    return twin


def _edit(text: str, number: int, draw: random.Random) -> str:
    """What a person does who sends a message again: a typo, a greeting, another ending, a word twice."""
    words = text.split(" ")
    place = draw.randrange(len(words))
    if number % 4 == 0:
        return f"Hello again! {text}"
    if number % 4 == 1:
        return f"{text.rstrip('.!?')} - thanks"
    if number % 4 == 2:
        return " ".join([*words[:place], words[place], *words[place:]])
    longest = max(words, key=len)
    return text.replace(longest, longest[:-2] + longest[-1:], 1)


def _break(text: str, number: int) -> str:
    """Encoding damage, control characters, a stuck key: what exports and forms really do."""
    if number % 4 == 0:
        return f"{text} Itâ€™s Ã¼ber urgent, voilÃ ."
    if number % 4 == 1:
        return "\ufffd".join(text.split(" "))
    if number % 4 == 2:
        return text[:12] + "\x00\x07\x1b" + text[12:]
    return "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"


def _task(message: _Message, task: ModuleType, scheme: Scheme, draw: random.Random) -> dict[str, Any]:
    data = {"message_id": message.key, scheme.fields[0]: message.text, **message.slices}
    if not message.labelled:
        return {"data": data, "annotations": []}
    size = 3 if draw.random() < THREE_OF_FIVE else 5
    chosen = sorted(draw.sample(range(len(PROFILES)), size))
    answers = [_answer(message, PROFILES[number], task.classes(scheme), draw) for number in chosen]
    return {
        "data": {**data, "split": message.split},
        "annotations": [
            {
                "completed_by": PROFILES[number].email,
                "result": task.to_result(answer, scheme, {"data": data}),
                "lead_time": round(PROFILES[number].seconds * draw.lognormvariate(0, 0.4), 1),
                "ground_truth": False,
            }
            for number, answer in zip(chosen, answers, strict=True)
        ],
    }


def _answer(message: _Message, profile: Profile, labels: Sequence[str], draw: random.Random) -> str:
    if message.said:
        return message.said
    if profile.harsher:
        name, group, label, rate = profile.harsher
        if message.slices[name] == group and draw.random() < rate:
            return label
    instead, rate = profile.confuses.get(message.truth, ("", 0.0))
    if draw.random() < rate:
        return instead
    if draw.random() < profile.accuracy:
        return message.truth
    return draw.choice([label for label in labels if label != message.truth])
