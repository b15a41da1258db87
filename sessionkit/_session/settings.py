"""The options of one ``Sessions``, checked, and what follows from them for each update."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias, cast

from sessionkit._data.envelope import open_plain
from sessionkit._locks.table import KeyLocks, locks_of
from sessionkit._session.context import ContextSlots
from sessionkit._session.serializer import Dumped, Serializer
from sessionkit._storage.backend import Backend, Unpacked
from sessionkit._storage.checks import file_lock_of
from sessionkit._storage.sync_or_async import is_awaitable, resolve
from sessionkit.errors import InvalidSessionKeyError, NoSessionKeyError
from sessionkit.keys import parse
from sessionkit.protocols import Expected, MaybeAwaitable, SessionLock

KeyFunction: TypeAlias = Callable[[Any], MaybeAwaitable[str | int | None]]
Merge: TypeAlias = Callable[[Any, Any, Any], Any]
OnConflict: TypeAlias = Literal["raise", "overwrite"] | Merge


class Kept(NamedTuple):
    """The data of an ended session and its snapshot at the end: for ``debug=True``."""

    data: Any
    unknown: Any
    snapshot: bytes | None


_log = logging.getLogger("sessionkit")

_TOO_LONG: Final = 0.05
"""Seconds for which nothing else of an event loop runs that are worth a warning."""


class Watch:
    """Warns, once, if a storage blocks the event loop: for ``debug=True``.

    To look at the clock twice per call costs a tenth of an update in memory.
    """

    def __init__(self, storage: object) -> None:
        self._name = type(storage).__name__
        self._has_warned = False

    def over(self, call: Callable[..., Any], what: str) -> Callable[..., Any]:
        """Return the same call, watched; a warning says *what* it does."""

        def watched(*args: Any) -> Any:
            start = perf_counter()
            answer = call(*args)
            seconds = perf_counter() - start
            if seconds > _TOO_LONG and not self._has_warned:
                self._warn(what, seconds)
            return answer

        return watched

    def _warn(self, what: str, seconds: float) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # a thread may wait
            return
        self._has_warned = True
        _log.warning(
            "%s blocked the event loop for %.0f ms to %s a session, and all chats waited: use a "
            "storage with async methods, or handle updates in threads (sessions.sync)",
            self._name,
            seconds * 1000,
            what,
        )


class SettingsFor(Protocol):
    """Gives the settings of one ``Sessions``, for loops or for threads."""

    def __call__(self, *, blocking: bool) -> Settings: ...


@dataclass(slots=True, eq=False, weakref_slot=True, kw_only=True)
class Settings:
    """What every session of one ``Sessions`` shares."""

    open_on: dict[int, Any]
    """The sessions open on contexts, by ``id`` of these; shared by loops and threads."""
    backend: Backend
    locks: KeyLocks
    get_key: KeyFunction
    prefix: str
    serializer: Serializer
    locked: bool
    lock: SessionLock | None
    file_lock: bool
    """Whether the lock belongs to the storage: ``lock="file"``."""
    lock_timeout: float | None
    on_conflict: OnConflict
    save_on_error: tuple[type[BaseException], ...]
    slots: ContextSlots
    record: Callable[..., Any]
    """Makes what does the work of a session of one key."""
    lazy_record: Callable[..., Any]
    """Makes the same of a lazy session."""
    once: Any = None
    """An ``OnceRules``: how to notice that an update comes again; None if that is not asked for."""
    kept: dict[str, Kept] | None = None
    """In debug mode, the data of ended sessions: to notice changes that came too late."""
    view: Callable[[Any], Any] | None = None
    """For threads: makes what they get to see of a session."""
    data_type: Any = None
    """What the data was declared to be; None if it was not."""
    shared_prefix: bool = False
    """Whether sessions with data of another class may have the same prefix."""
    paused_along: bool = False
    """Whether a pause in the call chain that has these open lets go of them, too.

    They are opened before all others, as the isolation of a framework is."""
    moved: dict[str, str] = field(default_factory=dict[str, str])
    """Where the sessions of chats went that moved while this program ran."""

    # Chosen once, so that no update has to look for them
    place: tuple[bool, str, int] = field(init=False)
    """Where its keys come in the order in which several sessions are locked."""
    hold: Callable[[str, Any], Any] = field(init=False)
    """Takes a free key; gives who holds it, or None where more has to be done."""
    ends_late: bool = field(init=False)
    """Whether the end of a session does more than to give a key back to the lock table."""
    held: dict[str, object] = field(init=False)
    waiting: dict[str, Any] = field(init=False)
    fetch: Callable[[str], Any] = field(init=False)
    unpack: Callable[[Any], Unpacked] | None = field(init=False)
    store: Callable[[str, bytes | None, Any, Expected], Any] = field(init=False)
    load: Callable[[Any], tuple[Any, Any]] | None = field(init=False)
    dump: Callable[[Any, Any], Dumped] = field(init=False)
    dump_new: Callable[[Any, Any], Dumped] = field(init=False)
    check: Callable[[Any, Any, bytes, bool], None] | None = field(init=False)

    def __post_init__(self) -> None:
        if callable(self.on_conflict) and not self.backend.has_revisions:
            msg = (
                f"on_conflict is of no use with {self.backend.storage!r}: without "
                "read_with_revision() and write_if() a storage cannot notice conflicts"
            )
            raise ValueError(msg)
        self.place = (not self.paused_along, self.locks.name, id(self.locks))
        self.held, self.waiting = self.locks.held, self.locks.waiting
        alone = self.locked and self.lock is None
        self.hold = self.held.setdefault if alone else _hold_later
        self.ends_late = not alone or self.kept is not None
        backend, serializer = self.backend, self.serializer
        self.fetch = backend.fetch if self.once is None else self.once.fetch
        self.store = backend.store
        if self.kept is not None:
            watch = Watch(backend.storage)
            self.fetch = watch.over(self.fetch, "read")
            self.store = watch.over(self.store, "write")
        self.unpack = backend.unpacking(serializer.snapshot_of)
        self.load, self.check = serializer.load, serializer.check
        self.dump, self.dump_new = serializer.dump, serializer.dump_new

    def saves_after(self, error: BaseException) -> bool:
        """Whether data is saved in spite of *error*, or of all errors of a group."""
        types = self.save_on_error
        if isinstance(error, types):
            return True
        if not types or not isinstance(error, BaseExceptionGroup):
            return False
        group = cast("BaseExceptionGroup[BaseException]", error)
        _, others = group.split(types)
        return others is None

    def key_of(self, ctx: Any) -> MaybeAwaitable[str | None]:
        """Ask the key function; None if this context has no session.

        Raises:
            InvalidSessionKeyError: It gave something that is not a key.
        """
        return self.checked(self.get_key(ctx))

    def checked(self, key: Any) -> MaybeAwaitable[str | None]:
        """The key that a key function gave, as text; the new one of a chat that has moved."""
        if is_awaitable(key):
            return self._checked_later(key)
        key = check_key(key)
        return key if key is None or not self.moved else self.followed(key)

    async def _checked_later(self, key: Any) -> str | None:
        return await resolve(self.checked(await key))

    def data_of(self, value: Any, key: str) -> Any:
        """Return a copy of what a listing gave, as a handler would have it.

        Raises:
            SessionDecodeError: It does not fit the declared type.
        """
        serializer = self.serializer
        if not self.backend.enhanced:
            value, _ = open_plain(value, key)
        if value is None:  # deleted: only what an envelope has beside its data is left
            return None
        snapshot = serializer.snapshot_of(value)
        return serializer.restore(snapshot).data

    def follow(self, old_key: str, new_key: str) -> None:
        """From now on, contexts that have the old key get the session of the new one."""
        self.moved.pop(new_key, None)
        self.moved[old_key] = new_key

    def followed(self, key: str) -> str:
        """The key that took the place of *key*, by itself or with its whole chat."""
        if key in self.moved:
            return self.moved[key]
        try:
            parsed = parse(key)
        except InvalidSessionKeyError:
            return key
        chat = self.moved.get(str(parsed.chat))
        return key if chat is None else str(replace(parsed, chat=int(chat)))

    def over(self, storage: Any) -> Settings:
        """The same options over another storage: it takes no more than the first one does."""
        backend = Backend(storage)
        any_value = self.serializer.any_value and backend.any_value
        locks = locks_of(storage)
        return replace(
            self,
            backend=backend,
            lock=file_lock_of(storage, self.lock_timeout) if self.file_lock else self.lock,
            locks=locks,
            once=None if self.once is None else self.once.over_another(backend, locks),
            serializer=self.serializer.over(any_value=any_value),
            open_on={},
            kept=None if self.kept is None else {},
            moved={},
        )


def _hold_later(key: str, holder: Any) -> None:
    """Where there is another lock, or none."""


def check_key(key: object) -> str | None:
    """Return a session key as text.

    Raises:
        InvalidSessionKeyError: It is empty, or neither ``str`` nor ``int``.
    """
    if key is None or (type(key) is str and key):
        return key
    if type(key) is int:
        return str(key)
    if isinstance(key, str) and key:
        return str.__str__(key)  # an Enum would name its member
    if isinstance(key, int) and not isinstance(key, bool):
        return str(int(key))
    what = "empty" if key == "" else f"{key!r} ({type(key).__name__})"
    msg = (
        f"a session key must be a non-empty str or an int, and this one is {what}; "
        "a key function returns None where there is no session"
    )
    raise InvalidSessionKeyError(msg)


def required_key(key: object) -> str:
    """Return a session key as text; None raises.

    Raises:
        NoSessionKeyError: It is None.
        InvalidSessionKeyError: It is empty, or neither ``str`` nor ``int``.
    """
    checked = check_key(key)
    if checked is None:
        msg = "None is not a session key: there is nothing to open"
        raise NoSessionKeyError(msg)
    return checked
