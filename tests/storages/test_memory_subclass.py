"""A subclass of the memory storage is asked, not passed by."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import MemorySessionStorage, session
from sessionkit._data.snapshots import thaw
from sessionkit._storage.backend import Backend
from sessionkit.protocols import Expected, Revision
from tests.core import Remote, counters

if TYPE_CHECKING:
    from sessionkit.types import SupportsSnapshots


class Watched(MemorySessionStorage):
    """Counts what is written, as a user's test might."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def write_if(
        self, key: str, value: Any, expected: Expected, /, *, expires: float | None = None
    ) -> Revision | None:
        self.written.append(key)
        return super().write_if(key, value, expected, expires=expires)


class Context:
    chat_id = 1


async def count(ctx: Any) -> None:
    ctx.session["n"] += 1


def test_an_overridden_write_is_called() -> None:
    storage = Watched()
    sessions = session(initial=lambda: {"n": 0}, storage=storage)

    async def main() -> None:
        for _ in range(3):
            await sessions(Context(), count)

    asyncio.run(main())

    assert storage.written == ["1", "1", "1"]
    assert storage.read("1") == {"n": 3}


def test_a_patched_instance_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = MemorySessionStorage()
    written: list[str] = []
    write_if = storage.write_if

    def watched(key: str, value: Any, expected: Expected, /) -> Revision | None:
        written.append(key)
        return write_if(key, value, expected)

    monkeypatch.setattr(storage, "write_if", watched)
    sessions = session(initial=lambda: {"n": 0}, storage=storage)

    asyncio.run(sessions(Context(), count))

    assert written == ["1"]


def test_a_subclass_that_overrides_nothing_is_as_quick() -> None:
    class Named(MemorySessionStorage):
        """A name of its own."""

    storage = Named()
    assert Backend(storage).fetch == storage.read_snapshot
    watched = Watched()
    assert Backend(watched).fetch == watched.read_with_revision


@pytest.mark.parametrize(
    "name", ["read", "write", "delete", "read_with_revision", "write_if", "read_snapshot"]
)
def test_a_subclass_that_overrides_a_method_is_not_bypassed(name: str) -> None:
    kind: Any = type(
        "Changed", (MemorySessionStorage,), {name: getattr(MemorySessionStorage, name)}
    )
    storage = kind()
    used = storage.read_snapshot if name == "read_snapshot" else storage.read_with_revision
    assert Backend(storage).fetch == used


def test_a_wrapper_that_passes_everything_on_is_as_quick() -> None:
    class Wrapper:
        def __init__(self, storage: Any) -> None:
            self._storage = storage

        def __getattr__(self, name: str) -> Any:
            return getattr(self._storage, name)

    memory = MemorySessionStorage()
    storage: Any = Wrapper(memory)
    assert Backend(storage).fetch == memory.read_snapshot


class Snapshots(Remote):
    """A storage that keeps snapshots, of another make, and async."""

    async def read_snapshot(self, key: str, /) -> tuple[bytes | None, Any, Revision | None]:
        snapshot, revision = await self.read_with_revision(key)
        assert type(snapshot) in (bytes, type(None))
        return snapshot, None if snapshot is None else thaw(snapshot), revision

    async def write_snapshot(
        self, key: str, snapshot: bytes | None, value: Any, expected: Expected, /
    ) -> Revision | None:
        assert value == (None if snapshot is None else thaw(snapshot))
        return await self.write_if(key, snapshot, expected)


def test_snapshots_go_to_any_storage_that_takes_them() -> None:
    memory: SupportsSnapshots = MemorySessionStorage()
    other: SupportsSnapshots = Snapshots()

    async def main() -> None:
        for storage in (memory, other):
            sessions = counters(storage)
            async with sessions.open(1) as opened:
                opened.data["n"] = 5
            assert await sessions.get(1) == {"n": 5}
            await sessions.delete(1)
            assert not await sessions.exists(1)

    asyncio.run(main())


def test_one_of_the_two_methods_is_not_enough() -> None:
    class Half(Remote):
        read_snapshot = Snapshots.read_snapshot

    storage: Any = Half()
    assert Backend(storage).fetch == storage.read_with_revision
