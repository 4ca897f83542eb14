"""`assay serve`: the receiver, and beside it a process that syncs whenever a hook or the clock says so.

Killing either at any moment is safe: the store publishes whole things or nothing, and the next start syncs at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from flows import console
from flows.batching import Agenda, Outcome, Timing, keep_in_sync
from flows.place import Place, connection, open_place, project_id
from flows.webhook import receiver
from flows.worker import Worker
from pipeline.config import Secrets
from pipeline.errors import ConfigError

LEAST_SECRET = 16  # characters
CONNECTION_SECONDS = 5.0  # the whole life of a connection; Label Studio makes a new one for each hook
MOST_CONNECTIONS = 100  # at once; the usual limit of open files is 1,024
# Seconds that a stop waits for the sync that runs, then for its process: together under the 10 that `docker stop` gives.
JOB_GRACE, EXIT_GRACE = 5.0, 3.0


def serve(
    folder: Path,
    *,
    host: str,
    port: int,
    timing: Timing,
    whole_loop: bool,
    register: bool,
    public_url: str | None,
    ready: Callable[[dict[str, Any]], None],
) -> None:
    """Receive hooks and keep the mirror in sync until SIGTERM or SIGINT. ready: told once where it listens."""
    place = open_place(folder)
    secret = _secret()
    number = _project(place)
    with _listen(host, port) as listener:
        # the address, not a name: Label Studio's guard refuses `localhost` where it also means ::1
        here = _own_url(*listener.getsockname()[:2])
        hook = _register(place, number, secret, public_url or here) if register else None
        facts = {"url": f"{here}/hook", "project": number, "every_seconds": timing.every, "webhook": hook}
        job = {"folder": str(place.folder), "project_name": place.project.name}
        asyncio.run(_serve(listener, secret, number, timing, job, whole_loop, lambda: ready(facts)))


def _secret() -> str:
    given = Secrets().webhook_secret
    secret = given.get_secret_value().strip() if given else ""
    if len(secret) < LEAST_SECRET or not secret.isascii() or not secret.isprintable():
        raise ConfigError(
            f"ASSAY_WEBHOOK_SECRET must hold at least {LEAST_SECRET} plain characters: make it with `openssl rand -hex 32`."
        )
    return secret


def _project(place: Place) -> int:
    if place.source_file is not None:
        raise ConfigError(
            f"{place.folder / 'project.yaml'} takes its annotations from a file (source): there is nothing to listen for."
        )
    connection(place)
    return project_id(place)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=MOST_CONNECTIONS)
    except OSError as error:
        raise ConfigError(
            f"Cannot listen on {host} port {port} ({error.strerror}): choose others with --host and --port."
        ) from error


def _own_url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _register(place: Place, number: int, secret: str, url: str) -> dict[str, Any]:
    from pipeline.label_studio.webhooks import register

    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigError(f"--public-url cannot be read as an address: {error}.") from error
    if parts.userinfo:
        raise ConfigError("--public-url holds a password, which Label Studio would show to everybody: leave it out.")
    if parts.scheme not in ("http", "https") or parts.host in ("", "0.0.0.0", "::"):
        raise ConfigError(f"{url} is no address that Label Studio could reach: say with --public-url what it is called there.")
    address = url.rstrip("/")
    address = address if address.endswith("/hook") else f"{address}/hook"
    return {**register(connection(place), number, url=address, secret=secret), "url": address}


async def _serve(
    listener: socket.socket, secret: str, number: int, timing: Timing, job: dict[str, str], whole_loop: bool,
    ready: Callable[[], None],
) -> None:  # fmt: skip
    agenda, wake, stop = Agenda(timing), asyncio.Event(), asyncio.Event()
    worker = Worker()

    def hint() -> None:
        agenda.hint(time.monotonic())
        wake.set()

    app = receiver(secret=secret, project_id=number, hint=hint, health=lambda: agenda.health(time.monotonic()))
    server = http_server(app)

    def halt() -> None:
        server.should_exit = True
        stop.set()
        wake.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, halt)
    syncing = asyncio.create_task(
        keep_in_sync(
            agenda, _runner(worker, job, whole_loop), wake=wake, stop=stop, clock=time.monotonic, tell=_teller()
        )
    )
    syncing.add_done_callback(lambda task: halt())
    ready()
    try:
        await server.serve(sockets=[listener])
        await asyncio.wait({syncing}, timeout=JOB_GRACE)
    finally:
        await worker.close(EXIT_GRACE if syncing.done() else 0.0)
        await syncing
    _log("Stopped.")


def http_server(app: Any) -> uvicorn.Server:
    """Signals are its caller's; logs say nothing of requests, since anybody can make any number of them."""
    config = uvicorn.Config(
        app, http=BriefConnection, ws="none", lifespan="off", log_config=None, log_level="error", access_log=False,
        server_header=False, proxy_headers=False, timeout_graceful_shutdown=2, h11_max_incomplete_event_size=16_384,
    )  # fmt: skip
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    return server


class BriefConnection(H11Protocol):
    """uvicorn has no limit for how long a client may take over its headers, nor for how many connect: here both end."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        else:
            self._end = self.loop.call_later(CONNECTION_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if hasattr(self, "_end"):
            self._end.cancel()


def _runner(worker: Worker, job: dict[str, str], whole_loop: bool) -> Callable[[], Any]:
    done = ""  # the source of the last whole loop: nothing new, nothing to do

    async def sync() -> Outcome:
        return await worker.ask({"do": "sync", **job})

    async def run() -> Outcome:
        nonlocal done
        synced = await sync()
        if synced.state != "synced" or synced.source == done:
            return synced
        ran = await worker.ask({"do": "run", **job})
        await worker.close(EXIT_GRACE)  # gives back the memory that training took
        if ran.state == "synced":
            done = synced.source
        return Outcome(ran.state, synced.source, ran.kind, ran.message)

    return run if whole_loop else sync


def _teller() -> Callable[[Outcome, int], None]:
    """Logs an outcome, but not one poll after another that found nothing new."""
    before: Outcome | None = None

    def tell(outcome: Outcome, hooks: int) -> None:
        nonlocal before
        if hooks or outcome != before or outcome.state == "failed":
            words = {"synced": "In sync", "waiting": "Waiting", "failed": "Failed"}[outcome.state]
            facts = ": ".join(filter(None, [outcome.kind, outcome.message])) or f"the mirror is at {outcome.source}"
            asked = f"asked {hooks} time{'' if hooks == 1 else 's'} by Label Studio" if hooks else "without being asked"
            _log(f"{words}, {asked}; {facts}")
        before = outcome

    return tell


def _log(text: str) -> None:
    console.complain(f"{datetime.now().isoformat(timespec='seconds')} {console.visible(text)}")
