"""What sessions need of a storage, found out once, at set-up."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

from sessionkit._checks import check_storage
from sessionkit._drive import discard, is_awaitable, settle
from sessionkit._types import Expected, MaybeAsyncIterable, MaybeAwaitable, Revision

R = TypeVar("R")


class Found(NamedTuple):
    """What a storage holds under a key: None if nothing, and frozen if it keeps it so."""

    value: Any
    revision: Revision | None
    frozen: bytes | None = None


class Backend:
    """One storage, as the session layer uses it.

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
        self.isolated: bool = getattr(storage, "isolated", False) is True
        self._settles = getattr(storage, "settles", False) is True
        self._read: Callable[[str], Any] = storage.read
        self._write: Callable[[str, Any], Any] = storage.write
        self._delete: Callable[[str], Any] = storage.delete
        self._write_if: Callable[[str, Any, Expected], Any] | None = _method(storage, "write_if")
        self._renew: Callable[[str, Revision | None], Any] | None = _method(storage, "renew")
        frozen = getattr(storage, "keeps_frozen", False) is True
        self._read_frozen: Callable[[str], Any] | None = storage.read_frozen if frozen else None
        self._write_frozen: Callable[[str, bytes | None, Expected], Revision | None] | None = (
            storage.write_frozen if frozen else None
        )
        self._read_pair: Callable[[str], Any] | None = _method(
            storage, "read_with_revision"
        ) or _method(storage, "read_tracked")

    @property
    def has_revisions(self) -> bool:
        """Whether writes can be conditional."""
        return self._write_if is not None

    def blocking_view(self) -> Backend:
        """The same storage for threads: its ``sync`` view, if it has one."""
        view = getattr(self.storage, "sync", None)
        return Backend(self.storage if view is None else view, blocking=True)

    async def load(self, key: str) -> Found:
        """Return what is stored."""
        if self._read_frozen is not None:
            return Found(*self._read_frozen(key))
        if self._read_pair is None:
            return Found(await self.answer(self._read(key)), None)
        return Found(*await self.answer(self._read_pair(key)))

    async def store(
        self, key: str, value: Any, frozen: bytes | None, expected: Expected
    ) -> Revision | None:
        """Write, or (None) delete; conditionally if the storage can.

        *frozen* is the value frozen.  Once this has ended, by whatever way,
        nothing of it will happen later.
        """
        if self._write_frozen is not None:
            return self._write_frozen(key, frozen, expected)
        if self._write_if is not None:
            revision: Revision | None = await self._settled(self._write_if(key, value, expected))
            return revision
        if value is None:
            await self._settled(self._delete(key))
        else:
            await self._settled(self._write(key, value))
        return None

    async def renew(self, key: str, revision: Revision | None) -> None:
        """Let a sliding timeout slide, if the storage has one."""
        if self._renew is not None:
            await self._settled(self._renew(key, revision))

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

    async def _settled(self, value: MaybeAwaitable[R]) -> R:
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


def _method(storage: Any, name: str) -> Callable[..., Any] | None:
    method = getattr(storage, name, None)
    return method if callable(method) else None
