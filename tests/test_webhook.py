"""The receiver: who is let in, how much, how fast; and how many syncs come of it."""

import asyncio
import contextlib
import itertools
import json
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows import cli, serving, webhook
from flows.batching import Agenda, Outcome, Timing, keep_in_sync
from flows.cli_serve import seconds
from flows.webhook import BURST, MOST_BYTES, RATE, Bucket, receiver
from pipeline.config import LabelStudio, Project, save
from pipeline.errors import ConfigError

WORD = "correct horse battery staple"
GOOD = {"X-Assay-Secret": WORD, "X-Assay-Project": "7"}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """A receiver for project 7, and what it heard."""

    def __init__(self, **limits: Bucket) -> None:
        self.hints = 0
        self.app = receiver(secret=WORD, project_id=7, hint=self.hint, health=lambda: {"pending_hooks": self.hints}, **limits)

    def hint(self) -> None:
        self.hints += 1

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
                return await client.request(method, path, **request)

        return asyncio.run(once())

    def post(self, headers: dict[str, str] | None = None, **request: Any) -> httpx.Response:
        return self.ask("POST", "/hook", headers=GOOD if headers is None else headers, **request)

    def count(self, name: str) -> int:
        return int(self.ask("GET", "/health").json()["hooks"][name])


