"""Mistakes of timeouts and expiries."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from sessionkit.testing import Limits
from tests.testing import broken_times
from tests.testing.mutants.registry import mutant
from tests.testing.reference import Disk, Reference, Row

TTL: Final = Limits(ttl=60)

timed = partial(mutant, "times", limits=TTL)
expiring = partial(mutant, "times")

timed("'now > expires' instead of 'now >= expires'.", "timeout_is_exact")(broken_times.LaterByOne)
timed("The timeout runs from the first write.", "value_lives_until_its_timeout")(
    broken_times.FromFirstWrite
)
timed("Reading renews.", "reading_does_not_renew")(broken_times.ReadRenews)
timed("A key keeps its old expiry.", "expired_can_be_written_again")(broken_times.OldExpiryStays)
timed("delete() of what has expired raises.", "expired_can_be_deleted")(
    broken_times.DeleteLooksFirst
)
timed("Expiries are kept in memory.", "timeout_outlives_closing")(broken_times.ExpiryInMemory)
timed("has() does not look at the time.", "has_knows_timeouts")(broken_times.HasExpired)
timed("Listing does not look at the time.", "listing_knows_timeouts")(broken_times.ListsExpired)
timed("read_many() does not look at the time.", "read_many_knows_timeouts")(
    broken_times.ReadsManyExpired
)
timed("write_many() sets no timeout.", "write_many_sets_timeouts")(broken_times.BatchWithoutTimeout)
timed("What has expired counts as stored.", "expired_counts_as_nothing")(
    broken_times.ExpiredIsStored
)
timed("touch() revives what has expired.", "touch_revives_nothing")(broken_times.TouchesAnything)
timed("touch() only tells.", "touch_renews")(broken_times.TouchForGood)
timed("A conditional write sets no timeout.", "conditional_write_sets_timeout")(
    broken_times.ConditionalWithoutTimeout
)
timed("A revision is refused once its value has been purged.", "revision_outlives_its_value")(
    broken_times.PurgedRevisionRefused
)
expiring("purge_expired() removes everything.", "purge_keeps_what_lives")(broken_times.PurgesAll)
expiring("expires= is ignored.", "value_is_gone_at_its_expiry")(broken_times.ExpiryIgnored)
expiring("An expiry in the past means 'no expiry'.", "expiry_in_the_past_is_gone_at_once")(
    broken_times.PastIsForever
)


@timed("The timeout is taken for milliseconds.", "value_lives_until_its_timeout")
class Milliseconds(Reference):
    def expiry(self, expires: float | None) -> float | None:
        return expires or self.clock() + (self.ttl or 0) / 1000


@timed("Times are kept in whole seconds, rounded down.", "timeout_is_exact")
class WholeSeconds(Reference):
    def is_gone(self, row: Row) -> bool:
        return row.expires is not None and int(self.clock()) > int(row.expires)


@timed("Times are rounded up to whole minutes.", "timeout_is_exact")
class WholeMinutes(Reference):
    def expiry(self, expires: float | None) -> float | None:
        exact = super().expiry(expires)
        return None if exact is None else (exact // 60 + 1) * 60


@expiring("There is a timeout by default.", "without_timeout_values_stay")
class ADayByDefault(Reference):
    def expiry(self, expires: float | None) -> float | None:
        return self.clock() + 86_400 if expires is None else expires


@expiring("An expiry of 0.0 is taken for none.", "expiry_in_the_past_is_gone_at_once")
class ZeroIsNoExpiry(Reference):
    def expiry(self, expires: float | None) -> float | None:
        return super().expiry(expires or None)


@expiring("expires= is taken for a span.", "value_is_gone_at_its_expiry")
class SpanNotTime(Reference):
    def expiry(self, expires: float | None) -> float | None:
        return None if expires is None else self.clock() + expires


@expiring("purge_expired() removes what expires soon, too.", "purge_knows_expiry")
class PurgesSoon(Reference):
    def purge_expired(self) -> Any:
        later = Reference(self.disk, lambda: self.clock() + 3600)
        return later.purge_expired()


@timed(
    "purge_expired() removes by a list of expiries, whatever was written since.",
    "purge_counts_what_it_removes",
)
class PurgesByList(Reference):
    def __init__(self, disk: Disk, *given: Any) -> None:
        super().__init__(disk, *given)
        self.due: list[tuple[float, str]] = []

    def store(self, key: str, raw: Any, expires: float | None) -> int:
        if expires is not None:
            self.due.append((expires, key))
        return super().store(key, raw, expires)

    def purge_expired(self) -> Any:
        gone = {key for expires, key in self.due if self.clock() >= expires}
        return sum(self.disk.rows.pop(key, None) is not None for key in gone)


@timed(
    "Only read() looks at the time, and removes what has expired.",
    "listing_knows_timeouts",
    "has_knows_timeouts",
)
class RemovesWhenRead(Reference):
    def read(self, key: str) -> Any:
        if self.live(key) is None:
            self.drop(key)
        return super().read(key)

    def has(self, key: str) -> Any:
        return self.find(key) is not None

    def iter_keys(self, prefix: str = "") -> Iterator[Any]:
        return (key for key in list(self.disk.rows) if key.startswith(prefix))


timed("purge_expired() decodes each value to look for its expiry.", "purge_goes_past_damage")(
    broken_times.PurgesByReading
)
