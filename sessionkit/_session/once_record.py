"""Sessions that carry the id of their update: an update that comes twice counts once.

States of one update id, in the session's stored value:

    missing ──► begun ──► done ──► missing, once it is old
        └────────────────►

- Written by ``save()`` or ``paused()`` before the end of the handler: begun.  Written by
  its end: done.  In the same write as the data, on condition that nobody else wrote.
- A run holds the *claim* of its id in this process, from before it locks its key until
  its end.  So a repeat waits there, without a key, and reads what the run has left.
- A run that finds its id done gets ``RepeatedUpdateError``: the handler does not run (or, where
  another process was quicker, does not go on).  One that finds it begun is ``redelivered``.
- A write never replaces a stored value in which its id is done.  What is stored is
  looked at for that before a conflict is settled.
- A write keeps all ids that it replaces.  They belong to the key, not to the data: they
  survive reset, replacement and delete.  A moved session leaves them behind, with the
  key to which it went, and a repeat looks there as well.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Any, Final, TypeVar

from sessionkit._data.envelope import DATA, Kept, open_plain
from sessionkit._data.snapshots import first_of_pair
from sessionkit._data.update_ids import (
    MOVED,
    NO_IDS,
    NO_OTHERS,
    UPDATES,
    Beside,
    UpdateIds,
    ids_in,
    is_begun,
    is_done,
    moved_to,
    united,
    without_ids,
)
from sessionkit._session.context import Slots
from sessionkit._session.lazy import LazyRecord
from sessionkit._session.lifecycle import UNASKED
from sessionkit._session.once import OnceRules, carries_no_more, carrying, no_identity
from sessionkit._session.record import Record
from sessionkit._session.settings import Settings
from sessionkit._session.stored import CLOSED, NEW, Change, Rest, wait_for
from sessionkit._storage.sync_or_async import is_awaitable
from sessionkit._updates.identity import NoUpdateIdError
from sessionkit.errors import RepeatedUpdateError, SessionConflictError, SessionDecodeError
from sessionkit.protocols import Expected, Revision

S = TypeVar("S")

_DELETE: Final[Change] = (None, None)
_USUAL: Final = [DATA, UPDATES]
_NOTHING_KEPT: Final[Kept] = {}
_base: Final[Any] = Record  # its methods: super() takes longer


class OnceRecord(Record[S]):
    """A record that reads and writes ids of updates, and carries that of its own update.

    Opened by key, or beside sessions that carry it, it carries none.
    """

    __slots__ = (
        "_claimed",
        "_ends",
        "_gone_to",
        "_ids",
        "_overwrites",
        "_redelivered",
        "_rules",
        "_sent",
        "_update_id",
    )

    _update_id: str | None
    """The id that it carries."""
    _claimed: str | None
    """The name under which it has claimed that id in this process."""
    _ids: UpdateIds
    """The ids in what is stored, as far as is known here."""
    _sent: Beside
    """What is being written beside the data."""
    _ends: bool
    """Whether a write from now on is that of the end."""
    _overwrites: bool
    """Whether it was assigned without having been read: then whatever was stored is replaced."""
    _gone_to: str | None
    """The full key to which its data has moved."""

    def __init__(self, settings: Settings, key: str | None, ctx: Any = None) -> None:
        _base.__init__(self, settings, key, ctx)
        self._rules: OnceRules = settings.once
        self._update_id = self._claimed = self._gone_to = None
        self._ids = NO_IDS
        self._ends = self._overwrites = self._redelivered = False

    # Begin

    def _begin(self, slots: Slots | None = None) -> Rest:
        if self._ctx is not None and self.key is not None:
            rest = self._claim()
            if rest is not None:
                return self._begin_after_claim(rest, slots)
        return self._begin_claimed(slots)

    def _begin_claimed(self, slots: Slots | None) -> Rest:
        try:
            rest: Rest = _base._begin(self, slots)
        except BaseException:
            self._unclaim()
            raise
        if rest is None and (MOVED not in self._ids[1] or self._update_id is None):
            return None
        return self._begin_later(rest)

    async def _begin_after_claim(
        self, rest: Coroutine[Any, Any, None], slots: Slots | None
    ) -> None:
        await rest
        await wait_for(self._begin_claimed(slots))

    async def _begin_later(self, rest: Rest) -> None:
        try:
            if rest is not None:
                await rest
            else:
                await self._look_elsewhere()
        except BaseException:
            self._unclaim()
            self._state = CLOSED
            try:
                await wait_for(self._release())
            finally:
                self._leave()
            raise

    def _begin_unread(self) -> Rest:
        """Read all the same: what is stored has ids."""
        self._overwrites = True
        return self._begin_to_delete() if self._ctx is None else self._begin()

    async def _begin_to_delete(self) -> None:
        try:
            await wait_for(self._begin())
        except SessionDecodeError:  # what nobody can read can be deleted
            await wait_for(super()._begin_unread())

    # The claim

    def _claim(self, update_id: Any = UNASKED) -> Rest:
        """Take the id of the update; wait while another run of it lives in this process."""
        rules = self._rules
        if update_id is UNASKED:
            identify = rules.identify
            try:
                update_id = identify(self._ctx)
            except NoUpdateIdError:
                raise no_identity(self._ctx) from None
        if type(update_id) is not str:
            return None if update_id is None else self._claim_once_known(update_id)
        open_on = self._settings.open_on
        if carrying.setdefault(id(self._ctx), open_on) is not open_on:
            return None
        self._update_id = update_id
        self._claimed = name = f"{self._full_key} in update {update_id}"
        claim = rules.claim
        return None if claim(name, self) is self else self._wait_for_claim(name)

    async def _claim_once_known(self, asked: Any) -> None:
        await wait_for(self._claim(await asked))

    async def _wait_for_claim(self, name: str) -> None:
        try:
            await self._rules.claims.wait(name, self, self._settings.lock_timeout)
        except BaseException:
            self._claimed = None
            carries_no_more(self._ctx, self._settings.open_on)
            raise

    def _unclaim(self) -> None:
        name = self._claimed
        if name is None:
            return
        self._claimed = None
        place = id(self._ctx)
        if carrying.get(place) is self._settings.open_on:
            del carrying[place]
        claims = self._rules.claims
        if claims.held.get(name) is self:  # unless this is a forked child
            del claims.held[name]
            if claims.waiting:
                claims.hand_over(name)

    # Load

    def _load(self) -> Rest:
        rest = super()._load()
        if rest is None and self._may_be_done_elsewhere():
            return self._look_elsewhere()
        return rest

    async def _load_later(self, answer: Any) -> None:
        await super()._load_later(answer)
        if self._may_be_done_elsewhere():
            await self._look_elsewhere()

    def _take(self, answer: Any) -> None:
        _base._take(self, answer)
        if self._rules.apart:
            self._take_ids()
        ids, update_id = self._ids, self._update_id
        if update_id is not None and ids is not NO_IDS and (ids[1] or f" {update_id} " in ids[0]):
            self._look_for(update_id)

    def _take_ids(self) -> None:
        """Take the ids that the storage keeps apart from the data, with its revision."""
        revision: Any = self._revision
        if not self._rules.enhanced:
            done = getattr(revision, "beside", None)
            if done is not None and self._stored:
                self._ids, self._kept_beside = (done, NO_OTHERS), _NOTHING_KEPT
        elif revision is not None and revision.kept is not None:
            self._ids = ids_in(revision.kept, self._full_key)
            self._kept_beside = without_ids(revision.kept)

    def _out_of_envelope(self, snapshot: bytes | None, plain: Any) -> tuple[bytes | None, Any]:
        """Take data, ids, and what belongs to other releases apart."""
        if plain.__class__ is dict and [*plain] == _USUAL and snapshot is not None:
            data, fields = plain.values()
            if data is not None and not self._rules.enhanced:  # most have no more
                alone = first_of_pair(DATA, snapshot, UPDATES, fields)
                if alone is not None:
                    self._ids, self._kept_beside = ids_in(plain, self._full_key), _NOTHING_KEPT
                    return alone, data
        if self._rules.enhanced:
            self._ids, self._kept_beside = NO_IDS, None
            return snapshot, plain
        data, kept = open_plain(plain, self._full_key)
        self._ids = ids_in(kept, self._full_key)
        self._kept_beside = kept if kept is None else without_ids(kept)
        if data is plain:
            return snapshot, plain
        return (None, None) if data is None else (self._settings.serializer.snapshot_of(data), data)

    def _look_for(self, update_id: str) -> None:
        """Notice how far this update has come.

        Raises:
            RepeatedUpdateError: It is done.
        """
        if is_done(self._ids, update_id):
            if not self._rules.delivery.has_ended(self._ctx):
                raise self._repeated()
            self._update_id = None  # another handler of the same delivery: it runs, too
            self._unclaim()
        elif self._state == NEW:
            self._redelivered = is_begun(self._ids, update_id)

    def _may_be_done_elsewhere(self) -> bool:
        """Whether this update may have been handled here before the data moved."""
        return MOVED in self._ids[1] and self._update_id is not None

    async def _look_elsewhere(self) -> None:
        """Look for the id where the data went.

        Raises:
            RepeatedUpdateError: It is done there.
        """
        settings = self._settings
        pending, seen = [*moved_to(self._ids)], {self._full_key}
        while pending:
            key = pending.pop()
            if key in seen:
                continue
            seen.add(key)
            there = OnceRecord[Any](settings, key.removeprefix(settings.prefix))
            await wait_for(there._load())
            if self._update_id is not None and is_done(there._ids, self._update_id):
                raise self._repeated()
            pending += moved_to(there._ids)

    def _repeated(self) -> RepeatedUpdateError:
        msg = (
            f"the update {self._update_id} was handled already: what it did to "
            f"{self._full_key!r} is stored, and its handler does not run again"
        )
        update_id = self._update_id or ""
        return RepeatedUpdateError(msg, key=self._full_key, update_id=update_id, ctx=self._ctx)

    # Write

    def _renew(self) -> Rest:
        """Write the id, if it is owed, where there is no change to write."""
        if not self._owes_write():
            return super()._renew()
        change = self._change(force=True) if self._stored else None
        return self._write(change or _DELETE)

    def _owes_write(self) -> bool:
        """Whether the id is to be written even if the data has not changed."""
        if self._update_id is None:
            return False
        begun = is_begun(self._ids, self._update_id)
        if self._ends:
            return begun or self._rules.once.always
        return self._gone_to is not None or (self._rules.once.always and not begun)

    def _write(self, change: Change, settles: bool = True) -> Rest:  # noqa: FBT001, FBT002
        try:
            answer = self._send(change, self._revision)
        except SessionConflictError as conflict:
            if not settles:
                raise
            return self._settle_conflict(change, conflict)
        if type(answer) is not bytes and is_awaitable(answer):
            return self._write_later(change, answer, settles=settles)
        self._written(change, answer)
        return None

    def _send(self, change: Change, expected: Expected) -> Any:
        snapshot, plain = change
        rules, ids, update_id = self._rules, self._ids, self._update_id
        now, store = rules.now(), rules.store
        if update_id is not None:
            record = rules.with_done if self._ends else rules.with_begun
            ids = record(ids, update_id, now)
        if self._gone_to is not None and ids is not NO_IDS:
            ids = rules.memory.with_move(ids, self._gone_to, now)
        kept: Kept | None = self._kept_beside
        if plain is None:
            kept, ids = None, rules.memory.pruned(ids, now, gone=True)
        if kept is None and ids is not NO_IDS:
            kept = _NOTHING_KEPT
        self._sent = beside = ids, kept
        return store(self._full_key, snapshot, plain, expected, beside)

    def _written(self, change: Change, revision: Revision | None) -> None:
        self._base, self._revision = change[0], revision
        self._stored = change[0] is not None
        self._ids, self._kept_beside = self._sent
        if self._ends and self._claimed is not None:
            note_end = self._rules.note_end
            note_end(self._ctx)

    async def _settled(
        self, change: Change, conflict: SessionConflictError
    ) -> tuple[Change, Expected]:
        expected = self._revision
        await self._look_again()
        if self._overwrites or self._settings.on_conflict == "overwrite":
            return change, self._revision
        self._revision = expected
        change, _ = await super()._settled(change, conflict)
        if self._rules.enhanced:
            self._take_ids()
        self._refuse_done()
        return change, self._revision

    async def _look_again(self) -> None:
        """Take over the ids of what is stored now.

        Raises:
            RepeatedUpdateError: Another process has handled this update meanwhile.
        """
        settings = self._settings
        answer = await settings.backend.answer(settings.backend.fetch(self._full_key))
        unpack = settings.unpack
        snapshot, plain, self._revision = answer if unpack is None else unpack(answer)
        self._out_of_envelope(snapshot, plain)
        if self._rules.enhanced:
            self._take_ids()
        self._refuse_done()

    def _refuse_done(self) -> None:
        if self._update_id is not None and is_done(self._ids, self._update_id):
            raise self._repeated()

    # Move

    def _beside(self) -> Any:
        return self._kept_beside, self._ids

    def _put_beside(self, beside: Any) -> None:
        self._kept_beside, self._ids = beside

    def _take_beside(self, source: Any) -> None:
        """Take over what *source* has beside its data, which comes here."""
        if not self._stored:
            self._kept_beside = source._kept_beside
        self._ids = united(self._ids, source._ids)

    def _leave_for(self, target: Any) -> None:
        if target is None:
            self._gone_to = None
            return
        if self._update_id is not None and is_done(target._ids, self._update_id):
            raise self._repeated()
        self._gone_to = target._full_key

    def _go_on_as(self, target: Any) -> None:
        self._gone_to = None
        self._kept_beside, self._ids = target._kept_beside, target._ids
        if self._update_id is not None:  # so it is in the place that was left
            rules = self._rules
            self._ids = rules.memory.with_begun(self._ids, self._update_id, rules.now())

    # End

    def _set_ends(self, error: BaseException | None) -> None:
        self._ends = self._is_to_be_saved(error)

    def _end(self, error: BaseException | None = None) -> Rest:
        self._ends = not self._discarded if error is None else self._is_to_be_saved(error)
        rest: Rest = _base._end(self, error)
        return None if rest is None else quietly(rest)

    def _close(self) -> Rest:
        rest: Rest = _base._close(self)
        if self._claimed is not None:
            self._unclaim()
        return rest


class OnceLazyRecord(LazyRecord[S]):
    """The same, lazy: an update that touches it looks at the ids, and no other."""

    __slots__ = ()

    def _end(self, error: BaseException | None = None) -> Rest:
        rest = super()._end(error)
        return None if rest is None else quietly(rest)


async def quietly(rest: Coroutine[Any, Any, None]) -> None:
    """End an update that another process has handled meanwhile: nothing is to be written."""
    with suppress(RepeatedUpdateError):
        await rest


def let_end(records: Iterable[Any], error: BaseException | None) -> None:
    """From now on, writes of these are those of the end."""
    for record in records:
        if isinstance(record, OnceRecord):
            record._set_ends(error)
