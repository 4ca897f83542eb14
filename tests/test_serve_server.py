"""`assay serve` beside a real Label Studio and a real Prefect: nobody calls sync, and the mirror follows all the same."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from test_loop import ROOT

from pipeline.config import LabelStudio, Project, save
from pipeline.errors import ConfigError, Missing
from pipeline.label_studio.connection import Connection, request
from pipeline.label_studio.label_config import write_choices
from pipeline.label_studio.project import import_tasks, setup_project
from pipeline.label_studio.sync import read_mirror
from pipeline.label_studio.webhooks import ACTIONS, register
from pipeline.store import Store

pytestmark = [pytest.mark.server, pytest.mark.slow]

WORD = "correct horse battery staple"
PATIENCE = 240.0  # seconds; a Prefect server with a new home took 104 s to start on two busy cores


@dataclass(frozen=True)
class Site:
    """A project of six tasks in Label Studio, and its folder."""

    connection: Connection
    project: int
    folder: Path
    home: Path
    tasks: list[int]

    def hooks(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = request(
            self.connection, "GET", "/api/webhooks/", params={"project": self.project}
        )
        return found

    def annotate(self, task: int, label: str = "a") -> int:
        result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}]
        made = request(self.connection, "POST", f"/api/tasks/{task}/annotations/", json={"result": result})
        return int(made["id"])

    def mirrored(self) -> dict[int, list[str]]:
        """Task → the labels of its annotations, as the mirror has them."""
        try:
            mirror = read_mirror(Store(self.folder / "store"))
        except Missing:
            return {}
        return {
            task["id"]: [answer["result"][0]["value"]["choices"][0] for answer in task["annotations"]]
            for task in mirror.tasks
            if task["annotations"]
        }

    def processes(self) -> list[int]:
        """`assay serve` for this folder, what it started, and what that started."""
        mark = f"SERVED={self.folder}".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in entry.read_bytes().split(b"\0"):
                    found.append(int(entry.parent.name))
        return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prefect's own folder: a new one costs its server a minute of migrations."""
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture
def site(label_studio: Connection, tmp_path: Path, home: Path, request: pytest.FixtureRequest) -> Site:
    title = request.node.name[5:50]
    project = setup_project(label_studio, title=title, label_config=write_choices(["a", "b"]))
    import_tasks(label_studio, project, [{"data": {"text": f"message {number}"}} for number in range(6)])
    tasks = _tasks(label_studio, project)
    folder = tmp_path / "project"
    save(folder, Project(name="served", label_studio=LabelStudio(url=label_studio.url, project=project)))
    return Site(label_studio, project, folder, home, tasks)


def _tasks(connection: Connection, project: int) -> list[int]:
    found = request(connection, "GET", "/api/tasks/", params={"project": project, "page_size": 100})
    return sorted(task["id"] for task in found["tasks"])


@dataclass
class Served:
    process: subprocess.Popen[str]
    facts: dict[str, Any]
    log: Path

    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(self.facts["url"].replace("/hook", "/health"), timeout=30).json()
        return found

    def until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not true():
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < end, f"waited in vain; {self.health()}\n{self.log.read_text()[-3000:]}"
            time.sleep(0.1)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextlib.contextmanager
