"""Does an answer break off before its end?"""

from __future__ import annotations

import re
from collections.abc import Sequence

from validators.answers.written import Written, prose, words

# Words after which a sentence goes on in English, German, French, Spanish, Italian, Portuguese and Dutch.
SMALL_WORDS = """
a an the and or but nor of to for with from by as at into than because if when while which who whose that is are was
were be been has have had can could will would should may might must their its his her your our my this these such
very more most not no also der die das den dem des ein eine einen einem einer und oder aber mit für von zum zur bei
aus auf nach dass weil wenn als ist sind war wird werden hat haben kann nicht sehr le la les un une des du de et ou
mais à au aux avec pour par dans sur que qui est sont était très el los las una unos unas y o pero con para por en
del al es son fue muy más il lo gli uno e di da per che è sono nel della degli os as um uma ou mas em no na dos das
ao pelo pela não são het een en van voor met zijn niet op
"""
GO_ON = frozenset(SMALL_WORDS.split())
ENDS = re.compile(r"[.!?…。！？؟।:;)\]}»”’\"'*_`>|~]\s*\Z")
OPEN_END = re.compile(r"(?:[,:(\[{„“«–—]|\s[-+=/&])\s*\Z")
LIST_ITEM = re.compile(r"^\s*(?:[-*•–+#>|]|\d{1,3}[.):]|[a-zA-Z][.)])\s")
# "Yours faithfully," or "- Anna" ends a letter, a tag or an address a post, and "Starter: soup, Dessert: ice" is a table.
SIGNED = re.compile(
    r"\n[^\n.!?]{1,40},\s*\Z|(?:[.!?][\"'”’)]*\s+|\n[^\S\n]*)[-–—~]\s*[A-Z]\S{0,20}(?: \S{1,20}){0,2}\Z"
    r"|(?:\A|\s)[#@]\w+\Z|(?<!\S)\S{1,300}(?:://|\.\w{1,20}/)\S*\Z"
)
TAIL = 300  # characters of the end that are looked at for these
TABLE = re.compile(r"\w: .*\w: ")
SYMBOL_END = re.compile(r"[^\w\s]\s*\Z")
# From 12 words on a line is a sentence and no heading, name or verse; nine of ten such answers must end properly, of 20. An item
# of a list is held against the others of its list: from two of them, four in five with a full stop.
SENTENCE, PROPER, COMPARED, ITEMS = 12, 0.9, 20, 2


# Nats by which a language model is surprised that an answer of 10 words and more ends where it does. Of 270 answers of
# seed_tasks, half of llamafactory_demo and multi30k's validation part .80 to 1 are above when cut, and 0 to .03 of the whole
# ones.
SURPRISED, CALM, READ = 10.0, 3.0, 10


def broken_off(rows: Sequence[Written], surprise: Sequence[float] = ()) -> list[tuple[float, str]]:
    """Per row a severity in [0, 1] and one sentence, (0, "") where the answer ends as it should or nothing can be said.

    0.8 where the end itself shows it: a word that wants another after it, an open bracket or quotation, half a word. 0.7 where
    a language model expects it to go on. 0.6 where a sentence ends without a sign and nearly all others of the corpus have one.
    An answer without a sign at its end, to a question of like length without one (a caption, its translation), is in order.

    surprise: the language model's at each answer's end, in nats (see pipeline/evidence/signals.py), NaN where it was not asked.
    """
    judged = [_ending(row) for row in rows]
    sentences = [kind for kind in judged if kind in ("proper", "open")]
    strict = len(sentences) >= COMPARED and sentences.count("proper") >= PROPER * len(sentences)
    heard = surprise if len(surprise) else [float("nan")] * len(rows)
    return [_said(row, kind, strict, nats) for row, kind, nats in zip(rows, judged, heard, strict=True)]


def _said(row: Written, kind: str, strict: bool, nats: float) -> tuple[float, str]:
    if kind not in ("", "proper", "open", "item"):
        return 0.8, f"The answer breaks off: it ends in {kind}."
    if row.is_code or _mirrors(row):
        return 0.0, ""
    if nats >= SURPRISED and len(words(row.answer)) >= READ:
        said = f"A language model expects the answer to go on (surprise at its end: {nats:.0f} nats): it may have been cut."
        return 0.7, said
    if nats < CALM:
        return 0.0, ""
    if kind == "item":
        return 0.6, "The last item of the list ends without a full stop, and the others have one: it may have been cut."
    if kind == "open" and strict:
        return 0.6, "The answer ends without a full stop, and nearly all others have one: it may have been cut."
    return 0.0, ""


def _mirrors(row: Written) -> bool:
    if ENDS.search(row.asked[-TAIL:]) or ENDS.search(row.answer[-TAIL:]):
        return False
    return 0.5 <= len(words(row.answer)) / max(len(words(row.asked)), 1) <= 2


def _ending(row: Written) -> str:
    """ "proper", "open" (a sentence without a sign at its end), "item" (the same of a list's last), "" (none), or in what it
    breaks off."""
    text = row.answer.rstrip()
    if not text or row.is_code or SIGNED.search(text[-TAIL:]) or words(text)[-1:] == words(row.asked)[-1:]:
        return ""  # what ends as the question does was not cut
    if text.count("```") % 2:
        return "a block of code that is not closed"
    last = text.splitlines()[-1]
    long = len(words(text)) >= SENTENCE // 2
    if OPEN_END.search(text) and long and not text.endswith(":"):
        return "the middle of a sentence"
    if SYMBOL_END.search(text):
        return "a bracket that is not closed" if _left_open(last) and long else "proper" if ENDS.search(text) else ""
    final = words(text)[-1:]
    if final and final[0] in GO_ON and long and not text.splitlines()[-1].isupper():
        return "the middle of a sentence"
    if final and long and _half_a_word(final[0], frozenset([*words(row.prompt), *words(text)[:-1]])):
        return "the middle of a word"
    if _left_open(last) and long:
        return "a bracket that is not closed"
    inside = len(words(last)) >= SENTENCE or (
        re.search(r"[.!?]\s+\S", last) is not None and len(words(last)) >= SENTENCE // 2
    )
    if LIST_ITEM.match(last):
        others = [line for line in text.splitlines()[:-1] if LIST_ITEM.match(line)]
        return (
            "item"
            if len(others) >= ITEMS and sum(bool(ENDS.search(line)) for line in others) >= 0.8 * len(others)
            else ""
        )
    return "open" if inside and not text[-1].isdigit() and not TABLE.search(last[-TAIL:]) else ""


def _left_open(line: str) -> bool:
    plain = prose(line)
    return any(plain.count(left) > plain.count(right) for left, right in ("()", "[]", "“”", "«»")) and not re.search(
        r"[:;=]-?\(", plain
    )


def _half_a_word(word: str, known: frozenset[str]) -> bool:
    """A word that stands nowhere else in question and answer, and begins one that does, such as "univ" """
    if len(word) < 3 or word in known or not word.isalpha():
        return False
    endings = ("s", "es", "e", "n", "en", "er", "d", "ed", "ing", "ly", "r", "t", "y")
    longer = {other[len(word) :] for other in known if other.startswith(word)}
    return bool(longer) and not any(rest in endings for rest in longer)
