"""One coroutine, three ways to run it.

What a session does is written once, as coroutines.  They are awaited where a
loop runs; ``run_sync`` drives them on a thread without one.  What a wrapper of a
storage does is written as coroutines that ``ask``: ``follow`` gives a plain value
if the storage inside does, and a coroutine if that answers with awaitables.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Awaitable, Coroutine, Generator
from functools import lru_cache
from types import CoroutineType
from typing import Any, Final, TypeGuard, TypeVar

from sessionkit.protocols import MaybeAwaitable

R = TypeVar("R")


_NEVER_AWAITABLE: Final = frozenset({type(None), str, int, float, bool, bytes, tuple, list, dict})
_MOST_CLASSES: Final = 1024


def is_awaitable(value: object) -> TypeGuard[Awaitable[Any]]:
    """Return whether *value* can be awaited."""
    kind: Any = type(value)
    if kind is CoroutineType:
        return True
    return kind not in _NEVER_AWAITABLE and _has_await(kind)


@lru_cache(_MOST_CLASSES)  # to find out that a class lacks something raises an error within
def _has_await(kind: type) -> bool:
    return hasattr(kind, "__await__")


def discard(value: object) -> None:
    """Let go of an awaitable that will not be awaited, without a warning."""
    if isinstance(value, Coroutine):
        value.close()


async def resolve(value: MaybeAwaitable[R]) -> R:
    """Return *value*, awaited if need be."""
    if is_awaitable(value):
        answer: R = await value
        return answer
    return value  # type: ignore[return-value]  # not awaitable, so it is an R


async def settle(answer: Awaitable[R]) -> R:
    """Await *answer* to its end, even if this task is cancelled meanwhile.

    A cancellation is raised once the answer is there: what was begun must not
    take effect after its caller has gone on.
    """
    task = _begun(answer)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    raise cancelled from (None if task.cancelled() else task.exception())


def _begun(answer: Awaitable[R]) -> asyncio.Future[R]:
    """Return a task of its own for *answer*; it runs at once where Python can do that.

    What ends without waiting, as stores in memory do, then takes no turn of the loop.
    """
    if sys.version_info >= (3, 12) and isinstance(answer, Coroutine):
        return asyncio.Task(answer, loop=asyncio.get_running_loop(), eager_start=True)
    return asyncio.ensure_future(answer)


class NeedsLoopError(TypeError):
    """Raised if something answers with an awaitable where nothing can wait for it."""


def run_sync(course: Coroutine[Any, Any, R]) -> R:
    """Run *course* to its end on this thread.

    Raises:
        NeedsLoopError: It had to wait for an event loop.
    """
    try:
        course.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    course.close()
    msg = (
        "this storage (or key function, or initial) answers with an awaitable, which a thread "
        "without an event loop cannot wait for: use 'async with', or a storage that has 'sync'"
    )
    raise NeedsLoopError(msg)


class _Asked:
    """Hands an awaitable to who runs the coroutine that asks."""

    __slots__ = ("_awaitable",)

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self._awaitable = awaitable

    def __await__(self) -> Generator[Awaitable[Any], Any, Any]:
        return (yield self._awaitable)


async def ask(answer: MaybeAwaitable[R]) -> R:
    """Return *answer*, awaited if need be; in coroutines for ``follow`` and ``finish`` only."""
    if is_awaitable(answer):
        return await _Asked(answer)  # type: ignore[no-any-return]
    return answer  # type: ignore[return-value]  # not awaitable, so it is an R


def follow(course: Coroutine[Any, Any, R]) -> MaybeAwaitable[R]:
    """Run *course* at once; return a coroutine for the rest if it asks for an awaitable.

    Whether a loop runs does not matter.  What is awaited is so from its beginning to
    its end in one task, as timeouts and task groups need it.
    """
    try:
        asked: Awaitable[Any] = course.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    return finish(course, asked)


async def finish(course: Coroutine[Any, Any, R], asked: Any = None) -> R:
    """Run *course*, or what is left of it once *asked* is answered, to its end."""
    try:
        if asked is None:
            asked = course.send(None)
        while True:
            try:
                answer = await asked
            except BaseException as error:  # noqa: BLE001 (all errors go to the coroutine)
                asked = course.throw(error)
            else:
                asked = course.send(answer)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def answers_later(storage: Any) -> bool:
    """Return whether *storage* says that it is async, or that what it wraps is.

    By an ``async def read``, or a ``sync`` view that is not itself.
    """
    if inspect.iscoroutinefunction(storage.read):
        return True
    view = getattr(storage, "sync", None)
    if view is not None:
        return view is not storage  # whatever it wraps: a view for threads waits for that
    inside = getattr(storage, "wrapped", None)
    return inside is not None and answers_later(inside)


def runs_loop() -> bool:
    """Whether an event loop is running in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
