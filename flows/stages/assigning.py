"""assign: who labels what, recorded; the queues in Label Studio; the answers brought home; how far everybody is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.place import Place, connection, project_id
from flows.stages import Progress, quiet
from pipeline import assignment
from pipeline.assignment import Plan, pair_counts
from pipeline.errors import ConfigError, Missing, SourceError
from pipeline.label_studio.connection import Connection
from pipeline.label_studio.overlap import Given, Person

LOG = "assignments"
PER_TASK = 2  # the fewest annotators between whom there can be agreement
GOLD_SHARE = 0.1


def plan(
    place: Place, *, emails: Sequence[str] = (), per_task: int | None = None, gold_share: float | None = None
) -> dict[str, Any]:
    """A plan for the tasks that the project has now, recorded in the log `assignments`.

    Where a plan is there, it is continued: what it gave to people who are still in it stays theirs, and settings that are not
    given are its settings. Gold are the tasks that have a ground truth in Label Studio.
    """
    from pipeline.label_studio.listing import bare_pages
    from pipeline.label_studio.overlap import find_queues, given, people
    from pipeline.label_studio.project import project_facts

    server, number = connection(place), project_id(place)
    facts, last = project_facts(server, number), _head(place, number)
    chosen = _chosen(people(server, emails), emails, last)
    answers = given(server, number, find_queues(server, number))
    tasks = [task["id"] for page in bare_pages(server, number, include=["id"]) for task in page]
    k = per_task if per_task is not None else (last["per_task"] if last else PER_TASK)
    share = gold_share if gold_share is not None else (last["gold_share"] if last else GOLD_SHARE)
    made = assignment.assign(
        tasks,
        [person.id for person in chosen],
        k,
        gold_ids=truths(answers),
        gold_share=share,
        seed=place.project.seed,
        already={(one.task, one.user) for one in answers if not one.skipped},
        declined={(one.task, one.user) for one in answers if one.skipped},
        previous=_as_plan(last),
    )
    if not any(made.queues.values()):
        raise SourceError(
            f"There is nothing to assign: each of the {len(tasks)} tasks of project {number} ({facts['title']!r}) has its "
            "answers, or a ground truth."
        )
    body = {
        "project_id": number, "project_created_at": facts["created_at"], "per_task": k, "gold_share": share,
        "since": last["since"] if last else max([one.created_at for one in answers], default=""), **_as_body(made),
    }  # fmt: skip
    same = last is not None and all(last[name] == value for name, value in body.items())
    entry = int(last["number"]) if last and same else place.store.append(LOG, body, int(last["number"]) if last else 0)
    return {"number": entry, "new": not same, "tasks": len(tasks), **_described(made, chosen)}


def push(place: Place, progress: Progress = quiet) -> dict[str, Any]:
    """Make or mend the annotators' queues in Label Studio by the newest plan."""
    from pipeline.label_studio.overlap import push_queues

    server, number = connection(place), project_id(place)
    made = _as_plan(_needed(place, number))
    assert made is not None
    names = _names(server)
    outcomes = push_queues(server, number, made.queues, names, progress=progress)
    totals = {name: sum(one[name] for one in outcomes) for name in ("created", "changed", "removed")}
    return {**totals, "queues": [{"name": names.get(one["user"], f"user {one['user']}"), **one} for one in outcomes]}


def pull(place: Place, progress: Progress = quiet) -> dict[str, int]:
    """Bring the answers home into the project, under their authors' names."""
    from pipeline.label_studio.overlap import find_queues, pull_queues

    server, number = connection(place), project_id(place)
    return pull_queues(server, number, find_queues(server, number), progress=progress)


def status(place: Place) -> dict[str, Any]:
    """How far everybody is, who answered what was not his, and how often gold questions were answered as the ground truth."""
    from pipeline.label_studio.overlap import find_queues, given, people

    server, number = connection(place), project_id(place)
    last = _needed(place, number)
    made = _as_plan(last)
    assert made is not None
    names = _names(server)
    answers = given(server, number, find_queues(server, number), place.scheme().answer)
    rows = [_row(user, queue, answers, made) for user, queue in sorted(made.queues.items())]
    rows = [{"name": names.get(row["annotator"], f"user {row['annotator']}"), **row} for row in rows]
    full, ever = _answered_enough(made, answers), _ever(place)
    watched = {person.id for person in people(server)} | ever.keys()  # not the token's owner, who may correct anything
    unplanned = [
        {"task": one.task, "annotator": one.user, "name": names.get(one.user, f"user {one.user}")}
        for one in answers
        if one.user in watched and one.created_at > last["since"] and not one.truth
        and one.task not in ever.get(one.user, frozenset())
    ]  # fmt: skip
    return {
        "number": last["number"], "per_task": made.per_task, "annotators": rows, "finished": full,
        "tasks": len({task for queue in made.queues.values() for task in queue} - set(made.gold)),
        "short": len(made.short), "unplanned": unplanned,
    }  # fmt: skip


