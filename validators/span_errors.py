"""Which marked spans are wrong, and which were missed? At the level of spans, with the answer as it should perhaps be.

For each span four changes are weighed: another label, other ends, no span at all, and a span where there is none (see
`pipeline/evidence/span_edits.py`). What a model that never saw the example says of its words, how the same phrase is marked
elsewhere and how the annotators voted decide together. A flag is a reason to look again, never to change anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from pipeline.evidence.phrases import inconsistent, phrases
from pipeline.evidence.span_doubts import Doubt, Judged, corrected, cut, doubts, together, trimmed
from pipeline.evidence.span_edits import KINDS, Edit
from pipeline.evidence.span_readings import Answer, reading, spread
from pipeline.statistics import wilson
from pipeline.tasks import task_type
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings

LISTED = 500  # doubts in the facts: a reviewer's week
NAMED = 3  # doubts in one reason
# How many spans are wrong for one that is flagged: 1.1 to 3.4, mean 1.9, on CrossNER AI and WNUT 2017's development part with
# 5, 10 and 20 % of the sentences given one wrong span.
WRONG_PER_FLAG = (1.9, 1.1, 3.4)
RARE = 0.05  # above, spans inside words are how this project marks (parts of compounds, endings)


@check("span_errors", "Which spans are marked wrongly, and which were missed?", subject="example")
def span_errors(
    corpus: Corpus,
    *,
    # With 10 % of the sentences wrong, .35 (CrossNER AI) and .60 (WNUT 2017) of the flags were right with 50 examples, .62 and
    # .83 with 100, .74 and .87 with 400.
    min_examples: int = 50,
    min_spans: int = 20,  # what 50 sentences of WNUT 2017, the set with the fewest, hold with some to spare
    threshold: float = 0.5,  # as many of those above are wrong as the probability says: .54 to .97 on the sets it was fitted on
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
    cut_is_rare = sum(cut(item, span) for item in judged for span in item.answer) <= RARE * number
    found = [doubts(item, known, corpus.vocabulary, cut_is_rare=cut_is_rare) for item in judged]
    chosen = [together(each, threshold) for each in found]
    rows = [_row(*each) for each in zip(judged, found, chosen, strict=True)]
    facts = {"judged": len(judged), "left_out": len(corpus.consensus) - len(judged), **_facts(judged, chosen)}
    return Report(findings(rows), {**facts, "inconsistent_phrases": inconsistent(known)})


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


def _row(item: Judged, found: Sequence[Doubt], chosen: Sequence[Doubt]) -> dict[str, Any]:
    more = f" And {len(chosen) - NAMED} more." if len(chosen) > NAMED else ""
    return {
        "subject_id": str(item.example),
        "severity": found[0].probability if found else 0.0,
        "flagged": bool(chosen),
        "reason": " ".join(map(_said, chosen[:NAMED] or found[:1])) + more,
        "suggestion": orjson.dumps(corrected(item, chosen)).decode() if chosen else "",
    }


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
    why = _why(doubt.edit) if doubt.edit else doubt.why
    return f"{claim} ({min(doubt.probability, 0.99):.0%}). {why}"


def _why(edit: Edit) -> str:
    times = float(np.exp(min(abs(edit.ratio), np.log(1000))))
    side = "the change" if edit.ratio > 0 else "what is there"
    how = f"finds {side} {times:.0f} times as likely" if times >= 1.5 else "finds both about as likely"
    parts = [f"A model that learned from other examples {how}"]
    if any(edit.seen):
        parts.append(f"elsewhere the same words are marked so {_times(edit.seen[0])}, and as here {_times(edit.seen[1])}")
    if any(edit.votes):
        parts.append(f"of the annotators {edit.votes[0]} gave the change and {edit.votes[1]} what is there")
    return "; ".join(parts) + "."


def _times(number: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(number, f"{number} times")


def _facts(judged: Sequence[Judged], chosen: Sequence[Sequence[Doubt]]) -> dict[str, Any]:
    listed = [(item.example, doubt) for item, found in zip(judged, chosen, strict=True) for doubt in found]
    labels = Counter(item.label(span) for item in judged for span in range(len(item.answer)))
    wrong = Counter(doubt.given[2] for _, doubt in listed if doubt.given)
    missed = Counter(doubt.better[2] for _, doubt in listed if doubt.better and not doubt.given)
    kinds = Counter(doubt.kind for _, doubt in listed)
    mixed = Counter(
        (doubt.given[2], doubt.better[2]) for _, doubt in listed if doubt.kind == "wrong type" and doubt.given and doubt.better
    )
    spans = [(item, span) for item in judged for span in item.answer]
    worst = sorted(listed, key=lambda pair: (-pair[1].probability, pair[0], pair[1].span))
    return {
        "spans": len(spans),
        "doubted_spans": wilson(wrong.total(), len(spans)).as_dict(),
        "estimated_wrong_spans": _estimated(len(listed), len(spans) + missed.total()),
        "kinds": [{"kind": kind, "doubted": kinds[kind]} for kind in KINDS],
        "labels": [
            {"label": label, "spans": labels[label], "doubted": wrong[label], "missed": missed[label]}
            for label in sorted({*labels, *missed})
        ],
        "confusions": [{"given": one, "better": other, "number": mixed[one, other]} for one, other in sorted(mixed)],
        "spans_with_blanks": sum(trimmed(item.text, span) != (span["start"], span["end"]) for item, span in spans),
        "spans_inside_words": sum(cut(item, span) for item, span in spans),
        "doubts": [_listed(example, doubt) for example, doubt in worst[:LISTED]],
    }


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
