"""Sessions in an SQLite file: durable, quick, and open to several processes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar
from weakref import finalize

from sessionkit._storage.lifetime import Lifetime
from sessionkit._storage.seconds import seconds
from sessionkit._storage.sync_or_async import run_sync
from sessionkit.codecs import Codec, JSONCodec
from sessionkit.protocols import Clock, Entry, Expected, Revision
from sessionkit.storages._sqlite.operations import Operations
from sessionkit.storages._sqlite.table import Table

if TYPE_CHECKING:
    import os
    from datetime import timedelta

    from sessionkit.storages._sqlite.engine import Engine
    from sessionkit.storages.file_lock import FileLock

R = TypeVar("R")


class SQLiteSessionStorage(Operations):
    """Keep sessions in a table of an SQLite file.

    A write that has returned survives the crash of the program and, if
    *durable*, of the machine.  Writes that are under way at the same time share
    one commit.  A write that failed or was cancelled never happens later.
    Usable from any number of tasks, event loops and threads, and from several
    processes on the machine, forked ones included (unless it is in memory).

    The constructor opens the file and makes the table; the thread that works on
    it begins with the first use.  Other tables in the file are left alone.

    ``read``, ``read_with_revision`` and ``has`` of values up to 64 KiB are done on
    the thread that calls, and do not suspend, where that is quick: as a rule some
    microseconds, at the worst one access to the disk.  After one that took longer
    than 10 ms the storage's own thread reads for a hundred times as long.

    That the file was removed, moved or replaced, or that this process has lost its
    locks on it (Linux), is noticed by the next write, which raises.

    Args:
        path: The file; made if missing.  ``":memory:"`` keeps all in the memory
            of this object.
        table: The name of the table; several storages can share a file.
        codec: Turns values into bytes; JSON text by default.
        ttl: How long a value lives after its last write; None: it never expires.
        clock: The time, in seconds since the epoch.
        durable: False lets a commit return before the disk has it: quicker, and
            the last moments may be lost with the machine, not with the program.
        busy_timeout: How long to wait while another program has the file locked.
        mode: The permissions of a file that is made, and of those that SQLite
            makes beside it: for its owner only by default; None for the umask's.

    Raises:
        ImportError: This Python has no module ``sqlite3``.
        SessionError: The file cannot be used: not a database, read-only, locked,
            damaged, no such directory, a table of somebody else.
        NewerVersionError: A newer sessionkit made the table.
        TypeError: *path*, *ttl* or *busy_timeout* is of a wrong type.
        ValueError: *path* is empty, *table* no identifier, or *ttl* or
            *busy_timeout* not positive and finite.
    """

    isolated: Final = True
    settles: Final = True
    supports_expiry: Literal[True] = True

    identity: Hashable
    """Equal for storages on the same data."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        table: str = "sessions",
        codec: Codec | None = None,
        ttl: timedelta | float | None = None,
        clock: Clock = time.time,
        durable: bool = True,
        busy_timeout: timedelta | float = 30,
        mode: int | None = 0o600,
    ) -> None:
        lifetime = Lifetime(None if ttl is None else seconds("ttl", ttl), clock)
        patience = seconds("busy_timeout", busy_timeout)
        engine = _engine()(path, table, durable=durable, busy_timeout=patience, mode=mode)
        rows = Table(engine.file.table, f"in the table {engine.file.table!r} of {engine.file}")
        codec = JSONCodec() if codec is None else codec
        worker, readers = engine.worker, engine.readers
        super().__init__(worker.run, readers, rows, codec, lifetime)
        self._blocking = Operations(worker.block, readers, rows, codec, lifetime)
        self._engine = engine
        self.identity = engine.identity
        finalize(rows, worker.abandon)  # views and unfinished calls hold the rows as well

    def __repr__(self) -> str:
        file = self._engine.file
        return f"<SQLiteSessionStorage {file.path!r}, table {file.table!r}>"

    @property
    def sync(self) -> BlockingSQLiteSessionStorage:
        """The same storage for threads: every method blocks."""
        return BlockingSQLiteSessionStorage(self, self._blocking, self._engine)

    def file_lock(self, patience: float | None, /) -> FileLock | None:
        """Return the lock that ``lock="file"`` means, in ``<path>.locks``; None in memory."""
        return self._engine.file_lock(patience)

    async def backup(self, path: str | os.PathLike[str], /) -> None:
        """Copy the whole file, other tables included, as it is at one moment.

        Reads and writes go on meanwhile.  *path* is there once the copy is whole and
        on the disk; cancelled, or after a failure, nothing is left.

        Raises:
            FileExistsError: There is something at *path*; it was left alone.
            SessionError, OSError: The file cannot be read, or the copy not be written.
        """
        await self._engine.back_up(path)

    async def close(self) -> None:
        """Finish what is queued and close the file; a no-op the second time.

        Any later use raises ``SessionClosedError``.
        """
        await self._engine.worker.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.sync.close()


