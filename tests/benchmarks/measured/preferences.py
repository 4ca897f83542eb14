"""Preferences: planted contradictions and habits, and what real sets of comparisons hold.

Nothing was tuned on the sets quoted: thresholds are effect sizes by convention (see validators/preference_habits.py). There is no
peer: no library checks comparisons. PandaLM: 999 pairs by three people; LLMBar: 419 pairs by their authors, 319 of them made so
that the worse response looks better.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import test_check_preferences as simulated
from measured.row import Row, cost, over_seeds, shared

from pipeline.evidence.pairs import pairs, surface
from pipeline.statistics import wilson
from validators.preference_habits import preference_habits
from validators.preferences import preferences


def rows(*, quick: bool) -> Iterator[Row]:
    yield from _planted(5 if quick else 200)
    for name, made in (("PandaLM, 999 pairs", _pandalm()), ("LLMBar adversarial, 319 pairs", _llmbar())):
        if made is not None:
            yield from _real(name, made)


def _planted(runs: int) -> Iterator[Row]:
    recall, precision = [], []
    for seed in range(1000, 1000 + min(runs, 50)):
        made, wrong = simulated.planted(seed)
        found = set(simulated.flagged(made))
        recall.append(len(found & wrong) / len(wrong))
        precision.append(len(found & wrong) / max(len(found), 1))
    what = "30 prompts × 6 comparisons of 4 responses, 5 turned round"
    yield Row("preferences", what, "circles", "recall", *over_seeds(recall))
    yield Row("preferences", what, "circles", "precision", *over_seeds(precision), note="one wrong in each circle of five")
    for measure, settings in (
        ("power: left in 70 %", {"left": 0.7}), ("power: left in 80 %", {"left": 0.8}),
        ("power: longer in 80 %", {"longer": 0.8}), ("false alarms", {}),
    ):  # fmt: skip
        with cost() as spent:
            hits = [simulated.named(simulated.people(seed, **settings)) for seed in range(2000, 2000 + runs)]
        hit = sum(bool(names) if not settings else "anna" in names for names in hits)
        found = wilson(hit, runs)
        data = f"5 people × 120 pairs, {runs} runs"
        ends = (found.value, found.low, found.high)
        yield Row("preferences", data, "preference_habits", measure, *ends, spent.cpu)


def _real(name: str, made: Any) -> Iterator[Row]:
    with cost() as spent:
        table, found = preferences.run(made), preference_habits.run(made).facts
    number, note = float(table.findings["flagged"].sum()), str({kind: row["count"] for kind, row in table.facts["kinds"].items()})
    yield Row("preferences", name, "preferences", "flagged", number, cpu=spent.cpu, note=note)
    for measure in ("left", "longer", "ties"):
        rate = found[measure]
        yield Row("preferences", name, "preference_habits", f"rate: {measure}", rate["value"], rate["low"], rate["high"])
    auc = surface(made, pairs(made))
    yield Row("preferences", name, "surface of the responses alone", "AUC", auc["auc"], auc["low"], auc["high"])


def _pandalm() -> Any:
    file = shared("pandalm", "testset-v1.json")
    if file is None:
        return None
    names, rows, answers = {0: "tie", 1: "a", 2: "b"}, [], []
    for number, item in enumerate(json.loads(file.read_text(encoding="utf-8")), start=1):
        rows.append((f"{item['instruction']}\n\n{item['input']}", str(item["response1"]), str(item["response2"])))
        answers += [(number, f"annotator {who}", names[int(item[f"annotator{who}"])]) for who in (1, 2, 3)]
    return simulated.compared(rows, answers)


def _llmbar() -> Any:
    folder = shared("llmbar")
    if folder is None:
        return None
    rows, answers = [], []
    for file in sorted(folder.glob("Adversarial_*.json")):
        for item in json.loads(file.read_text(encoding="utf-8")):
            rows.append((item["input"], item["output_1"], item["output_2"]))
            answers.append((len(rows), "authors", "a" if int(item["label"]) == 1 else "b"))
    assert np.isin(len(rows), [319]), len(rows)
    return simulated.compared(rows, answers)
