"""Which written answers are broken, or do not answer what was asked?

Responses, summaries, translations, chat messages. Whether an answer is *right* is not asked: no method at hand can say. Each
kind is in a file of its own in validators/answers/, with the origin of its thresholds; code is looked at by `code_answers`,
answers given twice by `answer_duplicates`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline.statistics import wilson
from pipeline.types import Corpus
from validators.answers.copying import copied
from validators.answers.endings import broken_off
from validators.answers.expected_language import wrong_language
from validators.answers.kinds import FORGIVEN, KINDS, Kind, Sign, sign, signs_alone
from validators.answers.lengths import OUTLIER, Array, length_scores
from validators.answers.mismatch import LEAST_AUC, Mismatch, mismatches
from validators.answers.written import Written, read_answers
from validators.check import Report, check, findings

# Where more than a tenth of all answers are refusals, refusing is what the set is made to teach.
USUAL_REFUSALS = 0.1
# Kinds after which an answer cannot be expected to look like one to its question.
ELSEWHERE = {"empty", "template", "boilerplate", "placeholder", "refusal", "wrong_language", "copied", "repetition"}
LISTED = 0.2  # severity below which a sign is no reason
SHOWN = 100  # groups in the facts


@check("written_answers", "Which written answers are broken, or do not answer what was asked?", subject="example")
def written_answers(
    corpus: Corpus,
    *,
    allow: list[Kind] | None = None,
    flag_from: Annotated[float, Field(ge=0, le=1)] = 0.5,
) -> Report:
    """Severity is that of the worst kind, in [0, 1], 0 for an answer without a sign of any. For `mismatch` it is the probability
    that question and answer were put together by chance, if one in twenty were: see validators/answers/mismatch.py.

    allow: kinds that are in order in this project, such as "refusal".
    flag_from: from which severity an answer is flagged. At 0.5 precision and recall are those that
        tests/benchmarks/measured/written.py measures.
    """
    rows = read_answers(corpus)
    found, facts = signs_of(corpus, rows)
    flags, table = [], []
    for row, signs in zip(rows, found, strict=True):
        kept = sorted(
            (one for one in signs if one[0] not in (allow or ())), key=lambda one: (-one[1], KINDS.index(one[0]))
        )
        flags.append([kind for kind, value, _ in kept if value >= flag_from])
        table.append(_row(row, kept, bool(flags[-1]), flag_from))
    return Report(findings(table), {**_rates(flags), "by_slice": _by_slice(corpus, rows, flags), **facts})


def _row(row: Written, signs: Sequence[Sign], flagged: bool, flag_from: float) -> dict[str, Any]:
    severity = signs[0][1] if signs else 0.0
    reason = " ".join(why for _, value, why in signs if value >= max(LISTED, min(flag_from, severity)))
    if flagged and not reason:  # flagged below LISTED, as asked
        reason = signs[0][2]
    return {
        "subject_id": str(row.example_id), "severity": severity, "flagged": flagged, "reason": reason, "suggestion": "",
    }  # fmt: skip


def signs_of(corpus: Corpus, rows: Sequence[Written]) -> tuple[list[list[Sign]], dict[str, Any]]:
    """Per row what was found; and what the report shows of how it was found."""
    languages, answered = wrong_language(rows)
    lengths, copies = length_scores(rows, _groups(corpus, rows)), copied(rows)
    signals = corpus.evidence.signals
    endings = broken_off(rows, () if signals is None else signals["nll_end"].iloc[[row.row for row in rows]].tolist())
    found: list[list[Sign]] = []
    for place, row in enumerate(rows):
        signs = signs_alone(row)
        if not any(kind == "empty" for kind, _, _ in signs):
            signs += [sign("wrong_language", languages[place] or "")] if languages[place] else []
            signs += [("copied", *copies[place])] if copies[place][0] else []
            signs += [("truncated", *endings[place])] if endings[place][0] else []
            signs += _length(lengths, place)
        found.append(signs)
    apart = _mismatch(
        corpus, rows, [bool(ELSEWHERE & {kind for kind, value, _ in signs if value >= 0.5}) for signs in found]
    )
    for place, signs in enumerate(found):
        signs += _apart(apart, place)
    _forgive_refusals(found)
    usable = apart is not None and apart.auc >= LEAST_AUC
    left_out = {
        "language": sum(value is None for value in languages), "length": 0 if lengths is not None else len(rows),
        "mismatch": int(np.isnan(apart.severity).sum()) if apart is not None and usable else len(rows),
    }  # fmt: skip
    told = {} if apart is None else {"told_apart": apart.auc, "language_model_heard": apart.language_model}
    return found, {"not_judged": left_out, "mismatch": {"used": usable, **told}, "languages": answered}


def _length(scores: Array | None, place: int) -> list[Sign]:
    if scores is None or abs(scores[place]) < OUTLIER:
        return []
    way, far = "longer" if scores[place] > 0 else "shorter", abs(scores[place])
    return [sign("length", f"The answer is far {way} than others to questions of like length ({far:.0f} deviations).")]


def _apart(apart: Mismatch | None, place: int) -> list[Sign]:
    if apart is None or apart.auc < LEAST_AUC or not np.isfinite(apart.severity[place]):
        return []
    value = float(apart.severity[place])
    return [
        sign(
            "mismatch",
            f"The answer looks like one to another question (probability {value:.0%}, if one in twenty is).",
            value,
        )
    ]


def _mismatch(corpus: Corpus, rows: Sequence[Written], doubted: Sequence[bool]) -> Mismatch | None:
    evidence = corpus.evidence
    if evidence.written is None:
        return None
    places = np.array([row.row for row in rows], np.int64)
    groups = corpus.examples["group"].astype("str").to_numpy()
    return mismatches(
        rows, evidence.embeddings[places], evidence.written[places], [groups[row.row] or str(row.example_id) for row in rows],
        doubted=doubted, signals=None if evidence.signals is None else evidence.signals.iloc[places], seed=corpus.seed,
    )  # fmt: skip


def _groups(corpus: Corpus, rows: Sequence[Written]) -> list[str]:
    """The value of the slice with the fewest groups above one: where answers of a kind have a length of their own."""
    numbers = {name: corpus.examples[name].nunique() for name in corpus.slices}
    several = [name for name in corpus.slices if numbers[name] > 1]
    if not several:
        return [""] * len(rows)
    values = corpus.examples[min(several, key=lambda name: (numbers[name], name))].astype("str").to_numpy()
    return [str(values[row.row]) for row in rows]


def _forgive_refusals(found: list[list[Sign]]) -> None:
    number = sum(any(kind == "refusal" for kind, _, _ in signs) for signs in found)
    if number > max(5, USUAL_REFUSALS * len(found)):
        for signs in found:
            signs[:] = [(kind, FORGIVEN if kind == "refusal" else value, why) for kind, value, why in signs]


def _rates(flags: Sequence[Sequence[str]]) -> dict[str, Any]:
    counts = Counter(kind for kinds in flags for kind in set(kinds))
    n = len(flags)
    kinds = [
        {"kind": kind, "answers": counts[kind], **wilson(counts[kind], n).as_dict()} for kind in KINDS if counts[kind]
    ]
    return {"judged": n, "flagged_share": wilson(sum(map(bool, flags)), n).as_dict(), "kinds": kinds}


def _by_slice(corpus: Corpus, rows: Sequence[Written], flags: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Share of flagged answers in each group of each slice, worst first by the lower end of its interval."""
    out: list[dict[str, Any]] = []
    for name in corpus.slices:
        values = corpus.examples[name].fillna("").astype("str").to_numpy()
        groups: dict[str, list[bool]] = {}
        for row, kinds in zip(rows, flags, strict=True):
            groups.setdefault(values[row.row], []).append(bool(kinds))
        for group, hits in groups.items():
            share = wilson(sum(hits), len(hits)).as_dict()
            out += [{"slice": name, "group": group, "n": len(hits), "flagged": sum(hits), **share}] if group else []
    return sorted(out, key=lambda item: (-item["low"], item["slice"], item["group"]))[:SHOWN]
