"""The table that sessions are in, and what goes into its columns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Column, Double, LargeBinary, MetaData, String, Table
from sqlalchemy.dialects import mysql

from sessionkit.storages.authoring import Stored, key_bytes, short_key

if TYPE_CHECKING:
    from sqlalchemy import Row

NAME: Final = "sessionkit_sessions"

_LONGEST_NAME: Final = 255
"""Bytes of a primary key that every engine can index."""

_HASH_LENGTH: Final = 65
"""Bytes at the end of a primary key that stand for the rest of a long key."""


def sessions_table(
    metadata: MetaData | None = None, name: str = NAME, *, schema: str | None = None
) -> Table:
    """Return the table for sessions, added to *metadata*, where Alembic finds it too.

    Its columns are ``name`` (the session key in UTF-8; of a long one the beginning and a
    hash), ``full_key`` (a long key itself), ``value`` (bytes of the codec), ``revision``
    and ``expires`` (seconds since the epoch, NULL for never).  Keys are bytes, since
    collations call different keys equal.
    """
    return Table(
        name,
        MetaData() if metadata is None else metadata,
        Column("name", _binary(mysql.VARBINARY(_LONGEST_NAME)), primary_key=True),
        Column("full_key", LargeBinary),
        Column("value", _binary(mysql.LONGBLOB()), nullable=False),
        Column("revision", String(64), nullable=False),
        Column("expires", Double, index=True),
        schema=schema,
    )


def _binary(in_mysql: Any) -> Any:
    return LargeBinary().with_variant(in_mysql, "mysql", "mariadb")


def check_columns(table: Table) -> None:
    """Refuse a table that is not one of ``sessions_table``.

    Raises:
        ValueError: Columns are missing; says which.
    """
    missing = [column.name for column in sessions_table().c if column.name not in table.c]
    if missing:
        msg = (
            f"the table {table.fullname!r} has no column {', '.join(missing)}: make it with "
            "sessions_table(metadata)"
        )
        raise ValueError(msg)


def name_of(key: str) -> bytes:
    """Return the primary key of a session key."""
    return short_key(key, _LONGEST_NAME)


def full_key_of(key: str) -> bytes | None:
    """Return what is kept beside a primary key that is not the key itself."""
    raw = key_bytes(key)
    return None if name_of(key) == raw else raw


def stored_in(row: Row[Any]) -> Stored:
    """Return what a row with value, revision and expires has."""
    return Stored(bytes(row.value), row.revision, row.expires)


def key_in(row: Row[Any]) -> bytes:
    """Return the bytes of the session key of a row with name and full_key."""
    return bytes(row.name if row.full_key is None else row.full_key)


def span_of(prefix: bytes) -> tuple[bytes, bytes | None]:
    """Return between which primary keys all keys that begin with *prefix* are, and others.

    The second one, at which they end, is None if they go on to the last one.
    """
    start = prefix[: _LONGEST_NAME - _HASH_LENGTH]
    return start, start[:-1] + bytes([start[-1] + 1]) if start else None  # UTF-8 has no 255


def shown_expiry(expires: float | None) -> float | None:
    """Return *expires* for its column, which need not hold infinity."""
    return None if expires is None or (math.isinf(expires) and expires > 0) else expires
