"""One Label Studio process: started detached, recognised later, stopped."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from pipeline.errors import LabelStudioError

START_LIMIT = 300.0  # seconds; a first start took 133 s on two busy cores
STOP_LIMIT = 10.0  # seconds until a server that does not stop is killed
# Where Label Studio sends nothing (webhooks, imports by address, storages): its own list (1.23.2, core/utils/io.py),
# without 127.0.0.0/8.
RESERVED_NETWORKS = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
    "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4",
    "233.252.0.0/24", "240.0.0.0/4", "255.255.255.255/32", "::/128", "::1/128", "::ffff:0:0/96", "::ffff:0:0:0/96",
    "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001:0000::/32", "2001:20::/28", "2001:db8::/32", "2002::/16",
    "fc00::/7", "fe80::/10", "ff00::/8",
)  # fmt: skip


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


def spawn(command: Path, known: Running, extra: dict[str, str]) -> int:
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
        # its guard stays up, but for the one address where `assay serve` listens
        "LABEL_STUDIO_USE_DEFAULT_BANNED_SUBNETS": "false",
        "LABEL_STUDIO_USER_ADDITIONAL_BANNED_SUBNETS": ",".join(_banned()),
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


def _banned() -> list[str]:
    """Label Studio's own list, with a hole for 127.0.0.1 alone."""
    loopback = ipaddress.IPv4Network("127.0.0.0/8").address_exclude(ipaddress.IPv4Network("127.0.0.1/32"))
    return [*RESERVED_NETWORKS, *map(str, sorted(loopback))]


def wait_until_up(running: Running) -> None:
    """Until /health answers on the very port asked for: Label Studio goes to the next one without a word."""
    end = time.monotonic() + START_LIMIT
    while time.monotonic() < end:
        if not alive(running):
            raise LabelStudioError(f"Label Studio stopped while starting: see {running.log}.")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{running.url}/health", timeout=5, trust_env=False).status_code == 200:
                return
        time.sleep(0.2)
    raise LabelStudioError(
        f"Label Studio did not answer at {running.url} within {START_LIMIT:.0f} s: see {running.log}."
    )


def alive(running: Running) -> bool:
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


def stop(pid: int) -> None:
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
