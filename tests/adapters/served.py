"""The storages over servers, as a table: how each is started, opened, locked and damaged."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
import sqlalchemy

import sessionkit_mongo
import sessionkit_postgres
import sessionkit_redis
import sessionkit_sqlalchemy
from tests.adapters import mongo_servers, postgres_servers, redis_servers


@dataclass(frozen=True)
class Served:
    """A storage over a server.

    Attributes:
        name: By which tests ask for it.
        start: Starts the server of the tests.
        start_durable: Starts one that can be killed, and loses nothing acknowledged.
        variable: The environment variable that may have the URL of one, with nothing in it.
        kinds: The storage, and the one for threads.
        place: The option for the name under which a storage keeps its values.
        damage: Spoils a value: URL, name, key.
        is_made: Whether the server has anything of a name: URL, name.
        nowhere: The URL of a server that is not there, on port 1, with a password, as
            ``storage_from_url`` takes it.
        shown: How errors name it.
        patience_without_server: How long its driver is let look for it.
        prefix: Put before names, since another storage has the same server.
        schemes: What SQLAlchemy has its URLs begin with, for either kind.
        locks: Its lock, and the one for threads.
        cuts: How many writes, and how likely the reply to one is lost, when some are.
        lock_left: For how long the server keeps the lock of the key "1" of a name.
        shorten_lock: Lets the server keep it for 15 seconds only.
        forget_lock: Lets the server forget the lock of the key "1" of a name.
        silence: What a storage for threads says of a server that is silent.
    """

    name: str
    start: Callable[[], AbstractContextManager[Any]]
    start_durable: Callable[[], AbstractContextManager[Any]]
    variable: str
    kinds: tuple[Any, Any]
    place: str
    damage: Callable[[str, str, str], None]
    is_made: Callable[[str, str], bool]
    nowhere: str
    shown: str
    patience_without_server: float = 60
    prefix: str = ""
    schemes: tuple[str, str] = ("", "")
    locks: tuple[Any, Any] = (None, None)
    cuts: tuple[int, float] = (150, 0.2)
    lock_left: Callable[[str, str], float] = lambda url, name: math.inf
    shorten_lock: Callable[[str, str], None] = lambda url, name: None
    forget_lock: Callable[[str, str], None] = lambda url, name: None
    silence: str = "there was no answer within"

    def open(self, url: str, name: str, **options: Any) -> Any:
        """Open a storage for an event loop."""
        return self.kinds[0](self.url_for(url, 0), **{self.place: self.prefix + name}, **options)

    def open_blocking(self, url: str, name: str, **options: Any) -> Any:
        """Open a storage for threads."""
        return self.kinds[1](self.url_for(url, 1), **{self.place: self.prefix + name}, **options)

    def spoil(self, url: str, name: str, key: str) -> None:
        """Spoil the value of *key*."""
        self.damage(self.url_for(url, 1), self.prefix + name, key)

    def has_made(self, url: str, name: str) -> bool:
        """Return whether a table, collection or key of *name* is there."""
        return self.is_made(self.url_for(url, 1), self.prefix + name)

    def named_or_skip(self) -> str:
        """Return the URL of a server that an environment variable names."""
        url = os.environ.get(self.variable)
        if url is None:
            pytest.skip(f"{self.variable} names no server")
        return url

    def url_for(self, url: str, kind: int) -> str:
        """Return *url* as the storage for an event loop (0) or for threads (1) takes it."""
        scheme, _, rest = url.partition(":")
        return f"{self.schemes[kind] or scheme}:{rest}"


class Running:
    """The servers that were asked for, each started once."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._started: dict[Any, Any] = {}

    def __call__(self, served: Served) -> Any:
        """Return the server of *served*; what shares one with another gets the same."""
        if served.start not in self._started:
            self._started[served.start] = self._stack.enter_context(served.start())
        return self._started[served.start]


def _damage_redis(url: str, name: str, key: str) -> None:
    with redis_servers.connect(url) as client:
        client.set(f"{name}{key}", '{"n": ')


def _is_in_redis(url: str, name: str) -> bool:
    with redis_servers.connect(url) as client:
        return any(client.scan_iter(f"{name}*"))


def _redis_lock_left(url: str, name: str) -> float:
    with redis_servers.connect(url) as client:
        milliseconds: float = client.pttl(f"lock:{name}1")
        return milliseconds / 1000


def _shorten_redis_lock(url: str, name: str) -> None:
    with redis_servers.connect(url) as client:
        assert client.pexpire(f"lock:{name}1", 15_000)


def _forget_redis_lock(url: str, name: str) -> None:
    with redis_servers.connect(url) as client:
        assert client.delete(f"lock:{name}1")


def _damage_postgres(url: str, name: str, key: str) -> None:
    with postgres_servers.connect(url) as connection:
        text = f'UPDATE "{name}" SET value = %s WHERE key = %s'
        connection.execute(text, ('{"n": ', key))


def _is_in_postgres(url: str, name: str) -> bool:
    with postgres_servers.connect(url) as connection:
        (found,) = connection.execute("SELECT to_regclass(%s)", (f'"{name}"',)).fetchone()
    return found is not None


def _end_postgres_locks(url: str, _: str) -> None:
    with postgres_servers.connect(url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name LIKE 'sessionkit %'"
        )


def _damage_mongo(url: str, name: str, key: str) -> None:
    with mongo_servers.connect(url) as client:
        collection = client.get_default_database()[name]
        collection.update_one({"_id": key}, {"$unset": {"value": ""}, "$set": {"text": '{"n": '}})


