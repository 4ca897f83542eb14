"""Consensus for answers that are one of a few labels: a method chosen, the votes solved, calibrated, ambiguity found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson
import pandas as pd
from numpy.typing import NDArray

from pipeline.consensus.aggregation import as_votes, decide, solve
from pipeline.consensus.ambiguity import LEVEL, Ambiguity, ambiguity, soft_labels
from pipeline.consensus.calibration import Calibration, calibrate, tempered
from pipeline.consensus.choosing import Choice, by_gold, by_shape, candidates, wants_model
from pipeline.consensus.votes import Array, Index, Posterior, Votes, counts
from pipeline.types import CONSENSUS_COLUMNS

# What a model that never saw an example's own label says of it, from a label per row of the examples table (n,), -1 where there
# is none: (n, K) probabilities, NaN rows where it says nothing.
Model = Callable[[Index], NDArray[Any]]
ROUNDED = 4  # digits of what is stored: the last bits of a model's embeddings differ between runs
LOW = 0.7  # confidence below it is counted in the facts: the vote of two of three equally reliable annotators
# An example for whose label no more people spoke than for another is tied, unless the method is surer of it than this, from
# what it knows of these people: a model's word alone does not settle what people could not.
SETTLED = 0.9
MEANING = "how likely the answer is right, calibrated"


@dataclass(frozen=True)
class Solved:
    """label, tie: (n,); what is tied, somebody should decide. posterior: as the method gives it; confidence: (n, K), calibrated.
    model: (n, K) or None. gold: what `by_gold` says of each method."""

    votes: Votes
    ids: Index
    people: NDArray[np.object_]
    choice: Choice
    label: Index
    tie: NDArray[np.bool_]
    posterior: Posterior
    confidence: Array
    calibration: Calibration
    split: Ambiguity
    model: Array | None
    gold: list[dict[str, Any]]


def solve_labels(
    answers: pd.DataFrame,
    examples: pd.DataFrame,
    labels: tuple[str, ...],
    truth: pd.DataFrame,
    *,
    method: str,
    seed: int,
    model: Model | None,
) -> Solved:
    """answers: one row per annotator and example (example_id, annotation_id, annotator, label). truth: see `truths`."""
    votes, ids, people = as_votes(answers, labels)
    gold = _gold(ids, truth, labels)
    unseen = _without(votes, answers, truth)
    said = _asked(model, unseen, ids, examples, method)
    choice = by_shape(votes, said is not None) if method == "auto" else Choice(method, "Set in project.yaml.")
    rows: list[dict[str, Any]] = []
    before: Posterior | None = None
    if (gold >= 0).any() and votes.examples < len(votes.label):
        found, rows, posteriors = by_gold(unseen, gold, ids, choice, seed, said)
        choice = found if method == "auto" else choice
        before = posteriors[choice.method]
    posterior = solve(replace(votes, known=gold) if (gold >= 0).any() else votes, choice.method, said)
    label, tie = decide(said_by_somebody(posterior, votes, gold), ids, seed)
    calibration = calibrate(votes, posterior, np.where(unseen.sizes > 0, gold, -1), before)
    confidence = tempered(posterior.probabilities, calibration.temperature)
    settled = (confidence[np.arange(len(label)), label] >= SETTLED) & ((said is None) | (gold >= 0))
    tie |= _outvoted(votes, label) & ~settled
    split = ambiguity(votes, posterior, seed)
    return Solved(votes, ids, people, choice, label, tie, posterior, confidence, calibration, split, said, rows)


def _gold(ids: Index, truth: pd.DataFrame, labels: tuple[str, ...]) -> Index:
    """(n,) the true label where it is known, else -1."""
    names = {orjson.dumps(label).decode(): number for number, label in enumerate(labels)}
    known = dict(zip(truth["example_id"].tolist(), truth["answer"].map(names).fillna(-1).tolist(), strict=True))
    return np.array([int(known.get(int(example), -1)) for example in ids], dtype=np.int64)


def _without(votes: Votes, answers: pd.DataFrame, truth: pd.DataFrame) -> Votes:
    """The votes but for those that are the gold itself."""
    rows = ~answers["annotation_id"].isin(truth["annotation_id"]).to_numpy(bool)
    return replace(votes, example=votes.example[rows], annotator=votes.annotator[rows], label=votes.label[rows])


def said_by_somebody(posterior: Posterior, votes: Votes, gold: Index) -> Posterior:
    """The posterior over what somebody said, or what is known to be true: an answer that nobody gave is no consensus, and what
    all agree on is nobody's to overrule."""
    said = counts(votes) > 0
    said[np.flatnonzero(gold >= 0), gold[gold >= 0]] = True
    said[~said.any(axis=1)] = True
    return replace(posterior, probabilities=np.where(said, posterior.probabilities, -1.0))


