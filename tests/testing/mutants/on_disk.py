"""References on disk, for several processes: files, and SQLite."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sqlite3
import uuid
from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from sessionkit.errors import SessionConflictError
from sessionkit.protocols import ANY, Expected

if TYPE_CHECKING:
    from pathlib import Path


class Files:
    """A JSON file for each key, replaced as a whole, and a lock file for all of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(exist_ok=True)

    def path(self, key: str) -> Path:
        name = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        return self.folder / f"{name}.json"

    @contextmanager
    def locked(self) -> Generator[None, None, None]:
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def replace(self, path: Path, text: str) -> None:
        new = self.folder / f"{uuid.uuid4().hex}.new"
        new.write_text(text)
        new.replace(path)

    def read(self, key: str) -> Any:
        return self.read_with_revision(key)[0]

    def write(self, key: str, value: Any) -> None:
        self.write_if(key, value, ANY)

    def delete(self, key: str) -> None:
        self.write_if(key, None, ANY)

    def read_with_revision(self, key: str) -> Any:
        try:
            text = self.path(key).read_text()
        except FileNotFoundError:
            return None, None
        found = json.loads(text)
        return found["value"], found["revision"]

    def write_if(self, key: str, value: Any, expected: Expected) -> Any:
        revision = uuid.uuid4().hex
        text = json.dumps({"value": value, "revision": revision})
        with self.locked():
            if expected is not ANY and expected != self.read_with_revision(key)[1]:
                raise SessionConflictError("changed", key=key)
            if value is None:
                self.path(key).unlink(missing_ok=True)
                return None
            self.replace(self.path(key), text)
        return revision


class Rows:
    """A row of SQLite for each key."""

    def __init__(self, folder: Path) -> None:
        self.file = folder.with_suffix(".db")
        with closing(self.connect()) as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS rows (key BLOB PRIMARY KEY, value TEXT, revision TEXT)"
            )

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.file, timeout=30, isolation_level=None)

    def run(self, statement: str, *given: Any) -> Any:
        """Return the rows of one statement, which is a transaction of its own."""
        with closing(self.connect()) as database:
            return database.execute(statement, given).fetchall()

    def read(self, key: str) -> Any:
        return self.read_with_revision(key)[0]

    def write(self, key: str, value: Any) -> None:
        self.run("REPLACE INTO rows VALUES (?, ?, ?)", _blob(key), json.dumps(value), _new())

    def delete(self, key: str) -> None:
        self.run("DELETE FROM rows WHERE key = ?", _blob(key))

    def read_with_revision(self, key: str) -> Any:
        found = self.run("SELECT value, revision FROM rows WHERE key = ?", _blob(key))
        return (json.loads(found[0][0]), found[0][1]) if found else (None, None)

    def write_if(self, key: str, value: Any, expected: Expected) -> Any:
        text, revision = json.dumps(value), _new()
        with closing(self.connect()) as database:
            database.execute("BEGIN IMMEDIATE")
            rows = database.execute("SELECT revision FROM rows WHERE key = ?", [_blob(key)])
            stored = rows.fetchone()
            if expected is not ANY and expected != (stored and stored[0]):
                database.execute("ROLLBACK")
                raise SessionConflictError("changed", key=key)
            if value is None:
                database.execute("DELETE FROM rows WHERE key = ?", [_blob(key)])
            else:
                database.execute("REPLACE INTO rows VALUES (?, ?, ?)", [_blob(key), text, revision])
            database.execute("COMMIT")
        return None if value is None else revision


def _blob(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _new() -> str:
    return os.urandom(8).hex()
