"""A connection that runs jobs: opened when it is needed, and again after a failure."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sessionkit.errors import SessionError
from sessionkit.storages._sqlite.errors import explain, needs_new_connection, outcome_of_commit
from sessionkit.storages._sqlite.file import MEMORY
from sessionkit.storages._sqlite.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sessionkit.storages._jobs import Job
    from sessionkit.storages._sqlite.file import SQLiteFile
    from sessionkit.storages._sqlite.readers import Readers

_logger = logging.getLogger("sessionkit")


class Connection:
    """One connection to the file, used by one thread at a time.

    What is in memory would be gone with its connection, so that one is kept.

    Args:
        file: What to open.
        readers: Are closed with it.
    """

    def __init__(self, file: SQLiteFile, readers: Readers) -> None:
        self._file = file
        self._readers = readers
        self._witness = Witness(file.path)
        self._cursor: sqlite3.Cursor | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is something to close."""
        return self._cursor is not None

    def cursor(self) -> sqlite3.Cursor:
        """Return a cursor of the connection, which is opened if need be.

        Raises:
            SessionError: It cannot be opened, or the file is not the one that was opened before.
        """
        if self._cursor is None:
            self._witness.look()
            opened = self._file.connect()
            try:
                self._witness.begin()
                self._cursor = opened.cursor()
            except BaseException:
                opened.close()
                raise
        return self._cursor

    def read(self, jobs: Sequence[Job[Any]]) -> None:
        """Run jobs that change nothing: several see one moment, and cost less so."""
        cursor = self.cursor()
        try:
            if len(jobs) > 1:
                cursor.execute("BEGIN")
            for job in jobs:
                job.run(cursor)
        finally:
            self._undo(cursor)
        self._discard_after(jobs)

    def begin(self) -> None:
        """Begin a transaction that writes.

        Raises:
            SessionError, sqlite3.Error: It cannot begin.
        """
        if self._witness.misses_locks:
            _logger.warning(
                "%s was opened and closed by something else in this program, which drops "
                "SQLite's locks. They were taken again. Copy it with storage.backup() instead.",
                self._file,
            )
            self.discard()
        try:
            self._witness.look()  # else the log that is left would bring back what failed
            self.cursor().execute("BEGIN IMMEDIATE")
        except SessionError:
            self.discard()
            raise
        except sqlite3.Error as error:
            self._discard_if_needed([error])
            raise

    def commit(self, jobs: Sequence[Job[Any]]) -> None:
        """Run jobs in the transaction that has begun, and commit what succeeded."""
        cursor = self.cursor()
        error = self._run(cursor, jobs) or self._committed(cursor)
        self._undo(cursor)
        if error is not None:
            for job in jobs:
                job.error = error
        self._discard_after(jobs)

    def discard(self) -> None:
        """Close, in any state; the next use opens it again."""
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            self._readers.close()
            with suppress(sqlite3.Error):
                cursor.connection.close()
            self._witness.end()

    def _run(self, cursor: sqlite3.Cursor, jobs: Sequence[Job[Any]]) -> BaseException | None:
        for job in jobs:
            job.run(cursor)
            if job.error is not None and not cursor.connection.in_transaction:
                return job.error  # SQLite has undone what the others did as well
        return None

    def _committed(self, cursor: sqlite3.Cursor) -> SessionError | None:
        try:
            cursor.execute("COMMIT")
            self._witness.confirm()
        except sqlite3.Error as error:
            self._discard_if_needed([error])
            return explain(self._file.path, error, outcome_of_commit(error))
        except SessionError as error:
            self.discard()
            return error
        return None

    def _undo(self, cursor: sqlite3.Cursor) -> None:
        """End a transaction that is still open: of reads, or of writes that failed."""
        try:
            if cursor.connection.in_transaction:
                cursor.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._discard_if_needed([error])

    def _discard_after(self, jobs: Sequence[Job[Any]]) -> None:
        self._discard_if_needed([job.error for job in jobs if job.error is not None])

    def _discard_if_needed(self, errors: Iterable[BaseException]) -> None:
        if self._file.path != MEMORY and any(map(needs_new_connection, errors)):
            self.discard()
