"""Wrong targets, keys and files: what to do is said, nothing is changed, nothing is made."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from sessionkit._cli import places
from sessionkit.types import Entry
from tests.cli.conftest import Shell

NOBODY = 65534
SQLALCHEMY = "sqlalchemy+sqlite+aiosqlite"
COMMANDS: dict[str, list[str]] = {
    "ls": ["ls", "{}"],
    "ls --long": ["ls", "{}", "--long"],
    "get": ["get", "{}", "5"],
    "set": ["set", "{}", "5", "{}"],
    "delete": ["delete", "{}", "5"],
    "count": ["count", "{}"],
    "stats": ["stats", "{}"],
    "purge": ["purge", "{}"],
    "migrate": ["migrate", "{}"],
    "backup": ["backup", "{}", "copy"],
    "export": ["export", "{}", "out.jsonl"],
    "copy from": ["copy", "{}", "sqlite:///copy.db"],
    "copy from, dry": ["copy", "{}", "sqlite:///copy.db", "--dry-run"],
    "forget": ["forget", "{}", "--user", "5"],
    "doctor": ["doctor", "{}"],
}
WRITING: dict[str, list[str]] = {
    "copy to": ["copy", "sqlite:///good.db", "{}"],
    "import": ["import", "{}", "good.jsonl"],
}


def missing(_: Path) -> None:
    """Make nothing."""


def text_file(folder: Path) -> None:
    folder.joinpath("bot.db").write_text("not a database, and long enough to see that")


def empty_file(folder: Path) -> None:
    folder.joinpath("bot.db").touch()


def of_others(folder: Path) -> None:
    with sqlite3.connect(folder / "bot.db") as connection:
        connection.execute("CREATE TABLE orders (id)")
    connection.close()


def garbage(folder: Path) -> None:
    folder.joinpath("bot.db").write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 40)


def other_table(folder: Path) -> None:
    from sessionkit import SQLiteSessionStorage

    with SQLiteSessionStorage(folder / "bot.db", table="carts"):
        pass


def a_folder(folder: Path) -> None:
    folder.joinpath("bot.db").mkdir()


def a_file(folder: Path) -> None:
    folder.joinpath("sessions").touch()


def tables_in(path: Path) -> set[str]:
    if not path.exists():
        return set()
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


def empty_folder(folder: Path) -> None:
    folder.joinpath("sessions").mkdir()


def program(folder: Path) -> None:
    folder.joinpath("bot.py").write_text("number = 5\nempty = []\n")
    folder.joinpath("failing.py").write_text("1 / 0\n")
    folder.joinpath("needing.py").write_text("import not_installed\n")
    folder.joinpath("two.py").write_text(
        "from sessionkit import session\nfirst = session(dict)\nsecond = session(dict)\n"
        "both = [first, second]\n"
    )


WRONG: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "no scheme": (missing, "bot.db", "write 'sqlite:///bot.db' or 'file:bot.db'"),
    "no such scheme": (missing, "nosuch://x", "there is no storage for nosuch: URLs"),
    "two slashes": (missing, "sqlite://bot.db", "write three slashes before a relative path"),
    "options": (missing, "sqlite:///bot.db?a=1", "there are no options to give after '?'"),
    "no path": (missing, "file:", "'file:' needs the path of a directory"),
    "memory": (missing, "memory:", "is the memory of one process"),
    "SQLite memory": (missing, "sqlite://", "is the memory of one process"),
    "missing database": (missing, "sqlite:///bot.db", "there is no database bot.db in"),
    "missing folder": (missing, "sqlite:///no/where/bot.db", "there is no folder"),
    "missing sessions": (missing, "file:sessions", "there is no folder sessions in"),
    "text": (text_file, "sqlite:///bot.db", "is not an SQLite database"),
    "empty": (empty_file, "sqlite:///bot.db", "is not an SQLite database"),
    "others": (of_others, "sqlite:///bot.db", "is a database without sessions"),
    "damaged": (garbage, "sqlite:///bot.db", "it is not an SQLite database, and was left alone"),
    "other table": (other_table, "sqlite:///bot.db", "are in 'carts', and a URL leads to"),
    "two slashes, SQLAlchemy": (missing, f"{SQLALCHEMY}://bot.db", "relative/path/to/file.db"),
    "missing, SQLAlchemy": (missing, f"{SQLALCHEMY}:///bot.db", "there is no database bot.db in"),
    "text, SQLAlchemy": (text_file, f"{SQLALCHEMY}:///bot.db", "is not an SQLite database"),
    "damaged, SQLAlchemy": (garbage, f"{SQLALCHEMY}:///bot.db", "is not an SQLite database"),
    "folder": (a_folder, "sqlite:///bot.db", "is a folder: is it file:bot.db?"),
    "file": (a_file, "file:sessions", "is not a folder: is it sqlite:///sessions?"),
    "empty folder": (empty_folder, "file:sessions", "there are no sessions in the folder"),
    "no module": (program, "nosuch:sessions", "there is no module 'nosuch'"),
    "no object": (program, "two:third", "it has two:first, two:second"),
    "no sessions": (program, "bot:number", "bot:number is a int: name a Sessions"),
    "function": (
        program,
        "two:session",
        "a list of them, or a storage; it has two:first, two:second",
    ),
    "empty list": (program, "bot:empty", "(this one is empty)"),
    "failing": (program, "failing:sessions", "failed with ZeroDivisionError"),
    "needing": (program, "needing:sessions", "No module named 'not_installed'"),
}
USABLE = (
    *("missing database", "missing sessions", "missing, SQLAlchemy"),
    *("empty folder", "empty", "others", "other table"),
)
"""What is made, or used, when something is to be written there."""


OTHERS = {"others": {"orders"}, "other table": {"carts"}}
"""Tables that are kept, when sessions are written beside them."""

QUICK = {"ls", "set", "copy from"}


def each(commands: Iterable[str]) -> list[Any]:
    """All commands; most of them are thorough, since they find a target in the same way."""
    thorough = pytest.mark.thorough
    return [pytest.param(name, marks=() if name in QUICK else thorough) for name in commands]


@pytest.mark.parametrize("command", each(COMMANDS))
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_target(shell: Shell, command: str, wrong: str) -> None:
    make, target, text = WRONG[wrong]
    make(shell.folder)
    before = shell.files()

    done = shell(*(part.format(target) if part == "{}" else part for part in COMMANDS[command]))

    assert (done.code, done.out) == (2, "")
    assert text in done.err
    assert done.err.startswith("sessionkit: ")
    assert len(done.err.splitlines()) == 1
    assert shell.files() == before


@pytest.mark.parametrize("command", WRITING)
@pytest.mark.parametrize("wrong", [name for name in WRONG if name not in USABLE])
def test_a_wrong_place_to_write_to(shell: Shell, command: str, wrong: str) -> None:
    make, target, _ = WRONG[wrong]
    make(shell.folder)
    shell.sqlite(Entry("5", 1), path="good.db")
    shell.folder.joinpath("good.jsonl").write_text('{"key": "5", "value": 1}\n')
    before = shell.files()

    done = shell(*(part.format(target) if part == "{}" else part for part in WRITING[command]))

    assert done.code in (2, 128), done
    assert done.err.startswith("sessionkit: ")
    assert shell.files() == before


@pytest.mark.parametrize("command", WRITING)
@pytest.mark.parametrize("usable", USABLE)
def test_a_place_to_write_to_is_made(shell: Shell, command: str, usable: str) -> None:
    make, target, _ = WRONG[usable]
    make(shell.folder)
    shell.sqlite(Entry("5", 1), path="good.db")
    shell.folder.joinpath("good.jsonl").write_text('{"key": "5", "value": 1}\n')

    done = shell(*(part.format(target) if part == "{}" else part for part in WRITING[command]))

    assert done.code == 0, done
    assert shell("get", target, "5").out == "1\n"
    assert tables_in(shell.folder / "bot.db") >= OTHERS.get(usable, set())


def test_sessions_in_two_storages_have_no_single_key(shell: Shell) -> None:
    program(shell.folder)
    done = shell("get", "two:both", "5")
    assert (done.code, "two:both is of several storages" in done.err) == (2, True)


@pytest.fixture
def locked(shell: Shell) -> Iterator[Shell]:
    """A database that another program has locked, for reading too."""
    with sqlite3.connect(shell.folder / "bot.db", isolation_level=None) as connection:
        shell.sqlite(Entry("5", 1))
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN EXCLUSIVE")
        yield shell
    connection.close()


@pytest.mark.parametrize("command", ["ls", "set", "copy from"])
def test_a_locked_database(locked: Shell, command: str) -> None:
    before = locked.files()
    parts = COMMANDS[command]
    done = locked(*("sqlite:///bot.db" if part == "{}" else part for part in parts[:2]), *parts[2:])
    assert done.code == 2
    assert "another program kept it locked" in done.err
    assert locked.files() == before


@contextmanager
def nobody() -> Generator[None]:
    """Be a user who may do little, unless this is one anyway."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    yield
    if is_root:
        os.seteuid(0)


