"""Reading, writing, deleting."""

from __future__ import annotations

from typing import Any, Final

from sessionkit.testing._client import Client
from sessionkit.testing._equal import alike
from sessionkit.testing._promises import promise
from sessionkit.testing._subject import Subject

FALSY: Final[tuple[Any, ...]] = ({}, [], 0, "", False, 0.0)


@promise(
    "A key under which nothing was written reads as None.",
    hint="read() gives a default such as {} instead of None, or raises KeyError.",
)
async def missing_is_none(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.expect_read("1", None)


@promise(
    "What was written is read.",
    hint="write() puts the value somewhere else than where read() looks for it.",
)
async def written_is_read(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        await storage.expect_read("1", {"n": 1})


@promise(
    "A falsy value, such as {} or 0, is data: it is not taken for missing.",
    hint="the storage asks 'if value' or 'value or None' where it means 'is not None'.",
)
async def falsy_is_data(subject: Subject) -> None:
    for value in FALSY:
        subject.start_history()
        async with subject.client() as storage:
            await storage.write("1", value)
            await storage.expect_read("1", value)


@promise(
    "A write replaces the whole value.",
    hint="write() inserts without replacing, or merges the new value into the old one.",
)
async def write_replaces(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"a": 1})
        await storage.write("1", {"b": 2})
        await storage.expect_read("1", {"b": 2})


@promise(
    "A falsy value replaces what was stored.",
    hint="write() does nothing, or deletes, if the value is falsy: 'if value' instead of "
    "'is not None'.",
)
async def falsy_replaces(subject: Subject) -> None:
    for value in FALSY:
        subject.start_history()
        async with subject.client() as storage:
            await storage.write("1", {"n": 1})
            await storage.write("1", value)
            await storage.expect_read("1", value)


@promise(
    "A shorter value replaces a longer one, and nothing of the longer one is left.",
    hint="the file (or buffer) is written over without being cut to the new length.",
)
async def shorter_replaces_longer(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"text": "x" * 100})
        await storage.write("1", {"n": 1})
        await storage.expect_read("1", {"n": 1})


@promise(
    "A write changes no other key.",
    hint="all values go to one place, whatever the key.",
)
async def write_leaves_others_alone(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        await storage.write("2", {"n": 2})
        await storage.expect_read("1", {"n": 1})


@promise(
    "What was deleted reads as None.",
    hint="delete() only marks the value, or removes it from a cache and not from the data.",
)
async def delete_removes(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        await storage.delete("1")
        await storage.expect_read("1", None)


@promise(
    "A delete changes no other key.",
    hint="delete() removes by prefix or pattern, or removes everything.",
)
async def delete_leaves_others_alone(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        await storage.write("2", {"n": 2})
        await storage.delete("1")
        await storage.expect_read("2", {"n": 2})


@promise(
    "Deleting a key under which nothing is stored does nothing.",
    hint="delete() uses del, remove() or unlink(), which raise if there is nothing.",
)
async def delete_of_missing_is_no_error(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.delete("1")
        await storage.expect_read("1", None)


@promise(
    "Deleting a key a second time does nothing.",
    hint="delete() uses del, remove() or unlink(), which raise if there is nothing.",
)
async def delete_twice_is_no_error(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        await storage.delete("1")
        await storage.delete("1")
        await storage.expect_read("1", None)


@promise(
    "A key that was deleted can be written again.",
    hint="delete() leaves a mark behind that hides what is written later.",
)
async def write_after_delete(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        await storage.delete("1")
        await storage.write("1", {"n": 2})
        await storage.expect_read("1", {"n": 2})


@promise(
    "Reading changes nothing: a value can be read again and again.",
    hint="read() takes the value out (pop), or stores a default for a missing key.",
)
async def reading_changes_nothing(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        await storage.read("1")
        await storage.expect_read("1", {"n": 1})
        await storage.read("2")
        await storage.expect_read("2", None)


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
