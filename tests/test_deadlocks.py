"""Waiting that would never end is refused at once, in the same handler and between handlers."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import MemorySessionStorage, Sessions, session
from sessionkit._locks.owners import open_here
from sessionkit._locks.table import KeyLocks
from sessionkit._storage.sync_or_async import run_sync
from sessionkit.errors import SessionDeadlockError, SessionLockTimeoutError, SessionReentrancyError
from tests.clocks import FakeTimeLoop
from tests.lock_users import Session, clean_table, run, thread, until_waiting, update, wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from contextlib import AbstractContextManager

    from sessionkit import Session as OpenSession
    from sessionkit.types import Opening


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

    run(main())


def open_in_callback() -> list[object]:
    """Return what a bare callback, which is not a call chain, has open."""
    seen: list[object] = []

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: seen.extend(open_here()))
        await asyncio.sleep(0)

    run(main())
    return seen


def test_a_session_begun_in_a_callback_belongs_to_nobody(locks: KeyLocks) -> None:
    session = Session(locks, "1")

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: session.own(sys._getframe(1)))  # pyright: ignore[reportPrivateUsage]
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
    session.disown()
    session.release()


@pytest.fixture
def sessions() -> Sessions[dict[str, int]]:
    return session(initial=dict[str, int], storage=MemorySessionStorage(), lock_timeout=3)


def test_an_abandoned_generator_is_waited_for(sessions: Sessions[dict[str, int]]) -> None:
    async def stream() -> AsyncGenerator[str, None]:
        async with sessions.open(1):
            for word in "abc":
                yield word

    async def main() -> None:
        async for _ in stream():
            break
        async with sessions.open(1):
            pass

    run(main())


def test_a_generator_that_holds_a_key_ends_with_the_timeout(
    sessions: Sessions[dict[str, int]],
) -> None:
    async def stream() -> AsyncGenerator[str, None]:
        async with sessions.open(1):
            yield "a"  # the suspended generator

    async def main() -> None:
        words = stream()
        await anext(words)
        with pytest.raises(SessionLockTimeoutError, match=r"held by 'stream' \(test_dead"):
            await sessions.open(1).begin()
        await words.aclose()

    run(main())


def test_a_key_opened_by_a_context_manager_of_the_users_is_refused_at_once(
    sessions: Sessions[dict[str, int]],
) -> None:
    @asynccontextmanager
    async def user_session() -> AsyncGenerator[None, None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(sessions.open(1))
            yield

    async def main() -> None:
        async with user_session():
            with pytest.raises(SessionReentrancyError):
                await sessions.open(1).begin()

    run(main())


def test_a_key_opened_again_in_a_task_that_only_updates_is_refused_at_once(
    sessions: Sessions[dict[str, int]],
) -> None:
    async def change(data: dict[str, int]) -> dict[str, int]:
        with pytest.raises(SessionReentrancyError):
            await sessions.move(1, 2)
        return data

    async def main() -> None:
        async with sessions.open_many(1, 2):
            with pytest.raises(SessionReentrancyError):
                await sessions.open(2).begin()
        await asyncio.create_task(sessions.update(1, change))

    run(main())


def test_a_key_opened_by_a_function_and_closed_by_another_is_waited_for(
    sessions: Sessions[dict[str, int]],
) -> None:
    """A pool thread opens it for work that another thread does, and is given other work."""
    openings: list[AbstractContextManager[Any]] = []

    def begin() -> None:
        opening = sessions.sync.open(1)
        opening.__enter__()
        openings.append(opening)

    def end() -> None:
        wait_until(lambda: bool(sessions._settings.locks.waiting))
        openings.pop(0).__exit__(None, None, None)

    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as others:
        done = [pool.submit(begin), pool.submit(begin), others.submit(end)]
        for each in done:
            each.result()
    openings.pop().__exit__(None, None, None)


def test_a_session_stays_in_its_handler_after_a_pause_or_a_move_below(
    sessions: Sessions[dict[str, int]],
) -> None:
    async def ask(session: OpenSession[dict[str, int]]) -> None:
        async with session.paused():
            pass
        await session.move(2)
        await session.move(1)

    async def main() -> None:
        async with sessions.open(1) as session:
            await ask(session)
            with pytest.raises(SessionReentrancyError):
                await sessions.open(1).begin()

    run(main())


def test_a_session_that_another_task_closes_makes_no_ring(
    sessions: Sessions[dict[str, int]],
) -> None:
    async def close(opening: Opening[Any, Any]) -> None:
        await asyncio.sleep(1)
        await opening.close()

    async def rival() -> None:
        async with sessions.open(2), sessions.open(1):
            pass

    async def main() -> None:
        opening = sessions.open(1)
        await opening.begin()
        tasks = [asyncio.create_task(close(opening)), asyncio.create_task(rival())]
        await asyncio.sleep(0)
        async with sessions.open(2):
            pass
        await asyncio.gather(*tasks)

    run(main())


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


def test_two_handlers_that_wait_for_each_other_raise_at_once(locks: KeyLocks) -> None:
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


@pytest.mark.parametrize("begins", [False, True])
def test_a_ring_through_keys_that_are_still_being_opened_together_is_found(
    sessions: Sessions[dict[str, int]], *, begins: bool
) -> None:
    raised: list[str] = []

    async def open_many(*keys: int) -> None:
        many = sessions.open_many(*keys)
        try:
            if begins:
                await many.begin()
                await many.close()
            else:
                async with many:
                    pass
        except SessionDeadlockError as error:
            raised.append(str(error))

    async def handler(own_key: int, *others: int) -> None:
        async with sessions.open(own_key):
            await asyncio.sleep(0)  # until all have their own
            await open_many(*others)

    async def main() -> None:
        await asyncio.gather(handler(3, 1, 2), handler(2, 1, 4), handler(4, 1, 3))
        assert asyncio.get_running_loop().time() == 0

    run(main())
    assert len(raised) == 1
    assert "'2' waits for '1', '1' waits for '2'" in raised[0]


def test_a_chain_of_waiters_is_not_a_deadlock(locks: KeyLocks) -> None:
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
        session.own(sys._getframe())  # pyright: ignore[reportPrivateUsage]
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
        shared.disown()
        first.disown()
        locks.held.clear()

    run(main())
