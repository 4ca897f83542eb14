"""What `assay review` and `assay truth` show a person."""

from __future__ import annotations

from typing import Any

from flows.console import interval, say, table


def review(body: dict[str, Any]) -> None:
    if not body["tasks"]:
        say("Nothing to look at again.")
        return
    later = f"; {body['waiting']} more once these are done" if body["waiting"] else ""
    say(f"{body['tasks']} examples to look at again{later}:")
    for tab in body["tabs"]:
        say(f"  {tab['tasks']:>4}  {tab['reason']}: {tab['url']}")
    say("In a tab, “Label Tasks As Displayed” (the arrow beside “Label All Tasks”) hands them out without the others' answers.")
    say("Then: assay review status")


def reviewed(body: dict[str, Any]) -> None:
    if not body["reasons"]:
        say("Nothing was sent to review yet: `assay review push` does it.")
        return
    rows = [
        (
            row["reason"], row["queued"], row["corrected"], row["confirmed"], row["open"], row["withdrawn"], row["deleted"],
            interval(row["precision"], percent=True),
        )
        for row in body["reasons"]
    ]  # fmt: skip
    columns = ("reason", "queued", "corrected", "confirmed", "open", "withdrawn", "deleted", "precision [95 %]")
    table("Review", columns, rows)
    done = body["counts"]["corrected"] + body["counts"]["confirmed"]
    say(
        f"\n{done} looked at in {body['minutes']:.1f} minutes ({body['timed']} of them timed); {body['counts']['open']} open."
    )
    if done:
        say("Next: assay check, which takes these answers; assay truth push, which makes them ground truth.")


def truth(body: dict[str, Any]) -> None:
    gone = f"; {body['gone']} tasks are gone" if body["gone"] else ""
    say(f"Ground truth: {body['marked']} marked, {body['created']} written, {body['present']} there already{gone}.")
    if not any(body[name] for name in ("marked", "created", "present", "gone")):
        say("Nothing is settled yet: it takes answers to `assay review push`, or a table of your own (--file).")


def against_truth(body: dict[str, Any]) -> None:
    if not body["annotators"]:
        say("No answer can be judged: there is no ground truth beside it. Make some with `assay truth push`.")
        return
    rows = [
        (
            row["name"], row["gold"], interval(row["accuracy"], percent=True),
            interval(row["undoubted"], percent=True), row["gold"] - row["doubted"],
        )
        for row in body["annotators"]
    ]  # fmt: skip
    columns = ("annotator", "judged", "accuracy [95 %]", "without examples sent to review", "judged there")
    table("Against ground truth, the least accurate first", columns, rows)
    if body["doubted"]:
        say(
            f"\n{body['doubted']} of {body['ground_truth']} examples with ground truth were sent to review because they were in "
            "doubt: accuracy on them is lower than on the rest."
        )
