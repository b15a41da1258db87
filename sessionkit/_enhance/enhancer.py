"""What an enhanced storage does, each operation written once as a coroutine that asks."""

from __future__ import annotations

from collections.abc import AsyncIterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sessionkit._enhance.envelope import EnhancedRevision, Envelope, envelope_of
from sessionkit._storage.capabilities import clock_of
from sessionkit._storage.sync_or_async import answers_later, ask
from sessionkit.errors import (
    SessionConflictError,
    SessionDecodeError,
    SessionEncodeError,
    SessionListingError,
)
from sessionkit.protocols import ANY, Clock, Expected, MaybeAsyncIterable, Revision, Storage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sessionkit._data.envelope import Kept, Number
    from sessionkit._enhance.migrations import Migrations
    from sessionkit.protocols import MaybeAwaitable

_ATTEMPTS: Final = 16
_UNREAD: Final[Any] = object()
"""In place of what the storage inside answers, where it was not asked yet."""


@dataclass(frozen=True, slots=True)
class Options:
    """What ``enhance_storage`` was asked for.

    Attributes:
        ttl: In milliseconds, None for no timeout.
    """

    ttl: int | None
    migrations: Migrations
    sliding: bool
    clock: Clock


class Enhancer:
    """Reads, writes and renews envelopes in a storage, sync or async.

    Attributes:
        options: What was asked for.
        is_async: Whether all answers are to be awaitables, whatever the storage gives.
        has_revisions: Whether the storage writes on condition.
        tells_expiry: Whether the storage gets the expiry of what it stores.
        met_kept: Whether fields of other releases were found: then a write that knows of
            no read has to look for them first.
    """

    def __init__(self, storage: Storage[Any], options: Options) -> None:
        self._inner: Any = storage  # has optional methods, which Storage does not declare
        self.options = options
        self.is_async = answers_later(storage) or options.migrations.is_async
        self.has_revisions = offers(storage, "read_with_revision", "write_if")
        self.tells_expiry = self.has_revisions and _keeps_expiries(storage, options.clock)
        self.met_kept = False
        self._can_scan = self.has_revisions and offers(storage, "iter_keys", "iter_items")

    @property
    def can_purge(self) -> bool:
        """Whether what has expired can be found: by looking, or by the storage inside."""
        if self._can_scan:
            return True
        is_known_inside = self.options.ttl is None or self.tells_expiry
        return is_known_inside and offers(self._inner, "purge_expired")

    # Reading.

    def _now(self) -> int:
        return round(self.options.clock() * 1000)

    def _opened(self, stored: Any) -> Envelope:
        envelope = envelope_of(stored)
        if envelope.kept is not None:
            self.met_kept = True
        return envelope

    async def _fetch(self, key: str, answer: Any = _UNREAD) -> tuple[Envelope, Revision | None]:
        if self.has_revisions:
            if answer is _UNREAD:
                answer = self._inner.read_with_revision(key)
            stored, revision = await ask(answer)
        else:
            stored = await ask(self._inner.read(key) if answer is _UNREAD else answer)
            revision = None
        return self._opened(stored), revision

    async def _live_data(self, key: str, envelope: Envelope) -> tuple[Any, bool]:
        """Return the data, None if missing or expired, and whether it was migrated."""
        if not envelope.is_live(self._now()):
            return None, False
        return await self.options.migrations.run(key, envelope)

    async def read(self, key: str, answer: Any = _UNREAD) -> Any:
        """Read data; *answer* is what the storage inside gave, if it was asked already."""
        stored = await ask(self._inner.read(key) if answer is _UNREAD else answer)
        data, _ = await self._live_data(key, self._opened(stored))
        return data

    async def read_with_revision(
        self, key: str, answer: Any = _UNREAD
    ) -> tuple[Any, EnhancedRevision | None]:
        envelope, inner = await self._fetch(key, answer)
        data, migrated = await self._live_data(key, envelope)
        if data is not None:
            return data, EnhancedRevision(inner, envelope.expires, envelope.kept, migrated=migrated)
        if inner is None:
            return None, None
        kept = None if envelope.has_expired(self._now()) else envelope.kept
        return None, EnhancedRevision(inner, kept=kept)

    async def read_tracked(
        self, key: str, answer: Any = _UNREAD
    ) -> tuple[Any, EnhancedRevision | None]:
        data, revision = await self.read_with_revision(key, answer)
        return data, None if data is None else revision

    async def has(self, key: str) -> bool:
        stored = await ask(self._inner.read(key))
        return envelope_of(stored).is_live(self._now())

    def live_key(self, item: tuple[str, Any]) -> str | None:
        key, stored = item
        return key if envelope_of(stored).is_live(self._now()) else None

    async def live_item(self, item: tuple[str, Any]) -> tuple[str, Any] | None:
        key, stored = item
        data, _ = await self._live_data(key, self._opened(stored))
        return None if data is None else (key, data)

    async def read_many(self, keys: Sequence[str]) -> dict[str, Any]:
        stored: Mapping[str, Any] = await ask(self._inner.read_many(keys))
        items = [await self.live_item(item) for item in stored.items()]
        return dict(item for item in items if item is not None)

    # Writing.

    def seal(self, key: str, value: Any, kept: Kept | None) -> Envelope:
        """Put *value* into an envelope of the newest version."""
        if value is None:
            msg = f"None means missing and cannot be stored: delete {key!r} instead"
            raise SessionEncodeError(msg, key=key)
        return Envelope(value, self.options.migrations.latest, self._expiry(), kept)

    def _expiry(self) -> int | None:
        return None if self.options.ttl is None else self._now() + self.options.ttl

    async def _found_kept(self, key: str) -> Kept | None:
        # The read before a write is spared until such fields were met: who descends from
        # what has some was read here before it is written.
        if not self.met_kept:
            return None
        envelope = envelope_of(await ask(self._inner.read(key)))
        return None if envelope.has_expired(self._now()) else envelope.kept

    async def _put_if(
        self, key: str, envelope: Envelope | None, expected: Expected
    ) -> EnhancedRevision | None:
        if envelope is None:
            await ask(self._inner.write_if(key, None, expected))
            return None
        native: dict[str, float] = {}
        if self.tells_expiry and envelope.expires is not None:
            native["expires"] = envelope.expires / 1000
        inner = await ask(self._inner.write_if(key, envelope.to_plain(), expected, **native))
        return EnhancedRevision(inner, envelope.expires, envelope.kept)

    async def _put(self, key: str, envelope: Envelope) -> None:
        if self.tells_expiry:
            await self._put_if(key, envelope, ANY)
        else:
            await ask(self._inner.write(key, envelope.to_plain()))

    async def write(self, key: str, value: Any) -> None:
        await self._put(key, self.seal(key, value, await self._found_kept(key)))

    async def delete(self, key: str) -> None:
        await ask(self._inner.delete(key))

    async def write_many(self, values: Mapping[str, Any]) -> None:
        envelopes = {
            key: self.seal(key, value, await self._found_kept(key)) for key, value in values.items()
        }
        if self.tells_expiry and not self._can_scan:
            # Written as a batch, nothing would tell the storage what to purge, and when.
            for key, envelope in envelopes.items():
                await self._put(key, envelope)
            return
        plain = {key: envelope.to_plain() for key, envelope in envelopes.items()}
        await ask(self._inner.write_many(plain))

    async def write_if(self, key: str, value: Any, expected: Expected) -> EnhancedRevision | None:
        if expected is None:
            return await self._create(key, self._sealed_again(key, value))
        if not isinstance(expected, EnhancedRevision):
            kept = await self._found_kept(key)
            envelope = None if value is None else self.seal(key, value, kept)
            return await self._put_if(key, envelope, expected)
        envelope = None if value is None else self.seal(key, value, expected.kept)
        try:
            return await self._put_if(key, envelope, expected.inner)
        except SessionConflictError:
            if not self.has_passed(expected):
                raise
        # What has expired may have been purged.
        return await self._create(key, self._sealed_again(key, value))

    async def write_beside(
        self,
        key: str,
        value: Any,
        expected: Expected,
        kept: Mapping[str, Any] | None,
        expires: float | None,
    ) -> EnhancedRevision | None:
        fields = dict(kept) if kept else None
        if value is not None:
            envelope: Envelope | None = self.seal(key, value, fields)
        else:
            end = None if expires is None else round(expires * 1000)
            envelope = Envelope(None, expires=end, kept=fields) if fields else None
        if not isinstance(expected, EnhancedRevision):
            return await self._create(key, envelope)
        try:
            return await self._put_if(key, envelope, expected.inner)
        except SessionConflictError:
            if not self.has_passed(expected):
                raise
        return await self._create(key, envelope)

    async def written(
        self, answer: Any, key: str, value: Any, expected: EnhancedRevision
    ) -> EnhancedRevision | None:
        """Do the same where the storage inside was asked already, and its answer is to come."""
        envelope = self.seal(key, value, expected.kept)
        try:
            return EnhancedRevision(await ask(answer), envelope.expires, envelope.kept)
        except SessionConflictError:
            if not self.has_passed(expected):
                raise
        return await self._create(key, self._sealed_again(key, value))

    def has_passed(self, revision: EnhancedRevision) -> bool:
        """Return whether a value has expired since it was read."""
        return revision.expires is not None and self._now() >= revision.expires

    def _sealed_again(self, key: str, value: Any) -> Envelope | None:
        return None if value is None else self.seal(key, value, None)

    async def _create(self, key: str, envelope: Envelope | None) -> EnhancedRevision | None:
        """Write if nothing is stored, or only something that has expired."""
        revision: Revision | None = None
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._put_if(key, envelope, revision)
            except SessionConflictError:
                stored, revision = await self._fetch(key)
                if stored.is_live(self._now()):
                    raise
        return await self._put_if(key, envelope, revision)

    # Timeouts.

    async def touch(self, key: str) -> bool:
        if self.options.ttl is None:
            return await self.has(key) and bool(await ask(self._inner.touch(key)))
        for _ in range(_ATTEMPTS - 1):
            with suppress(SessionConflictError):
                return await self._touch_once(key)
        return await self._touch_once(key)

    async def _touch_once(self, key: str) -> bool:
        envelope, revision = await self._fetch(key)
        if not envelope.is_live(self._now()):
            return False
        await self._put_renewed(key, envelope, revision)
        return True

    async def _put_renewed(
        self, key: str, envelope: Envelope, revision: Revision | None
    ) -> EnhancedRevision | None:
        renewed = envelope._replace(expires=self._expiry())
        if self.has_revisions:
            return await self._put_if(key, renewed, revision)
        await self._put(key, renewed)
        return EnhancedRevision(None, renewed.expires, renewed.kept)

    async def renew(self, key: str, revision: Revision | None) -> EnhancedRevision | None:
        if not (isinstance(revision, EnhancedRevision) and self.is_due(revision.expires)):
            return None
        envelope, inner = await self._fetch(key)
        # Without revisions the expiry replaces one: each write gives a new one.
        if inner != revision.inner or envelope.expires != revision.expires:
            return None
        try:
            return await self._put_renewed(key, envelope, revision.inner)
        except SessionConflictError:
            return None  # the write in between has renewed it

    def is_due(self, expires: Number | None) -> bool:
        """Return whether a use is to renew this expiry: if a tenth of the ttl has passed."""
        if expires is None or self.options.ttl is None:
            return False
        left = expires - self._now()
        is_fresh = 0.9 * self.options.ttl < left <= self.options.ttl
        return left > 0 and not is_fresh

    async def purge_expired(self) -> int:
        count: int = 0
        if offers(self._inner, "purge_expired"):
            count += await ask(self._inner.purge_expired())
        if self._can_scan:
            for key in await self._expired_keys():
                count += await self._purge(key)
        return count

    async def _expired_keys(self) -> list[str]:
        items: MaybeAsyncIterable[tuple[str, Any]] = self._inner.iter_items("")
        expired: list[str] = []
        if isinstance(items, AsyncIterable):
            looking: MaybeAwaitable[None] = self._add_expired_later(expired, items)
            await ask(looking)
        else:
            self._add_expired(expired, items)
        return expired

    def _add_expired(self, expired: list[str], items: Iterable[tuple[str, Any]]) -> None:
        with suppress(SessionListingError):  # what cannot be read cannot be known to have expired
            for key, stored in items:
                if envelope_of(stored).has_expired(self._now()):
                    expired.append(key)

    async def _add_expired_later(
        self, expired: list[str], items: AsyncIterable[tuple[str, Any]]
    ) -> None:
        with suppress(SessionListingError):
            async for item in items:
                self._add_expired(expired, [item])

    async def _purge(self, key: str) -> bool:
        try:
            envelope, revision = await self._fetch(key)
            if not envelope.has_expired(self._now()):
                return False
            await self._put_if(key, None, revision)
        except (SessionConflictError, SessionDecodeError):
            return False
        return True


def offers(storage: object, *names: str) -> bool:
    """Return whether *storage* has all of the optional methods."""
    return all(getattr(storage, name, None) is not None for name in names)


def _keeps_expiries(storage: object, clock: Clock) -> bool:
    # A storage that goes by another clock could let data expire hours too early.
    return bool(getattr(storage, "supports_expiry", False)) and clock_of(storage) == clock
