"""What the real npm packages keep is read and written here, in place, and the other way round."""

from __future__ import annotations

import asyncio
import functools
import uuid
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, ParamSpec

import pytest

from sessionkit import (
    FileSessionStorage,
    InvalidSessionKeyError,
    SessionConflictError,
    SessionDecodeError,
    SessionEncodeError,
    SessionError,
    SessionListingError,
    SessionWriteError,
    enhance_storage,
    session,
    storage_from_url,
)
from sessionkit.protocols import ANY
from sessionkit_mongo import GrammyMongoStorage
from sessionkit_postgres import GrammyPostgresStorage
from sessionkit_redis import GrammyRedisStorage
from tests.adapters import mongo_servers, postgres_servers, redis_servers
from tests.adapters.cutting_proxy import proxy
from tests.adapters.served import MONGO, POSTGRES, REDIS, Running
from tests.grammy import install
from tests.grammy.changes import Add, functions
from tests.grammy.steps import Increment
from tests.grammy.wire import UNDEFINED

if TYPE_CHECKING:
    from pathlib import Path

    from tests.grammy.bridge import Grammy, RecordedStorage

install.skip_module_unless_available()

P = ParamSpec("P")


def on_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Let a test that is a coroutine function be one that pytest runs."""

    @functools.wraps(test)
    def run(*args: P.args, **options: P.kwargs) -> None:
        asyncio.run(test(*args, **options))

    return run


VALUES: Final[list[Any]] = [
    {"pizzaCount": 24},
    {"name": "Ann 🍕", "tags": [1, None, 2.5, -1e-7, True], "in": {"a": {}, "b": []}, "": "\u2028"},
    {"id": 2**40, "negative": -(2**52), "small": -(2**31)},
    [],
    [[1, 2]],
    0,
    False,
    "",
    "text",
]


@pytest.fixture
def valkey(running: Running) -> str:
    url: str = running(REDIS).url
    return url


@pytest.fixture
def postgres(running: Running) -> str:
    url: str = running(POSTGRES).url
    return url


@pytest.fixture
def mongo(running: Running) -> str:
    url: str = running(MONGO).url
    return url


@dataclass
class Home:
    """Where both keep sessions, empty at first.

    Attributes:
        theirs: Opens grammY's storage there.
        kind: The storage of sessionkit.
        url: That of the server, or a folder.
        options: What else the storage needs to know.
        now: The time by ``clock``.
    """

    theirs: Callable[..., RecordedStorage]
    kind: Callable[..., Any]
    url: str
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    now: float = 1000.0

    def clock(self) -> float:
        return self.now

    def ours(self, url: str | None = None) -> Any:
        """Open the storage of sessionkit, by another URL of the same server."""
        return self.kind(url or self.url, **self.options)


@pytest.fixture
def table() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


def redis_home(url: str, _: str, grammy: Grammy) -> Home:
    with redis_servers.connect(url) as client:
        client.flushall()
    return Home(partial(grammy.served, "redis", url), GrammyRedisStorage, url)


def postgres_home(url: str, table: str, grammy: Grammy) -> Home:
    theirs = partial(grammy.served, "psql", url, table)
    with theirs():
        pass  # it makes the table
    return Home(theirs, GrammyPostgresStorage, url, {"table": table})


def mongo_home(url: str, table: str, grammy: Grammy) -> Home:
    theirs = partial(grammy.served, "mongodb", url, table)
    return Home(theirs, GrammyMongoStorage, url, {"collection": table})


HOMES: Final = {"redis": redis_home, "psql": postgres_home, "mongodb": mongo_home}
SERVERS: Final = {"redis": "valkey", "psql": "postgres", "mongodb": "mongo"}


def home_of(kind: str, request: pytest.FixtureRequest, grammy: Grammy, table: str) -> Home:
    return HOMES[kind](request.getfixturevalue(SERVERS[kind]), table, grammy)


@pytest.fixture(params=[*HOMES, "file"])
def home(request: pytest.FixtureRequest, grammy: Grammy, table: str, tmp_path: Path) -> Home:
    if request.param == "file":
        folder = tmp_path / "sessions"
        found = Home(partial(grammy.file, folder), FileSessionStorage, str(folder))
        found.options["clock"] = found.clock
        return found
    return home_of(request.param, request, grammy, table)


@pytest.fixture(params=list(HOMES))
def served(request: pytest.FixtureRequest, grammy: Grammy, table: str) -> Home:
    return home_of(request.param, request, grammy, table)


@asynccontextmanager
async def both(home: Home, **how: Any) -> AsyncGenerator[tuple[Any, Any]]:
    theirs = home.theirs(**how)
    try:
        async with home.ours() as ours:
            yield theirs, ours
    finally:
        with suppress(AttributeError):
            theirs.__exit__()  # type: ignore[attr-defined]


# --- both directions ----------------------------------------------------------------------


async def exchange(home: Home, **how: Any) -> None:
    async with both(home, **how) as (theirs, ours):
        for key, value in enumerate(VALUES):
            theirs.write(f"{key}", value)
            assert await ours.read(f"{key}") == value
            await ours.write(f"ours-{key}", value)
            assert theirs.read(f"ours-{key}") == value
        names = [f"{key}" for key in range(len(VALUES))]
        found = {key async for key in ours.iter_keys()}
        assert found == {*names, *(f"ours-{name}" for name in names)}
        assert dict([item async for item in ours.iter_items("ours-")]).keys() == found - {*names}
        assert await ours.read("none") is None
        assert theirs.read("none") is UNDEFINED


@on_a_loop
async def test_each_reads_what_the_other_wrote(home: Home) -> None:
    await exchange(home)


@pytest.mark.thorough
@on_a_loop
async def test_each_reads_what_the_other_wrote_years_ago(served: Home) -> None:
    await exchange(served, older=True)


@on_a_loop
async def test_a_session_goes_on_here_and_there(home: Home, grammy: Grammy) -> None:
    async with both(home) as (theirs, ours):
        bot = grammy.bot(initial={"n": 0}, storage=theirs)
        sessions = session(initial=lambda: {"n": 0}, storage=ours)
        for _ in range(3):
            assert bot.update([Increment("n", 1)], chat=7).error is None
            async with sessions.open(7) as s:
                s.data["n"] += 10
        assert theirs.read("7") == {"n": 33}
        await sessions.delete(7)
        assert theirs.read("7") is UNDEFINED


@on_a_loop
async def test_enhanced_sessions_go_on_here_and_there(home: Home, grammy: Grammy) -> None:
    grammy.set_clock(1_000_000)
    changes = {"1": [Add("n", 100)], "2": [Add("n", 1000)]}
    async with both(home) as (theirs, ours):
        first = {"1": changes["1"]}
        theirs.write("7", {"n": 1})
        bot = grammy.bot(storage=grammy.enhanced(theirs, ttl_ms=60_000, migrations=first))
        assert bot.update([Increment("n", 1)], chat=7).error is None
        assert await ours.read("7") == {"v": 1, "__d": {"n": 102}, "e": 1_060_000}

        home.now = 1001.0
        enhanced = enhance_storage(ours, ttl=60, migrations=functions(changes), clock=home.clock)
        async with session(initial=dict[str, Any], storage=enhanced).open(7) as s:
            assert s.data == {"n": 1102}
            s.data["n"] += 1
        assert theirs.read("7") == {"v": 2, "__d": {"n": 1103}, "e": 1_061_000}

        home.now = 1061.0
        assert await enhanced.read("7") is None


# --- conditions ---------------------------------------------------------------------------


@on_a_loop
async def test_what_grammy_wrote_meanwhile_is_not_overwritten(home: Home) -> None:
    async with both(home) as (theirs, ours):
        sessions = session(initial=lambda: {"n": 0}, storage=ours)
        theirs.write("1", {"n": 1})
        for key, change in (("1", {"n": 2}), ("2", {"n": 3})):
            with pytest.raises(SessionConflictError):
                async with sessions.open(key) as s:
                    s.data["n"] += 10
                    theirs.write(key, change)
            assert theirs.read(key) == change
        with pytest.raises(SessionConflictError):
            async with sessions.open("1") as s:
                s.data["n"] += 10
                theirs.delete("1")
        assert theirs.read("1") is UNDEFINED
        await sessions.update("2", lambda data: {"n": data["n"] + 1})
        assert theirs.read("2") == {"n": 4}


@on_a_loop
async def test_two_bots_lose_nothing(served: Home) -> None:
    """Without a lock in common each clash is reported, and what was stored is what succeeded."""
    async with served.ours() as one, served.ours() as other:
        done = 0
        bots = [
            session(initial=lambda: {"n": 0}, storage=each, lock=False) for each in (one, other)
        ]

        async def increment(number: int) -> None:
            nonlocal done
            try:
                async with bots[number % 2].open(number % 8) as s:
                    s.data["n"] += 1
                done += 1
            except SessionConflictError:
                pass

        for start in range(0, 320, 64):
            await asyncio.gather(*map(increment, range(start, start + 64)))
        assert sum([data["n"] async for _, data in bots[0].items()]) == done > 0


@on_a_loop
async def test_a_write_whose_reply_was_lost_is_reported_as_unknown(served: Home) -> None:
    """What is stored then may be somebody else's, which looks the same."""
    async with served.ours() as plain, proxy(served.url) as (url, between):
        await plain.write("1", {"n": 0})
        async with served.ours(url) as ours:
            _, revision = await ours.read_with_revision("1")
            await ours.write("2", {})  # what is done once, before a first write

            async def cut_once() -> None:
                before, between.cut = between.cuts, 1.0
                while between.cuts == before:
                    await asyncio.sleep(0)
                between.cut = 0.0

            cutting = asyncio.create_task(cut_once())
            with pytest.raises(SessionWriteError, match="may have been written") as caught:
                await ours.write_if("1", {"n": 1}, revision)
            await cutting
            assert caught.value.unknown == ("1",)
        assert await plain.read("1") == {"n": 1}


