from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest
from planted import CLEAN, banking, corpus_of, precision_recall

from pipeline.errors import CheckError
from validators.check import Outcome, run, settings_for
from validators.text_quality import KINDS, broken, length_limit

BROKEN = {
    "empty": ["", "   ", "\n\t ", "\u200b\ufeff", "\xa0\u2003"],
    "script": [
        "<p>hi</p><script>alert(1)</script>", "<SCRIPT src=//x.example>", "<img src=x onerror=alert(1)>",
        "<a href='javascript:alert(1)'>x</a>",
        "<iframe src='https://x.example'></iframe>", "<svg/onload=alert(1)>",
        '<a href="data:text/html;base64,x">y</a>',
    ],
    "cut_off": ["thank you \ud83d", "\ude00 great", "family \U0001f468\u200d", "it costs 5 \\u20", "salt &amp",
    "twelve &#82"],
    "replacement": ["sister\ufffdcity", "wo ist mein P\ufffdckchen?"],
    "mojibake": [
        "Itâ€™s late", "Ã¼ber", "cafÃ©", "voilÃ\xa0", "Â£20", "ðŸ˜€ nice", "ï»¿first", "â‚¬ 5", "Ã–sterreich",
        "Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "â\x80\x99s",
        "20Â\xa0%",
    ],
    "control": ["a\x00b", "bell\x07 rings", "\x1b[31mred", "he said \u202egnp.exe", "del\x7f"],
    "only_links": ["https://shop.example/a?b=c", "www.shop.example  http://x.example"],
    "only_digits": ["12345", "4 471,00", "50 %", "٣٤٥"],
    "only_punctuation": ["???", "...", "!!! - ???", "[]"],
    "repetition": [
        "aaaaaaaaaaaaaaaaaaaa", "heeeeeeeeeeeeeeeeeeelp", "refund refund refund refund",
        "no no no no no no no no no way", "please help me now " * 5,
    ],
    "markup": ["<p>Where is it?</p>", "one<br>two", "<b class='x'>now</b>", "<!-- note --> hello", "</div>"],
    "entities": ["salt &amp; pepper", "it&#39;s late", "wait&nbsp;please"],
}  # fmt: skip

SOUND = [
    *CLEAN, "ok", "No.", "👍", "😀😀😀😀😀", "👨‍👩‍👧 great", "❤️", "I <3 you", "a < b and c > d", "x<y>z",
    "<name> is missing", "R&D and AT&T", "fish & chips",
    "salt & pepper;", "very very very very good", "bye bye", "ha ha ha", "soooo late", "CAFÉ", "“MAÇÔ", "« ÂME »",
    "SÃO PAULO", "NÃO", "CAFÉ”", "Âge",
    "naïve façade", "Привет, где мой заказ?", "γειά σου", "我的包裹在哪里？", "حزمتي متأخرة", "می\u200cخواهم", "शुक्रिया",
    "line one\r\nline two\tend",
    "5 stars", "C:\\users\\anna", "https://shop.example is down", "Order #4471?", "2 + 2 = five", "on=off",
    "java script", "mmm", "www",
]  # fmt: skip


def ask(texts: list[str], **settings: object) -> Outcome:
    outcome = run(corpus_of(texts), {"text_quality": settings})[0]
    assert outcome.status in ("passed", "flagged"), outcome.reason
    return outcome


def flagged(outcome: Outcome) -> set[str]:
    return set(outcome.findings[outcome.findings["flagged"]]["subject_id"])


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in BROKEN.items() for text in texts])
def test_each_kind_of_broken_text_is_found(kind: str, text: str) -> None:
    assert kind in broken(text)


@pytest.mark.parametrize("text", SOUND)
def test_short_informal_and_foreign_texts_are_in_order(text: str) -> None:
    assert broken(text) == []


def test_every_kind_is_tried_in_these_tests() -> None:
    assert set(BROKEN) | {"too_long"} == set(KINDS)


def test_a_reason_says_in_plain_words_what_is_wrong_and_repeats_nothing_of_the_text() -> None:
    outcome = ask(["<script>steal()</script> Itâ€™s", "fine words", ""])
    reasons = outcome.findings.set_index("subject_id")["reason"]
    assert "script" in reasons["1"]
    assert "wrong character set" in reasons["1"]
    assert "steal" not in reasons["1"]
    assert reasons["2"] == ""
    assert reasons["3"] == "The text is empty."
    assert outcome.facts["kinds"] == {"empty": 1, "mojibake": 1, "script": 1}
    assert outcome.judged == 3


def test_severity_is_that_of_the_worst_kind_and_entities_alone_are_only_listed() -> None:
    outcome = ask(["", "<script>x</script> Itâ€™s", "salt &amp; pepper", "sound"])
    severity = outcome.findings.set_index("subject_id")["severity"]
    assert 1 == severity["1"] > severity["2"] == 0.9 > severity["3"] > severity["4"] == 0
    assert flagged(outcome) == {"1", "2"}
    assert flagged(ask(["salt &amp; pepper"], flag_from=0.1)) == {"1"}


