"""What the annotators check finds about people, and how often it names somebody for nothing.

Simulated teams (tests/teams.py). Methods and thresholds were chosen on its generator "logistic" with seeds below 100,000; what is
printed here comes from its generator "mixed" with seeds above: other difficulties, other slips, skewed labels. Three things were
chosen after a look at what is printed: that spam does not count as what the others say (after the rows on constant answers of
three people), circles (after HS-Brexit), and how far off is unusual among many raters (after POPQUORN); their rows show
that these work, not how well elsewhere. Snow RTE, dog, MD-Agreement and the translations had no part in any choice.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import orjson
import pandas as pd
import teams
from measured.row import Row, cost, shared
from teams import Team, corpus_of, team

from pipeline.consensus.build import build
from pipeline.statistics import wilson
from pipeline.types import SUGGESTION_COLUMNS, Corpus, Evidence, Scheme
from validators.annotators import annotators

SECTION = "annotators"
QUOTED, CHOSEN = 100_000, 0  # first seeds
SHAPES: tuple[dict[str, int], ...] = (
    {"people": 3, "n": 300, "labels": 3}, {"people": 5, "n": 200, "labels": 2}, {"people": 5, "n": 400, "labels": 6},
    {"people": 10, "n": 300, "labels": 4, "each": 3}, {"people": 12, "n": 300, "labels": 3, "each": 6},
    {"people": 30, "n": 400, "labels": 5, "each": 5}, {"people": 2, "n": 200, "labels": 3}, {"people": 8, "n": 500, "labels": 10},
    {"people": 60, "n": 300, "labels": 2, "each": 4}, {"people": 6, "n": 60, "labels": 2},
)  # fmt: skip
OF_SKILL = {"agreement", "confusions", "gold", "speed"}  # what a team of uneven skill may rightly be told


def rows(*, quick: bool) -> Iterator[Row]:
    yield from _false_alarms("mixed", QUOTED, 20 if quick else 300)
    yield from _power("mixed", QUOTED, 4 if quick else 40)
    yield from _real()
    yield from _speed(10_000 if quick else 100_000)


def named(corpus: Corpus) -> list[tuple[str, str]]:
    """(annotator, for what) of everybody who is named."""
    return [(word["annotator"], word["about"]) for word in annotators.run(corpus).facts["words"]]


def _false_alarms(kind: str, first: int, runs: int) -> Iterator[Row]:
    families: list[tuple[str, Callable[[int], Corpus], set[str]]] = [
        ("labels, equal skill", lambda run: _equal(kind, first + run), set()),
        ("labels, skill from .65 to .97", lambda run: _uneven(kind, first + 10_000 + run), OF_SKILL),
        ("sets, spans and ratings, equal skill", lambda run: _other_forms(kind, first + 20_000 + run), set()),
    ]
    for data, make, allowed in families:
        with cost() as spent:
            found = [[about for _, about in named(make(run)) if about not in allowed] for run in range(runs)]
        hits = sum(bool(one) for one in found)
        why = ", ".join(f"{name} {count}" for name, count in Counter(name for one in found for name in set(one)).items())
        interval = wilson(hits, runs)
        note = f"{runs} teams of 2 to 60" + (f"; for {why}" if why else "")
        ends = (interval.value, interval.low, interval.high)
        yield Row(SECTION, data, "annotators", "teams with anybody named", *ends, spent.cpu, note)


def _equal(kind: str, seed: int) -> Corpus:
    random, shape = np.random.default_rng(seed), SHAPES[seed % len(SHAPES)]
    made = team(seed, accuracy=float(random.choice([0.7, 0.8, 0.9, 0.95])), kind=kind, **shape)
    if seed % 3 == 0:
        made = teams.suggestions(made, seed, 0.8, [0.4] * shape["people"])
    region = random.choice(["north", "south", "east"], shape["n"]).tolist()
    return corpus_of(made, gold=40 * (seed % 2), slices={"region": region})


def _uneven(kind: str, seed: int) -> Corpus:
    random, shape = np.random.default_rng(seed), SHAPES[seed % len(SHAPES)]
    made = team(seed, accuracy=random.uniform(0.65, 0.97, shape["people"]).tolist(), kind=kind, **shape)
    return corpus_of(teams.suggestions(made, seed, 0.8, [0.4] * shape["people"]) if seed % 2 else made, gold=40)


def _other_forms(kind: str, seed: int) -> Corpus:
    shape = SHAPES[seed % len(SHAPES)]
    task = ("multi_label_classification", "spans", "response_rating")[seed % 3]
    if task == "response_rating":
        return corpus_of(teams.raters(seed, people=shape["people"], n=shape["n"]), task=task)
    return corpus_of(team(seed, kind=kind, **{**shape, "labels": 8}), gold=40 * (seed % 2), task=task)


def _power(kind: str, first: int, runs: int) -> Iterator[Row]:
    for data, about, make in _planted(kind):
        with cost() as spent:
            found = [named(make(first + 50_000 + run)) for run in range(runs)]
        hits = sum(("person 0", about) in one for one in found)
        others = sum(any(who not in ("person 0", "person 1") for who, _ in one) for one in found)
        interval = wilson(hits, runs)
        note = f"{runs} runs; somebody else named in {others}"
        yield Row(SECTION, data, "annotators", f"named for {about}", interval.value, interval.low, interval.high, spent.cpu, note)


def _planted(kind: str) -> list[tuple[str, str, Callable[[int], Corpus]]]:
    def of(plant: Callable[[Team, int], Team], **shape: Any) -> Callable[[int], Corpus]:
        task, gold = shape.pop("task", "text_classification"), shape.pop("gold", 0)
        return lambda seed: corpus_of(plant(team(seed, kind=kind, **shape), seed), gold=gold, task=task)

    def copies(share: float) -> Callable[[Team, int], Team]:
        return lambda made, seed: teams.copier(made, seed, share)

    def spams(pattern: str) -> Callable[[Team, int], Team]:
        return lambda made, seed: teams.spammer(made, seed, pattern)

    def drifts(before: float, after: float) -> Callable[[Team, int], Team]:
        return lambda made, seed: teams.drifter(made, seed, after, before)

    five = {"people": 5, "labels": 4}
    sets = {"people": 5, "labels": 8, "task": "multi_label_classification"}
    return [
        ("copies 30 % of 200, 5 people", "copying", of(copies(0.3), n=200, **five)),
        ("copies 30 % of 600, 5 people", "copying", of(copies(0.3), n=600, **five)),
        ("copies 60 % of 200, 5 people", "copying", of(copies(0.6), n=200, **five)),
        ("copies 60 % of 200, 8 people, 20 labels", "copying", of(copies(0.6), n=200, people=8, labels=20)),
        ("copies 60 % of 200 sets, 5 people", "copying", of(copies(0.6), n=200, **sets)),
        ("follows .8 of shown suggestions (others .2), 300, 5 people", "suggestions", of(_follows(0.8), n=300, **five)),
        ("follows .6 of shown suggestions (others .2), 300, 5 people", "suggestions", of(_follows(0.6), n=300, **five)),
        ("from .9 to .7 half-way over 300, 3 people", "drift", of(drifts(0.9, 0.7), n=300, people=3, labels=4, accuracy=0.9)),
        ("from .9 to .7 half-way over 300, 5 people", "drift", of(drifts(0.9, 0.7), n=300, accuracy=0.9, **five)),
        ("from .9 to .6 half-way over 300 sets, 5 people", "drift", of(drifts(0.9, 0.6), n=300, accuracy=0.9, **sets)),
        ("says one label to 30 % in the second half of 300", "new_habits", of(_fond(0.3), n=300, **five)),
        *((f"{pattern}, 100 answers, {people} people", "spam", of(spams(pattern), n=100, people=people, labels=4))
          for pattern in ("random", "constant", "cycle") for people in (3, 5)),
        ("random, 100 sets, 5 people", "spam", of(spams("random"), n=100, **sets)),
        (".60 on 60 gold items (others .85)", "gold", of(drifts(0.6, 0.6), n=200, gold=60, **five)),
        ("half a star stricter, 200 ratings, 5 people", "scales", lambda seed: _rated(seed, shifts=[-0.5])),
        ("two of five stars only, 200 ratings, 5 people", "scales", lambda seed: _rated(seed, narrow=0)),
    ]  # fmt: skip


def _rated(seed: int, **fault: Any) -> Corpus:
    return corpus_of(teams.raters(seed, **fault), task="response_rating")


def _follows(share: float) -> Callable[[Team, int], Team]:
    return lambda made, seed: teams.suggestions(made, seed, 0.8, [share, *[0.2] * (made.said.shape[1] - 1)])


def _fond(share: float) -> Callable[[Team, int], Team]:
    return lambda made, seed: teams.newly_fond(made, seed, int(np.bincount(made.truth).argmin()), share)


# --- real people -----------------------------------------------------------------------------------------------------


def _real() -> Iterator[Row]:
    for data, read in (("Snow RTE", _rte), ("dog", _dog)):
        found = read()
        if found is not None:
            yield from _against_truth(data, *found)
    for data, folder, files in (("HS-Brexit", "hsbrexit", "HS-Brexit"), ("MD-Agreement", "mdagreement", "MD-Agreement")):
        answers = _le_wi_di(folder, files)
        if answers:
            yield _without_truth(data, answers)
    for number in (1, 2):
        found_texts = _translations(number)
        if found_texts is not None:
            yield _without_truth(f"CrowdWSA T{number} (translations)", found_texts, task="text_generation")
    stars = _stars()
    if stars:
        yield _without_truth("POPQUORN (ratings)", stars, task="response_rating")


def real_corpus(answers: list[tuple[str, str, Any]], task: str = "text_classification") -> Corpus:
    """From (item, person, answer), in the order of the file."""
    items = {name: number for number, name in enumerate(sorted({item for item, _, _ in answers}), start=1)}
    table = pd.DataFrame(
        {
            "annotation_id": np.arange(1, len(answers) + 1), "example_id": [items[item] for item, _, _ in answers],
            "annotator": [who for _, who, _ in answers], "answer": [orjson.dumps(answer).decode() for _, _, answer in answers],
            "created_at": "", "updated_at": "", "seconds": np.nan, "ground_truth": False, "cancelled": False, "imported": False,
        }
    ).drop_duplicates(["example_id", "annotator"], ignore_index=True)
    labels = tuple(sorted({answer for _, _, answer in answers})) if task == "text_classification" else ()
    n = len(items)
    examples = pd.DataFrame({"example_id": np.arange(1, n + 1), "data": "{}", "text": "", "group": "", "split": ""})
    built = build(table, examples, labels=labels) if labels else None
    bare = np.zeros((n, 1), np.float32)
    none = pd.DataFrame()
    return Corpus(
        examples, table, built.consensus if built else none, built.annotators if built else none, labels, (),
        Evidence(bare, bare, np.zeros((n, 0), np.int64), bare[:, :0]), task=task, scheme=Scheme((), (), ()), vocabulary=labels,
        suggestions=pd.DataFrame(columns=list(SUGGESTION_COLUMNS)),
    )  # fmt: skip


def _against_truth(data: str, answers: list[tuple[str, str, str]], truth: dict[str, str]) -> Iterator[Row]:
    from scipy.stats import spearmanr

    made = real_corpus(answers)
    with cost() as spent:
        facts = annotators.run(made).facts
    right: dict[str, list[bool]] = {}
    for item, who, answer in answers:
        if item in truth:
            right.setdefault(who, []).append(answer == truth[item])
    people = {word["annotator"] for word in facts["words"]}
    why = Counter(word["about"] for word in facts["words"])
    note = ", ".join(f"{name} {count}" for name, count in sorted(why.items())) or "nobody named"
    for method, some in (("named", people), ("the rest", set(right) - people)):
        hits = [hit for who in some for hit in right.get(who, [])]
        if hits:
            interval = wilson(sum(hits), len(hits))
            told = f"{len(some)} people; {note}" if method == "named" else f"{len(some)} people"
            yield Row(SECTION, data, method, "true accuracy", interval.value, interval.low, interval.high, spent.cpu, told)
    quality = made.annotators.set_index("annotator")["quality"].dropna()
    agreed = {row["annotator"]: row["rate"] for row in facts["agreement"]}
    for method, scores in (("quality", quality.to_dict()), ("agreement with the others", agreed)):
        both = sorted(set(scores) & set(right))
        rho = float(spearmanr([scores[who] for who in both], [np.mean(right[who]) for who in both]).statistic)
        note = f"{len(both)} people; .815 by Dawid–Skene on RTE"
        yield Row(SECTION, data, method, "Spearman with true accuracy", rho, note=note)


def _without_truth(data: str, answers: list[tuple[str, str, Any]], task: str = "text_classification") -> Row:
    made = real_corpus(answers, task)
    with cost() as spent:
        facts = annotators.run(made).facts
    people = {word["annotator"] for word in facts["words"]}
    why = Counter(word["about"] for word in facts["words"])
    total = len({who for _, who, _ in answers})
    note = f"{len(people)} of {total}; {', '.join(f'{name} {count}' for name, count in sorted(why.items()))}"
    return Row(SECTION, data, "annotators", "share named", len(people) / total, cpu=spent.cpu, note=note)


def _lines(*parts: str, delimiter: str = "\t") -> Iterable[dict[str, str]]:
    file = shared(*parts)
    return [] if file is None else list(csv.DictReader(file.open(encoding="utf-8"), delimiter=delimiter))


def _rte() -> tuple[list[tuple[str, str, str]], dict[str, str]] | None:
    lines = _lines("snow2008_rte_affect", "rte.standardized.tsv")
    answers = [(line["orig_id"], line["!amt_worker_ids"], line["response"]) for line in lines]
    return (answers, {line["orig_id"]: line["gold"] for line in lines}) if answers else None


def _dog() -> tuple[list[tuple[str, str, str]], dict[str, str]] | None:
    answers = [(line["question"], line["worker"], line["answer"]) for line in _lines("dog", "dog_answer.csv", delimiter=",")]
    truth = {line["question"]: line["truth"] for line in _lines("dog", "dog_truth.csv", delimiter=",")}
    return (answers, truth) if answers else None


def _le_wi_di(folder: str, name: str) -> list[tuple[str, str, str]]:
    found = []
    for part in ("train", "dev", "test"):
        file = shared(folder, f"{name}_{part}.json")
        for key, item in (json.loads(file.read_text(encoding="utf-8")) if file else {}).items():
            given = zip(item["annotators"].split(","), item["annotations"].split(","), strict=True)
            found += [(f"{part} {key}", who, answer) for who, answer in given]
    return found


def _translations(number: int) -> list[tuple[str, str, str]] | None:
    lines = _lines("crowdwsa2019_t1t2", f"CrowdWSA2019_T{number}_label_anonymous.tsv")
    return [(line["sentence"], line["worker"], line["workeranswer"]) for line in lines] or None


def _stars() -> list[tuple[str, str, dict[str, float]]]:
    lines = _lines("popquorn", "popquorn_offensiveness.csv", delimiter=",")
    return [(line["instance_id"], line["user_id"], {"offensiveness": float(line["offensiveness"])}) for line in lines]


def _speed(answers: int) -> Iterator[Row]:
    made = corpus_of(team(QUOTED, people=500, n=answers // 10, labels=8, each=10, kind="mixed"))
    with cost() as spent:
        annotators.run(made)
    yield Row(SECTION, f"{answers:,} labels of 500 people", "annotators", "CPU-s", spent.cpu, cpu=spent.cpu)
    made = corpus_of(team(QUOTED, people=500, n=answers // 10, labels=8, each=10, kind="mixed"), task="spans")
    with cost() as spent:
        annotators.run(made)
    yield Row(SECTION, f"{answers:,} answers with spans of 500 people", "annotators", "CPU-s", spent.cpu, cpu=spent.cpu)
