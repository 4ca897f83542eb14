"""Which texts are broken: empty, garbled, full of markup, or no text at all?

Made for short labelled texts. The rules by which pre-training corpora are filtered are not applied: of 200 banking
questions, Gopher's quality rule keeps 3 and C4's 2. What is said here about a text holds at any length, or says from which.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline.types import Corpus
from validators.check import Report, check, findings

Kind = Literal[
    "empty", "script", "cut_off", "replacement", "mojibake", "control", "only_links", "only_digits", "only_punctuation",
    "repetition", "markup", "too_long", "entities",
]  # fmt: skip
# Severity, and what is wrong in plain words. 1 is no text at all; from 0.7 meaning was lost or is dangerous; about 0.5 it
# can be read, but says something else to a model than to an annotator; 0.2 is a blemish.
KINDS: dict[Kind, tuple[float, str]] = {
    "empty": (1.0, "The text is empty."),
    "script": (0.9, "The text holds HTML that would run as a script."),
    "cut_off": (0.8, "The text was cut in the middle of a character."),
    "replacement": (0.7, "Characters were lost: the text holds the replacement character (U+FFFD)."),
    "mojibake": (0.7, "The text was decoded with the wrong character set, as in “Ã©” for “é”."),
    "control": (0.6, "The text holds control characters, which cannot be seen."),
    "only_links": (0.6, "The text is nothing but links."),
    "only_digits": (0.6, "The text is nothing but digits and signs."),
    "only_punctuation": (0.6, "The text is nothing but punctuation."),
    "repetition": (0.5, "The text is one letter, word or phrase over and over."),
    "markup": (0.5, "The text holds HTML tags, which the annotator may not have seen."),
    "too_long": (0.3, "The text is far longer than the others."),
    "entities": (0.2, "The text holds undecoded HTML entities, such as “&amp;”."),
}

TAGS = (
    "a|abbr|article|aside|audio|b|base|blockquote|body|br|button|center|code|dd|del|details|div|dl|dt|em|fieldset|figure"
    "|font|footer|form|frame|h[1-6]|head|header|hr|html|i|img|input|ins|label|li|link|main|meta|nav|noscript|ol|option|p"
    "|pre|s|section|select|small|source|span|strike|strong|style|sub|summary|sup|svg|table|tbody|td|template|textarea"
    "|tfoot|th|thead|title|tr|tt|u|ul|video"
)
MARKUP = re.compile(rf"</?(?:{TAGS})(?:\s[^<>]{{0,1000}})?/?>|<!--|<!doctype", re.IGNORECASE)
ENTITIES = re.compile(r"&(?:nbsp|amp|lt|gt|quot|apos|#[0-9]{2,6}|#x[0-9a-f]{2,5});", re.IGNORECASE)
SCRIPT = re.compile(
    r"</?script\b|<(?:iframe|object|embed)\b|<[a-z][^<>]{0,1000}[\s\"'/]on[a-z]{3,20}\s{0,5}="
    r"|(?:href|src|action)\s{0,5}=\s{0,5}[\"']?\s{0,5}(?:javascript:|vbscript:|data:text/html)",
    re.IGNORECASE,
)
LINK = re.compile(r"(?:https?://|www\.)\S{1,2000}", re.IGNORECASE)
# UTF-8 read as Windows-1252: the letter of a lead byte, then those of continuation bytes. Two-byte sequences begin with
# Â or Ã (the Latin letters), or come by threes (Cyrillic, Greek). A quote after a capital ("MAÇÃ”") is one only if a small
# letter follows.
GO_ON = "\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
MOJIBAKE = re.compile(
    rf"â[{GO_ON}]{{2}}|ð[Ÿ\x9f][{GO_ON}]{{2}}|ï»¿|ï¿½|(?:[ÐÑÎÏ][{GO_ON}]){{3}}"
    r"|[ÂÃ](?:[\x80-\xaa\xac-\xba\xbc-\xbf€‚ƒ„†‡ˆ‰Š‹ŒŽ•˜™š›œžŸ]|[‘’“”–—…«»](?=[a-z]))"
)
CUT_OFF = re.compile(r"[\ud800-\udfff]|(?:[\u200d\ufffd]|\\u[0-9a-fA-F]{1,3}|&(?:nbsp?|am|amp|quo|quot|#[0-9]{1,5}))\Z")
# C0 and C1 without tab and line ends, the overrides that make a text read otherwise than it is stored, annotation marks
# and non-characters. Joiners and direction marks belong to ordinary Persian, Hindi, Hebrew and emoji.
CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\u202d\u202e\ufff9-\ufffb\ufffe\uffff]")
UNSEEN = re.compile(
    "[\\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u115f\u1160\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe0f\ufeff]+"
)
RUN = re.compile(r"(\w)\1{9,}")
WORD = re.compile(r"\w+")


@check("text_quality", "Which texts are broken?", subject="example")
def text_quality(
    corpus: Corpus,
    *,
    allow: list[Kind] | None = None,
    flag_from: Annotated[float, Field(ge=0, le=1)] = 0.3,
    long_factor: Annotated[float, Field(gt=1)] = 10.0,
) -> Report:
    """Flags texts that are empty, garbled, full of markup, or no words; the reason says which.

    Severity is that of the worst kind, in [0, 1] (see KINDS), 0 for a text in order. Emoji count as words, and so
    does every script.

    allow: kinds that are in order in this project, such as "markup" where texts are HTML on purpose.
    flag_from: from which severity a text is flagged; below it is only listed. At 0.3 that leaves out entities, which
        stand in one raw tweet of twenty and hurt little.
    long_factor: see `length_limit`.
    """
    texts = corpus.examples["text"].tolist()
    limit = length_limit(texts, long_factor)
    rows: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    for name, text in zip(corpus.examples["example_id"], texts, strict=True):
        kinds = [kind for kind in broken(text, limit) if kind not in (allow or ())]
        counts.update(kinds)
        severity = max((KINDS[kind][0] for kind in kinds), default=0.0)
        reason = " ".join(KINDS[kind][1] for kind in kinds)
        flagged = bool(kinds) and severity >= flag_from
        rows.append(
            {"subject_id": str(name), "severity": severity, "flagged": flagged, "reason": reason, "suggestion": ""}
        )
    return Report(findings(rows), {"kinds": dict(sorted(counts.items()))})


def length_limit(texts: Sequence[str], factor: float) -> float:
    """The length in characters from which a text is far longer than the others; infinite for fewer than 20 texts.

    `factor` times the median, but at least five times the 90th percentile (long texts may be a kind of their own) and
    500 characters (a paragraph is never far too long). At 10, nothing in banking77, sst2 and trec is, and one of 4,601
    tweets: one of 1,000 characters.
    """
    lengths = [len(text) for text in texts if text.strip()]
    if len(lengths) < 20:
        return float("inf")
    return float(max(factor * np.median(lengths), 5 * np.quantile(lengths, 0.9), 500))


def broken(text: str, limit: float = float("inf")) -> list[Kind]:
    """What is wrong with one text, worst first; [] if nothing."""
    if not UNSEEN.sub("", text):
        return ["empty"]
    content = _content(text)
    signs: dict[Kind, bool] = {
        "script": bool(SCRIPT.search(text)),
        "cut_off": bool(CUT_OFF.search(text)),
        "replacement": "\ufffd" in text,
        "mojibake": bool(MOJIBAKE.search(text)),
        "control": bool(CONTROL.search(text)),
        "only_links": content == "only_links",
        "only_digits": content == "only_digits",
        "only_punctuation": content == "only_punctuation",
        "repetition": content is None and _repeats(text),
        "markup": bool(MARKUP.search(text)),
        "too_long": len(text) > limit,
        "entities": bool(ENTITIES.search(text)),
    }
    return [kind for kind in KINDS if signs.get(kind)]


def _content(text: str) -> Kind | None:
    """Of what a text without words consists; None for a text with words, letters of any script or emoji."""
    bare = LINK.sub("", text)
    categories = {unicodedata.category(sign) for sign in set(bare)}
    # So holds emoji and the replacement character, Cs and Co are signs whose meaning is lost: not digits, whatever they were.
    if any(category[0] == "L" or category in ("So", "Cs", "Co") for category in categories):
        return None
    if any(category[0] == "N" for category in categories):
        return "only_digits"
    return "only_links" if bare != text else "only_punctuation"


def _repeats(text: str) -> bool:
    """One letter nine tenths of the text, a run of one letter half of it, one word at least four times and nothing else, a
    word three fifths of ten words and more, or three-word phrases of which most occur again, in twelve words and more."""
    compact = "".join(text.split())
    letter, count = Counter(compact).most_common(1)[0]
    if letter.isalpha() and len(compact) >= 5 and count >= 0.9 * len(compact):
        return True
    if any(len(run[0]) >= len(compact) / 2 for run in RUN.finditer(compact)):
        return True
    words = WORD.findall(text.casefold())
    if len(words) < 4:
        return False
    most = Counter(words).most_common(1)[0][1]
    phrases = list(zip(words, words[1:], words[2:], strict=False))
    return (
        most == len(words)
        or (len(words) >= 10 and most >= 0.6 * len(words))
        or (len(words) >= 12 and len(set(phrases)) <= 0.4 * len(phrases))
    )
