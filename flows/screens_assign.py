"""What `assay assign` shows a person."""

from __future__ import annotations

from typing import Any

from flows.console import interval, say, table, visible

SHOWN = 20  # answers of the wrong person; the rest is in --json


def plan(body: dict[str, Any]) -> None:
    rows = [(one["name"], one["email"], one["assigned"], one["gold"]) for one in body["annotators"]]
    table(f"Plan {body['number']}", ("annotator", "e-mail", "tasks", "of which gold"), rows)
    say(f"\nEach task goes to {body['per_task']} annotators; {body['gold']} gold questions go to everybody.")
    if body["pairs"]:
        least, most = body["pairs"]["least"], body["pairs"]["most"]
        say(f"Every two of them share {least if least == most else f'{least} to {most}'} tasks, gold apart.")
    if not body["gold"]:
        say("No gold question: mark some tasks' right answers as ground truth (the star) in Label Studio to have some.")
    if body["short"]:
        say(f"{body['short']} tasks lack annotators: too few are left who have not skipped them.")
    say("Next: assay assign push")


def push(body: dict[str, Any]) -> None:
    rows = [(one["name"], one["created"], one["changed"], one["removed"]) for one in body["queues"]]
    table("Queues", ("annotator", "added", "changed", "taken out"), rows)
    say("\nTo send to each; there `Label All Tasks` is the button to press:")
    for one in body["queues"]:  # not in the table, which would break an address over two lines
        say(f"  {visible(one['name'])}: {one['url']}")
    say("Next, once some are answered: assay assign pull")


def pull(body: dict[str, int]) -> None:
    say(f"{body['created']} answers brought home, {body['changed']} corrected since.")
    if body["moved"]:
        say(f"{body['moved']} of them were given in somebody else's queue: taken out of it, so that it is open to its owner.")
    if body["kept"]:
        say(f"{body['kept']} were changed in the project itself since: left as they are there.")
    if body["homeless"]:
        say(f"{body['homeless']} answers are to tasks that were deleted: left in their queues.")
    say("Next: assay check")


def status(body: dict[str, Any]) -> None:
    rows = [
        (
            one["name"], one["done"], one["skipped"], one["open"], f"{one['gold_right']} of {one['gold_answered']}",
            interval(one["gold_accuracy"], percent=True),
        )
        for one in body["annotators"]
    ]  # fmt: skip
    columns = ("annotator", "done", "skipped", "open", "gold right", "gold accuracy [95 %]")
    table(f"Plan {body['number']}", columns, rows)
    say(f"\n{body['finished']} of {body['tasks']} tasks have {body['per_task']} answers (gold apart).")
    if body["short"]:
        say(f"{body['short']} tasks cannot get there: too few annotators have not skipped them.")
    if body["unplanned"]:
        say(f"Answers by people to whom the task was not assigned: {len(body['unplanned'])}")
        table("", ("task", "annotator"), [(one["task"], one["name"]) for one in body["unplanned"][:SHOWN]])
