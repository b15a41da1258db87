"""One namespace, several openings; several namespaces; the end of a storage; its sync view."""

from __future__ import annotations

from typing import Any, Final

from sessionkit.testing._client import Client
from sessionkit.testing._ops import Op, delete, read, write
from sessionkit.testing._promises import promise
from sessionkit.testing._show import show
from sessionkit.testing._subject import Subject
from sessionkit.testing._table.rows import REOPEN, elsewhere, promised, second, view

_ONE: Final[Any] = {"n": 1}
_TWO: Final[Any] = {"n": 2}
_CLOSE: Final = Op("close")
_NOT_COMPARED: Final = frozenset({"sync", "identity"})

promised(
    "namespaces_are_separate",
    "A new namespace is empty, and separate from all others.",
    "open() ignores its namespace: all openings share one file, table or dict.",
    [
        write("1", _ONE),
        elsewhere(read("1")),
        elsewhere(write("1", _TWO)),
        read("1"),
        elsewhere(delete("1")),
        read("1"),
    ],
)
promised(
    "second_opening_sees_the_same_data",
    "A second opening of the same namespace sees the same data.",
    "each opening has data of its own. If that is how it is meant (data in memory), declare "
    "Limits(shared=False, durable=False).",
    [write("1", _ONE), second(read("1"))],
    needs=("shared",),
)
promised(
    "changes_of_others_are_seen",
    "What another opening has changed since is read as it is now.",
    "read() answers from a cache that other writers do not know of.",
    [
        second(read("1")),
        write("1", _ONE),
        second(read("1")),
        write("1", _TWO),
        second(read("1")),
        delete("1"),
        second(read("1")),
    ],
    needs=("shared",),
)
promised(
    "writes_of_others_are_kept",
    "An opening that writes one key keeps what another opening has written.",
    "the whole data is read at opening, and written back as a whole: write only the key.",
    [
        write("1", _ONE),
        second(write("2", _TWO)),
        write("3", {"n": 3}),
        read("2"),
        second(read("1")),
    ],
    needs=("shared",),
)
promised(
    "reopening_keeps_data",
    "What was written is there when the storage is opened again.",
    "the data is only in memory, or not everything is written before close() is through. If "
    "it is meant to be lost, declare Limits(durable=False).",
    [write("1", _ONE), write("2", {}), REOPEN, read("1"), read("2")],
    needs=("durable",),
)
promised(
    "reopening_keeps_changes",
    "What was deleted or replaced stays so when the storage is opened again.",
    "delete() and write() change a copy in memory, and the data on disk is not brought in line.",
    [
        write("1", _ONE),
        write("2", _TWO),
        REOPEN,
        delete("1"),
        write("2", {"n": 3}),
        REOPEN,
        read("1"),
        read("2"),
    ],
    needs=("durable",),
)


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


promised(
    "closing_twice_does_nothing",
    "Closing a storage a second time does nothing.",
    "close() lets go of something that it has let go of already.",
    [write("1", _ONE), _CLOSE, _CLOSE],
    needs=("close",),
)
promised(
    "unused_storage_can_be_closed",
    "A storage that was never used can be closed.",
    "close() needs something that only the first use makes.",
    [_CLOSE],
    needs=("close",),
)
promised(
    "closing_leaves_others_open",
    "Closing one opening leaves the others working.",
    "all openings share one connection, and the first close() takes it from all of them.",
    [write("1", _ONE), _CLOSE, second(read("1")), second(write("1", _TWO)), second(read("1"))],
    needs=("close", "shared"),
)


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
    "Writing to a closed storage raises, or the value is stored: it is never lost silently.",
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


promised(
    "sync_view_has_the_same_data",
    "The sync view shows the same data.",
    "sync makes a storage of its own, or one with other settings.",
    [
        write("1", _ONE),
        view(read("1")),
        view(write("1", _TWO)),
        read("1"),
        view(delete("1")),
        read("1"),
    ],
    needs=("sync",),
)


@promise(
    "The sync view can do what the storage can.",
    hint="a method or a declaration is missing in the view.",
    needs=("sync",),
)
async def sync_view_has_the_same_capabilities(subject: Subject) -> None:
    async with subject.client() as storage:
        view = storage.sync_view()
        missing = sorted(storage.capabilities - view.capabilities - _NOT_COMPARED)
        more = sorted(view.capabilities - storage.capabilities - _NOT_COMPARED)
        if missing or more:
            storage.fail(
                expected="the same optional methods and declarations in storage.sync",
                got=f"there only: {more or 'none'}; missing there: {missing or 'none'}",
            )


@promise(
    "All methods of the sync view block: none of them answers with an awaitable.",
    hint="a method of the view is async, or passes on what the storage's own method gives.",
    needs=("sync",),
)
async def sync_view_blocks(subject: Subject) -> None:
    async with subject.client() as storage:
        view = storage.sync_view()
        await view.write("1", {"n": 1})
        await view.expect_read("1", {"n": 1})
        await view.delete("1")
        await _use_optional_methods(view)
        if "close" in view.capabilities:
            await view.close()


async def _use_optional_methods(view: Client) -> None:
    offered = view.capabilities
    if "write_many" in offered:
        await view.write_many({"1": {"n": 1}})
    if "read_many" in offered:
        await view.read_many(["1"])
    if "has" in offered:
        await view.has("1")
    if "touch" in offered:
        await view.touch("1")
    if "iter_keys" in offered:
        await view.keys()
    if "iter_items" in offered:
        await view.items()
    if "purge_expired" in offered:
        await view.purge_expired()
    if offered >= {"read_with_revision", "write_if"}:
        _, revision = await view.read_with_revision("1")
        await view.write_if("1", {"n": 2}, revision)
