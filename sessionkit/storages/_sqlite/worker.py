"""A thread with a connection of its own, which commits all that is queued at once."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple

from sessionkit.errors import SessionClosedError, SessionError
from sessionkit.storages._jobs import Job, Kind, TaskJob, ThreadJob, settle
from sessionkit.storages._sqlite import forks
from sessionkit.storages._sqlite.connection import Connection
from sessionkit.storages._sqlite.errors import explain, is_busy
from sessionkit.storages._sqlite.file import MEMORY

if TYPE_CHECKING:
    import asyncio

    from sessionkit.storages._sqlite.file import SQLiteFile
    from sessionkit.storages._sqlite.readers import Readers

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

_SHORTEST_RETRY: Final = 0.001
_LONGEST_RETRY: Final = 0.01
_LONGEST_FAREWELL: Final = 1.0
_LONGEST_BATCH: Final = 5.0
_LONGEST_TURN: Final = 0.005
_MEMORY_OF_CROWDS: Final = 16
"""For so many commits of one write each, several at a time are still expected."""


_carried_along: Final[list[Connection]] = []
"""Connections of the parent, which a child must never close."""


class Worker:
    """Runs jobs, on a thread that begins with the first of them.

    What is queued when the thread is free runs together: first the reads, then
    all writes in one transaction.  One thread for both is the quickest if one
    update is in flight, and as quick as two if there are many (measured).
    While another program holds the write lock, writes wait and reads go on.

    Whatever fails, fails those who wait for it, and the thread goes on.
    """

    def __init__(self, file: SQLiteFile, readers: Readers) -> None:
        self._file = file
        self._readers = readers
        self._connection = Connection(file, readers)
        self._jitter = random.Random()  # noqa: S311 (and the user's own sequence stays his)
        self._patience_with_forks = _LONGEST_BATCH
        self._closing = False
        self._restart()
        forks.watch(self)

    def _restart(self) -> None:
        self._inbox: deque[Job[Any]] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._rung = False
        self._rings_soon: asyncio.AbstractEventLoop | None = None
        self._crowd = 0
        self._reads: list[Job[Any]] = []
        self._writes: list[Job[Any]] = []
        self._postponed: list[Job[Any]] = []
        self._ends: list[Job[Any]] = []
        self._in_hand: list[Job[Any]] = []
        self._starting = threading.Lock()
        self._at_work = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._ended = False
        self._rests = False

    def run(
        self, kind: Kind, work: Callable[[sqlite3.Cursor, *Ts], R], *args: *Ts
    ) -> Coroutine[Any, Any, R]:
        """Return what *work* gives, waiting as a task.

        Raises:
            SessionClosedError: This worker was closed.
            SessionError: SQLite failed; says what came of it.
        """
        return TaskJob(kind, work, args).outcome(self._submit)

    async def block(self, kind: Kind, work: Callable[[sqlite3.Cursor, *Ts], R], *args: *Ts) -> R:
        """Return what *work* gives, blocking the thread; otherwise as ``run``."""
        return ThreadJob(kind, work, args).outcome(self._submit)

    async def close(self) -> None:
        """Finish what is queued and end, waiting as a task."""
        if self._shut():
            await TaskJob(Kind.END, self._close, ()).outcome(self._put)

    async def close_blocking(self) -> None:
        """Finish what is queued and end, blocking the thread."""
        if self._shut():
            ThreadJob(Kind.END, self._close, ()).outcome(self._put)

    def abandon(self) -> None:
        """End because nobody can use this any more, without waiting for long."""
        thread = self._thread
        if self._shut() and thread is not None:
            self._put(ThreadJob(Kind.END, self._close, ()))
            with suppress(RuntimeError):  # this may be that very thread
                thread.join(_LONGEST_FAREWELL)

    # Around a fork.

    def let_go(self) -> None:
        """Close the file, so that a process that is about to be forked inherits nothing open.

        SQLite would take its locks for held in the child, where they are not.  To be
        followed by ``go_on`` here and ``renew`` in the child.
        """
        self._rests = self._at_work.acquire(timeout=self._patience_with_forks)
        if self._rests and self._file.path != MEMORY:
            self._connection.discard()

    def go_on(self) -> None:
        """Work again, in the process that was forked."""
        if self._rests:
            self._at_work.release()

    def renew(self) -> None:
        """Start over in the child: the thread and what it was asked for are the parent's."""
        self._readers.renew_after_fork()
        if self._connection.is_open:  # in memory, or busy for too long
            _carried_along.append(self._connection)
            self._starting = threading.Lock()
        else:
            self._restart()

    # On the threads that ask.

    def _submit(self, job: Job[Any]) -> None:
        if self._closing:
            raise self._closed_error()
        if self._pid != os.getpid():
            self._start()
        self._put(job)

    def _put(self, job: Job[Any]) -> None:
        self._inbox.append(job)
        if self._crowd and job.loop is not None:
            self._ring_soon(job.loop)
        else:
            self._ring()
        if self._ended:  # perhaps too late for the thread to see it
            self._refuse_queued()

    def _ring(self) -> None:
        if not self._rung:
            self._rung = True
            self._bell.put(None)

    def _ring_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ring when those who are about to ask in *loop* have asked: one commit for all."""
        if self._rings_soon is not loop:
            self._rings_soon = loop
            loop.call_soon(self._ring_now)

    def _ring_now(self) -> None:
        self._rings_soon = None
        self._ring()

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

    # On the thread that works.

    def _serve(self) -> None:
        while self._reads or self._postponed or not self._ends:
            self._wait()
            with self._at_work:
                self._work()
        with self._at_work:
            for job in self._ends:
                job.run(None)
        self._ended = True
        settle(self._ends)
        self._refuse_queued()

    def _work(self) -> None:
        try:
            if self._reads:
                self._run_reads()
            if self._writes:
                self._run_writes()
            if self._connection.is_open:
                self._readers.grow()
        except BaseException as error:  # noqa: BLE001 (nobody must wait in vain)
            self._connection.discard()
            waiting = [*self._in_hand, *self._reads, *self._writes]
            self._reads, self._writes = [], []
            self._fail(waiting, error)

    def _wait(self) -> None:
        postponed, self._postponed = self._postponed, []
        for job in postponed:
            if not job.is_withdrawn:
                self._sort(job)
        with suppress(Empty):
            self._bell.get(timeout=self._patience(bool(postponed)))
        self._rung = False
        self._take_queued()

    def _patience(self, busy: bool) -> float | None:  # noqa: FBT001
        if busy:
            return self._jitter.uniform(_SHORTEST_RETRY, _LONGEST_RETRY)
        return 0 if self._reads else None

    def _take_queued(self) -> None:
        for _ in range(len(self._inbox)):
            self._sort(self._inbox.popleft())

    def _sort(self, job: Job[Any]) -> None:
        if job.kind is Kind.WRITE:
            self._writes.append(job)
        elif job.kind is Kind.READ:
            self._reads.append(job)
        else:
            self._ends.append(job)

    def _run_reads(self) -> None:
        reads, self._reads = self._reads, []
        self._in_hand = reads
        try:
            self._connection.read(reads)
        except SessionError as error:
            self._put_off(reads, error)
            return
        busy = [job for job in reads if is_busy(job.error)]
        if busy:
            reads = [job for job in reads if not is_busy(job.error)]
            self._put_off(busy, busy[0].error)
        self._settle(reads)

    def _run_writes(self) -> None:
        try:
            self._connection.begin()
        except (sqlite3.Error, SessionError) as error:
            writes, self._writes = self._writes, []
            self._put_off(writes, error)
            return
        self._take_queued()
        writes, self._writes = self._writes, []
        claimed = [job for job in writes if job.claim()]
        self._crowd = _MEMORY_OF_CROWDS if len(claimed) > 1 else max(0, self._crowd - 1)
        self._in_hand = claimed
        self._connection.commit(claimed)
        if len(claimed) == 1:
            self._settle(claimed)
            return
        turn = threading.Event()
        if self._settle(claimed, turn.set):
            # Many ask again at once.  Those who asked during the commit hear nothing earlier
            # without them, and two groups that take turns would need twice as many commits.
            turn.wait(_LONGEST_TURN)

    def _put_off(self, jobs: list[Job[Any]], error: BaseException | None) -> None:
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

    def _fail(self, jobs: Iterable[Job[Any]], error: BaseException) -> None:
        for job in jobs:
            job.claim()
            job.error = error
        self._settle(jobs)

    def _settle(self, jobs: Iterable[Job[Any]], after: Callable[[], object] | None = None) -> bool:
        jobs = list(jobs)
        self._in_hand = []
        for job in jobs:
            if job.error is not None:
                job.error = explain(self._file.path, job.error)
        return settle(jobs, after)

    def _refuse_queued(self) -> None:
        with suppress(IndexError):
            while True:
                job = self._inbox.popleft()
                if job.kind is Kind.END:
                    job.run(None)
                else:
                    job.error = self._closed_error()
                settle([job] if job.claim() else [])

    def _close(self, _place: object) -> None:
        self._connection.discard()

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
