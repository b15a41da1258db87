"""A call that is cancelled, and every moment at which it can be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from sessionkit.testing._client import Client
from sessionkit.testing._concurrency.freezer import Freezer, freezer
from sessionkit.testing._concurrency.places import Place, choose, place_of_waiting
from sessionkit.testing._concurrency.stepped import Stepped
from sessionkit.testing._concurrency.wait_policy import PATIENCE
from sessionkit.testing._guard import within
from sessionkit.testing._history import History
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._ops import Op, look, perform
from sessionkit.testing._show import show
from sessionkit.testing._subject import Subject

OLD: Final = {"n": 1}
"""What is stored under "1" before."""

_MOST: Final = 24


class Moment(NamedTuple):
    """When a call is cancelled.

    Attributes:
        number: At which of its suspensions, from 0.
        late: What it waited for is there already, and it was about to go on.
    """

    number: int
    late: bool


class Cancelled:
    """A call that is cancelled at a moment.

    Args:
        storage: The storage, already open.
        op: The call.
        moment: When to cancel it.
        holder: Freezes what it has begun, at that moment.
    """

    def __init__(self, storage: Client, op: Op, moment: Moment, holder: Freezer) -> None:
        self._storage = storage
        self._op = op
        self._moment = moment
        self._holder = holder
        self._place: Place | None = None
        self._line = storage.history.begin(f"await {op}")
        self._task: asyncio.Task[Any] | None = None
        self._course: Any = None

    def begin(self) -> None:
        """Begin the call; it is cancelled when the moment comes."""
        seen: dict[str, Any] = {}
        self._task = self._holder.begin(self._run(seen))

    async def raised(self) -> bool:
        """Wait until it ends by itself, for a short time; return whether it did."""
        assert self._task is not None
        await asyncio.wait((self._task,), timeout=PATIENCE)
        return self._task.done()

    async def end(self) -> bool:
        """Wait until it ends; return whether it was cancelled.

        Raises:
            BrokenPromise: It hangs.
        """
        assert self._task is not None
        await within(asyncio.wait((self._task,)), self._storage.history, self._waits_at)
        where = f"cancelled at {self._place}, " if self._place else ""
        if self._task.cancelled():
            self._line.outcome = f"{where}raised CancelledError"
            return True
        error = self._task.exception()
        self._line.outcome = (
            f"{where}{'went through' if error is None else f'raised {show(error)}'}"
        )
        return error is not None

    async def _run(self, seen: dict[str, Any]) -> Any:
        if self._op.takes_seen:
            await perform(self._storage.storage, look(self._op.args[0]), seen)
        self._course = perform(self._storage.storage, self._op, seen)
        self._holder.freeze()
        return await Stepped(self._course, before=self._before, after=self._after)

    def _before(self, number: int) -> None:
        # What a step has begun must not be over before it is known whether it is cancelled.
        if self._moment == (number, False):
            self._cancel()
        else:
            self._holder.thaw()

    async def _after(self, number: int) -> None:
        if self._moment == (number, True):
            self._holder.freeze()
            self._cancel()
            await asyncio.sleep(0)
        self._holder.freeze()

    def _cancel(self) -> None:
        assert self._task is not None
        self._place = self._waits_at() or Place("its await", self._moment.number + 1)
        self._holder.keep()
        self._task.cancel()

    def _waits_at(self) -> Place | None:
        return place_of_waiting(self._course)


Trial: TypeAlias = Callable[[Client, Op, Moment, Freezer], Coroutine[Any, Any, None]]


async def at_every_moment(subject: Subject, ops: Sequence[Op], trial: Trial) -> None:
    """Run *trial* with each of *ops*, at each moment; each with a key of its own.

    Raises:
        BrokenPromise: From the trial, with a history of its own.
        LeftOut: No call has a moment at which it can be cancelled.
    """
    offered = await subject.capabilities() | {"read", "write", "delete"}
    cancellable = False
    async with freezer() as holder:
        for op in ops:
            if op.method in offered:
                moments = await _moments(subject, op, holder)
                cancellable = cancellable or bool(moments)
                await _try(subject, op, moments, trial, holder)
    if not cancellable:
        msg = "its methods never let other tasks run, so no call can be cancelled"
        raise LeftOut(msg)


async def _moments(subject: Subject, op: Op, holder: Freezer) -> list[Moment]:
    places: list[Place] = []
    seen: dict[str, Any] = {}

    async def course(storage: Any) -> None:
        await perform(storage, look(op.args[0]), seen)

    async with subject.client(history=History()) as storage:
        await storage.write("1", OLD)
        if op.takes_seen:
            await course(storage.storage)
        answer = perform(storage.storage, op, seen)

        def before(number: int) -> None:
            places.append(place_of_waiting(answer) or Place("", number))

        await holder.begin(_awaited(Stepped(answer, before=before)))
    most = _MOST * 20 if subject.thorough else _MOST
    numbers = choose(places, most)
    return [Moment(number, late) for number in numbers for late in (False, True)]


async def _awaited(answer: Stepped) -> Any:
    return await answer


async def _try(
    subject: Subject, op: Op, moments: Sequence[Moment], trial: Trial, holder: Freezer
) -> None:
    for moment in moments:
        subject.start_history()
        async with subject.client() as storage:
            await storage.write("1", OLD)
            try:
                await trial(storage, op, moment, holder)
            finally:
                holder.thaw()
