"""Sessions in the memory of this process."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta  # noqa: TC003 (shown by help and inspect)
from marshal import loads
from typing import TYPE_CHECKING, Any, Final, Literal
from weakref import WeakValueDictionary

from sessionkit._data.envelope import DATA
from sessionkit._data.plain import check_plain
from sessionkit._data.snapshots import freeze, thaw
from sessionkit._data.update_ids import NO_OTHERS, UPDATES, as_stored
from sessionkit._locks.table import open_keys
from sessionkit._storage.capabilities import Absent
from sessionkit._storage.seconds import seconds
from sessionkit.errors import SessionClosedError, SessionConflictError
from sessionkit.protocols import ANY, Clock, Entry, Expected, Revision

_SWEEP_AT_LEAST: Final = 64
_LOOKS_PER_WRITE: Final = 16


class _Entry:
    """A frozen value with an expiry, or something beside it; others are kept as bare ``bytes``.

    Attributes:
        beside: The ids of updates that the value has beside its data in an envelope; then
            *frozen* is the data alone.
    """

    __slots__ = ("beside", "expires", "frozen")

    def __init__(self, frozen: bytes, expires: float | None, beside: str | None = None) -> None:
        self.frozen = frozen
        self.expires = expires
        self.beside = beside


_living: WeakValueDictionary[int, MemorySessionStorage] = WeakValueDictionary()


def _renew_mutexes() -> None:  # pragma: no cover (in a child)
    # In a forked child, a thread of the parent that held one is gone.
    for storage in list(_living.values()):
        storage._mutex = threading.Lock()


if hasattr(os, "register_at_fork"):  # pragma: no branch (everywhere but on Windows)
    os.register_at_fork(after_in_child=_renew_mutexes)


class MemorySessionStorage:
    """Keep sessions in memory: isolated copies of any Python value.

    What is read is a copy of what was written, so changes count only once they
    are written.  All is lost when the process ends, and every process has a
    memory of its own.  Usable from any thread; no method ever waits.

    Args:
        ttl: How long a value lives after its last write; None: it never expires.
        max_entries: How many values are kept at most; the one not used for the
            longest time makes room.  A key that a session has open stays, so there
            are more than that if more are open.  None for no limit.
        plain: Take only what a durable storage takes, plain JSON values: for tests of
            a bot that has one.
        clock: The time, in seconds since the epoch.

    Raises:
        TypeError: *ttl* or *max_entries* is not a number.
        ValueError: *ttl* is not positive and finite, *max_entries* below 1.
    """

    isolated: Final = True
    settles: Final = True
    supports_expiry: Literal[True] = True

    if not TYPE_CHECKING:
        backup = Absent()

    def __init__(
        self,
        *,
        ttl: timedelta | float | None = None,
        max_entries: int | None = None,
        plain: bool = False,
        clock: Clock = time.time,
    ) -> None:
        if max_entries is not None and (type(max_entries) is not int or max_entries < 1):
            msg = f"max_entries must be a whole number from 1, not {max_entries!r}"
            raise TypeError(msg) if type(max_entries) is not int else ValueError(msg)
        self._ttl = None if ttl is None else seconds("ttl", ttl)
        self._max_entries = max_entries
        self.any_value: bool = not plain
        self._clock = clock
        # A plain dict takes the longer to find its first key, the more were taken out.
        self._by_use: OrderedDict[str, bytes | _Entry] | None = (
            None if max_entries is None else OrderedDict()
        )
        self._table: dict[str, bytes | _Entry] = {} if self._by_use is None else self._by_use
        self._is_simple = ttl is None and max_entries is None
        self._mutex = threading.Lock()
        self._writes_to_sweep = _SWEEP_AT_LEAST
        self._closed = False
        _living[id(self)] = self

    @property
    def ttl(self) -> float | None:
        """How long a value lives after its last write, in seconds; None: without limit."""
        return self._ttl

    def __repr__(self) -> str:
        return f"<MemorySessionStorage with {len(self._table)} entries>"

    @property
    def sync(self) -> MemorySessionStorage:
        """This storage itself: it never waits."""
        return self

    def file_lock(self, patience: float | None, /) -> None:
        """Return None, which ``lock="file"`` means here: no other process has this memory."""

    def read(self, key: str, /) -> Any:
        """Return a copy of the value, None if missing or expired."""
        return self.read_with_revision(key)[0]

    def write(self, key: str, value: Any, /) -> None:
        """Store a copy of *value*; its timeout restarts."""
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
        frozen = {key: self._frozen(value) for key, value in values.items()}
        with self._mutex:
            self._check_open()
            for key, value in frozen.items():
                self._put(key, _Entry(value, None))

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

    def read_entries(self, keys: Sequence[str], /) -> dict[str, Entry]:
        """Return copies of what is stored under *keys*, with their expiry."""
        self._check_open()
        found = ((key, self._table.get(key)) for key in keys)
        return {key: _stored(key, at) for key, at in found if at and not self._is_expired(at)}

    def iter_entries(self, prefix: str = "", /) -> Iterator[Entry]:
        """Yield copies of what is stored, with its expiry, as of now."""
        for key, entry in self._snapshot(prefix):
            if not self._is_expired(entry):
                yield _stored(key, entry)

    def write_entries(self, entries: Sequence[Entry], expected: Expected = None, /) -> list[str]:
        """Store each entry where the revision is *expected*; return the other keys."""
        left_alone: list[str] = []
        for key, value, expires in entries:
            try:
                self.write_if(key, value, expected, expires=expires)
            except SessionConflictError:
                left_alone.append(key)
        return left_alone

    def read_with_revision(self, key: str, /) -> tuple[Any, Revision | None]:
        """Return a copy of the value and its revision; an expired value has one too."""
        return self.read_snapshot(key)[1:]

    def read_snapshot(self, key: str, /) -> tuple[bytes | None, Any, Revision | None]:
        """Return the snapshot that is kept, a copy, and the revision: see ``SupportsSnapshots``."""
        if self._closed:
            raise self._closed_error()
        frozen: Any
        frozen = entry = self._table.get(key)
        if entry is None:
            return None, None, None
        if self._by_use is not None:
            with self._mutex, suppress(KeyError):  # it may have gone since
                self._by_use.move_to_end(key)
        if type(entry) is _Entry:
            if entry.beside is not None:
                return self._read_whole(entry)
            expires, frozen, clock = entry.expires, entry.frozen, self._clock
            if expires is not None and clock() >= expires:
                return None, None, entry
        if type(frozen) is bytes:
            return frozen, loads(frozen), entry  # noqa: S302 (see thaw)
        return frozen, thaw(frozen), entry

    def _read_whole(self, entry: _Entry) -> tuple[bytes | None, Any, Revision | None]:
        if self._is_expired(entry):
            return None, None, entry
        value = _value(entry)
        return freeze(value), value, entry

    def read_beside(self, key: str, /) -> tuple[bytes | None, Any, Revision | None]:
        """Do what ``read_snapshot`` does, but leave out ids of updates beside the data.

        They are in the revision, as ``beside``; where there are none, or something else is
        beside the data, or the data itself looks like an envelope, nothing is left out.
        """
        entry = self._table.get(key)
        if not isinstance(entry, _Entry) or entry.beside is None or self._by_use is not None:
            return self.read_snapshot(key)
        if entry.expires is not None and self._is_expired(entry):
            return None, None, entry
        frozen = entry.frozen
        data = loads(frozen) if type(frozen) is bytes else thaw(frozen)  # noqa: S302
        if data.__class__ is dict and DATA in data:
            return self._read_whole(entry)
        return frozen, data, entry

    def write_beside(
        self, key: str, snapshot: bytes, beside: str, expected: Expected, /
    ) -> Revision | None:
        """Do what ``write_snapshot`` does, with a snapshot of the data, and done ids beside it."""
        with self._mutex:
            if self._closed:
                raise self._closed_error()
            if expected is not ANY and self._table.get(key) is not expected:
                self._check_revision(key, expected)
            entry = _Entry(snapshot, None, beside)
            if self._is_simple:
                self._table[key] = entry
                return entry
            return self._put(key, entry)

    def write_if(
        self, key: str, value: Any, expected: Expected, /, *, expires: float | None = None
    ) -> Revision | None:
        """Store or (None) delete, if what is stored is *expected*; see the protocol."""
        frozen = None if value is None else self._frozen(value)
        return self.write_snapshot(key, frozen, value, expected, expires)

    def write_snapshot(
        self,
        key: str,
        snapshot: bytes | None,
        value: Any,  # noqa: ARG002 (see the protocol)
        expected: Expected,
        expires: float | None = None,
        /,
    ) -> Revision | None:
        """Do what ``write_if`` does with a snapshot: see ``SupportsSnapshots``."""
        mutex, table = self._mutex, self._table
        mutex.acquire()  # with ``with``, it takes longer
        try:
            if self._closed:
                raise self._closed_error()
            if table.get(key) is not expected and expected is not ANY:
                self._check_revision(key, expected)
            if snapshot is None:
                table.pop(key, None)
                return None
            if self._is_simple and expires is None and len(snapshot) > 1:
                table[key] = snapshot
                return snapshot
            return self._put(key, _Entry(snapshot, expires))
        finally:
            mutex.release()

    def touch(self, key: str, /) -> bool:
        """Restart the timeout of *key*; False if it is missing or expired."""
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
            raise self._closed_error()

    def _closed_error(self) -> SessionClosedError:
        return SessionClosedError("this MemorySessionStorage was closed; make a new one")

    def _check_revision(self, key: str, expected: Expected) -> None:
        entry = self._table.get(key)
        if expected is None and entry and self._is_expired(entry):
            return
        if entry is None and isinstance(expected, _Entry) and self._is_expired(expected):
            return  # what was read has expired, and was removed for that
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

    def _frozen(self, value: Any) -> bytes:
        if not self.any_value:
            check_plain(value)
        return freeze(value)

    def _put(self, key: str, entry: _Entry) -> Revision:
        expires = entry.expires
        if expires is None and self._ttl is not None:
            clock = self._clock  # as a method it takes longer to call
            expires = entry.expires = clock() + self._ttl
        # Python shares one-byte bytes, and a revision must be an object of its own
        bare = expires is None and entry.beside is None and len(entry.frozen) > 1
        kept = self._table[key] = entry.frozen if bare else entry
        if expires is not None:
            self._writes_to_sweep -= 1
            if self._writes_to_sweep <= 0:
                self._sweep()
        if self._by_use is not None:
            self._by_use.move_to_end(key)
            self._make_room(self._by_use, key)
        return kept

    def _make_room(self, by_use: OrderedDict[str, bytes | _Entry], written: str) -> None:
        excess = len(by_use) - (self._max_entries or 0)
        held = open_keys(self) if excess > 0 else ()
        for _ in range(_LOOKS_PER_WRITE):
            oldest = next(iter(by_use))
            if excess <= 0 or oldest == written:
                return
            if oldest in held:  # to be open is to be used
                by_use.move_to_end(oldest)
            else:
                del by_use[oldest]
                excess -= 1

    def _sweep(self) -> int:
        now = self._clock()
        expired = [
            key
            for key, entry in self._table.items()
            if isinstance(entry, _Entry) and entry.expires is not None and now >= entry.expires
        ]
        for key in expired:
            del self._table[key]
        self._writes_to_sweep = max(_SWEEP_AT_LEAST, len(self._table) // 2)
        return len(expired)


def _value(entry: bytes | _Entry) -> Any:
    if not isinstance(entry, _Entry):
        return thaw(entry)
    value = thaw(entry.frozen)
    if entry.beside is None:
        return value
    return {DATA: value, UPDATES: as_stored((entry.beside, NO_OTHERS))}


def _stored(key: str, entry: bytes | _Entry) -> Entry:
    return Entry(key, _value(entry), entry.expires if isinstance(entry, _Entry) else None)
