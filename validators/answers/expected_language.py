"""In which language should an answer be, and is it?"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from pipeline.evidence.language import CODES, Guess, code_of, languages, same_language
from validators.answers.written import Written, own_words, words

TARGET_FIELDS = ("target_language", "target_lang", "tgt_lang", "tgt")
PAIR = re.compile(r"([a-z]{2,3})\s*(?:-|_|→|->|>|2)\s*([a-z]{2,3})", re.IGNORECASE)
NAME = "|".join(sorted(CODES, key=len, reverse=True))
NAMED = re.compile(rf"\b(?:{NAME})\b", re.IGNORECASE)
# "Answer in German", "translate this into French", "Responde en español"; not "the word for it in German".
VERBS = (
    r"answer|respond|reply|write|rewrite|translat\w+|summari[sz]e|explain|respond\w+|contest\w+|traduc\w+|traduz\w+|escrib\w+"
    r"|répond\w+|tradui\w+|écri\w+|antwort\w+|schreib\w+|übersetz\w+|rispond\w+|scriv\w+"
)
WANTED = re.compile(
    rf"\b(?:{VERBS})\b[^.!?\n]{{0,80}}?\b(?:in|into|to|auf|ins|en|al|au|em)\s+(?:\w+\s+)?({NAME})\b", re.IGNORECASE
)
TRANSLATE = re.compile(r"\b(?:translat|übersetz|tradui|traduc|traduz|tradurre)", re.IGNORECASE)
# A language has a usual language of answers from five pairs of which four agree; a corpus that answers in the language of the
# question does so in nine of ten of twenty pairs. Below, nothing is expected.
PAIRS, SHARE, ALL_PAIRS, ALL_SHARE = 5, 0.8, 20, 0.9


def wrong_language(rows: Sequence[Written]) -> tuple[list[str | None], list[dict[str, object]]]:
    """Per row what is wrong in one sentence, "" if nothing, None if it cannot be judged; and which languages answer which."""
    answers = [
        Guess("", 0.0, 0) if row.is_code else guess
        for row, guess in zip(rows, languages([own_words(row.answer) for row in rows]), strict=True)
    ]
    asked = languages([own_words(row.asked) for row in rows])
    sure = [(ask.code, said.code) for ask, said in zip(asked, answers, strict=True) if ask.sure and said.sure]
    usual, same = _usual(sure)
    main = _main([said.code for said in answers if said.sure])
    out: list[str | None] = []
    for row, ask, said in zip(rows, asked, answers, strict=True):
        declared = _declared(row)
        wanted = declared or _by_habit(row, ask, usual, same) or ("" if ask.sure else main)
        named = {CODES[name.casefold()] for name in NAMED.findall(row.prompt)}
        if not said.sure or not wanted or (not declared and _names_only(row.answer)):
            out.append(None)
        elif same_language(said.code, wanted) or (not declared and said.code in named):
            out.append("")
        else:
            why = "the task asks for" if declared else "such questions are answered in"
            out.append(f"The answer is in the language “{said.code}” ({said.score:.0%} sure), and {why} “{wanted}”.")
    counts = Counter(sure)
    return out, [
        {"asked": a, "answered": b, "examples": n}
        for (a, b), n in sorted(counts.items(), key=lambda x: (-x[1], x[0]))[:20]
    ]


def _declared(row: Written) -> str:
    """The language that the task names: in a field of its data, or with a verb in what it asks."""
    for field in TARGET_FIELDS:
        if code := code_of(str(row.data.get(field) or "")):
            return code
    pair = PAIR.fullmatch(str(row.data.get("pair") or row.data.get("language_pair") or "").strip())
    if pair and code_of(pair[1]) and code_of(pair[2]):
        return code_of(pair[2])
    wanted = {CODES[name.casefold()] for name in WANTED.findall(row.asked)}
    return wanted.pop() if len(wanted) == 1 else ""


def _usual(pairs: Sequence[tuple[str, str]]) -> tuple[dict[str, str], bool]:
    """Language of the question → usual language of its answers; and whether a corpus answers in the question's language."""
    by_question: dict[str, Counter[str]] = defaultdict(Counter)
    for asked, said in pairs:
        by_question[asked][said] += 1
    usual = {}
    for asked, found in by_question.items():
        most, count = found.most_common(1)[0]
        if found.total() >= PAIRS and count >= SHARE * found.total():
            usual[asked] = most
    same = sum(same_language(*pair) for pair in pairs)
    return usual, len(pairs) >= ALL_PAIRS and same >= ALL_SHARE * len(pairs)


def _main(codes: Sequence[str]) -> str:
    """The language of nearly all answers, "" if there is none: what is expected where the question's cannot be told."""
    most = Counter(codes).most_common(1)
    return most[0][0] if most and len(codes) >= ALL_PAIRS and most[0][1] >= ALL_SHARE * len(codes) else ""


def _names_only(answer: str) -> bool:
    """A list of dishes or towns has no language."""
    return max((len(words(line)) for line in answer.splitlines()), default=0) < 6


def _by_habit(row: Written, ask: Guess, usual: dict[str, str], same: bool) -> str:
    if not ask.sure or TRANSLATE.search(row.prompt):
        return ""
    return usual.get(ask.code, ask.code if same else "")
