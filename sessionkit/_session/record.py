"""One key in one update: locked, loaded, written, released.

Each step is a plain call.  It does all that can be done at once and returns None; where
something has to be waited for (the lock, a storage that answers with an awaitable) it
returns a coroutine that does the rest, which the caller awaits right away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from sessionkit._session.context import Slots, StandIn
from sessionkit._session.serializer import MISSING
from sessionkit._session.settings import Settings
from sessionkit._session.stored import (
    CLOSED,
    KEYLESS,
    OPEN,
    Rest,
    Stored,
    wait_for,
)
from sessionkit._storage.sync_or_async import is_awaitable, resolve, settle
from sessionkit.protocols import ANY, SessionLock

S = TypeVar("S")


class Record(Stored[S]):
    """The life of one key's data in one update, written once for all kinds of sessions."""

    __slots__ = ("_token",)

    _token: Any
    """What ``lock=`` gave when it was acquired."""
    _update_id: str | None = None
    """The id of the update that is stored with the data: see ``OnceRecord``."""
    _redelivered: bool = False

    def _holders(self) -> Iterable[Record[Any]]:
        """Who holds a key in the lock tables."""
        return (self,)

    # Begin

    def _begin(self, slots: Slots | None = None) -> Rest:
        """Show on the context as *slots* say, lock and load, if there is a key.

        If that fails, nothing of it was done.
        """
        settings = self._settings
        if slots is not None:
            self._attach(settings, slots)
        if self.key is None:
            self._state = KEYLESS
            self._show(MISSING)
            return None
        full_key = self._full_key
        hold, fetch = settings.hold, settings.fetch  # as methods they take longer to call
        if hold(full_key, self) is self:
            self._held = True
        else:
            rest = self._acquire()
            if rest is not None:
                return self._begin_after(rest)
        if settings.moved:
            return self._begin_after(self._follow())
        try:
            answer = fetch(full_key)
            if type(answer) is not tuple and is_awaitable(answer):
                return self._begin_after(None, self._load_later(answer))
            self._take(answer)
        except BaseException:
            self._let_go()
            self._leave()
            raise
        self._state = OPEN
        data = self._data
        if self._plain is not None and data is not MISSING:
            setattr(self._ctx, self._plain, data)
        elif self._slot is not None:
            self._show(data)
        return None

    async def _begin_after(self, acquiring: Rest, loading: Rest = None) -> None:
        self._show(MISSING)
        try:
            await wait_for(acquiring)
            if loading is None:
                if self._settings.moved:
                    await self._follow()
                loading = self._load()
            await wait_for(loading)
        except BaseException:
            try:
                await wait_for(self._release())
            finally:
                self._leave()
            raise
        self._opened()

    def _opened(self) -> None:
        if self._state != CLOSED:  # while it was read after a pause
            self._state = OPEN
            if self._slot is not None:
                self._show(self._data)

    def _begin_unread(self) -> Rest:
        """Lock only: whatever is stored is to be overwritten."""
        self._stored, self._revision = True, ANY
        self._base = self._unknown = self._kept_beside = None
        self._state = OPEN
        return self._acquire_and_follow()

    def _acquire_and_follow(self) -> Rest:
        settings = self._settings
        hold, rest = settings.hold, None
        if hold(self._full_key, self) is self:
            self._held = True
        else:
            rest = self._acquire()
        if rest is None and not settings.moved:
            return None
        return self._follow_after(rest)  # it may move while this waits

    async def _follow_after(self, acquiring: Rest) -> None:
        await wait_for(acquiring)
        await self._follow()

    # Lock

    def _locks(self) -> bool:
        """Whether others wait while it holds its key."""
        return self._settings.locked or self._settings.lock is not None

    def _acquire(self, spent: float = 0.0) -> Rest:
        """Wait for the key, no longer than ``lock_timeout`` leaves after *spent* seconds."""
        settings = self._settings
        if settings.locked and settings.held.setdefault(self._full_key, self) is not self:
            return self._acquire_later(spent)
        if settings.lock is not None:
            return self._acquire_outside(settings.lock)
        self._held = True
        return None

    async def _acquire_later(self, spent: float) -> None:
        settings = self._settings
        timeout = settings.lock_timeout
        left = None if timeout is None else max(timeout - spent, 0.0)
        await settings.locks.wait(self._full_key, self, left)
        if settings.lock is not None:
            await self._acquire_outside(settings.lock)
        else:
            self._held = True

    def _is_locked_out(self) -> bool:
        """Whether another session of this process has the key."""
        settings = self._settings
        return settings.locked and settings.held.get(self._full_key) is not self

    async def _acquire_outside(self, lock: SessionLock) -> None:
        """Acquire the lock that also holds between processes."""
        try:
            self._token = await resolve(lock.acquire(self._full_key))
        except BaseException:
            self._let_go()
            raise
        self._held = True  # not before: who ends it meanwhile has nothing to give back

    async def _follow(self) -> None:
        """Go on under the key to which this chat has moved, if it has."""
        if self._has_moved():
            await wait_for(self._release())
            self._rename()
            await wait_for(self._acquire())

    def _has_moved(self) -> bool:
        settings = self._settings
        moved = self._ctx is not None and bool(settings.moved)
        return moved and settings.followed(str(self.key)) != self.key

    def _rename(self) -> None:
        settings = self._settings
        key = settings.followed(str(self.key))
        self.key: str | None = key
        self._full_key: str = settings.prefix + key

    def _release(self) -> Rest:
        """Give the key back; a no-op if it is not held."""
        if self._settings.lock is not None:
            return self._release_later()
        if self._held:
            self._let_go()
        return None

    async def _release_later(self) -> None:
        lock = self._settings.lock
        if lock is None or not self._held:
            return
        try:
            answer = lock.release(self._full_key, self._token)
            if is_awaitable(answer) and not self._settings.backend.blocking:
                answer = settle(answer)  # cut short, it would keep all others out
            await resolve(answer)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        self._held = False
        settings = self._settings
        if settings.locked:
            del settings.held[self._full_key]
            if settings.waiting:
                settings.locks.hand_over(self._full_key)

    # End

    def _end(self, error: BaseException | None = None) -> Rest:
        """Write what is to be written, and let go."""
        if self._writing is not None:
            return self._end_after_write(error)
        try:
            self._leave()
            if error is None and self._state == OPEN and not self._discarded:
                change = self._change_of(self._data)
                rest = self._renew() if change is None else self._write(change)
            else:
                rest = self._save_at_end(error)
            if rest is not None:
                return self._close_after(rest)
        except BaseException as failure:
            rest = self._close()
            if rest is not None:
                return _raise_after(rest, failure)
            raise
        return self._close()

    async def _end_after_write(self, error: BaseException | None) -> None:
        try:
            await self._settled_write()
        except asyncio.CancelledError as cancellation:
            error = error or cancellation
            raise
        finally:
            await wait_for(self._end(error))

    def _leave(self) -> None:
        """Take the data off the context, and put back what was there before."""
        ctx, name = self._ctx, self._plain
        if name is None:
            open_on = self._settings.open_on
            if ctx is not None and open_on.get(id(ctx)) is self:
                if self._slot is None:
                    del open_on[id(ctx)]
                else:
                    self._data = self._look()
                    self._detach(open_on)
            return
        value = getattr(ctx, name, MISSING)
        if value is MISSING:  # del ctx.session
            self._data = None
        else:
            delattr(ctx, name)
            if type(value) is not StandIn:
                self._data = value
        self._slot = self._plain = None
        del self._settings.open_on[id(ctx)]

    def _save_at_end(self, error: BaseException | None) -> Rest:
        if not self._is_to_be_saved(error):
            return None
        if self._state == OPEN:
            return self._save()
        if self._state == KEYLESS and not (error or self._data is MISSING):
            raise self._unusable()  # assigned to a plain attribute
        return None

    def _is_to_be_saved(self, error: BaseException | None) -> bool:
        if error is None:
            return not self._discarded
        return self._settings.saves_after(error)

    def _close(self) -> Rest:
        self._state = CLOSED
        self._handle = None  # or the garbage collector had to part them
        settings = self._settings
        if settings.ends_late:
            return self._close_late(settings)
        if self._held:
            self._held = False
            del settings.held[self._full_key]
            if settings.waiting:
                settings.locks.hand_over(self._full_key)
        return None

    def _close_late(self, settings: Settings) -> Rest:
        """Do the same where there is more to do than to give a key back to the lock table."""
        if settings.kept is not None:
            self._remember(settings.kept)
        return self._release()

    async def _close_after(self, rest: Coroutine[Any, Any, None]) -> None:
        try:
            await rest
        finally:
            await wait_for(self._close())


async def _raise_after(rest: Coroutine[Any, Any, None], failure: BaseException) -> None:
    await rest
    raise failure
