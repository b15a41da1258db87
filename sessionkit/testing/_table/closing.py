"""The end of a storage."""

from __future__ import annotations

from sessionkit.testing._client import Client
from sessionkit.testing._promises import promise
from sessionkit.testing._show import show
from sessionkit.testing._subject import Subject


@promise(
    "Closing a storage a second time does nothing.",
    hint="close() lets go of something that it has let go of already.",
    needs=("close",),
)
async def closing_twice_is_no_error(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        await storage.close()
        await storage.close()


@promise(
    "A storage that was never used can be closed.",
    hint="close() needs something that only the first use makes.",
    needs=("close",),
)
async def closing_unused_is_no_error(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.close()


@promise(
    "Reading from a closed storage raises, or still gives the data: it never says 'missing'.",
    hint="close() forgets the data, and read() takes that for missing: raise SessionClosedError.",
    needs=("close",),
)
async def closed_storage_does_not_say_missing(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        await storage.close()
        try:
            value = await storage.read("1")
        except Exception:  # noqa: BLE001 (whatever fits)
            return
        if value != {"n": 1}:
            storage.fail(expected="SessionClosedError, or {'n': 1}", got=show(value))


@promise(
    "Writing to a closed storage raises, or the value is stored: it is never lost in silence.",
    hint="write() puts the value where nobody looks any more: raise SessionClosedError.",
    needs=("close",),
)
async def closed_storage_loses_no_write(subject: Subject) -> None:
    namespace = subject.namespace()
    async with subject.client(namespace) as storage:
        await storage.close()
        try:
            await storage.write("1", {"n": 1})
        except Exception:  # noqa: BLE001 (whatever fits)
            return
        if not subject.limits.durable:
            await _expect_stored(storage)
    if subject.limits.durable:
        async with subject.client(namespace) as storage:
            await _expect_stored(storage)


async def _expect_stored(storage: Client) -> None:
    value = await storage.read("1")
    if value != {"n": 1}:
        storage.fail(expected="SessionClosedError from write(), or {'n': 1} here", got=show(value))


@promise(
    "Closing one opening leaves the others in order.",
    hint="all openings share one connection, and the first close() takes it from all of them.",
    needs=("close", "shared"),
)
async def closing_leaves_others_open(subject: Subject) -> None:
    namespace = subject.namespace()
    async with subject.client(namespace) as storage, subject.client(namespace) as second:
        await storage.write("1", {"n": 1})
        await storage.close()
        await second.expect_read("1", {"n": 1})
        await second.write("1", {"n": 2})
        await second.expect_read("1", {"n": 2})
