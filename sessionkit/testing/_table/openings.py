"""One namespace, several openings; several namespaces."""

from __future__ import annotations

from sessionkit.testing._promises import promise
from sessionkit.testing._subject import Subject

_OWN_DATA = (
    "each opening has data of its own. If that is how it is meant (data in memory), declare "
    "Limits(shared=False, durable=False)."
)


@promise(
    "A new namespace is empty, and separate from all others.",
    hint="open() ignores its namespace: all openings share one file, table or dict.",
)
async def namespaces_are_separate(subject: Subject) -> None:
    async with subject.client() as storage, subject.client() as second:
        await storage.write("1", {"n": 1})
        await second.expect_read("1", None)
        await second.write("1", {"n": 2})
        await storage.expect_read("1", {"n": 1})
        await second.delete("1")
        await storage.expect_read("1", {"n": 1})


@promise(
    "A second opening of the same namespace sees the same data.",
    hint=_OWN_DATA,
    needs=("shared",),
)
async def second_opening_sees_the_same_data(subject: Subject) -> None:
    namespace = subject.namespace()
    async with subject.client(namespace) as storage, subject.client(namespace) as second:
        await storage.write("1", {"n": 1})
        await second.expect_read("1", {"n": 1})


@promise(
    "What another opening has changed since is read as it is now.",
    hint="read() answers from a cache that other writers do not know of.",
    needs=("shared",),
)
async def changes_of_others_are_seen(subject: Subject) -> None:
    namespace = subject.namespace()
    async with subject.client(namespace) as storage, subject.client(namespace) as second:
        await second.expect_read("1", None)
        await storage.write("1", {"n": 1})
        await second.expect_read("1", {"n": 1})
        await storage.write("1", {"n": 2})
        await second.expect_read("1", {"n": 2})
        await storage.delete("1")
        await second.expect_read("1", None)


@promise(
    "An opening that writes one key keeps what another opening has written.",
    hint="the whole data is read at opening, and written back as a whole: write only the key.",
    needs=("shared",),
)
async def writes_of_others_are_kept(subject: Subject) -> None:
    namespace = subject.namespace()
    async with subject.client(namespace) as storage, subject.client(namespace) as second:
        await storage.write("1", {"n": 1})
        await second.write("2", {"n": 2})
        await storage.write("3", {"n": 3})
        await storage.expect_read("2", {"n": 2})
        await second.expect_read("1", {"n": 1})


@promise(
    "What was written is there when the storage is opened again.",
    hint="the data is only in memory, or not everything is written before close() is through. If "
    "it is meant to be lost, declare Limits(durable=False).",
    needs=("durable",),
)
async def reopening_keeps_data(subject: Subject) -> None:
    namespace = subject.namespace()
    async with subject.client(namespace) as storage:
        await storage.write("1", {"n": 1})
        await storage.write("2", {})
    async with subject.client(namespace) as storage:
        await storage.expect_read("1", {"n": 1})
        await storage.expect_read("2", {})


@promise(
    "What was deleted or replaced stays so when the storage is opened again.",
    hint="delete() and write() change a copy in memory, and the data on disk is not brought in "
    "line.",
    needs=("durable",),
)
async def reopening_keeps_changes(subject: Subject) -> None:
    namespace = subject.namespace()
    async with subject.client(namespace) as storage:
        await storage.write("1", {"n": 1})
        await storage.write("2", {"n": 2})
    async with subject.client(namespace) as storage:
        await storage.delete("1")
        await storage.write("2", {"n": 3})
    async with subject.client(namespace) as storage:
        await storage.expect_read("1", None)
        await storage.expect_read("2", {"n": 3})


@promise(
    "Storages on the same data have the same identity, others another one; it is hashable.",
    hint="identity is made of the object and not of the place of the data, or leaves out part of "
    "it (the table, the folder).",
    needs=("identity",),
)
async def identity_names_the_data(subject: Subject) -> None:
    namespace = subject.namespace()
    async with subject.client(namespace) as storage, subject.client() as other:
        mine, others = storage.storage.identity, other.storage.identity
        hash(mine)
        if mine == others:
            storage.fail(expected="different identities of different data", got=f"twice {mine!r}")
    if subject.limits.shared:
        await _expect_same_identity(subject, namespace)


async def _expect_same_identity(subject: Subject, namespace: str) -> None:
    async with subject.client(namespace) as storage, subject.client(namespace) as second:
        first, again = storage.storage.identity, second.storage.identity
        if first != again:
            storage.fail(expected="the same identity twice", got=f"{first!r} and {again!r}")
