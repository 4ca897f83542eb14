"""Copies, near-copies, texts inside texts, paraphrases and contradictions: what is found, at what cost, beside the peers.

Thresholds were chosen elsewhere: the Jaccard of 0.7 on banking77 with 2,000 edits (see pipeline/evidence/duplicates.py), the
yardstick of meaning by reading pairs of TREC and banking77. Quoted are invented texts with planted edits, the two CrowdWSA sets
(ten workers' translations of each sentence: pairs of one sentence are true) and the paraphrase set (question pairs with four
people's ratings), none of which was used for choosing. Counts of leaks on banking77, TREC and SST-2 are what is there, not a
score.

A reported pair is right if it was planted or if its true Jaccard (character 5-grams, all methods alike) reaches the threshold.
datasketch and rensa get the same shingles; what they propose is reported as it comes, which is how they are used. semhash gets
our embeddings: its own encoder would have to be downloaded.
"""

from __future__ import annotations

import csv
import json
import os
import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from measured.row import Row, cost, over_seeds, planted_labels, read_labelled, shared
from planted import EDITS, corpus_of

from pipeline.evidence.duplicates import THRESHOLD, exact_groups, near_pairs, normalise
from pipeline.evidence.minhash import BANDS, PERMUTATIONS, jaccard, padded, shingles
from pipeline.types import Corpus, Evidence

Pairs = set[tuple[int, int]]
SECTION = "duplicates"
WORDS = ["".join(random.Random(seed).choices("abcdefghiklmnoprstuvw", k=3 + seed % 6)) for seed in range(3000)]


def rows(*, quick: bool) -> Iterator[Row]:
    seeds = range(1 if quick else 3)
    yield from _planted_edits(5_000 if quick else 100_000, seeds)
    yield from _contained(400 if quick else 2_000, seeds)
    yield from _leaks(("trec",) if quick else ("banking77", "trec", "sst2"))
    yield from _paraphrases(("T2",) if quick else ("T1", "T2"))
    if not quick:
        yield from _rated_pairs()
        yield from _banking_by_meaning()
    yield from _contradictions("trec" if quick else "banking77", seeds)


# --- planted edits ---------------------------------------------------------------------------------------------------


def _invented(size: int, seed: int) -> tuple[list[str], dict[str, Pairs]]:
    """`size` texts of 16 words, a fifth of them copies with one word replaced, and 6 % copies with one of the other edits."""
    draw = random.Random(seed)
    edited, other = size // 5, [name for name in EDITS if name != "other_word"]
    originals = size - edited - 12 * size // 1000 * len(other)
    texts = [" ".join(draw.choices(WORDS, k=16)) for _ in range(originals)]
    planted: dict[str, Pairs] = {"other word": set(), **{name.replace("_", " "): set() for name in other}}
    for number, row in enumerate(draw.sample(range(originals), size - originals)):
        name = "other_word" if number < edited else other[number % len(other)]
        planted[name.replace("_", " ")].add((row, len(texts)))
        words = texts[row].split()
        words[draw.randrange(16)] = draw.choice(WORDS)
        texts.append(" ".join(words) if name == "other_word" else EDITS[name](texts[row], draw))
    return texts, planted


def _ours(texts: list[str]) -> Pairs:
    return {pair[:2] for pair in near_pairs(texts)} | _equal(texts)


def _equal(texts: list[str]) -> Pairs:
    return {(first, row) for row, first in enumerate(exact_groups(texts).tolist()) if first != row}


def _grams(texts: list[str]) -> list[list[str]]:
    shaped = [padded(normalise(text)) for text in texts]
    return [[text[start : start + 5] for start in range(len(text) - 4)] for text in shaped]


def _rensa(texts: list[str]) -> Pairs:
    from rensa import RMinHash, RMinHashLSH

    sketches = RMinHash.from_token_sets(_grams(texts), PERMUTATIONS, 42)
    index, found = RMinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS, num_bands=BANDS), set()
    for row, sketch in enumerate(sketches):
        found |= {(other, row) for other in index.query(sketch)}
        index.insert(row, sketch)
    return found


def _datasketch(texts: list[str]) -> Pairs:
    from datasketch import MinHash, MinHashLSH

    index, found = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS), set()
    tokens = [[gram.encode() for gram in grams] for grams in _grams(texts)]
    for row, sketch in enumerate(MinHash.bulk(tokens, num_perm=PERMUTATIONS)):
        found |= {(other, row) for other in index.query(sketch)}
        index.insert(row, sketch)
    return found


