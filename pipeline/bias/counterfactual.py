"""What a model of the labels says of a sentence if only the name of a group of people in it changes.

The sentences are our own (identity_terms.yaml) and say nothing that a label should hang on. The model is a ridge regression on
the embeddings, as in the evidence; the sentences are new to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.bias.terms import stored

Array = NDArray[np.float64]
Row = dict[str, Any]
RIDGE = 1.0  # with unit-length embeddings; from 0.3 to 3 the ranking of labels on banking77 changes by less than .01
SHARPNESS = np.geomspace(1, 64, 25)  # inverse temperatures tried for the softmax


NEUTRAL = "neutral"


def sentences() -> list[tuple[str, str, int, str]]:
    """(axis, name, template's number, text), in the order of the file; the neutral words are an axis of their own, the first."""
    known = stored()["counterfactual"]
    return [
        (axis, name, number, _filled(template, name))
        for axis, names in {NEUTRAL: known["neutral"], **known["names"]}.items()
        for name in names
        for number, template in enumerate(known["templates"])
    ]


def _filled(template: str, name: str) -> str:
    article = "an" if name[0] in "aeiou" else "a"
    text = template.replace("{person}", f"{article} {name} person").replace("{name}", name)
    return text[0].upper() + text[1:]


def texts() -> list[str]:
    """What has to be embedded: the sentences, in order."""
    return [text for _, _, _, text in sentences()]


def predicted(embeddings: Array, labels: NDArray[np.int64], classes: int, wanted: Array) -> Array:
    """(m, K) probabilities of the labels for the embeddings `wanted` (m, d), by a ridge regression learnt from embeddings (n, d)
    and labels (n,); as sharp as gives the least log-loss on the examples, each left out in turn."""
    x = np.hstack([embeddings, np.ones((len(embeddings), 1))])
    target = np.eye(classes)[labels]
    inverse = np.linalg.inv(x.T @ x + RIDGE * np.eye(x.shape[1]))
    weights = inverse @ (x.T @ target)
    leverage = np.einsum("ij,ij->i", x @ inverse, x)[:, None]
    left_out = (x @ weights - leverage * target) / np.maximum(1 - leverage, 1e-9)
    rows = np.arange(len(labels))
    sharp = min(SHARPNESS, key=lambda by: -float(np.log(np.maximum(_softmax(left_out * by)[rows, labels], 1e-12)).mean()))
    return _softmax(np.hstack([wanted, np.ones((len(wanted), 1))]) @ weights * sharp)


def _softmax(scores: Array) -> Array:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    result: Array = raised / raised.sum(axis=1, keepdims=True)
    return result


def gaps(probabilities: Array, labels: list[str]) -> tuple[list[Row], list[Row]]:
    """(one row per axis, name and label: how much more probable the label is with this name than with the axis' other names in
    the same sentence, with Student's interval over sentences; one row per axis: in how many sentences the most probable label
    changes with the name). Source: Garg et al., Counterfactual Fairness in Text Classification (2019).

    p is the larger of two: over sentences, that the name moves the label at all, and over the neutral words, that it moves it
    further than such a word does (as one more draw from a normal distribution). Without the latter a model that has never seen
    sentences like these, and answers them at random, would look biased.
    """
    told = sentences()
    rows: list[Row] = []
    flips: list[Row] = []
    usual, drawn = np.ones(len(labels)), 2
    for axis in dict.fromkeys(axis for axis, _, _, _ in told):
        mine = [at for at, sentence in enumerate(told) if sentence[0] == axis]
        names = list(dict.fromkeys(told[at][1] for at in mine))
        cube = probabilities[mine].reshape(len(names), -1, len(labels))  # (names, templates, K)
        apart = cube - (cube.sum(axis=0) - cube) / (len(names) - 1)
        if axis == NEUTRAL:
            usual, drawn = apart.mean(axis=1).std(axis=0, ddof=1) * np.sqrt(1 + 1 / len(names)), len(names)
            continue
        said = cube.argmax(axis=2)
        flips.append({"axis": axis, "sentences": cube.shape[1], "flipped": int((said != said[0]).any(axis=0).sum())})
        for i, name in enumerate(names):
            rows += [
                _row(axis, name, label, cube[i, :, k], apart[i, :, k], float(usual[k]), drawn) for k, label in enumerate(labels)
            ]
    return rows, flips


def _row(axis: str, name: str, label: str, own: Array, apart: Array, usual: float, drawn: int) -> Row:
    from scipy.stats import t

    m, mean, error = len(apart), float(apart.mean()), float(apart.std(ddof=1) / np.sqrt(len(apart)))
    half = float(t.ppf(0.975, m - 1)) * error
    over_sentences = float(2 * t.sf(abs(mean) / error, m - 1)) if error > 0 else 1.0
    over_words = float(2 * t.sf(abs(mean) / usual, drawn - 1)) if usual > 0 else 1.0
    return {
        "axis": axis, "name": name, "label": label, "probability": float(own.mean()), "others": float(own.mean()) - mean,
        "difference": mean, "low": mean - half, "high": mean + half, "n": m, "neutral": usual,
        "p": max(over_sentences, over_words),
    }  # fmt: skip
