"""What sessions need of a storage, found out once, at set-up."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeAlias, TypeVar

from sessionkit._data.snapshots import thaw
from sessionkit._storage.checks import check_storage
from sessionkit._storage.sync_or_async import discard, is_awaitable, settle
from sessionkit.protocols import Expected, MaybeAsyncIterable, MaybeAwaitable, Revision

R = TypeVar("R")

_READS_AND_WRITES: Final = {"read", "write", "delete", "read_with_revision", "write_if"}
_SNAPSHOTS: Final = ("read_snapshot", "write_snapshot")

Unpacked: TypeAlias = tuple[bytes | None, Any, Revision | None]
"""A snapshot of what is stored, None if nothing is; the same as plain values; its revision."""


class Backend:
    """One storage, as the session layer uses it: its ways to read and write are chosen once.

    Attributes:
        fetch: Called with a key; returns an answer to ``unpack``, or an awaitable of it.
        store: Called with key, snapshot, plain value (None for both deletes) and expected
            revision; returns the new revision (nothing of use, if the storage has none), or an
            awaitable of it.
        renew: Called with key and revision; lets a sliding timeout slide.  None if there is none.
        keeps_beside: Whether the storage keeps what an envelope has beside the data apart from
            it, with ``read_beside`` and ``write_beside``: see ``MemorySessionStorage``.
        migrates: Whether the revisions of this storage say that a value was migrated.

    Args:
        storage: Any object with ``read``, ``write`` and ``delete``.
        blocking: For use on threads that run no event loop.

    Raises:
        TypeError: A method is missing, or one of the two that go by revisions.
    """

    def __init__(self, storage: Any, *, blocking: bool = False) -> None:
        check_storage(storage)
        _check_revisions(storage)
        self.storage = storage
        self.blocking = blocking
        self.any_value: bool = getattr(storage, "any_value", False) is True
        self.migrates: bool = getattr(storage, "migrates", False) is True
        self.renew: Callable[[str, Revision | None], Any] | None = _method(storage, "renew")
        self.isolated: bool = getattr(storage, "isolated", False) is True
        self.enhanced: bool = getattr(storage, "enhanced", False) is True
        self._settles = getattr(storage, "settles", False) is True
        self._write: Callable[[str, Any], Any] = storage.write
        self._delete: Callable[[str], Any] = storage.delete
        self._write_if: Any = _method(storage, "write_if")
        self._read_pair = _method(storage, "read_with_revision") or _method(storage, "read_tracked")
        self._keeps_snapshots = keeps_snapshots(storage)
        self.keeps_beside: bool = self._keeps_snapshots and _keeps(
            storage, "read_beside", "write_beside", instead_of=_READS_AND_WRITES.union(_SNAPSHOTS)
        )
        self.fetch: Callable[[str], Any]
        self.store: Callable[[str, bytes | None, Any, Expected], Any]
        if self._keeps_snapshots:
            self.fetch = storage.read_snapshot
            self.store = storage.write_snapshot
        else:
            self.fetch = self._read_pair or storage.read
            self.store = self._store_if if self._write_if is not None else self._store_plainly

    def unpacking(self, snapshot_of: Callable[[Any], bytes]) -> Callable[[Any], Unpacked] | None:
        """Return the function that takes answers of ``fetch`` apart; None if they are.

        The plain value is the caller's own: it shares nothing with the storage.
        """
        if self._keeps_snapshots:
            return None
        return _unpacker(snapshot_of, paired=self._read_pair is not None, isolated=self.isolated)

    @property
    def has_revisions(self) -> bool:
        """Whether writes can be conditional."""
        return self._write_if is not None

    def blocking_view(self) -> Backend:
        """The same storage for threads: its ``sync`` view, if it has one."""
        view = getattr(self.storage, "sync", None)
        return Backend(self.storage if view is None else view, blocking=True)

    def _store_if(self, key: str, snapshot: bytes | None, plain: Any, expected: Expected) -> Any:
        return self._write_if(key, self._own(snapshot, plain), expected)

    def _store_plainly(self, key: str, snapshot: bytes | None, plain: Any, _: Expected) -> Any:
        if plain is None:
            return self._delete(key)
        return self._write(key, self._own(snapshot, plain))

    def _own(self, snapshot: bytes | None, plain: Any) -> Any:
        """A value that the storage may keep."""
        return plain if self.isolated or snapshot is None else thaw(snapshot)

    async def answer(self, value: MaybeAwaitable[R]) -> R:
        """Return what a storage method gave, awaited if need be."""
        if not is_awaitable(value):
            return value  # type: ignore[return-value]  # not awaitable, so it is an R
        self._refuse_if_blocking(value)
        answer: R = await value
        return answer

    async def call(self, name: str, *args: Any) -> Any:
        """Call an optional method, which must be there.

        Raises:
            TypeError: The storage does not have it.
        """
        method = _method(self.storage, name)
        if method is None:
            msg = f"{type(self.storage).__name__} has no {name}(), which this needs"
            raise TypeError(msg)
        return await self.answer(method(*args))

    async def listing(self, name: str, prefix: str) -> AsyncIterator[Any]:
        """Iterate over an optional ``iter_keys`` or ``iter_items``."""
        entries: MaybeAsyncIterable[Any] = await self.call(name, prefix)
        if isinstance(entries, AsyncIterable):
            async for entry in entries:
                yield entry
        else:
            for entry in entries:
                yield entry

    async def settled(self, value: MaybeAwaitable[R]) -> R:
        """Return what a write gave; whatever way this ends, nothing of it happens later."""
        if self._settles or not is_awaitable(value):
            return await self.answer(value)
        self._refuse_if_blocking(value)
        return await settle(value)

    def _refuse_if_blocking(self, value: Awaitable[Any]) -> None:
        if self.blocking:
            discard(value)
            msg = (
                f"{type(self.storage).__name__} answers with an awaitable, which a thread "
                "cannot wait for: use 'async with', or a storage that has a 'sync' view"
            )
            raise TypeError(msg)


def _check_revisions(storage: Any) -> None:
    if _method(storage, "write_if") and not _method(storage, "read_with_revision"):
        msg = (
            f"{storage!r} has write_if(), and no read_with_revision() to get revisions from: "
            "a storage has both or none"
        )
        raise TypeError(msg)


def _unpacker(
    snapshot_of: Callable[[Any], bytes], *, paired: bool, isolated: bool
) -> Callable[[Any], Unpacked]:
    def unpack(answer: Any) -> Unpacked:
        value, revision = answer if paired else (answer, None)
        if value is None:
            return None, None, revision
        snapshot = snapshot_of(value)
        return snapshot, value if isolated else thaw(snapshot), revision

    return unpack


def keeps_snapshots(storage: Any) -> bool:
    """Whether snapshots may be read and written: unless a subclass changed other methods."""
    return _keeps(storage, *_SNAPSHOTS, instead_of=_READS_AND_WRITES)


def _keeps(storage: Any, read: str, write: str, *, instead_of: set[str]) -> bool:
    """Whether sessions may use *read* and *write*: unless a subclass changed other methods."""
    if not (_method(storage, read) and _method(storage, write)):
        return False
    changed: set[str] = set(getattr(storage, "__dict__", ()))
    for kind in type(storage).__mro__:
        if read in vars(kind):
            break
        changed |= vars(kind).keys()
    return changed.isdisjoint(instead_of)


def _method(storage: Any, name: str) -> Callable[..., Any] | None:
    method = getattr(storage, name, None)
    return method if callable(method) else None