METHODS: dict[str, Callable[[list[str]], Pairs]] = {
    "Assay": _ours, "rensa": _rensa, "datasketch": _datasketch, "equal when normalised": _equal,
}  # fmt: skip


def _planted_edits(size: int, seeds: range) -> Iterator[Row]:
    data = f"{size:,} invented texts, 20 % one-word edits, 6 % others"
    found: dict[str, list[dict[str, float]]] = {name: [] for name in METHODS}
    for seed in seeds:
        texts, planted = _invented(size, seed)
        everything = set().union(*planted.values())
        for name, method in METHODS.items():
            with cost() as spent:
                pairs = method(texts)
            right = len(pairs & everything) + sum(_alike(texts, *pair) for pair in pairs - everything)
            scores = {"recall": len(pairs & everything) / len(everything), "precision": right / max(len(pairs), 1)}
            kinds = {kind: len(pairs & part) / len(part) for kind, part in planted.items()}
            found[name].append({**scores, "cpu": spent.cpu, **kinds})
    for name, runs in found.items():
        cpu = float(np.mean([run["cpu"] for run in runs]))
        kinds = {kind: float(np.mean([run[kind] for run in runs])) for kind in planted}
        notes = {"recall": ", ".join(f"{kind} {value:.3f}" for kind, value in kinds.items()), "precision": ""}
        for measure, note in notes.items():
            yield Row(SECTION, data, name, measure, *over_seeds([run[measure] for run in runs]), cpu=cpu, note=note)


def _alike(texts: list[str], one: int, two: int) -> bool:
    a, b = normalise(texts[one]), normalise(texts[two])
    return a == b or jaccard(shingles(a), shingles(b)) >= THRESHOLD


# --- one text inside another -----------------------------------------------------------------------------------------


