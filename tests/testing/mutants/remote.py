"""References for what happens at once: locked for threads, and behind a network for tasks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from sessionkit.errors import SessionListingError
from sessionkit.protocols import Clock, Expected
from tests.testing.reference import Disk, Reference


def lock_of(disk: Disk) -> threading.RLock:
    """Return the one lock of all openings of *disk*."""
    lock: threading.RLock = disk.__dict__.setdefault("lock", threading.RLock())
    return lock


def at_once(items: Iterator[Any]) -> Iterator[Any]:
    """Go through *items* now; give them again, and then what they raised."""
    listed: list[Any] = []
    error: SessionListingError | None = None
    try:
        for item in items:
            listed.append(item)
    except SessionListingError as raised:
        error = raised
    return again(listed, error)


def again(listed: list[Any], error: SessionListingError | None) -> Iterator[Any]:
    yield from listed
    if error is not None:
        raise error


class Locked(Reference):
    """The reference, for many threads."""

    def __init__(self, disk: Disk, clock: Clock, ttl: float | None = None) -> None:
        super().__init__(disk, clock, ttl)
        self.lock = lock_of(disk)

    def read(self, key: str) -> Any:
        with self.lock:
            return super().read(key)

    def has(self, key: str) -> Any:
        with self.lock:
            return super().has(key)

    def read_many(self, keys: Sequence[str]) -> Any:
        with self.lock:
            return super().read_many(keys)

    def write_many(self, values: Mapping[str, Any]) -> None:
        with self.lock:
            super().write_many(values)

    def iter_keys(self, prefix: str = "") -> Any:
        with self.lock:
            return iter(list(super().iter_keys(prefix)))

    def iter_items(self, prefix: str = "") -> Any:
        with self.lock:
            return at_once(super().iter_items(prefix))

    def read_with_revision(self, key: str) -> Any:
        with self.lock:
            return super().read_with_revision(key)

    def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        with self.lock:
            return super().write_if(key, value, expected, expires=expires)

    def touch(self, key: str) -> Any:
        with self.lock:
            return super().touch(key)

    def renew(self, key: str, revision: Any) -> Any:
        with self.lock:
            return super().renew(key, revision)

    def purge_expired(self) -> Any:
        with self.lock:
            return super().purge_expired()


class Remote:
    """The reference behind a network: each call waits, and asks one question."""

    isolated = True
    settles = True
    supports_expiry = True

    def __init__(self, disk: Disk, clock: Clock, ttl: float | None = None) -> None:
        self.disk = disk
        self.server = Locked(disk, clock, ttl)

    async def ask(self, method: str, *given: Any, **options: Any) -> Any:
        """Call a method of the reference there."""
        await asyncio.sleep(0)
        return getattr(self.server, method)(*given, **options)

    async def read(self, key: str) -> Any:
        return await self.ask("read", key)

    async def write(self, key: str, value: Any) -> Any:
        await self.ask("write", key, value)

    async def delete(self, key: str) -> Any:
        await self.ask("delete", key)

    async def has(self, key: str) -> Any:
        return await self.ask("has", key)

    async def read_many(self, keys: Sequence[str]) -> Any:
        return await self.ask("read_many", keys)

    async def write_many(self, values: Mapping[str, Any]) -> None:
        await self.ask("write_many", values)

    async def iter_keys(self, prefix: str = "") -> AsyncIterator[Any]:
        for key in await self.ask("iter_keys", prefix):
            yield key

    async def iter_items(self, prefix: str = "") -> AsyncIterator[Any]:
        for item in await self.ask("iter_items", prefix):
            yield item

    async def read_with_revision(self, key: str) -> Any:
        return await self.ask("read_with_revision", key)

    async def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        return await self.ask("write_if", key, value, expected, expires=expires)

    async def touch(self, key: str) -> Any:
        return await self.ask("touch", key)

    async def purge_expired(self) -> Any:
        return await self.ask("purge_expired")

    async def close(self) -> None:
        self.server.close()
