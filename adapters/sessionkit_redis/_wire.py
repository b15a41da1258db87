"""Sending commands to one server, and what can go wrong on the way.

The commands of a call are written at once over a connection of redis-py's pool, and
sent exactly once: not by the client's methods, which may repeat a command whose reply
was lost.
"""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeAlias

from redis.exceptions import NoScriptError, RedisError, ResponseError

from sessionkit import SessionError
from sessionkit.storages.authoring import UnknownOutcomeError
from sessionkit_redis._protocol import Command

Reply: TypeAlias = Any
"""What the server answered, or a ``ResponseError`` or ``SessionError`` in its place."""

_FAULTS: Final = (RedisError, OSError, EOFError)


class Wire(Protocol):
    """A way to a server, or to the servers of a cluster."""

    name: str

    async def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        """Return the replies; an error takes the place of its reply."""
        ...

    async def everywhere(self, command: Command) -> list[tuple[str, Reply]]:
        """Return the replies of all servers that hold keys, and where they came from."""
        ...

    async def at(self, place: str, command: Command) -> Reply:
        """Return the reply of one of the servers that ``everywhere`` named."""
        ...

    async def layout(self) -> object:
        """Return which server holds what, to compare."""
        ...

    async def close(self) -> None:
        """Let go of the connections that were opened here."""
        ...


class Connections:
    """Connections that were opened here, as many as are in use at a time.

    A pool of redis-py does more for each call than the call itself takes.

    Args:
        make_connection: Makes one of redis-py that is not open.
    """

    def __init__(self, make_connection: Callable[[], Any]) -> None:
        self.make_connection = make_connection
        self._all: list[Any] = []
        self._idle: list[Any] = []

    async def get_connection(self) -> Any:
        """Return a connection that is open and in use by nobody else."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self.make_connection()
            self._all.append(connection)
        try:
            await _done(connection.connect())
            if await _is_stale(connection):
                await _done(connection.disconnect())
                await _done(connection.connect())
        except BaseException:
            self.release(connection)
            raise
        return connection

    def release(self, connection: Any) -> None:
        """Take a connection back, in any state."""
        self._idle.append(connection)

    async def aclose(self) -> None:
        """Close all of them."""
        for connection in self._all:
            await _done(connection.disconnect())


class Server:
    """One server, over connections of redis-py.

    Args:
        name: What errors call it.
        pool: ``Connections``, or a pool that was handed in and is not closed here.  If
            they block, no method ever waits.
    """

    def __init__(self, name: str, pool: Any) -> None:
        self.name = name
        self._pool = pool

    async def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        """Return the replies; scripts that the server does not know are sent in full."""
        replies = await self.send([command.packed for command in commands])
        for place, command in enumerate(commands):
            if isinstance(replies[place], NoScriptError) and command.in_full is not None:
                (replies[place],) = await self.send([command.in_full()])
        return replies

    async def send(self, packed: Sequence[bytes]) -> list[Reply]:
        """Send each command exactly once, or not at all."""
        if not packed:  # from Python 3.12 on, a connection never closes after an empty write
            return []
        try:
            connection = await _done(self._pool.get_connection())
        except _FAULTS as error:
            return [self._unsent(error)] * len(packed)
        try:
            await _done(connection.send_packed_command([b"".join(packed)], check_health=False))
            return [await _reply(connection) for _ in packed]
        except _FAULTS as error:
            return [self._lost(error)] * len(packed)
        finally:
            await _done(self._pool.release(connection))

    async def everywhere(self, command: Command) -> list[tuple[str, Reply]]:
        """Return the reply of this server, the only one."""
        return [("", await self.at("", command))]

    async def at(self, place: str, command: Command) -> Reply:  # noqa: ARG002 (there is one)
        """Return the reply of this server."""
        return (await self.exchange([command]))[0]

    async def layout(self) -> object:
        """Return nothing: all is in one place."""
        return None

    async def close(self) -> None:
        """Close the connections, if they were opened here."""
        if isinstance(self._pool, Connections):
            await self._pool.aclose()

    def _unsent(self, error: Exception) -> SessionError:
        unsent = SessionError(f"{self.name} cannot be reached: {error}. Nothing was written")
        unsent.__cause__ = error.with_traceback(None)
        return unsent

    def _lost(self, error: Exception) -> SessionError:
        lost = UnknownOutcomeError(f"the connection to {self.name} was lost: {error}")
        lost.__cause__ = error.with_traceback(None)
        return lost


class PerLoop:
    """A wire of its own for each event loop: connections cannot move between them."""

    def __init__(self, name: str, make: Callable[[], Wire]) -> None:
        self.name = name
        self._make = make
        self._wires: dict[asyncio.AbstractEventLoop, Wire] = {}

    async def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        """Return the replies, over the wire of this loop."""
        return await self._here().exchange(commands)

    async def everywhere(self, command: Command) -> list[tuple[str, Reply]]:
        """Return the replies of all servers that hold keys."""
        return await self._here().everywhere(command)

    async def at(self, place: str, command: Command) -> Reply:
        """Return the reply of one server."""
        return await self._here().at(place, command)

    async def layout(self) -> object:
        """Return which server holds what."""
        return await self._here().layout()

    async def close(self) -> None:
        """Close the connections of this loop, and of others if they still run."""
        here = asyncio.get_running_loop()
        self._forget_closed_loops()
        wires, self._wires = self._wires, {}
        for loop, wire in wires.items():
            if loop is here:
                await wire.close()
            else:
                asyncio.run_coroutine_threadsafe(wire.close(), loop)

    def _here(self) -> Wire:
        loop = asyncio.get_running_loop()
        wire = self._wires.get(loop)
        if wire is None:
            self._forget_closed_loops()
            wire = self._wires[loop] = self._make()
        return wire

    def _forget_closed_loops(self) -> None:
        gone = [loop for loop in self._wires if loop.is_closed()]
        if not gone:
            return
        with warnings.catch_warnings():  # their sockets can be closed by the collector only
            warnings.simplefilter("ignore", ResourceWarning)
            for loop in gone:
                del self._wires[loop]
            gc.collect()


class OneLoop(PerLoop):
    """The connections of a client that was handed in, which belong to one event loop."""

    def _here(self) -> Wire:
        loop = asyncio.get_running_loop()
        if self._wires and loop not in self._wires:
            msg = (
                f"the client for {self.name} belongs to another event loop: make a client for "
                "each, or give a URL"
            )
            raise SessionError(msg)
        return super()._here()


async def _done(answer: Any) -> Any:
    return (await answer) if hasattr(answer, "__await__") else answer


async def _is_stale(connection: Any) -> bool:
    """Whether the server has closed a connection, or has sent what nobody asked for."""
    look = getattr(connection, "can_read", None) or connection.can_read_destructive  # redis 7
    try:
        return bool(await _done(look()))
    except _FAULTS:
        return True


async def _reply(connection: Any) -> Reply:
    try:
        return await _done(connection.read_response(disable_decoding=True))
    except ResponseError as error:
        return error
