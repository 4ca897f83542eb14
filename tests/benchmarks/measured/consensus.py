"""Consensus of several annotators' labels, against gold: accuracy and calibration, beside crowd-kit's and cleanlab's methods.

Methods, rules and numbers were chosen on: the even-numbered half of dog's questions; Snow's affect tasks, made two labels (anger,
joy, sadness above 25, valence above 0); simulated annotators (2, 3, 4, 8, 12 and 30 labels; one accuracy each, or confusions of
their own; with and without hard examples); TREC with simulated annotators for the model's part; other simulated splits than those
measured here for what is ambiguous. They are quoted here on: Snow RTE, the other half of dog's questions, banking77 and SST-2
with simulated annotators. Dog as a whole is given, too, because the literature quotes it.

Each example keeps k of its answers, drawn anew with each seed. Accuracy counts a tie as ours breaks it, by seed. The interval is
Student's over seeds; with all answers there is nothing to draw, so that it is Wilson's over examples. ECE: ten bins of equal
size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from measured.row import Row, cost, over_seeds, read_labelled, shared
from numpy.typing import NDArray

from pipeline.consensus.aggregation import METHODS, decide, solve
from pipeline.consensus.ambiguity import ambiguity
from pipeline.consensus.calibration import calibrate, tempered
from pipeline.consensus.choosing import by_shape, wants_model
from pipeline.consensus.labelled import said_by_somebody
from pipeline.consensus.votes import Votes
from pipeline.statistics import wilson

Index = NDArray[np.int64]
Array = NDArray[np.float64]
Answer = tuple[Index, Array | None]  # label per example, and (n, K) how sure; None where the method does not say
KEPT: tuple[int | tuple[int, int], ...] = (10, 5, 3, 2, (1, 3))
SECTION = "consensus"


@dataclass(frozen=True)
class Crowd:
    name: str
    votes: Votes
    gold: Index


def rows(*, quick: bool) -> Iterator[Row]:
    seeds = 1 if quick else 10
    kept = KEPT[2:3] if quick else KEPT
    for crowd in _real():
        for k in kept:
            yield from _measured(crowd, k, 1 if k == 10 else seeds, quick)
    if quick:
        yield from _with_model("sst2", size=400, seeds=1, kept=(3,))
    else:
        for name in ("sst2", "banking77"):
            yield from _with_model(name, size=2000, seeds=3, kept=(5, 3, 2, (1, 3)))
    yield from _ambiguity(4 if quick else 30)


def _real() -> Iterator[Crowd]:
    file = shared("snow2008_rte_affect", "rte.standardized.tsv")
    assert file is not None, "the shared data is absent"
    table = pd.read_csv(file, sep="\t")
    gold = table.drop_duplicates("orig_id").set_index("orig_id")["gold"]
    yield _crowd("Snow RTE", table["orig_id"], table["!amt_worker_ids"].astype(str), table["response"], gold)
    answers, truth = shared("dog", "dog_answer.csv"), shared("dog", "dog_truth.csv")
    assert answers is not None, "the shared data is absent"
    assert truth is not None, "the shared data is absent"
    table, gold = pd.read_csv(answers), pd.read_csv(truth).set_index("question")["truth"]
    table = table[table["question"].isin(gold.index)]
    odd = np.isin(table["question"], np.sort(gold.index)[1::2])
    for name, part in (("dog, odd half", table[odd]), ("dog, whole", table)):
        yield _crowd(name, part["question"], part["worker"], part["answer"], gold)


def _crowd(name: str, example: Any, annotator: Any, label: Any, gold: pd.Series) -> Crowd:
    ids, example = np.unique(example, return_inverse=True)
    people, annotator = np.unique(annotator, return_inverse=True)
    truth = gold.loc[ids].to_numpy(np.int64)
    label = np.asarray(label, np.int64)
    return Crowd(name, Votes(example, annotator, label, len(ids), len(people), int(max(label.max(), truth.max())) + 1), truth)


def kept(votes: Votes, k: int | tuple[int, int], seed: int) -> Votes:
    """k answers of each example, or between two numbers of them."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(votes.example))
    order = order[np.argsort(votes.example[order], kind="stable")]
    sizes = votes.sizes
    place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    most = np.full(votes.examples, k) if isinstance(k, int) else random.integers(k[0], k[1] + 1, votes.examples)
    rows = np.sort(order[place < most[votes.example[order]]])
    people, annotator = np.unique(votes.annotator[rows], return_inverse=True)
    return replace(votes, example=votes.example[rows], annotator=annotator, label=votes.label[rows], annotators=len(people))


