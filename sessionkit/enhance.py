"""Timeouts and schema migrations over any storage."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from sessionkit._enhance.enhancer import Enhancer, Options, offers
from sessionkit._enhance.envelope import EnhancedRevision
from sessionkit._enhance.migrations import Migration, Migrations
from sessionkit._enhance.ways import ways_through
from sessionkit._storage.capabilities import optional, require
from sessionkit._storage.checks import check_storage
from sessionkit._storage.listing import select, with_left_out
from sessionkit._storage.seconds import seconds

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from sessionkit.protocols import (
        Clock,
        Expected,
        MaybeAsyncIterable,
        MaybeAwaitable,
        Revision,
        Storage,
    )

__all__ = ["EnhancedRevision", "EnhancedStorage", "enhance_storage"]

_SAME_NAME: Final = ("has", "read_many", "write_many", "touch", "backup", "sync", "close")
_LISTING: Final = ("iter_keys", "iter_items")
_REVISIONS: Final = ("read_with_revision", "write_if")
_BESIDE: Final = "write_beside"
_SNAPSHOTS: Final = ("read_snapshot", "write_snapshot")
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

    It is async if *storage* is, or if a migration is declared with ``async def``:
    then every answer is an awaitable.  Otherwise it answers at once, whether an
    event loop runs or not.

    Args:
        storage: Any storage, sync or async, that is not enhanced yet.

        ttl: How long data is kept after its last change: a ``timedelta``, or
            seconds.  At that instant it is missing; it is removed for good by
            ``purge_expired``, or when the key is written next.  A new ttl counts
            from the next change; an expiry that is stored is honoured without one.

        migrations: Functions by the version they lead to, any numbers in any order:
            ``{1: add_age, 10: ..., 10.1: ...}``.  Each takes the data of the version
            before and returns the new data; only ``async def`` may return an awaitable.
            They run when data is read, on a copy; reading never writes.  An empty
            mapping is the same as None: data that has a version is refused.

        sliding: Let each use renew the timeout, not only each change; stored at
            most once per tenth of the ttl.

        clock: Gives the seconds since the epoch; times are kept in milliseconds.  A
            storage that keeps expiries itself gets them if it has the same clock.

    Raises:
        TypeError: *storage* is not a storage or is enhanced already, or an option is of a
            wrong type.
        ValueError: A *ttl* that is not positive and finite, *sliding* without *ttl*,
            or versions in *migrations* that are not distinct numbers.
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
        migrations=Migrations({} if migrations is None else migrations),
        sliding=sliding,
        clock=clock,
    )
    return EnhancedStorage(storage, options)


class EnhancedStorage:
    """A storage that expires and migrates what another one stores.

    Made by ``enhance_storage``.  It is sync or async as the storage inside is, and
    async if a migration is.  ``read``, ``read_tracked``, ``write`` and ``delete``
    are always there; every other method only if the storage inside (or an option)
    provides for it, otherwise it is a missing attribute.

    Data in a version newer than the newest migration raises ``NewerVersionError``
    when it would be returned, and so does any version if there are no
    migrations; a failing migration raises ``SessionMigrationError``.  Fields of an
    envelope that begin with ``__`` belong to other releases: they are written back
    with what was read, and with what is written without a read once some were met.

    Attributes:
        wrapped: The storage inside.
        enhanced: True: data that looks like an envelope is not one.
        isolated: Whether data given and taken is never shared, as inside.
        settles: Whether a cancelled write has no late effect, as inside.
        any_value: Whether more than plain JSON values can be stored, as inside.
        migrates: Whether there are migrations: revisions say that a value went through some.
        capabilities: The names of the optional methods that are there.
    """

    enhanced: Final = True

    def __init__(self, storage: Storage[Any], options: Options) -> None:
        self.wrapped = storage
        self.isolated: bool = getattr(storage, "isolated", False)
        self.settles: bool = getattr(storage, "settles", False)
        self.any_value: bool = getattr(storage, "any_value", False)
        self.migrates: bool = options.migrations.latest is not None
        self._inner: Any = storage  # has optional methods, which Storage does not declare
        self._options = options
        self._enhancer = Enhancer(storage, options)
        self._ways = ways_through(storage, self._enhancer)
        found = _capabilities(storage, options, self._enhancer)
        self.capabilities: frozenset[str] = (
            found if self._ways.frozen is None else found.union(_SNAPSHOTS)
        )
        self._sync: EnhancedStorage | None = None

    def __repr__(self) -> str:
        return f"enhance_storage({self.wrapped!r})"

    @property
    def ttl(self) -> float | None:
        """How long data is kept after its last change, in seconds; None: without limit."""
        return None if self._options.ttl is None else self._options.ttl / 1000

    # Always there.

    def read(self, key: str, /) -> MaybeAwaitable[Any]:
        """Return the data of *key*, migrated; None if missing or expired.

        Never writes, and never deletes what has expired.
        """
        return self._ways.read(key)

    def read_tracked(self, key: str, /) -> MaybeAwaitable[tuple[Any, EnhancedRevision | None]]:
        """Return the data of *key* with what is known of it; ``(None, None)`` if missing.

        There with every storage; ``inner`` is None where the storage has no revisions.
        """
        return self._ways.read_tracked(key)

    def write(self, key: str, value: Any, /) -> MaybeAwaitable[object]:
        """Store *value*, replacing any earlier one; its timeout restarts.

        Raises:
            SessionEncodeError: *value* is None, which means missing.
        """
        return self._ways.write(key, value)

    def delete(self, key: str, /) -> MaybeAwaitable[object]:
        """Remove *key*; a no-op if nothing is stored under it."""
        return self._ways.delete(key)

    # There if the storage inside has revisions.

    @optional
    def read_with_revision(
        self, key: str, /
    ) -> MaybeAwaitable[tuple[Any, EnhancedRevision | None]]:
        """Return data and revision; an expired value is missing, yet has a revision."""
        return self._ways.read_with_revision(key)

    @optional
    def write_if(
        self, key: str, value: Any, expected: Expected, /
    ) -> MaybeAwaitable[EnhancedRevision | None]:
        """Store *value* (None deletes) if the stored revision is *expected*.

        An *expected* of None succeeds where nothing is stored, and on what has expired.

        Raises:
            SessionConflictError: What is stored is not *expected*; it was left alone.
        """
        return self._ways.write_if(key, value, expected)

    @optional
    def write_beside(
        self,
        key: str,
        value: Any,
        expected: Expected,
        kept: Mapping[str, Any] | None,
        /,
        *,
        expires: float | None = None,
    ) -> MaybeAwaitable[EnhancedRevision | None]:
        """Do what ``write_if`` does, and choose the fields of the envelope that begin with ``__``.

        With a *value* of None they stay without data until *expires*, in epoch
        seconds; if there are none, the key is deleted.

        Raises:
            SessionConflictError: What is stored is not *expected*; it was left alone.
        """
        return self._ways.run(self._enhancer.write_beside(key, value, expected, kept, expires))

    # There if the storage inside is sync and keeps snapshots.

    @optional
    def read_snapshot(self, key: str, /) -> tuple[bytes | None, Any, EnhancedRevision | None]:
        """Return a snapshot of the data, and what ``read_with_revision`` returns."""
        return self._ways.frozen.read(key)  # type: ignore[no-any-return]

    @optional
    def write_snapshot(
        self, key: str, snapshot: bytes | None, value: Any, expected: Expected, /
    ) -> MaybeAwaitable[EnhancedRevision | None]:
        """Do what ``write_if`` does, given a snapshot of the value, too; two None delete."""
        return self._ways.frozen.write(key, snapshot, value, expected)  # type: ignore[no-any-return]

    # There if the storage inside has the method of that name.

    @optional
    def has(self, key: str, /) -> MaybeAwaitable[bool]:
        """Return whether data, not expired, is stored under *key*; migrates nothing."""
        return self._ways.run(self._enhancer.has(key))

    @optional
    def iter_keys(self, prefix: str = "", /) -> MaybeAsyncIterable[str]:
        """Yield each key that begins with *prefix* and has not expired; migrates nothing."""
        items = self._inner.iter_items(prefix)
        is_async = self._enhancer.is_async
        return with_left_out(select(items, self._enhancer.live_key, is_async=is_async))

    @optional
    def iter_items(self, prefix: str = "", /) -> MaybeAsyncIterable[tuple[str, Any]]:
        """Yield pairs of key and migrated data, never expired ones.

        What cannot be read, or not be migrated, is left out and reported at the end.
        """
        items = self._inner.iter_items(prefix)
        return select(items, self._live_item, is_async=self._enhancer.is_async)

    def _live_item(self, item: tuple[str, Any]) -> MaybeAwaitable[tuple[str, Any] | None]:
        return self._ways.run(self._enhancer.live_item(item))

    @optional
    def read_many(self, keys: Sequence[str], /) -> MaybeAwaitable[Mapping[str, Any]]:
        """Return the migrated data of *keys*; missing and expired ones are left out."""
        return self._ways.run(self._enhancer.read_many(keys))

    @optional
    def write_many(self, values: Mapping[str, Any], /) -> MaybeAwaitable[object]:
        """Store all of *values*, as the storage inside does it; their timeouts restart."""
        return self._ways.run(self._enhancer.write_many(values))

    @optional
    def backup(self, path: str | os.PathLike[str], /) -> MaybeAwaitable[None]:
        """Copy all that the storage inside holds to *path*, as it does that."""
        return self._inner.backup(path)  # type: ignore[no-any-return]

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
        """Restart the timeout of *key*; False if it is missing or has expired.

        There if ``ttl`` is set; otherwise the storage's own ``touch``, if it has one.
        Over a storage without revisions it reads and writes, which is safe only as
        long as nobody else writes that key at the same time.
        """
        return self._ways.run(self._enhancer.touch(key))

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
        return self._ways.renew(key, revision)

    @optional
    def purge_expired(self) -> MaybeAwaitable[int]:
        """Remove what has expired, return how many values that were.

        Runs the storage's own purge, then looks through all items if the storage can
        list them and write on condition: a value written in between is never removed.
        There if the storage can do the latter, or purges and knows what expires: it is
        given the expiry if it uses the same clock.
        """
        return self._ways.run(self._enhancer.purge_expired())


def _capabilities(storage: object, options: Options, enhancer: Enhancer) -> frozenset[str]:
    names = {name for name in _SAME_NAME if offers(storage, name)}
    if options.migrations.is_async:
        names.discard("sync")  # a thread cannot wait for them
    if offers(storage, *_LISTING):
        names.update(_LISTING)
    if offers(storage, *_REVISIONS):
        names.update(_REVISIONS)
        names.add(_BESIDE)
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