class BlockingSQLiteSessionStorage:
    """An ``SQLiteSessionStorage`` whose methods block; its ``sync`` gives one.

    Usable from any thread; on one that runs an event loop, it blocks the loop.
    """

    isolated: Final = True
    settles: Final = True
    supports_expiry: Literal[True] = True

    identity: Hashable
    """Equal for storages on the same data."""

    def __init__(
        self, storage: SQLiteSessionStorage, operations: Operations, engine: Engine
    ) -> None:
        self._name = f"{storage!r}.sync"
        self._do = operations
        self._engine = engine
        self.ttl: float | None = operations.ttl
        self.clock: Clock = operations.clock
        self.identity = storage.identity

    def __repr__(self) -> str:
        return self._name

    @property
    def any_value(self) -> bool:
        """Whether the codec holds more than plain JSON values."""
        return self._do.any_value

    @property
    def sync(self) -> Self:
        """This view itself."""
        return self

    def file_lock(self, patience: float | None, /) -> FileLock | None:
        """Return the lock that ``lock="file"`` means; as in the storage."""
        return self._engine.file_lock(patience)

    def read(self, key: str, /) -> Any:
        """Return the value, None if missing or expired."""
        return run_sync(self._do.read(key))

    def read_with_revision(self, key: str, /) -> tuple[Any, Revision | None]:
        """Return value and revision; an expired value is None and has a revision."""
        return run_sync(self._do.read_with_revision(key))

    def read_many(self, keys: Sequence[str], /) -> dict[str, Any]:
        """Return what is stored under *keys*, read in one go; missing ones are left out."""
        return run_sync(self._do.read_many(keys))

    def has(self, key: str, /) -> bool:
        """Return whether *key* is stored and not expired; does not read the value."""
        return run_sync(self._do.has(key))

    def write(self, key: str, value: Any, /) -> None:
        """Store *value*, replacing any earlier one; its timeout restarts."""
        run_sync(self._do.write(key, value))

    def write_many(self, values: Mapping[str, Any], /) -> None:
        """Store all of *values* in one transaction, or none of them."""
        run_sync(self._do.write_many(values))

    def write_if(
        self, key: str, value: Any, expected: Expected, /, *, expires: float | None = None
    ) -> Revision | None:
        """Store or (None) delete, if what is stored is *expected*; as in the storage."""
        return run_sync(self._do.write_if(key, value, expected, expires=expires))

    def delete(self, key: str, /) -> None:
        """Remove *key*; a no-op if nothing is stored under it."""
        run_sync(self._do.delete(key))

    def touch(self, key: str, /) -> bool:
        """Restart the timeout of *key*, if it has one; False if it is missing."""
        return run_sync(self._do.touch(key))

    def purge_expired(self) -> int:
        """Remove what has expired, in small transactions; return how many values."""
        return run_sync(self._do.purge_expired())

    def iter_keys(self, prefix: str = "", /) -> Iterator[str]:
        """Yield each key that begins with *prefix*, in any order."""
        return _blocking(self._do.iter_keys(prefix))

    def iter_items(self, prefix: str = "", /) -> Iterator[tuple[str, Any]]:
        """Yield pairs of key and value, otherwise as ``iter_keys``."""
        return _blocking(self._do.iter_items(prefix))

    def read_entries(self, keys: Sequence[str], /) -> dict[str, Entry]:
        """Return what is stored under *keys*, with its expiry, read in one go."""
        return run_sync(self._do.read_entries(keys))

    def iter_entries(self, prefix: str = "", /) -> Iterator[Entry]:
        """Yield keys, values and expiries, otherwise as ``iter_items``."""
        return _blocking(self._do.iter_entries(prefix))

    def write_entries(self, entries: Sequence[Entry], expected: Expected = None, /) -> list[str]:
        """Store each entry where the revision is *expected*; return the other keys."""
        return run_sync(self._do.write_entries(entries, expected))

    def backup(self, path: str | os.PathLike[str], /) -> None:
        """Copy the whole file, as it is at one moment, to *path*; as in the storage."""
        self._engine.back_up_blocking(path)

    def close(self) -> None:
        """Finish what is queued and close the file; a no-op the second time."""
        run_sync(self._engine.worker.close_blocking())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _engine() -> type[Engine]:
    try:
        from sessionkit.storages._sqlite.engine import Engine  # noqa: PLC0415 (needs sqlite3)
    except ModuleNotFoundError as error:
        msg = (
            "this Python was built without the module sqlite3: install it, or use "
            "FileSessionStorage, which needs nothing"
        )
        raise ImportError(msg) from error
    return Engine


def _blocking(items: AsyncIterator[R]) -> Iterator[R]:
    async def step() -> tuple[R] | None:
        async for item in items:
            return (item,)
        return None

    while (found := run_sync(step())) is not None:
        yield found[0]