def _is_in_mongo(url: str, name: str) -> bool:
    with mongo_servers.connect(url) as client:
        return name in client.get_default_database().list_collection_names()


def _damage_sql(url: str, name: str, key: str) -> None:
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        table = sessionkit_sqlalchemy.sessions_table(name=name)
        of_key = sqlalchemy.update(table).where(table.c.name == key.encode())
        connection.execute(of_key.values(value=b'{"n": '))
    engine.dispose()


def _is_in_sql(url: str, name: str) -> bool:
    engine = sqlalchemy.create_engine(url)
    there = sqlalchemy.inspect(engine).has_table(name)
    engine.dispose()
    return there


@contextmanager
def _database_file() -> Generator[Any]:
    with tempfile.TemporaryDirectory(prefix="sessionkit-sqlite-") as folder:
        yield SimpleNamespace(url=f"sqlite:///{Path(folder, 'sessions.db')}")


REDIS: Final = Served(
    name="redis",
    start=redis_servers.server,
    start_durable=lambda: redis_servers.server("--appendonly", "yes", "--appendfsync", "always"),
    variable="SESSIONKIT_TEST_REDIS",
    kinds=(sessionkit_redis.RedisSessionStorage, sessionkit_redis.BlockingRedisSessionStorage),
    place="prefix",
    damage=_damage_redis,
    is_made=_is_in_redis,
    nowhere="redis://me:s3cret@127.0.0.1:1/3",
    shown="127.0.0.1:1, database 3 cannot be reached",
    locks=(sessionkit_redis.RedisLock, sessionkit_redis.BlockingRedisLock),
    lock_left=_redis_lock_left,
    shorten_lock=_shorten_redis_lock,
    forget_lock=_forget_redis_lock,
    silence="Timeout",
)
POSTGRES: Final = Served(
    name="postgres",
    start=lambda: postgres_servers.server("fsync=off", "deadlock_timeout=100ms"),
    start_durable=lambda: postgres_servers.server("fsync=on"),
    variable="SESSIONKIT_TEST_POSTGRES",
    kinds=(
        sessionkit_postgres.PostgresSessionStorage,
        sessionkit_postgres.BlockingPostgresSessionStorage,
    ),
    place="table",
    damage=_damage_postgres,
    is_made=_is_in_postgres,
    nowhere="postgresql://me:s3cret@127.0.0.1:1/bot",
    shown="127.0.0.1:1, database bot cannot be reached",
    locks=(sessionkit_postgres.PostgresLock, sessionkit_postgres.BlockingPostgresLock),
    forget_lock=_end_postgres_locks,
)
MONGO: Final = Served(
    name="mongodb",
    start=mongo_servers.server,
    start_durable=mongo_servers.server,
    variable="SESSIONKIT_TEST_MONGODB",
    kinds=(sessionkit_mongo.MongoSessionStorage, sessionkit_mongo.BlockingMongoSessionStorage),
    place="collection",
    damage=_damage_mongo,
    is_made=_is_in_mongo,
    nowhere="mongodb://me:s3cret@127.0.0.1:1/bot",
    shown="Nothing was written|there was no answer",
    patience_without_server=2,
    silence="timed out",
    cuts=(40, 0.2),
)
ON_SQL: Final = (
    sessionkit_sqlalchemy.SQLAlchemySessionStorage,
    sessionkit_sqlalchemy.BlockingSQLAlchemySessionStorage,
)
SQLALCHEMY: Final = Served(
    name="sqlalchemy",
    start=POSTGRES.start,
    start_durable=POSTGRES.start_durable,
    variable="SESSIONKIT_TEST_POSTGRES",
    kinds=ON_SQL,
    place="table",
    damage=_damage_sql,
    is_made=_is_in_sql,
    nowhere="sqlalchemy+postgresql+psycopg://me:s3cret@127.0.0.1:1/bot",
    shown="Nothing was written",
    prefix="sqlalchemy ",
    schemes=("postgresql+psycopg", "postgresql+psycopg"),
    cuts=(150, 0.05),
)
SQLITE: Final = replace(
    SQLALCHEMY,
    name="sqlite",
    start=_database_file,
    schemes=("sqlite+aiosqlite", "sqlite"),
)
MARIADB: Final = replace(
    SQLALCHEMY,
    name="mariadb",
    variable="SESSIONKIT_TEST_MARIADB",
    schemes=("mysql+asyncmy", "mysql+pymysql"),
)
ALL: Final = {each.name: each for each in (REDIS, POSTGRES, MONGO, SQLALCHEMY)}


def _marks(served: Served) -> Iterable[Any]:
    """PyMongo leaves sockets to the collector when it gives a connection up."""
    if served is MONGO:
        yield pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def _thorough(served: Served, quick: Sequence[str]) -> Iterable[Any]:
    if served.name not in quick:
        yield pytest.mark.thorough


def each_of(
    *quick: str, but: Collection[str] = (), more: Sequence[Served] = ()
) -> pytest.MarkDecorator:
    """Parametrize by ``served``, without *but*; a quick run asks those with the names *quick*."""
    return pytest.mark.parametrize(
        "served",
        [
            pytest.param(each, id=each.name, marks=[*_marks(each), *_thorough(each, quick)])
            for each in (*ALL.values(), *more)
            if each.name not in but
        ],
    )
