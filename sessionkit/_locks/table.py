"""One holder per key at a time: the lock table of a storage.

Taking and giving back a free key is inlined where it is hot, and needs no mutex:

    if locks.held.setdefault(key, holder) is not holder:
        await locks.wait(key, holder, timeout)
    ...
    del locks.held[key]
    if locks.waiting:
        locks.hand_over(key)

A waiter joins the queue first and looks at ``held`` after that; a holder frees the
key first and looks at ``waiting`` after that.  So at least one of them sees the other,
in any threads.
"""

from __future__ import annotations

import logging
import os
import sys
from abc import ABC, abstractmethod
from collections import deque
from itertools import pairwise
from threading import Event, RLock
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet, WeakValueDictionary

from sessionkit._locks.owners import (
    Loop,
    describe_owner,
    expect_owner,
    forget_owners,
    open_here,
    running_loop,
)
from sessionkit.errors import (
    SessionDeadlockError,
    SessionLockTimeoutError,
    SessionReentrancyError,
)

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Collection, Hashable

_log = logging.getLogger("sessionkit")

# One for all tables, because a ring of waiters may go through several of them.
# Reentrant, because the garbage collector may end a session while it is held.
mutex = RLock()


class KeyLocks:
    """The keys of one storage that are held, and who waits for them.

    First come, first served within an event loop; a thread that has just arrived may
    be quicker than one that waits.

    Attributes:
        held: The holder of each key that is held; holders are compared by identity.
        waiting: The queue of each key that is waited for.
        name: The same in all processes, if the storage has an ``identity``: by it, those who
            lock keys of several storages do so in one order.
        warn_after: The seconds of waiting after which a warning is logged.
    """

    warn_after: float = 10.0

    def __init__(self, kept: object = None, name: str = "") -> None:
        self.name = name
        self.held: dict[str, object] = {}
        self.waiting: dict[str, deque[Waiter]] = {}
        self._warned: WeakSet[object] = WeakSet()
        self._kept = kept  # as long as it lives, its id is not given to another storage

    async def wait(
        self,
        key: str,
        holder: object,
        timeout: float | None,  # noqa: ASYNC109 (asyncio.timeout cannot stop a thread)
    ) -> None:
        """Wait until *holder* has *key*: suspended if this thread runs a loop, else blocking.

        Args:
            key: The full storage key.
            holder: The session that wants it.
            timeout: In seconds; None waits without limit.

        Raises:
            SessionReentrancyError: The current call chain has the key open.
            SessionDeadlockError: Waiting would never end; raised at once.
            SessionLockTimeoutError: The key was not free in time.
        """
        self._warned.discard(holder)  # it may have had the key before, and paused
        waiter = _new_waiter(self, key, holder)
        try:
            self._join_queue(waiter)
            await self._wait_turn(waiter, timeout)
        except BaseException:
            self._give_up(waiter)
            raise

    def release(self, key: str) -> None:
        """Free *key*, or hand it to the first waiter."""
        del self.held[key]
        if self.waiting:
            self.hand_over(key)

    def hand_over(self, key: str) -> None:
        """Give *key* to the first waiter; a no-op if it is not free."""
        with mutex:
            while key in self.waiting:
                waiter = self.waiting[key][0]
                if self.held.setdefault(key, waiter.holder) is not waiter.holder:
                    return  # another thread was quicker, and will hand over
                self._leave_queue(waiter)
                if waiter.grant():
                    return
                del self.held[key]

    def _join_queue(self, waiter: Waiter) -> None:
        with mutex:
            self.waiting.setdefault(waiter.key, deque()).append(waiter)
            for holder in waiter.chain:
                blocked.setdefault(id(holder), waiter)
            self.hand_over(waiter.key)
            ring = [] if waiter.granted else _ring(waiter)
        if ring:
            raise _deadlock(ring)

    async def _wait_turn(self, waiter: Waiter, seconds: float | None) -> None:
        rest = seconds
        if rest is None or rest > self.warn_after:
            await waiter.sleep(self.warn_after)
            rest = None if rest is None else rest - self.warn_after
            if not waiter.granted:
                self._warn(waiter)
        await waiter.sleep(rest)
        if not waiter.granted:
            raise _timed_out(waiter, seconds or 0.0)

    def _warn(self, waiter: Waiter) -> None:
        """Log that *waiter* has waited long; once for all that wait for the same holder."""
        rival = waiter.rival()
        if rival is not None and rival not in self._warned:
            self._warned.add(rival)
            _log.warning(_still_waiting(waiter, self.warn_after))

    def _give_up(self, waiter: Waiter) -> None:
        with mutex:
            self._leave_queue(waiter)
            if waiter.granted:
                waiter.granted = False
                self.release(waiter.key)

    def _leave_queue(self, waiter: Waiter) -> None:
        queue = self.waiting.get(waiter.key, ())
        if queue and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self.waiting[waiter.key]
        for holder in waiter.chain:
            if blocked.get(id(holder)) is waiter:
                del blocked[id(holder)]


