"""Threads that change files, each a few keys at a time, under the lock of their lock file."""

from __future__ import annotations

import os
import random
import threading
import time
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar
from weakref import WeakSet

from sessionkit.errors import SessionClosedError, SessionError
from sessionkit.storages._file.entry import Entry
from sessionkit.storages._file.locks import STRIPES
from sessionkit.storages._jobs import Job, Kind, TaskJob, ThreadJob, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from sessionkit.storages._file.folder import Folder

P = ParamSpec("P")
R = TypeVar("R")

# While a disk is busy, it flushes for many as quickly as for one; threads begin as needed.
_THREADS: Final = 32
_SHORTEST_RETRY: Final = 0.001
_LONGEST_RETRY: Final = 0.05


class _Lane:
    """The jobs of the keys that share a lock file, in their order."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.jobs: list[tuple[str, Job[Any]]] = []
        self.is_busy = False  # a thread has it
        self.pause = _SHORTEST_RETRY


class Writers:
    """Run jobs that change files; those of one key one after the other.

    Jobs of a key that wait together share one write.  While another process has a lock
    file, the jobs for its keys wait, and no thread with them.

    Args:
        folder: The files.
        patience: How many seconds a job waits for a lock file.
        name: What to call the storage in an error.
    """

    def __init__(self, folder: Folder, patience: float, name: str) -> None:
        self._folder = folder
        self._patience = patience
        self._name = name
        self._jitter = random.Random()  # noqa: S311 (and the user's own sequence stays his)
        self._closing = False
        self._begin()
        _living.add(self)

    def _begin(self) -> None:
        self._mutex = threading.Lock()
        self._lanes = [_Lane(number) for number in range(STRIPES)]
        self._ready: SimpleQueue[_Lane | None] = SimpleQueue()  # None: it is over
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._retries: dict[_Lane, float] = {}  # somebody else has their lock file; until when

    def restart(self) -> None:
        """Forget what was queued and who was to do it: in a forked child they are gone."""
        self._begin()

    def run(
        self, key: str, work: Callable[Concatenate[Entry, P], R], *args: P.args, **_: P.kwargs
    ) -> Coroutine[Any, Any, R]:
        """Return what *work* gives for the entry of *key*, once it is saved; wait as a task.

        Raises:
            SessionClosedError: The storage was closed.
            SessionError: The lock file was not free in time, or the folder is gone.
            OSError: The file could not be written.
        """
        return TaskJob(Kind.WRITE, work, args).outcome(partial(self._submit, key))

    def block(
        self, key: str, work: Callable[Concatenate[Entry, P], R], *args: P.args, **_: P.kwargs
    ) -> R:
        """Return what *work* gives, blocking the thread; otherwise as ``run``."""
        return ThreadJob(Kind.WRITE, work, args).outcome(partial(self._submit, key))

    def refuse(self) -> None:
        """Take no more jobs; the threads end when those that were taken are done."""
        with self._mutex:
            self._closing = True
            self._end_if_done()

    def close(self) -> None:
        """Take no more jobs, and wait for those that were taken."""
        self.refuse()
        for thread in list(self._threads):
            thread.join()

    def check_open(self) -> None:
        """Raise ``SessionClosedError`` after ``refuse``."""
        if self._closing:
            msg = f"{self._name} was closed; make a new one"
            raise SessionClosedError(msg)

    # An exception of a signal handler may come between any two lines of what runs on the
    # thread of the caller.  So a lane is queued before it gets the job: at worst it is queued
    # without one, or twice, which does no harm.  With a job and not queued, it would never end.

    def _submit(self, key: str, job: Job[Any]) -> None:
        lane = self._lanes[self._folder.stripe(key)]
        with self._mutex:
            self.check_open()
            is_awaited = lane.is_busy or lane in self._retries or self._hand_over(lane)
            lane.jobs.append((key, job))
            if not is_awaited:
                self._start_thread(job)

    def _hand_over(self, lane: _Lane | None) -> bool:
        """Queue *lane*; return whether a thread is there that waits for it."""
        self._ready.put(lane)
        if self._idle <= 0:  # below, if a thread was counted for a lane that another one took
            return False
        self._idle -= 1
        return True

    def _start_thread(self, job: Job[Any]) -> None:
        if len(self._threads) == _THREADS:
            return
        thread = threading.Thread(
            target=self._serve, name=f"sessionkit-file {len(self._threads)}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:
                job.claim()  # nobody is to do it later
                raise
        else:
            self._threads.append(thread)

    def _serve(self) -> None:
        while (lane := self._next()) is not None:
            self._serve_lane(lane)
        with self._mutex:
            self._hand_over(None)  # for the next thread

    def _serve_lane(self, lane: _Lane) -> None:
        with self._mutex:
            if lane.is_busy:  # queued twice; the thread that has it looks for jobs at its end
                return
            lane.is_busy = True
            jobs, lane.jobs = lane.jobs, []
        postponed = self._work_off(lane, jobs)
        with self._mutex:
            lane.is_busy = False
            lane.jobs[:0] = postponed
            if postponed:
                pause = self._jitter.uniform(0.5, 1) * lane.pause
                self._retries[lane] = time.monotonic() + pause
                lane.pause = min(2 * lane.pause, _LONGEST_RETRY)
            else:
                lane.pause = _SHORTEST_RETRY
                if lane.jobs:
                    self._hand_over(lane)
            self._end_if_done()

    def _next(self) -> _Lane | None:
        while True:
            with self._mutex:
                with suppress(Empty):
                    return self._ready.get_nowait()
                patience = None
                if self._retries:
                    lane = min(self._retries, key=self._retries.__getitem__)
                    patience = self._retries[lane] - time.monotonic()
                    if patience <= 0:
                        del self._retries[lane]
                        return lane
                self._idle += 1
            try:
                return self._ready.get(timeout=patience)
            except Empty:
                with self._mutex:
                    with suppress(Empty):
                        return self._ready.get_nowait()  # handed over just now
                    self._idle -= 1

    def _end_if_done(self) -> None:
        if self._closing and not any(lane.jobs or lane.is_busy for lane in self._lanes):
            self._hand_over(None)

    def _work_off(
        self, lane: _Lane, jobs: list[tuple[str, Job[Any]]]
    ) -> list[tuple[str, Job[Any]]]:
        """Do *jobs*; return those for which the lock file was not free, and may be later."""
        done: list[Job[Any]] = []
        try:
            self._folder.check_still_there()
            if not self._folder.locks.try_lock(lane.number):
                return self._put_off(lane, jobs)
            try:
                groups: dict[str, list[Job[Any]]] = {}
                for key, job in jobs:
                    if job.claim():
                        done.append(job)
                        groups.setdefault(key, []).append(job)
                for key, group in groups.items():
                    self._change(key, group)
            finally:
                self._folder.locks.unlock(lane.number)
        except BaseException as error:  # noqa: BLE001 (raised for all who wait)
            _fail((job for _, job in jobs if job in done or job.claim()), error)
        else:
            settle(done)
        return []

    def _change(self, key: str, jobs: list[Job[Any]]) -> None:
        entry = Entry(self._folder, key)
        for job in jobs:
            job.run(entry)
        try:
            entry.save()
        except Exception as error:  # noqa: BLE001 (raised for all who wait for it)
            if isinstance(error, OSError):
                error.filename = error.filename or str(self._folder.where(key))
            for job in jobs:
                job.error = job.error or error

    def _put_off(self, lane: _Lane, jobs: list[tuple[str, Job[Any]]]) -> list[tuple[str, Job[Any]]]:
        now = time.monotonic()
        waiting: list[tuple[str, Job[Any]]] = []
        for key, job in jobs:
            if job.deadline is None:
                job.deadline = now + self._patience
            if now < job.deadline:
                if not job.is_withdrawn:
                    waiting.append((key, job))
            elif job.claim():
                _fail([job], self._locked_error(lane, key))
        return waiting

    def _locked_error(self, lane: _Lane, key: str) -> SessionError:
        locks = self._folder.locks
        msg = (
            f"{key!r} was not written: {locks.holder(lane.number)} has had "
            f"{locks.path(lane.number)} locked for {self._patience:g} s. Is it stopped (a "
            "debugger, a paused container), or its disk too slow? Let it go on, or end it; "
            "or raise busy_timeout"
        )
        return SessionError(msg, key=key)


def _fail(jobs: Iterable[Job[Any]], error: BaseException) -> None:
    failed = list(jobs)
    for job in failed:
        job.error = error if isinstance(error, Exception) else RuntimeError(f"ended by {error!r}")
    settle(failed)


_living: WeakSet[Writers] = WeakSet()


def _restart() -> None:  # pragma: no cover (in a child)
    for writers in list(_living):
        writers.restart()


if hasattr(os, "register_at_fork"):  # pragma: no branch (everywhere but on Windows)
    os.register_at_fork(after_in_child=_restart)
