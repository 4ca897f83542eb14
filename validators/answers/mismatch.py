"""Does an answer belong to its question, or could it as well be the answer to another one?

A corpus holds what is needed to learn that: its own pairs, nearly all of them right, and its answers put to other questions,
nearly all of them wrong. A logistic regression tells the two apart from a few features, and says of each pair, from a model
that saw neither the pair nor its group, how much it looks like one that was put together by chance. What a small language model
says of the answer with and without the question is one more feature where the project has it.

Source: the language model's feature is the pointwise mutual information behind IFD, Li et al., From Quantity to Quality (2024).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.types import FloatArray, IntArray
from validators.answers.pair_features import Array, Sides, features, sides
from validators.answers.written import Written

ENOUGH = 50  # pairs, ten in a fold: the samples of the templates have 62 to 69
FOLDS, OTHERS = 5, 3  # chance pairs for each of the corpus' own
# Of the corpus' own pairs, those below this quantile of chance ones do not teach what right ones are, nor do those that have
# another fault. On the three sets that pair_features.py names, with 5 % planted, precision at 0.5 is .82, .97 and .71 and recall
# .69, .58 and .52; with a quantile of 0.9 they are .84, .94, .55 and .80, .69, .66: more found, and people called for nothing.
TRIM = 0.7
# One in twenty answers to another question: only moves severities, not their order.
PRIOR = 0.05
# Below it (of 1; 0.5 is chance) the features do not tell a right pair from a chance one well enough to say anything of one: on
# multi30k, where it is .85 with 30 % of faults of all kinds planted, precision is .71 to .93.
LEAST_AUC = 0.85


@dataclass(frozen=True)
class Mismatch:
    """severity: (n,) in [0, 1], the probability that a pair is a chance one if one in twenty is; NaN where not judged.
    auc: how well pairs without another fault are told from chance ones, out of sample and without the language model: 0.5 is not
    at all, 1 always. language_model: it read so many."""

    severity: Array
    auc: float
    language_model: int = 0


def mismatches(
    rows: Sequence[Written], prompts: FloatArray, answers: FloatArray, groups: Sequence[str], *,
    doubted: Sequence[bool] = (), signals: pd.DataFrame | None = None, seed: int = 0,
) -> Mismatch | None:  # fmt: skip
    """None for fewer than 50 answers. prompts, answers: (n, d) embeddings, unit length; groups: equal ones never vouch for each
    other. doubted: rows with another fault, which teach nothing. signals: see pipeline/evidence/signals.py, row by row as
    `rows`, with `other` as a position in `Corpus.examples`."""
    judged = np.flatnonzero((np.abs(prompts).sum(axis=1) > 0) & (np.abs(answers).sum(axis=1) > 0))
    if len(judged) < ENOUGH:
        return None
    part = [rows[i] for i in judged]
    numbers = np.unique([groups[i] for i in judged], return_inverse=True)[1].astype(np.int64)
    both = sides(part, prompts[judged], answers[judged])
    here = np.arange(len(part))
    own = features(both, here, here)
    chance = [features(both, _elsewhere(numbers, seed + turn), here) for turn in range(OTHERS)]
    folds = numbers % FOLDS
    clean = ~np.array(doubted, bool)[judged] if len(doubted) else np.ones(len(part), bool)
    trusted = _trusted(own, chance, folds, clean)
    models = _models(own, chance, folds, trusted)
    right, wrong = _told(models, own, folds), _told(models, chance[0], folds)
    heard, told = 0, auc(right[clean], wrong)
    if signals is not None:
        right, wrong, heard = _listened(right, wrong, both, models, folds, part, signals.iloc[judged])
    severity = np.full(len(rows), np.nan)
    severity[judged] = 1 / (1 + np.exp(np.clip(right - np.log(PRIOR / (1 - PRIOR)), -500, 500)))
    return Mismatch(severity, told, heard)


def auc(right: Array, wrong: Array) -> float:
    """The share of pairs (one right, one wrong) in which the right one scores higher; ties count half."""
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([right, wrong]))[: len(right)]
    return float((ranks.sum() - len(right) * (len(right) + 1) / 2) / (len(right) * len(wrong)))


Model = Callable[[Array], Array]


def _elsewhere(groups: IntArray, seed: int) -> IntArray:
    """(n,) for each row another one, of another group if turning a shuffled order once or by a half gives it."""
    order = np.random.default_rng(seed).permutation(len(groups))
    other = np.empty(len(groups), np.int64)
    other[order] = np.roll(order, 1)
    alike = groups[other] == groups
    other[alike] = (other[alike] + len(groups) // 2) % len(groups)
    return other


def _trusted(own: Array, chance: Sequence[Array], folds: IntArray, clean: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) whether a pair looks right enough to teach what right ones are.

    Source: Shen and Sanghavi, Learning with Bad Training Data via Iterative Trimmed Loss Minimization (2019).
    """
    models = _models(own, chance, folds, clean)
    result: NDArray[np.bool_] = clean & (_told(models, own, folds) > np.quantile(_told(models, chance[0], folds), TRIM))
    return result


