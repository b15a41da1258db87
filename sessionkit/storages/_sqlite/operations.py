"""What can be done with stored sessions, written once for tasks and for threads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, TypeVarTuple

from sessionkit._storage.entries import conflict, encode_entry
from sessionkit._storage.lifetime import Lifetime
from sessionkit._storage.listing import LeftOut, Listing
from sessionkit.codecs import Codec, decode_value, takes_any_value
from sessionkit.errors import SessionError
from sessionkit.protocols import Clock, Entry, Expected, Revision
from sessionkit.storages._jobs import Kind
from sessionkit.storages._sqlite.table import (
    ELSEWHERE,
    Content,
    Row,
    Scan,
    StoredKey,
    Table,
    loaded_key,
    revision_of,
    stored_key,
)

if TYPE_CHECKING:
    import sqlite3

    from sessionkit.storages._sqlite.readers import Readers

R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class Perform(Protocol):
    """``Worker.run`` or ``Worker.block``."""

    def __call__(
        self, kind: Kind, work: Callable[[sqlite3.Cursor, *Ts], R], /, *args: *Ts
    ) -> Coroutine[Any, Any, R]:
        """Return what *work* gives."""
        ...


class Operations:
    """The methods of a storage as coroutines; *perform* decides how they wait.

    Values are encoded, and times taken, before anything is queued.  What *readers*
    can read on the spot is not queued at all.
    """

    def __init__(
        self, perform: Perform, readers: Readers, table: Table, codec: Codec, lifetime: Lifetime
    ) -> None:
        self._perform = perform
        self._readers = readers
        self._table = table
        self._codec = codec
        self.any_value: bool = takes_any_value(codec)
        self._lifetime = lifetime
        self.ttl: float | None = lifetime.ttl
        self.clock: Clock = lifetime.now

    async def read(self, key: str, /) -> Any:
        """Return the value, None if missing or expired."""
        return self._value(key, await self._row(stored_key(key)))

    async def read_with_revision(self, key: str, /) -> tuple[Any, Revision | None]:
        """Return value and revision; an expired value is None and has a revision."""
        row = await self._row(stored_key(key))
        return self._value(key, row), (None if row is None else revision_of(row[1], row[2]))

    async def read_many(self, keys: Sequence[str], /) -> dict[str, Any]:
        """Return what is stored under *keys*, read in one go; missing ones are left out."""
        return {key: value for key, value, _ in await self._found(keys)}

    async def has(self, key: str, /) -> bool:
        """Return whether *key* is stored and not expired; does not read the value."""
        stored = stored_key(key)
        found = self._readers.run(self._table.expiry, stored)
        if found is not ELSEWHERE:
            row = found
        else:
            row = await self._perform(Kind.READ, self._table.expiry, stored)
        return row is not None and not self._lifetime.is_over(row[0])

    def write(self, key: str, value: Any, /) -> Coroutine[Any, Any, None]:
        """Store *value* as it is now, replacing any earlier one; its timeout restarts."""
        return self._perform(Kind.WRITE, self._table.overwrite, *self._content(key, value))

    def write_many(self, values: Mapping[str, Any], /) -> Coroutine[Any, Any, None]:
        """Store all of *values*, as they are now, in one transaction, or none of them."""
        contents = [self._content(key, value) for key, value in values.items()]
        return self._perform(Kind.WRITE, self._table.put_all, contents)

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
        return self._put_if(key, *self._content(key, value, expires), expected)

    async def delete(self, key: str, /) -> None:
        """Remove *key*; a no-op if nothing is stored under it."""
        await self._perform(Kind.WRITE, self._table.delete, stored_key(key))

    async def touch(self, key: str, /) -> bool:
        """Restart the timeout of *key*, if it has one; False if it is missing."""
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
        """Yield each key that begins with *prefix*, in any order."""
        scan = Scan(self._table.keys_page, prefix)
        while scan.goes_on:
            for key, expires in await self._perform(Kind.READ, scan.page):
                if not self._lifetime.is_over(expires):
                    yield loaded_key(key)

    async def iter_items(self, prefix: str = "", /) -> AsyncIterator[tuple[str, Any]]:
        """Yield pairs of key and value, otherwise as ``iter_entries``."""
        async for key, value, _ in self.iter_entries(prefix):
            yield key, value

    def iter_entries(self, prefix: str = "", /) -> AsyncIterator[Entry]:
        """Yield keys, values and expiries, in any order; never what has expired.

        Raises:
            SessionListingError: At the end, if values could not be decoded.
        """
        return Listing(self._list(prefix))

    async def _list(self, prefix: str) -> AsyncIterator[list[Entry]]:
        scan, left_out = Scan(self._table.items_page, prefix), LeftOut()
        while scan.goes_on:
            page: list[Entry] = []
            for stored, expires, raw in await self._perform(Kind.READ, scan.page):
                if self._lifetime.is_over(expires):
                    continue
                key = loaded_key(stored)
                try:
                    value = decode_value(self._codec, key, raw, self._table.where)
                except SessionError as error:
                    left_out.add(error, key)
                else:
                    page.append(Entry(key, value, expires))
            yield page
        left_out.report()

    async def read_entries(self, keys: Sequence[str], /) -> dict[str, Entry]:
        """Return what is stored under *keys*, with its expiry, read in one go."""
        return {key: Entry(key, value, row[2]) for key, value, row in await self._found(keys)}

    async def write_entries(
        self, entries: Sequence[Entry], expected: Expected = None, /
    ) -> list[str]:
        """Store each entry where the revision is *expected*; return the other keys.

        All in one transaction; after an error, none was stored.
        """
        contents = [self._content(*entry) for entry in entries]
        arguments = (contents, expected, self._lifetime.now())
        stored = await self._perform(Kind.WRITE, self._table.put_each, *arguments)
        outcomes = zip(entries, stored, strict=True)
        return [entry.key for entry, is_stored in outcomes if not is_stored]

    async def _put_if(
        self, key: str, stored: StoredKey, entry: Content, expected: Expected
    ) -> Revision | None:
        arguments = (stored, entry, expected, self._lifetime.now())
        revision = await self._perform(Kind.WRITE, self._table.put_if, *arguments)
        if revision is None:
            raise conflict(key)
        return revision_of(revision, entry[1])

    async def _delete_if(self, key: str, expected: Expected) -> None:
        arguments = (stored_key(key), expected, self._lifetime.now())
        if not await self._perform(Kind.WRITE, self._table.delete_if, *arguments):
            raise conflict(key)

    async def _row(self, key: StoredKey) -> Row | None:
        found = self._readers.run(self._table.small_row, key)
        if found is not ELSEWHERE:
            return found
        return await self._perform(Kind.READ, self._table.row, key)

    async def _found(self, keys: Sequence[str]) -> list[tuple[str, Any, Row]]:
        stored = [stored_key(key) for key in keys]
        rows = await self._perform(Kind.READ, self._table.rows, stored)
        return [
            (key, value, row)
            for key, row in zip(keys, rows, strict=True)
            if row is not None and (value := self._value(key, row)) is not None
        ]

    def _value(self, key: str, row: Row | None) -> Any:
        if row is None or self._lifetime.is_over(row[2]):
            return None
        return decode_value(self._codec, key, row[0], self._table.where)

    def _content(
        self, key: str, value: Any, expires: float | None = None
    ) -> tuple[StoredKey, Content]:
        raw = encode_entry(self._codec, key, value)
        return stored_key(key), (raw, self._lifetime.end(expires))
