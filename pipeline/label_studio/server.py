"""A local Label Studio in an environment of its own: its dependencies do not go together with ours.

    <home>/label-studio/<version>/env        its virtual environment
    <home>/label-studio/<version>/template   a migrated, empty data folder: migrations are nine tenths of a first start
    <home>/servers/<name>/                   one server: state.json (address, login; only its owner can read it),
                                             data/, server.log

It listens on this machine alone, and sends no telemetry.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import httpx
import orjson

from pipeline.errors import ConfigError, LabelStudioError
from pipeline.label_studio.process import Running, alive, spawn, stop, wait_until_up

VERSION = "1.23.2"
USERNAME = "assay@example.com"
ENV_DONE, TEMPLATE_DONE = "env.done", "template.done"
HASH_ROUNDS = 1_000_000  # Django 5.2's own for pbkdf2_sha256; fewer would be re-hashed at the first login

Progress = Callable[[str], None]


def home() -> Path:
    """Where local servers live: ASSAY_HOME, else `.assay` in the checkout that this runs from, else the user's data folder.
    `make` and a shell in the same checkout thus mean the same server."""
    named = os.environ.get("ASSAY_HOME")
    if named:
        return Path(named).expanduser().absolute()
    checkout = Path(__file__).parents[2]
    if (checkout / "Makefile").is_file() and (checkout / "constraints.txt").is_file():
        return checkout / ".assay"
    return Path.home() / ".local" / "share" / "assay"


def servers() -> Path:
    return home() / "servers"


def is_prepared() -> bool:
    return all((_root() / mark).exists() for mark in (ENV_DONE, TEMPLATE_DONE))


def prepare(progress: Progress = lambda text: None) -> Path:
    """Make the environment and the template data folder if they are missing. Returns Label Studio's executable.

    Safe to interrupt and to run twice at once: each part counts only once its mark is written.
    """
    root = _root()
    with _lock(root / "lock"):
        command = root / "env" / "bin" / "label-studio"
        if not (root / ENV_DONE).exists():
            progress(
                f"Installing Label Studio {VERSION} in its own environment (once; a minute or two, about 1 GB)"
            )
            _install(root)
        if not (root / TEMPLATE_DONE).exists():
            progress("Preparing Label Studio's database (once; about a minute)")
            _make_template(command, root)
    return command


def up(
    *,
    name: str = "demo",
    port: int | None = None,
    folder: Path | None = None,
    progress: Progress = lambda text: None,
) -> Running:
    """Start server `name`, or return it as it is if it runs. `folder` holds the servers (default: `servers()`).

    The port is the one asked for, else the one it had, else a free one. LabelStudioError, with the log's path, if it
    does not come up; ConfigError if the port asked for is taken.
    """
    place = _place(name, folder)
    with _lock(place / "lock"):
        found = _read(place)
        if found and alive(found):
            wait_until_up(found)  # whoever started it may have been killed while it was coming up
            return found
        command = prepare(progress)
        known = found or _new(place)
        chosen = _port(port, known.url)
        progress(f"Starting Label Studio on port {chosen}")
        return _start(command, place, replace(known, url=f"http://127.0.0.1:{chosen}"))


def down(name: str = "demo", folder: Path | None = None) -> bool:
    """Stop server `name`; its data stays. False if it was not running."""
    place = _place(name, folder)
    if not place.is_dir():
        return False
    with _lock(place / "lock"):
        found = _read(place)
        if not found or not found.pid:
            return False
        was_alive = alive(found)
        if was_alive:
            stop(found.pid)
        _write(place, replace(found, pid=0))
        return was_alive


def status(name: str = "demo", folder: Path | None = None) -> Running | None:
    """Server `name`, or None if it is not running."""
    found = _read(_place(name, folder))
    return found if found and alive(found) else None


def recorded(name: str = "demo", folder: Path | None = None) -> str:
    """The address that server `name` has or last had; "" if there never was one."""
    found = _read(_place(name, folder))
    return found.url if found else ""


def _root() -> Path:
    return home() / "label-studio" / VERSION


def _place(name: str, folder: Path | None) -> Path:
    if not name.replace("-", "").replace("_", "").isalnum():
        raise ConfigError(f"{name!r} cannot name a server: use letters, digits, - and _.")
    return (folder or servers()) / name


@contextlib.contextmanager
def _lock(file: Path) -> Iterator[None]:
    """Waits for any other process that holds it; the system frees it if its holder dies."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _install(root: Path) -> None:
    """A virtual environment cannot be renamed into place, so a mark beside it says that it is whole."""
    log = root / "install.log"
    shutil.rmtree(root / "env", ignore_errors=True)
    python = str(root / "env" / "bin" / "python")
    steps = [
        [sys.executable, "-m", "venv", str(root / "env")],
        [python, "-m", "pip", "install", "--quiet", f"label-studio=={VERSION}"],
    ]
    with log.open("w") as output:
        for step in steps:
            if subprocess.run(step, stdin=subprocess.DEVNULL, stdout=output, stderr=output).returncode:
                raise LabelStudioError(
                    f"Label Studio {VERSION} could not be installed ({' '.join(step[1:4])}): see {log}, then run it again."
                )
    (root / ENV_DONE).touch()


