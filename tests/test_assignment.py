"""The plan of who labels what: promises that hold for any numbers, and how evenly pairs share."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.assignment import Plan, assign, pair_counts
from pipeline.errors import ConfigError

Pairs = set[tuple[int, int]]


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """People numbered from 100, tasks with gaps in their numbers, some of them gold."""
    people = draw(st.integers(1, 9))
    tasks = draw(st.lists(st.integers(1, 10_000), unique=True, min_size=1, max_size=80))
    return {
        "task_ids": tasks,
        "annotators": list(range(100, 100 + people)),
        "k": draw(st.integers(1, people)),
        "gold_ids": set(draw(st.lists(st.sampled_from(tasks), max_size=12))),
        "gold_share": draw(st.sampled_from([0.0, 0.05, 0.1, 0.3])),
        "seed": draw(st.integers(0, 5)),
    }


def some_pairs(draw: st.DrawFn, case: dict[str, Any]) -> Pairs:
    """Also people who are not in the plan, and tasks that are gone."""
    tasks, people = [*case["task_ids"], 10_001], [*case["annotators"], 7]
    return set(draw(st.lists(st.tuples(st.sampled_from(tasks), st.sampled_from(people)), max_size=60)))


def who_has(plan: Plan) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for who, queue in plan.queues.items():
        for task in queue:
            found.setdefault(task, set()).add(who)
    return found


@given(cases())
def test_each_task_goes_to_k_people_gold_to_all_and_loads_are_equal_within_one(case: dict[str, Any]) -> None:
    plan = assign(**case)
    people, has = case["annotators"], who_has(plan)
    assert set(plan.queues) == set(people)
    assert all(len(set(queue)) == len(queue) for queue in plan.queues.values())
    work = set(case["task_ids"]) - case["gold_ids"]
    assert {task: len(has.get(task, ())) for task in work} == dict.fromkeys(work, case["k"])
    assert set(plan.gold) <= case["gold_ids"]
    assert all(has[task] == set(people) for task in plan.gold)
    assert set(has) == work | set(plan.gold)  # gold that is not needed is put to nobody
    loads = [len(set(queue) & work) for queue in plan.queues.values()]
    assert max(loads) - min(loads) <= 1
    assert not plan.short
    assert plan == assign(**{**case, "task_ids": case["task_ids"][::-1]})


@given(cases(), st.data())
def test_answers_count_and_nobody_is_asked_again_what_he_answered_or_declined(
    case: dict[str, Any], data: st.DataObject
) -> None:
    already = some_pairs(data.draw, case)
    declined = some_pairs(data.draw, case) - already
    plan = assign(**case, already=already, declined=declined)
    has = who_has(plan)
    asked = {(task, who) for task, people in has.items() for who in people}
    assert not asked & (already | declined)
    loads = Counter({who: 0 for who in case["annotators"]})
    for task in set(case["task_ids"]) - case["gold_ids"]:
        answered = {who for one, who in already if one == task}
        people = answered | has.get(task, set())
        loads.update(people)
        lack = case["k"] - len(people)
        assert lack == plan.short.get(task, 0) or lack < 0
        if lack > 0:  # everybody else declined it
            assert people | {who for one, who in declined if one == task} >= set(case["annotators"])
        assert len(people) <= max(case["k"], len(answered))
    if not declined:  # whoever was given new work did not have more than who could have had it
        given_work = {who for who, queue in plan.queues.items() if set(queue) - case["gold_ids"]}
        for who in given_work:
            free = [
                other for other in case["annotators"]
                for task in set(plan.queues[who]) - case["gold_ids"]
                if (task, other) not in already and other not in has[task]
            ]  # fmt: skip
            assert all(loads[who] <= loads[other] + 1 for other in free)


@given(cases(), st.data())
def test_a_second_plan_keeps_the_first_when_tasks_come_and_go(
    case: dict[str, Any], data: st.DataObject
) -> None:
    first = assign(**case)
    added = set(data.draw(st.lists(st.integers(20_000, 30_000), unique=True, max_size=40)))
    gone = set(data.draw(st.lists(st.sampled_from(case["task_ids"]), max_size=10)))
    more_gold = set(data.draw(st.lists(st.sampled_from(sorted({*case["task_ids"], *added})), max_size=10)))
    tasks = [task for task in case["task_ids"] if task not in gone] + sorted(added)
    case = {**case, "task_ids": tasks, "gold_ids": case["gold_ids"] | more_gold}
    second = assign(**case, previous=first)
    for who, queue in first.queues.items():
        kept = tuple(task for task in queue if task not in gone)
        assert second.queues[who][: len(kept)] == kept
    planned = set(who_has(first))
    for task, people in who_has(second).items():
        if task not in second.gold:
            assert len(people) == case["k"]
        assert task not in second.gold or task in first.gold or task not in planned
    assert assign(**case, previous=second) == second


@given(cases(), st.data())
def test_who_leaves_keeps_his_answers_and_his_open_tasks_go_to_others(
    case: dict[str, Any], data: st.DataObject
) -> None:
    first = assign(**case)
    leaver = data.draw(st.sampled_from(case["annotators"]))
    staying = [who for who in case["annotators"] if who != leaver]
    if len(staying) < case["k"]:
        with pytest.raises(ConfigError, match="cannot be had"):
            assign(**{**case, "annotators": staying}, previous=first)
        return
    done = (
        set(data.draw(st.lists(st.sampled_from(first.queues[leaver]), max_size=30)))
        if first.queues[leaver]
        else set()
    )
    second = assign(
        **{**case, "annotators": staying}, previous=first, already={(task, leaver) for task in done}
    )
    assert leaver not in second.queues
    has = who_has(second)
    for task in set(case["task_ids"]) - case["gold_ids"]:
        assert len(has.get(task, set()) | ({leaver} if task in done else set())) == case["k"]
    for who in staying:
        assert second.queues[who][: len(first.queues[who])] == first.queues[who]


@given(cases(), st.data())
def test_who_joins_is_put_the_same_gold_and_nobody_loses_anything(
    case: dict[str, Any], data: st.DataObject
) -> None:
    first = assign(**case)
    second = assign(**{**case, "annotators": [*case["annotators"], 999]}, previous=first)
    assert {who: queue for who, queue in second.queues.items() if who != 999} == first.queues
    assert set(second.queues[999]) == set(first.gold)


@pytest.mark.parametrize(
    ("people", "k", "tasks"),
    [(3, 2, 30), (4, 2, 100), (5, 3, 100), (6, 4, 300), (8, 3, 1000), (20, 3, 1000), (30, 2, 3000)],
)
def test_every_pair_shares_about_equally_many_tasks(people: int, k: int, tasks: int) -> None:
    even = tasks * k * (k - 1) / (people * (people - 1))
    for seed in range(5):
        plan = assign(range(tasks), list(range(people)), k, seed=seed)
        counts = pair_counts(plan.queues).values()
        # Measured: 1 to 3 apart. Drawn at random they would be some 2 to 4 standard deviations, 4 √even, apart.
        assert max(counts) - min(counts) <= 3
        assert sum(counts) == pytest.approx(even * len(counts))


def test_gold_is_spread_evenly_over_each_queue_and_stands_elsewhere_in_each() -> None:
    plan = assign(range(500), list(range(5)), 2, gold_ids=range(400, 500), gold_share=0.1, seed=3)
    gold = set(plan.gold)
    assert len(gold) == round(0.1 / 0.9 * 160)
    places = []
    for queue in plan.queues.values():
        found = [position for position, task in enumerate(queue) if task in gold]
        stretch = len(queue) / len(gold)
        assert all(
            abs(place - (number + 0.5) * stretch) <= stretch / 2 + 1 for number, place in enumerate(found)
        )
        assert len({later - earlier for earlier, later in pairwise(found)}) > 3  # not to be foreseen
        places.append(tuple(queue.index(task) for task in sorted(gold)))
    assert len(set(places)) == 5


def test_the_order_is_shuffled_for_each_annotator_and_the_seed_decides_it() -> None:
    plan = assign(range(60), [1, 2], 2, seed=1)
    assert sorted(plan.queues[1]) == sorted(plan.queues[2]) == list(range(60))
    shared = sum(a == b for a, b in zip(plan.queues[1], plan.queues[2], strict=True))
    assert shared < 12  # of two random orders of 60, 12 places in common is a chance of 1e-9
    assert assign(range(60), [1, 2], 2, seed=2) != plan


def test_a_newcomer_gets_new_work_first() -> None:
    first = assign(range(90), [1, 2, 3], 2)
    second = assign(range(120), [1, 2, 3, 4], 2, previous=first)
    assert [len(second.queues[who]) for who in (1, 2, 3, 4)] == [70, 70, 70, 30]


def test_a_task_that_became_known_stays_the_work_it_was_and_lost_gold_is_no_gold() -> None:
    first = assign(range(20), [1, 2, 3], 2, gold_ids={0}, gold_share=0.1)
    planned = next(task for task in first.queues[1] if task not in first.gold)
    second = assign(range(20), [1, 2, 3], 2, gold_ids={planned}, gold_share=0.1, previous=first)
    assert second.queues == first.queues
    assert second.gold == ()


def test_a_plan_that_cannot_be_made_is_refused_with_what_to_do() -> None:
    for change, words in (
        ({"k": 4}, "cannot be had of 3: choose a number from 1 to 3"),
        ({"k": 0}, "cannot be had"),
        ({"annotators": [1, 1, 2]}, "named twice"),
        ({"gold_share": 0.5}, "below 0.5"),
        ({"gold_share": float("nan")}, "at least 0"),
    ):
        with pytest.raises(ConfigError, match=words):
            assign(**{"task_ids": [1, 2], "annotators": [1, 2, 3], "k": 2, **change})  # type: ignore[arg-type]


def test_pairs_without_a_common_task_count_zero_and_gold_can_be_left_out() -> None:
    queues = {1: [5, 6, 7], 2: [6, 7], 3: [8]}
    assert pair_counts(queues) == {(1, 2): 2, (1, 3): 0, (2, 3): 0}
    assert pair_counts(queues, {7}) == {(1, 2): 1, (1, 3): 0, (2, 3): 0}


@settings(max_examples=20)
@given(cases(), st.integers(0, 3))
def test_more_answers_per_task_can_be_asked_for_later(case: dict[str, Any], more: int) -> None:
    first = assign(**case)
    k = min(case["k"] + more, len(case["annotators"]))
    second = assign(**{**case, "k": k}, previous=first)
    work = set(case["task_ids"]) - case["gold_ids"]
    assert all(len(who_has(second)[task]) == k for task in work)
    assert replace(second, per_task=case["k"], queues=first.queues).gold[: len(first.gold)] == first.gold
