"""Processes that are killed."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from sessionkit.protocols import ANY
from sessionkit.testing._broken import BrokenPromise
from sessionkit.testing._concurrency.actors import NEVER
from sessionkit.testing._concurrency.places import Place, choose
from sessionkit.testing._concurrency.workers import WorkerProcess, workers
from sessionkit.testing._equal import alike
from sessionkit.testing._guard import within
from sessionkit.testing._history import History
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._ops import Op, delete, write, write_if, write_many
from sessionkit.testing._promises import promise
from sessionkit.testing._show import show
from sessionkit.testing._subject import Subject

KILLED: Final = "sessionkit.testing._concurrency.killed"
_OLD: Final = {"n": 1}
_NEW: Final = {"n": 2, "text": "x" * 100}
_LATER: Final = {"n": 3}
_MOST: Final = 20
_PAST_THE_END: Final = 1_000_000


class Killer:
    """Lets processes be killed that use a storage."""

    def __init__(self, subject: Subject, process: WorkerProcess) -> None:
        self._subject = subject
        self._process = process

    async def places(self, confirmed: Op, op: Op) -> Sequence[Place]:
        """Return the points that *op* comes to."""
        namespace = self._subject.namespace()
        self._note(namespace, [confirmed, op])
        found = await self._ask(namespace, ("do", confirmed, NEVER), ("record", op))
        places: Sequence[Place] = found[1]
        return places

    async def kill(self, namespace: str, confirmed: Op, op: Op, stop: int) -> None:
        """Let a process do what is *confirmed*, and kill it in *op*, or right after it."""
        history = self._subject.history
        self._note(namespace, [confirmed])
        line = history.begin(f"# in another process: {op}")
        asking = self._ask(namespace, ("do", confirmed, NEVER), ("do", op, stop))
        kind, place = await within(asking, history, times=3)
        line.outcome = f"kill -9 at {place}" if kind == "dies" else "then kill -9"
        await self._subject.lag.catch_up()

    async def check_durable(self) -> None:
        """Check that data outlive a process that closes its storage and ends.

        Raises:
            LeftOut: They do not.
        """
        namespace = self._subject.namespace()
        await self._ask(namespace, ("do", write("1", _OLD), NEVER), ("close",))
        await self._subject.lag.catch_up()
        async with self._subject.client(namespace, history=History()) as storage:
            found = await storage.read("1")
        if found != _OLD:
            msg = "what another process has written and closed cannot be read here"
            raise LeftOut(msg)

    def _note(self, namespace: str, ops: Sequence[Op]) -> None:
        history = self._subject.history
        name = history.namespace_name(namespace)
        for call in (f"storage = open({name!r})", *map(str, ops)):
            history.note(f"# in another process: {call}")

    async def _ask(self, namespace: str, *messages: tuple[Any, ...]) -> tuple[str, Any]:
        """Let a process open the storage, do *messages* and be killed; return its last word."""
        self._process.send(("open", namespace, self._subject.clock()), *messages)
        kind, *said = await self._process.receive()
        if kind != "gone":
            await self._process.receive()
        if kind in ("gone", "failed"):
            got = said[0] if said else "the process ended without a word"
            raise BrokenPromise(self._subject.history.lines, expected="no error there", got=got)
        return kind, said[0]


@asynccontextmanager
async def _killer(subject: Subject) -> AsyncGenerator[Killer, None]:
    if not hasattr(os, "fork"):
        msg = "this system has no fork(), by which the processes begin that are to be killed"
        raise LeftOut(msg)
    async with workers(subject, 1, KILLED) as (process,):
        killer = Killer(subject, process)
        await killer.check_durable()
        yield killer


@promise(
    "If a process is killed while it writes or deletes, the old value or the new one is stored, "
    "and the storage still works.",
    hint="the value is cut or removed before the new one is there (write a new file and rename it, "
    "or use a transaction), or a lock file is left behind.",
    layer="concurrency",
    needs=("durable",),
)
async def kill_leaves_old_or_new(subject: Subject) -> None:
    async with _killer(subject) as killer:
        for op, new in ((write("1", _NEW), _NEW), (delete("1"), None)):
            places = await killer.places(write("1", _OLD), op)
            namespace = subject.namespace()
            for stop in choose(places, _MOST * 20 if subject.thorough else _MOST):
                subject.start_history()
                await killer.kill(namespace, write("1", _OLD), op, stop)
                await _expect_one_of(subject, namespace, [_OLD, new])


async def _expect_one_of(subject: Subject, namespace: str, allowed: Sequence[Any]) -> None:
    async with subject.client(namespace) as storage:
        value = await within(storage.read("1"), storage.history)
        if not any(alike(value, each) for each in allowed):
            storage.fail(expected=" or ".join(map(show, allowed)), got=show(value))
        await within(storage.write("1", _LATER), storage.history)
        storage.expect(await within(storage.read("1"), storage.history), _LATER)


@promise(
    "What a call has written or deleted stays so if the process is killed as soon as it returns.",
    hint="the call returns before the data has left the process: flush the file, commit, wait for "
    "the task or thread that writes.",
    layer="concurrency",
    needs=("durable",),
)
async def kill_loses_nothing_that_was_confirmed(subject: Subject) -> None:
    calls = (
        (write("1", _NEW), _NEW),
        (delete("1"), None),
        (write_if("1", _NEW, ANY), _NEW),
        (write_many({"1": _NEW}), _NEW),
    )
    offered = await subject.capabilities() | {"write", "delete"}
    async with _killer(subject) as killer:
        for op, expected in calls:
            if op.method in offered:
                subject.start_history()
                namespace = subject.namespace()
                await killer.kill(namespace, write("1", _OLD), op, _PAST_THE_END)
                async with subject.client(namespace) as storage:
                    await storage.expect_read("1", expected)


@promise(
    "A revision is not given again after the process was killed that gave it.",
    hint="revisions are counted in memory, or the counter is stored only by close().",
    layer="concurrency",
    needs=("durable", "read_with_revision", "write_if"),
)
async def revisions_outlive_a_kill(subject: Subject) -> None:
    async with _killer(subject) as killer:
        subject.start_history()
        namespace = subject.namespace()
        await killer.kill(namespace, write("1", _OLD), write("1", _NEW), _PAST_THE_END)
        async with subject.client(namespace) as storage:
            _, revision = await storage.read_with_revision("1")
            for n in range(4):
                await storage.write("1", {"n": 10 + n})
                await storage.expect_conflict("1", {"n": 20}, revision)
