"""Two threads on one storage: one is paused at a line of its code while the other runs."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import Any, TypeAlias

from sessionkit._storage.sync_or_async import discard, is_awaitable
from sessionkit.testing._concurrency.actors import Actor, names_of
from sessionkit.testing._concurrency.places import Place, counts, place_of
from sessionkit.testing._concurrency.stops import Act, Recorder, StopAt, Stops
from sessionkit.testing._history import History
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._ops import (
    Op,
    Outcome,
    answered,
    perform_blocking,
    raised,
    seen_by,
)
from sessionkit.testing._subject import Subject

Job: TypeAlias = Callable[[], Any]


class JobThread:
    """A thread that does one job after the other; nobody has to wait for it.

    Attributes:
        thread: The thread itself.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[Job, asyncio.Future[Any]] | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._work, name="sessionkit.testing", daemon=True)
        self.thread.start()

    def begin(self, job: Job) -> asyncio.Future[Any]:
        """Let it do *job*, which never raises, after those that were begun before."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._jobs.put((job, future))
        return future

    def end(self) -> None:
        """End it, after the jobs that were begun."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (begun := self._jobs.get()) is not None:
            job, future = begun
            result = job()
            with suppress(RuntimeError):  # the loop was closed, nobody waits any more
                future.get_loop().call_soon_threadsafe(_hand_over, future, result)


def _hand_over(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def in_thread(job: Job) -> tuple[asyncio.Future[Any], threading.Thread]:
    """Run *job*, which never raises, on a thread of its own that nobody has to wait for."""
    worker = JobThread()
    future = worker.begin(job)
    worker.end()
    return future, worker.thread


class ThreadActor(Actor):
    """A thread; it can be stopped at every line of the storage's code."""

    def __init__(self, name: str, history: History, storage: Any) -> None:
        super().__init__(name, history, storage)
        self._storage = storage
        self._seen: dict[str, Any] = {}
        self._ended: asyncio.Future[Outcome] | None = None
        self._worker: JobThread | None = None
        self._go_on = threading.Event()

    def _do(self, op: Op) -> Awaitable[Outcome]:
        return self._begin(op, None)

    async def _record(self, op: Op) -> tuple[Sequence[Place], Outcome]:
        recorder = Recorder()
        outcome = await self._begin(op, recorder)
        return recorder.places, outcome

    async def _start(self, op: Op, stop: int) -> Place | None:
        loop = asyncio.get_running_loop()
        paused: asyncio.Future[Place] = loop.create_future()
        self._go_on = go_on = threading.Event()

        ended = self._begin(op, StopAt(stop, partial(pause, paused, go_on)))
        await asyncio.wait((ended, paused), return_when=asyncio.FIRST_COMPLETED)
        return paused.result() if paused.done() else None

    async def _finish(self) -> Outcome:
        assert self._ended is not None
        self._go_on.set()
        return await asyncio.shield(self._ended)

    async def end(self) -> None:
        """Let the thread go on that was stopped, and end it."""
        self._go_on.set()
        if self._worker is not None:
            self._worker.end()

    def _begin(self, op: Op, act: Act | None) -> asyncio.Future[Outcome]:
        def job() -> Outcome:
            stops = Stops(act)
            try:
                if act is None:
                    return self._perform(op)
                with stops.watching():
                    return self._perform(op)
            except Exception as error:  # noqa: BLE001 (whatever the storage raises)
                return raised(error)

        if self._worker is None:
            self._worker = JobThread()
        self._ended = self._worker.begin(job)
        return self._ended

    def _perform(self, op: Op) -> Outcome:
        outcome = answered(perform_blocking(self._storage, op, self._seen))
        return outcome._replace(revision=seen_by(op, self._seen))

    def waits_at(self) -> Hashable:
        """Return the very instruction at which it waits, None if it does not."""
        frame = self._frame()
        if frame is None or self._worker is None or not may_sleep(self._worker.thread):
            return None
        return frame.f_code, frame.f_lasti

    def _frame(self) -> FrameType | None:
        if self._worker is None:
            return None
        return sys._current_frames().get(self._worker.thread.ident or 0)

    def _where(self) -> Place | None:
        frame = self._frame()
        while frame is not None and not counts(frame.f_code):
            frame = frame.f_back
        return None if frame is None else place_of(frame)


def may_sleep(thread: threading.Thread) -> bool:
    """Return False if *thread* has something to do, and only waits for a processor.

    Linux knows (man 5 proc_pid_stat); elsewhere any thread may sleep.
    """
    try:
        stat = Path(f"/proc/self/task/{thread.native_id}/stat").read_bytes()
    except OSError:
        return True
    return stat.rpartition(b")")[2].split()[0] == b"S"


def pause(paused: asyncio.Future[Place], go_on: threading.Event, place: Place) -> None:
    """Report that this thread is paused at *place*, and wait to be resumed."""
    paused.get_loop().call_soon_threadsafe(paused.set_result, place)
    go_on.wait()


def blocking_view(storage: Any) -> Any:
    """Return what threads can use of *storage*.

    Raises:
        LeftOut: There is nothing.
    """
    view = getattr(storage, "sync", None)
    if view is not None:
        return view
    try:
        answer = storage.read("1")
    except Exception:  # noqa: BLE001 (the check itself will tell)
        return storage
    if is_awaitable(answer):
        discard(answer)
        msg = "the methods are async and there is no sync view, so threads cannot use the storage"
        raise LeftOut(msg)
    return storage


@asynccontextmanager
async def in_threads(
    subject: Subject, history: History, count: int = 2
) -> AsyncGenerator[list[Actor], None]:
    """Open a storage for *count* threads.

    Raises:
        LeftOut: Threads cannot use it.
    """
    async with subject.client(history=history) as client:
        view = blocking_view(client.storage)
        actors: list[Actor] = [
            ThreadActor(name, history, view) for name in names_of("thread", count)
        ]
        try:
            yield actors
        finally:
            for actor in actors:
                await actor.end()