def test_a_kind_can_be_allowed_and_an_unknown_one_is_refused() -> None:
    assert flagged(ask(["<p>hello</p>", "???"], allow=["markup"])) == {"2"}
    with pytest.raises(CheckError, match="text_quality"):
        settings_for({"text_quality": {"allow": ["markupp"]}})
    assert settings_for({"text_quality": {"allow": ["markup"]}})["text_quality"]["allow"] == ["markup"]


def test_a_text_is_too_long_only_beside_the_others() -> None:
    long = " ".join(CLEAN)
    assert broken(long, length_limit([*CLEAN, long], 10)) == ["too_long"]
    assert flagged(ask([*CLEAN, long])) == {str(len(CLEAN) + 1)}
    assert flagged(ask([long, *CLEAN[:5]])) == set()  # too few to say what is usual
    assert flagged(ask([long + text for text in CLEAN])) == set()


@pytest.mark.parametrize("texts", [[], ["one row"]])
def test_a_corpus_of_nothing_or_one_sound_text_passes(texts: list[str]) -> None:
    outcome = ask(texts)
    assert outcome.status == "passed"
    assert outcome.judged == len(texts)


def _undo(text: str) -> str:
    """What a text looks like whose UTF-8 was read as Windows-1252."""
    return "".join(bytes([byte]).decode("cp1252", "replace").replace("\ufffd", chr(byte)) for byte in text.encode())


def _mojibake(text: str, draw: random.Random) -> str:
    foreign = draw.choice(["naïve", "“yes”", "it’s", "10 €", "über"])
    return _undo(text.replace(draw.choice(text.split()), foreign, 1))


SPOILERS: dict[str, Callable[[str, random.Random], str]] = {
    "empty": lambda text, draw: draw.choice(["", " ", "\n"]),
    "mojibake": _mojibake,
    "replacement": lambda text, draw: text.replace(" ", "\ufffd", 1),
    "control": lambda text, draw: text[:5] + draw.choice("\x00\x07\x1b\x08") + text[5:],
    "markup": lambda text, draw: draw.choice(["<div>{}</div>", "{}<br/>", "<span style='x'>{}"]).format(text),
    "script": lambda text, draw: f"{text}<script>document.title = 1</script>",
    "repetition": lambda text, draw: " ".join([draw.choice(text.split())] * draw.randrange(4, 12)),
    "only_digits": lambda text, draw: str(draw.randrange(10**8)),
    "only_punctuation": lambda text, draw: draw.choice("?!.-") * draw.randrange(1, 9),
    "only_links": lambda text, draw: f"https://shop.example/{draw.randrange(10**6)}",
}  # fmt: skip


def measured(texts: list[str], seed: int) -> tuple[float, dict[str, float]]:
    """Every fifth text is spoiled; precision over all, recall by kind."""
    draw, out = random.Random(seed), list(texts)
    planted: dict[str, set[str]] = {kind: set() for kind in SPOILERS}
    for number, row in enumerate(range(0, len(texts), 5)):
        kind = list(SPOILERS)[number % len(SPOILERS)]
        out[row] = SPOILERS[kind](texts[row], draw)
        planted[kind].add(str(row + 1))
    found = flagged(ask(out))
    precision, _ = precision_recall(found, set().union(*planted.values()))
    return precision, {kind: len(found & ids) / len(ids) for kind, ids in planted.items()}


def test_planted_faults_in_our_own_texts_are_found_and_nothing_else() -> None:
    precision, recall = measured(CLEAN, seed=1)
    assert precision == 1
    assert {kind: value for kind, value in recall.items() if value < 1} == {}


def test_planted_faults_in_real_questions_are_found_with_at_most_one_false_alarm_in_a_thousand() -> None:
    texts = banking()
    assert ask(texts).flagged / len(texts) * 1000 <= 1
    precision, recall = measured(texts[:5000], seed=2)
    assert precision >= 0.998
    assert {kind: value for kind, value in recall.items() if value < 0.97} == {}


HOSTILE = [
    "<",
    "<a ",
    "<a on",
    "&",
    "&#1",
    "href=",
    "a",
    "ab ",
    "Ã",
    "â€",
    "https://",
    "\\u1",
    " ",
    "a\n",
    "<!-",
    "('\"/on",
]


def seconds(text: str) -> float:
    """The least of three: what else the machine does only adds."""
    times = []
    for _ in range(3):
        start = time.process_time()
        broken(text)
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.parametrize("unit", HOSTILE)
def test_twice_the_hostile_text_takes_about_twice_the_time(unit: str) -> None:
    text = (unit * 50_000)[:50_000]
    assert seconds(text * 2) <= 3 * seconds(text) + 0.01
