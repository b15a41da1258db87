"""A lazy session: nothing is locked, read or written until somebody asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, Generic, Self, TypeGuard, TypeVar

from sessionkit import keys
from sessionkit._drive import discard, is_awaitable
from sessionkit._life.attach import Attached
from sessionkit._life.lazy_data import LazyData
from sessionkit._life.record import CLOSED, FRESH, KEYLESS, LENT, NEW, OPEN, PAUSED
from sessionkit._life.seats import MISSING, seat_for
from sessionkit._life.settings import KeyFunction, Settings, check_key
from sessionkit._life.strict import Session
from sessionkit._life.sync import SyncLazySession
from sessionkit._types import ANY
from sessionkit.errors import SessionEncodeError, SessionError

S = TypeVar("S")

UNASKED: Final[Any] = object()
"""In place of a key for which the key function was not asked yet."""

_READ_THE_UPDATE: Final = (
    keys.chat,
    keys.chat_or_user,
    keys.topic,
    keys.user,
    keys.user_in_chat,
    keys.user_in_topic,
)


def may_be_asked_late(get_key: KeyFunction) -> bool:
    """Whether a key function may as well be asked late, or never: an update stays as it is."""
    return any(get_key is known for known in _READ_THE_UPDATE)


class LazySession(Attached, LazyData[S], Generic[S]):
    """One lazy session: opened by the first ``await``, written at the end if it changed.

    ``await session`` and ``await session.data`` are the same.  Assigning to
    ``session.data`` needs no read: then whatever is stored is overwritten.
    """

    __slots__ = (
        "__weakref__",
        "_assigned",
        "_assignments",
        "_gate",
        "_key",
        "_record",
        "_settings",
        "_state",
    )

    _settings: Settings
    _key: str | None
    _state: int

    @classmethod
    def for_key(cls, settings: Settings, key: str | None) -> Self:
        """Make one; there is no ``__init__`` because express leaves most slots empty."""
        session = cls()
        session._settings = settings
        session._key = key
        session._state = NEW
        session._ctx = None
        session._fill_slots()
        return session

    def _fill_slots(self) -> None:
        self._record: Session[S] = Session(self._settings, None)
        """Gets the key when it is opened."""
        self._assigned: list[Any] = []
        """What was assigned: the last counts, and an awaitable may ask for the one before."""
        self._assignments = 0
        self._gate: asyncio.Lock | None = None
        self._seat = None
        self._before = MISSING

    def __repr__(self) -> str:
        states = ("untouched", "open", "untouched", "without a key", "", "closed", "untouched")
        return f"<{type(self).__name__} {self.key!r}, {states[self._told_state()]}>"

    def __await__(self) -> Generator[Any, Any, S]:
        return self._get().__await__()

    @property
    def key(self) -> str | None:
        """The key, without prefix; None if this update has none."""
        if self._key is UNASKED:
            settings = self._settings
            key = check_key(settings.get_key(self._ctx))
            self._key = settings.followed(key) if key is not None and settings.moved else key
        return self._key

    @property
    def has_key(self) -> bool:
        """Whether this update has a session at all."""
        return self.key is not None

    @property
    def data(self) -> LazyData[S]:
        """To be awaited: the data.  Assign data, or an awaitable of data; None deletes.

        Awaiting, and assigning, raise:
            NoSessionKeyError: This update has no session.
            NoInitialDataError: Nothing is stored, and there is no ``initial``.
            SessionClosedError: The session has ended.
        """
        return self

    @data.setter
    def data(self, value: S | Awaitable[S] | None) -> None:
        self.assigned(value)

    @data.deleter
    def data(self) -> None:
        self.assigned(None)

    @property
    def is_new(self) -> bool:
        """Whether nothing is stored under this key.

        Raises:
            SessionError: The session was not read yet: await it first.
        """
        self._use()
        if self._state != OPEN or self._record._revision is ANY:
            msg = f"the lazy session {self.key!r} was not read yet: await ctx.session first"
            raise SessionError(msg, key=self._full_key)
        return self._record.is_new

    @property
    def is_changed(self) -> bool:
        """Whether the end of the update would write or delete something."""
        self._use()
        if self._assigned:
            return True
        return self._state == OPEN and self._record.is_changed

    async def save(self, *, force: bool = False) -> None:
        """Write what changed, now, and stay open; see ``Session.save``."""
        self._use()
        if force or not self._is_untouched():
            await (await self._opened()).save(force=force)

    async def reload(self) -> None:
        """Read the data anew; what was not saved is lost."""
        self._use()
        self._drop_assigned()
        unread = self._state == NEW
        record = await self._opened()
        if not unread:
            await record.reload()

    async def revert(self) -> None:
        """Make the data what it was when it was loaded, or last saved."""
        self._use()
        self._drop_assigned()
        record = await self._opened()
        if record._revision is ANY:  # it was never loaded
            await record.reload()
        else:
            record.revert()

    async def reset(self) -> None:
        """Make the data what ``initial`` gives."""
        self._use()
        self._drop_assigned()
        (await self._opened()).reset()

    async def delete(self) -> None:
        """Delete what is stored, now, without reading it; the data becomes None."""
        self.assigned(None)
        await self.save()

    async def move(self, new_key: str | int, merge: Callable[[S, S], S] | None = None) -> None:
        """Store the data under *new_key* instead, now; see ``Session.move``."""
        record = await self._opened()
        await record.move(new_key, merge)
        self._key = record.key

    @asynccontextmanager
    async def paused(self) -> AsyncGenerator[None, None]:
        """Save and let go of the key for a slow call; see ``Session.paused``."""
        self._use()
        if self._is_untouched():
            yield  # nothing is held
            return
        async with (await self._opened()).paused():
            yield

    def shown(self) -> Any:
        """What ``ctx.session`` gives: this, to be awaited; in threads its view."""
        return SyncLazySession[S](self) if self._settings.backend.blocking else self

    def assigned(self, value: S | Awaitable[S] | None) -> None:
        """``ctx.session = value``: counts from now on, and is written at the end."""
        self._use()
        if not self._is_itself(value):
            self._assign(value)

    def fail(self) -> None:
        """Write nothing at the end but what was saved."""
        self._unfold()
        if self._state != CLOSED:
            self._record.fail()

    # Reading, and taking over what was assigned

    async def _get(self) -> S:
        self._use()
        if self._assigned and not is_awaitable(self._assigned[-1]):
            return self._assigned[-1]  # type: ignore[no-any-return]  # an assignment needs no read
        record = await self._opened()
        if self._assigned:  # an awaitable, while the read was in flight
            return await self._get()
        return record.data

    async def _opened(self) -> Session[S]:
        """The strict session behind this one, open, with what was assigned as its data."""
        self._use()
        while self._assigned and is_awaitable(self._assigned[-1]):
            await self._resolve()
        await self._open()
        self._use()  # it may have been assigned, or closed, meanwhile
        if self._assigned and not is_awaitable(self._assigned[-1]):
            self._record._show(self._assigned[-1])
            self._assigned.clear()
        return self._record

    async def _open(self) -> None:
        """Lock and read, once: whoever else asks meanwhile waits for it."""
        if self._state == OPEN:
            return
        if self._settings.backend.blocking:
            await self._begin_record()
            return
        if self._gate is None:
            self._gate = asyncio.Lock()
        async with self._gate:
            if self._state == NEW:
                await self._begin_record()

    async def _begin_record(self) -> None:
        self._record.key, self._record._ctx = self.key, self._ctx
        if self._assigned:
            await self._record._begin_unread()
        else:
            await self._record._begin()
        self._key = self._record.key  # the chat may have moved
        if self._state == CLOSED:  # the update did not wait for whoever wanted this
            self._record.fail()
            await self._record._end()
            raise self._unusable()
        self._state = OPEN

    async def _resolve(self) -> None:
        """Await what was assigned.

        While it runs, awaiting the session gives the data before the assignment:
        ``ctx.session = changed(ctx.session)`` would otherwise wait for itself.
        """
        awaitable, assignments = self._assigned.pop(), self._assignments
        value = await awaitable
        self._use()
        if self._assignments != assignments:
            return  # what it assigned itself, or somebody else meanwhile, is newer
        if value is None:
            msg = (
                f"the awaitable assigned to the session {self.key!r} gave None: forgot return? "
                "Only None itself deletes. The stored value was kept."
            )
            raise SessionEncodeError(msg, key=self._full_key)
        self._put(value)  # no assignment of its own: whoever awaits this goes on from it

    def _assign(self, value: Any) -> None:
        self._assignments += 1
        self._put(value)

    def _put(self, value: Any) -> None:
        if not is_awaitable(value):
            self._drop_assigned()
        self._assigned.append(value)

    def _drop_assigned(self) -> None:
        for value in self._assigned:
            discard(value)
        self._assigned.clear()

    def _is_untouched(self) -> bool:
        return self._state == NEW and not self._assigned

    def _is_itself(self, value: object) -> bool:
        return value is self or (_is_view(value) and value._session is self)

    def _use(self) -> None:
        """Raise unless the data can be had; take over what was assigned on a plain context."""
        self._unfold()
        if self._state == CLOSED or self.key is None:
            raise self._unusable()
        if self._record._state == PAUSED:
            raise self._record._unusable()
        self._notice_assignment()

    def _notice_assignment(self) -> None:
        if self._seat is None:
            return
        value = self._seat.look(self._ctx)
        if not self._is_itself(value):
            self._seat.put(self._ctx, self.shown())
            self._assign(None if value is MISSING else value)

    def _unfold(self) -> None:
        """Do what an express lane left undone."""
        if self._state in (FRESH, LENT):
            self._fill_slots()
            if self._state == FRESH:
                self._seat = seat_for(self._ctx, self._settings.attribute)
                self._register_marked(self._settings.seated)
            self._state = NEW

    def _unusable(self) -> SessionError:
        record = Session[S](self._settings, self.key)
        record._state, record._ctx = self._told_state(), self._ctx
        return record._unusable()

    def _told_state(self) -> int:
        return KEYLESS if self.key is None else self._state

    @property
    def _full_key(self) -> str:
        return f"{self._settings.prefix}{self.key}"

    # Begin and end

    def _holders(self) -> Iterable[object]:
        return (self._record,)

    def _leave(self) -> None:
        self._detach(self._settings.seated)

    def _settle_on(self, ctx: Any, *, show: bool) -> None:
        self._attach(ctx, self._settings, self.shown(), show=show)

    async def _begin(self, *, seen: bool = False) -> None:
        """Do nothing: that is the point of it."""

    async def _end(self, error: BaseException | None = None) -> None:
        """Write what was assigned or changed, if anything was."""
        self._unfold()
        try:
            await self._take_last_assignment(error)
        except BaseException as failure:
            error = failure
            raise
        finally:
            if self._finish():
                await self._record._end(error)

    def _finish(self) -> bool:
        """Leave the context; return whether the session behind is open, and has to be ended."""
        self._notice_assignment()
        self._drop_assigned()
        self._leave()
        opened, self._state = self._state == OPEN, CLOSED
        return opened

    async def _take_last_assignment(self, error: BaseException | None) -> None:
        if self._record._state == PAUSED or not self._record._is_to_be_saved(error):
            return
        self._notice_assignment()
        if error is not None and self._assigned and self.key is None:
            return  # the handler's own error is the one to see
        while self._assigned:
            await self._opened()


def _is_view(value: object) -> TypeGuard[SyncLazySession[Any]]:
    return isinstance(value, SyncLazySession)
