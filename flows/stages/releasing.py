"""version: the next dataset version from a check run."""

from __future__ import annotations

import pandas as pd

from flows import summary
from flows.place import Place
from flows.stages.checking import check_run, require_open


def release(place: Place, check_id: str | None = None) -> str:
    """The next dataset version from a check run. GateClosed names what blocks."""
    from pipeline.versions.commit import commit, logical_rows

    run = check_run(place, check_id)
    require_open(run)
    folder = place.store.folder("checks", run["check_id"])
    examples, answers, verdicts, annotations = (
        pd.read_parquet(folder / f"{name}.parquet") for name in ("examples", "consensus", "verdicts", "annotations")
    )
    rows = logical_rows(examples, answers, verdicts, annotations)
    looked = pd.read_parquet(folder / "reviewed.parquet")["outcome"].value_counts()
    review = {name: int(looked.get(name, 0)) for name in ("corrected", "confirmed")}
    facts = {
        "check": run["check_id"], "gate": run["gate"], "project": run["project"], "policy": run["policy"],
        "checks": [{name: item[name] for name in ("check", "status", "flagged", "settings")} for item in run["checks"]],
        "environment": run["environment"], "seed": place.project.seed, "created_at": summary.now(),
        "agreement": run["agreement"]["overall"], "consensus": run["consensus"]["method"],
        "review": {"reviewed": sum(review.values()), **review},
    }  # fmt: skip
    return commit(place.store, rows, labels=[row["label"] for row in run["labels"]], slices=place.slices, facts=facts)
