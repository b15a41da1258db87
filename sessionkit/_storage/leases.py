"""Locks that all processes share: a key is held for a time, which is renewed while it is in use.

A database brings a ``LockEngine``; waiting, patience, renewal, and noticing a loss before
a write are here, once for tasks and for threads.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from sessionkit._storage.records import new_token
from sessionkit._storage.seconds import seconds
from sessionkit._storage.sync_or_async import run_sync
from sessionkit.errors import SessionError, SessionLockLostError, SessionLockTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

_SHORTEST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.05


def this_process() -> str:
    """Return how others are shown the holder of a lock: host and process number."""
    return f"{socket.gethostname()} {os.getpid()}"


class Lease:
    """A key that is held.

    Attributes:
        key: The key.
        mark: Stored by a database that has to know who holds what: a token that is
            never used again, host and process number.
        seconds: How long it is held after the holder was last heard of.
        until: Until when it is surely held, by ``time.monotonic``.
        lost: Whether the database gave it to another process, or forgot it.
    """

    timer: asyncio.TimerHandle

    def __init__(self, key: str, duration: float) -> None:
        self.key: str = key
        self.mark: str = f"{new_token()} {this_process()}"
        self.seconds: float = duration
        self.until: float = time.monotonic() + duration
        self.lost: bool = False


class LockEngine(Protocol):
    """What a database has to be able to do for a lock.

    Each method may raise a ``SessionError``.  For use in threads the coroutines block
    and never wait.
    """

    where: str
    """For errors: ``Redis at localhost:6379``."""

    async def take(self, lease: Lease, /) -> bool:
        """Hold the key of *lease* if it is free; return whether it was."""
        ...

    async def holder(self, key: str, /) -> str:
        """Return host and process number of who holds *key*, nothing if it is free."""
        ...

    async def renew(self, lease: Lease, /) -> bool:
        """Return whether *lease* is still held, and hold it for its seconds from now on."""
        ...

    async def give_back(self, lease: Lease, /) -> None:
        """Free the key, if *lease* holds it."""
        ...

    def is_lost(self, lease: Lease, /) -> bool:
        """Return whether *lease* is known to be lost; neither waits nor blocks."""
        ...


class _Leases:
    """What both locks do, as coroutines."""

    def __init__(
        self,
        engine: LockEngine,
        guards: list[Callable[[str], object]],
        lease: timedelta | float,
        patience: timedelta | float | None,
    ) -> None:
        self.seconds = seconds("lease", lease)
        self._engine = engine
        self._patience = None if patience is None else seconds("patience", patience)
        self._held: dict[str, Lease] = {}
        guards.append(self._check)

    def _check(self, key: str) -> None:
        """Raise if *key* was held here and is not any more."""
        lease = self._held.get(key)
        if lease is not None and not self._is_sure(lease):
            msg = (
                f"the lock of {key!r} was lost: {self._engine.where} did not hear from this "
                f"process within the lease of {self.seconds:g} s, or forgot the lock. Nothing was "
                "written. Was the event loop blocked? A longer lease= helps"
            )
            raise SessionLockLostError(msg, key=key)

    def _is_sure(self, lease: Lease) -> bool:
        if lease.lost or time.monotonic() >= lease.until:
            return False
        return not self._engine.is_lost(lease)

    async def take(self, key: str, pause: Callable[[float], Any]) -> Lease:
        """Wait until *key* is free, and hold it."""
        began, wait = time.monotonic(), _SHORTEST_PAUSE
        while True:
            lease = Lease(key, self.seconds)
            try:
                taken = await self._engine.take(lease)
            except BaseException:
                await self._give_back(lease)
                raise
            if taken:
                self._held[key] = lease
                return lease
            if self._patience is not None and time.monotonic() - began >= self._patience:
                raise await self._out_of_patience(key, self._patience)
            paused = pause(wait * random.uniform(0.5, 1))  # noqa: S311 (no secret)
            if paused is not None:
                await paused
            wait = min(wait * 2, _LONGEST_PAUSE)

    async def renew(self, lease: Lease) -> None:
        """Hold *lease* for longer, if it is still ours; an error may pass by itself."""
        until = time.monotonic() + self.seconds
        with suppress(SessionError):
            if await self._engine.renew(lease):
                lease.until = until
            else:
                lease.lost = True

    async def drop(self, key: str, lease: Lease) -> None:
        """Give *key* back; if that fails, the lease ends by itself."""
        self._held.pop(key, None)
        await self._give_back(lease)

    async def _give_back(self, lease: Lease) -> None:
        with suppress(SessionError):
            await self._engine.give_back(lease)

    async def _out_of_patience(self, key: str, patience: float) -> SessionLockTimeoutError:
        holder = await self._engine.holder(key) or "that has just given it back"
        msg = (
            f"key {key!r} was not free within {patience:g} s; held by process {holder} "
            "(host, number)"
        )
        return SessionLockTimeoutError(msg, key=key, timeout=patience)


class LeaseLock:
    """A lock over an engine that waits for an event loop: derive a class of it.

    Args:
        engine: Takes and frees keys.
        guards: Those of the storage whose sessions it locks; they keep it from writing
            what is not locked any more.
        lease: How long a key stays locked after its holder was last heard of.
        patience: How long ``acquire`` waits; None: no limit.

    Raises:
        TypeError: *lease* or *patience* is not a span of time.
        ValueError: *lease* or *patience* is not positive and finite.
    """

    def __init__(
        self,
        engine: LockEngine,
        guards: list[Callable[[str], object]],
        *,
        lease: timedelta | float = 30,
        patience: timedelta | float | None = 60,
    ) -> None:
        self._leases = _Leases(engine, guards, lease, patience)
        self._renewals: set[asyncio.Task[None]] = set()

    async def acquire(self, key: str, /) -> Lease:
        """Wait for *key*.

        Raises:
            SessionLockTimeoutError: It was not free in time; says who holds it.
            SessionError: The server does not answer.
        """
        lease = await self._leases.take(key, asyncio.sleep)
        self._plan(lease)
        return lease

    async def release(self, key: str, held: Lease, /) -> None:
        """Give *key* back; if the server does not answer, its lease ends by itself."""
        held.timer.cancel()
        await self._leases.drop(key, held)

    def _plan(self, lease: Lease) -> None:
        loop = asyncio.get_running_loop()
        lease.timer = loop.call_later(self._leases.seconds / 3, self._begin, lease)

    def _begin(self, lease: Lease) -> None:
        self._plan(lease)
        renewal = asyncio.get_running_loop().create_task(self._leases.renew(lease))
        self._renewals.add(renewal)
        renewal.add_done_callback(self._renewals.discard)


class BlockingLeaseLock:
    """A ``LeaseLock`` for programs of threads, over an engine that blocks."""

    def __init__(
        self,
        engine: LockEngine,
        guards: list[Callable[[str], object]],
        *,
        lease: timedelta | float = 30,
        patience: timedelta | float | None = 60,
    ) -> None:
        self._leases = _Leases(engine, guards, lease, patience)
        self._mutex = threading.Lock()
        self._renewed: set[Lease] = set()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self, key: str, /) -> Lease:
        """Wait for *key*; as in ``LeaseLock``."""
        lease = run_sync(self._leases.take(key, time.sleep))
        with self._mutex:
            self._renewed.add(lease)
            if self._thread is None or not self._thread.is_alive():
                name = "sessionkit lock renewal"
                self._thread = threading.Thread(target=self._renew, name=name, daemon=True)
                self._thread.start()
        return lease

    def release(self, key: str, held: Lease, /) -> None:
        """Release *key*."""
        with self._mutex:
            self._renewed.discard(held)
            if not self._renewed:
                self._wake.set()
        run_sync(self._leases.drop(key, held))

    def _renew(self) -> None:
        while True:
            self._wake.wait(self._leases.seconds / 3)
            with self._mutex:
                self._wake.clear()
                leases = list(self._renewed)
                if not leases:
                    self._thread = None
                    return
            for lease in leases:
                run_sync(self._leases.renew(lease))
