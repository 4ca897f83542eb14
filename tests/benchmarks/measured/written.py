"""Written answers: how many planted faults are found, how many of the flagged are right, and at what cost.

Tuning sets (thresholds and rules were chosen on them): seed_tasks, the first half of llamafactory_demo, multi30k's validation
part, the samples of the templates. Quoted on: the second half of llamafactory_demo, dialogsum, multi30k's test part (German,
French), LLMBar, HumanEval. Rows of tuning sets say so. (While the features of `mismatch` were chosen, dialogsum was looked at.)

In each corpus 5 % of the answers are cut, 5 % in another language, 5 % of another example that is not in the corpus, 5 % copied
from the question, 5 % a stock refusal, 5 % the answer to another question in the corpus with a word changed. Precision counts
flagged answers that were planted: what the sets hold of faults of their own counts as a false alarm (of llamafactory_demo's
answers, 4 % say "As an AI").
"""

from __future__ import annotations

import ast
import gzip
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from corpora import annotations_table, consensus_table, corpus, examples_table
from measured.row import Row, cost, over_seeds, shared

from pipeline.evidence.embeddings import embed
from pipeline.evidence.signals import signals
from pipeline.store import Store
from pipeline.types import Corpus, Evidence
from validators.answer_duplicates import answer_duplicates
from validators.answers.mismatch import auc
from validators.answers.written import read_answers
from validators.code_answers import code_answers
from validators.written_answers import signs_of

Pair = tuple[str, str]
SHARE = 0.05
REFUSALS = (
    "I'm sorry, but I can't assist with that.", "I cannot help with this request.", "Sorry, I am unable to provide that.",
    "As an AI language model, I do not have personal opinions.", "I'm sorry, but as an AI language model I cannot do that.",
    "Unfortunately, I can't help with that.",
)  # fmt: skip
LM_ROWS = 100  # answers read by the language model in each corpus: half a CPU second each, and 20 to load it
LM_SETS = ("seed_tasks", "llamafactory, second half", "dialogsum", "multi30k en-de")


def rows(*, quick: bool) -> Iterator[Row]:
    seeds = range(1 if quick else 5)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        for name, pairs, donors, tuning in _sets():
            if quick and name not in ("seed_tasks", "dialogsum"):
                continue
            part = pairs[:150] if quick else pairs
            yield from _planted(store, name, part, donors, seeds, "tuning set" if tuning else "")
            if not quick and name in LM_SETS:
                yield from _with_language_model(
                    store, name, pairs[:LM_ROWS], donors, range(3), "tuning set" if tuning else ""
                )
        yield from _llmbar(store, 20 if quick else 100)
        yield from _humaneval(20 if quick else 164)


# --- the data ----------------------------------------------------------------------------------------------------------


def _sets() -> Iterator[tuple[str, list[Pair], list[Pair], bool]]:
    """(name, pairs of the corpus, pairs to take foreign answers from, is it a tuning set)."""
    if file := shared("seed_tasks", "seed_tasks.jsonl"):
        loaded = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        pairs = [
            (_joined(row["instruction"], row["instances"][0]["input"]), row["instances"][0]["output"]) for row in loaded
        ]
        pairs = [
            pairs[place] for place in np.random.default_rng(0).permutation(len(pairs))
        ]  # the last third has labels as answers
        yield "seed_tasks", pairs[:140], pairs[140:], True
    if file := shared("llamafactory_demo", "alpaca_en_demo.json"):
        pairs = [
            (_joined(row["instruction"], row["input"]), row["output"])
            for row in json.loads(file.read_text(encoding="utf-8"))
        ]
        yield "llamafactory, first half", pairs[:400], pairs[400:500], True
        yield "llamafactory, second half", pairs[500:900], pairs[900:], False
    if file := shared("dialogsum_dev", "dialogsum.dev.jsonl"):
        pairs = [
            (row["dialogue"], row["summary"]) for row in map(json.loads, file.read_text(encoding="utf-8").splitlines())
        ]
        yield "dialogsum", pairs[:400], pairs[400:], False
    for language in ("de", "fr"):
        if shared("multi30k", f"test_2016_flickr.{language}.gz"):
            pairs = list(zip(_captions("en"), _captions(language), strict=True))
            yield f"multi30k en-{language}", pairs[:400], pairs[400:500], False


def _joined(instruction: str, given: str) -> str:
    return f"{instruction}\n\n{given}" if given else instruction


