"""Two tasks on one storage: one is paused at an await while the other runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Hashable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sessionkit.testing._concurrency.actors import Actor, names_of
from sessionkit.testing._concurrency.places import (
    Place,
    instruction_of_waiting,
    place_of_waiting,
)
from sessionkit.testing._concurrency.stepped import Stepped
from sessionkit.testing._history import History
from sessionkit.testing._ops import (
    Op,
    Outcome,
    answered,
    perform,
    raised,
    seen_by,
)
from sessionkit.testing._subject import Subject


class TaskActor(Actor):
    """A task; it can be paused where the storage lets other tasks run."""

    def __init__(self, name: str, history: History, storage: Any) -> None:
        super().__init__(name, history, storage)
        self._storage = storage
        self._seen: dict[str, Any] = {}
        self._course: Any = None
        self._task: asyncio.Task[Outcome] | None = None
        self._go_on: asyncio.Future[None] | None = None

    def _do(self, op: Op) -> Awaitable[Outcome]:
        self._course = perform(self._storage, op, self._seen)
        return self._outcome(op, self._course)

    async def _record(self, op: Op) -> tuple[Sequence[Place], Outcome]:
        places: list[Place] = []

        def before(number: int) -> None:
            places.append(self._where() or Place("", number))

        self._course = perform(self._storage, op, self._seen)
        return places, await self._outcome(op, Stepped(self._course, before=before))

    async def _start(self, op: Op, stop: int) -> Place | None:
        loop = asyncio.get_running_loop()
        paused = loop.create_future()
        self._go_on = go_on = loop.create_future()

        async def after(number: int) -> None:
            if number == stop:
                paused.set_result(None)
                await go_on

        self._course = perform(self._storage, op, self._seen)
        self._task = asyncio.create_task(self._outcome(op, Stepped(self._course, after=after)))
        await asyncio.wait((self._task, paused), return_when=asyncio.FIRST_COMPLETED)
        return (self._where() or Place("its await", stop + 1)) if paused.done() else None

    async def _finish(self) -> Outcome:
        assert self._task is not None
        assert self._go_on is not None
        if not self._go_on.done():
            self._go_on.set_result(None)
        return await self._task

    async def end(self) -> None:
        """Let nothing go on that was begun."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait((self._task,), timeout=1)

    def _where(self) -> Place | None:
        return place_of_waiting(self._course)

    def waits_at(self) -> Hashable:
        """Return the very instruction at which it waits, None if it does not."""
        return instruction_of_waiting(self._course)

    async def _outcome(self, op: Op, course: Awaitable[Any]) -> Outcome:
        try:
            return answered(await course)._replace(revision=seen_by(op, self._seen))
        except Exception as error:  # noqa: BLE001 (whatever the storage raises)
            return raised(error)


@asynccontextmanager
async def in_tasks(
    subject: Subject, history: History, count: int = 2
) -> AsyncGenerator[list[Actor], None]:
    """Open a storage for *count* tasks."""
    async with subject.client(history=history) as client:
        actors: list[Actor] = [
            TaskActor(name, history, client.storage) for name in names_of("task", count)
        ]
        try:
            yield actors
        finally:
            for actor in actors:
                await actor.end()
