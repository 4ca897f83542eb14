"""Who gives one rating for everything."""

from __future__ import annotations

import numpy as np
import orjson
import pytest
from corpora import annotations_table, corpus, examples_table, of_template

from pipeline.types import Corpus
from validators.check import Skip
from validators.rating_halo import rating_halo, ratings

NAMES = ("accuracy", "clarity", "relevance")
RUNS = 60


def rated(seed: int, *, halo: float = 0.0, n: int = 60, people: int = 4, together: float = 0.3) -> Corpus:
    """Responses of three true qualities that go together a little; anna gives her first rating to all three at rate `halo`."""
    random = np.random.default_rng(seed)
    rows = []
    for example in range(1, n + 1):
        general = random.normal()
        truth = {name: 3 + together * general + np.sqrt(1 - together**2) * random.normal() for name in NAMES}
        for number in range(people):
            given = {name: int(np.clip(round(value + 0.5 * random.normal()), 1, 5)) for name, value in truth.items()}
            if number == 0 and random.random() < halo:
                given = dict.fromkeys(NAMES, given[NAMES[0]])
            rows.append((example, "anna" if number == 0 else f"person {number}", given, 9.0))
    examples = examples_table([f"response {number}" for number in range(n)])
    table = annotations_table([(example, who, "", seconds) for example, who, _, seconds in rows])
    table["answer"] = [orjson.dumps(given).decode() for _, _, given, _ in rows]
    return corpus(examples, table, labels=(), task="response_rating")


def named(made: Corpus) -> set[str]:
    table = rating_halo.run(made).findings
    return set(table.loc[table["flagged"], "subject_id"])


def test_who_rates_everything_alike_is_found() -> None:
    hits = [named(rated(seed, halo=0.7)) for seed in range(RUNS)]
    assert sum(names == {"anna"} for names in hits) >= 0.9 * RUNS, hits


def test_nobody_is_named_where_all_rate_alike() -> None:
    """Also where the dimensions truly go together: then the others rate them alike as well."""
    for together in (0.3, 0.95):
        assert sum(bool(named(rated(seed, together=together))) for seed in range(RUNS)) <= 2


def test_the_facts_say_which_dimensions_go_together() -> None:
    facts = rating_halo.run(rated(1, together=0.98, n=300)).facts
    apart = rating_halo.run(rated(1, together=0.0, n=300)).facts
    assert all(row["correlation"] > 0.7 for row in facts["together"])
    assert all(row["low"] < 0.1 for row in apart["together"])
    assert {row["dimension"] for row in facts["dimensions"]} == set(NAMES)


def test_a_dimension_that_somebody_left_out_is_no_rating() -> None:
    made = rated(1, n=20)
    rows = made.annotations.copy()
    rows.loc[rows.index[0], "answer"] = orjson.dumps({"accuracy": 3}).decode()
    table = ratings(corpus(made.examples, rows, labels=(), task="response_rating"))
    assert table.isna().sum().sum() == 2


def test_the_shipped_samples_can_be_read() -> None:
    for name in ("response_rating", "creative_writing"):
        assert rating_halo.run(of_template(name)[0]).facts["dimensions"]


def test_other_kinds_of_answers_are_skipped() -> None:
    with pytest.raises(Skip):
        rating_halo.run(of_template("pairwise_preference")[0])