def _captions(language: str) -> list[str]:
    file = shared("multi30k", f"test_2016_flickr.{language}.gz")
    return gzip.decompress(file.read_bytes()).decode("utf-8").splitlines() if file else []


def _other_language(name: str) -> list[str]:
    """Texts in a language that the corpus' answers are not in; of a translation the same sentence's into the third one."""
    return _captions("fr" if name.endswith("de") else "de")


# --- planting ----------------------------------------------------------------------------------------------------------


def planted(pairs: Sequence[Pair], donors: Sequence[Pair], name: str, seed: int) -> tuple[list[str], list[str]]:
    """The answers with faults, and each row's fault, "" for most."""
    random = np.random.default_rng(seed)
    answers, faults = [answer for _, answer in pairs], [""] * len(pairs)
    foreign = _other_language(name)
    makers: dict[str, Callable[[int], str]] = {
        "truncated": lambda row: _cut(answers[row], random),
        "wrong_language": lambda row: (
            foreign[row] if "multi30k" in name else " ".join(foreign[3 * (row % 300) : 3 * (row % 300) + 2])
        ),
        "mismatch": lambda row: donors[int(random.integers(len(donors)))][1],
        "copied": lambda row: _copy(pairs[row][0], random),
        "refusal": lambda row: REFUSALS[int(random.integers(len(REFUSALS)))],
        "repeated": lambda row: _changed(
            pairs[(row + 1 + int(random.integers(len(pairs) - 1))) % len(pairs)][1], random
        ),
    }
    free = list(random.permutation(len(pairs)))
    for fault, make in makers.items():
        wanted = max(1, round(SHARE * len(pairs)))
        for row in [int(row) for row in free if _fits(fault, *pairs[int(row)])][:wanted]:
            answers[row], faults[row] = make(row), fault
            free.remove(row)
    return answers, faults


def _fits(fault: str, asked: str, said: str) -> bool:
    if fault == "truncated":
        return len(said.split()) >= 10
    return len(asked.split()) >= 8 if fault == "copied" else True


def _cut(text: str, random: np.random.Generator) -> str:
    """A tenth to a half of the words lost at the end, and in every fifth case a part of a word."""
    parts = text.split()
    keep = int(len(parts) * random.uniform(0.5, 0.9))
    kept = text[: [match.end() for match in re.finditer(r"\S+", text)][max(4, keep) - 1]]
    return kept[:-2] if random.random() < 0.2 and len(parts[keep - 1]) > 4 else kept


