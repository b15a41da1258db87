"""A lock that all processes share: a key with a lease, renewed while it is held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sessionkit import SessionError
from sessionkit.storages.authoring import (
    Batches,
    BlockingBatches,
    BlockingLeaseLock,
    Lease,
    LeaseLock,
    key_bytes,
)
from sessionkit_redis._protocol import Command, Script, pack

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from sessionkit_redis._storage import BlockingRedisSessionStorage, RedisSessionStorage
    from sessionkit_redis._wire import Reply

_RENEW: Final = Script("""
local held = redis.call('GET', KEYS[1]) == ARGV[1]
if held then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return held and 1 or 0
""")
_RELEASE: Final = Script("""
local held = redis.call('GET', KEYS[1]) == ARGV[1]
if held then redis.call('DEL', KEYS[1]) end
return held and 1 or 0
""")


class RedisLockEngine:
    """A key in Redis for each key that is held, with a mark of its holder."""

    def __init__(
        self,
        storage: RedisSessionStorage | BlockingRedisSessionStorage,
        *,
        blocking: bool,
    ) -> None:
        self.where: str = storage.place.name
        gather: Any = BlockingBatches if blocking else Batches
        self._send = gather(storage.place.wire.exchange, deadline=storage.deadline, settles=True)
        self._prefix: bytes = b"lock:" + key_bytes(storage.prefix)

    async def take(self, lease: Lease) -> bool:
        """Hold the key of *lease* if it is free; return whether it was."""
        name, mark = self._name(lease.key), lease.mark.encode()
        return await self._ask(name, pack(b"SET", name, mark, b"NX", *_time(lease))) is not None

    async def holder(self, key: str) -> str:
        """Return host and process number of who holds *key*, nothing if it is free."""
        name = self._name(key)
        mark = bytes(await self._ask(name, pack(b"GET", name)) or b"")
        return mark.decode("utf-8", "replace").partition(" ")[2]

    async def renew(self, lease: Lease) -> bool:
        """Return whether *lease* is still held, and hold it for its seconds from now on."""
        return bool(await self._run(_RENEW, lease, _time(lease)[1]))

    async def give_back(self, lease: Lease) -> None:
        """Free the key, if *lease* holds it."""
        await self._run(_RELEASE, lease)

    def is_lost(self, lease: Lease) -> bool:  # noqa: ARG002
        """Return False: only the time, or an answer to ``renew``, can tell."""
        return False

    async def _run(self, script: Script, lease: Lease, *arguments: bytes) -> Reply:
        name = self._name(lease.key)
        parts = ([name], [lease.mark.encode(), *arguments])
        return await self._ask(name, script.call(*parts), lambda: script.call_in_full(*parts))

    async def _ask(
        self, name: bytes, packed: bytes, in_full: Callable[[], bytes] | None = None
    ) -> Reply:
        reply = await self._send.run(Command(packed, in_full, name))
        if isinstance(reply, Exception):
            msg = f"the lock cannot be had: {reply}"
            raise SessionError(msg) from reply
        return reply

    def _name(self, key: str) -> bytes:
        return self._prefix + key_bytes(key)


class RedisLock(LeaseLock):
    """Lets the processes that share a storage wait for each other: ``lock=RedisLock(storage)``.

    Held by a lease that is renewed while the session is open; a process that dies
    frees its keys when their leases end.  If a lease is lost (the event loop was blocked
    for longer, the server forgot it), the storage refuses to write under that key:
    ``SessionLockLostError``.  Writes stay conditional.

    Args:
        storage: The storage of the sessions.
        lease: How long a key stays locked after its holder was last heard of.
        patience: How long ``acquire`` waits; None: no limit.

    Raises:
        TypeError: *lease* or *patience* is not a span of time.
        ValueError: *lease* or *patience* is not positive and finite.
    """

    def __init__(
        self,
        storage: RedisSessionStorage,
        *,
        lease: timedelta | float = 30,
        patience: timedelta | float | None = 60,
    ) -> None:
        engine = RedisLockEngine(storage, blocking=False)
        super().__init__(engine, storage.guards, lease=lease, patience=patience)


class BlockingRedisLock(BlockingLeaseLock):
    """A ``RedisLock`` for programs of threads, over a ``BlockingRedisSessionStorage``."""

    def __init__(
        self,
        storage: BlockingRedisSessionStorage,
        *,
        lease: timedelta | float = 30,
        patience: timedelta | float | None = 60,
    ) -> None:
        engine = RedisLockEngine(storage, blocking=True)
        super().__init__(engine, storage.guards, lease=lease, patience=patience)


def _time(lease: Lease) -> tuple[bytes, bytes]:
    return b"PX", b"%d" % int(lease.seconds * 1000)
