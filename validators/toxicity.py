"""Which texts does a classifier call toxic, and whom does that hit?

No such classifier is shipped: the one on PyPI was trained on the very tweets it would be measured on, and no other can be had
without a download. Any text classifier with safetensors on this machine will do. Such models are known to call a text toxic
because it names a group of people (Dixon et al. 2018): so groups are compared here, and nothing is more than a note.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.bias import groups as grouping
from pipeline.bias import terms
from pipeline.bias.quality import excess
from pipeline.bias.rates import corrected, worst_first
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings


@check("toxicity", "Which texts does a classifier call toxic?", subject="example")
def toxicity(
    corpus: Corpus,
    *,
    model: str = "",  # a local folder, or an id of the Hugging Face Hub; safetensors
    label: str = "",  # one of the model's labels, where it has several
    threshold: float = 0.5,
    alpha: float = 0.05,
    min_difference: float = 0.1,  # 10 points, as between annotators: Dorans and Holland (1993)
    min_n: int = 30,  # with 30, a rate is known to ±18 points at best (Wilson, 95 %)
) -> Report:
    """Severity is the model's probability that the text is toxic; flagged from `threshold`. `groups`: by how much the share
    flagged is higher in a slice group, or among texts that mention a group of people, than elsewhere (Benjamini–Hochberg)."""
    from pipeline.evidence.toxicity import probabilities

    if not model:
        raise Skip("No classifier is named: set checks: toxicity: model in project.yaml to a text classifier with safetensors.")
    table = corpus.examples.sort_values("example_id", ignore_index=True)
    texts = table["text"].astype("str").tolist()
    said = probabilities(model, texts, label=label)
    hit = (said >= threshold).astype(np.float64)
    found = [*grouping.groups(table, corpus.slices), *(terms.mentions(texts, min_n) if texts else [])]
    rows: list[dict[str, Any]] = [
        {"slice": group.slice, "group": group.name, **told}
        for group in found
        if grouping.enough(group, min_n) and (told := excess(hit, group, np.zeros(len(hit), np.int64))) is not None
    ]
    corrected(rows)
    for row in rows:
        row["flagged"] = bool(row["p"] < alpha and row["difference"] >= min_difference)
    facts = {
        "share": float(hit.mean()) if len(hit) else None, "groups": worst_first(rows, "difference"), "tested": len(rows),
        "worst_gap": max((row["difference"] for row in rows), default=None),
    }  # fmt: skip
    named = [
        {
            "subject_id": str(key), "severity": float(p), "flagged": bool(p >= threshold),
            "reason": f"The classifier gives {p:.0%} that this is toxic.", "suggestion": "",
        }
        for key, p in zip(table["example_id"], said, strict=True)
    ]  # fmt: skip
    return Report(findings(named), facts)
