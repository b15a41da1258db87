"""Sessions in stores of py-key-value keep every promise that needs no revisions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from typing import Any, ClassVar, Final

import pytest
from key_value.aio.stores.disk import DiskStore
from key_value.aio.stores.filetree import FileTreeStore
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.stores.redis import RedisStore

from sessionkit.testing import Limits, StorageSuite
from sessionkit.testing.session_suite import SessionSuite
from sessionkit_key_value import KeyValueSessionStorage
from tests.adapters import redis_servers
from tests.profiles import thoroughly, without

TTL: Final = 60.0
pytestmark = pytest.mark.usefixtures("few_histories")
table_first = thoroughly("machine", "concurrency")
table_only = without("machine", "concurrency")

COLLECTION: Final = "sessionkit"
BROKEN: Final = '[{"key":"1","token":"x"},{"n": '


@pytest.fixture(scope="module")
def valkey() -> Iterator[str]:
    with redis_servers.server() as started:
        yield started.url


class Owning(KeyValueSessionStorage):
    """Closes its store; another one may be on the same data at the same time."""

    def __init__(self, store: Any, identity: str, **options: Any) -> None:
        super().__init__(store, **options)
        self.identity = identity

    async def close(self) -> None:
        await super().close()
        close = getattr(self._store, "close", None)
        if close is not None:
            await close()


class InAStore(StorageSuite):
    limits = Limits(ttl=TTL, threads=False)


@table_first
class TestMemory(InAStore):
    """Its stores stay where they are while the process lives."""

    limits = Limits(ttl=TTL, threads=False, shared=False, durable=False)
    stores: ClassVar[dict[str, MemoryStore]] = {}

    def open(self, namespace: str) -> Any:
        store = self.stores.setdefault(namespace, MemoryStore())
        return KeyValueSessionStorage(store, ttl=TTL, clock=self.clock)

    def damage(self, namespace: str, key: str) -> None:
        cache = self.stores[namespace]._cache[COLLECTION]._cache
        cache[key].json_str = json.dumps({"value": {"session": BROKEN}})


@pytest.mark.thorough
@table_only
class TestFileTree(InAStore):
    def open(self, namespace: str) -> Any:
        store = FileTreeStore(data_directory=self.folder / namespace)
        return Owning(store, namespace, ttl=TTL, clock=self.clock)

    def damage(self, namespace: str, key: str) -> None:
        for file in (self.folder / namespace).rglob(f"{key}.json"):
            file.write_text(file.read_text("utf-8")[:-10], "utf-8")


@pytest.mark.thorough
@table_only
class TestDisk(InAStore):
    def open(self, namespace: str) -> Any:
        store = DiskStore(directory=self.folder / namespace)
        return Owning(store, namespace, ttl=TTL, clock=self.clock)

    def damage(self, namespace: str, key: str) -> None:
        diskcache: Any = import_module("diskcache")
        with diskcache.Cache(str(self.folder / namespace)) as cache:
            cache[f"{COLLECTION}::{key}"] = '{"value": '


@table_first
class TestRedis(InAStore):
    url: str

    @pytest.fixture(autouse=True)
    def _serve(self, valkey: str) -> None:
        self.url = valkey

    def open(self, namespace: str) -> Any:
        options: Any = {"collection": namespace, "ttl": TTL, "clock": self.clock}
        return Owning(RedisStore(url=self.url), namespace, **options)

    def damage(self, namespace: str, key: str) -> None:
        with redis_servers.connect(self.url) as client:
            name = f"{namespace}::{key}"
            entry = json.loads(client.get(name))
            client.set(name, json.dumps(entry | {"value": {"session": BROKEN}}))


class TestSessions(SessionSuite):
    limits = Limits(threads=False, shared=False, durable=False)
    stores: ClassVar[dict[str, MemoryStore]] = {}

    def open(self, namespace: str) -> Any:
        store = self.stores.setdefault(namespace, MemoryStore())
        return KeyValueSessionStorage(store, clock=self.clock)

    def damage(self, namespace: str, key: str) -> None:
        cache = self.stores[namespace]._cache[COLLECTION]._cache
        cache[key].json_str = json.dumps({"value": {"session": BROKEN}})
