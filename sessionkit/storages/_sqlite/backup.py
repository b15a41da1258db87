"""A copy of a database as it is at one moment, made beside reads and writes."""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final

from sessionkit.storages._sqlite.errors import explain
from sessionkit.storages._sqlite.file import make_file

if TYPE_CHECKING:
    from sessionkit.storages._sqlite.file import SQLiteFile

_PAGES_AT_ONCE: Final = 256


class Backup:
    """One copy, made by ``run`` on any thread.

    Args:
        file: What to copy.
        path: Where to; there must be nothing yet.
    """

    def __init__(self, file: SQLiteFile, path: str) -> None:
        self._file = file
        self._path = path
        self._is_stopped = False

    def stop(self) -> None:
        """Let ``run`` give up soon."""
        self._is_stopped = True

    def run(self, source: sqlite3.Connection | None = None) -> None:
        """Copy, and put the copy in its place when it is whole.

        Args:
            source: What to copy from; a connection of its own by default.

        Raises:
            FileExistsError: There is something at the path.
            SessionError, OSError: It cannot be copied.
        """
        if os.path.lexists(self._path):
            raise self._exists_error()
        unfinished = f"{self._path}.{secrets.token_hex(4)}.unfinished"
        make_file(unfinished, self._file.mode)
        try:
            self._copy(source, unfinished)
            _flush(unfinished)
            self._put_in_place(unfinished)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(unfinished)  # noqa: PTH108
        with suppress(OSError):  # Windows cannot
            _flush(os.path.dirname(self._path))  # noqa: PTH120

    def _copy(self, source: sqlite3.Connection | None, unfinished: str) -> None:
        try:
            if source is not None:
                self._copy_from(source, unfinished)
                return
            with closing(self._file.connect_for_reading()) as own:
                # One moment for all steps: else each write would make it start over.
                own.execute("BEGIN")
                own.execute("SELECT 1 FROM sqlite_master").fetchone()
                self._copy_from(own, unfinished)
        except sqlite3.Error as error:
            raise explain(self._file.path, error) from error

    def _copy_from(self, source: sqlite3.Connection, unfinished: str) -> None:
        with closing(sqlite3.connect(unfinished, isolation_level=None)) as copy:
            copy.execute("PRAGMA synchronous = OFF")  # flushed once, at the end
            source.backup(copy, pages=_PAGES_AT_ONCE, progress=self._look_up)

    def _look_up(self, _status: int, _remaining: int, _total: int) -> None:
        if self._is_stopped:
            raise InterruptedError

    def _put_in_place(self, unfinished: str) -> None:
        try:
            os.link(unfinished, self._path)
        except FileExistsError:
            raise self._exists_error() from None
        except OSError:  # a file system without links
            if os.path.lexists(self._path):
                raise self._exists_error() from None
            os.rename(unfinished, self._path)  # noqa: PTH104

    def _exists_error(self) -> FileExistsError:
        return FileExistsError(
            f"there is something at {self._path}, and it was left alone: "
            "give each backup a name of its own, with the date in it"
        )


def _flush(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
