"""What Redis does for a storage: load, write on condition, list."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from sessionkit import SessionError
from sessionkit.storages.authoring import Stored, Write, key_bytes, key_of
from sessionkit_redis._protocol import (
    PEEK,
    PURGE,
    READ,
    TOUCH,
    WRITE,
    Command,
    Script,
    apart,
    expiry_in,
    pack,
    shown_expiry,
    stored_in,
    time_to_live,
    write_arguments,
)

if TYPE_CHECKING:
    from sessionkit_redis._wire import Reply, Wire

_PAGE: Final = b"500"
_PASSES: Final = 5
_GLOB: Final = re.compile(rb"([*?\[\]\\^])")


class RedisEngine:
    """Sessions under keys with one prefix.

    Args:
        wire: The way to the server.
        prefix: What all keys begin with.
        one_by_one: Whether each key needs a command of its own, as in a cluster.
    """

    def __init__(self, wire: Wire, prefix: bytes, *, one_by_one: bool) -> None:
        self.where = f"in {wire.name}"
        self._wire = wire
        self._prefix = prefix
        self._one_by_one = one_by_one

    async def load(self, keys: Sequence[str]) -> Sequence[Stored | SessionError | None]:
        """Return what is stored under each of *keys*."""
        names = self._names(keys)
        if len(names) == 1 or self._one_by_one:
            commands = [Command(pack(b"GET", name), key=name) for name in names]
            replies = await self._wire.exchange(commands)
        else:
            replies = await self._run(READ, names)
        return [self._stored(key, reply) for key, reply in zip(keys, replies, strict=True)]

    async def expiries(
        self, keys: Sequence[str]
    ) -> Sequence[tuple[float | None] | SessionError | None]:
        """Return when each of *keys* expires."""
        replies = await self._run(PEEK, self._names(keys))
        return [self._expiry(key, reply) for key, reply in zip(keys, replies, strict=True)]

    async def apply(self, writes: Sequence[Write]) -> Sequence[bool | SessionError]:
        """Do *writes*; return which had what they expected."""
        now = repr(writes[0].now).encode()
        names = self._names(write.key for write in writes)
        arguments = [write_arguments(write) for write in writes]
        replies = await self._run(WRITE, names, arguments, now)
        return [
            self._outcome(write.key, reply) for write, reply in zip(writes, replies, strict=True)
        ]

    async def touch(self, key: str, expires: float | None, now: float) -> bool:
        """Return whether *key* is alive, and move its expiry."""
        (name,) = self._names([key])
        arguments = repr(now).encode(), shown_expiry(expires), time_to_live(expires, now)
        (reply,) = await self._wire.exchange([_script(TOUCH, [name], arguments)])
        return bool(self._checked(reply, key))

    async def pages(self, prefix: str) -> AsyncIterator[Sequence[str]]:
        """Yield the keys that begin with *prefix*, page by page.

        While slots move within a cluster a scan may miss keys; so it is repeated until
        nothing moved meanwhile.
        """
        seen: set[bytes] = set()
        for _ in range(_PASSES):
            before = await self._wire.layout()
            async for names in self._scan(key_bytes(prefix)):
                fresh = [name for name in names if name not in seen]
                seen.update(fresh)
                keys = [key_of(name[len(self._prefix) :]) for name in dict.fromkeys(fresh)]
                if page := [key for key in keys if key is not None]:
                    yield page
            if await self._wire.layout() == before:
                return
        msg = f"keys kept moving between the servers of {self._wire.name}: list them again later"
        raise SessionError(msg)

    async def purge(self, now: float) -> AsyncIterator[int]:
        """Remove what had expired at *now*; Redis itself does so an hour later."""
        shown = repr(now).encode()
        async for names in self._scan(b""):
            groups = [[name] for name in names] if self._one_by_one else [names] if names else []
            replies = await self._wire.exchange(
                [_script(PURGE, group, [shown]) for group in groups]
            )
            yield sum(self._checked(reply, None) for reply in replies)

    async def close(self) -> None:
        """Close the connections that were opened here."""
        await self._wire.close()

    def _names(self, keys: Iterable[str]) -> list[bytes]:
        return [self._prefix + key_bytes(key) for key in keys]

    async def _run(
        self,
        script: Script,
        names: Sequence[bytes],
        arguments: Sequence[tuple[bytes, ...]] = (),
        *common: bytes,
    ) -> list[Reply]:
        """Return the replies of *script*, one for each key."""
        if self._one_by_one:
            parts = arguments or [()] * len(names)
            commands = [
                _script(script, [name], [*common, *part])
                for name, part in zip(names, parts, strict=True)
            ]
            replies = await self._wire.exchange(commands)
            return [apart(reply, 1)[0] for reply in replies]
        flat = [*common, *chain.from_iterable(arguments)]
        (reply,) = await self._wire.exchange([_script(script, names, flat)])
        return apart(reply, len(names))

    async def _scan(self, prefix: bytes) -> AsyncIterator[list[bytes]]:
        pattern = _GLOB.sub(rb"\\\1", self._prefix + prefix) + b"*"

        def command(cursor: bytes) -> Command:
            return Command(pack(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", _PAGE))

        for place, first in await self._wire.everywhere(command(b"0")):
            cursor, names = self._checked(first, None)
            yield names
            while bytes(cursor) != b"0":
                reply = await self._wire.at(place, command(bytes(cursor)))
                cursor, names = self._checked(reply, None)
                yield names

    def _stored(self, key: str, reply: Reply) -> Stored | SessionError | None:
        if reply is None or isinstance(reply, bytes):
            try:
                return None if reply is None else stored_in(key, reply, self.where)
            except SessionError as error:
                return error
        return self._error(reply, key)

    def _expiry(self, key: str, reply: Reply) -> tuple[float | None] | SessionError | None:
        if isinstance(reply, bytes):
            return expiry_in(reply) if reply else None
        return self._error(reply, key)

    def _outcome(self, key: str, reply: Reply) -> bool | SessionError:
        return bool(reply) if isinstance(reply, int) else self._error(reply, key)

    def _checked(self, reply: Reply, key: str | None) -> Any:
        if isinstance(reply, Exception):
            raise self._error(reply, key)
        return reply

    def _error(self, reply: Exception, key: str | None) -> SessionError:
        if isinstance(reply, SessionError):
            return reply
        what = "" if key is None else f" for {key!r}"
        error = SessionError(f"{self._wire.name} refused{what}: {reply}. Nothing was written")
        error.__cause__ = reply
        return error


def _script(script: Script, names: Sequence[bytes], arguments: Iterable[bytes]) -> Command:
    arguments = tuple(arguments)
    packed = script.call(names, arguments)
    return Command(packed, partial(script.call_in_full, names, arguments), names[0])