@pytest.fixture
def open_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Generator[Shell]:
    """A folder that everybody may look into; those that pytest makes are for its user only."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        monkeypatch.chdir(folder)
        yield Shell(folder, capsys)


PRIVATE: dict[str, tuple[dict[str, int], str, str]] = {
    "database": ({"bot.db": 0}, "sqlite:///bot.db", "this user may not open bot.db"),
    "database, SQLAlchemy": ({"bot.db": 0}, f"{SQLALCHEMY}:///bot.db", "may not open bot.db"),
    "files": ({"sessions": 0}, "file:sessions", "this user may not open sessions"),
    "database, read-only": (
        {"bot.db": 0o444, ".": 0o555},
        "sqlite:///bot.db",
        "Let the user that this program runs as",
    ),
    "files, read-only": (
        {"sessions/.sessionkit/unfinished": 0o555},
        "file:sessions",
        "Name a folder into which this program may write",
    ),
}


@pytest.mark.parametrize("command", each(COMMANDS))
@pytest.mark.parametrize("private", PRIVATE)
def test_what_is_of_another_user(open_folder: Shell, command: str, private: str) -> None:
    modes, target, text = PRIVATE[private]
    open_folder.sqlite(Entry("5", 1))
    open_folder.file(Entry("5", 1), mode=0o644)
    before = open_folder.files()
    for path, mode in modes.items():
        open_folder.folder.joinpath(path).chmod(mode)

    with nobody():
        done = open_folder(
            *(part.format(target) if part == "{}" else part for part in COMMANDS[command])
        )

    for path in modes:
        open_folder.folder.joinpath(path).chmod(0o755)
    assert (done.code in (2, 128), done.out) == (True, "")
    assert text in done.err
    assert open_folder.files() == before


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["get", "sqlite:///good.db", ""], "a storage key must be a non-empty str"),
        (["set", "sqlite:///good.db", "5", "{"], "that is not JSON"),
        (["set", "sqlite:///good.db", "5", "text"], "A text needs quotes"),
        (["set", "sqlite:///good.db", "5", "null"], "use delete"),
        (["set", "sqlite:///good.db", "5", "NaN"], "NaN is a number of JavaScript"),
        (["set", "sqlite:///good.db", "5", "--file", "no"], "no cannot be read"),
        (["set", "sqlite:///good.db", "5", "1", "--file", "no"], "not both"),
        (["set", "sqlite:///good.db", "5"], "set EDITOR"),
        (["import", "sqlite:///good.db", "no"], "no cannot be read"),
        (["export", "sqlite:///good.db", "good.jsonl"], "there is something at good.jsonl"),
        (["export", "sqlite:///good.db", "no/where"], "there is no folder"),
        (["copy", "sqlite:///good.db", "sqlite:///good.db"], "are the same storage"),
        (["migrate", "sqlite:///good.db"], "has no migrations"),
        (["forget", "sqlite:///good.db"], "--user"),
        (["backup", "sqlite:///good.db", "good.jsonl"], "there is something at"),
        (["ls"], "TARGET"),
        (["nosuch"], "invalid choice"),
        (["ls", "sqlite:///good.db", "--chat", "x"], "invalid int value"),
    ],
)
def test_other_mistakes(shell: Shell, arguments: list[str], text: str) -> None:
    shell.sqlite(Entry("5", 1), path="good.db")
    shell.folder.joinpath("good.jsonl").write_text('{"key": "5", "value": 1}\n')
    before = shell.files()

    done = shell(*arguments)

    assert (done.code, done.out) == (2, "")
    assert text in done.err
    assert shell.files() == before


def test_whatever_a_library_raises_is_one_line(shell: Shell) -> None:
    shell.program("""
