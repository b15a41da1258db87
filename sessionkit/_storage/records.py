"""A whole storage over an engine that loads, writes on condition, and lists.

To bring sessions to a database, write an ``Engine``; everything else is
here, once for tasks and for threads: codec, expiry, batches, deadlines, unknown
outcomes, and every optional capability.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from copy import copy
from functools import partial
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    NamedTuple,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
)

from sessionkit._storage.batches import Batches, BlockingBatches, Gathered, UnknownOutcomeError
from sessionkit._storage.capabilities import Absent
from sessionkit._storage.entries import check_key, conflict, encode_entry
from sessionkit._storage.listing import LeftOut, Listing
from sessionkit._storage.sync_or_async import run_sync
from sessionkit.codecs import decode_value, takes_any_value
from sessionkit.errors import SessionError, SessionWriteError
from sessionkit.protocols import ANY, Entry, Expected, Revision

if TYPE_CHECKING:
    from collections.abc import Hashable

    from sessionkit._storage.lifetime import Lifetime
    from sessionkit.codecs import Codec
    from sessionkit.protocols import Clock

R = TypeVar("R")
_Asking: TypeAlias = "Callable[[], Coroutine[Any, Any, Any]]"

_TOKEN_BYTES: Final = 15
_TOKENS_AT_ONCE: Final = 64
TOKEN_LENGTH: Final = _TOKEN_BYTES * 4 // 3
_PAGE: Final = 500
"""How many keys are read or written in a call at most, if they were given together."""
_SPACE: Final = 4_000_000
"""How many bytes are written in such a call, at most and one value."""


_tokens: Final[list[str]] = []
"""Some that were not given yet: many are made as quickly as one."""


def new_token() -> str:
    """Return a revision that was never given before: 20 characters of URL-safe base64."""
    try:
        return _tokens.pop()
    except IndexError:  # another thread may take the last one at any moment
        made = urlsafe_b64encode(os.urandom(_TOKENS_AT_ONCE * _TOKEN_BYTES)).decode("ascii")
        token, *more = (made[n : n + TOKEN_LENGTH] for n in range(0, len(made), TOKEN_LENGTH))
        _tokens.extend(more)
        return token


if hasattr(os, "register_at_fork"):  # pragma: no branch (everywhere but on Windows)
    os.register_at_fork(after_in_child=_tokens.clear)


class ExpiringRevision(str):
    """The revision of a value that expires: what was purged since counts as unchanged."""

    __slots__ = ("expires",)

    expires: float


def _revision_of(token: Revision, expires: float | None) -> Revision:
    if expires is None or not isinstance(token, str):
        return token
    revision = ExpiringRevision(token)
    revision.expires = expires
    return revision


class Stored(NamedTuple):
    """What an engine has under a key, expired or not."""

    raw: bytes
    revision: Revision
    expires: float | None


class Write(NamedTuple):
    """One conditional write.

    Attributes:
        key: Where to.
        raw: What to store; None deletes.
        expires: When it will be gone, in epoch seconds; None for never.
        expected: The revision that must be stored; None: nothing, or only what has
            expired; ``ANY``: whatever is there.
        token: The revision of what is stored by this; never used again.
        now: What the clock of the storage showed.
        lapsed: Whether what had the revision *expected* has expired since: then there may
            be nothing as well, or what has expired.
    """

    key: str
    raw: bytes | None
    expires: float | None
    expected: Expected
    token: str
    now: float
    lapsed: bool = False


class Engine(Protocol):
    """What a database has to be able to do.

    Each method may raise a ``SessionError`` that says what is wrong, or give it as
    the outcome of one key.  After a write that may have happened or not it is an
    ``UnknownOutcomeError``.  For use in threads the coroutines block and never wait.
    """

    where: str
    """For errors: ``in Redis at localhost:6379``."""

    async def load(self, keys: Sequence[str], /) -> Sequence[Stored | SessionError | None]:
        """Return what is stored under each of *keys*, None where nothing is."""
        ...

    async def expiries(
        self, keys: Sequence[str], /
    ) -> Sequence[tuple[float | None] | SessionError | None]:
        """Return when each of *keys* expires, in a tuple, None where nothing is stored."""
        ...

    async def apply(self, writes: Sequence[Write], /) -> Sequence[bool | SessionError]:
        """Do *writes*, sorted by key and of one key each; return which had what they expected.

        Comparing and storing must be one step for each.  One that fails does not
        keep the others from being done.
        """
        ...

    async def touch(self, key: str, expires: float | None, now: float, /) -> bool:
        """Return whether *key* is alive; if *expires* is given, move its expiry, if it has one.

        The value and its revision stay.
        """
        ...

    def pages(self, prefix: str, /) -> AsyncIterator[Sequence[str]]:
        """Yield the keys that begin with *prefix*, each once, a few hundred at a time."""
        ...

    def purge(self, now: float, /) -> AsyncIterator[int]:
        """Remove what had expired at *now*; yield after each piece how many that were."""
        ...

    async def close(self) -> None:
        """Let go of what was opened; a no-op the second time."""
        ...


class Records:
    """The methods of a storage as coroutines, over an engine.

    Args:
        engine: Where values are.
        codec: Turns them into bytes.
        lifetime: When they expire.
        deadline: How long a call may take, in seconds, before it raises.
        blocking: Whether the engine blocks, for use in threads.
        content: Gives the revision of what a write stores, if that is what is stored and not
            the token of the write.  Then nobody can tell a write whose reply was lost from an
            equal one of somebody else.

    Attributes:
        guards: Called with the key before each write of one; what they raise is raised
            and nothing is written.  For locks that know that they were lost.
    """

    def __init__(
        self,
        engine: Engine,
        codec: Codec,
        lifetime: Lifetime,
        deadline: float,
        *,
        blocking: bool = False,
        content: Callable[[bytes], Revision] | None = None,
    ) -> None:
        self.engine = engine
        self._content = content
        self.any_value: bool = takes_any_value(codec)
        self.guards: list[Callable[[str], object]] = []
        self._codec = codec
        self._lifetime = lifetime
        self.ttl: float | None = lifetime.ttl
        self.clock: Clock = lifetime.now
        gather: Callable[..., Gathered[Any, Any]] = BlockingBatches if blocking else Batches
        self._reads: Gathered[str, Stored | None] = gather(engine.load, deadline=deadline)
        self._peeks: Gathered[str, tuple[float | None] | None] = gather(
            engine.expiries, deadline=deadline
        )
        self._writes: Gathered[Write, bool] = gather(
            self._apply_all, deadline=deadline, key=_key_of, settles=True
        )
        self._looks: Gathered[_Asking, Any] = gather(_call_one, deadline=deadline, most=1)
        self._calls: Gathered[_Asking, Any] = gather(
            _call_one, deadline=deadline, settles=True, most=1
        )

    async def read(self, key: str, /) -> Any:
        """Return the value, None if missing or expired."""
        return self._value(key, self._checked(key, await self._reads.run(check_key(key))))

    async def read_with_revision(self, key: str, /) -> tuple[Any, Revision | None]:
        """Return value and revision; an expired value is None and has a revision."""
        stored = self._checked(key, await self._reads.run(check_key(key)))
        value = self._value(key, stored)
        return value, None if stored is None else _revision_of(stored.revision, stored.expires)

    async def read_many(self, keys: Sequence[str], /) -> dict[str, Any]:
        """Return what is stored under *keys*; missing ones are left out."""
        return {key: entry.value for key, entry in (await self._read_all(keys)).items()}

    async def read_entries(self, keys: Sequence[str], /) -> dict[str, Entry]:
        """Return what is stored under *keys*, with its expiry; missing ones are left out."""
        return await self._read_all(keys)

    async def _read_all(self, keys: Sequence[str]) -> dict[str, Entry]:
        names = list(dict.fromkeys(map(check_key, keys)))
        found = zip(names, await self._ask_each(self.engine.load, names), strict=True)
        entries = [self._entry(key, self._checked(key, outcome)) for key, outcome in found]
        return {entry.key: entry for entry in entries if entry is not None}

    async def has(self, key: str, /) -> bool:
        """Return whether *key* is stored and not expired; does not read the value."""
        found = self._checked(key, await self._peeks.run(check_key(key)))
        return found is not None and not self._lifetime.is_over(found[0])

    def write(self, key: str, value: Any, /) -> Coroutine[Any, Any, None]:
        """Store *value* as it is now, replacing any earlier one; its timeout restarts."""
        return self._discarding_revision(self._put(key, value))

    def write_many(self, values: Mapping[str, Any], /) -> Coroutine[Any, Any, None]:
        """Store all of *values*, as they are now; each is stored or not by itself.

        Raises:
            SessionWriteError: Some could not be written; says which.
        """
        return self._write_all([self._put(key, value) for key, value in values.items()])

    async def write_entries(
        self, entries: Sequence[Entry], expected: Expected = None, /
    ) -> list[str]:
        """Store each entry where the revision is *expected*; return the other keys.

        Raises:
            SessionWriteError: Some could not be written; says which.
        """
        writes = [self._put(key, value, expected, end) for key, value, end in entries]
        return await self._apply_each(writes)

    def write_if(
        self, key: str, value: Any, expected: Expected, /, *, expires: float | None = None
    ) -> Coroutine[Any, Any, Revision | None]:
        """Store *value* as it is now, or (None) delete, if what is stored is *expected*.

        Gone at the instant *expires*, in epoch seconds; None leaves it to ``ttl``.

        Returns:
            The new revision, None after a delete.

        Raises:
            SessionConflictError: What is stored is not *expected*; it was left alone.
            SessionWriteError: It may have been written or not: the connection was
                lost, or there was no answer in time.
            ValueError: *expires* is NaN.
        """
        if value is None:
            return self._apply(self._removal(key, expected))
        return self._apply(self._put(key, value, expected, expires))

    def delete(self, key: str, /) -> Coroutine[Any, Any, None]:
        """Remove *key*; a no-op if nothing is stored under it."""
        return self._discarding_revision(self._removal(key))

    async def touch(self, key: str, /) -> bool:
        """Restart the timeout of *key*, if it has one; False if it is missing."""
        arguments = check_key(key), self._lifetime.end(), self._lifetime.now()
        alive: bool = await self._call(key, lambda: self.engine.touch(*arguments))
        return alive

    async def purge_expired(self) -> int:
        """Remove what has expired, piece by piece; return how many values that were."""
        return sum([n async for n in self._stepwise(self.engine.purge(self._lifetime.now()))])

    async def iter_keys(self, prefix: str = "", /) -> AsyncIterator[str]:
        """Yield each key that begins with *prefix*, in any order."""
        async for page in self._stepwise(self.engine.pages(prefix)):
            outcomes = await self._ask_each(self.engine.expiries, page)
            for key, outcome in zip(page, outcomes, strict=True):
                found = self._checked(key, outcome)
                if found is not None and not self._lifetime.is_over(found[0]):
                    yield key

    async def iter_items(self, prefix: str = "", /) -> AsyncIterator[tuple[str, Any]]:
        """Yield pairs of key and value, otherwise as ``iter_entries``."""
        async for key, value, _ in Listing(self._list(prefix)):
            yield key, value

    def iter_entries(self, prefix: str = "", /) -> AsyncIterator[Entry]:
        """Yield keys, values and expiries, otherwise as ``iter_keys``.

        Raises:
            SessionListingError: At the end, if values could not be read; says which.
        """
        return Listing(self._list(prefix))

    async def _list(self, prefix: str) -> AsyncIterator[list[Entry]]:
        left_out = LeftOut()
        async for keys in self._stepwise(self.engine.pages(prefix)):
            page: list[Entry] = []
            outcomes = await self._ask_each(self.engine.load, keys)
            for key, outcome in zip(keys, outcomes, strict=True):
                try:
                    entry = self._entry(key, self._checked(key, outcome))
                except SessionError as error:
                    left_out.add(error, key)
                else:
                    if entry is not None:
                        page.append(entry)
            yield page
        left_out.report()

    async def close(self) -> None:
        """Finish pending calls and release everything; a no-op the second time."""
        for gathered in (self._reads, self._peeks, self._writes, self._looks, self._calls):
            await gathered.close()
        await self.engine.close()

    def _put(
        self, key: str, value: Any, expected: Expected = ANY, expires: float | None = None
    ) -> Write:
        raw = encode_entry(self._codec, check_key(key), value)
        end, now = self._lifetime.end(expires), self._lifetime.now()
        return Write(key, raw, end, expected, new_token(), now, _has_lapsed(expected, now))

    def _removal(self, key: str, expected: Expected = ANY) -> Write:
        now = self._lifetime.now()
        return Write(check_key(key), None, None, expected, "", now, _has_lapsed(expected, now))

    async def _apply(self, write: Write) -> Revision | None:
        for guard in self.guards:
            guard(write.key)
        outcome = await self._writes.run(write)
        if outcome is True:
            return self._new_revision(write)
        raise self._reason(write.key, outcome)

    def _new_revision(self, write: Write) -> Revision | None:
        if write.raw is None:
            return None
        revision = write.token if self._content is None else self._content(write.raw)
        return _revision_of(revision, write.expires)

    async def _discarding_revision(self, write: Write) -> None:
        await self._apply(write)

    async def _write_all(self, writes: Sequence[Write]) -> None:
        await self._apply_each(writes)

    async def _apply_each(self, writes: Sequence[Write]) -> list[str]:
        """Do *writes*; return the keys of those that did not find what they expected."""
        outcomes: list[tuple[Write, bool | SessionError]] = []
        for page in _calls_of(writes):
            ordered = [page[key] for key in sorted(page)]
            answer = await self._calls.run(partial(self._apply_all, ordered))
            found = dict(zip(sorted(page), _spread(answer, len(page)), strict=True))
            outcomes += [(write, found[key]) for key, write in page.items()]
        failed = [(write.key, each) for write, each in outcomes if isinstance(each, SessionError)]
        if failed:
            names = tuple(key for key, _ in failed)
            written = tuple(write.key for write, each in outcomes if each is True)
            reason = self._reason(*failed[0])
            msg = f"{len(failed)} of {len(writes)} values could not be written: {reason}"
            raise SessionWriteError(msg, key=names[0], written=written, failed=names) from reason
        return [write.key for write, is_done in outcomes if not is_done]

    async def _apply_all(self, writes: Sequence[Write]) -> Sequence[bool | SessionError]:
        outcomes: list[bool | SessionError]
        try:
            outcomes = list(await self.engine.apply(writes))
        except UnknownOutcomeError as error:
            outcomes = [error] * len(writes)
        unknown = [
            place for place, each in enumerate(outcomes) if isinstance(each, UnknownOutcomeError)
        ]
        if unknown and self._content is None:
            found = await self._try_to_load([writes[place].key for place in unknown])
            for place, stored in zip(unknown, found, strict=False):
                if isinstance(stored, Stored) and stored.revision == writes[place].token:
                    outcomes[place] = True
        return outcomes

    async def _try_to_load(self, keys: Sequence[str]) -> Sequence[Stored | SessionError | None]:
        try:
            return await self.engine.load(keys)
        except SessionError:
            return ()

    async def _ask_each(
        self,
        ask: Callable[[Sequence[str]], Coroutine[Any, Any, Sequence[R | SessionError]]],
        keys: Sequence[str],
    ) -> list[R | SessionError]:
        """Return the outcomes of *keys*, asked for some at a time."""
        outcomes: list[R | SessionError] = []
        for start in range(0, len(keys), _PAGE):
            some = keys[start : start + _PAGE]
            outcomes += _spread(await self._looks.run(partial(ask, some)), len(some))
        return outcomes

    async def _call(self, key: str | None, call: Callable[[], Coroutine[Any, Any, R]]) -> R:
        outcome: R | SessionError = await self._calls.run(call)
        return self._checked(key, outcome)

    async def _stepwise(self, pieces: AsyncIterator[R]) -> AsyncIterator[R]:
        async def step() -> tuple[R] | None:
            async for piece in pieces:
                return (piece,)
            return None

        while (found := await self._call(None, step)) is not None:
            yield found[0]

    def _checked(self, key: str | None, outcome: R | SessionError) -> R:
        if isinstance(outcome, UnknownOutcomeError):
            raise SessionError(str(outcome), key=key) from outcome.__cause__
        if isinstance(outcome, SessionError):
            raise _renewed(outcome, key)
        return outcome

    def _reason(self, key: str, outcome: bool | SessionError) -> SessionError:  # noqa: FBT001
        if not isinstance(outcome, SessionError):
            return conflict(key)
        if not isinstance(outcome, UnknownOutcomeError):
            return _renewed(outcome, key)
        msg = (
            f"{key!r} may have been written, or not: {outcome}. Read it again before you "
            f"repeat the change; {self.engine.where}"
        )
        error = SessionWriteError(msg, key=key, unknown=(key,))
        error.__cause__ = outcome.__cause__
        return error

    def _entry(self, key: str, stored: Stored | None) -> Entry | None:
        value = self._value(key, stored)
        return None if stored is None or value is None else Entry(key, value, stored.expires)

    def _value(self, key: str, stored: Stored | None) -> Any:
        if stored is None or self._lifetime.is_over(stored.expires):
            return None
        return decode_value(self._codec, key, stored.raw, self.engine.where)


class RecordStorage(Records):
    """A storage over an engine that waits for an event loop: derive a class of it."""

    isolated: Final = True
    settles: Final = True
    supports_expiry: Literal[True] = True

    if not TYPE_CHECKING:
        backup = Absent()

    identity: Hashable
    """Equal for storages on the same data."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()


