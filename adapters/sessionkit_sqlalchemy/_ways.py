"""How to run a function on a connection: in an event loop or in a thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from sqlalchemy.exc import DBAPIError

from sessionkit import SessionError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

R = TypeVar("R")

_SQLITE_URI: Final = "file:"
_ISOLATION: Final = {
    "sqlite": "AUTOCOMMIT",  # drivers begin too late or in the wrong mode; see Transaction
    "postgresql": "READ COMMITTED",
    "mysql": "READ COMMITTED",  # the default locks gaps between rows, and deadlocks
    "mariadb": "READ COMMITTED",
}


class Way(Protocol):
    """The way to a database."""

    name: str
    """What errors call it; without the password."""

    async def run(self, work: Callable[[Connection], R], /) -> R:
        """Return what *work* makes of a connection.

        Raises:
            SessionError: It failed, and nothing was committed.
            UnknownOutcomeError: It may have been committed.
        """
        ...

    def lacks_file(self) -> bool:
        """Return whether the file of SQLite is missing, which connecting to it would make."""
        ...

    async def close(self) -> None:
        """Close what was opened here."""
        ...


class AsyncWay:
    """An engine of ``sqlalchemy.ext.asyncio``."""

    def __init__(self, engine: AsyncEngine, *, owned: bool) -> None:
        self.name = shown(engine)
        self._engine = engine
        self._owned = owned
        self._options = _options(engine.sync_engine)

    async def run(self, work: Callable[[Connection], R], /) -> R:
        try:
            async with self._engine.connect() as connection:
                await connection.execution_options(**self._options)
                return await connection.run_sync(work)
        except SessionError:
            raise
        except Exception as error:  # noqa: BLE001 (drivers raise what they like)
            raise failure(self.name, error) from cause(error)

    def lacks_file(self) -> bool:
        return _lacks_file(self._engine.sync_engine)

    async def close(self) -> None:
        if self._owned:
            await self._engine.dispose()


class BlockingWay:
    """An engine whose methods block: ``run`` never waits for an event loop."""

    def __init__(self, engine: Engine, *, owned: bool) -> None:
        self.name = shown(engine)
        self._engine = engine
        self._owned = owned
        self._options = _options(engine)

    async def run(self, work: Callable[[Connection], R], /) -> R:
        try:
            with self._engine.connect() as connection:
                connection.execution_options(**self._options)
                return work(connection)
        except SessionError:
            raise
        except Exception as error:  # noqa: BLE001 (drivers raise what they like)
            raise failure(self.name, error) from cause(error)

    def lacks_file(self) -> bool:
        return _lacks_file(self._engine)

    async def close(self) -> None:
        if self._owned:
            self._engine.dispose()


def shown(engine: Engine | AsyncEngine) -> str:
    """Return the URL of *engine* without its password and options."""
    url = engine.url.set(query={})
    return url.render_as_string(hide_password=True)


def failure(name: str, error: BaseException) -> SessionError:
    """Return the error for one of the database that left everything as it was."""
    return SessionError(f"{name} failed: {reason(error)}. Nothing was written")


def reason(error: BaseException) -> str:
    """Return what the driver said, without statement and parameters, which hold users' data."""
    said = str(cause(error)) or repr(cause(error))
    return said.strip().rstrip(".")


def cause(error: BaseException) -> BaseException:
    """Return the driver's own error."""
    inner = error.orig if isinstance(error, DBAPIError) else None
    return error if inner is None else inner


def _options(engine: Engine) -> dict[str, Any]:
    """Return the options of connections.

    Raises:
        ValueError: It is not known how the database locks rows, or each connection would
            have a database of its own.
    """
    kind = engine.dialect.name
    if kind not in _ISOLATION:
        known = "SQLite, PostgreSQL, MariaDB and MySQL"
        msg = f"sessions can be kept in {known}, not in {kind}, whose locks were not tried"
        raise ValueError(msg)
    if kind == "sqlite" and _is_in_memory(engine):
        msg = (
            "SQLite in memory cannot be shared by connections: name a file, or use "
            "MemorySessionStorage()"
        )
        raise ValueError(msg)
    return {"isolation_level": _ISOLATION[kind]}


def _lacks_file(engine: Engine) -> bool:
    database = engine.url.database or ""
    if engine.dialect.name != "sqlite" or database.startswith(_SQLITE_URI):
        return False
    path = Path(database)
    return path.parent.is_dir() and not path.exists()


def _is_in_memory(engine: Engine) -> bool:
    database = engine.url.database
    return database in {None, "", ":memory:"} or "mode=memory" in str(engine.url)
