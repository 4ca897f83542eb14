"""Folders as a check run and an evaluation leave them, made by a seeded generator."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.evaluate import compare
from pipeline.evaluation.metrics import Answers
from pipeline.statistics import wilson
from pipeline.store import write_json
from pipeline.types import ANNOTATION_COLUMNS, ANNOTATOR_COLUMNS, CONSENSUS_COLUMNS, FINDING_COLUMNS, QUARANTINE_COLUMNS

LABELS = ("order_status", "refund", "cancel_order", "delivery_damage", "change_address", "invoice", "warranty", "other")
SLICES = {"channel": ("email", "chat", "phone", "social"), "region": ("north", "south", "islands")}
PEOPLE = {"11": "Ana Ruiz", "12": "Bo Lindqvist", "13": "Chidi Okafor", "14": "Dee Park", "15": "Edda Weiss"}
TEXTS = (
    "hi, any news on my lamp?",
    "Good morning, the oak sideboard was promised in ten working days. We are now on day fourteen, with no word since the "
    "confirmation. Could you tell me whether it has left the warehouse?",
    "The table came with one leg split along the grain. Photos attached. I don't want the whole thing swapped, just the leg.",
    "please send it to the office instead, same street, number 14",
    "I returned the armchair on the 2nd and the money is still not on my card. Your page says five days.",
    "Could you put our VAT number on the invoice for the forty chairs?",
    "changed my mind about the rug, it has not shipped yet has it??",
    "The drawer runner gave up after eleven months. Is that still covered?",
    "do you do gift wrapping",
    "Two weeks and still ‘label created’. Has anybody even picked the box up yet?",
)


def build(
    folder: Path,
    n: int = 672,
    seed: int = 7,
    people: dict[str, str] = PEOPLE,
    slices: dict[str, Any] = SLICES,
    labels: tuple[str, ...] = LABELS,
    texts: tuple[str, ...] = TEXTS,
    mark: str = "",
    gate_open: bool = True,
) -> dict[str, Any]:
    """Write a check run's folder and give its summary. `mark` is appended to every text that comes from outside."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    labels, texts = tuple(name + mark for name in labels), tuple(text + mark for text in texts)
    slices = {name + mark: tuple(group + mark for group in groups) for name, groups in slices.items()}
    people = {key + mark: name + mark for key, name in people.items()}
    ids = list(range(1000, 1000 + n))  # Label Studio's, so numbers
    truth = random.integers(0, len(labels), n)
    examples = pd.DataFrame(
        {
            "example_id": ids,
            "data": [json.dumps({"text": texts[at % len(texts)]}) for at in range(n)],
            "text": [texts[at % len(texts)] for at in range(n)],
            "group": "",
            "split": random.choice(["train", "validation", "test"], n, p=[0.7, 0.15, 0.15]),
            **{name: random.choice(groups, n) for name, groups in slices.items()},
        }
    )
    annotations = _annotations(random, ids, truth, people, labels)
    consensus = (
        pd.DataFrame(
            {
                "example_id": ids,
                "answer": [json.dumps(labels[at]) for at in truth],
                "confidence": random.uniform(0.4, 1, n).round(3),
                "annotations": min(3, len(people)),
                "tie": False,
                "method": "dawid_skene",
                "distribution": "",
                "ambiguous": False,
            }
        )[list(CONSENSUS_COLUMNS)]
        if people
        else pd.DataFrame(columns=list(CONSENSUS_COLUMNS)).astype({"example_id": "int64"})
    )
    findings = _findings(random, ids, people, labels, mark)
    verdicts = _verdicts(ids if people else [], findings)
    annotators = _annotators(random, people, annotations)
    quarantine = pd.DataFrame(
        [
            (
                "export.json" + mark,
                f"{at}" + mark,
                "The task has no field “text”." + mark,
                json.dumps({"id": at, "secret": "do not show"}),
            )
            for at in range(3 if n else 0)
        ],
        columns=list(QUARANTINE_COLUMNS),
    )
    tables = {
        "examples": examples,
        "annotations": annotations,
        "consensus": consensus,
        "annotators": annotators,
        "findings": findings,
        "verdicts": verdicts,
        "quarantine": quarantine,
    }
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    summary = _summary(random, tables, truth, people, slices, labels, mark, gate_open)
    summary = _marked(summary, mark)
    write_json(folder / "summary.json", summary)
    return summary


KEPT = ("check", "status")  # ours, and compared with by name


