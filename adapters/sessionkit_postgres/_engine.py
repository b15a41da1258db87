"""What PostgreSQL does for a storage: load, write on condition, list."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final

from sessionkit import NewerVersionError, SessionDecodeError, SessionError
from sessionkit.protocols import ANY
from sessionkit.storages.authoring import Stored, UnknownOutcomeError, Write
from sessionkit_postgres._statements import (
    COMMENT,
    FLOATS,
    LAYOUT,
    TEXTS,
    Statement,
    Statements,
    Value,
    Way,
    array,
    float_bytes,
    float_of,
)
from sessionkit_postgres._texts import (
    LONGEST_START,
    expected_text,
    index_name,
    key_of_name,
    name_of,
    raw_of,
    text_of,
)
from sessionkit_postgres._wire import RefusedError

if TYPE_CHECKING:
    from sessionkit_postgres._wire import Row, Wire

_PAGE: Final = 500
_PURGED_AT_ONCE: Final = 1000
_ATTEMPTS: Final = 5
_TO_REPEAT: Final = ("40001", "40P01")
"""Serialization failure and deadlock: nothing was done, and it may be tried again."""

_EXISTS_NOW: Final = ("42P07", "42710", "23505")
"""What CREATE TABLE says if another process has just created it."""
_LARGEST: Final = 1.7976931348623157e308


class PostgresEngine:
    """Sessions in the rows of one table.

    Args:
        wire: The way to the server.
        statements: What is said to it.
        create_table: Whether the first write creates the table if it is missing.
        of_database: Whether the time is that of the server.
    """

    def __init__(
        self, wire: Wire, statements: Statements, *, create_table: bool, of_database: bool
    ) -> None:
        self.where = f"in {wire.name}, table {statements.table}"
        self.wire = wire
        self._say = statements
        self._create_table = create_table
        self._of_database = of_database
        self._found = False

    async def load(self, keys: Sequence[str]) -> Sequence[Stored | SessionError | None]:
        """Return what is stored under each of *keys*."""
        names = [_name(key) for key in keys]
        rows = await self._ask_for(names, self._say.load_one, self._say.load)
        found = {row[0]: row for row in rows}
        return [self._stored(key, found.get(name)) for key, name in zip(keys, names, strict=True)]

    async def expiries(self, keys: Sequence[str]) -> Sequence[tuple[float | None] | None]:
        """Return when each of *keys* expires."""
        names = [_name(key) for key in keys]
        rows = await self._ask(self._say.expiries, array(TEXTS, names))
        found = {name: (self._shown(end),) for name, end in rows}
        return [found.get(name) for name in names]

    async def apply(self, writes: Sequence[Write]) -> Sequence[bool | SessionError]:
        """Do *writes*; return which had what they expected."""
        await self._create_if_missing()
        ways: dict[Way, list[Write]] = {}
        for write in writes:
            ways.setdefault(self._way(write), []).append(write)
        outcomes: dict[str, bool | SessionError] = {}
        for way, group in ways.items():
            outcomes |= await self._apply_alike(way, group)
        return [outcomes[write.key] for write in writes]

    async def touch(self, key: str, expires: float | None, now: float) -> bool:
        """Return whether *key* is alive, and move its expiry."""
        end = float_bytes(self._sent(expires, now))
        return bool(await self._ask(self._say.touch, float_bytes(now), _name(key), end))

    async def pages(self, prefix: str) -> AsyncIterator[Sequence[str]]:
        """Yield the keys that begin with *prefix*, in order, page by page."""
        start = name_of(prefix)[:LONGEST_START].encode()
        rows = await self._ask(self._say.first_page, start)
        while True:
            inside = [row for row in rows if row[0] is not None and row[0].startswith(start)]
            keys = [_key(row) for row in inside]
            yield [key for key in keys if key.startswith(prefix)]
            if len(inside) < _PAGE:
                return
            rows = await self._ask(self._say.next_page, rows[-1][0])

    async def purge(self, now: float) -> AsyncIterator[int]:
        """Remove what had expired at *now*, or by the clock of the database."""
        while True:
            purged = len(await self._ask(self._say.purge, float_bytes(now)))
            yield purged
            if purged < _PURGED_AT_ONCE:
                return

    async def close(self) -> None:
        """Close the connections that were opened here."""
        await self.wire.close()

    async def _ask_for(self, names: Sequence[bytes], one: Statement, many: Statement) -> list[Row]:
        if len(names) == 1:
            return await self._ask(one, names[0])
        return await self._ask(many, array(TEXTS, names))

    async def _ask(self, statement: Statement, *values: Value) -> list[Row]:
        """Return the rows of *statement*: none while the table is still to be created."""
        return await self.wire.ask(statement, *values) if await self._is_there() else []

    def _way(self, write: Write) -> Way:
        say, expected = self._say, write.expected
        if write.raw is None:
            return say.remove_lapsed if expected is None or write.lapsed else say.remove
        if expected is ANY:
            return say.put
        if write.lapsed:
            return say.create_lapsed
        return say.create if expected is None else say.update

    async def _apply_alike(
        self, way: Way, writes: Sequence[Write]
    ) -> dict[str, bool | SessionError]:
        if way.many is not None and len(writes) > 1:
            try:
                return await self._apply_together(way.many, writes)
            except UnknownOutcomeError as error:
                return dict.fromkeys([write.key for write in writes], error)
            except RefusedError:
                pass  # because of one of them: each by itself
            except SessionError as error:
                return dict.fromkeys([write.key for write in writes], error)
        return {write.key: await self._apply_alone(way.one, write) for write in writes}

    async def _apply_together(
        self, statement: Statement, writes: Sequence[Write]
    ) -> dict[str, bool | SessionError]:
        columns = list(zip(*[self._row(write) for write in writes], strict=True))
        kinds = (TEXTS, TEXTS, TEXTS, TEXTS, FLOATS, TEXTS)
        values = [array(kind, column) for kind, column in zip(kinds, columns, strict=True)]
        rows = await self.wire.ask(statement, float_bytes(writes[0].now), *values)
        done = {row[0] for row in rows}
        return {write.key: name in done for write, name in zip(writes, columns[0], strict=True)}

    async def _apply_alone(self, statement: Statement, write: Write) -> bool | SessionError:
        row, now = self._row(write), float_bytes(write.now)
        for attempt in range(_ATTEMPTS):
            try:
                return bool(await self.wire.ask(statement, now, *row))
            except RefusedError as error:
                if error.code not in _TO_REPEAT or attempt == _ATTEMPTS - 1:
                    return error
            except SessionError as error:
                return error
        raise AssertionError  # pragma: no cover

    def _row(self, write: Write) -> tuple[Value, ...]:
        """Return what is sent of a write, in the order of the parameters."""
        full = name_of(write.key)
        name = index_name(full)
        return (
            name.encode(),
            expected_text(write.expected),
            None if write.raw is None else text_of(write.raw),
            write.token.encode(),
            float_bytes(self._sent(write.expires, write.now)),
            None if name is full else full.encode(),
        )

    def _sent(self, expires: float | None, now: float) -> float | None:
        if expires is None:
            return None
        end = max(-_LARGEST, min(expires, _LARGEST))
        return end - now if self._of_database else end

    def _shown(self, raw: Value) -> float | None:
        shown = float_of(raw)
        return time.time() + shown if self._of_database and shown is not None else shown

    def _stored(self, key: str, row: Row | None) -> Stored | SessionDecodeError | None:
        if row is None:
            return None
        _, text, revision, expires = row
        assert text is not None
        assert revision is not None
        try:
            raw = raw_of(key, text, self.where)
        except SessionDecodeError as error:
            return error
        return Stored(raw, revision.decode(), self._shown(expires))

    async def _create_if_missing(self) -> None:
        if await self._is_there():
            return
        try:
            await self.wire.run(";".join(self._say.make))
        except RefusedError as error:
            if error.code not in _EXISTS_NOW or not await self._has_table():
                raise
        self._found = True

    async def _is_there(self) -> bool:
        """Return whether the table is there, which is looked for until it was found.

        Raises:
            SessionError: It is not, and is not to be created.
        """
        self._found = self._found or await self._has_table()
        if not (self._found or self._create_table):
            msg = (
                f"there is no table {self._say.table} in {self.wire.name}: create it "
                "(docs/postgres.md has the SQL), or give create_table=True"
            )
            raise SessionError(msg)
        return self._found

    async def _has_table(self) -> bool:
        rows = await self.wire.ask(self._say.look, self._say.table.encode())
        if not rows:
            return False
        comment = (rows[0][0] or b"").decode("utf-8", "replace")
        layout = comment.removeprefix(COMMENT)
        if layout == comment or not layout.isdecimal():
            msg = (
                f"{self.wire.name} has a table {self._say.table} already, made by something "
                "else, and it was left alone: give table= another name"
            )
            raise SessionError(msg)
        if int(layout) > LAYOUT:
            msg = (
                f"the table {self._say.table} in {self.wire.name} has the layout {layout}, and "
                f"this sessionkit knows {LAYOUT} at most: update sessionkit. Nothing was changed"
            )
            raise NewerVersionError(msg, version=int(layout), latest=LAYOUT)
        return True


def _name(key: str) -> bytes:
    return index_name(name_of(key)).encode()


def _key(row: Row) -> str:
    name, full = row
    assert name is not None
    return key_of_name((name if full is None else full).decode())
