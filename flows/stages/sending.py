"""send back: the review queue and the predictions, into Label Studio."""

from __future__ import annotations

from typing import Any

import pandas as pd

from flows.place import Place, connection, project_id
from flows.stages import Progress, quiet
from flows.stages.agreeing import scheme
from flows.stages.checking import check_run


def push_review(place: Place, check_id: str | None) -> dict[str, Any]:
    from flows.stages.reviewing import push

    return push(place, check_id)


def push_predictions(place: Place, check_id: str | None, progress: Progress = quiet) -> dict[str, Any]:
    """The champion's answers for the tasks that nobody has labelled yet."""
    from pipeline.evaluation.promotion import champion
    from pipeline.label_studio import send_back
    from pipeline.training.predict import predict

    current = champion(place.store)
    if current is None:
        return {"created": 0, "present": 0, "reason": "there is no champion"}
    run = check_run(place, check_id)
    folder = place.store.folder("checks", run["check_id"])
    examples = pd.read_parquet(folder / "examples.parquet")
    answered = set(pd.read_parquet(folder / "consensus.parquet")["example_id"])
    todo = examples[~examples["example_id"].isin(answered) & (examples["text"].str.strip() != "")]
    labels, probabilities = predict(place.store, current["adapter"], todo["text"].tolist(), progress=progress)
    scores = probabilities.max(1).tolist() if len(todo) else []
    rows = list(zip(todo["example_id"].tolist(), labels, scores, strict=True))
    consensus_key = place.store.manifest("checks", run["check_id"])["facts"]["consensus"]
    asked = scheme(place.store.folder("consensus", consensus_key))
    return send_back.push_predictions(
        connection(place), project_id(place), control=asked.control, model_version=f"assay-{current['adapter'][:12]}",
        predictions=rows,
    )  # fmt: skip
