"""Letting go of all that an update holds for a slow call, and taking it again."""

from __future__ import annotations

import time
from asyncio import CancelledError
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from sessionkit._locks.owners import open_here, running_loop
from sessionkit._session.context import Attached, sessions_on
from sessionkit._session.group import in_order, load_all, release_all
from sessionkit._session.record import Record
from sessionkit._session.serializer import MISSING
from sessionkit._session.stored import OPEN, PAUSED, wait_for
from sessionkit.errors import SessionDeadlockError


@asynccontextmanager
async def paused(session: Any, others: Iterable[object] = ()) -> AsyncGenerator[None, None]:
    """Save and release all that is open on the context of *session*, and *others*.

    Lock and load all of them at the end, whatever happened meanwhile.
    """
    covered = _covered([session, *map(_opened_as, others)])
    _refuse_beside(covered)
    for each in covered:
        await wait_for(each._before_pause())
    await _save_all(_open_records(covered))
    session._use()  # it may have been closed, or paused, meanwhile
    pause = _Pause(session, covered)
    await pause.begin()
    try:
        yield
        pause.refuse_assigned()
    except Exception:  # a handler may catch it, and go on with the data
        await pause.end()
        raise
    except CancelledError:  # asyncio.timeout() may catch that one
        with suppress(Exception):
            await pause.end()
        raise
    await pause.end()


def _opened_as(handle: object) -> Any:
    """What is open behind a handle of users.

    Raises:
        TypeError: It is not a session.
    """
    handle = getattr(handle, "_session", handle)  # of a thread
    found = getattr(handle, "_record", handle)
    if not isinstance(found, Attached):
        msg = f"paused() takes other open sessions, not {handle!r}"
        raise TypeError(msg)
    return found


def _covered(given: Sequence[Any]) -> list[Any]:
    """The sessions that are given, all that are open on their contexts, and isolations."""
    covered: dict[int, Any] = {}
    for one in given:
        beside = () if one._ctx is None else sessions_on(one._ctx)
        covered.update((id(each), each) for each in (one, *beside))
    along = (each for each in _held_here() if each._settings.paused_along)
    covered.update((id(each), each) for each in along)
    return list(covered.values())


def _held_here() -> list[Record[Any]]:
    """What the current call chain keeps others waiting for."""
    here: list[Any] = open_here()
    return [each for each in here if isinstance(each, Record) and each._held and each._locks()]


def _refuse_beside(covered: Iterable[Any]) -> None:
    """Raise if a key stays held through the slow call, and while others are taken again."""
    released = {id(record) for each in covered for record in each._holders()}
    for record in _held_here():
        if id(record) not in released:
            key = record._full_key
            msg = (
                f"{key!r} is open in this handler, beside the session that is to pause, and would "
                "stay locked. End it before, or let it pause too: session.paused(other)"
            )
            raise SessionDeadlockError(msg, key=key)


def _open_records(covered: Iterable[Any]) -> list[Record[Any]]:
    records = {id(record): record for each in covered for record in each._holders()}
    return in_order([record for record in records.values() if record._state == OPEN])


async def _save_all(records: Sequence[Record[Any]]) -> None:
    if len(records) > 1:
        for record in records:
            record._change()  # raises for what cannot be encoded, before anything is written
    for record in records:
        await wait_for(record._save())


class _Pause:
    """What was let go of."""

    def __init__(self, session: Any, covered: list[Any]) -> None:
        self._session = session
        self._covered = covered
        self._records = _open_records(covered)

    async def begin(self) -> None:
        for record in self._records:
            record._state = PAUSED
            record._show(MISSING)
        for each in self._covered:
            each._hide()
        await release_all(self._records)

    def refuse_assigned(self) -> None:
        """Raise if a plain attribute was assigned to."""
        for record in self._left():
            if record._look() is not MISSING:
                raise record._unusable()

    async def end(self) -> None:
        """Lock and load all that have not ended meanwhile, or none."""
        try:
            await self._take_again()
        except BaseException:
            await release_all(self._records)
            raise
        await wait_for(load_all(self._left()))
        for each in self._covered:
            each._unhide()
        self._session._use()  # raises if the update did not wait for the end of this pause

    async def _take_again(self) -> None:
        """Take all; none is held while another is waited for, so that no order can deadlock."""
        started = _now()
        busy: Record[Any] | None = None
        while True:
            busy = await self._take_until_busy(busy, started)
            moved = [] if busy else [each for each in self._left() if each._has_moved()]
            if busy is None and not moved:
                return
            await release_all(self._records)
            for record in moved:  # by its new key it may have another place
                record._rename()

    async def _take_until_busy(
        self, first: Record[Any] | None, started: float
    ) -> Record[Any] | None:
        """Take *first*, for which this waits, then the others; return the one that is not free."""
        records = in_order(self._left())
        records.sort(key=lambda record: record is not first)
        for number, record in enumerate(records):
            if not await self._take(record, started, waits=number == 0):
                return record
        return None

    async def _take(self, record: Record[Any], started: float, *, waits: bool) -> bool:
        if record._state != PAUSED:
            return True
        rest = record._acquire(_now() - started)
        if rest is not None and not waits and record._is_locked_out():
            rest.close()
            return False
        await wait_for(rest)
        if record._state != PAUSED:
            await wait_for(record._release())
        return True

    def _left(self) -> list[Record[Any]]:
        return [record for record in self._records if record._state == PAUSED]


def _now() -> float:
    loop = running_loop()
    return time.monotonic() if loop is None else loop.time()
