"""A strict session: its data is at hand as soon as it is open."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from sessionkit._drive import resolve
from sessionkit._life.record import CLOSED, KEYLESS, LENT, OPEN, PAUSED, Record
from sessionkit._life.seats import MISSING
from sessionkit._life.settings import check_key
from sessionkit._locks.table import disown, own
from sessionkit.errors import NoSessionKeyError, SessionConflictError

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

S = TypeVar("S")


class Session(Record[S]):
    """One open session: the data of one key, held under its lock.

    You get it as ``async with sessions.open(...) as session``, as the argument
    of a handler, or by ``sessions.of(ctx)``.  What changed is written when the
    update ends well.  Every use after that raises ``SessionClosedError``.
    """

    __slots__ = ()

    key: str | None

    def __repr__(self) -> str:
        states = ("open", "open", "not open yet", "without a key", "paused", "closed", "open")
        state = KEYLESS if self.key is None else self._state
        return f"<{type(self).__name__} {self.key!r}, {states[state]}>"

    def __getitem__(self, name: object) -> NoReturn:
        msg = f"this is the Session, its data is one step away: session.data[{name!r}]"
        raise TypeError(msg)

    @property
    def has_key(self) -> bool:
        """Whether this update has a session at all."""
        return self.key is not None

    @property
    def data(self) -> S:
        """The data: change it in place, assign to replace it, assign None or ``del`` to delete.

        Raises:
            NoSessionKeyError: This update has no session.
            NoInitialDataError: Nothing is stored, and there is no ``initial``.
            SessionClosedError: The session has ended, or is paused.
        """
        if self._state == LENT:
            return self._data  # type: ignore[no-any-return]  # as below
        self._use()
        data = self._look()
        if data is MISSING:
            raise self._no_initial()
        return data  # type: ignore[no-any-return]  # what handlers made of it is an S

    @data.setter
    def data(self, value: S | None) -> None:
        if self._state == LENT:
            self._data = value
            return
        self._use()
        self._show(value)

    @data.deleter
    def data(self) -> None:
        self._use()
        self._show(None)

    @property
    def is_new(self) -> bool:
        """Whether nothing is stored under this key."""
        self._use()
        return not self._stored

    @property
    def is_changed(self) -> bool:
        """Whether the end of the update would write or delete something."""
        self._use()
        return self._change() is not None

    async def save(self, *, force: bool = False) -> None:
        """Write what changed, now, and stay open; *force* writes unchanged data too.

        What was saved stays, whatever the handler does afterwards.

        Raises:
            SessionConflictError: Somebody else wrote in between; see ``on_conflict``.
            SessionEncodeError: The data cannot be stored; the stored value was kept.
        """
        self._use()
        await self._save(force=force)

    async def reload(self) -> None:
        """Read the data anew; what was not saved is lost."""
        self._use()
        await self._load()
        self._show(self._data)

    def revert(self) -> None:
        """Make the data what it was when it was loaded, or last saved."""
        self._use()
        data, self._base, self._residue = self._as_loaded()
        self._show(data)

    def reset(self) -> None:
        """Make the data what ``initial`` gives.

        Raises:
            NoInitialDataError: There is no ``initial``.
        """
        self._use()
        data, frozen, residue = self._begun_anew()
        if data is MISSING:
            raise self._no_initial()
        if not self._stored:  # then this is what a missing session reads as, and no change
            self._base = frozen
        self._residue = residue
        self._show(data)

    async def delete(self) -> None:
        """Delete what is stored, now; the data becomes None."""
        self._use()
        self._show(None)
        await self._save()

    async def move(self, new_key: str | int, merge: Callable[[S, S], S] | None = None) -> None:
        """Store the data under *new_key* instead, now; the session goes on there.

        *merge* is called with the data stored under *new_key* and with this
        session's, and returns what is to be stored.  A session without data
        just goes on with what is there.

        Raises:
            SessionConflictError: Both keys have data, and there is no *merge*.
        """
        self._use()
        target = Session[S](self._settings, required_key(new_key))
        if target.key == self.key:
            return
        await target._begin()
        try:
            await self._move_into(target, merge)
        except BaseException:
            await target._release()
            raise
        await self._become(target)

    async def _move_into(self, target: Session[S], merge: Callable[[S, S], S] | None) -> None:
        mine = self._look()
        if mine is None or mine is MISSING or not (self._stored or self._change()):
            await self._save()  # deleted, and not yet written
            return
        if target._stored:
            if merge is None:
                msg = (
                    f"{self._full_key!r} and {target._full_key!r} both have data: give "
                    "merge=function(theirs, mine); nothing was changed"
                )
                raise SessionConflictError(msg, key=target._full_key)
            target._show(await self._merged(merge, target))
            target._residue = target._residue or self._residue
        else:
            target._show(mine)
            target._residue = self._residue
        await target._save(force=True)
        self._show(None)
        try:
            await self._save()
        except BaseException:  # the data is in both places now
            self._show(mine)
            raise

    async def _merged(self, merge: Callable[[S, S], S], target: Session[S]) -> S:
        merged = await resolve(merge(target._look(), self._look()))
        if merged is None:
            msg = "the merge function given to move() returned None: forgot return?"
            raise TypeError(msg)
        return merged

    async def _become(self, target: Session[S]) -> None:
        """Take over key, lock and data of *target*, which is at hand nowhere else."""
        try:
            await self._release()
        finally:
            self._take_over(target)

    def _take_over(self, target: Session[S]) -> None:
        disown(target)
        self.key = target.key
        self._base, self._residue = target._base, target._residue
        self._stored, self._revision = target._stored, target._revision
        self._holds_key, self._held_outside = True, target._held_outside
        if self._settings.locked:
            self._settings.locks.held[self._full_key] = self
            own(self)
        target._state = CLOSED
        self._show(target._data)

    def paused(self) -> AbstractAsyncContextManager[None]:
        """Save and let go of the key for a slow call; lock and reload after it.

        Other updates of this chat get through meanwhile.  The data cannot be
        touched inside: take what you need before, and look again after, for it
        is another object then.  Whatever ends the pause, the key is waited for
        once more; a cancelled handler waits, too.

        Raises:
            SessionClosedError: ``ctx.session`` was assigned to inside.
            SessionLockTimeoutError: The key cannot be had again; the data stays out of reach.
        """
        self._use()
        return self._pause()

    @asynccontextmanager
    async def _pause(self) -> AsyncGenerator[None, None]:
        await self._save()
        self._state = PAUSED
        self._show(MISSING)
        await self._release()
        try:
            yield
            self._refuse_changes()
        except Exception:  # a handler may catch it, and go on with the data
            await self._resume()
            raise
        except CancelledError:  # asyncio.timeout() may catch that one
            with suppress(Exception):
                await self._resume()
            raise
        await self._resume()

    def _refuse_changes(self) -> None:
        """Raise if a plain attribute was assigned to while nobody could notice."""
        if self._look() is not MISSING:
            raise self._unusable()

    async def _resume(self) -> None:
        await self._acquire()
        await self._load()
        self._state = OPEN
        self._show(self._data)

    def shown(self) -> S:
        """What ``ctx.session`` gives: the data."""
        return self.data

    def assigned(self, value: S | None) -> None:
        """``ctx.session = value``: replaces the data."""
        self._use()
        self._show(value)

    def fail(self) -> None:
        """Write nothing at the end but what was saved: for adapters whose handlers fail unseen."""
        self._unfold()
        self._failed = True


def required_key(key: Any) -> str:
    """Return *key* as text; None raises."""
    checked = check_key(key)
    if checked is None:
        msg = "None is no session key: there is nothing to open"
        raise NoSessionKeyError(msg)
    return checked
