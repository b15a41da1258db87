"""Sessions in the memory of this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta  # noqa: TC003 (shown by help and inspect)
from typing import Any, Final, Literal

from sessionkit._frozen import freeze, thaw
from sessionkit._seconds import seconds
from sessionkit._types import ANY, Clock, Expected, Revision
from sessionkit.errors import SessionClosedError, SessionConflictError

_CALLED: Final = frozenset({"read", "write", "delete", "read_with_revision", "write_if"})
_SWEEP_AT_LEAST: Final = 64


class _Entry:
    """A frozen value with an expiry; a plain one is kept as bare ``bytes``."""

    __slots__ = ("expires", "frozen")

    def __init__(self, frozen: bytes, expires: float | None) -> None:
        self.frozen = frozen
        self.expires = expires


class MemorySessionStorage:
    """Keep sessions in memory: isolated copies of any Python value.

    What is read is a copy of what was written, so changes count only once they
    are written.  All is lost when the process ends, and every process has a
    memory of its own.  Usable from any thread; no method ever waits.

    A bytes-like object that replaces a string of the very same size, where nothing
    else in the data changes its size, may come back as ``bytes``.

    Args:
        ttl: How long a value lives after its last write; None for ever.
        max_entries: How many values are kept at most; the one not used for the
            longest time makes room.  None for no limit.
        clock: The time, in seconds since the epoch.

    Raises:
        TypeError: *ttl* or *max_entries* is no number.
        ValueError: *ttl* is not positive and finite, *max_entries* below 1.
    """

    any_value: Final = True
    isolated: Final = True
    settles: Final = True
    supports_expiry: Literal[True] = True

    def __init__(
        self,
        *,
        ttl: timedelta | float | None = None,
        max_entries: int | None = None,
        clock: Clock = time.time,
    ) -> None:
        if max_entries is not None and (type(max_entries) is not int or max_entries < 1):
            msg = f"max_entries must be a whole number from 1, not {max_entries!r}"
            raise TypeError(msg) if type(max_entries) is not int else ValueError(msg)
        self._ttl = None if ttl is None else seconds("ttl", ttl)
        self._max_entries = max_entries
        self._clock = clock
        self._table: dict[str, bytes | _Entry] = {}
        self._mutex = threading.Lock()
        self._writes_since_sweep = 0
        self._closed = False

    def __repr__(self) -> str:
        return f"<MemorySessionStorage with {len(self._table)} entries>"

    @property
    def sync(self) -> MemorySessionStorage:
        """This storage itself: it never waits."""
        return self

    @property
    def keeps_frozen(self) -> bool:
        """Whether sessions may pass by ``read`` and ``write``: if no subclass has its own."""
        own = vars(self).keys() | {
            name
            for kind in type(self).__mro__
            if issubclass(kind, MemorySessionStorage) and kind is not MemorySessionStorage
            for name in vars(kind)
        }
        return own.isdisjoint(_CALLED)

    @property
    def express_table(self) -> dict[str, bytes | _Entry] | None:
        """The table, for the session layer, where entries need no care but a freeze."""
        bare = self._ttl is None and self._max_entries is None and self.keeps_frozen
        return self._table if bare else None

    def read(self, key: str, /) -> Any:
        """Return a copy of the value, None if missing or expired."""
        return self.read_with_revision(key)[0]

    def write(self, key: str, value: Any, /) -> None:
        """Store a copy of *value*; its timeout begins anew."""
        self.write_if(key, value, ANY)

    def delete(self, key: str, /) -> None:
        """Remove *key*, if it is there."""
        self.write_if(key, None, ANY)

    def has(self, key: str, /) -> bool:
        """Return whether *key* is stored and not expired."""
        self._check_open()
        entry = self._table.get(key)
        return entry is not None and not self._is_expired(entry)

    def read_many(self, keys: Sequence[str], /) -> dict[str, Any]:
        """Return copies of what is stored under *keys*, without the missing ones."""
        found = ((key, self.read(key)) for key in keys)
        return {key: value for key, value in found if value is not None}

    def write_many(self, values: Mapping[str, Any], /) -> None:
        """Store copies of all *values*, or of none if one cannot be copied."""
        frozen = {key: freeze(value) for key, value in values.items()}
        with self._mutex:
            self._check_open()
            for key, value in frozen.items():
                self._put(key, value, None)

    def iter_keys(self, prefix: str = "", /) -> Iterator[str]:
        """Yield the keys that begin with *prefix*, as of now."""
        for key, entry in self._snapshot(prefix):
            if not self._is_expired(entry):
                yield key

    def iter_items(self, prefix: str = "", /) -> Iterator[tuple[str, Any]]:
        """Yield keys and copies of values, as of now."""
        for key, entry in self._snapshot(prefix):
            if not self._is_expired(entry):
                yield key, _value(entry)

    def read_with_revision(self, key: str, /) -> tuple[Any, Revision | None]:
        """Return a copy of the value and its revision; an expired value has one too."""
        value, revision, _ = self.read_frozen(key)
        return value, revision

    def read_frozen(self, key: str, /) -> tuple[Any, Revision | None, bytes | None]:
        """Return value, revision and frozen value, which the session layer compares with."""
        self._check_open()
        entry = self._table.get(key)
        if entry is None:
            return None, None, None
        if self._is_expired(entry):
            return None, entry, None
        if self._max_entries is not None:
            self._mark_used(key)
        frozen = entry.frozen if isinstance(entry, _Entry) else entry
        return thaw(frozen), entry, frozen

    def write_if(
        self, key: str, value: Any, expected: Expected, /, *, expires: float | None = None
    ) -> Revision | None:
        """Store or (None) delete, if what is stored is *expected*; see the protocol."""
        frozen = None if value is None else freeze(value)
        return self.write_frozen(key, frozen, expected, expires)

    def write_frozen(
        self, key: str, frozen: bytes | None, expected: Expected, expires: float | None = None, /
    ) -> Revision | None:
        """Do what ``write_if`` does with a value that the session layer froze."""
        with self._mutex:
            self._check_open()
            self._check_revision(key, expected)
            if frozen is None:
                self._table.pop(key, None)
                return None
            return self._put(key, frozen, expires)

    def touch(self, key: str, /) -> bool:
        """Let the timeout of *key* begin anew; False if it is missing or expired."""
        with self._mutex:
            self._check_open()
            entry = self._table.get(key)
            if entry is None or self._is_expired(entry):
                return False
            if self._ttl is not None and isinstance(entry, _Entry):
                entry.expires = self._clock() + self._ttl
            return True

    def purge_expired(self) -> int:
        """Remove what has expired, return how many values that were."""
        with self._mutex:
            self._check_open()
            return self._sweep()

    def close(self) -> None:
        """Forget everything; any later use raises ``SessionClosedError``."""
        with self._mutex:
            self._closed = True
            self._table.clear()

    def __enter__(self) -> MemorySessionStorage:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def __aenter__(self) -> MemorySessionStorage:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            msg = "this MemorySessionStorage was closed; make a new one"
            raise SessionClosedError(msg)

    def _check_revision(self, key: str, expected: Expected) -> None:
        if expected is ANY:
            return
        entry = self._table.get(key)
        if entry is expected or (expected is None and entry and self._is_expired(entry)):
            return
        msg = f"what is stored under {key!r} is not what was read"
        raise SessionConflictError(msg, key=key)

    def _is_expired(self, entry: bytes | _Entry) -> bool:
        return (
            isinstance(entry, _Entry)
            and entry.expires is not None
            and self._clock() >= entry.expires
        )

    def _snapshot(self, prefix: str) -> list[tuple[str, bytes | _Entry]]:
        self._check_open()
        with self._mutex:
            return [item for item in self._table.items() if item[0].startswith(prefix)]

    def _mark_used(self, key: str) -> None:
        with self._mutex:
            entry = self._table.pop(key, None)
            if entry is not None:
                self._table[key] = entry

    def _put(self, key: str, frozen: bytes, expires: float | None) -> Revision:
        if expires is None and self._ttl is not None:
            expires = self._clock() + self._ttl
        # Python shares one-byte bytes, and a revision must be an object of its own
        bare = expires is None and len(frozen) > 1
        entry = frozen if bare else _Entry(frozen, expires)
        if self._max_entries is not None:
            self._table.pop(key, None)
        self._table[key] = entry
        self._make_room(expires is not None)
        return entry

    def _make_room(self, expiring: bool) -> None:  # noqa: FBT001
        if expiring:
            self._writes_since_sweep += 1
            if self._writes_since_sweep >= max(_SWEEP_AT_LEAST, len(self._table) // 2):
                self._sweep()
        if self._max_entries is not None and len(self._table) > self._max_entries:
            del self._table[next(iter(self._table))]

    def _sweep(self) -> int:
        self._writes_since_sweep = 0
        expired = [key for key, entry in self._table.items() if self._is_expired(entry)]
        for key in expired:
            del self._table[key]
        return len(expired)


def _value(entry: bytes | _Entry) -> Any:
    return thaw(entry.frozen if isinstance(entry, _Entry) else entry)
