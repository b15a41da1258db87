"""A guard against storages that hang."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from sessionkit.testing._broken import BrokenPromise
from sessionkit.testing._history import History

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

R = TypeVar("R")

GUARD = 10.0
"""Seconds after which a call counts as hanging."""


def _nowhere() -> Any:
    return None


async def within(
    awaited: Awaitable[R],
    history: History,
    where: Callable[[], Any] = _nowhere,
    *,
    times: int = 1,
) -> R:
    """Return what *awaited* gives.

    Args:
        awaited: What to wait for.
        history: The steps so far, the last of which is waited for.
        where: Tells where in the storage's code it hangs, None if nobody knows.
        times: How many times longer than one call it may take.

    Raises:
        BrokenPromise: It gave nothing in time.
    """
    task = asyncio.ensure_future(awaited)
    try:
        done, _ = await asyncio.wait((task,), timeout=times * GUARD)
        if done:
            return task.result()
        place = where()
    finally:
        task.cancel()
    raise hangs(history, times * GUARD, place)


async def close_within(stack: AsyncExitStack, history: History) -> None:
    """Close *stack*, in this very task, since a storage may be bound to it.

    Raises:
        BrokenPromise: It was not closed in time.
    """
    limit = asyncio.timeout(GUARD)
    try:
        async with limit:
            await stack.aclose()
    except TimeoutError:
        if limit.expired():
            raise hangs(history, GUARD) from None
        raise


@contextmanager
def while_it_goes_on(limit: asyncio.Timeout, seconds: float | None) -> Generator[None, None, None]:
    """Let *limit* expire only if no step has begun for *seconds*: a slow storage may be slow."""
    if seconds is None:
        yield
        return
    loop = asyncio.get_running_loop()
    begun = History.begun
    looking: asyncio.TimerHandle

    def look() -> None:
        nonlocal begun, looking
        if begun != History.begun:
            begun = History.begun
            limit.reschedule(loop.time() + seconds)
        looking = loop.call_later(seconds / 4, look)

    looking = loop.call_later(seconds / 4, look)
    try:
        yield
    finally:
        looking.cancel()


def hangs(history: History, seconds: float, place: object = None) -> BrokenPromise:
    """Return the error that says of the last step of *history* that it hangs."""
    expected = f"an answer within {seconds:g} seconds"
    where = "" if place is None else f": it waits at {place}"
    return BrokenPromise(history.lines, expected=expected, got=f"none, it hangs{where}")
