"""What grammY's PostgreSQL storage keeps, read and written in place: a table of two columns."""

# ruff: noqa: S608 (the names in the text are quoted)
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sessionkit import InvalidSessionKeyError, SessionError
from sessionkit.protocols import ANY
from sessionkit.storages.authoring import InPlaceStorage, Stored, Unexpiring, Write, seconds
from sessionkit_postgres._places import place_of
from sessionkit_postgres._statements import TEXT, TEXTS, Statement, array, quoted, statement
from sessionkit_postgres._wire import RefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import timedelta

    from psycopg_pool import AsyncConnectionPool

    from sessionkit_postgres._places import Place
    from sessionkit_postgres._statements import Value
    from sessionkit_postgres._wire import Row, Wire

GRAMMY_TABLE: Final = "sessions"
_PAGE: Final = 500
_LONGEST_KEY: Final = 2000
"""Bytes; an index of PostgreSQL holds few more."""

_NO_TABLE: Final = "42P01"
_NO_INDEX: Final = "42P10"


class _Statements:
    """What is said about one table: ``$1`` is the key, ``$2`` the text, ``$3`` what is expected.

    A value of NULL, which grammY writes for ``undefined``, is missing.
    """

    def __init__(self, table: str) -> None:
        put = f"""
            INSERT INTO {table} AS t (key, value) VALUES ($1, $2)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value
        """
        three = (TEXT, TEXT, TEXT)
        self.load = statement(
            f"SELECT key, value FROM {table} WHERE key = ANY($1) AND value IS NOT NULL", TEXTS
        )
        self.page = statement(
            f"""
            SELECT key FROM {table} WHERE key > $1 AND starts_with(key, $2) AND value IS NOT NULL
            ORDER BY key LIMIT {_PAGE}
            """,
            *(TEXT, TEXT),
        )
        self.put = statement(f"{put} RETURNING key", TEXT, TEXT)
        self.create = statement(f"{put} WHERE t.value IS NULL RETURNING key", TEXT, TEXT)
        self.update = statement(
            f"UPDATE {table} SET value = $2 WHERE key = $1 AND value = $3 RETURNING key", *three
        )
        self.remove = statement(
            f"WITH gone AS (DELETE FROM {table} WHERE key = $1) SELECT $1", TEXT
        )
        self.remove_found = statement(
            f"DELETE FROM {table} WHERE key = $1 AND value = $2 RETURNING key", TEXT, TEXT
        )
        self.remove_nothing = statement(
            f"SELECT $1 WHERE NOT EXISTS "
            f"(SELECT FROM {table} WHERE key = $1 AND value IS NOT NULL)",
            TEXT,
        )


