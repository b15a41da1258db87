"""The storages of this project run the kit, as those of users do."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from typing import Any, Final

import pytest

from sessionkit import (
    FileSessionStorage,
    MemorySessionStorage,
    SQLiteSessionStorage,
    enhance_storage,
)
from sessionkit.testing import Limits, StorageSuite
from tests.profiles import thoroughly, without

TTL: Final = 60.0
IN_MEMORY: Final = Limits(shared=False, durable=False)
IN_MEMORY_FOR_A_MINUTE: Final = Limits(shared=False, durable=False, ttl=TTL)
FOR_A_MINUTE: Final = Limits(ttl=TTL)


pytestmark = pytest.mark.usefixtures("fewer_histories")


@without("machine")
class WithoutHistories(StorageSuite):
    """Leaves out the random histories: the storage inside and the wrapper have them elsewhere."""


class TestMemory(StorageSuite):
    limits = IN_MEMORY_FOR_A_MINUTE

    def open(self, namespace: str) -> Any:
        return MemorySessionStorage(ttl=TTL, clock=self.clock)


@thoroughly("machine", "concurrency")
class TestFile(StorageSuite):
    limits = FOR_A_MINUTE

    def open(self, namespace: str) -> Any:
        return FileSessionStorage(self.folder / namespace, ttl=TTL, clock=self.clock)

    def damage(self, namespace: str, key: str) -> None:
        for file in (self.folder / namespace).rglob(f"{key}.json"):
            file.write_text('{"n": ')

    def lose(self, namespace: str) -> None:
        shutil.rmtree(self.folder / namespace)


@thoroughly("concurrency")
class TestSQLite(StorageSuite):
    limits = FOR_A_MINUTE

    def open(self, namespace: str) -> Any:
        return SQLiteSessionStorage(self.folder / f"{namespace}.db", ttl=TTL, clock=self.clock)

    def damage(self, namespace: str, key: str) -> None:
        path = self.folder / f"{namespace}.db"
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE sessions SET value = '{\"n\": ' WHERE key = ?", (key,))

    def lose(self, namespace: str) -> None:
        for file in self.folder.glob(f"{namespace}.db*"):
            file.unlink()


@without("machine", "concurrency")
class TestFileInThreads(TestFile):
    def open(self, namespace: str) -> Any:
        return super().open(namespace).sync


@without("machine", "concurrency")
class TestSQLiteInThreads(TestSQLite):
    def open(self, namespace: str) -> Any:
        return super().open(namespace).sync


@thoroughly("machine")
class TestEnhancedMemory(StorageSuite):
    limits = IN_MEMORY_FOR_A_MINUTE

    def open(self, namespace: str) -> Any:
        inner = MemorySessionStorage(clock=self.clock)
        return enhance_storage(inner, ttl=TTL, clock=self.clock)


@thoroughly("concurrency")
class TestEnhancedFile(WithoutHistories):
    limits = FOR_A_MINUTE

    def open(self, namespace: str) -> Any:
        inner = FileSessionStorage(self.folder / namespace, clock=self.clock)
        return enhance_storage(inner, ttl=TTL, clock=self.clock)


@thoroughly("concurrency")
class TestEnhancedSQLite(WithoutHistories):
    limits = FOR_A_MINUTE

    def open(self, namespace: str) -> Any:
        inner = SQLiteSessionStorage(self.folder / f"{namespace}.db", clock=self.clock)
        return enhance_storage(inner, ttl=TTL, clock=self.clock)
