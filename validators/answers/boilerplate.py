"""Is an answer, or a part of it, not meant for whoever asked: a model's template, a stock phrase, a placeholder, a refusal?"""

from __future__ import annotations

import re

TEMPLATE = re.compile(
    r"<\|[a-z_]{2,30}\|>|\[/?INST\]|<</?SYS>>|</?s>(?:\s|\Z)|<(?:start|end)_of_turn>|\A\s*<bos>|<eos>|<pad>|<unk>"
    r"|^#{2,4} ?(?:Response|Instruction|Input|Output|Human|Assistant|User) ?:?[^\S\n]*$|\n[^\S\n]*\n(?:Human|User) ?: ",
    re.MULTILINE | re.IGNORECASE,
)
AS_A_MODEL = re.compile(
    r"\bas an? (?:ai|artificial intelligence|(?:large )?language model|chatbot)\b"
    r"|\bi(?:'m| am) (?:just |only )?an? (?:ai|(?:large )?language model)\b|\bmy (?:knowledge cutoff|training data)\b"
    r"|\bals (?:ki|sprachmodell)\b|\ben tant qu['’](?:ia|intelligence artificielle|modèle de langage)\b"
    r"|\bcomo (?:una? )?(?:ia|inteligencia artificial|modelo de lenguaje)\b",
    re.IGNORECASE,
)
PLACEHOLDER = re.compile(
    r"(?i:\blorem ipsum\b)|\b(?:TODO|TBD|FIXME|XXX+)\b(?!\.\w)|(?i:\A\W*(?:n/?a|none|null|nil|asdf\w*|test|foo|bla+h?|idk)\W*\Z)"
)
# "[Your name]": right in the template of a letter, unfinished in a letter.
BLANK = re.compile(r"\[(?:insert|add|your|fill in|placeholder)\b[^\]\n]{0,60}\]", re.IGNORECASE)
REFUSAL = re.compile(
    r"\A\W*(?:(?:i(?:'m| am) )?(?:so |very )?sorry\b[^.!\n]{0,20}[,.!]?\s*(?:but )?)?(?:unfortunately,? )?"
    r"i(?: am|'m)? ?(?:can(?:no|')?t|cannot|won't|will not|(?:am |'m )?(?:unable|not able) to|must decline|decline|do not|don't)"
    r" (?:to )?(?:help|assist|comply|fulfil\w*|provide|answer|do that|engage|complete|create|generate|continue)\b"
    r"|\A\W*(?:es tut mir leid|tut mir leid|je suis désolée?|lo siento),? (?:aber|mais|pero) (?:ich kann|je ne peux|no puedo)",
    re.IGNORECASE,
)
SAYS = {
    "template": (TEMPLATE, "A mark of a model's prompt template stands in the answer."),
    "boilerplate": (AS_A_MODEL, "The answer speaks of itself as a language model."),
    "placeholder": (PLACEHOLDER, "The answer holds a placeholder in the place of text."),
    "blank": (BLANK, "The answer has a place left for somebody to fill in."),
    "refusal": (REFUSAL, "The answer is a refusal; that is right only where the request must be refused."),
}


def stock_phrases(answer: str, asked: str) -> dict[str, str]:
    """Kind → one sentence. A phrase that the question itself holds is not held against its answer."""
    found = {kind: (pattern.search(answer), sentence) for kind, (pattern, sentence) in SAYS.items()}
    plain = asked.casefold()
    return {
        kind: sentence
        for kind, (match, sentence) in found.items()
        if match and match[0].strip().casefold() not in plain
    }