def _outvoted(votes: Votes, label: Index) -> NDArray[np.bool_]:
    """(n,) whether some other label has as many votes as the chosen one, or more."""
    counted = counts(votes)
    own = counted[np.arange(len(label)), label]
    counted[np.arange(len(label)), label] = -1
    most: NDArray[np.bool_] = counted.max(axis=1, initial=0) >= np.maximum(own, 1)
    return most


def _asked(model: Model | None, votes: Votes, ids: Index, examples: pd.DataFrame, method: str) -> Array | None:
    """What the model says (n, K), learnt from the labels that the votes alone give; None where it is not wanted."""
    if model is None or method not in ("auto", "crowdlab", "shrunk") or not (method == "crowdlab" or wants_model(votes)):
        return None
    guessed = solve(votes, "shrunk").probabilities.argmax(1)
    guessed[votes.sizes == 0] = -1
    place = pd.Series(np.arange(len(examples)), index=examples["example_id"].to_numpy()).reindex(ids)
    given = np.full(len(examples), -1, np.int64)
    here = place.notna().to_numpy()
    rows = place[here].to_numpy(np.int64)
    given[rows] = guessed[here]
    result = np.full((len(ids), votes.labels), np.nan)
    result[here] = np.asarray(model(given), np.float64)[rows]
    return result


def table(solved: Solved, labels: tuple[str, ...]) -> pd.DataFrame:
    """CONSENSUS_COLUMNS, before anything that somebody decided."""
    names = [orjson.dumps(name).decode() for name in labels]
    size = solved.votes.sizes
    sure = solved.confidence[np.arange(len(size)), solved.label] if len(size) else np.zeros(0)
    soft = soft_labels(solved.votes, solved.confidence, solved.split)
    rows = pd.DataFrame(
        {
            "example_id": solved.ids,
            "answer": [names[number] for number in solved.label],
            # A single answer has no second one to confirm it: its confidence is unknown, not 1.
            "confidence": np.where(size > 1, np.round(sure, ROUNDED), np.nan),
            "annotations": size,
            "tie": solved.tie,
            "method": solved.choice.method,
            "distribution": [_json(row, labels) if number > 1 else "" for row, number in zip(soft, size, strict=True)],
            "ambiguous": solved.split.ambiguous,
        }
    )
    return rows.astype({"distribution": "str"})[list(CONSENSUS_COLUMNS)]


def _json(row: Array, labels: tuple[str, ...]) -> str:
    """The labels with a probability that survives rounding, in the order of the labels."""
    rounded = np.round(row, ROUNDED)
    return orjson.dumps({label: float(p) for label, p in zip(labels, rounded, strict=True) if p > 0}).decode()


def facts(
    solved: Solved, final: Mapping[int, str], labels: tuple[str, ...], consensus: pd.DataFrame, seed: int
) -> dict[str, Any]:
    """What the report says of how the answers came about."""
    several = consensus[consensus["annotations"] > 1]["confidence"]
    heat = solved.calibration
    return {
        "method": solved.choice.method,
        "why": solved.choice.why,
        "ties": int(consensus["tie"].sum()),
        "alternatives": _alternatives(solved, final, labels, seed),
        "gold": solved.gold,
        "model": solved.model is not None,
        "calibration": {"temperature": round(heat.temperature, 3), "by": heat.by},
        "ambiguous": {"count": int(consensus["ambiguous"].sum()), "tested": solved.split.tested, "false_share": LEVEL},
        "confidence": {
            "meaning": MEANING, "below": LOW, "count": int((several < LOW).sum()), "of": len(several),
            "median": float(several.median()) if len(several) else None,
        },
    }  # fmt: skip


def _alternatives(solved: Solved, final: Mapping[int, str], labels: tuple[str, ...], seed: int) -> list[dict[str, Any]]:
    """How many examples the other methods would have answered differently."""
    if solved.votes.examples == len(solved.votes.label):
        return []
    names = [orjson.dumps(label).decode() for label in labels]
    given = [final[int(example)] for example in solved.ids]
    rows = []
    for method in candidates(solved.model):
        if method != solved.choice.method:
            label, _ = decide(solve(solved.votes, method, solved.model), solved.ids, seed)
            different = sum(one != names[number] for one, number in zip(given, label, strict=True))
            rows.append({"method": method, "different_answers": different})
    return rows
