"""A lazy session: nothing is locked, read or written until somebody asks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from sessionkit import keys
from sessionkit._session.context import Attached, Slots
from sessionkit._session.flavors import LazyData
from sessionkit._session.lifecycle import UNASKED
from sessionkit._session.moving import move_to
from sessionkit._session.pausing import paused
from sessionkit._session.record import Record
from sessionkit._session.serializer import MISSING
from sessionkit._session.settings import KeyFunction, Settings, required_key
from sessionkit._session.stored import CLOSED, KEYLESS, NEW, OPEN, PAUSED, Rest, wait_for
from sessionkit._storage.sync_or_async import discard, is_awaitable
from sessionkit.errors import SessionEncodeError, SessionError
from sessionkit.protocols import ANY

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

S = TypeVar("S")

_STATES = ("untouched", "open", "without a key", "paused", "closed")


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


class LazyRecord(Attached, Generic[S]):
    """The life of a lazy session in one update: perhaps that of a ``Record`` within."""

    __slots__ = (
        "__weakref__",
        "_assigned",
        "_assignments",
        "_discarded",
        "_gate",
        "_handle",
        "_key",
        "_record",
        "_settings",
        "_state",
    )

    _settings: Settings
    _key: str | None
    _state: int
    _record: Record[S] | None
    """Of the session, from when it is opened."""
    _assigned: list[Any] | None
    """What was assigned: the last counts, and an awaitable may ask for the one before."""
    _assignments: int
    _gate: asyncio.Lock | None

    def __init__(self, settings: Settings, key: str | None, ctx: Any = None) -> None:
        self._settings = settings
        self._ctx = ctx
        self._key = key
        self._state = NEW
        self._slot = self._plain = self._record = self._assigned = self._gate = None
        self._assignments = 0
        self._discarded = False
        self._handle: LazySession[S] | None = None

    @property
    def key(self) -> str | None:
        """The key, without prefix; None if this update has none."""
        if self._key is UNASKED:
            key: Any = self._settings.key_of(self._ctx)  # at once: these functions are sync
            self._key = key
        return self._key

    def _get(self) -> Generator[Any, Any, S]:
        """Wait for the data."""
        self._notice_assignment()
        if self._assigned is None:
            rest = self._open_now()
            if rest is not None:
                yield from rest.__await__()
                self._notice_assignment()
            record = self._record
            if self._assigned is None and self._state == OPEN and record is not None:
                return record._shown()  # type: ignore[no-any-return]  # an S
        return (yield from self._get_assigned().__await__())

    def _revert(self) -> None:
        self._use()
        self._drop_assigned()
        record = self._record
        if self._state != OPEN or record is None:
            return
        if record._revision is ANY:  # assigned and not yet saved; never loaded
            record._show(MISSING)
        else:
            record._revert()

    def _reset(self) -> None:
        self._use()
        if self._state == OPEN and self._record is not None:
            self._record._reset()
            self._drop_assigned()
            return
        record: Record[S] = Record(self._settings, self.key)
        data = record._initial().data
        if data is MISSING:
            raise record._no_initial()
        self._take(data)

    def _discard(self) -> None:
        self._discarded = True
        if self._record is not None:
            self._record._discarded = True

    def _shown(self) -> Any:
        """What ``ctx.session`` gives: the handle, to be awaited; in threads its view."""
        view, handle = self._settings.view, lazy_handle_of(self)
        return handle if view is None else view(handle)

    def _assign(self, value: S | Awaitable[S] | None) -> None:
        """``ctx.session = value``: counts from now on, and is written at the end."""
        self._use()
        if not self._is_itself(value):
            self._take(value)

    # Reading, and taking over what was assigned

    async def _get_assigned(self) -> S:
        self._use()
        if self._assigned and not is_awaitable(self._assigned[-1]):
            return self._assigned[-1]  # type: ignore[no-any-return]  # an assignment needs no read
        record = await self._opened()
        if self._assigned:  # an awaitable, while the read was in flight
            return await self._get_assigned()
        return record._shown()  # type: ignore[no-any-return]

    async def _opened(self) -> Record[S]:
        """The record, open, with what was assigned as its data."""
        self._use()
        while self._assigned and is_awaitable(self._assigned[-1]):
            await self._resolve()
        await wait_for(self._open_now())
        self._use()  # it may have been assigned, or closed, meanwhile
        record = self._record
        assert record is not None
        if self._assigned and not is_awaitable(self._assigned[-1]):
            record._show(self._assigned[-1])
            self._assigned = None
        return record

    def _open_now(self) -> Rest:
        """Lock and read, once; other tasks that ask meanwhile wait for that."""
        if self._state == OPEN:
            return self._load_if_reverted()
        if self._gate is not None:
            return self._open_in_turn(self._gate)
        self._refuse_unusable()
        rest = self._begin_record()
        if rest is None:
            return None
        if self._settings.backend.blocking:
            return rest
        self._gate = asyncio.Lock()
        return self._open_first(self._gate, rest)

    def _load_if_reverted(self) -> Rest:
        """Read what an assignment without reading was to overwrite, now that it is reverted."""
        record = self._record
        if record is None or record._data is not MISSING or record._revision is not ANY:
            return None
        return record._load()

    async def _open_first(self, gate: asyncio.Lock, rest: Any) -> None:
        async with gate:
            await rest

    async def _open_in_turn(self, gate: asyncio.Lock) -> None:
        async with gate:
            if self._state == NEW:
                await wait_for(self._begin_record())

    def _begin_record(self) -> Rest:
        """Lock and read, or lock only if something was assigned."""
        record: Record[S] = self._settings.record(self._settings, self.key, self._ctx)
        record._discarded = self._discarded
        self._record = record
        rest = record._begin_unread() if self._assigned else record._begin()
        if rest is not None:
            return self._begun_later(record, rest)
        self._state = OPEN
        return None

    async def _begun_later(self, record: Record[S], rest: Any) -> None:
        await rest
        if self._state == CLOSED:  # the update did not wait for this
            record._discarded = True
            await wait_for(record._end())
            raise self._unusable()
        self._key = record.key  # the chat may have moved
        self._state = OPEN

    async def _resolve(self) -> None:
        """Await what was assigned.

        While it runs, awaiting the session gives the data before the assignment:
        ``ctx.session = changed(ctx.session)`` would otherwise wait for itself.
        """
        assigned, assignments = self._assigned or [], self._assignments
        awaitable = assigned.pop()
        if not assigned:
            self._assigned = None
        value = await awaitable
        self._use()
        if self._assignments != assignments:
            return  # what it assigned itself, or another task meanwhile, is newer
        if value is None:
            msg = (
                f"the awaitable assigned to the session {self.key!r} gave None: forgot return? "
                "Only None itself deletes. The stored value was kept."
            )
            raise SessionEncodeError(msg, key=self._full_key)
        self._put(value)  # not an assignment: awaiting the session gives this value

    def _take(self, value: Any) -> None:
        self._assignments += 1
        if value is None and self._record is not None:
            self._record._unknown = None  # as when a strict session is assigned None
        self._put(value)

    def _put(self, value: Any) -> None:
        if not is_awaitable(value):
            self._drop_assigned()
        if self._assigned is None:
            self._assigned = []
        self._assigned.append(value)

    def _drop_assigned(self) -> None:
        for value in self._assigned or ():
            discard(value)
        self._assigned = None

    def _is_untouched(self) -> bool:
        return self._state == NEW and not self._assigned

    def _is_paused(self) -> bool:
        return PAUSED in (self._state, self._record and self._record._state)

    def _is_itself(self, value: object) -> bool:
        handle = self._handle
        if handle is None:
            return False
        return value is handle or getattr(value, "_session", None) is handle

    def _use(self) -> None:
        """Raise unless the data can be had; take over what was assigned on a plain context."""
        self._refuse_unusable()
        self._notice_assignment()

    def _refuse_unusable(self) -> None:
        """Raise unless the data can be had."""
        if self._state == CLOSED or self.key is None:
            raise self._unusable()
        if self._is_paused():
            raise (self._record or self)._unusable()

    def _notice_assignment(self) -> None:
        slot = self._slot
        if slot is None:
            return
        name = slot.plain
        value = slot.look(self._ctx) if name is None else getattr(self._ctx, name, MISSING)
        if value is not self._handle and not self._is_itself(value):
            slot.put(self._ctx, self._shown())
            self._take(None if value is MISSING else value)

    def _unusable(self) -> SessionError:
        record: Record[S] = Record(self._settings, self.key, self._ctx)
        record._state = self._shown_state()
        return record._unusable()

    def _shown_state(self) -> int:
        return KEYLESS if self.key is None else self._state

    @property
    def _full_key(self) -> str:
        return f"{self._settings.prefix}{self.key}"

    # A pause

    def _before_pause(self) -> Coroutine[Any, Any, None] | None:
        """Open it if something was assigned, or wait until somebody else has opened it."""
        self._notice_assignment()
        opening = self._gate is not None and self._gate.locked()
        if (self._assigned or opening) and self._shown_state() in {NEW, OPEN}:
            return self._settle()
        return None

    async def _settle(self) -> None:
        await self._opened()

    def _hide(self) -> None:
        if self._state == NEW:
            self._state = PAUSED

    def _unhide(self) -> None:
        if self._state == PAUSED:
            self._state = NEW
        if self._record is not None:
            self._key = self._record.key  # the chat may have moved

    # Begin and end

    def _holders(self) -> Iterable[Record[Any]]:
        return () if self._record is None else (self._record,)

    def _leave(self) -> None:
        self._detach(self._settings.open_on)

    def _begin(self, slots: Slots | None = None) -> Rest:
        """Nothing is read before somebody asks, but ``ctx.session`` is there to be awaited."""
        if slots is not None:
            self._attach(self._settings, slots)
            if self._plain is not None:
                setattr(self._ctx, self._plain, self._shown())
            elif self._slot is not None:
                self._slot.put(self._ctx, self._shown())
        return None

    def _end(self, error: BaseException | None = None) -> Rest:
        """Write what was assigned or changed, if anything was."""
        name, ctx = self._plain, self._ctx
        if self._assigned is None and name is not None and getattr(ctx, name, None) is self._handle:
            delattr(ctx, name)  # nothing was assigned, and nothing was there before
            self._slot = self._plain = None
            del self._settings.open_on[id(ctx)]
            return self._finish(error)
        if self._slot is not None:
            self._notice_assignment()
        if self._assigned is not None and self._is_to_be_saved(error):
            return self._end_assigned(error)
        self._leave()
        return self._finish(error)

    async def _end_assigned(self, error: BaseException | None) -> None:
        try:
            await self._take_last_assignment(error)
        except BaseException as failure:
            error = failure
            raise
        finally:
            self._notice_assignment()
            self._leave()
            await wait_for(self._finish(error))

    def _finish(self, error: BaseException | None) -> Rest:
        if self._assigned is not None:
            self._drop_assigned()
        opened, self._state = self._state == OPEN, CLOSED
        self._handle = None  # or the garbage collector had to part them
        record = self._record
        return record._end(error) if opened and record is not None else None

    def _closed(self) -> Record[S] | None:
        """Leave the context; return the record if it is open, and has to be ended."""
        self._notice_assignment()
        self._drop_assigned()
        self._leave()
        opened, self._state = self._state == OPEN, CLOSED
        self._handle = None
        return self._record if opened else None

    def _is_to_be_saved(self, error: BaseException | None) -> bool:
        if error is None:
            return not self._discarded
        return self._settings.saves_after(error)

    async def _take_last_assignment(self, error: BaseException | None) -> None:
        if self._is_paused():
            return
        self._notice_assignment()
        if not self._is_to_be_saved(error):
            return
        if error is not None and self._assigned and self.key is None:
            return  # the handler's own error is the one to see
        while self._assigned:
            await self._opened()


class LazySession(LazyData[S]):
    """One lazy session: opened by the first ``await``, written at the end if it changed.

    ``await session`` and ``await session.data`` are the same.  Assigning to
    ``session.data`` needs no read: then whatever is stored is overwritten.
    """

    __slots__ = ("_record",)

    _record: LazyRecord[S]

    def __init__(self, record: LazyRecord[S]) -> None:
        self._record = record

    def __repr__(self) -> str:
        record = self._record
        return f"<{type(self).__name__} {record.key!r}, {_STATES[record._shown_state()]}>"

    def __await__(self) -> Generator[Any, Any, S]:
        return self._record._get()

    @property
    def key(self) -> str | None:
        """The key, without prefix; None if this update has none."""
        return self._record.key

    @property
    def has_key(self) -> bool:
        """Whether this update has a session at all."""
        return self._record.key is not None

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
        self._record._assign(value)

    @data.deleter
    def data(self) -> None:
        self._record._assign(None)

    @property
    def is_new(self) -> bool:
        """Whether nothing is stored under this key.

        Raises:
            SessionError: The session was not read yet: await it first.
        """
        return not self._read()._stored

    def _read(self) -> Record[S]:
        lazy = self._used()
        record = lazy._record
        if lazy._state != OPEN or record is None or record._revision is ANY:
            msg = f"the lazy session {self.key!r} was not read yet: await ctx.session first"
            raise SessionError(msg, key=lazy._full_key)
        return record

    @property
    def is_changed(self) -> bool:
        """Whether the end of the update would write or delete something."""
        lazy = self._used()
        if lazy._assigned:
            return True
        record = lazy._record
        return lazy._state == OPEN and record is not None and record._change() is not None

    @property
    def update_id(self) -> str | None:
        """The identity of this update; see ``Session.update_id``.

        None as well until the session was read.
        """
        record = self._record._record
        return None if record is None else record._update_id

    @property
    def redelivered(self) -> bool:
        """Whether this update has run before; see ``Session.redelivered``.

        Raises:
            SessionError: The session was not read yet: await it first.
        """
        return self._read()._redelivered

    async def save(self, *, force: bool = False) -> None:
        """Write what changed, now, and stay open; see ``Session.save``."""
        lazy = self._used()
        if force or not lazy._is_untouched():
            await wait_for((await lazy._opened())._save(force=force))

    async def reload(self) -> None:
        """Read the data again; what was not saved is lost."""
        lazy = self._used()
        lazy._drop_assigned()
        unread = lazy._state == NEW
        record = await lazy._opened()
        if not unread:
            await wait_for(record._load())
            record._show(record._data)

    def revert(self) -> None:
        """Make the data what it was when it was loaded, or last saved; a no-op if not read.

        What was assigned without reading is forgotten.
        """
        self._record._revert()

    def reset(self) -> None:
        """Make the data what ``initial`` gives; not yet read, this is an assignment.

        Raises:
            NoInitialDataError: There is no ``initial``.
        """
        self._record._reset()

    async def delete(self) -> None:
        """Delete what is stored, now, without reading it; the data becomes None."""
        self._record._assign(None)
        await self.save()

    async def move(self, new_key: str | int, merge: Callable[[S, S], S] | None = None) -> None:
        """Store the data under *new_key* instead, now; see ``Session.move``."""
        lazy = self._record
        record = await lazy._opened()
        await move_to(record, required_key(new_key), merge)
        lazy._key = record.key

    def paused(self, *others: object) -> AbstractAsyncContextManager[None]:
        """Save and let go of all keys of the update for a slow call; see ``Session.paused``."""
        return paused(self._used(), others)

    def discard(self) -> None:
        """Write nothing at the end but what was saved."""
        self._record._discard()

    def _used(self) -> LazyRecord[S]:
        self._record._use()
        return self._record


def lazy_handle_of(record: LazyRecord[S]) -> LazySession[S]:
    """Return the ``LazySession`` of a record, the same until it ends."""
    handle = record._handle
    if handle is None:
        handle = record._handle = LazySession(record)
    return handle
