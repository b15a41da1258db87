"""Whether what is committed ends up in the file that others see at its path."""

from __future__ import annotations

import os
from typing import Final

from sessionkit.errors import SessionError
from sessionkit.storages._sqlite.errors import MAYBE, NOTHING
from sessionkit.storages._sqlite.file import MEMORY
from sessionkit.storages._sqlite.marks import Mark, give_back, set_mark

_REPLACED: Final = (
    "{path} was removed, moved or replaced while this program had it open, and what the program "
    "writes would be lost with the old file. {outcome} Stop the program, put the right file in "
    "its place, with its own -wal file or with none, and start again"
)
_UNLOCKED: Final = (
    "{path} was opened and closed by something else in this program (open(), shutil, a backup), "
    "which drops SQLite's locks. {outcome} Copy it with 'await storage.backup(path)' instead"
)

_LOST: Final = "The last writes are lost."

Identity = tuple[int, int]


class Witness:
    """Knows the files that were opened, from the first connection on.

    Args:
        path: The database.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._database: Identity | None = None
        self._log: Identity | None = None
        self._mark: Mark | None = None

    def look(self) -> None:
        """See whether a connection would open the file of those before it.

        Raises:
            SessionError: It would not.
        """
        if self._database not in (None, _identity(self._path)):
            raise self._replaced(NOTHING)

    def begin(self) -> None:
        """Note the files of a connection that has just been opened, and has read.

        Raises:
            SessionError: The file was replaced meanwhile.
        """
        self.look()
        found = None if self._path == MEMORY else _identity(self._path)
        if found is None:
            return
        self._database = found
        self._log = _identity(f"{self._path}-wal")
        self._mark = set_mark(self._path, found)

    def end(self) -> None:
        """Say that the connection has been closed."""
        mark, self._mark = self._mark, None
        if mark is not None:
            give_back(mark)

    @property
    def misses_locks(self) -> bool:
        """Whether the connection has lost its locks, as far as that can be known."""
        return self._mark is not None and not self._mark.is_there

    def confirm(self) -> None:
        """Make sure that what has just been committed can be found by others.

        Raises:
            SessionError: It went into a file without a name, or was not locked.
        """
        if self._database is None:
            return
        if _identity(self._path) != self._database:
            raise self._replaced(_LOST)
        if self.misses_locks or _identity(f"{self._path}-wal") != self._log:
            raise SessionError(_UNLOCKED.format(path=self._path, outcome=MAYBE))

    def _replaced(self, outcome: str) -> SessionError:
        return SessionError(_REPLACED.format(path=self._path, outcome=outcome))


def _identity(path: str) -> Identity | None:
    try:
        found = os.stat(path)  # noqa: PTH116 (a Path would cost as much as the call)
    except OSError:
        return None
    return found.st_dev, found.st_ino
