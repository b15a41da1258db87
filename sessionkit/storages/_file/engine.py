"""What a file storage does, blocking: values, expiries and revisions over a folder."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sessionkit._storage.entries import conflict, encode_entry
from sessionkit._storage.listing import LeftOut
from sessionkit.codecs import Codec, decode_value, takes_any_value
from sessionkit.errors import SessionDecodeError, SessionError, SessionListingError
from sessionkit.protocols import ANY, Entry, Expected, Revision
from sessionkit.storages._file.content import close_content, open_content

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sessionkit._storage.lifetime import Lifetime
    from sessionkit.storages._file.entry import Entry as LockedEntry
    from sessionkit.storages._file.folder import Folder

_FARTHEST: Final = 8.64e12
"""Seconds from the epoch: no date in JavaScript, nor any in grammY, is beyond."""


class FileRevision(NamedTuple):
    """Identifies the content of a file, and knows when that expires, in epoch seconds."""

    digest: str
    expires: float | None


class FileEngine:
    """The work on a folder of sessions; each method may run on any thread.

    What changes something works on a ``LockedEntry``, which the writers lock and save.

    Args:
        folder: Where the files are.
        codec: What is in them.
        lifetime: When values expire.
    """

    def __init__(self, folder: Folder, codec: Codec, lifetime: Lifetime) -> None:
        self.folder = folder
        self._codec = codec
        self.any_value: bool = takes_any_value(codec)
        self.lifetime = lifetime

    def pack(
        self, key: str, value: Any, expires: float | None = None
    ) -> tuple[bytes, float | None]:
        """Return the bytes to store for *value*, and when they expire, in milliseconds.

        At *expires*, in seconds; None leaves it to the ``ttl``.

        Raises:
            SessionEncodeError: The codec refused, or *value* is None.
            ValueError: *expires* is NaN.
        """
        end = self.lifetime.end(expires)
        end = None if end is None else _milliseconds(end)
        content = None if value is None else close_content(value, end, self.lifetime.ttl)
        return encode_entry(self._codec, key, content), end

    def read(self, key: str, at_most: int | None = None) -> Any:
        """Return the value, None if missing or expired.

        Raises:
            TooLargeError: There are more than *at_most* bytes to decode.
        """
        raw = self.folder.load(key, at_most)
        if raw is None:
            return None
        value, end = self._decode(key, raw)
        return None if self._is_over(end) else value

    def read_with_revision(
        self, key: str, at_most: int | None = None
    ) -> tuple[Any, Revision | None]:
        """Return value and revision, otherwise as ``read``; an expired value has one."""
        raw = self.folder.load(key, at_most)
        if raw is None:
            return None, None
        value, end = self._decode(key, raw)
        return None if self._is_over(end) else value, _revision(raw, end)

    def has(self, key: str, at_most: int | None = None) -> bool:
        """Return whether something is stored; what is damaged is."""
        raw = self.folder.load(key, at_most)
        return raw is not None and not self._has_expired(key, raw)

    def put(
        self, entry: LockedEntry, raw: bytes | None, expires: float | None, expected: Expected
    ) -> Revision | None:
        """Let *raw* be stored, or (None) nothing, if what is stored is *expected*."""
        if expected is not ANY and not self._is_expected(entry, expected):
            raise conflict(entry.key)
        if expires is not None:
            self.folder.note_ends()
        entry.raw = raw
        return None if raw is None else _revision(raw, expires)

    def touch(self, entry: LockedEntry) -> bool:
        """Restart the timeout, if there is one; False if missing or expired."""
        if entry.raw is None:
            return False
        value, end = self._decode(entry.key, entry.raw)
        if self._is_over(end):
            return False
        if end is not None and self.lifetime.ttl is not None:
            entry.raw, _ = self.pack(entry.key, value)
        return True

    def expire(self, entry: LockedEntry) -> bool:
        """Remove what has expired; return whether it had."""
        expired = entry.raw is not None and self._has_expired(entry.key, entry.raw)
        if expired:
            entry.raw = None
        return expired

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with *prefix* and have not expired.

        Where nothing ends, names tell all, and no value is looked at.
        """
        may_end = self.lifetime.ttl is not None or self.folder.has_ends
        for key, path in self.folder.entries(prefix):
            if not may_end:
                yield key
                continue
            try:
                raw = self.folder.read_entry(path)
            except OSError:  # it is there
                yield key
            else:
                if raw is not None and not self._has_expired(key, raw):
                    yield key

    def items(self, prefix: str) -> Iterator[tuple[str, Any]]:
        """Yield keys and values, otherwise as ``keys``."""
        for key, value, _ in self.entries(prefix):
            yield key, value

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield keys, values and expiries; report at the end what cannot be read."""
        left_out = LeftOut()
        for key, path in self.folder.entries(prefix):
            try:
                entry = self._listed(key, path)
            except SessionError as error:
                left_out.add(error, key)
            else:
                if entry is not None:
                    yield entry
        left_out.report()

    def entry(self, key: str, at_most: int | None = None) -> Entry | None:
        """Return what is stored under *key*, None if missing or expired."""
        raw = self.folder.load(key, at_most)
        return None if raw is None else self._entry(key, raw)

    def purge(self, remove: Callable[[str], bool]) -> Iterator[bool]:
        """Remove what has expired; yield for each key whether *remove* removed it."""
        self.folder.remove_abandoned(self.lifetime.now())
        with suppress(SessionListingError):  # purged was all that has a key
            for key, path in self.folder.entries(""):
                raw = None
                with suppress(OSError):
                    raw = self.folder.read_entry(path)
                yield raw is not None and self._has_expired(key, raw) and remove(key)

    def _listed(self, key: str, path: str) -> Entry | None:
        try:
            raw = self.folder.read_entry(path)
        except OSError as error:
            msg = f"{key!r} cannot be read: {error}"
            raise SessionError(msg, key=key) from error
        return None if raw is None else self._entry(key, raw)

    def _entry(self, key: str, raw: bytes) -> Entry | None:
        value, end = self._decode(key, raw)
        return None if self._is_over(end) else Entry(key, value, end and end / 1000)

    def _is_expected(self, entry: LockedEntry, expected: Expected) -> bool:
        raw = entry.raw
        if raw is None:
            # What was read has expired, and was removed for that.
            return expected is None or (
                isinstance(expected, FileRevision)
                and expected.expires is not None
                and self._is_over(_milliseconds(expected.expires))
            )
        if expected is None:
            return self._has_expired(entry.key, raw)
        return isinstance(expected, FileRevision) and expected.digest == _digest(raw)

    def _has_expired(self, key: str, raw: bytes) -> bool:
        try:
            return self._is_over(self._decode(key, raw)[1])
        except SessionDecodeError:
            return False

    def _is_over(self, end: float | None) -> bool:
        return end is not None and _milliseconds(self.lifetime.now()) >= end

    def _decode(self, key: str, raw: bytes) -> tuple[Any, float | None]:
        return open_content(decode_value(self._codec, key, raw, _Where(self.folder, key)))


class _Where:
    """The path of a key, looked up only if it is to be shown."""

    def __init__(self, folder: Folder, key: str) -> None:
        self._folder = folder
        self._key = key

    def __str__(self) -> str:
        return str(self._folder.where(self._key))


def _milliseconds(instant: float) -> int:
    return round(min(max(instant, -_FARTHEST), _FARTHEST) * 1000)


def _revision(raw: bytes, expires: float | None) -> FileRevision:
    return FileRevision(_digest(raw), None if expires is None else expires / 1000)


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
