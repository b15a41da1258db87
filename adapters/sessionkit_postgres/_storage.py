"""Sessions in PostgreSQL."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from sessionkit.codecs import JSONCodec
from sessionkit.storages.authoring import (
    BlockingRecordStorage,
    Lifetime,
    Records,
    RecordStorage,
    grammy_url,
    seconds,
)
from sessionkit_postgres._engine import PostgresEngine
from sessionkit_postgres._grammy import GRAMMY_TABLE, GrammyPostgresStorage
from sessionkit_postgres._places import Place, place_of
from sessionkit_postgres._statements import Statements

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from datetime import timedelta

    from psycopg_pool import AsyncConnectionPool, ConnectionPool

    from sessionkit.types import Clock, Codec

TABLE: Final = "sessionkit"


class _Options:
    """What both storages take, checked."""

    def __init__(
        self,
        *,
        table: str,
        schema: str | None,
        codec: Codec | None,
        ttl: timedelta | float | None,
        clock: Clock | None,
        deadline: timedelta | float,
        create_table: bool,
    ) -> None:
        self.deadline = seconds("deadline", deadline)
        self._codec = JSONCodec() if codec is None else codec
        self._of_database = clock is None
        self._lifetime = Lifetime(
            None if ttl is None else seconds("ttl", ttl), time.time if clock is None else clock
        )
        self._statements = Statements(table, schema, of_database=clock is None)
        self._create_table = create_table
        self.table = self._statements.table

    def place(self, pool: Any, *, blocking: bool) -> Place:
        """Return where *pool* leads to."""
        return place_of(pool, deadline=self.deadline, blocking=blocking)

    def parts(self, place: Place) -> tuple[PostgresEngine, Codec, Lifetime, float]:
        """Return what a storage there is made of."""
        engine = PostgresEngine(
            place.wire,
            self._statements,
            create_table=self._create_table,
            of_database=self._of_database,
        )
        return engine, self._codec, self._lifetime, self.deadline


class PostgresSessionStorage(RecordStorage):
    """Keep sessions in a table of PostgreSQL 12 or later, for any number of processes and hosts.

    What many updates read and write at one moment shares a statement and a commit.
    Comparing and storing is one step on the server.  A write is sent once: if its
    reply is lost, it is looked for, and what cannot be known raises
    ``SessionWriteError``.

    Args:
        pool: A URL (``postgresql://``) or another connection string of libpq, for
            which connections are opened here, or a ``psycopg_pool.AsyncConnectionPool``,
            which is not closed.
        table: The name of the table, exactly; it is quoted.
        schema: That of its schema; by default the first of the user's search path.
        create_table: Whether the first write creates the table if it is missing; until then
            reads find nothing.
        codec: Turns values into bytes; JSON text by default.
        ttl: How long a value lives after its last write; None: it never expires.
        clock: The time, in seconds since the epoch; None: that of the database, so that
            the clocks of the bot's hosts may differ.
        deadline: How long a call may take before it raises.

    Raises:
        TypeError: *pool* is neither, or *ttl* or *deadline* no span of time.
        ValueError: The URL or a name is wrong, or *ttl* or *deadline* not positive
            and finite.
    """

    def __init__(
        self,
        pool: str | AsyncConnectionPool[Any],
        *,
        table: str = TABLE,
        schema: str | None = None,
        create_table: bool = True,
        codec: Codec | None = None,
        ttl: timedelta | float | None = None,
        clock: Clock | None = None,
        deadline: timedelta | float = 10,
    ) -> None:
        options = _Options(
            table=table,
            schema=schema,
            codec=codec,
            ttl=ttl,
            clock=clock,
            deadline=deadline,
            create_table=create_table,
        )
        place = options.place(pool, blocking=False)
        super().__init__(*options.parts(place))
        self._blocking: Records | None = None
        if isinstance(pool, str):
            threads = options.place(pool, blocking=True)
            self._blocking = Records(*options.parts(threads), blocking=True)
        self.place = place
        self.table: str = options.table
        self.deadline: float = options.deadline
        self._name = f"<PostgresSessionStorage in {place.name}, table {options.table}>"
        self.identity: Hashable = ("postgres", place.name, options.table)

    def __repr__(self) -> str:
        return self._name

    @property
    def sync(self) -> BlockingRecordStorage:
        """The same storage for threads, if it was given a URL: every method blocks."""
        if self._blocking is None:
            msg = (
                "a storage over an async pool has no view for threads: give it a URL, or use "
                "BlockingPostgresSessionStorage over a blocking pool there"
            )
            raise AttributeError(msg)
        return BlockingRecordStorage(self._blocking, self.identity, f"{self!r}.sync")

    async def close(self) -> None:
        """Finish what is under way and close what was opened here; a no-op the second time."""
        await super().close()
        if self._blocking is not None:
            await self._blocking.close()


class BlockingPostgresSessionStorage(BlockingRecordStorage):
    """A ``PostgresSessionStorage`` whose methods block, for programs of threads.

    Args:
        pool: A URL, or a ``psycopg_pool.ConnectionPool``; the rest is the same.
    """

    def __init__(
        self,
        pool: str | ConnectionPool[Any],
        *,
        table: str = TABLE,
        schema: str | None = None,
        create_table: bool = True,
        codec: Codec | None = None,
        ttl: timedelta | float | None = None,
        clock: Clock | None = None,
        deadline: timedelta | float = 10,
    ) -> None:
        options = _Options(
            table=table,
            schema=schema,
            codec=codec,
            ttl=ttl,
            clock=clock,
            deadline=deadline,
            create_table=create_table,
        )
        place = options.place(pool, blocking=True)
        records = Records(*options.parts(place), blocking=True)
        name = f"<BlockingPostgresSessionStorage in {place.name}, table {options.table}>"
        super().__init__(records, ("postgres", place.name, options.table), name)
        self.place = place
        self.table: str = options.table
        self.deadline: float = options.deadline
        self.guards: list[Callable[[str], object]] = records.guards


def open_url(url: str) -> PostgresSessionStorage | GrammyPostgresStorage:
    """Return the storage of a URL; after ``grammy+`` one over grammY's table, ``?table=``."""
    of_grammy = grammy_url(url, "table")
    plain, table = (url, None) if of_grammy is None else of_grammy
    scheme, colon, rest = plain.partition(":")
    plain = f"{scheme.lower()}{colon}{rest}"
    if of_grammy is None:
        return PostgresSessionStorage(plain)
    return GrammyPostgresStorage(plain, table=table or GRAMMY_TABLE)
