"""Blind overlap on a real Label Studio: three people who signed up, each labelling through the calls of the label stream."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.cli import run
from flows.place import open_place
from flows.stages.assigning import LOG
from pipeline import config
from pipeline.config import LabelStudio, Project
from pipeline.errors import SourceError
from pipeline.label_studio import connection as connection_module
from pipeline.label_studio.connection import Connection, request
from pipeline.label_studio.label_config import write_choices
from pipeline.label_studio.overlap import (
    SOURCE,
    find_queues,
    given,
    people,
    pull_queues,
    push_queues,
    said,
)
from pipeline.label_studio.project import import_tasks, setup_project
from pipeline.label_studio.sync import sync
from pipeline.store import Store

pytestmark = pytest.mark.server

LABELS = ["refund", "delivery", "other"]
NAMES = ("ann", "bob", "cyd")
TASKS, GOLD, PER_TASK = 24, 4, 2


@dataclass(frozen=True)
class Annotator:
    id: int
    email: str
    connection: Connection


@pytest.fixture(scope="module")
def team(label_studio: Connection) -> list[Annotator]:
    """They sign up with the organization's invite link, as people do, and have tokens of their own."""
    return [sign_up(label_studio, f"{name}@overlap.example.com") for name in NAMES]


def sign_up(label_studio: Connection, email: str) -> Annotator:
    link = request(label_studio, "GET", "/api/invite")["invite_url"]
    with httpx.Client(base_url=label_studio.url, trust_env=False, follow_redirects=True) as browser:
        csrf = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', browser.get(link).text)
        assert csrf
        form = {"csrfmiddlewaretoken": csrf[1], "email": email, "password": "a-long-password"}
        browser.post(link, data=form, headers={"Referer": label_studio.url + link}).raise_for_status()
        token = browser.get("/api/current-user/token").json()["token"]
        own = Connection(label_studio.url, token)
        return Annotator(browser.get("/api/current-user/whoami").json()["id"], email, own)


def chosen(label: str) -> list[dict[str, Any]]:
    return [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}]


def right(data: dict[str, str], off: int = 0) -> str:
    """The answer to "message 4"; with off = 1 a wrong one."""
    return LABELS[(int(data["text"].split()[1]) + off) % len(LABELS)]


