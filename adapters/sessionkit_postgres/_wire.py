"""Running statements over connections of psycopg, each exactly once.

Not by psycopg's cursors, which take longer than the server does.  What is repeated is
prepared over connections of our own, unless a pooler is in between, which may give each
transaction another one.
"""

from __future__ import annotations

import asyncio
import os
import select
import selectors
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import psycopg
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, Format, TransactionStatus

from sessionkit import SessionError
from sessionkit.storages.authoring import UnknownOutcomeError
from sessionkit_postgres._statements import int_bytes, statement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg.pq.abc import PGconn, PGresult

    from sessionkit_postgres._statements import Statement, Value

Row: TypeAlias = "tuple[Value, ...]"
Connection: TypeAlias = "psycopg.Connection[Any] | psycopg.AsyncConnection[Any]"

_PROCESS: Final = statement("SELECT pg_backend_pid()::bigint")
_READ: Final = selectors.EVENT_READ
_BOTH: Final = selectors.EVENT_READ | selectors.EVENT_WRITE
_Selector: Final[Any] = getattr(selectors, "PollSelector", selectors.SelectSelector)
_DONE: Final = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)
_OUR_TEXT: Final = (b"UTF8", b"SQL_ASCII")
_FAULTS: Final = (psycopg.Error, OSError)


class Line:
    """A connection of psycopg.

    Attributes:
        on: What libpq has of it.
        known: The names of the statements that the server has prepared for it; None
            where none may be, since the next one may reach another server process.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection  # as long as this lives, so does the connection
        self.on: PGconn = connection.pgconn
        self.known: set[bytes] | None = None
        self._poll: Callable[[float], object] | None = None

    def is_silent(self) -> bool:
        """Return whether the idle connection has nothing to say, as the end of it would be."""
        if self.on.status != ConnStatus.OK:
            return False
        if self._poll is None:
            self._poll = _poll_of(self.on.socket)
        return not self._poll(0)

    def close(self) -> None:
        """End the connection; a no-op the second time."""
        self.on.finish()


class RefusedError(SessionError):
    """The server refused a statement, and nothing of it was done.

    Attributes:
        code: The SQLSTATE.
    """

    def __init__(self, msg: str, code: str) -> None:
        super().__init__(msg)
        self.code = code


class Wire(ABC):
    """A way to a server.

    Args:
        name: What errors call it.
        settings: How to connect, as of libpq.
        deadline: How long a statement may take, in seconds; on an event loop
            the storage sees to it.
        blocking: Whether no method ever waits for an event loop.
    """

    def __init__(
        self, name: str, settings: dict[str, Any], deadline: float, *, blocking: bool
    ) -> None:
        self.name = name
        self.deadline = deadline
        self.blocking = blocking
        self.closes_too: list[Callable[[], object]] = []
        self._settings = settings

    async def ask(self, statement: Statement, *values: Value) -> list[Row]:
        """Return the rows of *statement*, which is committed.

        Raises:
            SessionError: It was not sent.
            RefusedError: It was refused.
            UnknownOutcomeError: It was sent, and may have been done or not.
        """
        line = await self._borrow()
        try:
            return await self.ask_over(line, statement, *values)
        finally:
            await self._give_back(line)

    async def run(self, sql: str) -> None:
        """Do what *sql* says, several statements in one transaction."""
        line = await self._borrow()
        try:
            await self._exchange(line.on, lambda on: on.send_query(sql.encode()))
        finally:
            await self._give_back(line)

    async def ask_over(self, line: Line, statement: Statement, *values: Value) -> list[Row]:
        """Return the rows of *statement* over one connection, closed if that fails."""
        sql, types, formats, name = statement
        if name is None or line.known is None:
            result = await self._exchange(
                line.on,
                lambda on: on.send_query_params(sql, values, types, formats, Format.BINARY),
            )
        else:
            if name not in line.known:
                await self._exchange(line.on, lambda on: on.send_prepare(name, sql, types))
                line.known.add(name)
            result = await self._exchange(
                line.on, lambda on: on.send_query_prepared(name, values, formats, Format.BINARY)
            )
        get, columns = result.get_value, range(result.nfields)
        return [tuple([get(row, column) for column in columns]) for row in range(result.ntuples)]

    async def connect(self) -> Line:
        """Return a new connection, which is the caller's.

        Raises:
            SessionError: The server cannot be reached.
        """
        connection: Connection
        try:
            if self.blocking:
                connection = psycopg.Connection.connect(**self._settings)
            else:
                connection = await psycopg.AsyncConnection.connect(**self._settings)
        except _FAULTS as error:
            raise self._unreachable(error) from error.with_traceback(None)
        line = Line(connection)
        rows = await self.ask_over(line, _PROCESS)
        if rows[0][0] == int_bytes(process_of(line)):
            line.known = set()
        return line

    async def close(self) -> None:
        """Close the connections that were opened here, and those of locks."""
        for close in self.closes_too:
            close()

    @abstractmethod
    async def _get(self) -> Line:
        """Return a connection, which may have died meanwhile."""

    @abstractmethod
    async def _give_back(self, line: Line) -> None:
        """Take back what ``_get`` gave; it may have been closed."""

    async def _borrow(self) -> Line:
        while True:
            line = await self._get()
            if not line.is_silent():
                line.close()
                await self._give_back(line)
                continue
            if line.on.parameter_status(b"client_encoding") in _OUR_TEXT:
                return line
            await self._give_back(line)
            msg = f"the connections to {self.name} must have client_encoding='UTF8'"
            raise SessionError(msg)

    async def _exchange(self, on: PGconn, send: Callable[[PGconn], None]) -> PGresult:
        try:
            send(on)
            results = await self._replies(on)
        except _FAULTS as error:
            on.finish()
            msg = f"the connection to {self.name} was lost: {str(error).strip()}"
            raise UnknownOutcomeError(msg) from error.with_traceback(None)
        except BaseException:
            on.finish()
            raise
        failed = [each for each in results if each.status not in _DONE]
        if on.status != ConnStatus.OK:
            msg = f"the connection to {self.name} was lost: {_said(failed)}"
            raise UnknownOutcomeError(msg)
        if failed:
            code = failed[0].error_field(DiagnosticField.SQLSTATE) or b""
            msg = f"{self.name} refused: {_said(failed)}. Nothing was written"
            raise RefusedError(msg, code.decode())
        return results[-1]

    async def _replies(self, on: PGconn) -> list[PGresult]:
        """Return all that the server answers; only then it is committed."""
        end = time.monotonic() + self.deadline
        while on.flush():
            await self._wait(on.socket, _BOTH, end)
            on.consume_input()
        results: list[PGresult] = []
        while True:
            while on.is_busy():
                await self._wait(on.socket, _READ, end)
                on.consume_input()
            result = on.get_result()
            if result is None:
                return results
            results.append(result)

    async def _wait(self, fd: int, events: int, end: float) -> None:
        if not self.blocking:
            await _wait_on_loop(fd, events)
        elif not _wait_here(fd, events, end - time.monotonic()):
            msg = f"there was no answer within {self.deadline:g} seconds"
            raise TimeoutError(msg)

    def _unreachable(self, error: Exception) -> SessionError:
        return SessionError(
            f"{self.name} cannot be reached: {str(error).strip()}. Nothing was written"
        )


class Opened(Wire):
    """Connections that are opened here; any thread and event loop may use them in turn."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._idle: list[Line] = []
        self._process = os.getpid()
        self._of_parents: list[Line] = []
        self._closed = False

    async def close(self) -> None:
        """Close what is not in use; what is in use is closed when it is given back."""
        await super().close()
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    async def _get(self) -> Line:
        if self._process != os.getpid():
            self._process = os.getpid()
            self._of_parents += self._idle  # to close them would end those of the parent
            self._idle = []
        try:
            return self._idle.pop()
        except IndexError:
            return await self.connect()

    async def _give_back(self, line: Line) -> None:
        if line.on.transaction_status != TransactionStatus.IDLE or self._closed:
            line.close()
        else:
            self._idle.append(line)