class BlockingRecordStorage:
    """A storage over an engine that blocks, for threads; on an event loop it blocks the loop.

    Args:
        records: What it does, over an engine that blocks.
        identity: Equal for storages on the same data.
        name: What ``repr`` says.
    """

    isolated: Final = True
    settles: Final = True
    supports_expiry: Literal[True] = True

    if not TYPE_CHECKING:
        backup = Absent()

    identity: Hashable
    """Equal for storages on the same data."""

    def __init__(self, records: Records, identity: Hashable, name: str) -> None:
        self._do = records
        self._name = name
        self.identity = identity
        self.ttl: float | None = records.ttl
        self.clock: Clock = records.clock

    def __repr__(self) -> str:
        return self._name

    @property
    def any_value(self) -> bool:
        """Whether the codec holds more than plain JSON values."""
        return self._do.any_value

    @property
    def sync(self) -> Self:
        """This storage itself."""
        return self

    def read(self, key: str, /) -> Any:
        """Return the value, None if missing or expired."""
        return run_sync(self._do.read(key))

    def read_with_revision(self, key: str, /) -> tuple[Any, Revision | None]:
        """Return value and revision; an expired value is None and has a revision."""
        return run_sync(self._do.read_with_revision(key))

    def read_many(self, keys: Sequence[str], /) -> dict[str, Any]:
        """Return what is stored under *keys*; missing ones are left out."""
        return run_sync(self._do.read_many(keys))

    def has(self, key: str, /) -> bool:
        """Return whether *key* is stored and not expired; does not read the value."""
        return run_sync(self._do.has(key))

    def write(self, key: str, value: Any, /) -> None:
        """Store *value*, replacing any earlier one; its timeout restarts."""
        run_sync(self._do.write(key, value))

    def write_many(self, values: Mapping[str, Any], /) -> None:
        """Store all of *values*; each is stored or not by itself."""
        run_sync(self._do.write_many(values))

    def write_if(
        self, key: str, value: Any, expected: Expected, /, *, expires: float | None = None
    ) -> Revision | None:
        """Store or (None) delete, if what is stored is *expected*; as in ``Records``."""
        return run_sync(self._do.write_if(key, value, expected, expires=expires))

    def delete(self, key: str, /) -> None:
        """Remove *key*; a no-op if nothing is stored under it."""
        run_sync(self._do.delete(key))

    def touch(self, key: str, /) -> bool:
        """Restart the timeout of *key*, if it has one; False if it is missing."""
        return run_sync(self._do.touch(key))

    def purge_expired(self) -> int:
        """Remove what has expired, piece by piece; return how many values that were."""
        return run_sync(self._do.purge_expired())

    def iter_keys(self, prefix: str = "", /) -> Iterator[str]:
        """Yield each key that begins with *prefix*, in any order."""
        return iterate(self._do.iter_keys(prefix))

    def iter_items(self, prefix: str = "", /) -> Iterator[tuple[str, Any]]:
        """Yield pairs of key and value, otherwise as ``iter_keys``."""
        return iterate(self._do.iter_items(prefix))

    def read_entries(self, keys: Sequence[str], /) -> dict[str, Entry]:
        """Return what is stored under *keys*, with its expiry; missing ones are left out."""
        return run_sync(self._do.read_entries(keys))

    def iter_entries(self, prefix: str = "", /) -> Iterator[Entry]:
        """Yield keys, values and expiries, otherwise as ``iter_keys``."""
        return iterate(self._do.iter_entries(prefix))

    def write_entries(self, entries: Sequence[Entry], expected: Expected = None, /) -> list[str]:
        """Store each entry where the revision is *expected*; return the other keys."""
        return run_sync(self._do.write_entries(entries, expected))

    def close(self) -> None:
        """Finish pending calls and release everything; a no-op the second time."""
        run_sync(self._do.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def iterate(items: AsyncIterator[R]) -> Iterator[R]:
    """Yield *items*, which never wait for an event loop."""

    async def step() -> tuple[R] | None:
        async for item in items:
            return (item,)
        return None

    while (found := run_sync(step())) is not None:
        yield found[0]


def _calls_of(writes: Sequence[Write]) -> Iterator[dict[str, Write]]:
    """Yield *writes* by key, in their order, a call at a time: none has two of one key."""
    page: dict[str, Write] = {}
    space = _SPACE
    for write in writes:
        if write.key in page or len(page) == _PAGE or space < 0:
            yield page
            page, space = {}, _SPACE
        page[write.key] = write
        space -= len(write.raw or b"")
    if page:
        yield page


def _spread(answer: Sequence[R] | SessionError, number: int) -> Sequence[R | SessionError]:
    """Return *answer*, or an error in the place of *number* of them for each."""
    return [answer] * number if isinstance(answer, SessionError) else answer


def _has_lapsed(expected: Expected, now: float) -> bool:
    return isinstance(expected, ExpiringRevision) and now >= expected.expires


def _key_of(write: Write) -> str:
    return write.key


async def _call_one(calls: Sequence[Callable[[], Coroutine[Any, Any, R]]]) -> Sequence[R]:
    return [await call() for call in calls]


def _renewed(error: SessionError, key: str | None) -> SessionError:
    """Return a copy: one error for many keys must not be raised in many tasks."""
    renewed = copy(error)
    renewed.key = key if error.key is None else error.key
    renewed.__cause__ = error.__cause__
    return renewed
