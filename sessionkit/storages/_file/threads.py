"""Threads on which a storage waits for its disk, so that no event loop has to."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from sessionkit.errors import SessionClosedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

P = ParamSpec("P")
R = TypeVar("R")

# Enough for the flushes of many chats to share one turn of the disk.
_THREADS: Final = 16
_PAGE: Final = 100


class DiskThreads:
    """Runs blocking jobs for coroutines of any event loop, until closed.

    Args:
        name: What to call their owner in an error.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._closed = False
        self._renew_pool()

    def check_open(self) -> None:
        """Raise ``SessionClosedError`` after ``close``."""
        if self._closed:
            msg = f"{self._name} was closed; make a new one"
            raise SessionClosedError(msg)

    async def read(self, job: Callable[P, R], *args: P.args, **options: P.kwargs) -> R:
        """Run a job that changes nothing; a cancelled caller does not wait for it."""
        return await asyncio.wrap_future(self._submit(job, *args, **options))

    async def settle(self, job: Callable[P, R], *args: P.args, **options: P.kwargs) -> R:
        """Run a job that may change something.

        A cancelled caller withdraws it if it has not begun, and otherwise waits
        for its end: once this is over, nothing of it will happen later.
        """
        work = self._submit(job, *args, **options)
        waiter = asyncio.wrap_future(work)
        cancelled: asyncio.CancelledError | None = None
        while not waiter.done():
            try:
                await asyncio.wait((waiter,))
            except asyncio.CancelledError as error:
                if work.cancel():
                    raise
                cancelled = error
        if cancelled is None:
            return waiter.result()
        waiter.exception()  # looked at, so that asyncio does not report it
        raise cancelled

    async def iterate(self, items: Iterator[R]) -> AsyncIterator[R]:
        """Yield *items*, fetched on a thread a page at a time."""
        while page := await self.settle(_next_page, items):
            for item in page:
                yield item

    def refuse(self) -> None:
        """Take no more jobs."""
        self._closed = True

    def close(self) -> None:
        """Take no more jobs, and wait for those that were taken."""
        self.refuse()
        self._pool.shutdown()

    def _submit(self, job: Callable[P, R], *args: P.args, **options: P.kwargs) -> Future[R]:
        self.check_open()
        if self._process != os.getpid():
            self._renew_pool()
        try:
            return self._pool.submit(job, *args, **options)
        except RuntimeError:
            self.check_open()
            raise

    def _renew_pool(self) -> None:
        # Threads do not live on in a forked child.
        self._process = os.getpid()
        self._pool = ThreadPoolExecutor(_THREADS, "sessionkit-file")


def _next_page(items: Iterator[R]) -> list[R]:
    return list(islice(items, _PAGE))
