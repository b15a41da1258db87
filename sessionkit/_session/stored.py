"""The data of one key in one update: loaded, compared, written.

Each step is a plain call.  It does all that can be done at once and returns None; where
something has to be waited for (a storage that answers with an awaitable) it returns a
coroutine that does the rest, which the caller awaits right away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final, Generic, TypeAlias, TypeVar

from sessionkit._data.envelope import DATA, close_plain, open_plain
from sessionkit._data.snapshots import freeze
from sessionkit._session.context import Attached, StandIn
from sessionkit._session.serializer import GONE, MISSING, Dumped, Loaded, forgotten_await
from sessionkit._session.settings import Kept, Merge, Settings
from sessionkit._storage.sync_or_async import is_awaitable, resolve, settle
from sessionkit.errors import (
    NoInitialDataError,
    NoSessionKeyError,
    SessionClosedError,
    SessionConflictError,
    SessionDecodeError,
    SessionEncodeError,
    SessionError,
)
from sessionkit.keys import why_no_key
from sessionkit.protocols import ANY, Expected, Revision

S = TypeVar("S")

Rest: TypeAlias = Coroutine[Any, Any, None] | None
"""What is left to be awaited of a step; None if all is done."""
Change: TypeAlias = tuple[bytes | None, Any]
"""What is to be written: a snapshot, and the same as plain values; None deletes."""

_log = logging.getLogger("sessionkit")

_MERGE_TRIES: Final = 10
_DELETE: Final[Change] = (None, None)

# The states of a record
NEW: Final = 0
OPEN: Final = 1
KEYLESS: Final = 2
PAUSED: Final = 3
CLOSED: Final = 4


class Stored(Attached, Generic[S]):
    """The data of one session, as handlers have it and as it is stored."""

    __slots__ = (
        "__weakref__",
        "_base",
        "_data",
        "_discarded",
        "_full_key",
        "_handle",
        "_held",
        "_kept_beside",
        "_revision",
        "_settings",
        "_state",
        "_stored",
        "_unknown",
        "_writing",
        "key",
    )

    key: str | None
    """The key, without prefix; None if this update has none."""
    _full_key: str
    """The key with its prefix, as the storage knows it."""
    _held: bool
    _data: Any
    _base: bytes | None
    """The snapshot of what was loaded or last saved, which changes are detected by."""
    _revision: Expected
    _stored: bool
    _unknown: Any
    """Stored fields that the data type lacks."""
    _kept_beside: Any
    """What an envelope has beside the data for other releases; None if there is no envelope."""
    _handle: Any
    """The ``Session`` that users hold, once somebody asked for it."""
    _discarded: bool
    _writing: asyncio.Event | None
    """Set when the write that is in flight has settled."""

    def __init__(self, settings: Settings, key: str | None, ctx: Any = None) -> None:
        self._settings = settings
        self._ctx = ctx
        self.key = key
        self._full_key = settings.prefix + key if key is not None else ""
        self._slot = self._plain = self._writing = self._handle = self._kept_beside = None
        self._held = self._discarded = False
        self._data = MISSING
        self._state = NEW

    # The data

    def _look(self) -> Any:
        """The data as it is now; None if the handler took it off its context."""
        if self._slot is None:
            return self._data
        value = self._slot.look(self._ctx)
        if value is MISSING:
            return None
        return self._data if type(value) is StandIn else value

    def _show(self, value: Any) -> None:
        self._data = value
        if value is None:  # what is deleted leaves no unknown fields to what comes after it
            self._unknown = None
        if self._slot is not None:
            self._slot.put(self._ctx, StandIn(self._unusable) if value is MISSING else value)

    def _first_shown(self) -> StandIn:
        return StandIn(self._unusable)

    def _shown(self) -> Any:
        """What ``ctx.session`` gives: the data."""
        if self._state != OPEN:
            raise self._unusable()
        data = self._data if self._slot is None else self._look()
        if data is MISSING:
            raise self._no_initial()
        return data

    def _assign(self, value: Any) -> None:
        """``ctx.session = value``: replaces the data; None deletes it."""
        self._use()
        self._show(value)

    def _revert(self) -> None:
        data, self._base, self._unknown = self._as_loaded()
        self._show(data)

    def _reset(self) -> None:
        data, snapshot, unknown = self._initial()
        if data is MISSING:
            raise self._no_initial()
        if not self._stored:  # then this is what a missing session reads as, and no change
            self._base = snapshot
        self._unknown = unknown
        self._show(data)

    # Load

    def _load(self) -> Rest:
        answer = self._settings.fetch(self._full_key)
        if type(answer) is not tuple and is_awaitable(answer):
            return self._load_later(answer)
        self._take(answer)
        return None

    async def _load_later(self, answer: Any) -> None:
        self._take(await self._settings.backend.answer(answer))

    def _take(self, answer: Any) -> None:
        """Take over what the storage gave: all of it, or nothing if it cannot be read."""
        settings = self._settings
        unpack = settings.unpack
        snapshot, plain, revision = answer if unpack is None else unpack(answer)
        if self._kept_beside is not None or (plain.__class__ is dict and DATA in plain):
            snapshot, plain = self._out_of_envelope(snapshot, plain)
        if snapshot is None:
            self._data, self._base, self._unknown = self._initial()
            self._stored = False
        else:
            load = settings.load
            if load is None:
                self._data, self._unknown = plain, None
            else:
                try:
                    self._data, self._unknown = load(plain)
                except SessionDecodeError as error:
                    error.key = self._full_key
                    raise
            self._base = snapshot
            self._stored = True
        self._revision = revision
        if settings.kept is not None:
            self._notice_late_changes(settings.kept)

    def _out_of_envelope(self, snapshot: bytes | None, plain: Any) -> tuple[bytes | None, Any]:
        """Take apart what was stored; its snapshot is that of the data alone."""
        if self._settings.backend.enhanced:
            return snapshot, plain
        data, self._kept_beside = open_plain(plain, self._full_key)
        if data is plain:
            return snapshot, plain
        return (None, None) if data is None else (self._settings.serializer.snapshot_of(data), data)

    def _into_envelope(self, snapshot: bytes | None, plain: Any) -> Change:
        """Make of a change what is to be stored: with what is kept beside the data."""
        if plain is None:
            self._kept_beside = None
        elif not self._settings.backend.enhanced:
            closed = close_plain(plain, self._kept_beside)
            if closed is not plain:
                return freeze(closed), closed
        return snapshot, plain

    def _initial(self) -> Loaded:
        try:
            return self._settings.serializer.initial()
        except SessionEncodeError as error:
            error.key = self._full_key
            raise

    def _as_loaded(self) -> Loaded:
        """What was loaded, or last saved, once more."""
        if self._base is None:
            return self._initial()
        return self._settings.serializer.restore(self._base)

    # What an envelope has beside the data

    def _beside(self) -> Any:
        return self._kept_beside

    def _put_beside(self, beside: Any) -> None:
        self._kept_beside = beside

    def _take_beside(self, source: Any) -> None:
        """Take over what *source* has beside its data, which moves here."""
        if not self._stored:
            self._kept_beside = source._kept_beside

    def _leave_for(self, target: Any) -> None:
        """Note that the data moves to *target*; None: it stays."""

    def _go_on_as(self, target: Any) -> None:
        """Go on with what is stored for *target*."""
        self._kept_beside = target._kept_beside

    # Compare and write

    def _change(self, *, force: bool = False) -> Change | None:
        """What is to be written, None if nothing is."""
        return self._change_of(self._look(), force)

    def _change_of(self, data: Any, force: bool = False) -> Change | None:  # noqa: FBT001, FBT002
        if data is MISSING:
            return None
        if data is None:
            return _DELETE if self._stored else None
        settings = self._settings
        dump = settings.dump if self._stored else settings.dump_new
        check = settings.check  # as methods they take longer to call
        try:
            snapshot, plain, simple = dump(data, self._unknown)
            if not force and (
                snapshot == self._base
                or (self._unknown is not None and self._is_equivalent(snapshot))
            ):
                migrates = settings.backend.migrates
                if not (migrates and getattr(self._revision, "migrated", False)):
                    return None
            if check is not None:
                check(data, plain, snapshot, simple)
        except SessionEncodeError as error:
            error.key = self._full_key
            raise forgotten_await(data, self._full_key) or error from error.__cause__
        return snapshot, plain

    def _is_equivalent(self, snapshot: bytes) -> bool:
        """Whether this program would write what was loaded in this form, unchanged.

        Only if it was loaded in another form there are unknown fields.
        """
        base = self._base
        return base is not None and self._settings.serializer.is_equivalent(snapshot, base)

    def _dump(self, data: Any, unknown: Any) -> Dumped:
        try:
            return self._settings.dump(data, unknown)
        except SessionEncodeError as error:
            error.key = self._full_key
            raise forgotten_await(data, self._full_key) or error from error.__cause__

    def _save(self, *, force: bool = False, settles: bool = True) -> Rest:
        """Write what changed; without a change, a sliding timeout may be due.

        A conflict is settled as ``on_conflict`` says, or raised if not *settles*.
        """
        if self._writing is not None:
            return self._save_after(self._writing, force=force)
        change = self._change(force=force)
        return self._renew() if change is None else self._write(change, settles)

    async def _save_after(self, writing: asyncio.Event, *, force: bool) -> None:
        await writing.wait()
        await wait_for(self._save(force=force))

    def _renew(self) -> Rest:
        backend = self._settings.backend
        if backend.renew is None or not self._stored:
            return None
        answer = backend.renew(self._full_key, self._revision)
        return backend.settled(answer) if is_awaitable(answer) else None

    def _write(self, change: Change, settles: bool = True) -> Rest:  # noqa: FBT001, FBT002
        snapshot, plain = change
        store = self._settings.store  # as a method it takes longer to call
        try:
            if self._kept_beside is not None or (plain.__class__ is dict and DATA in plain):
                enveloped = self._into_envelope(snapshot, plain)
                answer = store(self._full_key, *enveloped, self._revision)
            else:
                answer = store(self._full_key, snapshot, plain, self._revision)
        except SessionConflictError as conflict:
            if not settles:
                raise
            return self._settle_conflict(change, conflict)
        if type(answer) is not bytes and is_awaitable(answer):
            return self._write_later(change, answer, settles=settles)
        self._base, self._revision, self._stored = snapshot, answer, snapshot is not None
        return None

    async def _write_later(self, change: Change, answer: Any, *, settles: bool) -> None:
        self._writing = writing = asyncio.Event()
        try:
            revision = await self._settings.backend.settled(answer)
        except SessionConflictError as conflict:
            if not settles:
                raise
            await self._settle_conflict(change, conflict)
        else:
            self._written(change, revision)
        finally:
            self._writing = None
            writing.set()

    def _written(self, change: Change, revision: Revision | None) -> None:
        self._base, self._revision = change[0], revision
        self._stored = change[0] is not None

    # Conflicts

    async def _settle_conflict(self, change: Change, conflict: SessionConflictError) -> None:
        """Somebody wrote in between: do as ``on_conflict`` says."""
        backend = self._settings.backend
        for _ in range(1, _MERGE_TRIES):
            change, expected = await self._settled(change, conflict)
            try:
                answer = self._send(change, expected)
                self._written(change, await backend.settled(answer))
            except SessionConflictError as another:
                conflict = another
            else:
                return
        msg = (
            f"{self._full_key!r} was changed elsewhere {_MERGE_TRIES} times while this session "
            "merged its changes; nothing was written"
        )
        raise SessionConflictError(msg, key=self._full_key) from conflict

    def _send(self, change: Change, expected: Expected) -> Any:
        stored = self._into_envelope(*change)
        return self._settings.store(self._full_key, *stored, expected)

    async def _settled(
        self, change: Change, conflict: SessionConflictError
    ) -> tuple[Change, Expected]:
        on_conflict = self._settings.on_conflict
        if on_conflict == "overwrite":
            return change, ANY
        if not callable(on_conflict):
            msg = (
                f"{self._full_key!r} was changed elsewhere while this session was open; nothing "
                "was written. Several workers? A lock waits (lock=...), "
                "on_conflict=merge_fields merges, sessions.update() retries"
            )
            raise SessionConflictError(msg, key=self._full_key) from conflict
        return await self._merge(on_conflict), self._revision

    async def _merge(self, merge: Merge) -> Change:
        """Merge what is stored now into the data, as if that had been loaded at first.

        Another clash is merged on top of this one.
        """
        settings = self._settings
        answer = await settings.backend.answer(settings.backend.fetch(self._full_key))
        unpack = settings.unpack
        snapshot, plain, revision = answer if unpack is None else unpack(answer)
        snapshot, plain = self._out_of_envelope(snapshot, plain)
        base = None if self._base is None else self._as_loaded().data
        theirs = GONE if snapshot is None else self._opened_as(plain, snapshot)
        mine = self._look()
        try:
            merged = await resolve(merge(base, theirs.data, mine))
        except SessionConflictError as error:
            error.key = error.key or self._full_key
            raise
        change: Change = _DELETE
        from sessionkit._data.unknown import merged_unknown  # noqa: PLC0415 (only merges need it)

        unknown = merged_unknown(merged, (theirs.data, theirs.unknown), (mine, self._unknown))
        if merged is not None:
            change = self._checked(merged, unknown)
        self._stored, self._revision = snapshot is not None, revision
        self._base, self._unknown = theirs.snapshot, unknown
        self._show(merged)
        return change

    def _checked(self, data: Any, unknown: Any) -> Change:
        snapshot, plain, simple = self._dump(data, unknown)
        check = self._settings.check
        try:
            if check is not None:
                check(data, plain, snapshot, simple)
        except SessionEncodeError as error:
            error.key = self._full_key
            raise
        return snapshot, plain

    def _opened_as(self, plain: Any, snapshot: bytes) -> Loaded:
        try:
            return self._settings.serializer.open(plain, snapshot)
        except SessionDecodeError as error:
            error.key = self._full_key
            raise

    async def _settled_write(self) -> None:
        """Wait for a write that is in flight, cancelled or not: it must not outlive the lock."""
        if self._writing is not None:
            await settle(self._writing.wait())

    # Changes that come too late, for debug=True

    def _remember(self, kept: dict[str, Kept]) -> None:
        if self.key is None or self._data is None or self._data is MISSING:
            return
        try:
            snapshot = self._dump(self._data, self._unknown)[0]
        except SessionEncodeError:  # of a handler that failed: its own error is the one to see
            return
        kept[self._full_key] = Kept(self._data, self._unknown, snapshot)

    def _notice_late_changes(self, kept: dict[str, Kept]) -> None:
        """Warn if the data of the session before this one was changed after its end."""
        last = kept.pop(self._full_key, None)
        if last is None:
            return
        try:
            changed = self._dump(last.data, last.unknown)[0] != last.snapshot
        except SessionEncodeError:
            changed = True
        if changed:
            _log.warning(
                "the data of %r was changed after its update had ended, and that change is lost: "
                "a task or callback kept it; open a session there (async with sessions.open(%r))",
                self._full_key,
                self.key,
            )

    # Errors

    def _use(self) -> None:
        """Raise unless the data is at hand."""
        if self._state != OPEN:
            raise self._unusable()

    def _no_initial(self) -> SessionError:
        msg = (
            f"nothing is stored under {self._full_key!r} and there is no initial: give "
            "session(initial=...), or assign before you read"
        )
        return NoInitialDataError(msg, key=self._full_key)

    def _unusable(self) -> SessionError:
        """Why the data cannot be used now."""
        if self.key is None:
            return NoSessionKeyError(why_no_key(self._settings.get_key, self._ctx))
        if self._state == OPEN:
            return self._no_initial()
        if self._state == NEW:
            why = f"the session {self.key!r} is still waiting to be opened"
        elif self._state == PAUSED:
            why = (
                f"the session {self.key!r} is paused: take what you need before "
                "'async with session.paused()', and change it after"
            )
        else:
            why = (
                f"the update that owned {self.key!r} has ended; in a job or task: "
                f"async with sessions.open({self.key!r})"
            )
        return SessionClosedError(why, key=self._full_key)


async def wait_for(rest: Rest) -> None:
    """Await what is left of a step."""
    if rest is not None:
        await rest
