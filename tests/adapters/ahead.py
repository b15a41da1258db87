"""The real time, which a test sets ahead: what waits for an hour is through at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any


class Ahead:
    """A clock for event loops and leases whose servers and networks are real.

    Attributes:
        seconds: By how much it is ahead.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.seconds

    sleep = staticmethod(time.sleep)

    @asynccontextmanager
    async def hurrying(self) -> AsyncGenerator[None]:
        """Let a second pass every few milliseconds, so that no deadline is waited for."""

        async def hurry() -> None:
            while True:
                self.seconds += 1
                await asyncio.to_thread(time.sleep, 0.002)

        task = asyncio.ensure_future(hurry())
        try:
            yield
        finally:
            task.cancel()

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run *main* on a loop that goes by this clock."""
        with asyncio.Runner(loop_factory=lambda: _Loop(self)) as runner:
            runner.run(main)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, ahead: Ahead) -> None:
        self._ahead = ahead
        super().__init__()

    def time(self) -> float:
        return self._ahead.monotonic()


async def until(condition: Callable[[], object]) -> None:
    """Wait for a server or a thread, while the tasks of this loop go on."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it does not come"
        await asyncio.to_thread(time.sleep, 0.002)
