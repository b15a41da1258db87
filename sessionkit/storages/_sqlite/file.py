"""An SQLite file: making and opening it."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sessionkit.errors import SessionError
from sessionkit.storages._sqlite.errors import explain, is_busy
from sessionkit.storages._sqlite.schema import prepare_table

MEMORY: Final = ":memory:"

_SECONDS_BETWEEN_TRIES: Final = 0.005
_CACHE: Final = 16 * 1024  # KiB for each connection: the index of a million keys fits
_PAGES_BETWEEN_CHECKPOINTS: Final = 8_000


@dataclass(frozen=True)
class SQLiteFile:
    """Where sessions are, and how to open it.

    Args:
        path: As ``resolve`` returns it.
        table: As ``check_table`` lets it pass.
        durable: Whether a commit reaches the disk before it returns.
        busy_timeout: How many seconds to wait for a lock of another program.
        mode: The permissions of a new file; None leaves them to the umask.
    """

    path: str
    table: str
    durable: bool
    busy_timeout: float
    mode: int | None

    def __str__(self) -> str:
        return self.path

    def check(self) -> None:
        """Make file and table if need be, and find out now whether it can be written.

        Raises:
            SessionError: It cannot; says why.
            NewerVersionError: A newer program made the table.
        """
        if self.path == MEMORY:
            return
        with suppress(OSError):  # SQLite will say what is wrong
            make_file(self.path, self.mode)
        with closing(self.connect()) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            except sqlite3.Error as error:
                if not is_busy(error):  # who is busy with it now will be done later
                    raise explain(self.path, error) from error

    def connect(self) -> sqlite3.Connection:
        """Open a connection in autocommit mode that does not wait for locks itself.

        Raises:
            SessionError: It cannot be opened, or the file is gone; says why.
            NewerVersionError: A newer program made the table.
        """
        deadline = time.monotonic() + self.busy_timeout
        while True:
            try:
                return self._try_to_connect()
            except sqlite3.Error as error:
                if not is_busy(error) or time.monotonic() >= deadline:
                    raise explain(self.path, error) from error
            time.sleep(_SECONDS_BETWEEN_TRIES)

    def connect_for_reading(self) -> sqlite3.Connection:
        """Open a connection, for any thread at a time, that changes nothing.

        Raises:
            sqlite3.Error: It cannot be opened.
        """
        connection = self._connect()
        try:
            connection.execute("PRAGMA query_only = ON")
            connection.execute(f"PRAGMA cache_size = -{_CACHE}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _try_to_connect(self) -> sqlite3.Connection:
        connection = self._connect()
        try:
            connection.execute(f"PRAGMA synchronous = {'FULL' if self.durable else 'NORMAL'}")
            connection.execute(f"PRAGMA cache_size = -{_CACHE}")
            if self.path != MEMORY:
                self._use_write_ahead_log(connection)
            prepare_table(connection, self.path, self.table)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self) -> sqlite3.Connection:
        # A file that is gone must not be created again: its sessions would seem to be missing.
        name = MEMORY if self.path == MEMORY else f"{Path(self.path).as_uri()}?mode=rw"
        return sqlite3.connect(
            name, timeout=0, isolation_level=None, check_same_thread=False, uri=True
        )

    def _use_write_ahead_log(self, connection: sqlite3.Connection) -> None:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if mode != "wal":
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            msg = f"{self.path}: no write-ahead log is possible there. Use a local disk"
            raise SessionError(msg)
        connection.execute(f"PRAGMA wal_autocheckpoint = {_PAGES_BETWEEN_CHECKPOINTS}")


def make_file(path: str, mode: int | None) -> None:
    """Make an empty file, which is a database without tables to SQLite.

    What SQLite makes beside it gets the same permissions.

    Raises:
        FileExistsError: There is something; it was left alone.
        OSError: It cannot be made.
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR
    os.close(os.open(path, flags, 0o666 if mode is None else mode))


def resolve(path: str | os.PathLike[str]) -> str:
    """Return *path* without links, as every process would write it.

    Raises:
        TypeError: *path* is not a path.
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
