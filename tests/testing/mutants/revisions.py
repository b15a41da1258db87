"""Mistakes of revisions and conditional writes."""

from __future__ import annotations

from functools import partial
from typing import Any

from sessionkit.errors import SessionConflictError
from sessionkit.protocols import ANY, Expected
from tests.testing import broken_revisions
from tests.testing.mutants.registry import mutant
from tests.testing.reference import Reference, Row

conditional = partial(mutant, "revisions")

conditional("The condition is not looked at.", "stale_revision_is_refused")(
    broken_revisions.Unconditional
)
conditional("None means 'in any case'.", "none_means_nothing_stored")(broken_revisions.NoneIsAny)
conditional("ANY is compared like a revision.", "any_is_always_taken")(broken_revisions.AnyCompared)
conditional("Falsy data counts as nothing stored.", "falsy_counts_as_stored")(
    broken_revisions.FalsyIsNothing
)
conditional("A conditional delete is a delete.", "stale_delete_is_refused")(
    broken_revisions.DeletesAnyway
)
conditional("An UPDATE that finds no row is taken for success.", "revision_of_deleted_is_refused")(
    broken_revisions.NothingIsUnchanged
)
conditional("The count begins at 1 after a delete.", "revisions_do_not_restart")(
    broken_revisions.CountedPerKey
)
conditional("The count is kept in the object.", "revisions_hold_across_openings")(
    broken_revisions.CountedPerObject
)
conditional("A value keeps its revision when it is replaced.", "plain_write_makes_stale")(
    broken_revisions.RevisionStays
)
conditional("The revision is the length of the value.", "different_values_differ_in_revision")(
    broken_revisions.HashedValues
)
conditional("A deleted key counts as stored.", "deleted_counts_as_nothing")(
    broken_revisions.DeletedStays
)
conditional("A conflict is reported by returning the old revision.", "stale_revision_is_refused")(
    broken_revisions.PretendsToWrite
)
conditional("Revisions are compared without the key.", "revision_belongs_to_its_key")(
    broken_revisions.BelongsToNoKey
)
conditional("write_if() gives the revision before the write.", "write_gives_the_new_revision")(
    broken_revisions.OldRevisionGiven
)
conditional("Every read gives another revision.", "reading_keeps_the_revision")(
    broken_revisions.FreshRevisions
)


@conditional("A clash raises an error of the storage's own.", "stale_revision_is_refused")
class OwnError(Reference):
    def compare(self, key: str, expected: Expected) -> None:
        try:
            super().compare(key, expected)
        except SessionConflictError:
            raise RuntimeError("changed") from None


@conditional("A clash is reported by returning None.", "stale_revision_is_refused")
class ReturnsNone(Reference):
    def write_if(self, *given: Any, **options: Any) -> Any:
        try:
            return super().write_if(*given, **options)
        except SessionConflictError:
            return None


@conditional("The revision is hash(value).", "different_values_differ_in_revision")
class PythonHashes(Reference):
    def store(self, key: str, raw: Any, expires: float | None) -> int:
        super().store(key, raw, expires)
        value = self.decode(raw)
        revision = hash(value) if isinstance(value, int | float | str) else hash(raw)
        self.disk.rows[key] = self.disk.rows[key]._replace(revision=revision)
        return revision


@conditional("The revision is the time of the write.", "stale_revision_is_refused")
class TimesAsRevisions(Reference):
    def new_revision(self, key: str) -> int:
        return int(self.clock() * 1000)


@conditional("The revision is a list, which has no hash.", "stored_value_has_a_revision")
class ListsAsRevisions(Reference):
    def read_with_revision(self, key: str) -> Any:
        value, revision = super().read_with_revision(key)
        return value, revision and [revision]


@conditional("A missing key has the revision 0.", "missing_has_no_revision")
class ZeroForMissing(Reference):
    def read_with_revision(self, key: str) -> Any:
        value, revision = super().read_with_revision(key)
        return value, revision or 0

    def compare(self, key: str, expected: Expected) -> None:
        super().compare(key, None if expected == 0 else expected)


@conditional(
    "The refused value is stored, and then the clash is reported.", "stale_revision_is_refused"
)
class WritesFirst(Reference):
    def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        refused: SessionConflictError | None = None
        try:
            self.compare(key, expected)
        except SessionConflictError as error:
            refused = error
        revision = super().write_if(key, value, ANY, expires=expires)
        if refused is not None:
            raise refused
        return revision


@conditional("An unconditional write leaves the revision.", "unconditional_write_makes_stale")
class AnyKeepsRevision(Reference):
    def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        old = self.find(key)
        revision = super().write_if(key, value, expected, expires=expires)
        if expected is ANY and value is not None and old is not None:
            self.disk.rows[key] = Row(self.encode(value), old.revision, self.expiry(expires))
            return old.revision
        return revision


@conditional("None is stored where it should delete.", "conditional_delete_removes")
class StoresNone(Reference):
    def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        if value is not None:
            return super().write_if(key, value, expected, expires=expires)
        self.compare(key, expected)
        return self.store(key, self.encode(None), None)
