"""What is the set missing: kinds of texts that nobody labelled, or that only one of the splits holds?"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from pipeline.evidence.answers import labels_of
from pipeline.evidence.regions import names, regions
from pipeline.evidence.rows import by_id
from pipeline.statistics import benjamini_hochberg, more_often, wilson
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings

FEW = 60  # texts: fewer than five regions of twelve say nothing
ALPHA = 0.05
LABELS = 3  # named for each region

Rows = list[dict[str, Any]]


@check("coverage", "Which kinds of texts does the set hardly hold, or only one of its splits?", subject="corpus")
def coverage(corpus: Corpus, *, min_share: Annotated[float, Field(gt=0, lt=1)] = 0.5) -> Report:
    """Regions of texts of one meaning, named by the words that set them apart. Flagged is a region

    - that is hardly labelled, though others are: its share of examples with an answer is below `min_share` of the rest's;
    - that the test split hardly asks about, or the training split hardly teaches: as a share of the region's train and test
      examples, below `min_share` of that in the rest.

    and not by chance (Fisher's exact test, Benjamini–Hochberg at 5 % over all regions and questions). Half of the rest's share is
    where a region counts for half of what it is in the world. Severity is 1 − the region's share / the rest's, in [0, 1]: 1 where
    there is none. The facts show every region: size, labels, how many are labelled, splits, the annotators' confidence, and how
    often a model that never saw the label prefers another.
    """
    corpus = by_id(corpus)
    region = regions(corpus.evidence.embeddings, corpus.seed)
    if int((region >= 0).sum()) < FEW:
        raise Skip(f"It takes {FEW} texts with embeddings to tell regions apart; there are {int((region >= 0).sum())}.")
    table = _table(corpus, region)
    said = names(corpus.examples["text"].tolist(), region)
    rows = _compared(table, min_share)
    facts = {"regions": [_region(number, said[number], part) for number, part in table.groupby("region")], "seed": corpus.seed}
    return Report(findings([_finding(row, said[row["region"]]) for row in rows]), facts)


def _table(corpus: Corpus, region: NDArray[np.int64]) -> pd.DataFrame:
    """One row per example with an embedding: region, label (NaN without an answer), confidence, split, doubted."""
    table = corpus.examples[["example_id", "split"]].assign(region=region, label=labels_of(corpus), doubted=_doubted(corpus))
    given = corpus.consensus[["example_id", "confidence"]].assign(answered=True)
    table = table.merge(given, on="example_id", how="left")
    table["answered"] = table["answered"].notna()
    return table[table["region"] >= 0]


def _doubted(corpus: Corpus) -> NDArray[np.float64]:
    """(n,) 1 where a model that never saw it thinks another label likelier, 0 where not, NaN where it cannot say."""
    out = np.full(len(corpus.examples), np.nan)
    number = {label: place for place, label in enumerate(corpus.labels)}
    given = np.array([number.get(label or "", -1) for label in labels_of(corpus)])
    if corpus.evidence.probabilities.shape[1] == len(corpus.labels) > 0:
        known = np.flatnonzero((given >= 0) & np.isfinite(corpus.evidence.probabilities).all(axis=1))
        out[known] = corpus.evidence.probabilities[known].argmax(axis=1) != given[known]
    return out


def _compared(table: pd.DataFrame, min_share: float) -> Rows:
    """Every region against the rest, by each question, with its corrected p."""
    split = table[table["split"].isin(["train", "test"])]
    asked = [
        *_against("labelled", table["region"], table["answered"]),
        *_against("test", split["region"], split["split"] == "test"),
        *_against("train", split["region"], split["split"] == "train"),
    ]
    for row, q in zip(asked, benjamini_hochberg([row["p"] for row in asked]), strict=True):
        row["flagged"] = bool(q < ALPHA and row["share"] < min_share * row["rest"])
    return asked


def _against(question: str, region: pd.Series, hit: pd.Series) -> Rows:
    """[] where all rows are hits, or none is."""
    if hit.all() or not hit.any():
        return []
    counts = pd.DataFrame({"region": region, "hit": hit}).groupby("region")["hit"].agg(["sum", "size"])
    hits, n = counts["sum"].to_numpy(np.int64), counts["size"].to_numpy(np.int64)
    rest, other = hits.sum() - hits, n.sum() - n
    lacking = more_often(other * 0 + rest, other, hits, n)  # that the rest has more of them
    return [
        {
            "question": question, "region": int(counts.index[place]), "hits": int(hits[place]), "n": int(n[place]),
            "share": float(hits[place] / n[place]), "rest": float(rest[place] / max(other[place], 1)), "p": float(lacking[place]),
        }
        for place in range(len(counts))
    ]  # fmt: skip


def _finding(row: dict[str, Any], words: list[str]) -> dict[str, Any]:
    severity = max(0.0, 1 - row["share"] / row["rest"]) if row["rest"] else 0.0
    what = {"labelled": "have an answer", "test": "are in the test split", "train": "are in the training split"}[row["question"]]
    of = "texts" if row["question"] == "labelled" else "texts in these two splits"
    reason = f"Of {row['n']:,} {of} about {_name(words)}, {row['share']:.0%} {what}; of the others, {row['rest']:.0%} do."
    return {
        "subject_id": f"{row['question']}: region {row['region'] + 1}" + (f" ({', '.join(words)})" if words else ""),
        "severity": severity,
        "flagged": row["flagged"],
        "reason": reason.replace("% do.", "% are.") if row["question"] != "labelled" else reason,
        "suggestion": "",
    }


def _name(words: list[str]) -> str:
    return f"“{', '.join(words)}”" if words else "something that no single words tell"


def _region(number: Any, words: list[str], part: pd.DataFrame) -> dict[str, Any]:
    labels = part["label"].value_counts(sort=False).sort_index().sort_values(ascending=False, kind="stable")
    doubted, confidence = part["doubted"].dropna(), part["confidence"].dropna()
    return {
        "region": int(number) + 1,
        "words": ", ".join(words),
        "examples": len(part),
        "labelled": wilson(int(part["answered"].sum()), len(part)).value,
        "labels": ", ".join(f"{label} {count / labels.sum():.0%}" for label, count in labels.head(LABELS).items()),
        "train": int((part["split"] == "train").sum()),
        "test": int((part["split"] == "test").sum()),
        "doubted": float(doubted.mean()) if len(doubted) else None,
        "confidence": round(float(confidence.mean()), 4) if len(confidence) else None,
    }
