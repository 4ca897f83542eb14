"""Who is champion, and by which rules. All of them are in `decide`; what was decided, refusals too, is never forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.errors import Conflict, TrainingError
from pipeline.evaluation.evaluate import BASE
from pipeline.store import Store, digest

CHAMPION, PROMOTIONS = "champion", "promotions"


@dataclass(frozen=True)
class Decision:
    promote: bool
    champion: str | None  # the adapter that was champion when it was made
    reasons: list[dict[str, Any]]  # rule, observed, limit, passed, meaning

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def decide(
    evaluation: Mapping[str, Any], *, margin: float, slice_margin: float, min_slice: int, champion: str | None
) -> Decision:
    """Whether the evaluated adapter becomes champion. Differences are of accuracy, adapter minus rival, in [-1, 1].

    1. against the champion: better beyond chance (the interval lies above 0). Changing what is in use costs something,
       so "as good" is not enough.
    2. without a champion: not worse than the base model with a tuned probe by more than `margin` (the interval lies
       above -margin). There is nothing to lose but the probe's accuracy, so it need not be shown to be better.
    3. every slice of at least `min_slice` examples: not worse than the rival by more than `slice_margin` *and* beyond
       chance. On a small slice a few examples move the accuracy by many points: without the second half, of ten slices
       that are alike one would fail by chance nearly every time.

    champion: the adapter id in use, which must be one of the evaluation's `others`; TrainingError otherwise.
    """
    if champion == evaluation["adapter"]:
        return Decision(
            False,
            champion,
            [_reason("is_not_champion", champion, None, False, "It is the champion already.")],
        )
    rival = BASE if champion is None else _name_of(evaluation, champion)
    overall = evaluation["differences"][rival]["accuracy"]
    reasons = [_not_inferior(overall, margin) if champion is None else _superior(overall, margin)]
    for part in evaluation["slice_results"]:
        if part["n"] >= min_slice:
            reasons.append(_slice(part, rival, slice_margin))
    return Decision(all(item["passed"] for item in reasons), champion, reasons)


def _name_of(evaluation: Mapping[str, Any], champion: str) -> str:
    for name, adapter in evaluation["others"].items():
        if adapter == champion:
            return str(name)
    raise TrainingError(
        f"The evaluation does not compare with the champion {champion}: evaluate again, with it among the others."
    )


def _superior(difference: Mapping[str, float], margin: float) -> dict[str, Any]:
    passed = difference["low"] > 0
    if passed:
        meaning = "Better than the champion beyond chance."
    elif difference["low"] > -margin:
        meaning = f"As good as the champion within {_points(margin)}, not better: the champion stays."
    elif difference["high"] < 0:
        meaning = "Worse than the champion beyond chance: the champion stays."
    else:
        meaning = "No better than the champion as far as this test can tell: the champion stays."
    return _reason("better_than_champion", difference, 0.0, passed, meaning)


def _not_inferior(difference: Mapping[str, float], margin: float) -> dict[str, Any]:
    passed = difference["low"] > -margin
    meaning = (
        f"Not worse than the base model with a probe by more than {_points(margin)}."
        if passed
        else f"It may be worse than the base model with a probe by {_points(-difference['low'])}; {_points(margin)} are allowed. "
        "More test examples narrow the interval."
    )
    return _reason("not_worse_than_base", difference, -margin, passed, meaning)


def _slice(part: Mapping[str, Any], rival: str, margin: float) -> dict[str, Any]:
    difference = part["differences"][rival]["accuracy"]
    passed = not (difference["value"] < -margin and difference["high"] < 0)
    where = f"{part['slice']}={part['value']}"
    meaning = (
        f"{where}: no drop of more than {_points(margin)} beyond chance among {part['n']} examples."
        if passed
        else f"{where}: {_points(-difference['value'])} worse than {rival!r} on {part['n']} examples; "
        f"{_points(margin)} are allowed."
    )
    return _reason(f"slice:{where}", difference, -margin, passed, meaning)


def _reason(rule: str, observed: object, limit: float | None, passed: bool, meaning: str) -> dict[str, Any]:
    return {"rule": rule, "observed": observed, "limit": limit, "passed": passed, "meaning": meaning}


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"


def promote(store: Store, *, adapter: str, evaluation_id: str, decision: Decision) -> dict[str, Any]:
    """Record the decision, and make the adapter champion if that is what was decided. Returns the recorded entry.

    The same decision a second time changes nothing, also when a run was killed in between. Conflict if another adapter
    has become champion since the decision was made.
    """
    key = digest(adapter, evaluation_id, decision.as_dict())
    recorded = _find(store, PROMOTIONS, key)
    if recorded:
        return recorded
    entry = {
        "decision": key,
        "adapter": adapter,
        "evaluation": evaluation_id,
        "at": datetime.now(UTC).isoformat(),
    }
    if decision.promote and not _find(store, CHAMPION, key):
        current = champion(store)
        if (current or {}).get("adapter") != decision.champion:
            raise Conflict(
                f"The champion is {(current or {}).get('adapter')} now, not {decision.champion} as when adapter {adapter} was "
                "judged: evaluate again."
            )
        store.append(CHAMPION, entry, after=current["number"] if current else 0)
    entry |= {"promoted": decision.promote, "reasons": decision.reasons, "champion": decision.champion}
    return entry | {"number": store.append(PROMOTIONS, entry, after=len(store.entries(PROMOTIONS)))}


def champion(store: Store) -> dict[str, Any] | None:
    """adapter, evaluation, at, number of the adapter in use; None before the first promotion."""
    return store.head(CHAMPION)


def _find(store: Store, log: str, key: str) -> dict[str, Any] | None:
    for path in reversed(store.entries(log)):
        body = store.read(path)
        if body["decision"] == key:
            return {**body, "number": int(path.stem)}
    return None
