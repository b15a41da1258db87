"""Where PostgreSQL is: a URL, or a pool that was handed in."""

from __future__ import annotations

import inspect
import math
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict

from sessionkit_postgres._wire import LentPool, Opened, Wire

_PORT: Final = "5432"


class Place(NamedTuple):
    """A database.

    Attributes:
        name: What errors call it; without user and password.
        wire: The way there.
        settings: How to connect; for the lock, which needs a connection of its own.
    """

    name: str
    wire: Wire
    settings: dict[str, Any]


def place_of(pool: Any, *, deadline: float, blocking: bool) -> Place:
    """Return where *pool*, a connection string or a pool of psycopg_pool, leads to.

    Raises:
        TypeError: It is neither, or of the other kind.
        ValueError: The string is wrong; its text, which may hold a password, is not shown.
    """
    if isinstance(pool, str):
        settings = settings_of(pool, deadline)
        name = _name(settings)
        return Place(name, Opened(name, settings, deadline, blocking=blocking), settings)
    _check_kind(pool, blocking=blocking)
    conninfo = pool.conninfo if isinstance(pool.conninfo, str) else ""
    more: dict[str, Any] = {} if callable(pool.kwargs) else dict(pool.kwargs or {})
    settings = settings_of(conninfo, deadline, **more)
    name = _name(settings)
    return Place(name, LentPool(pool, name, settings, deadline, blocking=blocking), settings)


def settings_of(conninfo: str, deadline: float, **more: Any) -> dict[str, Any]:
    """Return how to connect, as libpq's parameters.

    Raises:
        ValueError: *conninfo* is wrong; its text is not shown.
    """
    try:
        given: dict[str, Any] = dict(conninfo_to_dict(conninfo))
    except psycopg.Error:
        given = {"port": "?"}
    if not _is_plausible(given):
        msg = (
            "the URL of PostgreSQL cannot be read: write postgresql://user:password@host:port/"
            "database, where '/', '@', ':', '?', '#' and '%' in user or password are %2F, %40, "
            "%3A, %3F, %23 and %25"
        )
        raise ValueError(msg)
    timeout = math.ceil(deadline)
    return {"connect_timeout": timeout, **given, **more, "client_encoding": "UTF8"}


def _check_kind(pool: Any, *, blocking: bool) -> None:
    getconn = getattr(pool, "getconn", None)
    is_async = inspect.iscoroutinefunction(getconn)
    if not callable(getconn) or not hasattr(pool, "putconn") or is_async is blocking:
        wanted = "ConnectionPool" if blocking else "AsyncConnectionPool"
        other = "PostgresSessionStorage" if blocking else "BlockingPostgresSessionStorage"
        kind = f"{type(pool).__module__}.{type(pool).__qualname__}"
        msg = (
            f"give a URL, or a pool: psycopg_pool.{wanted}, not {kind}; {other} takes the other "
            "kind of pool"
        )
        raise TypeError(msg)


def _is_plausible(settings: dict[str, Any]) -> bool:
    """Return whether no part of an unescaped password was taken for something else."""
    ports = str(settings.get("port") or _PORT).split(",")
    shown = f"{settings.get('host')} {settings.get('dbname')}"
    return all(port.isdecimal() for port in ports) and "@" not in shown


def _name(settings: dict[str, Any]) -> str:
    host = settings.get("host") or settings.get("hostaddr") or "localhost"
    port = settings.get("port") or _PORT
    database = settings.get("dbname") or settings.get("user") or "of the user"
    return f"PostgreSQL at {host}:{port}, database {database}"
