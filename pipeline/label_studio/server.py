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
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import httpx
import orjson

from pipeline.errors import ConfigError, LabelStudioError

VERSION = "1.23.2"
USERNAME = "assay@example.com"
START_LIMIT = 300.0  # seconds; a first start took 133 s on two busy cores
STOP_LIMIT = 10.0  # seconds until a server that does not stop is killed
HASH_ROUNDS = 1_000_000  # Django 5.2's own for pbkdf2_sha256; fewer would be re-hashed at the first login

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Running:
    """A local server. `pid` is 0 if it is not running; password and token stay with the data."""

    url: str
    username: str
    password: str = field(repr=False)
    token: str = field(repr=False)
    pid: int
    data: Path
    log: Path


def home() -> Path:
    """Where environments and servers live: ASSAY_HOME, or ~/.local/share/assay."""
    given = os.environ.get("ASSAY_HOME")
    return Path(given).expanduser() if given else Path.home() / ".local" / "share" / "assay"


def servers() -> Path:
    return home() / "servers"


def prepare(progress: Progress = lambda text: None) -> Path:
    """Make the environment and the template data folder if they are missing. Returns Label Studio's executable.

    Safe to interrupt and to run twice at once: each part counts only once its mark is written.
    """
    root = home() / "label-studio" / VERSION
    with _lock(root / "lock"):
        command = root / "env" / "bin" / "label-studio"
        if not (root / "env.done").exists():
            progress(
                f"Installing Label Studio {VERSION} in its own environment (once; a minute or two, about 1 GB)"
            )
            _install(root)
        if not (root / "template.done").exists():
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
        if found and _alive(found):
            _wait_until_up(found)  # whoever started it may have been killed while it was coming up
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
        was_alive = _alive(found)
        if was_alive:
            _stop(found.pid)
        _write(place, replace(found, pid=0))
        return was_alive


def status(name: str = "demo", folder: Path | None = None) -> Running | None:
    """Server `name`, its pid 0 if it is not running; None if it was never started."""
    found = _read(_place(name, folder))
    return found if found is None or _alive(found) else replace(found, pid=0)


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
    (root / "env.done").touch()


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
    running = replace(known, pid=_spawn(command, known, first))
    try:
        _wait_until_up(running)
    finally:
        _stop(running.pid)
    (template / ".env").unlink()  # the key that signs sessions: each server makes its own
    (root / "template.done").touch()


def _new(place: Path) -> Running:
    """A data folder of its own with a login of its own, recorded before the first start."""
    data = place / "data"
    shutil.rmtree(data, ignore_errors=True)
    shutil.copytree(home() / "label-studio" / VERSION / "template", data)
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
    running = replace(known, pid=_spawn(command, known, {}))
    _write(place, running)  # before it is up: if we are killed now, `down` still finds it
    try:
        _wait_until_up(running)
    except BaseException:
        _stop(running.pid)
        raise
    return running


def _spawn(command: Path, known: Running, extra: dict[str, str]) -> int:
    """Its pid. Detached, so that it outlives us; no LABEL_STUDIO_ variable of our own environment reaches it."""
    data = known.data
    data.mkdir(parents=True, exist_ok=True)
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("LABEL_STUDIO_", "HEARTEX_"))
    }
    for key in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "DJANGO_SETTINGS_MODULE", "HOST", "PORT", "DEBUG"):
        kept.pop(key, None)
    telemetry_off = {
        "LABEL_STUDIO_COLLECT_ANALYTICS": "false",
        "LABEL_STUDIO_LATEST_VERSION_CHECK": "false",
        **dict.fromkeys(
            (
                "LABEL_STUDIO_SENTRY_DSN",
                "LABEL_STUDIO_FRONTEND_SENTRY_DSN",
                "SENTRY_DSN",
                "FRONTEND_SENTRY_DSN",
            ),
            "",
        ),
    }
    ours = {
        "LABEL_STUDIO_BASE_DATA_DIR": str(data),
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        # its guard refuses webhooks to this machine, where `assay serve` listens
        "LABEL_STUDIO_SSRF_PROTECTION_ENABLED": "false",
    }
    port = str(httpx.URL(known.url).port)
    arguments = [
        "start",
        "--no-browser",
        "--internal-host",
        "127.0.0.1",
        "--port",
        port,
        "--data-dir",
        str(data),
    ]
    with known.log.open("ab") as output:
        process = subprocess.Popen(
            [str(command), *arguments],
            env={**kept, **telemetry_off, **ours, **extra},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd=data,
        )
    return process.pid


def _wait_until_up(running: Running) -> None:
    """Until /health answers on the very port asked for: Label Studio goes to the next one without a word."""
    end = time.monotonic() + START_LIMIT
    while time.monotonic() < end:
        if not _alive(running):
            raise LabelStudioError(f"Label Studio stopped while starting: see {running.log}.")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{running.url}/health", timeout=5, trust_env=False).status_code == 200:
                return
        time.sleep(0.2)
    raise LabelStudioError(
        f"Label Studio did not answer at {running.url} within {START_LIMIT:.0f} s: see {running.log}."
    )


def _alive(running: Running) -> bool:
    """Its process is there and is this server: a pid may have gone to another program since."""
    if not running.pid:
        return False
    with contextlib.suppress(ChildProcessError):  # collect it if it was ours and has ended
        os.waitpid(running.pid, os.WNOHANG)
    words = _command_line(running.pid)
    return str(running.data) in words


def _command_line(pid: int) -> str:
    """Empty if there is no such process, or it has ended."""
    if not Path("/proc/self").exists():
        return subprocess.run(
            ["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True
        ).stdout
    for _ in range(100):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            ended = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        except OSError:
            return ""
        if words or ended:
            return words.decode(errors="replace")
        time.sleep(0.01)  # just started: the system has not filled it in yet
    return ""


def _stop(pid: int) -> None:
    """Ends the server's own process group: asked first, killed if it does not."""
    for number, limit in ((signal.SIGTERM, STOP_LIMIT), (signal.SIGKILL, STOP_LIMIT)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, number)
        end = time.monotonic() + limit
        while time.monotonic() < end:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)


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
