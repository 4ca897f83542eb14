"""Runs Python code that somebody wrote, locked down by the kernel, and says whether it does what its tests ask.

What is guaranteed, on Linux (x86-64 and AArch64) where `refusal()` is "":

- no network, no file, no process: a seccomp filter allows only the system calls with which a program computes, takes memory,
  reads the time and uses the two pipes that it was given. It can open nothing: no socket, file, pipe or device. It can start
  no process or thread, send no signal and trace nobody, whatever it does in Python, ctypes or machine code. The filter cannot
  be taken off. All other calls answer "operation not permitted";
- no capabilities, and nothing to gain by running another program; besides, where the kernel lets us make namespaces (the
  guarantee above does not need them): no network device, nobody else's IPC, an empty read-only root;
- at most `seconds` of CPU, twice that and START_S on the clock, `memory_mb` of address space, OUTPUT bytes of output; an
  environment without anybody's variables; a session of its own, killed at the end.

Not guaranteed: that a program is honest (it runs in one interpreter with its tests, and can pretend that they passed), that
the processor keeps secrets (Spectre), that the kernel's allowed calls have no bugs. Elsewhere than on Linux, and where one of
`ATTACKS` gets through, nothing is run at all. A filter on Python's names is no wall and is not used.

Only the standard library's modules that `sandbox_child.MODULES` names can be imported, and `import` needs no file for them.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

CHILD = Path(__file__).with_name("sandbox_child.py")
PARALLEL = 2
# HumanEval's slowest solution takes 0.4 CPU s here, and 60 MB are the interpreter with its modules.
SECONDS, MEMORY_MB = 5, 512
OUTPUT = 1 << 16  # bytes of verdict; what the program prints itself goes nowhere
LONGEST_NAME = 60  # characters of an exception's name; Python's own have at most 25
START_S = 10.0  # on the clock, for an interpreter to start on a machine with other work

Status = Literal["passed", "failed", "error", "timeout", "killed", "unparsable", "unavailable"]


@dataclass(frozen=True)
class Verdict:
    """How a run ended.

    passed: every test did. failed: `failed` names the numbers of the tests, from 1, that raised; `error` the first one's
    exception. error: the code raised before its tests. timeout: too long. killed: it ended by itself, by a limit or by a
    forbidden act, or what it said is no verdict. unparsable: the code is not Python or,
    where `line` is 0, the tests are not. unavailable: the lock-down failed, and nothing was run. line: in the code, from 1, 0 if
    unknown. walls: "seccomp", and "namespaces" where the kernel allows them.
    """

    status: Status
    # The exception's type, never its message: that can hold anything. "" where what the child says is no name of a type.
    error: str = ""
    line: int = 0
    tests: int = 0
    failed: tuple[int, ...] = ()
    walls: tuple[str, ...] = ()


def run(code: str, tests: str = "", *, seconds: int = SECONDS, memory_mb: int = MEMORY_MB) -> Verdict:
    """Run `code`, then each statement of `tests` by itself, in a process of its own."""
    wanted = {"code": code, "tests": tests, "seconds": seconds, "memory_mb": memory_mb}
    process = subprocess.Popen(
        [sys.executable, "-s", "-P", "-S", "-B", "-X", "utf8", str(CHILD)],  # -I, but for the hash seed
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={"PYTHONHASHSEED": "0"}, cwd="/", close_fds=True, start_new_session=True,
    )  # fmt: skip
    try:
        said, late = _talk(process, json.dumps(wanted).encode(), START_S + 2 * seconds)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr]
    # Neither lines nor statements are more than the characters that they are made of.
    return _verdict(said, late or process.returncode == -signal.SIGXCPU, len(code) + len(tests) + 1)


def run_all(
    programs: Sequence[tuple[str, str]], *, seconds: int = SECONDS, memory_mb: int = MEMORY_MB
) -> list[Verdict]:
    """`run` for (code, tests) each, a few at a time; in the order given."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(lambda one: run(*one, seconds=seconds, memory_mb=memory_mb), programs))


