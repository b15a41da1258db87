"""Two tasks on one storage: the one stands at an await while the other runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sessionkit.testing._concurrency.actors import Actor
from sessionkit.testing._concurrency.ops import Op, Outcome, answered, perform, raised
from sessionkit.testing._concurrency.places import Place, place_of_waiting
from sessionkit.testing._concurrency.stepped import Stepped
from sessionkit.testing._history import History
from sessionkit.testing._subject import Subject


class TaskActor(Actor):
    """A task; it can be stopped wherever the storage lets other tasks run."""

    def __init__(self, name: str, history: History, storage: Any) -> None:
        super().__init__(name, history, storage)
        self._storage = storage
        self._seen: dict[str, Any] = {}
        self._course: Any = None
        self._task: asyncio.Task[Outcome] | None = None
        self._go_on: asyncio.Future[None] | None = None

    def _do(self, op: Op) -> Awaitable[Outcome]:
        self._course = perform(self._storage, op, self._seen)
        return self._outcome(self._course)

    async def _record(self, op: Op) -> tuple[Sequence[Place], Outcome]:
        places: list[Place] = []

        def before(number: int) -> None:
            places.append(self._stands_at() or Place("", number))

        self._course = perform(self._storage, op, self._seen)
        return places, await self._outcome(Stepped(self._course, before=before))

    async def _start(self, op: Op, stop: int) -> Place | None:
        loop = asyncio.get_running_loop()
        stands = loop.create_future()
        self._go_on = go_on = loop.create_future()

        async def after(number: int) -> None:
            if number == stop:
                stands.set_result(None)
                await go_on

        self._course = perform(self._storage, op, self._seen)
        self._task = asyncio.create_task(self._outcome(Stepped(self._course, after=after)))
        await asyncio.wait((self._task, stands), return_when=asyncio.FIRST_COMPLETED)
        return (self._stands_at() or Place("its await", stop + 1)) if stands.done() else None

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

    def _stands_at(self) -> Place | None:
        return place_of_waiting(self._course)

    async def _outcome(self, course: Awaitable[Any]) -> Outcome:
        try:
            return answered(await course)
        except Exception as error:  # noqa: BLE001 (whatever the storage raises)
            return raised(error)


@asynccontextmanager
async def two_tasks(
    subject: Subject, history: History
) -> AsyncGenerator[tuple[Actor, Actor], None]:
    """Open a storage for two tasks."""
    async with subject.client(history=history) as client:
        first = TaskActor("first task ", history, client.storage)
        second = TaskActor("second task", history, client.storage)
        try:
            yield first, second
        finally:
            await first.end()
            await second.end()
