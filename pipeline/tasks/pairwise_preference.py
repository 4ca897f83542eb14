"""Which of two responses is better: an answer is "a", "b" or "tie".

Annotators see a left and a right one. Which of them is `a` is in the task's meta, where `assay import` put it when it drew the
order; without it the left one is `a`. The control is <Choices> with the labels left, right and one for a tie, or <Pairwise>,
which knows no tie: un-selecting both leaves no result, and that is no answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.reading import entries, shown
from pipeline.types import LEFT, Item, Scheme

TAGS = ("Choices", "Pairwise")
SEVERAL = False
PARTIAL = False
ALTERNATIVES = False
MERGE = "labels"
EVIDENCE = ""  # which response is `a` cannot be seen in the text, where they stand in the order drawn
TIES = ("tie", "equal", "same", "both", "neither", "no preference")
OTHER = {"a": "b", "b": "a"}


def classes(scheme: Scheme) -> tuple[str, ...]:
    return ("a", "b", "tie") if _tie(scheme) else ("a", "b")


def similarity(a: str, b: str, scheme: Scheme) -> float:
    """Half for a tie against a preference."""
    return 1.0 if a == b else 0.5 if "tie" in (a, b) else 0.0


def mentions(answer: str) -> list[str]:
    return [answer]


def parse(items: Sequence[Item], scheme: Scheme, record: Mapping[str, Any]) -> str | None:
    chosen = {side for item in entries.readable(items) for side in _sides(item)}
    if not chosen:
        return None
    if len(chosen) > 1:
        raise ValueError(f"it prefers both {' and '.join(sorted(chosen))}")
    side = chosen.pop().lower()
    if side in ("left", "right"):
        left = _left(record)
        return left if side == "left" else OTHER[left]
    if side in TIES:
        return "tie"
    raise ValueError(f"the preference {side!r} is neither left nor right nor a tie ({', '.join(TIES)})")


def text(data: Mapping[str, Any], scheme: Scheme) -> str:
    return shown.example_text(data, scheme)


def responses(data: Mapping[str, Any], scheme: Scheme) -> tuple[str, str, str] | None:
    """(what comes before, the response on the left, the one on the right), as texts: of the fields that the annotator reads the
    last two are the responses. None where there are not two of them, or one is no text."""
    if len(scheme.fields) < 2:
        return None
    try:
        texts = [shown.field_text(data, field, shown.showing(scheme.controls, field)) for field in scheme.fields]
    except (KeyError, ValueError):
        return None
    return shown.BETWEEN.join(texts[:-2]), texts[-2], texts[-1]


def to_result(answer: str, scheme: Scheme, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """ValueError for a tie where the control knows none."""
    control = scheme.control
    side = _tie(scheme) if answer == "tie" else "left" if answer == _left(record) else "right"
    if not side:
        raise ValueError(f"<{control.tag} name={control.name!r}> knows no tie")
    if control.tag == "Pairwise":
        return [entries.entry(control, "pairwise", {"selected": side})]
    named = {label.lower(): label for label in control.labels}
    return [entries.choices(control, [named.get(side.lower(), side)])]


def _sides(item: Item) -> Sequence[str]:
    return [item.value] if item.type == "pairwise" else item.value


def _tie(scheme: Scheme) -> str:
    return next((label for label in scheme.control.labels if label.lower() in TIES), "")


def _left(record: Mapping[str, Any]) -> str:
    """Which response is shown on the left."""
    meta = record.get("meta")
    left = meta.get(LEFT, "a") if isinstance(meta, Mapping) else "a"
    if left not in ("a", "b"):
        raise ValueError(f"the task's meta says {left!r} for {LEFT}, which is neither a nor b")
    return str(left)
