"""The table, and the statements over it.

A statement travels with its parameters in one message, and is a transaction by itself.
"""

# ruff: noqa: S608 (the names in the text are quoted)
from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from psycopg.pq import Format

LAYOUT: Final = 1
"""Which layout the table has; the comment on it says so."""

COMMENT: Final = "sessions of sessionkit, layout "
_LONGEST_IDENTIFIER: Final = 63

TEXT: Final = 25
OID: Final = 26
FLOAT: Final = 701
TEXTS: Final = 1009
FLOATS: Final = 1022
INTS: Final = 1016
_ITEM: Final = {TEXTS: TEXT, FLOATS: FLOAT, INTS: 20}

Value: TypeAlias = bytes | None
_FLOAT: Final = struct.Struct("!d")
_INT: Final = struct.Struct("!q")
_SIZE: Final = struct.Struct("!i")
_MISSING: Final = _SIZE.pack(-1)


class Statement(NamedTuple):
    """SQL with ``$1``, ``$2`` and so on, and the types of these.

    All values travel as bytes that need no parsing.  What has a name may be prepared
    under it.
    """

    sql: bytes
    types: tuple[int, ...]
    formats: tuple[Format, ...]
    name: bytes | None


def statement(sql: str, *types: int, name: str | None = None) -> Statement:
    """Return *sql* with parameters of *types*."""
    text = " ".join(sql.split()).encode()
    formats = (Format.BINARY,) * len(types)
    return Statement(text, types, formats, None if name is None else name.encode())


def array(kind: int, items: Sequence[Value]) -> bytes:
    """Return *items* as an array of the type *kind*."""
    parts = [struct.pack("!iiIii", 1, None in items, _ITEM[kind], len(items), 1)]
    for item in items:
        parts += (_MISSING,) if item is None else (_SIZE.pack(len(item)), item)
    return b"".join(parts)


def float_bytes(number: float | None) -> Value:
    """Return *number* as it travels."""
    return None if number is None else _FLOAT.pack(number)


def float_of(raw: Value) -> float | None:
    """Return the number that came as *raw*."""
    return None if raw is None else float(_FLOAT.unpack(raw)[0])


def int_bytes(number: int) -> bytes:
    """Return *number* as it travels."""
    return _INT.pack(number)


def quoted(name: str, what: str) -> str:
    """Return *name* as an identifier, exactly as it is.

    Raises:
        ValueError: No table or schema can have this name.
    """
    if not name or "\0" in name or len(name.encode("utf-8", "replace")) > _LONGEST_IDENTIFIER:
        msg = f"{what} must be a name of at most {_LONGEST_IDENTIFIER} bytes, not {name!r}"
        raise ValueError(msg)
    return '"' + name.replace('"', '""') + '"'


_ONE: Final = (FLOAT, TEXT, TEXT, TEXT, TEXT, FLOAT, TEXT)
_MANY: Final = (FLOAT, TEXTS, TEXTS, TEXTS, TEXTS, FLOATS, TEXTS)


@dataclass(frozen=True, eq=False)
class Way:
    """How writes of one kind are done; both return the keys that had what was expected.

    Their parameters are the time, key, expected revision, value, revision, expiry and
    the key if that is too long for an index; or arrays of them.
    """

    one: Statement
    many: Statement | None


