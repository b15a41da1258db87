"""A storage that blocks, seen by tasks; an async one, seen by threads."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from typing import Any, Final, Generic, Self, TypeVar

from sessionkit._storage.capabilities import optional
from sessionkit._storage.checks import check_storage
from sessionkit._storage.listing import each
from sessionkit._storage.sync_or_async import resolve
from sessionkit.errors import SessionClosedError, SessionError, SessionListingError
from sessionkit.protocols import Entry, Expected, Revision

R = TypeVar("R")

_PASSED_ON: Final = (
    "has",
    "iter_entries",
    "iter_items",
    "iter_keys",
    "purge_expired",
    "read_entries",
    "read_many",
    "read_with_revision",
    "renew",
    "touch",
    "write_entries",
    "write_if",
    "write_many",
)
_THREADS: Final = 8
_PAGE: Final = 100
_SIGNAL_POLL: Final = 1.0  # one that comes just before the wait does not end it


class _Page(Generic[R]):
    """Items of a listing; the last ones come before the error that ends it."""

    def __init__(self) -> None:
        self.items: list[R] = []
        self.is_last = False
        self._error: SessionListingError | None = None

    @contextmanager
    def filling(self) -> Generator[None]:
        """Keep what the body raises at the end of a listing."""
        try:
            yield
        except SessionListingError as error:
            self._error = error

    def end(self) -> None:
        """Raise what the listing has raised at its end."""
        if self._error is not None:
            raise self._error


def _next_page(items: Iterator[R]) -> _Page[R]:
    page: _Page[R] = _Page()
    with page.filling():
        page.items.extend(islice(items, _PAGE))
    page.is_last = len(page.items) < _PAGE
    return page


class _View:
    """What both views have in common: the storage inside, and what it can do."""

    wrapped: Any

    def __init__(self, storage: Any) -> None:
        check_storage(storage)
        self.wrapped = storage
        self.capabilities: frozenset[str] = frozenset(
            name for name in _PASSED_ON if callable(getattr(storage, name, None))
        )
        self.any_value: bool = getattr(storage, "any_value", False) is True
        self.isolated: bool = getattr(storage, "isolated", False) is True

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.wrapped!r})"


class AsyncView(_View):
    """A storage that blocks, for tasks: its methods run on threads.

    A cancelled write is withdrawn if it has not begun, and otherwise waited for.  Has
    the optional methods that the storage has.

    Args:
        storage: A storage that blocks, and may be used on several threads.
        threads: How many calls may run at a time.

    Raises:
        TypeError: *storage* is not a storage.
    """

    settles: Final = True

    def __init__(self, storage: Any, *, threads: int = _THREADS) -> None:
        super().__init__(storage)
        self._pool = ThreadPoolExecutor(threads, "sessionkit-view")

    @property
    def sync(self) -> Any:
        """The storage itself."""
        return self.wrapped

    async def read(self, key: str, /) -> Any:
        """Return the value, None if missing or expired."""
        return await self._call(self.wrapped.read, key)

    async def write(self, key: str, value: Any, /) -> None:
        """Store *value*, whatever was there."""
        await self._call(self.wrapped.write, key, value)

    async def delete(self, key: str, /) -> None:
        """Remove *key*; a no-op if nothing is stored under it."""
        await self._call(self.wrapped.delete, key)

    @optional
    async def has(self, key: str, /) -> bool:
        """Return whether *key* is stored and not expired."""
        return await self._call(self.wrapped.has, key)

    @optional
    async def read_many(self, keys: Sequence[str], /) -> Mapping[str, Any]:
        """Return what is stored under *keys*."""
        return await self._call(self.wrapped.read_many, keys)

    @optional
    async def write_many(self, values: Mapping[str, Any], /) -> None:
        """Store all of *values*."""
        await self._call(self.wrapped.write_many, values)

    @optional
    async def read_with_revision(self, key: str, /) -> tuple[Any, Revision | None]:
        """Return value and revision."""
        return await self._call(self.wrapped.read_with_revision, key)

    @optional
    async def write_if(
        self, key: str, value: Any, expected: Expected, /, **options: Any
    ) -> Revision | None:
        """Store or (None) delete, if what is stored is *expected*."""
        return await self._call(partial(self.wrapped.write_if, key, value, expected, **options))

    @optional
    async def touch(self, key: str, /) -> bool:
        """Restart the timeout of *key*."""
        return await self._call(self.wrapped.touch, key)

    @optional
    async def renew(self, key: str, revision: Revision | None, /) -> None:
        """Renew the timeout if it is due."""
        await self._call(self.wrapped.renew, key, revision)

    @optional
    async def purge_expired(self) -> int:
        """Remove what has expired, return how many values that were."""
        return await self._call(self.wrapped.purge_expired)

    @optional
    def iter_keys(self, prefix: str = "", /) -> AsyncIterator[str]:
        """Yield each key that begins with *prefix*."""
        return self._pages(self.wrapped.iter_keys, prefix)

    @optional
    def iter_items(self, prefix: str = "", /) -> AsyncIterator[tuple[str, Any]]:
        """Yield pairs of key and value."""
        return self._pages(self.wrapped.iter_items, prefix)

    @optional
    async def read_entries(self, keys: Sequence[str], /) -> Mapping[str, Entry]:
        """Return what is stored under *keys*, with its expiry."""
        return await self._call(self.wrapped.read_entries, keys)

    @optional
    def iter_entries(self, prefix: str = "", /) -> AsyncIterator[Entry]:
        """Yield keys, values and expiries."""
        return self._pages(self.wrapped.iter_entries, prefix)

    @optional
    async def write_entries(
        self, entries: Sequence[Entry], expected: Expected = None, /
    ) -> Sequence[str]:
        """Store each entry where the revision is *expected*; return the other keys."""
        return await self._call(self.wrapped.write_entries, entries, expected)

    async def close(self) -> None:
        """Finish what is under way, and close the storage; a no-op the second time."""
        await asyncio.to_thread(self._pool.shutdown)
        close = getattr(self.wrapped, "close", None)
        if close is not None:
            await asyncio.to_thread(close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def _call(self, method: Callable[..., R], *args: Any) -> R:
        try:
            work = self._pool.submit(method, *args)
        except RuntimeError as error:
            msg = f"{self!r} was closed: make a new one"
            raise SessionClosedError(msg) from error
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

    async def _pages(self, listing: Callable[[str], Iterator[R]], prefix: str) -> AsyncIterator[R]:
        items = iter(await self._call(listing, prefix))
        page: _Page[R] = _Page()
        while not page.is_last:
            page = await self._call(lambda: _next_page(items))
            for item in page.items:
                yield item
        page.end()


class BlockingView(_View):
    """An async storage, for threads: it lives in an event loop of its own, on a thread.

    Ctrl-C cancels the call that is waited for, and is raised once that has ended.  Has
    the optional methods that the storage has.

    Args:
        open_storage: Gives the storage; called in that loop, may be async.  The
            storage must not be used elsewhere.

    Raises:
        TypeError: What it gives is not a storage.
    """

    settles: Final = True

    def __init__(self, open_storage: Callable[[], Any]) -> None:
        self._pid = os.getpid()
        self._under_way = 0
        self._closed = False
        self._idle = threading.Condition()
        self._loop = asyncio.new_event_loop()
        name = "sessionkit storage"
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()
        try:
            super().__init__(self._run(_resolved(open_storage)))
        except BaseException:
            self._end()
            raise

    @property
    def sync(self) -> Self:
        """This view itself."""
        return self

    def read(self, key: str, /) -> Any:
        """Return the value, None if missing or expired."""
        return self._call(self.wrapped.read, key)

    def write(self, key: str, value: Any, /) -> None:
        """Store *value*, whatever was there."""
        self._call(self.wrapped.write, key, value)

    def delete(self, key: str, /) -> None:
        """Remove *key*; a no-op if nothing is stored under it."""
        self._call(self.wrapped.delete, key)

    @optional
    def has(self, key: str, /) -> bool:
        """Return whether *key* is stored and not expired."""
        return bool(self._call(self.wrapped.has, key))

    @optional
    def read_many(self, keys: Sequence[str], /) -> Mapping[str, Any]:
        """Return what is stored under *keys*."""
        found: Mapping[str, Any] = self._call(self.wrapped.read_many, keys)
        return found

    @optional
    def write_many(self, values: Mapping[str, Any], /) -> None:
        """Store all of *values*."""
        self._call(self.wrapped.write_many, values)

    @optional
    def read_with_revision(self, key: str, /) -> tuple[Any, Revision | None]:
        """Return value and revision."""
        found: tuple[Any, Revision | None] = self._call(self.wrapped.read_with_revision, key)
        return found

    @optional
    def write_if(
        self, key: str, value: Any, expected: Expected, /, **options: Any
    ) -> Revision | None:
        """Store or (None) delete, if what is stored is *expected*."""
        revision: Revision | None = self._call(
            partial(self.wrapped.write_if, key, value, expected, **options)
        )
        return revision

    @optional
    def touch(self, key: str, /) -> bool:
        """Restart the timeout of *key*."""
        return bool(self._call(self.wrapped.touch, key))

    @optional
    def renew(self, key: str, revision: Revision | None, /) -> None:
        """Renew the timeout if it is due."""
        self._call(self.wrapped.renew, key, revision)

    @optional
    def purge_expired(self) -> int:
        """Remove what has expired, return how many values that were."""
        return int(self._call(self.wrapped.purge_expired))

    @optional
    def iter_keys(self, prefix: str = "", /) -> Iterator[str]:
        """Yield each key that begins with *prefix*."""
        return self._items(self.wrapped.iter_keys, prefix)

    @optional
    def iter_items(self, prefix: str = "", /) -> Iterator[tuple[str, Any]]:
        """Yield pairs of key and value."""
        return self._items(self.wrapped.iter_items, prefix)

    @optional
    def read_entries(self, keys: Sequence[str], /) -> Mapping[str, Entry]:
        """Return what is stored under *keys*, with its expiry."""
        found: Mapping[str, Entry] = self._call(self.wrapped.read_entries, keys)
        return found

    @optional
    def iter_entries(self, prefix: str = "", /) -> Iterator[Entry]:
        """Yield keys, values and expiries."""
        return self._items(self.wrapped.iter_entries, prefix)

    @optional
    def write_entries(
        self, entries: Sequence[Entry], expected: Expected = None, /
    ) -> Sequence[str]:
        """Store each entry where the revision is *expected*; return the other keys."""
        left_alone: Sequence[str] = self._call(self.wrapped.write_entries, entries, expected)
        return left_alone

    def close(self) -> None:
        """Close the storage, and end its thread; a no-op the second time."""
        with self._idle:
            if self._closed:
                return
            self._closed = True
            self._idle.wait_for(lambda: self._under_way == 0)
        close = getattr(self.wrapped, "close", None)
        if close is not None:
            self._settle(_resolved(close))
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _call(self, method: Callable[..., Any], *args: Any) -> Any:
        return self._run(_resolved(partial(method, *args)))

    def _run(self, course: Coroutine[Any, Any, R]) -> R:
        with self._idle:
            self._check_alive(course)
            self._under_way += 1
        try:
            return self._settle(course)
        finally:
            with self._idle:
                self._under_way -= 1
                self._idle.notify_all()

    def _settle(self, course: Coroutine[Any, Any, R]) -> R:
        ended: Future[R] = Future()
        task: list[asyncio.Task[None]] = []

        async def settle() -> None:
            try:
                ended.set_result(await course)
            except BaseException as error:  # noqa: BLE001 (raised where somebody waits for it)
                ended.set_exception(error)

        def begin() -> None:
            task.append(self._loop.create_task(settle()))

        def cancel() -> None:
            if task:
                task[0].cancel()
            else:  # pragma: no cover (interrupted before it was begun)
                course.close()
                ended.cancel()

        try:
            self._loop.call_soon_threadsafe(begin)
            while not ended.done():
                wait((ended,), _SIGNAL_POLL)
            return ended.result()
        except KeyboardInterrupt:
            self._loop.call_soon_threadsafe(cancel)
            going_on: Any = (ended,)
            while going_on:
                with suppress(KeyboardInterrupt):
                    going_on = wait(going_on).not_done
            raise

    def _check_alive(self, course: Coroutine[Any, Any, Any]) -> None:
        if self._closed:
            course.close()
            msg = "this BlockingView was closed: make a new one"
            raise SessionClosedError(msg)
        if self._pid != os.getpid():
            course.close()
            msg = "this BlockingView was made before this process was forked: make it in each"
            raise SessionError(msg)

    def _items(self, listing: Callable[[str], Any], prefix: str) -> Iterator[Any]:
        items: AsyncIterator[Any] = each(listing(prefix))

        async def next_page() -> _Page[Any]:
            page: _Page[Any] = _Page()
            with page.filling():
                async for item in items:
                    page.items.append(item)
                    if len(page.items) == _PAGE:
                        return page
            page.is_last = True
            return page

        page: _Page[Any] = _Page()
        while not page.is_last:
            page = self._run(next_page())
            yield from page.items
        page.end()

    def _serve(self) -> None:
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


async def _resolved(method: Callable[[], Any]) -> Any:
    return await resolve(method())
