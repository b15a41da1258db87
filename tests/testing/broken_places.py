"""Storages that break what is asked of openings, the end, damage and limits."""

from __future__ import annotations

from typing import Any

from sessionkit.errors import InvalidSessionKeyError, SessionEncodeError
from sessionkit.protocols import Clock, Expected
from sessionkit.testing import Limits
from sessionkit.testing._limits import value_bytes
from tests.testing.reference import Disk, Reference, Row


class Global(Reference):
    everything = Disk()

    def __init__(self, disk: Disk, clock: Clock, ttl: float | None = None) -> None:
        super().__init__(self.everything, clock, ttl)


class Private(Reference):
    def __init__(self, disk: Disk, clock: Clock, ttl: float | None = None) -> None:
        super().__init__(Disk(), clock, ttl)


class Cached(Reference):
    def __init__(self, disk: Disk, clock: Clock, ttl: float | None = None) -> None:
        super().__init__(disk, clock, ttl)
        self.cache: dict[str, Any] = {}

    def read(self, key: str) -> Any:
        return self.cache.setdefault(key, super().read(key))


class WrittenAsAWhole(Reference):
    def __init__(self, disk: Disk, clock: Clock, ttl: float | None = None) -> None:
        super().__init__(disk, clock, ttl)
        self.rows = dict(disk.rows)

    def store(self, key: str, raw: Any, expires: float | None) -> int:
        self.rows[key] = Row(raw, 1, expires)
        self.disk.rows = dict(self.rows)
        return 1


class DeletedInMemory(Reference):
    def __init__(self, disk: Disk, clock: Clock, ttl: float | None = None) -> None:
        super().__init__(disk, clock, ttl)
        self.deleted: set[str] = set()

    def drop(self, key: str) -> None:
        self.deleted.add(key)

    def find(self, key: str) -> Row | None:
        return None if key in self.deleted else super().find(key)


class OneIdentity(Reference):
    @property
    def identity(self) -> Any:
        return "storage"


class OwnIdentity(Reference):
    @property
    def identity(self) -> Any:
        return id(self)


class ClosedOnce(Reference):
    def close(self) -> None:
        self.check_open()
        super().close()


class ClosedAfterUse(Reference):
    used = False

    def store(self, key: str, raw: Any, expires: float | None) -> int:
        self.used = True
        return super().store(key, raw, expires)

    def close(self) -> None:
        assert self.used
        super().close()


class Forgetful(Reference):
    def read(self, key: str) -> Any:
        return None if self.closed else super().read(key)


class Buffered(Reference):
    def write(self, key: str, value: Any) -> Any:
        if not self.closed:
            super().write(key, value)

    def check_open(self) -> None:
        pass


class SharedConnection(Reference):
    def check_open(self) -> None:
        if not self.disk.connected:
            raise ConnectionError("the connection is closed")

    def close(self) -> None:
        self.disk.connected = False


class Swallowing(Reference):
    def read(self, key: str) -> Any:
        try:
            return super().read(key)
        except ValueError:
            return None


LIMITS = Limits(max_key_bytes=64, max_value_bytes=1000, key_alphabet="[a-z0-9-]")


class Limited(Reference):
    """Refuses what is beyond its limits, before anything else."""

    limits = LIMITS

    def place(self, key: str) -> str:
        if not self.limits.allows_key(key):
            raise InvalidSessionKeyError("no such keys", key=key)
        return key

    def encode(self, value: Any) -> Any:
        raw = super().encode(value)
        if not self.limits.allows_value(value):
            raise SessionEncodeError("too large")
        return raw


class SmallKeys(Limited):
    limits = Limits(max_key_bytes=63, max_value_bytes=1000, key_alphabet="[a-z0-9-]")


class SmallValues(Limited):
    limits = Limits(max_key_bytes=64, max_value_bytes=999, key_alphabet="[a-z0-9-]")


class RemovesFirst(Reference):
    def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        self.drop(key)
        if value_bytes(value) > 1000:
            raise SessionEncodeError("too large")
        return super().write_if(key, value, expected, expires=expires)


class DiesOfDamage(Reference):
    def check_open(self) -> None:
        super().check_open()
        if not self.disk.connected:
            raise RuntimeError("the worker is gone")

    def decode(self, raw: Any) -> Any:
        try:
            return super().decode(raw)
        except ValueError:
            self.disk.connected = False
            raise


class GoesOnWithoutFile(Reference):
    def check_open(self) -> None:
        self.disk.lost = False
        super().check_open()


BROKEN: dict[str, type[Reference]] = {
    "namespaces_are_separate": Global,
    "second_opening_sees_the_same_data": Private,
    "changes_of_others_are_seen": Cached,
    "writes_of_others_are_kept": WrittenAsAWhole,
    "reopening_keeps_data": Private,
    "reopening_keeps_changes": DeletedInMemory,
    "identity_names_the_data": OwnIdentity,
    "closing_twice_does_nothing": ClosedOnce,
    "unused_storage_can_be_closed": ClosedAfterUse,
    "closed_storage_does_not_say_missing": Forgetful,
    "closed_storage_loses_no_write": Buffered,
    "closing_leaves_others_open": SharedConnection,
    "damaged_value_raises": Swallowing,
    "damage_disturbs_no_other": DiesOfDamage,
    "lost_storage_acknowledges_nothing": GoesOnWithoutFile,
}

BROKEN_LIMITS: dict[str, type[Reference]] = {
    "longest_keys_are_stored": SmallKeys,
    "longer_keys_are_refused": Reference,
    "foreign_characters_are_refused": Reference,
    "largest_values_are_stored": SmallValues,
    "larger_values_are_refused": RemovesFirst,
}
