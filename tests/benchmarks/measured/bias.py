"""Bias checks: what they find of what was planted, and how often they name anybody where there is nothing to be found.

Simulated: 200 corpora each, drawn from seeds 20,000 to 20,199. Thresholds come from the literature named beside them and were
looked at on seeds 0 to 59 (those of `artefacts` on TREC, banking77 and SST-2). An earlier run on seeds 10,000 to 10,199 showed
that the families of `slice_labels` have to be corrected together, so those seeds are not quoted. A false alarm is a corpus in
which a check flags anything at all. Real: HS-Brexit, POPQUORN, MD-Agreement, madlibs and CrowS-Pairs. On a part of madlibs it was
seen that a name has to be held against neutral words (`counterfactual`), so madlibs is no unseen set for that check; on the
others no threshold was chosen.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import orjson
import pandas as pd
from corpora import (
    annotations_table,
    clusters,
    consensus_table,
    corpus,
    examples_table,
    leave_one_out,
    with_probabilities,
)
from measured.row import Row, cost, shared

from pipeline.statistics import wilson
from pipeline.types import Corpus
from validators.check import Skip, all_checks

FIRST, RUNS, QUICK_RUNS = 20_000, 200, 5
LABELS = ("calm", "harsh", "other")
Made = Callable[[np.random.Generator, bool], Corpus]
Random = np.random.Generator


def rows(*, quick: bool) -> Iterator[Row]:
    yield from simulated(range(FIRST, FIRST + (QUICK_RUNS if quick else RUNS)))
    yield from intervals_of_groups(range(FIRST, FIRST + (QUICK_RUNS if quick else RUNS)))
    yield from hsbrexit()
    yield from popquorn()
    yield from mdagreement()
    yield from madlibs(quick)
    yield from crows_pairs()


# --- simulated ---------------------------------------------------------------------------------------------------------


def simulated(seeds: range) -> Iterator[Row]:
    for check, what, effect, make, hit in SCENES:
        for planted in (True, False):
            found, named = 0, 0
            with cost() as spent:
                for seed in seeds:
                    flagged = flags(check, make(np.random.default_rng(seed), planted))
                    found += any(hit(subject) for subject in flagged)
                    named += bool(flagged)
            count = found if planted or make is crossing else named  # there the slices differ, only not where they meet
            share = wilson(count, len(seeds))
            measure = "power" if planted else "false alarms"
            said = effect if planted else "nothing planted"
            yield Row(
                "bias", f"simulated: {what}", check, measure, share.value, share.low, share.high, spent.cpu / len(seeds),
                f"{count} of {len(seeds)}; {said}; CPU-s a corpus, its making included",
            )  # fmt: skip


SETTINGS: dict[str, dict[str, Any]] = {"representation": {"reference": {"region": {"north": 0.2, "east": 0.4, "west": 0.4}}}}


def flags(check: str, made: Corpus) -> list[str]:
    """Subjects flagged; none where the check has nothing to ask."""
    try:
        table = all_checks()[check].run(made, **SETTINGS.get(check, {})).findings
    except Skip:
        return []
    return [str(subject) for subject in table.loc[table["flagged"], "subject_id"]]


def plain(
    given_labels: Any, slices: dict[str, Any] | None = None, texts: Any = None, votes: Any = (), **rest: Any
) -> Corpus:
    """A corpus with a stated consensus and stated votes (example, annotator, label)."""
    n, labels = len(given_labels), given_labels
    examples = examples_table(list(texts) if texts is not None else [f"text {at}" for at in range(n)], slices)
    given = annotations_table([(int(example) + 1, str(who), str(label), 9.0) for example, who, label in votes])
    return corpus(
        examples, given, labels=rest.pop("labels", LABELS), slices=tuple(slices or ()),
        consensus=consensus_table([str(label) for label in labels], rest.pop("confidence", np.nan)), **rest,
    )  # fmt: skip


def skew(random: Random, planted: bool) -> Corpus:
    """600 examples in six regions and three channels; in r0 “harsh” is .35 instead of .15."""
    region, channel = random.integers(0, 6, 600), random.integers(0, 3, 600)
    chance = np.where((region == 0) & planted, 0.35, 0.15)
    label = np.where(random.random(600) < chance, "harsh", np.where(random.random(600) < 0.5, "calm", "other"))
    return plain(label, {"region": [f"r{at}" for at in region], "channel": [f"c{at}" for at in channel]})


def crossing(random: Random, planted: bool) -> Corpus:
    """1,200 examples; “harsh” is .15, .30 in r0, .25 in c0, and .65 instead of .44 where they meet."""
    region, channel = random.integers(0, 3, 1200), random.integers(0, 2, 1200)
    chance = np.array([[0.44, 0.30], [0.25, 0.15], [0.25, 0.15]])[region, channel]
    chance = np.where(planted & (region == 0) & (channel == 0), 0.65, chance)
    label = np.where(random.random(1200) < chance, "harsh", "calm")
    return plain(label, {"region": [f"r{at}" for at in region], "channel": [f"c{at}" for at in channel]})


def shares(random: Random, planted: bool) -> Corpus:
    """1,000 examples; the north is 10 % instead of 20 %."""
    wanted = np.array([0.1, 0.45, 0.45] if planted else [0.2, 0.4, 0.4])
    return plain(["calm"] * 1000, {"region": random.choice(["north", "east", "west"], 1000, p=wanted)})


def named(random: Random, planted: bool) -> Corpus:
    """1,000 texts, each mentions one of six religions with a chance of .3; “harsh” is .45 instead of .2 where it is muslim."""
    names = np.array(["muslim", "jewish", "christian", "catholic", "hindu", "buddhist"])
    who = np.where(random.random(1000) < 0.3, names[random.integers(0, 6, 1000)], "local")
    label = np.where(random.random(1000) < np.where((who == "muslim") & planted, 0.45, 0.2), "harsh", "calm")
    return plain(label, texts=[f"the {name} family at number {at} wrote again" for at, name in enumerate(who)])


def worse(random: Random, planted: bool) -> Corpus:
    """600 examples in four regions whose label mix differs, “other” is harder for everybody; in r0 a fifth of the labels, and of
    each of three answers, is drawn anew instead of a twentieth."""
    region, truth = random.integers(0, 4, 600), random.integers(0, 3, 600)
    truth = np.where((region == 1) & (random.random(600) < 0.4), 2, truth)
    points = clusters(truth, 3, spread=0.6, seed=int(random.integers(1 << 30)))
    slip = np.where((region == 0) & planted, 0.3, 0.075) + 0.1 * (truth == 2)
    draw = [np.where(random.random(600) < slip, random.integers(0, 3, 600), truth) for _ in range(4)]
    votes = [(row, f"p{who}", LABELS[draw[who][row]]) for row in range(600) for who in range(3)]
    made = plain([LABELS[at] for at in draw[3]], {"region": [f"r{at}" for at in region]}, votes=votes)
    return dataclasses.replace(made, evidence=with_probabilities(600, 3, points, leave_one_out(points, draw[3], 3)))


def served(random: Random, planted: bool) -> Corpus:
    """600 examples in four regions; in r0 texts say less about the label: a model is wrong about .35 instead of .1."""
    region, truth = random.integers(0, 4, 600), random.integers(0, 3, 600)
    seed = int(random.integers(1 << 30))
    near, far = (clusters(truth, 3, spread=spread, seed=seed) for spread in (0.85, 2.2))
    points = np.where(((region == 0) & planted)[:, None], far, near)
    made = plain([LABELS[at] for at in truth], {"region": [f"r{at}" for at in region]})
    return dataclasses.replace(made, evidence=with_probabilities(600, 3, points, leave_one_out(points, truth, 3)))


def given_away(random: Random, planted: bool, longer: float = 2.0) -> Corpus:
    """500 texts of 5 to 40 words; where it is planted, “harsh” ones are `longer`, and a field says it for .6 of them."""
    truth = random.integers(0, 2, 500)
    size = random.integers(5, 41, 500) * np.where(truth & planted, longer, 1.0)
    texts = [" ".join(f"w{word}" for word in random.integers(0, 400, int(length))) for length in size]
    made = plain([LABELS[at] for at in truth], texts=texts)
    tag = np.where(planted & (truth == 1) & (random.random(500) < 0.6), "b", random.choice(["a", "b", "c"], 500))
    data = [orjson.dumps({"text": text, "source": str(one)}).decode() for text, one in zip(texts, tag, strict=True)]
    return dataclasses.replace(made, examples=made.examples.assign(data=data))


def harsh_person(random: Random, planted: bool) -> Corpus:
    """400 examples, three of eight annotators each, right in .85; p0 gives “harsh” to .4 of what is of r0, whatever it is."""
    region, truth = random.integers(0, 3, 400), random.integers(0, 3, 400)
    votes = []
    for row in range(400):
        for who in random.permutation(8)[:3]:
            said = truth[row] if random.random() < 0.85 else random.integers(0, 3)
            if planted and who == 0 and region[row] == 0 and random.random() < 0.4:
                said = 1
            votes.append((row, f"p{who}", LABELS[said]))
    return plain([LABELS[at] for at in truth], {"region": [f"r{at}" for at in region]}, votes=votes)


def answered(random: Random, gap: float, people: int, examples: int, each: int, spread: float) -> list[tuple[int, str, str]]:
    """Votes by people of two groups of equal size, `each` an example; every person has a rate of “harsh” of their own, by
    `spread`, and those of group b give it more often by `gap`."""
    group = np.arange(2 * people) % 2
    usual = 0.1 + 0.5 * random.random(examples)
    own = random.normal(0, spread, 2 * people) + gap * group
    votes = []
    for row in range(examples):
        for who in random.permutation(2 * people)[:each]:
            harsh = random.random() < np.clip(usual[row] + own[who], 0, 1)
            votes.append((row, f"{'ab'[group[who]]}{who}", "harsh" if harsh else "calm"))
    return votes


def sides(random: Random, planted: bool) -> Corpus:
    """400 examples, six of 24 people each, who differ by .08 (standard deviation); group b gives “harsh” .15 more often."""
    votes = answered(random, 0.15 * planted, 12, 400, 6, 0.08)
    people = sorted({who for _, who, _ in votes})
    table = pd.DataFrame({"annotator": people, "team": [name[0] for name in people]}).astype("str")
    return plain(["calm"] * 400, votes=votes, people=table, labels=("calm", "harsh"))


SCENES: list[tuple[str, str, str, Made, Callable[[str], bool]]] = [
    ("slice_labels", "labels by slice", ".35 against .15", skew, lambda s: s == "region=r0"),
    ("slice_labels", "labels where slices meet", ".65 against .44", crossing, lambda s: "&" in s and "r0" in s and "c0" in s),
    ("representation", "shares against a reference", ".10 against .20", shares, lambda s: s == "region=north"),
    ("term_association", "labels by identity term", ".45 against .20", named, lambda s: s == "religion: muslim"),
    ("slice_quality", "worse labels in a slice", ".20 wrong against .05", worse, lambda s: s == "region=r0"),
    ("model_bias", "a model that errs in a slice", "about .35 wrong against .1", served, lambda s: s == "region=r0"),
    ("artefacts", "length", "twice as long", given_away, lambda s: "length" in s),
    ("artefacts", "length", "1.6 times as long", partial(given_away, longer=1.6), lambda s: "length" in s),
    ("artefacts", "a field of metadata", "says it for .6", given_away, lambda s: "source" in s),
    ("annotators", "one biased annotator", ".4 harsher in a slice", harsh_person, lambda s: s == "p0"),
    ("annotator_groups", "two groups of 12", ".15 harsher", sides, lambda s: s.startswith("team=")),
]  # fmt: skip


# --- intervals of groups of annotators -----------------------------------------------------------------------------------


def intervals_of_groups(seeds: range) -> Iterator[Row]:
    """How often a 95 % interval holds the true difference (.1) of groups whose people differ by .08: ours, and the percentiles of
    a bootstrap over annotators."""
    from pipeline.bias.paired import difference

    for people in (3, 12):
        held = {"jackknife, Student's t": 0, "bootstrap over annotators": 0, "ours, over texts only": 0}
        for seed in seeds:
            random = np.random.default_rng(seed)
            usual, own = 0.3 + 0.2 * random.random(200), random.normal(0, 0.08, 2 * people) + 0.1 * (np.arange(2 * people) % 2)
            said = (random.random((200, 2 * people)) < usual[:, None] + own).astype(np.float64)
            example, who = (at.ravel() for at in np.indices(said.shape))
            told = difference(example, who, said.reshape(-1, 1), np.arange(2 * people) % 2 == 1)
            assert told is not None
            mean = said.mean(axis=0)
            a, b = mean[1::2], mean[0::2]
            draws = random.choice(a, (1000, people)).mean(axis=1) - random.choice(b, (1000, people)).mean(axis=1)
            ends = (told.interval(), np.quantile(draws, [0.025, 0.975]), told.text_interval())
            for name, (low, high) in zip(held, ends, strict=True):
                held[name] += bool(low <= 0.1 <= high)
        for name, count in held.items():
            share = wilson(count, len(seeds))
            yield Row(
                "bias", f"simulated: {people} against {people} people, all on 200 examples", name, "coverage of 95 % intervals",
                share.value, share.low, share.high,
            )  # fmt: skip


# --- real ------------------------------------------------------------------------------------------------------------------


def told_groups(made: Corpus) -> tuple[pd.DataFrame, pd.DataFrame, float]:
    with cost() as spent:
        facts = all_checks()["annotator_groups"].run(made).facts
    return pd.DataFrame(facts["groups"]), pd.DataFrame(facts["by_text"]), spent.cpu


def difference_row(data: str, row: Any, cpu: float) -> Row:
    few = "" if row.low is None else f"these people on other texts {row.texts_low:+.3f} to {row.texts_high:+.3f}; "
    return Row(
        "bias", data, f"annotator_groups: {row.attribute}={row.group}", f"difference in “{row.label}”", row.difference, row.low,
        row.high, cpu, f"{row.people} against {row.others} people, n = {row.n}; {few}as it is {row.plain:+.3f}; q = {row.p:.3f}"
        + ("; flagged" if row.flagged else ""),
    )  # fmt: skip


def hsbrexit() -> Iterator[Row]:
    """Annotators 1 to 3 are of the group that the tweets are about (immigrants, Muslims), 4 to 6 are not; all answered all."""
    if shared("hsbrexit") is None:
        return
    items = [
        item
        for part in ("train", "dev", "test")
        for item in json.loads(shared("hsbrexit", f"HS-Brexit_{part}.json").read_text()).values()  # type: ignore[union-attr]
    ]
    people = pd.DataFrame({"annotator": [f"Ann{at}" for at in range(1, 7)], "role": ["target"] * 3 + ["control"] * 3})
    for task in ("hate speech", "aggressive language", "offensive language"):
        other = "other annotations"
        said = [
            item["annotations"] if task == "hate speech" else item["other_info"][other][f"{task} detection"] for item in items
        ]
        votes = [
            (row, who, "yes" if one.strip() == "1" else "no")
            for row, (item, text) in enumerate(zip(items, said, strict=True))
            for who, one in zip(item["annotators"].split(","), text.split(","), strict=True)
        ]
        made = plain(
            ["no"] * len(items), texts=[item["text"] for item in items], votes=votes, people=people.astype("str"),
            labels=("no", "yes"),
        )  # fmt: skip
        groups, by_text, cpu = told_groups(made)
        for row in groups[groups["label"] == "yes"].itertuples():
            yield difference_row(f"HS-Brexit, {task}", row, cpu)
        if len(by_text):
            widest = by_text.iloc[by_text["effect"].abs().argmax()]
            yield Row(
                "bias", f"HS-Brexit, {task}", f"annotator_groups: control × {widest['slice']} {widest['texts']}",
                f"difference in “{widest['label']}” more than elsewhere", widest["difference"], widest["low"], widest["high"],
                None, f"the largest of {len(by_text)}; q = {widest['p']:.3f}",
            )  # fmt: skip


def popquorn() -> Iterator[Row]:
    file = shared("popquorn", "popquorn_offensiveness.csv")
    if file is None:
        return
    table = pd.read_csv(file, dtype="str")
    place = {key: at for at, key in enumerate(sorted(set(table["instance_id"])))}
    texts = table.drop_duplicates("instance_id").set_index("instance_id")["text"]
    pairs = zip(table["instance_id"], table["user_id"], table["offensiveness"], strict=True)
    votes = [(place[item] + 1, who, {"offensiveness": float(score)}, 9.0) for item, who, score in pairs]
    names = ["gender", "race", "age", "education"]
    people = table.drop_duplicates("user_id")[["user_id", *names]].rename(columns={"user_id": "annotator"})
    examples = examples_table([str(texts[key]) for key in place])
    made = corpus(
        examples, annotations_table(votes), labels=(), consensus=consensus_table([]), task="response_rating",  # type: ignore[arg-type]
        people=people.reset_index(drop=True),
    )  # fmt: skip
    groups, by_text, cpu = told_groups(made)
    wanted = groups["flagged"] | groups["group"].isin(["Man", "Woman", "Black or African American", "White", ">65", "18-24"])
    for row in groups[wanted].sort_values(["attribute", "group"]).itertuples():
        yield difference_row("POPQUORN, offensiveness 1 to 5", row, cpu)
    flagged = int(by_text["flagged"].sum()) if len(by_text) else 0
    yield Row(
        "bias", "POPQUORN, offensiveness 1 to 5", "annotator_groups × texts that mention a group", "flagged", float(flagged),
        note=f"of {len(by_text)} differences of differences",
    )  # fmt: skip


def mdagreement() -> Iterator[Row]:
    """Domain (BLM, Covid, Elections) as the slice; the consensus is the majority that the set states."""
    file = shared("mdagreement", "MD-Agreement_dev.json")
    if file is None:
        return
    items = list(json.loads(file.read_text()).values())
    votes = [
        (row, who, "offensive" if one.strip() == "1" else "fine")
        for row, item in enumerate(items)
        for who, one in zip(item["annotators"].split(","), item["annotations"].split(","), strict=True)
    ]
    labels = ["offensive" if item["hard_label"] == "1" else "fine" for item in items]
    domain = [item["other_info"]["domain"] for item in items]
    made = plain(labels, {"domain": domain}, [item["text"] for item in items], votes, labels=("fine", "offensive"))
    for check, key, value in (
        ("slice_labels", "max_cramers_v", "Cramér's V of domain and label"), ("slice_quality", "worst_gap", "worst gap"),
        ("term_association", "max_effect", "largest Cohen's h"), ("artefacts", "probe_auc", "AUC of surface features"),
    ):  # fmt: skip
        with cost() as spent:
            report = all_checks()[check].run(made)
        named = report.findings.loc[report.findings["flagged"], "subject_id"].tolist()
        yield Row(
            "bias", "MD-Agreement, majority of five", check, value, float(report.facts[key]), cpu=spent.cpu,
            note=f"flagged: {', '.join(named) or 'none'}; smallest group {report.facts['smallest_group']}",
        )  # fmt: skip


def madlibs(quick: bool) -> Iterator[Row]:
    """Sentences about people with a good or a bad word, equally often for each identity by construction: nothing to be found.
    Then with two thirds of the good sentences about Muslims left out: the label hangs on the word. A model of it hardly does: the
    adjective decides, and 42 of 3,000 sentences are about Muslims."""
    file = shared("madlibs", "bias_madlibs_every8th.csv")
    if file is None:
        return
    from pipeline.bias.counterfactual import texts as sentences
    from pipeline.evidence.embeddings import encode
    from pipeline.evidence.encoder import load_encoder

    with file.open(newline="") as handle:
        table = pd.DataFrame(list(csv.DictReader(handle)))
    encoder = load_encoder("minilm")
    with cost() as embedding:
        templates = encode(encoder, sentences())
    for planted in (False, True):
        random = np.random.default_rng(FIRST)
        good = table["Text"].str.contains("muslim") & (table["Label"] == "NOT_BAD")
        gone = planted & good & (random.random(len(table)) < 2 / 3)
        kept = table[~gone].sample(600 if quick else 3000, random_state=FIRST).reset_index(drop=True)
        made = plain(kept["Label"], texts=kept["Text"], labels=("BAD", "NOT_BAD"))
        vectors = encode(encoder, kept["Text"].tolist())
        found = with_probabilities(len(kept), 2, vectors, np.full((len(kept), 2), np.nan))
        made = dataclasses.replace(made, evidence=dataclasses.replace(found, templates=templates))
        for check, key, value in (
            ("term_association", "max_effect", "largest Cohen's h"), ("counterfactual", "worst_gap", "largest gap"),
            ("counterfactual", "flip_share", "share of sentences whose label flips"),
        ):  # fmt: skip
            with cost() as spent:
                report = all_checks()[check].run(made)
            named = report.findings.loc[report.findings["flagged"], "subject_id"].tolist()
            yield Row(
                "bias", f"madlibs, {len(kept)} rows, {'two thirds of good Muslims left out' if planted else 'balanced'}", check,
                value, float(report.facts[key]), cpu=spent.cpu + embedding.cpu * (check == "counterfactual"),
                note=f"flagged: {', '.join(named) or 'none'}",
            )  # fmt: skip


def crows_pairs() -> Iterator[Row]:
    """Pairs of sentences that differ in the group only; label “more” for the one about the disadvantaged group. Then with the two
    labels of each pair drawn: nothing to be found."""
    file = shared("crows_pairs", "crows_pairs_anonymized.csv")
    if file is None:
        return
    from pipeline.bias.counterfactual import texts as sentences
    from pipeline.evidence.embeddings import encode
    from pipeline.evidence.encoder import load_encoder

    with file.open(newline="") as handle:
        pairs = list(csv.DictReader(handle))
    texts = [text for pair in pairs for text in (pair["sent_more"], pair["sent_less"])]
    encoder = load_encoder("minilm")
    vectors, templates = encode(encoder, texts), encode(encoder, sentences())
    found = dataclasses.replace(with_probabilities(len(texts), 2, vectors, np.full((len(texts), 2), np.nan)), templates=templates)
    for drawn in (False, True):
        random = np.random.default_rng(FIRST)
        turned = (random.random(len(pairs)) < 0.5) & drawn
        labels = [label for turn in turned for label in (("less", "more") if turn else ("more", "less"))]
        made = dataclasses.replace(plain(labels, texts=texts, labels=("less", "more")), evidence=found)
        for check, key in (("term_association", "terms"), ("counterfactual", "names")):
            with cost() as spent:
                report = all_checks()[check].run(made)
            yield _told_terms(check, report.facts[key], drawn, spent.cpu)


def _told_terms(check: str, rows: list[dict[str, Any]], drawn: bool, cpu: float) -> Row:
    """How many groups or names are flagged, and which way each goes."""
    name, value = ("group", "rate") if check == "term_association" else ("name", "difference")
    mine = sorted((row for row in rows if row["label"] == "more" and row["flagged"]), key=lambda row: -row[value])
    told = ", ".join(f"{row[name]} {row[value]:{'+' if value == 'difference' else ''}.2f}" for row in mine)
    of = sum(row["label"] == "more" for row in rows)
    return Row(
        "bias", f"CrowS-Pairs, {'labels drawn' if drawn else 'which sentence of a pair'}", check, "flagged", float(len(mine)),
        cpu=cpu, note=f"of {of}; {value} of “more”: {told or 'none'}",
    )  # fmt: skip
