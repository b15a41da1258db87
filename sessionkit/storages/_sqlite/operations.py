"""What can be done with stored sessions, written once for tasks and for threads."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, TypeVarTuple

from sessionkit._types import Clock, Expected, Revision
from sessionkit.codecs import Codec, decode_value, encode_value, takes_any_value
from sessionkit.errors import SessionConflictError, SessionEncodeError
from sessionkit.storages._sqlite.jobs import Kind
from sessionkit.storages._sqlite.table import (
    Entry,
    Row,
    Scan,
    StoredKey,
    Table,
    loaded_key,
    stored_key,
)

if TYPE_CHECKING:
    import sqlite3

R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class Perform(Protocol):
    """``Worker.run`` or ``Worker.block``."""

    def __call__(
        self, kind: Kind, work: Callable[[sqlite3.Cursor, *Ts], R], /, *args: *Ts
    ) -> Coroutine[Any, Any, R]:
        """Return what *work* gives."""
        ...


class Lifetime:
    """When values expire.

    Args:
        ttl: Seconds from the last write; None for never.
        clock: The time, in seconds since the epoch.
    """

    def __init__(self, ttl: float | None, clock: Clock) -> None:
        self.now = clock
        self._ttl = ttl

    def end(self) -> float | None:
        """Return when a value written now expires."""
        return None if self._ttl is None else self.now() + self._ttl

    def is_over(self, expires: float | None) -> bool:
        """Return whether what expires at *expires* is gone."""
        return expires is not None and self.now() >= expires


class Operations:
    """The methods of a storage as coroutines; *perform* decides how they wait.

    Values are encoded, and times taken, before anything is queued.
    """

    def __init__(self, perform: Perform, table: Table, codec: Codec, lifetime: Lifetime) -> None:
        self._perform = perform
        self._table = table
        self._codec = codec
        self.any_value: bool = takes_any_value(codec)
        self._lifetime = lifetime

    async def read(self, key: str, /) -> Any:
        """Return the value, None if missing or expired."""
        row = await self._perform(Kind.READ, self._table.row, stored_key(key))
        return self._value(key, row)

    async def read_with_revision(self, key: str, /) -> tuple[Any, Revision | None]:
        """Return value and revision; an expired value is None and has a revision."""
        row = await self._perform(Kind.READ, self._table.row, stored_key(key))
        return self._value(key, row), (None if row is None else row[1])

    async def read_many(self, keys: Sequence[str], /) -> dict[str, Any]:
        """Return what is stored under *keys*, read in one go; missing ones are left out."""
        stored = [stored_key(key) for key in keys]
        rows = await self._perform(Kind.READ, self._table.rows, stored)
        found = ((key, self._value(key, row)) for key, row in zip(keys, rows, strict=True))
        return {key: value for key, value in found if value is not None}

    async def has(self, key: str, /) -> bool:
        """Return whether *key* is stored and not expired; does not read the value."""
        row = await self._perform(Kind.READ, self._table.expiry, stored_key(key))
        return row is not None and not self._lifetime.is_over(row[0])

    def write(self, key: str, value: Any, /) -> Coroutine[Any, Any, None]:
        """Store *value* as it is now, whatever was there; its timeout begins anew."""
        return self._perform(Kind.WRITE, self._table.overwrite, *self._entry(key, value))

    def write_many(self, values: Mapping[str, Any], /) -> Coroutine[Any, Any, None]:
        """Store all of *values*, as they are now, in one transaction, or none of them."""
        entries = [self._entry(key, value) for key, value in values.items()]
        return self._perform(Kind.WRITE, self._table.put_all, entries)

    def write_if(
        self, key: str, value: Any, expected: Expected, /, *, expires: float | None = None
    ) -> Coroutine[Any, Any, Revision | None]:
        """Store *value* as it is now, or (None) delete, if what is stored is *expected*.

        Gone at the instant *expires*, in epoch seconds; None leaves it to ``ttl``.

        Returns:
            The new revision, None after a delete.

        Raises:
            SessionConflictError: What is stored is not *expected*; it was left alone.
            ValueError: *expires* is NaN.
        """
        if value is None:
            return self._delete_if(key, expected)
        return self._put_if(key, *self._entry(key, value, expires), expected)

    async def delete(self, key: str, /) -> None:
        """Remove *key*; a no-op if nothing is stored under it."""
        await self._perform(Kind.WRITE, self._table.delete, stored_key(key))

    async def touch(self, key: str, /) -> bool:
        """Let the timeout of *key*, if it has one, begin anew; False if it is missing."""
        end = self._lifetime.end()
        if end is None:
            return await self.has(key)
        arguments = (stored_key(key), end, self._lifetime.now())
        return await self._perform(Kind.WRITE, self._table.touch, *arguments)

    async def purge_expired(self) -> int:
        """Remove what has expired, in small transactions; return how many values."""
        now, purged, more = self._lifetime.now(), 0, True
        while more:
            removed, more = await self._perform(Kind.WRITE, self._table.purge, now)
            purged += removed
        return purged

    async def iter_keys(self, prefix: str = "", /) -> AsyncIterator[str]:
        """Yield each key that begins with *prefix*, in no particular order."""
        scan = Scan(self._table.keys_page, prefix)
        while scan.goes_on:
            for key, expires in await self._perform(Kind.READ, scan.page):
                if not self._lifetime.is_over(expires):
                    yield loaded_key(key)

    async def iter_items(self, prefix: str = "", /) -> AsyncIterator[tuple[str, Any]]:
        """Yield pairs of key and value, otherwise as ``iter_keys``."""
        scan = Scan(self._table.items_page, prefix)
        while scan.goes_on:
            for stored, expires, raw in await self._perform(Kind.READ, scan.page):
                if not self._lifetime.is_over(expires):
                    key = loaded_key(stored)
                    yield key, decode_value(self._codec, key, raw, self._table.where)

    async def _put_if(
        self, key: str, stored: StoredKey, entry: Entry, expected: Expected
    ) -> Revision | None:
        arguments = (stored, entry, expected, self._lifetime.now())
        revision = await self._perform(Kind.WRITE, self._table.put_if, *arguments)
        if revision is None:
            raise _conflict(key)
        return revision

    async def _delete_if(self, key: str, expected: Expected) -> None:
        arguments = (stored_key(key), expected, self._lifetime.now())
        if not await self._perform(Kind.WRITE, self._table.delete_if, *arguments):
            raise _conflict(key)

    def _value(self, key: str, row: Row | None) -> Any:
        if row is None or self._lifetime.is_over(row[2]):
            return None
        return decode_value(self._codec, key, row[0], self._table.where)

    def _entry(self, key: str, value: Any, expires: float | None = None) -> tuple[StoredKey, Entry]:
        stored = stored_key(key)
        if value is None:
            msg = f"None stands for missing and cannot be stored under {key!r}: use delete"
            raise SessionEncodeError(msg, key=key)
        end = self._lifetime.end() if expires is None else _checked(expires)
        return stored, (encode_value(self._codec, key, value), end)


def _checked(expires: float) -> float:
    if math.isnan(expires):  # SQLite would take it for "never"
        msg = "expires must be a time in seconds since the epoch, not NaN"
        raise ValueError(msg)
    return float(expires)


def _conflict(key: str) -> SessionConflictError:
    msg = f"somebody else wrote {key!r} in between: read it again and repeat the change"
    return SessionConflictError(msg, key=key)
