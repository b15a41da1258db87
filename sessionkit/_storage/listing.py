"""Listings, sync or async, that go past what cannot be read and report it at their end."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Iterable,
    Iterator,
)
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sessionkit._storage.sync_or_async import resolve
from sessionkit.errors import SessionError, SessionListingError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from sessionkit.protocols import MaybeAsyncIterable, MaybeAwaitable

A = TypeVar("A")
B = TypeVar("B")

_SHOWN: Final = 5


class LeftOut:
    """The entries that a listing had to leave out."""

    def __init__(self) -> None:
        self._keys: list[str] = []
        self._first: BaseException | None = None

    def add(self, error: BaseException, *keys: str) -> None:
        """Note that *keys* are left out because of *error*."""
        if keys and self._first is None:
            # with its traceback it would keep the frames of the listing alive
            self._first = error.with_traceback(None)
        self._keys += keys

    @contextmanager
    def noting(self, key: str) -> Generator[None]:
        """Note *key* if the body raises a ``SessionError``, and go on after it."""
        try:
            yield
        except SessionError as error:
            self.add(error, key)

    @contextmanager
    def noting_inside(self) -> Generator[None]:
        """Note what the listing that the body goes through left out itself."""
        try:
            yield
        except SessionListingError as error:
            self.add(error.__cause__ or error, *error.keys)

    def report(self) -> None:
        """Raise ``SessionListingError`` if something was left out."""
        if not self._keys:
            return
        shown = ", ".join(map(repr, self._keys[:_SHOWN]))
        more = len(self._keys) - _SHOWN
        msg = (
            f"{len(self._keys)} of the listed values cannot be read and were left out: {shown}"
            f"{f' and {more} more' if more > 0 else ''}. Everything else was listed. "
            f"The first error: {self._first}"
        )
        raise SessionListingError(msg, key=self._keys[0], keys=tuple(self._keys)) from self._first


class Listing(AsyncIterator[A]):
    """What is listed, one by one, and for who takes many at once also in *pages*.

    Either may be gone through, not both.
    """

    def __init__(self, pages: AsyncIterator[list[A]]) -> None:
        self.pages = pages
        self._items = _flattened(pages)

    def __aiter__(self) -> AsyncIterator[A]:
        return self._items

    def __anext__(self) -> Awaitable[A]:
        return self._items.__anext__()

    async def aclose(self) -> None:
        """Go no further."""
        await self._items.aclose()


async def _flattened(pages: AsyncIterator[list[A]]) -> AsyncGenerator[A]:
    async for page in pages:
        for item in page:
            yield item


async def each(listing: MaybeAsyncIterable[A]) -> AsyncIterator[A]:
    """Iterate over *listing*, sync or async."""
    if isinstance(listing, AsyncIterable):
        async for item in listing:
            yield item
    else:
        for item in listing:
            yield item


def select(
    items: MaybeAsyncIterable[tuple[str, Any]],
    step: Callable[[tuple[str, Any]], MaybeAwaitable[B | None]],
    *,
    is_async: bool,
) -> MaybeAsyncIterable[B]:
    """Yield what *step* makes of each item, leaving out None and what it cannot read.

    Sync over sync *items*, unless it is to be async: then *step* may have to wait.

    Raises:
        SessionListingError: At the end, if something could not be read.
    """
    if is_async or isinstance(items, AsyncIterable):
        return _select_async(items, step)
    return _select_sync(items, step)


async def _select_async(
    items: MaybeAsyncIterable[tuple[str, Any]],
    step: Callable[[tuple[str, Any]], MaybeAwaitable[B | None]],
) -> AsyncIterator[B]:
    left_out = LeftOut()
    with left_out.noting_inside():
        async for item in each(items):
            selected = None
            with left_out.noting(item[0]):
                selected = await resolve(step(item))
            if selected is not None:
                yield selected
    left_out.report()


def _select_sync(
    items: Iterable[tuple[str, Any]],
    step: Callable[[tuple[str, Any]], MaybeAwaitable[B | None]],
) -> Iterator[B]:
    left_out = LeftOut()
    with left_out.noting_inside():
        for item in items:
            selected: Any = None
            with left_out.noting(item[0]):
                selected = step(item)
            if selected is not None:
                yield selected
    left_out.report()


def with_left_out(keys: MaybeAsyncIterable[str]) -> MaybeAsyncIterable[str]:
    """Yield *keys*, and then those whose values could not be read: they are stored."""
    return _completed_async(keys) if isinstance(keys, AsyncIterable) else _completed_sync(keys)


async def _completed_async(keys: AsyncIterable[str]) -> AsyncIterator[str]:
    try:
        async for key in keys:
            yield key
    except SessionListingError as error:
        for key in error.keys:
            yield key


def _completed_sync(keys: Iterable[str]) -> Iterator[str]:
    try:
        yield from keys
    except SessionListingError as error:
        yield from error.keys