@on_a_loop
async def test_revisions_of_others_fit_nothing(served: Home) -> None:
    async with served.ours() as ours:
        await ours.write("1", {"n": 0})
        for strange in (7, "strange", b"strange"[:0]):
            for value in ({"n": 1}, None):
                with pytest.raises(SessionConflictError):
                    await ours.write_if("1", value, strange)
        await ours.write_if("none", None, None)
        with pytest.raises(SessionConflictError):
            await ours.write_if("1", None, None)
        assert await ours.read("1") == {"n": 0}


@on_a_loop
async def test_there_is_no_room_for_an_expiry(served: Home) -> None:
    async with served.ours() as ours:
        for name in ("supports_expiry", "iter_entries", "read_entries", "write_entries"):
            with pytest.raises(AttributeError, match="enhance_storage"):
                getattr(ours, name)
        assert not hasattr(ours.sync, "write_entries")
        assert await ours.purge_expired() == 0
        assert not await ours.touch("1")


@on_a_loop
async def test_threads_use_the_same_data(served: Home) -> None:
    async with served.ours() as ours:
        await ours.write("1", {"n": 1})

        def in_a_thread() -> Any:
            ours.sync.write("2", {"n": 2})
            with session(initial=dict[str, Any], storage=ours).open(1) as s:
                s.data["n"] += 1
            return ours.sync.read_many(["1", "2"])

        assert await asyncio.to_thread(in_a_thread) == {"1": {"n": 2}, "2": {"n": 2}}
        assert repr(ours.sync) == f"{ours!r}.sync"


