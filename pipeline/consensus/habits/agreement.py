"""How often an annotator agrees with the others, what is taken for what, and how often each label is given."""

from __future__ import annotations

import numpy as np

from pipeline.consensus.habits.answers import MIN_COUNT, NOBODY, Answers, Row, rated, shared
from pipeline.statistics import cohens_h, holm, more_often


def agreement(answers: Answers, *, alpha: float, min_effect: float) -> list[Row]:
    """How often each annotator agrees with the others' answer. Flagged if Fisher's exact test finds more disagreement than in the
    rest's answers together (both are counts: the rest's rate is an estimate, too), and if the estimated accuracy is lower by
    Cohen's h: the rates themselves lie closer together, because the others' answer is sometimes wrong, the more so the fewer
    they are."""
    votes, judged = answers.votes, answers.reference >= 0
    agreed = judged & (answers.reference == votes.label)
    size = np.bincount(votes.annotator[judged], minlength=votes.annotators)
    hits = np.bincount(votes.annotator[agreed], minlength=votes.annotators)
    sure = np.bincount(votes.annotator[judged], answers.right[judged], minlength=votes.annotators)
    other_hits, other_size = hits.sum() - hits, size.sum() - size
    rest = other_hits / np.maximum(other_size, 1)
    p = holm(more_often(size - hits, size, other_size - other_hits, other_size))
    accuracy, others = sure / np.maximum(size, 1), (sure.sum() - sure) / np.maximum(other_size, 1)
    low = (p < alpha) & (other_size > 0)
    far = cohens_h(others, accuracy) >= min_effect
    return [
        {
            "annotator": answers.people[i], "judged": int(size[i]), **rated(int(hits[i]), int(size[i])),
            "others": float(rest[i]), "accuracy": float(accuracy[i]), "others_accuracy": float(others[i]), "p": float(p[i]),
            "low_agreement": bool(low[i]), "flagged": bool(low[i] and far[i]),
        }
        for i in np.flatnonzero(size)
    ]


def confusions(answers: Answers, *, alpha: float, min_effect: float) -> list[Row]:
    """Pairs (given, the others' label) that an annotator produces more often than the other annotators do."""
    votes, seen = answers.votes, answers.reference >= 0
    cells = np.zeros((votes.annotators, votes.labels, votes.labels), np.int64)  # [annotator, given, reference]
    np.add.at(cells, (votes.annotator[seen], votes.label[seen], answers.reference[seen]), 1)
    size = cells.sum(axis=1)
    who, given, said = np.nonzero(cells * (1 - np.eye(votes.labels, dtype=np.int64)))
    hits, n = cells[who, given, said], size[who, said]
    other_hits, other_n = cells.sum(0)[given, said] - hits, size.sum(0)[said] - n
    p = holm(more_often(hits, n, other_hits, other_n), tests=votes.annotators * votes.labels * (votes.labels - 1))
    usual = other_hits / np.maximum(other_n, 1)
    flagged = (p < alpha) & (cohens_h(hits / n, usual) >= min_effect) & (hits >= MIN_COUNT) & (other_n > 0)
    return [
        {
            "annotator": answers.people[who[i]], "given": answers.labels[given[i]], "consensus": answers.labels[said[i]],
            "count": int(hits[i]), "n": int(n[i]), **rated(int(hits[i]), int(n[i])), "others": float(usual[i]),
            "p": float(p[i]), "flagged": bool(flagged[i]),
        }
        for i in range(len(who))
    ]


def distribution(answers: Answers) -> list[Row]:
    """How often each annotator gives each label, against the others on the same examples. Never flagged: on Snow's RTE such
    a test named many good annotators (accuracy .72), where agreement with the others named the bad ones (.53)."""
    votes, rows = answers.votes, []
    for person in range(votes.annotators):
        mine, rest = shared(answers, person, NOBODY)
        if len(mine):
            own = np.bincount(votes.label[mine], minlength=votes.labels) / len(mine)
            pairs = zip(answers.labels, own.tolist(), rest.mean(axis=0).tolist(), strict=True)
            shown = [{"label": label, "rate": a, "others": b, "difference": a - b} for label, a, b in pairs]
            rows += [{"annotator": answers.people[person], **item} for item in shown]
    return rows
