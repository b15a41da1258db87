"""What grammY keeps on servers is a storage that keeps every promise, in grammY's layout."""

from __future__ import annotations

import unittest
from typing import Any, ClassVar, Final

import pytest

from sessionkit.testing import Limits, StorageSuite
from sessionkit.testing._promises import Promise
from sessionkit_mongo import GrammyMongoStorage
from sessionkit_postgres import GrammyPostgresStorage
from sessionkit_redis import GrammyRedisStorage
from tests.adapters import mongo_servers, postgres_servers, redis_servers
from tests.adapters.served import MONGO, POSTGRES, REDIS, Running, Served
from tests.profiles import thoroughly, without

MADE: Final = """
    CREATE TABLE IF NOT EXISTS "{0}" ("key" VARCHAR NOT NULL, "value" TEXT);
    CREATE UNIQUE INDEX IF NOT EXISTS IDX_{0} ON "{0}" ("key")
"""
"""What grammY's ``PsqlAdapter.create`` says."""

BEYOND_MONGO: Final = ("integers_are_exact", "nested_values_come_back", "look_alikes_stay_data")


pytestmark = pytest.mark.usefixtures("few_histories")
table_first = thoroughly("machine", "concurrency")
table_only = without("machine", "concurrency")


class InPlace(StorageSuite):
    served: ClassVar[Served]
    url: str

    @pytest.fixture(autouse=True)
    def _serve(self, running: Running) -> None:
        self.url = running(self.served).url


@table_first
class TestRedis(InPlace):
    served = REDIS
    cluster: ClassVar[bool] = False

    def open(self, namespace: str) -> Any:
        return GrammyRedisStorage(self.url, cluster=self.cluster, prefix=f"{namespace}:")

    def damage(self, namespace: str, key: str) -> None:
        with redis_servers.connect(self.url, cluster=self.cluster) as client:
            client.set(f"{namespace}:{key}", '{"n": ')


@pytest.mark.thorough
@table_only
class TestCluster(TestRedis):
    cluster = True

    @pytest.fixture(autouse=True)
    def _serve(self, redis_cluster: str) -> None:
        self.url = redis_cluster


@table_first
class TestPostgres(InPlace):
    served = POSTGRES
    limits = Limits(key_alphabet="[^\0\ud800-\udfff]", max_key_bytes=2000)

    def open(self, namespace: str) -> Any:
        with postgres_servers.connect(self.url) as connection:
            connection.execute(MADE.format(f"in_place_{namespace}"))
        return GrammyPostgresStorage(self.url, table=f"in_place_{namespace}")

    def damage(self, namespace: str, key: str) -> None:
        with postgres_servers.connect(self.url) as connection:
            text = f"UPDATE in_place_{namespace} SET value = %s WHERE key = %s"
            connection.execute(text, ('{"n": ', key))


@thoroughly("concurrency")
@without("machine")
class TestMongo(InPlace):
    """Histories draw numbers and names of fields that grammY's layout cannot hold."""

    served = MONGO

    def ask(self, promise: Promise) -> None:
        if promise.name in BEYOND_MONGO:
            raise unittest.SkipTest("grammY's layout cannot hold it: the write is refused")
        super().ask(promise)

    def open(self, namespace: str) -> Any:
        return GrammyMongoStorage(self.url, collection=namespace)

    def damage(self, namespace: str, key: str) -> None:
        with mongo_servers.connect(self.url) as client:
            one = client.get_default_database()[namespace]
            one.update_one({"key": key}, {"$set": {"value": b"bytes"}})
