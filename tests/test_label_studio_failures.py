"""What the connection does when the server, or what stands before it, misbehaves."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from pipeline.errors import ConfigError, LabelStudioError, Unauthorized, Unreachable
from pipeline.label_studio import connection as module
from pipeline.label_studio.connection import TRIES, Connection, request, sdk
from pipeline.label_studio.failures import LostReply
from pipeline.label_studio.label_config import write_choices
from pipeline.label_studio.predictions import Prediction, push_predictions
from pipeline.label_studio.project import import_tasks, project_facts, setup_project
from pipeline.label_studio.sync import read_mirror, sync
from pipeline.store import Store

TOKEN = "5ec2e7" * 6
Answer = tuple[int, dict[str, str], bytes]
JSON = {"Content-Type": "application/json"}


@dataclass
class Fake:
    """Answers by a script: path -> answers in turn, the last one for ever. None hangs up without an answer."""

    url: str
    script: dict[str, list[Answer | None]] = field(default_factory=dict)
    seen: list[tuple[str, str, str, float]] = field(default_factory=list)  # method, path, authorization, when

    def asked(self, method: str) -> int:
        return sum(entry[0] == method for entry in self.seen)


def serve(answer: Callable[[BaseHTTPRequestHandler, bytes], Answer | None]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            reply = answer(self, body)
            self.close_connection = True
            if reply is None:
                self.connection.close()
                return
            self.send_response(reply[0])
            for name, value in {**reply[1], "Content-Length": str(len(reply[2]))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply[2])

        do_GET = do_POST = do_PATCH = do_DELETE = handle_any

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def fake() -> Iterator[Fake]:
    def answer(handler: BaseHTTPRequestHandler, body: bytes) -> Answer | None:
        path = handler.path.split("?")[0]
        made.seen.append(
            (handler.command, path, handler.headers.get("Authorization") or "", time.monotonic())
        )
        turns = made.script.get(path, [(404, JSON, b'{"detail": "not in the script"}')])
        return turns.pop(0) if len(turns) > 1 else turns[0]

    server = serve(answer)
    made = Fake(f"http://127.0.0.1:{server.server_address[1]}")
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(module, "LOST_WAITS", (0.05, 0.1, 0.2))


def test_a_read_is_repeated_and_waits_as_long_as_the_server_says(fake: Fake) -> None:
    fake.script["/api/x"] = [
        (503, {}, b"busy"),
        None,
        (429, {"Retry-After": "1"}, b""),
        (200, JSON, b'{"a": 1}'),
    ]
    assert request(Connection(fake.url, TOKEN), "GET", "/api/x") == {"a": 1}
    times = [entry[3] for entry in fake.seen]
    assert len(times) == 4
    assert times[3] - times[2] >= 1.0
    assert {entry[2] for entry in fake.seen} == {f"Token {TOKEN}"}


@pytest.mark.parametrize(("status", "kind"), [(502, Unreachable), (503, Unreachable), (429, Unreachable)])
def test_a_read_that_never_succeeds_ends_as_worth_trying_later(
    fake: Fake, status: int, kind: type[Exception]
) -> None:
    fake.script["/api/x"] = [(status, {}, b"busy")]
    with pytest.raises(kind, match=f"status {status}") as caught:
        request(Connection(fake.url, TOKEN), "GET", "/api/x")
    assert fake.asked("GET") == TRIES
    assert caught.value.transient  # type: ignore[attr-defined]


def test_an_error_of_the_server_itself_is_not_called_unreachable(fake: Fake) -> None:
    fake.script["/api/x"] = [(500, JSON, b'{"detail": "boom", "exc_info": "a traceback"}')]
    with pytest.raises(LabelStudioError, match=r"with 500: boom$") as caught:
        request(Connection(fake.url, TOKEN), "GET", "/api/x")
    assert not caught.value.transient


@pytest.mark.parametrize("status", [500, 502, 503, 429, None])
def test_a_write_is_sent_once_whatever_happens(fake: Fake, status: int | None) -> None:
    fake.script["/api/x"] = [None if status is None else (status, {"Retry-After": "1"}, b"")]
    with pytest.raises(LabelStudioError) as caught:
        request(Connection(fake.url, TOKEN), "POST", "/api/x", json={"a": 1})
    assert fake.asked("POST") == 1
    assert isinstance(caught.value, LostReply) == (status in (502, 503, None))


def test_a_server_that_is_down_is_named_with_what_to_do(fake: Fake) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    for method in ("GET", "POST"):
        with pytest.raises(
            Unreachable, match=rf"{url} does not answer .*`assay server up`.*label_studio\.url"
        ) as caught:
            request(Connection(url, TOKEN), method, "/api/x")
        assert not isinstance(caught.value, LostReply)  # nothing was sent
    with pytest.raises(Unreachable), sdk(Connection(url, TOKEN)) as label_studio:
        label_studio.users.list()


def test_a_page_in_place_of_json_is_an_error(fake: Fake) -> None:
    fake.script["/api/x"] = [(200, {"Content-Type": "text/html"}, b"<html>Sign in</html>")]
    with pytest.raises(LabelStudioError, match="an HTML page in place of JSON"):
        request(Connection(fake.url, TOKEN), "GET", "/api/x")


def test_a_redirect_is_named_not_followed(fake: Fake) -> None:
    fake.script["/api/x"] = [(301, {"Location": "https://labels.example.com/api/x?secret=1"}, b"")]
    with pytest.raises(
        LabelStudioError, match=r"to https://labels\.example\.com/api/x: set label_studio\.url"
    ):
        request(Connection(fake.url, TOKEN), "GET", "/api/x")


@pytest.mark.parametrize("status", [400, 401, 403, 500])
def test_no_error_holds_the_token_a_header_or_a_long_body(fake: Fake, status: int) -> None:
    body = json.dumps({"detail": f"you sent {TOKEN} " + "x" * 5000}).encode()
    fake.script["/api/x"] = fake.script["/api/users/"] = [
        (status, {**JSON, "Set-Cookie": "sessionid=s3cret"}, body)
    ]
    connection = Connection(fake.url, TOKEN)
    with pytest.raises(LabelStudioError) as plain:
        request(connection, "GET", "/api/x")
    with pytest.raises(LabelStudioError) as through_sdk, sdk(connection) as label_studio:
        label_studio.users.create(email="a@example.com", username="a")
    for caught in (plain, through_sdk):
        text = str(caught.value)
        assert TOKEN not in text
        assert "s3cret" not in text
        assert len(text) < 600
        assert isinstance(caught.value, Unauthorized) == (status in (401, 403))
    assert fake.asked("POST") == 1  # the SDK alone would have sent some of these three times


def access(lifetime: int) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"iat": 1000, "exp": 1000 + lifetime}).encode()).decode()
    return f"head.{claims.rstrip('=')}.{lifetime}"


def handed_out(*tokens: str) -> list[Answer | None]:
    return [(200, JSON, json.dumps({"access": token}).encode()) for token in tokens]


def test_a_personal_token_buys_access_tokens_below_a_sub_path_and_keeps_them(fake: Fake) -> None:
    fake.script["/ls/api/token/refresh/"] = [(502, {}, b"<html>"), *handed_out(access(300))]
    fake.script["/ls/api/x"] = [(200, JSON, b"[]")]
    connection = Connection(f"{fake.url}/ls/", "per.son.al")
    for _ in range(3):
        assert request(connection, "GET", "/api/x") == []
    assert fake.asked("POST") == 2
    assert {entry[2] for entry in fake.seen if entry[0] == "GET"} == {f"Bearer {access(300)}"}


def test_an_access_token_that_ran_out_is_replaced_even_for_a_write(fake: Fake) -> None:
    fake.script["/api/token/refresh/"] = handed_out(access(300), access(301))
    fake.script["/api/x"] = [(401, JSON, b'{"detail": "expired"}'), (201, JSON, b"{}")]
    assert request(Connection(fake.url, "run.s.out"), "POST", "/api/x", json={}) == {}
    fake.script["/api/token/refresh/"] = handed_out(access(0))
    fake.script["/api/y"] = [(200, JSON, b"{}")]
    before = fake.asked("POST")
    for _ in range(2):
        request(Connection(fake.url, "short.liv.ed"), "GET", "/api/y")
    assert fake.asked("POST") - before == 2


def test_a_withdrawn_personal_token_is_refused_in_one_sentence(fake: Fake) -> None:
    fake.script["/api/token/refresh/"] = [(401, JSON, b'{"detail": "Token is blacklisted"}')]
    with pytest.raises(Unauthorized, match=r"blacklisted.*ASSAY_LABEL_STUDIO_TOKEN"):
        request(Connection(fake.url, "with.dra.wn"), "GET", "/api/x")


def test_a_connection_is_tidy_and_hides_its_token() -> None:
    connection = Connection(" http://host:8080/ls// ", f"\t{TOKEN}\n")
    assert (connection.url, connection.token) == ("http://host:8080/ls", TOKEN)
    assert TOKEN not in repr(connection)
    for url in ("", "localhost:8080", "ftp://host", "http://", "http://user:word@host"):
        with pytest.raises(ConfigError, match=r"label_studio\.url") as caught:
            Connection(url, TOKEN)
        assert "word@" not in str(caught.value)
    for token in ("", "   ", "two\nlines", "tökén"):
        with pytest.raises(Unauthorized, match="ASSAY_LABEL_STUDIO_TOKEN"):
            Connection("http://host", token)


@dataclass
class Lossy:
    """Forwards to a real Label Studio, and does to the next POSTs under `path` what `fate` says."""

    connection: Connection
    path: str = "nothing"
    fate: str = "lose reply"
    left: int = 0
    posts: int = 0


@pytest.fixture
def lossy(label_studio: Connection) -> Iterator[Lossy]:
    def answer(handler: BaseHTTPRequestHandler, body: bytes) -> Answer | None:
        hit = handler.command == "POST" and made.path in handler.path
        made.posts += hit
        lost = hit and made.left > 0
        made.left -= lost
        if lost and made.fate == "lose request":
            return None
        headers = {
            name: handler.headers[name] for name in ("Authorization", "Content-Type") if handler.headers[name]
        }
        real = label_studio.url + handler.path
        reply = httpx.request(
            handler.command, real, content=body, headers=headers, timeout=60, trust_env=False
        )
        return (
            None
            if lost
            else (reply.status_code, {"Content-Type": reply.headers["content-type"]}, reply.content)
        )

    server = serve(answer)
    made = Lossy(Connection(f"http://127.0.0.1:{server.server_address[1]}", label_studio.token))
    yield made
    server.shutdown()
    server.server_close()


@pytest.mark.server
def test_an_import_whose_reply_was_lost_is_not_sent_again(lossy: Lossy) -> None:
    project = setup_project(lossy.connection, title="lost reply", label_config=write_choices(["a", "b"]))
    tasks = [{"data": {"text": f"text {number}"}} for number in range(5)]
    lossy.path, lossy.left = f"/projects/{project}/import", 1
    assert import_tasks(lossy.connection, project, tasks) == {"created": 5, "present": 0}
    assert lossy.posts == 1
    assert project_facts(lossy.connection, project)["task_number"] == 5


@pytest.mark.server
def test_an_import_that_never_arrived_says_so_and_the_next_run_completes_it(lossy: Lossy) -> None:
    project = setup_project(lossy.connection, title="lost request", label_config=write_choices(["a", "b"]))
    tasks = [{"data": {"text": f"text {number}"}} for number in range(5)]
    lossy.path, lossy.left, lossy.fate = f"/projects/{project}/import", 1, "lose request"
    with pytest.raises(LostReply, match="run the step again"):
        import_tasks(lossy.connection, project, tasks)
    assert import_tasks(lossy.connection, project, tasks) == {"created": 5, "present": 0}
    assert project_facts(lossy.connection, project)["task_number"] == 5


RESULT = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["a"]}}]


@pytest.mark.server
def test_predictions_whose_reply_was_lost_are_not_doubled(lossy: Lossy, tmp_path: Path) -> None:
    project = setup_project(
        lossy.connection, title="lost predictions", label_config=write_choices(["a", "b"])
    )
    import_tasks(lossy.connection, project, [{"data": {"text": f"text {number}"}} for number in range(5)])
    sync(Store(tmp_path), lossy.connection, project)
    mirror = read_mirror(Store(tmp_path))
    lossy.path, lossy.left = "/import/predictions", 1
    pushed = push_predictions(
        lossy.connection,
        project,
        model_version="v",
        predictions=[Prediction(task["id"], RESULT, 0.5) for task in mirror.tasks],
    )
    assert pushed == {"created": 5, "present": 0}
    totals = [
        request(lossy.connection, "GET", f"/api/tasks/{task['id']}/")["predictions"] for task in mirror.tasks
    ]
    assert [len(predictions) for predictions in totals] == [1] * 5
