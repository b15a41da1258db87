"""Storages that break what is asked of revisions and conditional writes."""

from __future__ import annotations

import itertools
from typing import Any

from sessionkit.protocols import ANY, Clock, Expected
from tests.testing.broken_basics import Live, OpenedTooEarly
from tests.testing.reference import Disk, Reference


class OnlyWriteIf(Reference):
    read_with_revision: Any = None


class RevisionOfNothing(Reference):
    def read_with_revision(self, key: str) -> Any:
        value, revision = super().read_with_revision(key)
        return value, revision or 0


class NoRevisionOfFalsy(Reference):
    def read_with_revision(self, key: str) -> Any:
        value, revision = super().read_with_revision(key)
        return value, revision if value else None


class FreshRevisions(Reference):
    count = itertools.count(1_000_000)

    def read_with_revision(self, key: str) -> Any:
        value, _ = super().read_with_revision(key)
        return value, next(self.count)


class OldRevisionGiven(Reference):
    def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        return super().write_if(key, value, expected, expires=expires) - 1


class HashedValues(Reference):
    def store(self, key: str, raw: Any, expires: float | None) -> int:
        super().store(key, raw, expires)
        revision = len(raw)
        self.disk.rows[key] = self.disk.rows[key]._replace(revision=revision)
        return revision


class CountedPerKey(Reference):
    def new_revision(self, key: str) -> int:
        row = self.find(key)
        return row.revision + 1 if row else 1


class CountedPerObject(Reference):
    def __init__(self, disk: Disk, clock: Clock, ttl: float | None = None) -> None:
        super().__init__(disk, clock, ttl)
        self.count = 0

    def new_revision(self, key: str) -> int:
        self.count += 1
        return self.count


class KeptInMemory(Reference):
    """Each opening draws new revisions."""

    def read_with_revision(self, key: str) -> Any:
        value, revision = super().read_with_revision(key)
        return value, revision and (id(self), revision)


class Unconditional(Reference):
    def compare(self, key: str, expected: Expected) -> None:
        pass


class OtherCondition(Reference):
    def compare(self, key: str, expected: Expected) -> None:
        super().compare(key, expected + 1 if isinstance(expected, int) else expected)


class DeletesAnyway(Reference):
    def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        condition = ANY if value is None else expected
        return super().write_if(key, value, condition, expires=expires)


class NothingIsUnchanged(Reference):
    def compare(self, key: str, expected: Expected) -> None:
        if self.find(key) is not None:
            super().compare(key, expected)


class RevisionStays(Reference):
    def new_revision(self, key: str) -> int:
        row = self.find(key)
        return row.revision if row else super().new_revision(key)


class AnyCompared(Reference):
    def compare(self, key: str, expected: Expected) -> None:
        super().compare(key, -1 if expected is ANY else expected)


class NoneIsAny(Reference):
    def compare(self, key: str, expected: Expected) -> None:
        if expected is not None:
            super().compare(key, expected)


class FalsyIsNothing(Reference):
    def compare(self, key: str, expected: Expected) -> None:
        if expected is not None or self.read(key):
            super().compare(key, expected)


class DeletedStays(Reference):
    def __init__(self, disk: Disk, clock: Clock, ttl: float | None = None) -> None:
        super().__init__(disk, clock, ttl)
        self.known: set[str] = set()

    def store(self, key: str, raw: Any, expires: float | None) -> int:
        self.known.add(key)
        return super().store(key, raw, expires)

    def compare(self, key: str, expected: Expected) -> None:
        super().compare(key, -1 if expected is None and key in self.known else expected)


class DeleteGivesRevision(Reference):
    def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        revision = super().write_if(key, value, expected, expires=expires)
        return expected if value is None else revision


class PretendsToWrite(Reference):
    def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        row = self.find(key)
        if row and expected is not ANY and row.revision != expected:
            return row.revision
        return super().write_if(key, value, expected, expires=expires)


class BelongsToNoKey(Reference):
    def compare(self, key: str, expected: Expected) -> None:
        if expected not in {row.revision for row in self.disk.rows.values()}:
            super().compare(key, expected)


BROKEN: dict[str, type[Reference]] = {
    "revisions_are_both_or_none": OnlyWriteIf,
    "missing_has_no_revision": RevisionOfNothing,
    "stored_value_has_a_revision": NoRevisionOfFalsy,
    "reading_keeps_the_revision": FreshRevisions,
    "write_gives_the_new_revision": OldRevisionGiven,
    "different_values_differ_in_revision": HashedValues,
    "revisions_do_not_restart": CountedPerKey,
    "conditional_writes_do_not_restart_revisions": CountedPerKey,
    "revision_belongs_to_its_key": BelongsToNoKey,
    "revisions_hold_across_openings": CountedPerObject,
    "revisions_hold_across_plain_writes_elsewhere": CountedPerObject,
    "revisions_outlive_closing": KeptInMemory,
    "fresh_revision_is_taken": OtherCondition,
    "stale_revision_is_refused": Unconditional,
    "stale_delete_is_refused": DeletesAnyway,
    "revision_of_deleted_is_refused": NothingIsUnchanged,
    "plain_write_makes_stale": RevisionStays,
    "unconditional_write_makes_stale": RevisionStays,
    "any_is_always_taken": AnyCompared,
    "none_means_nothing_stored": NoneIsAny,
    "falsy_counts_as_stored": FalsyIsNothing,
    "deleted_counts_as_nothing": DeletedStays,
    "conditional_delete_removes": DeleteGivesRevision,
    "delete_of_nothing_is_conditional": DeletesAnyway,
    "write_back_loses_nothing": PretendsToWrite,
    "unstorable_conditional_write_keeps_the_old_value": OpenedTooEarly,
    "conditional_writes_are_isolated": Live,
}
