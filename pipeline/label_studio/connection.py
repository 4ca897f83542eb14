"""How we talk to a Label Studio server: one address, one token, one policy for failures.

Reads are repeated a few times, writes never: the server keeps no record of requests, so a repeated write is a second
one. Who writes reads back before writing again (see `LostReply`).
"""

from __future__ import annotations

import base64
import contextlib
import email.utils
import json as json_
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import httpx
import orjson

from pipeline.errors import ConfigError, LabelStudioError, SourceError, Unauthorized
from pipeline.label_studio.failures import ADVICE, refusal, shown, text, unreachable

if TYPE_CHECKING:
    from label_studio_sdk import LabelStudio

TRIES = 4
FIRST_WAIT = 0.5  # seconds; doubled at each try, so a server that is down is reported after about 4 s
LONGEST_WAIT = 60.0  # seconds; a longer Retry-After is not waited for (the SDK's own cap)
ACCESS_TTL = 300.0  # seconds; Label Studio's default for an access token, where it does not say
LOST_WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds between looks for a write whose reply was lost
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True)
class Connection:
    """A server's address (sub-paths allowed, without a trailing slash) and a token: legacy, or personal access."""

    url: str
    token: str = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", self.url.strip().rstrip("/"))
        object.__setattr__(self, "token", self.token.strip())
        try:
            parts = httpx.URL(self.url)
        except httpx.InvalidURL as error:
            raise ConfigError(
                f"label_studio.url in project.yaml cannot be read as an address: {error}."
            ) from error
        if parts.scheme not in ("http", "https") or not parts.host:
            raise ConfigError(
                f"label_studio.url {self.url!r} is not an address such as http://localhost:8080."
            )
        if parts.userinfo:
            raise ConfigError("label_studio.url holds a password: leave it out, the token says who you are.")
        if not self.token.isascii() or not self.token.isprintable() or not self.token:
            raise Unauthorized(f"No usable token for Label Studio at {self.url}: {ADVICE}.")


def request(
    connection: Connection,
    method: str,
    path: str,
    *,
    params: Mapping[str, Any] | None = None,
    json: Any = None,
    timeout: float = 60.0,
    tries: int = TRIES,
) -> Any:
    """The answer's JSON, None if it is empty.

    A GET is tried up to `tries` times on no answer, half an answer, 429 and 5xx. Raises Unreachable, LostReply (a write
    whose answer did not come), Unauthorized, ServerFault or another LabelStudioError.
    """
    response = _send(connection, method, path, params=params, json=json, timeout=timeout, tries=tries)
    if not response.content:
        return None
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError as error:
        raise LabelStudioError(
            f"{connection.url}{path} answered with {shown(response, connection)} in place of JSON: "
            "is label_studio.url in project.yaml the address of a Label Studio?"
        ) from error


def server_time(connection: Connection) -> datetime:
    """The server's own clock (UTC, whole seconds), from the Date header; ours if it sends none."""
    header = _send(connection, "GET", "/api/current-user/whoami").headers.get("date")
    return email.utils.parsedate_to_datetime(header) if header else datetime.now(UTC)


def appeared(look: Callable[[], bool]) -> bool:
    """Whether a write whose reply was lost turns out to have been carried out: looks for half a minute."""
    for wait in (0.0, *LOST_WAITS):
        time.sleep(wait)
        if look():
            return True
    return False


@contextlib.contextmanager
def sdk(connection: Connection) -> Iterator[LabelStudio]:
    """A `label_studio_sdk.LabelStudio` that never repeats a call; its errors leave this block as ours.

    The SDK repeats writes like reads, and its errors print the answer's headers, cookies among them.
    """
    from label_studio_sdk import LabelStudio
    from label_studio_sdk.core.api_error import ApiError

    try:
        # the trailing slash: without it the SDK refreshes personal tokens outside a sub-path
        yield LabelStudio(
            base_url=f"{connection.url}/",
            api_key=connection.token,
            httpx_client=_client(),
            timeout=60,
            max_retries=0,
        )
    except ApiError as error:
        raise refusal(
            connection, error.status_code or 0, text(error.body, connection), "a call", read=False
        ) from None
    except httpx.HTTPError as error:
        raise unreachable(connection, error, lost=not isinstance(error, _NEVER_SENT)) from None
    except json_.JSONDecodeError as error:
        # the SDK's refresh of a personal token, answered by a proxy's page
        raise unreachable(connection, error, lost=False) from None


