"""Storages that can do more or less, for an enhanced storage to stand on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from sessionkit._storage.sync_or_async import is_awaitable
from sessionkit.errors import SessionConflictError
from sessionkit.protocols import ANY, Expected, MaybeAsyncIterable, MaybeAwaitable

if TYPE_CHECKING:
    from sessionkit.enhance import EnhancedRevision, EnhancedStorage

R = TypeVar("R")


class Clock:
    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Plain:
    """Three methods over a dict of live references, every call recorded."""

    def __init__(self, **stored: Any) -> None:
        self.stored: dict[str, Any] = stored
        self.calls: list[str] = []

    def read(self, key: str) -> Any:
        self.calls.append("read")
        return self.stored.get(key)

    def write(self, key: str, value: Any) -> None:
        self.calls.append("write")
        self.stored[key] = value

    def delete(self, key: str) -> None:
        self.calls.append("delete")
        self.stored.pop(key, None)


class PlainAsync:
    def __init__(self, **stored: Any) -> None:
        self.stored: dict[str, Any] = stored

    async def read(self, key: str) -> Any:
        await asyncio.sleep(0)
        return self.stored.get(key)

    async def write(self, key: str, value: Any) -> None:
        await asyncio.sleep(0)
        self.stored[key] = value

    async def delete(self, key: str) -> None:
        await asyncio.sleep(0)
        self.stored.pop(key, None)


class Listed(Plain):
    def has(self, key: str) -> bool:
        return key in self.stored

    def iter_keys(self, prefix: str = "") -> Iterator[str]:
        return (key for key in list(self.stored) if key.startswith(prefix))

    def iter_items(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        return ((key, self.stored[key]) for key in self.iter_keys(prefix))


class ListedAsync(PlainAsync):
    async def iter_keys(self, prefix: str = "") -> AsyncIterator[str]:
        for key in list(self.stored):
            await asyncio.sleep(0)
            if key.startswith(prefix):
                yield key

    async def iter_items(self, prefix: str = "") -> AsyncIterator[tuple[str, Any]]:
        async for key in self.iter_keys(prefix):
            yield key, self.stored[key]


class Revised(Plain):
    """Revisions; somebody may meddle once, after a read or before a conditional write."""

    def __init__(self, **stored: Any) -> None:
        super().__init__(**stored)
        self.revisions = dict.fromkeys(stored, 0)
        self.count = 0
        self.meddle_after_read: Callable[[], object] | None = None
        self.meddle: Callable[[], object] | None = None
        self.expires: dict[str, float | None] = {}

    def write(self, key: str, value: Any) -> None:
        super().write(key, value)
        self.count += 1
        self.revisions[key] = self.count

    def delete(self, key: str) -> None:
        super().delete(key)
        self.revisions.pop(key, None)

    def read_with_revision(self, key: str) -> tuple[Any, int | None]:
        found = self.read(key), self.revisions.get(key)
        meddle, self.meddle_after_read = self.meddle_after_read, None
        if meddle is not None:
            meddle()
        return found

    def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> int | None:
        meddle, self.meddle = self.meddle, None
        if meddle is not None:
            meddle()
        if expected is not ANY and expected != self.revisions.get(key):
            raise SessionConflictError("conflict", key=key)
        if value is None:
            self.delete(key)
            return None
        self.write(key, value)
        self.expires[key] = expires
        return self.count


class Full(Listed, Revised):
    closed = False

    def read_many(self, keys: Iterable[str]) -> dict[str, Any]:
        return {key: self.stored[key] for key in keys if key in self.stored}

    def write_many(self, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            self.write(key, value)

    def close(self) -> None:
        self.closed = True


class FullAsync(ListedAsync):
    """All that ``Full`` has, each method a coroutine function."""

    def __init__(self, **stored: Any) -> None:
        self.full = Full(**stored)
        super().__init__()
        self.stored = self.full.stored

    async def has(self, key: str) -> bool:
        return key in self.stored

    async def read_with_revision(self, key: str) -> tuple[Any, int | None]:
        await asyncio.sleep(0)
        return self.full.read_with_revision(key)

    async def write(self, key: str, value: Any) -> None:
        await asyncio.sleep(0)
        self.full.write(key, value)

    async def write_if(self, key: str, value: Any, expected: Expected) -> int | None:
        await asyncio.sleep(0)
        return self.full.write_if(key, value, expected)

    async def read_many(self, keys: Iterable[str]) -> dict[str, Any]:
        return self.full.read_many(keys)

    async def write_many(self, values: Mapping[str, Any]) -> None:
        self.full.write_many(values)


class Expiring(Revised):
    """Purges by the expiry it is given; cannot list."""

    supports_expiry = True

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def write_many(self, values: Mapping[str, Any]) -> None:
        raise AssertionError("tells no expiry")

    def purge_expired(self) -> int:
        gone = [key for key, at in self.expires.items() if at and self.clock() >= at]
        for key in gone:
            del self.stored[key], self.revisions[key], self.expires[key]
        return len(gone)


def add(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda data: {**data, "path": [*data.get("path", []), name]}


def at_once(answer: MaybeAwaitable[R]) -> R:
    """Return an answer that must not be an awaitable."""
    assert not is_awaitable(answer)
    return answer  # type: ignore[return-value]  # not awaitable, so it is an R


def listed(listing: MaybeAsyncIterable[R]) -> list[R]:
    """Return what is in a listing, which must be a sync one."""
    assert isinstance(listing, Iterable)
    return list(listing)


def tracked(storage: EnhancedStorage, key: str) -> tuple[Any, EnhancedRevision]:
    """Return the data of *key*, and what is known of what must be stored there."""
    offers = hasattr(storage, "read_with_revision")
    read = storage.read_with_revision if offers else storage.read_tracked
    data, revision = at_once(read(key))
    assert revision is not None
    return data, revision
