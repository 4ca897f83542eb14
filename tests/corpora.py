"""Small corpora built by hand, for tests of the checks. Everything is drawn from the seed given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import pandas as pd
from numpy.typing import NDArray

from pipeline.types import ANNOTATION_COLUMNS, ANNOTATOR_COLUMNS, CONSENSUS_COLUMNS, Corpus, Evidence

LABELS = ("billing", "refund", "delivery", "account", "complaint", "other")
Answer = Callable[[np.random.Generator, str, Mapping[str, str]], str]


def examples_table(
    texts: Sequence[str], slices: Mapping[str, Sequence[str]] | None = None, splits: Sequence[str] | None = None
) -> pd.DataFrame:
    """Examples 1, 2, … with the given texts and slice columns."""
    table = pd.DataFrame(
        {
            "example_id": np.arange(1, len(texts) + 1, dtype=np.int64),
            "data": [orjson.dumps({"text": text}).decode() for text in texts],
            "text": list(texts),
            "group": "",
            "split": list(splits) if splits is not None else "",
        }
    )
    table = table.astype({name: "str" for name in ("data", "text", "group", "split")})
    for name, values in (slices or {}).items():
        table[name] = pd.Series(list(values), dtype="str")
    return table


def annotations_table(rows: Sequence[tuple[int, str, str, float]]) -> pd.DataFrame:
    """rows: (example id, annotator, label, seconds), in the order in which they were given."""
    table = pd.DataFrame(
        {
            "annotation_id": np.arange(1, len(rows) + 1, dtype=np.int64),
            "example_id": np.array([row[0] for row in rows], np.int64),
            "annotator": pd.Series([row[1] for row in rows], dtype="str"),
            "answer": pd.Series([orjson.dumps(row[2]).decode() for row in rows], dtype="str"),
            "created_at": pd.Series([_instant(place) for place in range(len(rows))], dtype="str"),
            "updated_at": pd.Series(["2026-02-01T00:00:00Z"] * len(rows), dtype="str"),
            "seconds": np.array([row[3] for row in rows], np.float64),
            "ground_truth": np.zeros(len(rows), bool),
            "cancelled": np.zeros(len(rows), bool),
            "imported": np.zeros(len(rows), bool),
        }
    )
    return table[list(ANNOTATION_COLUMNS)]


def _instant(second: int) -> str:
    return f"2026-01-{1 + second // 86400:02}T{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}Z"


def corpus(
    examples: pd.DataFrame,
    annotations: pd.DataFrame,
    *,
    labels: Sequence[str] = LABELS,
    slices: Sequence[str] = (),
    consensus: pd.DataFrame | None = None,
    evidence: Evidence | None = None,
    seed: int = 0,
    **rest: Any,
) -> Corpus:
    """A corpus whose consensus and annotators come from the consensus stage, unless a consensus is given (then there are no
    annotators: the stage costs a second), and whose evidence is `bare_evidence`, unless given."""
    from pipeline.consensus.build import build

    annotators = pd.DataFrame(columns=list(ANNOTATOR_COLUMNS))
    empty = pd.DataFrame(columns=list(CONSENSUS_COLUMNS))
    empty = empty.astype({"example_id": "int64", "confidence": "float64", "ambiguous": "bool"})
    if len(annotations) and consensus is None:
        built = build(annotations, examples, labels=tuple(labels), seed=seed)
        empty, annotators = built.consensus, built.annotators
    return Corpus(
        examples=examples,
        annotations=annotations,
        consensus=empty if consensus is None else consensus,
        annotators=annotators,
        labels=tuple(labels),
        slices=tuple(slices),
        evidence=evidence if evidence is not None else bare_evidence(len(examples), len(labels)),
        seed=seed,
        **{"vocabulary": tuple(labels), **rest},
    )


def of_template(name: str, *, people: int = 3, seed: int = 0, slips: float = 0.1) -> tuple[Corpus, dict[str, str]]:
    """The sample of a template, answered by `people` annotators as Label Studio would export it: the first gives the row's
    answer, faults included; the others do, too, but for a share of slips: the answer of another row of the same kind. Returns
    the corpus, with evidence that knows nothing but unit vectors drawn from the words, and example id → planted fault."""
    from pipeline.consensus.build import build
    from pipeline.label_studio.label_config import read_controls
    from pipeline.reading.entries import choice_labels
    from pipeline.sources import parse
    from pipeline.tasks import bind, task_type
    from pipeline.templates import template

    chosen = template(name)
    task = task_type(chosen.task)
    scheme = bind(task, read_controls(chosen.label_config), names=chosen.answer, fields=chosen.fields)
    rows = [row for row in chosen.read_sample() if "answer" in row]
    parsed = parse(
        _answered(rows, task, scheme, chosen.blind, people, seed, slips),
        task=task, scheme=scheme, source="sample", slices=chosen.slices,
    )  # fmt: skip
    classes = task.classes(scheme)
    built = build(
        parsed.annotations, parsed.examples, labels=classes, slices=chosen.slices, seed=seed,
        task=task, scheme=scheme,
    )  # fmt: skip
    examples = parsed.examples.assign(group=[str(row) for row in range(len(parsed.examples))], split="train")
    labels = classes or tuple(choice_labels(scheme.control))
    size = len(classes) if task.EVIDENCE == "classes" else len(labels) if task.EVIDENCE == "sets" else 0
    found = with_probabilities(len(examples), size, bag_of_words(examples["text"]), np.full((len(examples), size), np.nan))
    faults = {str(number): row["fault"] for number, row in enumerate(rows, start=1) if row.get("fault")}
    return Corpus(
        examples=examples, annotations=parsed.annotations[parsed.annotations["answer"] != ""].reset_index(drop=True),
        consensus=built.consensus, annotators=built.annotators, labels=classes, slices=tuple(chosen.slices), evidence=found,
        seed=seed, task=chosen.task, scheme=scheme, vocabulary=labels, left=parsed.left,
    ), faults  # fmt: skip


def _answered(
    rows: Sequence[Mapping[str, Any]], task: Any, scheme: Any, blind: Mapping[str, str], people: int, seed: int, slips: float
) -> list[dict[str, Any]]:
    """Tasks in Label Studio's form with an annotation of each of the people."""
    from flows.setting_up import blinded

    random = np.random.default_rng(seed)
    made = []
    for number, row in enumerate(rows, start=1):
        record = {"id": number, **blinded({"data": row["data"]}, blind)}
        answers = [row.get("given", row["answer"])]
        for _ in range(people - 1):
            other = rows[int(random.integers(len(rows)))]["answer"] if random.random() < slips else row["answer"]
            answers.append(other if task.EVIDENCE not in ("words",) and task.__name__.split(".")[-1] != "chat" else row["answer"])
        record["annotations"] = [
            {
                "id": number * 100 + who, "completed_by": who + 1, "result": task.to_result(answer, scheme, record),
                "created_at": _instant(number * 60 + who), "updated_at": _instant(number * 60 + who), "lead_time": 20.0,
            }
            for who, answer in enumerate(answers)
        ]  # fmt: skip
        made.append(record)
    return made


