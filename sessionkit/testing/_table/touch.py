"""``touch``, ``renew`` and ``purge_expired``, where nothing expires."""

from __future__ import annotations

from sessionkit.testing._promises import promise
from sessionkit.testing._subject import Subject


@promise(
    "touch() is True if something is stored, False if not; it changes and makes no data.",
    hint="touch() gives nothing back, or writes a value.",
    needs=("touch",),
)
async def touch_tells_and_changes_nothing(subject: Subject) -> None:
    async with subject.client() as storage:
        storage.expect(await storage.touch("1"), expected=False)
        await storage.expect_read("1", None)
        await storage.write("1", {"n": 1})
        storage.expect(await storage.touch("1"), expected=True)
        await storage.expect_read("1", {"n": 1})
        await storage.write("1", {})
        storage.expect(await storage.touch("1"), expected=True)
        await storage.expect_read("1", {})


@promise(
    "purge_expired() removes nothing that has not expired, and returns 0 then.",
    hint="it gives nothing back, counts all values, or removes those without a timeout.",
    needs=("purge_expired",),
)
async def purge_keeps_what_lives(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        await storage.write("2", {})
        storage.expect(await storage.purge_expired(), 0)
        await storage.expect_read("1", {"n": 1})
        await storage.expect_read("2", {})


@promise(
    "renew() changes no data, whether its revision is fresh or stale.",
    hint="renew() writes back a value that it has read before, without a condition.",
    needs=("renew", "read_with_revision", "write_if"),
)
async def renew_changes_no_data(subject: Subject) -> None:
    async with subject.client() as storage:
        revision = await storage.write_if("1", {"n": 1}, None)
        await storage.renew("1", revision)
        await storage.expect_read("1", {"n": 1})
        await storage.write("1", {"n": 2})
        await storage.renew("1", revision)
        await storage.expect_read("1", {"n": 2})
        await storage.delete("1")
        await storage.renew("1", revision)
        await storage.expect_read("1", None)
