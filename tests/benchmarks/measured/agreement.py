"""Agreement and the consensus of answers that are not one of a few labels, beside the medoid, plain votes and crowd-kit.

Chosen on: spans on CrossNER politics train, WNUT17 train and NCBI devel; sets on Snow's affect cut at 20 and on the types of
CrossNER politics dev; ratings on anger and joy; texts on CrowdWSA T1. Quoted on the other parts of these only, and on LEOKA. Of
spans and sets without real annotators these are simulated (tests/annotating.py, the same for choosing and for quoting).
crowd-kit 1.4.2's HRRASA fails on pandas 3 (a series of arrays is cast to float) and is left out; its RASA runs.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from annotating import Sentence, annotate, annotate_sets, answer, read_conll
from measured.row import Row, cost, over_seeds, shared

from pipeline.consensus import rating_merge, set_merge, span_merge, text_merge
from pipeline.consensus.alphas import bootstrap, from_counts, interval
from pipeline.reading.words import same_words, words
from pipeline.tasks import multi_label_classification, spans

PEOPLE = 12
SECTION = "agreement"
Answers = Sequence[Mapping[int, Any]]


def rows(*, quick: bool) -> Iterator[Row]:
    yield from _alpha(20_000 if quick else 100_000)
    yield from _spans(1 if quick else 10)
    yield from _leoka()
    yield from _sets(1 if quick else 10)
    yield from _affect_sets(1 if quick else 20)
    yield from _ratings(1 if quick else 20)
    yield from _texts(1 if quick else 10)


def _alpha(n: int) -> Iterator[Row]:
    """Of n examples with 5 answers each; ours with an interval of 1,000 resamples, crowd-kit's without one."""
    from crowdkit.metrics.data import alpha_krippendorff

    random = np.random.default_rng(0)
    truth = random.integers(0, 5, (n, 1))
    said = np.where(random.random((n, 5)) < 0.7, truth, random.integers(0, 5, (n, 5)))
    counts = np.stack([(said == label).sum(1) for label in range(5)], axis=1)
    with cost() as spent:
        found = interval(from_counts(counts), seed=0)
    assert found is not None
    data = f"{n:,} × 5 simulated answers, 5 labels"
    yield Row(SECTION, data, "assay", "alpha (nominal)", found.value, found.low, found.high, spent.cpu, "with its interval")
    table = pd.DataFrame({"task": np.repeat(np.arange(n), 5), "worker": np.tile(np.arange(5), n), "label": said.ravel()})
    with cost() as spent:
        value = alpha_krippendorff(table)
    yield Row(SECTION, data, "crowd-kit", "alpha (nominal)", float(value), cpu=spent.cpu, note="no interval")


def medoid(given: Mapping[int, Any], similarity: Callable[[Any, Any], float], random: np.random.Generator) -> Any:
    """What the consensus was before: the answer most like the others, ties broken by the seed."""
    said = list(given.values())
    near = [sum(similarity(a, b) for row, b in enumerate(said) if row != at) for at, a in enumerate(said)]
    best = [at for at, value in enumerate(near) if value >= max(near) - 1e-9]
    return said[best[random.integers(len(best))]]


def _f1(truth: Sequence[Any], found: Sequence[Any]) -> tuple[float, np.ndarray]:
    """F1 over all spans (blanks at the ends do not count), and what it is made of: (n, 2)."""
    sets = [(spans.triples(a), spans.triples(b)) for a, b in zip(truth, found, strict=True)]
    parts = np.array([(2 * len(a & b), len(a) + len(b)) for a, b in sets], np.float64)
    return float(parts[:, 0].sum() / parts[:, 1].sum()), parts


def span_ways(answers: Answers, people: int, seed: int) -> Iterator[tuple[str, list[Any], float]]:
    random = np.random.default_rng(seed)
    yield "one annotator", [list(one.values())[random.integers(len(one))] for one in answers], 0.0
    with cost() as spent:
        found = [medoid(one, lambda a, b: spans.similarity(a, b, _no_scheme()), random) for one in answers]
    yield "medoid", found, spent.cpu
    yield "exact spans of most", [_most(one) for one in answers], 0.0
    with cost() as spent:
        known = span_merge.fit(answers, annotators=people)
        found = [span_merge.merge(one, known).answer if len(one) > 1 else next(iter(one.values())) for one in answers]
    yield "assay", found, spent.cpu


def _no_scheme() -> Any:
    return None  # the similarities of spans and of sets do not look at it


