"""Sessions outside an update: get, update, delete, exists, open_many, keys, items and count."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from sessionkit import (
    InvalidSessionKeyError,
    MemorySessionStorage,
    NoInitialDataError,
    NoSessionKeyError,
    SessionConflictError,
    SessionEncodeError,
    SessionError,
    SessionListingError,
    SessionReentrancyError,
    SessionWriteError,
    enhance_storage,
    session,
)
from tests.core import (
    Clocked,
    Ctx,
    Live,
    Lock,
    Oops,
    Pet,
    Remote,
    add,
    counters,
    free,
    listed,
    run,
)

Data = dict[str, Any]


# get, update, delete


def test_get_looks_by_key_or_context_without_lock_or_write() -> None:
    async def main() -> None:
        storage = Remote(**{"p-1": {"n": 5}})
        sessions = counters(storage, prefix="p-")
        async with sessions.open(1) as opened:
            opened.data["n"] = 6
            for found in (sessions.get(1), sessions.get("1"), sessions.get(key=1)):
                assert await found == {"n": 5}
            assert await sessions.get(Ctx(1)) == {"n": 5}
        assert await sessions.get(2) == {"n": 0}
        assert storage.count("write") == 1
        with pytest.raises(NoSessionKeyError):
            await sessions.get(Ctx(None))
        with pytest.raises(NoSessionKeyError, match="None is not a session key"):
            await sessions.get()
        with pytest.raises(NoInitialDataError):
            await session(storage=Remote()).get(1)

    run(main())


def test_update_reads_changes_and_writes(storage: Any) -> None:
    async def slowly(data: Data) -> Data:
        await asyncio.sleep(1)
        data["n"] += 10
        return data

    async def main() -> None:
        sessions = counters(storage)
        assert await sessions.update(1, add) == {"n": 1}
        assert await sessions.update("1", slowly) == {"n": 11}
        assert await sessions.get(1) == {"n": 11}
        assert await sessions.update(2, lambda data: data) == {"n": 0}
        assert storage.sync.read("2") is None
        assert free(sessions)

    asyncio.run(main())


def test_update_takes_a_context_as_well() -> None:
    async def main() -> None:
        sessions = counters(prefix="p-")
        assert await sessions.update(Ctx(1), add) == {"n": 1}
        assert await asyncio.to_thread(sessions.sync.update, Ctx(1), add) == {"n": 2}
        assert await sessions.get(1) == {"n": 2}
        with pytest.raises(NoSessionKeyError):
            await sessions.update(Ctx(None), add)
        with pytest.raises(NoSessionKeyError):
            await asyncio.to_thread(sessions.sync.update, Ctx(None), add)

    asyncio.run(main())


@pytest.mark.parametrize("kind", [Remote, MemorySessionStorage])
def test_update_tries_again_when_others_were_quicker(kind: Any) -> None:
    storage = kind()
    write = storage.put if kind is Remote else storage.write
    write("1", {"n": 0})
    seen: list[int] = []

    def change(data: Data) -> Data:
        seen.append(data["n"])
        if len(seen) < 4:
            write("1", {"n": data["n"] + 10})
        data["n"] += 1
        return data

    async def main() -> None:
        sessions = counters(storage, on_conflict="overwrite", save_on_error=True)
        assert await sessions.update(1, change) == {"n": 31}
        assert seen == [0, 10, 20, 30]
        assert await sessions.get(1) == {"n": 31}
        assert free(sessions)

    run(main())


def test_update_gives_up_after_a_hundred_clashes() -> None:
    storage = Remote(**{"1": {"n": 0}})

    def change(data: Data) -> Data:
        storage.put("1", {"n": data["n"] + 1})
        return {"n": -1}

    async def main() -> None:
        sessions = counters(storage)
        with pytest.raises(SessionConflictError):
            await sessions.update(1, change)
        assert storage.value("1") == {"n": 100}
        assert free(sessions)

    run(main())


def test_update_writes_nothing_if_its_function_fails_or_forgets_to_return() -> None:
    def fail(data: Data) -> Data:
        data["n"] = 9
        raise Oops

    def forget(data: Data) -> Any:
        data["n"] = 9

    calls: list[int] = []

    def clash(data: Data) -> Data:
        calls.append(1)
        raise SessionConflictError("of another session")

    async def main() -> None:
        storage = Remote(**{"1": {"n": 0}})
        sessions = counters(storage, save_on_error=True)
        with pytest.raises(Oops):
            await sessions.update(1, fail)
        with pytest.raises(TypeError, match="returned None: return the data; to delete, delete"):
            await sessions.update(1, forget)
        with pytest.raises(SessionConflictError, match="of another session"):
            await sessions.update(1, clash)
        assert len(calls) == 1
        with pytest.raises(SessionEncodeError):
            await sessions.update(1, lambda data: {"n": object()})
        assert storage.count("write") == 0
        assert free(sessions)

    run(main())


@pytest.mark.parametrize("key", ["", True, 1.5, b"1", ("1",)])
def test_a_key_of_a_wrong_type_or_empty_is_refused(key: Any) -> None:
    async def main() -> None:
        sessions = counters()
        with pytest.raises(InvalidSessionKeyError, match="must be a non-empty str or an int"):
            await sessions.update(key, add)
        with pytest.raises(InvalidSessionKeyError):
            await sessions(Ctx(key), lambda ctx: None)

    run(main())


def test_delete_removes_whatever_is_stored_and_needs_no_read() -> None:
    async def main() -> None:
        storage = Remote(**{"p-1": "not a pet", "p-2": {"n": 1}, "3": {"n": 1}})
        sessions = counters(storage, prefix="p-")
        await sessions.delete(1)
        await sessions.delete(Ctx(2))
        await sessions.delete(key=3)
        assert list(storage.values) == ["3"]
        assert storage.count("read") == 0
        storage.fail("write")
        with pytest.raises(OSError, match="write failed"):
            await sessions.delete(1)
        with pytest.raises(NoSessionKeyError):
            await sessions.delete(Ctx(None))
        assert free(sessions)

    run(main())


def test_delete_waits_for_the_key() -> None:
    async def main() -> None:
        sessions = counters()
        async with sessions.open(1) as opened:
            opened.data["n"] = 5
            with pytest.raises(SessionReentrancyError):
                await sessions.delete(1)
            job = asyncio.create_task(sessions.delete(1))
            await asyncio.sleep(1)
            assert not job.done()
        await job
        assert await sessions.get(1) == {"n": 0}

    run(main())


# Several at once


def test_open_many_gives_sessions_in_the_given_order(storage: Any) -> None:
    async def main() -> None:
        sessions = counters(storage)
        await sessions.update(9, lambda _: {"n": 9})
        async with sessions.open_many(9, "10", 1) as (nine, ten, one):
            assert (nine.key, ten.key, one.key) == ("9", "10", "1")
            nine.data["n"] -= 5
            ten.data["n"] += 5
            assert one.is_new
        assert [await sessions.get(key) for key in (9, 10)] == [{"n": 4}, {"n": 5}]
        assert storage.sync.read("1") is None
        async with sessions.open_many() as none:
            assert none == ()
        assert free(sessions)

    run(main())


def test_transfers_in_both_directions_never_deadlock(storage: Any) -> None:
    async def main() -> None:
        sessions = counters(storage)

        async def transfer(source: int, target: int) -> None:
            async with sessions.open_many(source, target) as (one, other):
                await asyncio.sleep(0)
                one.data["n"] -= 1
                other.data["n"] += 1

        ways = [(1, 2), (2, 1), (2, 3), (3, 1), (1, 3)] * 4
        await asyncio.gather(*(transfer(*way) for way in ways))
        balances = [(await sessions.get(key))["n"] for key in (1, 2, 3)]
        assert balances == [0, -4, 4]
        assert free(sessions)

    asyncio.run(main())


def test_a_key_given_twice_is_refused() -> None:
    with pytest.raises(SessionReentrancyError, match=r"open_many\(\) was given 5 twice"):
        counters().open_many(5, 6, "5")


def test_an_error_or_a_mark_writes_none_of_many() -> None:
    async def main() -> None:
        storage = Remote()
        sessions = counters(storage)
        with pytest.raises(Oops):
            async with sessions.open_many(1, 2) as both:
                for opened in both:
                    opened.data["n"] = 1
                raise Oops
        assert storage.count("write") == 0
        async with sessions.open_many(1, 2) as (one, other):
            one.data["n"] = other.data["n"] = 1
            other.discard()
        assert list(storage.values) == ["1"]
        assert free(sessions)

    run(main())


def test_if_one_of_many_cannot_be_opened_none_is() -> None:
    async def main() -> None:
        storage, lock = Remote(), Lock()
        storage.fail("read", 2)
        sessions = counters(storage, lock=lock)
        with pytest.raises(OSError, match="read failed"):
            async with sessions.open_many(2, 1, 3):
                pass
        assert lock.log == [
            *(("acquire", key) for key in "123"),
            *(("release", key) for key in "123"),
        ]
        assert free(sessions)
        lock.fail_on = "acquire"
        with pytest.raises(OSError, match="acquire failed"):
            await sessions.open_many(1, 2).begin()
        assert free(sessions)

    run(main())


def test_if_one_of_many_cannot_be_encoded_none_is_written() -> None:
    async def main() -> None:
        storage = Remote()
        sessions = counters(storage)
        with pytest.raises(SessionEncodeError):
            async with sessions.open_many(1, 2) as (one, other):
                one.data["n"] = 1
                other.data["n"] = object()
        assert storage.count("write") == 0
        assert free(sessions)

    run(main())


def test_if_one_of_many_cannot_be_written_the_error_says_which_were() -> None:
    async def main() -> None:
        storage = Remote()
        sessions = counters(storage, prefix="p-")
        storage.fail("write", 2)
        with pytest.raises(SessionWriteError) as caught:
            async with sessions.open_many(1, 2, 3, 4) as many:
                for opened in many[:3]:
                    opened.data["n"] = 1
        assert caught.value.written == ("p-1", "p-3")
        assert caught.value.failed == ("p-2",)
        assert str(caught.value) == ("p-2 could not be written (write failed), but p-1, p-3 were")
        assert isinstance(caught.value.__cause__, OSError)
        assert sorted(storage.values) == ["p-1", "p-3"]
        assert free(sessions)

    run(main())


def test_if_nothing_was_written_the_error_itself_is_raised() -> None:
    async def main() -> None:
        storage = Remote()
        sessions = counters(storage)
        storage.fail("write")
        with pytest.raises(OSError, match="write failed"):
            async with sessions.open_many(1, 2) as (one, _):
                one.data["n"] = 1
        assert free(sessions)

    run(main())


def test_cancelled_while_many_are_written_waits_until_all_have_settled() -> None:
    async def main() -> None:
        storage = Remote()
        gate = storage.gates["write"] = asyncio.Event()
        sessions = counters(storage)

        async def both() -> None:
            async with sessions.open_many(1, 2) as many:
                for opened in many:
                    opened.data["n"] = 1

        task = asyncio.create_task(both())
        await storage.begun.wait()
        task.cancel()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not task.done()
        assert sorted(sessions._settings.locks.held) == ["1", "2"]
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sorted(storage.values) == ["1", "2"]
        assert free(sessions)

    run(main())


def test_every_lock_is_given_back_even_if_one_cannot_be() -> None:
    async def main() -> None:
        lock = Lock(fail_on="release")
        sessions = counters(lock=lock)
        with pytest.raises(OSError, match="release failed"):
            async with sessions.open_many(1, 2):
                pass
        assert free(sessions)

    run(main())


# Listing


def test_keys_and_items_leave_other_sessions_out(storage: Any) -> None:
    async def main() -> None:
        whole = counters(storage)
        prefixed = counters(storage, prefix="p-")
        deeper = counters(storage, prefix="p-q-")
        for sessions in (whole, prefixed, deeper):
            for key in (1, 2):
                await sessions.update(key, lambda data: {"n": 7})
        for sessions in (whole, prefixed, deeper):
            assert await listed(sessions.keys()) == ["1", "2"]
            assert sorted([item async for item in sessions.items()]) == [
                ("1", {"n": 7}),
                ("2", {"n": 7}),
            ]

    run(main())


def test_what_exists_is_counted_if_it_is_ones_own(storage: Any) -> None:
    async def main() -> None:
        whole, prefixed = counters(storage), counters(storage, prefix="p-")
        deeper = counters(storage, prefix="p-q-")
        assert [await each.count() for each in (whole, prefixed)] == [0, 0]
        for sessions, key in ((whole, 1), (prefixed, 1), (prefixed, 2), (deeper, 3)):
            await sessions.update(key, add)
        assert [await each.count() for each in (whole, prefixed, deeper)] == [1, 2, 1]
        for target, there in ((2, True), ("2", True), (Ctx(2), True), (3, False), (Ctx(3), False)):
            assert await prefixed.exists(target) is there
        assert await prefixed.exists(key=2)
        assert not await whole.exists(2)
        await prefixed.delete(2)
        assert not await prefixed.exists(2)
        assert await prefixed.count() == 1

    asyncio.run(main())


def test_what_has_expired_neither_exists_nor_counts() -> None:
    clock = Clocked()

    async def main() -> None:
        for ttl in (MemorySessionStorage(ttl=10, clock=clock), None):
            storage = ttl or enhance_storage(MemorySessionStorage(), ttl=10, clock=clock)
            sessions = counters(storage)
            await sessions.update(1, add)
            clock.now += 5
            await sessions.update(2, add)
            assert (await sessions.exists(1), await sessions.count()) == (True, 2)
            clock.now += 5
            assert (await sessions.exists(1), await sessions.count()) == (False, 1)

    run(main())


@pytest.mark.parametrize("falsy", [0, "", [], {}, False])
def test_whether_something_exists_takes_no_lock_and_is_asked_of_storages_that_know(
    falsy: Any,
) -> None:
    class Knowing(Remote):
        async def has(self, key: str, /) -> bool:
            self.calls.append(("has", key))
            return key in self.values

    async def main() -> None:
        for storage, asked in ((Knowing(), "has"), (Remote(), "read")):
            storage.put("1", falsy)
            sessions = counters(storage)
            async with sessions.open(1):
                storage.calls.clear()
                assert await sessions.exists(1)
            assert not await sessions.exists(2)
            assert storage.calls == [(asked, "1"), (asked, "2")]
            with pytest.raises(NoSessionKeyError):
                await sessions.exists(Ctx(None))
            storage.fail("read")
            if asked == "read":
                with pytest.raises(OSError, match="read failed"):
                    await sessions.exists(1)

    run(main())


def test_listing_gives_copies_and_decoded_data() -> None:
    class Listed(Live):
        async def iter_items(self, prefix: str) -> list[tuple[str, Any]]:
            return [(key, value) for key, value in self.values.items() if key.startswith(prefix)]

        async def iter_keys(self, prefix: str) -> Any:
            return (key for key in self.values if key.startswith(prefix))

    async def main() -> None:
        damaged = {"p-2": {"name": 5}, "3": 1, "p-4": {"name": "Max"}}
        storage = Listed(**{"p-1": {"name": "Rex"}, **damaged})
        sessions = session(Pet, storage=storage, prefix="p-")
        assert await listed(sessions.keys()) == ["1", "2", "4"]
        seen: list[Any] = []
        with pytest.raises(SessionListingError, match="p-2") as caught:
            async for key, pet in sessions.items():
                seen.append((key, pet))
                pet.name = "changed"
        assert seen == [("1", Pet("changed")), ("4", Pet("changed"))]
        assert caught.value.keys == ("p-2",)
        assert storage.values["p-1"] == {"name": "Rex"}

    run(main())


def test_listing_reports_only_ones_own_entries_that_the_storage_could_not_read() -> None:
    class Damaged(Live):
        async def iter_items(self, prefix: str) -> AsyncIterator[tuple[str, Any]]:
            yield "5", {"n": 1}
            raise SessionListingError("damaged", key="1", keys=("1", "8"))

    async def main() -> None:
        sessions = counters(Damaged())
        seen: list[Any] = []
        with pytest.raises(SessionListingError) as caught:
            async for item in sessions.items(chat=1):
                seen.append(item)
        assert (seen, caught.value.keys) == ([], ("1",))
        assert [item async for item in sessions.items(chat=5)] == [("5", {"n": 1})]

    run(main())


def test_a_storage_that_cannot_list_or_purge_is_named() -> None:
    async def main() -> None:
        sessions = counters(Live())
        with pytest.raises(TypeError, match=r"Live has no iter_keys\(\), which this needs"):
            await listed(sessions.keys())
        with pytest.raises(TypeError, match=r"Live has no iter_keys\(\), which this needs"):
            await sessions.count()
        with pytest.raises(TypeError, match=r"Live has no iter_items\(\)"):
            await listed(sessions.items(chat=1))
        with pytest.raises(TypeError, match=r"Live has no purge_expired\(\)"):
            await sessions.purge_expired()
        assert await counters(MemorySessionStorage()).purge_expired() == 0

    run(main())


# Threads


def test_everything_works_in_threads_as_well(storage: Any) -> None:
    sessions = counters(storage).sync
    assert sessions.update(1, add) == {"n": 1}
    with sessions.open(1) as opened:
        opened.data["n"] += 1
        with opened.paused():
            assert sessions.update(1, add) == {"n": 3}
        assert opened.data == {"n": 3}
    with sessions.open_many(1, 2) as (one, other):
        other.data["n"] = one.data["n"]
    assert sorted(sessions.keys()) == ["1", "2"]
    assert (sessions.exists(1), sessions.exists(Ctx(3)), sessions.count()) == (True, False, 2)
    sessions.delete(1)
    assert not sessions.exists(key=1)
    assert sessions.move(2, 1)
    assert dict(sessions.items()) == {"1": {"n": 3}}
    with pytest.raises(Oops), sessions.open_many(1, 2) as (one, other):
        one.data["n"] = other.data["n"] = 9
        raise Oops
    assert sessions.get(1) == {"n": 3}


def test_threads_cannot_use_a_storage_that_needs_a_loop() -> None:
    sessions = counters(Remote()).sync
    for use in (sessions.get, sessions.delete, sessions.exists):
        with pytest.raises(TypeError, match="Remote answers with an awaitable, which a thread"):
            use(1)
    with pytest.raises(TypeError, match="use 'async with'"), sessions.open_many(1, 2):
        pass


def test_blocking_where_a_loop_runs_is_refused() -> None:
    async def main() -> None:
        sessions = counters()
        for use in (sessions.sync.open_many(1), sessions.open_many(1), sessions.open(1)):
            with pytest.raises(RuntimeError, match="use 'async with'"), use:
                pass
        with pytest.raises(RuntimeError, match="use 'async with'"):
            sessions.sync.get(1)
        with suppress(SessionError):
            await sessions.get(1)

    run(main())


def test_debugging_watches_sessions_that_end_together(caplog: pytest.LogCaptureFixture) -> None:
    sessions = session(initial=lambda: {"n": 0}, debug=True)

    async def main() -> None:
        async with sessions.open_many(1, 2) as (one, two):
            kept = one.data
            two.data["n"] += 1
        kept["n"] = 5  # too late
        await sessions.get(1)
        await sessions.get(2)

    asyncio.run(main())

    assert [record.getMessage() for record in caplog.records if "'1'" in record.getMessage()]
    assert not [record for record in caplog.records if "'2'" in record.getMessage()]


class AtOnce:
    """A lock for ``lock=`` that threads can use."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def acquire(self, key: str) -> None:
        self.log.append(f"+{key}")

    def release(self, key: str, held: object) -> None:
        self.log.append(f"-{key}")


def test_an_outside_lock_is_held_for_an_update_and_for_many() -> None:
    lock = AtOnce()
    sessions = counters(MemorySessionStorage(), lock=lock)

    run(sessions.update(1, add))
    with sessions.sync.open_many(2, 1):
        assert lock.log == ["+1", "-1", "+1", "+2"]

    assert lock.log[4:] == ["-2", "-1"]


def test_items_of_an_enhanced_storage_are_data() -> None:
    async def main() -> None:
        sessions = counters(enhance_storage(MemorySessionStorage(), ttl=60))
        await sessions.update(1, add)
        assert await listed(sessions.items()) == [("1", {"n": 1})]

    run(main())


def test_initial_data_that_cannot_be_stored_names_the_key() -> None:
    async def main() -> None:
        unsound: Any = counters(initial=lambda: {1: 2})
        with pytest.raises(SessionEncodeError) as caught:
            await unsound.get(5)
        assert caught.value.key == "5"

    run(main())
