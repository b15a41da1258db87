"""Holds what a cancelled call has left at work: tasks and threads of the storage."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar, copy_context
from time import monotonic
from types import FrameType
from typing import Any, Final

from sessionkit.testing._concurrency.stepped import Stepped
from sessionkit.testing._concurrency.stops import Stops

_watched: Final[ContextVar[bool]] = ContextVar("watched", default=False)
_ARRIVAL: Final = 0.05
_BRIEFLY: Final = 0.1
_LONGEST: Final = 2.0
_POLL: Final = 0.001
_POLLS: Final = 10


class Freezer:
    """Can stop what a call has begun beside its own task, and let it go on.

    Tasks stop where they would be resumed, threads before the next line of the storage's code.

    Attributes:
        uses_threads: Whether threads have come by so far.
    """

    def __init__(self, make_task: Callable[..., Any] | None = None) -> None:
        self.uses_threads = False
        self._make_task = make_task or _make_task
        self._frozen = False
        self._kept = False
        self._thawed = threading.Event()
        self._thawed_tasks: asyncio.Future[None] | None = None
        self._held: set[int] = set()
        self._arrived = threading.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._pool = ThreadPoolExecutor(thread_name_prefix="sessionkit.testing")

    def freeze(self) -> None:
        """Stop what comes by from now on: threads for a short time only, until ``keep``."""
        self._kept = False
        self._thawed.clear()
        self._held.clear()
        self._arrived.clear()
        self._thawed_tasks = asyncio.get_running_loop().create_future()
        self._frozen = True

    def keep(self) -> None:
        """Pause every thread that passes, and those already paused, until ``thaw``.

        If threads have come by before, this waits a short time for one: it was begun, and
        only whether it has come that far is unknown.
        """
        self._kept = True
        if self.uses_threads:
            self._arrived.wait(_ARRIVAL)

    def hold_no_more(self) -> None:
        """Stop pausing new threads; keep paused ones paused."""
        self._frozen = False

    def thaw(self) -> None:
        """Let everything go on."""
        self._frozen = False
        self._thawed.set()
        if self._thawed_tasks is not None and not self._thawed_tasks.done():
            self._thawed_tasks.set_result(None)

    async def drained(self) -> None:
        """Wait for what was begun: tasks, and jobs of the loop's default executor."""
        left = {task for task in self._tasks if not task.done()}
        if left:
            await asyncio.wait(left, timeout=1)
        pool, self._pool = self._pool, ThreadPoolExecutor(thread_name_prefix="sessionkit.testing")
        asyncio.get_running_loop().set_default_executor(self._pool)
        await asyncio.to_thread(pool.shutdown)
        for thread in self._held:
            await _rest(thread)

    def begin(self, course: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run *course* as a task; what it begins can be frozen."""
        context = copy_context()
        context.run(_watched.set, True)  # noqa: FBT003 (not ours)
        return asyncio.get_running_loop().create_task(course, context=context)

    def act(self, _number: int, _frame: FrameType, _event: str) -> None:
        """Stop a thread that comes by while it is freezing."""
        self.uses_threads = True
        if self._frozen:
            self._held.add(threading.get_ident())
            self._arrived.set()
            # It may hold a mutex that the loop's own thread waits for
            until = monotonic() + _LONGEST
            while not self._thawed.wait(_BRIEFLY) and self._kept and monotonic() < until:
                pass

    def make_task(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        """Make a task; one that a watched call begins can be frozen."""
        if not _watched.get():
            return self._make_task(loop, coro, **options)
        task = self._make_task(loop, _Held(coro, self._pause), **options)
        self._tasks.add(task)
        return task

    async def _pause(self, _number: int) -> None:
        thawed = self._thawed_tasks
        if thawed is not None and not thawed.done():
            await asyncio.shield(thawed)


async def _rest(thread: int) -> None:
    """Wait until *thread* has ended, or stays at the same instruction for a while."""
    instruction: object = ()
    polls = 0
    while polls < _POLLS and instruction is not None:
        before, instruction = instruction, _instruction(thread)
        polls = polls + 1 if instruction == before else 0
        await asyncio.sleep(_POLL)


def _instruction(thread: int) -> object:
    frame = sys._current_frames().get(thread)
    return None if frame is None else (frame.f_code, frame.f_lasti)


def _make_task(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
    return asyncio.Task(coro, loop=loop, **options)


class _Held(Coroutine[Any, Any, Any]):
    """A coroutine that pauses before its first step and after each of its suspensions."""

    def __init__(self, coro: Coroutine[Any, Any, Any], pause: Any) -> None:
        self._coro = coro
        self._begun = False
        self._course = self._run(pause)

    async def _run(self, pause: Any) -> Any:
        try:
            await pause(0)
        except BaseException:
            self._coro.close()
            raise
        return await Stepped(self._coro, after=pause)

    def send(self, value: Any, /) -> Any:
        self._begun = True
        return self._course.send(value)

    def throw(self, *error: Any) -> Any:
        if not self._begun:
            self._coro.close()
        return self._course.throw(*error)

    def close(self) -> None:
        self._course.close()
        self._coro.close()

    def __await__(self) -> Any:
        return self._course.__await__()


@asynccontextmanager
async def freezer() -> AsyncGenerator[Freezer, None]:
    """Make it possible to freeze what storages begin that are opened in the block."""
    loop = asyncio.get_running_loop()
    before, before_in_threads = loop.get_task_factory(), threading.gettrace()
    made = Freezer(before)
    loop.set_default_executor(made._pool)
    loop.set_task_factory(made.make_task)
    threading.settrace(Stops(made.act).trace)
    try:
        yield made
    finally:
        made.thaw()
        threading.settrace(before_in_threads)
        loop.set_task_factory(before)