def test_a_hook_with_the_secret_is_accepted_and_heard_whatever_its_body() -> None:
    desk = Desk()
    for body in (b"", b'{"action": "ANNOTATION_CREATED"}', b"\xff not json", b"[" * 100_000, b"[]", b'"x"', b"null"):
        assert desk.post(content=body).status_code == 202
    assert desk.hints == desk.count("accepted") == 7


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"X-Assay-Secret": ""}, {"X-Assay-Secret": WORD[:-1]}, {"X-Assay-Secret": WORD + "x"},
        {"X-Assay-Secret": WORD.upper()}, {"X-Assay-Secret": "\xe9" * 16}, {"Authorization": WORD}, {"X-Assay-Project": "7"},
    ],
)  # fmt: skip
def test_without_the_secret_nothing_is_heard(headers: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    desk = Desk()
    answer = desk.post({name: value.encode("latin-1") for name, value in headers.items()})  # type: ignore[misc]
    assert (answer.status_code, desk.hints, desk.count("wrong_secret")) == (401, 0, 1)
    assert WORD not in answer.text + str(answer.headers) + caplog.text


def test_there_are_two_addresses_and_no_other() -> None:
    desk = Desk()
    found = [
        desk.ask(method, path, headers=GOOD).status_code
        for method, path in [
            ("GET", "/hook"), ("PUT", "/hook"), ("POST", "/health"), ("POST", "/hook/"), ("GET", "/"), ("GET", "/docs"),
            ("POST", "/hook/../health"),
        ]
    ]  # fmt: skip
    assert found == [405, 405, 405, 404, 404, 404, 405]
    assert desk.hints == 0
    assert desk.ask("GET", "/health").status_code == 200


@pytest.mark.parametrize(
    ("headers", "body", "heard"),
    [
        ({"X-Assay-Project": "8"}, {"project": {"id": 7}}, 0),
        ({"X-Assay-Project": "7"}, {"project": {"id": 8}}, 1),
        ({"X-Assay-Project": "seven"}, {}, 0),
        ({}, {"project": {"id": 7}}, 1),
        ({}, {"project": {"id": 8}}, 0),
        ({}, {"project": 8}, 0),
        ({}, {"action": "TASKS_CREATED"}, 1),
    ],
)
def test_a_hook_of_another_project_is_counted_and_ignored(headers: dict[str, str], body: dict[str, Any], heard: int) -> None:
    desk = Desk()
    answer = desk.post({"X-Assay-Secret": WORD, **headers}, json=body)
    assert (answer.status_code, desk.hints) == (202, heard)
    assert (desk.count("accepted"), desk.count("other_project")) == (heard, 1 - heard)


def test_a_body_of_just_the_limit_passes_and_one_byte_more_does_not() -> None:
    async def in_pieces(size: int) -> AsyncIterator[bytes]:
        for start in range(0, size, 60_000):
            yield b"x" * min(60_000, size - start)

    desk = Desk()
    assert desk.post(content=b"x" * MOST_BYTES).status_code == 202
    assert desk.post(content=in_pieces(MOST_BYTES)).status_code == 202
    assert desk.post(content=b"x" * (MOST_BYTES + 1)).status_code == 413
    assert desk.post(content=in_pieces(MOST_BYTES + 1)).status_code == 413
    small = {**GOOD, "Content-Length": "5"}
    assert desk.post(small, content=in_pieces(MOST_BYTES + 1)).status_code == 413
    assert (desk.hints, desk.count("too_big")) == (2, 3)


def test_too_fast_is_told_when_to_come_back_and_strangers_do_not_use_up_the_room() -> None:
    clock = Clock()
    desk = Desk(known=Bucket(3, 0.5, clock), strangers=Bucket(2, 0.5, clock))
    assert [desk.post({}).status_code for _ in range(4)] == [401, 401, 429, 429]
    assert [desk.post().status_code for _ in range(4)] == [202, 202, 202, 429]
    assert desk.post().headers["Retry-After"] == "2"
    clock.now += 2.0
    assert [desk.post().status_code for _ in range(2)] == [202, 429]
    clock.now += 1e6
    assert [desk.post().status_code for _ in range(4)] == [202, 202, 202, 429]
    assert (desk.hints, desk.count("too_fast"), desk.count("wrong_secret")) == (7, 4, 4)


@given(waits=st.lists(st.floats(0, 3), max_size=200), size=st.integers(1, 20), rate=st.floats(0.1, 50))
def test_the_bucket_never_lets_through_more_than_its_size_and_its_rate(waits: list[float], size: int, rate: float) -> None:
    clock = Clock()
    bucket = Bucket(size, rate, clock)
    passed = 0
    for wait in waits:
        clock.now += wait
        told = bucket.take()
        passed += told == 0.0
        assert 0.0 <= told <= 1.0 / rate + 1e-9
        assert passed <= size + (clock.now - 1000.0) * rate + 1e-6


def test_a_hook_turned_away_is_followed_by_the_sync_all_the_same() -> None:
    """The room that frees up in time, between two hooks, is less than the quiet that a sync waits for."""
    assert Timing().quiet > 1.0 / RATE
    assert BURST > 100


# --- over a real socket ---


@contextlib.contextmanager
def listening(app: Any) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = serving.http_server(app)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def wait_for(true: Callable[[], bool], limit: float = 60.0) -> None:
    end = time.monotonic() + limit
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def request_text(*headers: str, secret: str = WORD) -> bytes:
    lines = ["POST /hook HTTP/1.1", "Host: x", f"X-Assay-Secret: {secret}", "X-Assay-Project: 7", *headers, "", ""]
    return "\r\n".join(lines).encode()


def talk(port: int, *pieces: bytes) -> str:
    """Everything that comes back until the receiver closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                line.sendall(piece)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while piece := line.recv(65536):
                answer += piece
        return answer.decode()


def test_over_a_socket_hooks_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    with listening(desk.app) as port:
        url = f"http://127.0.0.1:{port}"
        assert httpx.post(f"{url}/hook", headers=GOOD, json={"action": "TASKS_CREATED"}).status_code == 202
        assert httpx.post(f"{url}/hook", json={}).status_code == 401
        answer = httpx.get(f"{url}/health")
        assert answer.json()["hooks"]["accepted"] == 1
        assert "uvicorn" not in str(answer.headers).lower()
    assert desk.hints == 1


def test_over_a_socket_a_lying_length_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "BODY_SECONDS", 0.2)
    desk = Desk()
    with listening(desk.app) as port:
        more_than_said = talk(port, request_text("Content-Length: 2", "Connection: close") + b"{}" + b"x" * 5000)
        assert more_than_said.count("HTTP/1.1 202") == 1
        assert desk.hints == 1
        assert "HTTP/1.1 408" in talk(port, request_text("Content-Length: 500") + b"{}")
        assert "HTTP/1.1 413" in talk(port, request_text(f"Content-Length: {MOST_BYTES + 1}"))
        assert "HTTP/1.1 400" in talk(port, request_text("Content-Length: -5"))
        assert "HTTP/1.1 400" in talk(port, request_text("Content-Length: 2", "Content-Length: 3") + b"{}")
    assert desk.hints == 1


def test_over_a_socket_an_endless_body_is_cut_off_at_the_limit() -> None:
    desk = Desk()
    sent = 0
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with listening(desk.app) as port, socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        line.sendall(request_text("Transfer-Encoding: chunked"))
        with contextlib.suppress(ConnectionError):
            while sent < 200 * MOST_BYTES:
                line.sendall(chunk)
                sent += 0x10000
        assert desk.count("too_big") == 1
    assert MOST_BYTES < sent < 100 * MOST_BYTES  # the rest is in the system's buffers
    assert desk.hints == 0


def test_without_the_secret_not_a_byte_of_the_body_is_waited_for() -> None:
    desk = Desk()
    with listening(desk.app) as port:
        assert "HTTP/1.1 401" in talk(port, request_text("Content-Length: 500000", secret="guess"))


def test_a_client_that_dawdles_over_its_headers_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "CONNECTION_SECONDS", 0.3)
    desk = Desk()
    with listening(desk.app) as port, socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        line.sendall(b"POST /hook HTTP/1.1\r\nHost: x\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                line.sendall(b"X-Slow: 1\r\n")
                time.sleep(0.02)
            pytest.fail("nobody cut it off")
    assert desk.hints == 0


def test_huge_headers_are_refused() -> None:
    desk = Desk()
    with listening(desk.app) as port:
        assert "HTTP/1.1 202" not in talk(port, request_text("X-Big: " + "x" * 200_000))
    assert desk.hints == 0


def test_idle_connections_do_not_lock_others_out_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MOST_CONNECTIONS", 5)
    monkeypatch.setattr(serving, "CONNECTION_SECONDS", 2.0)
    desk = Desk()
    tries: list[bool] = []
    with listening(desk.app) as port, contextlib.ExitStack() as idle:
        for _ in range(5):
            idle.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))

        def answered() -> bool:
            try:
                tries.append(httpx.post(f"http://127.0.0.1:{port}/hook", headers=GOOD, json={}).status_code == 202)
            except httpx.TransportError:
                tries.append(False)
            return tries[-1]

        wait_for(answered)
    assert not tries[0]
    assert desk.hints == 1


# --- how many syncs come of it ---


def simulate(hooks: list[float], timing: Timing, *, takes: float, fails: int = 0, until: float = 1e4) -> list[float]:
    """When syncs begin, on a clock of its own: `hooks` arrive, each sync takes so long, the first `fails` fail."""
    agenda, now = Agenda(timing), 0.0
    begun: list[float] = []
    waiting = sorted(hooks)
    while True:
        while waiting and waiting[0] <= max(now, agenda.due()):
            now = max(now, waiting[0])
            agenda.hint(waiting.pop(0))
        now = max(now, agenda.due())
        if now > until:
            return begun
        begun.append(now)
        agenda.begin(now)
        while waiting and waiting[0] <= now + takes:
            agenda.hint(waiting.pop(0))
        now += takes
        agenda.end(now, Outcome("failed" if len(begun) <= fails else "synced"))


NEVER = Timing(every=1e9)


def test_it_syncs_at_once_when_it_starts() -> None:
    assert simulate([], NEVER, takes=1) == [0.0]


def test_a_burst_of_hooks_makes_one_sync_when_it_is_quiet_again() -> None:
    assert simulate([100 + n / 100 for n in range(100)], NEVER, takes=1) == [0.0, pytest.approx(100.99 + 2)]


def test_hooks_without_end_do_not_put_the_sync_off_for_ever() -> None:
    begun = simulate([100 + n for n in range(100)], NEVER, takes=1)
    assert begun[:3] == [0.0, 130.0, pytest.approx(161.0)]


def test_hooks_during_a_sync_make_exactly_one_more() -> None:
    assert simulate([100, 105, 106, 107, 108], NEVER, takes=20) == [0.0, 102.0, 122.0]


def test_without_any_hook_it_syncs_every_so_often() -> None:
    assert simulate([], Timing(every=900), takes=10, until=2000) == [0.0, 910.0, 1820.0]


def test_a_failing_sync_is_tried_again_more_and_more_rarely_and_hooks_do_not_hurry_it() -> None:
    quiet = simulate([], NEVER, takes=0, fails=9)
    gaps = [after - before for before, after in itertools.pairwise(quiet)]
    assert gaps == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    flooded = simulate([float(n) for n in range(1200)], NEVER, takes=0, fails=9)
    assert flooded[: len(quiet)] == quiet


@settings(deadline=None)
@given(
    hooks=st.lists(st.floats(0, 500), max_size=60), takes=st.floats(0, 50), every=st.floats(20, 1000), fails=st.integers(0, 4)
)
def test_every_hook_is_followed_by_a_sync_and_no_two_overlap(hooks: list[float], takes: float, every: float, fails: int) -> None:
    timing = Timing(every=every)
    begun = simulate(hooks, timing, takes=takes, fails=fails, until=3000)
    assert all(after - before >= takes - 1e-6 for before, after in itertools.pairwise(begun))
    good = begun[fails:]
    worst = timing.longest + takes + timing.longest_retry
    for hook in hooks:
        assert any(hook <= start <= max(hook, good[0]) + worst for start in good)


def run_for_real(
    outcomes: list[Outcome], meanwhile: Callable[[Agenda, Callable[[], None], list[int]], Any], timing: Timing
) -> tuple[Agenda, list[int]]:
    """keep_in_sync with a sync that ends as `outcomes` say (the last for ever); how many hooks each had to answer."""

    async def main() -> tuple[Agenda, list[int]]:
        agenda, wake, stop = Agenda(timing), asyncio.Event(), asyncio.Event()
        begun: list[int] = []

        async def sync() -> Outcome:
            await asyncio.sleep(0.2)
            return outcomes[min(len(begun), len(outcomes) - 1)]

        def hint() -> None:
            agenda.hint(time.monotonic())
            wake.set()

        task = asyncio.create_task(
            keep_in_sync(
                agenda, sync, wake=wake, stop=stop, clock=time.monotonic, tell=lambda outcome, hooks: begun.append(hooks)
            )
        )
        await meanwhile(agenda, hint, begun)
        stop.set()
        wake.set()
        await task
        return agenda, begun

    return asyncio.run(main())


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.005)


QUICK = Timing(every=1e6, quiet=0.1, longest=5.0, first_retry=0.05, longest_retry=0.1)


def test_a_hundred_hooks_at_once_and_ten_during_the_sync_make_two_syncs() -> None:
    async def meanwhile(agenda: Agenda, hint: Callable[[], None], begun: list[int]) -> None:
        await until(lambda: len(begun) == 1)
        for _ in range(100):
            hint()
        await until(lambda: agenda.health(time.monotonic())["running_seconds"] is not None)
        for _ in range(10):
            hint()
        await until(lambda: len(begun) == 3)
        await asyncio.sleep(0.5)

    agenda, begun = run_for_real([Outcome("synced")], meanwhile, QUICK)
    assert begun == [0, 100, 10]
    assert agenda.pending == 0


def test_a_failing_sync_is_seen_in_health_and_mends_itself() -> None:
    seen: list[dict[str, Any]] = []

    async def meanwhile(agenda: Agenda, hint: Callable[[], None], begun: list[int]) -> None:
        hint()
        await until(lambda: len(begun) == 2)
        seen.append(agenda.health(time.monotonic()))
        await until(lambda: len(begun) == 3)
        seen.append(agenda.health(time.monotonic()))

    failed = Outcome("failed", kind="Unreachable", message="Label Studio at http://secret-place does not answer")
    run_for_real([failed, failed, Outcome("synced", "mirror:1")], meanwhile, QUICK)
    failing, mended = seen
    assert (failing["last_sync"]["state"], failing["last_sync"]["error"]) == ("failed", "Unreachable")
    assert (failing["failures_in_a_row"], failing["pending_hooks"]) == (2, 1)
    assert (mended["last_sync"]["state"], mended["failures_in_a_row"], mended["pending_hooks"]) == ("synced", 0, 0)
    assert "secret-place" not in json.dumps(seen)


def test_waiting_for_a_first_annotation_is_no_failure() -> None:
    agenda = Agenda(Timing())
    agenda.begin(0.0)
    agenda.end(1.0, Outcome("waiting", message="no annotation"))
    assert agenda.failures == 0
    assert agenda.due() == 1.0 + Timing().every


# --- the command ---


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_LABEL_STUDIO_TOKEN", "t" * 40)
    monkeypatch.setenv("ASSAY_WEBHOOK_SECRET", WORD)
    save(tmp_path, Project(name="mine", label_studio=LabelStudio(url="http://127.0.0.1:9", project=7)))
    return tmp_path


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.run(["serve", *arguments]) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("word", ["", "fifteen-letters", "caf\u00e9 caf\u00e9 caf\u00e9 caf\u00e9"])
def test_a_weak_secret_is_refused_and_not_shown(
    project: Path, word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_WEBHOOK_SECRET", word)
    said = complaint(capsys, str(project), "--port", "0")
    assert "ASSAY_WEBHOOK_SECRET" in said
    assert not word or word not in said


def test_a_taken_port_a_file_as_source_and_an_unreachable_address_are_told_in_a_sentence(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert "choose others with --host and --port" in complaint(capsys, str(project), "--port", str(other.getsockname()[1]))
    assert "--public-url" in complaint(capsys, str(project), "--port", "0", "--host", "0.0.0.0", "--register")
    assert "--public-url" in complaint(capsys, str(project), "--port", "0", "--register", "--public-url", "ftp://x")
    for url in ("http://\x01", "http://ada:hunter22@example.com"):
        said = complaint(capsys, str(project), "--port", "0", "--register", "--public-url", url)
        assert "--public-url" in said
        assert "hunter22" not in said
    save(project, Project(name="mine", source="export.json"))
    assert "nothing to listen for" in complaint(capsys, str(project), "--port", "0")


def test_times_are_read_with_their_unit() -> None:
    assert [seconds(text) for text in ("90s", "15m", "2h", "1d")] == [90, 900, 7200, 86400]
    for text in ("", "15", "0m", "-5m", "1.5h", "m", "999999999999h"):
        with pytest.raises(ConfigError, match="15m"):
            seconds(text)