def _make_template(command: Path, root: Path) -> None:
    """Boot once with a throw-away login, so that later servers start from a copy in seconds."""
    template = root / "template"
    shutil.rmtree(template, ignore_errors=True)
    first = {
        "LABEL_STUDIO_USERNAME": USERNAME,
        "LABEL_STUDIO_PASSWORD": secrets.token_urlsafe(16),
        "LABEL_STUDIO_USER_TOKEN": secrets.token_hex(20),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",  # acts only when the organization is created
    }
    known = Running(f"http://127.0.0.1:{_free_port()}", USERNAME, "", "", 0, template, root / "template.log")
    running = replace(known, pid=spawn(command, known, first))
    try:
        wait_until_up(running)
    finally:
        stop(running.pid)
    (template / ".env").unlink()  # the key that signs sessions: each server makes its own
    (root / TEMPLATE_DONE).touch()


def _new(place: Path) -> Running:
    """A data folder of its own with a login of its own, recorded before the first start."""
    data = place / "data"
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o700)
    shutil.rmtree(data, ignore_errors=True)
    shutil.copytree(_root() / "template", data)
    password, token = secrets.token_urlsafe(12), secrets.token_hex(20)
    with contextlib.closing(sqlite3.connect(data / "label_studio.sqlite3")) as base, base:
        base.execute("UPDATE htx_user SET password = ? WHERE email = ?", (_hashed(password), USERNAME))
        base.execute("UPDATE authtoken_token SET key = ?", (token,))
    new = Running("", USERNAME, password, token, 0, data, place / "server.log")
    _write(place, new)
    return new


def _hashed(password: str) -> str:
    """Django's form of a password: pbkdf2_sha256$rounds$salt$hash."""
    salt = secrets.token_hex(11)
    key = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), HASH_ROUNDS)
    return f"pbkdf2_sha256${HASH_ROUNDS}${salt}${base64.b64encode(key).decode()}"


def _start(command: Path, place: Path, known: Running) -> Running:
    running = replace(known, pid=spawn(command, known, {}))
    _write(place, running)  # before it is up: if we are killed now, `down` still finds it
    try:
        wait_until_up(running)
    except BaseException:
        stop(running.pid)
        raise
    return running


def _port(asked: int | None, former: str) -> int:
    if asked is not None:
        if not _is_free(asked):
            raise ConfigError(f"Port {asked} is taken: choose another with --port, or leave it out.")
        return asked
    had = httpx.URL(former).port if former else None
    return had if had and _is_free(had) else _free_port()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _read(place: Path) -> Running | None:
    try:
        stored = orjson.loads((place / "state.json").read_bytes())
        return Running(**{**stored, "data": Path(stored["data"]), "log": Path(stored["log"])})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise LabelStudioError(
            f"{place / 'state.json'} cannot be read: delete {place} to start afresh."
        ) from error


def _write(place: Path, running: Running) -> None:
    """Replaced in one step, and readable by its owner alone: it holds a password."""
    beside = place / f".state.{secrets.token_hex(4)}"
    body = orjson.dumps(
        {**asdict(running), "data": str(running.data), "log": str(running.log)}, option=orjson.OPT_INDENT_2
    )
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(body)
    os.replace(beside, place / "state.json")
