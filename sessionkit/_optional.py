"""Methods that an object has only if what it wraps can do them."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from types import MethodType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from sessionkit._drive import NeedsLoopError, run_sync

if TYPE_CHECKING:
    from sessionkit._types import MaybeAsyncIterable

A = TypeVar("A")
B = TypeVar("B")
F = TypeVar("F", bound=Callable[..., Any])


class _HasCapabilities(Protocol):
    capabilities: frozenset[str]


class _Optional:
    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method
        self.__doc__ = method.__doc__

    def __get__(self, instance: _HasCapabilities | None, owner: type) -> Callable[..., Any]:
        if instance is None:
            return self._method
        require(instance, self._method.__name__)
        return MethodType(self._method, instance)


def optional(method: F, /) -> F:
    """Let *method* be an attribute only of objects that have its name in ``capabilities``."""
    return cast("F", _Optional(method))


def require(instance: _HasCapabilities, name: str) -> None:
    """Raise ``AttributeError``, as for any missing attribute, if *name* is not offered."""
    if name not in instance.capabilities:
        offered = ", ".join(sorted(instance.capabilities)) or "nothing"
        msg = (
            f"{type(instance).__name__!r} object has no attribute {name!r}: with the storage "
            f"inside and the options given it offers {offered} beside read, write and delete"
        )
        raise AttributeError(msg)


async def each(listing: MaybeAsyncIterable[A]) -> AsyncIterator[A]:
    """Iterate over *listing*, of whichever kind it is."""
    if isinstance(listing, AsyncIterable):
        async for item in listing:
            yield item
    else:
        for item in listing:
            yield item


def select(
    listing: MaybeAsyncIterable[A],
    step: Callable[[A], Coroutine[Any, Any, B | None]],
    *,
    may_wait: bool = False,
) -> MaybeAsyncIterable[B]:
    """Yield what *step* makes of each item, leaving out None.

    Sync over a sync *listing*, unless *step* may have to wait.
    """
    if may_wait or isinstance(listing, AsyncIterable):
        return _select_async(listing, step)
    return _select_sync(listing, step)


async def _select_async(
    listing: MaybeAsyncIterable[A], step: Callable[[A], Coroutine[Any, Any, B | None]]
) -> AsyncIterator[B]:
    async for item in each(listing):
        selected = await step(item)
        if selected is not None:
            yield selected


def _select_sync(
    listing: Iterable[A], step: Callable[[A], Coroutine[Any, Any, B | None]]
) -> Iterator[B]:
    for item in listing:
        selected = _at_once(step(item))
        if selected is not None:
            yield selected


def _at_once(course: Coroutine[Any, Any, B]) -> B:
    try:
        return run_sync(course)
    except NeedsLoopError as error:
        msg = (
            "a migration had to wait in a listing that cannot: it is a plain function which "
            "returned an awaitable. Declare it with 'async def', then the listing is async, too"
        )
        raise TypeError(msg) from error