class Waiter(ABC):
    """A call chain that waits for a key.

    Attributes:
        chain: The sessions it has open, and the one it waits with.
        granted: Whether it was given the key.
    """

    def __init__(self, locks: KeyLocks, key: str, holder: object) -> None:
        self.locks = locks
        self.key = key
        self.holder = holder
        here = open_here()
        self.chain = (holder, *here)
        self.granted = False
        expect_owner(holder, here)

    def grant(self) -> bool:
        """Give it the key and wake it; False if it cannot be woken any more."""
        self.granted = True  # before the other thread can look at it
        self.granted = self._wake()
        return self.granted

    def rival(self) -> object:
        """Return the holder of the key now."""
        return self.locks.held.get(self.key)

    def describe_rival(self) -> str:
        """Return by whom and where the key is held now."""
        return describe_owner(self.rival(), list(self.locks.held.values()))

    def is_gone(self) -> bool:
        """Return whether it has stopped waiting, or can never go on."""
        return False

    @abstractmethod
    async def sleep(self, seconds: float | None) -> None:
        """Return when the key is granted, or after *seconds*."""

    @abstractmethod
    def _wake(self) -> bool: ...


class _ThreadWaiter(Waiter):
    """Blocks its thread."""

    def __init__(self, locks: KeyLocks, key: str, holder: object) -> None:
        super().__init__(locks, key, holder)
        self._woken = Event()

    async def sleep(self, seconds: float | None) -> None:
        self._woken.wait(seconds)

    def _wake(self) -> bool:
        self._woken.set()
        return True


class _TaskWaiter(Waiter):
    """Suspends its task."""

    def __init__(self, locks: KeyLocks, key: str, holder: object, loop: Loop) -> None:
        super().__init__(locks, key, holder)
        self._loop = loop
        self._future: Future[None] = loop.create_future()

    def is_gone(self) -> bool:
        return self._future.cancelled() or self._loop.is_closed()

    async def sleep(self, seconds: float | None) -> None:
        if self.granted:
            return
        if self._future.done():  # an earlier sleep is over
            self._future = self._loop.create_future()
        alarm = None if seconds is None else self._loop.call_later(seconds, self._resume)
        try:
            await self._future
        finally:
            if alarm is not None:
                alarm.cancel()

    def _wake(self) -> bool:
        if self.is_gone():
            return False
        if running_loop() is self._loop:
            self._resume()
            return True
        try:
            self._loop.call_soon_threadsafe(self._resume)
        except RuntimeError:  # closed just now, by its own thread
            return False
        return True

    def _resume(self) -> None:
        if not self._future.done():
            self._future.set_result(None)


def _new_waiter(locks: KeyLocks, key: str, holder: object) -> Waiter:
    loop = running_loop()
    if loop is None:
        _refuse_trio(key)
        return _ThreadWaiter(locks, key, holder)
    return _TaskWaiter(locks, key, holder, loop)


def _refuse_trio(key: str) -> None:
    lowlevel = getattr(sys.modules.get("trio"), "lowlevel", None)
    if lowlevel is not None and lowlevel.in_trio_run():
        msg = (
            f"{key!r} is open elsewhere, and a task of trio cannot wait for it: sessions wait on "
            "asyncio. Use them in threads: trio.to_thread.run_sync(function), and in the "
            "function 'with sessions.open(...)'"
        )
        raise RuntimeError(msg)


