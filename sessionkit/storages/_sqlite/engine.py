"""What works on one SQLite file: the thread that writes, and the connections that read."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from sessionkit._storage.sync_or_async import run_sync
from sessionkit.storages._jobs import Kind
from sessionkit.storages._sqlite.backup import Backup
from sessionkit.storages._sqlite.file import MEMORY, SQLiteFile, resolve
from sessionkit.storages._sqlite.readers import Readers
from sessionkit.storages._sqlite.schema import check_table
from sessionkit.storages._sqlite.worker import Worker
from sessionkit.storages.file_lock import FileLock

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Hashable


class Engine:
    """An SQLite file with a table that is there; see ``SQLiteSessionStorage``."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        table: str,
        *,
        durable: bool,
        busy_timeout: float,
        mode: int | None,
    ) -> None:
        self.file: SQLiteFile = SQLiteFile(
            resolve(path), check_table(table), durable, busy_timeout, mode
        )
        self.file.check()
        self.readers: Readers = Readers(self.file)
        self.worker: Worker = Worker(self.file, self.readers)
        place: object = object() if self.is_in_memory else self.file.path
        self.identity: Hashable = ("sqlite", place, self.file.table)

    @property
    def is_in_memory(self) -> bool:
        """Whether all is gone with the one connection to it."""
        return self.file.path == MEMORY

    def file_lock(self, patience: float | None) -> FileLock | None:
        """Return a lock in a folder beside the file; None if that is in memory."""
        if self.is_in_memory:
            return None
        folder = f"{self.file.path}.locks{os.sep}{self.file.table.lower()}"
        return FileLock(folder, patience=patience, mode=self.file.mode)

    async def back_up(self, path: str | os.PathLike[str]) -> None:
        """Copy the file to *path*, waiting as a task; cancelled, it leaves nothing behind."""
        backup = self._backup(path)
        if self.is_in_memory:
            await self.worker.run(Kind.READ, _copy_memory, backup)
            return
        await self.worker.run(Kind.READ, _look)
        copying = asyncio.ensure_future(asyncio.to_thread(backup.run))
        try:
            await asyncio.shield(copying)
        except asyncio.CancelledError:
            backup.stop()
            await asyncio.wait([copying])
            raise

    def back_up_blocking(self, path: str | os.PathLike[str]) -> None:
        """Copy the file to *path*, blocking the thread."""
        backup = self._backup(path)
        if self.is_in_memory:
            run_sync(self.worker.block(Kind.READ, _copy_memory, backup))
        else:
            run_sync(self.worker.block(Kind.READ, _look))
            backup.run()

    def _backup(self, path: str | os.PathLike[str]) -> Backup:
        return Backup(self.file, os.path.abspath(os.fspath(path)))  # noqa: PTH100


def _copy_memory(cursor: sqlite3.Cursor, backup: Backup) -> None:
    backup.run(cursor.connection)


def _look(cursor: sqlite3.Cursor) -> None:
    """Open the file, if it is not, and see that the storage can be used."""
    cursor.execute("SELECT 1")
