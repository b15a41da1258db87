"""The statements for one table of sessions; no thread, no transaction, no codec.

Keys are text.  A key with a lone surrogate is not text to SQLite, so it is kept
as the bytes Python makes of it; SQLite never takes text and bytes for equal.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from enum import Enum
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar

from sessionkit._storage.entries import check_key, key_bytes
from sessionkit.protocols import ANY, Expected

if TYPE_CHECKING:
    import sqlite3

R = TypeVar("R")


class _Elsewhere(Enum):
    ELSEWHERE = "ELSEWHERE"


ELSEWHERE: Final = _Elsewhere.ELSEWHERE
"""In place of a result: this is not for the caller's thread, ask the worker."""

MaybeElsewhere: TypeAlias = R | Literal[_Elsewhere.ELSEWHERE]
StoredKey: TypeAlias = str | bytes
Content: TypeAlias = tuple[bytes, float | None]
"""Value and expiry, as they are written."""
Row: TypeAlias = tuple[bytes, int, float | None]
"""Value, revision and expiry, as they are read."""

_PAGE: Final = 256
_PAGE_SPACE: Final = 4_000_000
"""Bytes of values after which a page ends early: large ones must not fill the memory."""
_PURGED_AT_ONCE: Final = 500
_SMALL: Final = 64 * 1024
_LARGEST_REVISION: Final = 2**63 - 1

_ROW = 'SELECT CAST(value AS BLOB), revision, expires FROM "{table}" WHERE key = ?'
_SMALL_ROW = _ROW.replace(
    "CAST(value AS BLOB)", "CASE WHEN length(value) <= {small} THEN CAST(value AS BLOB) END"
)
_EXPIRY = 'SELECT expires FROM "{table}" WHERE key = ?'
_PUT = """
    INSERT INTO "{table}" (value, expires, revision, key) VALUES (?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE
    SET value = excluded.value, expires = excluded.expires, revision = excluded.revision
"""
_PUT_IF_MISSING = _PUT + 'WHERE "{table}".expires <= ?'
_PUT_IF = """
    UPDATE "{table}" SET value = ?, expires = ?, revision = ? WHERE key = ? AND revision = ?
"""
_DELETE = 'DELETE FROM "{table}" WHERE key = ?'
_DELETE_IF = _DELETE + " AND revision = ?"
_TOUCH = 'UPDATE "{table}" SET expires = ? WHERE key = ? AND expires > ?'
_PURGE = """
    DELETE FROM "{table}" WHERE rowid IN
    (SELECT rowid FROM "{table}" WHERE expires <= ? LIMIT {purged_at_once})
"""
_KEYS = 'SELECT key, expires FROM "{table}" WHERE key >= ? ORDER BY key LIMIT {page}'
_ITEMS = _KEYS.replace("expires", "expires, CAST(value AS BLOB)", 1)


def stored_key(key: str) -> StoredKey:
    """Return *key* as it is stored.

    Raises:
        InvalidSessionKeyError: *key* is empty, or no string.
    """
    return _stored(check_key(key))


def _stored(text: str) -> StoredKey:
    try:
        text.encode()
    except UnicodeEncodeError:
        return key_bytes(text)
    return text


def loaded_key(key: StoredKey) -> str:
    """Return the key that ``stored_key`` was given."""
    return key if isinstance(key, str) else key.decode("utf-8", "surrogatepass")


