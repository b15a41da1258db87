"""Two processes on one storage: the one stands at a line of its code while the other runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from sessionkit.testing._concurrency.actors import NEVER, Actor
from sessionkit.testing._concurrency.case import Case
from sessionkit.testing._concurrency.ops import Op, Outcome, answered
from sessionkit.testing._concurrency.peers import Peer, check_shared, peers
from sessionkit.testing._concurrency.places import Place
from sessionkit.testing._concurrency.race import race
from sessionkit.testing._guard import within
from sessionkit.testing._history import History
from sessionkit.testing._subject import Subject

_MOST_STOPS: Final = 10


class ProcessActor(Actor):
    """Another process; it can be stopped at every line of the storage's code."""

    def __init__(self, name: str, history: History, storage: Any, peer: Peer) -> None:
        super().__init__(name, history, storage)
        self._peer = peer
        self._outcome: Outcome | None = None

    async def open(self, namespace: str, now: float) -> None:
        """Open the storage of *namespace* there; its clock shows *now*."""
        name = self.history.namespace_name(namespace)
        self._line = self.history.begin(f"{self.name}: storage = open({name!r})")
        self._close_line(await self._within(self._peer.ask("open", namespace, now)))

    async def close(self) -> None:
        """Close it."""
        await self._within(self._peer.ask("close"))

    async def count(self, key: str, times: int) -> int:
        """Let it add one *times* times, by conditional writes; return how often it did."""
        self._line = self.history.begin(f"{self.name}: {times} times")
        counting = self._peer.ask("count", key, times)
        outcome = await within(counting, self.history, times=times)
        self._close_line(outcome)
        return int(outcome.answer)

    async def end(self) -> None:
        """Let the call that was begun go on."""
        self._peer.send("go on")

    def _do(self, op: Op) -> Awaitable[Outcome]:
        return self._peer.ask("do", op, NEVER)

    async def _record(self, op: Op) -> tuple[Sequence[Place], Outcome]:
        places = await self._peer.ask("record", op)
        if isinstance(places, Outcome):
            return [], places
        return places, answered(None)

    async def _start(self, op: Op, stop: int) -> Place | None:
        self._peer.send("do", op, stop)
        kind, found = await self._peer.receive()
        self._outcome = found if kind == "done" else None
        return found if kind == "stands" else None

    async def _finish(self) -> Outcome:
        if self._outcome is None:
            self._peer.send("go on")
            _, self._outcome = await self._peer.receive()
            assert self._outcome is not None
        return self._outcome


async def race_processes(subject: Subject, cases: Iterable[Case]) -> None:
    """Race *cases* between two processes.

    Raises:
        LeftOut: The data is not shared between processes, or only later.
    """
    subject.lag.check_none()
    async with peers(subject, 2) as (one, other):
        await check_shared(subject, one)

        @asynccontextmanager
        async def arena(
            subject: Subject, history: History
        ) -> AsyncGenerator[tuple[Actor, Actor], None]:
            async with opened_by(subject, history, (one, other)) as (first, second):
                yield first, second

        await race(subject, arena, cases, _MOST_STOPS)


@asynccontextmanager
async def opened_by(
    subject: Subject, history: History, peers: Sequence[Peer]
) -> AsyncGenerator[list[ProcessActor], None]:
    """Open the storage of a new namespace in each of *peers*."""
    namespace = subject.namespace()
    async with subject.client(namespace, history=History()) as here:
        names = ("first process ", "second process", "third process ")
        actors = [
            ProcessActor(name, history, here.storage, peer)
            for name, peer in zip(names, peers, strict=False)
        ]
        try:
            for actor in actors:
                await actor.open(namespace, subject.clock())
            yield actors
        finally:
            for actor in actors:
                await actor.end()
            for actor in actors:
                await actor.close()
