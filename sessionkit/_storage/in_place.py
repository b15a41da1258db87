"""A storage over data that another program keeps as well, in that program's own layout.

There is no room for a revision or an expiry beside a value.  So the revision is what is
stored, and a write compares it: any change in between, by this library or the other
program, is noticed.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import unquote

from sessionkit._storage.capabilities import Absent
from sessionkit._storage.lifetime import Lifetime
from sessionkit._storage.records import BlockingRecordStorage, Engine, Records, RecordStorage
from sessionkit.codecs import JSONCodec
from sessionkit.errors import SessionDecodeError, SessionError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable, Sequence

    from sessionkit._storage.records import Stored
    from sessionkit.protocols import Revision


_OF_GRAMMY: Final = "grammy"


class InPlaceEngine(Engine, Protocol):
    """What a database has to be able to do for data in another program's layout.

    As any engine, but ``Stored.revision`` and ``Write.expected`` are what is stored, to be
    compared whole; ``Write.token`` is not stored.  Where there is no room for
    ``Write.expires`` a write that has it fails.
    """

    def revision_of(self, raw: bytes, /) -> Revision:
        """Return the revision of what a write of *raw* stores."""
        ...


class Unexpiring(ABC):
    """The part of an engine that all have that keep no expiry: derive from it."""

    @abstractmethod
    async def load(self, keys: Sequence[str]) -> Sequence[Stored | SessionError | None]:
        """Return what is stored under each of *keys*."""

    async def expiries(
        self, keys: Sequence[str]
    ) -> Sequence[tuple[float | None] | SessionError | None]:
        """Return ``(None,)`` for each of *keys* that is stored, readable or not."""
        return [
            (None,) if isinstance(found, tuple | SessionDecodeError) else found
            for found in await self.load(keys)
        ]

    async def touch(self, key: str, expires: float | None, now: float) -> bool:  # noqa: ARG002
        """Return whether *key* is stored."""
        (found,) = await self.load([key])
        if isinstance(found, SessionError):
            raise found
        return found is not None

    async def purge(self, now: float) -> AsyncIterator[int]:  # noqa: ARG002
        """Remove nothing."""
        yield 0


class _WithoutExpiry:
    """Lacks what would promise to keep an expiry beside a value."""

    if not TYPE_CHECKING:
        supports_expiry = Absent()
        iter_entries = Absent()
        read_entries = Absent()
        write_entries = Absent()


class InPlaceStorage(_WithoutExpiry, RecordStorage):
    """A storage over an ``InPlaceEngine``: JSON, shared with another program.

    Args:
        engine: Where the data is.
        identity: Equal for storages on the same data.
        name: What ``repr`` says.
        deadline: How long a call may take, in seconds.
        threads: Makes an engine over the same data that blocks, when threads first ask
            for it; None if there is none.
        ttl: How long a value lives after its last write, in seconds, where the engine can
            tell the database.
    """

    def __init__(
        self,
        engine: InPlaceEngine,
        identity: Hashable,
        name: str,
        deadline: float,
        *,
        threads: Callable[[], InPlaceEngine] | None = None,
        ttl: float | None = None,
    ) -> None:
        self.identity = identity
        self.deadline = deadline
        self._name = name
        self._open_for_threads = threads
        self._blocking: Records | None = None
        lifetime = Lifetime(ttl, time.time)
        super().__init__(engine, JSONCodec(), lifetime, deadline, content=engine.revision_of)

    def __repr__(self) -> str:
        return self._name

    @property
    def sync(self) -> BlockingInPlaceStorage:
        """The same storage for threads, if it was given a URL: every method blocks."""
        if self._blocking is None:
            if self._open_for_threads is None:
                msg = "a storage over an async client has no view for threads: give it a URL"
                raise AttributeError(msg)
            engine: Any = self._open_for_threads()
            options: Any = {"content": engine.revision_of, "blocking": True}
            lifetime = Lifetime(self.ttl, time.time)
            self._blocking = Records(engine, JSONCodec(), lifetime, self.deadline, **options)
        return BlockingInPlaceStorage(self._blocking, self.identity, f"{self._name}.sync")

    async def close(self) -> None:
        """Finish what is under way and close what was opened here; a no-op the second time."""
        await super().close()
        if self._blocking is not None:
            await self._blocking.close()


class BlockingInPlaceStorage(_WithoutExpiry, BlockingRecordStorage):
    """An ``InPlaceStorage`` for threads: every method blocks."""


def grammy_url(url: str, option: str | None = None) -> tuple[str, str | None] | None:
    """Return the URL after ``grammy+``, and the value of *option* in it; None for other URLs.

    The option, ``?table=Sessions``, is ours: it is taken out of the URL.
    """
    of, _, plain = url.partition("+")
    return url_option(plain, option) if of.lower() == _OF_GRAMMY else None


def url_option(url: str, option: str | None) -> tuple[str, str | None]:
    """Return the URL without *option*, which drivers do not know, and its value, None if none."""
    plain, mark, query = url.partition("?")
    options = [each.partition("=") for each in query.split("&")]
    found = [unquote(value) for name, _, value in options if mark and name == option]
    others = "&".join("".join(each) for each in options if each[0] != option)
    return (f"{plain}?{others}" if others else plain), (found[-1] if found else None)
