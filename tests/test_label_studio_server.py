"""A local server: started, found again, stopped, and everything it must not do."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
from pathlib import Path

import httpx
import pytest

from pipeline.errors import ConfigError, LabelStudioError
from pipeline.label_studio import server
from pipeline.label_studio.connection import Connection, request

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="module")
def running(place: Path):  # type: ignore[no-untyped-def]
    started = server.up(name="own", folder=place)
    yield started
    server.down("own", place)


def test_starting_twice_gives_the_same_server(running: server.Running, place: Path) -> None:
    assert server.up(name="own", folder=place) == running
    assert server.status("own", place) == running


def test_its_token_and_its_password_work(running: server.Running) -> None:
    who = request(Connection(running.url, running.token), "GET", "/api/current-user/whoami")
    assert who["email"] == running.username
    with httpx.Client(base_url=running.url, trust_env=False) as browser:
        page = browser.get("/user/login/").text
        csrf = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', page)
        assert csrf
        form = {"csrfmiddlewaretoken": csrf[1], "email": running.username, "password": running.password}
        assert browser.post("/user/login/", data={**form, "password": "wrong"}).status_code == 200
        assert browser.post("/user/login/", data=form).status_code == 302


def test_secrets_are_hidden_and_only_the_owner_reads_them(running: server.Running, place: Path) -> None:
    assert running.token not in repr(running)
    assert running.password not in repr(running)
    assert stat.S_IMODE((place / "own" / "state.json").stat().st_mode) == 0o600


def test_every_server_has_secrets_of_its_own(running: server.Running, place: Path) -> None:
    other = server.up(name="other", folder=place)
    try:
        assert (other.token, other.password, other.url) != (running.token, running.password, running.url)
        keys = {(item.data / ".env").read_text() for item in (running, other)}
        assert len(keys) == 2
    finally:
        server.down("other", place)


def test_it_listens_on_this_machine_only(running: server.Running) -> None:
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {
        "127.0.0.1"
    }
    for address in others:
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((address, httpx.URL(running.url).port), timeout=5)
    assert httpx.URL(running.url).host == "127.0.0.1"


def test_stopped_or_killed_it_starts_again_with_its_address_login_and_data(place: Path) -> None:
    first = server.up(name="again", folder=place)
    connection = Connection(first.url, first.token)
    made = request(connection, "POST", "/api/projects/", json={"title": "kept"})["id"]
    assert server.down("again", place)
    assert not server.down("again", place)
    assert server.status("again", place) is None

    second = server.up(name="again", folder=place)
    assert (second.url, second.token, second.password) == (first.url, first.token, first.password)
    assert request(connection, "GET", f"/api/projects/{made}/")["title"] == "kept"

    os.killpg(second.pid, signal.SIGKILL)
    os.waitpid(second.pid, 0)
    assert server.status("again", place) is None
    third = server.up(name="again", folder=place)
    assert third.pid not in (0, second.pid)
    server.down("again", place)


def test_a_pid_that_went_to_another_program_is_left_alone(running: server.Running, place: Path) -> None:
    from dataclasses import replace

    stranger = replace(running, pid=os.getpid())
    (place / "stranger").mkdir()
    server._write(place / "stranger", stranger)
    assert server.status("stranger", place) is None
    assert not server.down("stranger", place)  # and this test goes on


def test_a_taken_port_is_refused_and_a_server_that_cannot_start_names_its_log(place: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        with pytest.raises(ConfigError, match="taken"):
            server.up(name="busy", port=busy.getsockname()[1], folder=place)
    new = server._new(place / "broken")
    (new.data / "label_studio.sqlite3").write_bytes(b"not a database")
    with pytest.raises(LabelStudioError, match=str(new.log)):
        server.up(name="broken", folder=place)
    assert server.status("broken", place) is None


def test_a_name_cannot_leave_the_folder(place: Path) -> None:
    with pytest.raises(ConfigError, match="cannot name a server"):
        server.up(name="../elsewhere", folder=place)


def test_what_was_never_started_has_no_status(place: Path) -> None:
    assert server.status("nothing", place) is None
    assert not server.down("nothing", place)
