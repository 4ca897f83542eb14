"""What the consensus of labels does with few answers, a model, gold, hard examples and true splits."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pipeline.consensus.aggregation import METHODS, Votes, decide, solve
from pipeline.consensus.ambiguity import ambiguity
from pipeline.consensus.build import Consensus, build
from pipeline.consensus.calibration import calibrate, tempered
from pipeline.consensus.choosing import Choice, by_gold, by_shape
from pipeline.errors import ConfigError

LABELS = ("a", "b", "c")


def crowd(
    seed: int,
    *,
    n: int = 300,
    k: int = 3,
    labels: int = 3,
    people: int = 20,
    skill: tuple[float, float] = (6, 2),
    share: float = 0.0,
) -> tuple[Votes, NDArray[np.int64], NDArray[np.bool_]]:
    """(votes, truth, ambiguous): k answers an example of annotators whose accuracy is drawn from a beta distribution; a share of
    the examples is split evenly between two labels."""
    random = np.random.default_rng(seed)
    truth, accuracy = random.integers(0, labels, n), random.beta(*skill, people)
    split = random.random(n) < share
    other = (truth + random.integers(1, labels, n)) % labels
    example = np.repeat(np.arange(n), k)
    annotator = np.concatenate([random.choice(people, k, replace=False) for _ in range(n)])
    meant = np.where(split[example] & (random.random(n * k) < 0.5), other[example], truth[example])
    said = np.where(random.random(n * k) < accuracy[annotator], meant, (meant + random.integers(1, labels, n * k)) % labels)
    return Votes(example, annotator, said, n, people, labels), truth, split


def model(truth: NDArray[np.int64], labels: int, right: float, sure: float, seed: int) -> NDArray[np.float64]:
    """Probabilities of a model that is right at one rate and sure at another."""
    random = np.random.default_rng(seed)
    said = np.where(random.random(len(truth)) < right, truth, (truth + random.integers(1, labels, len(truth))) % labels)
    result = np.full((len(truth), labels), (1 - sure) / (labels - 1))
    result[np.arange(len(truth)), said] = sure
    return result


def accuracy(votes: Votes, truth: NDArray[np.int64], method: str, said: NDArray[np.float64] | None = None) -> float:
    return float((decide(solve(votes, method, said), np.arange(votes.examples), 0)[0] == truth).mean())


def annotations(votes: Votes, gold: dict[int, int] | None = None) -> pd.DataFrame:
    """The votes as the consensus stage gets them; gold: example → label, given by a lead as ground truth."""
    rows = [(e, f"p{a:02d}", LABELS[x], False) for e, a, x in zip(votes.example, votes.annotator, votes.label, strict=True)]
    rows += [(e, "lead", LABELS[x], True) for e, x in (gold or {}).items()]
    return pd.DataFrame(
        {
            "annotation_id": range(len(rows)), "example_id": [row[0] for row in rows], "annotator": [row[1] for row in rows],
            "answer": [f'"{row[2]}"' for row in rows], "created_at": "", "updated_at": "", "seconds": 1.0,
            "ground_truth": [row[3] for row in rows], "cancelled": False, "imported": False,
        }
    )  # fmt: skip


def built(votes: Votes, gold: dict[int, int] | None = None, **options: object) -> Consensus:
    examples = pd.DataFrame({"example_id": range(votes.examples)})
    return build(annotations(votes, gold), examples, labels=LABELS, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("k", [2, 3, 5])
def test_the_default_is_no_worse_than_any_method_and_better_than_majority_with_few_answers(k: int) -> None:
    found = {method: [] for method in ("auto", *METHODS)}  # type: dict[str, list[float]]
    for seed in range(8):
        votes, truth, _ = crowd(seed, k=k)
        for method in found:
            found[method].append(accuracy(votes, truth, by_shape(votes).method if method == "auto" else method))
    mean = {method: float(np.mean(values)) for method, values in found.items()}
    assert mean["auto"] > mean["majority"] + 0.01, mean
    assert mean["auto"] >= max(mean.values()) - 0.03, mean  # one_coin knows here that errors are even, as they never are


def test_shape_decides_between_the_methods_and_says_why() -> None:
    one, few, many = (crowd(0, k=k, n=n)[0] for k, n in ((1, 300), (3, 300), (10, 600)))
    assert [by_shape(votes).method for votes in (one, few, many)] == ["majority", "shrunk", "dawid_skene"]
    assert "3.0 answers per example" in by_shape(few).why


def test_a_model_helps_where_answers_are_few_and_does_no_harm_where_it_is_surer_than_right() -> None:
    gain, harm, peer = [], [], []
    for seed in range(6):
        votes, truth, _ = crowd(seed, k=2, labels=4)
        alone = accuracy(votes, truth, "shrunk")
        gain.append(accuracy(votes, truth, "shrunk", model(truth, 4, 0.85, 0.85, seed)) - alone)
        bad = model(truth, 4, 0.4, 0.999, seed)
        harm.append(accuracy(votes, truth, "shrunk", bad) - alone)
        peer.append(accuracy(votes, truth, "crowdlab", bad) - accuracy(votes, truth, "majority"))
    assert np.mean(gain) > 0.05, gain
    assert np.mean(harm) > -0.01, harm
    assert np.mean(peer) > -0.02, peer


def test_a_model_is_never_asked_where_each_example_has_one_answer_and_a_lone_answer_stands() -> None:
    asked = []

    def ask(labels: NDArray[np.int64]) -> NDArray[np.float64]:
        asked.append(labels)
        return np.tile([0.998, 0.001, 0.001], (len(labels), 1))

    votes, _, _ = crowd(0, k=1)
    alone = built(votes, model=ask).consensus
    assert not asked
    assert alone["answer"].tolist() == [f'"{LABELS[label]}"' for label in votes.label]
    assert alone["confidence"].isna().all()
    assert (alone["distribution"] == "").all()
    votes, _, _ = crowd(0, k=2)
    rows = np.flatnonzero((votes.example >= 30) | (np.arange(len(votes.example)) % 2 == 0))
    mixed = replace(votes, example=votes.example[rows], annotator=votes.annotator[rows], label=votes.label[rows])
    found = built(mixed, model=ask).consensus
    assert len(asked) == 1
    lone = [f'"{LABELS[label]}"' for label in mixed.label[mixed.example < 30]]
    assert found["answer"].tolist()[:30] == lone


def test_the_model_learns_from_one_label_per_row_of_the_examples_and_its_word_finds_them_again() -> None:
    votes, truth, _ = crowd(1, k=2)
    order = np.random.default_rng(0).permutation(votes.examples)
    examples = pd.DataFrame({"example_id": [9999, *order.tolist()]})

    def ask(labels: NDArray[np.int64]) -> NDArray[np.float64]:
        assert labels[0] == -1, "nobody answered the first one"
        assert (labels[1:] == truth[order]).mean() > 0.7
        return np.vstack([np.full(3, np.nan), model(truth[order], 3, 0.9, 0.9, 3)])

    found = build(annotations(votes), examples, labels=LABELS, model=ask)
    right = [f'"{LABELS[label]}"' for label in truth]
    assert (found.consensus["answer"] == right).mean() > (built(votes).consensus["answer"] == right).mean() + 0.03
    assert found.facts["consensus"]["model"] is True


def test_gold_judges_methods_that_have_not_seen_it() -> None:
    """If the lead's answer counted, or was known to the methods, all would be right on gold."""
    votes, truth, _ = crowd(2, k=3)
    gold = {example: int((truth[example] + 1) % 3) for example in range(0, 120)}  # a lead who is always wrong
    rows = built(votes, gold).facts["consensus"]["gold"]
    assert {row["method"] for row in rows} >= set(METHODS)
    assert all(row["examples"] == 120 and row["accuracy"]["value"] < 0.2 for row in rows)