def _measured(crowd: Crowd, k: int | tuple[int, int], seeds: int, quick: bool) -> Iterator[Row]:
    data = f"{crowd.name}, {k if isinstance(k, int) else f'{k[0]}–{k[1]}'} answers"
    drawn = [kept(crowd.votes, k, seed) for seed in range(seeds)]
    slow = {"crowd-kit MACE", "crowd-kit GLAD"}  # 10 to 30 CPU-s a run; the first seeds only
    for method, solver in (_ours() | _peers()).items():
        few = drawn[: 1 if quick else 2] if method in slow else drawn
        with cost() as spent:
            answers = [solver(votes, seed) for seed, votes in enumerate(few)]
        yield from _scores(data, method, answers, [crowd.gold] * len(few), spent.cpu / len(few))
    yield from _with_gold(data, crowd, drawn)


def _scores(data: str, method: str, answers: list[Answer], gold: list[Index], cpu: float, note: str = "") -> Iterator[Row]:
    right = [float((label == truth).mean()) for (label, _), truth in zip(answers, gold, strict=True)]
    value, low, high = over_seeds(right)
    if len(right) == 1:
        one = wilson(right[0] * len(gold[0]), len(gold[0]))
        low, high = one.low, one.high
    yield Row(SECTION, data, method, "accuracy", value, low, high, cpu, note)
    sure = [(label, said, truth) for (label, said), truth in zip(answers, gold, strict=True) if said is not None]
    if sure:
        value, low, high = over_seeds([ece(*one) for one in sure])
        several = len(sure) > 1
        yield Row(SECTION, data, method, "ECE", value, low if several else None, high if several else None, None, note)


def ece(label: Index, said: Array, gold: Index) -> float:
    """Expected calibration error of the confidence in the label, ten bins of equal size. 0 is best."""
    confidence, right = said[np.arange(len(label)), label], label == gold
    parts = np.array_split(np.argsort(confidence, kind="stable"), 10)
    return float(sum(abs(confidence[part].mean() - right[part].mean()) * len(part) for part in parts if len(part)) / len(label))


def _ours() -> dict[str, Callable[[Votes, int], Answer]]:
    def fixed(method: str) -> Callable[[Votes, int], Answer]:
        def answer(votes: Votes, seed: int) -> Answer:
            posterior = solve(votes, method)
            return decide(posterior, np.arange(votes.examples), seed)[0], posterior.probabilities

        return answer

    return {"auto": auto, "auto, uncalibrated": uncalibrated} | {f"Assay {method}": fixed(method) for method in METHODS}


def auto(votes: Votes, seed: int, model: Array | None = None) -> Answer:
    """What `build` does without gold."""
    posterior = solve(votes, by_shape(votes, model is not None).method, model)
    label, _ = decide(said_by_somebody(posterior, votes, np.full(votes.examples, -1)), np.arange(votes.examples), seed)
    return label, tempered(posterior.probabilities, calibrate(votes, posterior).temperature)


def uncalibrated(votes: Votes, seed: int) -> Answer:
    return auto(votes, seed)[0], solve(votes, by_shape(votes).method).probabilities


