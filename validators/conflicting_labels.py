"""Which examples say the same as others, and are answered differently?"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import orjson
from pydantic import Field

from pipeline.evidence.answers import agreement, answers_of, labels_of, least_agreement, side
from pipeline.evidence.contradictions import Stand, Tie, stands
from pipeline.evidence.duplicates import THRESHOLD, exact_groups, near_pairs
from pipeline.evidence.rows import by_id
from pipeline.evidence.semantic import close_pairs
from pipeline.statistics import wilson
from pipeline.tasks import task_type
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings

# Where texts of one meaning are answered alike less often than this, the answer does not follow from the meaning alone, and a
# difference is no contradiction. By chance alone, two balanced labels agree in half of the pairs.
MEANING_DECIDES = 2 / 3
NAMED = 3  # examples named in a reason
LISTED = 100  # contradictions in the facts
HOW = {"exact": "says the same as", "near": "says nearly the same as", "semantic": "means the same as"}


@check("conflicting_labels", "Which examples say the same as others, and are answered differently?", subject="example")
def conflicting_labels(
    corpus: Corpus,
    *,
    threshold: Annotated[float, Field(gt=0, le=1)] = THRESHOLD,
    # Half of the labels, spans or scale in common; raised to what nine of ten pairs of annotators of one example reach.
    min_agreement: Annotated[float, Field(gt=0, le=1)] = 0.5,
) -> Report:
    """Flags an example whose answer is not that of the others that say the same: the odd one out, or both sides of a draw.

    Others say the same exactly, nearly (Jaccard of character 5-grams from `threshold` up), or, where answers are labels, in other
    words (see `semantic_duplicates`). Their answers count as often as annotators stand behind them. Severity in [0, 1] is
    the share of this weight that is against the example's answer, times the likeness: of equal texts 0.9 for one against
    nine, 0.5 for one against one, 0.1 for each of the nine. The answer that has more than half of the weight is suggested. Only
    examples with such others are judged.

    Skipped where different answers can all be right (written ones). Two labels agree if they are equal; sets, spans and ratings
    if the task type's similarity reaches `min_agreement`, or what annotators of one example usually reach, if that is more. Spans
    in two texts that are not the same are compared by label and words, as far as the words stand in both.
    """
    if task_type(corpus.task).ALTERNATIVES:
        raise Skip("Different written answers to one question can all be right.")
    if len(corpus.consensus) < 2:
        raise Skip("There are fewer than two examples with an answer.")
    corpus = by_id(corpus)
    answers, labels = answers_of(corpus), labels_of(corpus)
    bar, compare = least_agreement(corpus, min_agreement), agreement(corpus)

    def agree(i: int, j: int, a: Any, b: Any) -> bool:
        return compare(i, j, a, b) >= bar - 1e-9

    texts = corpus.examples["text"].tolist()
    text = exact_groups(texts).tolist()
    ties: list[Tie] = [(one, two, alike, "near") for one, two, alike in near_pairs(texts, floor=threshold)]
    meaning = _by_meaning(corpus, text, answers, {tie[:2] for tie in ties}, agree)
    found = stands(text, answers, _weights(corpus), [*ties, *meaning[0]], agree)
    facts = {**_facts(corpus, found, labels), "agree_from": bar, "threshold": threshold, "by_meaning": meaning[1]}
    return Report(findings([_finding(corpus, stand, answers, labels) for stand in found]), facts)


def _weights(corpus: Corpus) -> list[float]:
    """(n,) how many annotators stand behind the consensus of each example: their number times its confidence."""
    given = corpus.consensus
    weight = given["annotations"].astype("float64").clip(lower=1) * given["confidence"].astype("float64").fillna(1.0)
    known = dict(zip(given["example_id"].tolist(), weight.tolist(), strict=True))
    return [known.get(example, 0.0) for example in corpus.examples["example_id"].tolist()]


def _by_meaning(
    corpus: Corpus, text: list[int], answers: list[Any], near: set[tuple[int, int]], agree: Any
) -> tuple[list[Tie], dict[str, Any]]:
    """Ties between texts of one meaning, as alike as the share of them that agree says, and that share; no ties where answers do
    not follow from the meaning."""
    if task_type(corpus.task).EVIDENCE not in ("classes", "sets"):
        return [], {"used": False}
    pairs: dict[tuple[int, int], tuple[int, int]] = {}
    for i, j, _ in close_pairs(corpus.evidence):
        name = (min(text[i], text[j]), max(text[i], text[j]))
        if name[0] != name[1] and name not in near and answers[i] is not None and answers[j] is not None:
            pairs.setdefault(name, (i, j))
    if not pairs:
        return [], {"used": False}
    share = wilson(sum(agree(i, j, answers[i], answers[j]) for i, j in pairs.values()), len(pairs))
    used = share.value >= MEANING_DECIDES
    facts = {"used": used, "pairs": len(pairs), "agree": share.as_dict()}
    return [(one, two, share.value, "semantic") for one, two in sorted(pairs) if used], facts


def _finding(corpus: Corpus, stand: Stand, answers: list[Any], labels: list[str | None]) -> dict[str, Any]:
    suggestion, reason = "", ""
    ids = corpus.examples["example_id"]
    if stand.against:
        others = [f"{ids.iloc[row]} (“{labels[row]}”)" for row in stand.others[:NAMED]]
        more = f" and {len(stand.others) - NAMED} more" if len(stand.others) > NAMED else ""
        reason = f"Is answered “{labels[stand.row]}”, but {HOW[stand.kind]} example {', '.join(others)}{more}."
        if stand.outvoted:
            suggestion = _suggestion(corpus, stand, answers)
    return {
        "subject_id": str(ids.iloc[stand.row]),
        "severity": stand.severity,
        "flagged": stand.outvoted,
        "reason": reason,
        "suggestion": suggestion,
    }


def _suggestion(corpus: Corpus, stand: Stand, answers: list[Any]) -> str:
    """The answer of most as JSON; "" if there is none, or if it holds places in another text."""
    texts = corpus.examples["text"]
    if stand.better < 0 or (task_type(corpus.task).EVIDENCE == "words" and texts.iloc[stand.row] != texts.iloc[stand.better]):
        return ""
    answer = answers[stand.better]
    if corpus.task == "pairwise_preference":
        answer = side(corpus, int(corpus.examples["example_id"].iloc[stand.row]), answer)
    return orjson.dumps(answer).decode()


def _facts(corpus: Corpus, found: list[Stand], labels: list[str | None]) -> dict[str, Any]:
    ids = corpus.examples["example_id"].tolist()
    odd = sorted((one for one in found if one.outvoted), key=lambda one: (-round(one.severity, 9), str(ids[one.row])))
    kinds = Counter(stand.kind for stand in odd)
    return {
        "compared": len(found),
        "contradicted": sum(stand.against > 0 for stand in found),
        "outvoted": {kind: kinds[kind] for kind in HOW},
        "contradictions": [
            {
                "example": str(ids[one.row]), "answer": labels[one.row], "how": one.kind,
                "others": [str(ids[row]) for row in one.others[:NAMED]],
                "answers": sorted({str(labels[row]) for row in one.others}), "against": round(one.against, 2),
                "for": round(one.along + one.own, 2),
            }
            for one in odd[:LISTED]
        ],
    }  # fmt: skip
