"""Values that were spoiled, by a full disk or by somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from sessionkit.testing._client import Client
from sessionkit.testing._promises import promise
from sessionkit.testing._show import show
from sessionkit.testing._subject import Subject

_ROUNDS: Final = 3


@promise(
    "A stored value that is damaged raises, each time it is read: it is never taken for missing.",
    hint="read() catches the error and gives None, or removes the value. The session would begin "
    "again and overwrite what could have been repaired: raise SessionDecodeError.",
)
async def damaged_value_raises(subject: Subject) -> None:
    async with _with_damage(subject, "1") as storage:
        await _expect_errors(storage)


@asynccontextmanager
async def _with_damage(subject: Subject, *keys: str) -> AsyncGenerator[Client]:
    """Give a storage in which the first of *keys* is damaged."""
    namespace = subject.namespace()
    async with subject.client(namespace) as storage:
        for number, key in enumerate(keys, 1):
            await storage.write(key, {"n": number})
        if not subject.limits.durable:
            await subject.damage(namespace, keys[0])
            yield storage
            return
    await subject.damage(namespace, keys[0])
    async with subject.client(namespace) as storage:
        yield storage


async def _expect_errors(storage: Client) -> None:
    readers: list[Callable[[str], Awaitable[Any]]] = [storage.read, storage.read]
    if "read_with_revision" in storage.capabilities:
        readers.insert(0, storage.read_with_revision)
    for read in readers:
        given = await _given_by(read)
        if given is not None:
            storage.fail(expected="an error, such as SessionDecodeError", got=given)


async def _given_by(read: Callable[[str], Awaitable[Any]]) -> str | None:
    try:
        return show(await read("1"))
    except Exception:  # noqa: BLE001 (whatever fits)
        return None


@promise(
    "A damaged value does not end a listing: everything else is listed, and an error at its end "
    "reports what was left out.",
    hint="iter_items() raises at the first value that it cannot decode, or leaves it out in "
    "silence: go on, and raise SessionListingError at the end.",
    needs=("iter_keys", "iter_items"),
)
async def listing_goes_past_damage(subject: Subject) -> None:
    async with _with_damage(subject, "2", "1", "3") as storage:
        listed: list[Any] = []
        given = None
        try:
            async for item in storage.iterate("iter_items"):
                listed.append(item)  # noqa: PERF401 (extend() would drop them at the error)
            given = show(listed)
        except Exception as error:  # noqa: BLE001 (whatever fits)
            storage.history.note(f"# the listing raised {show(error)}")
        storage.expect(sorted(listed, key=str), [("1", {"n": 2}), ("3", {"n": 3})])
        if given is not None:
            storage.fail(expected="an error at the end: SessionListingError", got=given)
        storage.expect(sorted(await storage.keys()), ["1", "2", "3"])


@promise(
    "A damaged value does not keep purge_expired() from removing what has expired.",
    hint="purge_expired() decodes values and raises at the first that it cannot: go by an expiry "
    "that is kept beside the values, or leave the damaged ones out.",
    needs=("purge_expired", "ttl", "time"),
)
async def purge_goes_past_damage(subject: Subject) -> None:
    assert subject.limits.ttl is not None
    async with _with_damage(subject, "2", "1", "3") as storage:
        await subject.pass_time(subject.limits.ttl)
        count = await storage.purge_expired()
        if not isinstance(count, int) or count < 2:
            storage.fail(expected="2 or 3", got=show(count))


@promise(
    "A value that cannot be read disturbs no other that is read or written at the same moment.",
    hint="requests share a call or a thread, which ends with the error of one of them.",
)
async def damage_disturbs_no_other(subject: Subject) -> None:
    async with _with_damage(subject, "1", "2") as storage:
        for _ in range(_ROUNDS):
            reads = (storage.read("2"), _given_by(storage.read), storage.read("2"))
            one, _, other = await asyncio.gather(*reads)
            storage.expect(one, {"n": 2})
            storage.expect(other, {"n": 2})
        await asyncio.gather(_given_by(storage.read), storage.write("3", {"n": 3}))
        await storage.expect_read("3", {"n": 3})


@promise(
    "If all that is stored is taken away meanwhile, no write is acknowledged that is lost.",
    hint="the storage goes on with a file that has lost its name, or a table of its own. Look, "
    "before a write returns, whether what was opened is still what others would open.",
    needs=("durable",),
)
async def lost_storage_acknowledges_nothing(subject: Subject) -> None:
    namespace = subject.namespace()
    acknowledged: list[str] = []
    async with subject.client(namespace) as storage:
        await storage.write("1", {"n": 1})
        await subject.lose(namespace)
        for key in ("1", "2"):
            try:
                await storage.write(key, {"n": 2})
            except Exception as error:  # noqa: BLE001 (whatever fits)
                storage.history.note(f"# the write raised {show(error)}")
            else:
                acknowledged.append(key)
    async with subject.client(namespace) as storage:
        for key in acknowledged:
            await storage.expect_read(key, {"n": 2})