# Deadlocks

# By the id of a session, the waiter whose call chain has it open and is stuck. A waiter
# keeps the sessions of its chain alive, so the ids are good as long as it is here.
blocked: Final[dict[int, Waiter]] = {}


def _ring(start: Waiter) -> list[Waiter]:
    """Return the waiters of which each waits for the next, the last for *start*; [] if none do."""
    trail: list[Waiter] = []
    waiter: Waiter | None = start
    while waiter is not None and waiter not in trail and not waiter.is_gone():
        trail.append(waiter)
        rival = waiter.rival()
        if any(rival is mine for mine in start.chain):
            return trail
        waiter = blocked.get(id(rival))
    return []


def _deadlock(ring: list[Waiter]) -> SessionDeadlockError:
    first, last = ring[0], ring[-1]
    if first is last:
        msg = (
            f"{first.key!r} is already open in this handler, so waiting for it would never end: "
            "use sessions.of(ctx), or pass the session on. To change it together with other "
            "keys: async with session.paused():, and inside sessions.open_many(...)"
        )
        return SessionReentrancyError(msg, key=first.key)
    keys = [last.key, *(waiter.key for waiter in ring)]
    waits = ", ".join(f"{mine!r} waits for {other!r}" for mine, other in pairwise(keys))
    msg = (
        f"waiting for {first.key!r} would never end: {waits}. {first.key!r} is held "
        f"{first.describe_rival()}. Open keys that are needed together with "
        "sessions.open_many(...), or always in sorted order; in a handler whose session is open, "
        "inside async with session.paused():"
    )
    return SessionDeadlockError(msg, key=first.key)


# Messages


def _still_waiting(waiter: Waiter, seconds: float) -> str:
    return (
        f"waiting for key {waiter.key!r} for {seconds:g} s now; held "
        f"{waiter.describe_rival()}. Slow call inside? async with session.paused():"
    )


def _timed_out(waiter: Waiter, timeout: float) -> SessionLockTimeoutError:
    msg = (
        f"key {waiter.key!r} was not free within {timeout:g} s; held "
        f"{waiter.describe_rival()}. Slow call inside? async with session.paused():. "
        "Opened again in a child task? Pass the session instead."
    )
    return SessionLockTimeoutError(msg, key=waiter.key, timeout=timeout)


# Tables

tables: Final[WeakValueDictionary[Hashable, KeyLocks]] = WeakValueDictionary()


def locks_of(storage: object) -> KeyLocks:
    """Return the lock table of *storage*, the same for all that lead to the same data.

    Those are wrappers (they have it as ``wrapped``), and storages whose
    ``identity`` is equal.  The table lives as long as somebody keeps it.
    """
    while (inside := getattr(storage, "wrapped", None)) is not None:
        storage = inside
    name, kept = _named(storage, _identity(storage))
    with mutex:
        return tables.setdefault(name, KeyLocks(kept, repr(name)))


def open_keys(storage: object) -> Collection[str]:
    """Return the full keys of *storage*, which wraps no other, that sessions have open.

    Those of this process, where they lock.  It may be asked for a key (``in``) in any thread.
    """
    # Without the mutex, which a thread may hold that waits for the storage.
    table = tables.get(_named(storage, _identity(storage))[0])
    return () if table is None else table.held


def _named(storage: object, identity: Any) -> tuple[Hashable, object]:
    return (id(storage), storage) if identity is None else ((identity,), None)


def _identity(storage: object) -> Any:
    identity = getattr(storage, "identity", None)
    try:
        hash(identity)
    except TypeError:
        return None
    return identity


# Forks


def _start_empty() -> None:  # pragma: no cover (in a child)
    """Forget in a forked child what is held in its parent: the holders run only there."""
    global mutex  # noqa: PLW0603 (a thread of the parent may hold it)
    mutex = RLock()
    for table in list(tables.values()):
        holders: list[Any] = list(table.held.values())
        for holder in holders:
            holder._held = False  # its end gives back nothing
        table.held.clear()
        table.waiting.clear()
    blocked.clear()
    forget_owners()


if hasattr(os, "register_at_fork"):  # pragma: no branch (everywhere but on Windows)
    os.register_at_fork(after_in_child=_start_empty)
