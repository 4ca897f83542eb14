"""What a model that never saw an example's own spans says about each word of its text.

Ridge regression on frozen layers of the encoder and on what the word and its neighbours are (`word_ridge.py`), then a softmax
over its scores for the word and those beside it (`word_softmax.py`), both in folds of whole groups. The second learns from
scores of other groups' words, which have seen this group's labels, one of many; a word's own scores and weights have not.

Measured with 10 % of the sentences given one wrong span (average precision of the worst word, sentences): CrossNER AI .64, WNUT
2017's development part .60; five-fold logistic regression on the same vectors, projected, .52 and .45.

10,000 sentences of 27 words: 135 CPU-s, 23 when the vectors are in the cache; 1.3 GB of memory, 300 MB of cache.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.evidence.segmentation import words_of
from pipeline.evidence.word_embeddings import Vectors, word_vectors
from pipeline.evidence.word_features import beside, hashed_features
from pipeline.evidence.word_ridge import Table, left_out_scores
from pipeline.evidence.word_softmax import left_out_softmax
from pipeline.store import Store
from pipeline.types import FloatArray, IntArray, Words

FOLDS = 10  # as many leave nine tenths to learn from

Span = Mapping[str, Any]  # start, end, labels, text: see pipeline/tasks/spans.py
Progress = Callable[[int, int], None]


def word_evidence(
    store: Store,
    model: str,
    texts: Sequence[str],
    answers: Sequence[Sequence[Span] | None],
    groups: IntArray,
    labels: Sequence[str],
    *,
    max_length: int = 128,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> Words | None:
    """One row per word of `words_of`, text by text. answers: the consensus' spans, None where there is no consensus. groups:
    texts of one group do not vouch for each other. None if the model's tokenizer cannot say where its pieces lie.

    NaN where there is no consensus, where a text holds a span with none of the `labels`, and everywhere if fewer than two groups
    are known.
    """
    vectors = word_vectors(store, model, texts, max_length=max_length, progress=progress)
    if vectors is None:
        return None
    places = [words_of(text) for text in texts]
    row = np.repeat(np.arange(len(texts)), [len(words) for words in places]).astype(np.int64)
    where = np.concatenate([np.zeros((0, 2), np.int64), *places])
    targets = [_targets(words, answer, labels) for words, answer in zip(places, answers, strict=True)]
    target = np.concatenate([np.zeros(0, np.int64), *targets])
    probabilities = np.full((len(row), len(labels) + 1), np.nan, np.float32)
    known = np.flatnonzero(target >= 0)
    names, group = np.unique(groups[row[known]], return_inverse=True)
    if labels and len(names) > 1:
        fold = (np.random.default_rng(seed).permutation(len(names)) % FOLDS)[group]
        words = [texts[text][start:end] for text, (start, end) in zip(row[known], where[known], strict=True)]
        columns, signs = hashed_features(words, row[known])
        together = _together(vectors, known)
        del vectors  # 1.2 KB a word: not twice
        table = Table(together, columns, signs, target[known], fold)
        probabilities[known] = _left_out(table, row[known], len(labels) + 1)
    return Words(row, where[:, 0].copy(), where[:, 1].copy(), probabilities)


def _left_out(table: Table, row: IntArray, classes: int) -> FloatArray:
    scores = left_out_scores(table, classes)
    around = np.hstack([scores, beside(scores, row, -1), beside(scores, row, 1)])
    return left_out_softmax(around, table.target, table.fold, classes)


def _together(vectors: Sequence[Vectors], known: IntArray) -> Vectors:
    small, scale = np.concatenate([part.small for part in vectors]), np.concatenate([part.scale for part in vectors])
    return Vectors(small, scale) if len(known) == len(small) else Vectors(small[known], scale[known])


def _targets(words: IntArray, answer: Sequence[Span] | None, labels: Sequence[str]) -> IntArray:
    """(m,) index of the label of each word, len(labels) for none; -1 throughout where it is not known.

    A word that a span touches has its label. Where spans lie over each other the shortest, the innermost, counts; of a span's
    several labels the first of those that are known.
    """
    if answer is None:
        return np.full(len(words), -1, np.int64)
    numbers = {label: number for number, label in enumerate(labels)}
    result = np.full(len(words), len(labels), np.int64)
    for span in sorted(answer, key=lambda span: span["start"] - span["end"]):
        known = [numbers[label] for label in span["labels"] if label in numbers]
        if not known:
            return np.full(len(words), -1, np.int64)
        result[(words[:, 0] < span["end"]) & (words[:, 1] > span["start"])] = known[0]
    return result
