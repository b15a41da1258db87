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
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    import os

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
    the session start with initial data and overwrite what is stored.
    """

    def read(self, key: str, /) -> MaybeAwaitable[T | None]:
        """Return the value stored under *key*, None if there is none.

        An expired value is missing.
        """
        ...

    def write(self, key: str, value: T, /) -> MaybeAwaitable[object]:
        """Store *value* under *key*, replacing any earlier one.

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
        """Return whether an unexpired value is stored under *key*."""
        ...


class SupportsListing(Protocol[T_co]):
    """Lists what is stored."""

    def iter_keys(self, prefix: str = "", /) -> MaybeAsyncIterable[str]:
        """Yield each key that begins with *prefix* once, in any order; never an expired one.

        Keys written or deleted meanwhile may or may not be seen.
        """
        ...

    def iter_items(self, prefix: str = "", /) -> MaybeAsyncIterable[tuple[str, T_co]]:
        """Yield pairs of key and value, otherwise as ``iter_keys``.

        A value that cannot be read does not end the listing: it is left out, and
        reported when everything else was yielded.

        Raises:
            SessionListingError: At the end, if values were left out; has their keys.
        """
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
        writer of the same data.  The revision of a value that has expired since, whether
        it is still kept or not, is what is stored until something else is: the session that
        read it may have been open all the time.

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


class SupportsSnapshots(SupportsRevisions[T], Protocol[T]):
    """Keeps values as snapshots, for storages inside this process: spares a copy each way.

    A snapshot is what sessions compare to see whether data changed: opaque, immutable
    bytes, whose form is private to this release of sessionkit and of Python.  So it must
    not leave the process: on a disk or a network, store values.

    Sessions use both methods instead of ``read_with_revision`` and ``write_if``, with the
    same revisions.  A subclass (or object) that replaces one of ``read``, ``write``,
    ``delete``, ``read_with_revision`` and ``write_if`` without these is not bypassed:
    sessions then call what it replaced.

    A storage with ``supports_expiry`` takes an expiry as fifth argument of
    ``write_snapshot``, as ``write_if`` does as ``expires``.
    """

    def read_snapshot(
        self, key: str, /
    ) -> MaybeAwaitable[tuple[bytes | None, T | None, Revision | None]]:
        """Return the snapshot, and what ``read_with_revision`` returns: value and revision."""
        ...

    def write_snapshot(
        self, key: str, snapshot: bytes | None, value: T | None, expected: Expected, /
    ) -> MaybeAwaitable[Revision | None]:
        """Do what ``write_if`` does, given a snapshot of the value, too; two None delete."""
        ...


class SupportsTouch(Protocol):
    """Renews a timeout without writing the value."""

    def touch(self, key: str, /) -> MaybeAwaitable[bool]:
        """Restart the timeout of *key*; False if nothing is stored there.

        Never changes or revives data.  Without a timeout it only reports.
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

        A value written in between is never removed, and one that cannot be read
        does not keep the others from being removed.
        """
        ...


class Entry(NamedTuple):
    """A value as it is stored, together with its expiry.

    Attributes:
        key: Where it is stored.
        value: The stored value; what wrappers put around data (an envelope) belongs to it.
        expires: When it will be gone, in epoch seconds; None: the storage keeps no expiry
            for it.
    """

    key: str
    value: Any
    expires: float | None = None


class SupportsEntries(Protocol):
    """Reads and writes values together with their expiry: for copies, exports and edits."""

    def read_entries(self, keys: Sequence[str], /) -> MaybeAwaitable[Mapping[str, Entry]]:
        """Return the entries of *keys*; missing and expired ones are left out.

        Raises:
            SessionDecodeError: One cannot be read.
        """
        ...

    def iter_entries(self, prefix: str = "", /) -> MaybeAsyncIterable[Entry]:
        """Yield the entries whose keys begin with *prefix*, otherwise as ``iter_items``."""
        ...

    def write_entries(
        self, entries: Sequence[Entry], expected: Expected = None, /
    ) -> MaybeAwaitable[Sequence[str]]:
        """Store each entry whose key has the revision *expected*, as ``write_if`` does.

        By default, those of which nothing is stored.  An entry without expiry leaves it
        to the ``ttl`` of the storage.

        Returns:
            The keys that were left alone, since something else was stored there.
        """
        ...


class SupportsBackup(Protocol):
    """Copies everything to another place while it is in use."""

    def backup(self, path: str | os.PathLike[str], /) -> MaybeAwaitable[None]:
        """Copy everything that is stored to *path*, from where the same kind of storage opens it.

        Reads and writes go on meanwhile.  Each value in the copy is whole; whether
        all are of the same moment is for the storage to say.  *path* is there once the
        copy is complete and on the disk; a call that fails or is cancelled leaves
        nothing behind.  What is copied has the permissions that the storage gives to
        its own files.

        Raises:
            FileExistsError: There is something at *path*; it was left alone.
            SessionError, OSError: The copy cannot be made; the storage is unharmed.
        """
        ...


class SupportsSync(Protocol[T]):
    """Can be used from threads that run no event loop."""

    @property
    def sync(self) -> Storage[T]:
        """A view whose methods all block; the same data, the same capabilities."""
        ...


class SupportsClose(Protocol):
    """Has resources to release."""

    def close(self) -> MaybeAwaitable[None]:
        """Finish pending calls and release everything; a no-op the second time."""
        ...


class SessionLock(Protocol):
    """A lock for ``lock=``: exclusive per key among all who share it."""

    def acquire(self, key: str, /) -> MaybeAwaitable[object]:
        """Wait for *key*; what is returned is handed to ``release``."""
        ...

    def release(self, key: str, held: Any, /) -> MaybeAwaitable[object]:
        """Release *key*."""
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
