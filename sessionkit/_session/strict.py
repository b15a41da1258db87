"""A strict session, as users hold it: its data is at hand as soon as it is open."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from sessionkit._session.moving import move_to
from sessionkit._session.pausing import paused
from sessionkit._session.record import Record
from sessionkit._session.settings import required_key
from sessionkit._session.stored import KEYLESS, OPEN, wait_for

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

S = TypeVar("S")

_STATES = ("not open yet", "open", "without a key", "paused", "closed")


class Session(Generic[S]):
    """One open session: the data of one key, held under its lock.

    You get it as ``async with sessions.open(...) as session``, as the argument
    of a handler, or by ``sessions.of(ctx)``.  What changed is written when the
    update ends well.  Every use after that raises ``SessionClosedError``.
    """

    __slots__ = ("_record",)

    _record: Record[S]

    def __init__(self, record: Record[S]) -> None:
        _set_record(self, record)

    def __repr__(self) -> str:
        record = self._record
        state = _STATES[KEYLESS if record.key is None else record._state]
        return f"<{type(self).__name__} {record.key!r}, {state}>"

    def __getitem__(self, name: object) -> NoReturn:
        raise TypeError(not_the_data(f"[{name!r}]"))

    def __setitem__(self, name: object, value: object) -> NoReturn:
        raise TypeError(not_the_data(f"[{name!r}]"))

    if not TYPE_CHECKING:  # checkers know better what is missing

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(not_the_data(f".{name}"))

        def __setattr__(self, name: str, value: object) -> None:
            if not hasattr(type(self), name):
                raise AttributeError(not_the_data(f".{name} = ..."))
            super().__setattr__(name, value)

    @property
    def key(self) -> str | None:
        """The key, without prefix; None if this update has none."""
        return self._record.key

    @property
    def has_key(self) -> bool:
        """Whether this update has a session at all."""
        return self._record.key is not None

    @property
    def data(self) -> S:
        """The data: change it in place, assign to replace it, assign None or ``del`` to delete.

        Raises:
            NoSessionKeyError: This update has no session.
            NoInitialDataError: Nothing is stored, and there is no ``initial``.
            SessionClosedError: The session has ended, or is paused.
        """
        return self._record._shown()  # type: ignore[no-any-return]  # an S, if handlers keep to it

    @data.setter
    def data(self, value: S | None) -> None:
        self._record._assign(value)

    @data.deleter
    def data(self) -> None:
        self._record._assign(None)

    @property
    def is_new(self) -> bool:
        """Whether nothing is stored under this key."""
        return not self._used()._stored

    @property
    def is_changed(self) -> bool:
        """Whether the end of the update would write or delete something."""
        return self._used()._change() is not None

    @property
    def update_id(self) -> str | None:
        """The identity of this update, such as ``"42:1001"``: see ``once=``.

        None without ``once=``, and where other sessions carry the id of the update.
        """
        return self._record._update_id

    @property
    def redelivered(self) -> bool:
        """Whether this update has run before, and saved something, and did not end: see ``once=``.

        What that run saved is in the data.
        """
        return self._used()._redelivered

    async def save(self, *, force: bool = False) -> None:
        """Write what changed, now, and stay open; *force* writes unchanged data too.

        What was saved stays, whatever the handler does afterwards.

        Raises:
            SessionConflictError: Somebody else wrote in between; see ``on_conflict``.
            SessionEncodeError: The data cannot be stored; the stored value was kept.
        """
        await wait_for(self._used()._save(force=force))

    async def reload(self) -> None:
        """Read the data again; what was not saved is lost."""
        record = self._used()
        await wait_for(record._load())
        record._show(record._data)

    def revert(self) -> None:
        """Make the data what it was when it was loaded, or last saved."""
        self._used()._revert()

    def reset(self) -> None:
        """Make the data what ``initial`` gives.

        Raises:
            NoInitialDataError: There is no ``initial``.
        """
        self._used()._reset()

    async def delete(self) -> None:
        """Delete what is stored, now; the data becomes None."""
        record = self._used()
        record._show(None)
        await wait_for(record._save())

    async def move(self, new_key: str | int, merge: Callable[[S, S], S] | None = None) -> None:
        """Store the data under *new_key* instead, now; the session goes on there.

        *merge* is called with the data stored under *new_key* and with this
        session's, and returns what is to be stored.  A session without data
        just goes on with what is there.

        Raises:
            SessionConflictError: Both keys have data, and there is no *merge*.
        """
        await move_to(self._record, required_key(new_key), merge)

    def paused(self, *others: object) -> AbstractAsyncContextManager[None]:
        """Save and let go of all keys of the update for a slow call; lock and reload after it.

        Those are all sessions that are open on the context of this one, of whatever
        ``Sessions``, and *others* that were opened by key.  Other updates get through
        meanwhile.  No data can be touched inside: take what you need before, and look
        again after, for it is another object then.  Whatever ends the pause, the keys
        are waited for once more, all or none, within ``lock_timeout``; a cancelled
        handler waits, too.

        Raises:
            SessionDeadlockError: Before the pause: this handler has another key open, which
                is not among *others*.
            SessionClosedError: ``ctx.session`` was assigned to inside, or the session has
                ended meanwhile.
            SessionLockTimeoutError: A key cannot be had again; the data stays out of reach.
        """
        return paused(self._used(), others)

    def discard(self) -> None:
        """Write nothing at the end but what was saved: for handlers that fail unseen."""
        self._record._discarded = True

    def _used(self) -> Record[S]:
        record = self._record
        if record._state != OPEN:
            raise record._unusable()
        return record


_set_record: Any = vars(Session)["_record"].__set__


def handle_of(record: Record[S]) -> Session[S]:
    """Return the ``Session`` of a record, the same until it ends."""
    handle: Session[S] | None = record._handle
    if handle is None:
        handle = record._handle = Session(record)
    return handle


def not_the_data(step: str) -> str:
    """The text for those who take the session for its data."""
    return f"this is the Session; its data is one step away: write session.data{step}"