class Table:
    """Reads and changes rows with a cursor it is given.

    A revision is counted up from a random number of 62 bits, so it needs no row
    of its own, and no two storages come to the same one.
    """

    def __init__(self, name: str, where: str) -> None:
        def statement(template: str) -> str:
            return template.format(
                table=name, page=_PAGE, purged_at_once=_PURGED_AT_ONCE, small=_SMALL
            )

        self.where = where
        self.keys_page: str = statement(_KEYS)
        self.items_page: str = statement(_ITEMS)
        self._revisions: Iterator[int] = iter(())
        self._pid = 0
        self._row = statement(_ROW)
        self._small_row = statement(_SMALL_ROW)
        self._expiry = statement(_EXPIRY)
        self._put = statement(_PUT)
        self._put_if_missing = statement(_PUT_IF_MISSING)
        self._put_if = statement(_PUT_IF)
        self._delete = statement(_DELETE)
        self._delete_if = statement(_DELETE_IF)
        self._touch = statement(_TOUCH)
        self._purge = statement(_PURGE)

    def row(self, cursor: sqlite3.Cursor, key: StoredKey) -> Row | None:
        """Return what is stored under *key*, expired or not."""
        row: Row | None = cursor.execute(self._row, (key,)).fetchone()
        return row

    def small_row(self, cursor: sqlite3.Cursor, key: StoredKey) -> MaybeElsewhere[Row | None]:
        """Return what is stored under *key*, ELSEWHERE if that is a large value."""
        row = cursor.execute(self._small_row, (key,)).fetchone()
        return ELSEWHERE if row is not None and row[0] is None else row

    def rows(self, cursor: sqlite3.Cursor, keys: Sequence[StoredKey]) -> list[Row | None]:
        """Return what is stored under each of *keys*."""
        return [self.row(cursor, key) for key in keys]

    def put(self, cursor: sqlite3.Cursor, key: StoredKey, entry: Content) -> int:
        """Store *entry*, whatever was there; return its revision."""
        revision = self._next_revision()
        cursor.execute(self._put, (*entry, revision, key))
        return revision

    def overwrite(self, cursor: sqlite3.Cursor, key: StoredKey, entry: Content) -> None:
        """Store *entry*, whatever was there."""
        self.put(cursor, key, entry)

    def put_all(self, cursor: sqlite3.Cursor, entries: Sequence[tuple[StoredKey, Content]]) -> None:
        """Store all of *entries*, or nothing at all."""
        with _all_or_nothing(cursor):
            for key, entry in entries:
                self.put(cursor, key, entry)

    def put_each(
        self,
        cursor: sqlite3.Cursor,
        entries: Sequence[tuple[StoredKey, Content]],
        expected: Expected,
        now: float,
    ) -> list[bool]:
        """Store those of *entries* in whose place is *expected*; return which that were."""
        with _all_or_nothing(cursor):
            return [
                self.put_if(cursor, key, entry, expected, now) is not None for key, entry in entries
            ]

    def put_if(
        self, cursor: sqlite3.Cursor, key: StoredKey, entry: Content, expected: Expected, now: float
    ) -> int | None:
        """Store *entry* and return its revision; None if what is stored is not *expected*."""
        if expected is ANY:
            return self.put(cursor, key, entry)
        revision = self._next_revision()
        if expected is None:
            cursor.execute(self._put_if_missing, (*entry, revision, key, now))
        else:
            cursor.execute(self._put_if, (*entry, revision, key, _number(expected)))
            if cursor.rowcount == 0 and _has_lapsed(expected, now):
                cursor.execute(self._put_if_missing, (*entry, revision, key, now))
        return revision if cursor.rowcount == 1 else None

    def delete(self, cursor: sqlite3.Cursor, key: StoredKey) -> None:
        """Remove *key*, if it is there."""
        cursor.execute(self._delete, (key,))

    def delete_if(
        self, cursor: sqlite3.Cursor, key: StoredKey, expected: Expected, now: float
    ) -> bool:
        """Remove *key* if what is stored is *expected*; return whether it was."""
        if expected is ANY:
            self.delete(cursor, key)
            return True
        if expected is not None:
            if cursor.execute(self._delete_if, (key, _number(expected))).rowcount == 1:
                return True
            if not _has_lapsed(expected, now):
                return False
        return not self._is_alive(cursor, key, now)

    def expiry(self, cursor: sqlite3.Cursor, key: StoredKey) -> tuple[float | None] | None:
        """Return when *key* expires, in a tuple; None if nothing is stored."""
        row: tuple[float | None] | None = cursor.execute(self._expiry, (key,)).fetchone()
        return row

    def touch(self, cursor: sqlite3.Cursor, key: StoredKey, expires: float, now: float) -> bool:
        """Move the expiry of *key*, if it has one; return whether *key* is alive."""
        cursor.execute(self._touch, (expires, key, now))
        return cursor.rowcount == 1 or self._is_alive(cursor, key, now)

    def purge(self, cursor: sqlite3.Cursor, now: float) -> tuple[int, bool]:
        """Remove some expired rows; return how many, and whether there may be more."""
        removed = cursor.execute(self._purge, (now,)).rowcount
        return removed, removed == _PURGED_AT_ONCE

    def _next_revision(self) -> int:
        if self._pid != os.getpid():  # a forked process must not count on where its parent was
            self._pid = os.getpid()
            self._revisions = count(secrets.randbits(62))
        return next(self._revisions)

    def _is_alive(self, cursor: sqlite3.Cursor, key: StoredKey, now: float) -> bool:
        row = self.expiry(cursor, key)
        return row is not None and (row[0] is None or row[0] > now)


