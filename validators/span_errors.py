"""Which marked spans are wrong, and which were missed? At the level of spans, with the answer as it should perhaps be.

For each span four changes are weighed: another label, other ends, no span at all, and a span where there is none (see
`pipeline/evidence/span_edits.py`). What a model that never saw the example says of its words, how the same phrase is marked
elsewhere and how the annotators voted decide together. A flag is a reason to look again, never to change anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from pipeline.evidence.phrases import Phrases, inconsistent, phrases
from pipeline.evidence.span_edits import KINDS, Edit, Kind, Reading, edits
from pipeline.evidence.span_readings import Answer, Spread, reading, spread
from pipeline.statistics import wilson
from pipeline.tasks import task_type
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings

LISTED = 500  # doubts in the facts: a reviewer's week
NAMED = 3  # doubts in one reason
# How many spans are wrong for one that is flagged: 1.3 to 2.9, mean 2.0, on CrossNER AI and WNUT 2017's development part with
# 5, 10 and 20 % of the sentences given one wrong span.
WRONG_PER_FLAG = (2.0, 1.3, 2.9)
EMPTY = 0.95  # a span without a word is wrong, but for a mark or blank that somebody means
CUT = 0.8  # a span that begins or ends inside a word, where that is rare: a slip of the mouse
RARE = 0.05  # above, spans inside words are how this project marks (parts of compounds, endings)


@dataclass(frozen=True)
class Doubt:
    """One thing that is perhaps wrong, in code points. span: index in the answer, -1 for none."""

    kind: Kind
    span: int
    given: tuple[int, int, str] | None
    better: tuple[int, int, str] | None
    probability: float
    why: str


@dataclass(frozen=True)
class Judged:
    example: int
    text: str
    answer: Answer
    found: Spread
    reading: Reading


@check("span_errors", "Which spans are marked wrongly, and which were missed?", subject="example")
def span_errors(
    corpus: Corpus,
    *,
    min_examples: int = 50,
    min_spans: int = 20,
    threshold: float = 0.5,  # as many of those above are wrong as the probability says: .59 to .96 on the sets it was fitted on
) -> Report:
    """Severity is the probability that the most doubtful span of the example is wrong, or that one was missed. Flagged from
    `threshold` on; the suggestion is the answer with those changes made."""
    judged = _judged(corpus)
    number = sum(len(item.answer) for item in judged)
    if len(judged) < min_examples or number < min_spans:
        raise Skip(
            f"It needs at least {min_examples} examples with an answer and {min_spans} spans in them, to learn from all others "
            f"what one should look like; there are {len(judged)} and {number}."
        )
    known = phrases([item.reading.text for item in judged])
    cut_is_rare = sum(_cut(item, span) for item in judged for span in item.answer) <= RARE * number
    doubts = {item.example: list(_doubts(item, known, corpus.vocabulary, cut_is_rare)) for item in judged}
    rows = [_row(item, doubts[item.example], threshold) for item in judged]
    return Report(findings(rows), _facts(corpus, judged, doubts, known, threshold))


def _judged(corpus: Corpus) -> list[Judged]:
    """The examples with a consensus and evidence about their words, by id."""
    if task_type(corpus.task).EVIDENCE != "words":
        raise Skip("The answers of this kind of work are no spans of a text.")
    words = corpus.evidence.words
    if words is None:
        raise Skip("There is no evidence about words: the model's tokenizer does not say where in the text its pieces lie.")
    votes: dict[int, list[Answer]] = {}
    given = corpus.annotations.sort_values("annotation_id")
    for example, answer in zip(given["example_id"].tolist(), given["answer"], strict=True):
        votes.setdefault(example, []).append(orjson.loads(answer))
    answers = dict(zip(corpus.consensus["example_id"].tolist(), corpus.consensus["answer"], strict=True))
    judged = []
    table = corpus.examples[["example_id", "text", "group"]].itertuples(index=False, name=None)
    groups = {group: number for number, group in enumerate(sorted(set(corpus.examples["group"])))}
    for (example, text, group), found in zip(table, spread(words, len(corpus.examples)), strict=True):
        if example in answers and len(found.starts) and np.isfinite(found.logs).all():
            answer = orjson.loads(answers[example])
            own = groups[group] if group else -example  # no group: each for itself
            read = reading(text, own, found, answer, votes.get(example, []), corpus.vocabulary)
            judged.append(Judged(example, text, answer, found, read))
    return sorted(judged, key=lambda item: item.example)


def _doubts(item: Judged, known: Phrases, labels: Sequence[str], cut_is_rare: bool) -> Iterator[Doubt]:
    """All changes, the most probable first."""
    found = [_in_characters(item, edit) for edit in edits(item.reading, known, labels) if _makes_sense(item, edit)]
    for number, span in enumerate(item.answer):
        place = (*_trimmed(item.text, span), _label(item, number))
        if place[0] >= place[1] or item.reading.text.spans[number][0] == item.reading.text.spans[number][1]:
            found.append(Doubt("spurious entity", number, place, None, EMPTY, "It holds no word."))
        elif cut_is_rare and _cut(item, span):
            whole = (*item.found.characters(item.reading.text.spans[number]), place[2])
            found.append(Doubt("wrong boundary", number, place, whole, CUT, "It begins or ends inside a word."))
    yield from sorted(found, key=lambda doubt: (-doubt.probability, doubt.span, doubt.kind))


def _makes_sense(item: Judged, edit: Edit) -> bool:
    """Not: another label that the span has as well."""
    return edit.kind != "wrong type" or edit.better is None or edit.better[2] not in item.answer[edit.span]["labels"]


def _label(item: Judged, number: int) -> str:
    return item.reading.text.spans[number][2] or next(iter(item.answer[number]["labels"]), "")


def _in_characters(item: Judged, edit: Edit) -> Doubt:
    given = (*_trimmed(item.text, item.answer[edit.span]), edit.given[2]) if edit.given else None
    better = (*item.found.characters(edit.better), edit.better[2]) if edit.better else None
    if edit.kind == "wrong type" and given and better:
        better = (given[0], given[1], better[2])
    return Doubt(edit.kind, edit.span, given, better, edit.probability, _why(edit))


def _trimmed(text: str, span: Mapping[str, Any]) -> tuple[int, int]:
    """Start and end without the blanks at the ends, which nobody means."""
    start, end = span["start"], span["end"]
    inside = text[start:end]
    if not inside.strip():
        return start, start
    return start + len(inside) - len(inside.lstrip()), end - len(inside) + len(inside.rstrip())


def _cut(item: Judged, span: Mapping[str, Any]) -> bool:
    """Whether it begins or ends inside a word."""
    start, end = _trimmed(item.text, span)
    inside = [
        ((item.found.starts < place) & (place < item.found.ends)).any() for place in (start, end) if start < end
    ]
    return any(inside)


def _row(item: Judged, doubts: Sequence[Doubt], threshold: float) -> dict[str, Any]:
    chosen = _chosen(doubts, threshold)
    worst = doubts[0] if doubts else None
    said = chosen[:NAMED] or ([worst] if worst else [])
    more = f" And {len(chosen) - NAMED} more." if len(chosen) > NAMED else ""
    return {
        "subject_id": str(item.example),
        "severity": worst.probability if worst else 0.0,
        "flagged": bool(chosen),
        "reason": " ".join(map(_said, said)) + more,
        "suggestion": orjson.dumps(_corrected(item, chosen)).decode() if chosen else "",
    }


def _chosen(doubts: Sequence[Doubt], threshold: float) -> list[Doubt]:
    """Those from the threshold on that can be made together: one of a span, and none over another."""
    chosen: list[Doubt] = []
    for doubt in doubts:
        if doubt.probability >= threshold and not any(_conflict(doubt, other) for other in chosen):
            chosen.append(doubt)
    return chosen


def _conflict(one: Doubt, other: Doubt) -> bool:
    if one.span >= 0 and one.span == other.span:
        return True
    if one.better is None or other.better is None or (one.span >= 0 and other.span >= 0):
        return False
    return one.better[0] < other.better[1] and other.better[0] < one.better[1]


def _corrected(item: Judged, chosen: Sequence[Doubt]) -> list[dict[str, Any]]:
    """The answer with the changes made, in the task type's form."""
    by_span = {doubt.span: doubt for doubt in chosen if doubt.span >= 0}
    spans = []
    for number, span in enumerate(item.answer):
        doubt = by_span.get(number)
        if doubt is None:
            spans.append(dict(span))
        elif doubt.better is not None and doubt.given is not None:
            labels = sorted({*span["labels"]} - {doubt.given[2]} | {doubt.better[2]})
            kept = span if doubt.kind == "wrong type" else {}
            spans.append({**kept, **_span(item.text, doubt.better, labels)})
    spans += [_span(item.text, doubt.better, [doubt.better[2]]) for doubt in chosen if doubt.span < 0 and doubt.better]
    return sorted(spans, key=lambda span: (span["start"], span["end"]))


