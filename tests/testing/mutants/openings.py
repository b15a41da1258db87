"""Mistakes of opening, closing and limits."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

from tests.testing import broken_places
from tests.testing.broken_places import LIMITS, Limited
from tests.testing.mutants.registry import mutant, with_fresh
from tests.testing.reference import Disk, Reference, Row

of_openings = partial(mutant, "openings")

of_openings(
    "One dict for all namespaces.",
    "namespaces_are_separate",
    subject=with_fresh(broken_places.Global, everything=Disk),
)(broken_places.Global)
of_openings("A dict of its own for each opening.", "second_opening_sees_the_same_data")(
    broken_places.Private
)
of_openings("What was read once is kept, and never read again.", "changes_of_others_are_seen")(
    broken_places.Cached
)
of_openings("A file that is removed is written on.", "lost_storage_acknowledges_nothing")(
    broken_places.GoesOnWithoutFile
)
of_openings("The worker ends with what it cannot decode.", "damage_disturbs_no_other")(
    broken_places.DiesOfDamage
)
of_openings("All data is loaded at opening, and written as a whole.", "writes_of_others_are_kept")(
    broken_places.WrittenAsAWhole
)
of_openings("delete() removes from memory only.", "reopening_keeps_changes")(
    broken_places.DeletedInMemory
)
of_openings("identity is the same for all data.", "identity_names_the_data")(
    broken_places.OneIdentity
)
of_openings("identity is id(self).", "identity_names_the_data")(broken_places.OwnIdentity)
of_openings("close() raises the second time.", "closing_twice_does_nothing")(
    broken_places.ClosedOnce
)
of_openings("A closed storage reads as empty.", "closed_storage_does_not_say_missing")(
    broken_places.Forgetful
)
of_openings("A closed storage drops what is written.", "closed_storage_loses_no_write")(
    broken_places.Buffered
)
of_openings("close() closes the connection of all.", "closing_leaves_others_open")(
    broken_places.SharedConnection
)
of_openings(
    "The old value is removed before the new one is found too large.",
    "larger_values_are_refused",
    limits=LIMITS,
)(broken_places.RemovesFirst)


@of_openings("Writes are kept until close().", "changes_of_others_are_seen")
class WritesAtTheEnd(Reference):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.waiting: dict[str, Row] = {}

    def find(self, key: str) -> Row | None:
        return self.waiting.get(key) or super().find(key)

    def store(self, key: str, raw: Any, expires: float | None) -> int:
        revision = self.new_revision(key)
        self.waiting[key] = Row(raw, revision, expires)
        return revision

    def drop(self, key: str) -> None:
        self.waiting.pop(key, None)
        super().drop(key)

    def close(self) -> None:
        self.disk.rows.update(self.waiting)
        super().close()


@of_openings("Opening creates the table again.", "reopening_keeps_data")
class EmptiesAtOpening(Reference):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.disk.rows.clear()


@of_openings("Falsy data is left out when everything is saved.", "reopening_keeps_data")
class SavesWhatIsTrue(Reference):
    def close(self) -> None:
        for place, row in list(self.disk.rows.items()):
            if not self.decode(row.raw):
                del self.disk.rows[place]
        super().close()


@of_openings("Keys are cut at the declared length.", "longer_keys_are_refused", limits=LIMITS)
class CutsKeys(Limited):
    def place(self, key: str) -> str:
        return super().place(key[:64])


@of_openings("Values are cut at the declared size.", "larger_values_are_refused", limits=LIMITS)
class CutsValues(Limited):
    def encode(self, value: Any) -> Any:
        return super().encode(value[:998] if isinstance(value, str) else value)


@of_openings(
    "Characters that keys may not have are left out.",
    "foreign_characters_are_refused",
    limits=LIMITS,
)
class DropsCharacters(Limited):
    def place(self, key: str) -> str:
        return super().place("".join(filter(self.limits.allows_key, key)))


@of_openings(
    "A prefix counts towards the length of keys.", "longest_keys_are_stored", limits=LIMITS
)
class PrefixCounts(Limited):
    def place(self, key: str) -> str:
        return super().place(f"session-{key}").removeprefix("session-")


@of_openings("Opening draws a new revision.", "revisions_outlive_closing")
class NumbersAtOpening(Reference):
    openings = itertools.count(1)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.opening = next(self.openings)

    def read_with_revision(self, key: str) -> Any:
        value, revision = super().read_with_revision(key)
        return value, revision and f"{self.opening}-{revision}"

    def compare(self, key: str, expected: Any) -> None:
        opening, _, revision = str(expected).partition("-")
        known = opening == str(self.opening)
        super().compare(key, int(revision) if known and revision else expected)

    def write_if(self, *given: Any, **options: Any) -> Any:
        revision = super().write_if(*given, **options)
        return revision and f"{self.opening}-{revision}"
