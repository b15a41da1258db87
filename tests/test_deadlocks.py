"""Waiting that would never end is refused at once, in the same handler and between handlers."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit._drive import run_sync
from sessionkit._locks.table import KeyLocks, disown, own
from sessionkit._locks.whereabouts import open_here
from sessionkit.errors import SessionDeadlockError, SessionLockTimeoutError, SessionReentrancyError
from tests.clocks import FakeTimeLoop
from tests.lock_users import Session, clean_table, run, thread, until_waiting, update, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def locks() -> Iterator[KeyLocks]:
    with clean_table() as table:
        yield table


# Reentrancy


def test_opening_a_key_again_in_the_same_handler_is_refused_at_once(locks: KeyLocks) -> None:
    async def main() -> None:
        async with Session(locks, "424242"):
            with pytest.raises(SessionReentrancyError) as caught:
                await Session(locks, "424242").acquire()
            assert caught.value.key == "424242"
            assert "'424242' is already open in this handler" in str(caught.value)
            assert "use sessions.of(ctx), or pass the session on" in str(caught.value)
            assert asyncio.get_running_loop().time() == 0

    run(main())


def test_opening_a_key_again_below_its_life_cycle_is_refused_at_once(locks: KeyLocks) -> None:
    async def handler() -> None:
        with pytest.raises(SessionReentrancyError):
            await update(Session(locks, "1"), handler)

    run(update(Session(locks, "1"), handler))


def test_opening_a_key_again_in_the_same_thread_is_refused_at_once(locks: KeyLocks) -> None:
    async def handler() -> None:
        with pytest.raises(SessionReentrancyError):
            run_sync(Session(locks, "1").acquire())

    with Session(locks, "1"), pytest.raises(SessionReentrancyError):
        run_sync(Session(locks, "1").acquire())
    run_sync(update(Session(locks, "1"), handler))


def test_the_same_key_of_another_storage_is_another_key(locks: KeyLocks) -> None:
    async def main() -> None:
        async with Session(locks, "1"), Session(KeyLocks(), "1"):
            pass

    run(main())


def test_a_background_task_gets_the_key_when_the_handler_has_ended(locks: KeyLocks) -> None:
    async def main() -> None:
        async def handler() -> asyncio.Task[None]:
            job = asyncio.create_task(Session(locks, "1").acquire())
            await until_waiting(locks, "1")
            return job

        await (await update(Session(locks, "1"), handler))
        locks.release("1")

    run(main())


def test_a_child_task_the_handler_waits_for_ends_with_the_timeout(locks: KeyLocks) -> None:
    async def handler() -> None:
        with pytest.raises(SessionLockTimeoutError, match="Opened again in a child task"):
            await asyncio.gather(Session(locks, "1").acquire())

    run(update(Session(locks, "1"), handler))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_an_eager_task_is_not_taken_for_the_handler_that_started_it(locks: KeyLocks) -> None:
    async def job() -> None:
        async with Session(locks, "1"):
            pass

    async def handler() -> asyncio.Task[None]:
        started = asyncio.create_task(job())
        assert "1" in locks.waiting
        return started

    async def main() -> None:
        eager: Any = vars(asyncio)["eager_task_factory"]
        asyncio.get_running_loop().set_task_factory(eager)
        await (await update(Session(locks, "1"), handler))

    run(main())


def test_a_session_let_go_by_another_task_is_open_nowhere(locks: KeyLocks) -> None:
    async def let_go(session: Session) -> None:
        await session.__aexit__()

    async def main() -> None:
        session = await Session(locks, "1").__aenter__()
        assert open_here() == [session]
        await asyncio.create_task(let_go(session))
        assert open_here() == []
        disown(session)

    run(main())


def open_in_callback() -> list[object]:
    """Return what a bare callback, which is no call chain, has open."""
    seen: list[object] = []

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: seen.extend(open_here()))
        await asyncio.sleep(0)

    run(main())
    return seen


def test_a_session_begun_in_a_callback_belongs_to_nobody(locks: KeyLocks) -> None:
    session = Session(locks, "1")

    async def main() -> None:
        asyncio.get_running_loop().call_soon(own, session)
        await asyncio.sleep(0)

    run(main())
    assert open_here() == []
    assert open_in_callback() == []


def test_the_session_of_an_ended_task_belongs_to_nobody(locks: KeyLocks) -> None:
    async def begin() -> Session:
        return await Session(locks, "1").__aenter__()

    async def main() -> Session:
        return await asyncio.create_task(begin())

    session = run(main())
    gc.collect()
    assert open_here() == []
    assert open_in_callback() == []
    disown(session)
    session.release()


# Rings


def ring_of(*tables_and_keys: tuple[KeyLocks, str]) -> list[str]:
    """Let as many tasks each hold a key and want the next; return what was raised."""
    raised: list[str] = []
    count = len(tables_and_keys)
    arrived: list[str] = []

    async def duel(number: int) -> None:
        locks, key = tables_and_keys[number]
        async with Session(locks, key):
            arrived.append(key)
            while len(arrived) < count:
                await asyncio.sleep(0)
            try:
                async with Session(*tables_and_keys[(number + 1) % count]):
                    pass
            except SessionDeadlockError as error:
                assert not isinstance(error, SessionReentrancyError)
                raised.append(str(error))

    async def main() -> None:
        await asyncio.gather(*(duel(number) for number in range(count)))
        assert asyncio.get_running_loop().time() == 0

    run(main())
    return raised


def test_two_handlers_that_wait_for_each_other_are_told_at_once(locks: KeyLocks) -> None:
    [message] = ring_of((locks, "1"), (locks, "2"))
    assert "waiting for '2' would never end: '1' waits for '2', '2' waits for '1'" in message
    assert "'2' is held by task 'duel' (lock_users.py:" in message
    assert "sessions.open_many(...), or always in sorted order" in message


def test_a_ring_of_three_is_found(locks: KeyLocks) -> None:
    [message] = ring_of((locks, "1"), (locks, "2"), (locks, "3"))
    assert "'2' waits for '3', '3' waits for '1', '1' waits for '2'" in message


def test_a_ring_through_two_storages_is_found(locks: KeyLocks) -> None:
    [message] = ring_of((locks, "1"), (KeyLocks(), "1"))
    assert "would never end" in message


def test_a_ring_of_middleware_sessions_is_found(locks: KeyLocks) -> None:
    raised: list[str | None] = []

    async def fight(mine: str, other: str) -> None:
        async def handler() -> None:
            await asyncio.sleep(1)
            try:
                await update(Session(locks, other), lambda: asyncio.sleep(1))
            except SessionDeadlockError as error:
                raised.append(error.key)

        await update(Session(locks, mine), handler)

    async def main() -> None:
        await asyncio.gather(fight("1", "2"), fight("2", "1"))

    run(main())
    assert raised == ["1"]


def test_a_ring_closed_below_nested_sessions_is_found(locks: KeyLocks) -> None:
    async def left() -> None:
        async with Session(locks, "1"), Session(locks, "2"), Session(locks, "3"):
            await asyncio.sleep(1)
            async with Session(locks, "4"):
                pass

    async def right() -> None:
        async with Session(locks, "4"):
            await asyncio.sleep(2)
            with pytest.raises(SessionDeadlockError):
                await Session(locks, "2").acquire()

    async def main() -> None:
        await asyncio.gather(left(), right())

    run(main())


def test_a_ring_of_threads_is_found(locks: KeyLocks) -> None:
    both = threading.Barrier(2)
    raised: list[str | None] = []

    def fight(mine: str, other: str) -> None:
        with Session(locks, mine):
            both.wait()
            try:
                with Session(locks, other, None):
                    pass
            except SessionDeadlockError as error:
                raised.append(error.key)

    def left() -> None:
        fight("1", "2")

    def right() -> None:
        fight("2", "1")

    with thread(left), thread(right):
        pass
    assert len(raised) == 1


def test_a_ring_of_a_thread_and_a_loop_is_found(locks: KeyLocks) -> None:
    both = threading.Barrier(2)

    def left() -> None:
        with Session(locks, "1"):
            both.wait()
            with Session(locks, "2", None):
                pass

    async def right() -> None:
        async with Session(locks, "2"):
            both.wait()
            wait_until(lambda: "2" in locks.waiting)
            with pytest.raises(SessionDeadlockError, match=r"by thread 'left' \(lock_users\.py:"):
                await Session(locks, "1").acquire()

    def bot() -> None:
        asyncio.run(right())

    with thread(bot), thread(left):
        pass


def test_a_waiter_that_was_given_its_key_can_close_a_ring(locks: KeyLocks) -> None:
    async def left() -> None:
        async with Session(locks, "1"):
            await asyncio.sleep(5)
            async with Session(locks, "2"):
                pass

    async def right() -> None:
        async with Session(locks, "2"):  # given by main, after a while
            await asyncio.sleep(5)
            with pytest.raises(SessionDeadlockError, match="'2' waits for '1', '1' waits for '2'"):
                await Session(locks, "1").acquire()

    async def main() -> None:
        async with Session(locks, "2"):
            tasks = [asyncio.create_task(right()), asyncio.create_task(left())]
            await asyncio.sleep(3)
        await asyncio.gather(*tasks)

    run(main())


def test_a_session_that_holds_one_key_and_wants_another_closes_a_ring(locks: KeyLocks) -> None:
    async def moving() -> None:
        session = Session(locks, "1")
        await session.acquire()
        await locks.wait("2", session, None)
        locks.release("1")
        locks.release("2")

    async def main() -> None:
        async with Session(locks, "2"):
            task = asyncio.create_task(moving())
            await until_waiting(locks, "2")
            with pytest.raises(SessionDeadlockError):
                await Session(locks, "1").acquire()
        await task

    run(main())


def test_waiting_in_a_row_is_no_ring(locks: KeyLocks) -> None:
    async def left() -> None:
        async with Session(locks, "1"), Session(locks, "2"):
            pass

    async def right() -> None:
        async with Session(locks, "3"), Session(locks, "1"):
            pass

    async def main() -> None:
        async with Session(locks, "2"):
            tasks = [asyncio.create_task(left()), asyncio.create_task(right())]
            await until_waiting(locks, "1")
        await asyncio.gather(*tasks)

    run(main())


def test_a_rival_that_has_just_been_cancelled_makes_no_ring(locks: KeyLocks) -> None:
    async def left() -> None:
        async with Session(locks, "1"), Session(locks, "2"):
            pass

    async def main() -> None:
        async with Session(locks, "2"):
            rival = asyncio.create_task(left())
            await until_waiting(locks, "2")
            rival.cancel()
            async with Session(locks, "1"):
                assert rival.cancelled()

    run(main())


def test_a_rival_on_a_closed_loop_makes_no_ring(locks: KeyLocks) -> None:
    rival = Session(locks, "1")

    async def begin() -> None:
        await rival.acquire()
        course.send(None)

    course = locks.wait("2", rival, None)  # a session may hold one key and want another
    with Session(locks, "2"):
        loop = FakeTimeLoop()
        loop.run_until_complete(begin())
        loop.close()
        with pytest.raises(SessionLockTimeoutError):
            run_sync(Session(locks, "1", 0.001).acquire())
        course.close()
    rival.release()


def test_a_ring_of_others_is_left_to_them(locks: KeyLocks) -> None:
    """A session that waits in two tasks, so that a key may close a ring behind a waiter."""
    shared, first = Session(locks, "1"), Session(locks, "2")

    async def wait_below(session: Session, key: str) -> None:
        own(session)
        await Session(locks, key, 60).acquire()

    async def main() -> None:
        await shared.acquire()
        await first.acquire()
        await Session(locks, "3").acquire()
        tasks = [asyncio.create_task(wait_below(shared, "2"))]
        await until_waiting(locks, "2")
        tasks.append(asyncio.create_task(locks.wait("3", shared, 60)))
        tasks.append(asyncio.create_task(wait_below(first, "3")))
        await until_waiting(locks, "3", 2)
        locks.release("3")
        with pytest.raises(SessionLockTimeoutError):
            await asyncio.create_task(Session(locks, "2", 30).acquire())
        with pytest.raises(SessionDeadlockError):  # shared still waits for first elsewhere
            await asyncio.create_task(wait_below(first, "1"))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        disown(shared)
        disown(first)
        locks.held.clear()

    run(main())