def _models(own: Array, chance: Sequence[Array], folds: IntArray, trusted: NDArray[np.bool_]) -> list[Model]:
    """For each fold a model of the others."""
    return [
        _regression(own[trusted & (folds != fold)], np.concatenate([one[folds != fold] for one in chance]))
        for fold in range(FOLDS)
    ]


def _told(models: Sequence[Model], pairs: Array, folds: IntArray) -> Array:
    """Log-odds of being a right pair, each from the model that did not see its fold."""
    scores = np.zeros(len(pairs))
    for fold, model in enumerate(models):
        out = folds == fold
        if out.any():
            scores[out] = model(pairs[out])
    return scores


def _regression(own: Array, chance: Array) -> Model:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    model.fit(np.concatenate([own, chance]), np.repeat([1, 0], [len(own), len(chance)]))
    told: Model = model.decision_function
    return told


def _listened(
    right: Array,
    wrong: Array,
    both: Sides,
    models: Sequence[Model],
    folds: IntArray,
    part: Sequence[Written],
    signals: pd.DataFrame,
) -> tuple[Array, Array, int]:
    """The scores with the language model's say where it has one: a second regression on the first one's score and on what the
    question took off the surprise at the answer. Its chance pairs are those whose answer was read after another's question."""
    place = {row.row: position for position, row in enumerate(part)}
    tokens, alone = signals["answer_tokens"].to_numpy(np.float64), signals["nll_alone"].to_numpy(np.float64)
    given, elsewhere = signals["nll_given_prompt"].to_numpy(np.float64), signals["nll_given_other"].to_numpy(np.float64)
    other = np.array([place.get(int(row), -1) for row in signals["other"]], np.int64)
    know = np.flatnonzero(np.isfinite(given) & np.isfinite(alone))
    crossed = np.flatnonzero(np.isfinite(elsewhere) & np.isfinite(alone) & (other >= 0))
    if len(know) < ENOUGH or len(crossed) < ENOUGH // 2:
        return right, wrong, 0
    base = _told(models, features(both, other[crossed], crossed), folds[crossed])
    own = _surprise(right[know], alone[know], given[know], tokens[know])
    chance = _surprise(base, alone[crossed], elsewhere[crossed], tokens[crossed])
    trusted = right[know] > np.quantile(wrong, TRIM)
    second = [
        _regression(own[trusted & (folds[know] != fold)], chance[folds[crossed] != fold]) for fold in range(FOLDS)
    ]
    scores = right.copy()
    scores[know] = _told(second, own, folds[know])
    return scores, _told(second, chance, folds[crossed]), len(know)


def _surprise(score: Array, alone: Array, given: Array, tokens: Array) -> Array:
    gain = alone - given  # nats a token
    return np.column_stack([score, gain, gain * np.sqrt(tokens), np.log(tokens)])