def _contained(size: int, seeds: range) -> Iterator[Row]:
    """`size` texts of 13 to 40 words, a tenth of them inside one of 5 × `size` texts of 200 words, half of these with a typo."""
    data = f"{size:,} texts, a tenth of them inside one of {5 * size:,} longer ones"
    found: dict[str, list[tuple[float, float, float]]] = {}
    for seed in seeds:
        draw = random.Random(seed)
        short = [" ".join(draw.choices(WORDS, k=draw.randrange(13, 41))) for _ in range(size)]
        long = [" ".join(draw.choices(WORDS, k=200)) for _ in range(5 * size)]
        planted = set()
        for number, row in enumerate(draw.sample(range(size), size // 10)):
            holder, words = draw.randrange(len(long)), short[row]
            cut = draw.randrange(150)
            inside = EDITS["typo"](words, draw) if number % 2 else words
            parts = long[holder].split()
            long[holder] = " ".join([*parts[:cut], inside, *parts[cut:]])
            planted.add((row, holder))
        for name, method in (("Assay", _by_ngrams), ("datasketch, LSH ensemble", _by_ensemble), ("Assay, Jaccard", _by_jaccard)):
            with cost() as spent:
                pairs = method(short, long)
            hits = len(pairs & planted)
            found.setdefault(name, []).append((hits / len(planted), hits / max(len(pairs), 1), spent.cpu))
    for name, runs in found.items():
        for place, measure in enumerate(("recall", "precision")):
            cpu = float(np.mean([run[2] for run in runs]))
            yield Row(SECTION, data, name, measure, *over_seeds([run[place] for run in runs]), cpu=cpu)


def _by_ngrams(short: list[str], long: list[str]) -> Pairs:
    from pipeline.evidence.containment import contained

    return {pair[:2] for pair in contained(short, long)}


def _by_jaccard(short: list[str], long: list[str]) -> Pairs:
    return {(one, two - len(short)) for one, two, _ in near_pairs([*short, *long]) if one < len(short) <= two}


def _by_ensemble(short: list[str], long: list[str]) -> Pairs:
    """Containment of sets of 6-grams of words at 0.5: at 0.8, our own bar, it finds none."""
    from datasketch import MinHash, MinHashLSHEnsemble

    def sets(texts: list[str]) -> list[list[bytes]]:
        words = [text.split() for text in texts]
        return [[" ".join(row[at : at + 6]).encode() for at in range(len(row) - 5)] for row in words]

    asked, given = sets(short), sets(long)
    index = MinHashLSHEnsemble(threshold=0.5, num_perm=PERMUTATIONS, num_part=8)
    sketches = MinHash.bulk(given, num_perm=PERMUTATIONS)
    index.index([(row, sketch, len(given[row])) for row, sketch in enumerate(sketches)])
    out = set()
    for row, sketch in enumerate(MinHash.bulk(asked, num_perm=PERMUTATIONS)):
        out |= {(row, holder) for holder in index.query(sketch, len(asked[row]))}
    return out


# --- what leaks in published splits ----------------------------------------------------------------------------------


def _leaks(names: tuple[str, ...]) -> Iterator[Row]:
    from validators.leakage import leakage

    for name in names:
        train, _, test, _ = read_labelled(name)
        texts = [*train, *test]
        made = corpus_of(texts, splits=["train"] * len(train) + ["test"] * len(test), evidence=evidence(texts))
        with cost() as spent:
            report = leakage.run(made)
        said = {"exact": "equal", "inside": "hold one", "near": "resemble one", "cosine": "mean the same as one"}
        for key, words in said.items():
            count = report.facts["pairs"]["train-test"][key]
            note = f"of {len(train):,} training and {len(test):,} test texts"
            data = f"{name}, train against test"
            yield Row(SECTION, data, "Assay", f"training texts that {words}", count, cpu=spent.cpu, note=note)


# --- the same in other words -----------------------------------------------------------------------------------------


def evidence(texts: list[str]) -> Evidence:
    from pipeline.evidence.embeddings import embed
    from pipeline.evidence.neighbours import nearest
    from pipeline.store import Store

    place = Path(os.environ.get("ASSAY_BENCHMARK_CACHE", Path(tempfile.gettempdir()) / "assay-benchmark"))
    vectors = embed(Store(place), "minilm", texts, threads=1)
    return Evidence(vectors, np.zeros((len(texts), 0), np.float32), *nearest(vectors, 15))


def _meaning(texts: list[str], given: Evidence) -> Pairs:
    from pipeline.evidence.semantic import close_pairs

    return {pair[:2] for pair in close_pairs(given)}


def _semhash(texts: list[str], given: Evidence) -> Pairs:
    """At its default threshold of 0.9; the encoder is never asked. All texts are distinct, so records name their rows."""
    from semhash import SemHash

    index = SemHash.from_embeddings(given.embeddings, texts, model=None)  # type: ignore[arg-type]
    rows = {text: row for row, text in enumerate(texts)}
    found = set()
    for record in index.self_deduplicate(threshold=0.9).filtered:
        found |= {tuple(sorted((rows[record.record], rows[other]))) for other, _ in record.duplicates}
    return found  # type: ignore[return-value]


def _paraphrases(names: tuple[str, ...]) -> Iterator[Row]:
    for name in names:
        file = shared("crowdwsa2019_t1t2", f"CrowdWSA2019_{name}_label_anonymous.tsv")
        if file is None:
            return
        with file.open(encoding="utf-8", newline="") as handle:
            given = list(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))
        first = {normalise(row["workeranswer"]): row for row in given}
        texts, truth = [row["workeranswer"] for row in first.values()], [row["sentence"] for row in first.values()]
        known = evidence(texts)
        data = f"CrowdWSA {name}, {len(texts)} distinct translations of 100 sentences"
        total = sum(truth.count(one) * (truth.count(one) - 1) // 2 for one in set(truth))
        for method, find in (("Assay", _meaning), ("semhash", _semhash)):
            with cost() as spent:
                pairs = find(texts, known)
            right = [float(truth[a] == truth[b]) for a, b in sorted(pairs)]
            yield Row(SECTION, data, method, "precision of pairs", *_share(right), cpu=spent.cpu, note=f"{len(pairs)} pairs")
            covered = {row for a, b in pairs if truth[a] == truth[b] for row in (a, b)}
            share = [float(row in covered) for row in range(len(texts))]
            yield Row(SECTION, data, method, "texts with a true paraphrase named", *_share(share), cpu=spent.cpu)
            yield Row(SECTION, data, method, "recall of pairs", sum(right) / total)


def _share(hits: list[float]) -> tuple[float, float, float]:
    from pipeline.statistics import wilson

    found = wilson(sum(hits), len(hits)) if hits else None
    return (found.value, found.low, found.high) if found else (0.0, 0.0, 1.0)


def _rated_pairs() -> Iterator[Row]:
    """Question pairs that four people rated from -5 (different) to 5 (the same): a pair is true if the mean is above 0."""
    texts: list[str] = []
    truth: dict[tuple[int, int], bool] = {}
    for split in ("train", "dev", "test"):
        file = shared("paraphrase", f"Paraphrase_{split}.json")
        if file is None:
            return
        for item in json.loads(file.read_text(encoding="utf-8")).values():
            pair = list(item["text"].values())
            ratings = [float(value) for value in item["annotations"].values()]
            truth[len(texts), len(texts) + 1] = float(np.mean(ratings)) > 0
            texts += pair
    known = evidence(texts)
    data = f"paraphrase, {len(truth)} rated question pairs"
    names = [f"{text} {row}" for row, text in enumerate(texts)]  # semhash wants distinct records
    for method, find in (("Assay", _meaning), ("semhash", _semhash)):
        with cost() as spent:
            pairs = find(names, known) & set(truth)
        right = [float(truth[pair]) for pair in sorted(pairs)]
        yield Row(SECTION, data, method, "precision of pairs", *_share(right), cpu=spent.cpu, note=f"{len(pairs)} pairs")
        true = [pair for pair, same in sorted(truth.items()) if same]
        yield Row(SECTION, data, method, "recall of pairs", *_share([float(pair in pairs) for pair in true]))


def _banking_by_meaning() -> Iterator[Row]:
    train, labels, test, others = read_labelled("banking77")
    first = {normalise(text): (text, label) for text, label in zip([*train, *test], [*labels, *others], strict=True)}
    texts, given = [text for text, _ in first.values()], [label for _, label in first.values()]
    known = evidence(texts)
    for method, find in (("Assay", _meaning), ("semhash", _semhash)):
        with cost() as spent:
            pairs = find(texts, known)
        same = [float(given[a] == given[b]) for a, b in sorted(pairs)]
        touched = len({row for pair in pairs for row in pair}) / len(texts)
        note = f"{len(pairs):,} pairs; {touched:.0%} of {len(texts):,} texts in one"
        yield Row(SECTION, "banking77, distinct texts", method, "pairs of one label", *_share(same), cpu=spent.cpu, note=note)


# --- contradictions --------------------------------------------------------------------------------------------------


def _contradictions(name: str, seeds: range) -> Iterator[Row]:
    """10 % of the labels replaced by another, of a set whose own labels are taken as true."""
    from validators.conflicting_labels import conflicting_labels

    train, truth, _, _ = read_labelled(name)
    known = evidence(train)
    runs = []
    for seed in seeds:
        given = planted_labels(truth, {}, kind="uniform", share=0.1, seed=seed)
        made = _single(corpus_of(train, labels=given, evidence=known))
        with cost() as spent:
            table = conflicting_labels.run(made).findings
        wrong = {str(row + 1) for row in range(len(train)) if given[row] != truth[row]}
        flagged = table[table["flagged"]]
        sure = flagged[flagged["suggestion"] != ""]
        right = [json.loads(row.suggestion) == truth[int(row.subject_id) - 1] for row in sure.itertuples()]
        reachable = wrong & set(table["subject_id"])
        runs.append(
            {
                "precision, outvoted": len(set(sure["subject_id"]) & wrong) / max(len(sure), 1),
                "precision, all flagged": len(set(flagged["subject_id"]) & wrong) / max(len(flagged), 1),
                "recall among examples with copies": len(set(flagged["subject_id"]) & wrong) / max(len(reachable), 1),
                "recall among all wrong labels": len(set(flagged["subject_id"]) & wrong) / len(wrong),
                "right suggestions": float(np.mean(right)) if right else 0.0,
                "cpu": spent.cpu,
            }
        )
    for measure in (key for key in runs[0] if key != "cpu"):
        cpu = float(np.mean([run["cpu"] for run in runs]))
        data = f"{name} train, 10 % of labels wrong"
        yield Row("contradictions", data, "Assay", measure, *over_seeds([run[measure] for run in runs]), cpu=cpu)


def _single(made: Corpus) -> Corpus:
    """One annotator an example."""
    return replace(made, consensus=made.consensus.assign(annotations=1, confidence=np.nan))


