"""A storage in memory that is safe among tasks and threads, in steps that a mutant can break."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from sessionkit._storage.sync_or_async import run_sync
from sessionkit.errors import SessionClosedError, SessionConflictError
from sessionkit.protocols import ANY, Clock, Expected

Row = tuple[str, int, float | None]


class Place:
    """What the openings of a namespace share."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.revisions = itertools.count(1)
        self.task_lock = asyncio.Lock()
        self.thread_lock = threading.RLock()


class Steps:
    """All capabilities, async; its ``sync`` view runs the same steps on threads."""

    settles = True
    supports_expiry = True
    blocking = False

    def __init__(self, place: Place, clock: Clock) -> None:
        self.place = place
        self.clock = clock
        self.closed = False

    async def tick(self) -> None:
        if not self.blocking:
            await asyncio.sleep(0)

    @asynccontextmanager
    async def locked(self) -> AsyncGenerator[None]:
        if self.blocking:
            with self.place.thread_lock:
                yield
        else:
            async with self.place.task_lock:
                yield

    def live(self, key: str) -> Row | None:
        row = self.place.rows.get(key)
        return None if row is None or self.is_gone(row) else row

    def is_gone(self, row: Row) -> bool:
        return row[2] is not None and self.clock() >= row[2]

    def check_open(self) -> None:
        if self.closed:
            raise SessionClosedError("closed")

    def compare(self, key: str, expected: Expected) -> None:
        row = self.live(key)
        if expected is not ANY and expected != (None if row is None else row[1]):
            raise SessionConflictError("changed", key=key)

    async def store(self, key: str, value: Any, expires: float | None = None) -> Any:
        if value is None:
            self.place.rows.pop(key, None)
            return None
        row = (json.dumps(value), next(self.place.revisions), expires)
        self.place.rows[key] = row
        return row[1]

    async def read(self, key: str) -> Any:
        return (await self.read_with_revision(key))[0]

    async def read_with_revision(self, key: str) -> Any:
        self.check_open()
        await self.tick()
        row = self.live(key)
        return (None, None) if row is None else (json.loads(row[0]), row[1])

    async def write(self, key: str, value: Any) -> None:
        await self.write_if(key, value, ANY)

    async def delete(self, key: str) -> None:
        await self.write_if(key, None, ANY)

    async def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        self.check_open()
        async with self.locked():
            self.compare(key, expected)
            await self.tick()
            return await self.store(key, value, expires)

    async def write_many(self, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            await self.write(key, value)

    async def read_many(self, keys: Sequence[str]) -> dict[str, Any]:
        found = {key: await self.read(key) for key in keys}
        return {key: value for key, value in found.items() if value is not None}

    async def has(self, key: str) -> bool:
        return await self.read(key) is not None

    async def iter_keys(self, prefix: str = "") -> AsyncIterator[str]:
        for key, row in list(self.place.rows.items()):
            await self.tick()
            if key.startswith(prefix) and not self.is_gone(row):
                yield key

    async def iter_items(self, prefix: str = "") -> AsyncIterator[tuple[str, Any]]:
        for key, row in list(self.place.rows.items()):
            await self.tick()
            if key.startswith(prefix) and not self.is_gone(row):
                yield key, json.loads(row[0])

    async def touch(self, key: str) -> bool:
        async with self.locked():
            await self.tick()
            return self.live(key) is not None

    async def purge_expired(self) -> int:
        async with self.locked():
            gone = [key for key, row in self.place.rows.items() if self.is_gone(row)]
            await self.tick()
            for key in gone:
                del self.place.rows[key]
            return len(gone)

    async def close(self) -> None:
        async with self.locked():
            self.closed = True

    @property
    def sync(self) -> Any:
        return Blocking(self)


class Blocking:
    """The same steps on threads."""

    calls: ClassVar = (
        *("read", "write", "delete", "read_with_revision", "write_if", "read_many", "write_many"),
        *("has", "touch", "purge_expired", "close"),
    )

    def __init__(self, storage: Steps) -> None:
        self._storage = type(storage)(storage.place, storage.clock)
        self._storage.blocking = True
        for name in self.calls:
            setattr(self, name, self._call(name))

    read: Callable[..., Any]
    write: Callable[..., Any]
    delete: Callable[..., Any]

    def _call(self, name: str) -> Callable[..., Any]:
        method = getattr(self._storage, name)
        return lambda *args, **options: run_sync(method(*args, **options))

    def iter_keys(self, prefix: str = "") -> Iterator[Any]:
        return iter(run_sync(_listed(self._storage.iter_keys(prefix))))

    def iter_items(self, prefix: str = "") -> Iterator[Any]:
        return iter(run_sync(_listed(self._storage.iter_items(prefix))))


async def _listed(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


def factory_of(kind: Callable[[Place, Clock], Any]) -> Callable[[str, Clock], Any]:
    """Return the factory of storages of one class, with a place for each namespace."""
    places: dict[str, Place] = {}

    def open_storage(namespace: str, clock: Clock) -> Any:
        return kind(places.setdefault(namespace, Place()), clock)

    return open_storage