def _most(one: Mapping[int, Any]) -> list[dict[str, Any]]:
    counts = Counter(triple for said in one.values() for triple in spans.triples(said))
    kept = [triple for triple, count in counts.items() if 2 * count > len(one)]
    return [{"start": start, "end": end, "labels": [label], "text": ""} for start, end, label in kept]


def _spans(seeds: int) -> Iterator[Row]:
    for name, parts in (
        ("politics test", ("crossner_politics_ai", "politics_test.txt")), ("ai test", ("crossner_politics_ai", "ai_test.txt")),
        ("wnut17 dev", ("wnut17", "emerging.dev.conll")), ("ncbi test", ("ncbi_disease", "test.tsv")),
    ):  # fmt: skip
        file = shared(*parts)
        if file is not None:
            sentences = read_conll(file)[:600]
            for each in (2, 3, 5):
                yield from _span_rows(name, sentences, each, seeds)


def _span_rows(name: str, sentences: Sequence[Sentence], each: int, seeds: int) -> Iterator[Row]:
    truth = [answer(one, one.spans) for one in sentences]
    found: dict[str, list[float]] = {}
    spent: dict[str, float] = {}
    for seed in range(1000, 1000 + seeds):
        for way, said, cpu in span_ways(annotate(sentences, each=each, people=PEOPLE, seed=seed), PEOPLE, seed):
            found.setdefault(way, []).append(_f1(truth, said)[0])
            spent[way] = cpu
    data = f"spans: {name}, {each} of {PEOPLE} simulated annotators"
    for way, values in found.items():
        yield Row(SECTION, data, way, "F1", *over_seeds(values), cpu=spent[way] or None)


def _leoka() -> Iterator[Row]:
    """One of the answers to each text is the truth: the others are put together and held against it."""
    from pipeline.consensus.build import latest_answers
    from pipeline.consensus.truth import truths

    for team in (1, 4):
        annotations = _leoka_annotations(team)
        if annotations is None:
            return
        answers, truth = latest_answers(annotations), truths(annotations)
        people = {who: number for number, who in enumerate(sorted(set(answers["annotator"])))}
        right = dict(zip(truth["annotation_id"], truth["answer"], strict=True))
        others = answers[~answers["annotation_id"].isin(list(right))]
        wanted = truth.set_index("example_id")["answer"]
        groups = [(wanted[example], part) for example, part in others.groupby("example_id") if example in wanted.index]
        parts = [zip(part["annotator"], part["answer"], strict=True) for _, part in groups]
        given = [{people[who]: json.loads(said) for who, said in part} for part in parts]
        gold = [json.loads(one) for one, _ in groups]
        data = f"spans: LEOKA team {team}, {len(gold)} texts, 2 real annotators"
        note = "the third annotator's answer is the truth"
        for way, said, cpu in span_ways(given, len(people), 0):
            value, counted = _f1(gold, said)
            yield Row(SECTION, data, way, "F1", value, *_percentiles(counted), cpu=cpu or None, note=note)


def _leoka_annotations(team: int) -> pd.DataFrame | None:
    from pipeline.label_studio.label_config import read_controls
    from pipeline.sources import parse
    from pipeline.tasks import bind

    file = shared("labelstudio_leoka_ner", f"LEOKA_team_{team}.json")
    if file is None:
        return None
    tasks = json.loads(file.read_text(encoding="utf-8"))
    results = [item for task in tasks for one in task["annotations"] for item in one["result"] if item["type"] == "labels"]
    names = sorted({label for item in results for label in item["value"]["labels"]})
    field = next(key for key, value in tasks[0]["data"].items() if isinstance(value, str))
    labels = "".join(f'<Label value="{name}"/>' for name in names)
    config = f'<View><Text name="text" value="${field}"/><Labels name="label" toName="text">{labels}</Labels></View>'
    return parse(tasks, task=spans, scheme=bind(spans, read_controls(config)), source=file.name, slices=()).annotations


def _percentiles(parts: np.ndarray) -> tuple[float, float]:
    draws = bootstrap(lambda w: (w @ parts[:, 0]) / (w @ parts[:, 1]), np.ones(len(parts)), seed=0)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def set_ways(answers: Answers, people: int, seed: int) -> Iterator[tuple[str, list[Any]]]:
    random = np.random.default_rng(seed)
    yield "one annotator", [list(one.values())[random.integers(len(one))] for one in answers]
    yield "medoid", [medoid(one, jaccard, random) for one in answers]
    counts = [(Counter(label for said in one.values() for label in said), len(one)) for one in answers]
    yield "labels of most", [[label for label, n in c.items() if 2 * n > m] or [c.most_common(1)[0][0]] for c, m in counts]
    known = set_merge.fit(answers, annotators=people)
    yield "assay", [set_merge.merge(one, known).answer for one in answers]


