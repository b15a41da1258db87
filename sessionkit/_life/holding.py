"""The lock of a session: taken before it reads, given back after it wrote."""

from __future__ import annotations

from typing import Any

from sessionkit._drive import is_awaitable, resolve, settle
from sessionkit._life.attach import Attached
from sessionkit._life.settings import Settings
from sessionkit._locks.table import disown, own


class Holding(Attached):
    """A session that holds its key: in this process, and by ``lock=`` beyond it."""

    __slots__ = ("__weakref__", "_held_outside", "_holds_key", "_settings", "key")

    _settings: Settings
    _holds_key: bool
    _held_outside: Any
    key: str | None
    """The key, without prefix; None if this update has none."""

    @property
    def _full_key(self) -> str:
        """The key with its prefix, as the storage knows it."""
        return f"{self._settings.prefix}{self.key}"

    async def _acquire(self, *, seen: bool = False) -> None:
        settings = self._settings
        if settings.locked:
            key, locks = self._full_key, settings.locks
            if locks.held.setdefault(key, self) is not self:
                await locks.wait(key, self, settings.lock_timeout)
            if not seen:
                own(self)
        self._holds_key = True
        if settings.lock is not None:
            try:
                self._held_outside = await resolve(settings.lock.acquire(self._full_key))
            except BaseException:
                self._let_go()
                raise
        if settings.moved and self._ctx is not None:
            await self._follow(seen=seen)

    async def _follow(self, *, seen: bool) -> None:
        """Go on under the key to which this chat has moved, if it has."""
        key = self._settings.followed(str(self.key))
        if key != self.key:
            await self._release()
            self.key = key
            await self._acquire(seen=seen)

    async def _release(self) -> None:
        if not self._holds_key:
            return
        try:
            if self._settings.lock is not None:
                held, self._held_outside = self._held_outside, None
                given_back = self._settings.lock.release(self._full_key, held)
                if is_awaitable(given_back) and not self._settings.backend.blocking:
                    given_back = settle(given_back)  # cut short, it would keep all others out
                await resolve(given_back)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        self._holds_key = False
        if self._settings.locked:
            disown(self)
            self._settings.locks.release(self._full_key)
