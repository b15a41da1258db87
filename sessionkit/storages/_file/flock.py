"""Locks on open files, taken at once or not at all."""

from __future__ import annotations

import os
import sys
from typing import Final

if sys.platform == "win32":  # pragma: no cover (not reached where the tests run)
    import msvcrt

    AVAILABLE: Final = True

    def try_lock(descriptor: int) -> bool:
        """Lock the open file; False if somebody else has it."""
        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def unlock(descriptor: int) -> None:
        """Give back the open file."""
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    from importlib.util import find_spec

    AVAILABLE: Final = find_spec("fcntl") is not None  # not where Python runs in a browser

    def try_lock(descriptor: int) -> bool:
        """Lock the open file; False if somebody else has it."""
        import fcntl  # noqa: PLC0415 (sessionkit can be imported without it)

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(descriptor: int) -> None:
        """Give back the open file."""
        import fcntl  # noqa: PLC0415 (sessionkit can be imported without it)

        # A child forked meanwhile has the descriptor too, so closing it would not unlock.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
