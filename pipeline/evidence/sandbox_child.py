"""What `sandbox.run` starts: the program comes as JSON on standard input, the verdict goes to standard output.

Locks itself down first, then runs what it was given. Imports nothing of Assay's.
"""

import ast
import builtins
import contextlib
import ctypes
import importlib
import io
import json
import os
import platform
import resource
import struct
import sys
import types
from collections.abc import Callable
from typing import Any

# Imported before the walls go up, for afterwards there is no file to read them from. Those that open sockets or start
# programs are here so that code which tries is answered by the wall, and so that the self-test can attack it.
NAMES = """
__future__ abc array ast base64 binascii bisect calendar cmath collections collections.abc contextlib copy csv
dataclasses datetime decimal difflib enum fractions functools hashlib heapq hmac html inspect io itertools json
keyword locale math numbers operator os os.path pathlib pprint queue random re secrets select shlex signal socket
statistics string struct subprocess sys tempfile textwrap threading time timeit tokenize traceback types typing
unicodedata unittest urllib.parse uuid warnings weakref zlib zoneinfo _strptime encodings.idna encodings.ascii
encodings.latin_1 encodings.cp1252 encodings.utf_16 encodings.utf_32
"""
MODULES = tuple(NAMES.split())

# Source: Linux, arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h. Computing, memory, time, what
# the interpreter needs for its own signals, and reading, writing and closing what is open. Nothing that opens.
CALLS = {
    "x86_64": {
        "read": 0, "write": 1, "close": 3, "fstat": 5, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12,
        "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "sched_yield": 24, "mremap": 25, "madvise": 28,
        "nanosleep": 35, "getpid": 39, "exit": 60, "gettimeofday": 96, "sigaltstack": 131, "gettid": 186, "futex": 202,
        "restart_syscall": 219, "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231,
        "getrandom": 318,
    },
    "aarch64": {
        "read": 63, "write": 64, "close": 57, "fstat": 80, "lseek": 62, "mmap": 222, "mprotect": 226, "munmap": 215,
        "brk": 214, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "sched_yield": 124, "mremap": 216,
        "madvise": 233, "nanosleep": 101, "getpid": 172, "exit": 93, "gettimeofday": 169, "sigaltstack": 132, "gettid": 178,
        "futex": 98, "restart_syscall": 128, "clock_gettime": 113, "clock_getres": 114, "clock_nanosleep": 115,
        "exit_group": 94, "getrandom": 278,
    },
}  # fmt: skip
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_*, include/uapi/linux/audit.h
LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    wanted = json.loads(sys.stdin.buffer.read())
    for name in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    report = os.fdopen(os.dup(1), "wb", buffering=0)
    limit(int(wanted["seconds"]), int(wanted["memory_mb"]))
    walls = ["namespaces"] if isolate() else []
    filter_calls()
    report.write(json.dumps({"walls": [*walls, "seccomp"]}).encode() + b"\n")
    report.write(json.dumps(judge(wanted["code"], wanted["tests"])).encode() + b"\n")
    os._exit(0)


def limit(seconds: int, memory_mb: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))  # SIGXCPU, then, for who ignores it, SIGKILL
    for kind, most in (
        (resource.RLIMIT_AS, memory_mb << 20), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 16), (resource.RLIMIT_NPROC, 0),
    ):  # fmt: skip
        resource.setrlimit(kind, (most, most))


def isolate() -> bool:
    """Namespaces without network and IPC, and with an empty read-only root; False where it is not allowed."""
    user, mount, net, ipc, uts = 0x10000000, 0x00020000, 0x40000000, 0x08000000, 0x04000000  # CLONE_NEW*, sched.h
    if LIBC.unshare(user | mount | net | ipc | uts):
        return False
    private, read_only = 0x40000 | 0x4000, 1 | 2 | 4 | 8  # MS_PRIVATE | MS_REC; MS_RDONLY | NOSUID | NODEV | NOEXEC
    empty: bool = (
        LIBC.mount(None, b"/", None, private, None) == 0
        and LIBC.mount(b"none", b"/tmp", b"tmpfs", read_only, b"size=4k") == 0
        and LIBC.chroot(b"/tmp") == 0
    )
    if empty:
        os.chdir("/")
    return empty


