"""Noticing that this process has lost its locks on a file.

SQLite keeps other programs out by POSIX locks.  They belong to the process, not to a
descriptor: whatever closes *any* descriptor of the file (a backup that reads it)
drops them all, silently.  So a mark is set: one more such lock, on a byte that nobody
else uses.  It is dropped with the others, and a lock query for another owner, on a
descriptor that is kept open, shows whether it is still there (Linux; elsewhere there
is not a mark, and nothing is noticed).

Closing that descriptor would drop all locks as well, those of SQLite connections that
are not ours included.  So there is one for each file, closed when nobody has it locked.
"""

from __future__ import annotations

import os
import secrets
import struct
import sys
import threading
from contextlib import suppress
from typing import Any, Final

fcntl: Any
try:
    import fcntl
except ImportError:  # pragma: no cover (on Windows, where no locks get lost, and in browsers)
    fcntl = None

_QUERY: Final[int | None] = getattr(fcntl, "F_OFD_GETLK", None) if sys.maxsize > 2**32 else None
_FLOCK: Final = struct.Struct("hhqqi4x")  # struct flock where off_t has 64 bits
_UNLOCKED: Final = struct.pack("h", getattr(fcntl, "F_UNLCK", 0))
_FIRST_BYTE: Final = 2**62
_BYTES_OF_SQLITE: Final = (0x40000000, 512)


class Mark:
    """The mark of this process on one file."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        self.users = 0
        self._byte = _FIRST_BYTE + secrets.randbits(61)
        self._own_byte = _lock_of(self._byte, 1)

    def set(self) -> None:
        """Set the mark, or set it again."""
        fcntl.lockf(self.descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, self._byte)

    @property
    def is_there(self) -> bool:
        """Whether this process has had its locks since the mark was set."""
        return self._is_locked(self._own_byte)

    @property
    def is_needed(self) -> bool:
        """Whether somebody, perhaps this process, has locked the file for SQLite."""
        return self._is_locked(_lock_of(*_BYTES_OF_SQLITE))

    def _is_locked(self, asked: bytes) -> bool:
        answer: bytes = fcntl.fcntl(self.descriptor, _QUERY, asked)
        return not answer.startswith(_UNLOCKED)


def _lock_of(start: int, length: int) -> bytes:
    return _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)


_marks: Final[dict[tuple[int, int], Mark]] = {}
_mutex = threading.Lock()


def set_mark(path: str, identity: tuple[int, int]) -> Mark | None:
    """Mark the file that this process has just locked; None where that is not possible."""
    if _QUERY is None:
        return None
    with _mutex, suppress(OSError):
        if identity not in _marks:
            _marks[identity] = Mark(path)
        mark = _marks[identity]
        mark.set()
        if mark.is_there:
            mark.users += 1
            return mark
    return None


def give_back(mark: Mark) -> None:
    """Say that a connection to the marked file has been closed."""
    with _mutex:
        mark.users -= 1
        _close_unused()


def _close_unused() -> None:
    for identity, mark in list(_marks.items()):
        if mark.users == 0 and not mark.is_needed:
            del _marks[identity]
            os.close(mark.descriptor)


def _renew_mutex() -> None:
    global _mutex  # noqa: PLW0603 (another thread may have held it when this process was forked)
    _mutex = threading.Lock()


if hasattr(os, "register_at_fork"):  # pragma: no branch (everywhere but on Windows)
    os.register_at_fork(after_in_child=_renew_mutex)
