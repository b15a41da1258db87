"""A lock that all processes share: advisory locks, held by a connection of their own."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from psycopg.pq import TransactionStatus

from sessionkit import SessionError
from sessionkit.storages.authoring import (
    Batches,
    BlockingBatches,
    BlockingLeaseLock,
    Lease,
    LeaseLock,
    key_bytes,
    this_process,
)
from sessionkit_postgres._places import settings_of
from sessionkit_postgres._statements import INTS, OID, TEXTS, array, int_bytes, statement
from sessionkit_postgres._wire import Line, Opened

if TYPE_CHECKING:
    from datetime import timedelta

    from sessionkit_postgres._storage import (
        BlockingPostgresSessionStorage,
        PostgresSessionStorage,
    )

_APPLICATION: Final = "sessionkit "

_ASK: Final = statement(
    """
    SELECT CASE verb
        WHEN 'take' THEN pg_try_advisory_lock(number)
        WHEN 'free' THEN pg_advisory_unlock(number)
        ELSE true END
    FROM unnest($1, $2) AS w (verb, number)
    """,
    *(TEXTS, INTS),
)
_WHO: Final = statement(
    """
    SELECT coalesce(nullif(application_name, ''), 'of the server, ' || pid)
    FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND classid = $1 AND objid = $2 AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    """,
    *(OID, OID),
)


class _Request(NamedTuple):
    verb: bytes
    lease: Lease


class _Held:
    """What one event loop, or all threads, hold in the server by one connection."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.line: Line | None = None
        self.taken: dict[int, Lease] = {}


class PostgresLockEngine:
    """An advisory lock for each key that is held.

    The server frees them when their connection ends; so while it lasts, they are held.
    """

    def __init__(
        self,
        storage: PostgresSessionStorage | BlockingPostgresSessionStorage,
        dsn: str | None,
        *,
        blocking: bool,
    ) -> None:
        place, deadline = storage.place, storage.deadline
        settings = place.settings if dsn is None else settings_of(dsn, deadline)
        name = f"{_APPLICATION}{this_process()}"
        settings = {**settings, "application_name": name}
        self.where: str = place.name
        self._wire = Opened(place.name, settings, deadline, blocking=blocking)
        self._ways_to_ask = place.wire
        gather: Any = BlockingBatches if blocking else Batches
        self._calls = gather(self._do, deadline=deadline, settles=True)
        self._space: bytes = storage.table.encode() + b"\0"
        self._by_loop: WeakKeyDictionary[Any, _Held] = WeakKeyDictionary()
        self._line_of: dict[Lease, Line] = {}
        place.wire.closes_too.append(self._close)

    async def take(self, lease: Lease) -> bool:
        """Hold the key of *lease* if it is free; return whether it was."""
        held, number = self._here(), self._number(lease.key)
        if number in held.taken:
            return False
        held.taken[number] = lease
        try:
            taken = await self._ask(b"take", lease)
        finally:
            if lease not in self._line_of:
                held.taken.pop(number, None)
        return taken is not None

    async def holder(self, key: str) -> str:
        """Return host and process number of who holds *key*, nothing if it is free."""
        number = self._number(key)
        if number in self._here().taken:
            return this_process()
        halves = int_bytes(number)
        rows = await self._ways_to_ask.ask(_WHO, halves[:4], halves[4:])
        found = rows[0][0] if rows else None
        return (found or b"").decode("utf-8", "replace").removeprefix(_APPLICATION)

    async def renew(self, lease: Lease) -> bool:
        """Return whether *lease* is still held."""
        line = self._line_of.get(lease)
        return line is not None and await self._ask(b"ping", lease) is line

    async def give_back(self, lease: Lease) -> None:
        """Free the key, if *lease* holds it."""
        held, number = self._here(), self._number(lease.key)
        try:
            if lease in self._line_of:
                await self._ask(b"free", lease)
        finally:
            self._line_of.pop(lease, None)
            if held.taken.get(number) is lease:
                del held.taken[number]

    def is_lost(self, lease: Lease) -> bool:
        """Return whether the connection by which *lease* is held has ended."""
        line = self._line_of.get(lease)
        return line is None or not _is_alive(line)

    async def _ask(self, verb: bytes, lease: Lease) -> Line | None:
        """Return the connection over which that was done, None if it was not."""
        outcome: Line | SessionError | None = await self._calls.run(_Request(verb, lease))
        if isinstance(outcome, SessionError):
            msg = f"the lock cannot be had: {outcome}"
            raise SessionError(msg) from outcome
        return outcome

    async def _do(self, requests: Sequence[_Request]) -> list[Line | None]:
        line = await self._line()
        todo = [each for each in requests if self._concerns(each, line)]
        done = await self._tell(line, todo) if todo else frozenset[Lease]()
        return [line if each.lease in done else None for each in requests]

    async def _tell(self, line: Line, requests: Sequence[_Request]) -> frozenset[Lease]:
        """Return for which leases that was done."""
        verbs = array(TEXTS, [each.verb for each in requests])
        numbers = array(INTS, [int_bytes(self._number(each.lease.key)) for each in requests])
        rows = await self._wire.ask_over(line, _ASK, verbs, numbers)
        done = [each for each, row in zip(requests, rows, strict=True) if row[0] == b"\1"]
        for verb, lease in done:
            if verb == b"take":
                self._line_of[lease] = line
        return frozenset(lease for _, lease in done)

    def _concerns(self, request: _Request, line: Line) -> bool:
        return request.verb == b"take" or self._line_of.get(request.lease) is line

    async def _line(self) -> Line:
        held = self._here()
        if held.line is None or not _is_alive(held.line):
            if held.line is not None:
                held.line.close()
            held.line = None
            held.line = await self._connect()
        return held.line

    async def _connect(self) -> Line:
        line = await self._wire.connect()
        if line.known is None:
            line.close()
            msg = (
                f"between this process and {self.where} is a pooler, such as PgBouncer, and "
                "that may give another connection to each transaction: locks need one of their "
                "own. Give PostgresLock(storage, dsn=...) the address of the server itself"
            )
            raise SessionError(msg)
        return line

    def _here(self) -> _Held:
        place: Any = self if self._wire.blocking else asyncio.get_running_loop()
        held = self._by_loop.get(place)
        if held is None or held.process != os.getpid():
            self._forget_closed_loops()
            held = self._by_loop[place] = _Held()
        return held

    def _forget_closed_loops(self) -> None:
        for loop, held in list(self._by_loop.items()):
            if loop is not self and loop.is_closed():
                del self._by_loop[loop]
                _end(held)

    def _close(self) -> None:
        for held in list(self._by_loop.values()):
            _end(held)

    def _number(self, key: str) -> int:
        digest = hashlib.sha256(self._space + key_bytes(key)).digest()
        return int.from_bytes(digest[:8], signed=True)