def jaccard(a: Sequence[str], b: Sequence[str]) -> float:
    return multi_label_classification.similarity(a, b, _no_scheme())


def _set_rows(data: str, made: Sequence[tuple[list[Any], Answers, int]]) -> Iterator[Row]:
    found: dict[str, list[float]] = {}
    for seed, (truth, answers, people) in enumerate(made):
        for way, said in set_ways(answers, people, seed):
            near = [jaccard(a, b) for a, b in zip(truth, said, strict=True)]
            found.setdefault(way, []).append(float(np.mean(near)))
    for way, values in found.items():
        yield Row(SECTION, data, way, "Jaccard", *over_seeds(values))


def _sets(seeds: int) -> Iterator[Row]:
    file = shared("crossner_politics_ai", "ai_test.txt")
    if file is None:
        return
    truth = [sorted({label for *_, label in one.spans}) or ["none"] for one in read_conll(file)]
    for each in (2, 3, 5):
        made = [
            (truth, annotate_sets(truth, each=each, people=PEOPLE, seed=seed), PEOPLE) for seed in range(1000, 1000 + seeds)
        ]
        yield from _set_rows(f"sets: types of ai test, {each} of {PEOPLE} simulated annotators", made)


def affect() -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """(one row per headline and worker, the experts' by headline) with a column per dimension, of Snow's affect task."""
    given, gold = [], []
    for name in ("anger", "joy", "sadness", "valence"):
        file = shared("snow2008_rte_affect", f"{name}.standardized.tsv")
        if file is None:
            return None
        table = pd.read_csv(file, sep="\t", skiprows=1, names=["annotation", "who", "example", name, "gold"])
        given.append(table.groupby(["example", "who"])[name].first())
        gold.append(table.groupby("example")["gold"].first().rename(name))
    return pd.concat(given, axis=1).reset_index(), pd.concat(gold, axis=1)


def _affect_sets(seeds: int) -> Iterator[Row]:
    """What a headline makes felt, of those above 30 of 100 (15 for the experts, whose figures are means of several)."""
    loaded = affect()
    if loaded is None:
        return
    table, gold = loaded
    wanted = {example: _felt(row, 15) for example, row in gold.iterrows()}
    people = {who: number for number, who in enumerate(sorted(set(table["who"])))}
    for each in (3, 5, 10):
        made = []
        for seed in range(seeds if each < 10 else 1):
            drawn = _draw(table, each, seed)
            groups = list(drawn.groupby("example"))
            answers = [{people[row["who"]]: _felt(row, 30) for _, row in part.iterrows()} for _, part in groups]
            made.append(([wanted[example] for example, _ in groups], answers, len(people)))
        yield from _set_rows(f"sets: Snow affect as feelings, {each} real annotators", made)


def _felt(row: Any, least: int) -> list[str]:
    found = [name for name in ("anger", "joy", "sadness") if row[name] >= least]
    found += ["good"] * (row["valence"] >= least) + ["bad"] * (row["valence"] <= -least)
    return sorted(found) or ["none"]


def _draw(table: pd.DataFrame, each: int, seed: int) -> pd.DataFrame:
    mixed = table.sample(frac=1, random_state=seed).groupby("example").head(each)
    return mixed.sort_values(["example", "who"])


def _ratings(seeds: int) -> Iterator[Row]:
    loaded = affect()
    if loaded is None:
        return
    table, gold = loaded
    people = {who: number for number, who in enumerate(sorted(set(table["who"])))}
    for name, width in (("sadness", 100.0), ("valence", 200.0)):
        for each in (3, 5, 10):
            found: dict[str, list[float]] = {}
            for seed in range(seeds if each < 10 else 1):
                drawn = _draw(table, each, seed)
                by = drawn.groupby("example")[name]
                wanted = gold.loc[sorted(set(drawn["example"])), name]
                given = [
                    {people[who]: {name: float(value)} for who, value in zip(part["who"], part[name], strict=True)}
                    for _, part in drawn.groupby("example")
                ]
                known = rating_merge.fit(given, annotators=len(people), width=lambda _, width=width: width)
                merged = [rating_merge.merge(one, known).answer[name] for one in given]
                for way, said in (("mean", by.mean().round()), ("median", by.median()), ("assay", merged)):
                    found.setdefault(way, []).append(float(np.corrcoef(said, wanted)[0, 1]))
            data = f"ratings: Snow {name}, {each} real annotators"
            for way, values in found.items():
                yield Row(SECTION, data, way, "r with the experts", *over_seeds(values))