def test_gold_overrules_the_shape_only_if_another_method_is_clearly_better() -> None:
    votes, truth, _ = crowd(3, k=3)
    some = {example: int(truth[example]) for example in range(60)}
    told = built(votes, some).facts["consensus"]
    assert told["method"] == "shrunk"
    assert "60 gold examples" in told["why"]
    two, truth, _ = crowd(0, k=2, labels=5, people=60)  # nobody's 25 confusions are known from 10 answers
    chosen, rows, _ = by_gold(two, truth, np.arange(300), Choice("dawid_skene", "Set by hand."), 0, None)
    right = {row["method"]: row["right"] for row in rows}
    assert right[chosen.method] == max(right.values()) > right["dawid_skene"] + 10
    assert chosen.why.startswith("By gold")


def test_gold_says_what_everybodys_answers_are_worth() -> None:
    """Known truth is known to the methods in the end, and the rest gain by it."""
    gains = []
    for seed in range(8):
        votes, truth, _ = crowd(seed, k=2, people=8, skill=(2, 2))
        known = np.where(np.arange(300) < 150, truth, -1)
        rest = known < 0
        with_gold, without = (solve(v, "shrunk").probabilities.argmax(1) for v in (replace(votes, known=known), votes))
        gains.append((with_gold == truth)[rest].mean() - (without == truth)[rest].mean())
    assert np.mean(gains) > 0.02, gains


