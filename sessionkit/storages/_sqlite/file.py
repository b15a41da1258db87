"""An SQLite file with one table of sessions: opening it, and what can be wrong with it."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final

from sessionkit.errors import NewerVersionError, SessionError

MEMORY: Final = ":memory:"

_SCHEMA_VERSION: Final = 1
_VERSIONS_TABLE: Final = "sessionkit_tables"
_SECONDS_BETWEEN_TRIES: Final = 0.005

_ADVICE: Final = {
    sqlite3.SQLITE_BUSY: (
        "another program kept it locked. Look for one that keeps a transaction open (a database "
        "browser, a backup), or raise busy_timeout"
    ),
    sqlite3.SQLITE_READONLY: (
        "it is read-only here. Let the user that this program runs as write to the file and to "
        "its directory"
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "it cannot be opened. Let the user that this program runs as read and write the file "
        "and its directory"
    ),
    sqlite3.SQLITE_NOTADB: (
        "it is not an SQLite database, and was left alone. Give another path, or move it away"
    ),
    sqlite3.SQLITE_CORRUPT: (
        "it is damaged. Stop the program, keep a copy, and restore a backup or use the command "
        "'.recover' of the sqlite3 shell"
    ),
    sqlite3.SQLITE_FULL: "there is no room left. Make room on the disk",
}


@dataclass(frozen=True)
class SQLiteFile:
    """Where sessions are, and how to open it.

    Args:
        path: As ``resolve`` returns it.
        table: As ``check_table`` lets it pass.
        durable: Whether a commit reaches the disk before it returns.
        busy_timeout: How many seconds to wait for a lock of another program.
    """

    path: str
    table: str
    durable: bool
    busy_timeout: float

    def __str__(self) -> str:
        return self.path

    def check(self) -> None:
        """Make the table if need be, and find out now whether it can be written.

        Raises:
            SessionError: It cannot; says why.
            NewerVersionError: A newer program made the table.
        """
        if self.path == MEMORY:
            return
        with closing(self.connect()) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            except sqlite3.Error as error:
                if not is_busy(error):  # who is busy with it now will be done later
                    raise self.explain(error) from error

    def connect(self) -> sqlite3.Connection:
        """Open a connection in autocommit mode that does not wait for locks itself.

        Raises:
            SessionError: It cannot be opened; says why.
            NewerVersionError: A newer program made the table.
        """
        deadline = time.monotonic() + self.busy_timeout
        while True:
            try:
                return self._try_to_connect()
            except sqlite3.Error as error:
                if not is_busy(error) or time.monotonic() >= deadline:
                    raise self.explain(error) from error
            time.sleep(_SECONDS_BETWEEN_TRIES)

    def explain(self, error: Exception) -> SessionError:
        """Return what to tell people about *error*."""
        if isinstance(error, SessionError):
            return error
        advice = _ADVICE.get(primary_code(error), "SQLite failed")
        explained = SessionError(f"{self.path}: {advice}. Nothing was written. ({error})")
        explained.__cause__ = error
        return explained

    def _try_to_connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=0, isolation_level=None)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA synchronous = {'FULL' if self.durable else 'NORMAL'}")
        if self.path != MEMORY:
            self._use_write_ahead_log(connection)
        version = self._version(connection)
        if version is None:
            self._make_table(connection)
        elif version > _SCHEMA_VERSION:
            raise self._newer_error(version)

    def _use_write_ahead_log(self, connection: sqlite3.Connection) -> None:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if mode != "wal":
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            msg = f"{self.path}: no write-ahead log is possible there. Use a local disk"
            raise SessionError(msg)

    def _version(self, connection: sqlite3.Connection) -> int | None:
        if not _exists(connection, _VERSIONS_TABLE):
            return None
        row = connection.execute(
            f"SELECT version FROM {_VERSIONS_TABLE} JOIN sqlite_master USING (name) "  # noqa: S608
            "WHERE name = ?",
            (self.table,),
        ).fetchone()
        return None if row is None else int(row[0])

    def _make_table(self, connection: sqlite3.Connection) -> None:
        with _transaction(connection):
            if self._version(connection) is not None:
                return  # another process was quicker
            if _exists(connection, self.table):
                msg = (
                    f"{self.path} has a table {self.table!r} already, made by something else, "
                    "and it was left alone: give table= another name"
                )
                raise SessionError(msg)
            self._execute_schema(connection)

    def _execute_schema(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            f'CREATE TABLE "{self.table}" (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL, '
            "revision INTEGER NOT NULL, expires REAL)"
        )
        connection.execute(
            f'CREATE INDEX "{self.table}_expires" ON "{self.table}" (expires) '
            "WHERE expires IS NOT NULL"
        )
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {_VERSIONS_TABLE} "
            "(name TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL)"
        )
        connection.execute(
            f"INSERT OR REPLACE INTO {_VERSIONS_TABLE} VALUES (?, ?)",  # noqa: S608
            (self.table, _SCHEMA_VERSION),
        )

    def _newer_error(self, version: int) -> NewerVersionError:
        msg = (
            f"the table {self.table!r} in {self.path} has the layout {version}, and this "
            f"sessionkit knows {_SCHEMA_VERSION} at most: update sessionkit. Nothing was changed"
        )
        return NewerVersionError(msg, version=version, latest=_SCHEMA_VERSION)


def resolve(path: str | os.PathLike[str]) -> str:
    """Return *path* without links, as every process would write it.

    Raises:
        TypeError: *path* is no path.
        ValueError: *path* is empty.
        SessionError: Its directory is not there, or it is itself a directory.
    """
    name: object = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(name, str):
        msg = f"path must be a str or a pathlib.Path, not {path!r}"
        raise TypeError(msg)
    if not name:
        msg = "path is empty: give the name of a file, or ':memory:'"
        raise ValueError(msg)
    if name == MEMORY:
        return MEMORY
    return _checked(os.path.realpath(name))


def _checked(path: str) -> str:
    if os.path.isdir(path):  # noqa: PTH112 (where it may not look, pathlib raises or not)
        msg = f"{path} is a directory: give the name of a file in it, as in 'sessions.db'"
        raise SessionError(msg)
    if not os.path.isdir(os.path.dirname(path)):  # noqa: PTH112, PTH120
        msg = (
            f"{path}: its directory does not exist, or this program may not look into it. Make "
            "it first, or correct the path"
        )
        raise SessionError(msg)
    return path


def check_table(table: str) -> str:
    """Return *table* as SQLite compares names.

    Raises:
        ValueError: It is no plain identifier, or belongs to somebody else.
    """
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", table):
        msg = f"table must consist of letters, digits and underscores, not {table!r}"
        raise ValueError(msg)
    if table.lower().startswith(("sqlite_", "sessionkit_")):
        msg = f"table {table!r} is taken by SQLite or sessionkit: give it another name"
        raise ValueError(msg)
    return table.lower()


def primary_code(error: Exception | None) -> int:
    """Return what kind of failure SQLite means, 0 if *error* is not of its making."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def is_busy(error: Exception | None) -> bool:
    """Return whether another program holds a lock, so that a later try may succeed."""
    return primary_code(error) == sqlite3.SQLITE_BUSY


def _exists(connection: sqlite3.Connection, name: str) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE name = ? COLLATE NOCASE"
    return connection.execute(query, (name,)).fetchone() is not None


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