class Statements:
    """What is said to the server about one table.

    Args:
        table: Its name, which is quoted.
        schema: That of its schema; None: where the server looks for it.
        of_database: Whether the time is that of the server.  Then expiries are sent and
            shown as seconds from now; otherwise they are seconds since the epoch.
    """

    def __init__(self, table: str, schema: str | None, *, of_database: bool) -> None:
        name = quoted(table, "table")
        self.table: str = name if schema is None else f"{quoted(schema, 'schema')}.{name}"
        self._now = "extract(epoch from now())::float8" if of_database else "$1"
        self._from = f"{self._now} + " if of_database else ""
        shown = f"expires - {self._now}" if of_database else "expires"
        found = f"SELECT key, value, revision, {shown} FROM {self.table}"

        self.load_one = statement(f"{found} WHERE key = $1", TEXT, name="load")
        self.load = statement(f"{found} WHERE key = ANY($1)", TEXTS)
        self.expiries = statement(
            f"SELECT key, {shown} FROM {self.table} WHERE key = ANY($1)",
            TEXTS,
        )
        self.update = self._update()
        self.create = self._insert(f"WHERE t.expires <= {self._now}", name="create")
        lapsed = self._insert(f"WHERE t.revision = $3 OR t.expires <= {self._now}")
        self.create_lapsed = Way(lapsed.one, None)
        self.put = self._insert("", name="put")
        self.remove = self._remove("$3 = '*' OR revision = $3", "$3 = '*'")
        self.remove_lapsed = self._remove(
            f"revision = $3 OR expires <= {self._now}",
            f"NOT EXISTS (SELECT FROM {self.table} WHERE key = $2)",
        )
        self.touch = self._touch()
        self.first_page, self.next_page = self._page(">="), self._page(">")
        self.purge = self._purge()
        self.look = statement(
            "SELECT obj_description(oid, 'pg_class') FROM pg_class WHERE oid = to_regclass($1)",
            TEXT,
        )
        self.make = self._make()

    def _update(self) -> Way:
        """Take a revision's place.  Rows are locked in the order of their keys."""
        one = f"""
            UPDATE {self.table} SET value = $4, revision = $5, expires = {self._from}$6
            WHERE key = $2 AND revision = $3 RETURNING key
        """
        many = f"""
            WITH w AS MATERIALIZED (
                SELECT * FROM unnest($2, $3, $4, $5, $6) AS w (key, expected, value, new, expires)
            ), locked AS MATERIALIZED (
                SELECT t.key FROM {self.table} t JOIN w ON t.key = w.key
                ORDER BY t.key FOR UPDATE OF t
            )
            UPDATE {self.table} t
            SET value = w.value, revision = w.new, expires = {self._from}w.expires
            FROM w WHERE t.key = w.key AND t.revision = w.expected
            AND EXISTS (SELECT FROM locked WHERE locked.key = w.key) RETURNING t.key
        """
        return Way(statement(one, *_ONE, name="update"), statement(many, *_MANY))

    def _insert(self, fits: str, name: str | None = None) -> Way:
        into = f"INSERT INTO {self.table} AS t (key, value, revision, expires, long_key)"
        replaced = """
            ON CONFLICT (key) DO UPDATE
            SET value = excluded.value, revision = excluded.revision, expires = excluded.expires
        """
        one = f"{into} VALUES ($2, $4, $5, {self._from}$6, $7) {replaced} {fits} RETURNING key"
        many = f"""
            {into} SELECT key, value, new, {self._from}expires, long_key
            FROM unnest($2, $4, $5, $6, $7) AS w (key, value, new, expires, long_key)
            ORDER BY key COLLATE "C" {replaced} {fits} RETURNING key
        """
        return Way(statement(one, *_ONE, name=name), statement(many, *_MANY))

    def _remove(self, gone: str, anyway: str) -> Way:
        one = f"""
            WITH gone AS (DELETE FROM {self.table} WHERE key = $2 AND ({gone}) RETURNING 1)
            SELECT $2 WHERE EXISTS (SELECT FROM gone) OR {anyway}
        """
        return Way(statement(one, *_ONE), None)

    def _touch(self) -> Statement:
        sql = f"""
            WITH moved AS (
                UPDATE {self.table} SET expires = {self._from}$3
                WHERE key = $2 AND $3 IS NOT NULL AND expires > {self._now} RETURNING 1
            )
            SELECT key FROM {self.table}
            WHERE key = $2 AND (expires IS NULL OR expires > {self._now})
        """
        return statement(sql, FLOAT, TEXT, FLOAT)

    def _page(self, after: str) -> Statement:
        sql = f"""
            SELECT key, long_key FROM {self.table} WHERE key {after} $1 ORDER BY key LIMIT 500
        """
        return statement(sql, TEXT)

    def _purge(self) -> Statement:
        sql = f"""
            DELETE FROM {self.table} WHERE expires <= {self._now} AND key IN (
                SELECT key FROM {self.table} WHERE expires <= {self._now}
                ORDER BY expires LIMIT 1000 FOR UPDATE SKIP LOCKED
            ) RETURNING key
        """
        return statement(sql, FLOAT)

    def _make(self) -> tuple[str, ...]:
        return (
            f"""CREATE TABLE {self.table} (
    key text COLLATE "C" PRIMARY KEY,
    value text NOT NULL,
    revision text NOT NULL,
    expires double precision,
    long_key text
) WITH (fillfactor = 70)""",
            f"CREATE INDEX ON {self.table} (expires) WHERE expires IS NOT NULL",
            f"COMMENT ON TABLE {self.table} IS '{COMMENT}{LAYOUT}'",
        )
