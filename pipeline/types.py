"""The carriers between stages: tidy tables, and small frozen values.

Ids are Label Studio's. An answer is stored as JSON in the task type's own form (for single-label classification a
JSON string, `"refund"`). Tables are pandas data frames with the columns listed here, in this order, sorted by id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

EXAMPLE_COLUMNS = ("example_id", "data", "text", "group", "split")  # then one column per slice
ANNOTATION_COLUMNS = (
    "annotation_id",
    "example_id",
    "annotator",
    "answer",
    "created_at",
    "updated_at",
    "seconds",
    "ground_truth",
    "cancelled",
    "imported",  # brought in from elsewhere: an import, or an annotator's own queue
)
# distribution: JSON {label: probability}, how careful annotators answer here, "" for a single answer and answers taken as a
# whole. ambiguous: they split by more than the annotators' errors explain.
CONSENSUS_COLUMNS = (
    "example_id", "answer", "confidence", "annotations", "tie", "method", "distribution", "ambiguous",
)  # fmt: skip
ANNOTATOR_COLUMNS = (
    "annotator", "name", "annotations", "quality", "quality_low", "quality_high", "gold", "gold_accuracy",
)  # fmt: skip
REVIEWED_COLUMNS = ("example_id", "answer", "outcome", "asked", "checks", "annotation_id", "annotator", "updated_at")
FINDING_COLUMNS = ("check", "subject", "subject_id", "severity", "flagged", "reason", "suggestion")
VERDICT_COLUMNS = ("example_id", "verdict", "reasons")
QUARANTINE_COLUMNS = ("source", "record_id", "reason", "record")
# Every entry of every result, also of controls that hold no answer; `value` is JSON, the raw entry where not understood.
RESULT_COLUMNS = ("annotation_id", "example_id", "control", "type", "region", "parent", "value", "understood")
# In the meta of a task that compares two responses: which of them ("a" or "b") is shown on the left.
LEFT = "assay_left"
SUBJECTS = ("example", "annotator", "slice", "corpus")
VERDICTS = ("keep", "relabel", "drop")
SPLITS = ("train", "validation", "test")
SUGGESTION_COLUMNS = ("example_id", "answer", "held_back", "pushed_at")

# A slice that took one of these names would hide a column of ours.
RESERVED = frozenset(
    (*EXAMPLE_COLUMNS, "answer", "confidence", "distribution", "verdict", "reasons", "annotators", "annotation_ids", "row_hash")
)

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Control:
    """One control of a label configuration, with the object it is bound to."""

    name: str  # Label Studio's from_name
    to_name: str
    tag: str  # "Choices", "Labels", "TextArea", ...
    field: str  # the data key that the annotator sees, "text" for value="$text"
    labels: tuple[str, ...]  # as results hold them: the alias where there is one
    shows: str = "Text"  # the object's tag: "Text", "HyperText", "Paragraphs", "Chat", "Image", ...
    paths: tuple[tuple[str, ...], ...] = ()  # Taxonomy and nested choices: every node as the path to it
    settings: tuple[tuple[str, str], ...] = ()  # the tag's other attributes as written, sorted by name

    def setting(self, name: str, default: str = "") -> str:
        return dict(self.settings).get(name, default)


@dataclass(frozen=True)
class Scheme:
    """What a task type reads: the controls of a label configuration, and which of them hold the answer."""

    controls: tuple[Control, ...]
    answer: tuple[str, ...]  # names of the controls that hold the answer; the first is the main one
    fields: tuple[str, ...]  # the data fields that make up an example's text, in the order in which they are read

    def named(self, name: str) -> Control | None:
        return next((control for control in self.controls if control.name == name), None)

    @property
    def control(self) -> Control:
        """The main control."""
        return next(control for control in self.controls if control.name == self.answer[0])


@dataclass(frozen=True)
class Item:
    """One entry of an annotation's raw `result`, read.

    value is JSON-able and normalised by type (see `pipeline/reading/results.py`); for what is not understood it is the raw
    entry, untouched. region: Label Studio's id of the entry, "" if it has none; parent: the region it belongs to.
    """

    control: str
    type: str
    value: Any
    region: str = ""
    parent: str = ""
    understood: bool = True


@dataclass(frozen=True)
class Problem:
    """An entry of a raw `result` that cannot be read: `reason` is a clause such as "the span 5-3 ends before it begins"."""

    control: str
    reason: str
    raw: Any


@dataclass(frozen=True)
class Parsed:
    """What a source holds: tables, what could not be read (kept, with its reason), and the scheme in force."""

    examples: pd.DataFrame  # example_id, data, text, group, split (declared, or ""), slices
    annotations: pd.DataFrame
    results: pd.DataFrame
    quarantine: pd.DataFrame
    scheme: Scheme
    users: dict[str, str] = field(default_factory=dict)  # annotator id -> name to show
    left: dict[int, str] = field(default_factory=dict)  # example id -> which response ("a" or "b") was shown on the left
    counts: dict[str, int] = field(default_factory=dict)  # what is neither answer nor fault: drafts, predictions, …


@dataclass(frozen=True)
class Words:
    """What a model that never saw an example's own spans says about each word of its text; m words over all examples.

    row: (m,) position in `Corpus.examples`. start, end: (m,) code points of the text, end exclusive. probabilities: (m, K + 1)
    in [0, 1], summing to 1: the labels in the order of `Corpus.vocabulary`, then "no span"; NaN rows without a consensus.
    """

    row: IntArray
    start: IntArray
    end: IntArray
    probabilities: FloatArray


@dataclass(frozen=True)
class Evidence:
    """What is dear to compute, row by row as in `Corpus.examples`.

    embeddings: (n, d) float32, unit length; zero rows for empty texts.
    probabilities: (n, K) out-of-sample probabilities in [0, 1]; NaN rows where there is no consensus. Of one of K labels they
        sum to 1; where an answer is a set of labels, each is the probability that its label belongs to it.
    neighbours, similarities: (n, k) indices of the nearest other rows and their cosine, best first; -1 where none.
    words: where an answer is spans; written: (n, d) embeddings of what the annotators wrote, zero rows where nothing;
    signals: one row per example, what a small language model says of what was written (see `pipeline/evidence/signals.py`).
        Each is None where answers are of another kind.
    templates: (m, d) embeddings of the sentences of `pipeline/bias/counterfactual.py`, where answers are one of a few labels.
    """

    embeddings: FloatArray
    probabilities: FloatArray
    neighbours: IntArray
    similarities: FloatArray
    words: Words | None = None
    written: FloatArray | None = None
    signals: pd.DataFrame | None = None
    templates: FloatArray | None = None


@dataclass(frozen=True)
class Corpus:
    """The one carrier: what a check may ask about.

    labels: if an answer is exactly one of a few labels, these; else (). vocabulary: the labels that the main control offers, also
    where an answer holds several or marks spans with them; () where answers hold no labels. people: attributes of annotators
    (column annotator, then one per attribute), as the project states them. suggestions: SUGGESTION_COLUMNS, what a model said
    before people answered. left: example id → which response ("a" or "b") was shown on the left, where an order was drawn.
    """

    examples: pd.DataFrame
    annotations: pd.DataFrame  # answered ones only: neither cancelled nor empty
    consensus: pd.DataFrame  # one row per example that has at least one answer
    annotators: pd.DataFrame
    labels: tuple[str, ...]
    slices: tuple[str, ...]
    evidence: Evidence
    seed: int = 0
    task: str = "text_classification"  # the task type's name, see pipeline/tasks
    scheme: Scheme | None = None
    vocabulary: tuple[str, ...] = ()
    people: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"annotator": pd.Series(dtype="str")}))
    suggestions: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(SUGGESTION_COLUMNS)))
    left: Mapping[int, str] = field(default_factory=dict)

    def labelled(self) -> pd.DataFrame:
        """Examples with a consensus: example columns, then `label` (plain text; JSON where the answer is no text),
        `confidence`, `tie` and `row` (the position in `examples` and in the evidence)."""
        import orjson

        rows = self.examples.assign(row=np.arange(len(self.examples)))
        out = rows.merge(self.consensus[["example_id", "answer", "confidence", "tie"]], on="example_id")
        loaded = [(answer, orjson.loads(answer)) for answer in out.pop("answer")]
        out["label"] = [value if isinstance(value, str) else answer for answer, value in loaded]
        return out


@dataclass(frozen=True)
class Interval:
    """A value with its interval, both ends included; `level` is the coverage aimed at."""

    value: float
    low: float
    high: float
    level: float = 0.95

    def as_dict(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high, "level": self.level}


@dataclass(frozen=True)
class Gate:
    """Open only if every expectation passed and no check crashed."""

    name: str
    open: bool
    expectations: list[dict[str, Any]]  # table, expectation, column, observed, allowed, passed, meaning

    @property
    def blocking(self) -> list[dict[str, Any]]:
        return [item for item in self.expectations if not item["passed"]]

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "open": self.open, "expectations": self.expectations}
