"""The storage's own timeout, from the last write: ``Limits(ttl=...)``."""

from __future__ import annotations

from typing import Final

from sessionkit.testing._client import Client
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._promises import promise
from sessionkit.testing._subject import Subject
from sessionkit.testing._table.listing import expect_listed

_TEN_YEARS: Final = 10 * 366 * 86_400.0


def ttl_of(subject: Subject) -> float:
    """Return the declared timeout, which must be there."""
    assert subject.limits.ttl is not None
    return subject.limits.ttl


async def _expire(subject: Subject, storage: Client, key: str = "1") -> None:
    await storage.write(key, {"n": 1})
    await subject.pass_time(ttl_of(subject))


@promise(
    "Without a timeout, values stay.",
    hint="the storage has a timeout by default. If it is meant, declare Limits(ttl=...).",
    needs=("clock",),
)
async def without_timeout_values_stay(subject: Subject) -> None:
    if subject.limits.ttl is not None:
        msg = "a timeout is declared by Limits(ttl=...)"
        raise LeftOut(msg)
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        await subject.pass_time(_TEN_YEARS)
        await storage.expect_read("1", {"n": 1})


@promise(
    "A value lives as long as declared after its last write.",
    hint="the timeout is counted in another unit, or from the first write.",
    needs=("ttl", "time"),
)
async def value_lives_until_its_timeout(subject: Subject) -> None:
    half = ttl_of(subject) / 2
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        await subject.pass_time(half)
        await storage.expect_read("1", {"n": 1})
        await storage.write("1", {"n": 2})
        await subject.pass_time(half + half / 2)
        await storage.expect_read("1", {"n": 2})


@promise(
    "A value is gone after its timeout.",
    hint="the timeout is not looked at by read(), or counted in another unit.",
    needs=("ttl", "time"),
)
async def value_is_gone_after_its_timeout(subject: Subject) -> None:
    async with subject.client() as storage:
        await _expire(subject, storage)
        await storage.expect_read("1", None)