def bag_of_words(texts: Sequence[str], dimensions: int = 64) -> NDArray[Any]:
    """Unit vectors (n, dimensions) from hashed words: alike where texts share words."""
    import zlib

    points = np.zeros((len(texts), dimensions), np.float32)
    for row, text in enumerate(texts):
        for word in str(text).lower().split():
            points[row, zlib.crc32(word.encode()) % dimensions] += 1
    return (points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def consensus_table(labels: Sequence[str], confidence: Sequence[float] | float = 1.0) -> pd.DataFrame:
    """Consensus of examples 1, 2, … as given."""
    return pd.DataFrame(
        {
            "example_id": np.arange(1, len(labels) + 1, dtype=np.int64),
            "answer": pd.Series([orjson.dumps(label).decode() for label in labels], dtype="str"),
            "confidence": np.broadcast_to(np.asarray(confidence, np.float64), len(labels)),
            "annotations": 3,
            "tie": False,
            "method": "majority",
            "distribution": "",
            "ambiguous": False,
        }
    )


def bare_evidence(n: int, labels: int, dimensions: int = 4, neighbours: int = 3) -> Evidence:
    """Evidence that knows nothing: no neighbours, no probabilities, embeddings on one axis each in turn."""
    embeddings = np.eye(dimensions, dtype=np.float32)[np.arange(n) % dimensions]
    return Evidence(
        embeddings=embeddings,
        probabilities=np.full((n, labels), np.nan, np.float32),
        neighbours=np.full((n, neighbours), -1, np.int64),
        similarities=np.zeros((n, neighbours), np.float32),
    )


def clusters(truth: NDArray[np.int64], labels: int, *, spread: float, seed: int, dimensions: int = 24) -> NDArray[Any]:
    """Unit vectors (n, dimensions) around one random centre per label; the smaller `spread`, the better separated."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(labels, dimensions))
    points = centres[truth] / np.sqrt(dimensions) + spread * random.normal(size=(len(truth), dimensions)) / np.sqrt(dimensions)
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def leave_one_out(embeddings: NDArray[Any], given: NDArray[np.int64], labels: int) -> NDArray[np.float32]:
    """Out-of-sample probabilities (n, labels) by ridge regression with exact leave-one-out, softened by a fixed factor."""
    x = np.column_stack([embeddings.astype(np.float64), np.ones(len(embeddings))])
    y = np.eye(labels)[given]
    inverse = np.linalg.inv(x.T @ x + np.eye(x.shape[1]))
    leverage = np.einsum("ij,jk,ik->i", x, inverse, x)[:, None]
    scores = 8 * (x @ (inverse @ x.T @ y) - leverage * y) / (1 - leverage)
    exponent = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (exponent / exponent.sum(axis=1, keepdims=True)).astype(np.float32)


def with_probabilities(n: int, labels: int, embeddings: NDArray[Any], probabilities: NDArray[Any]) -> Evidence:
    bare = bare_evidence(n, labels)
    return Evidence(embeddings, probabilities.astype(np.float32), bare.neighbours, bare.similarities)


def answer_all(
    truth: Sequence[str], examples: pd.DataFrame, people: Mapping[str, tuple[Answer, float]], *, seed: int, each: int = 0
) -> pd.DataFrame:
    """Annotations of every example by all people (or by `each` of them, drawn anew for each example).

    people: name → (answer(random, true label, the example's row), median seconds).
    """
    random = np.random.default_rng(seed)
    names, rows = list(people), []
    for row, true in zip(examples.to_dict("records"), truth, strict=True):
        chosen = names if not each else [names[i] for i in sorted(random.permutation(len(names))[:each])]
        for name in chosen:
            answer, seconds = people[name]
            rows.append((row["example_id"], name, answer(random, true, row), float(seconds * random.lognormal(0, 0.4))))
    return annotations_table(rows)


def careful(accuracy: float, labels: Sequence[str] = LABELS) -> Answer:
    """Right with the given probability, else any other label."""

    def answer(random: np.random.Generator, true: str, row: Mapping[str, str]) -> str:
        others = [label for label in labels if label != true]
        return true if random.random() < accuracy or not others else str(random.choice(others))

    return answer


def confuses(given: str, instead_of: str, rate: float, accuracy: float, labels: Sequence[str] = LABELS) -> Answer:
    """Gives `given` instead of one other label at the given rate, and is careful otherwise."""
    usual = careful(accuracy, labels)

    def answer(random: np.random.Generator, true: str, row: Mapping[str, str]) -> str:
        return given if true == instead_of and random.random() < rate else usual(random, true, row)

    return answer


def harsher(label: str, column: str, group: str, rate: float, accuracy: float, labels: Sequence[str] = LABELS) -> Answer:
    """Gives `label` at the given rate whatever is true, where the slice column holds the group."""
    usual = careful(accuracy, labels)

    def answer(random: np.random.Generator, true: str, row: Mapping[str, str]) -> str:
        return label if row[column] == group and random.random() < rate else usual(random, true, row)

    return answer
