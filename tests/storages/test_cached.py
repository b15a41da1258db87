"""``cached``: what one process has read and written is read from memory."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any, Final

import pytest

from sessionkit import (
    FileSessionStorage,
    MemorySessionStorage,
    SessionConflictError,
    SQLiteSessionStorage,
    cached,
    enhance_storage,
    session,
)
from sessionkit.codecs import PickleCodec
from sessionkit.protocols import ANY, Entry
from sessionkit.testing import FakeClock, Limits, StorageSuite
from sessionkit.testing.recording import RecordingStorage
from tests.profiles import thoroughly
from tests.storages.test_kit import WithoutHistories

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

TTL: Final = 60.0
OF_ONE_PROCESS: Final = Limits(shared=False, ttl=TTL)

pytestmark = pytest.mark.usefixtures("few_histories")


@thoroughly("machine", "concurrency")
class TestCachedSQLite(StorageSuite):
    limits = OF_ONE_PROCESS

    def open(self, namespace: str) -> Any:
        path = self.folder / f"{namespace}.db"
        inside = SQLiteSessionStorage(path, ttl=TTL, clock=self.clock)
        return cached(inside, max_entries=3, clock=self.clock)


@thoroughly("concurrency")
class TestCachedFiles(WithoutHistories):
    limits = OF_ONE_PROCESS

    def open(self, namespace: str) -> Any:
        inside = FileSessionStorage(self.folder / namespace, ttl=TTL, clock=self.clock)
        return cached(inside, clock=self.clock)


@thoroughly("concurrency")
class TestCachedInThreads(WithoutHistories):
    limits = OF_ONE_PROCESS

    def open(self, namespace: str) -> Any:
        path = self.folder / f"{namespace}.db"
        return cached(SQLiteSessionStorage(path, ttl=TTL, clock=self.clock), clock=self.clock).sync


class Remote:
    """An async storage over a dict, whose answers a test holds back."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[Any, int]] = {}
        self.reads = 0
        self.gate: asyncio.Event | None = None

    async def read(self, key: str, /) -> Any:
        return (await self.read_with_revision(key))[0]

    async def read_with_revision(self, key: str, /) -> tuple[Any, int | None]:
        self.reads += 1
        found = self.rows.get(key, (None, None))
        await self._wait()
        return found

    async def write_if(self, key: str, value: Any, expected: Any, /) -> int | None:
        revision = self.rows.get(key, (None, None))[1]
        if expected is not ANY and expected != revision:
            raise SessionConflictError(key)
        new = (revision or 0) + 1
        self.rows[key] = (value, new)
        await self._wait()
        return new

    async def write(self, key: str, value: Any, /) -> None:
        await self.write_if(key, value, ANY)

    async def delete(self, key: str, /) -> None:
        self.rows.pop(key, None)

    async def _wait(self) -> None:
        if self.gate is not None:
            await self.gate.wait()


def run(course: Callable[[Remote, Any], Coroutine[Any, Any, None]]) -> None:
    remote = Remote()
    asyncio.run(course(remote, cached(remote)))


def test_what_was_read_or_written_is_not_read_again() -> None:
    async def course(remote: Remote, storage: Any) -> None:
        sessions = session(storage=storage, initial=lambda: {"n": 0})
        for _ in range(5):
            async with sessions.open(1) as s:
                s.data["n"] += 1
        assert remote.reads == 1  # when nothing was stored
        assert remote.rows["1"][0] == {"n": 5}
        remote.rows["2"] = ({"n": [1]}, 7)
        value, revision = await storage.read_with_revision("2")
        value["n"].append(2)
        assert await storage.read_with_revision("2") == ({"n": [1]}, revision)
        assert remote.reads == 2

    run(course)


def test_a_clash_is_noticed_and_read_again() -> None:
    async def course(remote: Remote, storage: Any) -> None:
        await storage.write("1", "mine")
        _, revision = await storage.read_with_revision("1")
        await remote.write("1", "theirs")
        assert await storage.read("1") == "mine"
        with pytest.raises(SessionConflictError):
            await storage.write_if("1", "mine again", revision)
        assert await storage.read("1") == "theirs"

    run(course)


def test_a_read_that_a_write_overtook_is_not_kept() -> None:
    async def course(remote: Remote, storage: Any) -> None:
        await remote.write("1", "old")
        remote.gate = asyncio.Event()
        early = asyncio.ensure_future(storage.read("1"))
        await asyncio.sleep(0)
        writing = asyncio.ensure_future(storage.write("1", "new"))
        await asyncio.sleep(0)
        during = asyncio.ensure_future(storage.read("1"))
        await asyncio.sleep(0)
        remote.gate.set()
        assert [await each for each in (early, during, writing)] == ["old", "new", 2]
        assert await storage.read("1") == "new"
        assert remote.reads == 2

    run(course)