# --- oddities, each of one package --------------------------------------------------------


@on_a_loop
async def test_redis_damaged_strange_and_expiring(valkey: str, grammy: Grammy, table: str) -> None:
    home = redis_home(valkey, table, grammy)
    with redis_servers.connect(valkey) as client:
        async with both(home, ttl_s=1000) as (theirs, ours):
            client.set("empty", "")  # what grammY writes for undefined, and cannot read
            client.set("binary", b'"\xff"')
            client.lpush("list", "x")
            for key in ("empty", "binary"):
                with pytest.raises(SessionDecodeError):
                    await ours.read(key)
            for call in (ours.read("list"), ours.write("list", 1), ours.touch("list")):
                with suppress(SessionError):
                    assert await call is True
            assert client.lrange("list", 0, -1) == [b"x"]
            theirs.write("1", {"n": 1})
            with pytest.raises(SessionListingError) as caught:
                assert [key async for key, _ in ours.iter_items()] == ["1"]
            assert set(caught.value.keys) == {"empty", "binary", "list"}
            await ours.delete("empty")

            assert 990 < client.ttl("1") <= 1000
            async with GrammyRedisStorage(valkey, ttl=500) as expiring:
                assert await expiring.touch("1")
                assert 490 < client.ttl("1") <= 500
                await expiring.write("2", {"n": 2})
                assert 490 < client.ttl("2") <= 500
                _, revision = await expiring.read_with_revision("2")
                client.delete("2")  # as when it expires while a session is open
                with pytest.raises(SessionConflictError):
                    await expiring.write_if("2", {"n": 3}, revision)
                lapsed: Any = revision
                lapsed.expires = 1.0
                await expiring.write_if("2", {"n": 3}, revision)
                assert theirs.read("2") == {"n": 3}


