"""Reading, writing, deleting, and asking whether something is stored."""

from __future__ import annotations

from typing import Any, Final

from sessionkit.testing._client import Client
from sessionkit.testing._equal import alike
from sessionkit.testing._ops import delete, has, read, write
from sessionkit.testing._promises import promise
from sessionkit.testing._subject import Subject
from sessionkit.testing._table.rows import FALSY, each, promised, promised_of

_ONE: Final[Any] = {"n": 1}
_TWO: Final[Any] = {"n": 2}
_RAISES: Final = "delete() uses del, remove() or unlink(), which raise if there is nothing."
_LITERALLY: Final = ("1", "*", "?", "%", "_", "-10", "A")

promised(
    "missing_is_none",
    "A key under which nothing was written reads as None.",
    "read() gives a default such as {} instead of None, or raises KeyError.",
    [read("1")],
)
promised(
    "written_is_read",
    "What was written is read.",
    "write() puts the value somewhere else than where read() looks for it.",
    [write("1", _ONE), read("1")],
)
promised_of(
    "falsy_is_data",
    "A falsy value, such as {} or 0, is data: it is not taken for missing.",
    "the storage asks 'if value' or 'value or None' where it means 'is not None'.",
    FALSY,
    each(lambda value: [write("1", value), read("1")]),
)
promised(
    "write_replaces",
    "A write replaces the whole value.",
    "write() inserts without replacing, or merges the new value into the old one.",
    [write("1", {"a": 1}), write("1", {"b": 2}), read("1")],
)
promised_of(
    "falsy_replaces",
    "A falsy value replaces what was stored.",
    "write() does nothing, or deletes, if the value is falsy: 'if value' instead of 'is not None'.",
    FALSY,
    each(lambda value: [write("1", _ONE), write("1", value), read("1")]),
)
promised(
    "shorter_replaces_longer",
    "A shorter value replaces a longer one, and nothing of the longer one is left.",
    "the file (or buffer) is written over without being cut to the new length.",
    [write("1", {"text": "x" * 100}), write("1", _ONE), read("1")],
)
promised(
    "write_leaves_others_alone",
    "A write changes no other key.",
    "all values go to one place, whatever the key.",
    [write("1", _ONE), write("2", _TWO), read("1")],
)
promised(
    "delete_removes",
    "What was deleted reads as None.",
    "delete() only marks the value, or removes it from a cache and not from the data.",
    [write("1", _ONE), delete("1"), read("1")],
)
promised(
    "delete_leaves_others_alone",
    "A delete changes no other key.",
    "delete() removes by prefix or pattern, or removes everything.",
    [write("1", _ONE), write("2", _TWO), delete("1"), read("2")],
)
promised(
    "deleting_a_missing_key_does_nothing",
    "Deleting a key under which nothing is stored does nothing.",
    _RAISES,
    [delete("1"), read("1")],
)
promised(
    "deleting_twice_does_nothing",
    "Deleting a key a second time does nothing.",
    _RAISES,
    [write("1", _ONE), delete("1"), delete("1"), read("1")],
)
promised(
    "write_after_delete",
    "A key that was deleted can be written again.",
    "delete() leaves a mark behind that hides what is written later.",
    [write("1", _ONE), delete("1"), write("1", _TWO), read("1")],
)
promised(
    "reading_changes_nothing",
    "Reading changes nothing: a value can be read again and again.",
    "read() takes the value out (pop), or stores a default for a missing key.",
    [write("1", _ONE), read("1"), read("1"), read("2"), read("2")],
)


@promise(
    "Nothing is lost when there are many keys.",
    hint="the storage throws old values away (a cache with a maximal size), or keys collide.",
    timeout=120.0,
)
async def many_keys_are_kept(subject: Subject) -> None:
    count = 2000 if subject.thorough else 200
    async with subject.client() as storage:
        await write_numbers(storage, count)
        with storage.history.summed_up(None):
            found = [await storage.read(str(n)) for n in range(count)]
        wrong = [n for n in range(count) if not alike(found[n], {"n": n})]
        if wrong:
            await storage.expect_read(str(wrong[0]), {"n": wrong[0]})


async def write_numbers(storage: Client, count: int) -> None:
    """Write a value under each of the keys 0, 1, 2, ..., shown as one line."""
    line = f"for n in range({count}): {storage.name}.write(str(n), {{'n': n}})"
    with storage.history.summed_up(line):
        for n in range(count):
            await storage.write(str(n), {"n": n})


promised(
    "has_reports_what_is_stored",
    "has() is True exactly if something is stored; it gives True or False.",
    "has() gives the value or a count instead of a bool, or asks a cache.",
    [has("1"), write("1", _ONE), has("1"), has("2"), delete("1"), has("1")],
    needs=("has",),
)
promised_of(
    "has_knows_falsy_values",
    "has() is True for a falsy value.",
    "has() is bool(read(key)) instead of read(key) is not None.",
    FALSY,
    each(lambda value: [write("1", value), has("1")]),
    needs=("has",),
)
promised(
    "has_takes_keys_literally",
    "has() takes keys as they are: no patterns, no prefixes.",
    "has() looks the key up by a pattern or prefix.",
    lambda subject: [
        *(write(key, _ONE) for key in ("-100", "a") if subject.limits.allows_key(key)),
        *(has(key) for key in _LITERALLY if subject.limits.allows_key(key)),
    ],
    needs=("has",),
)
