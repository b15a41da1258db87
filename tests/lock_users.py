"""Sessions as their locks see them, for the tests of locks."""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from sessionkit._locks import owners as _owners
from sessionkit._locks import table as _locks
from sessionkit._locks.owners import disown, holds_session, own
from sessionkit._locks.table import KeyLocks, locks_of
from sessionkit._storage.sync_or_async import run_sync
from tests.clocks import FakeTimeLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator
    from types import FrameType

R = TypeVar("R")


class Session:
    """As much of a session as its lock needs."""

    def __init__(self, locks: KeyLocks, key: str, timeout: float | None = 60) -> None:
        self.locks = locks
        self.key = key
        self.timeout = timeout
        self.place: FrameType | None = None

    async def acquire(self) -> None:
        if self.locks.held.setdefault(self.key, self) is not self:
            await self.locks.wait(self.key, self, self.timeout)

    def release(self) -> None:
        del self.locks.held[self.key]
        if self.locks.waiting:
            self.locks.hand_over(self.key)

    async def __aenter__(self) -> Session:
        await self.acquire()
        self.own(sys._getframe(1))  # pyright: ignore[reportPrivateUsage]
        return self

    async def __aexit__(self, *error: object) -> None:
        self.disown()
        self.release()

    def own(self, place: FrameType) -> None:
        self.disown()
        self.place = own(self, place)

    def disown(self) -> None:
        place, self.place = self.place, None
        if place is not None:
            disown(self, place)

    def __enter__(self) -> Session:
        run_sync(self.acquire())
        self.own(sys._getframe(1))  # pyright: ignore[reportPrivateUsage]
        return self

    def __exit__(self, *error: object) -> None:
        run_sync(self.__aexit__(*error))


@holds_session
async def update(session: Session, handler: Callable[[], Awaitable[R]]) -> R:
    """Run *handler* as middleware does: the life cycle is on the stack meanwhile."""
    await session.acquire()
    try:
        return await handler()
    finally:
        session.release()


@contextmanager
def clean_table() -> Generator[KeyLocks]:
    """Give a lock table, and look after it whether anything was left behind."""
    table = locks_of(object())
    yield table
    assert not table.held
    assert not table.waiting
    assert not _locks.blocked
    assert not _owners.opened_by


def run(main: Coroutine[Any, Any, R]) -> R:
    """Run *main* on a loop whose waits take no time."""
    with asyncio.Runner(loop_factory=FakeTimeLoop) as runner:
        return runner.run(main)


async def until_waiting(locks: KeyLocks, key: str, count: int = 1) -> None:
    while len(locks.waiting.get(key, ())) < count:
        await asyncio.sleep(0)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for another thread, which is under way: not for time to pass."""
    tick = threading.Event()
    for _ in range(10_000):
        if condition():
            return
        tick.wait(0.001)
    pytest.fail("the other thread did not get there")


@contextmanager
def thread(target: Callable[[], object]) -> Generator[None]:
    """Run *target* in a thread, to its end; its error is raised here."""
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(target)
        yield
        done.result()
