"""Where a URL or a client of Redis leads to, and what is left of a loop that has ended."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Generator
from typing import Any

import pytest
import redis.asyncio
from redis.cache import CacheConfig

from sessionkit import SessionConflictError, SessionError
from sessionkit_redis import BlockingRedisSessionStorage, RedisLock, RedisSessionStorage
from sessionkit_redis._places import place_of
from tests.adapters import redis_servers


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[redis_servers.Server]:
    socket = tmp_path_factory.mktemp("redis") / "socket"
    with redis_servers.server("--unixsocket", str(socket)) as started:
        yield started


def pool_of(url: str, *, blocking: bool = True) -> Any:
    wire: Any = place_of(url, cluster=False, deadline=1, blocking=blocking).wire
    return wire._pool


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("redis://", {"db": 0}),
        ("valkey://host:7000/3", {"host": "host", "port": 7000, "db": 3}),
        ("REDIS://me:p%40ss@host", {"username": "me", "password": "p@ss"}),
        ("redis://host?max_connections=9&timeout=1", {"host": "host"}),
        ("unix:///run/redis.sock?db=2", {"path": "/run/redis.sock", "db": 2}),
    ],
)
def test_a_url_leads_to_a_server_and_nothing_is_repeated_there(
    url: str, settings: dict[str, Any]
) -> None:
    connection = pool_of(url).make_connection()

    assert {name: getattr(connection, name) for name in settings} == settings
    assert connection.retry.get_retries() == 0


@pytest.mark.parametrize("url", ["rediss://host", "valkeys://host"])
def test_a_secure_url_is_one_of_tls(url: str) -> None:
    assert type(pool_of(url).make_connection()) is redis.SSLConnection


@pytest.mark.parametrize("url", ["http://host", "redis:host", "host:6379"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="begins with redis://"):
        RedisSessionStorage(url)


def test_a_unix_socket_is_a_server(server: redis_servers.Server) -> None:
    with redis_servers.connect(server.url) as client:
        path = client.config_get("unixsocket")["unixsocket"]
    with BlockingRedisSessionStorage(f"unix://{path}") as storage:
        storage.write("1", {"n": 1})
        assert storage.read("1") == {"n": 1}
        assert f"Redis at {path}, database 0" in repr(storage)


def test_nothing_comes_from_the_cache_of_a_client() -> None:
    """redis-py 8.1 may return the very object that is in its cache."""
    with (
        redis_servers.server(binary=redis_servers.redis8_or_skip()) as started,
        redis.Redis(port=started.port, protocol=3, cache_config=CacheConfig()) as client,
    ):
        storage = BlockingRedisSessionStorage(client)
        storage.write("1", {"n": 1})
        assert storage.read("1") == {"n": 1}
        cache: Any = client.get_cache()
        assert cache.size == 0
        client.set("other", "1")
        client.get("other")
        assert cache.size == 1


def test_a_storage_outlives_the_loop_that_used_it_first(server: redis_servers.Server) -> None:
    storage = RedisSessionStorage(server.url, prefix="loops:")

    asyncio.run(storage.write("1", {"n": 1}))
    asyncio.run(storage.write("1", {"n": 2}))

    async def main() -> None:
        assert await storage.read("1") == {"n": 2}
        await storage.close()

    asyncio.run(main())


def test_a_storage_in_which_there_was_nothing_to_purge_can_be_closed(
    server: redis_servers.Server,
) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), RedisSessionStorage(server.url, prefix="empty:") as storage:
            assert await storage.purge_expired() == 0

    asyncio.run(main())


def test_closing_closes_what_runs_in_other_loops(server: redis_servers.Server) -> None:
    async def main() -> None:
        storage = RedisSessionStorage(server.url, prefix="loops:")
        await storage.read("1")
        used, end = asyncio.Event(), asyncio.Event()
        here = asyncio.get_running_loop()

        async def elsewhere() -> None:
            await storage.read("1")
            here.call_soon_threadsafe(used.set)
            while not end.is_set():
                await asyncio.sleep(0.01)

        running = asyncio.create_task(asyncio.to_thread(asyncio.run, elsewhere()))
        await used.wait()
        await storage.close()
        await asyncio.sleep(0.05)
        end.set()
        await running

    asyncio.run(main())


@pytest.mark.parametrize("end", ["killed", "broken"])
def test_a_connection_that_has_ended_while_idle_is_opened_again(
    server: redis_servers.Server, end: str
) -> None:
    def breaks() -> bool:
        raise ConnectionResetError

    with BlockingRedisSessionStorage(server.url, prefix="idle:") as storage:
        storage.write("1", {"n": 1})
        wire: Any = storage.place.wire
        (connection,) = wire._pool._idle
        if end == "broken":
            connection.can_read = breaks
        else:
            with redis_servers.connect(server.url) as client:
                client.client_kill_filter(_type="normal", skipme=True)
        storage.write("1", {"n": 2})
        assert storage.read("1") == {"n": 2}
        assert wire._pool._idle == [connection]


def test_settings_of_a_secure_cluster_are_kept() -> None:
    untyped: Any = redis.asyncio.RedisCluster
    client = untyped(host="nowhere", port=1, password="s3cret", ssl=True, ssl_check_hostname=False)
    place = place_of(client, cluster=False, deadline=1, blocking=False)
    wire: Any = place.wire
    connection = wire._make()._server(("nowhere", 1))._pool.make_connection()

    assert type(connection) is redis.asyncio.SSLConnection
    assert (connection.password, connection.check_hostname) == ("s3cret", False)
    assert "s3cret" not in f"{place.name} {RedisSessionStorage(client)!r}"


def test_a_write_that_arrives_twice_is_not_a_clash(server: redis_servers.Server) -> None:
    """As from a proxy that repeats what it got no reply for."""

    async def main() -> None:
        async with RedisSessionStorage(server.url, prefix="twice:") as storage:
            engine = storage.engine
            write = storage._put("1", {"n": 1}, None)
            assert await engine.apply([write]) == [True]
            assert await engine.apply([write]) == [True]
            with pytest.raises(SessionConflictError):
                await storage.write_if("1", {"n": 2}, None)

    asyncio.run(main())


def test_a_server_without_room_refuses_and_nothing_is_written() -> None:
    async def main(url: str) -> None:
        async with RedisSessionStorage(url) as storage:
            await storage.write("1", {"n": 1})
            with redis_servers.connect(url) as client:
                client.config_set("maxmemory", 1)
            for writes in ({"1": 2}, {"1": 2, "2": 2}):
                with pytest.raises(SessionError, match="Nothing was written"):
                    await storage.write_many(writes)
            with pytest.raises(SessionError, match="cannot be had"):
                await RedisLock(storage).acquire("1")
            assert await storage.read_many(["1", "2"]) == {"1": {"n": 1}}

    with redis_servers.server() as full:
        asyncio.run(main(full.url))


def test_without_redis_the_error_names_the_extra() -> None:
    code = "import sys; sys.modules['redis'] = None; import sessionkit_redis"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert 'python -m pip install "<checkout>[redis]"' in done.stderr.splitlines()[-1]


class Moving:
    """Passes on to a real server, and says that slots moved, so many times."""

    def __init__(self, wire: Any, moves: int) -> None:
        self._wire = wire
        self._moves = moves
        self._asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)

    async def layout(self) -> object:
        self._asked += 1
        return min(self._asked // 2, self._moves)


@pytest.mark.parametrize(("moves", "listed"), [(0, True), (2, True), (100, False)])
def test_a_listing_is_repeated_until_no_slot_has_moved(
    server: redis_servers.Server, moves: int, *, listed: bool
) -> None:
    async def main() -> None:
        async with RedisSessionStorage(server.url, prefix=f"slots{moves}:") as storage:
            await storage.write_many({str(number): number for number in range(20)})
            engine: Any = storage.engine
            engine._wire = Moving(engine._wire, moves)
            if listed:
                keys = [key async for key in storage.iter_keys()]
                assert sorted(keys, key=int) == [str(number) for number in range(20)]
            else:
                with pytest.raises(SessionError, match="keys kept moving"):
                    _ = [key async for key in storage.iter_keys()]

    asyncio.run(main())


def test_a_key_of_another_type_is_reported_by_every_operation(
    server: redis_servers.Server,
) -> None:
    async def main() -> None:
        async with RedisSessionStorage(server.url, prefix="types:") as storage:
            with redis_servers.connect(server.url) as client:
                client.rpush("types:list", "1")
                client.rpush(b"types:\xff", "1")
            await storage.write("mine", 1)
            for call in (storage.has("list"), storage.touch("list"), storage.write("list", 1)):
                with pytest.raises(SessionError, match="WRONGTYPE"):
                    await call
            with pytest.raises(SessionError, match="WRONGTYPE"):
                await storage.write_many({"list": 1, "mine": 2})
            assert await storage.read("mine") == 2
            assert await storage.purge_expired() == 0

    asyncio.run(main())
