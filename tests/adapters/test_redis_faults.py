"""The Redis storage when the server, the network or a lock lets it down."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis.asyncio

from sessionkit import (
    SessionError,
    session,
    storage_from_url,
)
from sessionkit_redis import (
    BlockingRedisSessionStorage,
    RedisSessionStorage,
)
from tests.adapters import redis_servers
from tests.adapters.cutting_proxy import proxy
from tests.adapters.loads import (
    increments,
    through_cuts,
    total,
    zero,
)
from tests.adapters.served import REDIS, Running


@pytest.fixture(scope="module")
def server(running: Running) -> Any:
    return running(REDIS)


def client_of(url: str, **options: Any) -> Any:
    untyped: Any = redis.asyncio.Redis
    return untyped.from_url(url, **options)


def test_a_client_that_was_handed_in_is_not_overrun_and_stays_open(
    server: redis_servers.Server,
) -> None:
    async def main() -> None:
        async with client_of(server.url, max_connections=4, decode_responses=True) as client:
            storage = RedisSessionStorage(client, prefix="handed-in:")
            sessions = session(initial=zero, storage=storage)
            assert await increments(sessions, 1000, 500, 256) == {"ok": 1000}
            assert await total(storage) == 1000
            await storage.close()
            assert await client.ping()

    asyncio.run(main())


def test_a_client_belongs_to_one_event_loop(server: redis_servers.Server) -> None:
    async def main() -> None:
        async with client_of(server.url) as client:
            storage = RedisSessionStorage(client)
            await storage.read("1")
            with pytest.raises(SessionError, match="belongs to another event loop"):
                await asyncio.to_thread(asyncio.run, storage.read("1"))
            await storage.read("1")

    asyncio.run(main())


def test_a_client_that_repeats_what_fails_takes_no_lost_reply_for_a_clash(
    server: redis_servers.Server,
) -> None:
    async def main() -> None:
        prefix = "repeated:"
        async with (
            proxy(server.url) as (url, between),
            redis.asyncio.Redis(port=urlsplit(url).port or 0) as client,
            RedisSessionStorage(server.url, prefix=prefix) as direct,
        ):
            writers = [RedisSessionStorage(client, prefix=prefix) for _ in range(2)]
            await through_cuts(between, writers, direct, blocking=False)

    asyncio.run(main())


def test_what_is_not_of_sessionkit_is_an_error_and_stays(server: redis_servers.Server) -> None:
    async def main() -> None:
        async with (
            RedisSessionStorage(server.url, prefix="foreign:") as storage,
            client_of(server.url) as client,
        ):
            await client.hset("foreign:hash", "field", "value")
            await client.set("foreign:text", "{}")
            for key in ("hash", "text"):
                with pytest.raises(SessionError):
                    await storage.read(key)
                with pytest.raises(SessionError):
                    await storage.write_if(key, {"n": 1}, None)
            await storage.write("mine", {"n": 1})
            assert await storage.read_many(["mine"]) == {"mine": {"n": 1}}
            with pytest.raises(SessionError, match="WRONGTYPE"):
                await storage.read_many(["hash", "mine"])
            assert await client.hget("foreign:hash", "field") == b"value"
            assert await client.get("foreign:text") == b"{}"

    asyncio.run(main())


@pytest.mark.parametrize(
    "url",
    ["redis://:s3cret/x@host", "redis://:s3cret#@host", "redis://host:s3cret", "redis://h/s3cret"],
)
def test_a_url_that_cannot_be_read_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValueError, match="%2F") as caught:
        storage_from_url(url)
    assert "s3cret" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_clients_of_the_other_kind_are_refused() -> None:
    blocking, asynchronous = redis.Redis(), redis.asyncio.Redis()
    with pytest.raises(TypeError, match="BlockingRedisSessionStorage takes the other kind"):
        RedisSessionStorage(blocking)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="RedisSessionStorage takes the other kind"):
        BlockingRedisSessionStorage(asynchronous)
    with pytest.raises(AttributeError, match="no view for threads"):
        _ = RedisSessionStorage(asynchronous).sync
