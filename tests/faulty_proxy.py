"""A small HTTP proxy before a real Label Studio, which a test tells how to fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import httpx


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes
    cut: bool = False  # hang up in the middle of the body


@dataclass
class Ask:
    """One request as the proxy sees it. `page`: which page of tasks with annotations it is, from 1; 0 if it is none."""

    method: str
    path: str
    page: int
    forward: Callable[[], Reply]


@dataclass
class Proxy:
    """Passes on to `target` whatever `fate` does not answer itself; None hangs up without an answer."""

    url: str
    target: str
    fate: Callable[[Ask], Reply | None] = lambda ask: ask.forward()
    pages: int = 0
    tasks: list[int] = field(default_factory=list)  # every task that came back with its annotations, in order
    times: list[float] = field(default_factory=list)  # when pages were asked for

    def forget(self) -> None:
        self.pages, self.tasks, self.times = 0, [], []
        self.fate = lambda ask: ask.forward()


def pass_on(proxy: Proxy, handler: BaseHTTPRequestHandler, body: bytes, is_page: bool) -> Reply:
    headers = {
        name: handler.headers[name] for name in ("Authorization", "Content-Type") if handler.headers[name]
    }
    url = proxy.target + handler.path
    try:
        real = httpx.request(handler.command, url, content=body, headers=headers, timeout=60, trust_env=False)
    except httpx.TransportError:
        return Reply(502, {}, b"")
    if is_page and real.status_code == 200:
        proxy.tasks += [task["id"] for task in real.json()["tasks"]]
    kept = {name: real.headers[name] for name in ("content-type", "date") if name in real.headers}
    return Reply(real.status_code, kept, real.content)


def answer(proxy: Proxy, handler: BaseHTTPRequestHandler) -> None:
    body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    address = urlsplit(handler.path)
    is_page = address.path == "/api/tasks/" and parse_qs(address.query).get("fields") == ["all"]
    if is_page:
        proxy.pages += 1
        proxy.times.append(time.monotonic())
    page = proxy.pages if is_page else 0
    ask = Ask(handler.command, address.path, page, lambda: pass_on(proxy, handler, body, is_page))
    reply = proxy.fate(ask)
    handler.close_connection = True
    if reply is None:
        handler.connection.close()
        return
    handler.send_response_only(reply.status)
    for name, value in {"content-length": str(len(reply.body)), **reply.headers}.items():
        if value:
            handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(reply.body[: len(reply.body) // 2] if reply.cut else reply.body)


@contextmanager
def listening() -> Iterator[Proxy]:
    """On a port of its own; its `target` is for the test to set."""

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            answer(made, self)

        do_GET = do_POST = do_PATCH = do_DELETE = handle_any

        def log_message(self, format: str, *args: object) -> None:
            pass

        def log_error(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made = Proxy(f"http://127.0.0.1:{server.server_address[1]}", "")
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