class GrammyEngine(Unexpiring):
    """Sessions in the table that grammY made."""

    def __init__(self, wire: Wire, table: str) -> None:
        self.where = f"in {wire.name}, table {table}"
        self._wire = wire
        self._table = table
        self._say = _Statements(table)

    def revision_of(self, raw: bytes) -> str:
        """Return the text, which is what a write compares."""
        return raw.decode()

    async def load(self, keys: Sequence[str]) -> Sequence[Stored | None]:
        """Return what is stored under each of *keys*."""
        names = [name for key in keys if (name := _name(key)) is not None]
        rows = await self._ask(self._say.load, array(TEXTS, names))
        found: dict[Value, Value] = {row[0]: row[1] for row in rows}
        texts = [found.get(_name(key)) for key in keys]
        return [None if text is None else Stored(text, text.decode(), None) for text in texts]

    async def apply(self, writes: Sequence[Write]) -> Sequence[bool | SessionError]:
        """Do *writes*; return which found the text that they expected."""
        return [await self._apply_one(write) for write in writes]

    async def pages(self, prefix: str) -> AsyncIterator[Sequence[str]]:
        """Yield the keys that begin with *prefix*, in order, page by page."""
        last: Value = b""
        while True:
            rows = await self._ask(self._say.page, last, _name(prefix) or b"")
            yield [key.decode() for (key,) in rows if key]
            if len(rows) < _PAGE:
                return
            last = rows[-1][0]

    async def close(self) -> None:
        """Close the connections that were opened here."""
        await self._wire.close()

    async def _apply_one(self, write: Write) -> bool | SessionError:
        name = _name(write.key)
        if name is None or len(name) > _LONGEST_KEY:
            msg = f"PostgreSQL cannot hold the key {write.key[:100]!r}. Nothing was written"
            return InvalidSessionKeyError(msg, key=write.key)
        if write.expires is not None:
            msg = "grammY's table has no room for an expiry: use enhance_storage(ttl=...)"
            return SessionError(msg, key=write.key)
        try:
            return bool(await self._ask(*self._said(write, name)))
        except SessionError as error:
            return error

    def _said(self, write: Write, name: bytes) -> tuple[Any, ...]:
        """Return the statement for *write*, and its parameters."""
        say, expected = self._say, write.expected
        if expected is ANY:
            return (say.remove, name) if write.raw is None else (say.put, name, write.raw)
        if expected is None:
            return (
                (say.remove_nothing, name) if write.raw is None else (say.create, name, write.raw)
            )
        text = expected.encode() if isinstance(expected, str) else None  # NULL equals nothing
        if write.raw is None:
            return say.remove_found, name, text
        return say.update, name, write.raw, text

    async def _ask(self, statement: Statement, *values: Value) -> list[Row]:
        try:
            return await self._wire.ask(statement, *values)
        except RefusedError as error:
            raise self._explained(error) from error

    def _explained(self, error: RefusedError) -> SessionError:
        if error.code == _NO_TABLE:
            return SessionError(
                f"there is no table {self._table} in {self._wire.name}. grammY makes it, in "
                "PsqlAdapter.create(): give its name as table=, capitals as they are"
            )
        if error.code == _NO_INDEX:
            return SessionError(
                f"the table {self._table} in {self._wire.name} has no unique index on its key, "
                f"which a write needs: CREATE UNIQUE INDEX ON {self._table} (key). "
                "Nothing was written"
            )
        return error


class GrammyPostgresStorage(InPlaceStorage):
    """Read and write what grammY's PostgreSQL storage (``@grammyjs/storage-psql``) keeps.

    Both may run at the same time.  grammY's own writes ask for no condition: what it
    overwrites is lost, while a write from here that would overwrite raises
    ``SessionConflictError``.

    Args:
        pool: A URL (``postgresql://``) or another connection string of libpq, or a
            ``psycopg_pool.AsyncConnectionPool``, which is not closed.
        table: The ``tableName`` of grammY, exactly; it is quoted.
        schema: The schema of the table; by default where the server looks for it.
        deadline: How long a call may take before it raises.

    Raises:
        TypeError: *pool* is neither, or *deadline* no span of time.
        ValueError: The URL or a name is wrong, or *deadline* not positive and finite.
    """

    def __init__(
        self,
        pool: str | AsyncConnectionPool[Any],
        *,
        table: str = GRAMMY_TABLE,
        schema: str | None = None,
        deadline: timedelta | float = 10,
    ) -> None:
        patience = seconds("deadline", deadline)
        name = quoted(table, "table")
        name = name if schema is None else f"{quoted(schema, 'schema')}.{name}"

        def engine(place: Place) -> GrammyEngine:
            return GrammyEngine(place.wire, name)

        def for_threads() -> GrammyEngine:
            return engine(place_of(pool, deadline=patience, blocking=True))

        place = place_of(pool, deadline=patience, blocking=False)
        super().__init__(
            engine(place),
            ("postgres", place.name, name, "grammy"),
            f"<GrammyPostgresStorage in {place.name}, table {name}>",
            patience,
            threads=for_threads if isinstance(pool, str) else None,
        )


def _name(key: str) -> bytes | None:
    """Return *key* as PostgreSQL has it, None if it can have none."""
    try:
        return None if "\0" in key else key.encode()
    except UnicodeEncodeError:
        return None