@pytest.fixture
def folder(
    tmp_path: Path, label_studio: Connection, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A project folder and its Label Studio project: TASKS tasks, of which GOLD have a ground truth."""
    monkeypatch.setenv("ASSAY_LABEL_STUDIO_TOKEN", label_studio.token)
    number = setup_project(
        label_studio,
        title=request.node.name[5:50],
        label_config=write_choices(LABELS),
        guidelines="Be <kind>.",
    )
    answers = {True: [{"result": chosen(LABELS[0]), "ground_truth": True}], False: []}
    import_tasks(
        label_studio,
        number,
        [
            {
                "data": {"text": f"message {i} <b>👩‍🚀"},
                "annotations": answers[i < GOLD * len(LABELS) and i % len(LABELS) == 0],
            }
            for i in range(TASKS)
        ],
    )
    project = Project(name="overlap", label_studio=LabelStudio(url=label_studio.url, project=number))
    config.save(tmp_path, project)
    (tmp_path / "label_config.xml").write_text(write_choices(LABELS), encoding="utf-8")
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    code = run([*arguments, "--json"])
    body = json.loads(capsys.readouterr().out)
    assert code == 0, body
    return body


def number_of(folder: Path) -> int:
    found = config.load(folder).label_studio
    assert found is not None
    assert found.project is not None
    return found.project


def next_task(who: Annotator, queue: int) -> dict[str, Any] | None:
    """What the page asks after `Label All Tasks` (seen in 1.23.2); None when it says that nothing is left."""
    response = httpx.post(
        f"{who.connection.url}/api/dm/actions",
        params={"id": "next_task", "project": queue},
        json={"project": str(queue)},
        headers={"Authorization": f"Token {who.connection.token}"},
        trust_env=False,
    )
    if response.status_code == 404:
        return None
    response.raise_for_status()
    found: dict[str, Any] = response.json()
    return found


def submit(who: Annotator, queue: int, task: int, label: str, **more: Any) -> dict[str, Any]:
    body = {
        "result": chosen(label),
        "lead_time": 4.5,
        "draft_id": 0,
        "parent_prediction": None,
        "project": str(queue),
        **more,
    }
    made: dict[str, Any] = request(
        who.connection, "POST", f"/api/tasks/{task}/annotations/", params={"project": queue}, json=body
    )
    return made


def label_all(who: Annotator, queue: int, wrong: int = 0, most: int = 1000) -> list[dict[str, Any]]:
    """Answer whatever comes, the first `wrong` of it wrongly; what the server showed."""
    shown: list[dict[str, Any]] = []
    while len(shown) < most and (task := next_task(who, queue)) is not None:
        shown.append(task)
        submit(who, queue, task["id"], right(task["data"], off=len(shown) <= wrong))
    return shown


def emails(team: list[Annotator]) -> list[str]:
    return [part for who in team for part in ("--annotator", who.email)]


def planned(folder: Path) -> dict[int, list[int]]:
    head = open_place(folder).store.head(LOG)
    assert head is not None
    return {int(user): queue for user, queue in head["queues"].items()}


def home_answers(folder: Path, label_studio: Connection) -> dict[int, set[int]]:
    """task -> who answered it in the project itself, ground truths apart."""
    found: dict[int, set[int]] = {}
    for one in given(label_studio, number_of(folder), {}):
        if not one.truth and not one.skipped:
            found.setdefault(one.task, set()).add(one.user)
    return found


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every request of ours that is not a GET, while the test runs."""
    seen: list[str] = []

    def note(sent: httpx.Request) -> None:
        if sent.method != "GET":
            seen.append(f"{sent.method} {sent.url.path}")

    client = connection_module._client()
    client.event_hooks["request"].append(note)
    yield seen
    client.event_hooks["request"].remove(note)


def test_three_people_label_through_the_stream_until_nothing_is_left_and_see_nobody_elses_answers(
    folder: Path, label_studio: Connection, team: list[Annotator], capsys: pytest.CaptureFixture[str]
) -> None:
    at = ["plan", str(folder), *emails(team), "--per-task", str(PER_TASK), "--gold-share", "0.25"]
    plan = call(capsys, "assign", *at)
    assert plan["gold"] == GOLD
    assert plan["pairs"]["most"] - plan["pairs"]["least"] <= 1
    assert call(capsys, "assign", *at)["new"] is False
    pushed = call(capsys, "assign", "push", str(folder))
    mine = planned(folder)
    assert pushed["created"] == sum(map(len, mine.values())) == (TASKS - GOLD) * PER_TASK + GOLD * 3
    queues = find_queues(label_studio, number_of(folder))
    head = open_place(folder).store.head(LOG)
    assert head is not None
    gold = set(head["gold"])

    shown = {who.id: label_all(who, queues[who.id], wrong=number) for number, who in enumerate(team)}
    for who in team:
        assert [task["meta"][SOURCE] for task in shown[who.id]] == mine[
            who.id
        ]  # his tasks, in his order, and no others
        assert all(
            task["annotations"] == task["predictions"] == task["drafts"] == [] for task in shown[who.id]
        )
        assert all(set(task["data"]) == {"text"} for task in shown[who.id])
        assert next_task(who, queues[who.id]) is None
        stored = request(
            who.connection, "GET", "/api/tasks/", params={"project": queues[who.id], "fields": "all"}
        )["tasks"]
        # nor when he opens the table of his queue and clicks on a row, gold or not
        assert {answer["completed_by"] for task in stored for answer in task["annotations"]} == {who.id}
        assert not any(answer["ground_truth"] for task in stored for answer in task["annotations"])

    pulled = call(capsys, "assign", "pull", str(folder))
    assert pulled == {"created": pushed["created"], "changed": 0, "moved": 0, "kept": 0, "homeless": 0}
    found = home_answers(folder, label_studio)
    should = {task: {who for who, queue in mine.items() if task in queue} for task in found}
    assert found == should
    assert {len(people) for task, people in found.items() if task not in gold} == {PER_TASK}
    assert all(found[task] == {who.id for who in team} for task in gold)
    assert len(found) == TASKS

    status = call(capsys, "assign", "status", str(folder))
    assert [one["open"] for one in status["annotators"]] == [0, 0, 0]
    assert status["finished"] == status["tasks"] == TASKS - GOLD
    assert status["unplanned"] == []
    for number, (who, one) in enumerate(zip(team, status["annotators"], strict=True)):
        wrong = len(gold & set(mine[who.id][:number]))
        assert (one["annotator"], one["gold_right"], one["gold_answered"]) == (who.id, GOLD - wrong, GOLD)
        assert one["gold_accuracy"]["low"] < one["gold_accuracy"]["value"] <= one["gold_accuracy"]["high"]


def test_everything_twice_writes_nothing_and_the_mirror_sees_no_change(
    folder: Path, label_studio: Connection, team: list[Annotator], capsys: pytest.CaptureFixture[str], writes: list[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    store = Store(tmp_path / "mirror")
    sync(store, label_studio, number_of(folder))
    call(capsys, "assign", "plan", str(folder), *emails(team))
    assert writes == []  # a plan is ours alone
    call(capsys, "assign", "push", str(folder))
    assert writes
    assert sync(store, label_studio, number_of(folder))["new"] is False  # home is not touched by a push
    queues = find_queues(label_studio, number_of(folder))
    label_all(team[0], queues[team[0].id], most=3)
    call(capsys, "assign", "pull", str(folder))
    assert sync(store, label_studio, number_of(folder))["changed"] == 3
    writes.clear()
    again = call(capsys, "assign", "push", str(folder))
    assert (again["created"], again["changed"], again["removed"]) == (0, 0, 0)
    assert set(call(capsys, "assign", "pull", str(folder)).values()) == {0}
    assert call(capsys, "assign", "plan", str(folder))["new"] is False
    call(capsys, "assign", "status", str(folder))
    assert writes == []


def test_an_answer_keeps_its_author_its_time_and_later_corrections_wherever_they_were_made_last(
    folder: Path, label_studio: Connection, team: list[Annotator], capsys: pytest.CaptureFixture[str]
) -> None:
    call(capsys, "assign", "plan", str(folder), *emails(team))
    call(capsys, "assign", "push", str(folder))
    queues = find_queues(label_studio, number_of(folder))
    who, queue = team[0], queues[team[0].id]
    tasks = [
        task
        for _ in range(3)
        if (task := next_task(who, queue)) is not None and submit(who, queue, task["id"], "other")
    ]
    assert call(capsys, "assign", "pull", str(folder))["created"] == 3
    home = {one.task: one for one in given(label_studio, number_of(folder), {}) if one.user == who.id}
    raw = request(label_studio, "GET", f"/api/annotations/{home[tasks[0]['meta'][SOURCE]].annotation}/")
    assert (raw["completed_by"], raw["lead_time"], raw["result"]) == (who.id, 4.5, chosen("other"))

    in_queue = [
        request(who.connection, "GET", f"/api/tasks/{task['id']}/")["annotations"][0]["id"] for task in tasks
    ]
    request(who.connection, "PATCH", f"/api/annotations/{in_queue[0]}/", json={"result": chosen("refund")})
    mended = home[tasks[1]["meta"][SOURCE]].annotation
    request(label_studio, "PATCH", f"/api/annotations/{mended}/", json={"result": chosen("delivery")})
    pulled = call(capsys, "assign", "pull", str(folder))
    assert (pulled["created"], pulled["changed"], pulled["kept"]) == (0, 1, 1)
    answer = {
        one.task: one.said for one in given(label_studio, number_of(folder), queues) if one.user == who.id
    }
    assert [answer[task["meta"][SOURCE]] for task in tasks] == [
        said(chosen(label)) for label in ("refund", "delivery", "other")
    ]
    assert call(capsys, "assign", "pull", str(folder))["changed"] == 0


def test_a_push_and_a_pull_that_were_interrupted_go_on_where_they_stopped(
    folder: Path, label_studio: Connection, team: list[Annotator], capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    home = number_of(folder)
    call(capsys, "assign", "plan", str(folder), *emails(team))
    with pytest.raises(KeyboardInterrupt):
        push_queues(label_studio, home, planned(folder), {}, progress=stop)
    assert len(find_queues(label_studio, home)) == 2
    call(capsys, "assign", "push", str(folder))
    queues = find_queues(label_studio, home)
    shown = label_all(team[0], queues[team[0].id], most=5)
    with pytest.raises(KeyboardInterrupt):
        pull_queues(label_studio, home, queues, progress=stop)
    assert len(home_answers(folder, label_studio)) == 2
    assert pull_queues(label_studio, home, queues)["created"] == 3
    mine = [one.task for one in given(label_studio, home, {}) if one.user == team[0].id]
    assert sorted(mine) == sorted(task["meta"][SOURCE] for task in shown)


def test_equal_answers_are_equal_whatever_the_ids_and_the_order_of_their_entries() -> None:
    first, second = chosen("refund")[0], {**chosen("other")[0], "from_name": "second"}
    assert said([first, second]) == said([{**second, "id": "x1", "origin": "manual"}, {**first, "id": "x2"}])
    assert said([first]) != said([second])
    assert said([first, second], ["label"]) == said([first])
    several = [{**first, "value": {"choices": order}} for order in (["a", "b"], ["b", "a"], ["a"])]
    assert said([several[0]]) == said([several[1]]) != said([several[2]])
    assert said([]) == said([second], ["label"]) == ""


def test_who_labels_in_somebody_elses_queue_is_reported_and_the_task_is_open_again_to_its_owner(
    folder: Path, label_studio: Connection, team: list[Annotator], capsys: pytest.CaptureFixture[str]
) -> None:
    call(capsys, "assign", "plan", str(folder), *emails(team))
    call(capsys, "assign", "push", str(folder))
    mine, queues = planned(folder), find_queues(label_studio, number_of(folder))
    owner, guest = team[0], team[1]
    copies = request(
        label_studio, "GET", "/api/tasks/", params={"project": queues[owner.id], "page_size": 100}
    )["tasks"]
    copy = next(task for task in copies if task["meta"][SOURCE] not in mine[guest.id])
    submit(guest, queues[owner.id], copy["id"], "refund")
    assert copy["meta"][SOURCE] not in [task["meta"][SOURCE] for task in label_all(owner, queues[owner.id])]

    status = call(capsys, "assign", "status", str(folder))
    stranger = {"task": copy["meta"][SOURCE], "annotator": guest.id, "name": guest.email.split("@")[0]}
    assert status["unplanned"] == [stranger]
    pulled = call(capsys, "assign", "pull", str(folder))
    assert pulled["moved"] == 1
    assert call(capsys, "assign", "status", str(folder))["unplanned"] == [stranger]
    assert home_answers(folder, label_studio)[copy["meta"][SOURCE]] == {guest.id}  # nothing is lost
    again = label_all(owner, queues[owner.id])
    assert [task["meta"][SOURCE] for task in again] == [copy["meta"][SOURCE]]
    assert again[0]["annotations"] == []


def test_who_leaves_keeps_his_answers_and_skipped_and_open_tasks_go_to_others(
    folder: Path, label_studio: Connection, team: list[Annotator], capsys: pytest.CaptureFixture[str]
) -> None:
    call(capsys, "assign", "plan", str(folder), *emails(team), "--per-task", "2", "--gold-share", "0")
    call(capsys, "assign", "push", str(folder))
    first, queues = planned(folder), find_queues(label_studio, number_of(folder))
    leaver, others = team[2], team[:2]
    answered = {task["meta"][SOURCE] for task in label_all(leaver, queues[leaver.id], most=4)}
    skipped = next_task(others[0], queues[others[0].id])
    assert skipped is not None
    submit(others[0], queues[others[0].id], skipped["id"], "other", was_cancelled=True, result=[])
    import_tasks(label_studio, number_of(folder), [{"data": {"text": f"later {i}"}} for i in range(5)])

    plan = call(capsys, "assign", "plan", str(folder), *emails(others))
    second = planned(folder)
    assert plan["new"]
    assert leaver.id not in second
    assert all(second[who.id][: len(first[who.id])] == first[who.id] for who in others)
    pushed = call(capsys, "assign", "push", str(folder))
    assert pushed["removed"] == len(first[leaver.id]) - 4
    assert next_task(leaver, queues[leaver.id]) is None
    for who in others:
        label_all(who, queues[who.id])
    call(capsys, "assign", "pull", str(folder))
    found = home_answers(folder, label_studio)
    gone = skipped["meta"][SOURCE]
    for task, who in found.items():
        assert len(who) == (1 if task == gone and task not in answered else 2), task
        assert (leaver.id in who) == (task in answered)
    assert others[0].id not in found.get(gone, set())
    status = call(capsys, "assign", "status", str(folder))
    assert status["unplanned"] == []
    assert status["annotators"][0]["skipped"] == 1
    assert status["short"] == (0 if gone in answered else 1)


def test_a_queue_follows_its_project_until_a_task_is_answered(
    folder: Path, label_studio: Connection, team: list[Annotator], capsys: pytest.CaptureFixture[str]
) -> None:
    home = number_of(folder)
    call(capsys, "assign", "plan", str(folder), *emails(team))
    call(capsys, "assign", "push", str(folder))
    mine, queues = planned(folder), find_queues(label_studio, home)
    who = team[0]
    done = label_all(who, queues[who.id], most=1)[0]["meta"][SOURCE]
    still, gone = mine[who.id][1], mine[who.id][2]
    for task in (done, still):
        request(label_studio, "PATCH", f"/api/tasks/{task}/", json={"data": {"text": "mended 0"}})
    request(label_studio, "DELETE", f"/api/tasks/{gone}/")
    request(label_studio, "PATCH", f"/api/projects/{home}/", json={"expert_instruction": "Be kinder."})
    call(capsys, "assign", "plan", str(folder))
    call(capsys, "assign", "push", str(folder))
    copies = request(
        label_studio, "GET", "/api/tasks/", params={"project": queues[who.id], "page_size": 100}
    )["tasks"]
    texts = {task["meta"][SOURCE]: task["data"]["text"] for task in copies}
    assert gone not in texts
    assert texts[still] == "mended 0"
    assert texts[done] != "mended 0"  # the answer was to the old text
    assert (
        request(label_studio, "GET", f"/api/projects/{queues[who.id]}/")["expert_instruction"] == "Be kinder."
    )
    assert [task["meta"][SOURCE] for task in label_all(who, queues[who.id])] == [
        task for task in planned(folder)[who.id] if task != done
    ]


def test_people_are_named_by_address_and_two_queues_of_one_person_are_refused(
    folder: Path, label_studio: Connection, team: list[Annotator], capsys: pytest.CaptureFixture[str]
) -> None:
    everybody = {person.email for person in people(label_studio)}
    assert {who.email for who in team} <= everybody
    assert request(label_studio, "GET", "/api/current-user/whoami")["email"] not in everybody
    assert [person.id for person in people(label_studio, [team[1].email.upper(), team[0].email])] == [
        team[1].id,
        team[0].id,
    ]
    assert run(["assign", "plan", str(folder), "--annotator", "nobody@example.com"]) == 2
    assert "no user nobody@example.com" in capsys.readouterr().err
    assert run(["assign", "push", str(folder)]) == 2
    assert "assay assign plan" in capsys.readouterr().err

    home, task = number_of(folder), given(label_studio, number_of(folder), {})[0].task
    assert (
        push_queues(label_studio, home, {team[0].id: []}, {}) == []
    )  # nothing to do for him: no empty project
    push_queues(label_studio, home, {team[0].id: [task]}, {team[0].id: "A very long name indeed, with a <b>"})
    queue = find_queues(label_studio, home)[team[0].id]
    facts = request(label_studio, "GET", f"/api/projects/{queue}/")
    assert len(facts["title"]) <= 50
    copy = {"title": "a copy", "description": facts["description"]}
    made = request(label_studio, "POST", "/api/projects/", json=copy)["id"]
    with pytest.raises(SourceError, match=f"Projects {queue} and {made}|Projects {made} and {queue}"):
        find_queues(label_studio, home)
    request(label_studio, "DELETE", f"/api/projects/{made}/")
