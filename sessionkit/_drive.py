"""One coroutine, three ways to run it.

What a session does is written once, as coroutines.  They are awaited where a
loop runs; ``run_sync`` drives them on a thread without one; ``eager`` gives a
plain value where nothing had to be waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from types import CoroutineType
from typing import Any, Final, TypeGuard, TypeVar

from sessionkit._types import MaybeAwaitable

R = TypeVar("R")


_NEVER_AWAITABLE: Final = frozenset({type(None), str, int, float, bool, bytes, tuple, list, dict})


def is_awaitable(value: object) -> TypeGuard[Awaitable[Any]]:
    """Return whether *value* can be awaited."""
    kind = type(value)
    if kind is CoroutineType:
        return True
    return kind not in _NEVER_AWAITABLE and hasattr(kind, "__await__")


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


def eager(course: Coroutine[Any, Any, R]) -> MaybeAwaitable[R]:
    """Run *course* at once on a thread without an event loop; return it where one runs.

    It is never begun in one task and finished in another, which what it awaits
    (timeouts, task groups) would not survive.
    """
    return course if runs_loop() else run_sync(course)


def runs_loop() -> bool:
    """Whether an event loop is running in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
