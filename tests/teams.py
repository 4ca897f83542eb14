"""Simulated teams of annotators: answers as a matrix of labels, faults planted in it, and the corpus that comes of it.

Two generators, so that what is chosen on one can be quoted on the other: "logistic" (difficulty of examples is normal on the
logit scale, half of the slips go to a label that tempts everybody) and "mixed" (one example in five is hard: everybody is right
half of the time, and four slips in five go to the tempting label; labels are skewed; examples are answered in batches).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson
import pandas as pd
from corpora import bare_evidence
from numpy.typing import NDArray

from pipeline.types import ANNOTATOR_COLUMNS, CONSENSUS_COLUMNS, SUGGESTION_COLUMNS, Corpus, Scheme

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Team:
    """said: (n, people) labels, -1 where not asked. truth, tempting: (n,). seconds: (people,) of each answer. suggested, held:
    (n,) if a model said something. behind: (people,) how many minutes after the first each answers an example."""

    said: Index
    truth: Index
    tempting: Index
    labels: int
    seconds: NDArray[np.float64]
    suggested: Index | None = None
    held: NDArray[np.bool_] | None = None
    behind: NDArray[np.int64] | None = None


def team(
    seed: int, *, people: int = 5, n: int = 200, labels: int = 4, each: int = 0, accuracy: float | Sequence[float] = 0.85,
    kind: str = "logistic", difficulty: float = 1.0,
) -> Team:  # fmt: skip
    """Each of n examples answered by all people, or by `each` of them, drawn anew."""
    random = np.random.default_rng([seed, people, n, labels])
    mixed = kind == "mixed"
    shares = random.dirichlet(np.full(labels, 3.0)) if mixed else np.full(labels, 1 / labels)
    truth = random.choice(labels, n, p=shares)
    tempting = (truth + random.integers(1, labels, n)) % labels
    skill = np.broadcast_to(np.asarray(accuracy, float), people)
    if mixed:
        right = np.where(random.random((n, 1)) < 0.2, 0.5, (skill - 0.1) / 0.8)
    else:
        right = 1 / (1 + np.exp(-(np.log(skill / (1 - skill)) * 1.2 - difficulty * random.normal(size=(n, 1)))))
    tempted = random.random((n, people)) < (0.8 if mixed else 0.5)
    slip = np.where(tempted, tempting[:, None], (truth[:, None] + random.integers(1, labels, (n, people))) % labels)
    said = np.where(random.random((n, people)) < right, truth[:, None], slip)
    if each and each < people:
        order = np.argsort(random.random((n, people)), axis=1)
        np.put_along_axis(said, order[:, each:], -1, axis=1)
    return Team(said, truth, tempting, labels, np.full(people, 20.0), behind=np.arange(people))


def raters(
    seed: int, *, people: int = 5, n: int = 200, shifts: Sequence[float] = (), spread: float = 1.0, narrow: int = -1
) -> Team:
    """Ratings from 1 to 5 (numbers 0 to 4) of examples whose quality is spread evenly; each rater is off by a shift and by
    chance; the person `narrow` uses two ratings only."""
    random = np.random.default_rng([seed, people, n])
    quality = random.uniform(-0.3, 4.3, n)
    off = np.zeros(people)
    off[: len(shifts)] = shifts
    said = np.clip(np.rint(quality[:, None] + off + spread * random.normal(size=(n, people))), 0, 4).astype(np.int64)
    if narrow >= 0:
        said[:, narrow] = np.where(said[:, narrow] >= 2, 3, 2)
    truth = np.clip(np.rint(quality), 0, 4).astype(np.int64)
    return Team(said, truth, truth, 5, np.full(people, 20.0), behind=np.arange(people))


def slipping(made: Team, random: np.random.Generator, rows: Index, accuracy: float) -> Index:
    """Labels of the rows given with an accuracy, the slips anywhere."""
    other = (made.truth[rows] + random.integers(1, made.labels, len(rows))) % made.labels
    return np.where(random.random(len(rows)) < accuracy, made.truth[rows], other)


def with_answers(made: Team, person: int, rows: Index, answers: Any) -> Team:
    said = made.said.copy()
    keep = said[rows, person] >= 0
    said[rows[keep], person] = np.broadcast_to(answers, len(rows))[keep]
    return replace(made, said=said)


def copier(made: Team, seed: int, share: float, who: int = 0, whose: int = 1) -> Team:
    """`who` copies a share of the answers of `whose`."""
    random = np.random.default_rng(seed)
    rows = np.flatnonzero((made.said[:, whose] >= 0) & (random.random(len(made.truth)) < share))
    behind = np.asarray(made.behind).copy()
    behind[who] = behind.max() + 1
    return replace(with_answers(made, who, rows, made.said[rows, whose]), behind=behind)


def spammer(made: Team, seed: int, pattern: str, who: int = 0) -> Team:
    random, n = np.random.default_rng(seed), len(made.truth)
    answers = {
        "random": random.integers(0, made.labels, n), "constant": np.full(n, int(np.bincount(made.truth).argmax())),
        "cycle": np.arange(n) % made.labels,
    }  # fmt: skip
    return with_answers(made, who, np.arange(n), answers[pattern])


def drifter(made: Team, seed: int, after: float, before: float | None = None, at: float = 0.5, who: int = 0) -> Team:
    """Accuracy `after` from a place in the sequence on."""
    random, n = np.random.default_rng(seed), len(made.truth)
    late, early = np.arange(round(at * n), n), np.arange(round(at * n))
    made = with_answers(made, who, late, slipping(made, random, late, after))
    return made if before is None else with_answers(made, who, early, slipping(made, random, early, before))


def newly_fond(made: Team, seed: int, label: int, share: float, who: int = 0) -> Team:
    """Gives one label to a share of the examples in the second half, whatever they are."""
    random, n = np.random.default_rng(seed), len(made.truth)
    rows = np.flatnonzero((np.arange(n) >= n // 2) & (random.random(n) < share))
    return with_answers(made, who, rows, label)


def suggestions(made: Team, seed: int, right: float, anchors: Sequence[float], held: float = 0.2) -> Team:
    """Suggestions right to a share, the wrong ones tempting; each person takes over what is shown with a chance of their own."""
    random, (n, people) = np.random.default_rng(seed), made.said.shape
    suggested = np.where(random.random(n) < right, made.truth, made.tempting)
    back = random.random(n) < held
    taken = (random.random((n, people)) < np.asarray(anchors)) & ~back[:, None] & (made.said >= 0)
    return replace(made, said=np.where(taken, suggested[:, None], made.said), suggested=suggested, held=back)


FORMS: dict[str, Any] = {  # task type → the answer for a number
    "text_classification": lambda code: f"label {code}",
    "multi_label_classification": lambda code: [f"label {bit}" for bit in range(5) if (code + 1) >> bit & 1],
    "spans": lambda code: [
        {"start": place * 7, "end": place * 7 + 5, "labels": ["A" if place % 2 else "B"], "text": "words"}
        for place in range(4) if code >> place & 1
    ],
    "response_rating": lambda code: {"quality": code + 1},
    "text_generation": lambda code: f"answer number {code} of those that were given here",
}  # fmt: skip


def corpus_of(
    made: Team, gold: int = 0, slices: dict[str, Sequence[str]] | None = None, task: str = "text_classification"
) -> Corpus:
    """The first `gold` examples have their truth answered by an "expert", as ground truth. task: of what kind the answers are."""
    texts = [orjson.dumps(FORMS[task](code), option=orjson.OPT_SORT_KEYS).decode() for code in range(made.labels)]
    names = tuple(f"label {number}" for number in range(made.labels)) if task == "text_classification" else ()
    example, who = np.nonzero(made.said >= 0)
    behind = np.arange(made.said.shape[1]) if made.behind is None else made.behind
    minute = example * 30 + behind[who]
    people = [f"person {number}" for number in who]
    table = _annotations(example + 1, people, made.said[example, who], minute, made.seconds[who], texts)
    if gold:
        rows, after = np.arange(gold), len(table) + 1
        expert = _annotations(rows + 1, ["expert"] * gold, made.truth[:gold], rows, np.full(gold, 60.0), texts, first=after)
        table = pd.concat([table, expert.assign(ground_truth=True)], ignore_index=True)
    n = len(made.truth)
    columns = {"example_id": np.arange(1, n + 1), "data": "{}", "text": "x", "group": "", "split": ""}
    examples = pd.DataFrame({**columns, **(slices or {})})
    pushed = pd.DataFrame(columns=list(SUGGESTION_COLUMNS))
    if made.suggested is not None:
        pushed = pd.DataFrame(
            {
                "example_id": np.arange(1, n + 1), "answer": [texts[code] for code in made.suggested],
                "held_back": made.held, "pushed_at": "2025-12-31T00:00:00Z",
            }
        )
    return Corpus(
        examples=examples, annotations=table, consensus=pd.DataFrame(columns=list(CONSENSUS_COLUMNS)),
        annotators=pd.DataFrame(columns=list(ANNOTATOR_COLUMNS)), labels=names, slices=tuple(slices or ()),
        evidence=bare_evidence(n, made.labels), suggestions=pushed, vocabulary=names, task=task, scheme=Scheme((), (), ()),
    )  # fmt: skip


def _annotations(
    example: Index, who: list[str], label: Index, minute: Index, seconds: Any, texts: list[str], first: int = 1
) -> pd.DataFrame:
    begin = pd.Timestamp("2026-01-01T00:00:00Z")
    instant = (begin + pd.to_timedelta(minute, unit="min")).strftime("%Y-%m-%dT%H:%M:%SZ")
    return pd.DataFrame(
        {
            "annotation_id": np.arange(first, first + len(example)), "example_id": example, "annotator": who,
            "answer": np.array(texts, object)[label], "created_at": instant, "updated_at": instant, "seconds": seconds,
            "ground_truth": False,
            "cancelled": False, "imported": False,
        }
    )