def _send(
    connection: Connection,
    method: str,
    path: str,
    *,
    params: Mapping[str, Any] | None = None,
    json: Any = None,
    timeout: float = 60.0,
    tries: int = TRIES,
) -> httpx.Response:
    content = None if json is None else _encode(json)

    def once() -> httpx.Response:
        return _client().request(
            method,
            connection.url + path,
            params=params,
            content=content,
            timeout=timeout,
            headers={"Authorization": _authorization(connection), "Content-Type": "application/json"},
        )

    def call() -> httpx.Response:
        response = once()
        if response.status_code == 401 and connection in _access:
            # the access token ran out between two requests; what was refused was not carried out
            del _access[connection]
            response = once()
        return _whole(response) if read else response

    read = method == "GET"
    response = _patiently(connection, call, tries=tries if read else 1, read=read)
    if response.status_code >= 300:
        raise refusal(
            connection, response.status_code, shown(response, connection), f"{method} {path}", read=read
        )
    return response


def _patiently(
    connection: Connection, call: Callable[[], httpx.Response], *, tries: int, read: bool
) -> httpx.Response:
    """Call up to `tries` times, waiting longer each time, or as long as the server says."""
    for number in range(1, tries + 1):
        wait = FIRST_WAIT * 2 ** (number - 1) * random.uniform(0.8, 1.2)
        try:
            response = call()
        except httpx.TransportError as error:
            if number == tries:
                raise unreachable(
                    connection, error, lost=not read and not isinstance(error, _NEVER_SENT)
                ) from None
        else:
            if number == tries or not (response.status_code == 429 or response.status_code >= 500):
                return response
            wait = _retry_after(response) or wait
        time.sleep(min(wait, LONGEST_WAIT))
    raise AssertionError("unreachable")


def _whole(response: httpx.Response) -> httpx.Response:
    """An answer that says it is JSON and stops in the middle was cut off on its way: as good as none."""
    if response.is_success and "json" in response.headers.get("content-type", "") and response.content:
        try:
            orjson.loads(response.content)
        except orjson.JSONDecodeError as error:
            raise httpx.RemoteProtocolError("the answer was cut off") from error
    return response


def _retry_after(response: httpx.Response) -> float:
    """Seconds the server asks us to wait, by its own clock if it names a date; 0 if it does not say."""
    header = response.headers.get("retry-after", "")
    if header.isdigit():
        return float(header)
    try:
        now = response.headers.get("date")
        since = email.utils.parsedate_to_datetime(now) if now else datetime.now(UTC)
        return max(0.0, (email.utils.parsedate_to_datetime(header) - since).total_seconds())
    except (ValueError, TypeError):
        return 0.0


# access token, and when (on our monotonic clock) to fetch the next one
_access: dict[Connection, tuple[str, float]] = {}


def _authorization(connection: Connection) -> str:
    """Legacy tokens go as they are; a personal access token (a JWT) buys short-lived access tokens."""
    if connection.token.count(".") != 2:
        return f"Token {connection.token}"
    access, until = _access.get(connection, ("", 0.0))
    if time.monotonic() >= until:
        access = _refresh(connection)
        _access[connection] = (access, time.monotonic() + 0.8 * _lifetime(access))
    return f"Bearer {access}"


def _refresh(connection: Connection) -> str:
    path = "/api/token/refresh/"

    def call() -> httpx.Response:
        return _client().post(connection.url + path, json={"refresh": connection.token}, timeout=60.0)

    response = _patiently(connection, call, tries=TRIES, read=True)
    if response.status_code >= 300:
        raise refusal(connection, response.status_code, shown(response, connection), f"POST {path}")
    try:
        return str(orjson.loads(response.content)["access"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise LabelStudioError(
            f"{connection.url}{path} gave no access token for the personal access token: "
            "is label_studio.url in project.yaml the address of a Label Studio?"
        ) from error


def _lifetime(access: str) -> float:
    """Seconds an access token lives, by its own words. Not by our clock, which may differ from the server's."""
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(access.split(".")[1] + "=="))
        return float(claims["exp"] - claims["iat"])
    except (ValueError, KeyError, TypeError, IndexError):
        return ACCESS_TTL


@cache
def _client() -> httpx.Client:
    """One client for the process: making one costs 20-50 ms of certificates. A local server needs no proxy."""
    local = {"all://localhost": None, "all://127.0.0.1": None}
    return httpx.Client(follow_redirects=False, mounts=local)


def _encode(body: Any) -> bytes:
    try:
        return orjson.dumps(body)
    except (TypeError, ValueError) as error:
        raise SourceError(
            f"Cannot send this to Label Studio: {error}; mend the text that holds it."
        ) from error
