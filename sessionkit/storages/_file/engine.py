"""What a file storage does, blocking: values, expiries and revisions over a folder."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from sessionkit._types import ANY, Clock, Expected, Revision
from sessionkit.codecs import Codec, decode_value, encode_value, takes_any_value
from sessionkit.errors import SessionConflictError, SessionDecodeError, SessionEncodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionkit.storages._file.folder import Folder

# What grammY's enhancer stores, and by the third field known as ours.
_DATA: Final = "__d"
_EXPIRES: Final = "e"
_TTL: Final = "ttl"
_FIELDS: Final = frozenset({_DATA, _EXPIRES, _TTL})


class FileEngine:
    """The work on a folder of sessions; each method may run on any thread.

    Args:
        folder: Where the files are.
        codec: What is in them.
        ttl: The seconds a value lives after its last write, None for ever.
        clock: The time, in seconds since the epoch.
    """

    def __init__(self, folder: Folder, codec: Codec, ttl: float | None, clock: Clock) -> None:
        self.folder = folder
        self._codec = codec
        self.any_value: bool = takes_any_value(codec)
        self._ttl = ttl
        self._clock = clock

    def pack(self, key: str, value: Any) -> bytes:
        """Return the bytes to store for *value*.

        Raises:
            SessionEncodeError: The codec refused, or *value* is None.
        """
        if value is None:
            msg = f"None stands for missing and cannot be stored: delete {key!r} instead"
            raise SessionEncodeError(msg, key=key)
        return encode_value(self._codec, key, self._wrapped(value))

    def read(self, key: str) -> Any:
        """Return the value, None if missing or expired."""
        return self.read_with_revision(key)[0]

    def read_with_revision(self, key: str) -> tuple[Any, Revision | None]:
        """Return value and revision; an expired value is None and has one."""
        raw = self.folder.load(key)
        if raw is None:
            return None, None
        return self._value(key, raw), _revision(raw)

    def has(self, key: str) -> bool:
        """Return whether something is stored; what is damaged is."""
        raw = self.folder.load(key)
        return raw is not None and not self._has_expired(key, raw)

    def put(self, key: str, raw: bytes | None, expected: Expected) -> Revision | None:
        """Store *raw*, or (None) delete, if what is stored is *expected*."""
        with self.folder.locked(key):
            if expected is not ANY:
                self._check_revision(key, expected)
            if raw is None:
                self.folder.remove(key)
                return None
            self.folder.store(key, raw)
            return _revision(raw)

    def touch(self, key: str) -> bool:
        """Let the timeout begin anew, if there is one; False if missing or expired."""
        with self.folder.locked(key):
            raw = self.folder.load(key)
            stored = None if raw is None else self._decode(key, raw)
            if stored is None or self._is_over(stored):
                return False
            if self._ttl is not None and _is_wrapped(stored) and stored[_EXPIRES] is not None:
                self.folder.store(key, self.pack(key, stored[_DATA]))
            return True

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with *prefix* and have not expired."""
        for key, raw in self._entries(prefix):
            if not self._has_expired(key, raw):
                yield key

    def items(self, prefix: str) -> Iterator[tuple[str, Any]]:
        """Yield keys and values, otherwise as ``keys``."""
        for key, raw in self._entries(prefix):
            value = self._value(key, raw)
            if value is not None:
                yield key, value

    def purge(self) -> Iterator[bool]:
        """Remove what has expired; yield for each key whether it was removed."""
        self.folder.remove_abandoned(self._clock())
        for key, raw in self._entries(""):
            yield self._has_expired(key, raw) and self._remove_expired(key)

    def _entries(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        for key, path in self.folder.entries(prefix):
            raw = self.folder.read_entry(path)
            if raw is not None:
                yield key, raw

    def _remove_expired(self, key: str) -> bool:
        with self.folder.locked(key):
            raw = self.folder.load(key)
            expired = raw is not None and self._has_expired(key, raw)
            if expired:
                self.folder.remove(key)
            return expired

    def _check_revision(self, key: str, expected: Expected) -> None:
        raw = self.folder.load(key)
        if expected is None and (raw is None or self._has_expired(key, raw)):
            return
        if raw is not None and _revision(raw) == expected:
            return
        msg = f"what is stored under {key!r} is not what was read; it was left alone"
        raise SessionConflictError(msg, key=key)

    def _wrapped(self, value: Any) -> Any:
        if self._ttl is not None:
            expires = _milliseconds(self._clock() + self._ttl)
            return {_DATA: value, _EXPIRES: expires, _TTL: self._ttl}
        if _is_wrapped(value):
            return {_DATA: value, _EXPIRES: None, _TTL: None}
        return value

    def _value(self, key: str, raw: bytes) -> Any:
        stored = self._decode(key, raw)
        if not _is_wrapped(stored):
            return stored
        return None if self._is_over(stored) else stored[_DATA]

    def _has_expired(self, key: str, raw: bytes) -> bool:
        try:
            return self._is_over(self._decode(key, raw))
        except SessionDecodeError:
            return False

    def _is_over(self, stored: Any) -> bool:
        if not _is_wrapped(stored) or stored[_EXPIRES] is None:
            return False
        return bool(_milliseconds(self._clock()) >= stored[_EXPIRES])

    def _decode(self, key: str, raw: bytes) -> Any:
        return decode_value(self._codec, key, raw, str(self.folder.where(key)))


def _is_wrapped(stored: Any) -> TypeGuard[dict[str, Any]]:
    return (
        isinstance(stored, dict)
        and stored.keys() == _FIELDS
        and stored[_DATA] is not None
        and isinstance(stored[_EXPIRES], int | float | None)
    )


def _milliseconds(instant: float) -> int:
    return round(instant * 1000)


def _revision(raw: bytes) -> Revision:
    return hashlib.sha256(raw).hexdigest()