def serving(site: Site, *arguments: str) -> Iterator[Served]:
    env = {
        **os.environ, "ASSAY_LABEL_STUDIO_TOKEN": site.connection.token, "ASSAY_WEBHOOK_SECRET": WORD,
        "PREFECT_HOME": str(site.home), "OMP_NUM_THREADS": "1", "SERVED": str(site.folder),
    }  # fmt: skip
    env.pop("PREFECT_API_URL", None)
    log = site.folder / "serve.log"
    command = [sys.executable, "-m", "flows", "serve", str(site.folder), "--port", "0", "--json", *arguments]
    with log.open("a") as errors:
        process = subprocess.Popen(
            command, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    assert process.stdout is not None
    try:
        lines: list[str] = []
        while not lines or lines[-1] not in ("}\n", ""):
            lines.append(process.stdout.readline())
        assert lines[-1], log.read_text()[-3000:]
        yield Served(process, json.loads("".join(lines)), log)
    finally:
        process.kill()
        process.wait(60)


def test_what_an_annotator_does_reaches_the_mirror_by_the_hook_alone(site: Site) -> None:
    with serving(site, "--register", "--every", "1d") as served:
        served.until(lambda: served.health()["last_sync"] is not None)
        assert served.health()["last_sync"]["state"] == "waiting"
        assert served.health()["failures_in_a_row"] == 0
        assert "no annotation" in served.log.read_text()

        annotation = site.annotate(site.tasks[0])
        served.until(lambda: site.mirrored() == {site.tasks[0]: ["a"]})
        body = {
            "result": [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["b"]}}]
        }
        request(site.connection, "PATCH", f"/api/annotations/{annotation}/", json=body)
        served.until(lambda: site.mirrored() == {site.tasks[0]: ["b"]})
        site.annotate(site.tasks[1])
        request(site.connection, "DELETE", f"/api/annotations/{annotation}/")
        served.until(lambda: site.mirrored() == {site.tasks[1]: ["a"]})
        import_tasks(site.connection, site.project, [{"data": {"text": "a late one"}}])
        served.until(lambda: len(read_mirror(Store(site.folder / "store")).tasks) == 7)
        request(site.connection, "DELETE", f"/api/tasks/{site.tasks[2]}/")
        served.until(lambda: len(read_mirror(Store(site.folder / "store")).tasks) == 6)

        state = served.health()
        assert state["hooks"]["accepted"] == 6
        assert sum(state["hooks"].values()) == 6
        others = set(site.processes()) - {served.process.pid}
        assert len(others) >= 2
        assert not [pid for pid in others if WORD.encode() in Path(f"/proc/{pid}/environ").read_bytes()]
        assert served.stop() == 0
        assert WORD not in served.log.read_text()
    assert site.processes() == []
    with sqlite3.connect(f"file:{site.home / 'prefect.db'}?mode=ro", uri=True) as database:
        runs = set(database.execute("select flow.name, flow_run.name, state_type from flow_run join flow on flow.id = flow_id"))
    assert runs == {("assay-sync", "served: sync", "COMPLETED")}


