"""``once=``: what is asked for, and what follows from it for all sessions of one ``Sessions``."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta  # noqa: TC003 (shown by help and inspect)
from types import SimpleNamespace
from typing import Any, Final, TypeAlias

from sessionkit._data.envelope import DATA, close_plain, is_envelope
from sessionkit._data.snapshots import freeze, freeze_pair
from sessionkit._data.update_ids import (
    NO_IDS,
    UPDATES,
    Beside,
    Memory,
    as_id,
    as_stored,
    fields_of,
    ids_in,
)
from sessionkit._locks.table import KeyLocks, locks_of
from sessionkit._storage.backend import Backend
from sessionkit._storage.seconds import seconds
from sessionkit._storage.sync_or_async import is_awaitable
from sessionkit._updates.identity import delivery_of, identity_of
from sessionkit.errors import SessionConflictError, SessionError
from sessionkit.protocols import Clock, Expected, MaybeAwaitable

Identity: TypeAlias = Callable[[Any], MaybeAwaitable[str | int | None]]

_DAY: Final = 24 * 60 * 60
_REMEMBERED: Final = 32


class Once:
    """How ``session(..., once=Once(...))`` notices that an update comes again.

    Args:
        identity: A function of the context, sync or async, that identifies the
            update: returns a ``str``, an ``int``, or None for what may be handled any
            number of times.  By default the ids of bot and update (Bot API).
        keep: How many ids each session keeps at least, however old.
        ttl: How long each id is kept at least, as ``timedelta`` or seconds: 24 hours, which
            is how long Telegram delivers an update again, or more.
        always: Whether an update that changes nothing writes its id, too.
        clock: The time, in seconds since the epoch.

    Raises:
        TypeError: An argument is of a wrong type.
        ValueError: *keep* is negative, or *ttl* shorter than a day.
    """

    __slots__ = ("always", "clock", "identity", "keep", "ttl")

    def __init__(
        self,
        *,
        identity: Identity | None = None,
        keep: int = 20,
        ttl: timedelta | float = _DAY,
        always: bool = False,
        clock: Clock = time.time,
    ) -> None:
        for name, function in (("identity", identity or identity_of), ("clock", clock)):
            if not callable(function):
                msg = f"{name} must be a function, not {function!r}"
                raise TypeError(msg)
        if type(keep) is not int or keep < 0:
            msg = f"keep must be a whole number from 0, not {keep!r}"
            raise TypeError(msg) if type(keep) is not int else ValueError(msg)
        self.identity: Identity | None = identity
        self.keep: int = keep
        self.ttl: float = seconds("ttl", ttl)
        self.always: bool = bool(always)
        self.clock: Clock = clock
        if self.ttl < _DAY:
            msg = (
                f"Once(ttl={ttl!r}) is too short: Telegram delivers an update again for 24 hours. "
                "Leave ttl= out"
            )
            raise ValueError(msg)

    def __repr__(self) -> str:
        return f"Once(keep={self.keep}, ttl={self.ttl:g}, always={self.always})"


def once_of(given: object) -> Once:
    """Return what the option ``once=`` asks for.

    Raises:
        TypeError: It is neither True nor an ``Once``.
    """
    if isinstance(given, Once):
        return given
    if given is not True:
        msg = f"once must be True, False or Once(...), not {given!r}"
        raise TypeError(msg)
    return Once()


class Delivery:
    """Which updates are handled here and now; shared by loops and threads.

    Attributes:
        claims: Who runs which update.
        ended: The contexts whose ids were written as done last.
    """

    def __init__(self, locks: KeyLocks) -> None:
        # A table of its own: what is held in the storage's are keys of data.
        self.claims = locks_of(SimpleNamespace(identity=("updates", id(locks))))
        self.ended: deque[object] = deque(maxlen=_REMEMBERED)

    def has_ended(self, ctx: object) -> bool:
        """Whether it was in this very delivery: then another handler of it goes on."""
        delivery = delivery_of(ctx)
        return any(delivery_of(each) is delivery for each in self.ended)


class OnceRules:
    """What ``once=`` means for the sessions of one ``Sessions`` over one storage.

    Attributes:
        once: What was asked for.
        delivery: Which updates are handled here and now.
        memory: How long ids are kept.
        identify: Called with a context; returns the id of its update, None for any number of
            times, or a coroutine of it.
        enhanced: Whether the storage keeps ids in its own envelopes.
        apart: Whether it gives them with the revision, apart from the data.
        fetch: Called with a key; returns what a session takes.
        claim: Called with the name of a claim and who wants it; returns who has it.
        with_begun, with_done: Called with ids, another one, and the time; return all of them.
        note_end: Called with the context of an update that is written as done.
        now: The time, in seconds since the epoch.
        store: Called with key, snapshot and plain value (None for both deletes), expected
            revision, and what is to be beside the data; returns what the storage's write returns.

    Raises:
        TypeError: The storage has no revisions.
        ValueError: It forgets data, and the ids with it, too early.
    """

    def __init__(self, once: Once, backend: Backend, locks: KeyLocks) -> None:
        _check_revisions(backend)
        _check_ttl(once, backend.storage)
        self.once = once
        self.delivery = Delivery(locks)
        self.memory = Memory(once.ttl, once.keep)
        self._use(backend)

    def over_another(self, backend: Backend, locks: KeyLocks) -> OnceRules:
        """The same for another storage."""
        return OnceRules(self.once, backend, locks)

    def over(self, backend: Backend) -> OnceRules:
        """The same for another view of the same storage."""
        rules = OnceRules.__new__(OnceRules)
        rules.once, rules.delivery, rules.memory = self.once, self.delivery, self.memory
        rules._use(backend)
        return rules

    def _use(self, backend: Backend) -> None:
        # Chosen once, so that no update has to look for them
        identity = self.once.identity
        self.identify: Callable[[Any], Any]
        self.identify = identity_of if identity is None else _checked(identity)
        self.enhanced = backend.enhanced
        self.apart = backend.enhanced or backend.keeps_beside
        self.fetch: Callable[[str], Any] = backend.fetch
        if backend.keeps_beside:
            self.fetch = backend.storage.read_beside
            self._write_beside: Callable[..., Any] = backend.storage.write_beside
        self.claims = self.delivery.claims
        self.claim: Callable[[str, object], object] = self.claims.held.setdefault
        self.with_begun, self.with_done = self.memory.with_begun, self.memory.with_done
        self.note_end: Callable[[object], None] = self.delivery.ended.append
        self.now: Clock = self.once.clock
        self._backend = backend
        self._expires = getattr(backend.storage, "supports_expiry", False) is True
        self.store: Callable[..., Any]
        if backend.enhanced:
            self.store = self._store_enhanced
        else:
            self.store = self._store_apart if backend.keeps_beside else self._store

    @property
    def sweeps(self) -> bool:
        """Whether what deleted sessions left is removed by looking, for the storage does not."""
        storage = self._backend.storage
        return not self._expires and not self._backend.enhanced and hasattr(storage, "iter_items")

    async def sweep(self, prefix: str) -> int:
        """Remove what deleted sessions left, where all ids are too old; return how many."""
        if not self.sweeps:
            return 0
        listing = self._backend.listing("iter_items", prefix)
        keys = [key async for key, value in listing if self._is_left_over(key, value)]
        return sum([await self._remove(key) for key in keys])

    def _is_left_over(self, key: str, value: Any) -> bool:
        if not is_envelope(value) or value[DATA] is not None:
            return False
        return self.memory.pruned(ids_in(value, key), self.now(), gone=True) is NO_IDS

    async def _remove(self, key: str) -> bool:
        backend = self._backend
        value, revision = await backend.answer(backend.storage.read_with_revision(key))
        if not self._is_left_over(key, value):
            return False
        with suppress(SessionConflictError):
            await backend.settled(backend.storage.write_if(key, None, revision))
            return True
        return False

    def _store(
        self, key: str, snapshot: bytes | None, plain: Any, expected: Expected, beside: Beside
    ) -> Any:
        store, (ids, kept) = self._backend.store, beside
        if snapshot is not None:
            if ids is not NO_IDS and not kept:
                fields = as_stored(ids)
                pair = freeze_pair(DATA, snapshot, UPDATES, fields)
                return store(key, pair, {DATA: plain, UPDATES: fields}, expected)
            closed = close_plain(plain, fields_of(beside))
            return store(key, freeze(closed), closed, expected)
        if ids is NO_IDS:
            return store(key, None, None, expected)
        gone = {DATA: None, UPDATES: as_stored(ids)}
        if not self._expires:
            return store(key, freeze(gone), gone, expected)
        expires = self.memory.expires(self.now())
        return self._backend.storage.write_if(key, gone, expected, expires=expires)

    def _store_enhanced(
        self, key: str, _: bytes | None, plain: Any, expected: Expected, beside: Beside
    ) -> Any:
        expires = self.memory.expires(self.now()) if plain is None else None
        fields = fields_of(beside)
        return self._backend.storage.write_beside(key, plain, expected, fields, expires=expires)

    def _store_apart(
        self, key: str, snapshot: bytes | None, plain: Any, expected: Expected, beside: Beside
    ) -> Any:
        (done, others), kept = beside
        if others or kept or not done or snapshot is None:
            return self._store(key, snapshot, plain, expected, beside)
        write = self._write_beside
        return write(key, snapshot, done, expected)


def _checked(identity: Identity) -> Callable[[Any], Any]:
    async def known(asked: Any, ctx: object) -> str | None:
        return checked_id(await asked, ctx)

    def identify(ctx: Any) -> Any:
        given: Any = identity(ctx)
        return known(given, ctx) if is_awaitable(given) else checked_id(given, ctx)

    return identify


def checked_id(given: object, ctx: object) -> str | None:
    """Return what an identity function gave, as it is stored; None: any number of times.

    Raises:
        SessionError: It is neither ``str`` nor ``int``, or empty.
    """
    if given is None:
        return None
    if not isinstance(given, str | int) or isinstance(given, bool) or given == "":
        discardable = "an awaitable" if is_awaitable(given) else repr(given)
        msg = (
            f"the identity of an update must be a non-empty str or an int, not {discardable}: "
            f"see Once(identity=...), which was asked about this {type(ctx).__name__}"
        )
        raise SessionError(msg)
    return as_id(given)


def no_identity(ctx: object) -> SessionError:
    """The error for a context in which there is no update id."""
    msg = (
        f"once=True finds no update_id in this {type(ctx).__name__}. Open the session of the "
        "update, or give once=Once(identity=function), which returns what identifies "
        "this update, or None"
    )
    return SessionError(msg)


def _check_revisions(backend: Backend) -> None:
    if not backend.has_revisions or (
        backend.enhanced and not hasattr(backend.storage, "write_beside")
    ):
        msg = (
            f"once= needs a storage with read_with_revision() and write_if(), and "
            f"{backend.storage!r} has none: two processes could handle one update"
        )
        raise TypeError(msg)


def _check_ttl(once: Once, storage: Any) -> None:
    while storage is not None:
        ttl = getattr(storage, "ttl", None)
        if isinstance(ttl, int | float) and ttl < once.ttl:
            msg = (
                f"{storage!r} keeps data for {ttl:g} s, and once= keeps the ids of updates with "
                f"it, for {once.ttl:g} s: give it a ttl of at least a day"
            )
            raise ValueError(msg)
        storage = getattr(storage, "wrapped", None)


# Which sessions carry the id of an update

carrying: Final[dict[int, object]] = {}
"""By the ``id`` of a context whose update is handled, the ``open_on`` of those that do."""


def carries(ctx: object, open_on: object) -> bool:
    """Let sessions carry the id of an update; False if others do already."""
    return carrying.setdefault(id(ctx), open_on) is open_on


def carries_no_more(ctx: object, open_on: object) -> None:
    """The end of it; a no-op for those that do not."""
    if carrying.get(id(ctx)) is open_on:
        del carrying[id(ctx)]


class AnyNumberOfTimes:
    """While this lasts, no session that is opened on a context carries its id: ``with``.

    For error handlers: their update has failed, and is to be handled again.
    """

    __slots__ = ("_ctx",)

    def __init__(self, ctx: object) -> None:
        self._ctx = ctx

    def __enter__(self) -> None:
        carries(self._ctx, self)

    def __exit__(self, *exc_info: object) -> None:
        carries_no_more(self._ctx, self)
