"""Reads on the thread of the caller, where a trip to another thread would cost the most."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import suppress
from time import perf_counter
from typing import TYPE_CHECKING, Final, TypeVar, TypeVarTuple

from sessionkit.storages._sqlite.file import MEMORY
from sessionkit.storages._sqlite.table import ELSEWHERE, MaybeElsewhere

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionkit.storages._sqlite.file import SQLiteFile

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

_MOST: Final = 4
_SLOW: Final = 0.01
_REST: Final = 100
"""After a read that took t seconds, the callers do not read themselves for 100 t ..."""
_LONGEST_REST: Final = 60.0
"""... or this many seconds, the smaller of the two: so at most 1 % of a slow disk is felt."""
_PATIENCE: Final = 5.0


class _Reader:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.cursor = connection.cursor()
        self.busy = threading.Lock()

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self.cursor.connection.close()


class Readers:
    """Some connections that only read, each used by one thread at a time.

    There are none until the worker makes the first, none for what is in memory, and
    none in a forked process.
    """

    def __init__(self, file: SQLiteFile) -> None:
        self._file = file
        self._readers: tuple[_Reader, ...] = ()
        self._rests_until = 0.0
        self._pid = 0
        self._most = 0 if file.path == MEMORY else _MOST
        self._was_short = True
        self._changing = threading.Lock()

    def run(
        self, work: Callable[[sqlite3.Cursor, *Ts], MaybeElsewhere[R]], *args: *Ts
    ) -> MaybeElsewhere[R]:
        """Return what *work* gives; ELSEWHERE if it did not run, or failed.

        The worker gives the reason of a failure, or waits until it is over.
        """
        begin = perf_counter()
        if begin < self._rests_until or self._pid != os.getpid():
            return ELSEWHERE
        for reader in self._readers:
            if reader.busy.acquire(blocking=False):
                break
        else:
            self._was_short = True
            return ELSEWHERE
        try:
            result = work(reader.cursor, *args)
        except sqlite3.Error:
            self._drop(reader)
            return ELSEWHERE
        except BaseException:  # of a signal handler
            reader.busy.release()
            raise
        reader.busy.release()
        took = perf_counter() - begin
        if took > _SLOW:
            self._rests_until = begin + min(_REST * took, _LONGEST_REST)
        return result

    def grow(self) -> None:
        """Make one more if they were too few; for the worker, which has opened the file."""
        if self._was_short and len(self._readers) < self._most:
            with suppress(sqlite3.Error), self._changing:
                self._readers = (*self._readers, _Reader(self._file.connect_for_reading()))
                self._pid = os.getpid()
        self._was_short = False

    def close(self) -> None:
        """Close all of them, once the reads that are under way are over."""
        with self._changing:
            readers, self._readers = self._readers, ()
        self._was_short = True
        for reader in readers:
            if reader.busy.acquire(timeout=_PATIENCE):  # for good
                reader.close()

    def renew_after_fork(self) -> None:
        """Begin without connections and without what other threads held."""
        self._changing = threading.Lock()
        self._readers = ()
        self._was_short = True

    def _drop(self, reader: _Reader) -> None:
        """Close a reader that this thread has, and never give it back."""
        with self._changing:
            self._readers = tuple(other for other in self._readers if other is not reader)
        reader.close()