def truths(answers: Sequence[Given]) -> dict[int, Given]:
    """task -> its ground truth."""
    return {one.task: one for one in answers if one.truth and not one.skipped}


def _names(server: Connection) -> dict[int, str]:
    from pipeline.label_studio.project import users

    return {int(user): name for user, name in users(server).items()}


def _row(user: int, queue: Sequence[int], answers: Sequence[Given], made: Plan) -> dict[str, Any]:
    from pipeline.statistics import wilson

    own = set(queue)
    mine = [one for one in answers if one.user == user and one.task in own]
    done, skipped = {one.task for one in mine if not one.skipped}, {one.task for one in mine if one.skipped}
    truth = truths(answers)
    gold = set(made.gold) & truth.keys()
    # who gave the ground truth cannot be measured by it
    judged = {
        one.task: one.said == truth[one.task].said
        for one in mine
        if one.task in gold and not one.skipped and truth[one.task].user != user
    }
    right = sum(judged.values())
    return {
        "annotator": user, "assigned": len(queue), "done": len(done), "skipped": len(skipped - done),
        "open": len(own - done - skipped), "gold_answered": len(judged), "gold_right": right,
        "gold_accuracy": wilson(right, len(judged)).as_dict() if judged else None,
    }  # fmt: skip


def _answered_enough(made: Plan, answers: Sequence[Given]) -> int:
    """How many tasks (gold apart) have as many answers by different people as planned."""
    work = {task for queue in made.queues.values() for task in queue} - set(made.gold)
    who: dict[int, set[int]] = {task: set() for task in work}
    for one in answers:
        if one.task in work and not one.skipped:
            who[one.task].add(one.user)
    return sum(len(people) >= made.per_task for people in who.values())


def _chosen(people: list[Person], emails: Sequence[str], last: Mapping[str, Any] | None) -> list[Person]:
    """Without names: those of the last plan who are still there, or everybody."""
    if emails or last is None:
        return people
    return [person for person in people if str(person.id) in last["queues"]]


def _head(place: Place, number: int) -> dict[str, Any] | None:
    last = place.store.head(LOG)
    if last is not None and last["project_id"] != number:
        raise ConfigError(
            f"The plan in {place.store.root} is for project {last['project_id']}, not {number}: mend label_studio in "
            "project.yaml, or choose another `store` there."
        )
    return last


def _needed(place: Place, number: int) -> dict[str, Any]:
    last = _head(place, number)
    if last is None:
        raise Missing(f"There is no plan in {place.store.root} yet: make one with `assay assign plan`.")
    return last


def _ever(place: Place) -> dict[int, frozenset[int]]:
    """user -> the tasks that any plan gave him."""
    found: dict[int, frozenset[int]] = {}
    for entry in place.store.entries(LOG):
        for user, queue in place.store.read(entry)["queues"].items():
            found[int(user)] = found.get(int(user), frozenset()) | frozenset(queue)
    return found


def _as_body(made: Plan) -> dict[str, Any]:
    return {
        "queues": {str(user): list(queue) for user, queue in made.queues.items()},
        "gold": list(made.gold),
        "short": {str(task): lack for task, lack in made.short.items()},
    }


def _as_plan(body: Mapping[str, Any] | None) -> Plan | None:
    if body is None:
        return None
    queues = {int(user): tuple(queue) for user, queue in body["queues"].items()}
    return Plan(body["per_task"], queues, tuple(body["gold"]), {int(task): n for task, n in body["short"].items()})


def _described(made: Plan, chosen: Sequence[Person]) -> dict[str, Any]:
    pairs = pair_counts(made.queues, made.gold).values()
    rows = [
        {
            "annotator": person.id, "name": person.name, "email": person.email, "assigned": len(made.queues[person.id]),
            "gold": len(set(made.queues[person.id]) & set(made.gold)),
        }
        for person in chosen
    ]  # fmt: skip
    return {
        "per_task": made.per_task, "gold": len(made.gold), "annotators": rows, "short": len(made.short),
        "pairs": {"least": min(pairs), "most": max(pairs)} if pairs else None,
    }  # fmt: skip