def _span(text: str, place: tuple[int, int, str], labels: list[str]) -> dict[str, Any]:
    return {"start": place[0], "end": place[1], "labels": labels, "text": text[place[0] : place[1]]}


# --- what is said about it; never what the text says: entities are people ---------------------------------------------


def _said(doubt: Doubt) -> str:
    given, better = doubt.given, doubt.better
    if doubt.kind == "wrong type" and given and better:
        claim = f"The span {given[0]}–{given[1]} is marked “{given[2]}” and looks like “{better[2]}”"
    elif doubt.kind == "wrong boundary" and given and better:
        claim = f"The span {given[0]}–{given[1]}, “{given[2]}”, should perhaps be {better[0]}–{better[1]}"
    elif doubt.kind == "spurious entity" and given:
        claim = f"The span {given[0]}–{given[1]}, “{given[2]}”, looks like none"
    else:
        assert better is not None
        claim = f"From {better[0]} to {better[1]} a span seems to be missing, “{better[2]}”"
    return f"{claim} ({doubt.probability:.0%}). {doubt.why}".strip()


def _why(edit: Edit) -> str:
    model = float(np.exp(np.clip(abs(edit.ratio), 0, np.log(1000))))
    how = f"{model:.0f} times" if model >= 2 else "about equally" if model < 1.2 else f"{model:.1f} times"
    side = "the change" if edit.ratio > 0 else "what is there"
    parts = [f"A model that learned from other examples finds both {how} likely" if how == "about equally"
             else f"A model that learned from other examples finds {side} {how} as likely"]  # fmt: skip
    if any(edit.seen):
        parts.append(f"elsewhere the same words are marked so {edit.seen[0]} times, and as here {edit.seen[1]} times")
    if any(edit.votes):
        parts.append(f"{edit.votes[0]} annotators gave the change, {edit.votes[1]} what is there")
    return "; ".join(parts) + "."


