"""For tests of the SQLite storage: connections that stop or fail, and a look from outside."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager, closing, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sessionkit.storages._jobs import Kind

if TYPE_CHECKING:
    from pathlib import Path

    from sessionkit.storages.sqlite import SQLiteSessionStorage

CONNECT = sqlite3.connect
LARGE = "x" * 70_000
"""More than is read on the thread of the caller."""
SOON = 60.0
"""Seconds after which a test that hangs fails; none is ever waited for."""


class Stage:
    """Connections whose statements are noted, and stop or fail as a test wants."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.stop_at: str | None = None
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.begun = threading.Event()
        self.failures: list[tuple[str, Exception]] = []

    def __call__(self, statement: str) -> None:
        self.statements.append(statement)
        if statement == "BEGIN IMMEDIATE":
            self.begun.set()
        if self.stop_at is not None and statement.strip().startswith(self.stop_at):
            self.stop_at = None
            self.reached.set()
            assert self.go_on.wait(SOON)
        if self.failures and statement.strip().startswith(self.failures[0][0]):
            raise self.failures.pop(0)[1]

    def count(self, statement: str) -> int:
        return sum(noted.strip().startswith(statement) for noted in self.statements)

    async def is_reached(self) -> None:
        assert await asyncio.to_thread(self.reached.wait, SOON)


class StagedCursor(sqlite3.Cursor):
    stage: Stage

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        self.stage(sql)
        return super().execute(sql, parameters)


class StagedConnection(sqlite3.Connection):
    stage: ClassVar[Stage]

    def cursor(self, factory: Any = None) -> Any:
        cursor = super().cursor(StagedCursor)
        cursor.stage = self.stage
        return cursor

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        self.stage(sql)
        return super().execute(sql, parameters)


@contextmanager
def write_lock(path: Path) -> Generator[None]:
    """Hold the lock that every writer needs, as another program would."""
    with closing(CONNECT(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def sql(path: Path, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    with closing(CONNECT(path, isolation_level=None)) as connection:
        return connection.execute(statement, parameters).fetchall()


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(f"injected {code}")
    error.sqlite_errorcode = code
    return error


async def listed(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


@asynccontextmanager
async def busy_thread(storage: SQLiteSessionStorage) -> AsyncGenerator[None]:
    """Keep the thread of *storage* busy: what tasks ask for meanwhile, it takes at once."""
    begun, go_on = threading.Event(), threading.Event()

    def stay(_cursor: object) -> None:
        begun.set()
        assert go_on.wait(SOON)

    staying = asyncio.create_task(storage._engine.worker.run(Kind.READ, stay))
    try:
        assert await asyncio.to_thread(begun.wait, SOON)
        yield
        await asyncio.sleep(0)  # the tasks begin, and ask
    finally:
        go_on.set()
    await staying