def _with_gold(data: str, crowd: Crowd, drawn: list[Votes]) -> Iterator[Row]:
    """Calibrated, and the annotators judged, on gold for a tenth of the examples; measured on the others."""
    answers, truth = [], []
    for seed, votes in enumerate(drawn):
        random = np.random.default_rng(seed)
        known = np.where(random.random(votes.examples) < 0.1, crowd.gold, -1)
        method = by_shape(votes).method
        seen = solve(replace(votes, known=known), method)
        heat = calibrate(votes, seen, known, solve(votes, method)).temperature
        label, _ = decide(seen, np.arange(votes.examples), seed)
        rest = known < 0
        answers.append((label[rest], tempered(seen.probabilities, heat)[rest]))
        truth.append(crowd.gold[rest])
    yield from _scores(data, "auto, gold for 10 %", answers, truth, 0.0, "measured on the rest")


def _peers() -> dict[str, Callable[[Votes, int], Answer]]:
    from crowdkit.aggregation import GLAD, MACE, DawidSkene, MajorityVote, OneCoinDawidSkene

    def peer(make: Callable[[int], Any]) -> Callable[[Votes, int], Answer]:
        def answer(votes: Votes, seed: int) -> Answer:
            frame = pd.DataFrame({"task": votes.example, "worker": votes.annotator, "label": votes.label})
            model = make(seed)
            label = model.fit_predict(frame).reindex(range(votes.examples)).to_numpy(np.int64)
            said = getattr(model, "probas_", None)
            if said is None:
                return label, None
            return label, said.reindex(index=range(votes.examples), columns=range(votes.labels)).fillna(0).to_numpy()

        return answer

    return {
        "crowd-kit MajorityVote": peer(lambda seed: MajorityVote()),
        "crowd-kit DawidSkene": peer(lambda seed: DawidSkene(n_iter=50)),
        "crowd-kit OneCoinDawidSkene": peer(lambda seed: OneCoinDawidSkene(n_iter=50)),
        "crowd-kit GLAD": peer(lambda seed: GLAD(n_iter=5)),
        "crowd-kit MACE": peer(lambda seed: MACE(n_restarts=2, n_iter=20, random_state=seed)),
    }


def _with_model(name: str, *, size: int, seeds: int, kept: tuple[int | tuple[int, int], ...]) -> Iterator[Row]:
    """Simulated annotators of accuracy Beta(6, 2), who confuse a label with the three whose texts are nearest."""
    from pipeline.evidence.embeddings import encode
    from pipeline.evidence.encoder import load_encoder

    texts, labels, _, _ = read_labelled(name)
    chosen = np.random.default_rng(0).permutation(len(texts))[:size]
    vectors = encode(load_encoder("minilm", max_length=128, threads=1), [texts[row] for row in chosen])
    gold = np.unique([labels[row] for row in chosen], return_inverse=True)[1].astype(np.int64)
    for k in kept:
        data = f"{name}, {size} texts, {k if isinstance(k, int) else f'{k[0]}–{k[1]}'} simulated answers"
        crowds = [simulated(gold, vectors, k, seed) for seed in range(seeds)]
        said = [_said(votes, vectors, [texts[row] for row in chosen]) for votes in crowds]
        methods: dict[str, Callable[[Votes, int], Answer]] = {
            "auto": lambda votes, seed, said=said: auto(votes, seed, said[seed] if wants_model(votes) else None),
            "auto, without the model": auto,
            "Assay crowdlab": lambda votes, seed, said=said: _named(votes, seed, "crowdlab", said[seed]),
            "Assay majority": lambda votes, seed: _named(votes, seed, "majority", None),
            "Assay mace": lambda votes, seed: _named(votes, seed, "mace", None),
            "cleanlab CROWDLAB, same model": lambda votes, seed, said=said: _cleanlab(votes, said[seed]),
            "auto, an overconfident model": lambda votes, seed, said=said: auto(votes, seed, overconfident(said[seed])),
            "cleanlab CROWDLAB, the same": lambda votes, seed, said=said: _cleanlab(votes, overconfident(said[seed])),
        }
        for method, solver in methods.items():
            with cost() as spent:
                answers = [solver(votes, seed) for seed, votes in enumerate(crowds)]
            yield from _scores(data, method, answers, [gold] * seeds, spent.cpu / seeds)


