"""The mirror when the server, the way to it, or we ourselves fail in the middle: nothing lost, nothing doubled.

Each test sets a real Label Studio against a faulty proxy, kills a real process, or does on the server what people do there.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from faulty_proxy import Ask, Proxy, Reply, listening

from pipeline.errors import LabelStudioError, Unauthorized, Unreachable
from pipeline.label_studio import connection as connecting
from pipeline.label_studio import segments, server
from pipeline.label_studio.connection import TRIES, Connection, request
from pipeline.label_studio.failures import LostReply
from pipeline.label_studio.label_config import write_choices
from pipeline.label_studio.listing import PAGE
from pipeline.label_studio.project import ensure_users, import_tasks, setup_project
from pipeline.label_studio.sync import Mirror, label_configs, mirror_tasks, read_mirror, sync, task_revisions
from pipeline.store import Store

LABELS = ["refund", "delivery"]
MANY = 4 * PAGE + 100  # tasks: four whole pages and a part
POISON = b'{"text": "half a pair: \\ud83d"}'


def result(label: str) -> list[dict[str, Any]]:
    return [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}]


def fill(connection: Connection, number: int, *people: int) -> int:
    """A project of `number` tasks, each answered by all of `people`."""
    config = write_choices(LABELS)
    project = setup_project(connection, title=f"faults {uuid.uuid4().hex[:8]}", label_config=config)
    answers = [{"completed_by": user, "result": result(LABELS[0])} for user in people]
    import_tasks(
        connection, project, [{"data": {"text": f"text {n}"}, "annotations": answers} for n in range(number)]
    )
    return project


def answer_first_task(connection: Connection, task: dict[str, Any], label: str) -> None:
    annotation = task["annotations"][0]["id"]
    request(connection, "PATCH", f"/api/annotations/{annotation}/", json={"result": result(label)})


def delete_tasks(connection: Connection, project: int, ids: list[int]) -> None:
    request(
        connection, "POST", "/api/dm/actions/", params={"id": "delete_tasks", "project": project},
        json={"selectedItems": {"all": False, "included": ids}},
    )  # fmt: skip


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with listening() as made:
        yield made


@pytest.fixture
def faulty(proxy: Proxy, label_studio: Connection) -> Connection:
    """The real server, by way of the proxy."""
    proxy.target = label_studio.url
    return Connection(proxy.url, label_studio.token)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "FIRST_WAIT", 0.01)


@pytest.fixture(scope="module")
def many(label_studio: Connection) -> int:
    """A project that nobody changes."""
    people = ensure_users(label_studio, [{"email": "one@example.com", "first_name": "One"}])
    return fill(label_studio, MANY, *people.values())


@pytest.fixture(scope="module")
def undisturbed(label_studio: Connection, many: int, tmp_path_factory: pytest.TempPathFactory) -> Mirror:
    store = Store(tmp_path_factory.mktemp("undisturbed"))
    sync(store, label_studio, many)
    return read_mirror(store)


def pulled(connection: Connection, project: int, folder: Path) -> list[dict[str, Any]]:
    """The project as a pull that nothing disturbs sees it."""
    store = Store(folder / uuid.uuid4().hex)
    sync(store, connection, project)
    return read_mirror(store).tasks


PULL = """
import sys
from pathlib import Path
from pipeline.label_studio.connection import Connection
from pipeline.label_studio.sync import sync
from pipeline.store import Store
sync(Store(Path(sys.argv[1])), Connection(sys.argv[2], sys.argv[3]), int(sys.argv[4]))
"""


def pull_in_a_process(
    store: Store, connection: Connection, project: int, before: str = ""
) -> subprocess.Popen[bytes]:
    arguments = [str(store.root), connection.url, connection.token, str(project)]
    return subprocess.Popen(
        [sys.executable, "-c", before + PULL, *arguments],
        cwd=Path(__file__).parents[1],
        stderr=subprocess.PIPE,
    )


# Where it is killed, and how many pages are noted by then.
@pytest.mark.server
@pytest.mark.parametrize(
    ("page", "path", "noted"),
    [(1, "", 0), (2, "", 1), (4, "", 3), (0, "/api/users/", 5)],
    ids=["before anything", "early", "late", "all pulled, nothing published"],
)
def test_a_first_pull_that_was_killed_asks_only_for_what_is_missing(
    proxy: Proxy,
    faulty: Connection,
    many: int,
    undisturbed: Mirror,
    tmp_path: Path,
    page: int,
    path: str,
    noted: int,
) -> None:
    reached, killed = threading.Event(), threading.Event()

    def hold(ask: Ask) -> Reply | None:
        if not (ask.page == page if page else ask.path == path):
            return ask.forward()
        reached.set()
        killed.wait(60)
        return None

    proxy.fate = hold
    store = Store(tmp_path)
    child = pull_in_a_process(store, faulty, many)
    assert reached.wait(60), child.poll() is not None and child.communicate()
    child.send_signal(signal.SIGKILL)
    child.communicate()
    killed.set()
    assert not store.entries("mirror")

    proxy.forget()
    shown: list[tuple[int, int]] = []
    synced = sync(store, faulty, many, progress=lambda done, total: shown.append((done, total)))
    ids = [task["id"] for task in undisturbed.tasks]
    assert proxy.tasks == ids[noted * PAGE :]
    assert (synced["number"], synced["added"], synced["tasks"]) == (1, MANY, MANY)
    assert not shown or shown[-1] == (MANY, MANY)
    mirror = read_mirror(store)
    assert mirror.tasks == undisturbed.tasks
    assert (mirror.users, mirror.label_config) == (undisturbed.users, undisturbed.label_config)
    proxy.forget()
    assert sync(store, faulty, many)["new"] is False
    assert not proxy.tasks
    assert len(store.entries("mirror")) == 1


@pytest.mark.server
def test_what_changed_while_a_pull_was_interrupted_is_seen_by_the_next_whatever_it_had_pulled(
    proxy: Proxy, faulty: Connection, label_studio: Connection, tmp_path: Path
) -> None:
    people = ensure_users(label_studio, [{"email": "one@example.com"}])
    project = fill(label_studio, 2 * PAGE + 20, *people.values())
    before = pulled(label_studio, project, tmp_path)
    store = Store(tmp_path / "store")
    proxy.fate = lambda ask: ask.forward() if ask.page < 2 else None
    with pytest.raises(Unreachable):
        sync(store, faulty, project)
    answer_first_task(label_studio, before[3], LABELS[1])  # on the page that is noted
    delete_tasks(label_studio, project, [before[5]["id"]])
    import_tasks(label_studio, project, [{"data": {"text": "late"}}])
    proxy.forget()
    synced = sync(store, faulty, project)
    assert len(proxy.tasks) == PAGE + 21
    assert before[5]["id"] not in [task["id"] for task in read_mirror(store).tasks]
    assert synced["tasks"] == 2 * PAGE + 20
    assert sync(store, faulty, project)["changed"] == 1
    assert read_mirror(store).tasks == pulled(label_studio, project, tmp_path)
    assert sync(store, faulty, project)["new"] is False


@pytest.mark.server
def test_a_later_pull_that_was_killed_goes_on_where_it_stopped(
    proxy: Proxy, faulty: Connection, label_studio: Connection, tmp_path: Path
) -> None:
    people = ensure_users(label_studio, [{"email": "one@example.com"}])
    project = fill(label_studio, 20, *people.values())
    store = Store(tmp_path / "store")
    sync(store, faulty, project)
    old = read_mirror(store)
    import_tasks(label_studio, project, [{"data": {"text": f"more {n}"}} for n in range(2 * PAGE)])
    answer_first_task(label_studio, old.tasks[0], LABELS[1])

    reached, killed = threading.Event(), threading.Event()

    def hold(ask: Ask) -> Reply | None:
        if proxy.tasks and ask.page and len(proxy.tasks) >= PAGE:
            reached.set()
            killed.wait(60)
            return None
        return ask.forward()

    proxy.forget()
    proxy.fate = hold
    child = pull_in_a_process(store, faulty, project)
    assert reached.wait(60), child.poll() is not None and child.communicate()
    child.send_signal(signal.SIGKILL)
    child.communicate()
    killed.set()
    seen = len(proxy.tasks)
    proxy.forget()
    synced = sync(store, faulty, project)
    assert (synced["number"], synced["added"], synced["changed"]) == (2, 2 * PAGE, 1)
    assert (
        0 < len(proxy.tasks) <= 2 * PAGE + 1 - seen + PAGE
    )  # but for the page in hand, which it may or may not have noted
    assert read_mirror(store).tasks == pulled(label_studio, project, tmp_path)
    assert read_mirror(store, 1) == old


@dataclass
class Own:
    """A server that a test may kill."""

    folder: Path
    connection: Connection
    pid: int


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    folder = tmp_path_factory.mktemp("own")
    running = server.up(name="own", folder=folder)
    yield Own(folder, Connection(running.url, running.token), running.pid)
    server.down("own", folder)


@pytest.mark.server
def test_a_server_killed_in_mid_pull_and_started_again_is_asked_only_for_what_is_missing(
    own: Own, proxy: Proxy, tmp_path: Path
) -> None:
    project = fill(own.connection, MANY, 1)
    proxy.target = own.connection.url
    faulty = Connection(proxy.url, own.connection.token)

    def kill(ask: Ask) -> Reply | None:
        if ask.page == 3:
            os.kill(own.pid, signal.SIGKILL)
        return ask.forward()

    proxy.fate = kill
    store = Store(tmp_path / "store")
    with pytest.raises(Unreachable):
        sync(store, faulty, project)
    assert not store.entries("mirror")
    proxy.forget()
    proxy.target = server.up(name="own", folder=own.folder).url
    sync(store, faulty, project)
    assert len(proxy.tasks) == MANY - 2 * PAGE
    assert read_mirror(store).tasks == pulled(Connection(proxy.target, faulty.token), project, tmp_path)


@pytest.mark.server
def test_after_a_token_was_revoked_in_mid_pull_a_new_one_goes_on(
    own: Own, proxy: Proxy, tmp_path: Path
) -> None:
    project = fill(own.connection, MANY, 1)
    proxy.target = own.connection.url
    revoked = Connection(proxy.url, own.connection.token)
    tokens: list[str] = []

    def revoke(ask: Ask) -> Reply | None:
        if ask.page == 2 and not tokens:
            tokens.append(request(own.connection, "POST", "/api/current-user/reset-token/")["token"])
        return ask.forward()

    proxy.fate = revoke
    store = Store(tmp_path / "store")
    with pytest.raises(Unauthorized, match="ASSAY_LABEL_STUDIO_TOKEN") as caught:
        sync(store, revoked, project)
    assert proxy.pages == 2  # asked once: trying again does not help
    assert revoked.token not in str(caught.value)
    assert not store.entries("mirror")
    proxy.forget()
    sync(store, Connection(proxy.url, tokens[0]), project)
    assert len(proxy.tasks) == MANY - PAGE
    assert read_mirror(store).tasks == pulled(Connection(own.connection.url, tokens[0]), project, tmp_path)


def once(page: int, reply: Callable[[Ask], Reply | None], times: int = 1) -> Callable[[Ask], Reply | None]:
    """Does `reply` to the first `times` requests for the given page and those that repeat it."""
    left = [times]

    def fate(ask: Ask) -> Reply | None:
        if ask.page >= page and left[0]:
            left[0] -= 1
            return reply(ask)
        return ask.forward()

    return fate


@pytest.mark.server
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_asks_for_time_in_mid_pull_gets_it(
    proxy: Proxy, faulty: Connection, many: int, undisturbed: Mirror, tmp_path: Path, status: int
) -> None:
    proxy.fate = once(3, lambda ask: Reply(status, {"Retry-After": "1"}, b"busy"), times=2)
    sync(Store(tmp_path), faulty, many)
    assert read_mirror(Store(tmp_path)).tasks == undisturbed.tasks
    assert len(proxy.tasks) == MANY
    waits = [late - early for early, late in zip(proxy.times[2:4], proxy.times[3:5], strict=True)]
    assert min(waits) >= 1.0


@pytest.mark.server
def test_a_server_that_stays_busy_ends_the_pull_and_the_next_goes_on(
    proxy: Proxy, faulty: Connection, many: int, undisturbed: Mirror, tmp_path: Path
) -> None:
    proxy.fate = once(3, lambda ask: Reply(503, {}, b"busy"), times=TRIES)
    with pytest.raises(Unreachable, match="503") as caught:
        sync(Store(tmp_path), faulty, many)
    assert caught.value.transient
    proxy.forget()
    sync(Store(tmp_path), faulty, many)
    assert len(proxy.tasks) == MANY - 2 * PAGE
    assert read_mirror(Store(tmp_path)).tasks == undisturbed.tasks


@pytest.mark.server
@pytest.mark.parametrize("length", [True, False], ids=["its length announced", "until the connection ends"])
def test_a_reply_cut_in_half_is_asked_for_again(
    proxy: Proxy, faulty: Connection, many: int, undisturbed: Mirror, tmp_path: Path, length: bool
) -> None:
    def cut(ask: Ask) -> Reply:
        whole = ask.forward()
        del proxy.tasks[-PAGE:]
        return Reply(
            200, {**whole.headers, **({} if length else {"content-length": ""})}, whole.body, cut=True
        )

    proxy.fate = once(2, cut, times=2)
    sync(Store(tmp_path), faulty, many)
    assert proxy.pages == 5 + 2
    assert len(proxy.tasks) == MANY
    assert read_mirror(Store(tmp_path)).tasks == undisturbed.tasks


@pytest.mark.server
def test_a_page_of_a_proxy_in_place_of_json_ends_the_pull_and_the_next_goes_on(
    proxy: Proxy, faulty: Connection, many: int, undisturbed: Mirror, tmp_path: Path
) -> None:
    proxy.fate = once(3, lambda ask: Reply(200, {"content-type": "text/html"}, b"<html>Sign in</html>"))
    with pytest.raises(LabelStudioError, match="an HTML page in place of JSON"):
        sync(Store(tmp_path), faulty, many)
    proxy.forget()
    sync(Store(tmp_path), faulty, many)
    assert len(proxy.tasks) == MANY - 2 * PAGE
    assert read_mirror(Store(tmp_path)).tasks == undisturbed.tasks


@pytest.mark.server
def test_writes_whose_reply_was_lost_are_found_by_the_next_run_not_doubled(
    proxy: Proxy, faulty: Connection, label_studio: Connection
) -> None:
    def lose(path: str) -> Callable[[Ask], Reply | None]:
        return lambda ask: (
            None if (ask.method, ask.path) == ("POST", path) and ask.forward() else ask.forward()
        )

    title = f"faults {uuid.uuid4().hex[:8]}"
    proxy.fate = lose("/api/projects/")
    with pytest.raises(LostReply, match="run the step again"):
        setup_project(faulty, title=title, label_config=write_choices(LABELS))
    proxy.forget()
    setup_project(
        faulty, title=title, label_config=write_choices(LABELS)
    )  # two of this title would be a ConfigError
    person = {"email": f"{uuid.uuid4().hex[:8]}@example.com"}
    proxy.fate = lose("/api/users/")
    with pytest.raises(LostReply):
        ensure_users(faulty, [person])
    proxy.forget()
    ensure_users(faulty, [person])
    emails = [user["email"] for user in request(label_studio, "GET", "/api/users/")]
    assert emails.count(person["email"]) == 1


# Before anything of ours is imported: every way to ask for the time of day answers hours off.
SKEWED = """
import datetime, time
import numpy, pandas, pyarrow.parquet, httpx, orjson  # compiled code that needs the real class when it is loaded
shift, real = float({hours}) * 3600, time.time
class Shifted(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(real() + shift, tz)
time.time = lambda: real() + shift
datetime.datetime = Shifted
"""


@pytest.mark.server
@pytest.mark.parametrize("hours", [-7, 7])
def test_a_client_whose_clock_is_hours_off_misses_nothing(
    label_studio: Connection, tmp_path: Path, hours: int
) -> None:
    people = ensure_users(label_studio, [{"email": "one@example.com"}])
    project = fill(label_studio, 6, *people.values())
    store = Store(tmp_path / "store")

    def pull() -> None:
        child = pull_in_a_process(store, label_studio, project, SKEWED.format(hours=hours))
        assert child.wait(120) == 0, child.stderr and child.stderr.read().decode()

    pull()
    head = store.head("mirror") or {}
    assert abs(datetime.fromisoformat(head["watermark"]) - datetime.now(UTC)) < timedelta(hours=1)
    answer_first_task(label_studio, read_mirror(store).tasks[2], LABELS[1])
    pull()
    assert read_mirror(store).number == 2
    assert read_mirror(store).tasks == pulled(label_studio, project, tmp_path)
    pull()
    assert len(store.entries("mirror")) == 2


@pytest.mark.server
@pytest.mark.parametrize("hours", [-7, 7])
def test_a_time_to_come_back_is_reckoned_by_the_clock_of_the_server_that_named_it(
    proxy: Proxy, faulty: Connection, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    there = datetime.now(UTC) + timedelta(hours=hours)
    later = {"Date": format_datetime(there, usegmt=True)}
    later["Retry-After"] = format_datetime(there + timedelta(seconds=9), usegmt=True)
    answers = [Reply(503, later, b"busy")]
    proxy.fate = lambda ask: answers.pop() if answers else ask.forward()
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    request(faulty, "GET", "/api/current-user/whoami")
    assert waits == [9.0]


@pytest.mark.server
def test_a_label_configuration_changed_under_existing_annotations_is_kept_with_each_pull(
    proxy: Proxy, faulty: Connection, label_studio: Connection, tmp_path: Path
) -> None:
    people = ensure_users(label_studio, [{"email": "one@example.com"}])
    project = fill(label_studio, 5, *people.values())
    store = Store(tmp_path)
    sync(store, faulty, project)
    old = read_mirror(store)
    without = write_choices([LABELS[1], "other"])  # the label that every answer uses is gone

    def change(ask: Ask) -> Reply | None:
        if ask.path == "/api/tasks/":  # in mid-pull
            request(label_studio, "PATCH", f"/api/projects/{project}/", json={"label_config": without})
        return ask.forward()

    proxy.fate = change
    synced = sync(store, faulty, project)
    assert (synced["number"], synced["new"], synced["changed"]) == (2, True, 0)
    now = read_mirror(store)
    assert now.tasks == old.tasks
    assert (now.label_config, old.label_config) == (without.strip(), write_choices(LABELS).strip())
    assert read_mirror(store, 1) == old
    proxy.forget()
    assert sync(store, faulty, project)["new"] is False
    answer_first_task(label_studio, old.tasks[0], "other")
    assert sync(store, faulty, project)["number"] == 3
    found = label_configs(store)
    assert [(number, config) for number, _, config in found] == [(1, old.label_config), (2, now.label_config)]
    assert found[0][1] <= found[1][1] <= datetime.now(UTC) + timedelta(hours=1)


@pytest.mark.server
def test_tasks_deleted_while_paging_hide_no_others(
    proxy: Proxy, faulty: Connection, label_studio: Connection, tmp_path: Path
) -> None:
    project = fill(label_studio, 3 * PAGE)
    ids = [task["id"] for task in pulled(label_studio, project, tmp_path)]

    def remove(ask: Ask) -> Reply | None:
        if ask.page == 2:
            delete_tasks(label_studio, project, ids[10:40] + ids[2 * PAGE + 5 : 2 * PAGE + 35])
        return ask.forward()

    proxy.fate = remove
    store = Store(tmp_path / "store")
    synced = sync(store, faulty, project)
    assert synced["tasks"] == 3 * PAGE - 60
    assert read_mirror(store).tasks == pulled(label_studio, project, tmp_path)
    proxy.forget()
    assert sync(store, faulty, project)["new"] is False


# An import on SQLite gives the numbers of the last tasks to new ones if those were deleted.
@pytest.mark.server
@pytest.mark.parametrize("which", [0, -1], ids=["the first", "the last"])
def test_as_many_tasks_deleted_as_made_between_the_last_page_and_the_count_are_put_right_by_the_next_sync(
    proxy: Proxy, faulty: Connection, label_studio: Connection, tmp_path: Path, which: int
) -> None:
    project = fill(label_studio, 8)
    ids = [task["id"] for task in pulled(label_studio, project, tmp_path)]

    def swap(ask: Ask) -> Reply | None:
        if ask.path == f"/api/projects/{project}/" and proxy.pages and len(ids) == 8:
            delete_tasks(label_studio, project, [ids.pop(which), ids.pop(which)])
            import_tasks(label_studio, project, [{"data": {"text": "new 1"}}, {"data": {"text": "new 2"}}])
        return ask.forward()

    proxy.fate = swap
    store = Store(tmp_path / "store")
    sync(store, faulty, project)
    synced = sync(store, faulty, project)
    assert synced["added"] + synced["changed"] == 2
    assert synced["added"] == synced["deleted"]
    assert read_mirror(store).tasks == pulled(label_studio, project, tmp_path)


@pytest.mark.server
def test_the_mirror_keeps_who_it_was_when_a_user_is_deleted(label_studio: Connection, tmp_path: Path) -> None:
    people = [
        {"email": f"{uuid.uuid4().hex[:8]}@example.com", "first_name": name} for name in ("Leaver", "Stayer")
    ]
    leaver, stayer = ensure_users(label_studio, people).values()
    project = fill(label_studio, 4, leaver, stayer)
    store = Store(tmp_path)
    sync(store, label_studio, project)
    before = read_mirror(store)
    assert before.departed == []

    request(label_studio, "DELETE", f"/api/users/{leaver}/")
    synced = sync(store, label_studio, project)
    assert (synced["new"], synced["changed"]) == (True, 0)  # no task says that it changed, but the people did
    gone = read_mirror(store)
    assert (gone.tasks, gone.users, gone.departed) == (before.tasks, before.users, [str(leaver)])

    for label in reversed(LABELS):  # and a revision later, which has a nameless one before it
        request(
            label_studio, "PATCH", f"/api/annotations/{before.tasks[1]['annotations'][1]['id']}/",
            json={"result": result(label)},
        )  # fmt: skip
        assert sync(store, label_studio, project)["changed"] == 1
        first, second = read_mirror(store).tasks[1]["annotations"]
        assert (first["completed_by"], first.get("completed_by_restored")) == (leaver, True)
        assert (second["completed_by"], second.get("completed_by_restored")) == (stayer, None)
    raw = orjson.loads(task_revisions(store, before.tasks[1]["id"])[-1]["raw"])
    assert [item["completed_by"] for item in raw["annotations"]] == [None, stayer]
    assert read_mirror(store).users[str(leaver)] == "Leaver"
    assert sync(store, label_studio, project)["new"] is False
    late = pulled(label_studio, project, tmp_path)  # a mirror that never knew
    assert [item["completed_by"] for item in late[1]["annotations"]] == [None, stayer]


@pytest.mark.server
def test_an_annotation_with_the_number_of_a_deleted_one_is_not_taken_for_it(
    label_studio: Connection, tmp_path: Path
) -> None:
    people = [{"email": f"{uuid.uuid4().hex[:8]}@example.com"} for _ in range(2)]
    first, second = ensure_users(label_studio, people).values()
    project = fill(label_studio, 1, first)
    sync(Store(tmp_path), label_studio, project)
    task = read_mirror(Store(tmp_path)).tasks[0]
    delete_tasks(label_studio, project, [task["id"]])
    answers = [{"completed_by": second, "result": result(LABELS[1])}]
    import_tasks(label_studio, project, [{"data": {"text": "another"}, "annotations": answers}])
    made = pulled(label_studio, project, tmp_path)[0]
    numbers = [(item["id"], item["annotations"][0]["id"]) for item in (task, made)]
    assert (
        numbers[0] == numbers[1]
    )  # as an import on SQLite gives them; were they others, this would show nothing
    request(label_studio, "DELETE", f"/api/users/{second}/")
    sync(Store(tmp_path), label_studio, project)
    assert [item["completed_by"] for item in read_mirror(Store(tmp_path)).tasks[0]["annotations"]] == [None]


def poison(connection: Connection, project: int, number: int = 1) -> list[int]:
    """Tasks as another client may send them: Label Studio takes them, and fails on them ever after."""
    url = f"{connection.url}/api/projects/{project}/import?return_task_ids=true"
    body = b"[" + b",".join([b'{"data": ' + POISON + b"}"] * number) + b"]"
    headers = {"Authorization": f"Token {connection.token}", "Content-Type": "application/json"}
    made = httpx.post(url, content=body, headers=headers, trust_env=False, timeout=60).json()
    return list(made["task_ids"])


def poisoned_answer(connection: Connection, task: int) -> None:
    url = f"{connection.url}/api/tasks/{task}/annotations/"
    body = (
        b'{"result": [{"from_name": "label", "to_name": "text", "type": "choices", "value": '
        + POISON
        + b"}]}"
    )
    headers = {"Authorization": f"Token {connection.token}", "Content-Type": "application/json"}
    assert httpx.post(url, content=body, headers=headers, trust_env=False, timeout=60).status_code == 500


@pytest.mark.server
def test_tasks_that_the_server_fails_on_are_quarantined_and_the_others_read(
    proxy: Proxy, faulty: Connection, label_studio: Connection, tmp_path: Path
) -> None:
    people = ensure_users(label_studio, [{"email": "one@example.com"}])
    project = fill(label_studio, 100, *people.values())
    bad = poison(label_studio, project, 2)  # beside each other on a page
    import_tasks(label_studio, project, [{"data": {"text": f"later {n}"}} for n in range(PAGE)])
    bad += poison(label_studio, project)  # the last of the last page
    store = Store(tmp_path / "store")
    synced = sync(store, faulty, project)
    assert (synced["tasks"], synced["annotations"]) == (100 + PAGE + 3, 100)
    assert [item["task_id"] for item in synced["unreadable"]] == bad
    assert all("surrogate" in item["reason"] for item in synced["unreadable"])
    # the page itself, then for each bad task two a halving, and one more for it alone
    assert proxy.pages <= 2 * TRIES + 3 * (2 * 8 + 1)
    assert len(proxy.tasks) == len(set(proxy.tasks)) == 100 + PAGE
    mirror = read_mirror(store)
    assert mirror.unreadable == synced["unreadable"]
    assert [task["id"] for task in mirror.tasks] == sorted(proxy.tasks)
    assert list(mirror_tasks(store)) == mirror.tasks

    proxy.forget()
    again = sync(store, faulty, project)  # nobody touched them: they are not asked for again
    assert (again["new"], again["unreadable"], proxy.pages) == (False, synced["unreadable"], 0)

    wounded = mirror.tasks[7]["id"]
    poisoned_answer(label_studio, wounded)
    synced = sync(store, faulty, project)
    assert [item["task_id"] for item in synced["unreadable"]] == sorted([wounded, *bad])
    assert (synced["changed"], synced["annotations"]) == (1, 99)
    assert wounded not in [task["id"] for task in read_mirror(store).tasks]
    assert read_mirror(store, 1) == mirror

    request(label_studio, "PATCH", f"/api/tasks/{bad[0]}/", json={"data": {"text": "mended"}})
    delete_tasks(label_studio, project, [bad[1]])
    listed = {"project": project, "fields": "all", "include": "id,annotations", "page_size": 20}
    tasks = request(label_studio, "GET", "/api/tasks/", params=listed)["tasks"]
    answers = next(task["annotations"] for task in tasks if task["id"] == wounded)
    request(label_studio, "DELETE", f"/api/annotations/{answers[-1]['id']}/")
    synced = sync(store, faulty, project)
    assert ([item["task_id"] for item in synced["unreadable"]], synced["deleted"]) == ([bad[2]], 1)
    now = {task["id"]: task for task in read_mirror(store).tasks}
    assert now[bad[0]]["data"] == {"text": "mended"}
    assert now[wounded]["annotations"] == mirror.tasks[7]["annotations"]
    assert [row["reason"] is not None for row in task_revisions(store, wounded)] == [False, True, False]


@pytest.mark.server
def test_a_user_deleted_while_a_task_was_unreadable_is_still_known(
    label_studio: Connection, tmp_path: Path
) -> None:
    leaver, stayer = ensure_users(
        label_studio, [{"email": f"{uuid.uuid4().hex[:8]}@example.com"}, {"email": "one@example.com"}]
    ).values()
    project = fill(label_studio, 2, leaver, stayer)
    store = Store(tmp_path / "store")
    sync(store, label_studio, project)
    task = read_mirror(store).tasks[0]["id"]
    poisoned_answer(label_studio, task)
    sync(store, label_studio, project)
    request(label_studio, "DELETE", f"/api/users/{leaver}/")
    listed = {"project": project, "fields": "all", "include": "id,annotations", "page_size": 20}
    answers = request(label_studio, "GET", "/api/tasks/", params=listed)["tasks"][0]["annotations"]
    request(label_studio, "DELETE", f"/api/annotations/{answers[-1]['id']}/")
    sync(store, label_studio, project)
    assert [item["completed_by"] for item in read_mirror(store).tasks[0]["annotations"]] == [leaver, stayer]


@pytest.mark.server
def test_a_server_that_stumbles_once_costs_no_task(
    proxy: Proxy, faulty: Connection, many: int, undisturbed: Mirror, tmp_path: Path
) -> None:
    proxy.fate = once(
        2, lambda ask: Reply(500, {}, b"boom"), times=TRIES + 3
    )  # long enough to look like a bad page
    synced = sync(Store(tmp_path), faulty, many)
    assert synced["unreadable"] == []
    assert read_mirror(Store(tmp_path)).tasks == undisturbed.tasks
    assert len(proxy.tasks) == MANY


@pytest.mark.server
def test_a_server_that_fails_on_everything_is_no_page_of_bad_tasks(
    proxy: Proxy, faulty: Connection, many: int, tmp_path: Path
) -> None:
    proxy.fate = lambda ask: Reply(500, {}, b"boom") if ask.path == "/api/tasks/" else ask.forward()
    with pytest.raises(LabelStudioError, match="with 500"):
        sync(Store(tmp_path), faulty, many)
    assert not Store(tmp_path).entries("mirror")


@pytest.mark.server
def test_syncs_at_the_same_time_wait_for_each_other(
    proxy: Proxy, faulty: Connection, many: int, undisturbed: Mirror, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    children = [pull_in_a_process(store, faulty, many) for _ in range(2)]
    assert [child.wait(120) for child in children] == [0, 0]
    assert len(store.entries("mirror")) == 1
    assert len(proxy.tasks) == MANY
    assert read_mirror(store).tasks == undisturbed.tasks


@pytest.mark.server
def test_answers_begun_and_not_submitted_are_counted(label_studio: Connection, tmp_path: Path) -> None:
    project = fill(label_studio, 3)
    assert sync(Store(tmp_path), label_studio, project)["drafts"] == 0
    task = read_mirror(Store(tmp_path)).tasks[1]["id"]
    body = {"result": result(LABELS[0]), "lead_time": 1.0}
    request(label_studio, "POST", f"/api/tasks/{task}/drafts", params={"project": project}, json=body)
    synced = sync(Store(tmp_path), label_studio, project)
    assert (synced["drafts"], synced["new"]) == (1, False)


@pytest.mark.server
def test_many_small_syncs_are_merged_and_every_entry_and_revision_stays_readable(
    label_studio: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "MOST_SMALL", 3)
    people = ensure_users(label_studio, [{"email": "one@example.com"}])
    project = fill(label_studio, 10, *people.values())
    store = Store(tmp_path / "store")
    sync(store, label_studio, project)
    made = [read_mirror(store)]
    for turn in range(9):
        answer_first_task(label_studio, made[0].tasks[turn % 3], LABELS[turn % 2])
        sync(store, label_studio, project)
        made.append(read_mirror(store))
    listed = [len(store.read(entry)["segments"]) for entry in store.entries("mirror")]
    assert listed == [1, 2, 3, 1, 2, 3, 1, 2, 3, 1]
    assert [read_mirror(store, mirror.number) for mirror in made] == made
    assert made[-1].tasks == pulled(label_studio, project, tmp_path)
    for task in made[0].tasks[:3]:
        at = [next(item for item in mirror.tasks if item["id"] == task["id"]) for mirror in made]
        expected = [item for n, item in enumerate(at) if n == 0 or item != at[n - 1]]
        assert [orjson.loads(row["raw"]) for row in task_revisions(store, task["id"])] == expected