class LentPool(Wire):
    """The connections of a pool that was handed in, and is not closed."""

    def __init__(self, pool: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._pool = pool
        self._loop: asyncio.AbstractEventLoop | None = None

    async def _get(self) -> Line:
        self._check_loop()
        try:
            connection: Connection = await _done(self._pool.getconn(timeout=self.deadline))
        except _FAULTS as error:
            raise self._unreachable(error) from error.with_traceback(None)
        return Line(connection)

    async def _give_back(self, line: Line) -> None:
        await _done(self._pool.putconn(line.connection))

    def _check_loop(self) -> None:
        if self.blocking:
            return
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):
            msg = (
                f"the pool for {self.name} belongs to another event loop: make a pool for each, "
                "or give a URL"
            )
            raise SessionError(msg)
        self._loop = loop


def process_of(line: Line) -> int:
    """Return the number of the server's process, as it was said when the connection began.

    A pooler says one of its own.
    """
    return line.on.backend_pid


def _poll_of(fd: int) -> Callable[[float], object]:
    """Return what tells, after so many milliseconds at most, whether there is something to read."""
    if not hasattr(select, "poll"):  # pragma: no cover (Windows)
        return lambda milliseconds: select.select([fd], [], [], milliseconds / 1000)[0]
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return poller.poll


def _wait_here(fd: int, events: int, seconds: float) -> bool:
    with _Selector() as selector:
        selector.register(fd, events)
        return bool(selector.select(max(0, seconds)))


async def _wait_on_loop(fd: int, events: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, _wake, ready)
    if events == _BOTH:
        loop.add_writer(fd, _wake, ready)
    try:
        await ready
    finally:
        loop.remove_reader(fd)
        if events == _BOTH:
            loop.remove_writer(fd)


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _said(failed: Sequence[PGresult]) -> str:
    """Return the server's message without details, which may show what was stored."""
    message = failed[0].error_field(DiagnosticField.MESSAGE_PRIMARY) if failed else None
    return (message or b"it did not say why").decode("utf-8", "replace")


async def _done(answer: Any) -> Any:
    return (await answer) if hasattr(answer, "__await__") else answer
