"""A lock that the processes of one host share: ``lock="file"``."""

from __future__ import annotations

import asyncio
import os
import random
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from sessionkit._storage.seconds import seconds
from sessionkit._storage.sync_or_async import runs_loop
from sessionkit.errors import SessionError, SessionLockTimeoutError
from sessionkit.storages._file.disk import Disk, open_new
from sessionkit.storages._file.flock import AVAILABLE, try_lock, unlock
from sessionkit.storages._file.locks import holder_in, sign
from sessionkit.storages._file.names import place_of

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from datetime import timedelta

_SHORTEST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.02


class FileLock:
    """Lets the processes of one host wait for each other: ``lock=FileLock(folder)``.

    A key is held by locking a file of its own in *folder*, which is removed when the key is
    released.  The keys of a process that ends, in whatever way, are free at once.  Usable
    in tasks and in threads.  Not for network drives, and not between hosts.

    Args:
        folder: Where the files are; made if it is missing.  Sessions share it if and only
            if their keys mean the same data.
        patience: How long ``acquire`` waits, as ``timedelta`` or seconds; None: no limit.
        mode: The permissions of the files; None for the umask's.

    Raises:
        SessionError: The folder cannot be made, or this Python has no file locks.
        TypeError: *patience* is not a span of time.
        ValueError: *patience* is not positive and finite.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        patience: timedelta | float | None = 60,
        mode: int | None = 0o600,
    ) -> None:
        self._folder = Path(folder).absolute()
        self._patience = None if patience is None else seconds("patience", patience)
        self._mode = mode
        self._held: set[int] = set()
        if not AVAILABLE:
            msg = "this Python has no file locks (no module fcntl); use the lock of a database"
            raise SessionError(msg)
        try:
            Disk(mode).make_folders(self._folder)
        except OSError as error:
            msg = f"the folder of a FileLock cannot be made: {error}"
            raise SessionError(msg) from error
        _living.add(self)

    def __repr__(self) -> str:
        return f"FileLock('{self._folder}')"

    def acquire(self, key: str, /) -> int | Coroutine[None, None, int]:
        """Wait for *key*: at once if it is free, else as a coroutine where a loop runs.

        Raises:
            SessionLockTimeoutError: It was not free in time; says which process holds it.
            SessionError: The file cannot be locked.
        """
        held = self._try(key)
        if held is not None:
            return held
        return self._wait_as_task(key) if runs_loop() else self._wait_as_thread(key)

    def release(self, key: str, held: int, /) -> None:
        """Release *key*."""
        self._held.discard(held)
        with suppress(OSError):  # Windows does not remove what is open
            self._path(key).unlink()
        unlock(held)  # a process that was forked meanwhile has a copy
        os.close(held)

    def _leave_to_parent(self) -> None:
        """Close a forked child's copies, which would keep keys locked if the parent died."""
        while self._held:
            os.close(self._held.pop())

    async def _wait_as_task(self, key: str) -> int:
        for pause in self._pauses():
            await asyncio.sleep(pause)
            if (held := self._try(key)) is not None:
                return held
        raise self._out_of_patience(key)

    def _wait_as_thread(self, key: str) -> int:
        for pause in self._pauses():
            time.sleep(pause)
            if (held := self._try(key)) is not None:
                return held
        raise self._out_of_patience(key)

    def _pauses(self) -> Iterator[float]:
        pause = _SHORTEST_PAUSE
        end = None if self._patience is None else time.monotonic() + self._patience
        while end is None or time.monotonic() < end:
            yield random.uniform(0.5, 1) * pause  # noqa: S311 (no secret)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _try(self, key: str) -> int | None:
        """Lock the file of *key*, without waiting; None if somebody has it."""
        try:
            descriptor = self._locked(str(self._path(key)))
        except OSError as error:
            msg = f"{key!r} cannot be locked: {error}. Nothing was read or written"
            raise SessionError(msg, key=key) from error
        if descriptor is not None:
            self._held.add(descriptor)
        return descriptor

    def _locked(self, path: str) -> int | None:
        while True:
            descriptor = open_new(path, os.O_RDWR, self._mode)
            try:
                if not try_lock(descriptor):
                    os.close(descriptor)
                    return None
                if os.fstat(descriptor).st_nlink:
                    sign(descriptor)
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # its holder has removed it, and others lock a new one

    def _path(self, key: str) -> Path:
        return self._folder / f"{place_of(key).stem}.lock"

    def _out_of_patience(self, key: str) -> SessionLockTimeoutError:
        patience = self._patience or 0.0
        path = self._path(key)
        msg = (
            f"key {key!r} was not free within {patience:g} s; {path} is locked by "
            f"{holder_in(path)}. Is it stopped (a debugger, a paused container)? Let it go on, or "
            "end it. Slow call inside? async with session.paused():"
        )
        return SessionLockTimeoutError(msg, key=key, timeout=patience)


_living: WeakSet[FileLock] = WeakSet()


def _leave_to_parent() -> None:  # pragma: no cover (in a child)
    for lock in list(_living):
        lock._leave_to_parent()


if hasattr(os, "register_at_fork"):  # pragma: no branch (everywhere but on Windows)
    os.register_at_fork(after_in_child=_leave_to_parent)
