"""What SQLite's errors mean to the people who run a bot."""

from __future__ import annotations

import copy
import sqlite3
from typing import Final

from sessionkit.errors import SessionError

NOTHING: Final = "Nothing was written."
MAYBE: Final = "It is not known whether the last change was stored: look before you repeat it."

_ADVICE: Final = {
    sqlite3.SQLITE_BUSY: (
        "another program kept it locked. Look for one that keeps a transaction open (a database "
        "browser, a backup), or raise busy_timeout"
    ),
    sqlite3.SQLITE_READONLY: (
        "it is read-only here. Let the user that this program runs as write to the file and to "
        "its directory"
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "it cannot be opened. Let the user that this program runs as read and write the file "
        "and its directory"
    ),
    sqlite3.SQLITE_NOTADB: (
        "it is not an SQLite database, and was left alone. Give another path, or move it away"
    ),
    sqlite3.SQLITE_CORRUPT: (
        "it is damaged. Stop the program, keep a copy, and restore a backup or use the command "
        "'.recover' of the sqlite3 shell"
    ),
    sqlite3.SQLITE_FULL: "there is no room left. Make room on the disk",
}
_UNDONE: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL})
"""What a COMMIT may fail with and have left nothing behind."""


def explain(path: str, error: BaseException, outcome: str = NOTHING) -> SessionError:
    """Return a new error that says what to do about *error*, and what came of the writes."""
    if isinstance(error, SessionError):
        explained = copy.copy(error)  # each waiter raises one of its own
        explained.__cause__ = error.__cause__
        return explained
    advice = _ADVICE.get(primary_code(error), "SQLite failed")
    explained = SessionError(f"{path}: {advice}. {outcome} ({str(error) or type(error).__name__})")
    explained.__cause__ = error
    return explained


def outcome_of_commit(error: BaseException) -> str:
    """Return what is known of a transaction whose COMMIT raised *error*."""
    return NOTHING if primary_code(error) in _UNDONE else MAYBE


def primary_code(error: BaseException | None) -> int:
    """Return what kind of failure SQLite means, 0 if *error* is not of its making."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def is_busy(error: BaseException | None) -> bool:
    """Return whether another program holds a lock, so that a later try may succeed."""
    return primary_code(error) == sqlite3.SQLITE_BUSY


def needs_new_connection(error: BaseException) -> bool:
    """Return whether *error* leaves it open what state a connection is in."""
    return isinstance(error, sqlite3.Error) and not is_busy(error)
