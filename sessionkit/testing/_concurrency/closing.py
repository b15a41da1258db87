"""A storage that is closed while something is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from sessionkit.testing._concurrency.actors import Actor
from sessionkit.testing._concurrency.places import choose
from sessionkit.testing._concurrency.tasks import TaskActor
from sessionkit.testing._concurrency.threads import ThreadActor, blocking_view
from sessionkit.testing._concurrency.wait_policy import WaitPolicy
from sessionkit.testing._equal import alike
from sessionkit.testing._history import History
from sessionkit.testing._ops import Op, Outcome, write
from sessionkit.testing._promises import promise
from sessionkit.testing._show import show
from sessionkit.testing._subject import Subject

_OLD: Final = {"n": 1}
_NEW: Final = {"n": 2}
_MOST: Final = 12
_WRITE: Final = write("1", _NEW)
_HINT: Final = (
    "close() takes the connection or the file away from calls that need it still, and what they "
    "do then is lost in silence: wait for them, or let them raise."
)

Make: TypeAlias = Callable[[str, History, Any], Actor]


async def _close_at_every_point(subject: Subject, make: Make, *, threads: bool) -> None:
    async with subject.client(history=History()) as storage:
        view = blocking_view(storage.storage) if threads else storage.storage
        side = make("", storage.history, view)
        try:
            places = await side.places(_WRITE)
        finally:
            await side.end()
    for stop in choose(places, _MOST * 20 if subject.thorough else _MOST):
        subject.start_history()
        namespace = subject.namespace()
        async with subject.client(namespace) as storage:
            await storage.write("1", _OLD)
            view = blocking_view(storage.storage) if threads else storage.storage
            first, second = (make(name, storage.history, view) for name in ("first", "second"))
            written = await _close_at(first, second, stop, subject.kept(WaitPolicy))
        if subject.limits.durable:
            await subject.lag.catch_up()
            async with subject.client(namespace) as storage:
                value = await storage.read("1")
            allowed = [_NEW] if written.kind == "answer" else [_OLD, _NEW]
            if not any(alike(value, each) for each in allowed):
                storage.fail(expected=" or ".join(map(show, allowed)), got=show(value))


async def _close_at(first: Actor, second: Actor, stop: int, waits: WaitPolicy) -> Outcome:
    try:
        await first.start(_WRITE, stop)
        closing = asyncio.ensure_future(second.do(Op("close")))
        try:
            await waits.wait(closing, second)
            written = await first.finish(may_raise=True)
            await closing
        finally:
            closing.cancel()
    finally:
        await first.end()
        await second.end()
    return written


@promise(
    "If a storage is closed while a task is writing, the value is stored, or the write raises.",
    hint=_HINT,
    layer="concurrency",
    needs=("close",),
)
async def closing_loses_no_write_of_a_task(subject: Subject) -> None:
    await _close_at_every_point(subject, TaskActor, threads=False)


@promise(
    "If a storage is closed while a thread is writing, the value is stored, or the write raises.",
    hint=_HINT,
    layer="concurrency",
    needs=("threads", "close"),
)
async def closing_loses_no_write_of_a_thread(subject: Subject) -> None:
    await _close_at_every_point(subject, ThreadActor, threads=True)