# What must not work; each ends without an error only if it got through. Loops and memory end by their limits.
ATTACKS = {
    "opens a socket": "import socket\nsocket.socket()",
    "reads a file": "open('/etc/passwd').read()",
    "writes a file": "open('/tmp/assay-was-here', 'w').write('x')",
    "starts a process": "import os\nos.fork() or os._exit(0)",
    "starts a program": "import os\nos.posix_spawn('/bin/sh', ['sh', '-c', 'true'], {})",
    "starts a thread": "import _thread, time\n_thread.start_new_thread(print, ())",
    "sends a signal": "import os\nos.kill(os.getppid(), 0)",
    "takes 4 GB of memory": "x = bytearray(4 << 30)",
    "never ends": "while True:\n    pass",
}


@cache
def refusal() -> str:
    """Why no code may be run here, "" if it may: every attack was tried (once a process) and none got through."""
    if not sys.platform.startswith("linux"):
        return f"Code can be locked down on Linux only, and this is {sys.platform}."
    calm = run("x = 1", "assert x == 1", seconds=1)
    if calm.status != "passed":
        return f"Code cannot be locked down here (harmless code ended as “{calm.status}”: no seccomp in this kernel?)."
    ended = run_all([(attack, "") for attack in ATTACKS.values()], seconds=1)
    held = ("error", "killed", "timeout")
    through = [name for name, verdict in zip(ATTACKS, ended, strict=True) if verdict.status not in held]
    return f"The lock-down does not hold here: code {', '.join(through)}." if through else ""


def _talk(process: subprocess.Popen[bytes], program: bytes, seconds: float) -> tuple[bytes, bool]:
    """What the process answers, cut at OUTPUT, and whether it was too late. It is killed by the caller."""
    assert process.stdin is not None
    assert process.stdout is not None
    end = time.monotonic() + seconds
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(program)
        process.stdin.close()
    said = b""
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ)
        while len(said) < OUTPUT:
            if not waiting.select(max(0.0, end - time.monotonic())):
                return said, True
            part = os.read(process.stdout.fileno(), OUTPUT)
            said += part
            if not part:
                break
        else:
            return said, False  # it says too much: killed at once
    with contextlib.suppress(subprocess.TimeoutExpired):  # it may have closed the pipe and gone on
        process.wait(timeout=max(0.1, end - time.monotonic()))
    return said, process.returncode is None


def _verdict(said: bytes, late: bool, most: int) -> Verdict:
    """The last line is the verdict; lines before it say which walls stand. Whatever else is there was the program's own doing.

    most: the greatest number that an honest verdict can hold.
    """
    try:
        first, *rest = said.splitlines()
        walls = tuple(map(str, json.loads(first)["walls"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return Verdict("timeout" if late else "killed" if said else "unavailable")
    if not rest:
        return Verdict("timeout" if late else "killed", walls=walls)
    try:
        (end,) = map(json.loads, rest)
        return _ended(end, walls, most)
    except (ValueError, KeyError, TypeError, RecursionError):
        return Verdict("timeout" if late else "killed", walls=walls)


def _ended(end: Mapping[str, Any], walls: tuple[str, ...], most: int) -> Verdict:
    """What the child says at its end; ValueError, KeyError or TypeError where no honest child says such a thing."""
    status, error, line, tests, failed = (end[name] for name in ("status", "error", "line", "tests", "failed"))
    if status not in ("passed", "failed", "error", "unparsable") or not isinstance(error, str):
        raise ValueError("no such end")
    if any(type(number) is not int or not 0 <= number <= most for number in (line, tests, *failed)):
        raise ValueError("no such number")
    if (status == "failed") != bool(failed) or failed != sorted(set(failed) & set(range(1, tests + 1))):
        raise ValueError("no such tests")
    named = error if error.isidentifier() and len(error) <= LONGEST_NAME else ""
    return Verdict(status, named, line, tests, tuple(failed), walls)
