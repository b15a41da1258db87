"""A storage that tells what was asked of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import (
    FileSessionStorage,
    MemorySessionStorage,
    SQLiteSessionStorage,
    enhance_storage,
    session,
)
from sessionkit._locks.table import locks_of
from sessionkit.protocols import ANY, Storage
from sessionkit.testing._ops import OPTIONAL, Op
from sessionkit.testing.clock import FakeClock
from sessionkit.testing.context import FakeContext
from sessionkit.testing.recording import RecordingStorage
from tests.enhanced import Full, Listed, ListedAsync, Plain, PlainAsync, listed

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Pizza:
    count: int = 0


sessions = session(Pizza)


async def on_pizza(ctx: FakeContext[Pizza]) -> None:
    ctx.session.count += 1


async def on_hunger(ctx: FakeContext[Pizza]) -> int:
    return ctx.session.count


async def on_reset(ctx: FakeContext[Pizza | None]) -> None:
    ctx.session = None


@pytest.mark.parametrize("make", [MemorySessionStorage, Plain, PlainAsync])
def test_it_tells_what_a_handler_read_wrote_and_deleted(make: Any) -> None:
    async def main() -> None:
        storage = RecordingStorage(make())
        recorded = sessions.with_storage(storage)
        ctx = FakeContext(chat_id=1)

        await recorded(ctx, on_pizza)
        assert storage.reads == ["1"]
        assert storage.writes == [("1", {"count": 1})]

        await recorded(ctx, on_reset)
        assert storage.deletes == ["1"]

    asyncio.run(main())


def test_nothing_is_written_where_nothing_changed() -> None:
    storage = RecordingStorage()

    asyncio.run(sessions.with_storage(storage)(FakeContext(chat_id=1), on_hunger))

    assert storage.writes == []
    assert repr(storage.calls) == "[read_with_revision('1')]"


def test_it_forgets_when_asked() -> None:
    storage = RecordingStorage()
    storage.write("1", {"count": 1})

    storage.clear()

    assert storage.calls == []
    assert storage.read("1") == {"count": 1}


def test_calls_compare_and_read_as_python() -> None:
    storage = RecordingStorage(Full())

    storage.write_if("1", {"n": 1}, None)
    storage.write_if("1", {"n": 2}, ANY, expires=5.0)
    list(storage.iter_keys())

    assert storage.calls[0] == Op("write_if", ("1", {"n": 1}, None))
    assert repr(storage.calls) == (
        "[write_if('1', {'n': 1}, None), write_if('1', {'n': 2}, ANY, expires=5.0), iter_keys('')]"
    )


def test_each_method_counts_as_what_it_does() -> None:
    storage = RecordingStorage(Full())

    storage.write("1", 1)
    storage.write_many({"2": 2, "3": 3})
    storage.write_if("4", 4, None)
    storage.read("1")
    storage.read_many(["2", "5"])
    storage.read_with_revision("4")
    storage.has("1")
    storage.write_if("4", None, ANY)
    storage.delete("1")

    assert storage.writes == [("1", 1), ("2", 2), ("3", 3), ("4", 4)]
    assert storage.reads == ["1", "2", "5", "4"]
    assert storage.deletes == ["4", "1"]


def test_a_call_tells_its_keys() -> None:
    storage = RecordingStorage(Full())

    storage.write_many({"2": 2, "3": 3})
    storage.has("4")
    storage.iter_keys("5")

    assert [call.keys for call in storage.calls] == [("2", "3"), ("4",), ()]


def test_what_failed_is_recorded_too() -> None:
    class Broken(Plain):
        def write(self, key: str, value: Any) -> None:
            raise OSError("disk full")

    storage = RecordingStorage(Broken())

    with pytest.raises(OSError, match="disk full"):
        storage.write("1", 5)

    assert storage.writes == [("1", 5)]


def test_what_was_recorded_stays_as_it_was() -> None:
    storage = RecordingStorage()
    value, batch = {"n": [1]}, {"2": {"n": [2]}}

    storage.write("1", value)
    storage.write_many(batch)
    value["n"].append(5)
    batch["2"]["n"].append(5)

    assert storage.writes == [("1", {"n": [1]}), ("2", {"n": [2]})]


def test_values_reach_the_storage_inside_as_they_are() -> None:
    inside = Plain()
    value = {"n": 1}

    RecordingStorage(inside).write("1", value)

    assert inside.stored["1"] is value


class Uncopyable:
    def __deepcopy__(self, memo: object) -> Any:
        raise TypeError("a revision is the storage's own")


def test_revisions_are_never_copied() -> None:
    class Revised(Full):
        def write_if(self, key: str, value: Any, expected: Any, **options: Any) -> Any:
            return expected

        def renew(self, key: str, revision: Any) -> Any:
            return revision

    storage, revision = RecordingStorage(Revised()), Uncopyable()

    assert storage.write_if("1", 5, revision) is revision
    assert storage.renew("1", revision) is revision


# It can do what the storage inside can, and nothing else.


def offered(storage: object) -> set[str]:
    return {name for name in (*OPTIONAL, "sync") if hasattr(storage, name)}


@pytest.mark.parametrize(
    "inside",
    [
        MemorySessionStorage(),
        Plain(),
        Listed(),
        Full(),
        enhance_storage(Plain(), ttl=5),
        enhance_storage(Full(), ttl=5, sliding=True),
    ],
    ids=["memory", "plain", "listed", "full", "plain with a ttl", "full with a ttl"],
)
def test_it_has_the_capabilities_of_the_storage_inside(inside: Storage[Any]) -> None:
    storage = RecordingStorage(inside)

    assert offered(storage) == offered(inside) == storage.capabilities
    assert RecordingStorage.__name__ in repr(storage)


def test_a_missing_capability_is_a_missing_attribute() -> None:
    with pytest.raises(AttributeError, match="'RecordingStorage' object has no attribute 'touch'"):
        RecordingStorage(Plain()).touch("1")
    with pytest.raises(AttributeError, match="has no attribute 'sync'"):
        _ = RecordingStorage(Plain()).sync


def test_every_method_gives_the_answer_of_the_storage_inside() -> None:
    clock = FakeClock()
    storage = RecordingStorage(MemorySessionStorage(ttl=60, clock=clock))

    storage.write("1", 1)
    storage.write_many({"2": 2})
    assert storage.has("1")
    assert listed(storage.iter_keys()) == ["1", "2"]
    assert listed(storage.iter_items("2")) == [("2", 2)]
    assert storage.read_many(["1", "3"]) == {"1": 1}
    value, revision = storage.read_with_revision("2")
    storage.write_if("2", value + 3, revision)
    assert storage.read("2") == 5
    clock.advance(59)
    assert storage.touch("1")
    clock.advance(1)
    assert storage.purge_expired() == 1
    storage.delete("1")
    assert listed(storage.iter_keys()) == []
    storage.close()

    methods = {call.method for call in storage.calls}
    assert methods == storage.capabilities - {"sync"} | {"read", "write", "delete"}


def test_an_enhanced_storage_keeps_its_own_methods() -> None:
    clock = FakeClock()
    enhanced = enhance_storage(Plain(), ttl=100, sliding=True, clock=clock)
    storage = RecordingStorage(enhanced)
    recorded = sessions.with_storage(storage)

    async def main() -> None:
        await recorded(FakeContext(chat_id=1), on_pizza)
        clock.advance(60)
        await recorded(FakeContext(chat_id=1), on_hunger)
        clock.advance(60)
        assert await recorded(FakeContext(chat_id=1), on_hunger) == 1

    asyncio.run(main())

    assert storage.reads == ["1", "1", "1"]
    assert [call.method for call in storage.calls][-1] == "renew"


def test_async_storages_are_waited_for() -> None:
    async def main() -> None:
        storage = RecordingStorage(ListedAsync())

        await storage.write("1", 5)
        assert await storage.read("1") == 5
        assert [item async for item in storage.iter_items()] == [("1", 5)]

    asyncio.run(main())


DECLARATIONS = ("isolated", "settles", "any_value", "identity", "supports_expiry")


def declared(storage: object) -> dict[str, Any]:
    return {name: getattr(storage, name, "nothing") for name in DECLARATIONS}


def test_it_declares_what_the_storage_inside_does(tmp_path: Path) -> None:
    with FileSessionStorage(tmp_path) as file:
        for inside in (MemorySessionStorage(), file, Plain(), enhance_storage(Plain())):
            assert declared(RecordingStorage(inside)) == declared(inside)


def test_it_tells_the_clock_that_expiries_are_kept_by() -> None:
    clock = FakeClock()
    inside = MemorySessionStorage(clock=clock)
    enhanced = enhance_storage(RecordingStorage(inside), ttl=60, clock=clock)

    enhanced.write("1", 5)
    clock.advance(60)

    assert inside.read("1") is None  # it was given the expiry


def test_it_shares_locks_with_the_storage_inside() -> None:
    inside = MemorySessionStorage()

    assert locks_of(RecordingStorage(inside)) is locks_of(inside)


def test_what_threads_do_is_recorded_as_well(tmp_path: Path) -> None:
    def in_a_thread(storage: Any) -> None:
        with sessions.with_storage(storage).open(1) as s:
            s.data.count += 1

    async def main() -> None:
        async with SQLiteSessionStorage(tmp_path / "bot.db") as inside:
            storage = RecordingStorage(inside)
            await asyncio.to_thread(in_a_thread, storage)

            assert storage.writes == [("1", {"count": 1})]
            assert await storage.read("1") == {"count": 1}
            assert storage.reads == ["1", "1"]
            assert storage.sync is storage.sync
            assert storage.sync.sync is storage.sync
            assert not hasattr(storage.sync, "no_such_method")

    asyncio.run(main())


def test_a_view_declares_what_the_view_inside_does() -> None:
    class View(Plain):
        isolated = True

    class WithView(PlainAsync):
        settles = True
        sync = View()

    view = RecordingStorage(WithView()).sync

    assert declared(view) == declared(View())


def test_the_view_of_a_blocking_storage_is_itself() -> None:
    storage = RecordingStorage()

    assert storage.sync is storage


def test_a_session_over_it_takes_no_short_cut() -> None:
    storage = RecordingStorage()

    assert not hasattr(storage, "keeps_frozen")
    assert not hasattr(storage, "read_snapshot")


def test_it_takes_nothing_but_storages() -> None:
    nothing: Any = "sqlite:///bot.db"

    with pytest.raises(TypeError, match="is not a storage"):
        RecordingStorage(nothing)
