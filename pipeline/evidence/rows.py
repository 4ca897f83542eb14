"""A corpus with its rows in the order of their ids, so that no result hangs on the order in which they came."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.types import Corpus, Evidence, FloatArray, IntArray


def by_id(corpus: Corpus) -> Corpus:
    """The same corpus, its examples sorted by id and the rows of its evidence with them (of `words`, the numbers of the rows)."""
    ids = corpus.examples["example_id"].to_numpy()
    if (ids[1:] >= ids[:-1]).all():
        return corpus
    order = np.argsort(ids, kind="stable")
    examples = corpus.examples.iloc[order].reset_index(drop=True)
    return replace(corpus, examples=examples, evidence=_moved(corpus.evidence, order))


def _moved(given: Evidence, order: IntArray) -> Evidence:
    place = np.argsort(order)
    near = given.neighbours[order]
    return Evidence(
        embeddings=given.embeddings[order],
        probabilities=given.probabilities[order],
        neighbours=np.where(near >= 0, place[near], -1).astype(np.int64),
        similarities=given.similarities[order],
        words=None if given.words is None else replace(given.words, row=place[given.words.row]),
        written=_rows(given.written, order),
        signals=None if given.signals is None else given.signals.iloc[order].reset_index(drop=True),
    )


def _rows(values: FloatArray | None, order: IntArray) -> FloatArray | None:
    return None if values is None else values[order]
