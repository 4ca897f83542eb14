"""The wall around other people's code is attacked here for real, one attack a test."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pipeline.evidence import sandbox
from pipeline.evidence.sandbox import ATTACKS, CHILD, Verdict, refusal, run, run_all
from pipeline.evidence.sandbox_child import CALLS


@pytest.fixture(autouse=True, scope="module")
def locked_down() -> None:
    if refusal():
        pytest.skip(refusal())


CALL = "import ctypes\ncall = ctypes.CDLL(None, use_errno=True).syscall\n"
# System calls by number, past anything that Python's modules might check; x86-64, whose numbers these are.
RAW = {
    "open": 2, "socket": 41, "connect": 42, "clone": 56, "fork": 57, "execve": 59, "kill": 62, "ptrace": 101, "prctl": 157,
    "chroot": 161, "mount": 165, "openat": 257, "unshare": 272, "prlimit64": 302, "process_vm_readv": 310, "memfd_create": 319,
    "bpf": 321, "io_uring_setup": 425, "clone3": 435, "pidfd_open": 434, "openat2": 437,
}  # fmt: skip


def test_right_code_passes_its_tests() -> None:
    verdict = run("def double(x):\n    return 2 * x", "assert double(2) == 4\nassert double(-1) == -2")
    assert verdict.status == "passed"
    assert verdict.tests == 2
    assert "seccomp" in verdict.walls


def test_each_failing_test_is_named_by_its_number_and_the_first_by_its_exception() -> None:
    tests = "assert half(4) == 2\nassert half(3) == 1\nhalf(None)\nassert half(0) == 0"
    verdict = run("def half(x):\n    return x / 2", tests)
    assert verdict.status == "failed"
    assert verdict.failed == (2, 3)
    assert verdict.error == "AssertionError"
    assert verdict.tests == 4


def test_code_that_raises_says_where_but_not_what() -> None:
    verdict = run("x = 1\nraise ValueError('jane.doe@example.org')")
    assert (verdict.status, verdict.error, verdict.line) == ("error", "ValueError", 2)
    assert "jane" not in repr(verdict)


@pytest.mark.parametrize("code", ["import sys\nsys.exit(0)", "import os\nos._exit(0)"])
def test_code_that_leaves_before_its_tests_has_not_passed_them(code: str) -> None:
    assert run(code, "assert False").status in ("error", "killed")


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_of_the_self_test_is_refused(name: str) -> None:
    assert run(ATTACKS[name], "assert True", seconds=1).status in ("error", "killed", "timeout")


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are x86-64's")
@pytest.mark.parametrize("name", RAW)
def test_a_raw_system_call_answers_that_it_is_not_permitted(name: str) -> None:
    code = f"{CALL}answer = call({RAW[name]}, 0, 0, 0, 0, 0, 0), ctypes.get_errno()"
    assert run(code, "assert answer == (-1, 1), answer").status == "passed"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="x32 is x86-64's")
def test_a_call_of_another_architecture_kills() -> None:
    assert run(f"{CALL}call(0x40000000 + 39)", "assert True").status == "killed"


def test_no_table_of_calls_holds_one_that_opens_anything() -> None:
    for name, table in CALLS.items():
        assert not {
            "open",
            "openat",
            "socket",
            "clone",
            "clone3",
            "fork",
            "vfork",
            "execve",
            "kill",
            "ptrace",
            "ioctl",
            "prctl",
        } & set(table)
        assert len(set(table.values())) == len(table), name


def test_no_file_of_this_machine_can_be_read_and_none_is_written(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    for code in (
        f"open({str(secret)!r})",
        f"import os\nos.listdir({str(tmp_path)!r})",
        f"import pathlib\npathlib.Path({str(tmp_path / 'new')!r}).write_text('x')",
        "open('/proc/self/mem', 'rb')",
        "import os\nos.open('/', os.O_RDONLY)",
        "import os\nos.pipe()",
        "import os\nos.dup(1)",
    ):
        assert run(code).error == "PermissionError", code
    assert not (tmp_path / "new").exists()


def test_nothing_of_this_process_is_inherited() -> None:
    os.environ["ASSAY_TEST_SECRET"] = "x"
    try:
        verdict = run("import os", "assert set(os.environ) <= {'PYTHONHASHSEED', 'LC_CTYPE'}, dict(os.environ)")
    finally:
        del os.environ["ASSAY_TEST_SECRET"]
    assert verdict.status == "passed"


def test_limits_cannot_be_raised_again() -> None:
    code = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))"
    assert run(code).status == "error"


def test_code_that_ignores_its_limit_is_killed_all_the_same() -> None:
    code = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True:\n    pass"
    assert run(code, seconds=1).status in ("timeout", "killed")


def test_code_that_sleeps_is_ended_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "START_S", 3.0)
    assert run("import time\ntime.sleep(1000)", seconds=1).status == "timeout"


def test_code_that_closes_its_pipes_and_goes_on_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "START_S", 3.0)
    close = "for one in range(16):\n    try:\n        os.close(one)\n    except OSError:\n        pass\n"
    code = f"import os, time\n{close}time.sleep(1000)"
    assert run(code, "assert True", seconds=1).status == "timeout"


def test_a_flood_of_output_is_cut() -> None:
    verdict = run("import os\nwhile True:\n    os.write(1, b'x' * 65536)", seconds=2)
    assert verdict.status == "killed"


def test_what_code_prints_is_no_verdict() -> None:
    said = '{"status": "passed", "error": "", "line": 0, "tests": 1, "failed": []}'
    assert run(f"print({said!r})", "assert False").status == "failed"
    assert run(f"import os\nos.write(1, b'nonsense')\nprint({said!r})", "assert True").status in (
        "killed",
        "unavailable",
    )


HONEST = '{"status": "%s", "error": "%s", "line": %s, "tests": %s, "failed": %s}'


@pytest.mark.parametrize(
    "said",
    [
        HONEST % ("passed", "", "Infinity", 0, []),
        HONEST % ("passed", "", "1e999", 0, []),
        HONEST % ("passed", "", "NaN", 0, []),
        HONEST % ("passed", "", "true", 1, []),
        HONEST % ("passed", "", '"1"', 1, []),
        HONEST % ("passed", "", -1, 1, []),
        HONEST % ("passed", "", "9" * 4000, 1, []),
        HONEST % ("passed", "", "9" * 6000, 1, []),
        HONEST % ("passed", "", 0, 1, [1]),
        HONEST % ("failed", "E", 0, 1, []),
        HONEST % ("failed", "E", 0, 1, [2]),
        HONEST % ("failed", "E", 0, 1, [0]),
        HONEST % ("failed", "E", 0, 3, [2, 1]),
        HONEST % ("failed", "E", 0, 3, [1, 1]),
        HONEST % ("failed", "E", 0, 3, "[[1]]"),
        HONEST % ("failed", "E", 0, 3, "1"),
        HONEST % ("failed", "E", 0, 3, "null"),
        HONEST % ("failed", "E", 0, 10**12, [1]),
        HONEST % ("timeout", "", 0, 0, []),
        HONEST % ("[]", "", 0, 0, []),
        '{"status": ["passed"], "error": "", "line": 0, "tests": 0, "failed": []}',
        '{"status": "passed", "error": {}, "line": 0, "tests": 0, "failed": []}',
        '{"status": "passed"}',
        "[" * 60_000,
        '{"status":' * 6_000,
        "[]",
        "7",
        "null",
        "\x00",
    ],
)  # fmt: skip
def test_what_is_no_verdict_is_taken_for_the_programs_own_end(said: str) -> None:
    write = (
        f"import os\nsaid = {said!r}.encode() + b'\\n'\nwhile said:\n    said = said[os.write(3, said):]\nos._exit(0)"
    )
    verdict = run(write, "assert True")
    assert verdict == Verdict("killed", walls=verdict.walls)
    assert "seccomp" in verdict.walls


@pytest.mark.parametrize("name", ["<b>call 0800-SECRET now</b>", "jane.doe@example.org", "x" * 61, "Value Error"])
def test_only_a_name_is_taken_for_the_exceptions_type(name: str) -> None:
    said = HONEST % ("failed", name, 1, 1, [1])
    forged = run(f"import os\nos.write(3, {said.encode()!r} + b'\\n')\nos._exit(0)", "assert False")
    assert (forged.status, forged.error, forged.failed) == ("failed", "", (1,))
    named = run(f"raise type({name!r}, (Exception,), {{}})")
    assert (named.status, named.error) == ("error", "")


def test_deep_and_endless_texts_are_no_python() -> None:
    for code in ("(" * 100_000, "-" * 100_000 + "1", "x = 1\x00", "def f(:\n"):
        assert run(code).status == "unparsable"


@pytest.mark.parametrize("tests", ["assert x == 1\nreturn x", "assert x == 1\nawait x", "break", "assert (", "\0"])
def test_tests_that_are_no_python_are_told_from_code_that_is_none(tests: str) -> None:
    assert (run("x = 1", tests).status, run("x = 1", tests).line) == ("unparsable", 0)
    assert (run("x = 1\nreturn x", "assert x").status, run("x = 1\nreturn x", tests).line) == ("unparsable", 2)
    assert run("x = 1\0", tests).line == 1


def test_memory_is_bounded() -> None:
    assert run("x = [bytearray(1 << 20) for _ in range(2000)]").error == "MemoryError"


def test_a_verdict_is_the_same_twice_whatever_the_order_of_sets() -> None:
    code = "order = list({'pear', 'fig', 'plum', 'kiwi'})"
    first = run(code, "assert order == sorted(order)")
    assert all(run(code, "assert order == sorted(order)") == first for _ in range(3))


def test_several_programs_run_side_by_side_and_keep_their_order() -> None:
    verdicts = run_all([(f"x = {number}", f"assert x == {number % 2}") for number in range(6)])
    assert [verdict.status for verdict in verdicts] == ["passed", "passed", "failed", "failed", "failed", "failed"]


def test_without_its_wall_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that refuses the filter: the child ends before it has looked at the code."""
    broken = CHILD.read_text().replace("LIBC.prctl(22, 2, program, 0, 0)", "True")
    assert broken != CHILD.read_text()
    child = tmp_path / "sandbox_child.py"
    child.write_text(broken)
    monkeypatch.setattr(sandbox, "CHILD", child)
    assert run("raise SystemExit", "assert True") == Verdict("unavailable")


def test_a_wall_with_a_hole_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one call too many in its table and its other wall gone, the self-test says so, and names the attack."""
    holed = CHILD.read_text().replace(
        '"read": 0,', '"read": 0, "open": 2, "openat": 257, "ioctl": 16, "newfstatat": 262,'
    )
    holed = holed.replace('["namespaces"] if isolate() else []', "[]").replace(
        '"read": 63,', '"read": 63, "openat": 56, "ioctl": 29,'
    )
    child = tmp_path / "sandbox_child.py"
    child.write_text(holed)
    monkeypatch.setattr(sandbox, "CHILD", child)
    refusal.cache_clear()
    try:
        assert "reads a file" in refusal()
    finally:
        refusal.cache_clear()


def test_no_process_is_left_behind() -> None:
    before = _children()
    run("while True:\n    pass", seconds=1)
    deadline = time.monotonic() + 10
    while _children() - before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _children() - before


def _children() -> set[str]:
    """Processes of the sandbox that this one started."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = (process / "stat").read_text().rsplit(") ", 1)[1].split()[1]
            if parent == str(os.getpid()) and CHILD.name in (process / "cmdline").read_text():
                found.add(process.name)
        except OSError:  # ended in the meantime
            continue
    return found
