"""Time that passes only when a test says so, or when a loop has nothing else to do."""

from __future__ import annotations

import asyncio
import selectors


class _Skipping(selectors.SelectSelector):
    """Skips every wait: the time it would have taken is added to ``now`` instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(0)
        if not ready:
            self.now += timeout
        return ready


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose hours take no time: ``await asyncio.sleep(3600)`` is through at once.

    ``loop.time()`` begins at 0 and jumps to the next timer as soon as nothing else
    can run.  Work in other threads is not waited for while a timer is pending; with
    no timer it is.  Use it so:

        with asyncio.Runner(loop_factory=FakeTimeLoop) as runner:
            runner.run(main())
    """

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.now

    def stall(self, seconds: float) -> None:
        """Let time pass in which nothing runs."""
        self._skipping.now += seconds

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for the worker threads in real time: a timeout would be over at once."""
        await super().shutdown_default_executor()
