"""Mistakes that show only after several steps, which nobody thought of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from sessionkit.protocols import ANY, Expected
from tests.testing.mutants.registry import mutant
from tests.testing.mutants.times import TTL
from tests.testing.reference import Reference, Row

late = partial(mutant, "histories")


@late("write_many() leaves the revision as it was.", "histories_keep_revisions")
class BatchKeepsRevisions(Reference):
    def write_many(self, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            old = self.find(key)
            revision = self.store(key, self.encode(value), self.expiry(None))
            if old is not None:
                revision = old.revision
            self.disk.rows[key] = self.disk.rows[key]._replace(revision=revision)


@late("A key that was deleted is in the journal as deleted, for good.", "histories_keep_openings")
class ReplaysDeletesLast(Reference):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.deleted: set[str] = self.disk.__dict__.setdefault("deleted", set())
        for key in self.deleted:
            self.disk.rows.pop(key, None)

    def drop(self, key: str) -> None:
        self.deleted.add(key)
        super().drop(key)


@late("read_many() has a cache, which only write() empties.", "histories_keep_values")
class CacheOfBatches(Reference):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.cache: dict[str, Any] = {}

    def read_many(self, keys: Sequence[str]) -> Any:
        found = super().read_many(keys)
        return {
            key: self.decode(self.cache.setdefault(key, self.encode(found[key]))) for key in found
        }

    def write(self, key: str, value: Any) -> Any:
        self.cache.pop(key, None)
        super().write(key, value)


@late("touch() of a value with an expiry of its own takes that away.", "histories_keep_time")
class TouchForgetsExpiry(Reference):
    def touch(self, key: str) -> Any:
        row = self.live(key)
        if row is None:
            return False
        self.disk.rows[key] = row._replace(expires=self.expiry(None))
        return True


@late("touch() writes back what this opening wrote last.", "histories_keep_time", limits=TTL)
class TouchWritesBack(Reference):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.last: dict[str, Row] = {}

    def store(self, key: str, raw: Any, expires: float | None) -> int:
        revision = super().store(key, raw, expires)
        self.last[key] = self.disk.rows[key]
        return revision

    def touch(self, key: str) -> Any:
        if self.live(key) is not None and key in self.last:
            self.disk.rows[key] = self.last[key]
        return super().touch(key)


@late("The count starts again after an expiry.", "histories_keep_revisions", limits=TTL)
class RestartsCountAfterExpiry(Reference):
    def new_revision(self, key: str) -> int:
        row = self.live(key)
        counts: dict[str, int] = self.disk.__dict__.setdefault("counts", {})
        counts[key] = 1 if row is None and self.find(key) is not None else counts.get(key, 0) + 1
        return counts[key]


@late("A value that this opening wrote last is not written again.", "histories_keep_revisions")
class SkipsWhatItWroteLast(Reference):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.last: tuple[str, Any] | None = None

    def write(self, key: str, value: Any) -> Any:
        this = (key, self.encode(value))
        if this != self.last:
            super().write(key, value)
        self.last = this


@late("write_if() with ANY forgets the expiry that is given.", "histories_keep_time")
class AnyForgetsExpiry(Reference):
    def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        has_old = self.find(key) is not None
        kept = None if expected is ANY and has_old else expires
        return super().write_if(key, value, expected, expires=kept)
