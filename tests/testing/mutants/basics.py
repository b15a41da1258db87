"""Mistakes of reading, writing and deleting."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.testing import broken_basics, broken_places
from tests.testing.mutants.registry import mutant
from tests.testing.reference import Reference

basic = partial(mutant, "basics")

basic("read() asks 'value or None': falsy data is taken for missing.", "falsy_is_data")(
    broken_basics.FalsyRead
)
basic("write() asks 'if value': falsy data is not stored.", "falsy_replaces")(
    broken_basics.FalsyWrite
)
basic("read() gives {} where nothing is stored.", "missing_is_none")(broken_basics.Default)
basic("write() merges into what was there.", "write_replaces")(broken_basics.Merging)
basic("A shorter value is written over a longer one in place.", "shorter_replaces_longer")(
    broken_basics.Overlaying
)
basic(
    "delete() is 'del rows[key]'.",
    "deleting_a_missing_key_does_nothing",
    "deleting_twice_does_nothing",
)(broken_basics.DeleteRaises)
basic("delete() leaves a mark that write() does not take away.", "write_after_delete")(
    broken_basics.Tombstones
)
basic("delete() takes the key for a pattern.", "keys_may_have_wildcards")(
    broken_basics.DeletingByPattern
)
basic("delete() removes all that begins with the key.", "keys_may_share_a_beginning")(
    broken_basics.DeletingByPrefix
)
basic("read() is pop().", "reading_changes_nothing")(broken_basics.Popping)
basic("A cache of 100 values throws away the oldest.", "many_keys_are_kept")(broken_basics.Cache)
basic(
    "The old value is removed before the new one is encoded.", "unstorable_value_keeps_the_old_one"
)(broken_basics.OpenedTooEarly)
basic("A value that cannot be decoded is taken for missing.", "damaged_value_raises")(
    broken_places.Swallowing
)


@basic("write() is INSERT OR IGNORE.", "write_replaces")
class InsertsOnly(Reference):
    def store(self, key: str, raw: Any, expires: float | None) -> int:
        row = self.live(key)
        return super().store(key, raw, expires) if row is None else row.revision


@basic("write() logs errors and goes on.", "unstorable_value_keeps_the_old_one")
class HidesFailedWrites(Reference):
    def write(self, key: str, value: Any) -> Any:
        try:
            super().write(key, value)
        except (TypeError, ValueError):
            return


@basic(
    "read() keeps an empty record for each key that it was asked for.", "reading_changes_nothing"
)
class RecordsWhatIsRead(Reference):
    def read(self, key: str) -> Any:
        value = super().read(key)
        if value is None:
            self.write(key, {})
        return value


@basic("A damaged value is removed, so that the chat can go on.", "damaged_value_raises")
class RemovesDamaged(Reference):
    def decode(self, raw: Any) -> Any:
        try:
            return super().decode(raw)
        except ValueError:
            for place in [each for each, row in self.disk.rows.items() if row.raw == raw]:
                del self.disk.rows[place]
            return None


@basic("The write is done by the next call of any kind.", "reopening_keeps_data")
class OneBehind(Reference):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.waiting: list[tuple[str, Any]] = []

    def write(self, key: str, value: Any) -> Any:
        self.check_open()
        self.waiting.append((key, self.encode(value)))

    def check_open(self) -> None:
        super().check_open()
        waiting, self.waiting = self.waiting, []
        for key, raw in waiting:
            self.store(key, raw, self.expiry(None))
