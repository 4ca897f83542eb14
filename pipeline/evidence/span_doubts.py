"""What is perhaps wrong with an example's spans, in characters of its text; and the answer as it would be without it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.evidence.phrases import Phrases
from pipeline.evidence.span_edits import Edit, Kind, Reading, edits
from pipeline.evidence.span_readings import Answer, Spread

EMPTY = 0.95  # a span without a word is wrong, but for a mark or blank that somebody means
CUT = 0.8  # a span that begins or ends inside a word, where that is rare: a slip of the mouse

At = tuple[int, int, str]  # start, end, label


@dataclass(frozen=True)
class Judged:
    """An example with what is known of it."""

    example: int
    text: str
    answer: Answer
    found: Spread
    reading: Reading

    def label(self, span: int) -> str:
        """The one of the span's labels that is judged: the first that the vocabulary knows."""
        return self.reading.text.spans[span][2] or next(iter(self.answer[span]["labels"]), "")


@dataclass(frozen=True)
class Doubt:
    """Instead of `given` it should perhaps be `better`, in code points; None is no span. span: index in the answer, -1 for none.
    edit: the grounds, None where the characters alone say it, in `why`."""

    kind: Kind
    span: int
    given: At | None
    better: At | None
    probability: float
    edit: Edit | None
    why: str = ""


def doubts(item: Judged, known: Phrases, labels: Sequence[str], *, cut_is_rare: bool) -> list[Doubt]:
    """All changes that were weighed, the most probable first."""
    found = [_in_characters(item, edit) for edit in edits(item.reading, known, labels) if _makes_sense(item, edit)]
    return sorted([*found, *_slips(item, cut_is_rare)], key=lambda doubt: (-doubt.probability, doubt.span, doubt.kind))


def _slips(item: Judged, cut_is_rare: bool) -> Iterator[Doubt]:
    """Spans without a word, and such as begin or end inside one."""
    for number, span in enumerate(item.answer):
        place = item.reading.text.spans[number]
        given = (*trimmed(item.text, span), item.label(number))
        if place[0] == place[1] or given[0] == given[1]:
            yield Doubt("spurious entity", number, given, None, EMPTY, None, "It holds no word.")
        elif cut_is_rare and cut(item, span):
            whole = (*item.found.characters(place), given[2])
            yield Doubt("wrong boundary", number, given, whole, CUT, None, "It begins or ends inside a word.")


def _makes_sense(item: Judged, edit: Edit) -> bool:
    """Not: another label that the span has as well."""
    return edit.kind != "wrong type" or edit.better is None or edit.better[2] not in item.answer[edit.span]["labels"]


def _in_characters(item: Judged, edit: Edit) -> Doubt:
    given = (*trimmed(item.text, item.answer[edit.span]), edit.given[2]) if edit.given else None
    better = (*item.found.characters(edit.better), edit.better[2]) if edit.better else None
    if edit.kind == "wrong type" and given and better:
        better = (given[0], given[1], better[2])
    return Doubt(edit.kind, edit.span, given, better, edit.probability, edit)


def trimmed(text: str, span: Mapping[str, Any]) -> tuple[int, int]:
    """Start and end without the blanks at the ends, which nobody means; twice the start if there is nothing else."""
    start, end = span["start"], span["end"]
    inside = text[start:end]
    if not inside.strip():
        return start, start
    return start + len(inside) - len(inside.lstrip()), end - len(inside) + len(inside.rstrip())


def cut(item: Judged, span: Mapping[str, Any]) -> bool:
    """Whether it begins or ends inside a word; not where a capital follows a small letter or a digit meets a letter: what stands
    there was glued together."""
    start, end = trimmed(item.text, span)
    return start < end and any(_inside(item, place) for place in (start, end))


def _inside(item: Judged, place: int) -> bool:
    if not bool(np.any((item.found.starts < place) & (place < item.found.ends))):
        return False
    before, after = item.text[place - 1], item.text[place]
    return not (before.islower() and after.isupper()) and before.isdigit() == after.isdigit()


def together(found: Sequence[Doubt], threshold: float) -> list[Doubt]:
    """Those from the threshold on that can be acted on together: one of a span, and none over another."""
    chosen: list[Doubt] = []
    for doubt in found:
        if doubt.probability >= threshold and not any(_conflict(doubt, other) for other in chosen):
            chosen.append(doubt)
    return chosen


def _conflict(one: Doubt, other: Doubt) -> bool:
    if one.span >= 0 and one.span == other.span:
        return True
    if one.better is None or other.better is None or "wrong type" in (one.kind, other.kind):
        return False  # spans that lay over each other before may do so afterwards
    return one.better[0] < other.better[1] and other.better[0] < one.better[1]


def corrected(item: Judged, chosen: Sequence[Doubt]) -> list[dict[str, Any]]:
    """The answer with these changes made, in the task type's form."""
    by_span = {doubt.span: doubt for doubt in chosen if doubt.span >= 0}
    spans = []
    for number, span in enumerate(item.answer):
        doubt = by_span.get(number)
        if doubt is None:
            spans.append(dict(span))
        elif doubt.better is not None and doubt.given is not None:
            labels = sorted({*span["labels"]} - {doubt.given[2]} | {doubt.better[2]})
            kept = span if doubt.kind == "wrong type" else {}  # which paragraph it lies in may change with the ends
            spans.append({**kept, **_span(item.text, doubt.better, labels)})
    spans += [_span(item.text, doubt.better, [doubt.better[2]]) for doubt in chosen if doubt.span < 0 and doubt.better]
    return sorted(spans, key=lambda span: (span["start"], span["end"]))


def _span(text: str, place: At, labels: list[str]) -> dict[str, Any]:
    return {"start": place[0], "end": place[1], "labels": labels, "text": text[place[0] : place[1]]}
