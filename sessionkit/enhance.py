"""Timeouts and schema migrations over any storage."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from sessionkit._checks import check_storage
from sessionkit._drive import eager
from sessionkit._enhance.enhancer import Enhancer, Options, offers
from sessionkit._enhance.envelope import EnhancedRevision
from sessionkit._enhance.migrations import Migration, Migrations
from sessionkit._optional import optional, require, select
from sessionkit._seconds import seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from sessionkit._types import (
        Clock,
        Expected,
        MaybeAsyncIterable,
        MaybeAwaitable,
        Revision,
        Storage,
    )

__all__ = ["EnhancedRevision", "EnhancedStorage", "enhance_storage"]

_SAME_NAME: Final = ("has", "read_many", "write_many", "touch", "sync", "close")
_LISTING: Final = ("iter_keys", "iter_items")
_REVISIONS: Final = ("read_with_revision", "write_if")
_LONGEST: Final = 2**53 - 1  # in milliseconds; beyond, JSON numbers are not exact everywhere


def enhance_storage(
    storage: Storage[Any],
    *,
    ttl: timedelta | float | None = None,
    migrations: Mapping[Any, Migration] | None = None,
    sliding: bool = False,
    clock: Clock = time.time,
) -> EnhancedStorage:
    """Return *storage* with timeouts and migrations, whatever it is.

    What is stored has the shape of grammY's ``enhanceStorage``, so that either can
    read what the other wrote.  Data stored before, without that shape, is read as
    it is, and does not expire until it is changed (or touched).

    Args:
        storage: Any storage, sync or async, that is not enhanced yet.

        ttl: How long data is kept after its last change: a ``timedelta``, or
            seconds.  At that instant it is missing; it is removed for good by
            ``purge_expired``, or when the key is written next.  A new ttl counts
            from the next change; an expiry that is stored is honoured without one.

        migrations: Functions by the version they lead to, any numbers in any order:
            ``{1: add_age, 10: ..., 10.1: ...}``.  Each takes the data of the version
            before and returns the new data, or an awaitable of it.  They run when
            data is read, on a copy; reading never writes.

        sliding: Let each use renew the timeout, not only each change; stored at
            most once per tenth of the ttl.

        clock: Gives the seconds since the epoch; times are kept in milliseconds.  A
            storage that keeps expiries itself is told them if it has the same clock.

    Raises:
        TypeError: *storage* is no storage or enhanced already, or an option is of a
            wrong type.
        ValueError: A *ttl* that is not positive and finite, *sliding* without *ttl*,
            no migrations in *migrations*, or versions that are no distinct numbers.
    """
    check_storage(storage)
    _check_not_enhanced(storage)
    if not callable(clock):
        msg = f"clock must be a function such as time.time, not {clock!r}"
        raise TypeError(msg)
    if sliding and ttl is None:
        msg = "sliding=True renews a timeout, but there is none: give ttl, too"
        raise ValueError(msg)
    options = Options(
        ttl=None if ttl is None else _milliseconds(ttl),
        migrations=None if migrations is None else Migrations(migrations),
        sliding=sliding,
        clock=clock,
    )
    return EnhancedStorage(storage, options)


class EnhancedStorage:
    """A storage that expires and migrates what another one stores.

    Made by ``enhance_storage``.  It is sync where the storage inside is, as long as
    no migration has to wait.  ``read``, ``read_tracked``, ``write`` and ``delete``
    are always there; every other method only if the storage inside (or an option)
    provides for it, otherwise it is a missing attribute.

    Data in a version newer than the newest migration raises ``NewerVersionError``
    wherever it would be given out, a failing migration ``SessionMigrationError``.
    Without migrations versions are let be: a change keeps the version of what it
    changes, since data without one would go through all migrations again.

    Attributes:
        wrapped: The storage inside.
        isolated: Whether data given and taken is never shared, as inside.
        settles: Whether a cancelled write has no late effect, as inside.
        any_value: Whether more than plain JSON values can be stored, as inside.
        capabilities: The names of the optional methods that are there.
    """

    def __init__(self, storage: Storage[Any], options: Options) -> None:
        self.wrapped = storage
        self.isolated: bool = getattr(storage, "isolated", False)
        self.settles: bool = getattr(storage, "settles", False)
        self.any_value: bool = getattr(storage, "any_value", False)
        self._inner: Any = storage  # has optional methods, which Storage does not declare
        self._options = options
        self._enhancer = Enhancer(storage, options)
        self.capabilities: frozenset[str] = _capabilities(storage, options, self._enhancer)
        self._sync: EnhancedStorage | None = None

    def __repr__(self) -> str:
        return f"enhance_storage({self.wrapped!r})"

    # Always there.

    def read(self, key: str, /) -> MaybeAwaitable[Any]:
        """Return the data of *key*, migrated; None if missing or expired.

        Never writes, and never deletes what has expired.
        """
        return eager(self._enhancer.read(key))

    def read_tracked(self, key: str, /) -> MaybeAwaitable[tuple[Any, EnhancedRevision | None]]:
        """Return the data of *key* with what is known of it; ``(None, None)`` if missing.

        There with every storage; ``inner`` is None where the storage has no revisions.
        """
        return eager(self._enhancer.read_tracked(key))

    def write(self, key: str, value: Any, /) -> MaybeAwaitable[object]:
        """Store *value*, whatever was there before; its timeout begins anew.

        Raises:
            SessionEncodeError: *value* is None, which stands for missing.
        """
        return eager(self._enhancer.write(key, value))

    def delete(self, key: str, /) -> MaybeAwaitable[object]:
        """Remove *key*; a no-op if nothing is stored under it."""
        return self.wrapped.delete(key)

    # There if the storage inside has revisions.

    @optional
    def read_with_revision(
        self, key: str, /
    ) -> MaybeAwaitable[tuple[Any, EnhancedRevision | None]]:
        """Return data and revision; an expired value is missing, yet has a revision."""
        return eager(self._enhancer.read_with_revision(key))

    @optional
    def write_if(
        self, key: str, value: Any, expected: Expected, /
    ) -> MaybeAwaitable[EnhancedRevision | None]:
        """Store *value* (None deletes) if the stored revision is *expected*.

        An *expected* of None succeeds where nothing is stored, and on what has expired.

        Raises:
            SessionConflictError: What is stored is not *expected*; it was left alone.
        """
        if expected is None:
            return eager(self._enhancer.create(key, value))
        return eager(self._enhancer.write_if(key, value, expected))

    # There if the storage inside has the method of that name.

    @optional
    def has(self, key: str, /) -> MaybeAwaitable[bool]:
        """Return whether data, not expired, is stored under *key*; migrates nothing."""
        return eager(self._enhancer.has(key))

    @optional
    def iter_keys(self, prefix: str = "", /) -> MaybeAsyncIterable[str]:
        """Yield each key that begins with *prefix* and has not expired; migrates nothing."""
        return select(self._inner.iter_items(prefix), self._enhancer.live_key)

    @optional
    def iter_items(self, prefix: str = "", /) -> MaybeAsyncIterable[tuple[str, Any]]:
        """Yield pairs of key and migrated data, never expired ones.

        Async if the listing inside is, or if a migration is declared ``async def``.
        """
        migrations = self._options.migrations
        may_wait = migrations is not None and migrations.may_wait
        return select(self._inner.iter_items(prefix), self._enhancer.live_item, may_wait=may_wait)

    @optional
    def read_many(self, keys: Sequence[str], /) -> MaybeAwaitable[Mapping[str, Any]]:
        """Return the migrated data of *keys*; missing and expired ones are left out."""
        return eager(self._enhancer.read_many(keys))

    @optional
    def write_many(self, values: Mapping[str, Any], /) -> MaybeAwaitable[object]:
        """Store all of *values*, as the storage inside does it; their timeouts begin anew."""
        return eager(self._enhancer.write_many(values))

    @property
    def sync(self) -> EnhancedStorage:
        """The blocking view of the storage inside, enhanced alike."""
        require(self, "sync")
        if self._sync is None:
            inside = self._inner.sync
            is_blocking = inside is self.wrapped
            self._sync = self if is_blocking else EnhancedStorage(inside, self._options)
        return self._sync

    @optional
    def close(self) -> MaybeAwaitable[None]:
        """Close the storage inside."""
        return self._inner.close()  # type: ignore[no-any-return]

    # There if there are timeouts.

    @optional
    def touch(self, key: str, /) -> MaybeAwaitable[bool]:
        """Let the timeout of *key* begin anew; False if it is missing or has expired.

        There if ``ttl`` is set; otherwise the storage's own ``touch``, if it has one.
        Over a storage without revisions it reads and writes, which is safe only as
        long as nobody else writes that key at the same time.
        """
        if self._options.ttl is None:
            return eager(self._enhancer.touch_inside(key))
        return eager(self._enhancer.touch(key))

    @optional
    def renew(
        self, key: str, revision: Revision | None, /
    ) -> MaybeAwaitable[EnhancedRevision | None]:
        """Renew the timeout if at least a tenth of it is over.

        There if ``sliding`` is set; for the end of a use that changed nothing.  A
        no-op if *revision* (from ``read_with_revision`` or ``read_tracked``) is no
        longer what is stored, if it has expired, and if it never expires.  As to
        storages without revisions see ``touch``.

        Returns:
            The new revision, None after a no-op.
        """
        return eager(self._enhancer.renew(key, revision))

    @optional
    def purge_expired(self) -> MaybeAwaitable[int]:
        """Remove what has expired, return how many values that were.

        Runs the storage's own purge, then looks through all items if the storage can
        list them and write on condition: a value written in between is never removed.
        There if the storage can do the latter, or purges and knows what expires: it is
        told if it keeps expiries by the same clock.
        """
        return eager(self._enhancer.purge_expired())


def _capabilities(storage: object, options: Options, enhancer: Enhancer) -> frozenset[str]:
    names = {name for name in _SAME_NAME if offers(storage, name)}
    if offers(storage, *_LISTING):
        names.update(_LISTING)
    if offers(storage, *_REVISIONS):
        names.update(_REVISIONS)
    if enhancer.can_purge:
        names.add("purge_expired")
    if options.ttl is not None:
        names.add("touch")
    if options.sliding:
        names.add("renew")
    return frozenset(names)


def _milliseconds(ttl: timedelta | float) -> int:
    span = seconds("ttl", ttl) * 1000
    if span > _LONGEST:
        msg = f"ttl is longer than can be stored: {ttl!r}; for no timeout leave it out"
        raise ValueError(msg)
    return max(1, round(span))


def _check_not_enhanced(storage: object) -> None:
    inside: object = storage
    while inside is not None:
        if isinstance(inside, EnhancedStorage):
            msg = (
                f"{storage!r} is enhanced already, and enhancing does not stack: "
                "give ttl and migrations in one call of enhance_storage"
            )
            raise TypeError(msg)
        inside = getattr(inside, "wrapped", None)
