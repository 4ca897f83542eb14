"""`assay serve`."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any

import typer

from flows import console
from flows.options import HERE, Dir
from pipeline.errors import ConfigError

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def add(app: typer.Typer) -> None:
    app.command("serve")(serve)


def serve(
    folder: Dir = HERE,
    host: Annotated[str, typer.Option(help="Address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: a free one")] = 8765,
    every: Annotated[str, typer.Option(help="Sync at least this often, hook or not: such as 90s, 15m, 2h")] = "15m",
    run: Annotated[bool, typer.Option("--run", help="After a sync that brought something new, the whole loop")] = False,
    register: Annotated[bool, typer.Option("--register", help="First create or update the webhook in Label Studio")] = False,
    public_url: Annotated[
        str | None, typer.Option(help="With --register: how Label Studio reaches this receiver; default: host and port")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, once it listens")] = False,
) -> None:
    """Sync whenever Label Studio's webhook says that something changed, and every so often in any case."""
    from flows.batching import Timing
    from flows.serving import serve as run_serve

    run_serve(
        folder, host=host, port=port, timing=Timing(every=seconds(every)), whole_loop=run, register=register,
        public_url=public_url, ready=_print if as_json else _say,
    )  # fmt: skip


def seconds(text: str) -> float:
    """90s, 15m, 2h, 1d. ConfigError if it is something else, or less than a second."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    if not found or not int(found[1]):
        raise ConfigError(f"--every {text!r} is no time such as 90s, 15m or 2h.")
    return int(found[1]) * UNITS[found[2]]


def _print(body: dict[str, Any]) -> None:
    console.print_json(body)
    sys.stdout.flush()


def _say(body: dict[str, Any]) -> None:
    hook = body["webhook"]
    if hook:
        done = "created" if hook["created"] else "updated"
        console.say(f"Webhook {hook['id']} {done} in Label Studio: {hook['url']}")
    console.say(f"Listening at {body['url']} for project {body['project']}; a sync every {body['every_seconds']:.0f} s at least.")
    sys.stdout.flush()