def test_lost_hooks_cost_only_time(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        closed = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    site.annotate(site.tasks[0])
    with serving(site, "--register", "--public-url", closed, "--every", "3s") as served:
        served.until(lambda: site.mirrored() == {site.tasks[0]: ["a"]})
        site.annotate(site.tasks[1], "b")
        served.until(lambda: site.mirrored() == {site.tasks[0]: ["a"], site.tasks[1]: ["b"]})
        assert served.health()["hooks"]["accepted"] == 0
        assert served.stop() == 0
    site.annotate(site.tasks[2])
    with serving(site, "--every", "1d") as served:
        served.until(lambda: site.mirrored().get(site.tasks[2]) == ["a"])


def test_a_receiver_stopped_or_killed_during_a_sync_leaves_a_whole_store_and_no_process(site: Site) -> None:
    site.annotate(site.tasks[0])
    for number in (signal.SIGTERM, signal.SIGKILL):
        with serving(site, "--every", "1d") as served:
            served.until(lambda: served.health()["running_seconds"] is not None)
            served.process.send_signal(number)
            assert served.process.wait(60) == (0 if number == signal.SIGTERM else -signal.SIGKILL)
        end = time.monotonic() + PATIENCE
        while site.processes():
            assert time.monotonic() < end, site.processes()
            time.sleep(0.2)
        assert site.mirrored() in ({}, {site.tasks[0]: ["a"]})
    with serving(site, "--every", "1d") as served:
        served.until(lambda: site.mirrored() == {site.tasks[0]: ["a"]})


def test_a_dead_label_studio_and_a_dead_sync_process_are_seen_in_health_and_got_over(site: Site) -> None:
    site.annotate(site.tasks[0])
    good = (site.folder / "project.yaml").read_text()
    with serving(site, "--every", "1d") as served:
        served.until(lambda: served.health()["last_sync"] is not None)
        assert served.health()["last_sync"]["state"] == "synced"

        with socket.create_server(("127.0.0.1", 0)) as nobody:
            closed = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        (site.folder / "project.yaml").write_text(good.replace(site.connection.url, closed))
        hook = {"X-Assay-Secret": WORD, "X-Assay-Project": str(site.project)}
        assert httpx.post(served.facts["url"], headers=hook, json={}).status_code == 202
        served.until(lambda: served.health()["failures_in_a_row"] > 0)
        assert served.health()["last_sync"]["error"] == "Unreachable"
        (site.folder / "project.yaml").write_text(good)
        site.annotate(site.tasks[1])
        served.until(lambda: site.mirrored() == {task: ["a"] for task in site.tasks[:2]})
        served.until(lambda: served.health()["failures_in_a_row"] == 0)

        for pid in set(site.processes()) - {served.process.pid}:
            os.kill(pid, signal.SIGKILL)
        site.annotate(site.tasks[2])
        assert httpx.post(served.facts["url"], headers=hook, json={}).status_code == 202
        served.until(lambda: site.mirrored() == {task: ["a"] for task in site.tasks[:3]})


def test_registering_again_changes_the_one_webhook_and_leaves_others_alone(site: Site) -> None:
    other = {"project": site.project, "url": "http://127.0.0.1:8765/other", "headers": {"X-Other": "1"}}
    request(site.connection, "POST", "/api/webhooks/", json=other)
    made = register(site.connection, site.project, url="http://127.0.0.1:8765/hook", secret=WORD)
    assert (made["created"], made["removed"]) == (True, 0)
    moved = register(site.connection, site.project, url="http://127.0.0.1:9999/hook", secret=WORD[::-1])
    assert moved == {"id": made["id"], "created": False, "removed": 0}

    ours = next(hook for hook in site.hooks() if hook["id"] == made["id"])
    assert ours["url"] == "http://127.0.0.1:9999/hook"
    assert ours["headers"] == {"X-Assay-Secret": WORD[::-1], "X-Assay-Project": str(site.project)}
    assert (ours["send_payload"], ours["send_for_all_actions"], ours["is_active"]) == (False, False, True)
    assert sorted(ours["actions"]) == sorted(ACTIONS)

    double = {name: ours[name] for name in ("project", "url", "headers", "actions")}
    request(site.connection, "POST", "/api/webhooks/", json=double)
    request(site.connection, "PATCH", f"/api/webhooks/{made['id']}/", json={"is_active": False})
    mended = register(site.connection, site.project, url="http://127.0.0.1:9999/hook", secret=WORD)
    assert mended == {"id": made["id"], "created": False, "removed": 1}
    assert [(hook["url"], hook["is_active"]) for hook in sorted(site.hooks(), key=lambda hook: hook["id"])] == [
        ("http://127.0.0.1:8765/other", True),
        ("http://127.0.0.1:9999/hook", True),
    ]


@pytest.mark.parametrize("host", ["127.0.0.2", "10.1.2.3", "169.254.169.254", "192.168.1.1"])
def test_the_local_server_sends_to_this_one_address_only_and_says_what_would_allow_more(
    site: Site, host: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        register(site.connection, site.project, url=f"http://{host}:8765/hook", secret=WORD)
    for word in (host, "LABEL_STUDIO_SSRF_PROTECTION_ENABLED=false", "BANNED_SUBNETS", "--public-url"):
        assert word in str(caught.value)
    assert WORD not in str(caught.value)
    with pytest.raises(ConfigError, match="--public-url"):
        register(site.connection, site.project, url="http://no-such-host.invalid/hook", secret=WORD)
    assert site.hooks() == []