def _marked(value: Any, mark: str, key: str = "") -> Any:
    """`mark` at the end of every text that does not have it yet, and of every name of a package."""
    if isinstance(value, dict):
        return {name + mark * (key == "environment"): _marked(item, mark, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_marked(item, mark, key) for item in value]
    return value + mark if isinstance(value, str) and key not in KEPT and not value.endswith(mark) else value


def _annotations(
    random: Any, ids: list[int], truth: Any, people: dict[str, str], labels: tuple[str, ...]
) -> pd.DataFrame:
    each = min(3, len(people))
    if each == 0:
        return pd.DataFrame(
            {
                name: pd.Series(dtype={"cancelled": "bool", "imported": "bool", "example_id": "int64"}.get(name, "str"))
                for name in ANNOTATION_COLUMNS
            }
        )
    who = (
        np.array([random.permutation(len(people))[:each] for _ in ids]).ravel()
        if len(ids) < 5000
        else random.integers(0, len(people), each * len(ids))
    )
    said = np.where(
        random.random(each * len(ids)) < 0.85, np.repeat(truth, each), random.integers(0, len(labels), each * len(ids))
    )
    stored, keys = [json.dumps(label) for label in labels], list(people)
    return pd.DataFrame(
        {
            "annotation_id": [str(at) for at in range(each * len(ids))],
            "example_id": np.repeat(ids, each),
            "annotator": [keys[at] for at in who],
            "answer": [stored[at] for at in said],
            "created_at": "2026-11-20T10:00:00Z",
            "updated_at": "2026-11-20T10:00:00Z",
            "seconds": 12.5,
            "ground_truth": False,
            "cancelled": False,
            "imported": False,
        }
    )[list(ANNOTATION_COLUMNS)]


def _findings(random: Any, ids: list[int], people: dict[str, str], labels: tuple[str, ...], mark: str) -> pd.DataFrame:
    parts = []
    for name, share, reason in (
        ("exact_duplicates", 0.015, "Says the same as example 1000, which is kept."),
        ("label_errors", 0.04, "The model, not having seen it, gives “refund” 91% and the current answer 3%."),
        ("near_duplicates", 0.02, "Nearly the same as example 1003 (0.93)."),
        ("privacy", 0.01, "Holds what looks like an e-mail address."),
    ):
        severity = random.random(len(ids)) * 0.5
        hit = random.permutation(len(ids))[: int(np.ceil(share * len(ids)))]
        severity[hit] = 0.5 + random.random(len(hit)) / 2
        if name == "privacy":
            severity = np.where(severity < 0.5, 0.0, severity)
        parts.append(
            pd.DataFrame(
                {
                    "check": name,
                    "subject": "example",
                    "subject_id": [str(key) for key in ids],
                    "severity": severity,
                    "flagged": severity >= 0.5,
                    "reason": np.where(severity >= 0.5, reason + mark, ""),
                    "suggestion": np.where((severity >= 0.5) & (name == "label_errors"), json.dumps(labels[1]), ""),
                }
            )
        )
    keys = list(people)
    parts.append(
        pd.DataFrame(
            {
                "check": "annotators",
                "subject": "annotator",
                "subject_id": keys,
                "severity": [0.8 if at == 2 else 0.1 for at in range(len(keys))],
                "flagged": [at == 2 for at in range(len(keys))],
                "suggestion": "",
                "reason": [
                    "Takes “refund” for “cancel_order” in 31% of cases." + mark if at == 2 else ""
                    for at in range(len(keys))
                ],
            }
        )
    )
    return pd.concat(parts, ignore_index=True)[list(FINDING_COLUMNS)].astype({"flagged": "bool", "severity": "float64"})


def _verdicts(ids: list[int], findings: pd.DataFrame) -> pd.DataFrame:
    relabel, drop, why = set(), set(), {}
    for row in findings[findings["flagged"] & (findings["subject"] == "example")].itertuples():
        (relabel if row.check == "label_errors" else drop).add(row.subject_id)
        why.setdefault(row.subject_id, []).append(
            {
                "check": row.check,
                "action": "drop",
                "severity": row.severity,
                "reason": row.reason,
                "suggestion": row.suggestion,
            }
        )
    verdict = ["drop" if str(key) in drop else "relabel" if str(key) in relabel else "keep" for key in ids]
    stored = [json.dumps(why.get(str(key), [])) for key in ids]
    return pd.DataFrame(
        {
            "example_id": pd.Series(ids, dtype="int64"),
            "verdict": pd.Series(verdict, dtype="str"),
            "reasons": pd.Series(stored, dtype="str"),
        }
    )


def _annotators(random: Any, people: dict[str, str], annotations: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for at, (key, name) in enumerate(people.items()):
        n = 8 if at == 4 else int((annotations["annotator"] == key).sum())
        right = int(n * (0.95 - 0.06 * (at % 5)))
        interval = wilson(right, n) if n else None
        rows.append(
            (key, name, n, *((interval.value, interval.low, interval.high) if interval else (None, None, None)), 0, None)
        )
    return pd.DataFrame(rows, columns=list(ANNOTATOR_COLUMNS)).astype(
        {"quality": "float64", "quality_low": "float64", "quality_high": "float64", "gold_accuracy": "float64"}
    )


def _interval(count: int, n: int) -> dict[str, float]:
    found = wilson(count, n)
    return {"value": found.value, "low": found.low, "high": found.high}


def _summary(
    random: Any,
    tables: dict[str, pd.DataFrame],
    truth: Any,
    people: dict[str, str],
    slices: dict[str, Any],
    labels: tuple[str, ...],
    mark: str,
    gate_open: bool,
) -> dict[str, Any]:
    examples, findings, verdicts = tables["examples"], tables["findings"], tables["verdicts"]
    joined, n = examples.merge(verdicts, on="example_id"), len(examples)
    answered, seen = (n, Counter(truth.tolist())) if people else (0, Counter())
    tally = Counter(verdicts["verdict"])
    groups = [(name, group, joined[joined[name] == group]) for name, found in slices.items() for group in found]
    return {
        "assay": "0.1.0",
        "check_id": "3f9ac2b71d0845e6a1b2c3d4e5f60718",
        "created_at": "2026-11-24T08:12:31+00:00",
        "project": {
            "name": "Harbour & Home support" + mark,
            "template": "text_classification",
            "task": "text_classification",
            "source": "export.json" + mark,
        },
        "counts": {
            "tasks": n + 3,
            "examples": n,
            "annotated": answered,
            "unannotated": n - answered,
            "annotations": len(tables["annotations"]),
            "cancelled": 4,
            "empty": 1,
            "annotators": len(people),
            "quarantined": len(tables["quarantine"]),
            "labels": len(labels),
        },
        "labels": [
            {
                "label": label,
                "count": seen[at],
                "share": seen[at] / answered,
                "low": wilson(seen[at], answered).low,
                "high": wilson(seen[at], answered).high,
            }
            for at, label in enumerate(labels)
            if answered
        ],
        "agreement": _agreement(random, people, slices, labels, mark),
        "consensus": {
            "method": "dawid_skene",
            "why": "Annotators answered at least 20 examples each, so their habits can be estimated.",
            "ties": 7,
            "alternatives": [{"method": "majority_vote", "different_answers": 12}],
            "ambiguous": {"count": 5, "tested": 90, "false_share": 0.05},
            "gold": [
                {"method": "dawid_skene", "right": 27, "examples": 30, "accuracy": {"value": 0.9, "low": 0.744, "high": 0.965}}
            ],
        },
        "checks": _checks(random, findings, slices, labels, people, mark, gate_open),
        "policy": {
            "label_errors": "relabel",
            "exact_duplicates": "drop",
            "near_duplicates": "drop",
            "privacy": "drop",
            "annotators": "note",
        },
        "verdicts": {name: tally[name] for name in ("keep", "relabel", "drop")},
        "verdicts_by_check": {
            "label_errors": {"relabel": tally["relabel"], "drop": 0, "note": 2},
            "exact_duplicates": {"relabel": 0, "drop": tally["drop"], "note": 0},
        },
        "verdicts_by_slice": [
            {
                "slice": name,
                "group": group,
                "n": len(rows),
                "kept": float((rows["verdict"] == "keep").mean()),
                "relabel": int((rows["verdict"] == "relabel").sum()),
                "drop": int((rows["verdict"] == "drop").sum()),
                "kept_low": _interval(int((rows["verdict"] == "keep").sum()), len(rows))["low"],
                "kept_high": _interval(int((rows["verdict"] == "keep").sum()), len(rows))["high"],
            }
            for name, group, rows in groups
            if len(rows)
        ],
        "splits": {
            name: dict(Counter(joined[joined["split"] == name]["verdict"])) for name in ("train", "validation", "test")
        }
        if n
        else {},
        "gate": {
            "name": "release",
            "open": gate_open,
            "expectations": [
                {
                    "table": "examples",
                    "expectation": "expect_column_values_to_not_be_null",
                    "column": "text",
                    "observed": "0 null",
                    "allowed": "0",
                    "passed": True,
                    "meaning": "Every example has a text.",
                },
                {
                    "table": "findings",
                    "expectation": "expect_column_value_to_be_between",
                    "column": "flagged_share",
                    "observed": 0.041 if gate_open else 0.31,
                    "allowed": "≤ 0.1",
                    "passed": gate_open,
                    "meaning": "At most 10% of the labels are doubtful." + mark,
                },
                {
                    "table": "findings",
                    "expectation": "expect_column_max_to_be_between",
                    "column": "leakage",
                    "observed": 0,
                    "allowed": "0",
                    "passed": True,
                    "meaning": "No test example, nor a near copy, is in train.",
                },
            ],
        },
        "planted": [
            {
                "fault": "wrong_consensus",
                "planted": 30,
                "found": 26,
                "flagged": 31,
                "missed_ids": ["1004", "1044", "1300", "1500" + mark],
                "where": "label_errors flags it" + mark,
            },
            {
                "fault": "exact_duplicate",
                "planted": 10,
                "found": 10,
                "flagged": 11,
                "missed_ids": [],
                "where": "the verdict is drop",
            },
        ],
        "environment": {"pandas": "3.1.1", "cleanlab": "2.9.0", "great-expectations": "1.24.0"},
    }


def _agreement(
    random: Any, people: dict[str, str], slices: dict[str, Any], labels: tuple[str, ...], mark: str
) -> dict[str, Any]:
    measure = "Krippendorff’s alpha (nominal)"
    if len(people) < 2:
        return {
            "measure": measure,
            "overall": None,
            "reason": "No example has two answers." + mark,
            "labels": [],
            "slices": [],
            "pairs": [],
        }

    def row(n: int) -> dict[str, Any]:
        value = float(random.uniform(0.5, 0.85))
        return {"value": value, "low": value - 0.06, "high": value + 0.05, "n": n}

    keys = list(people)
    return {
        "measure": measure,
        "overall": {"value": 0.7123, "low": 0.6581, "high": 0.7602, "level": 0.95},
        "reason": "",
        "labels": [{"label": label, **row(80)} for label in labels],
        "slices": [{"slice": name, "group": group, **row(150)} for name, groups in slices.items() for group in groups],
        "pairs": [
            {"a": a, "b": b, "value": float(random.uniform(0.3, 0.9)), "n": 120}
            for at, a in enumerate(keys)
            for b in keys[at + 1 :]
        ],
    }


def _checks(
    random: Any,
    findings: pd.DataFrame,
    slices: dict[str, Any],
    labels: tuple[str, ...],
    people: dict[str, str],
    mark: str,
    gate_open: bool,
) -> list[dict[str, Any]]:
    tests = []
    for name, groups in slices.items():
        for at, group in enumerate(groups):
            for label in labels:
                interval = _interval(int(random.integers(5, 40)), 160)
                tests.append(
                    {
                        "slice": name,
                        "group": group,
                        "label": label,
                        "rate": interval["value"],
                        "low": interval["low"],
                        "high": interval["high"],
                        "n": 160,
                        "reference": 0.125,
                        "ratio": interval["value"] / 0.125,
                        "flagged": at == 2 and label == labels[-1],
                    }
                )
    keys = list(people)
    facts: dict[str, dict[str, Any]] = {
        "class_balance": {"labels": []},
        "slice_labels": {"tests": tests, "association": [{"slice": name, "cramers_v": 0.13} for name in slices]},
        "exact_duplicates": {
            "judged": len(findings),
            "groups": 6,
            "conflicting": 2,
            "sizes": [{"rows": 2, "groups": 6}],
            "conflicts": [{"examples": ["1000", "1010"], "labels": list(labels[:2])}],
        },
        "near_duplicates": {"groups": 9, "conflicting": 1},
        "privacy": {"kinds": {"email": 5, "phone": 2}},
        "label_errors": {
            "expected_errors": {"value": 33.2, "low": 25.1, "high": 41.0},
            "by_label" + mark: [{"given": label, "likely": labels[0], "count": 3} for label in labels],
        },
        "annotators": {
            **_about_people(keys, mark),
            "confusions": [
                {"annotator": keys[2], "given": labels[1], "consensus": labels[2], "count": 31, "rate": 0.31}
            ],
            "bias": [
                {
                    "annotator": keys[3],
                    "slice": name,
                    "group": groups[0],
                    "label": labels[-1],
                    "rate": 0.31,
                    "others": 0.12,
                    "low": 0.22,
                    "high": 0.41,
                    "flagged": True,
                }
                for name, groups in slices.items()
            ],
        }
        if len(keys) > 3
        else {"confusions": [], "bias": []},
    }
    rows = []
    for name in sorted({*findings["check"], "class_balance", "slice_labels", "leakage", "text_quality", "tone" + mark}):
        mine = findings[findings["check"] == name]
        flagged = int(mine["flagged"].sum())
        status, reason = ("flagged" if flagged else "passed"), ""
        if name == "leakage":
            status, reason = "skipped", "The examples have no splits yet." + mark
        if name == "text_quality" and not gate_open:
            status, reason = "crashed", "KeyError: 'text' (text_quality.py:41)" + mark
        rows.append(
            {
                "check": name,
                "question": f"Does {name} hold?",
                "status": status,
                "reason": reason,
                "judged": len(mine),
                "flagged": flagged,
                "seconds": 0.123,
                "settings": {"threshold": 0.5, "kinds": ["a" + mark]},
                "facts": facts.get(name, {"seen" + mark: "x" + mark, "deep": {"a": [1, {"b": mark}]}}),
            }
        )
    return rows


def _about_people(keys: list[str], mark: str) -> dict[str, Any]:
    """What the annotators check says of the third, who is hasty, and of the fourth and fifth."""

    def word(who: str, about: str, sentence: str, other: str = "") -> dict[str, Any]:
        return {"annotator": who, "about": about, "severity": 0.5, "p": 1e-4, "sentence": sentence + mark, "other": other}

    return {
        "words": [
            word(keys[2], "agreement", "Agrees with the others in 61% of 310 shared answers (55% to 66%); they do in 84%."),
            word(keys[2], "drift", "Agreed with the others by 83% in the first 140 answers and by 52% in the 170 after: 29 "
                 "points (19 to 39) more than the others' agreement fell on the same examples."),
            word(keys[3], "copying", f"Shares 24 of 41 unusual answers with annotator {keys[1]}; of two who work apart 5.2 would "
                 "be expected; answered later in 24 of 24 of these.", keys[1]),
        ],
        "gold": [
            {"annotator": key, "n": 40, "accuracy": right / 40, "low": wilson(right, 40).low, "high": wilson(right, 40).high,
             "others": 0.88, "p": 0.2, "flagged": at == 2}
            for at, (key, right) in enumerate(zip(keys, (37, 36, 24, 35, 38), strict=False))
        ],
        "suggestions": [
            {"annotator": key, "shown": 120, "shown_rate": 0.9 - 0.02 * at, "held": 30, "held_rate": 0.8, "wrong": 21,
             "followed": 15 - 3 * at, "share": 0.6 - 0.12 * at, "others_share": 0.2, "flagged": at == 0}
            for at, key in enumerate(keys)
        ],
        "suggestions_overall": {
            "shown": 600, "shown_rate": 0.86, "held": 150, "held_rate": 0.8, "gap": 0.06, "gap_low": -0.01, "gap_high": 0.13,
            "wrong": 105, "followed": 45,
        },
        "circles": [{"people": keys[:3], "shared": 82, "n": 114, "expected": 35.4}],
        "not_told": ["Order in time: the answers carry no times, so their order is taken from their numbers." + mark],
    }  # fmt: skip


def judge(
    folder: Path, mark: str = "", labels: int = 8, slices: tuple[str, ...] = ("region",), rival: str = "champion"
) -> dict[str, Any]:
    """Write an evaluation folder with what `compare` says of three models' answers, and give its content."""
    random = np.random.default_rng(3)
    folder.mkdir(parents=True, exist_ok=True)
    names = np.array([f"intent_{at}{mark}" for at in range(labels)], object)
    gold = random.integers(0, labels, 134)
    rows = pd.DataFrame({"example_id": range(134), "text": "x", "label": names[gold]})
    for name in slices:
        rows[name + mark] = random.choice(
            [f"{group}{mark}" for group in ("north", "south", "isles")], 134, p=[0.5, 0.42, 0.08]
        )
    answers = {}
    for model, accuracy in (("adapter", 0.9), ("base", 0.62), (rival + mark, 0.85)):
        said = np.where(random.random(134) < accuracy, gold, random.integers(0, labels, 134))
        answers[model] = Answers(names[said].tolist(), random.uniform(0.5, 1, 134).astype(np.float32))
    known = [*sorted(set(names)), "unseen" + mark]
    told = compare(rows, answers, slices=[name + mark for name in slices], min_slice=20, seed=1, known=known)
    body = {
        "adapter": "ad41c0ffee" + mark, "others": {rival + mark: "c0ffee" + mark}, "version": "v7" + mark,
        "labels_from": "cleaned" + mark, "model": "all-MiniLM" + mark, "method": "lora" + mark, **told,
    }  # fmt: skip
    write_json(folder / "evaluation.json", body)
    return body