@on_a_loop
async def test_prefixes_of_ioredis(valkey: str) -> None:
    with redis_servers.connect(valkey) as client:
        client.flushall()
        client.set("bot:1", '{"n":1}')
        client.set("other", "x")
    async with GrammyRedisStorage(valkey, prefix="bot:") as ours:
        assert [item async for item in ours.iter_items()] == [("1", {"n": 1})]


@on_a_loop
async def test_psql_null_is_missing(postgres: str, grammy: Grammy, table: str) -> None:
    home = postgres_home(postgres, table, grammy)
    with postgres_servers.connect(postgres) as connection:
        connection.execute(f"INSERT INTO \"{table}\" VALUES ('1', NULL)")
        async with home.ours() as ours:
            assert await ours.read("1") is None
            assert [key async for key in ours.iter_keys()] == []
            assert await ours.write_if("1", {"n": 1}, None) is not None
            assert await ours.read("1") == {"n": 1}
            connection.execute(f"DROP INDEX idx_{table.lower()}")
            with pytest.raises(SessionError, match="CREATE UNIQUE INDEX"):
                await ours.write("1", {"n": 2})
            connection.execute(f'DROP TABLE "{table}"')
            with pytest.raises(SessionError, match=r"PsqlAdapter\.create"):
                await ours.read("1")


@on_a_loop
async def test_psql_table_with_a_capital(postgres: str, grammy: Grammy, table: str) -> None:
    """Its name is quoted in each statement here; in grammY not where it deletes."""
    async with both(postgres_home(postgres, f"T{table}", grammy)) as (theirs, ours):
        theirs.write("1", {"n": 1})
        await ours.delete("1")
        assert theirs.read("1") is UNDEFINED


@on_a_loop
async def test_psql_refuses_what_it_cannot_hold(postgres: str, grammy: Grammy, table: str) -> None:
    async with GrammyPostgresStorage(postgres, table="pg_class") as other:
        with pytest.raises(SessionError, match="column"):
            await other.read("1")
    async with postgres_home(postgres, table, grammy).ours() as ours:
        for key in ("a\0b", "\ud800", "k" * 3000):
            with pytest.raises(InvalidSessionKeyError, match="cannot hold"):
                await ours.write(key, 1)
            assert await ours.read(key) is None
        with pytest.raises(SessionError, match="no room for an expiry"):
            await ours.write_if("1", {}, ANY, expires=4e9)
        for number in range(0, 1200, 400):
            await ours.write_many({f"{number + each:04}": each for each in range(400)})
        names = [key async for key in ours.iter_keys("0")]
        assert names == [f"{number:04}" for number in range(1000)]


