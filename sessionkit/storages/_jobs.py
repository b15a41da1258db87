"""Jobs for another thread, and how a task or a thread waits for them.

A write is *claimed* once: by the worker, which then runs it, or by its waiter,
who thereby withdraws it.  So nothing happens after the waiting has ended,
however it ended.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import Enum
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class Kind(Enum):
    """What a job needs, and when it has its turn."""

    READ = 1
    WRITE = 2
    END = 3


class Job(ABC, Generic[R]):
    """Something for a worker to do, and somebody who waits for it.

    Args:
        kind: Whether it reads, writes, or ends the worker.
        work: What to do.
        args: What *work* gets besides what the worker hands it, such as a cursor.

    Attributes:
        loop: The event loop of the waiter; None for a thread.
    """

    __slots__ = (
        "_claimed",
        "args",
        "deadline",
        "error",
        "kind",
        "loop",
        "result",
        "settled",
        "work",
    )

    result: R

    def __init__(self, kind: Kind, work: Callable[..., R], args: tuple[Any, ...]) -> None:
        self.kind = kind
        self.work = work
        self.args = args
        self.loop: asyncio.AbstractEventLoop | None = None
        self.deadline: float | None = None
        self.error: BaseException | None = None
        self.settled = False
        self._claimed = threading.Lock()

    def claim(self) -> bool:
        """Return whether the caller is the first to ask; the worker asks only for writes."""
        return self._claimed.acquire(blocking=False)

    @property
    def is_withdrawn(self) -> bool:
        """Whether a job that the worker has not claimed needs no running any more."""
        return self._claimed.locked()

    def run(self, place: object) -> None:
        """Do the work on *place*, which is the worker's, and keep what comes of it."""
        self.error = None
        try:
            self.result = self.work(place, *self.args)
        except BaseException as error:  # noqa: BLE001 (raised where somebody waits for it)
            self.error = error

    @abstractmethod
    def wake(self) -> None:
        """Wake the waiter: the outcome is there."""

    def conclude(self) -> R:
        """Return the result, or raise the error."""
        if self.error is None:
            return self.result
        try:
            raise self.error
        finally:
            self.error = None  # else error, traceback and job would hold each other


class TaskJob(Job[R]):
    """A job that a task waits for."""

    __slots__ = ("_future",)

    async def outcome(self, submit: Callable[[Job[R]], None]) -> R:
        """Submit, and wait.

        A cancellation withdraws the job, or is raised once the job is through.
        """
        self.loop = loop = check_loop()
        self._future = loop.create_future()
        submit(self)
        try:
            await self._future
        except asyncio.CancelledError:
            if not self.claim():
                await self._wait_whatever_comes(loop)
            raise
        except GeneratorExit:
            self.claim()
            raise
        return self.conclude()

    async def _wait_whatever_comes(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self.settled:
            self._future = loop.create_future()
            with suppress(asyncio.CancelledError):
                await self._future

    def wake(self) -> None:
        """Resume the task; to be called in its loop."""
        self.settled = True
        if not self._future.done():
            self._future.set_result(None)


class ThreadJob(Job[R]):
    """A job that a thread waits for."""

    __slots__ = ("_there",)

    def __init__(self, kind: Kind, work: Callable[..., R], args: tuple[Any, ...]) -> None:
        super().__init__(kind, work, args)
        self._there = threading.Lock()
        self._there.acquire()

    def outcome(self, submit: Callable[[Job[R]], None]) -> R:
        """Submit, and block.

        What a signal handler raises (Ctrl-C, a time limit) withdraws the job, or is
        raised once the job is through.
        """
        try:
            submit(self)
            self._there.acquire()
        except BaseException:
            if not self.claim():
                self._wait_whatever_comes()
            raise
        return self.conclude()

    def _wait_whatever_comes(self) -> None:
        while not self.settled:
            with suppress(BaseException):
                self._there.acquire()

    def wake(self) -> None:
        """Let the thread go on; may be called anywhere."""
        if not self.settled:
            self.settled = True
            self._there.release()


def check_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop that runs in this thread.

    Raises:
        RuntimeError: None does, or one that is not of asyncio.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        msg = (
            "this storage is awaited on asyncio, and no asyncio event loop is running here. "
            "Under trio, use it in threads: trio.to_thread.run_sync(function), and in the "
            "function 'with sessions.open(...)', or storage.sync"
        )
        raise RuntimeError(msg) from None


def settle(jobs: Iterable[Job[Any]], after: Callable[[], object] | None = None) -> bool:
    """Wake all who wait for *jobs*: each event loop is disturbed once.

    Returns whether *after* will be called, in an event loop, once those have had their turn
    who wait in it.
    """
    by_loop: dict[asyncio.AbstractEventLoop, list[Job[Any]]] = {}
    for job in jobs:
        if job.loop is None:
            job.wake()
        else:
            by_loop.setdefault(job.loop, []).append(job)
    is_called = False
    for loop, waiting in by_loop.items():
        try:
            loop.call_soon_threadsafe(_wake, loop, waiting, after)
        except RuntimeError:  # that loop was closed, nobody waits in it any more
            continue
        is_called = after is not None
    return is_called


def _wake(
    loop: asyncio.AbstractEventLoop, jobs: list[Job[Any]], after: Callable[[], object] | None
) -> None:
    for job in jobs:
        job.wake()
    if after is not None:
        loop.call_soon(after)
