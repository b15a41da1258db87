"""Calls of a store: in order for each entry, a few at a time, each with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from sessionkit import SessionClosedError, SessionError
from sessionkit.storages.authoring import UnknownOutcomeError

R = TypeVar("R")

_MOST_AT_ONCE: Final = 16


class _Lane:
    """The calls of one event loop.

    Attributes:
        gate: Passed by those that run.
        idle: Set while there are none.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.gate = asyncio.Semaphore(_MOST_AT_ONCE)
        self.idle = asyncio.Event()
        self.idle.set()
        self._taken = 0
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def turn(self, name: str) -> asyncio.Lock:
        """Return the lock of the entry *name*, which lives while somebody uses it."""
        turn = self._turns.get(name)
        if turn is None:
            turn = self._turns[name] = asyncio.Lock()
        return turn

    def begin(self) -> None:
        """Count a call; ``end`` must follow."""
        self._taken += 1
        self.idle.clear()

    def end(self) -> None:
        """Count a call no more."""
        self._taken -= 1
        if not self._taken:
            self.idle.set()


class Calls:
    """Lets calls of a store pass.

    Two about one entry never overlap: some stores remove what has expired while they read
    it, and that must not hit what is written meanwhile.  Few run at one time, since pools
    of drivers refuse many.  All come from one event loop: most drivers would break those of
    another.

    Args:
        deadline: Seconds that a call may take, with its waiting.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._closed = False
        self._latest: _Lane | None = None

    async def run(self, name: str, call: Callable[[], Awaitable[R]]) -> R:
        """Return what *call*, about the entry *name*, gives.

        Raises:
            UnknownOutcomeError: There was no answer in time.
            SessionError: There was no time to begin, or it comes from another event loop.
        """
        lane = self._lane()
        begun = False
        timer = asyncio.timeout(self._deadline)
        lane.begin()
        try:
            async with timer, lane.turn(name), lane.gate:
                begun = True
                return await call()
        except TimeoutError as error:
            if not timer.expired():
                raise
            msg = f"there was no answer within {self._deadline:g} seconds"
            raise (UnknownOutcomeError if begun else SessionError)(msg) from error
        finally:
            lane.end()

    async def close(self) -> None:
        """Take nothing more, and wait for what this event loop has under way."""
        self._closed = True
        lane = self._latest
        if lane is not None and lane.loop is asyncio.get_running_loop():
            await lane.idle.wait()

    def check_open(self) -> None:
        """Raise ``SessionClosedError`` after ``close``."""
        if self._closed:
            msg = "this storage was closed: make a new one"
            raise SessionClosedError(msg)

    def _lane(self) -> _Lane:
        here, lane = asyncio.get_running_loop(), self._latest
        if lane is None or (lane.loop is not here and lane.loop.is_closed()):
            lane = self._latest = _Lane(here)
        if lane.loop is not here:
            msg = (
                "this storage, as its store, belongs to the event loop that used it first: make "
                "one in each, and for threads a BlockingView"
            )
            raise SessionError(msg)
        return lane