@on_a_loop
async def test_mongo_values_that_json_cannot_say(mongo: str, grammy: Grammy, table: str) -> None:
    async with both(mongo_home(mongo, table, grammy)) as (theirs, ours):
        theirs.write_odd("1", "date", "undefined", "big", "half")
        expected = {
            "date": "2023-11-14T22:13:20.123Z",
            "undefined": None,
            "big": 2**40,
            "half": 1.5,
        }
        assert await ours.read("1") == expected
        theirs.write_odd("2", "bytes")
        with pytest.raises(SessionDecodeError, match="has a bytes"):
            await ours.read("2")
        assert await ours.has("2")
        with pytest.raises(SessionDecodeError):
            await ours.touch("2")
        await ours.delete("2")
        for value in (2**53 + 1, 2.0**40, "\ud800", {"$a": 1}, [{"a.b": 1}]):
            with pytest.raises(SessionEncodeError, match="would not come back"):
                await ours.write("3", value)
        await ours.write("3", {"f": 2.0, "g": 2.0**60, "h": -1.5, "i": 2**53})
        assert await ours.read("3") == {"f": 2.0, "g": 2.0**60, "h": -1.5, "i": 2**53}
        with pytest.raises(InvalidSessionKeyError, match="cannot hold"):
            await ours.write("\ud800", 1)
        with pytest.raises(SessionError, match="no room for an expiry"):
            await ours.write_if("3", {}, ANY, expires=4e9)


@on_a_loop
async def test_mongo_documents_with_one_key(mongo: str, grammy: Grammy, table: str) -> None:
    with mongo_servers.connect(mongo) as client:
        documents = client.get_default_database()[table]
        documents.insert_many([{"key": "1", "value": each} for each in (1, 2)])
        documents.insert_one({"key": "null", "value": None})
        async with mongo_home(mongo, table, grammy).ours() as ours:
            with pytest.raises(SessionDecodeError, match="2 documents"):
                await ours.read("1")
            with pytest.raises(SessionError, match="no unique index"):
                await ours.write("1", 3)
            documents.delete_one({"key": "1", "value": 2})
            await ours.write_if("null", {"n": 1}, None)
            assert {item async for item in ours.iter_items("1")} == {("1", 1)}
            assert await ours.read("null") == {"n": 1}
        async with mongo_home(mongo, table, grammy).ours() as ours:
            many = [{"key": f"x{number:04}", "value": number} for number in range(1100)]
            documents.insert_many(many)
            assert len([key async for key in ours.iter_keys("x")]) == 1100


@on_a_loop
async def test_urls(valkey: str, postgres: str, mongo: str, grammy: Grammy, table: str) -> None:
    home = postgres_home(postgres, table, grammy)
    mark = "&" if "?" in postgres else "?"
    mongo_mark = "&" if "?" in mongo else "?"
    urls = [
        f"grammy+{valkey}",
        f"grammy+{postgres}{mark}table={table}",
        f"grammy+{mongo}{mongo_mark}collection={table}",
    ]
    for url in urls:
        async with storage_from_url(url) as storage:
            await storage.write("url", {"n": 1})
    async with both(home) as (theirs, _):
        assert theirs.read("url") == {"n": 1}
    with pytest.raises(ValueError, match=r"there is no storage for grammy\+sqlite: URLs"):
        storage_from_url("grammy+sqlite:///bot.db")


def test_a_client_that_was_handed_in_is_for_its_loop(valkey: str) -> None:
    import redis.asyncio

    untyped: Any = redis.asyncio.Redis
    storage = GrammyRedisStorage(untyped.from_url(valkey))
    with pytest.raises(AttributeError, match="give it a URL"):
        _ = storage.sync
