"""What a database does for a storage: load, write on condition, list.

Statements are written once, for connections that block; ``run_sync`` of SQLAlchemy runs
them in an event loop as well.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, insert, inspect, select, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from sessionkit import SessionError
from sessionkit.protocols import ANY
from sessionkit.storages.authoring import Stored, UnknownOutcomeError, Write, key_bytes, key_of
from sessionkit_sqlalchemy._table import (
    full_key_of,
    key_in,
    name_of,
    shown_expiry,
    span_of,
    stored_in,
)
from sessionkit_sqlalchemy._ways import Way, cause, failure, reason

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row, Table

_PAGE: Final = 500
_ATTEMPTS: Final = 4
"""How often writes are tried that collide with those of others, and are rolled back."""


class SQLEngine:
    """Sessions as rows of *table*.

    Args:
        way: The way to the database.
        table: One of ``sessions_table``.
        create: Whether the first write creates the table if it is missing.
    """

    def __init__(self, way: Way, table: Table, *, create: bool) -> None:
        self.where = f"in table {table.fullname!r} of {way.name}"
        self._way = way
        self._table = table
        self._may_be_missing = create  # else it is to be there
        columns = table.c
        by_name = columns.name == bindparam("of")
        stored: dict[str, Any] = {
            each: bindparam(each) for each in ("value", "revision", "expires")
        }
        self._insert = insert(table)
        self._update = update(table).where(by_name).values(stored)
        self._delete = delete(table).where(by_name)
        self._move_expiry = update(table).where(by_name).values(expires=bindparam("expires"))

    async def load(self, keys: Sequence[str]) -> Sequence[Stored | None]:
        """Return what is stored under each of *keys*."""
        c = self._table.c
        rows = await self._rows(keys, c.name, c.value, c.revision, c.expires)
        return [None if row is None else stored_in(row) for row in rows]

    async def expiries(self, keys: Sequence[str]) -> Sequence[tuple[float | None] | None]:
        """Return when each of *keys* expires."""
        rows = await self._rows(keys, self._table.c.name, self._table.c.expires)
        return [None if row is None else (row.expires,) for row in rows]

    async def apply(self, writes: Sequence[Write]) -> Sequence[bool | SessionError]:
        """Do *writes*; return which had what they expected."""
        await self._create_if_missing()
        return await self._way.run(partial(self._apply, writes=writes))

    async def touch(self, key: str, expires: float | None, now: float) -> bool:
        """Return whether *key* is alive, and move its expiry."""
        touching = partial(self._touch, key=key, expires=expires, now=now)
        return await self._way.run(touching) if await self._is_there() else False

    async def pages(self, prefix: str) -> AsyncIterator[Sequence[str]]:
        """Yield the keys that begin with *prefix*, in the order of their bytes."""
        wanted = key_bytes(prefix)
        start, end = span_of(wanted)
        name = self._table.c.name
        query = select(name, self._table.c.full_key).order_by(name).limit(_PAGE)
        if end is not None:
            query = query.where(name < end)
        beyond: Any = name >= start
        while True:
            rows = await self._found(query.where(beyond))
            found = [key_of(raw) for raw in map(key_in, rows) if raw.startswith(wanted)]
            yield [key for key in found if key is not None]
            if len(rows) < _PAGE:
                return
            beyond = name > rows[-1].name

    async def purge(self, now: float) -> AsyncIterator[int]:
        """Remove what had expired at *now*, page by page."""
        count = _PAGE if await self._is_there() else 0
        while count:
            count = await self._way.run(partial(self._purge_page, now=now))
            yield count

    async def close(self) -> None:
        """Close the connections that were opened here."""
        await self._way.close()

    async def _create_if_missing(self) -> None:
        if await self._is_there():
            return
        try:
            await self._way.run(self._create_table)
        except SessionError:
            if not await self._is_there():  # no other process was quicker
                raise
        self._may_be_missing = False

    async def _is_there(self) -> bool:
        """Return whether the table is there, which is looked for until it was found."""
        if self._may_be_missing:
            self._may_be_missing = self._way.lacks_file() or not await self._way.run(self._exists)
        return not self._may_be_missing

    def _exists(self, connection: Connection) -> bool:
        return inspect(connection).has_table(self._table.name, schema=self._table.schema)

    def _create_table(self, connection: Connection) -> None:
        self._table.create(connection)
        connection.commit()

    async def _found(self, query: Any) -> Sequence[Row[Any]]:
        """Return the rows of *query*: none while the table is still to be created."""
        return await self._way.run(partial(_fetch, query=query)) if await self._is_there() else []

    async def _rows(self, keys: Sequence[str], *columns: Any) -> list[Row[Any] | None]:
        names = [name_of(key) for key in keys]
        query = select(*columns).where(self._table.c.name.in_(names))
        found = {bytes(row.name): row for row in await self._found(query)}
        return [found.get(name) for name in names]

    # With a connection.

    def _apply(
        self, connection: Connection, writes: Sequence[Write]
    ) -> Sequence[bool | SessionError]:
        for left in reversed(range(_ATTEMPTS)):
            try:
                return self._attempt(connection, writes)
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise
                if not left and len(writes) == 1:
                    return [self._refused(error)]
        return [self._apply_alone(connection, write) for write in writes]

    def _apply_alone(self, connection: Connection, write: Write) -> bool | SessionError:
        """Do one of many writes, of which the others may have been done before."""
        try:
            return self._apply(connection, [write])[0]
        except SessionError as error:
            return error
        except SQLAlchemyError as error:
            return self._refused(error)

    def _refused(self, error: SQLAlchemyError) -> SessionError:
        refused = failure(self._way.name, error)
        refused.__cause__ = cause(error)
        return refused

    def _attempt(self, connection: Connection, writes: Sequence[Write]) -> list[bool]:
        with transaction(connection):
            found = self._locked(connection, [name_of(write.key) for write in writes])
            outcomes: list[bool] = []
            changes: dict[Any, list[dict[str, Any]]] = {}
            for write in writes:
                row = found.get(name_of(write.key))
                outcomes.append(_fits(write, row))
                if outcomes[-1]:
                    statement, parameters = self._change(write, is_there=row is not None)
                    changes.setdefault(statement, []).append(parameters)
            for statement, rows in changes.items():
                connection.execute(statement, rows)
        return outcomes

    def _change(self, write: Write, *, is_there: bool) -> tuple[Any, dict[str, Any]]:
        """Return the statement for a write that fits, and its parameters."""
        name = name_of(write.key)
        if write.raw is None:
            return self._delete, {"of": name}
        columns = {
            "value": write.raw,
            "revision": write.token,
            "expires": shown_expiry(write.expires),
        }
        if is_there:
            return self._update, {"of": name, **columns}
        return self._insert, {"name": name, "full_key": full_key_of(write.key), **columns}

    def _touch(self, connection: Connection, key: str, expires: float | None, now: float) -> bool:
        name = name_of(key)
        with transaction(connection):
            row = self._locked(connection, [name]).get(name)
            if row is None or _is_over(row, now):
                return False
            if row.expires is not None and expires is not None:
                connection.execute(
                    self._move_expiry, {"of": name, "expires": shown_expiry(expires)}
                )
            return True

    def _locked(self, connection: Connection, names: Sequence[bytes]) -> dict[bytes, Row[Any]]:
        """Return the rows of *names*, which no one else can change before this commits."""
        c = self._table.c
        query = select(c.name, c.revision, c.expires).where(c.name.in_(names)).order_by(c.name)
        return {bytes(row.name): row for row in _fetch(connection, query.with_for_update())}

    def _purge_page(self, connection: Connection, now: float) -> int:
        c = self._table.c
        over = c.expires <= now
        query = select(c.name).where(over).limit(_PAGE)
        names = [row.name for row in _fetch(connection, query)]
        if not names:
            return 0
        with transaction(connection):
            return connection.execute(delete(self._table).where(c.name.in_(names), over)).rowcount


@contextmanager
def transaction(connection: Connection) -> Generator[None]:
    """Commit at the end of the body, or roll back.

    SQLite takes its write lock at the beginning, so that nothing read here can be changed
    by others; elsewhere rows are locked as they are read.

    Raises:
        SessionError: SQLite's write lock was not free within the timeout of its driver.
        UnknownOutcomeError: The commit failed: nobody said whether it took place.
    """
    in_sqlite = connection.dialect.name == "sqlite"
    if in_sqlite:
        _take_write_lock(connection)
    try:
        yield
    except DBAPIError as error:
        if not error.connection_invalidated:
            _roll_back(connection, in_sqlite=in_sqlite)
        raise
    except BaseException:
        connection.invalidate()
        raise
    try:
        if in_sqlite:
            connection.exec_driver_sql("COMMIT")
        connection.commit()
    except Exception as error:  # noqa: BLE001 (drivers raise what they like)
        connection.invalidate()
        msg = f"the commit failed: {reason(error)}"
        raise UnknownOutcomeError(msg) from cause(error)


def _take_write_lock(connection: Connection) -> None:
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except DBAPIError as error:  # SQLite has waited already: not a collision to try again
        msg = f"the write lock of SQLite is not free: {reason(error)}. Nothing was written"
        raise SessionError(msg) from cause(error)


def _roll_back(connection: Connection, *, in_sqlite: bool) -> None:
    if in_sqlite:
        connection.exec_driver_sql("ROLLBACK")
    connection.rollback()


def _fetch(connection: Connection, query: Any) -> Sequence[Row[Any]]:
    return connection.execute(query).all()


def _fits(write: Write, row: Row[Any] | None) -> bool:
    """Return whether *write* finds what it expects."""
    if write.expected is ANY:
        return True
    alive = row is not None and not _is_over(row, write.now)
    if write.expected is None:
        return not alive
    if row is not None and row.revision == write.expected:
        return True
    return write.lapsed and not alive


def _is_over(row: Row[Any], now: float) -> bool:
    return row.expires is not None and row.expires <= now
