"""The whole loop as a Prefect flow on a real Prefect server and a real Label Studio."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from test_loop import ROOT, SIZE

from pipeline.config import Data, LabelStudio, Project, save
from pipeline.label_studio.connection import Connection, request

pytestmark = [pytest.mark.server, pytest.mark.slow]


def assay(connection: Connection, home: Path, *arguments: str, api: str | None = None) -> tuple[int, dict[str, Any]]:
    env = {
        **os.environ, "ASSAY_LABEL_STUDIO_TOKEN": connection.token, "PREFECT_HOME": str(home), "OMP_NUM_THREADS": "2",
    }  # fmt: skip
    env.pop("PREFECT_API_URL", None)
    if api:
        env["PREFECT_API_URL"] = api
    done = subprocess.run(
        [sys.executable, "-m", "flows", *arguments, "--json"],
        capture_output=True,
        text=True,
        env=env,
        cwd=ROOT,
        check=False,
    )
    assert done.stdout, done.stderr[-3000:]
    return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def ran(label_studio: Connection, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A project with the sample's first messages, set up and run once."""
    from flows.demo import make_sample, with_users
    from flows.place import open_place
    from pipeline.label_studio.project import ensure_users, import_tasks

    folder = tmp_path_factory.mktemp("flywheel") / "project"
    home = tmp_path_factory.mktemp("prefect")
    project = Project(
        name="flywheel test", slices=["channel", "region", "plan"], data=Data(split="split"),
        label_studio=LabelStudio(url=label_studio.url), training={"settings": {"epochs": 1}},
        promotion={"margin": 0.2, "slice_margin": 0.5},
    )  # fmt: skip
    save(folder, project)
    code, made = assay(label_studio, home, "setup", str(folder))
    assert code == 0, made
    sample = make_sample(open_place(folder))
    ids = ensure_users(label_studio, sample.people)
    import_tasks(label_studio, made["project"], with_users(sample, ids)[:SIZE])
    code, body = assay(label_studio, home, "run", str(folder))
    return {"code": code, "body": body, "folder": folder, "home": home, "project": made["project"]}


@pytest.fixture(scope="module")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API address of a Prefect server of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = tmp_path_factory.mktemp("prefect-server")
    api = f"http://127.0.0.1:{port}/api"
    env = {
        **os.environ, "PREFECT_HOME": str(home), "PREFECT_SERVER_API_PORT": str(port), "PREFECT_SERVER_UI_API_URL": api,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 300
        while not _healthy(api):
            assert server.poll() is None, (home / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, (home / "log").read_text()[-2000:]
            time.sleep(1)
        yield api
    finally:
        server.terminate()
        server.wait(60)


def _healthy(api: str) -> bool:
    try:
        return httpx.get(f"{api}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_every_arrow_of_the_loop_ran(ran: dict[str, Any], label_studio: Connection) -> None:
    assert ran["code"] == 0, ran["body"]
    body = ran["body"]
    assert body["gate"]["open"]
    assert body["promotion"]["promote"], body["promotion"]
    assert body["review"]["tasks"] > 0
    assert body["predictions"]["created"] > 0
    for name in ("report.html", "evaluation.html", "summary.json", "verdicts.parquet"):
        assert (ran["folder"] / name).is_file()


def test_doubts_and_suggestions_are_in_label_studio(ran: dict[str, Any], label_studio: Connection) -> None:
    import pandas as pd

    views = request(label_studio, "GET", "/api/dm/views/", params={"project": ran["project"]})
    titles = [view["data"]["title"] for view in views]
    assert any("(Assay " in title for title in titles), titles
    versions = request(label_studio, "GET", f"/api/projects/{ran['project']}/model-versions/")
    champion = ran["body"]["promotion"]["adapter"]
    assert versions == {f"assay-{champion[:12]}": ran["body"]["predictions"]["created"]}
    answered = set(pd.read_parquet(ran["folder"] / "consensus.parquet")["example_id"])
    tasks = request(
        label_studio, "GET", "/api/tasks/", params={"project": ran["project"], "page_size": 500, "fields": "all"}
    )
    predicted = {task["id"] for task in tasks["tasks"] if task["predictions"]}
    assert predicted
    assert not predicted & answered


def test_a_second_run_on_a_prefect_server_changes_nothing_and_is_recorded_there(
    ran: dict[str, Any], label_studio: Connection, prefect_server: str
) -> None:
    def folders() -> set[str]:
        return {
            str(file)
            for file in (ran["folder"] / "store").rglob("*")
            if "/tmp/" not in str(file.relative_to(ran["folder"]))
        }

    before = folders()
    code, again = assay(label_studio, ran["home"], "run", str(ran["folder"]), api=prefect_server)
    assert code == 0, again
    runs = httpx.post(f"{prefect_server}/flow_runs/filter", json={}, timeout=30).json()
    assert [(run["name"].split(":")[0], run["state_type"]) for run in runs] == [("flywheel test", "COMPLETED")]
    for name in ("check_id", "version", "adapter", "evaluation"):
        assert again[name] == ran["body"][name], name
    assert again["predictions"]["created"] == 0
    assert again["review"] == ran["body"]["review"]
    assert {name for name in folders() - before if "/cache/" not in name} == set()


def test_the_prefect_run_is_named_after_the_project_and_holds_the_summary(ran: dict[str, Any]) -> None:
    import sqlite3

    with sqlite3.connect(f"file:{ran['home'] / 'prefect.db'}?mode=ro", uri=True) as database:
        names = [row[0] for row in database.execute("select name from flow_run")]
        states = [row[0] for row in database.execute("select state_type from flow_run")]
        artifacts = [row[0] for row in database.execute("select data from artifact where key = 'assay-quality'")]
    assert any(name.startswith("flywheel test") for name in names)
    assert set(states) == {"COMPLETED"}
    assert "report.html" in artifacts[0]


def test_a_closed_gate_trains_nothing_promotes_nothing_and_says_why(
    ran: dict[str, Any], label_studio: Connection
) -> None:
    import shutil

    folder = ran["folder"].parent / "strict"
    shutil.copytree(
        ran["folder"], folder, ignore=shutil.ignore_patterns("adapters", "champion", "promotions", "versions")
    )
    suites = folder / "suites"
    suites.mkdir()
    text = (ROOT / "validators" / "expectations" / "findings.yaml").read_text()
    assert "min_value: 0.2" in text
    (suites / "findings.yaml").write_text(text.replace("min_value: 0.2", "min_value: 0.999"))
    settings = (folder / "project.yaml").read_text()
    (folder / "project.yaml").write_text(settings + "expectations: suites\n")
    code, body = assay(label_studio, ran["home"], "run", str(folder))
    assert code == 1
    assert not body["gate"]["open"]
    blocking = [item for item in body["gate"]["expectations"] if not item["passed"]]
    assert [item["column"] for item in blocking] == ["agreement"]
    assert body["version"] is None
    assert body["review"]["tasks"] > 0
    assert not (folder / "store" / "adapters").exists()
    assert not (folder / "store" / "versions").exists()
