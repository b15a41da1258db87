"""Storages that break what is asked of them among tasks and threads."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sessionkit.protocols import Clock, Expected
from tests.testing.steps import Place, Steps


class Unlocked(Steps):
    """Compares, lets others run, and stores."""

    @asynccontextmanager
    async def locked(self) -> AsyncGenerator[None]:
        yield


class PlainUnlocked(Steps):
    """Takes its lock for conditional writes only."""

    async def write(self, key: str, value: Any) -> None:
        await self.store(key, value)

    async def delete(self, key: str) -> None:
        await self.store(key, None)


class RemovesFirst(Steps):
    async def store(self, key: str, value: Any, expires: float | None = None) -> Any:
        self.place.rows.pop(key, None)
        await self.tick()
        return await super().store(key, value, expires)


class LooksFirst(Steps):
    """Asks whether there is a value, and then fetches it."""

    async def read(self, key: str) -> Any:
        if key not in self.place.rows:
            return None
        await self.tick()
        return json.loads(self.place.rows[key][0])


class RevisionLater(Steps):
    async def read_with_revision(self, key: str) -> Any:
        value = await self.read(key)
        await self.tick()
        row = self.live(key)
        return value, row and row[1]

    async def read(self, key: str) -> Any:
        row = self.live(key)
        return row and json.loads(row[0])


class AllTogether(Steps):
    """Reads all values, changes one, writes all back."""

    async def store(self, key: str, value: Any, expires: float | None = None) -> Any:
        rows = dict(self.place.rows)
        await self.tick()
        revision = next(self.place.revisions)
        if value is None:
            rows.pop(key, None)
        else:
            rows[key] = (json.dumps(value), revision, expires)
        self.place.rows = rows
        return None if value is None else revision

    async def write(self, key: str, value: Any) -> None:
        await self.store(key, value)


class ListsLive(Steps):
    async def iter_keys(self, prefix: str = "") -> AsyncIterator[str]:
        for key in self.place.rows:
            await self.tick()
            if key.startswith(prefix):
                yield key


class TouchWritesBack(Steps):
    async def touch(self, key: str) -> bool:
        row = self.live(key)
        await self.tick()
        if row is None:
            return False
        self.place.rows[key] = row
        return True


class Replicas:
    """Writes to two places one after the other, and reads from them in turn."""

    def __init__(self, place: object, _clock: Clock) -> None:
        self.places = [place.__dict__.setdefault(name, {}) for name in ("first", "second")]
        self.turns = itertools.cycle(self.places)

    def read(self, key: str) -> Any:
        return json.loads(next(self.turns).get(key, "null"))

    def write(self, key: str, value: Any) -> None:
        for place in self.places:
            place[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        for place in self.places:
            place.pop(key, None)


class PurgesLater(Steps):
    async def purge_expired(self) -> int:
        gone = [key for key, row in self.place.rows.items() if self.is_gone(row)]
        await self.tick()
        for key in gone:
            self.place.rows.pop(key, None)
        return len(gone)


class LeaksLock(Steps):
    """Gives its lock back only if nothing goes wrong."""

    @asynccontextmanager
    async def locked(self) -> AsyncGenerator[None]:
        lock = self.place.thread_lock if self.blocking else self.place.task_lock
        answer = lock.acquire()
        if not self.blocking:
            await answer  # type: ignore[misc]  # of an asyncio.Lock
        yield
        lock.release()

    def compare(self, key: str, expected: Expected) -> None:
        return


class HalfOnCancel(RemovesFirst):
    """Leaves nothing if it is cancelled between removing and storing."""


class LandsLate(Steps):
    """Goes on with a write in a task of its own after it was cancelled."""

    async def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        return await asyncio.shield(super().write_if(key, value, expected, expires=expires))


class LandsLateOnThread(Steps):
    """Writes on a thread, and does not wait for it when it is cancelled."""

    async def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        return await asyncio.to_thread(self.put, key, value, expected)

    def put(self, key: str, value: Any, expected: Expected) -> Any:
        with self.place.thread_lock:
            self.compare(key, expected)
            if value is None:
                self.place.rows.pop(key, None)
                return None
            row = (json.dumps(value), next(self.place.revisions), None)
            self.place.rows[key] = row
            return row[1]


class LandsLateOnOwnThread(LandsLateOnThread):
    """The same on threads that it began itself."""

    async def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def work() -> None:
            try:
                result = self.put(key, value, expected)
            except Exception as error:
                loop.call_soon_threadsafe(_settle, future, None, error)
            else:
                loop.call_soon_threadsafe(_settle, future, result, None)

        threading.Thread(target=work, daemon=True).start()
        return await future


def _settle(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class SharesReads(Steps):
    """All who read a key at the same time wait for one task."""

    def __init__(self, place: Place, clock: Clock) -> None:
        super().__init__(place, clock)
        self.reads: dict[str, asyncio.Task[Any]] = {}

    async def read(self, key: str) -> Any:
        if self.blocking:
            return await super().read(key)
        if key not in self.reads:
            self.reads[key] = asyncio.ensure_future(super().read(key))
            self.reads[key].add_done_callback(lambda _: self.reads.pop(key))
        return await self.reads[key]


class ForgetsOnClose(Steps):
    """Stores nothing, in silence, once it is closed."""

    async def close(self) -> None:
        self.closed = True

    async def store(self, key: str, value: Any, expires: float | None = None) -> Any:
        return None if self.closed else await super().store(key, value, expires)


class HangsElsewhere(Steps):
    """Waits for a future of the event loop in which it was first used."""

    async def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        loop = asyncio.get_running_loop()
        if getattr(self.place, "loop", loop) is not loop:
            await loop.create_future()
        self.place.loop = loop  # type: ignore[attr-defined]  # its own
        return await super().write_if(key, value, expected, expires=expires)


class LosesElsewhere(Steps):
    """Drops what another event loop writes."""

    async def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        loop = asyncio.get_running_loop()
        if getattr(self.place, "loop", loop) is not loop:
            return None
        self.place.loop = loop  # type: ignore[attr-defined]  # its own
        return await super().write_if(key, value, expected, expires=expires)


GROUPS: dict[str, type[Steps]] = {
    "one_of_two_conditional_writes_wins": Unlocked,
    "conditional_write_notices_plain_one": PlainUnlocked,
    "reading_sees_old_or_new": RemovesFirst,
    "value_and_revision_belong_together": RevisionLater,
    "writes_of_different_keys_all_land": AllTogether,
    "listing_survives_writes": ListsLive,
    "touching_changes_no_data": TouchWritesBack,
    "new_value_in_place_of_expired_stays": PurgesLater,
    "no_addition_is_lost": Unlocked,
    "many_writes_at_once_land": AllTogether,
}
BROKEN: dict[str, type[Any]] = {
    **{f"{name}_among_tasks": kind for name, kind in GROUPS.items()},
    **{f"{name}_among_threads": kind for name, kind in GROUPS.items()},
    "an_order_explains_all_answers_among_tasks": RemovesFirst,
    "an_order_explains_all_answers_among_threads": Replicas,
    "second_event_loop_is_served_or_refused": LosesElsewhere,
    "closing_loses_no_write_of_a_task": ForgetsOnClose,
    "cancelled_call_leaves_old_or_new": LeaksLock,
    "cancelled_call_leaves_others_alone": SharesReads,
    "cancelled_call_has_no_late_effect": LandsLate,
}
OTHERS: list[tuple[str, type[Steps]]] = [
    ("reading_sees_old_or_new_among_tasks", LooksFirst),
    ("reading_sees_old_or_new_among_threads", LooksFirst),
    ("second_event_loop_is_served_or_refused", HangsElsewhere),
    ("cancelled_call_leaves_old_or_new", HalfOnCancel),
    ("cancelled_call_has_no_late_effect", LandsLateOnThread),
    ("cancelled_call_has_no_late_effect", LandsLateOnOwnThread),
]
