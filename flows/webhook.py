"""The receiver of Label Studio's webhooks: POST /hook and GET /health, and nothing else.

A hook says "look now", and that is all that is taken from it: what happened is pulled from Label Studio. So a hook that is
lost, forged or repeated costs time, never data. Label Studio sends while the annotator waits, gives up after a
second and never tries again: the answer is given at once, whatever else is going on.
"""

from __future__ import annotations

import asyncio
import hmac
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

SECRET = "x-assay-secret"
PROJECT = "x-assay-project"  # set by `assay serve --register`, so that the body need not be read at all
MOST_BYTES = 1_048_576  # a hook without payload has 40 bytes, with one annotation about 3,000
BODY_SECONDS = 2.0  # for the whole body; Label Studio itself gives up after 1
# A burst of 200, then 20 a second: twenty times what one Label Studio on SQLite was seen to save. A hook turned away is not
# lost: another is let in within 1/20 s, and the sync begins only when it has been quiet for longer than that.
BURST, RATE = 200.0, 20.0


@dataclass
class Bucket:
    """A token bucket: `size` at once, then `rate` a second."""

    size: float = BURST
    rate: float = RATE
    clock: Callable[[], float] = time.monotonic
    _level: float = field(init=False)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        self._level, self._at = self.size, self.clock()

    def take(self) -> float:
        """0.0 if one was taken, else the seconds until there is one."""
        now = self.clock()
        self._level = min(self.size, self._level + (now - self._at) * self.rate)
        self._at = now
        if self._level < 1.0:
            return (1.0 - self._level) / self.rate
        self._level -= 1.0
        return 0.0


def receiver(
    *,
    secret: str,
    project_id: int,
    hint: Callable[[], None],
    health: Callable[[], dict[str, Any]],
    known: Bucket | None = None,
    strangers: Bucket | None = None,
) -> Starlette:
    """The app. hint: called for every hook of `project_id` that is let in; must return at once.

    known and strangers: the limits for those with the secret and those without, so that the second cannot use up the first's.
    """
    known, strangers = known or Bucket(), strangers or Bucket()
    counts = Counter({"accepted": 0, "other_project": 0, "wrong_secret": 0, "too_big": 0, "too_fast": 0, "too_slow": 0})

    async def hook(request: Request) -> Response:
        if not hmac.compare_digest(_header(request, SECRET), secret.encode()):
            counts["wrong_secret"] += 1
            wait = strangers.take()
            return _no(429, "too fast", wait) if wait else _no(401, f"wrong or missing {SECRET} header")
        if wait := known.take():
            counts["too_fast"] += 1
            return _no(429, "too fast", wait)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _read(request)
        except (TimeoutError, ClientDisconnect):
            counts["too_slow"] += 1
            return _no(408, f"the body took longer than {BODY_SECONDS:.0f} s")
        if body is None:
            counts["too_big"] += 1
            return _no(413, f"the body has more than {MOST_BYTES} bytes")
        if _project(request, body) not in (None, str(project_id)):
            counts["other_project"] += 1
            return JSONResponse({"status": "ignored: another project"}, 202)
        counts["accepted"] += 1
        hint()
        return JSONResponse({"status": "accepted"}, 202)

    async def state(request: Request) -> Response:
        return JSONResponse({**health(), "hooks": dict(counts)}, headers={"Cache-Control": "no-store"})

    app = Starlette(routes=[Route("/hook", hook, methods=["POST"]), Route("/health", state, methods=["GET"])])
    app.router.redirect_slashes = False
    return app


def _header(request: Request, name: str) -> bytes:
    """Starlette reads headers as Latin-1."""
    return request.headers.get(name, "").encode("latin-1")


def _no(status: int, why: str, wait: float = 0.0) -> Response:
    """Closes the connection: what may still come of the body is not read."""
    headers = {"Connection": "close"}
    if wait:
        headers["Retry-After"] = str(math.ceil(wait))
    return JSONResponse({"status": why}, status, headers=headers)


async def _read(request: Request) -> bytes | None:
    """The body, or None as soon as it is longer than MOST_BYTES, whatever its Content-Length said."""
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > MOST_BYTES:
        return None
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > MOST_BYTES:
            return None
        body += chunk
    return bytes(body)


def _project(request: Request, body: bytes) -> str | None:
    """The project it says it is about; None if it does not say."""
    if PROJECT in request.headers:
        return request.headers[PROJECT].strip()
    try:
        project = orjson.loads(body)["project"]
        return str(project["id"] if isinstance(project, dict) else project)
    except (ValueError, KeyError, TypeError, IndexError):
        return None
