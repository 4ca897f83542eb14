"""Who is champion, and by which rules. All of them are in `decide`; every decision is kept, refusals too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.errors import Conflict, TrainingError
from pipeline.evaluation.evaluate import BASE, read_evaluation
from pipeline.store import Store, digest

CHAMPION, PROMOTIONS = "champion", "promotions"  # the store's logs


@dataclass(frozen=True)
class Decision:
    promote: bool
    champion: str | None  # the adapter that was in use when it was made
    reasons: list[dict[str, Any]]  # rule, observed, limit, passed, meaning; each must pass


def decide(
    evaluation: Mapping[str, Any], *, margin: float, slice_margin: float, min_slice: int, champion: str | None
) -> Decision:
    """Whether the evaluated adapter becomes champion. Differences are of accuracy, adapter minus rival, in [-1, 1].

    1. Beside a champion: better beyond chance (the whole interval lies above 0). To change what is in use costs
       something, so "as good" is not enough.
    2. Without a champion: not worse than the base model with a tuned probe by more than `margin` (the whole interval lies
       above -margin). Nothing is in use yet, so it need not be shown to be better.
    3. Every slice of at least `min_slice` examples: not worse than the rival by more than `slice_margin` beyond chance
       (fails if the difference is below -slice_margin and the whole interval below 0). On a small slice a few examples
       move the accuracy by points: without the second half, one of ten equal slices would fail by chance nearly always.

    champion: the adapter id in use; it must be among the evaluation's `others`, TrainingError otherwise.
    """
    if champion == evaluation["adapter"]:
        return Decision(False, champion, [_reason("is_not_champion", 0.0, 0.0, False, "It is the champion already.")])
    rival = BASE if champion is None else _name_of(evaluation, champion)
    overall = evaluation["differences"][rival]
    reasons = [_not_worse_than_base(overall, margin) if champion is None else _better_than_champion(overall, margin)]
    large = [part for part in evaluation["slices"] if part["n"] >= min_slice]
    reasons += [_slice_not_worse(part, rival, slice_margin) for part in large]
    return Decision(all(item["passed"] for item in reasons), champion, reasons)


def _name_of(evaluation: Mapping[str, Any], champion: str) -> str:
    for name, adapter in evaluation["others"].items():
        if adapter == champion:
            return str(name)
    raise TrainingError(f"The evaluation does not compare with the champion, adapter {champion}: evaluate again.")


def _better_than_champion(difference: Mapping[str, float], margin: float) -> dict[str, Any]:
    passed = difference["low"] > 0
    if passed:
        meaning = "Better than the champion beyond chance."
    elif difference["high"] < 0:
        meaning = "Worse than the champion beyond chance: the champion stays."
    elif difference["low"] > -margin:
        meaning = f"As good as the champion within {_points(margin)}, not better: the champion stays."
    else:
        meaning = "Not better than the champion as far as this test can tell: the champion stays."
    return _reason("better_than_champion", difference["low"], 0.0, passed, meaning)


def _not_worse_than_base(difference: Mapping[str, float], margin: float) -> dict[str, Any]:
    passed = difference["low"] > -margin
    meaning = f"Not worse than the base model with a linear probe by more than {_points(margin)}."
    if not passed:
        meaning = (
            f"It may be {_points(-difference['low'])} worse than the base model with a linear probe, and {_points(margin)} "
            "are allowed; more test examples make the interval narrower."
        )
    return _reason("not_worse_than_base", difference["low"], -margin, passed, meaning)


def _slice_not_worse(part: Mapping[str, Any], rival: str, margin: float) -> dict[str, Any]:
    difference = part["differences"][rival]
    passed = not (difference["value"] < -margin and difference["high"] < 0)
    meaning = f"No drop of more than {_points(margin)} beyond chance among {part['n']} examples."
    if not passed:
        drop = _points(-difference["value"])
        meaning = f"{drop} worse than {rival} on {part['n']} examples, and {_points(margin)} are allowed."
    return _reason(f"slice {part['slice']} {part['value']}", difference["value"], -margin, passed, meaning)


def _reason(rule: str, observed: float, limit: float, passed: bool, meaning: str) -> dict[str, Any]:
    return {"rule": rule, "observed": round(observed, 4), "limit": limit, "passed": passed, "meaning": meaning}


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"


def promote(store: Store, *, evaluation_id: str, margin: float, slice_margin: float, min_slice: int) -> dict[str, Any]:
    """Decide about the evaluated adapter, record the decision, and make it champion if it so says. Returns the record:
    adapter, evaluation, champion (the one before), promote, reasons, at, number.

    A second time it returns the same record and changes nothing, also if a run was killed in between. Conflict if
    another run changes the champion at the same moment.
    """
    evaluation = read_evaluation(store, evaluation_id)
    current = champion(store)
    mine = [evaluation_id, evaluation["adapter"]]
    if current and [current["evaluation"], current["adapter"]] == mine:  # made champion by this very evaluation
        before: str | None = current["before"]
        seat = current["number"] - 1
    else:
        before, seat = (current["adapter"], current["number"]) if current else (None, 0)
    decision = decide(evaluation, margin=margin, slice_margin=slice_margin, min_slice=min_slice, champion=before)
    rules = {"margin": margin, "slice_margin": slice_margin, "min_slice": min_slice}
    return _record(store, evaluation_id, evaluation["adapter"], decision, rules, seat)


def _record(
    store: Store, evaluation_id: str, adapter: str, decision: Decision, rules: dict[str, float], seat: int
) -> dict[str, Any]:
    """seat: the number of the champion's entry that the decision was made beside. It is in the key, and not the adapter's
    id: an adapter can come back, and what was decided beside it before is then no answer."""
    key = digest(evaluation_id, rules, seat)
    known = _find(store, key)
    if known:
        return known
    entry: dict[str, Any] = {"adapter": adapter, "evaluation": evaluation_id, "at": datetime.now(UTC).isoformat()}
    current = champion(store)
    done = current and (current["evaluation"], current["number"]) == (evaluation_id, seat + 1)
    if decision.promote and not done:
        if (current["number"] if current else 0) != seat:
            raise Conflict("Another adapter became champion while this one was judged: evaluate again.")
        store.append(CHAMPION, {**entry, "before": decision.champion}, after=seat)
    entry |= {"key": key, "champion": decision.champion, "promote": decision.promote, "reasons": decision.reasons}
    entry |= {"rules": rules}
    return {**entry, "number": store.append(PROMOTIONS, entry, after=len(store.entries(PROMOTIONS)))}


def champion(store: Store) -> dict[str, Any] | None:
    """adapter, evaluation, before (the champion it replaced), at, number of the one in use; None before the first."""
    return store.head(CHAMPION)


def _find(store: Store, key: str) -> dict[str, Any] | None:
    for path in reversed(store.entries(PROMOTIONS)):
        body = store.read(path)
        if body["key"] == key:
            return {**body, "number": int(path.stem)}
    return None
