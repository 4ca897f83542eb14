"""The kinds of what can be wrong with a written answer, how bad each is, and those that an answer shows by itself."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from itertools import pairwise
from typing import Literal, get_args

from validators.answers.boilerplate import stock_phrases
from validators.answers.constraints import broken_constraints
from validators.answers.written import Written, words
from validators.text_quality import broken

Kind = Literal[
    "empty", "garbled", "template", "boilerplate", "placeholder", "blank", "refusal", "wrong_language", "copied", "repetition",
    "truncated", "constraint", "length", "mismatch", "roles",
]  # fmt: skip
Sign = tuple[Kind, float, str]  # severity in [0, 1], one sentence without any text of the answer
KINDS: tuple[Kind, ...] = get_args(Kind)
# 1 is no answer; from 0.8 on a model learns what nobody wants; 0.6 is broken, 0.4 only worth a look. Of the kinds that are not
# here severity depends on what was found.
SEVERITY: Mapping[Kind, float] = {
    "empty": 1.0, "template": 0.9, "boilerplate": 0.8, "wrong_language": 0.8, "placeholder": 0.7, "garbled": 0.7,
    "repetition": 0.7, "roles": 0.7, "constraint": 0.6, "refusal": 0.5, "length": 0.5, "blank": 0.4,
}  # fmt: skip
EXPLAINED = 25  # words from which on a refusal gives its reason; stock ones of models have 6 to 20
FORGIVEN = 0.2  # severity of a refusal that is none of a model's, or is what the set is made of
GARBLED = "Characters of the answer were lost or decoded with the wrong character set."
LOOP = 4  # times the same line or sentence in a row: how a model that is stuck ends


def sign(kind: Kind, why: str, severity: float | None = None) -> Sign:
    return kind, SEVERITY[kind] if severity is None else severity, why


def signs_alone(row: Written) -> list[Sign]:
    """What an answer shows by itself, or beside its question."""
    if not any(letter.isalnum() or unicodedata.category(letter) in ("So", "Sm", "Sc") for letter in row.answer):
        return [sign("empty", "The answer is empty, or holds nothing but punctuation.")]
    phrases = stock_phrases(row.answer, row.prompt)
    found = [sign(kind, phrases[kind]) for kind in KINDS if kind in phrases]
    if len(words(row.answer)) > EXPLAINED:
        found = [sign(kind, why, FORGIVEN) if kind == "refusal" else (kind, value, why) for kind, value, why in found]
    damage = set(broken(row.answer))
    if damage & {"replacement", "mojibake", "control"}:
        found.append(sign("garbled", GARBLED))
    if "repetition" in damage or _loops(row.answer):
        found.append(sign("repetition", "The answer says the same over and over."))
    if not row.is_code and not {"refusal", "boilerplate"} & set(phrases):
        found += [sign("constraint", why) for why in broken_constraints(row.asked, row.answer)]
    fault = _roles(row)
    return [*found, sign("roles", fault)] if fault else found


def _loops(text: str) -> bool:
    """One line or sentence of three words and more LOOP times in a row."""
    parts = [part.strip().casefold() for part in text.replace("\n", ". ").split(". ") if part.strip()]
    run = 1
    for one, two in pairwise(parts):
        run = run + 1 if one == two and len(one.split()) >= 3 else 1
        if run >= LOOP:
            return True
    return False


def _roles(row: Written) -> str:
    """What is wrong in a conversation: the system comes first if at all, then user and assistant in turn, the assistant last."""
    roles = [message.get("role", "") for message in row.messages]
    if not roles:
        return ""
    talk = roles[1:] if roles[0] == "system" else roles
    if roles[-1] != "assistant":
        return "The last message is not the assistant's."
    if "system" in talk:
        return "A system message stands in the middle of the conversation."
    if len(talk) < 2 or talk[-2] != "user":
        return "The assistant's last message does not follow one of the user."
    return "Somebody speaks twice in a row." if any(one == two for one, two in pairwise(talk)) else ""
