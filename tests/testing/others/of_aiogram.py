"""aiogram's storages of FSM data as storages of sessions."""

from __future__ import annotations

from typing import Any

from aiogram.fsm.storage.base import BaseStorage, DefaultKeyBuilder, StorageKey
from aiogram.fsm.storage.memory import MemoryStorage
from aiogram.fsm.storage.redis import RedisStorage

from tests.testing.others.redis_client import connect


class OverAiogram:
    """Keeps a value in the data of a destiny: data is a dict, and empty data means none."""

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage

    async def read(self, key: str) -> Any:
        return (await self._storage.get_data(_place(key))).get("value")

    async def write(self, key: str, value: Any) -> None:
        await self._storage.set_data(_place(key), {"value": value})

    async def delete(self, key: str) -> None:
        await self._storage.set_data(_place(key), {})


class IsolatedOverAiogram(OverAiogram):
    """Claims what the copies in MemoryStorage suggest."""

    isolated = True


class ClosingOverAiogram(OverAiogram):
    async def close(self) -> None:
        await self._storage.close()


def _place(key: str) -> StorageKey:
    return StorageKey(bot_id=42, chat_id=1, user_id=1, destiny=key)


def memory(_namespace: str) -> OverAiogram:
    return OverAiogram(MemoryStorage())


def isolated_memory(_namespace: str) -> OverAiogram:
    return IsolatedOverAiogram(MemoryStorage())


def redis(url: str, namespace: str) -> OverAiogram:
    keys = DefaultKeyBuilder(prefix=namespace, with_destiny=True)
    return ClosingOverAiogram(RedisStorage(connect(url), key_builder=keys))


async def damage_redis(url: str, namespace: str, key: str) -> None:
    async with connect(url) as client:
        await client.set(f"{namespace}:1:1:{key}:data", '{"value": ')
