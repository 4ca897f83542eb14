"""Every check over ten thousand rows, in a process of its own, within a memory budget."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BUDGET = 1500  # MB above what the corpus itself takes: cleanlab's Datalab alone took 1,400 for outliers at this size
PROGRAM = """
import dataclasses, json, resource, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from corpora import LABELS, annotations_table, clusters, consensus_table, corpus, examples_table
from pipeline.evidence.neighbours import nearest
from pipeline.evidence.probabilities import out_of_sample
from pipeline.types import Evidence
from validators.check import run, settings_for

n = 10_000
random = np.random.default_rng(0)
truth = random.integers(0, len(LABELS), n)
words = [f"word{number}" for number in range(3000)]
texts = [" ".join(random.choice(words, 12)) for _ in range(n)]
slices = {"region": random.choice(["north", "south", "coast"], n).tolist()}
examples = examples_table(texts, slices, random.choice(["train", "validation", "test"], n, p=[0.7, 0.1, 0.2]).tolist())
examples["group"] = [str(row) for row in range(n)]
rows = [
    (row + 1, f"person {who}", LABELS[truth[row] if random.random() < 0.85 else random.integers(len(LABELS))], 9.0)
    for row in range(n) for who in random.choice(20, 2, replace=False)
]
points = clusters(truth, len(LABELS), spread=0.8, seed=1, dimensions=64)
near, alike = nearest(points, 15)
groups = np.arange(n)
probabilities = out_of_sample(points, truth, groups, near, alike, len(LABELS), texts)
evidence = Evidence(points, probabilities, near, alike)
table = consensus_table([LABELS[place] for place in truth], 0.9)
made = corpus(examples, annotations_table(rows), slices=("region",), consensus=table, evidence=evidence)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
outcomes = run(made, settings_for({}))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
crashed = [(item.check, item.reason) for item in outcomes if item.status == "crashed"]
seconds = {item.check: item.seconds for item in outcomes}
print(json.dumps({"crashed": crashed, "megabytes": (after - before) / 1024, "seconds": seconds}))
"""


@pytest.mark.slow
def test_ten_thousand_rows_go_through_every_check_within_the_memory_budget() -> None:
    command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["crashed"] == []
    assert found["megabytes"] < BUDGET, found
