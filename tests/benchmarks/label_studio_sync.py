"""What it costs to bring a Label Studio project into the mirror, beside the SDK's own ways of getting it.

    python tests/benchmarks/label_studio_sync.py [--tasks 50000] [--out FILE.json]

A fresh local server (SQLite, as `assay server up` makes it) gets N tasks of 35 words with two annotations each, by five
people. Then, on the same server, one after the other: the first pull, 200 tasks changed, the second pull, one with nothing to
do, `exports.as_json`, and a snapshot. The first pull begins five minutes after the import, since a pull looks again at what
was written in the five minutes before the last one. Each client step runs in a process of its own. Columns:

    wall          seconds
    server cpu    seconds of the server's process, without what the annotator below cost (measured beforehand)
    server peak   its resident memory, MB
    client cpu    seconds
    client peak   resident memory of the client, MB; in brackets what it had before it began
    save          an annotator's save every two seconds meanwhile: how many, median, longest in seconds, refused
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2])]

import httpx  # noqa: E402

from pipeline.label_studio import server  # noqa: E402
from pipeline.label_studio.connection import Connection, request  # noqa: E402
from pipeline.label_studio.label_config import write_choices  # noqa: E402
from pipeline.label_studio.project import ensure_users, import_tasks, setup_project  # noqa: E402
from pipeline.label_studio.sync import OVERLAP, mirror_tasks, read_mirror, sync  # noqa: E402
from pipeline.store import Store  # noqa: E402

LABELS = ["refund", "delivery", "account"]
CHANGED = 200
PAUSE = 2.0  # seconds between two saves of the annotator
Facts = dict[str, Any]


def memory(pid: int | str, name: str) -> float:
    """MB; VmHWM is the peak, VmRSS what it holds now."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1000


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def result(label: str) -> list[Facts]:
    return [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}]


def tasks(number: int, people: list[int]) -> list[Facts]:
    draw = random.Random(1)
    words = [
        "".join(draw.choice("abcdefghiklmnoprstuvw") for _ in range(draw.randrange(3, 9)))
        for _ in range(3000)
    ]
    return [
        {
            "data": {
                "text": " ".join(draw.choices(words, k=35)),
                "source": draw.choice(["mail", "chat", "phone"]),
            },
            "annotations": [
                {"completed_by": user, "result": result(draw.choice(LABELS)), "lead_time": 4.5}
                for user in draw.sample(people, 2)
            ],
        }
        for _ in range(number)
    ]


# What runs in a process of its own: (connection, project, folder) -> facts to print
def run_pull(connection: Connection, project: int, folder: Path) -> Facts:
    done = sync(Store(folder / "mirror"), connection, project)
    return {name: done[name] for name in ("tasks", "annotations", "added", "changed", "deleted")}


def run_as_json(connection: Connection, project: int, folder: Path) -> Facts:
    from label_studio_sdk import LabelStudio

    client = LabelStudio(base_url=connection.url, api_key=connection.token, timeout=3600, max_retries=0)
    found = client.projects.exports.as_json(project)
    return {"tasks": len(found), "annotations": sum(len(task["annotations"]) for task in found)}


def run_snapshot(connection: Connection, project: int, folder: Path) -> Facts:
    from label_studio_sdk import LabelStudio

    client = LabelStudio(base_url=connection.url, api_key=connection.token, timeout=3600, max_retries=0)
    made = client.projects.exports.create(project)
    with (folder / "snapshot.json").open("wb") as stream:
        for part in client.projects.exports.download(project, made.id):
            stream.write(part)
    return {"status": made.status, "bytes": (folder / "snapshot.json").stat().st_size}


def run_stream(connection: Connection, project: int, folder: Path) -> Facts:
    return {"tasks": sum(1 for _ in mirror_tasks(Store(folder / "mirror")))}


def run_read(connection: Connection, project: int, folder: Path) -> Facts:
    return {"tasks": len(read_mirror(Store(folder / "mirror")).tasks)}


STEPS: dict[str, Callable[[Connection, int, Path], Facts]] = {
    "pull": run_pull, "as_json": run_as_json, "snapshot": run_snapshot, "stream": run_stream, "read": run_read,
}  # fmt: skip


def child(step: str, url: str, project: int, folder: Path) -> None:
    import pyarrow.parquet  # noqa: F401

    if step in ("as_json", "snapshot"):
        import label_studio_sdk  # noqa: F401
    base = memory("self", "VmRSS")
    start, used = time.perf_counter(), time.process_time()
    facts = STEPS[step](Connection(url, os.environ["BENCHMARK_TOKEN"]), project, folder)
    measured = {"wall": time.perf_counter() - start, "client_cpu": time.process_time() - used}
    print(
        json.dumps({**measured, "client_base": base, "client_peak": memory("self", "VmHWM"), "facts": facts})
    )


class Annotator:
    """Saves one annotation every PAUSE seconds. A save that the server refuses (500) counts, with the time it took."""

    def __init__(self, connection: Connection, annotation: int) -> None:
        self.url = f"{connection.url}/api/annotations/{annotation}/"
        self.headers = {"Authorization": f"Token {connection.token}"}
        self.turn = self.refused = 0

    def save(self) -> float:
        self.turn += 1
        start = time.perf_counter()
        body = {"result": result(LABELS[self.turn % len(LABELS)])}
        reply = httpx.patch(self.url, json=body, headers=self.headers, timeout=3600, trust_env=False)
        self.refused += reply.status_code != 200
        return time.perf_counter() - start

    @contextmanager
    def at_work(self) -> Iterator[list[float]]:
        waits: list[float] = []
        self.refused = 0
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                waits.append(self.save())
                stop.wait(PAUSE)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield waits
        finally:
            stop.set()
            thread.join()


