"""``has``: whether something is stored, without reading it."""

from __future__ import annotations

from sessionkit.testing._promises import promise
from sessionkit.testing._subject import Subject
from sessionkit.testing._table.basics import FALSY


@promise(
    "has() is True exactly if something is stored; it gives True or False.",
    hint="has() gives the value or a count instead of a bool, or asks a cache.",
    needs=("has",),
)
async def has_tells_what_is_stored(subject: Subject) -> None:
    async with subject.client() as storage:
        storage.expect(await storage.has("1"), expected=False)
        await storage.write("1", {"n": 1})
        storage.expect(await storage.has("1"), expected=True)
        storage.expect(await storage.has("2"), expected=False)
        await storage.delete("1")
        storage.expect(await storage.has("1"), expected=False)


@promise(
    "has() is True for a falsy value.",
    hint="has() is bool(read(key)) instead of read(key) is not None.",
    needs=("has",),
)
async def has_knows_falsy_values(subject: Subject) -> None:
    for value in FALSY:
        subject.start_history()
        async with subject.client() as storage:
            await storage.write("1", value)
            storage.expect(await storage.has("1"), expected=True)


@promise(
    "has() takes keys as they are: no patterns, no prefixes.",
    hint="has() looks the key up by a pattern or prefix.",
    needs=("has",),
)
async def has_takes_keys_literally(subject: Subject) -> None:
    keys = [key for key in ("1", "*", "?", "%", "_", "-10", "A") if subject.limits.allows_key(key)]
    async with subject.client() as storage:
        await storage.write("-100", {"n": 1})
        if subject.limits.allows_key("a"):
            await storage.write("a", {"n": 1})
        for key in keys:
            storage.expect(await storage.has(key), expected=False)
