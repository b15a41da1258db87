"""A thread with a connection of its own, which commits all that is queued at once."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar, TypeVarTuple

from sessionkit.errors import SessionClosedError, SessionError
from sessionkit.storages._sqlite.file import SQLiteFile, is_busy
from sessionkit.storages._sqlite.jobs import Job, Kind, TaskJob, ThreadJob, settle

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

_SHORTEST_RETRY: Final = 0.001
_LONGEST_RETRY: Final = 0.01
_LONGEST_FAREWELL: Final = 1.0


class Worker:
    """Runs jobs, on a thread that begins with the first of them.

    What is queued when the thread is free runs together: first the reads, then
    all writes in one transaction.  One thread for both is the quickest if one
    update is in flight, and as quick as two if there are many (measured).
    While another program holds the write lock, writes wait and reads go on.
    """

    def __init__(self, file: SQLiteFile) -> None:
        self._file = file
        self._inbox: SimpleQueue[Job[Any]] = SimpleQueue()
        self._reads: list[Job[Any]] = []
        self._writes: list[Job[Any]] = []
        self._postponed: list[Job[Any]] = []
        self._ends: list[Job[Any]] = []
        self._jitter = random.Random()  # noqa: S311 (and the user's own sequence stays his)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._closing = False
        self._ended = False

    async def run(self, kind: Kind, work: Callable[[sqlite3.Cursor, *Ts], R], *args: *Ts) -> R:
        """Return what *work* gives, waiting as a task.

        Raises:
            SessionClosedError: This worker was closed.
            SessionError: SQLite failed; nothing was written.
        """
        return await TaskJob(kind, work, args).outcome(self._submit)

    async def block(self, kind: Kind, work: Callable[[sqlite3.Cursor, *Ts], R], *args: *Ts) -> R:
        """Return what *work* gives, blocking the thread; otherwise as ``run``."""
        return ThreadJob(kind, work, args).outcome(self._submit)

    async def close(self) -> None:
        """Finish what is queued and end, waiting as a task."""
        if self._shut():
            await TaskJob(Kind.END, _close, ()).outcome(self._put)

    async def close_blocking(self) -> None:
        """Finish what is queued and end, blocking the thread."""
        if self._shut():
            ThreadJob(Kind.END, _close, ()).outcome(self._put)

    def abandon(self) -> None:
        """End because nobody can use this any more, without waiting for long."""
        thread = self._thread
        if self._shut() and thread is not None:
            self._put(ThreadJob(Kind.END, _close, ()))
            with suppress(RuntimeError):  # this may be that very thread
                thread.join(_LONGEST_FAREWELL)

    def _submit(self, job: Job[Any]) -> None:
        if self._closing:
            raise self._closed_error()
        if self._pid != os.getpid():
            self._start()
        self._put(job)

    def _put(self, job: Job[Any]) -> None:
        self._inbox.put(job)
        if self._ended:  # perhaps too late for the thread to see it
            self._refuse_queued()

    def _start(self) -> None:
        with self._starting:
            if self._closing:
                raise self._closed_error()
            if self._thread is None:
                thread = threading.Thread(
                    target=self._serve, name=f"sessionkit {self._file}", daemon=True
                )
                thread.start()
                self._thread, self._pid = thread, os.getpid()
            elif self._pid != os.getpid():
                raise self._forked_error()

    def _shut(self) -> bool:
        with self._starting:
            self._closing = True
            return self._pid == os.getpid()

    def _serve(self) -> None:
        # The connection stays in this frame: a forked child must never close its copy.
        cursor: sqlite3.Cursor | None = None
        while self._reads or self._postponed or not self._ends:
            self._wait()
            if cursor is None and (self._reads or self._writes):
                cursor = self._open()
            if cursor is not None:
                self._run_reads(cursor)
                self._run_writes(cursor)
        for job in self._ends:
            job.run(cursor)
        self._ended = True
        settle(self._ends)
        self._refuse_queued()

    def _wait(self) -> None:
        postponed, self._postponed = self._postponed, []
        for job in postponed:
            if not job.is_withdrawn:
                self._sort(job)
        with suppress(Empty):
            self._sort(self._inbox.get(timeout=self._patience(bool(postponed))))
            self._take_queued()

    def _patience(self, busy: bool) -> float | None:  # noqa: FBT001
        if busy:
            return self._jitter.uniform(_SHORTEST_RETRY, _LONGEST_RETRY)
        return 0 if self._reads else None

    def _take_queued(self) -> None:
        for _ in range(self._inbox.qsize()):
            self._sort(self._inbox.get_nowait())

    def _sort(self, job: Job[Any]) -> None:
        if job.kind is Kind.WRITE:
            self._writes.append(job)
        elif job.kind is Kind.READ:
            self._reads.append(job)
        else:
            self._ends.append(job)

    def _open(self) -> sqlite3.Cursor | None:
        try:
            return self._file.connect().cursor()
        except SessionError as error:
            waiting = self._reads + self._writes
            self._reads, self._writes = [], []
            self._put_off(waiting, error)
            return None

    def _run_reads(self, cursor: sqlite3.Cursor) -> None:
        reads, self._reads = self._reads, []
        if len(reads) > 1:  # one snapshot for all costs less
            cursor.execute("BEGIN")
        for job in reads:
            job.run(cursor)
        if len(reads) > 1:
            cursor.execute("COMMIT")
        busy = [job for job in reads if is_busy(job.error)]
        if busy:
            reads = [job for job in reads if not is_busy(job.error)]
            self._put_off(busy, busy[0].error)
        self._settle(reads)

    def _run_writes(self, cursor: sqlite3.Cursor) -> None:
        if not self._writes:
            return
        try:
            cursor.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            writes, self._writes = self._writes, []
            self._put_off(writes, error)
            return
        self._take_queued()
        writes, self._writes = self._writes, []
        claimed = [job for job in writes if job.claim()]
        self._commit(cursor, claimed)
        self._settle(claimed)

    def _commit(self, cursor: sqlite3.Cursor, jobs: list[Job[Any]]) -> None:
        try:
            for job in jobs:
                job.run(cursor)
                if job.error is not None and not cursor.connection.in_transaction:
                    raise job.error  # SQLite has undone what the others did as well
            cursor.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 (told to all of them)
            if cursor.connection.in_transaction:
                cursor.execute("ROLLBACK")
            for job in jobs:
                job.error = error

    def _put_off(self, jobs: list[Job[Any]], error: Exception | None) -> None:
        """Try *jobs* again later, as long as that may help and their time is not over."""
        now = time.monotonic()
        failed: list[Job[Any]] = []
        for job in jobs:
            if job.deadline is None:
                job.deadline = now + self._file.busy_timeout
            if is_busy(error) and now < job.deadline:
                self._postponed.append(job)
            else:
                job.error = error
                failed.append(job)
        self._settle(job for job in failed if job.claim())

    def _settle(self, jobs: Iterable[Job[Any]]) -> None:
        jobs = list(jobs)
        for job in jobs:
            if job.error is not None:
                job.error = self._file.explain(job.error)
        settle(jobs)

    def _refuse_queued(self) -> None:
        with suppress(Empty):
            while True:
                job = self._inbox.get_nowait()
                if job.kind is Kind.END:
                    job.run(None)
                else:
                    job.error = self._closed_error()
                settle([job] if job.claim() else [])

    def _closed_error(self) -> SessionClosedError:
        msg = f"the storage on {self._file} was closed: make a new SQLiteSessionStorage"
        return SessionClosedError(msg)

    def _forked_error(self) -> SessionError:
        msg = (
            f"the storage on {self._file} was used before this process was forked, and "
            "SQLite cannot be carried across: make the SQLiteSessionStorage, or use it for "
            "the first time, in each process of its own (after the fork)"
        )
        return SessionError(msg)


def _close(cursor: sqlite3.Cursor | None) -> None:
    if cursor is not None:
        cursor.connection.close()
