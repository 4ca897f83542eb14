"""Templates, and how text and numbers from outside become safe to show.

Whatever a template prints passes through `shown` and is then escaped by Jinja2: no place has to remember it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

LONGEST = 400  # characters of one value from outside; bounds the page whatever comes in
NONE = "–"


def render(template: str, **values: Any) -> str:
    """The page as text; a value that a template needs and does not get raises jinja2.UndefinedError."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        pct=pct,
        val=val,
        points=points,
        chance=chance,
        num=num,
        span=span,
        cut=cut,
        moment=moment,
        answer=answer,
        words=words,
        plural=plural,
    )
    return environment


def shown(value: Any) -> Any:
    """What a template prints: data as visible, bounded text; our own markup and numbers as they are."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return cut(value, LONGEST)
    if value is None:
        return NONE
    if isinstance(value, list | tuple | dict):
        return cut(value, LONGEST)
    return f"{value:.3g}" if isinstance(value, float) else value


def visible(text: str) -> str:
    """Control, format and direction characters as ⟨U+202E⟩; line breaks and tabs stay.

    The joiners U+200C and U+200D stay between non-ASCII characters, where Persian, Indic scripts and emoji need them.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown_char(text, at) for at in range(len(text)))


def _shown_char(text: str, at: int) -> str:
    char = text[at]
    if char in "\n\t" or unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return char
    around = text[max(at - 1, 0) : at] + text[at + 1 : at + 2]
    if char in "\u200c\u200d" and len(around) == 2 and not any(item.isascii() for item in around):
        return char
    return "" if char == "\r" and text[at + 1 : at + 2] == "\n" else f"⟨U+{ord(char):04X}⟩"


def cut(text: Any, length: int) -> str:
    """At most `length` characters of visible text, and how long it was if more."""
    text = str(text)
    if len(text) <= length:
        return visible(text)
    return visible(text[:length].rstrip()) + f"… ({len(text):,} characters)"


def pct(share: float | None, digits: int = 1) -> str:
    return NONE if share is None else f"{100 * share:.{digits}f}%".replace("-", "−")


def points(difference: float) -> str:
    """A difference of shares as +3.1 points."""
    return f"{gap(difference)} points"


def gap(difference: float | None) -> str:
    """A difference of shares in points, with its sign: +3.1."""
    if difference is None:
        return NONE
    shown = f"{100 * difference:+.1f}".replace("-", "−")
    return "0.0" if shown in ("+0.0", "−0.0") else shown


def val(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}".replace("-", "−")


def chance(p: float) -> str:
    """A p-value; below 0.001 only that it is."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


Unit = Literal["share", "value", "points"]
SHOW: dict[Unit, Callable[[float | None], str]] = {"share": pct, "value": val, "points": gap}


def num(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}".replace("-", "−")


def span(item: dict[str, Any] | None, unit: Unit = "value") -> str:
    """The interval of {"low", "high"}: 0.66–0.75, 88.7–93.0%, or −1.4 to +7.3; empty if there is none."""
    if item is None or item.get("low") is None or item.get("high") is None:
        return ""
    low, high = (SHOW[unit](float(item[end])) for end in ("low", "high"))
    if unit == "share":
        low = low.removesuffix("%")
    return f"{low} to {high}" if unit == "points" or low.startswith("−") else f"{low}–{high}"


def moment(iso: str) -> str:
    try:
        when = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    return f"{when.day} {when:%B %Y, %H:%M} {when.tzname() or ''}".strip()


def answer(stored: Any) -> str:
    """An answer (JSON in the task type's own form) as a person reads it."""
    if stored is None or stored != stored or stored == "":
        return NONE
    try:
        value = orjson.loads(stored) if isinstance(stored, str) else stored
    except orjson.JSONDecodeError:
        return cut(stored, 60)
    if isinstance(value, str):
        return cut(value, 60)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return cut(", ".join(value) or "none of them", 80)
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return cut("; ".join(_part(item) for item in value) or "none found", 200)
    if isinstance(value, dict):
        return cut(", ".join(f"{name} {part}" for name, part in value.items()), 120)
    return cut(orjson.dumps(value).decode(), 80)


def _part(item: dict[str, Any]) -> str:
    """A span as its labels and its text, a message as who said what."""
    if "labels" in item:
        return f"{'/'.join(map(str, item['labels']))} “{item.get('text', '')}”"
    if "content" in item:
        return f"{item.get('role', '')}: {item['content']}"
    return orjson.dumps(item).decode()


def words(name: str) -> str:
    """label_errors → Label errors."""
    text = name.replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def plural(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