@contextmanager
def _all_or_nothing(cursor: sqlite3.Cursor) -> Generator[None]:
    cursor.execute("SAVEPOINT all_or_nothing")
    try:
        yield
    except BaseException:
        if cursor.connection.in_transaction:
            cursor.execute("ROLLBACK TO all_or_nothing")
        raise
    cursor.execute("RELEASE all_or_nothing")


class ExpiringRevision(int):
    """The revision of a value that expires: what was purged since counts as unchanged."""

    expires: float


def revision_of(number: int, expires: float | None) -> int:
    """Return the revision of a row."""
    if expires is None:
        return number
    revision = ExpiringRevision(number)
    revision.expires = expires
    return revision


def _has_lapsed(expected: object, now: float) -> bool:
    return isinstance(expected, ExpiringRevision) and now >= expected.expires


def _number(expected: object) -> int:
    """Return *expected* as a number to compare with; one that nothing has if it is none."""
    if isinstance(expected, int) and 0 <= expected <= _LARGEST_REVISION:
        return expected
    return -1


class Scan:
    """Goes through the keys with one prefix, page by page: text first, then bytes.

    Args:
        query: ``Table.keys_page`` or ``Table.items_page``.
        prefix: What the keys begin with.
    """

    def __init__(self, query: str, prefix: str) -> None:
        self._query = query
        self._prefixes: list[StoredKey] = [key_bytes(prefix)]
        if isinstance(text := _stored(prefix), str):
            self._prefixes.append(text)
        self._start = self._prefixes[-1]

    @property
    def goes_on(self) -> bool:
        """Whether there may be more pages."""
        return bool(self._prefixes)

    def page(self, cursor: sqlite3.Cursor) -> list[tuple[Any, ...]]:
        """Return the next rows: stored key, expiry, and whatever else was asked for."""
        prefix = self._prefixes[-1]
        fitting: list[tuple[Any, ...]] = []
        space = _PAGE_SPACE
        with closing(cursor.connection.cursor()) as own:  # which may end before its last row
            for row in own.execute(self._query, (self._start,)):
                if not _begins_with(row[0], prefix):
                    break
                fitting.append(row)
                space -= len(row[2]) if len(row) > 2 else 0
                if space < 0:
                    break
        if len(fitting) == _PAGE or space < 0:
            self._start = _next_key(fitting[-1][0])
        else:
            self._prefixes.pop()
            self._start = self._prefixes[-1] if self._prefixes else b""
        return fitting


def _begins_with(key: StoredKey, prefix: StoredKey) -> bool:
    return type(key) is type(prefix) and key[: len(prefix)] == prefix


def _next_key(key: StoredKey) -> StoredKey:
    return key + "\0" if isinstance(key, str) else key + b"\0"
