"""Values that were spoiled, by a full disk or by somebody else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sessionkit.testing._client import Client
from sessionkit.testing._promises import promise
from sessionkit.testing._show import show
from sessionkit.testing._subject import Subject


@promise(
    "A stored value that is damaged raises, each time it is read: it is never taken for missing.",
    hint="read() catches the error and gives None, or removes the value. The session would begin "
    "anew and write over what could have been repaired: raise SessionDecodeError.",
)
async def damaged_value_raises(subject: Subject) -> None:
    namespace = subject.namespace()
    if subject.limits.durable:
        async with subject.client(namespace) as storage:
            await storage.write("1", {"n": 1})
        await subject.damage(namespace, "1")
        async with subject.client(namespace) as storage:
            await _expect_errors(storage)
    else:
        async with subject.client(namespace) as storage:
            await storage.write("1", {"n": 1})
            await subject.damage(namespace, "1")
            await _expect_errors(storage)


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