def _copy(asked: str, random: np.random.Generator) -> str:
    """The question, or its last eight words and more."""
    parts = asked.split()
    return asked if random.random() < 0.5 else " ".join(parts[-max(8, len(parts) // 2) :])


def _changed(text: str, random: np.random.Generator) -> str:
    parts = text.split()
    if len(parts) > 6:
        parts[int(random.integers(len(parts)))] = "rather"
    return " ".join(parts)


def made(
    store: Store, asked: Sequence[str], said: Sequence[str], data: Sequence[dict[str, Any]] | None = None
) -> Corpus:
    examples = examples_table(asked)
    if data is not None:
        examples["data"] = [orjson.dumps(item).decode() for item in data]
    n = len(asked)
    evidence = Evidence(
        embed(store, "minilm", asked), np.zeros((n, 0), np.float32), np.full((n, 0), -1, np.int64), np.zeros((n, 0), np.float32),
        written=embed(store, "minilm", said),
    )  # fmt: skip
    return corpus(
        examples,
        annotations_table([]),
        labels=(),
        consensus=consensus_table(said),
        evidence=evidence,
        task="text_generation",
    )


# --- measuring ---------------------------------------------------------------------------------------------------------


def _planted(
    store: Store, name: str, pairs: list[Pair], donors: list[Pair], seeds: Sequence[int], note: str
) -> Iterator[Row]:
    recall: dict[str, list[float]] = {}
    precision: dict[str, list[float]] = {}
    areas: dict[str, list[float]] = {"ours": [], "cosine": []}
    spent = []
    for seed in seeds:
        said, faults = planted(pairs, donors, name, seed)
        one = made(store, [asked for asked, _ in pairs], said)
        with cost() as used:
            kinds = _flagged(one)
        spent.append(1000 * used.cpu / len(pairs))
        for kind in sorted({fault for fault in faults if fault}):
            here = [place for place, fault in enumerate(faults) if fault == kind]
            recall.setdefault(kind, []).append(float(np.mean([bool(kinds[place]) for place in here])))
        for kind in sorted({kind for found in kinds for kind in found}):
            precision.setdefault(kind, []).append(float(np.mean(_right(kind, faults, kinds))))
        precision.setdefault("any", []).append(float(np.mean(_right("any", faults, kinds))))
        _areas(one, faults, areas)
    for kind, values in sorted(recall.items()):
        yield _row(name, "Assay", f"recall, planted {kind}", values, note)
    for kind, values in sorted(precision.items()):
        yield _row(name, "Assay", f"precision, flagged {kind}", values, note)
    yield _row(name, "Assay", "area, foreign answers against the rest", areas["ours"], note)
    yield _row(name, "cosine alone", "area, foreign answers against the rest", areas["cosine"], note)
    yield _row(name, "Assay", "CPU seconds per 1,000 answers, without embedding", spent, note)


def _right(kind: str, faults: Sequence[str], kinds: Sequence[Sequence[str]]) -> list[bool]:
    """Of the rows flagged with a kind, which were planted; of an answer given twice, the other one is no false alarm."""
    return [
        bool(fault) or "repeated" in found
        for fault, found in zip(faults, kinds, strict=True)
        if found and kind in (*found, "any")
    ]


def _flagged(one: Corpus) -> list[list[str]]:
    """Per row the kinds that flag it, of both checks."""
    found, _ = signs_of(one, read_answers(one))
    twice = answer_duplicates.run(one).findings.set_index("subject_id")
    return [
        [kind for kind, value, _ in signs if value >= 0.5]
        + (["repeated"] if twice.loc[str(row + 1), "flagged"] else [])
        for row, signs in enumerate(found)
    ]


def _areas(one: Corpus, faults: Sequence[str], into: dict[str, list[float]]) -> None:
    """Foreign answers against those without a fault."""
    found, _ = signs_of(one, read_answers(one))
    scores = np.array([max([value for kind, value, _ in signs if kind == "mismatch"], default=0.0) for signs in found])
    assert one.evidence.written is not None
    cosine = -(one.evidence.embeddings * one.evidence.written).sum(axis=1)
    bad, good = np.array([fault == "mismatch" for fault in faults]), np.array([not fault for fault in faults])
    into["ours"].append(auc(scores[bad], scores[good]))
    into["cosine"].append(auc(cosine[bad], cosine[good]))


def _with_language_model(
    store: Store, name: str, pairs: list[Pair], donors: list[Pair], seeds: Sequence[int], note: str
) -> Iterator[Row]:
    areas: dict[str, dict[str, list[float]]] = {way: {"ours": [], "cosine": []} for way in ("without", "with")}
    cut: dict[str, list[tuple[float, float]]] = {"without": [], "with": []}
    ifd, spent = [], []
    for seed in seeds:
        said, faults = planted(pairs, donors, name, seed)
        one = made(store, [asked for asked, _ in pairs], said)
        with cost() as used:
            heard = signals(store, [asked for asked, _ in pairs], said, model="smollm2")
        assert heard is not None
        spent.append(used.cpu)
        for way, ready in (("without", one), ("with", replace(one, evidence=replace(one.evidence, signals=heard)))):
            _areas(ready, faults, areas[way])
            cut[way].append(_cut_found(ready, faults))
        bad, good = np.array([fault == "mismatch" for fault in faults]), np.array([not fault for fault in faults])
        value = heard["ifd"].fillna(0).to_numpy()
        ifd.append(auc(value[bad], value[good]))
    size = f"{len(pairs)} answers"
    for way, method in (("without", "Assay, without a language model"), ("with", "Assay, with SmolLM2-135M")):
        yield _row(name, method, f"recall, planted truncated, {size}", [recall for recall, _ in cut[way]], note)
        yield _row(
            name, method, f"precision, flagged truncated, {size}", [precision for _, precision in cut[way]], note
        )
        yield _row(name, method, f"area, foreign answers against the rest, {size}", areas[way]["ours"], note)
    yield _row(name, "IFD alone (SmolLM2-135M)", f"area, foreign answers against the rest, {size}", ifd, note)
    measure = f"CPU seconds for {size}, loading included"  # of later seeds most is known
    yield Row("written answers", name, "SmolLM2-135M", measure, spent[0], cpu=spent[0], note=note)


def _cut_found(one: Corpus, faults: Sequence[str]) -> tuple[float, float]:
    """Recall of cut answers by the kind "truncated" alone, and the share of those flagged with it that have any planted fault."""
    found, _ = signs_of(one, read_answers(one))
    hit = [any(kind == "truncated" and value >= 0.5 for kind, value, _ in signs) for signs in found]
    right = [bool(fault) for fault, flag in zip(faults, hit, strict=True) if flag]
    recall = np.mean([flag for fault, flag in zip(faults, hit, strict=True) if fault == "truncated"])
    return float(recall), float(np.mean(right or [True]))


def _llmbar(store: Store, limit: int) -> Iterator[Row]:
    """How often the answer that follows the instruction has the lower severity (or surprise), of pairs written to mislead."""
    for name in ("Natural", "Adversarial_Neighbor", "Adversarial_GPTInst", "Adversarial_GPTOut", "Adversarial_Manual"):
        file = shared("llmbar", f"{name}.json")
        if not file:
            continue
        loaded = json.loads(file.read_text(encoding="utf-8"))[:limit]
        right = [row[f"output_{row['label']}"] for row in loaded]
        wrong = [row[f"output_{3 - row['label']}"] for row in loaded]
        asked = [row["input"] for row in loaded]
        one = made(store, [*asked, *asked], [*right, *wrong])
        found, facts = signs_of(one, read_answers(one))
        scores = np.array(
            [max([value for kind, value, _ in signs if kind == "mismatch"], default=0.0) for signs in found]
        )
        better, worse = scores[: len(asked)], scores[len(asked) :]
        wins = (better < worse) + 0.5 * (better == worse)
        told = (facts["mismatch"] or {}).get("told_apart") or 0.5
        measure, note = f"the better answer ranked better, {len(asked)} pairs", f"told apart in the corpus: {told:.3f}"
        yield _row(f"LLMBar {name}", "Assay (mismatch)", measure, list(map(float, wins)), note)


def _humaneval(limit: int) -> Iterator[Row]:
    file = shared("humaneval", "HumanEval.jsonl.gz")
    if not file:
        return
    loaded = [json.loads(line) for line in gzip.decompress(file.read_bytes()).decode().splitlines()][:limit]
    right = [row["canonical_solution"] for row in loaded]
    changed = [_mutated(row["prompt"] + row["canonical_solution"], seed) for seed, row in enumerate(loaded)]
    for name, said in (("canonical solutions", right), ("one operator or number changed", changed)):
        kept = [(row, text) for row, text in zip(loaded, said, strict=True) if text]
        examples = examples_table([row["prompt"] for row, _ in kept])
        examples["data"] = [
            orjson.dumps({"test": row["test"], "entry_point": row["entry_point"]}).decode() for row, _ in kept
        ]
        one = corpus(
            examples,
            annotations_table([]),
            labels=(),
            consensus=consensus_table([text for _, text in kept]),
            task="text_generation",
        )
        with cost() as used:
            report = code_answers.run(one)
        share = [float(value) for value in report.findings["flagged"]]
        note = report.facts["not_run"] or f"walls: {', '.join(report.facts['walls'])}"
        yield replace(
            _row(f"HumanEval, {name}", "Assay (code_answers)", f"flagged, of {len(kept)}", share, note), cpu=used.cpu
        )


def _mutated(code: str, seed: int) -> str:
    """The code with one comparison, operator or number changed; "" if it has none."""
    random, tree = np.random.default_rng(seed), ast.parse(code)
    places = [
        node for function in tree.body if isinstance(function, ast.FunctionDef) for node in ast.walk(function)
        if isinstance(node, (ast.Compare, ast.BinOp)) or (isinstance(node, ast.Constant) and type(node.value) is int)
    ]  # fmt: skip
    if not places:
        return ""
    node = places[int(random.integers(len(places)))]
    if isinstance(node, ast.Compare):
        node.ops[0] = ast.NotEq() if not isinstance(node.ops[0], ast.NotEq) else ast.Eq()
    elif isinstance(node, ast.BinOp):
        node.op = ast.Sub() if not isinstance(node.op, ast.Sub) else ast.Add()
    elif isinstance(node, ast.Constant):
        node.value = int(node.value) + 1  # type: ignore[arg-type]
    return ast.unparse(tree)


def _row(data: str, method: str, measure: str, values: Sequence[float], note: str = "") -> Row:
    mean, low, high = over_seeds(list(values))
    ends = (low, high) if "CPU" in measure else (max(0.0, low), min(1.0, high))
    return Row("written answers", data, method, measure, mean, *ends, note=note)
