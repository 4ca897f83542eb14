"""What answers say, as numbers: whether they hold a label, or the rating they give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pandas as pd
from numpy.typing import NDArray

from pipeline.tasks import task_type
from pipeline.types import Corpus

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Values:
    """names: K labels or ratings, sorted. matrix: (n, K); of labels 1 where the answer holds the label and else 0, of ratings the
    rating, NaN where none was given. shares: whether these are labels, whose mean is a share."""

    names: list[str]
    matrix: Array
    shares: bool


def values(answers: Sequence[Any], task: str) -> Values | None:
    """One row per answer; None where answers hold neither labels nor ratings (what somebody wrote)."""
    kind = task_type(task)
    mentions = [frozenset(kind.mentions(answer)) for answer in answers]
    names = sorted(set().union(*mentions))
    if names:
        number = {name: at for at, name in enumerate(names)}
        matrix = np.zeros((len(answers), len(names)))
        for row, held in enumerate(mentions):
            matrix[row, [number[name] for name in held]] = 1.0
        return Values(names, matrix, shares=True)
    return _ratings(answers)


def _ratings(answers: Sequence[Any]) -> Values | None:
    rows = [answer if isinstance(answer, dict) else {} for answer in answers]
    names = sorted({name for row in rows for name, value in row.items() if _number(value)})
    if not names:
        return None
    given = [[float(row[name]) if _number(row.get(name)) else np.nan for name in names] for row in rows]
    return Values(names, np.array(given, np.float64), shares=False)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def agreed(corpus: Corpus) -> tuple[pd.DataFrame, Values | None]:
    """The examples that have a consensus, by id (so that nothing depends on the order of rows), and what it says: `labelled` of
    the corpus, and its values row by row."""
    table = corpus.labelled().sort_values("example_id", ignore_index=True)
    stored = dict(zip(corpus.consensus["example_id"].tolist(), corpus.consensus["answer"].tolist(), strict=True))
    return table, values([orjson.loads(stored[example]) for example in table["example_id"]], corpus.task)
