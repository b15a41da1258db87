"""The lock files of a folder of sessions, against other processes and our own threads."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final
from weakref import WeakSet, finalize

from sessionkit.storages._file.disk import open_new
from sessionkit.storages._file.flock import try_lock, unlock

STRIPES: Final = 64
_LONGEST_NOTE: Final = 300

# What this process has locked, by path. On network file systems a lock belongs to the
# process and would not keep its own threads apart.
_mutex = threading.Lock()
_held: set[str] = set()


class LockFiles:
    """Numbered lock files in a folder; each has the process that locked it last in it.

    The files stay, and stay open: removing one would let two holders in.
    """

    def __init__(self, folder: Path, mode: int | None) -> None:
        self._folder = str(folder)
        self._mode = mode
        self._open: dict[int, int] = {}
        self._let_go = finalize(self, _close_all, self._open)
        _living.add(self)

    def path(self, number: int) -> str:
        """Return where lock *number* is."""
        return f"{self._folder}{os.sep}{number:02x}"

    def try_lock(self, number: int) -> bool:
        """Take lock *number*, without waiting; False if somebody has it, this process included.

        Raises:
            OSError: The file cannot be opened or locked.
        """
        path = self.path(number)
        with _mutex:
            if path in _held:
                return False
            _held.add(path)
        taken = False
        try:
            taken = self._take(number, path)
        except OSError as error:
            error.filename = path
            raise
        finally:
            if not taken:
                _held.discard(path)
        return taken

    def unlock(self, number: int) -> None:
        """Give back lock *number*, which this process has."""
        try:
            unlock(self._open[number])
        finally:
            _held.discard(self.path(number))

    def close(self) -> None:
        """Close the files; a no-op the second time."""
        _close_all(self._open)

    def leave_to_parent(self) -> None:
        """Close a forked child's copies, which would keep locks if the parent died."""
        _close_all(self._open)

    def _take(self, number: int, path: str) -> bool:
        descriptor = self._open.get(number)
        if descriptor is None:
            descriptor = self._open[number] = open_new(path, os.O_RDWR, self._mode)
        if not try_lock(descriptor):
            return False
        if os.fstat(descriptor).st_nlink == 0:  # somebody has removed it; others lock a new one
            unlock(descriptor)
            os.close(self._open.pop(number))
            return self._take(number, path)
        sign(descriptor)
        return True

    def holder(self, number: int) -> str:
        """Return who has lock *number*, as far as that is known."""
        return holder_in(Path(self.path(number)))


def sign(descriptor: int) -> None:
    """Let it show in a lock file which process has locked it."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    if os.read(descriptor, _LONGEST_NOTE) != _signature:
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, _signature)


def holder_in(path: Path) -> str:
    """Return which process has locked the lock file *path*, as far as that is known."""
    with suppress(OSError, UnicodeDecodeError), path.open("rb") as file:
        file.seek(1)  # on Windows, others cannot read what is locked
        pid, _, host = file.read(_LONGEST_NOTE).decode("ascii").strip().partition(" ")
        if pid:
            return f"process {pid} on {host}"
    return "another process"


def _sign_of_this_process() -> bytes:
    return f" {os.getpid()} {socket.gethostname()}\n".encode("ascii", "replace")


_signature: bytes = _sign_of_this_process()


def _close_all(descriptors: dict[int, int]) -> None:
    while descriptors:
        os.close(descriptors.popitem()[1])


_living: WeakSet[LockFiles] = WeakSet()


def forget_locks() -> None:  # pragma: no cover (in a child)
    """Let go of what threads of the parent have locked: in a forked child they are gone.

    The parent keeps its locks.
    """
    global _mutex, _signature  # noqa: PLW0603 (a thread of the parent may have had the mutex)
    _mutex = threading.Lock()
    _signature = _sign_of_this_process()
    _held.clear()
    for locks in list(_living):
        locks.leave_to_parent()


if hasattr(os, "register_at_fork"):  # pragma: no branch (everywhere but on Windows)
    os.register_at_fork(after_in_child=forget_locks)
