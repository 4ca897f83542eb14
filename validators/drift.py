"""Do the texts, their lengths or the answers change from batch to batch, or over time?"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from pipeline.evidence.answers import answers_of
from pipeline.evidence.rows import by_id
from pipeline.evidence.shift import FOLDS, shares, told_apart
from pipeline.statistics import benjamini_hochberg
from pipeline.tasks import task_type
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings

BATCHES = 10  # more of them tell a trend no better, and each is compared with the others
ALPHA = 0.05
LENGTHS = 5  # classes of length, of equal size
MOVED = 20  # labels named in the facts

Codes = NDArray[np.int64]


@check("drift", "Do the texts or the answers change over time, or from batch to batch?", subject="corpus")
def drift(
    corpus: Corpus,
    *,
    by: str = "",  # a slice that names batches; else batches are periods of the time of the first answer
    min_batch: Annotated[int, Field(ge=20)] = 100,  # the standard error of a share of one half is then 5 points
    # Of two halves, that is a population stability index of 0.25, which credit scoring calls a major shift: Siddiqi (2006).
    min_w: Annotated[float, Field(gt=0)] = 0.25,
    # As where a fifth of a batch is of a kind that the others do not have at all, and the rest is alike.
    min_auc: Annotated[float, Field(gt=0.5, le=1)] = 0.6,
) -> Report:
    """Batches are compared by what was answered, by the length of the texts, and by whether a classifier that has not seen a text
    can tell its batch from the others by its embedding; over time also all texts up to a batch from all since. Flagged is what
    differs by more than the given effect and not by chance (permutations, Benjamini–Hochberg at 5 % over all comparisons): with
    enough rows everything differs a little.

    Batches are the groups of the slice `by`, or up to ten periods with the same number of examples by the time of their first
    answer; examples of one time are in one period. Batches of fewer than `min_batch` are left out. Severity in [0, 1]: of answers
    and lengths Cohen's w (at most 1), of texts 2 · AUC − 1, which is 0 at chance and 1 where all can be told apart.
    """
    corpus = by_id(corpus)
    batches = _batches(corpus, by, min_batch)
    if len(batches) < 2:
        what = f"groups of the slice {by!r}" if by else "periods by the time of the answers"
        raise Skip(f"It takes two {what} with at least {min_batch} examples each; there {_are(len(batches))}.")
    batch = np.full(len(corpus.examples), -1)
    for number, (_, rows) in enumerate(batches):
        batch[rows] = number
    features = sorted(_features(corpus).items())
    tests = [test for name, (codes, names) in features for test in _answers(name, codes, names, batch, corpus.seed, min_w)]
    every = [*tests, *_texts(corpus, batch, [name for name, _ in batches], not by, min_auc)]
    for test, q in zip(every, benjamini_hochberg([test["p"] for test in every]), strict=True):
        test["q"] = float(q)
        test["flagged"] = bool(q < ALPHA and test["effect"] >= test["bar"])
    facts = {
        "batches": [_batch(corpus, name, rows) for name, rows in batches],
        "tests": [{key: value for key, value in test.items() if key != "moved"} for test in every],
        "moved": sorted((row for test in tests for row in test["moved"]), key=_how_far)[:MOVED],
    }
    return Report(findings([_finding(test) for test in every]), facts)


def _how_far(row: dict[str, Any]) -> tuple[float, str, str]:
    return -abs(row["z"]), row["what"], row["class"]


def _are(count: int) -> str:
    return "is one" if count == 1 else f"are {count or 'none'}"


def _batches(corpus: Corpus, by: str, least: int) -> list[tuple[str, Codes]]:
    """(name, positions of its examples), in order of time, or of the groups' names."""
    if by and by not in corpus.slices:
        raise Skip(f"There is no slice {by!r}; there are {', '.join(corpus.slices) or 'none'}.")
    found = _groups(corpus.examples[by]) if by else _periods(corpus, least)
    return [(name, rows) for name, rows in found if len(rows) >= least]


def _groups(values: pd.Series) -> list[tuple[str, Codes]]:
    return [(str(name), np.flatnonzero(values == name)) for name in sorted(set(values) - {""})]


