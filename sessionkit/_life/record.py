"""One key in use: load, compare, write. What sessions are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Generic, TypeVar

from sessionkit._drive import resolve
from sessionkit._frozen import thaw
from sessionkit._life.backend import Found
from sessionkit._life.forms import (
    GONE,
    Change,
    Loaded,
    begun_anew,
    check,
    encoded,
    reencoded,
    taken_over,
    thawed,
)
from sessionkit._life.holding import Holding
from sessionkit._life.late import notice_late_changes, remember
from sessionkit._life.seats import MISSING, StandIn, seat_for
from sessionkit._life.settings import Merge, Settings
from sessionkit._types import ANY, Expected, Revision
from sessionkit.errors import (
    NoInitialDataError,
    NoSessionKeyError,
    SessionClosedError,
    SessionConflictError,
    SessionError,
)
from sessionkit.keys import why_no_key

S = TypeVar("S")

_MERGE_TRIES: Final = 10

# The states of a record. FRESH and LENT: an express lane made it, for an attribute or as
# an argument, and nobody looked at more than its data yet: only a few slots are filled.
FRESH: Final = 0
OPEN: Final = 1
NEW: Final = 2
KEYLESS: Final = 3
PAUSED: Final = 4
CLOSED: Final = 5
LENT: Final = 6


class Record(Holding, Generic[S]):
    """The life of one key's data in one update, written once for all kinds of sessions.

    Begin: lock, read.  End: write, unlock.
    """

    __slots__ = ("_base", "_data", "_failed", "_residue", "_revision", "_state", "_stored")

    _stored: bool
    _revision: Expected

    def __init__(self, settings: Settings, key: str | None) -> None:
        self._settings = settings
        self.key = key
        self._state = NEW
        self._ctx = None
        self._data: Any = MISSING
        self._base: bytes | None = None
        self._fill_slots(stored=False, revision=None)

    def _fill_slots(self, *, stored: bool, revision: Expected) -> None:
        self._stored = stored
        self._revision = revision
        self._holds_key = stored
        self._held_outside = None
        self._failed = False
        self._residue: Any = None
        self._seat = None
        self._before = MISSING

    def _use(self) -> None:
        """Raise unless the data is at hand."""
        if self._state != OPEN:
            self._unfold()
            if self._state != OPEN:
                raise self._unusable()

    def _unfold(self) -> None:
        """Do what an express lane left undone."""
        if self._state in (FRESH, LENT):
            self._fill_slots(stored=True, revision=self._base)
            if self._state == FRESH:
                self._seat = seat_for(self._ctx, self._settings.attribute)
            self._state = OPEN

    # Data, wherever it shows

    def _look(self) -> Any:
        """The data as it is now, wherever it shows."""
        if self._seat is None:
            return self._data
        value = self._seat.look(self._ctx)
        if value is MISSING:  # del ctx.session
            return None
        return self._data if type(value) is StandIn else value

    def _show(self, value: Any) -> None:
        self._data = value
        if self._seat is not None:
            self._seat.put(self._ctx, StandIn(self._unusable) if value is MISSING else value)

    # Begin and end

    async def _begin(self, *, seen: bool = False) -> None:
        """Lock and load, if there is a key.

        With *seen*, the caller is a ``lifecycle``, by which its call chain is known.
        """
        if self.key is None:
            self._state = KEYLESS
            return
        await self._acquire(seen=seen)
        try:
            await self._load()
        except BaseException:
            await self._release()
            raise
        self._state = OPEN
        self._show(self._data)

    async def _begin_unread(self) -> None:
        """Lock only: whatever is stored is to be overwritten."""
        await self._acquire()
        self._stored, self._revision = True, ANY
        self._state = OPEN

    def _holders(self) -> Iterable[object]:
        """Who holds a key in the lock tables."""
        return (self,)

    def _leave(self) -> None:
        self._detach(self._settings.seated)

    def _settle_on(self, ctx: Any, *, show: bool) -> None:
        self._attach(ctx, self._settings, StandIn(self._unusable), show=show)

    async def _end(self, error: BaseException | None = None) -> None:
        """Write what is to be written, and let go."""
        try:
            self._unfold()
            self._data = self._look()
            self._leave()
            if self._is_to_be_saved(error):
                if self._state == OPEN:
                    await self._save()
                elif self._state == KEYLESS and not (error or self._data is MISSING):
                    raise self._unusable()  # assigned to a plain attribute
            remember(self)
        finally:
            self._state = CLOSED
            await self._release()

    def _is_to_be_saved(self, error: BaseException | None) -> bool:
        if error is None:
            return not self._failed
        return isinstance(error, self._settings.save_on_error)

    # Load

    async def _load(self) -> None:
        settings, key = self._settings, self._full_key
        found = await settings.backend.load(key)
        if found.value is None:
            loaded = begun_anew(settings, key)
        else:
            loaded = taken_over(settings, key, found)
        # All or nothing: on a failure, what was loaded before must not take the new revision
        self._stored, self._revision = found.value is not None, found.revision
        self._data, self._base, self._residue = loaded
        notice_late_changes(self)

    def _taken_over(self, found: Found) -> Loaded:
        return taken_over(self._settings, self._full_key, found)

    def _begun_anew(self) -> Loaded:
        return begun_anew(self._settings, self._full_key)

    def _as_loaded(self) -> Loaded:
        """What was loaded, or last saved, once more."""
        if self._base is None:
            return self._begun_anew()
        return thawed(self._settings, self._full_key, self._base)

    # Compare and write

    def _change(self, *, force: bool = False) -> Change | None:
        """What is to be written, None if nothing is."""
        data = self._look()
        if data is MISSING:
            return None
        if data is None:
            return Change(None, None) if self._stored else None
        key = self._full_key
        change = encoded(self._settings, key, data, self._residue)
        if not force and not getattr(self._revision, "migrated", False) and self._is_known(change):
            return None
        check(self._settings, key, change)
        return change

    def _is_known(self, change: Change) -> bool:
        """Whether this is what was loaded, or what this program would make of it."""
        if self._base is None or change.frozen == self._base:
            return change.frozen == self._base
        return change.frozen == reencoded(self._settings, self._base)

    async def _save(self, *, force: bool = False) -> None:
        await self._apply(self._change(force=force))

    async def _apply(self, change: Change | None) -> None:
        """Write a change; without one, a sliding timeout may be due."""
        if change is not None:
            await self._write(change)
        elif self._stored:
            await self._settings.backend.renew(self._full_key, self._revision)

    async def _write(self, change: Change) -> None:
        """Write, and settle clashes as ``on_conflict`` says."""
        expected = self._revision
        for _ in range(_MERGE_TRIES):
            try:
                revision = await self._store(change, expected)
            except SessionConflictError as conflict:
                change, expected = await self._settle_conflict(change, conflict)
            else:
                self._base, self._revision = change.frozen, revision
                self._stored = change.frozen is not None
                return
        msg = (
            f"{self._full_key!r} was changed elsewhere {_MERGE_TRIES} times while this session "
            "merged its changes; nothing was written"
        )
        raise SessionConflictError(msg, key=self._full_key)

    async def _store(self, change: Change, expected: Expected) -> Revision | None:
        backend = self._settings.backend
        value = change.plain
        if change.frozen is not None and not backend.isolated:
            value = thaw(change.frozen)  # the storage may keep what it is given
        return await backend.store(self._full_key, value, change.frozen, expected)

    async def _settle_conflict(
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
        found = await self._settings.backend.load(self._full_key)
        base = None if self._base is None else self._as_loaded().data
        theirs = GONE if found.value is None else self._taken_over(found)
        try:
            merged = await resolve(merge(base, theirs.data, self._look()))
        except SessionConflictError as error:
            error.key = error.key or self._full_key
            raise
        change = Change(None, None)
        if merged is not None:
            change = encoded(self._settings, self._full_key, merged, theirs.residue)
            check(self._settings, self._full_key, change)
        self._stored, self._revision = found.value is not None, found.revision
        self._base, self._residue = theirs.frozen, theirs.residue
        self._show(merged)
        return change

    # Errors

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
        if self._state in (FRESH, LENT, OPEN):
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
