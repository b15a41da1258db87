"""Storages that break what is asked of timeouts, expiries, touch, renew and purge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sessionkit.protocols import ANY, Clock, Expected
from tests.testing.reference import Disk, Reference, Row


class TouchesNothing(Reference):
    def touch(self, key: str) -> Any:
        return None


class TouchesAnything(Reference):
    def touch(self, key: str) -> Any:
        row = self.find(key)
        if row is None:
            return False
        self.disk.rows[key] = row._replace(expires=None)
        return True


class TouchForGood(Reference):
    def touch(self, key: str) -> Any:
        return super().has(key)


class PurgesAll(Reference):
    def purge_expired(self) -> Any:
        count = len(self.disk.rows)
        self.disk.rows.clear()
        return count


class PurgesWithoutCount(Reference):
    def purge_expired(self) -> Any:
        super().purge_expired()
        return 0


class RenewsOldData(Reference):
    def __init__(self, disk: Disk, clock: Clock, ttl: float | None = None) -> None:
        super().__init__(disk, clock, ttl)
        self.last: dict[Any, Row] = {}

    def store(self, key: str, raw: Any, expires: float | None) -> int:
        revision = super().store(key, raw, expires)
        self.last[revision] = self.disk.rows[key]
        return revision

    def renew(self, key: str, revision: Any) -> Any:
        self.disk.rows[key] = self.last[revision]


class ExpiresByDefault(Reference):
    def expiry(self, expires: float | None) -> float | None:
        return super().expiry(expires) or self.clock() + 3600


class FromFirstWrite(Reference):
    def store(self, key: str, raw: Any, expires: float | None) -> int:
        old = self.live(key)
        return super().store(key, raw, old.expires if old else expires)


class NeverExpires(Reference):
    def is_gone(self, row: Row) -> bool:
        return False


class LaterByOne(Reference):
    def is_gone(self, row: Row) -> bool:
        return row.expires is not None and self.clock() > row.expires


class ReadRenews(Reference):
    def read(self, key: str) -> Any:
        self.touch(key)
        return super().read(key)


class OldExpiryStays(Reference):
    def store(self, key: str, raw: Any, expires: float | None) -> int:
        old = self.find(key)
        return super().store(key, raw, old.expires if old else expires)


class DeleteLooksFirst(Reference):
    def delete(self, key: str) -> Any:
        if self.live(key) is None:
            raise KeyError(key)
        super().delete(key)


class ExpiryInMemory(Reference):
    def __init__(self, disk: Disk, clock: Clock, ttl: float | None = None) -> None:
        super().__init__(disk, clock, ttl)
        self.expiries: dict[int, float | None] = {}

    def store(self, key: str, raw: Any, expires: float | None) -> int:
        revision = super().store(key, raw, None)
        self.expiries[revision] = expires
        return revision

    def is_gone(self, row: Row) -> bool:
        return super().is_gone(row._replace(expires=self.expiries.get(row.revision)))


class HasExpired(Reference):
    def has(self, key: str) -> Any:
        return self.find(key) is not None


class ListsExpired(Reference):
    def iter_keys(self, prefix: str = "") -> Iterator[Any]:
        return (key for key in self.disk.rows if key.startswith(prefix))


class ReadsManyExpired(Reference):
    def read_many(self, keys: Sequence[str]) -> Any:
        rows = {key: self.find(key) for key in keys}
        return {key: self.decode(row.raw) for key, row in rows.items() if row}


class BatchWithoutTimeout(Reference):
    def write_many(self, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            self.store(key, self.encode(value), None)


class RevisionsOfExpired(Reference):
    def read_with_revision(self, key: str) -> Any:
        row = self.find(key)
        return (None, None) if row is None else (self.decode(row.raw), row.revision)


class ExpiredIsStored(Reference):
    def compare(self, key: str, expected: Expected) -> None:
        if expected is None and self.find(key) is not None:
            super().compare(key, -1)
        super().compare(key, expected)


class ExpiredRevisionRefused(Reference):
    def compare(self, key: str, expected: Expected) -> None:
        super().compare(key, -1 if expected not in (None, ANY) and not self.live(key) else expected)


class PurgedRevisionRefused(Reference):
    def purge_expired(self) -> Any:
        self.disk.expiries.clear()
        return super().purge_expired()


class CountsFromOne(Reference):
    def new_revision(self, key: str) -> int:
        row = self.live(key)
        return row.revision + 1 if row else 1


class ConditionalWithoutTimeout(Reference):
    def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        revision = super().write_if(key, value, expected, expires=expires)
        if expected is not ANY:
            self.disk.rows[key] = self.disk.rows[key]._replace(expires=expires)
        return revision


class ExpiryIgnored(Reference):
    def expiry(self, expires: float | None) -> float | None:
        return super().expiry(None)


class PastIsForever(Reference):
    def expiry(self, expires: float | None) -> float | None:
        return None if expires is not None and expires < self.clock() else super().expiry(expires)


class NoConditionalWrites(Reference):
    write_if: Any = None
    read_with_revision: Any = None


class PurgesByReading(Reference):
    def purge_expired(self) -> Any:
        for row in self.disk.rows.values():
            self.decode(row.raw)
        return super().purge_expired()


class PurgesUpToDamage(Reference):
    def purge_expired(self) -> Any:
        try:
            for row in self.disk.rows.values():
                self.decode(row.raw)
        except ValueError:
            return 0
        return super().purge_expired()


BROKEN: dict[str, type[Reference]] = {
    "touch_reports_and_changes_nothing": TouchesNothing,
    "purge_keeps_what_lives": PurgesAll,
    "renew_changes_no_data": RenewsOldData,
    "without_timeout_values_stay": ExpiresByDefault,
    "expiry_needs_conditional_writes": NoConditionalWrites,
    "value_is_gone_at_its_expiry": ExpiryIgnored,
    "expiry_is_exact": LaterByOne,
    "expiry_in_the_past_is_gone_at_once": PastIsForever,
    "plain_write_removes_the_expiry": OldExpiryStays,
    "conditional_write_removes_the_expiry": OldExpiryStays,
    "past_expiry_counts_as_nothing": ExpiredIsStored,
    "revision_outlives_its_expiry": PurgedRevisionRefused,
    "expiry_outlives_closing": ExpiryInMemory,
    "has_knows_expiry": HasExpired,
    "listing_knows_expiry": ListsExpired,
    "read_many_knows_expiry": ReadsManyExpired,
    "touch_knows_expiry": TouchesAnything,
    "purge_knows_expiry": PurgesWithoutCount,
}

BROKEN_TIMEOUTS: dict[str, type[Reference]] = {
    "purge_goes_past_damage": PurgesByReading,
    "value_lives_until_its_timeout": FromFirstWrite,
    "value_is_gone_after_its_timeout": NeverExpires,
    "timeout_is_exact": LaterByOne,
    "reading_does_not_renew": ReadRenews,
    "expired_can_be_written_again": OldExpiryStays,
    "expired_can_be_deleted": DeleteLooksFirst,
    "timeout_outlives_closing": ExpiryInMemory,
    "has_knows_timeouts": HasExpired,
    "listing_knows_timeouts": ListsExpired,
    "read_many_knows_timeouts": ReadsManyExpired,
    "write_many_sets_timeouts": BatchWithoutTimeout,
    "revisions_know_timeouts": RevisionsOfExpired,
    "expired_counts_as_nothing": ExpiredIsStored,
    "revision_of_expired_is_taken": ExpiredRevisionRefused,
    "revision_outlives_its_value": PurgedRevisionRefused,
    "successor_of_expired_is_kept": CountsFromOne,
    "conditional_write_sets_timeout": ConditionalWithoutTimeout,
    "touch_renews": TouchForGood,
    "touch_revives_nothing": TouchesAnything,
    "purge_counts_what_it_removes": PurgesWithoutCount,
}
