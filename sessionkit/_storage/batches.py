"""Batches: what many ask for at one moment shares one call of the engine.

While a call is under way, what is asked for meanwhile waits and makes up the next
call; so a single call never waits for others, and the more there are, the more share
a round trip or a commit.

A job is *claimed* when its call begins.  A waiter that stops before that
withdraws it, and it never happens.  After that a write is waited for to its end:
nothing of it happens once the waiting is over.
"""

from __future__ import annotations

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar, cast

from sessionkit._storage.sync_or_async import run_sync
from sessionkit.errors import SessionClosedError, SessionError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

I = TypeVar("I")  # noqa: E741 (an item)
O = TypeVar("O")  # noqa: E741 (its outcome)

MOST_AT_ONCE: Final = 256
"""How many items share a call at most."""

_MEMORY_OF_CROWDS: Final = 16
"""For so many calls of one item each, several at a time are still expected."""


class UnknownOutcomeError(SessionError):
    """Raised by an engine, or its outcome for one write, if that may have happened or not.

    As when a connection is lost after the write was sent.  What certainly did not
    happen is any other ``SessionError``.
    """


if TYPE_CHECKING:
    Call: TypeAlias = Callable[[Sequence[I]], Coroutine[Any, Any, Sequence[O | SessionError]]]


class _Job(Generic[I, O]):
    __slots__ = ("claimed", "item", "outcome", "settled", "since", "withdrawn")

    outcome: O | SessionError

    def __init__(self, item: I, since: float) -> None:
        self.item = item
        self.since = since
        self.claimed = False
        self.withdrawn = False
        self.settled = False

    def settle(self, outcome: O | SessionError) -> None:
        """Keep the first outcome; later ones are too late."""
        if not self.settled:
            self.outcome = outcome
            self.settled = True


J = TypeVar("J", bound=_Job[Any, Any])


class Gathered(ABC, Generic[I, O]):
    """Runs items in batches; one outcome for each, an error among them touches no other.

    Args:
        call: Takes items, returns their outcomes in the same order; an error that it
            raises is the outcome of all.
        deadline: The seconds after which waiting for an outcome ends.
        key: What only one item of a call may have, and by which they are sorted, so
            that the batches of two programs cannot wait for each other.  None if
            items may be alike.
        settles: Whether a claimed item changes something, so that a cancelled waiter
            has to wait for its end.
        most: How many items share a call at most.
    """

    def __init__(
        self,
        call: Call[I, O],
        *,
        deadline: float,
        key: Callable[[I], str] | None = None,
        settles: bool = False,
        most: int = MOST_AT_ONCE,
    ) -> None:
        self._call = call
        self._deadline = deadline
        self._key = key
        self._settles = settles
        self._most = most
        self._closed = False

    @abstractmethod
    def run(self, item: I) -> Coroutine[Any, Any, O | SessionError]:
        """Return the outcome of *item*."""

    @abstractmethod
    async def close(self) -> None:
        """Take nothing more, and wait for what was taken."""

    def _check_open(self) -> None:
        if self._closed:
            msg = "this storage was closed: make a new one"
            raise SessionClosedError(msg)

    def _too_late(self) -> SessionError:
        msg = f"there was no answer within {self._deadline:g} seconds"
        return UnknownOutcomeError(msg) if self._settles else SessionError(msg)

    def _take(self, waiting: deque[J]) -> list[J]:
        """Claim the next jobs; of two with one key the second one stays."""
        key = self._key
        taken: dict[Any, J] = {}
        left: list[J] = []
        while waiting and len(taken) < self._most:
            job = waiting.popleft()
            if job.withdrawn:
                continue
            name = job if key is None else key(job.item)
            if name in taken:
                left.append(job)
                continue
            job.claimed = True
            taken[name] = job
        waiting.extendleft(reversed(left))
        return [taken[name] for name in (taken if key is None else sorted(taken))]


class _TaskJob(_Job[I, O]):
    """A job that a task waits for."""

    __slots__ = ("future",)

    future: asyncio.Future[None]

    def settle(self, outcome: O | SessionError) -> None:
        super().settle(outcome)
        if not self.future.done():
            self.future.set_result(None)


