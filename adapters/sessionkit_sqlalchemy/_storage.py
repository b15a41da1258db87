"""Sessions in any database that SQLAlchemy opens and whose locks are known."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Engine, Table, create_engine
from sqlalchemy.exc import ArgumentError, InvalidRequestError

from sessionkit.codecs import JSONCodec
from sessionkit.storages.authoring import (
    BlockingRecordStorage,
    Lifetime,
    Records,
    RecordStorage,
    seconds,
)
from sessionkit_sqlalchemy._engine import SQLEngine
from sessionkit_sqlalchemy._table import NAME, check_columns, sessions_table
from sessionkit_sqlalchemy._ways import AsyncWay, BlockingWay, Way

if TYPE_CHECKING:
    from collections.abc import Hashable
    from datetime import timedelta

    from sqlalchemy.ext.asyncio import AsyncEngine

    from sessionkit.types import Clock, Codec

SCHEME: Final = "sqlalchemy+"

_ASYNC_DRIVERS: Final = (
    "sqlite+aiosqlite, postgresql+psycopg, postgresql+asyncpg, mysql+aiomysql or mysql+asyncmy"
)


class SQLAlchemySessionStorage(RecordStorage):
    """Keep sessions in SQLite, PostgreSQL, MariaDB or MySQL, through SQLAlchemy.

    What many updates write at one moment shares a transaction.  Rows are locked before
    they are compared and written.  A write is committed once: if the connection is
    lost meanwhile, the write is looked for, and what cannot be known raises
    ``SessionWriteError``.

    Args:
        engine: An ``AsyncEngine``, which is not closed, or the URL for one, with an async
            driver.  Connections belong to the event loop that uses them first.
        table: The table's name, or one made by ``sessions_table`` for metadata of yours.
        create: Whether the first write creates the table if it is missing; no if Alembic
            does it.  Until then reads find nothing.
        codec: Turns values into bytes; JSON text by default.
        ttl: How long a value lives after its last write; None: it never expires.
        clock: The time, in seconds since the epoch.
        deadline: How long a call may take before it raises.

    Raises:
        TypeError: *engine* or *table* is something else, or *ttl* or *deadline* no span.
        ValueError: The URL is wrong; its database is not supported, or in memory; *table*
            lacks columns; *ttl* or *deadline* is not positive and finite.
        ImportError: The driver is missing, or greenlet, which SQLAlchemy needs here.
    """

    def __init__(
        self,
        engine: AsyncEngine | str,
        *,
        table: Table | str = NAME,
        create: bool = True,
        codec: Codec | None = None,
        ttl: timedelta | float | None = None,
        clock: Clock = time.time,
        deadline: timedelta | float = 10,
    ) -> None:
        way = _async_way(engine)
        table = _table_of(table)
        self.deadline: float = seconds("deadline", deadline)
        super().__init__(
            *_parts(SQLEngine(way, table, create=create), codec, ttl, clock), self.deadline
        )
        self.identity: Hashable = ("sqlalchemy", way.name, table.fullname)
        self._name = f"<SQLAlchemySessionStorage in {table.fullname} of {way.name}>"

    def __repr__(self) -> str:
        return self._name


class BlockingSQLAlchemySessionStorage(BlockingRecordStorage):
    """A ``SQLAlchemySessionStorage`` whose methods block, for programs of threads.

    Args:
        engine: An ``Engine``, which is not closed, or the URL for one; the rest is the
            same, but that a call takes as long as the driver lets it.
    """

    def __init__(
        self,
        engine: Engine | str,
        *,
        table: Table | str = NAME,
        create: bool = True,
        codec: Codec | None = None,
        ttl: timedelta | float | None = None,
        clock: Clock = time.time,
    ) -> None:
        way = _blocking_way(engine)
        table = _table_of(table)
        parts = _parts(SQLEngine(way, table, create=create), codec, ttl, clock)
        name = f"<BlockingSQLAlchemySessionStorage in {table.fullname} of {way.name}>"
        identity = ("sqlalchemy", way.name, table.fullname)
        super().__init__(Records(*parts, deadline=float("inf"), blocking=True), identity, name)


def open_url(url: str) -> SQLAlchemySessionStorage:
    """Return the storage of a URL of SQLAlchemy after ``sqlalchemy+``."""
    return SQLAlchemySessionStorage(url.removeprefix(SCHEME))


def _async_way(engine: Any) -> Way:
    from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine  # noqa: PLC0415 (greenlet)

    if isinstance(engine, AsyncEngine):
        return AsyncWay(engine, owned=False)
    if isinstance(engine, Engine):
        msg = (
            "this engine blocks: give SQLAlchemySessionStorage one of create_async_engine(), or "
            "use BlockingSQLAlchemySessionStorage, in threads"
        )
        raise TypeError(msg)
    return AsyncWay(_opened(create_async_engine, engine), owned=True)


def _blocking_way(engine: Any) -> Way:
    if isinstance(engine, Engine):
        return BlockingWay(engine, owned=False)
    if hasattr(engine, "sync_engine"):
        msg = "this engine needs an event loop: use SQLAlchemySessionStorage"
        raise TypeError(msg)
    return BlockingWay(_opened(create_engine, engine), owned=True)


def _opened(open_engine: Any, url: Any) -> Any:
    if not isinstance(url, str):
        msg = f"give an engine of SQLAlchemy or its URL, not {type(url).__name__}"
        raise TypeError(msg)
    try:
        return open_engine(url, hide_parameters=True, pool_pre_ping=True)
    except (ArgumentError, InvalidRequestError) as error:
        scheme = url.partition(":")[0]  # the rest may hold a password
        said = " ".join(str(error).split())
        msg = (
            f"SQLAlchemy cannot open a URL that begins with {scheme!r} here: {said}. "
            f"In an event loop it needs an async driver: {_ASYNC_DRIVERS}"
        )
        raise ValueError(msg) from None


def _table_of(table: Any) -> Table:
    if isinstance(table, str):
        return sessions_table(name=table)
    if not issubclass(type(table), Table):
        msg = f"table must be a name or made by sessions_table(), not {type(table).__name__}"
        raise TypeError(msg)
    known: Table = table
    check_columns(known)
    return known


def _parts(
    engine: SQLEngine, codec: Codec | None, ttl: timedelta | float | None, clock: Clock
) -> tuple[SQLEngine, Codec, Lifetime]:
    lifetime = Lifetime(None if ttl is None else seconds("ttl", ttl), clock)
    return engine, JSONCodec() if codec is None else codec, lifetime
