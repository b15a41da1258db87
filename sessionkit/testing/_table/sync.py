"""The view for threads."""

from __future__ import annotations

from typing import Final

from sessionkit.testing._client import Client
from sessionkit.testing._promises import promise
from sessionkit.testing._subject import Subject

_NOT_COMPARED: Final = frozenset({"sync", "identity"})


@promise(
    "The sync view shows the same data.",
    hint="sync makes a storage of its own, or one with other settings.",
    needs=("sync",),
)
async def sync_view_has_the_same_data(subject: Subject) -> None:
    async with subject.client() as storage:
        view = storage.sync_view()
        await storage.write("1", {"n": 1})
        await view.expect_read("1", {"n": 1})
        await view.write("1", {"n": 2})
        await storage.expect_read("1", {"n": 2})
        await view.delete("1")
        await storage.expect_read("1", None)


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
