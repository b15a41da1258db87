"""``doctor``: each kind of damage is found, and nothing else is accused."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sessionkit.types import Entry
from tests.cli.conftest import Shell

if TYPE_CHECKING:
    from pathlib import Path

SQLITE = "sqlite:///bot.db"


@pytest.mark.parametrize("url", [SQLITE, "file:sessions"])
def test_a_healthy_storage(shell: Shell, url: str) -> None:
    shell.sqlite(Entry("5", 1), Entry("6", {"__d": 1, "v": 3}))
    shell.file(Entry("5", 1), Entry("6", {"__d": 1, "v": 3}))

    done = shell("doctor", url)

    assert (done.code, done.out, done.err) == (0, "", "looked at 2 sessions: nothing wrong\n")


def test_values_that_cannot_be_read(shell: Shell) -> None:
    shell.file(Entry("5", 1), Entry("6", 1), Entry("7", 1))
    shell.folder.joinpath("sessions/6/6.json").write_text("{")
    shell.folder.joinpath("sessions/7/7.json").write_text("")

    done = shell("doctor", "file:sessions")

    assert (done.code, done.err) == (1, "looked at 3 sessions: 2 problems\n")
    assert sorted(line[:3] for line in done.lines[::2]) == ["6: ", "7: "]
    assert set(done.lines[1::2]) == {"    correct it with set, take it from a backup, or delete it"}
    found = shell("doctor", "file:sessions", "--json")
    assert len(found.lines) == 2
    assert '"about":"6"' in found.out


def test_data_that_does_not_fit_the_program(shell: Shell) -> None:
    shell.program("""
from dataclasses import dataclass
from sessionkit import enhance_storage, session, storage_from_url
@dataclass
class Pizza:
    count: int = 0
storage = storage_from_url("sqlite:///bot.db")
def fail(data):
    return {1: 2}[data["n"]]
sessions = session(Pizza, storage=enhance_storage(storage, migrations={1: fail}))
other = session(Pizza, storage=storage, prefix="other")
""")
    shell.sqlite(
        Entry("fits", {"__d": {"count": 1}, "v": 1}),
        Entry("type", {"__d": {"count": "many"}, "v": 1}),
        Entry("newer", {"__d": {}, "v": 9}),
        Entry("failing", {"n": 1.5}),
    )
    found = {line.partition(":")[0] for line in shell("doctor", "bot:sessions").lines[::2]}
    assert found == {"type", "newer", "failing"}
    advice = shell("doctor", "bot:sessions").out
    assert "run the newer release of your bot" in advice
    assert "correct the migration" in advice
    assert shell("doctor", SQLITE).code == 0
    assert shell("doctor", "bot:other").err == "looked at 0 sessions: nothing wrong\n"


def test_what_a_killed_process_left(shell: Shell) -> None:
    shell.file(Entry("5", 1))
    shell.folder.joinpath("sessions/.sessionkit/unfinished/aabb-0.new").write_text("x")
    shell.folder.joinpath("sessions.unfinished-1234").mkdir()
    shell.sqlite(Entry("5", 1))
    shell.folder.joinpath("bot.db.12345678.unfinished").touch()

    lines = shell("doctor", "file:sessions").lines
    assert lines[0].endswith("1 unfinished writes of a process that was killed")
    assert "a backup or export that was interrupted" in lines[2]
    assert "a backup or export that was interrupted" in shell("doctor", SQLITE).lines[0]
    assert len(shell("doctor", "file:sessions").lines) == 2  # opening it has tidied it up


def test_a_lock_that_somebody_holds(shell: Shell) -> None:
    shell.file(Entry("5", 1))
    lock = shell.folder / "sessions/.sessionkit/locks/00"
    lock.write_text(" 4711 far-away\n")
    with lock.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        held = shell("doctor", "file:sessions")
    assert "locked by process 4711 on far-away at this moment" in held.out
    lock.write_text("")
    with lock.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "locked by another process" in shell("doctor", "file:sessions").out


def test_an_unfinished_write_of_a_process_that_lives_is_left_alone(shell: Shell) -> None:
    shell.file(Entry("5", 1))
    program = (
        "import sys, sessionkit\n"
        "storage = sessionkit.FileSessionStorage('sessions')\n"
        "open(storage._engine.folder._workshop.new_path(), 'w').close()\n"
        "print('ready', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=shell.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout and process.stdin
        assert process.stdout.readline() == b"ready\n"
        assert shell("doctor", "file:sessions").code == 0
        process.stdin.close()


def damaged(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 4096 // 2 * 4096)
        file.write(os.urandom(4096))


def test_a_damaged_database(shell: Shell) -> None:
    shell.sqlite(*(Entry(str(number), "x" * 1000) for number in range(200)))
    damaged(shell.folder / "bot.db")

    done = shell("doctor", SQLITE)

    assert done.code == 1
    assert "the database is damaged: " in done.out
    assert "restore a backup" in done.out


def test_a_log_that_grew(shell: Shell) -> None:
    shell.sqlite(Entry("5", "x" * 1000))
    reader = sqlite3.connect(shell.folder / "bot.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM sessions").fetchall()
    writer = sqlite3.connect(shell.folder / "bot.db", isolation_level=None)
    writer.execute("CREATE TABLE junk (a)")
    writer.execute("INSERT INTO junk VALUES (zeroblob(70000000))")
    done = shell("doctor", SQLITE)
    assert "the write-ahead log has 70 MB" in done.out
    reader.close()
    writer.close()


def test_many_problems_are_cut(shell: Shell) -> None:
    shell.file(*(Entry(f"k{number}", 1) for number in range(25)))
    for path in shell.folder.glob("sessions/*/k*.json"):
        path.write_text("{")
    assert shell("doctor", "file:sessions").lines[-1] == "and 5 more: --json shows all"


def test_a_file_that_has_lost_its_key(shell: Shell) -> None:
    shell.file(Entry("A" * 300, 1))
    next(shell.folder.glob("sessions/escaped/*/*.key")).write_text("another")
    done = shell("doctor", "file:sessions")
    assert (done.code, "should hold the key of" in done.out) == (1, True)


def test_a_value_that_cannot_be_read_for_another_reason(shell: Shell) -> None:
    shell.program("""
from sessionkit import MemorySessionStorage, SessionError, SessionListingError
class Odd(MemorySessionStorage):
    def iter_entries(self, prefix=""):
        raise SessionListingError("left out", keys=("5",))
    def read(self, key):
        raise SessionError("the disk is odd")
storage = Odd()
""")
    done = shell("doctor", "bot:storage")
    assert done.lines == ["5: the disk is odd", "    correct it with set, or delete it"]
    assert shell("export", "bot:storage").err == "5: cannot be read, see doctor\n"
