"""Sessions in Redis or Valkey, one server or a cluster."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from sessionkit.codecs import JSONCodec
from sessionkit.storages.authoring import (
    BlockingRecordStorage,
    Lifetime,
    Records,
    RecordStorage,
    grammy_url,
    key_bytes,
    seconds,
)
from sessionkit_redis._engine import RedisEngine
from sessionkit_redis._grammy import GrammyRedisStorage
from sessionkit_redis._places import Place, place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from datetime import timedelta

    from redis.asyncio import Redis, RedisCluster

    from sessionkit.types import Clock, Codec

PREFIX: Final = "sessionkit:"


class RedisSessionStorage(RecordStorage):
    """Keep sessions in Redis 7 or Valkey, for any number of processes and hosts.

    What many updates read and write at one moment shares a round trip.  Comparing and
    storing is one step on the server.  A write is sent once: if its reply is lost, it
    is looked for, and what cannot be known raises ``SessionWriteError``.

    Args:
        client: A URL (``redis://``, ``rediss://``, ``valkey://``, ``valkeys://``,
            ``unix://``), for which connections are opened here, or a client of
            ``redis.asyncio``, whose pool is used and which is not closed.
        cluster: Whether the URL leads to a cluster; a client says it itself.
        prefix: What all keys in Redis begin with.
        codec: Turns values into bytes; JSON text by default.
        ttl: How long a value lives after its last write; None: it never expires.
        clock: The time, in seconds since the epoch.
        deadline: How long a call may take before it raises.

    Raises:
        TypeError: *client* is neither, or *ttl* or *deadline* no span of time.
        ValueError: The URL is wrong, or *ttl* or *deadline* not positive and finite.
    """

    def __init__(
        self,
        client: str | Redis | RedisCluster,
        *,
        cluster: bool = False,
        prefix: str = PREFIX,
        codec: Codec | None = None,
        ttl: timedelta | float | None = None,
        clock: Clock = time.time,
        deadline: timedelta | float = 10,
    ) -> None:
        patience = seconds("deadline", deadline)
        place = place_of(client, cluster=cluster, deadline=patience, blocking=False)
        lifetime = Lifetime(None if ttl is None else seconds("ttl", ttl), clock)
        super().__init__(*_parts(place, prefix, codec, lifetime, patience))
        self._blocking: Records | None = None
        if isinstance(client, str):
            threads = place_of(client, cluster=cluster, deadline=patience, blocking=True)
            parts = _parts(threads, prefix, codec, lifetime, patience)
            self._blocking = Records(*parts, blocking=True)
        self.place = place
        self.prefix = prefix
        self.deadline = patience
        self._name = f"<RedisSessionStorage in {place.name}, prefix {prefix!r}>"
        self.identity: Hashable = ("redis", place.name, prefix)

    def __repr__(self) -> str:
        return self._name

    @property
    def sync(self) -> BlockingRecordStorage:
        """The same storage for threads, if it was given a URL: every method blocks."""
        if self._blocking is None:
            msg = (
                "a storage over an asyncio client has no view for threads: give it a URL, or use "
                "BlockingRedisSessionStorage over a blocking client there"
            )
            raise AttributeError(msg)
        return BlockingRecordStorage(self._blocking, self.identity, f"{self!r}.sync")

    async def close(self) -> None:
        """Finish what is under way and close what was opened here; a no-op the second time."""
        await super().close()
        if self._blocking is not None:
            await self._blocking.close()


class BlockingRedisSessionStorage(BlockingRecordStorage):
    """A ``RedisSessionStorage`` whose methods block, for programs of threads.

    Args:
        client: A URL, or a blocking client of redis-py; the rest is the same.
    """

    def __init__(
        self,
        client: Any,
        *,
        cluster: bool = False,
        prefix: str = PREFIX,
        codec: Codec | None = None,
        ttl: timedelta | float | None = None,
        clock: Clock = time.time,
        deadline: timedelta | float = 10,
    ) -> None:
        patience = seconds("deadline", deadline)
        place = place_of(client, cluster=cluster, deadline=patience, blocking=True)
        lifetime = Lifetime(None if ttl is None else seconds("ttl", ttl), clock)
        records = Records(*_parts(place, prefix, codec, lifetime, patience), blocking=True)
        name = f"<BlockingRedisSessionStorage in {place.name}, prefix {prefix!r}>"
        super().__init__(records, ("redis", place.name, prefix), name)
        self.place = place
        self.prefix = prefix
        self.deadline = patience
        self.guards: list[Callable[[str], object]] = records.guards


def open_url(url: str) -> RedisSessionStorage | GrammyRedisStorage:
    """Return the storage of a URL; ``?cluster=true`` at its end says that it is a cluster.

    After ``grammy+`` it is one over what grammY keeps there.
    """
    of_grammy = grammy_url(url)
    plain, _, flag = (url if of_grammy is None else of_grammy[0]).partition("?cluster=")
    kind = RedisSessionStorage if of_grammy is None else GrammyRedisStorage
    return kind(plain, cluster=flag == "true")


def _parts(
    place: Place, prefix: str, codec: Codec | None, lifetime: Lifetime, deadline: float
) -> tuple[RedisEngine, Codec, Lifetime, float]:
    engine = RedisEngine(place.wire, key_bytes(prefix), one_by_one=place.is_cluster)
    return engine, JSONCodec() if codec is None else codec, lifetime, deadline
