"""Do two answers to one question speak against each other, as far as words without understanding tell?"""

from __future__ import annotations

import re

from validators.answers.written import words

YES_WORDS = """
yes yeah yep correct true ja oui sí si sim certainly absolutely sure
"""
YES = frozenset(YES_WORDS.split())
NO_WORDS = """
no nope not incorrect false nein non não never don't
"""
NO = frozenset(NO_WORDS.split())
NOT_WORDS = """
not no never none nobody nothing neither nor without cannot can't don't doesn't didn't isn't aren't wasn't won't
wouldn't shouldn't nicht kein keine keinen nie niemals ohne pas sans jamais ni nunca sin não sem non senza
"""
NOT = frozenset(NOT_WORDS.split())
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def opposed(one: str, two: str) -> str:
    """A clause that says in what, "" if there is no sign of it."""
    first, second = words(one), words(two)
    if not first or not second:
        return ""
    for here, there in ((first, second), (second, first)):
        if here[0] in YES and there[0] in NO:
            return "one says yes and the other no"
    numbers = set(NUMBER.findall(one)), set(NUMBER.findall(two))
    if numbers[0] and numbers[1] and not numbers[0] & numbers[1]:
        return "they give other numbers"
    # What is denied, not whether: one "not" more is how the same thing is put in other words, unless the rest is the same.
    denied = {word for word in first if word in NOT}, {word for word in second if word in NOT}
    if bool(denied[0]) != bool(denied[1]):
        return "one of them denies"
    return ""