def _periods(corpus: Corpus, least: int) -> list[tuple[str, Codes]]:
    given = corpus.annotations.assign(
        at=pd.to_datetime(corpus.annotations["created_at"], errors="coerce", utc=True, format="ISO8601")
    )
    if given["at"].notna().sum() < 2 * least:
        return []
    first = given.dropna(subset="at").groupby("example_id")["at"].min()
    times = corpus.examples["example_id"].map(first).dropna().sort_values(kind="stable")
    count = min(BATCHES, len(times) // least)
    if count < 2:
        return []
    place = times.rank(method="min").to_numpy() - 1  # of equal times all get the place of the first
    period = (place * count // len(times)).astype(np.int64)
    parts = [times[period == number] for number in sorted(set(period.tolist()))]
    return [(f"{part.min():%Y-%m-%d %H:%M} to {part.max():%Y-%m-%d %H:%M}", part.index.to_numpy()) for part in parts]


def _features(corpus: Corpus) -> dict[str, tuple[Codes, list[str]]]:
    """What is compared → (class of each example, -1 where it has none; names of the classes)."""
    answers = answers_of(corpus)
    task = task_type(corpus.task)
    found = {"length of the texts": _lengths([len(text.split()) or None for text in corpus.examples["text"]])}
    if task.EVIDENCE == "written":
        words = [None if answer is None else len(str(task.written(answer)).split()) for answer in answers]
        return {**found, "length of the answers": _lengths(words)}
    if any(isinstance(answer, dict) for answer in answers):
        for control in sorted({name for answer in answers if answer for name in answer}):
            found[f"ratings of {control}"] = _classes([answer and str(answer.get(control, "")) for answer in answers])
    elif any(isinstance(answer, list) for answer in answers):
        for label in corpus.vocabulary:
            held = [None if answer is None else str(label in task.mentions(answer)) for answer in answers]
            codes, names = _classes(held)
            found[f"label {label}"] = codes, [{"True": label, "False": f"not {label}"}[name] for name in names]
    else:
        found["labels"] = _classes(answers)
    return found


def _lengths(words: list[int | None]) -> tuple[Codes, list[str]]:
    known = np.array([size for size in words if size is not None], np.float64)
    if not len(known):
        return np.full(len(words), -1), []
    cuts = np.unique(np.quantile(known, np.arange(1, LENGTHS) / LENGTHS))
    codes = np.array([-1 if size is None else int(np.searchsorted(cuts, size, "left")) for size in words], np.int64)
    edges = [f"up to {cut:.0f} words" for cut in cuts]
    return codes, [*edges, f"over {cuts[-1]:.0f} words"]


def _classes(values: list[Any]) -> tuple[Codes, list[str]]:
    names = sorted({value for value in values if value})
    number = {name: place for place, name in enumerate(names)}
    return np.array([number.get(value, -1) if value else -1 for value in values], np.int64), names


def _answers(
    name: str, codes: Codes, names: list[str], batch: Codes, seed: int, min_w: float
) -> list[dict[str, Any]]:
    """One test; none if there is but one class, or one batch with any."""
    found = shares(codes, batch, seed)
    if found is None:
        return []
    moved = [
        {"what": name, "class": names[one.code], "batch": one.batch + 1, "share": one.share, "elsewhere": one.rest, "z": one.z}
        for one in found.moved
    ]
    return [{"what": name, "measure": "Cohen's w", "effect": found.w, "bar": min_w, "p": found.p, "moved": moved}]


def _texts(corpus: Corpus, batch: Codes, names: list[str], ordered: bool, min_auc: float) -> list[dict[str, Any]]:
    """A test for each batch and, where they are `ordered`, for each moment between two; [] without embeddings in two of them."""
    known = np.flatnonzero((np.linalg.norm(corpus.evidence.embeddings, axis=1) > 0) & (batch >= 0))
    there, numbers = np.unique(batch[known], return_inverse=True)
    if len(there) < 2 or np.bincount(numbers).min() < 2 * FOLDS:
        return []
    parts = {f"texts of batch {number + 1} ({names[number]})": numbers == place for place, number in enumerate(there.tolist())}
    if ordered:  # the first and the last are batches of their own
        since = enumerate(there.tolist()[2:-1], start=2)
        parts |= {f"texts since batch {number + 1} ({names[number]})": numbers >= place for place, number in since}
    aucs, p = told_apart(corpus.evidence.embeddings[known], np.column_stack(list(parts.values())), corpus.seed)
    found = zip(parts, aucs.tolist(), p.tolist(), strict=True)
    return [{"what": what, "measure": "AUC", "effect": auc, "bar": min_auc, "p": chance} for what, auc, chance in found]


def _batch(corpus: Corpus, name: str, rows: Codes) -> dict[str, Any]:
    words = corpus.examples["text"].iloc[rows].str.split().str.len()
    return {"batch": name, "examples": len(rows), "median_words": float(words.median())}


def _finding(test: dict[str, Any]) -> dict[str, Any]:
    of_texts = test["measure"] == "AUC"
    effect = test["effect"]
    if of_texts:
        reason = f"A classifier tells the {test['what']} from the others: AUC {effect:.2f}, where chance is 0.5."
    else:
        reason = f"The {test['what']} differ between batches: Cohen's w is {effect:.2f} (0.1 is small, 0.3 medium, 0.5 large)."
        if test["moved"]:
            most = max(test["moved"], key=lambda row: abs(row["z"]))
            where = f"{most['share']:.0%} in batch {most['batch']} and {most['elsewhere']:.0%} elsewhere"
            reason += f" Most of all “{most['class']}”: {where}."
    return {
        "subject_id": test["what"],
        "severity": float(np.clip(2 * effect - 1 if of_texts else effect, 0, 1)),
        "flagged": test["flagged"],
        "reason": reason,
        "suggestion": "",
    }