def filter_calls() -> None:
    """From here on only CALLS work; all others answer EPERM, one of another architecture kills. OSError if it cannot be had."""
    machine = platform.machine()
    calls = CALLS.get(machine)
    if calls is None:
        raise OSError(f"no table of system calls for {machine}")
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_RET|K
    allow, refuse, kill = 0x7FFF0000, 0x00050000 | 1, 0x80000000  # SECCOMP_RET_ALLOW, _ERRNO | EPERM, _KILL_PROCESS
    steps = [(load, 0, 0, 4), (equal, 1, 0, ARCHITECTURE[machine]), (give, 0, 0, kill), (load, 0, 0, 0)]
    steps += [(at_least, 0, 1, 0x40000000), (give, 0, 0, kill)]  # x32's calls
    for number in sorted(calls.values()):
        steps += [(equal, 0, 1, number), (give, 0, 0, allow)]
    steps += [(give, 0, 0, refuse)]
    code = b"".join(struct.pack("=HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(buffer)))
    # Without privileges to gain (PR_SET_NO_NEW_PRIVS), with none left (capset), not to be traced (PR_SET_DUMPABLE).
    zero = ctypes.create_string_buffer(24)
    header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0))  # _LINUX_CAPABILITY_VERSION_3
    done = LIBC.prctl(38, 1, 0, 0, 0) or LIBC.capset(header, zero) or LIBC.prctl(4, 0, 0, 0, 0)
    if done or LIBC.prctl(22, 2, program, 0, 0):  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError(ctypes.get_errno(), "the filter of system calls cannot be had")


def judge(code: str, tests: str) -> dict[str, Any]:
    """Run the code, then each statement of the tests by itself: names that one test makes are there for the next."""
    verdict: dict[str, Any] = {"status": "passed", "error": "", "line": 0, "tests": 0, "failed": []}
    module = types.ModuleType("answer")
    sys.modules["answer"] = module
    sys.stdout = sys.stderr = io.TextIOWrapper(_Nowhere(), encoding="utf-8", write_through=True)
    sys.stdin = io.StringIO("")
    program, place, why = compiled(lambda: compile(code, "answer", "exec", dont_inherit=True))
    if why:
        return {**verdict, "status": "unparsable", "error": why, "line": place or 1}
    asked, _, why = compiled(lambda: statements(tests))
    if why:
        return {**verdict, "status": "unparsable", "error": why}
    problem = attempt(program, module)
    if problem is not None:
        return {**verdict, "status": "error", "error": type(problem).__name__, "line": line_of(problem)}
    for statement in asked:
        problem = attempt(statement, module)
        verdict["tests"] += 1
        if problem is not None:
            verdict["failed"].append(verdict["tests"])
            verdict["error"] = verdict["error"] or type(problem).__name__
            verdict["line"] = verdict["line"] or line_of(problem)
    return {**verdict, "status": "failed" if verdict["failed"] else "passed"}


def statements(tests: str) -> list[types.CodeType]:
    """Each by itself, all of them before the code is run: what is wrong with the tests must not look like the code's doing."""
    body = ast.parse(tests, "tests").body
    return [compile(ast.Module([statement], []), "tests", "exec", dont_inherit=True) for statement in body]


def compiled(make: Callable[[], Any]) -> tuple[Any, int, str]:
    """What was made, or in which line it is no Python (0 if unknown), and the exception's type."""
    try:
        return make(), 0, ""
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return None, getattr(error, "lineno", 0) or 0, type(error).__name__


def attempt(program: types.CodeType, module: types.ModuleType) -> BaseException | None:
    try:
        builtins.exec(program, module.__dict__)
    except BaseException as error:  # noqa: BLE001 also SystemExit: code that leaves before its tests has not passed them
        return error
    return None


def line_of(error: BaseException) -> int:
    """The last line of the answer itself on the way to the error, 0 if none was."""
    found, place = 0, error.__traceback__
    while place is not None:
        if place.tb_frame.f_code.co_filename == "answer":
            found = place.tb_lineno
        place = place.tb_next
    return found


class _Nowhere(io.RawIOBase):
    """What a program prints is not kept: a verdict must not grow with it."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return len(data)


if __name__ == "__main__":
    main()
