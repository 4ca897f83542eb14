"""The whole loop on real data, measured: consensus on Snow's RTE, and check to evaluation on banking77.

    python tests/benchmarks/loop.py [rte] [banking77]

The data lies in the folder that ASSAY_SHARED names, else in `shared` beside the checkout. banking77 takes about ten minutes on
two cores. Prints Markdown tables; asserts nothing.
"""

from __future__ import annotations

import csv
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.consensus.build import build
from pipeline.statistics import wilson

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("ASSAY_SHARED") or ROOT.parent / "shared") / "data"


def rte() -> None:
    """Consensus accuracy against the experts, beside majority vote, and how well annotator quality follows the truth."""
    raw = pd.read_csv(SHARED / "snow2008_rte_affect" / "rte.standardized.tsv", sep="\t")
    people = raw["!amt_worker_ids"].astype(str)
    table = pd.DataFrame(
        {
            "annotation_id": range(len(raw)), "example_id": pd.factorize(raw["orig_id"])[0], "annotator": people,
            "answer": [f'"{label}"' for label in raw["response"]], "created_at": "", "updated_at": "", "seconds": 1.0,
            "ground_truth": False, "cancelled": False,
        }
    )  # fmt: skip
    gold = raw.assign(example=table["example_id"]).drop_duplicates("example").set_index("example")["gold"].astype(str)
    true = (raw["response"] == raw["gold"]).groupby(people).mean()
    examples = pd.DataFrame({"example_id": sorted(table["example_id"].unique())})
    print(
        "| RTE, 800 items, 164 annotators | accuracy [95 %] | ties | Spearman, quality and truth | CPU s |\n|---|---|---|---|---|"
    )
    for method in ("auto", "majority", "one_coin", "dawid_skene"):
        start = time.process_time()
        found = build(table, examples, labels=("0", "1"), method=method)
        seconds = time.process_time() - start
        right = found.consensus.set_index("example_id")["answer"].str.strip('"') == gold
        accuracy = wilson(int(right.sum()), len(right))
        rank = found.annotators.set_index("annotator")["quality"].corr(true, method="spearman")
        name = method if method != "auto" else f"auto ({found.facts['consensus']['method']})"
        ties = found.facts["consensus"]["ties"]
        print(
            f"| {name} | {accuracy.value:.3f} [{accuracy.low:.3f}, {accuracy.high:.3f}] | {ties} | {rank:.3f} | {seconds:.1f} |"
        )
    overall = found.facts["agreement"]["overall"]
    print(f"\nKrippendorff's alpha {overall['value']:.3f} [{overall['low']:.3f}, {overall['high']:.3f}]\n")


def banking77() -> None:
    """The command line on a Label Studio export made of banking77, with its own test split and a tenth of train held out."""
    with tempfile.TemporaryDirectory() as folder:
        export, project = Path(folder) / "export.json", Path(folder) / "project"
        export.write_text(json.dumps(_tasks()))
        print("| banking77, 13,083 texts | wall s | CPU s | peak MB |\n|---|---|---|---|")
        _step("check", "check", "--source", str(export), "--template", "text_classification", "--out", str(project))
        for command in ("release", "train"):
            _step(command, command, str(project))
        body = _step("evaluate (trains on the uncleaned labels, too)", "evaluate", str(project))
        print("\n| model | accuracy [95 %] | macro-F1 |\n|---|---|---|")
        for name, item in body["models"].items():
            one, two = item["accuracy"], item["macro_f1"]
            print(f"| {name} | {one['value']:.4f} [{one['low']:.4f}, {one['high']:.4f}] | {two['value']:.4f} |")
        for name, item in body["differences"].items():
            print(
                f"\nadapter − {name}: {item['value']:+.4f} [{item['low']:+.4f}, {item['high']:+.4f}], p = {item['p']:.3f}"
            )


def _tasks() -> list[dict[str, Any]]:
    rows = []
    for split in ("train", "test"):
        with (SHARED / "banking77" / f"{split}.csv").open(encoding="utf-8") as file:
            rows += [(row["text"], row["category"], split) for row in csv.DictReader(file)]
    held_out = set(random.Random(0).sample(range(sum(row[2] == "train" for row in rows)), 1000))
    return [
        {
            "id": number + 1, "project": 1,
            "data": {"text": text, "split": "validation" if number in held_out else split},
            "annotations": [{"id": number + 1, "completed_by": 1, "ground_truth": False, "result": _result(label)}],
        }
        for number, (text, label, split) in enumerate(rows)
    ]  # fmt: skip


def _result(label: str) -> list[dict[str, Any]]:
    return [{"from_name": "intent", "to_name": "text", "type": "choices", "value": {"choices": [label]}}]


def _step(name: str, *arguments: str) -> dict[str, Any]:
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "flows", *arguments, "--json"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    body: dict[str, Any] = json.loads(done.stdout)
    if done.returncode:
        raise SystemExit(f"{name} ended with {done.returncode}: {body.get('error', '')}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # ru_maxrss of children is the largest so far: each step here needs at least what the one before did.
    print(f"| {name} | {time.perf_counter() - start:.0f} | {cpu:.0f} | {after.ru_maxrss / 1024:.0f} |", flush=True)
    return body


if __name__ == "__main__":
    if not SHARED.is_dir():
        sys.exit(f"There is no data in {SHARED}: set ASSAY_SHARED to the folder that holds it.")
    for chosen in sys.argv[1:] or ("rte", "banking77"):
        {"rte": rte, "banking77": banking77}[chosen]()
