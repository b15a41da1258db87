"""What grammY's Redis storage keeps, read and written in place: JSON text under bare keys."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from sessionkit import SessionError
from sessionkit.protocols import ANY
from sessionkit.storages.authoring import (
    InPlaceStorage,
    Stored,
    Unexpiring,
    Write,
    key_bytes,
    seconds,
)
from sessionkit_redis._engine import RedisEngine
from sessionkit_redis._places import place_of
from sessionkit_redis._protocol import Command, Script, pack

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from redis.asyncio import Redis, RedisCluster

    from sessionkit_redis._places import Place
    from sessionkit_redis._wire import Reply

_SWAP: Final = Script(
    """
local function write(key, expected, ttl, text)
  local found = redis.pcall('GET', key)
  if type(found) == 'table' then return found end
  local mode = string.sub(expected, 1, 1)
  local fits = mode == '*'
  if mode == '-' or mode == '?' then fits = not found end
  if mode == '=' or mode == '?' then fits = fits or found == string.sub(expected, 2) end
  if not fits then return 0 end
  local done
  if text == '' then
    redis.call('DEL', key)
    return 1
  end
  if ttl == '-' then
    done = redis.pcall('SET', key, text)
  else
    done = redis.pcall('SET', key, text, 'PX', ttl)
  end
  return done.ok and 1 or done
end
local outcomes, failed = {}, false
for i, key in ipairs(KEYS) do
  local outcome = write(key, ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i])
  outcomes[i] = outcome
  failed = failed or type(outcome) == 'table'
end
return failed and outcomes or table.concat(outcomes)
"""
)


class GrammyEngine(Unexpiring, RedisEngine):
    """Sessions as grammY writes them; the server itself removes what expires."""

    def revision_of(self, raw: bytes) -> str:
        """Return the text, which is what a write compares."""
        return raw.decode("utf-8", "surrogateescape")

    async def load(self, keys: Sequence[str]) -> Sequence[Stored | SessionError | None]:
        """Return what is stored under each of *keys*, and for how long."""
        names = self._names(keys)
        asked = [
            Command(pack(verb, name), key=name) for name in names for verb in (b"GET", b"PTTL")
        ]
        replies = iter(await self._wire.exchange(asked))
        now = time.time()
        found = zip(keys, replies, replies, strict=True)
        return [self._kept(key, text, left, now) for key, text, left in found]

    async def apply(self, writes: Sequence[Write]) -> Sequence[bool | SessionError]:
        """Do *writes*; return which found the text that they expected."""
        names = self._names(write.key for write in writes)
        arguments = [_arguments(write) for write in writes]
        replies = await self._run(_SWAP, names, arguments)
        return [
            self._outcome(write.key, reply) for write, reply in zip(writes, replies, strict=True)
        ]

    async def touch(self, key: str, expires: float | None, now: float) -> bool:
        """Return whether *key* is there, and restart its time to live if it has one."""
        (name,) = self._names([key])
        asked = [Command(pack(b"EXISTS", name), key=name)]
        if expires is not None:
            asked.append(Command(pack(b"PEXPIRE", name, _time_left(expires, now), b"XX"), key=name))
        there, *_ = [self._checked(reply, key) for reply in await self._wire.exchange(asked)]
        return bool(there)

    def _kept(self, key: str, text: Reply, left: Reply, now: float) -> Stored | SessionError | None:
        if text is None:
            return None
        for reply in (text, left):
            if isinstance(reply, Exception):
                return self._error(reply, key)
        expires = now + left / 1000 if left >= 0 else None
        return Stored(text, self.revision_of(text), expires)


class GrammyRedisStorage(InPlaceStorage):
    """Read and write what grammY's Redis storage (``@grammyjs/storage-redis``) keeps.

    Both may run at the same time.  grammY's own writes ask for no condition: what it
    overwrites is lost, while a write from here that would overwrite raises
    ``SessionConflictError``.

    Args:
        client: A URL, for which connections are opened here, or a client of
            ``redis.asyncio``, whose pool is used and which is not closed.
        cluster: Whether the URL leads to a cluster.
        prefix: What all keys begin with, as the ``keyPrefix`` of ioredis; listings leave
            out all others.
        ttl: The same as grammY's, or a ``timedelta``: how long a value lives after its
            last write, by the clock of the server; None: it never expires.
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
        prefix: str = "",
        ttl: timedelta | float | None = None,
        deadline: timedelta | float = 10,
    ) -> None:
        patience = seconds("deadline", deadline)

        def engine(place: Place) -> GrammyEngine:
            return GrammyEngine(place.wire, key_bytes(prefix), one_by_one=place.is_cluster)

        def for_threads() -> GrammyEngine:
            return engine(place_of(client, cluster=cluster, deadline=patience, blocking=True))

        place = place_of(client, cluster=cluster, deadline=patience, blocking=False)
        super().__init__(
            engine(place),
            ("redis", place.name, prefix, "grammy"),
            f"<GrammyRedisStorage in {place.name}, prefix {prefix!r}>",
            patience,
            threads=for_threads if isinstance(client, str) else None,
            ttl=None if ttl is None else seconds("ttl", ttl),
        )


def _arguments(write: Write) -> tuple[bytes, bytes, bytes]:
    """Return what the script needs for one write: what is expected, time to live, text."""
    ttl = b"-" if write.expires is None else _time_left(write.expires, write.now)
    return _expected(write), ttl, write.raw or b""


def _time_left(expires: float, now: float) -> bytes:
    return b"%d" % max(1, round((expires - now) * 1000))


def _expected(write: Write) -> bytes:
    expected: Any = write.expected
    if expected is ANY:
        return b"*"
    if expected is None:
        return b"-"
    if not isinstance(expected, str):
        return b"!"
    return (b"?" if write.lapsed else b"=") + expected.encode("utf-8", "surrogateescape")
