"""What went wrong, in one sentence: never a header, never the token, never a long body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import orjson

from pipeline.errors import LabelStudioError, Unauthorized, Unreachable

if TYPE_CHECKING:
    from pipeline.label_studio.connection import Connection

GATEWAY = (502, 503, 504)  # a proxy's answers: the server may not have been asked, or may still be at it
ADVICE = "set ASSAY_LABEL_STUDIO_TOKEN to the one on its Account & Settings page"


class LostReply(Unreachable):
    """A write was sent and no answer came: it may have been carried out. Read back before writing again."""


class ServerFault(LabelStudioError):
    """The server itself broke on this request (500), and would again: often on the text of one task."""


def unreachable(connection: Connection, error: Exception, *, lost: bool) -> Unreachable:
    what = str(error).replace(connection.token, "…") or type(error).__name__
    if lost:
        return LostReply(
            f"Label Studio at {connection.url} did not answer ({what}), so it is not known whether the last write was "
            "carried out: run the step again, it looks before it writes."
        )
    return Unreachable(
        f"Label Studio at {connection.url} does not answer ({what}): is it running? "
        "Start it with `assay server up`, or mend label_studio.url in project.yaml."
    )


def refusal(
    connection: Connection, status: int, body: str, what: str, *, read: bool = True
) -> LabelStudioError:
    if status in (401, 403):
        return Unauthorized(
            f"Label Studio at {connection.url} refused the token ({status}: {body}): {ADVICE}."
        )
    if 300 <= status < 400:
        return LabelStudioError(
            f"{connection.url} redirects {what} to {body}: set label_studio.url to that address."
        )
    if status in GATEWAY and not read:
        return unreachable(connection, Exception(f"status {status}"), lost=True)
    if status in GATEWAY or status == 429:
        return unreachable(connection, Exception(f"status {status}"), lost=False)
    kind = ServerFault if status == 500 else LabelStudioError
    return kind(f"Label Studio at {connection.url} answered {what} with {status}: {body}")


def shown(response: httpx.Response, connection: Connection) -> str:
    """A few words of an answer's body."""
    if response.is_redirect:
        return str(response.headers.get("location", "nowhere")).split("?")[0]
    if "html" in response.headers.get("content-type", ""):
        return "an HTML page"
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        body = response.text
    return text(body, connection)


def text(body: Any, connection: Connection) -> str:
    """Label Studio's detail and validation errors in at most 300 characters, without its traceback."""
    if isinstance(body, dict):
        told = {key: value for key, value in body.items() if value and key in ("detail", "validation_errors")}
        body = told["detail"] if set(told) == {"detail"} else told or {**body, "exc_info": None}
    words = body if isinstance(body, str) else orjson.dumps(body, default=str).decode()
    if "<html" in words[:500].lower():
        return "an HTML page"
    words = words.replace(connection.token, "…")
    return words if len(words) <= 300 else f"{words[:300]}…"
