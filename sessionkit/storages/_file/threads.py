"""Where files are read: at once if that is quick, else on threads of their own."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Generic, ParamSpec, TypeVar

from sessionkit._storage.listing import Listing
from sessionkit.storages._file.disk import TooLargeError
from sessionkit.storages._jobs import check_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

P = ParamSpec("P")
R = TypeVar("R")

_THREADS: Final = 8
_PAGE: Final = 500
_PAGE_SECONDS: Final = 0.02
_LARGE: Final = 64 * 1024
_SLOW: Final = 0.02
_CAUTION: Final = 1.0


class Readers:
    """Read files for coroutines of any event loop.

    A small file is read in the caller's thread, which takes less time than to ask another
    one.  When that took more than 20 ms, the disk is slow just now, and for a second
    everything is read on threads.  So what an event loop waits for at the worst is one
    file of 64 KB, once a second.

    Args:
        check_open: Raises if no more is to be read.
    """

    def __init__(self, check_open: Callable[[], None]) -> None:
        self._check_open = check_open
        self._is_slow_until = 0.0
        self._renew_pool()

    async def read(self, job: Callable[[str, int | None], R], key: str) -> R:
        """Run a job that reads one file; a cancelled caller does not wait for it."""
        self._check_open()
        check_loop()
        begun = time.monotonic()
        if begun >= self._is_slow_until:
            try:
                return job(key, _LARGE)
            except TooLargeError:
                pass
            finally:
                now = time.monotonic()
                if now - begun > _SLOW:
                    self._is_slow_until = now + _CAUTION
        return await asyncio.wrap_future(self._submit(job, key, None))

    def iterate(self, items: Iterator[R]) -> Listing[R]:
        """Yield *items*, fetched on a thread a page at a time.

        A cancelled caller waits for the page.
        """
        return Listing(self._pages(items))

    async def _pages(self, items: Iterator[R]) -> AsyncIterator[list[R]]:
        while True:
            page = await self.settle(_Page, items)
            yield page.items
            if page.error is not None:
                raise page.error
            if page.is_last:
                return

    def close(self) -> None:
        """Wait for what is being read."""
        self._pool.shutdown()

    async def settle(self, job: Callable[P, R], *args: P.args, **options: P.kwargs) -> R:
        """Run *job* on a thread; a cancelled caller waits for its end."""
        self._check_open()
        work = self._submit(job, *args, **options)
        waiter = asyncio.wrap_future(work)
        cancelled: asyncio.CancelledError | None = None
        while not waiter.done():
            try:
                await asyncio.wait((waiter,))
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is None:
            return waiter.result()
        waiter.exception()  # looked at, so that asyncio does not report it
        raise cancelled

    def _submit(self, job: Callable[P, R], *args: P.args, **options: P.kwargs) -> Future[R]:
        check_loop()
        if self._process != os.getpid():
            self._renew_pool()
        try:
            return self._pool.submit(job, *args, **options)
        except RuntimeError:
            self._check_open()
            raise

    def _renew_pool(self) -> None:
        # Threads do not live on in a forked child.
        self._process = os.getpid()
        self._pool = ThreadPoolExecutor(_THREADS, "sessionkit-file-read")


class _Page(Generic[R]):
    """Some of *items*, and the error that ended them: what came before it is not lost.

    It ends early when it takes long, since items may be large, and its waiter cancelled.
    """

    def __init__(self, items: Iterator[R]) -> None:
        self.items: list[R] = []
        self.error: Exception | None = None
        self.is_last = True
        end = time.monotonic() + _PAGE_SECONDS
        try:
            for item in items:
                self.items.append(item)
                if len(self.items) == _PAGE or time.monotonic() > end:
                    self.is_last = False
                    break
        except Exception as error:  # noqa: BLE001 (raised when the items were given out)
            self.error = error