def test_a_temperature_by_gold_takes_back_what_is_too_sure() -> None:
    votes, truth, _ = crowd(5, k=10, n=600, share=0.5)
    posterior = solve(votes, "dawid_skene")
    known = np.where(np.arange(600) % 2 == 0, truth, -1)
    heat = calibrate(votes, posterior, known, posterior)
    assert heat.by == "gold"
    assert heat.temperature > 1
    rest = known < 0

    def gap(said: NDArray[np.float64]) -> float:
        return abs(float(said.max(1)[rest].mean() - (said.argmax(1) == truth)[rest].mean()))

    assert gap(tempered(posterior.probabilities, heat.temperature)) < gap(posterior.probabilities)


def test_true_splits_are_found_and_errors_are_not_called_so() -> None:
    found, false, null = [], [], []
    for seed in range(10):
        votes, _, split = crowd(seed, k=10, share=0.1, skill=(30, 3))
        called = ambiguity(votes, solve(votes, "dawid_skene"), 0).ambiguous
        found.append((called & split).sum() / split.sum())
        false.append((called & ~split).sum() / max(called.sum(), 1))
        votes, _, _ = crowd(seed, k=10, skill=(30, 3))
        null.append(ambiguity(votes, solve(votes, "dawid_skene"), 0).ambiguous.any())
    assert np.mean(found) > 0.5, (found, false)
    assert np.mean(false) < 0.12, (found, false)  # stated .05; 10 simulations
    assert np.mean(null) <= 0.2, null


def test_an_ambiguous_example_keeps_how_people_split_and_a_clear_one_the_posterior() -> None:
    votes, _, split = crowd(0, k=10, share=0.1, skill=(30, 3))
    table = built(votes).consensus
    soft = [json.loads(text) for text in table["distribution"]]
    assert all(sum(one.values()) == pytest.approx(1, abs=2e-3) for one in soft)
    top = np.array([max(one.values()) for one in soft])
    assert table["ambiguous"].any()
    assert top[table["ambiguous"]].mean() < 0.75 < 0.95 < top[~table["ambiguous"] & ~split].mean()
    assert table["confidence"].between(1 / 3, 1).all()


def test_what_was_decided_is_not_ambiguous_any_more() -> None:
    votes, _, _ = crowd(0, k=10, share=0.1, skill=(30, 3))
    first = built(votes).consensus
    example = int(first.loc[first["ambiguous"], "example_id"].iloc[0])
    again = built(votes, reviewed={example: '"a"'}).consensus.set_index("example_id").loc[example]
    assert (again["answer"], again["ambiguous"], again["distribution"], again["confidence"]) == ('"a"', False, "", 1.0)


@pytest.mark.parametrize("method", [*METHODS, "crowdlab"])
def test_every_method_takes_what_is_odd(method: str) -> None:
    """One example, one annotator, labels nobody gave, an example without an answer."""
    for example, annotator, label, n in (([0], [0], [1], 1), ([0, 1, 1], [0, 0, 1], [1, 1, 1], 3), ([], [], [], 0)):
        votes = Votes(np.array(example, int), np.array(annotator, int), np.array(label, int), n, 2, 4)
        said = np.full((n, 4), np.nan)
        posterior = solve(votes, method, said)
        assert posterior.probabilities.shape == (n, 4)
        answered = posterior.probabilities[votes.sizes > 0]
        assert np.allclose(answered.sum(1), 1)


def test_crowdlab_without_a_model_says_what_it_needs() -> None:
    with pytest.raises(ConfigError, match="model"):
        built(crowd(0)[0], method="crowdlab")
