"""An expiry beside the value: ``write_if(..., expires=...)``."""

from __future__ import annotations

from typing import Final

from sessionkit._types import ANY
from sessionkit.testing._client import Client
from sessionkit.testing._promises import promise
from sessionkit.testing._subject import Subject
from sessionkit.testing._table.listing import expect_listed

_EXPIRY: Final = ("supports_expiry", "read_with_revision", "write_if")
_NO_LOOK: Final = "the expiry is kept, and this method does not look at it."


async def _expire(subject: Subject, storage: Client, key: str = "1") -> None:
    expires = subject.now() + subject.lifetime
    await storage.write_if(key, {"n": 1}, ANY, expires=expires)
    await subject.pass_time(subject.lifetime)


@promise(
    "supports_expiry = True needs read_with_revision() and write_if().",
    hint="the declaration is there, and the methods that it speaks of are not.",
    needs=("supports_expiry",),
)
async def expiry_needs_conditional_writes(subject: Subject) -> None:
    missing = sorted(set(_EXPIRY) - await subject.capabilities())
    async with subject.client() as storage:
        if missing:
            storage.fail(expected=" and ".join(_EXPIRY[1:]), got=f"no {', '.join(missing)}")


@promise(
    "A value with an expiry lives until then, and is gone after it.",
    hint="expires is ignored, or taken for a span or for milliseconds: it is a time, in seconds "
    "since the epoch.",
    needs=(*_EXPIRY, "time"),
)
async def value_is_gone_at_its_expiry(subject: Subject) -> None:
    async with subject.client() as storage:
        expires = subject.now() + subject.lifetime
        await storage.write_if("1", {"n": 1}, None, expires=expires)
        await subject.pass_time(subject.lifetime / 2)
        await storage.expect_read("1", {"n": 1})
        await subject.pass_time(subject.lifetime / 2)
        await storage.expect_read("1", None)


@promise(
    "At the very instant of its expiry a value is gone, and just before it is not.",
    hint="'now > expires' instead of 'now >= expires', or times are rounded to seconds.",
    needs=(*_EXPIRY, "clock"),
)
async def expiry_is_exact(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write_if("1", {"n": 1}, None, expires=subject.now() + 10)
        await subject.pass_time(9.99)
        await storage.expect_read("1", {"n": 1})
        await subject.pass_time(0.01)
        await storage.expect_read("1", None)


@promise(
    "A value whose expiry lies in the past is not there.",
    hint="the expiry is looked at only when time passes, or a negative span, or 0.0, is taken for "
    "none.",
    needs=(*_EXPIRY, "time"),
)
async def expiry_in_the_past_is_gone_at_once(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write_if("1", {"n": 1}, None, expires=subject.now() - 10)
        await storage.expect_read("1", None)
        await storage.write_if("2", {"n": 1}, None, expires=0.0)
        await storage.expect_read("2", None)


@promise(
    "A write without expiry takes the old expiry away.",
    hint="write() replaces the value and leaves the expiry of the old one.",
    needs=(*_EXPIRY, "time"),
)
async def plain_write_takes_the_expiry_away(subject: Subject) -> None:
    half = _shortest(subject) / 2
    async with subject.client() as storage:
        await storage.write_if("1", {"n": 1}, None, expires=subject.now() + half)
        await storage.write("1", {"n": 2})
        await subject.pass_time(half)
        await storage.expect_read("1", {"n": 2})


@promise(
    "A conditional write without expiry takes the old expiry away.",
    hint="write_if() replaces the value and leaves the expiry of the old one.",
    needs=(*_EXPIRY, "time"),
)
async def conditional_write_takes_the_expiry_away(subject: Subject) -> None:
    half = _shortest(subject) / 2
    async with subject.client() as storage:
        expires = subject.now() + half
        revision = await storage.write_if("1", {"n": 1}, None, expires=expires)
        await storage.write_if("1", {"n": 2}, revision)
        await subject.pass_time(half)
        await storage.expect_read("1", {"n": 2})


def _shortest(subject: Subject) -> float:
    return min(subject.lifetime, subject.limits.ttl or subject.lifetime)


@promise(
    "For a conditional write, what has expired counts as nothing: None is taken.",
    hint="write_if() with None asks for a row and not for a row that lives.",
    needs=(*_EXPIRY, "time"),
)
async def past_expiry_counts_as_nothing(subject: Subject) -> None:
    async with subject.client() as storage:
        await _expire(subject, storage)
        storage.expect((await storage.read_with_revision("1"))[0], None)
        await storage.write_if("1", {"n": 2}, None)
        await storage.expect_read("1", {"n": 2})


@promise(
    "An expiry holds while the storage is closed.",
    hint="the expiry is kept in memory, and not with the value.",
    needs=(*_EXPIRY, "time", "durable"),
)
async def expiry_outlives_closing(subject: Subject) -> None:
    namespace = subject.namespace()
    async with subject.client(namespace) as storage:
        expires = subject.now() + subject.lifetime
        await storage.write_if("1", {"n": 1}, None, expires=expires)
    async with subject.client(namespace) as storage:
        await subject.pass_time(subject.lifetime)
        await storage.expect_read("1", None)


@promise(
    "has() is False for a value whose expiry is over.",
    hint=_NO_LOOK,
    needs=(*_EXPIRY, "time", "has"),
)
async def has_knows_expiry(subject: Subject) -> None:
    async with subject.client() as storage:
        await _expire(subject, storage)
        storage.expect(await storage.has("1"), expected=False)


@promise(
    "A value whose expiry is over is not listed.",
    hint=_NO_LOOK,
    needs=(*_EXPIRY, "time", "iter_keys", "iter_items"),
)
async def listing_knows_expiry(subject: Subject) -> None:
    async with subject.client() as storage:
        await _expire(subject, storage)
        await storage.write("2", {"n": 2})
        await expect_listed(storage, ["2"])


@promise(
    "read_many() leaves out a value whose expiry is over.",
    hint=_NO_LOOK,
    needs=(*_EXPIRY, "time", "read_many"),
)
async def read_many_knows_expiry(subject: Subject) -> None:
    async with subject.client() as storage:
        await _expire(subject, storage)
        await storage.write("2", {"n": 2})
        storage.expect(await storage.read_many(["1", "2"]), {"2": {"n": 2}})


@promise(
    "touch() never brings back a value whose expiry is over.",
    hint=_NO_LOOK,
    needs=(*_EXPIRY, "time", "touch"),
)
async def touch_knows_expiry(subject: Subject) -> None:
    async with subject.client() as storage:
        await _expire(subject, storage)
        storage.expect(await storage.touch("1"), expected=False)
        await storage.expect_read("1", None)


@promise(
    "purge_expired() removes and counts the values whose expiry is over, and keeps the rest.",
    hint="it counts or removes values that live, or one that was written anew.",
    needs=(*_EXPIRY, "time", "purge_expired"),
)
async def purge_knows_expiry(subject: Subject) -> None:
    async with subject.client() as storage:
        expires = subject.now() + subject.lifetime
        await storage.write_if("1", {"n": 1}, None, expires=expires)
        await storage.write_if("2", {"n": 2}, None, expires=expires + subject.lifetime)
        await _expire(subject, storage, "3")
        await storage.write("3", {"n": 3})
        storage.expect(await storage.purge_expired(), 1)
        storage.expect(await storage.purge_expired(), 0)
        await storage.expect_read("1", None)
        await storage.expect_read("2", {"n": 2})
        await storage.expect_read("3", {"n": 3})
