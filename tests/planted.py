"""Clean texts, ways to spoil them, and how much of what was spoiled a check finds. Everything is drawn from the seed given."""

from __future__ import annotations

import csv
import os
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
from corpora import annotations_table, consensus_table, corpus, examples_table

from pipeline.types import Corpus, Evidence

CLEAN = """
The kettle arrived with a dent in its side and the lid does not close any more.
Where can I see when my parcel will be at the door?
I was charged twice for the same pair of boots last Friday.
Please close my account and delete everything you hold about me.
Your courier left the box in the rain and the books are ruined.
Can I still change the delivery date to next Tuesday?
The voucher from the newsletter is refused at the checkout.
My refund was promised within ten days and three weeks have passed.
How do I swap the blue jacket for a larger one?
Nobody answers the phone and the chat closes by itself.
The lamp flickers whenever the fridge switches on.
I would like an invoice made out to our company.
Does the warranty cover a cracked screen after a fall?
The app forgets my password every single morning.
Somebody else's order is shown in my history.
Great service, the technician was friendly and quick!
Is it possible to pay in three parts without interest?
The sofa does not fit through our staircase, what now?
I never received the confirmation you say you sent.
Half of the screws for the shelf were missing.
Could you send the parcel to a locker near the station?
The colour on the website has nothing to do with what came.
Why did the price go up between the basket and the payment?
I want to cancel the subscription before it renews in May.
The driver refused to carry the washing machine upstairs.
Which plug does the heater have, and is an adapter included?
My points vanished after the last update of the programme.
The gift wrapping was torn and the card was empty.
Do you ship to the islands, and how long does it take?
The battery lasts two hours instead of the twelve you advertise.
I entered an old address by mistake, can it be corrected?
Your shop assistant in the mall was rude to my mother.
The tracking page has said "on its way" for nine days.
What happens to my deposit if I return the crates late?
The second sleeve is visibly shorter than the first.
I cannot download the manual, the link leads nowhere.
Thank you for the quick replacement of the broken mug.
Why do I need to upload my passport to buy a toaster?
The curtains shrank by a hand's width in the first wash.
Please stop sending me three advertisements a day.
The bicycle came without pedals and without any tools.
Is the mattress available in a width of ninety centimetres?
I paid for express and it took longer than standard.
The ring is engraved with the wrong name.
May I pick up the order at a different branch?
The blender smells of burnt rubber after a minute.
My discount as a student was not applied this time.
You delivered two left shoes.
The contract says twelve months, the bill says twenty-four.
How can I add a second user to our family plan?
The perfume bottle leaked all over the other things.
Your website is down whenever I try to pay.
We ordered for forty people and got lunch for fourteen.
I would rather have store credit than my money back.
The puppy ate the label, can I return the coat anyway?
The oven door has been replaced and still does not shut.
When will the green garden chairs be in stock again?
The customs office wants money that you said was included.
A spare key was promised and never sent.
The thermostat shows a temperature from another planet.
""".strip().splitlines()


def banking() -> list[str]:
    """The 13,083 questions of banking77, for a test that skips where the shared data is absent."""
    shared = Path(os.environ.get("ASSAY_SHARED", Path(__file__).parents[2] / "shared"))
    files = [shared / "data" / "banking77" / f"{name}.csv" for name in ("train", "test")]
    if not all(file.is_file() for file in files):
        pytest.skip("the shared data is absent")
    return [row["text"] for file in files for row in csv.DictReader(file.open(encoding="utf-8", newline=""))]


def typo(text: str, draw: random.Random) -> str:
    place = draw.randrange(1, len(text) - 1)
    return text[:place] + draw.choice(["", text[place] * 2, draw.choice("aeinrst")]) + text[place + 1 :]


def punctuation(text: str, draw: random.Random) -> str:
    return draw.choice([f"{text}!!", f'"{text}"', text.rstrip(".?!"), f"{text} ...", text.replace(" ", "  ", 1)])


def greeting(text: str, draw: random.Random) -> str:
    return f"{draw.choice(['Hi, ', 'Hello, ', 'Hi there, ', 'Hey ', 'Good day! '])}{text}"


def extra_word(text: str, draw: random.Random) -> str:
    words = text.split()
    words.insert(draw.randrange(1, len(words)), draw.choice(["really", "just", "please", "now", "also"]))
    return " ".join(words)


def lost_word(text: str, draw: random.Random) -> str:
    words = text.split()
    words.pop(draw.randrange(len(words)))
    return " ".join(words)


def other_word(text: str, draw: random.Random) -> str:
    words = text.split()
    words[draw.randrange(len(words))] = draw.choice(["parcel", "today", "account", "wrong", "seven"])
    return " ".join(words)


EDITS: dict[str, Callable[[str, random.Random], str]] = {
    edit.__name__: edit for edit in (typo, punctuation, greeting, extra_word, lost_word, other_word)
}


def corpus_of(
    texts: Sequence[str],
    *,
    splits: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    annotated: Iterable[tuple[int, str]] = (),
    evidence: Evidence | None = None,
) -> Corpus:
    """Examples 1, 2, … with the given consensus; `annotated`: (example id, annotator)."""
    given = annotations_table([(example, who, "other", 5.0) for example, who in annotated])
    names = tuple(sorted({*(labels or ()), "other"}))
    consensus = consensus_table(labels or [])
    return corpus(examples_table(texts, splits=splits), given, labels=names, consensus=consensus, evidence=evidence)


def precision_recall(found: set[str], planted: set[str]) -> tuple[float, float]:
    return len(found & planted) / max(len(found), 1), len(found & planted) / len(planted)
