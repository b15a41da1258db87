"""Where files are written before they take the place of others."""

from __future__ import annotations

import os
import secrets
import sys
import threading
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Final
from weakref import WeakSet, finalize

from sessionkit.storages._file.disk import names, open_new
from sessionkit.storages._file.flock import try_lock

if TYPE_CHECKING:
    from pathlib import Path

_LOCK: Final = ".lock"
_UNFINISHED: Final = ".new"
_ABANDONED_AFTER: Final = 3600.0


class Workshop:
    """Names for unfinished files in a folder, by which it shows whose they are.

    All begin with a token; a file of that name is locked as long as their writer lives.

    Raises:
        OSError: No file can be made and locked in *folder*.
    """

    def __init__(self, folder: Path, mode: int | None) -> None:
        self._folder = folder
        self._mode = mode
        self._mutex = threading.Lock()
        self._begin()
        _living.add(self)

    def _begin(self) -> None:
        self._numbers = count()
        descriptor = None
        while descriptor is None:
            self._token = secrets.token_hex(8)
            descriptor = _locked(f"{self._folder}{os.sep}{self._token}{_LOCK}", self._mode)
        self._descriptor = descriptor
        self._let_go = finalize(self, os.close, descriptor)

    def leave_to_parent(self) -> None:
        """Close a forked child's copy, which would keep the lock if the parent died."""
        self._mutex = threading.Lock()
        self._let_go()

    def new_path(self) -> str:
        """Return a path that was never used."""
        with self._mutex:
            if not self._let_go.alive:
                self._begin()
        return f"{self._folder}{os.sep}{self._token}-{next(self._numbers):x}{_UNFINISHED}"

    def close(self) -> None:
        """Say that nothing is unfinished; a no-op the second time."""
        if self._let_go.alive:
            self._let_go()
            with suppress(OSError):
                (self._folder / f"{self._token}{_LOCK}").unlink()

    def remove_abandoned(self, now: float) -> None:
        """Remove what killed writers left; what belongs to living ones stays.

        What earlier versions left does not name its writer, and is removed after an hour.
        """
        for name in sorted(names(self._folder)):  # a lock is looked at after its files
            with suppress(OSError):
                self._remove_if_abandoned(name, now)

    def _remove_if_abandoned(self, name: str, now: float) -> None:
        path = self._folder / name
        stem, _, kind = name.rpartition(".")
        if not kind or not stem:
            if now - path.stat().st_mtime > _ABANDONED_AFTER:
                path.unlink()
            return
        lock = self._folder / f"{stem.partition('-')[0]}{_LOCK}"
        try:
            descriptor = os.open(lock, os.O_RDWR)
        except FileNotFoundError:
            path.unlink()
            return
        try:
            is_abandoned = try_lock(descriptor)
            if is_abandoned and sys.platform != "win32":
                path.unlink()
        finally:
            os.close(descriptor)
        if is_abandoned and sys.platform == "win32":  # pragma: no cover (only there)
            path.unlink()


def _locked(path: str, mode: int | None) -> int | None:
    """Make and lock a file; None if somebody who looks for abandoned files has just got it."""
    descriptor = open_new(path, os.O_RDWR | os.O_EXCL, mode)
    try:
        if try_lock(descriptor) and os.fstat(descriptor).st_nlink:
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


_living: WeakSet[Workshop] = WeakSet()


def _leave_to_parent() -> None:  # pragma: no cover (in a child)
    for workshop in list(_living):
        workshop.leave_to_parent()


if hasattr(os, "register_at_fork"):  # pragma: no branch (everywhere but on Windows)
    os.register_at_fork(after_in_child=_leave_to_parent)
