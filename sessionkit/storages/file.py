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

With ``ttl`` a file holds ``{"__d": value, "e": epoch in ms, "ttl": seconds}``,
which grammY's enhancer reads as well; it is understood with and without
``ttl``.  What grammY's enhancer wrote, ``enhance_storage`` takes apart.

A write goes to a new file, is flushed, and renamed over the old one; then the
folder is flushed.  Lock files keep writers apart, in this and in other
processes on the same machine; grammY knows nothing of them, so do not let both
write at a time.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sessionkit._seconds import seconds
from sessionkit._types import ANY, Clock, Expected, Revision
from sessionkit.codecs import Codec, JSONCodec
from sessionkit.errors import InvalidSessionKeyError
from sessionkit.storages._file.engine import FileEngine
from sessionkit.storages._file.folder import Folder
from sessionkit.storages._file.threads import DiskThreads

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Coroutine, Hashable, Iterator
    from datetime import timedelta


class _Face:
    """What the two ways of use have in common."""

    isolated: Final = True
    settles: Final = True

    def __init__(self, engine: FileEngine, threads: DiskThreads) -> None:
        self._engine = engine
        self._threads = threads

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

    def _check(self, key: str) -> None:
        self._threads.check_open()
        if not isinstance(key, str) or not key:  # pyright: ignore[reportUnnecessaryIsInstance]  # users without a type checker
            msg = f"a key is a str that is not empty, not {key!r}"
            raise InvalidSessionKeyError(msg)

    def _pack(self, key: str, value: Any) -> bytes | None:
        return None if value is None else self._engine.pack(key, value)


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
        """Store *value*; its timeout begins anew."""
        self._check(key)
        self._engine.put(key, self._engine.pack(key, value), ANY)

    def delete(self, key: str, /) -> None:
        """Remove *key*, damaged or not, if it is there."""
        self.write_if(key, None, ANY)

    def has(self, key: str, /) -> bool:
        """Return whether *key* is stored, damaged or not, and not expired."""
        self._check(key)
        return self._engine.has(key)

    def iter_keys(self, prefix: str = "", /) -> Iterator[str]:
        """Yield the keys that begin with *prefix*, those of damaged files too."""
        self._threads.check_open()
        return self._engine.keys(prefix)

    def iter_items(self, prefix: str = "", /) -> Iterator[tuple[str, Any]]:
        """Yield keys and values; a damaged file raises ``SessionDecodeError``."""
        self._threads.check_open()
        return self._engine.items(prefix)

    def read_with_revision(self, key: str, /) -> tuple[Any, Revision | None]:
        """Return value and revision; an expired value is None and has one."""
        self._check(key)
        return self._engine.read_with_revision(key)

    def write_if(self, key: str, value: Any, expected: Expected, /) -> Revision | None:
        """Store or (None) delete, if what is stored is *expected*; see the protocol."""
        self._check(key)
        return self._engine.put(key, self._pack(key, value), expected)

    def touch(self, key: str, /) -> bool:
        """Let the timeout of *key* begin anew; False if it is missing or expired.

        Gives the value a new revision.  Without ``ttl``, and for a value that was
        written without, it only tells.
        """
        self._check(key)
        return self._engine.touch(key)

    def purge_expired(self) -> int:
        """Remove what has expired, return how many values that were.

        Also removes what killed writers left unfinished more than an hour ago.
        """
        self._threads.check_open()
        return sum(self._engine.purge())

    def close(self) -> None:
        """Finish what is under way; any later use raises ``SessionClosedError``."""
        self._threads.close()

    def __enter__(self) -> SyncFileSessionStorage:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class FileSessionStorage(_Face):
    """Keep each session in a JSON file of its own, durable when a write is through.

    Every method returns an awaitable (listings: an async iterator) and does its
    work on threads; ``sync`` is the same storage with methods that block.  A
    value is encoded when the method is called, so it may be changed right after.
    Writes are atomic, conditional ones hold between the processes of a machine.
    How files are named and what is in them is said at the top of this module.

    Args:
        directory: The folder; made if it is not there.
        codec: Turns values into the content of files; JSON if left out.
        ttl: How long a value lives after its last write; None for ever.
        clock: The time, in seconds since the epoch.

    Raises:
        SessionError: The folder cannot be made or written to.
        TypeError: *codec* does not give bytes, *ttl* is no span of time.
        ValueError: *ttl* is not positive and finite.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        codec: Codec | None = None,
        ttl: timedelta | float | None = None,
        clock: Clock = time.time,
    ) -> None:
        chosen = JSONCodec() if codec is None else _checked(codec)
        span = None if ttl is None else seconds("ttl", ttl)
        folder = Folder(Path(directory))
        threads = DiskThreads(f"{type(self).__name__}('{folder.path}')")
        super().__init__(FileEngine(folder, chosen, span, clock), threads)
        self._sync = SyncFileSessionStorage(self._engine, threads)

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
        return self._threads.read(self._engine.read, key)

    def write(self, key: str, value: Any, /) -> Coroutine[Any, Any, Revision | None]:
        """Store *value*; its timeout begins anew.

        Raises:
            SessionEncodeError: *value* cannot be stored; the old one was kept.
            OSError: The disk is full or broken; the old value was kept, unless
                only the very last step failed, flushing the folder.
        """
        self._check(key)
        raw = self._engine.pack(key, value)
        return self._threads.settle(self._engine.put, key, raw, ANY)

    def delete(self, key: str, /) -> Coroutine[Any, Any, Revision | None]:
        """Remove *key*, damaged or not, if it is there."""
        return self.write_if(key, None, ANY)

    def has(self, key: str, /) -> Coroutine[Any, Any, bool]:
        """Return whether *key* is stored, damaged or not, and not expired."""
        self._check(key)
        return self._threads.read(self._engine.has, key)

    def iter_keys(self, prefix: str = "", /) -> AsyncIterator[str]:
        """Yield the keys that begin with *prefix*, those of damaged files too."""
        self._threads.check_open()
        return self._threads.iterate(self._engine.keys(prefix))

    def iter_items(self, prefix: str = "", /) -> AsyncIterator[tuple[str, Any]]:
        """Yield keys and values; a damaged file raises ``SessionDecodeError``."""
        self._threads.check_open()
        return self._threads.iterate(self._engine.items(prefix))

    def read_with_revision(self, key: str, /) -> Coroutine[Any, Any, tuple[Any, Revision | None]]:
        """Return value and revision, a digest of the file; an expired value has one too."""
        self._check(key)
        return self._threads.read(self._engine.read_with_revision, key)

    def write_if(
        self, key: str, value: Any, expected: Expected, /
    ) -> Coroutine[Any, Any, Revision | None]:
        """Store or (None) delete, if what is stored is *expected*; see the protocol."""
        self._check(key)
        return self._threads.settle(self._engine.put, key, self._pack(key, value), expected)

    def touch(self, key: str, /) -> Coroutine[Any, Any, bool]:
        """Let the timeout of *key* begin anew; False if it is missing or expired.

        Gives the value a new revision.  Without ``ttl``, and for a value that was
        written without, it only tells.
        """
        self._check(key)
        return self._threads.settle(self._engine.touch, key)

    async def purge_expired(self) -> int:
        """Remove what has expired, return how many values that were.

        Also removes what killed writers left unfinished more than an hour ago.
        """
        self._threads.check_open()
        return sum([removed async for removed in self._threads.iterate(self._engine.purge())])

    async def close(self) -> None:
        """Finish what is under way; any later use raises ``SessionClosedError``."""
        self._threads.refuse()
        await asyncio.to_thread(self._threads.close)

    def __enter__(self) -> FileSessionStorage:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._threads.close()

    async def __aenter__(self) -> FileSessionStorage:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()


def _checked(codec: Codec) -> Codec:
    encoded = codec.encode({})
    if not isinstance(encoded, bytes):  # pyright: ignore[reportUnnecessaryIsInstance]  # users without a type checker
        msg = f"codec.encode() must return bytes, {codec!r} returned {encoded!r}"
        raise TypeError(msg)
    return codec
