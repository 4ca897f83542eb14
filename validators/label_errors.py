"""Is the label wrong? Confident learning on probabilities from a model that never saw the example's own label.

Source: Northcutt, Jiang and Chuang, Confident Learning (2021); the implementation is cleanlab's. A flag is a reason to look
again, never to drop: on real data 45–80 % of what such filters flag was right after all (IMDB, CIFAR-10; people's verdicts).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import orjson
import pandas as pd
from numpy.typing import NDArray

from pipeline.statistics import wilson
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings, require_classes

# The model's log-odds count in full and those of the consensus' confidence by half. Measured on TREC and banking77 with our own
# probabilities and 1–3, 2, 3 or 5 simulated answers an example, 0.5 to 21 % of the consensus wrong (up to 10 points of it by
# planted wrong majorities), 36 settings: average precision +.00 to +.48 against the model alone, but for two (-.01). With full
# weight it is up to .10 worse than the model alone where wrong majorities are many, because they are sure.
CONFIDENCE_WEIGHT = 0.5
SURE = 0.98  # posteriors of expectation maximisation are overconfident: beyond this they say no more
TINY = 1e-6


@check("label_errors", "Which examples carry a label that is probably wrong?", subject="example")
def label_errors(
    corpus: Corpus,
    *,
    # Against prune_by_noise_rate, on the same data with 3 to 23 % wrong: precision +.00 to +.18, recall -.00 to -.11.
    filter: Literal["low_self_confidence", "prune_by_noise_rate", "confident_learning"] = "low_self_confidence",
    min_examples: int = 50,  # TREC with 10 % planted: precision .14 with 30 examples, .26 with 100, .48 with 1,000
    min_per_class: int = 5,  # the least for which five folds, the customary out-of-sample route, see every class
) -> Report:
    """Severity is 1 − the quality of the label: near 1, model and annotators speak against it. cleanlab says how many
    labels are wrong; the worst by severity are flagged, up to that number and only above 0.5. Examples of a class with
    fewer than `min_per_class` are not judged, nor are those without probabilities."""
    require_classes(corpus)
    if not corpus.evidence.probabilities.shape[1]:
        raise Skip("The answers of this kind of work do not follow from the text alone, so that no model of it can doubt them.")
    judged, left_out = _judged(corpus, min_per_class)
    labels = sorted(set(judged["label"]))
    if len(labels) < 2:
        raise Skip(f"It needs two labels with at least {min_per_class} examples each; there are {len(labels)}.")
    if len(judged) < min_examples:
        raise Skip(
            f"It needs at least {min_examples} labelled examples, and there are {len(judged)}: with fewer, most of what "
            "it would flag is right."
        )
    given = judged["label"].map({name: number for number, name in enumerate(labels)}).to_numpy(np.int64)
    probabilities = _restricted(corpus, judged, labels)
    severity = 1 - _quality(corpus, judged, given, probabilities)
    flagged = _flag(given, probabilities, severity, filter)
    table = findings(_rows(judged, labels, given, probabilities, severity, flagged))
    share = wilson(int(flagged.sum()), len(judged)).as_dict()
    return Report(table, {"flagged_share": share, "judged": len(judged), "left_out": left_out, "filter": filter})


def _judged(corpus: Corpus, min_per_class: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """The labelled rows that can be judged, by id (so that ties do not depend on the order given), and who is missing."""
    labelled = corpus.labelled()
    known = labelled["label"].isin(corpus.labels).to_numpy(bool)
    seen = np.isfinite(corpus.evidence.probabilities[labelled["row"].to_numpy(np.int64)]).all(axis=1)
    usable = labelled[known & seen]
    enough = usable.groupby("label")["label"].transform("size") >= min_per_class
    judged = usable[enough.to_numpy(bool)].sort_values("example_id", ignore_index=True)
    return judged, {"no_probabilities": len(labelled) - len(usable), "small_class": len(usable) - len(judged)}


def _restricted(corpus: Corpus, judged: pd.DataFrame, labels: list[str]) -> NDArray[np.float64]:
    """(n, len(labels)) probabilities over the labels that can be judged, summing to 1."""
    columns = [corpus.labels.index(label) for label in labels]
    part = corpus.evidence.probabilities[judged["row"].to_numpy(np.int64)][:, columns].astype(np.float64) + TINY
    result: NDArray[np.float64] = part / part.sum(axis=1, keepdims=True)
    return result


def _quality(
    corpus: Corpus, judged: pd.DataFrame, given: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The label's quality in (0, 1): the model's probability of it, moved by the consensus' confidence."""
    from cleanlab.rank import get_label_quality_scores
    from scipy.special import expit, logit

    model = get_label_quality_scores(given, probabilities, method="self_confidence")
    # A single answer has no confidence; it is as good as annotators are on average, where that is known.
    usual = corpus.annotators["quality"].mean()
    confidence = judged["confidence"].astype("float64").fillna(0.5 if np.isnan(usual) else usual).to_numpy()
    moved = logit(np.clip(model, TINY, 1 - TINY)) + CONFIDENCE_WEIGHT * logit(np.clip(confidence, 1 - SURE, SURE))
    result: NDArray[np.float64] = expit(moved)
    return result


def _flag(
    given: NDArray[np.int64], probabilities: NDArray[np.float64], severity: NDArray[np.float64], filter: str
) -> NDArray[np.bool_]:
    from cleanlab.filter import find_label_issues

    number = int(find_label_issues(given, probabilities, filter_by=filter, n_jobs=1).sum())
    worst = np.argsort(-severity, kind="stable")[:number]
    flagged = np.zeros(len(given), bool)
    flagged[worst] = severity[worst] > 0.5
    return flagged


def _rows(
    judged: pd.DataFrame,
    labels: list[str],
    given: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    severity: NDArray[np.float64],
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
