"""Two processes on one storage: one is paused at a line of its code while the other runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sessionkit.testing._concurrency.actors import NEVER, Actor, names_of
from sessionkit.testing._concurrency.places import Place
from sessionkit.testing._concurrency.workers import WorkerProcess
from sessionkit.testing._guard import within
from sessionkit.testing._history import History
from sessionkit.testing._ops import Op, Outcome, answered
from sessionkit.testing._subject import Subject


class ProcessActor(Actor):
    """Another process; it can be stopped at every line of the storage's code."""

    def __init__(self, name: str, history: History, storage: Any, process: WorkerProcess) -> None:
        super().__init__(name, history, storage)
        self._process = process
        self._outcome: Outcome | None = None

    async def open(self, namespace: str, now: float) -> None:
        """Open the storage of *namespace* there; its clock shows *now*."""
        name = self.history.namespace_name(namespace)
        self._line = self.history.begin(f"{self.name}: storage = open({name!r})")
        self._close_line(await self._within(self._process.ask("open", namespace, now)))

    async def close(self) -> None:
        """Close it."""
        await self._within(self._process.ask("close"))

    async def count(self, key: str, times: int) -> int:
        """Let it add one *times* times, by conditional writes; return how often it did."""
        self._line = self.history.begin(f"{self.name}: {times} times")
        counting = self._process.ask("count", key, times)
        outcome = await within(counting, self.history, times=times)
        self._close_line(outcome)
        return int(outcome.answer)

    async def end(self) -> None:
        """Let the call that was begun go on."""
        self._process.send("go on")

    def _do(self, op: Op) -> Awaitable[Outcome]:
        return self._process.ask("do", op, NEVER)

    async def _record(self, op: Op) -> tuple[Sequence[Place], Outcome]:
        places = await self._process.ask("record", op)
        if isinstance(places, Outcome):
            return [], places
        return places, answered(None)

    async def _start(self, op: Op, stop: int) -> Place | None:
        self._process.send("do", op, stop)
        kind, found = await self._process.receive()
        self._outcome = found if kind == "done" else None
        return found if kind == "paused" else None

    async def _finish(self) -> Outcome:
        if self._outcome is None:
            self._process.send("go on")
            _, self._outcome = await self._process.receive()
            assert self._outcome is not None
        return self._outcome


@asynccontextmanager
async def opened_by(
    subject: Subject, history: History, workers: Sequence[WorkerProcess]
) -> AsyncGenerator[list[ProcessActor], None]:
    """Open the storage of a new namespace in each of *workers*."""
    namespace = subject.namespace()
    async with subject.client(namespace, history=History()) as here:
        actors = [
            ProcessActor(name, history, here.storage, process)
            for name, process in zip(names_of("process", len(workers)), workers, strict=True)
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
