"""A storage that keeps every promise, in steps small enough for a mutant to break one."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sessionkit.errors import (
    SessionClosedError,
    SessionConflictError,
    SessionError,
    SessionListingError,
)
from sessionkit.protocols import ANY, Clock, Expected
from sessionkit.testing._asking import ask_for
from sessionkit.testing._limits import Limits
from sessionkit.testing._promises import Promise, promises
from sessionkit.testing._subject import Subject


class Row(NamedTuple):
    raw: Any
    revision: int
    expires: float | None


class Disk:
    """What outlives closing."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.revision = 0
        self.expiries: dict[Any, float] = {}
        self.connected = True
        self.lost = False


class Reference:
    """All capabilities, sync."""

    isolated = True
    settles = True
    supports_expiry = True

    def __init__(self, disk: Disk, clock: Clock, ttl: float | None = None) -> None:
        self.disk = disk
        self.clock = clock
        self.ttl = ttl
        self.closed = False

    # Steps.

    def place(self, key: str) -> str:
        return key

    def key_at(self, place: str) -> str:
        return place

    def encode(self, value: Any) -> Any:
        return json.dumps(value, allow_nan=False)

    def decode(self, raw: Any) -> Any:
        return json.loads(raw)

    def check_open(self) -> None:
        if self.closed:
            raise SessionClosedError("closed")
        if self.disk.lost:
            raise SessionError("the file is gone")

    def is_gone(self, row: Row) -> bool:
        return row.expires is not None and self.clock() >= row.expires

    def find(self, key: str) -> Row | None:
        self.check_open()
        return self.disk.rows.get(self.place(key))

    def live(self, key: str) -> Row | None:
        row = self.find(key)
        return None if row is None or self.is_gone(row) else row

    def compare(self, key: str, expected: Expected) -> None:
        if expected is ANY:
            return
        row = self.find(key)
        if row is not None and row.revision == expected:
            return
        if row is None and self.clock() >= self.disk.expiries.get(expected, math.inf):
            return  # it has expired since, and was purged
        if expected is not None or self.live(key) is not None:
            raise SessionConflictError("changed", key=key)

    def expiry(self, expires: float | None) -> float | None:
        if expires is None and self.ttl is not None:
            return self.clock() + self.ttl
        return expires

    def new_revision(self, key: str) -> int:
        self.disk.revision += 1
        return self.disk.revision

    def store(self, key: str, raw: Any, expires: float | None) -> int:
        revision = self.new_revision(key)
        if expires is not None:
            self.disk.expiries[revision] = expires
        self.disk.rows[self.place(key)] = Row(raw, revision, expires)
        return revision

    def drop(self, key: str) -> None:
        self.disk.rows.pop(self.place(key), None)

    # Methods.

    def read(self, key: str) -> Any:
        row = self.live(key)
        return None if row is None else self.decode(row.raw)

    def write(self, key: str, value: Any) -> Any:
        self.write_if(key, value, ANY)

    def delete(self, key: str) -> Any:
        self.write_if(key, None, ANY)

    def has(self, key: str) -> Any:
        return self.live(key) is not None

    def read_many(self, keys: Sequence[str]) -> Any:
        return {key: self.read(key) for key in keys if self.has(key)}

    def write_many(self, values: Mapping[str, Any]) -> None:
        for raw in [(key, self.encode(value)) for key, value in values.items()]:
            self.store(*raw, self.expiry(None))

    def iter_keys(self, prefix: str = "") -> Iterator[Any]:
        self.check_open()
        for place, row in list(self.disk.rows.items()):
            key = self.key_at(place)
            if key.startswith(prefix) and not self.is_gone(row):
                yield key

    def iter_items(self, prefix: str = "") -> Iterator[Any]:
        left_out: list[str] = []
        for key in self.iter_keys(prefix):
            try:
                value = self.read(key)
            except Exception:
                left_out.append(key)
            else:
                yield key, value
        if left_out:
            raise SessionListingError("damaged", keys=tuple(left_out))

    def read_with_revision(self, key: str) -> Any:
        row = self.find(key)
        if row is None:
            return None, None
        return (None if self.is_gone(row) else self.decode(row.raw)), row.revision

    def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        self.check_open()
        raw = None if value is None else self.encode(value)
        self.compare(key, expected)
        if raw is None:
            self.drop(key)
            return None
        return self.store(key, raw, self.expiry(expires))

    def touch(self, key: str) -> Any:
        row = self.live(key)
        if row is None:
            return False
        if self.ttl is not None:
            self.disk.rows[self.place(key)] = row._replace(expires=self.expiry(None))
        return True

    def renew(self, key: str, revision: Any) -> Any:
        row = self.live(key)
        if row is not None and row.revision == revision:
            self.touch(key)

    def purge_expired(self) -> Any:
        gone = [place for place, row in self.disk.rows.items() if self.is_gone(row)]
        for place in gone:
            del self.disk.rows[place]
        return len(gone)

    @property
    def sync(self) -> Any:
        return self

    @property
    def identity(self) -> Any:
        return ("reference", id(self.disk))

    def close(self) -> None:
        self.closed = True


Kind = Callable[[Disk, Clock, float | None], Any]


def subject_of(kind: Kind, limits: Limits | None = None, **options: Any) -> Subject:
    """The kit over storages of one class, with a disk for each namespace."""
    disks: dict[str, Disk] = {}
    declared = limits or Limits()

    def open_storage(namespace: str, clock: Clock) -> Any:
        return kind(disks.setdefault(namespace, Disk()), clock, declared.ttl)

    def damage(namespace: str, key: str) -> None:
        rows = disks[namespace].rows
        if key in rows:
            rows[key] = rows[key]._replace(raw='{"n": ')

    def lose(namespace: str) -> None:
        disks.pop(namespace).lost = True

    return Subject(open_storage, limits=declared, damage=damage, lose=lose, **options)


def promise_named(name: str) -> Promise:
    return next(each for each in promises() if each.name == name)


def ask(name: str, kind: Kind, limits: Limits | None = None, **options: Any) -> None:
    """Let a storage keep one promise, or raise ``BrokenPromise``."""
    with subject_of(kind, limits, **options) as subject:
        asyncio.run(ask_for(promise_named(name), subject))