def _facts(
    corpus: Corpus, judged: Sequence[Judged], doubts: Mapping[int, Sequence[Doubt]], known: Phrases, threshold: float
) -> dict[str, Any]:
    chosen = [(example, doubt) for example, found in doubts.items() for doubt in _chosen(found, threshold)]
    labels = Counter(_label(item, number) for item in judged for number in range(len(item.answer)))
    spans = labels.total()
    wrong = Counter(doubt.given[2] for _, doubt in chosen if doubt.given)
    missed = Counter(doubt.better[2] for _, doubt in chosen if doubt.better and not doubt.given)
    kinds = Counter(doubt.kind for _, doubt in chosen)
    mixed = Counter((doubt.given[2], doubt.better[2]) for _, doubt in chosen
                    if doubt.kind == "wrong type" and doubt.given and doubt.better)  # fmt: skip
    return {
        "judged": len(judged),
        "left_out": len(corpus.consensus) - len(judged),
        "spans": spans,
        "doubted_spans": wilson(wrong.total(), spans).as_dict(),
        "estimated_wrong_spans": _estimated(len(chosen), spans + missed.total()),
        "kinds": {kind: kinds[kind] for kind in KINDS},
        "labels": [
            {"label": label, "spans": labels[label], "doubted": wrong[label], "missed": missed[label]}
            for label in sorted({*labels, *missed})
        ],
        "confusions": [
            {"given": given, "better": better, "number": number} for (given, better), number in sorted(mixed.items())
        ],
        "inconsistent_phrases": inconsistent(known),
        "spans_with_blanks": sum(_trimmed(item.text, span) != (span["start"], span["end"])
                                 for item in judged for span in item.answer),
        "spans_inside_words": sum(_cut(item, span) for item in judged for span in item.answer),
        "doubts": [_listed(example, doubt) for example, doubt in sorted(chosen, key=lambda pair: -pair[1].probability)[:LISTED]],
    }  # fmt: skip


def _estimated(flagged: int, spans: int) -> dict[str, float]:
    """The share of wrong spans, missed ones among them: by what a flag stood for where the truth was known, with the interval of
    the share flagged widened by how far that differed."""
    share = wilson(flagged, spans)
    value, low, high = WRONG_PER_FLAG
    return {"value": min(1.0, value * share.value), "low": min(1.0, low * share.low), "high": min(1.0, high * share.high)}


def _listed(example: int, doubt: Doubt) -> dict[str, Any]:
    given, better = doubt.given or (None, None, None), doubt.better or (None, None, None)
    return {
        "example_id": example, "kind": doubt.kind, "start": given[0], "end": given[1], "label": given[2],
        "better_start": better[0], "better_end": better[1], "better_label": better[2],
        "probability": round(doubt.probability, 3),
    }  # fmt: skip
