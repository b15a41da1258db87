"""A cluster: each key on the server that has its slot."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError

from sessionkit import SessionError
from sessionkit.storages.authoring import UnknownOutcomeError
from sessionkit_redis._protocol import Command, pack
from sessionkit_redis._wire import Reply, Server

Address: TypeAlias = tuple[str, int]
Together: TypeAlias = Callable[[Sequence[Coroutine[Any, Any, Any]]], Coroutine[Any, Any, list[Any]]]

_SLOTS: Final = Command(pack(b"CLUSTER", b"SLOTS"))
_ASKING: Final = pack(b"ASKING")
_REDIRECTIONS: Final = 16
_PAUSES: Final = (0.0, 0.05, 0.1)
"""Seconds before a command goes out again to a server that was down; others wait meanwhile."""


class _Target(NamedTuple):
    address: Address
    asking: bool = False


class Cluster:
    """The servers of a cluster, found by asking one of them.

    Commands that a server has surely not run (the slot moved, it could not be reached)
    go to the right one; what may have been run is not sent again.

    Args:
        name: What errors call it.
        start: Where to ask first.
        connect: Makes a server of an address.
        blocking: Whether its methods block and never wait.
    """

    def __init__(
        self,
        name: str,
        start: Iterable[Address],
        connect: Callable[[Address], Server],
        *,
        blocking: bool,
    ) -> None:
        self.name = name
        self._start = tuple(start)
        self._connect = connect
        self._together: Together = _one_after_the_other if blocking else _side_by_side
        self._pause: Callable[[float], Any] = time.sleep if blocking else asyncio.sleep
        self._servers: dict[Address, Server] = {}
        self._slots: dict[int, Address] = {}
        self._known = False

    async def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        """Return the replies; an error takes the place of its reply."""
        replies: list[Reply] = [None] * len(commands)
        asked: dict[int, _Target] = {}
        todo: Sequence[int] = range(len(commands))
        pauses = iter(_PAUSES)
        for _ in range(_REDIRECTIONS):
            await self._send(commands, todo, asked, replies)
            asked = {}
            todo = [place for place in todo if self._again(place, replies[place], asked)]
            if not todo:
                break
            if any(_is_down(replies[place]) for place in todo):
                pause = next(pauses, None)
                if pause is None:
                    break
                await self._rest(pause)
        return replies

    async def everywhere(self, command: Command) -> list[tuple[str, Reply]]:
        """Return the replies of all primaries, and where they came from."""
        await self._learn(fresh=True)
        found = sorted(set(self._slots.values()))
        replies = await self._together([self._server(each).exchange([command]) for each in found])
        return [
            (f"{host}:{port}", reply) for (host, port), (reply,) in zip(found, replies, strict=True)
        ]

    async def at(self, place: str, command: Command) -> Reply:
        """Return the reply of one primary."""
        host, _, port = place.rpartition(":")
        return (await self._server((host, int(port))).exchange([command]))[0]

    async def layout(self) -> object:
        """Return which server holds which slot, asked again."""
        await self._learn(fresh=True)
        return dict(self._slots)

    async def close(self) -> None:
        """Close all connections."""
        servers, self._servers = self._servers, {}
        await self._together([server.close() for server in servers.values()])

    async def _send(
        self,
        commands: Sequence[Command],
        todo: Iterable[int],
        asked: dict[int, _Target],
        replies: list[Reply],
    ) -> None:
        try:
            await self._learn()
        except SessionError as error:
            for place in todo:
                replies[place] = error
            return
        groups: dict[_Target, list[int]] = defaultdict(list)
        for place in todo:
            groups[asked.get(place) or self._target(commands[place])].append(place)
        found = await self._together(
            [
                self._exchange(target, [commands[place] for place in places])
                for target, places in groups.items()
            ]
        )
        for places, answers in zip(groups.values(), found, strict=True):
            for place, answer in zip(places, answers, strict=True):
                replies[place] = answer

    async def _exchange(self, target: _Target, commands: Sequence[Command]) -> list[Reply]:
        server = self._server(target.address)
        if not target.asking:
            return await server.exchange(commands)
        in_full = [each.in_full() if each.in_full else each.packed for each in commands]
        answers = await server.send([part for each in in_full for part in (_ASKING, each)])
        return answers[1::2]

    def _again(self, place: int, reply: Reply, asked: dict[int, _Target]) -> bool:
        """Whether a command has surely not been run and may be sent again, and where to."""
        if isinstance(reply, MovedError):
            self._slots[reply.slot_id] = _address(reply)
        elif isinstance(reply, AskError):
            asked[place] = _Target(_address(reply), asking=True)
        elif isinstance(reply, UnknownOutcomeError):
            self._known = False  # perhaps another one has taken over
            return False
        elif _is_down(reply):
            self._known = False
        else:
            return False
        return True

    async def _rest(self, pause: float) -> None:
        answer = self._pause(pause)
        if answer is not None:
            await answer

    def _target(self, command: Command) -> _Target:
        return _Target(self._slots[key_slot(command.key or b"")])

    def _server(self, address: Address) -> Server:
        server = self._servers.get(address)
        if server is None:
            server = self._servers[address] = self._connect(address)
        return server

    async def _learn(self, *, fresh: bool = False) -> None:
        """Find out which server has which slot, unless that is known.

        Raises:
            SessionError: No server answers, or slots belong to nobody.
        """
        if self._known and not fresh:
            return
        reply: Reply = None
        for address in dict.fromkeys((*self._start, *self._servers)):
            (reply,) = await self._server(address).exchange([_SLOTS])
            if isinstance(reply, list):
                slots = _slots(reply, address)
                if len(slots) == 16384:
                    self._slots, self._known = slots, True
                    return
                reply = "some slots belong to no server"
        msg = f"{self.name} does not answer as a cluster: {reply}. Nothing was written"
        raise SessionError(msg)


def _is_down(reply: Reply) -> bool:
    return isinstance(reply, SessionError | TryAgainError | ClusterDownError)


def _address(redirection: Any) -> Address:
    return redirection.host, redirection.port


def _slots(reply: Any, asked: Address) -> dict[int, Address]:
    found: dict[int, Address] = {}
    for first, last, (host, port, *_), *_replicas in reply:
        name = bytes(host or b"").decode() or asked[0]
        found.update(dict.fromkeys(range(first, last + 1), (name, port)))
    return found


async def _side_by_side(courses: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    if len(courses) == 1:
        return [await courses[0]]
    return list(await asyncio.gather(*courses))


async def _one_after_the_other(courses: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    return [await course for course in courses]