class Broken:
    def read(self, key): raise RuntimeError("the server\\nis gone")
    def write(self, key, value): raise RuntimeError
    def delete(self, key): raise RuntimeError
storage = Broken()
""")
    done = shell("get", "bot:storage", "5")
    assert (done.code, done.err) == (128, "sessionkit: RuntimeError: the server is gone\n")
    assert places.what(RuntimeError()) == "RuntimeError"


def test_a_server_that_does_not_answer(shell: Shell) -> None:
    pytest.importorskip("redis")
    done = shell("ls", "redis://127.0.0.1:9")
    assert done.code == 128
    assert "127.0.0.1:9" in done.err


def test_a_server_without_sessions_is_left_as_it_is(shell: Shell) -> None:
    pytest.importorskip("psycopg")
    from tests.adapters.postgres_servers import connect, server

    shell.sqlite(Entry("5", 1), path="good.db")
    shell.folder.joinpath("good.jsonl").write_text('{"key": "5", "value": 1}\n')
    dry = {name: [*parts, "--dry-run"] for name, parts in WRITING.items()}
    with server() as started, connect(started.url) as connection:
        for command, parts in (COMMANDS | dry).items():
            if command != "set":  # that would make a session
                done = shell(*(started.url if part == "{}" else part for part in parts))
                assert done.code in (0, 1, 2), done
            tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            assert connection.execute(tables).fetchall() == [], command
        assert shell("count", started.url).out == "0\n"
        assert shell("copy", "sqlite:///good.db", started.url).code == 0
        assert shell("get", started.url, "5").out == "1\n"


def test_the_console_script_is_the_same_command() -> None:
    script = Path(sys.executable).with_name("sessionkit")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    module = [sys.executable, "-m", "sessionkit", "--version"]
    assert done.stdout == subprocess.run(module, capture_output=True, text=True, check=True).stdout
