"""The tables in a file: made if they are not there, and never somebody else's."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sessionkit.errors import NewerVersionError, SessionError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator

_SCHEMA_VERSION: Final = 1
_VERSIONS_TABLE: Final = "sessionkit_tables"

_TABLE: Final = """
    CREATE TABLE "{table}" (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL,
                            revision INTEGER NOT NULL, expires REAL)
"""
_INDEX: Final = """
    CREATE INDEX "{table}_expires" ON "{table}" (expires) WHERE expires IS NOT NULL
"""
# Editing a value by hand leaves the revision as it is: a session that was open
# meanwhile would write over the edit.
_TRIGGER: Final = """
    CREATE TRIGGER IF NOT EXISTS "{table}_edited" AFTER UPDATE OF value ON "{table}"
    WHEN NEW.revision = OLD.revision
    BEGIN
        UPDATE "{table}" SET revision = random() & 0x3fffffffffffffff WHERE rowid = NEW.rowid;
    END
"""


def prepare_table(connection: sqlite3.Connection, path: str, table: str) -> None:
    """Make *table* and what belongs to it, as far as they are not there.

    Raises:
        SessionError: There is a table of that name that is somebody else's.
        NewerVersionError: A newer program made the table.
    """
    if not _is_complete(connection, path, table):
        with _transaction(connection):
            if not _is_complete(connection, path, table):  # no other process was quicker
                _complete(connection, path, table)


def _is_complete(connection: sqlite3.Connection, path: str, table: str) -> bool:
    version = _version(connection, table)
    if version is not None and version > _SCHEMA_VERSION:
        msg = (
            f"the table {table!r} in {path} has the layout {version}, and this "
            f"sessionkit knows {_SCHEMA_VERSION} at most: update sessionkit. Nothing was changed"
        )
        raise NewerVersionError(msg, version=version, latest=_SCHEMA_VERSION)
    return version is not None and _exists(connection, f"{table}_edited")


def _complete(connection: sqlite3.Connection, path: str, table: str) -> None:
    if _version(connection, table) is None:
        if _exists(connection, table):
            msg = (
                f"{path} has a table {table!r} already, made by something else, "
                "and it was left alone: give table= another name"
            )
            raise SessionError(msg)
        connection.execute(_TABLE.format(table=table))
        connection.execute(_INDEX.format(table=table))
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {_VERSIONS_TABLE} "
            "(name TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL)"
        )
        connection.execute(
            f"INSERT OR REPLACE INTO {_VERSIONS_TABLE} VALUES (?, ?)",  # noqa: S608
            (table, _SCHEMA_VERSION),
        )
    connection.execute(_TRIGGER.format(table=table))


def _version(connection: sqlite3.Connection, table: str) -> int | None:
    if not _exists(connection, _VERSIONS_TABLE):
        return None
    row = connection.execute(
        f"SELECT version FROM {_VERSIONS_TABLE} JOIN sqlite_master USING (name) "  # noqa: S608
        "WHERE name = ?",
        (table,),
    ).fetchone()
    return None if row is None else int(row[0])


def _exists(connection: sqlite3.Connection, name: str) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE name = ? COLLATE NOCASE"
    return connection.execute(query, (name,)).fetchone() is not None


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def check_table(table: str) -> str:
    """Return *table* as SQLite compares names.

    Raises:
        ValueError: It is not a plain identifier, or belongs to somebody else.
    """
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", table):
        msg = f"table must consist of letters, digits and underscores, not {table!r}"
        raise ValueError(msg)
    if table.lower().startswith(("sqlite_", "sessionkit_")):
        msg = f"table {table!r} is taken by SQLite or sessionkit: give it another name"
        raise ValueError(msg)
    return table.lower()
