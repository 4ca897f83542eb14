"""Planted wrong labels are found, rare classes are named, and neither by looking at an example's own label."""

import csv
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pytest
from corpora import (
    LABELS,
    annotations_table,
    clusters,
    consensus_table,
    corpus,
    examples_table,
    leave_one_out,
    with_probabilities,
)

from pipeline.evidence.neighbours import nearest
from pipeline.evidence.probabilities import out_of_sample
from pipeline.types import Corpus
from validators.check import Skip
from validators.class_balance import class_balance
from validators.label_errors import label_errors

# data set, recall and precision at least; measured with these very texts: trec .78 and .63, banking77 .88 and .95
RELIABLE = [("trec", 0.7, 0.5), ("banking77", 0.8, 0.85)]


def planted(
    *, n: int = 400, share: float = 0.1, seed: int = 0, spread: float = 0.9, confidence: float | None = None
) -> tuple[Corpus, set[str]]:
    """Separable clusters, one per label, of which a share carries another label; and the ids of those."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, len(LABELS), n)
    wrong = random.random(n) < share
    given = np.where(wrong, (truth + random.integers(1, len(LABELS), n)) % len(LABELS), truth)
    points = clusters(truth, len(LABELS), spread=spread, seed=seed)
    evidence = with_probabilities(n, len(LABELS), points, leave_one_out(points, given, len(LABELS)))
    sure = np.nan if confidence is None else confidence
    table = consensus_table([LABELS[i] for i in given], sure)
    examples = examples_table([f"message {i}" for i in range(n)])
    made = corpus(examples, annotations_table([]), consensus=table, evidence=evidence)
    return made, {str(i + 1) for i in np.flatnonzero(wrong)}


def flagged(table: pd.DataFrame) -> set[str]:
    return set(table.loc[table["flagged"], "subject_id"])


@pytest.mark.parametrize("seed", range(5))
def test_planted_wrong_labels_are_found_and_ranked_first(seed: int) -> None:
    made, wrong = planted(seed=seed)
    table = label_errors.run(made).findings
    found = flagged(table)
    assert len(found & wrong) >= 0.7 * len(wrong)  # recall; over 20 seeds .79 to .98
    assert len(found & wrong) >= 0.9 * len(found)  # precision; over 20 seeds always 1
    assert len(set(table["subject_id"][: len(wrong)]) & wrong) >= 0.9 * len(wrong)  # .97 to 1
    assert len(table) == 400


def test_clean_separable_labels_raise_few_doubts() -> None:
    made, _ = planted(share=0.0)
    assert len(flagged(label_errors.run(made).findings)) <= 4  # 1 %; over 20 seeds none


def test_the_suggestion_is_the_right_label_and_the_reason_says_how_likely_it_is() -> None:
    made, wrong = planted(share=0.05)
    truth = {row.subject_id: row for row in label_errors.run(made).findings.itertuples() if row.flagged}
    names = dict(zip(made.examples["example_id"].astype(str), made.labelled()["label"], strict=True))
    for subject in wrong & truth.keys():
        other = orjson.loads(truth[subject].suggestion)
        assert other in LABELS
        assert other != names[subject]
        assert f"“{names[subject]}”" in truth[subject].reason
        assert f"“{other}”" in truth[subject].reason
        assert "%" in truth[subject].reason


def test_an_uncertain_consensus_is_doubted_more_than_a_certain_one() -> None:
    unsure, _ = planted(confidence=0.55)
    certain, _ = planted(confidence=0.97)
    tables = [label_errors.run(made).findings.set_index("subject_id")["severity"].sort_index() for made in (unsure, certain)]
    assert (tables[0] > tables[1]).all()


def test_nothing_is_flagged_that_model_and_annotators_together_still_favour() -> None:
    """Labels hard to tell apart, annotators nearly sure: cleanlab alone would flag more."""
    made, _ = planted(spread=3.0, confidence=0.97)
    table = label_errors.run(made).findings
    assert table["flagged"].any()
    assert (table.loc[table["flagged"], "severity"] > 0.5).all()
    assert table["flagged"].sum() == (table["severity"] > 0.5).sum()


def test_a_class_with_four_examples_is_not_judged_and_is_counted() -> None:
    made, _ = planted(share=0.0)
    answers = made.consensus["answer"].where(made.consensus.index >= 4, orjson.dumps("other").decode())
    small = made.consensus.assign(answer=answers.where((answers != '"other"') | (made.consensus.index < 4), '"account"'))
    report = label_errors.run(Corpus(**{**vars(made), "consensus": small}))
    assert not {"1", "2", "3", "4"} & set(report.findings["subject_id"])
    assert report.facts["left_out"] == {"no_probabilities": 0, "small_class": 4}


def test_too_few_examples_or_labels_are_a_reason_to_skip_that_says_how_many_are_needed() -> None:
    with pytest.raises(Skip, match="at least 50"):
        label_errors.run(planted(n=40)[0])
    made, _ = planted()
    same = Corpus(**{**vars(made), "consensus": made.consensus.assign(answer='"billing"')})
    with pytest.raises(Skip, match="two labels"):
        label_errors.run(same)


def test_examples_without_probabilities_are_left_out_and_counted() -> None:
    made, _ = planted()
    made.evidence.probabilities[:30] = np.nan
    report = label_errors.run(made)
    assert len(report.findings) == 370
    assert report.facts["left_out"]["no_probabilities"] == 30


@pytest.mark.parametrize(("name", "recall", "precision"), RELIABLE)
def test_planted_errors_on_real_texts_are_found_with_words_alone(
    shared: Path, name: str, recall: float, precision: float
) -> None:
    """10 % of 1,500 texts get another label. Bags of words, without an encoder: few seconds. What was wrong before counts as
    a false alarm."""
    texts, names = real(shared, name)
    random = np.random.default_rng(0)
    labels = sorted(set(names))
    truth = np.array([labels.index(label) for label in names])
    wrong = random.random(len(truth)) < 0.1
    given = np.where(wrong, (truth + random.integers(1, len(labels), len(truth))) % len(labels), truth).astype(np.int64)
    points = words(texts)
    neighbours, similarities = nearest(points, 10)
    own = np.arange(len(texts))
    probabilities = out_of_sample(points, given, own, neighbours, similarities, len(labels))
    evidence = with_probabilities(len(texts), len(labels), points, probabilities)
    table = consensus_table([labels[i] for i in given], np.nan)
    made = corpus(examples_table(texts), annotations_table([]), labels=labels, consensus=table, evidence=evidence)
    found = flagged(label_errors.run(made).findings)
    planted_ids = {str(i + 1) for i in np.flatnonzero(wrong)}
    assert len(found & planted_ids) >= recall * len(planted_ids)
    assert len(found & planted_ids) >= precision * len(found)


def real(shared: Path, name: str) -> tuple[list[str], list[str]]:
    if name == "trec":
        lines = (shared / "data/trec/TREC.train.all").read_text("latin-1").splitlines()
        rows = [line.split(" ", 1) for line in lines if line.strip()]
        return [row[1] for row in rows[:1500]], [row[0] for row in rows[:1500]]
    with (shared / "data/banking77/train.csv").open(encoding="utf-8") as stream:
        table = list(csv.DictReader(stream))
    first = sorted({row["category"] for row in table})[:20]
    chosen = [row for row in table if row["category"] in first][:1500]
    return [row["text"] for row in chosen], [row["category"] for row in chosen]


def words(texts: list[str]) -> np.ndarray:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    bags = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True).fit_transform(texts)
    points = TruncatedSVD(200, random_state=0).fit_transform(bags)
    return (points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def balanced(counts: dict[str, int]) -> Corpus:
    names = [label for label, count in counts.items() for _ in range(count)]
    return corpus(examples_table(["x"] * len(names)), annotations_table([]), consensus=consensus_table(names))


def test_rare_and_unused_labels_are_named_with_the_number_that_is_needed() -> None:
    table = class_balance.run(balanced({"billing": 300, "refund": 40, "delivery": 25, "account": 24, "complaint": 3}))
    rows = table.findings.set_index("subject_id")
    assert set(rows.index[rows["flagged"]]) == {"account", "complaint", "other"}
    assert rows.loc["other", "severity"] == 1
    assert "nobody used it" in rows.loc["other", "reason"]
    assert "takes 25" in rows.loc["complaint", "reason"]
    shares = {row["label"]: row for row in table.facts["labels"]}
    assert shares["billing"]["low"] < 300 / 392 == shares["billing"]["share"] < shares["billing"]["high"]
    assert shares["other"]["count"] == 0


def test_a_label_that_is_large_enough_but_a_hundredth_of_the_largest_is_named() -> None:
    sizes = {"billing": 4000, "refund": 39, "delivery": 41, "account": 100, "complaint": 100, "other": 100}
    rows = class_balance.run(balanced(sizes)).findings.set_index("subject_id")
    assert set(rows.index[rows["flagged"]]) == {"refund"}
    assert "100 to 1" in rows.loc["refund", "reason"]
