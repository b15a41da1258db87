"""py-key-value-aio's stores as storages of sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from key_value.aio.stores.disk import DiskStore
from key_value.aio.stores.filetree import (
    FileTreeStore,
    FileTreeV1CollectionSanitizationStrategy,
    FileTreeV1KeySanitizationStrategy,
)
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.stores.redis import RedisStore

from tests.testing.others.redis_client import connect

if TYPE_CHECKING:
    from pathlib import Path


class OverKeyValue:
    """Keeps a value in a dict, since these stores take only dicts."""

    isolated = True

    def __init__(self, store: Any) -> None:
        self._store = store

    async def read(self, key: str) -> Any:
        found = await self._store.get(key)
        return None if found is None else found["value"]

    async def write(self, key: str, value: Any) -> None:
        await self._store.put(key, {"value": value})

    async def delete(self, key: str) -> None:
        await self._store.delete(key)

    async def read_many(self, keys: list[str]) -> dict[str, Any]:
        found = await self._store.get_many(keys)
        return {
            key: value["value"] for key, value in zip(keys, found, strict=True) if value is not None
        }

    async def write_many(self, values: dict[str, Any]) -> None:
        await self._store.put_many(list(values), [{"value": value} for value in values.values()])


class ClosingOverKeyValue(OverKeyValue):
    async def close(self) -> None:
        await self._store.close()


def memory(_namespace: str) -> OverKeyValue:
    return OverKeyValue(MemoryStore())


def file_tree(namespace: str, folder: Path) -> OverKeyValue:
    return OverKeyValue(FileTreeStore(data_directory=folder / namespace))


def sanitised_file_tree(namespace: str, folder: Path) -> OverKeyValue:
    place = folder / namespace
    place.mkdir(exist_ok=True)
    return OverKeyValue(
        FileTreeStore(
            data_directory=place,
            key_sanitization_strategy=FileTreeV1KeySanitizationStrategy(place),
            collection_sanitization_strategy=FileTreeV1CollectionSanitizationStrategy(place),
        )
    )


def disk(namespace: str, folder: Path) -> OverKeyValue:
    return ClosingOverKeyValue(DiskStore(directory=folder / namespace))


class OverRedis(OverKeyValue):
    """Closes the client, which opens again if it is used after that."""

    def __init__(self, client: Any, collection: str) -> None:
        super().__init__(RedisStore(client=client, default_collection=collection))
        self.close = client.aclose


def redis(url: str, namespace: str) -> OverKeyValue:
    return OverRedis(connect(url, decode_responses=True), namespace)


def redis_of_bytes(url: str, namespace: str) -> OverKeyValue:
    return OverRedis(connect(url), namespace)


async def damage_redis(url: str, namespace: str, key: str) -> None:
    async with connect(url) as client:
        await client.set(f"{namespace}::{key}", '{"value": ')


def damage_file_tree(namespace: str, key: str, folder: Path) -> None:
    for file in (folder / namespace).rglob(f"{key}.json"):
        file.write_text(file.read_text("utf-8")[:10], "utf-8")