class PostgresLock(LeaseLock):
    """Lets the processes that share a storage wait for each other: ``lock=PostgresLock(storage)``.

    Keys are held by advisory locks of one connection, which the server frees when that
    ends, as when the process dies.  If the connection is lost, or the server was not
    heard of for *lease*, the storage refuses to write under these keys:
    ``SessionLockLostError``.  Writes stay conditional.

    Args:
        storage: The storage of the sessions.
        dsn: Where the server itself is, if the storage reaches it through a pooler.
        lease: How long the server may be silent.
        patience: How long ``acquire`` waits; None: no limit.

    Raises:
        TypeError: *lease* or *patience* is not a span of time.
        ValueError: *dsn* cannot be read, or *lease* or *patience* is not positive and
            finite.
    """

    def __init__(
        self,
        storage: PostgresSessionStorage,
        *,
        dsn: str | None = None,
        lease: timedelta | float = 30,
        patience: timedelta | float | None = 60,
    ) -> None:
        engine = PostgresLockEngine(storage, dsn, blocking=False)
        super().__init__(engine, storage.guards, lease=lease, patience=patience)


class BlockingPostgresLock(BlockingLeaseLock):
    """A ``PostgresLock`` for programs of threads, over a ``BlockingPostgresSessionStorage``."""

    def __init__(
        self,
        storage: BlockingPostgresSessionStorage,
        *,
        dsn: str | None = None,
        lease: timedelta | float = 30,
        patience: timedelta | float | None = 60,
    ) -> None:
        engine = PostgresLockEngine(storage, dsn, blocking=True)
        super().__init__(engine, storage.guards, lease=lease, patience=patience)


def _is_alive(line: Line) -> bool:
    return line.on.transaction_status == TransactionStatus.ACTIVE or line.is_silent()


def _end(held: _Held) -> None:
    if held.line is not None and held.process == os.getpid():
        held.line.close()
    held.line = None
