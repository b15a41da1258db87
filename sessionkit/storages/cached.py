"""Sessions of one process, read from memory and written to a storage."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from sessionkit._data.plain import plain_fault
from sessionkit._data.snapshots import freeze, thaw
from sessionkit._storage.capabilities import clock_of, optional, require
from sessionkit._storage.checks import check_storage
from sessionkit._storage.sync_or_async import answers_later, ask, finish, follow
from sessionkit.errors import SessionEncodeError
from sessionkit.protocols import ANY

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence

    from sessionkit.protocols import (
        Clock,
        Entry,
        Expected,
        MaybeAsyncIterable,
        MaybeAwaitable,
        Revision,
        Storage,
    )

R = TypeVar("R")

_OPTIONAL: Final = (
    "has",
    "read_many",
    "write_many",
    "touch",
    "purge_expired",
    "iter_keys",
    "iter_items",
    "read_entries",
    "iter_entries",
    "write_entries",
    "backup",
    "sync",
    "close",
)
_ROUNDING: Final = 0.001
"""Seconds by which a storage may round what expires; read then once too often, not too late."""


def cached(
    storage: Storage[Any], *, max_entries: int = 10_000, clock: Clock = time.time
) -> CachedStorage:
    """Return *storage* with its latest values kept in memory: for the one process that uses it.

    What this process has read or written is read from memory.  Writes go through, on
    condition that the stored value is still the one that was read, so a write of another
    process is noticed when this one writes: ``SessionConflictError``, after which the value
    is read again.  Until then this process reads what it knows.

    It is sync or async as the storage inside is.  A timeout goes outside:
    ``enhance_storage(cached(storage), ttl=...)``; that of a storage is respected if its
    revisions have ``expires``, as those of SQLite, files and databases do.

    Args:
        storage: A storage that writes on condition.
        max_entries: How many values are kept; the one unused for the longest time makes room.
        clock: The time, in seconds since the epoch, by which the storage's values expire.

    Raises:
        TypeError: *storage* does not write on condition, or keeps its values in memory; it
            is enhanced; or *max_entries* is not a whole number.
        ValueError: *max_entries* is below 1.
    """
    check_storage(storage)
    _check_use(storage)
    if type(max_entries) is not int:
        msg = f"max_entries must be a whole number from 1, not {max_entries!r}"
        raise TypeError(msg)
    if max_entries < 1:
        msg = f"max_entries must be a whole number from 1, not {max_entries!r}"
        raise ValueError(msg)
    return CachedStorage(storage, _Cache(max_entries, clock))


class _Known(NamedTuple):
    """A value that is stored, as far as this process knows.

    Attributes:
        frozen: A snapshot of it.
        revision: Its revision.
        expires: When it will be gone, in epoch seconds; None for never.
    """

    frozen: bytes
    revision: Revision | None
    expires: float | None


class _Writes:
    """The writes of one key that are under way."""

    def __init__(self) -> None:
        self.count = 0
        self.were_several = False


class _Cache:
    """What is known of each key; shared by tasks and threads.

    A value is kept only if no write of its key began since it was read; that of a write if
    no other one was under way at the same time: which of them was the last is not known.
    """

    def __init__(self, max_entries: int, clock: Clock) -> None:
        self._max_entries = max_entries
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._reads: dict[str, object] = {}
        self._writes: dict[str, _Writes] = {}
        self._mutex = threading.Lock()

    def get(self, key: str) -> _Known | None:
        """Return what is known of *key*."""
        with self._mutex:
            known = self._known.get(key)
            if known is None:
                return None
            if known.expires is not None and self._clock() >= known.expires - _ROUNDING:
                del self._known[key]
                return None
            self._known.move_to_end(key)
            return known

    def begin_read(self, key: str) -> object:
        """Return a mark for ``end_read``."""
        mark = object()
        with self._mutex:
            if key not in self._writes:
                self._reads[key] = mark
        return mark

    def end_read(self, key: str, mark: object, known: _Known | None) -> None:
        """Keep what was read, unless it may be out of date."""
        with self._mutex:
            if self._reads.get(key) is mark:
                del self._reads[key]
                self._keep(key, known)

    def begin_write(self, key: str) -> None:
        """Forget what is known of *key*; ``end_write`` must follow."""
        with self._mutex:
            self._known.pop(key, None)
            self._reads.pop(key, None)
            writes = self._writes.setdefault(key, _Writes())
            writes.count += 1
            writes.were_several = writes.count > 1 or writes.were_several

    def end_write(self, key: str, known: _Known | None) -> None:
        """Keep what was written, None if that is not known."""
        with self._mutex:
            writes = self._writes[key]
            writes.count -= 1
            if not writes.count:
                del self._writes[key]
                self._keep(key, None if writes.were_several else known)

    def _keep(self, key: str, known: _Known | None) -> None:
        if known is not None:
            self._known[key] = known
            if len(self._known) > self._max_entries:
                self._known.popitem(last=False)


class CachedStorage:
    """A storage whose latest values are kept in memory.

    Made by ``cached``.  Optional methods are there if the storage inside has them.

    Attributes:
        wrapped: The storage inside.
        isolated: Whether data given and taken is never shared, as inside.
        settles: Whether a cancelled write has no late effect, as inside.
        any_value: Whether more than plain JSON values can be stored, as inside.
        supports_expiry: Whether ``write_if`` takes ``expires=``, as inside.
        clock: The clock of the storage inside.
        capabilities: The names of the optional methods that are there.
    """

    def __init__(self, storage: Storage[Any], cache: _Cache) -> None:
        self.wrapped = storage
        self.isolated: bool = getattr(storage, "isolated", False)
        self.settles: bool = getattr(storage, "settles", False)
        self.any_value: bool = getattr(storage, "any_value", False)
        self.supports_expiry: bool = getattr(storage, "supports_expiry", False)
        self.clock: Clock = clock_of(storage)
        self.capabilities: frozenset[str] = frozenset(
            name for name in _OPTIONAL if getattr(storage, name, None) is not None
        )
        self._inner: Any = storage  # has optional methods, which Storage does not declare
        self._is_async = answers_later(storage)
        self._run: Callable[[Coroutine[Any, Any, Any]], Any] = finish if self._is_async else follow
        self._cache = cache
        self._sync: CachedStorage | None = None

    def __repr__(self) -> str:
        return f"cached({self.wrapped!r})"

    def read(self, key: str, /) -> MaybeAwaitable[Any]:
        """Return the value, None if missing or expired."""
        return self._run(self._value(key))

    def read_with_revision(self, key: str, /) -> MaybeAwaitable[tuple[Any, Revision | None]]:
        """Return value and revision."""
        found: MaybeAwaitable[tuple[Any, Revision | None]] = self._run(self._found(key))
        return found

    def write(self, key: str, value: Any, /) -> MaybeAwaitable[object]:
        """Store *value*, replacing any earlier one."""
        return self.write_if(key, value, ANY)

    def delete(self, key: str, /) -> MaybeAwaitable[object]:
        """Remove *key*; a no-op if nothing is stored under it."""
        return self._change((key,), lambda: self._inner.delete(key))

    def write_if(
        self, key: str, value: Any, expected: Expected, /, *, expires: float | None = None
    ) -> MaybeAwaitable[Revision | None]:
        """Store *value* (None deletes) if the stored revision is *expected*.

        Raises:
            SessionConflictError: It is not; it was left alone, and is read again.
        """
        options = {} if expires is None else {"expires": expires}
        frozen = self._frozen(value)

        def known(revision: Revision | None) -> _Known | None:
            return None if frozen is None else _known(frozen, revision)

        return self._change(
            (key,), lambda: self._inner.write_if(key, value, expected, **options), known
        )

    @optional
    def has(self, key: str, /) -> MaybeAwaitable[bool]:
        """Return whether *key* is stored and not expired."""
        return self._inner.has(key)  # type: ignore[no-any-return]

    @optional
    def read_many(self, keys: Sequence[str], /) -> MaybeAwaitable[Mapping[str, Any]]:
        """Return what is stored under *keys*; missing ones are left out."""
        return self._inner.read_many(keys)  # type: ignore[no-any-return]

    @optional
    def write_many(self, values: Mapping[str, Any], /) -> MaybeAwaitable[object]:
        """Store all of *values*, as the storage inside does it."""
        return self._change(tuple(values), lambda: self._inner.write_many(values))

    @optional
    def touch(self, key: str, /) -> MaybeAwaitable[bool]:
        """Restart the timeout of *key*; False if it is missing or expired."""
        return self._change((key,), lambda: self._inner.touch(key))

    @optional
    def purge_expired(self) -> MaybeAwaitable[int]:
        """Remove what has expired, return how many values that were."""
        return self._inner.purge_expired()  # type: ignore[no-any-return]

    @optional
    def iter_keys(self, prefix: str = "", /) -> MaybeAsyncIterable[str]:
        """Yield each key that begins with *prefix* and has not expired."""
        return self._inner.iter_keys(prefix)  # type: ignore[no-any-return]

    @optional
    def iter_items(self, prefix: str = "", /) -> MaybeAsyncIterable[tuple[str, Any]]:
        """Yield pairs of key and value, otherwise as ``iter_keys``."""
        return self._inner.iter_items(prefix)  # type: ignore[no-any-return]

    @optional
    def read_entries(self, keys: Sequence[str], /) -> MaybeAwaitable[Mapping[str, Entry]]:
        """Return the entries of *keys*; missing and expired ones are left out."""
        return self._inner.read_entries(keys)  # type: ignore[no-any-return]

    @optional
    def iter_entries(self, prefix: str = "", /) -> MaybeAsyncIterable[Entry]:
        """Yield the entries whose keys begin with *prefix*."""
        return self._inner.iter_entries(prefix)  # type: ignore[no-any-return]

    @optional
    def write_entries(
        self, entries: Sequence[Entry], expected: Expected = None, /
    ) -> MaybeAwaitable[Sequence[str]]:
        """Store each entry whose key has the revision *expected*; return the keys left alone."""
        keys = tuple(dict.fromkeys(entry.key for entry in entries))
        return self._change(keys, lambda: self._inner.write_entries(entries, expected))

    @optional
    def backup(self, path: str | os.PathLike[str], /) -> MaybeAwaitable[None]:
        """Copy all that the storage inside holds to *path*, as it does that."""
        return self._inner.backup(path)  # type: ignore[no-any-return]

    @property
    def sync(self) -> CachedStorage:
        """The blocking view of the storage inside, with the same memory."""
        require(self, "sync")
        if self._sync is None:
            inside = self._inner.sync
            self._sync = self if inside is self.wrapped else CachedStorage(inside, self._cache)
        return self._sync

    @optional
    def close(self) -> MaybeAwaitable[None]:
        """Close the storage inside."""
        return self._inner.close()  # type: ignore[no-any-return]

    async def _value(self, key: str) -> Any:
        return (await self._found(key))[0]

    async def _found(self, key: str) -> tuple[Any, Revision | None]:
        found = self._from_memory(key)
        if found is not None:
            return found
        mark = self._cache.begin_read(key)
        known = None
        try:
            value, revision = await ask(self._inner.read_with_revision(key))
            known = self._known_from(value, revision)
        finally:
            self._cache.end_read(key, mark, known)
        return value, revision

    def _from_memory(self, key: str) -> tuple[Any, Revision | None] | None:
        known = self._cache.get(key)
        return None if known is None else (thaw(known.frozen), known.revision)

    def _known_from(self, value: Any, revision: Revision | None) -> _Known | None:
        frozen = None if value is None else self._frozen(value)
        return None if frozen is None else _known(frozen, revision)

    def _frozen(self, value: Any) -> bytes | None:
        """Return a snapshot of *value*; None if that might not be what the storage gives back."""
        if value is None or not (self.any_value or plain_fault(value) is None):
            return None
        with suppress(SessionEncodeError):
            return freeze(value)
        return None

    def _change(
        self,
        keys: Iterable[str],
        change: Callable[[], MaybeAwaitable[R]],
        known: Callable[[Any], _Known | None] = lambda _: None,
    ) -> MaybeAwaitable[R]:
        """Let *change* write *keys*; *known* makes of its answer what is known then."""
        if self._is_async:
            answer = change()  # which takes the value as it is now
            return finish(self._changed(keys, lambda: answer, known))
        return follow(self._changed(keys, change, known))

    async def _changed(
        self,
        keys: Iterable[str],
        change: Callable[[], MaybeAwaitable[R]],
        known: Callable[[Any], _Known | None],
    ) -> R:
        kept: _Known | None = None
        for key in keys:
            self._cache.begin_write(key)
        try:
            result = await ask(change())
            kept = known(result)
        finally:
            for key in keys:
                self._cache.end_write(key, kept)
        return result


def _known(frozen: bytes, revision: Revision | None) -> _Known:
    return _Known(frozen, revision, getattr(revision, "expires", None))


def _check_use(storage: Any) -> None:
    if getattr(storage, "enhanced", False):
        msg = f"{storage!r} has timeouts or migrations: enhance_storage(cached(storage), ...)"
        raise TypeError(msg)
    if callable(getattr(storage, "read_snapshot", None)):
        msg = f"{storage!r} keeps its values in memory: it needs no cache"
        raise TypeError(msg)
    if not all(callable(getattr(storage, n, None)) for n in ("read_with_revision", "write_if")):
        msg = (
            f"{storage!r} does not write on condition (read_with_revision, write_if): with a "
            "cache, what another process wrote would be overwritten unnoticed"
        )
        raise TypeError(msg)