class _LoneJob(_Job[I, O]):
    """A job that its own task runs; an outcome from elsewhere breaks that off."""

    __slots__ = ("_cancellations", "_task")

    def __init__(self, item: I, since: float) -> None:
        super().__init__(item, since)
        self._task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._cancellations = self._task.cancelling()

    def settle(self, outcome: O | SessionError) -> None:
        super().settle(outcome)
        self._task.cancel()

    def was_broken_off(self) -> bool:
        """Whether nothing but ``settle`` has cancelled the task, which is taken back."""
        return self.settled and self._task.uncancel() <= self._cancellations


class _Lane(Generic[I, O]):
    """The items of one event loop.

    There is one call at a time, made in a task of its own, since a task that waits for it
    may be cancelled.  Only a call that changes nothing, when no other is expected, is made
    in the task that asks.
    """

    def __init__(self, batches: Batches[I, O], loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._batches = batches
        self._alone_is_fine = not batches._settles
        self._waiting: deque[_TaskJob[I, O]] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._at_hand: Sequence[_Job[I, O]] = ()
        self._lone: _LoneJob[I, O] | None = None
        self._lone_is_over: asyncio.Event | None = None
        self._crowd = _MEMORY_OF_CROWDS
        self._alarm: asyncio.TimerHandle | None = None

    async def run(self, item: I) -> O | SessionError:
        if self._alone_is_fine and not self._crowd and self._pump is None and self._lone is None:
            return await self._run_alone(item)
        job = self.submit(item)
        try:
            await job.future
        except BaseException as error:
            await self._withdraw(job, error)
            raise
        return job.outcome

    def submit(self, item: I) -> _TaskJob[I, O]:
        job: _TaskJob[I, O] = _TaskJob(item, self.loop.time())
        job.future = self.loop.create_future()
        self._waiting.append(job)
        if self._pump is None and self._lone is None:
            self._start()
        return job

    async def _withdraw(self, job: _TaskJob[I, O], error: BaseException) -> None:
        """Let *job* never begin, or (a write) wait for its end: the waiting was broken off."""
        job.withdrawn = True
        if job.claimed and self._batches._settles and not isinstance(error, GeneratorExit):
            await self._wait_whatever_comes(job)

    async def idle(self) -> None:
        while self._lone is not None:
            self._lone_is_over = asyncio.Event()
            await self._lone_is_over.wait()
        while self._pump is not None:
            await asyncio.wait((self._pump,))

    async def _wait_whatever_comes(self, job: _TaskJob[I, O]) -> None:
        while not job.settled:
            job.future = self.loop.create_future()
            with suppress(asyncio.CancelledError):
                await job.future

    def _start(self) -> None:
        # what else is asked for before this task has its turn shares the first call
        self._pump = self.loop.create_task(self._serve())

    async def _run_alone(self, item: I) -> O | SessionError:
        job: _LoneJob[I, O] = _LoneJob(item, self.loop.time())
        self._lone = job
        try:
            return (await self._ask((job,)))[0]
        except asyncio.CancelledError:
            if job.was_broken_off():
                return job.outcome
            raise
        finally:
            self._lone = None
            if self._lone_is_over is not None:
                self._lone_is_over.set()
            if self._waiting and not self.loop.is_closed():
                self._start()

    async def _serve(self) -> None:
        this = self._pump
        try:
            while self._waiting and self._pump is this:
                jobs = self._batches._take(self._waiting)
                if jobs:
                    self._crowd = _MEMORY_OF_CROWDS if len(jobs) > 1 else max(0, self._crowd - 1)
                    await self._perform(jobs)
        finally:
            self._ended(this)

    def _ended(self, pump: asyncio.Task[None] | None) -> None:
        if self._pump is pump:  # else it was abandoned, and there may be another
            self._pump = None

    async def _perform(self, jobs: list[_TaskJob[I, O]]) -> None:
        try:
            outcomes = await self._ask(jobs)
        except BaseException as error:
            _settle(jobs, [_broken_off(error)] * len(jobs))
            raise
        _settle(jobs, outcomes)

    async def _ask(self, jobs: Sequence[_Job[I, O]]) -> Sequence[O | SessionError]:
        self._at_hand = jobs
        self._watch(jobs)
        try:
            return await self._batches._call([job.item for job in jobs])
        except SessionError as error:
            return [error] * len(jobs)
        except Exception as error:  # noqa: BLE001 (raised where somebody waits for it)
            return [_broken_off(error)] * len(jobs)
        finally:
            if self._at_hand is jobs:
                self._at_hand = ()

    # One timer for many calls: set for one, it rings when that is long over, and is set again.

    def _watch(self, jobs: Sequence[_Job[I, O]]) -> None:
        at = min([job.since for job in jobs]) + self._batches._deadline
        if self._alarm is None or at < self._alarm.when():
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = self.loop.call_at(at, self._ring)

    def _ring(self) -> None:
        """End the waiting for the jobs of the call under way, each at its own time."""
        self._alarm = None
        now, batches = self.loop.time(), self._batches
        if not self._at_hand:
            return
        for job in self._at_hand:
            if now >= job.since + batches._deadline:
                job.settle(batches._too_late())
        left = [job for job in self._at_hand if not job.settled]
        if left:
            self._watch(left)
        else:
            self._abandon()

    def _abandon(self) -> None:
        """Stop the call that is under way, which nobody waits for any more, and go on."""
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.cancel()
            if self._waiting:
                self._start()


class Batches(Gathered[I, O]):
    """Batches of the tasks of an event loop; each event loop has its own."""

    def __init__(self, call: Call[I, O], **options: Any) -> None:
        super().__init__(call, **options)
        self._lanes: dict[asyncio.AbstractEventLoop, _Lane[I, O]] = {}
        self._latest: _Lane[I, O] | None = None

    def run(self, item: I) -> Coroutine[Any, Any, O | SessionError]:
        """Return the outcome of *item*; a cancellation is raised once that is settled."""
        self._check_open()
        return self._lane().run(item)

    async def close(self) -> None:
        """Take nothing more, and wait for what this event loop has under way."""
        self._closed = True
        await self._lane().idle()

    def _lane(self) -> _Lane[I, O]:
        loop = asyncio.get_running_loop()
        latest = self._latest
        if latest is not None and latest.loop is loop:
            return latest
        if loop not in self._lanes:
            for closed in [each for each in self._lanes if each.is_closed()]:
                del self._lanes[closed]
            self._lanes[loop] = _Lane(self, loop)
        self._latest = self._lanes[loop]
        return self._latest


class BlockingBatches(Gathered[I, O]):
    """Batches of threads: one of those who wait runs them for all.

    *call* must be a coroutine function that never waits for an event loop; the
    deadline is for it to keep.
    """

    def __init__(self, call: Call[I, O], **options: Any) -> None:
        super().__init__(call, **options)
        self._waiting: deque[_Job[I, O]] = deque()
        self._turn = threading.Lock()

    async def run(self, item: I) -> O | SessionError:
        """Return the outcome of *item*; blocks, and Ctrl-C withdraws it if it has not begun."""
        self._check_open()
        job: _Job[I, O] = _Job(item, time.monotonic())
        self._waiting.append(job)
        try:
            self._serve(job)
        except KeyboardInterrupt:
            job.withdrawn = True
            self._wait_whatever_comes(job)
            raise
        return job.outcome

    async def close(self) -> None:
        """Take nothing more, and wait for what was taken."""
        self._closed = True
        with self._turn:
            pass

    def _serve(self, job: _Job[I, O]) -> None:
        while not job.settled:
            with self._turn:
                if not job.settled:
                    self._perform(self._take(self._waiting))

    def _wait_whatever_comes(self, job: _Job[I, O]) -> None:
        while job.claimed and not job.settled:
            with suppress(KeyboardInterrupt), self._turn:
                pass

    def _perform(self, jobs: list[_Job[I, O]]) -> None:
        outcomes: Sequence[O | SessionError]
        try:
            outcomes = run_sync(self._call([job.item for job in jobs]))
        except SessionError as error:
            outcomes = [error] * len(jobs)
        except BaseException as error:
            outcomes = [_broken_off(error)] * len(jobs)
            if not isinstance(error, Exception):
                _settle(jobs, outcomes)
                raise
        _settle(jobs, outcomes)


def _broken_off(error: BaseException) -> SessionError:
    unknown = UnknownOutcomeError(f"the call was broken off: {error!r}")
    unknown.__cause__ = error.with_traceback(None)
    return unknown


def _settle(jobs: Sequence[_Job[I, O]], outcomes: Sequence[O | SessionError]) -> None:
    for job, outcome in zip(jobs, outcomes, strict=True):
        job.settle(outcome)
