"""The storages over servers keep every promise; a quick run asks those of the table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final

import pytest

from sessionkit.testing import Limits, StorageSuite
from sessionkit.testing.session_suite import SessionSuite
from tests.adapters import redis_servers
from tests.adapters.served import (
    MARIADB,
    MONGO,
    POSTGRES,
    REDIS,
    SQLALCHEMY,
    SQLITE,
    Running,
    Served,
)
from tests.profiles import thoroughly, without

TTL: Final = 60.0

pytestmark = pytest.mark.usefixtures("few_histories")
table_first = thoroughly("machine", "concurrency")
table_only = without("machine", "concurrency")


def place_of(namespace: str) -> str:
    """A name that has to be quoted."""
    return f"sessionkit test {namespace}"


@pytest.fixture(scope="module")
def redis8() -> Iterator[str]:
    with redis_servers.server(binary=redis_servers.redis8_or_skip()) as started:
        yield started.url


class Kit(StorageSuite):
    limits = Limits(ttl=TTL)
    served: ClassVar[Served]
    blocking: ClassVar[bool] = False
    options: ClassVar[dict[str, Any]] = {}
    url: str

    @pytest.fixture(autouse=True)
    def _serve(self, running: Running) -> None:
        self.url = running(self.served).url

    def open(self, namespace: str) -> Any:
        opening = self.served.open_blocking if self.blocking else self.served.open
        place = place_of(namespace)
        return opening(self.url, place, ttl=TTL, clock=self.clock, **self.options)

    def damage(self, namespace: str, key: str) -> None:
        self.served.spoil(self.url, place_of(namespace), key)


class NamedByYou(Kit):
    """One of this machine, if an environment variable has its URL."""

    @pytest.fixture(autouse=True)
    def _serve(self) -> None:
        self.url = self.served.named_or_skip()


@table_first
class TestRedis(Kit):
    served = REDIS


@table_only
class TestRedisBlocking(Kit):
    served = REDIS
    blocking = True


@pytest.mark.thorough
@table_only
class TestRedis8(Kit):
    served = REDIS

    @pytest.fixture(autouse=True)
    def _serve(self, redis8: str) -> None:
        self.url = redis8


@table_only
class TestRedisCluster(Kit):
    served = REDIS
    options: ClassVar[dict[str, Any]] = {"cluster": True}

    @pytest.fixture(autouse=True)
    def _serve(self, redis_cluster: str) -> None:
        self.url = redis_cluster

    def damage(self, namespace: str, key: str) -> None:
        with redis_servers.connect(self.url, cluster=True) as client:
            client.set(f"{place_of(namespace)}{key}", '{"n": ')


@pytest.mark.thorough
@table_only
class TestNamedRedis(NamedByYou):
    served = REDIS


@table_first
class TestPostgres(Kit):
    served = POSTGRES


@table_only
class TestPostgresBlocking(Kit):
    served = POSTGRES
    blocking = True


@pytest.mark.thorough
@table_only
class TestNamedPostgres(NamedByYou):
    served = POSTGRES


@table_first
class TestMongo(Kit):
    served = MONGO


@pytest.mark.thorough
@table_only
class TestMongoBlocking(Kit):
    served = MONGO
    blocking = True


@pytest.mark.thorough
class TestNamedMongo(NamedByYou):
    served = MONGO


@pytest.mark.thorough
class TestSQLAlchemy(Kit):
    served = SQLALCHEMY


@pytest.mark.thorough
@table_only
class TestSQLAlchemyBlocking(Kit):
    served = SQLALCHEMY
    blocking = True


@table_first
class TestSQLAlchemySQLite(Kit):
    served = SQLITE


@table_only
class TestSQLAlchemySQLiteBlocking(Kit):
    served = SQLITE
    blocking = True


@pytest.mark.thorough
class TestMariaDB(NamedByYou):
    served = MARIADB


@pytest.mark.thorough
class TestMariaDBBlocking(NamedByYou):
    served = MARIADB
    blocking = True


class Sessions(SessionSuite):
    served: ClassVar[Served]
    url: str

    @pytest.fixture(autouse=True)
    def _serve(self, running: Running) -> None:
        self.url = running(self.served).url

    def open(self, namespace: str) -> Any:
        return self.served.open(self.url, place_of(namespace), clock=self.clock)

    def damage(self, namespace: str, key: str) -> None:
        self.served.spoil(self.url, place_of(namespace), key)


class TestSessionsOnRedis(Sessions):
    served = REDIS


class TestSessionsOnPostgres(Sessions):
    served = POSTGRES


class TestSessionsOnMongo(Sessions):
    served = MONGO


class TestSessionsOnSQLAlchemy(Sessions):
    served = SQLITE
