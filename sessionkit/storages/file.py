"""Sessions in a folder: one readable JSON file per key.

A key of digits, small letters, ``-`` and ``_`` has the file that grammY's file
storage gives it, ``<last two characters>/<key>.json``, and both read what the
other wrote::

    sessions/
        42/424242.json                the session of 424242
        00/-100.json
        escaped/00/3%2f-100.json      that of "3/-100": other keys, percent-encoded
        escaped/41/%41.json           that of "A": case does not count on every system
        escaped/9f/aaa...~e3...9f.json   a key too long for a name: its first part, a hash
        escaped/9f/aaa...~e3...9f.key    and here the key itself
        .sessionkit/                  lock files and unfinished writes; leave it alone

The escaped names hold for capitals, everything beyond ASCII, all other
characters, and what Windows reserves (``con``).  Encoded is the key's UTF-8,
every byte but ``0-9 a-z _ -`` as ``%`` and two small hexadecimal digits; more
than 250 characters are cut, and ``~`` and the SHA-256 of the key follow.

Where grammY has already written a file for a key that we would escape
(``:5/user:5.json``), that file is read, listed and written on.  Left alone are
those whose key is uncertain: all of them where case does not count, and names
with accents that Unicode can write in two ways.  A key with a ``/`` grammY
cannot store at all.

A value that ends is stored as ``{"__d": value, "e": epoch in ms, "ttl": seconds}``,
which grammY's enhancer reads as well.  What an enhancer has stored, its own or that of
``enhance_storage``, stays as it is, and ends at its ``e``.  Ends are understood with and
without ``ttl``.  Keys are listed by the names of files; these are opened only once
anything with an end was stored in the folder, to leave out what has expired.

A write goes to a new file, is flushed, and renamed over the old one; then the
folder is flushed.  Lock files keep writers apart, in this and in other
processes on the same machine; grammY knows nothing of them, so do not let both
write at a time.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from weakref import finalize

from sessionkit._storage.entries import check_key
from sessionkit._storage.lifetime import Lifetime
from sessionkit._storage.seconds import seconds
from sessionkit.codecs import Codec, JSONCodec
from sessionkit.errors import SessionConflictError
from sessionkit.protocols import ANY, Clock, Entry, Expected, Revision
from sessionkit.storages._file.engine import FileEngine
from sessionkit.storages._file.folder import Folder
from sessionkit.storages._file.threads import Readers
from sessionkit.storages._file.writers import Writers
from sessionkit.storages._jobs import check_loop
from sessionkit.storages.file_lock import FileLock

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Coroutine, Hashable, Iterator, Sequence
    from datetime import timedelta


class _Face:
    """What async and blocking use have in common."""

    isolated: Final = True
    settles: Final = True
    supports_expiry: Literal[True] = True

    def __init__(self, engine: FileEngine, writers: Writers, readers: Readers) -> None:
        self._engine = engine
        self._writers = writers
        self._readers = readers
        self.ttl: float | None = engine.lifetime.ttl
        self.clock: Clock = engine.lifetime.now

    def __repr__(self) -> str:
        return f"{type(self).__name__}('{self._engine.folder.path}')"

    @property
    def any_value(self) -> bool:
        """Whether the codec holds more than plain JSON values."""
        return self._engine.any_value

    @property
    def identity(self) -> Hashable:
        """The same for all storages on one folder."""
        return ("file", str(self._engine.folder.path))

    def file_lock(self, patience: float | None, /) -> FileLock:
        """Return the lock that ``lock="file"`` means, within the folder."""
        folder = self._engine.folder
        return FileLock(folder.place_of_locks, patience=patience, mode=folder.mode)

    def _check(self, key: str) -> None:
        self._writers.check_open()
        check_key(key)

    def _pack(
        self, key: str, value: Any, expires: float | None
    ) -> tuple[bytes | None, float | None]:
        return (None, None) if value is None else self._engine.pack(key, value, expires)


class SyncFileSessionStorage(_Face):
    """A ``FileSessionStorage`` for threads: the same data, methods that block."""

    @property
    def sync(self) -> SyncFileSessionStorage:
        """This view itself."""
        return self

    def read(self, key: str, /) -> Any:
        """Return the value, None if missing or expired."""
        self._check(key)
        return self._engine.read(key)

    def write(self, key: str, value: Any, /) -> None:
        """Store *value*; its timeout restarts."""
        self._check(key)
        self._writers.block(key, self._engine.put, *self._engine.pack(key, value), ANY)

    def delete(self, key: str, /) -> None:
        """Remove *key*, damaged or not, if it is there."""
        self.write_if(key, None, ANY)

    def has(self, key: str, /) -> bool:
        """Return whether *key* is stored, damaged or not, and not expired."""
        self._check(key)
        return self._engine.has(key)

    def iter_keys(self, prefix: str = "", /) -> Iterator[str]:
        """Yield the keys that begin with *prefix*, those of damaged files too."""
        self._writers.check_open()
        return self._engine.keys(prefix)

    def iter_items(self, prefix: str = "", /) -> Iterator[tuple[str, Any]]:
        """Yield keys and values; a damaged file raises ``SessionDecodeError``."""
        self._writers.check_open()
        return self._engine.items(prefix)

    def read_entries(self, keys: Sequence[str], /) -> dict[str, Entry]:
        """Return what is stored under *keys*, with its expiry; missing ones are left out."""
        return {key: entry for key in keys if (entry := self._read_entry(key))}

    def iter_entries(self, prefix: str = "", /) -> Iterator[Entry]:
        """Yield keys, values and expiries, otherwise as ``iter_items``."""
        self._writers.check_open()
        return self._engine.entries(prefix)

    def write_entries(self, entries: Sequence[Entry], expected: Expected = None, /) -> list[str]:
        """Store each entry where the revision is *expected*; return the other keys."""
        return [entry.key for entry in entries if not self._put_entry(entry, expected)]

    def read_with_revision(self, key: str, /) -> tuple[Any, Revision | None]:
        """Return value and revision; an expired value is None and has one."""
        self._check(key)
        return self._engine.read_with_revision(key)

    def write_if(
        self, key: str, value: Any, expected: Expected, /, *, expires: float | None = None
    ) -> Revision | None:
        """Store or (None) delete, if what is stored is *expected*; as in the storage."""
        self._check(key)
        packed = self._pack(key, value, expires)
        return self._writers.block(key, self._engine.put, *packed, expected)

    def touch(self, key: str, /) -> bool:
        """Restart the timeout of *key*; False if it is missing or expired.

        Gives the value a new revision.  Without ``ttl``, and for a value that was
        written without, it only returns whether the value is there.
        """
        self._check(key)
        return self._writers.block(key, self._engine.touch)

    def purge_expired(self) -> int:
        """Remove what has expired, return how many values that were.

        Also removes what killed writers left unfinished more than an hour ago.
        """
        self._writers.check_open()
        return sum(self._engine.purge(self._expire))

    def backup(self, path: str | os.PathLike[str], /) -> None:
        """Copy all sessions to the new folder *path*; as in ``FileSessionStorage``."""
        self._writers.check_open()
        for _ in self._engine.folder.copy_to(Path(path)):
            pass

    def close(self) -> None:
        """Finish what is under way; any later use raises ``SessionClosedError``."""
        self._writers.close()
        self._readers.close()
        self._engine.folder.close()

    def _read_entry(self, key: str) -> Entry | None:
        self._check(key)
        return self._engine.entry(key)

    def _put_entry(self, entry: Entry, expected: Expected) -> bool:
        self._check(entry.key)
        packed = self._engine.pack(*entry)
        with suppress(SessionConflictError):
            self._writers.block(entry.key, self._engine.put, *packed, expected)
            return True
        return False

    def _expire(self, key: str) -> bool:
        return self._writers.block(key, self._engine.expire)

    def __enter__(self) -> SyncFileSessionStorage:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class FileSessionStorage(_Face):
    """Keep each session in its own JSON file, durable once a write returns.

    Every method returns an awaitable (listings: an async iterator) and does its
    work on threads; ``sync`` is the same storage with methods that block.  A
    value is encoded when the method is called, so it may be changed right after.
    Writes are atomic, conditional ones hold between the processes of a machine.
    How files are named and what is in them is said at the top of this module.

    Args:
        directory: The folder; made if it is not there.
        codec: Turns values into the content of files; JSON if left out.
        ttl: How long a value lives after its last write; None: it never expires.
        clock: The time, in seconds since the epoch.
        mode: The permissions of files: each that is written has them.  Folders that are made
            can also be entered by those who may read.  None leaves both to the umask.
        busy_timeout: How long a write waits while another process has a lock file.

    Raises:
        SessionError: The folder cannot be made or written to.
        TypeError: *codec* does not give bytes, *ttl* or *busy_timeout* is not a span of time.
        ValueError: *ttl* or *busy_timeout* is not positive and finite, *mode* does not
            let the owner read and write.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        codec: Codec | None = None,
        ttl: timedelta | float | None = None,
        clock: Clock = time.time,
        mode: int | None = 0o600,
        busy_timeout: timedelta | float = 30,
    ) -> None:
        chosen = JSONCodec() if codec is None else _checked(codec)
        span = None if ttl is None else seconds("ttl", ttl)
        patience = seconds("busy_timeout", busy_timeout)
        folder = Folder(Path(directory), _checked_mode(mode), clock())
        writers = Writers(folder, patience, f"{type(self).__name__}('{folder.path}')")
        readers = Readers(writers.check_open)
        engine = FileEngine(folder, chosen, Lifetime(span, clock))
        super().__init__(engine, writers, readers)
        self._sync = SyncFileSessionStorage(self._engine, writers, readers)
        finalize(self._engine, writers.refuse)  # views and unfinished calls hold it as well

    @property
    def sync(self) -> SyncFileSessionStorage:
        """The same storage for threads: methods that block."""
        return self._sync

    def read(self, key: str, /) -> Coroutine[Any, Any, Any]:
        """Return the value, None if missing or expired.

        Raises:
            SessionDecodeError: The file is empty or damaged; it stays.
            OSError: The file is there and cannot be read.
        """
        self._check(key)
        return self._readers.read(self._engine.read, key)

    def write(self, key: str, value: Any, /) -> Coroutine[Any, Any, Revision | None]:
        """Store *value*; its timeout restarts.

        Raises:
            SessionEncodeError: *value* cannot be stored; the old one was kept.
            OSError: The disk is full or broken; the old value was kept, unless
                only the very last step failed, flushing the folder.
        """
        self._check(key)
        return self._writers.run(key, self._engine.put, *self._engine.pack(key, value), ANY)

    def delete(self, key: str, /) -> Coroutine[Any, Any, Revision | None]:
        """Remove *key*, damaged or not, if it is there."""
        return self.write_if(key, None, ANY)

    def has(self, key: str, /) -> Coroutine[Any, Any, bool]:
        """Return whether *key* is stored, damaged or not, and not expired."""
        self._check(key)
        return self._readers.read(self._engine.has, key)

    def iter_keys(self, prefix: str = "", /) -> AsyncIterator[str]:
        """Yield the keys that begin with *prefix*, those of damaged files too."""
        self._writers.check_open()
        return self._readers.iterate(self._engine.keys(prefix))

    def iter_items(self, prefix: str = "", /) -> AsyncIterator[tuple[str, Any]]:
        """Yield keys and values; a damaged file raises ``SessionDecodeError``."""
        self._writers.check_open()
        return self._readers.iterate(self._engine.items(prefix))

    async def read_entries(self, keys: Sequence[str], /) -> dict[str, Entry]:
        """Return what is stored under *keys*, with its expiry; missing ones are left out."""
        self._writers.check_open()
        return await self._readers.settle(self._sync.read_entries, keys)

    def iter_entries(self, prefix: str = "", /) -> AsyncIterator[Entry]:
        """Yield keys, values and expiries, otherwise as ``iter_items``."""
        self._writers.check_open()
        return self._readers.iterate(self._engine.entries(prefix))

    async def write_entries(
        self, entries: Sequence[Entry], expected: Expected = None, /
    ) -> list[str]:
        """Store each entry where the revision is *expected*; return the other keys.

        Each is stored or not by itself.
        """
        stored = await asyncio.gather(*(self._put_entry(each, expected) for each in entries))
        outcomes = zip(entries, stored, strict=True)
        return [entry.key for entry, is_stored in outcomes if not is_stored]

    def read_with_revision(self, key: str, /) -> Coroutine[Any, Any, tuple[Any, Revision | None]]:
        """Return value and revision, a digest of the file; an expired value has one too."""
        self._check(key)
        return self._readers.read(self._engine.read_with_revision, key)

    def write_if(
        self, key: str, value: Any, expected: Expected, /, *, expires: float | None = None
    ) -> Coroutine[Any, Any, Revision | None]:
        """Store *value* or (None) delete, if what is stored is *expected*; see the protocol.

        Gone at the instant *expires*, in epoch seconds; None leaves it to ``ttl``.

        Raises:
            SessionConflictError: What is stored is not *expected*; it was left alone.
            ValueError: *expires* is NaN.
        """
        self._check(key)
        packed = self._pack(key, value, expires)
        return self._writers.run(key, self._engine.put, *packed, expected)

    def touch(self, key: str, /) -> Coroutine[Any, Any, bool]:
        """Restart the timeout of *key*; False if it is missing or expired.

        Gives the value a new revision.  Without ``ttl``, and for a value that was
        written without, it only returns whether the value is there.
        """
        self._check(key)
        return self._writers.run(key, self._engine.touch)

    async def purge_expired(self) -> int:
        """Remove what has expired, return how many values that were.

        Also removes what killed writers left unfinished more than an hour ago.
        """
        self._writers.check_open()
        purge = self._engine.purge(self._sync._expire)
        return sum([removed async for removed in self._readers.iterate(purge)])

    async def backup(self, path: str | os.PathLike[str], /) -> None:
        """Copy all sessions to the new folder *path*, from where this class opens them.

        Reads and writes go on meanwhile; each session is copied as it was at one moment,
        not all at the same.  *path* is there once all of it is, and on the disk.

        Raises:
            FileExistsError: There is something at *path*.
            OSError: A file cannot be read or written; nothing is left at *path*.
        """
        self._writers.check_open()
        steps = self._engine.folder.copy_to(Path(path))
        try:
            while not await self._readers.settle(next, steps):
                pass
            next(steps, None)  # from here on, no cancellation takes it away
        finally:
            steps.close()

    async def _put_entry(self, entry: Entry, expected: Expected) -> bool:
        self._check(entry.key)
        packed = self._engine.pack(*entry)
        with suppress(SessionConflictError):
            await self._writers.run(entry.key, self._engine.put, *packed, expected)
            return True
        return False

    async def close(self) -> None:
        """Finish what is under way; any later use raises ``SessionClosedError``."""
        check_loop()
        self._writers.refuse()
        await asyncio.to_thread(self._sync.close)

    def __enter__(self) -> FileSessionStorage:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._sync.close()

    async def __aenter__(self) -> FileSessionStorage:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()


def _checked_mode(mode: int | None) -> int | None:
    if mode is None:
        return None
    if mode & 0o600 != 0o600 or mode & ~0o666:
        msg = f"mode must be permissions of files such as 0o600 or 0o660, not {mode!r}"
        raise ValueError(msg)
    return mode


def _checked(codec: Codec) -> Codec:
    encoded = codec.encode({})
    if not isinstance(encoded, bytes):  # pyright: ignore[reportUnnecessaryIsInstance]  # users without a type checker
        msg = f"codec.encode() must return bytes, {codec!r} returned {encoded!r}"
        raise TypeError(msg)
    return codec
