"""Storages that break what is asked of has, listing, batches and sync."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from sessionkit.protocols import Clock
from tests.testing.broken_basics import FalsyRead, Live
from tests.testing.reference import Disk, Reference


class HasCounts(Reference):
    def has(self, key: str) -> Any:
        return int(super().has(key))


class HasTruth(Reference):
    def has(self, key: str) -> Any:
        return bool(self.read(key))


class HasPrefix(Reference):
    def has(self, key: str) -> Any:
        return any(stored.startswith(key) for stored in self.disk.rows)


class OnlyKeys(Reference):
    iter_items: Any = None


class ListsUpToDamage(Reference):
    def iter_items(self, prefix: str = "") -> Iterator[Any]:
        return ((key, self.read(key)) for key in self.iter_keys(prefix))


class ListsItself(Reference):
    def iter_keys(self, prefix: str = "") -> Iterator[Any]:
        yield "version"
        yield from super().iter_keys(prefix)


class ListsTwice(Reference):
    def iter_items(self, prefix: str = "") -> Iterator[Any]:
        yield from super().iter_items(prefix)
        yield from super().iter_items(prefix)


class PrefixRequired(Reference):
    def iter_keys(self, prefix: str) -> Iterator[Any]:  # type: ignore[override]  # the mistake
        return super().iter_keys(prefix)


class ItemsTruth(Reference):
    def iter_items(self, prefix: str = "") -> Iterator[Any]:
        return (item for item in super().iter_items(prefix) if item[1])


class Indexed(Reference):
    """Keeps an index, and forgets to take keys out."""

    def __init__(self, disk: Disk, clock: Clock, ttl: float | None = None) -> None:
        super().__init__(disk, clock, ttl)
        self.index: dict[str, None] = {}

    def store(self, key: str, raw: Any, expires: float | None) -> int:
        self.index[key] = None
        return super().store(key, raw, expires)

    def iter_keys(self, prefix: str = "") -> Iterator[Any]:
        return (key for key in self.index if key.startswith(prefix))


class PrefixAnywhere(Reference):
    def iter_keys(self, prefix: str = "") -> Iterator[Any]:
        return (key for key in super().iter_keys() if prefix in key)


class PrefixAsPattern(Reference):
    def iter_keys(self, prefix: str = "") -> Iterator[Any]:
        return (key for key in super().iter_keys() if fnmatchcase(key, f"{prefix}*"))


class PrefixWithoutCase(Reference):
    def iter_keys(self, prefix: str = "") -> Iterator[Any]:
        return (key for key in super().iter_keys() if key.lower().startswith(prefix.lower()))


class PrefixAsRange(Reference):
    def iter_keys(self, prefix: str = "") -> Iterator[Any]:
        return (key for key in super().iter_keys() if prefix <= key < f"{prefix}\uffff")


class ListsPlaces(Reference):
    def place(self, key: str) -> str:
        return key.encode("utf-8", "surrogatepass").hex() if "/" in key else key


class ListsAll(Reference):
    everything: ClassVar[dict[str, None]] = {}

    def store(self, key: str, raw: Any, expires: float | None) -> int:
        self.everything[key] = None
        return super().store(key, raw, expires)

    def iter_keys(self, prefix: str = "") -> Iterator[Any]:
        return iter(list(self.everything))


class OnePage(Reference):
    def iter_keys(self, prefix: str = "") -> Iterator[Any]:
        return iter(list(super().iter_keys(prefix))[:100])


class ListsLive(Reference):
    def iter_keys(self, prefix: str = "") -> Iterator[Any]:
        return (key for key in self.disk.rows if key.startswith(prefix))


class ListsWithGap(Reference):
    """Finds its place again by position."""

    def iter_keys(self, prefix: str = "") -> Iterator[Any]:
        position = 0
        while position < len(self.disk.rows):
            yield list(self.disk.rows)[position]
            position += 1


class LocksWhileListing(Reference):
    locked = False

    def iter_keys(self, prefix: str = "") -> Iterator[Any]:
        keys = list(super().iter_keys(prefix))
        self.locked = True
        yield from keys
        self.locked = False

    def check_open(self) -> None:
        super().check_open()
        if self.locked:
            raise RuntimeError("the table is locked")


class GivesNones(Reference):
    def read_many(self, keys: Sequence[str]) -> Any:
        return {key: self.read(key) for key in keys}


class NeedsKeys(Reference):
    def read_many(self, keys: Sequence[str]) -> Any:
        if not keys:
            raise ValueError("IN ()")
        return super().read_many(keys)


class WritesFirst(Reference):
    def write_many(self, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            self.write(key, value)
            break


class WritesTruth(Reference):
    def write_many(self, values: Mapping[str, Any]) -> None:
        super().write_many({key: value for key, value in values.items() if value})


class NeedsValues(Reference):
    def write_many(self, values: Mapping[str, Any]) -> None:
        if not values:
            raise ValueError("VALUES ()")
        super().write_many(values)


class FewParameters(Reference):
    def read_many(self, keys: Sequence[str]) -> Any:
        return super().read_many(keys[:999])


class BatchRemovesFirst(Reference):
    def write_many(self, values: Mapping[str, Any]) -> None:
        for key in values:
            self.drop(key)
        super().write_many(values)


class OtherSync(Reference):
    @property
    def sync(self) -> Any:
        return Reference(Disk(), self.clock)


class PoorSync(Reference):
    @property
    def sync(self) -> Any:
        return OnlyKeys(self.disk, self.clock)


class _Async(Reference):
    async def touch(self, key: str) -> Any:
        return super().touch(key)


class AsyncSync(Reference):
    @property
    def sync(self) -> Any:
        return _Async(self.disk, self.clock)


BROKEN: dict[str, type[Reference]] = {
    "listing_goes_past_damage": ListsUpToDamage,
    "has_reports_what_is_stored": HasCounts,
    "has_knows_falsy_values": HasTruth,
    "has_takes_keys_literally": HasPrefix,
    "listing_is_both_or_none": OnlyKeys,
    "empty_storage_lists_nothing": ListsItself,
    "every_key_is_listed_once": ListsTwice,
    "prefix_can_be_left_out": PrefixRequired,
    "items_are_what_is_read": ItemsTruth,
    "deleted_is_not_listed": Indexed,
    "prefix_selects": PrefixAnywhere,
    "prefix_is_literal": PrefixAsPattern,
    "prefix_is_case_sensitive": PrefixWithoutCase,
    "prefix_may_be_followed_by_anything": PrefixAsRange,
    "listed_keys_are_as_written": ListsPlaces,
    "only_its_own_keys_are_listed": ListsAll,
    "long_listings_are_complete": OnePage,
    "listing_survives_changes": ListsLive,
    "listing_can_be_given_up": LocksWhileListing,
    "listed_values_are_isolated": Live,
    "read_many_leaves_out_missing": GivesNones,
    "read_many_gives_falsy_values": FalsyRead,
    "read_many_takes_any_keys": NeedsKeys,
    "write_many_stores_all": WritesFirst,
    "write_many_stores_falsy_values": WritesTruth,
    "write_many_takes_nothing": NeedsValues,
    "batches_may_be_large": FewParameters,
    "unstorable_value_in_a_batch_keeps_the_old_one": BatchRemovesFirst,
    "batches_are_isolated": Live,
    "sync_view_has_the_same_data": OtherSync,
    "sync_view_has_the_same_capabilities": PoorSync,
    "sync_view_blocks": AsyncSync,
}
