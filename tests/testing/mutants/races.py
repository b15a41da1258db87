"""Mistakes that show when several use a storage at the same time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from sessionkit.errors import SessionConflictError
from sessionkit.protocols import ANY, Clock, Expected
from tests.testing.broken_steps import Replicas
from tests.testing.mutants.registry import mutant
from tests.testing.mutants.remote import Locked, Remote
from tests.testing.mutants.times import TTL
from tests.testing.reference import Disk, Reference

racing = partial(mutant, "races")


@racing(
    "write_if() asks for the revision, and then writes.",
    "one_of_two_conditional_writes_wins_among_tasks",
)
class ComparesThenWrites(Remote):
    async def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        _, stored = await self.read_with_revision(key)
        if expected is not ANY and stored != expected:
            raise SessionConflictError("changed", key=key)
        return await self.ask("write_if", key, value, ANY, expires=expires)


@racing(
    "All values are fetched, changed and sent back together.",
    "writes_of_different_keys_all_land_among_tasks",
)
class OneDocument(Remote):
    async def write(self, key: str, value: Any) -> Any:
        everything = dict(await self.ask("iter_items"))
        await self.ask("write_many", {**everything, key: value})


@racing(
    "The old value is deleted, and then the new one inserted.",
    "reading_sees_old_or_new_among_tasks",
    "cancelled_call_leaves_old_or_new",
)
class DeletesThenInserts(Remote):
    async def write(self, key: str, value: Any) -> Any:
        await self.ask("delete", key)
        await self.ask("write", key, value)


@racing(
    "read() asks whether it is there, and then fetches it.", "reading_sees_old_or_new_among_tasks"
)
class LooksThenFetches(Remote):
    async def read(self, key: str) -> Any:
        if not await self.has(key):
            return None
        return (await self.ask("read_many", [key]))[key]


@racing("Value and revision are two questions.", "value_and_revision_belong_together_among_tasks")
class TwoQuestions(Remote):
    async def read_with_revision(self, key: str) -> Any:
        value = await self.ask("read", key)
        _, revision = await self.ask("read_with_revision", key)
        return value, revision


@racing("Items are fetched key by key, and some are gone.", "listing_survives_writes_among_tasks")
class ListsThenFetches(Remote):
    async def iter_items(self, prefix: str = "") -> AsyncIterator[Any]:
        for key in await self.ask("iter_keys", prefix):
            yield key, await self.ask("read", key)


@racing("touch() reads the value and writes it back.", "touching_changes_no_data_among_tasks")
class TouchRewrites(Remote):
    async def touch(self, key: str) -> Any:
        value = await self.ask("read", key)
        if value is None:
            return False
        await self.ask("write", key, value)
        return True


@racing(
    "What has expired is looked for, and then deleted by its key.",
    "new_value_in_place_of_expired_stays_among_tasks",
    limits=TTL,
)
class PurgesByKey(Remote):
    async def purge_expired(self) -> Any:
        gone = [key for key, row in self.disk.rows.items() if self.server.is_gone(row)]
        for key in gone:
            await self.ask("delete", key)
        return len(gone)


@racing(
    "read() deletes what has expired, whatever is there by then.",
    "new_value_in_place_of_expired_stays_among_tasks",
    limits=TTL,
)
class ReadingDeletes(Remote):
    async def read(self, key: str) -> Any:
        value = await self.ask("read", key)
        if value is None:
            await self.ask("delete", key)
        return value


class Three:
    """The three methods behind a network: a question has a way there, and an answer one back."""

    def __init__(self, disk: Disk, clock: Clock, ttl: float | None = None) -> None:
        self.server = Locked(disk, clock, ttl)

    async def ask(self, server: Locked, method: str, *given: Any) -> Any:
        await asyncio.sleep(0)
        answer = getattr(server, method)(*given)
        await asyncio.sleep(0)
        return answer

    async def read(self, key: str) -> Any:
        return await self.ask(self.server, "read", key)

    async def write(self, key: str, value: Any) -> Any:
        await self.ask(self.server, "write", key, value)

    async def delete(self, key: str) -> Any:
        await self.ask(self.server, "delete", key)


@racing(
    "Two replicas are written one after the other, and reads take turns.",
    "an_order_explains_all_answers_among_tasks",
)
class TakesTurns(Three):
    def __init__(self, disk: Disk, clock: Clock, ttl: float | None = None) -> None:
        super().__init__(disk, clock, ttl)
        other: Disk = disk.__dict__.setdefault("replica", Disk())
        self.replica = Locked(other, clock, ttl)
        self.turns = itertools.cycle((self.server, self.replica))

    async def read(self, key: str) -> Any:
        return await self.ask(next(self.turns), "read", key)

    async def write(self, key: str, value: Any) -> Any:
        await super().write(key, value)
        await self.ask(self.replica, "write", key, value)

    async def delete(self, key: str) -> Any:
        await super().delete(key)
        await self.ask(self.replica, "delete", key)


@racing(
    "Who reads a key that is being read waits for that answer, which may be old by then.",
    "an_order_explains_all_answers_among_tasks",
)
class JoinsReads(Three):
    def __init__(self, disk: Disk, clock: Clock, ttl: float | None = None) -> None:
        super().__init__(disk, clock, ttl)
        self.under_way: dict[str, asyncio.Future[Any]] = {}

    async def read(self, key: str) -> Any:
        if key in self.under_way:
            return await self.under_way[key]
        answer = self.under_way[key] = asyncio.get_running_loop().create_future()
        answer.set_result(await super().read(key))
        return await self.under_way.pop(key)


@racing(
    "Two copies are changed one after the other, and threads read them in turn.",
    "an_order_explains_all_answers_among_threads",
)
class TwoCopies(Replicas):
    def __init__(self, disk: Disk, clock: Clock, _ttl: float | None = None) -> None:
        super().__init__(disk, clock)


@racing("There is no lock.", "one_of_two_conditional_writes_wins_among_threads")
class WithoutLock(Reference):
    pass


@racing(
    "Only writing takes the lock: a value is removed while it is read.",
    "reading_sees_old_or_new_among_threads",
)
class ReadsWithoutLock(Locked):
    def read(self, key: str) -> Any:
        self.check_open()
        if key not in self.disk.rows or self.is_gone(self.disk.rows[key]):
            return None
        return self.decode(self.disk.rows[key].raw)


@racing(
    "The lock is taken for comparing, and again for storing.",
    "one_of_two_conditional_writes_wins_among_threads",
)
class TwoLocks(Locked):
    def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        with self.lock:
            self.compare(key, expected)
        with self.lock:
            return super().write_if(key, value, ANY, expires=expires)


@racing(
    "The listing walks over the dict, and another thread changes it.",
    "listing_survives_writes_among_threads",
)
class WalksOverDict(Locked):
    def iter_keys(self, prefix: str = "") -> Any:
        rows = self.disk.rows
        return (key for key in rows if key.startswith(prefix) and not self.is_gone(rows[key]))


@racing(
    "A cancelled write goes on by itself, and settles = True is declared.",
    "cancelled_call_has_no_late_effect",
)
class LandsLate(Remote):
    async def write(self, key: str, value: Any) -> Any:
        await asyncio.shield(asyncio.ensure_future(super().write(key, value)))


@racing("A cancelled call does not give the lock back.", "cancelled_call_leaves_old_or_new")
class KeepsLock(Remote):
    def __init__(self, disk: Disk, clock: Clock, ttl: float | None = None) -> None:
        super().__init__(disk, clock, ttl)
        self.lock = asyncio.Lock()

    async def write(self, key: str, value: Any) -> Any:
        await self.lock.acquire()
        await super().write(key, value)
        self.lock.release()


@racing(
    "Calls of one moment share a task, which the first cancellation ends for all.",
    "cancelled_call_leaves_others_alone",
)
class SharesOneTask(Remote):
    def __init__(self, disk: Disk, clock: Clock, ttl: float | None = None) -> None:
        super().__init__(disk, clock, ttl)
        self.waiting: dict[str, Any] = {}
        self.batch: asyncio.Task[Any] | None = None

    async def write(self, key: str, value: Any) -> Any:
        self.waiting[key] = value
        if self.batch is None or self.batch.done():
            self.batch = asyncio.ensure_future(self.send())
        await self.batch

    async def send(self) -> None:
        await asyncio.sleep(0)
        waiting, self.waiting = self.waiting, {}
        await self.ask("write_many", waiting)


@racing(
    "close() does not wait, and what is written then goes nowhere.",
    "closing_loses_no_write_of_a_task",
)
class ClosesAtOnce(Remote):
    closed = False

    async def write(self, key: str, value: Any) -> Any:
        self.server.check_open()
        await asyncio.sleep(0)
        if not self.closed:
            await super().write(key, value)

    async def close(self) -> None:
        self.closed = True
        await super().close()


@racing(
    "A queue belongs to the event loop of its first use, and another one waits without end.",
    "second_event_loop_is_served_or_refused",
)
class QueueOfOneLoop(Remote):
    def __init__(self, disk: Disk, clock: Clock, ttl: float | None = None) -> None:
        super().__init__(disk, clock, ttl)
        self.queue: list[tuple[str, Any, asyncio.Future[None]]] = []
        self.worker: asyncio.Task[None] | None = None

    async def write(self, key: str, value: Any) -> Any:
        self.server.check_open()
        self.server.encode(value)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.queue.append((key, value, done))
        if self.worker is None:
            self.worker = asyncio.ensure_future(self.work())
        await done

    async def work(self) -> None:
        while True:
            while self.queue:
                key, value, done = self.queue.pop(0)
                await self.ask("write", key, value)
                done.set_result(None)
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        if self.worker is not None:
            self.worker.cancel()
        await super().close()