@promise(
    "At the very instant of its timeout a value is gone, and just before it is not.",
    hint="'now > expires' instead of 'now >= expires', or times are rounded to seconds.",
    needs=("ttl", "clock"),
)
async def timeout_is_exact(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        await subject.pass_time(ttl_of(subject) - 0.01)
        await storage.expect_read("1", {"n": 1})
        await subject.pass_time(0.01)
        await storage.expect_read("1", None)


@promise(
    "Reading does not renew a timeout.",
    hint="read() or has() sets the expiry anew.",
    needs=("ttl", "time"),
)
async def reading_renews_no_timeout(subject: Subject) -> None:
    half = ttl_of(subject) / 2
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        await subject.pass_time(half)
        await storage.read("1")
        if "has" in storage.capabilities:
            await storage.has("1")
        await subject.pass_time(half)
        await storage.expect_read("1", None)


@promise(
    "A value that has expired can be written anew, and lives its full time.",
    hint="the old expiry stays with the key.",
    needs=("ttl", "time"),
)
async def expired_can_be_written_anew(subject: Subject) -> None:
    async with subject.client() as storage:
        await _expire(subject, storage)
        await storage.write("1", {"n": 2})
        await storage.expect_read("1", {"n": 2})
        await subject.pass_time(ttl_of(subject) / 2)
        await storage.expect_read("1", {"n": 2})


@promise(
    "Deleting a value that has expired is no error.",
    hint="delete() looks the value up first, and raises if there is none.",
    needs=("ttl", "time"),
)
async def expired_can_be_deleted(subject: Subject) -> None:
    async with subject.client() as storage:
        await _expire(subject, storage)
        await storage.delete("1")
        await storage.expect_read("1", None)


@promise(
    "A timeout goes on while the storage is closed.",
    hint="the expiry is kept in memory, or in the time since the process began (monotonic).",
    needs=("ttl", "time", "durable"),
)
async def timeout_outlives_closing(subject: Subject) -> None:
    half = ttl_of(subject) / 2
    namespace = subject.namespace()
    async with subject.client(namespace) as storage:
        await storage.write("1", {"n": 1})
        await subject.pass_time(half)
    async with subject.client(namespace) as storage:
        await storage.expect_read("1", {"n": 1})
        await subject.pass_time(half)
        await storage.expect_read("1", None)


@promise(
    "has() is False for what has expired.",
    hint="has() does not look at the expiry.",
    needs=("ttl", "time", "has"),
)
async def has_knows_timeouts(subject: Subject) -> None:
    async with subject.client() as storage:
        await _expire(subject, storage)
        storage.expect(await storage.has("1"), expected=False)


@promise(
    "What has expired is not listed.",
    hint="iter_keys() or iter_items() does not look at the expiry.",
    needs=("ttl", "time", "iter_keys", "iter_items"),
)
async def listing_knows_timeouts(subject: Subject) -> None:
    async with subject.client() as storage:
        await _expire(subject, storage)
        await storage.write("2", {"n": 2})
        await expect_listed(storage, ["2"])


@promise(
    "read_many() leaves out what has expired.",
    hint="read_many() does not look at the expiry.",
    needs=("ttl", "time", "read_many"),
)
async def read_many_knows_timeouts(subject: Subject) -> None:
    async with subject.client() as storage:
        await _expire(subject, storage)
        await storage.write("2", {"n": 2})
        storage.expect(await storage.read_many(["1", "2"]), {"2": {"n": 2}})


@promise(
    "The timeout of values from write_many() begins with the batch.",
    hint="write_many() sets no expiry, or keeps that of the old value.",
    needs=("ttl", "time", "write_many"),
)
async def write_many_sets_timeouts(subject: Subject) -> None:
    half = ttl_of(subject) / 2
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        await subject.pass_time(half)
        await storage.write_many({"1": {"n": 2}, "2": {"n": 2}})
        await subject.pass_time(half)
        await storage.expect_read("1", {"n": 2})
        await subject.pass_time(half)
        await storage.expect_read("1", None)
        await storage.expect_read("2", None)


@promise(
    "read_with_revision() gives None as the value of what has expired.",
    hint="read_with_revision() does not look at the expiry.",
    needs=("ttl", "time", "read_with_revision", "write_if"),
)
async def revisions_know_timeouts(subject: Subject) -> None:
    async with subject.client() as storage:
        await _expire(subject, storage)
        storage.expect((await storage.read_with_revision("1"))[0], None)


@promise(
    "For a conditional write, what has expired counts as nothing: None is taken.",
    hint="write_if() with None asks for a row and not for a row that lives.",
    needs=("ttl", "time", "read_with_revision", "write_if"),
)
async def expired_counts_as_nothing(subject: Subject) -> None:
    async with subject.client() as storage:
        await _expire(subject, storage)
        await storage.write_if("1", {"n": 2}, None)
        await storage.expect_read("1", {"n": 2})


@promise(
    "What read_with_revision() gives for an expired value can be the condition of a write.",
    hint="the revision of the expired value is given, and write_if() does not take it.",
    needs=("ttl", "time", "read_with_revision", "write_if"),
)
async def revision_of_expired_is_taken(subject: Subject) -> None:
    async with subject.client() as storage:
        await _expire(subject, storage)
        _, revision = await storage.read_with_revision("1")
        await storage.write_if("1", {"n": 2}, revision)
        await storage.expect_read("1", {"n": 2})


@promise(
    "The timeout begins anew with a conditional write.",
    hint="write_if() sets no expiry, or keeps that of the old value.",
    needs=("ttl", "time", "read_with_revision", "write_if"),
)
async def conditional_write_sets_timeout(subject: Subject) -> None:
    half = ttl_of(subject) / 2
    async with subject.client() as storage:
        revision = await storage.write_if("1", {"n": 1}, None)
        await subject.pass_time(half)
        await storage.write_if("1", {"n": 2}, revision)
        await subject.pass_time(half)
        await storage.expect_read("1", {"n": 2})
        await subject.pass_time(half)
        await storage.expect_read("1", None)


@promise(
    "touch() lets the timeout begin anew, and changes no data.",
    hint="touch() sets no new expiry, or writes an old value back.",
    needs=("ttl", "time", "touch"),
)
async def touch_renews(subject: Subject) -> None:
    half = ttl_of(subject) / 2
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        await subject.pass_time(half)
        storage.expect(await storage.touch("1"), expected=True)
        await subject.pass_time(half)
        await storage.expect_read("1", {"n": 1})
        await subject.pass_time(half)
        await storage.expect_read("1", None)


@promise(
    "touch() never brings back what has expired.",
    hint="touch() sets the expiry of a row without looking whether it lives.",
    needs=("ttl", "time", "touch"),
)
async def touch_revives_nothing(subject: Subject) -> None:
    async with subject.client() as storage:
        await _expire(subject, storage)
        storage.expect(await storage.touch("1"), expected=False)
        await storage.expect_read("1", None)


@promise(
    "purge_expired() removes what has expired, counts it, and keeps the rest.",
    hint="it counts or removes values that live, or one that was written anew.",
    needs=("ttl", "time", "purge_expired"),
)
async def purge_counts_what_it_removes(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        await storage.write("2", {"n": 2})
        await _expire(subject, storage, "3")
        await storage.write("2", {"n": 4})
        await storage.write("4", {"n": 4})
        storage.expect(await storage.purge_expired(), 2)
        storage.expect(await storage.purge_expired(), 0)
        await storage.expect_read("1", None)
        await storage.expect_read("2", {"n": 4})
        await storage.expect_read("4", {"n": 4})
