"""Exclusive locks on files, against other processes and against our own threads."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

STRIPES: Final = 64

if sys.platform == "win32":  # pragma: no cover (not reached where the tests run)
    import msvcrt
    import time

    def _lock(descriptor: int) -> None:
        while True:
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            except OSError:
                time.sleep(0.005)
            else:
                return

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)

    def _unlock(descriptor: int) -> None:
        # A child forked meanwhile has the descriptor too, so closing it would not unlock.
        fcntl.flock(descriptor, fcntl.LOCK_UN)


# On network file systems the lock belongs to the process, so threads need one of their own.
_threads = [threading.Lock() for _ in range(STRIPES)]


def renew_thread_locks() -> None:
    """Forget who of our threads holds what: in a forked child they are gone."""
    _threads[:] = [threading.Lock() for _ in range(STRIPES)]


if hasattr(os, "register_at_fork"):  # pragma: no branch (everywhere but on Windows)
    os.register_at_fork(after_in_child=renew_thread_locks)


@contextmanager
def locked(folder: Path, stripe: int) -> Generator[None, None, None]:
    """Hold lock number *stripe* of the lock files in *folder*; not reentrant.

    The files stay: whoever removed one would let two holders in.
    """
    with _threads[stripe]:
        descriptor = os.open(folder / f"{stripe:02x}", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor)
            try:
                yield
            finally:
                _unlock(descriptor)
        finally:
            os.close(descriptor)
