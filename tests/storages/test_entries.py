"""Values with their expiry: what copies, exports and edits go by, in every storage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Callable, Iterable
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import (
    FileSessionStorage,
    MemorySessionStorage,
    SessionConflictError,
    SessionDecodeError,
    SessionEncodeError,
    SessionError,
    SessionListingError,
    SessionWriteError,
    SQLiteSessionStorage,
    enhance_storage,
)
from sessionkit.codecs import JSONCodec
from sessionkit.protocols import ANY
from sessionkit.storages.authoring import (
    AsyncView,
    BlockingRecordStorage,
    BlockingView,
    Lifetime,
    Records,
    RecordStorage,
)
from sessionkit.testing import FakeClock
from sessionkit.types import Entry, MaybeAsyncIterable
from tests.storages.dict_engine import DictEngine

if TYPE_CHECKING:
    from pathlib import Path

Make = Callable[..., Any]


def memory(_: Path, **options: Any) -> Any:
    return MemorySessionStorage(**options)


def files(folder: Path, **options: Any) -> Any:
    return FileSessionStorage(folder / "files", **options)


def sqlite(folder: Path, **options: Any) -> Any:
    return SQLiteSessionStorage(folder / "bot.db", **options)


def view(_: Path, **options: Any) -> Any:
    return AsyncView(MemorySessionStorage(**options))


def blocking_view(folder: Path, **options: Any) -> Any:
    return BlockingView(lambda: FileSessionStorage(folder / "viewed", **options))


def records(
    _: Path, *, clock: Callable[[], float] = time.time, ttl: float | None = None
) -> RecordStorage:
    return RecordStorage(DictEngine(), JSONCodec(), Lifetime(ttl, clock), 5)


def records_in_threads(
    _: Path, *, clock: Callable[[], float] = time.time, ttl: float | None = None
) -> BlockingRecordStorage:
    made = Records(DictEngine(waits=False), JSONCodec(), Lifetime(ttl, clock), 5, blocking=True)
    return BlockingRecordStorage(made, "records", "<records>")


STORAGES: dict[str, Make] = {
    "memory": memory,
    "file": files,
    "sqlite": sqlite,
    "view": view,
    "blocking view": blocking_view,
    "records": records,
    "records in threads": records_in_threads,
}
FACES = [(name, face) for name in STORAGES for face in ("itself", "sync")]
FACES.remove(("records", "sync"))


def answer(value: Any) -> Any:
    """What a sync or async method gives; in a loop, it is awaited."""
    if hasattr(value, "__await__"):
        return value

    async def later() -> Any:
        return value

    return later()


async def listed(entries: MaybeAsyncIterable[Entry]) -> list[Entry]:
    if isinstance(entries, AsyncIterable):
        return sorted([entry async for entry in entries])
    return sorted(entries)


@pytest.fixture(params=FACES, ids=str)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterable[Make]:
    name, face = request.param
    opened: list[Any] = []

    def make(**options: Any) -> Any:
        storage = STORAGES[name](tmp_path, **options)
        opened.append(storage)
        return storage if face == "itself" else storage.sync

    yield make
    for storage in opened:
        asyncio.run(answer_of_close(storage))


async def answer_of_close(storage: Any) -> None:
    await answer(storage.close())


def test_entries_come_back_with_their_expiry(make: Make) -> None:
    async def story() -> None:
        clock = FakeClock(1000.0)
        storage = make(clock=clock)
        left = await answer(
            storage.write_entries(
                [Entry("a", {"n": 1}, 2000.125), Entry("b/1", 0), Entry("b/2", [], 1500.0)]
            )
        )
        assert list(left) == []

        assert await listed(storage.iter_entries()) == [
            Entry("a", {"n": 1}, 2000.125),
            Entry("b/1", 0, None),
            Entry("b/2", [], 1500.0),
        ]
        assert await listed(storage.iter_entries("b/")) == [
            Entry("b/1", 0, None),
            Entry("b/2", [], 1500.0),
        ]
        assert await answer(storage.read_entries(["b/2", "a", "missing"])) == {
            "a": Entry("a", {"n": 1}, 2000.125),
            "b/2": Entry("b/2", [], 1500.0),
        }
        assert await answer(storage.read("a")) == {"n": 1}

        clock.advance(500)  # b/2 is gone at that instant
        assert [entry.key for entry in await listed(storage.iter_entries())] == ["a", "b/1"]
        assert list(await answer(storage.read_entries(["b/2", "b/1"]))) == ["b/1"]

    asyncio.run(story())


@pytest.mark.parametrize("made", [files, sqlite, records])
def test_a_listing_is_gone_through_one_by_one_or_in_pages(made: Make, tmp_path: Path) -> None:
    async def story() -> None:
        async with made(tmp_path) as storage:
            entries = sorted(Entry(str(number), number) for number in range(7))
            await storage.write_entries(entries)
            pages = [page async for page in storage.iter_entries().pages]
            assert sorted(entry for page in pages for entry in page) == entries
            listing = storage.iter_entries()
            first = await anext(listing)
            assert sorted([first, *[entry async for entry in listing]]) == entries
            left = storage.iter_entries()
            await anext(left)
            await left.aclose()
            assert await listed(left) == []

    asyncio.run(story())


def test_entries_go_by_the_timeout_of_the_storage_unless_they_have_one(make: Make) -> None:
    async def story() -> None:
        storage = make(clock=FakeClock(1000.0), ttl=60)
        await answer(storage.write("written", 1))
        await answer(storage.write_entries([Entry("own", 1, 5000.0), Entry("none", 1)]))

        assert await listed(storage.iter_entries()) == [
            Entry("none", 1, 1060.0),
            Entry("own", 1, 5000.0),
            Entry("written", 1, 1060.0),
        ]

    asyncio.run(story())


def test_what_is_there_is_left_alone_unless_something_else_is_expected(make: Make) -> None:
    async def story() -> None:
        clock = FakeClock(1000.0)
        storage = make(clock=clock)
        await answer(storage.write("old", "theirs"))
        await answer(storage.write_entries([Entry("passing", "theirs", 1001.0)]))
        clock.advance(2)

        mine = [Entry("old", "mine"), Entry("new", "mine"), Entry("passing", "mine")]
        assert list(await answer(storage.write_entries(mine))) == ["old"]
        assert {key: value for key, value, _ in await listed(storage.iter_entries())} == {
            "old": "theirs",
            "new": "mine",
            "passing": "mine",
        }

        assert list(await answer(storage.write_entries(mine, ANY))) == []
        assert await answer(storage.read("old")) == "mine"

        _, revision = await answer(storage.read_with_revision("old"))
        assert list(await answer(storage.write_entries([Entry("old", 1)], revision))) == []
        assert list(await answer(storage.write_entries([Entry("old", 2)], revision))) == ["old"]
        assert await answer(storage.read("old")) == 1
        with pytest.raises(SessionConflictError):
            await answer(storage.write_if("old", 3, revision))

    asyncio.run(story())


def test_a_value_that_cannot_be_stored_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        for name in ("file", "sqlite"):
            async with STORAGES[name](tmp_path) as storage:
                with pytest.raises(SessionEncodeError):
                    await storage.write_entries([Entry("a", {1, 2})])
                assert await listed(storage.iter_entries()) == []

    asyncio.run(story())


def test_one_transaction_stores_all_entries_or_none(tmp_path: Path) -> None:
    async def story() -> None:
        async with SQLiteSessionStorage(tmp_path / "bot.db") as storage:
            with pytest.raises(ValueError, match="NaN"):
                await storage.write_entries([Entry("a", 1), Entry("b", 1, float("nan"))])
            assert await listed(storage.iter_entries()) == []

    asyncio.run(story())


def test_a_damaged_value_is_left_out_of_a_listing_and_reported(tmp_path: Path) -> None:
    async def story() -> None:
        async with FileSessionStorage(tmp_path) as storage:
            await storage.write("good", 1)
            await storage.write("bad", 1)
            tmp_path.joinpath("ad", "bad.json").write_text("{")
            found: list[Entry] = []
            with pytest.raises(SessionListingError) as caught:
                async for entry in storage.iter_entries():
                    found.append(entry)
            assert (found, caught.value.keys) == ([Entry("good", 1)], ("bad",))
            with pytest.raises(SessionDecodeError):
                await storage.read_entries(["bad"])

    asyncio.run(story())


def test_entries_that_an_engine_cannot_write_are_named() -> None:
    async def story() -> None:
        engine = DictEngine()
        engine.failure = SessionError("the disk is full")
        storage = RecordStorage(engine, JSONCodec(), Lifetime(None, time.time), 5)
        with pytest.raises(SessionWriteError, match="2 of 2 values could not be written") as caught:
            await storage.write_entries([Entry("a", 1), Entry("b", 1)])
        assert caught.value.failed == ("a", "b")
        await storage.close()

    asyncio.run(story())


def test_an_enhancer_tells_the_end_to_storages_of_its_clock(make: Make) -> None:
    async def story() -> None:
        clock = FakeClock(1000.0)
        storage = make(clock=clock)
        keeps_ends = getattr(storage, "supports_expiry", False)
        for other_clock in (False, True):
            options: Any = {} if other_clock else {"clock": clock}
            enhanced: Any = enhance_storage(storage, ttl=60, **options)
            await answer(enhanced.write("a", {"n": 1}))

            (entry,) = await listed(storage.iter_entries())
            assert entry.expires == (1060 if keeps_ends and not other_clock else None)
            assert await answer(enhanced.read("a")) == {"n": 1}

    asyncio.run(story())
