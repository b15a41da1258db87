"""What an enhanced storage does, each operation written once as a coroutine."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from sessionkit._drive import resolve
from sessionkit._enhance.envelope import EnhancedRevision, Envelope, Number, envelope_of
from sessionkit._optional import each
from sessionkit._types import ANY, Clock, Expected, MaybeAsyncIterable, Revision, Storage
from sessionkit.errors import SessionConflictError, SessionEncodeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sessionkit._enhance.migrations import Migrations

_ATTEMPTS: Final = 16


@dataclass(frozen=True, slots=True)
class Options:
    """What ``enhance_storage`` was asked for.

    Attributes:
        ttl: In milliseconds, None for no timeout.
    """

    ttl: int | None
    migrations: Migrations | None
    sliding: bool
    clock: Clock


class Enhancer:
    """Reads, writes and renews envelopes in a storage, sync or async."""

    def __init__(self, storage: Storage[Any], options: Options) -> None:
        self._storage = storage
        self._inner: Any = storage  # has optional methods, which Storage does not declare
        self._options = options
        self._has_revisions = offers(storage, "read_with_revision", "write_if")
        self._can_scan = self._has_revisions and offers(storage, "iter_keys", "iter_items")
        self._tells_expiry = self._has_revisions and _keeps_expiries(storage, options.clock)
        self._met_versions = False

    @property
    def can_purge(self) -> bool:
        """Whether what has expired can be found: by looking, or by the storage inside."""
        if self._can_scan:
            return True
        is_known_inside = self._options.ttl is None or self._tells_expiry
        return is_known_inside and offers(self._storage, "purge_expired")

    # Reading.

    def _now(self) -> int:
        return round(self._options.clock() * 1000)

    async def _fetch(self, key: str) -> tuple[Envelope, Revision | None]:
        if self._has_revisions:
            stored, revision = await resolve(self._inner.read_with_revision(key))
        else:
            stored, revision = await resolve(self._inner.read(key)), None
        return envelope_of(stored), revision

    async def _live_data(self, key: str, envelope: Envelope) -> tuple[Any, bool]:
        """Return the data, None if missing or expired, and whether it was migrated."""
        if not envelope.is_live(self._now()):
            return None, False
        if self._options.migrations is not None:
            return await self._options.migrations.run(key, envelope)
        if envelope.version is not None:
            self._met_versions = True
        return envelope.data, False

    async def read(self, key: str) -> Any:
        envelope = envelope_of(await resolve(self._storage.read(key)))
        data, _ = await self._live_data(key, envelope)
        return data

    async def read_with_revision(self, key: str) -> tuple[Any, EnhancedRevision | None]:
        envelope, inner = await self._fetch(key)
        data, migrated = await self._live_data(key, envelope)
        if data is None:
            return None, None if inner is None else EnhancedRevision(inner)
        return data, EnhancedRevision(inner, migrated, envelope.expires, envelope.version)

    async def read_tracked(self, key: str) -> tuple[Any, EnhancedRevision | None]:
        data, revision = await self.read_with_revision(key)
        return data, None if data is None else revision

    async def has(self, key: str) -> bool:
        return envelope_of(await resolve(self._storage.read(key))).is_live(self._now())

    async def live_key(self, item: tuple[str, Any]) -> str | None:
        key, stored = item
        return key if envelope_of(stored).is_live(self._now()) else None

    async def live_item(self, item: tuple[str, Any]) -> tuple[str, Any] | None:
        key, stored = item
        data, _ = await self._live_data(key, envelope_of(stored))
        return None if data is None else (key, data)

    async def read_many(self, keys: Sequence[str]) -> dict[str, Any]:
        stored = await resolve(self._inner.read_many(keys))
        items = [await self.live_item(item) for item in stored.items()]
        return dict(item for item in items if item is not None)

    # Writing.

    def _seal(self, key: str, value: Any, version: Number | None) -> Envelope:
        if value is None:
            msg = f"None stands for missing and cannot be stored: delete {key!r} instead"
            raise SessionEncodeError(msg, key=key)
        if self._options.migrations is not None:
            version = self._options.migrations.latest
        return Envelope(value, version, self._expiry())

    def _expiry(self) -> int | None:
        return None if self._options.ttl is None else self._now() + self._options.ttl

    async def _kept_version(self, key: str) -> Number | None:
        # The read before a write is spared until a version was met: data that
        # descends from versioned data was read here before it is written.
        if not self._met_versions:
            return None
        envelope = envelope_of(await resolve(self._storage.read(key)))
        return envelope.version if envelope.is_live(self._now()) else None

    async def _put_if(
        self, key: str, envelope: Envelope | None, expected: Expected
    ) -> EnhancedRevision | None:
        if envelope is None:
            await resolve(self._inner.write_if(key, None, expected))
            return None
        native: dict[str, float] = {}
        if self._tells_expiry and envelope.expires is not None:
            native["expires"] = envelope.expires / 1000
        inner = await resolve(self._inner.write_if(key, envelope.to_plain(), expected, **native))
        return EnhancedRevision(inner, expires=envelope.expires, version=envelope.version)

    async def _put(self, key: str, envelope: Envelope) -> None:
        if self._tells_expiry:
            await self._put_if(key, envelope, ANY)
        else:
            await resolve(self._storage.write(key, envelope.to_plain()))

    async def write(self, key: str, value: Any) -> None:
        await self._put(key, self._seal(key, value, await self._kept_version(key)))

    async def write_many(self, values: Mapping[str, Any]) -> None:
        envelopes = {
            key: self._seal(key, value, await self._kept_version(key))
            for key, value in values.items()
        }
        if self._tells_expiry and not self._can_scan:
            # Written as a batch, nothing would tell the storage what to purge, and when.
            for key, envelope in envelopes.items():
                await self._put(key, envelope)
            return
        plain = {key: envelope.to_plain() for key, envelope in envelopes.items()}
        await resolve(self._inner.write_many(plain))

    async def write_if(self, key: str, value: Any, expected: Expected) -> EnhancedRevision | None:
        if isinstance(expected, EnhancedRevision):
            version, expected = expected.version, expected.inner
        else:
            version = await self._kept_version(key)
        envelope = None if value is None else self._seal(key, value, version)
        return await self._put_if(key, envelope, expected)

    async def create(self, key: str, value: Any) -> EnhancedRevision | None:
        """Write if nothing is stored, or only something that has expired."""
        envelope = None if value is None else self._seal(key, value, None)
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

    async def touch_inside(self, key: str) -> bool:
        return await self.has(key) and bool(await resolve(self._inner.touch(key)))

    async def touch(self, key: str) -> bool:
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
        renewed = replace(envelope, expires=self._expiry())
        if self._has_revisions:
            return await self._put_if(key, renewed, revision)
        await self._put(key, renewed)
        return EnhancedRevision(None, expires=renewed.expires, version=renewed.version)

    async def renew(self, key: str, revision: Revision | None) -> EnhancedRevision | None:
        if not (isinstance(revision, EnhancedRevision) and self._is_due(revision.expires)):
            return None
        envelope, inner = await self._fetch(key)
        # Without revisions the expiry stands in for one: each write gives a new one.
        if inner != revision.inner or envelope.expires != revision.expires:
            return None
        try:
            return await self._put_renewed(key, envelope, revision.inner)
        except SessionConflictError:
            return None  # whoever wrote in between has renewed it

    def _is_due(self, expires: Number | None) -> bool:
        if expires is None or self._options.ttl is None:
            return False
        left = expires - self._now()
        is_fresh = 0.9 * self._options.ttl < left <= self._options.ttl
        return left > 0 and not is_fresh

    async def purge_expired(self) -> int:
        count = 0
        if offers(self._storage, "purge_expired"):
            count += await resolve(self._inner.purge_expired())
        if self._can_scan:
            for key in await self._expired_keys():
                count += await self._purge(key)
        return count

    async def _expired_keys(self) -> list[str]:
        items: MaybeAsyncIterable[tuple[str, Any]] = self._inner.iter_items("")
        return [
            key async for key, stored in each(items) if envelope_of(stored).has_expired(self._now())
        ]

    async def _purge(self, key: str) -> bool:
        envelope, revision = await self._fetch(key)
        if not envelope.has_expired(self._now()):
            return False
        try:
            await self._put_if(key, None, revision)
        except SessionConflictError:
            return False
        return True


def offers(storage: object, *names: str) -> bool:
    """Return whether *storage* has all of the optional methods."""
    return all(getattr(storage, name, None) is not None for name in names)


def _keeps_expiries(storage: object, clock: Clock) -> bool:
    # A storage that goes by another clock could let data expire hours too early.
    theirs = getattr(storage, "clock", getattr(storage, "_clock", time.time))
    return bool(getattr(storage, "supports_expiry", False)) and theirs == clock