def gleu(said: str, wanted: str) -> float:
    """n-grams of one to four words in common, of the more that either has. Source: Wu et al. (2016), §4."""
    shares = np.zeros(3)
    for n in range(1, 5):
        one, other = (Counter(zip(*(words(text)[at:] for at in range(n)), strict=False)) for text in (said, wanted))
        shares += (one & other).total(), one.total(), other.total()
    return float(shares[0] / max(shares[1:].max(), 1))


def _texts(seeds: int) -> Iterator[Row]:
    file, wanted = (shared("crowdwsa2019_t1t2", f"CrowdWSA2019_T2_{part}.tsv") for part in ("label_anonymous", "gt"))
    if file is None or wanted is None:
        return
    table = pd.read_csv(file, sep="\t", quoting=csv.QUOTE_NONE)
    table.columns = pd.Index(["who", "example", "text"])
    gold = pd.read_csv(wanted, sep="\t", quoting=csv.QUOTE_NONE).set_index("sentence")["trueanswer"].to_dict()
    for each, pasted in ((3, 0.0), (10, 0.0), (5, 0.4)):
        found: dict[str, list[float]] = {}
        spent: dict[str, float] = {}
        for seed in range(1 if each == 10 else seeds):
            drawn = _pasted(_draw(table, each, seed), pasted, seed)
            for way, said, cpu in _text_ways(drawn, seed):
                found.setdefault(way, []).append(float(np.mean([gleu(text, gold[example]) for example, text in said.items()])))
                spent[way] = cpu
        data = f"texts: CrowdWSA T2, {each} real annotators"
        data += f", of whom {pasted:.0%} paste one of two texts" if pasted else ""
        for way, values in found.items():
            yield Row(SECTION, data, way, "GLEU", *over_seeds(values), cpu=spent[way] or None)


def _pasted(drawn: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    people = sorted(set(drawn["who"]))
    lazy = set(np.random.default_rng(seed).choice(people, round(share * len(people)), replace=False).tolist())
    texts = ["very good translation", "i do not know"]
    said = zip(drawn["who"], drawn["text"], strict=True)
    return drawn.assign(text=[texts[people.index(who) % 2] if who in lazy else text for who, text in said])


def _text_ways(drawn: pd.DataFrame, seed: int) -> Iterator[tuple[str, dict[Any, str], float]]:
    from crowdkit.aggregation import TextRASA

    random = np.random.default_rng(seed)
    people = {who: number for number, who in enumerate(sorted(set(drawn["who"])))}
    groups = {
        example: {people[who]: text for who, text in zip(part["who"], part["text"], strict=True)}
        for example, part in drawn.groupby("example")
    }
    yield "one annotator", {example: list(one.values())[random.integers(len(one))] for example, one in groups.items()}, 0.0
    with cost() as spent:
        said = {example: medoid(one, same_words, random) for example, one in groups.items()}
    yield "medoid", said, spent.cpu
    with cost() as spent:
        weight = text_merge.fit(list(groups.values()), annotators=len(people), alike=same_words)
        said = {
            example: text_merge.merge(one, weight, alike=same_words, alternatives=True, seed=(seed,)).answer
            for example, one in groups.items()
        }
    yield "assay", said, spent.cpu
    renamed = drawn.rename(columns={"who": "worker", "example": "task"})[["task", "worker", "text"]]
    encoder = _grams(drawn["text"].tolist())
    with cost() as spent:
        chosen = TextRASA(encoder=encoder).fit_predict(renamed, None)
    yield "crowd-kit RASA", _texts_of(chosen), spent.cpu


def _texts_of(chosen: Any) -> dict[Any, str]:
    column = chosen["text"] if isinstance(chosen, pd.DataFrame) else chosen
    return {example: str(text) for example, text in column.items()}


def _grams(texts: list[str]) -> Callable[[str], Any]:
    """An encoder without weights to download: TF-IDF of letters."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    made = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)).fit(texts)
    return lambda text: made.transform([text]).toarray()[0]