def test_of_two_writes_at_once_none_is_kept() -> None:
    async def course(remote: Remote, storage: Any) -> None:
        remote.gate = asyncio.Event()
        writes = [asyncio.ensure_future(storage.write("1", n)) for n in range(2)]
        await asyncio.sleep(0)
        remote.gate.set()
        await asyncio.gather(*writes)
        assert await storage.read("1") == 1
        assert remote.reads == 1
        assert await storage.read("1") == 1
        assert remote.reads == 1

    run(course)


def test_a_change_that_fails_or_says_too_little_forgets(tmp_path: Path) -> None:
    with SQLiteSessionStorage(tmp_path / "bot.db") as sqlite:
        inside = RecordingStorage(sqlite.sync)
        storage: Any = cached(inside)
        changes: list[Callable[[], Any]] = [
            lambda: storage.delete("1"),
            lambda: storage.touch("1"),
            lambda: storage.write_many({"1": 2}),
            lambda: storage.write("1", (1, 2)),  # comes back as a list
        ]
        for change in changes:
            storage.write("1", 1)
            inside.clear()
            assert storage.read("1") == 1
            assert inside.reads == []
            change()
            assert storage.read("1") == sqlite.sync.read("1")
            assert inside.reads[-1] == "1"


def test_the_other_methods_are_those_of_the_storage(tmp_path: Path) -> None:
    with SQLiteSessionStorage(tmp_path / "bot.db") as inside:
        storage: Any = cached(inside.sync)
        storage.write("1", 1)
        assert list(storage.write_entries([Entry("1", 2)], ANY)) == []
        assert storage.read("1") == 2
        assert storage.read_entries(["1"]) == {"1": Entry("1", 2)}
        assert list(storage.iter_entries()) == [Entry("1", 2)]
        assert list(storage.iter_items()) == [("1", 2)]
        assert list(storage.iter_keys()) == ["1"]
        assert storage.read_many(["1", "2"]) == {"1": 2}
        assert storage.purge_expired() == 0
        storage.backup(tmp_path / "copy.db")
        storage.close()


def test_an_expired_value_is_read_again(tmp_path: Path) -> None:
    clock = FakeClock()
    with SQLiteSessionStorage(tmp_path / "bot.db", ttl=10, clock=clock) as inside:
        storage: Any = cached(inside.sync, clock=clock)
        storage.write("1", 1)
        assert storage.read("1") == 1
        clock.advance(10)
        assert storage.read("1") is None


def test_the_one_unused_for_the_longest_time_makes_room() -> None:
    async def course(remote: Remote, _: Any) -> None:
        storage: Any = cached(remote, max_entries=2)
        for key in "12":
            await storage.write(key, key)
        await storage.read("1")
        await storage.write("3", "3")
        for key in "13":
            await storage.read(key)
        assert remote.reads == 0
        await storage.read("2")
        assert remote.reads == 1

    run(course)


def test_tasks_and_threads_share_what_is_known(tmp_path: Path) -> None:
    async def main() -> None:
        storage: Any = cached(SQLiteSessionStorage(tmp_path / "bot.db", codec=PickleCodec()))
        assert storage.sync is storage.sync
        assert storage.sync.sync is storage.sync
        await storage.write("1", {1, 2})
        with contextlib.closing(sqlite3.connect(tmp_path / "bot.db")) as database, database:
            database.execute("DELETE FROM sessions")
        assert storage.sync.read("1") == {1, 2}
        assert not storage.sync.has("1")  # asks the storage
        with pytest.raises(Exception, match="cannot be stored"):
            await storage.write("1", lambda: None)
        assert await storage.read("1") == {1, 2}  # nothing was written
        assert repr(storage) == f"cached({storage.wrapped!r})"
        await storage.close()

    asyncio.run(main())


def test_a_storage_that_does_not_say_that_it_answers_later() -> None:
    class Reticent(Remote):
        def read(self, key: str, /) -> Any:
            return super().read(key)

    async def main() -> None:
        storage: Any = cached(Reticent())
        assert await storage.write("1", 1) == 1
        assert storage.read("1") == 1  # from memory

    asyncio.run(main())


def test_what_needs_no_cache_or_cannot_have_one_is_refused(tmp_path: Path) -> None:
    class Plain:
        def read(self, key: str, /) -> Any: ...
        def write(self, key: str, value: Any, /) -> None: ...
        def delete(self, key: str, /) -> None: ...

    with pytest.raises(TypeError, match="keeps its values in memory"):
        cached(MemorySessionStorage())
    with pytest.raises(TypeError, match="does not write on condition"):
        cached(Plain())
    with SQLiteSessionStorage(tmp_path / "bot.db") as storage:
        with pytest.raises(TypeError, match=r"enhance_storage\(cached\(storage\)"):
            cached(enhance_storage(storage, ttl=1))
        with pytest.raises(ValueError, match="max_entries"):
            cached(storage, max_entries=0)
        with pytest.raises(TypeError, match="max_entries"):
            untyped: Any = None
            cached(storage, max_entries=untyped)
        enhanced = enhance_storage(cached(storage), ttl=1)
        assert "write_if" in enhanced.capabilities
