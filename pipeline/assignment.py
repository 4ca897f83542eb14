"""Which annotator labels which task: a plan made before anybody begins, so that agreement can be estimated from it.

Each task goes to `k` distinct annotators, all carry the same load, and every pair of them shares about equally many
tasks. Gold questions, whose right answer is known, are put to everybody, at positions that nobody can guess.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from pipeline.errors import ConfigError

Pair = tuple[int, int]
MOST_GOLD = 0.5  # more gold than work is no annotation project any more


@dataclass(frozen=True)
class Plan:
    """queues: annotator -> task ids in the order in which he sees them, gold among them. gold: asked of everybody.

    short: task -> how many answers it will lack, where too few annotators are left who have not declined it.
    """

    per_task: int
    queues: dict[int, tuple[int, ...]] = field(default_factory=dict)
    gold: tuple[int, ...] = ()
    short: dict[int, int] = field(default_factory=dict)


def assign(
    task_ids: Sequence[int],
    annotators: Sequence[int],
    k: int,
    *,
    gold_ids: Collection[int] = (),
    gold_share: float = 0.1,
    seed: int = 0,
    already: Iterable[Pair] = (),
    declined: Iterable[Pair] = (),
    previous: Plan | None = None,
) -> Plan:
    """The plan for `annotators`, who answer each task `k` times in all.

    already, declined: (task, annotator) pairs of answers that are there and of tasks that somebody skipped; both may name
    people who are not in `annotators`. An answer counts as one of the k, and for the load of who gave it; a task is not
    offered again to who declined it. gold_share: the part of each queue, in [0, 0.5), that is gold; those of `gold_ids`
    that this takes are put to everybody who has not answered them, the others are put to nobody.

    Without `already`, `declined` and `previous` all loads are equal within 1 (gold apart); with them, new work goes to
    whoever has least. `previous` is kept: its queues stay as they are but for tasks that are gone, new work comes behind,
    and the unanswered tasks of who is not in `annotators` any more go to others. The same arguments give the same plan.

    ConfigError if k is more than there are annotators, or a number is out of its range.
    """
    _refuse(annotators, k, gold_share)
    before, tasks, known = previous or Plan(k), set(task_ids), set(gold_ids)
    kept = {who: tuple(task for task in before.queues.get(who, ()) if task in tasks) for who in annotators}
    planned = {task for queue in before.queues.values() for task in queue}
    old_gold = [task for task in before.gold if task in tasks & known]
    # what was planned as work stays work, although its answer became known in the meantime
    pool = sorted(tasks & known - planned)
    work = sorted(tasks - set(old_gold) - set(pool))
    answered, refused = set(already), set(declined)

    holders: dict[int, set[int]] = {task: set() for task in work}
    waiting = {(task, who) for who, queue in kept.items() for task in queue} - refused
    for task, who in answered | waiting:
        if task in holders:
            holders[task].add(who)
    short = _fill(holders, annotators, k, refused, seed)

    dealt_with = answered | refused | {(task, who) for who, queue in kept.items() for task in queue}
    new = {who: [task for task in work if who in holders[task] and (task, who) not in dealt_with] for who in annotators}
    gold = [*old_gold, *_draw(pool, old_gold, kept, new, gold_share, seed)]
    queues = {}
    for who in annotators:
        asked = [task for task in gold if (task, who) not in dealt_with]
        queues[who] = (*kept[who], *_mixed(new[who], asked, random.Random(f"{seed} {who} {len(kept[who])}")))
    return Plan(k, queues, tuple(gold), short)


def pair_counts(queues: Mapping[int, Iterable[int]], leaving_out: Collection[int] = ()) -> dict[Pair, int]:
    """(annotator, annotator), smaller first -> how many tasks both have: the evidence there will be on their agreement."""
    counts: Counter[Pair] = Counter({pair: 0 for pair in combinations(sorted(queues), 2)})
    who_has: dict[int, list[int]] = {}
    for who in sorted(queues):
        for task in set(queues[who]) - set(leaving_out):
            who_has.setdefault(task, []).append(who)
    for people in who_has.values():
        counts.update(combinations(people, 2))
    return dict(counts)


def _refuse(annotators: Sequence[int], k: int, gold_share: float) -> None:
    if len(set(annotators)) != len(annotators):
        raise ConfigError("An annotator is named twice: name each once.")
    if not 1 <= k <= len(annotators):
        raise ConfigError(
            f"{k} annotators per task cannot be had of {len(annotators)}: choose a number from 1 to {len(annotators)}, or "
            "name more annotators."
        )
    if not 0 <= gold_share < MOST_GOLD:
        raise ConfigError(f"The share of gold questions is {gold_share}: it must be at least 0 and below {MOST_GOLD}.")


def _fill(
    holders: dict[int, set[int]], annotators: Sequence[int], k: int, refused: set[Pair], seed: int
) -> dict[int, int]:
    """Give each task the annotators it lacks; returns the tasks for which there are not enough.

    Always to one with the least load, so that loads stay equal within 1; among those, to whom shares least with the ones
    who have the task already; the rest is the seed's.
    """
    chance = random.Random(f"{seed} tasks {len(holders)}")
    load = Counter(who for people in holders.values() for who in people)
    shared: Counter[Pair] = Counter(pair for people in holders.values() for pair in combinations(sorted(people), 2))
    todo = sorted(task for task, people in holders.items() if len(people) < k)
    chance.shuffle(todo)
    short = {}
    for task in todo:
        people = holders[task]
        while len(people) < k:
            free = [who for who in annotators if who not in people and (task, who) not in refused]
            if not free:
                short[task] = k - len(people)
                break
            least = min(load[who] for who in free)
            common = {who: sum(shared[_pair(who, other)] for other in people) for who in free if load[who] == least}
            chosen = chance.choice([who for who in common if common[who] == min(common.values())])
            shared.update(_pair(chosen, other) for other in people)
            load[chosen] += 1
            people.add(chosen)
    return short


def _pair(a: int, b: int) -> Pair:
    return (a, b) if a < b else (b, a)


def _draw(
    pool: Sequence[int],
    old: Sequence[int],
    kept: Mapping[int, Sequence[int]],
    new: Mapping[int, Sequence[int]],
    share: float,
    seed: int,
) -> list[int]:
    """As many more gold questions as an average queue needs for its share; at least one, if there shall be any."""
    work = sum(len(kept[who]) + len(new[who]) for who in new) / len(new) - len(old)
    wanted = max(1, round(share / (1 - share) * work)) if share and any(new.values()) else 0
    order = list(pool)
    random.Random(f"{seed} gold").shuffle(order)
    return order[: max(0, wanted - len(old))]


def _mixed(work: Iterable[int], gold: Iterable[int], chance: random.Random) -> list[int]:
    """Both shuffled, with one gold question somewhere in each of as many equal stretches: spread, yet not to be foreseen."""
    rest, asked = sorted(work), sorted(gold)
    chance.shuffle(rest)
    chance.shuffle(asked)
    length, count = len(rest) + len(asked), len(asked)
    places = {chance.randrange(length * i // count, length * (i + 1) // count): task for i, task in enumerate(asked)}
    ordinary = iter(rest)
    return [places[position] if position in places else next(ordinary) for position in range(length)]
