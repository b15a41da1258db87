"""An event that tasks and threads can wait for."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress


class Signal:
    """Happens once; may be waited for and set in any task and any thread."""

    def __init__(self) -> None:
        self._happened = threading.Event()
        self._mutex = threading.Lock()
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._happened.is_set()

    def set(self) -> None:
        """Let all who wait go on."""
        with self._mutex:
            self._happened.set()
            waiting, self._waiting = self._waiting, set()
        for future in waiting:
            with suppress(RuntimeError):  # a loop that was closed has nobody who waits
                future.get_loop().call_soon_threadsafe(_wake, future)

    async def wait(self) -> None:
        """Suspend this task until it happens."""
        future = asyncio.get_running_loop().create_future()
        with self._mutex:
            if self._happened.is_set():
                return
            self._waiting.add(future)
        try:
            await future
        finally:
            with self._mutex:
                self._waiting.discard(future)

    def block(self, timeout: float | None = None) -> bool:
        """Block this thread until it happens, at most *timeout* seconds; return if it did."""
        return self._happened.wait(timeout)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