def measure(
    name: str, running: Any, work: Callable[[], Facts], annotator: Annotator | None, cost: float
) -> Facts:
    Path(f"/proc/{running.pid}/clear_refs").write_text("5")  # the peak is counted from here
    before = cpu(running.pid)
    waits: list[float] = []
    if annotator is None:
        facts = work()
    else:
        with annotator.at_work() as waits:
            facts = work()
    row = {"name": name, **facts, "server_cpu": cpu(running.pid) - before - cost * len(waits)}
    row |= {"server_peak": memory(running.pid, "VmHWM"), "saves": len(waits)}
    row |= {"save_median": statistics.median(waits), "save_longest": max(waits)} if waits else {}
    row |= {"saves_refused": annotator.refused} if annotator else {}
    print(shown(row), flush=True)
    return row


def in_a_process(step: str, connection: Connection, project: int, folder: Path) -> Facts:
    command = [sys.executable, __file__, "--child", step, connection.url, str(project), str(folder)]
    environment = {**os.environ, "BENCHMARK_TOKEN": connection.token}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    facts: Facts = json.loads(done.stdout.splitlines()[-1])
    return facts


def fill(connection: Connection, number: int) -> tuple[int, Facts]:
    project = setup_project(connection, title="benchmark", label_config=write_choices(LABELS))
    emails = [{"email": f"person{number}@example.com"} for number in range(5)]
    made = tasks(number, list(ensure_users(connection, emails).values()))
    start, used = time.perf_counter(), time.process_time()
    import_tasks(connection, project, made)
    return project, {"wall": time.perf_counter() - start, "client_cpu": time.process_time() - used}


def change(connection: Connection, folder: Path) -> None:
    """Another answer to the first annotation of CHANGED tasks."""
    found = list(mirror_tasks(Store(folder / "mirror")))
    for task in random.Random(2).sample(found[1:], CHANGED):
        body = {"result": result(LABELS[task["id"] % 3]), "lead_time": 9.5}
        request(connection, "PATCH", f"/api/annotations/{task['annotations'][0]['id']}/", json=body)


def shown(row: Facts) -> str:
    def number(name: str, form: str) -> str:
        return format(row[name], form) if name in row else ""

    base = f" ({row['client_base']:.0f})" if "client_base" in row else ""
    saves = f"{row['saves']}: {row['save_median']:.2f}, {row['save_longest']:.1f}" if row.get("saves") else ""
    saves += f"; refused {row['saves_refused']}" if row.get("saves_refused") else ""
    return (
        f"{row['name']:<34}{number('wall', '.1f'):>8}{number('server_cpu', '.2f'):>12}{number('server_peak', '.0f'):>13}"
        f"{number('client_cpu', '.2f'):>12}{number('client_peak', '.0f') + base:>14}   {saves}"
    )


def main(number: int, out: Path | None) -> None:
    header = ["", "wall", "server cpu", "server peak", "client cpu", "client peak", "save"]
    print(f"{number} tasks, {2 * number} annotations")
    print(
        f"{header[0]:<34}{header[1]:>8}{header[2]:>12}{header[3]:>13}{header[4]:>12}{header[5]:>14}   {header[6]}"
    )
    with tempfile.TemporaryDirectory(prefix="assay-benchmark-") as name:
        folder = Path(name)
        running = server.up(name="benchmark", folder=folder / "servers")
        try:
            rows = run(running, Connection(running.url, running.token), folder, number)
        finally:
            server.down("benchmark", folder / "servers")
    if out is not None:
        out.write_text(json.dumps({"tasks": number, "rows": rows}, indent=2) + "\n")


def run(running: Any, connection: Connection, folder: Path, number: int) -> list[Facts]:
    projects: list[int] = []

    def bring_in() -> Facts:
        project, facts = fill(connection, number)
        projects.append(project)
        return facts

    rows = [measure("import", running, bring_in, None, 0.0)]
    project = projects[0]
    first = request(
        connection, "GET", "/api/tasks/", params={"project": project, "page_size": 1, "fields": "all"}
    )
    annotator = Annotator(connection, first["tasks"][0]["annotations"][0]["id"])
    used = cpu(running.pid)
    alone = [annotator.save() for _ in range(30)]
    cost = (cpu(running.pid) - used) / len(alone)
    rows.append(
        {"name": "a save, nothing else going on", "server_cpu": cost, "save_median": statistics.median(alone)}
    )
    rows[-1] |= {"saves": len(alone), "save_longest": max(alone)}
    print(shown(rows[-1]), flush=True)

    time.sleep(OVERLAP.total_seconds())

    def step(name: str, what: str, somebody: Annotator | None = None) -> None:
        rows.append(
            measure(name, running, lambda: in_a_process(what, connection, project, folder), somebody, cost)
        )

    step("first pull", "pull", annotator)
    change(connection, folder)
    step(f"second pull, {CHANGED} tasks changed", "pull")
    step("third pull, nothing changed", "pull")
    step("SDK exports.as_json", "as_json", annotator)
    step("SDK snapshot, create and download", "snapshot", annotator)
    step("mirror_tasks, all one by one", "stream")
    step("read_mirror", "read")
    return rows


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3], int(sys.argv[4]), Path(sys.argv[5]))
    else:
        parser = argparse.ArgumentParser(
            description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        parser.add_argument("--tasks", type=int, default=50_000)
        parser.add_argument("--out", type=Path)
        arguments = parser.parse_args()
        main(arguments.tasks, arguments.out)
