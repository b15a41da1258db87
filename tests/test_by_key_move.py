"""Moving data to another key, inside an update and outside."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sessionkit import (
    NoInitialDataError,
    SessionClosedError,
    SessionConflictError,
    SessionReentrancyError,
    session,
)
from tests.core import (
    Ctx,
    Live,
    Lock,
    Oops,
    Pet,
    Remote,
    add,
    counters,
    free,
    run,
    total,
)

Data = dict[str, Any]


# Moving


@pytest.mark.parametrize("way", [("-5", "-100"), ("-100", "-5")])
def test_moving_takes_the_data_along(storage: Any, way: tuple[str, str]) -> None:
    async def main() -> None:
        old, new = way
        sessions = counters(storage, prefix="p-")
        storage.sync.write(f"p-{old}", {"n": 5})
        assert await sessions.move(old, new)
        assert storage.sync.read(f"p-{old}") is None
        assert storage.sync.read(f"p-{new}") == {"n": 5}
        assert not await sessions.move(old, new)
        assert not await sessions.move(new, new)
        assert await sessions.get(new) == {"n": 5}
        assert free(sessions)

    run(main())


@pytest.mark.parametrize("way", [("1", "2"), ("2", "1")])
def test_moving_onto_data_needs_a_merge(storage: Any, way: tuple[str, str]) -> None:
    async def main() -> None:
        old, new = way
        sessions = counters(storage)
        storage.sync.write(old, {"n": 5})
        storage.sync.write(new, {"n": 10})
        with pytest.raises(SessionConflictError, match="both have data: give") as caught:
            await sessions.move(old, new)
        assert caught.value.key == new
        assert await sessions.get(old) == {"n": 5}
        seen: list[Any] = []

        async def merge(theirs: Data, mine: Data) -> Data:
            seen.append((theirs, mine))
            return total(theirs, mine)

        assert await sessions.move(old, new, merge)  # type: ignore[arg-type]  # may be async, too
        assert seen == [({"n": 10}, {"n": 5})]
        assert await sessions.get(new) == {"n": 15}
        assert storage.sync.read(old) is None

    run(main())


@pytest.mark.parametrize("save_on_error", [False, True])
def test_a_move_that_fails_loses_nothing(save_on_error: bool) -> None:
    def fail(theirs: Data, mine: Data) -> Data:
        theirs["n"] = -1
        raise Oops

    def forget(theirs: Data, mine: Data) -> Any:
        theirs["n"] += mine["n"]

    async def main() -> None:
        for merge, error in ((fail, Oops), (forget, TypeError), (total, OSError)):
            storage = Remote(**{"1": {"n": 5}, "2": {"n": 10}})
            if merge is total:
                storage.fail("write")
            sessions = counters(storage, save_on_error=save_on_error)
            with pytest.raises(error):
                await sessions.move(1, 2, merge)
            assert (storage.value("1"), storage.value("2")) == ({"n": 5}, {"n": 10})
            with pytest.raises(error):
                async with sessions.open(1) as opened:
                    storage.fail("write")
                    await opened.move(2, merge)
            assert free(sessions)
            assert (storage.value("1"), storage.value("2")) == ({"n": 5}, {"n": 10})
        storage = Remote(**{"1": {"n": 5}})
        storage.fail("write", 2)
        with pytest.raises(OSError, match="write failed"):
            await counters(storage, save_on_error=save_on_error).move(1, 2)
        assert (storage.value("1"), storage.value("2")) == ({"n": 5}, {"n": 5})

    run(main())


def test_moving_takes_fields_along_that_the_type_does_not_know(storage: Any) -> None:
    async def main() -> None:
        sessions = session(Pet, storage=storage)
        storage.sync.write("1", {"name": "Rex", "new": 1})
        await sessions.move(1, 2)
        assert storage.sync.read("2") == {"name": "Rex", "age": 0, "new": 1}
        storage.sync.write("3", {"name": "Max", "newer": 2})
        async with sessions.open(3) as opened:
            await opened.move(2, lambda theirs, mine: Pet(mine.name, 9))
            opened.data.age += 1
        assert storage.sync.read("2") == {"name": "Max", "age": 10, "new": 1}
        storage.sync.write("4", {"name": "Old"})
        await sessions.move(2, 4, lambda theirs, mine: mine)
        assert storage.sync.read("4") == {"name": "Max", "age": 10, "new": 1}

    run(main())


def test_an_open_session_moves_and_goes_on_under_its_new_key(storage: Any) -> None:
    async def main() -> None:
        sessions = counters(storage)
        storage.sync.write("1", {"n": 5})

        async def handler(ctx: Ctx) -> None:
            opened = sessions.of(ctx)
            ctx.session["n"] += 1
            await opened.move(1)
            await opened.move(2)
            assert opened.key == "2"
            assert storage.sync.read("1") is None
            assert storage.sync.read("2") == {"n": 6}
            with pytest.raises(SessionReentrancyError):
                await sessions.update(2, add)
            await sessions.update(1, add)
            ctx.session["n"] += 1

        await sessions(Ctx(), handler)
        assert await sessions.get(1) == {"n": 1}
        assert await sessions.get(2) == {"n": 7}
        assert free(sessions)

    run(main())


def test_a_session_without_data_goes_on_with_what_is_there(storage: Any) -> None:
    async def main() -> None:
        sessions = counters(storage)
        storage.sync.write("2", {"n": 5})
        async with sessions.open(1) as opened:
            await opened.move(2)
            assert opened.data == {"n": 5}
            opened.data["n"] += 1
        assert storage.sync.read("1") is None
        assert await sessions.get(2) == {"n": 6}
        bare = session(storage=storage, prefix="bare-")
        async with bare.open(1) as empty:
            await empty.move(2)
            with pytest.raises(NoInitialDataError):
                _ = empty.data

    run(main())


def test_unsaved_first_data_and_unsaved_deletion_move_as_well(storage: Any) -> None:
    async def main() -> None:
        sessions = counters(storage)
        async with sessions.open(1) as opened:
            opened.data["n"] = 1
            await opened.move(2)
        assert await sessions.get(2) == {"n": 1}
        async with sessions.open(2) as opened:
            del opened.data
            await opened.move(3)
            assert opened.data == {"n": 0}
        assert storage.sync.read("2") is None
        assert storage.sync.read("3") is None

    run(main())


def test_a_move_in_a_handler_stays_even_if_the_handler_fails(storage: Any) -> None:
    async def main() -> None:
        sessions = counters(storage)
        storage.sync.write("1", {"n": 5})
        with pytest.raises(Oops):
            async with sessions.open(1) as opened:
                await opened.move(2)
                opened.data["n"] = 9
                raise Oops
        assert storage.sync.read("1") is None
        assert await sessions.get(2) == {"n": 5}
        assert free(sessions)

    run(main())


def test_a_failing_move_leaves_the_session_where_it_was() -> None:
    async def main() -> None:
        storage = Remote(**{"1": {"n": 5}})
        sessions = counters(storage)
        async with sessions.open(1) as opened:
            storage.fail("read")
            with pytest.raises(OSError, match="read failed"):
                await opened.move(2)
            storage.fail("write", 2)
            with pytest.raises(OSError, match="write failed"):
                await opened.move(2)
            assert opened.key == "1"
            assert opened.data == {"n": 5}
            opened.data["n"] = 6
        assert (storage.value("1"), storage.value("2")) == ({"n": 6}, {"n": 5})
        assert free(sessions)

    run(main())


def test_moving_hands_the_users_lock_over_even_if_the_old_one_sticks() -> None:
    async def main() -> None:
        lock = Lock()
        sessions = counters(Remote(**{"1": {"n": 5}}), lock=lock)
        async with sessions.open(1) as opened:
            await opened.move(2)
        assert lock.log == [
            ("acquire", "1"),
            ("acquire", "2"),
            ("release", "1"),
            ("release", "2"),
        ]
        async with sessions.open(2) as opened:
            lock.fail_on = "release"
            with pytest.raises(OSError, match="release failed"):
                await opened.move(3)
            lock.fail_on = ""
            assert opened.key == "3"
        assert await sessions.get(3) == {"n": 5}
        assert free(sessions)

    run(main())


def test_moving_without_locks_and_in_debug_mode() -> None:
    async def main() -> None:
        sessions = counters(Live(**{"1": {"n": 5}}), lock=False, debug=True)
        async with sessions.open(1) as opened:
            await opened.move(2)
            opened.data["n"] += 1
        assert await sessions.get(2) == {"n": 6}
        assert free(sessions)

    run(main())


# Others who write meanwhile


def meddling(storage: Remote, meddle: dict[str, int], times: int = 1) -> Any:
    """A merge function while which another process writes."""
    left = [times]

    def merge(theirs: Data, mine: Data) -> Data:
        if left[0]:
            left[0] -= 1
            for key, n in meddle.items():
                storage.put(key, {"n": n})
        return {"n": theirs["n"] + mine["n"]}

    return merge


def take_mine(_base: Any, _theirs: Any, mine: Any) -> Any:
    return mine


@pytest.mark.parametrize("on_conflict", ["raise", take_mine])
def test_what_is_written_to_the_old_key_meanwhile_is_moved_once(on_conflict: Any) -> None:
    async def main() -> None:
        storage = Remote(**{"1": {"n": 100}, "2": {"n": 1}})
        sessions = counters(storage, on_conflict=on_conflict)
        assert await sessions.move(1, 2, meddling(storage, {"1": 101}))
        assert (storage.value("1"), storage.value("2")) == (None, {"n": 102})
        assert free(sessions)

    run(main())


def test_a_clash_without_end_leaves_both_keys_as_others_left_them() -> None:
    async def main() -> None:
        storage = Remote(**{"1": {"n": 100}, "2": {"n": 1}})
        sessions = counters(storage)
        with pytest.raises(SessionConflictError, match="both have what they had"):
            await sessions.move(1, 2, meddling(storage, {"1": 101}, times=1000))
        assert (storage.value("1"), storage.value("2")) == ({"n": 101}, {"n": 1})

    run(main())


def test_an_open_session_whose_move_clashes_goes_on_where_it_was() -> None:
    async def main() -> None:
        storage = Remote(**{"1": {"n": 100}})
        sessions = counters(storage)

        async def meddle() -> None:
            await storage.begun.wait()
            storage.put("1", {"n": 101})
            storage.gates.pop("write").set()

        with pytest.raises(Oops):
            async with sessions.open(1) as opened:
                storage.gates["write"] = asyncio.Event()
                task = asyncio.create_task(meddle())
                with pytest.raises(SessionConflictError, match="nothing was moved"):
                    await opened.move(2)
                await task
                assert (opened.key, opened.data) == ("1", {"n": 100})
                raise Oops
        assert (storage.value("1"), storage.value("2")) == ({"n": 101}, None)
        assert free(sessions)

    run(main())


def test_a_move_that_cannot_be_undone_says_that_the_data_is_in_both_places() -> None:
    async def main() -> None:
        storage = Remote(**{"1": {"n": 100}, "2": {"n": 1}})
        sessions = counters(storage)
        storage.fail("write", call=3)
        with pytest.raises(SessionConflictError, match="in both places"):
            await sessions.move(1, 2, meddling(storage, {"1": 101}))
        assert (storage.value("1"), storage.value("2")) == ({"n": 101}, {"n": 101})

    run(main())


def test_a_deletion_of_unknown_outcome_is_reported_with_the_error() -> None:
    async def main() -> None:
        storage = Remote(**{"1": {"n": 100}})
        sessions = counters(storage)
        storage.fail("write", call=2)
        with pytest.raises(OSError, match="write failed") as caught:
            await sessions.move(1, 2)
        assert "stored under '2'" in caught.value.__notes__[0]
        assert storage.value("2") == {"n": 100}

    run(main())


@pytest.mark.parametrize("lock", [True, Lock()])
def test_a_move_that_outlives_its_session_takes_no_key(lock: Any) -> None:
    async def main() -> None:
        storage = Remote(**{"1": {"n": 100}})
        sessions = counters(storage, lock=lock)
        async with sessions.open(1) as opened:
            storage.gates["write"] = asyncio.Event()
            task = asyncio.create_task(opened.move(2))
            await storage.begun.wait()
        storage.gates.pop("write").set()
        await task
        assert (storage.value("1"), storage.value("2")) == (None, {"n": 100})
        assert free(sessions)
        assert (await sessions.get(2)) == {"n": 100}

    run(main())


def test_a_session_that_moves_while_it_is_paused_goes_on_under_its_new_key() -> None:
    async def main() -> None:
        storage = Remote(**{"1": {"n": 100}})
        sessions = counters(storage)
        async with sessions.open(1) as opened:
            storage.gates["write"] = asyncio.Event()
            task = asyncio.create_task(opened.move(2))
            await storage.begun.wait()
            asyncio.get_running_loop().call_soon(storage.gates.pop("write").set)
            async with opened.paused():
                await task
                assert not sessions._settings.locks.held
                with pytest.raises(SessionClosedError, match="is paused"):
                    _ = opened.data
            assert (opened.key, opened.data) == ("2", {"n": 100})
        assert free(sessions)

    run(main())
