"""Storages, locks and converters of the project's own, without a base class."""

from dataclasses import dataclass
from typing import Any, assert_type

from sessionkit import (
    MemorySessionStorage,
    Sessions,
    SQLiteSessionStorage,
    enhance_storage,
    session,
    storage_from_url,
)
from sessionkit.protocols import Converter, SessionLock, Storage


@dataclass
class Pizza:
    """A session's data."""

    count: int = 0


class Table:
    """A storage that never waits."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}

    def read(self, name: str) -> Any | None:
        """Return a row."""
        return self.rows.get(name)

    def write(self, name: str, row: Any) -> None:
        """Store a row."""
        self.rows[name] = row

    def delete(self, name: str) -> None:
        """Remove a row."""
        self.rows.pop(name, None)


class Remote:
    """A storage that waits."""

    async def read(self, key: str, /) -> dict[str, Any] | None:
        """Return what is there."""
        return None

    async def write(self, key: str, value: dict[str, Any], /) -> bool:
        """Store it."""
        return True

    async def delete(self, key: str, /) -> None:
        """Remove it."""


class Lock:
    """A lock that waits."""

    async def acquire(self, key: str, /) -> int:
        """Wait for it."""
        return 1

    async def release(self, key: str, held: int, /) -> None:
        """Give it back."""


class AsText:
    """A converter."""

    def encode(self, data: Pizza, /) -> str:
        """Return plain data."""
        return str(data.count)

    def decode(self, plain: Any, /) -> Pizza:
        """Return data."""
        return Pizza(int(plain))


table: Storage[Any] = Table()
remote: Storage[dict[str, Any]] = Remote()
lock: SessionLock = Lock()
converter: Converter[Pizza] = AsText()

assert_type(session(Pizza, storage=Table()), Sessions[Pizza])
assert_type(session(Pizza, storage=Remote(), lock=Lock()), Sessions[Pizza])
assert_type(session(Pizza, storage=table, lock=lock), Sessions[Pizza])
assert_type(session(Pizza, converter=AsText()), Sessions[Pizza])
assert_type(session(Pizza, storage=enhance_storage(Table(), ttl=60)), Sessions[Pizza])
assert_type(session(Pizza, storage=SQLiteSessionStorage("bot.db")), Sessions[Pizza])
assert_type(session(Pizza, storage=MemorySessionStorage(ttl=60)), Sessions[Pizza])
assert_type(session(Pizza, storage=storage_from_url("memory:")), Sessions[Pizza])
