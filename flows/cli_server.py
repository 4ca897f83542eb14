"""`assay server`: a local Label Studio."""

from __future__ import annotations

from typing import Annotated

import typer

from flows import console, screens
from flows.options import Json, finish

server = typer.Typer(no_args_is_help=True, help="A local Label Studio in an environment of its own.")


@server.command("up")
def server_up(
    port: Annotated[int | None, typer.Option(help="Default: a free one")] = None, as_json: Json = False
) -> None:
    """Start Label Studio (the first time, make its environment: a minute or two)."""
    from pipeline.label_studio.server import up

    found = up(port=port, progress=console.silence if as_json else console.complain)
    body = {
        "url": found.url,
        "username": found.username,
        "password": found.password,
        "token": found.token,
        "pid": found.pid,
    }
    finish(body, as_json, screens.server)


@server.command("down")
def server_down(as_json: Json = False) -> None:
    """Stop it. Its data stays."""
    from pipeline.label_studio.server import down

    finish(
        {"stopped": down()}, as_json, lambda body: console.say("Stopped." if body["stopped"] else "It was not running.")
    )


@server.command("status")
def server_status(as_json: Json = False) -> None:
    """Is it running, and where?"""
    from pipeline.label_studio.server import status

    found = status()
    finish(
        {"running": found is not None, "url": found.url if found else None, "pid": found.pid if found else None},
        as_json,
        lambda body: console.say(f"Running at {body['url']}" if body["running"] else "Not running: `assay server up`"),
    )
