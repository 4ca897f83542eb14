"""Which examples are unlike all others, and perhaps out of scope?"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline.evidence.outlying import Outlying, outlying
from pipeline.statistics import wilson
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings

# The customary 3.5 for robust z scores (Iglewicz and Hoaglin 1993) flags 1.5 % of banking77, to which nothing was added; 4 flags
# 1.0 % of it and 0.1 % of TREC.
Z = 4.0
FEW = 50  # the median deviation of fewer is too rough: with 50 its own standard error is a sixth
SLICES = 50  # groups shown


@check("outliers", "Which examples are unlike all others, and perhaps out of scope?", subject="example")
def outliers(corpus: Corpus, *, z: Annotated[float, Field(gt=0)] = Z) -> Report:
    """Flags a text that lies `z` robust standard deviations and more beyond the usual: far from its nearest neighbours, far from
    the middle of the corpus, in words that are rare in it, or all of it (see pipeline/evidence/outlying.py). Severity is
    1 / (1 + exp(z - its score)), in (0, 1): 0.5 at the bar. Whether such a text is out of scope or the one example of
    something that the set lacks, only a person can say. Empty texts are not judged.
    """
    texts, ids = corpus.examples["text"].tolist(), corpus.examples["example_id"].tolist()
    found = outlying(texts, corpus.evidence)
    if len(found.row) < FEW:
        raise Skip(f"It takes {FEW} texts with embeddings to know what is usual; there are {len(found.row)}.")
    rows = [_finding(ids[row], found, place, z) for place, row in enumerate(found.row.tolist())]
    flagged = found.total >= z
    facts = {
        "judged": len(rows),
        "share": wilson(int(flagged.sum()), len(rows)).as_dict(),
        "expected": "0 to 1 in 100 in a set that nothing was added to",
        "quantiles": {f"{level:.0%}": round(float(np.quantile(found.total, level)), 2) for level in (0.5, 0.9, 0.99, 1.0)},
        "slices": _by_slice(corpus, found, flagged),
    }
    return Report(findings(rows), facts)


def _finding(name: object, found: Outlying, place: int, z: float) -> dict[str, Any]:
    total = float(found.total[place])
    flagged = total >= z
    said = {
        "its nearest neighbours are far away": found.neighbours[place],
        "it lies far from the middle of the set": found.middle[place],
        "its words are rare here": found.words[place],
    }
    why = [f"{words} ({value:.1f})" for words, value in sorted(said.items(), key=lambda item: -item[1]) if value >= 1]
    return {
        "subject_id": str(name),
        "severity": float(1 / (1 + np.exp(min(max(z - total, -500.0), 500.0)))),
        "flagged": flagged,
        "reason": f"Is unlike the other texts, by {total:.1f} robust standard deviations: {', '.join(why)}." if flagged else "",
        "suggestion": "",
    }


def _by_slice(corpus: Corpus, found: Outlying, flagged: Any) -> list[dict[str, Any]]:
    """How many of each group of each slice are flagged: a group that is mostly flagged is another population, not odd texts."""
    examples = corpus.examples.iloc[found.row].assign(flagged=flagged)
    out: list[dict[str, Any]] = []
    for name in corpus.slices:
        for group, part in examples.groupby(name):
            count = int(part["flagged"].sum())
            if group != "" and count:
                share = wilson(count, len(part)).as_dict()
                out.append({"slice": name, "group": str(group), "flagged": count, "of": len(part), **share})
    return sorted(out, key=lambda row: (-float(row["low"]), row["slice"], row["group"]))[:SLICES]
