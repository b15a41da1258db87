"""One coroutine, three ways to run it.

What a session does is written once, as coroutines.  They are awaited where a
loop runs; ``run_sync`` drives them on a thread without one; ``eager`` gives a
plain value where nothing had to be waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Generator
from types import CoroutineType
from typing import Any, TypeGuard, TypeVar

from sessionkit._types import MaybeAwaitable

R = TypeVar("R")


def is_awaitable(value: object) -> TypeGuard[Awaitable[Any]]:
    """Return whether *value* can be awaited."""
    return type(value) is CoroutineType or hasattr(value, "__await__")


def discard(value: object) -> None:
    """Let go of an awaitable that will not be awaited, without a warning."""
    if isinstance(value, Coroutine):
        value.close()


async def resolve(value: MaybeAwaitable[R]) -> R:
    """Return *value*, awaited if need be."""
    if is_awaitable(value):
        return await value
    return value  # type: ignore[return-value]  # not awaitable, so it is an R


async def settle(answer: Awaitable[R]) -> R:
    """Await *answer* to its end, even if this task is cancelled meanwhile.

    A cancellation is raised once the answer is there: what was begun must not
    take effect after whoever began it has gone on.
    """
    task = asyncio.ensure_future(answer)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    raise cancelled from (None if task.cancelled() else task.exception())


def run_sync(course: Coroutine[Any, Any, R]) -> R:
    """Run *course* to its end on this thread.

    Raises:
        TypeError: It had to wait for an event loop.
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
    raise TypeError(msg)


class _Rest(Awaitable[R]):
    """What is left of a coroutine that was begun by ``eager``."""

    def __init__(self, course: Coroutine[Any, Any, R], step: Any) -> None:
        self._course = course
        self._step = step

    def __await__(self) -> Generator[Any, Any, R]:
        course, step = self._course, self._step
        try:
            while True:
                try:
                    sent = yield step
                except BaseException as thrown:  # noqa: BLE001
                    step = course.throw(thrown)
                else:
                    step = course.send(sent)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def eager(course: Coroutine[Any, Any, R]) -> MaybeAwaitable[R]:
    """Run *course* as far as it goes; return its value, or an awaitable for the rest."""
    try:
        step = course.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    return _Rest(course, step)
