"""The shapes everything else agrees on: storages, their capabilities, clocks."""

from __future__ import annotations

from collections.abc import (
    AsyncIterable,
    Awaitable,
    Callable,
    Hashable,
    Iterable,
    Mapping,
    Sequence,
)
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    T = TypeVar("T", default=Any)
    T_co = TypeVar("T_co", default=Any, covariant=True)
else:
    from typing import TypeVar

    T = TypeVar("T")
    T_co = TypeVar("T_co", covariant=True)

R = TypeVar("R")

MaybeAwaitable: TypeAlias = R | Awaitable[R]
MaybeAsyncIterable: TypeAlias = Iterable[R] | AsyncIterable[R]

Clock: TypeAlias = Callable[[], float]
"""Seconds since the epoch, as ``time.time`` gives them."""

Revision: TypeAlias = Hashable
"""A storage's token for one stored value: opaque, never the same for two values of a key."""


class _Any(Enum):
    ANY = "ANY"

    def __repr__(self) -> str:
        return self.name


ANY: Final = _Any.ANY
"""As the *expected* revision of a write: whatever is stored, write."""

Expected: TypeAlias = Revision | Literal[_Any.ANY] | None


class Storage(Protocol[T]):
    """What a storage must offer: three methods, each sync or async.

    Keys are non-empty strings of any length and any characters; two different
    strings are two different keys.  Values are plain JSON values (``dict``,
    ``list``, ``str``, ``int``, ``float``, ``bool``) unless the storage says
    that it takes more.

    A failure is raised, never hidden: an error taken for "missing" would make
    the session begin anew and overwrite what is stored.
    """

    def read(self, key: str, /) -> MaybeAwaitable[T | None]:
        """Return the value stored under *key*, None if there is none.

        An expired value is missing.
        """
        ...

    def write(self, key: str, value: T, /) -> MaybeAwaitable[object]:
        """Store *value* under *key*, whatever was there before.

        *value* is never None, and may be falsy.  When the call (or its
        awaitable) is through, the value is as durable as the storage promises.
        """
        ...

    def delete(self, key: str, /) -> MaybeAwaitable[object]:
        """Remove *key*; a no-op if nothing is stored under it."""
        ...


# Optional capabilities, each looked for by name once, at set-up.


class SupportsHas(Protocol):
    """Tells whether a key is stored without reading its value."""

    def has(self, key: str, /) -> MaybeAwaitable[bool]:
        """Return whether a value, not expired, is stored under *key*."""
        ...


class SupportsListing(Protocol[T_co]):
    """Lists what is stored."""

    def iter_keys(self, prefix: str = "", /) -> MaybeAsyncIterable[str]:
        """Yield each key that begins with *prefix* once, in any order; never an expired one.

        Keys written or deleted meanwhile may or may not be seen.
        """
        ...

    def iter_items(self, prefix: str = "", /) -> MaybeAsyncIterable[tuple[str, T_co]]:
        """Yield pairs of key and value, otherwise as ``iter_keys``."""
        ...


class SupportsBatches(Protocol[T]):
    """Reads and writes many keys in one go."""

    def read_many(self, keys: Sequence[str], /) -> MaybeAwaitable[Mapping[str, T]]:
        """Return what is stored under *keys*; missing ones are left out."""
        ...

    def write_many(self, values: Mapping[str, T], /) -> MaybeAwaitable[object]:
        """Store all of *values*.  Whether all or nothing lands is the storage's to say."""
        ...


class SupportsRevisions(Protocol[T]):
    """Writes on condition that nobody else wrote in between."""

    def read_with_revision(self, key: str, /) -> MaybeAwaitable[tuple[T | None, Revision | None]]:
        """Return value and revision; ``(None, None)`` if nothing is stored.

        A value that has expired is missing, yet may still have a revision.
        """
        ...

    def write_if(
        self, key: str, value: T | None, expected: Expected, /
    ) -> MaybeAwaitable[Revision | None]:
        """Store *value* (None deletes) if the stored revision is *expected*.

        An *expected* of None means "only if nothing is stored", ``ANY`` means
        "in any case".  Comparing and storing are one step, against every other
        writer of the same data.

        Returns:
            The new revision, None after a delete.

        Raises:
            SessionConflictError: What is stored is not *expected*; it was left alone.
        """
        ...


class SupportsExpiry(SupportsRevisions[T], Protocol[T]):
    """Keeps an expiry beside a value, so that it can list and purge by it."""

    supports_expiry: Literal[True]

    def write_if(
        self,
        key: str,
        value: T | None,
        expected: Expected,
        /,
        *,
        expires: float | None = None,
    ) -> MaybeAwaitable[Revision | None]:
        """As in ``SupportsRevisions``; gone at the instant *expires*, in epoch seconds.

        An *expires* of None leaves it to the storage's own ``ttl``.
        """
        ...


class SupportsTouch(Protocol):
    """Renews a timeout without writing the value."""

    def touch(self, key: str, /) -> MaybeAwaitable[bool]:
        """Let the timeout of *key* begin anew; False if nothing is stored there.

        Never changes or revives data.  Without a timeout it only tells.
        """
        ...


class SupportsRenewal(Protocol):
    """Slides timeouts: asked at the end of each use that changed nothing."""

    def renew(self, key: str, revision: Revision | None, /) -> MaybeAwaitable[object]:
        """Renew the timeout if it is due and *revision* is still what is stored."""
        ...


class SupportsPurge(Protocol):
    """Removes expired values for good."""

    def purge_expired(self) -> MaybeAwaitable[int]:
        """Remove what has expired, return how many values that were.

        A value written in between is never removed.
        """
        ...


class SupportsSync(Protocol[T]):
    """Can be used from threads that run no event loop."""

    @property
    def sync(self) -> Storage[T]:
        """A view whose methods all block; the same data, the same capabilities."""
        ...


class SupportsClose(Protocol):
    """Holds something that has to be given back."""

    def close(self) -> MaybeAwaitable[None]:
        """Finish what is under way and let go; a no-op the second time."""
        ...


class SessionLock(Protocol):
    """A lock for ``lock=``: exclusive per key among all who share it."""

    def acquire(self, key: str, /) -> MaybeAwaitable[object]:
        """Wait for *key*; what is returned is handed to ``release``."""
        ...

    def release(self, key: str, held: Any, /) -> MaybeAwaitable[object]:
        """Give *key* back."""
        ...


class Converter(Protocol[T]):
    """Turns a session's data into plain JSON values and back."""

    def encode(self, data: T, /) -> Any:
        """Return plain values that share nothing mutable with *data*.

        Raises:
            SessionEncodeError: Some of it cannot be stored; names the path.
        """
        ...

    def decode(self, plain: Any, /) -> T:
        """Return data made of *plain*; new fields take their defaults.

        Raises:
            SessionDecodeError: *plain* does not fit the type; names the path.
        """
        ...
