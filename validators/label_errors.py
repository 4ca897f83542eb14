"""Is the label wrong? Bayes' rule on a model that never saw the example's own label, and on the annotators' confidence.

A flag is a reason to look again, never to drop: on real data 45–80 % of what such methods flag was right after all (IMDB,
CIFAR-10; people's verdicts). Answers that are sets of labels are judged label by label: wrongly there, or missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pandas as pd
from numpy.typing import NDArray

from pipeline.evidence.doubt import chance_wrong, error_rate, odds_of_consensus, worth_a_look
from pipeline.evidence.doubted_sets import doubted_sets
from pipeline.evidence.doubted_slices import rate_by_slice, rates_of_examples
from pipeline.evidence.likeness import Likeness, likeness
from pipeline.statistics import wilson
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings

# The model's log-odds count in full and the differences of the consensus' by half. Measured with 3 or 5 simulated answers an
# example on the sample of the template and the test files of TREC and banking77, 3 to 7 % of the consensus wrong, up to 4 points
# of it unanimously: against the model alone average precision +.00 to +.20. With full weight it is up to .05 worse
# than the model alone where wrong majorities are many, because they are sure.
CONFIDENCE_WEIGHT = 0.5
SURE = 0.98  # beyond this a confidence says no more
LEAST = 0.2  # nothing is flagged with less, so that a few certain errors do not lift many right labels over `min_precision`
ROWS = 50  # of each table in the facts

Array = NDArray[np.float64]


@check("label_errors", "Which examples carry a label that is probably wrong?", subject="example")
def label_errors(
    corpus: Corpus,
    *,
    min_precision: float = 0.5,  # as many flags may be in vain as not; people confirmed 20 to 87 % on real sets
    min_examples: int = 50,  # TREC with 10 % planted: precision .14 with 30 examples, .26 with 100, .48 with 1,000
    min_per_class: int = 5,  # the least for which five folds, the customary out-of-sample route, see every class
) -> Report:
    """Severity is the chance that the label is wrong. Flagged is the longest list of which a share of `min_precision` is expected
    to be wrong. Examples of a class with fewer than `min_per_class` are not judged, nor are those without probabilities."""
    if not corpus.labels and not corpus.vocabulary:
        raise Skip("The answers of this kind of work are neither one of a few labels nor a set of them.")
    if not corpus.evidence.probabilities.shape[1]:
        raise Skip("The answers of this kind of work are not labels of the whole text that a model of it could doubt.")
    if not corpus.labels:
        return _of_sets(corpus, min_precision, min_examples, min_per_class)
    judged, left_out = _judged(corpus, min_per_class)
    labels = sorted(set(judged["label"]))
    if len(labels) < 2:
        raise Skip(f"It needs two labels with at least {min_per_class} examples each; there are {len(labels)}.")
    _require_enough(len(judged), min_examples)
    given = judged["label"].map({name: number for number, name in enumerate(labels)}).to_numpy(np.int64)
    probabilities = _restricted(corpus, judged, labels)
    rates = rates_of_examples(judged, probabilities, given, corpus.slices)
    odds = odds_of_consensus(_confidence(judged), rates, CONFIDENCE_WEIGHT, SURE)
    copies = _copies(judged["text"], given, len(labels))
    severity = chance_wrong(probabilities, given, odds, copies, _alike(corpus, judged, given))
    flagged = worth_a_look(severity, min_precision, LEAST)
    table = findings(_rows(judged, labels, given, probabilities, severity, flagged))
    facts = _facts(severity, flagged) | {
        "estimated_error_rate": error_rate(probabilities, given).as_dict(),
        "estimated_errors": _errors(probabilities, given),
        "left_out": left_out,
        "confusions": _confusions(labels, given, probabilities, severity, flagged),
        "by_slice": rate_by_slice(judged, probabilities, given, flagged, corpus.slices)[:ROWS],
    }
    return Report(table, facts)


def _require_enough(judged: int, wanted: int) -> None:
    if judged < wanted:
        raise Skip(
            f"It needs at least {wanted} labelled examples, and there are {judged}: with fewer, most of what "
            "it would flag is right."
        )


def _judged(corpus: Corpus, min_per_class: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """The labelled rows that can be judged, by id (so that ties do not depend on the order given), and who is missing."""
    labelled = corpus.labelled()
    known = labelled["label"].isin(corpus.labels).to_numpy(bool)
    seen = np.isfinite(corpus.evidence.probabilities[labelled["row"].to_numpy(np.int64)]).all(axis=1)
    usable = labelled[known & seen]
    enough = usable.groupby("label")["label"].transform("size") >= min_per_class
    judged = usable[enough.to_numpy(bool)].sort_values("example_id", ignore_index=True)
    return judged, {"no_probabilities": len(labelled) - len(usable), "small_class": len(usable) - len(judged)}


def _restricted(corpus: Corpus, judged: pd.DataFrame, labels: Sequence[str]) -> Array:
    """(n, len(labels)) probabilities over the labels that can be judged, summing to 1."""
    columns = [corpus.labels.index(label) for label in labels]
    part = corpus.evidence.probabilities[judged["row"].to_numpy(np.int64)][:, columns].astype(np.float64) + 1e-6
    result: Array = part / part.sum(axis=1, keepdims=True)
    return result


def _alike(corpus: Corpus, judged: pd.DataFrame, given: NDArray[np.int64]) -> Likeness | None:
    """None where there are no embeddings. A row without a group is one by itself."""
    vectors = corpus.evidence.embeddings[judged["row"].to_numpy(np.int64)]
    named = judged["group"].astype("str")
    names = named.where(named != "", judged["example_id"].astype("str") + " alone")
    return likeness(vectors, given, pd.factorize(names)[0].astype(np.int64)) if vectors.shape[1] else None


def _confidence(judged: pd.DataFrame) -> Array:
    """NaN where a single person answered."""
    values: Array = judged["confidence"].astype("float64").to_numpy()
    return values


def _copies(texts: pd.Series[str], given: NDArray[np.int64], labels: int) -> NDArray[np.bool_] | None:
    """(n, labels) the labels that the same text carries, None if no text carries two. Case and spaces do not count."""
    same = pd.factorize(texts.str.split().str.join(" ").str.casefold())[0]
    carried = pd.DataFrame({"text": same, "label": given})[texts.str.strip().to_numpy() != ""].drop_duplicates()
    several = carried[carried["text"].duplicated(keep=False)]
    if several.empty:
        return None
    held = np.zeros((int(same.max()) + 1, labels), bool)
    held[several["text"], several["label"]] = True
    result: NDArray[np.bool_] = held[same]
    return result


def _rows(
    judged: pd.DataFrame,
    labels: Sequence[str],
    given: NDArray[np.int64],
    probabilities: Array,
    severity: Array,
    flagged: NDArray[np.bool_],
) -> list[dict[str, Any]]:
    rest = probabilities.copy()
    rest[np.arange(len(given)), given] = -1
    other = rest.argmax(axis=1)
    rows = []
    for place, (example, confidence) in enumerate(zip(judged["example_id"], judged["confidence"], strict=True)):
        own, better = probabilities[place, given[place]], probabilities[place, other[place]]
        doubtful = bool(flagged[place]) or better > own
        rows.append(
            {
                "subject_id": str(example),
                "severity": float(severity[place]),
                "flagged": bool(flagged[place]),
                "reason": _reason(labels[given[place]], own, labels[other[place]], better, confidence),
                "suggestion": orjson.dumps(labels[other[place]]).decode() if doubtful else "",
            }
        )
    return rows


def _reason(label: str, own: float, other: str, better: float, confidence: float) -> str:
    said = (
        f"The label is “{label}”. A model that learned from all other examples gives it {own:.0%}, "
        f"and “{other}” {better:.0%}."
    )
    return said if np.isnan(confidence) else f"{said} The annotators' consensus has a confidence of {confidence:.0%}."


def _facts(severity: Array, flagged: NDArray[np.bool_]) -> dict[str, Any]:
    share = wilson(int(flagged.sum()), len(flagged)).as_dict()
    precision = float(severity[flagged].mean()) if flagged.any() else None
    return {"judged": len(flagged), "flagged_share": share, "expected_precision": precision}


def _errors(probabilities: Array, given: NDArray[np.int64]) -> dict[str, float]:
    """How many labels are wrong, with the interval; see `error_rate` for where it errs."""
    rate, n = error_rate(probabilities, given), len(given)
    return {"count": round(rate.value * n), "low": round(rate.low * n), "high": round(rate.high * n)}


def _confusions(
    labels: Sequence[str], given: NDArray[np.int64], probabilities: Array, severity: Array, flagged: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Which label stands where which other one belongs: the expected number of such errors, most first."""
    rest = probabilities.copy()
    rest[np.arange(len(given)), given] = 0
    rest *= (severity / np.maximum(rest.sum(axis=1), 1e-9))[:, None]
    expected, marked = np.zeros((len(labels),) * 2), np.zeros((len(labels),) * 2, np.int64)
    np.add.at(expected, given, rest)
    np.add.at(marked, (given[flagged], rest[flagged].argmax(axis=1)), 1)
    order = np.argsort(-expected.round(6).ravel(), kind="stable")[:ROWS]
    pairs = [(int(place) // len(labels), int(place) % len(labels)) for place in order]
    return [
        {
            "given": labels[one], "right": labels[other], "expected": round(float(expected[one, other]), 1),
            "flagged": int(marked[one, other]), "of": int((given == one).sum()),
        }
        for one, other in pairs if expected[one, other] >= 0.5
    ]  # fmt: skip


def _of_sets(corpus: Corpus, min_precision: float, min_examples: int, min_per_class: int) -> Report:
    """As above, where an answer is a set of labels: each label's presence or absence is judged for itself."""
    labels = corpus.vocabulary
    answers = corpus.consensus.sort_values("example_id")
    place = dict(zip(corpus.examples["example_id"], range(len(corpus.examples)), strict=True))
    rows = answers["example_id"].map(place).to_numpy(np.int64)
    said = [orjson.loads(answer) for answer in answers["answer"]]
    usable = np.array([isinstance(one, list) and all(isinstance(name, str) for name in one) for one in said], bool)
    usable &= np.isfinite(corpus.evidence.probabilities[rows]).all(axis=1)
    if not usable.any() and len(usable):
        raise Skip("No model could learn from the answers: none of them is a set of labels, or there are too few.")
    _require_enough(int(usable.sum()), min_examples)
    kept = answers[usable]
    held = np.array([[name in one for name in labels] for one, use in zip(said, usable, strict=True) if use], bool)
    judged = (held.sum(axis=0) >= min_per_class) & ((~held).sum(axis=0) >= min_per_class)
    if not judged.any():
        raise Skip(f"It needs a label that at least {min_per_class} answers hold and as many do not; there is none.")
    chances = corpus.evidence.probabilities[rows[usable]].astype(np.float64)
    doubted = doubted_sets(chances, held, judged, labels)
    flagged = worth_a_look(doubted.severity, min_precision, LEAST)
    table = findings(
        {
            "subject_id": str(example), "severity": float(doubted.severity[number]), "flagged": bool(flagged[number]),
            "reason": doubted.reasons[number], "suggestion": doubted.suggestions[number],
        }
        for number, example in enumerate(kept["example_id"])
    )  # fmt: skip
    left_out = {"no_probabilities": len(answers) - len(kept), "small_labels": int((~judged).sum())}
    return Report(table, _facts(doubted.severity, flagged) | {"left_out": left_out, "labels": doubted.labels})