def simulated(gold: Index, vectors: Any, k: int | tuple[int, int], seed: int, annotators: int = 30) -> Votes:
    random = np.random.default_rng(seed)
    accuracy = random.beta(6, 2, annotators)
    labels = int(gold.max()) + 1
    centres = np.stack([vectors[gold == label].mean(0) for label in range(labels)])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    alike = centres @ centres.T
    np.fill_diagonal(alike, -2)
    near = np.argsort(-alike, axis=1)[:, : min(3, labels - 1)]
    example, annotator, label = [], [], []
    for row, true in enumerate(gold):
        size = k if isinstance(k, int) else int(random.integers(k[0], k[1] + 1))
        for person in random.choice(annotators, size, replace=False):
            example.append(row)
            annotator.append(person)
            label.append(true if random.random() < accuracy[person] else random.choice(near[true]))
    return Votes(np.array(example), np.array(annotator), np.array(label), len(gold), annotators, labels)


def _said(votes: Votes, vectors: Any, texts: list[str]) -> Array:
    from pipeline.evidence.neighbours import nearest
    from pipeline.evidence.probabilities import out_of_sample

    guessed = solve(votes, "shrunk").probabilities.argmax(1)
    found = out_of_sample(vectors, guessed, np.arange(len(guessed)), *nearest(vectors, 15), votes.labels, texts)
    return found.astype(np.float64)


def overconfident(model: Array) -> Array:
    """As sure as a network trained too long: the same answers, at the eighth power."""
    raised = np.maximum(model, 1e-6) ** 8
    return raised / raised.sum(1, keepdims=True)


def _named(votes: Votes, seed: int, method: str, model: Array | None) -> Answer:
    posterior = solve(votes, method, model)
    return decide(posterior, np.arange(votes.examples), seed)[0], posterior.probabilities


def _cleanlab(votes: Votes, model: Array) -> Answer:
    from cleanlab.multiannotator import get_label_quality_multiannotator

    wide = np.full((votes.examples, votes.annotators), np.nan)
    wide[votes.example, votes.annotator] = votes.label
    found = get_label_quality_multiannotator(wide, model, verbose=False)["label_quality"]
    label = found["consensus_label"].to_numpy(np.int64)
    said = np.zeros((votes.examples, votes.labels))
    said[np.arange(len(label)), label] = found["consensus_quality_score"]
    return label, said


def _ambiguity(seeds: int) -> Iterator[Row]:
    """300 examples of 3 labels, 20 annotators of accuracy Beta(30, 3), 10 answers each; a tenth, or none, is truly split."""
    for share in (0.1, 0.0):
        found = [_split(1000 + seed, share) for seed in range(seeds)]
        data = f"simulated, 10 answers, {share:.0%} ambiguous"
        if share:
            recall = [float((called & true).sum() / true.sum()) for called, true in found]
            yield Row(SECTION, data, "ambiguous", "recall", *over_seeds(recall))
        false = [float((called & ~true).sum() / max(called.sum(), 1)) for called, true in found]
        yield Row(SECTION, data, "ambiguous", "share of false ones", *over_seeds(false), note="stated: see ambiguity.LEVEL")


def _split(seed: int, share: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    random = np.random.default_rng(seed)
    truth, accuracy = random.integers(0, 3, 300), random.beta(30, 3, 20)
    true = random.random(300) < share
    other = (truth + random.integers(1, 3, 300)) % 3
    example = np.repeat(np.arange(300), 10)
    annotator = np.concatenate([random.choice(20, 10, replace=False) for _ in range(300)])
    meant = np.where(true[example] & (random.random(3000) < 0.5), other[example], truth[example])
    wrong = (meant + random.integers(1, 3, 3000)) % 3
    label = np.where(random.random(3000) < accuracy[annotator], meant, wrong)
    votes = Votes(example, annotator, label, 300, 20, 3)
    return ambiguity(votes, solve(votes, by_shape(votes).method), 0).ambiguous, true
