"""The store: everything is published whole or not at all, and a kill at any moment loses nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import Conflict, Damaged, Missing
from pipeline.store import Store

ROOT = Path(__file__).parents[1]


def fill(text: str):  # type: ignore[no-untyped-def]
    def write(folder: Path) -> dict[str, str]:
        (folder / "a.txt").write_text(text)
        (folder / "sub").mkdir()
        (folder / "sub" / "b.txt").write_text(text * 2)
        return {"said": text}

    return write


def test_a_folder_is_published_once_and_read_back_verified(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.publish("things", "k1", fill("one"))
    assert store.publish("things", "k1", fill("two")) == path
    assert (store.folder("things", "k1") / "a.txt").read_text() == "one"
    assert store.manifest("things", "k1")["facts"] == {"said": "one"}
    assert not list((tmp_path / "tmp").iterdir())


def test_a_writer_that_fails_leaves_nothing_visible(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def write(folder: Path) -> None:
        (folder / "a.txt").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        store.publish("things", "k1", write)
    assert not store.has("things", "k1")
    with pytest.raises(Missing, match="k1"):
        store.folder("things", "k1")


@pytest.mark.parametrize("harm", ["flip", "truncate", "vanish", "manifest"])
def test_damage_is_found_on_read(tmp_path: Path, harm: str) -> None:
    store = Store(tmp_path)
    path = store.publish("things", "k1", fill("some text"))
    victim = path / ("manifest.json" if harm == "manifest" else "a.txt")
    if harm == "vanish":
        victim.unlink()
    else:
        body = victim.read_bytes()
        victim.write_bytes(body[:3] if harm in ("truncate", "manifest") else b"X" + body[1:])
    with pytest.raises(Damaged, match=victim.name):
        store.folder("things", "k1")


def test_two_writers_of_one_number_cannot_both_win(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.append("log", {"who": "a"}, after=0) == 1
    with pytest.raises(Conflict, match="number 1"):
        store.append("log", {"who": "b"}, after=0)
    assert store.head("log") == {"who": "a", "number": 1}


def test_four_processes_append_without_losing_or_doubling(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pipeline.store import Store; from pipeline.errors import Conflict\n"
        "store, done = Store(Path(sys.argv[1])), 0\n"
        "while done < 25:\n"
        "    head = store.head('log')\n"
        "    try:\n"
        "        store.append('log', {'who': sys.argv[2], 'n': done}, after=head['number'] if head else 0); done += 1\n"
        "    except Conflict: pass\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(i)], cwd=ROOT) for i in range(4)]
    assert [worker.wait() for worker in workers] == [0] * 4
    store = Store(tmp_path)
    bodies = [store.read(entry) for entry in store.entries("log")]
    assert sorted((body["who"], body["n"]) for body in bodies) == sorted(
        (str(i), n) for i in range(4) for n in range(25)
    )


def test_a_changed_log_entry_is_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append("log", {"label": "good"}, after=0)
    entry = store.entries("log")[0]
    entry.write_bytes(entry.read_bytes().replace(b"good", b"evil"))
    with pytest.raises(Damaged, match="checksum"):
        store.head("log")


@pytest.mark.parametrize("call", ["rename", "link", "fsync"])
def test_a_kill_inside_publishing_leaves_the_store_as_it_was_and_a_second_try_succeeds(
    tmp_path: Path, call: str
) -> None:
    code = (
        "import os, sys; from pathlib import Path; from pipeline.store import Store\n"
        f"os.{call} = lambda *a, **k: os._exit(9)\n"
        "store = Store(Path(sys.argv[1]))\n"
        "if sys.argv[2] == 'link': store.append('log', {'a': 1}, after=0)\n"
        "else: store.publish('things', 'k', lambda f: (f / 'x').write_text('x') and None)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path), call], cwd=ROOT)
    assert done.returncode == 9
    store = Store(tmp_path)
    assert store.head("log") is None
    assert not store.has("things", "k")
    store.publish("things", "k", lambda folder: (folder / "x").write_text("x") and None)
    assert (store.folder("things", "k") / "x").read_text() == "x"
    assert store.append("log", {"a": 1}, after=0) == 1


def test_what_a_killed_run_left_is_never_read(tmp_path: Path) -> None:
    left = tmp_path / "tmp" / "abc" / "things"
    left.mkdir(parents=True)
    (left / "manifest.json").write_text("{}")
    assert not Store(tmp_path).has("things", "abc")
    assert os.listdir(tmp_path) == ["tmp"]
