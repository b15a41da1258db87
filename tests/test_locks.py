"""The lock table: order, exclusion, cancellation, timeouts; nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import traceback
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import MemorySessionStorage, session
from sessionkit._locks import table as _locks
from sessionkit._locks.owners import open_here
from sessionkit._locks.table import locks_of
from sessionkit._session import context
from sessionkit._storage.sync_or_async import run_sync
from sessionkit.errors import SessionLockTimeoutError, SessionReentrancyError
from tests.clocks import FakeTimeLoop
from tests.lock_users import Session, clean_table, run, thread, until_waiting, update, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from sessionkit._locks.table import KeyLocks


@pytest.fixture
def locks() -> Iterator[KeyLocks]:
    with clean_table() as table:
        yield table


# Order and exclusion


def test_a_free_key_is_taken_and_given_back_without_waiting(locks: KeyLocks) -> None:
    async def main() -> None:
        session = Session(locks, "1")
        async with session:
            assert locks.held == {"1": session}

    run(main())


def test_within_a_loop_the_first_to_come_is_the_first_served(locks: KeyLocks) -> None:
    served: list[int] = []

    async def visit(number: int) -> None:
        async with Session(locks, "1"):
            served.append(number)
            await asyncio.sleep(number % 3)

    async def main() -> None:
        await asyncio.gather(*(visit(number) for number in range(20)))

    run(main())
    assert served == list(range(20))


def test_a_newcomer_does_not_overtake_who_waits(locks: KeyLocks) -> None:
    served: list[str] = []

    async def visit(name: str) -> None:
        async with Session(locks, "1"):
            served.append(name)

    async def main() -> None:
        async with Session(locks, "1"):
            waiting = asyncio.create_task(visit("waiting"))
            await until_waiting(locks, "1")
        await visit("newcomer")
        await waiting

    run(main())
    assert served == ["waiting", "newcomer"]


def test_a_key_is_handed_over_while_others_are_waited_for_elsewhere(locks: KeyLocks) -> None:
    async def visit(key: str) -> None:
        async with Session(locks, key):
            pass

    async def main() -> None:
        async with Session(locks, "1"):
            waiting = asyncio.create_task(visit("1"))
            await until_waiting(locks, "1")
            await visit("2")
            assert not waiting.done()
        await waiting

    run(main())


def test_a_key_freed_before_the_waiter_got_in_line_is_not_missed(locks: KeyLocks) -> None:
    async def main() -> None:
        async with Session(locks, "1"):
            late = Session(locks, "1")
            assert locks.held.setdefault("1", late) is not late
        await locks.wait("1", late, None)
        assert locks.held == {"1": late}
        locks.release("1")

    run(main())


def test_release_hands_over_only_its_own_key(locks: KeyLocks) -> None:
    async def main() -> None:
        first, second = Session(locks, "1"), Session(locks, "1")
        await first.acquire()
        waiting = asyncio.create_task(second.acquire())
        await until_waiting(locks, "1")
        locks.release("1")
        await waiting
        assert locks.held == {"1": second}
        locks.release("1")

    run(main())


def test_a_thread_that_barges_in_keeps_the_waiter_in_line(locks: KeyLocks) -> None:
    barger = object()

    async def visit() -> None:
        async with Session(locks, "1"):
            pass

    async def main() -> None:
        await Session(locks, "1").acquire()
        waiting = asyncio.create_task(visit())
        await until_waiting(locks, "1")
        del locks.held["1"]
        assert locks.held.setdefault("1", barger) is barger
        locks.hand_over("1")
        await asyncio.sleep(1)
        assert not waiting.done()
        locks.release("1")
        await waiting

    run(main())


def test_a_thread_waits_for_a_thread(locks: KeyLocks) -> None:
    events: list[str] = []

    def visitor() -> None:
        with Session(locks, "1"):
            events.append("visitor")

    with Session(locks, "1"), thread(visitor):
        wait_until(lambda: "1" in locks.waiting)
        events.append("first")
        locks.release("1")
        wait_until(lambda: "visitor" in events and not locks.held)
        locks.held["1"] = None
    assert events == ["first", "visitor"]


def test_a_loop_waits_for_a_thread_and_a_thread_for_a_loop(locks: KeyLocks) -> None:
    taken, free = threading.Event(), threading.Event()

    def first() -> None:
        with Session(locks, "1"):
            taken.set()
            free.wait()

    def third() -> None:
        with Session(locks, "1"):
            pass

    async def second() -> None:
        loop = asyncio.get_running_loop()
        waiting = loop.create_task(Session(locks, "1").acquire())
        await until_waiting(locks, "1")
        free.set()
        await waiting
        with thread(third):
            wait_until(lambda: "1" in locks.waiting)
            locks.release("1")

    with thread(first):
        taken.wait()
        asyncio.run(second())


def test_hand_over_works_while_the_table_is_being_changed_by_the_same_thread(
    locks: KeyLocks,
) -> None:
    async def main() -> None:
        session = Session(locks, "1")
        await Session(locks, "1").acquire()
        waiting = asyncio.create_task(session.acquire())
        await until_waiting(locks, "1")
        with _locks.mutex:  # as when the garbage collector ends a session in the middle
            locks.release("1")
        await waiting
        session.release()

    run(main())


class Counter:
    """Loses counts as soon as two count at the same time."""

    def __init__(self) -> None:
        self.value = 0

    async def count(self) -> None:
        before = self.value
        await asyncio.sleep(0)
        self.value = before + 1

    def count_at_once(self) -> None:
        before = self.value
        if before % 16 == 0:
            threading.Event().wait(1e-6)  # lets go of the interpreter in the middle
        self.value = before + 1


def test_nothing_is_lost_between_two_threads_and_two_loops(locks: KeyLocks) -> None:
    keys = [str(number) for number in range(8)]
    counters = {key: Counter() for key in keys}
    per_key = 375

    def count_in_thread() -> None:
        for number in range(per_key * len(keys)):
            key = keys[number % len(keys)]
            with Session(locks, key):
                counters[key].count_at_once()

    async def count(key: str) -> None:
        async with Session(locks, key):
            await counters[key].count()

    async def give_up(key: str) -> None:
        waiting = asyncio.create_task(Session(locks, key).acquire())
        await asyncio.sleep(0)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
            locks.release(key)

    async def count_in_loop() -> None:
        for _ in range(per_key // 15):
            async with asyncio.TaskGroup() as group:
                for number in range(15 * len(keys)):
                    group.create_task(count(keys[number % len(keys)]))
                    if number % 2:
                        group.create_task(give_up(keys[number % len(keys)]))

    with ThreadPoolExecutor(4) as pool:
        loops = [pool.submit(asyncio.run, count_in_loop()) for _ in range(2)]
        threads = [pool.submit(count_in_thread) for _ in range(2)]
        for done in (*loops, *threads):
            done.result()
    assert sum(counter.value for counter in counters.values()) == 12_000


# Cancellation


def test_a_cancelled_waiter_leaves_the_line(locks: KeyLocks) -> None:
    async def main() -> None:
        async with Session(locks, "1"):
            first = asyncio.create_task(Session(locks, "1").acquire())
            second = asyncio.create_task(Session(locks, "1").acquire())
            await until_waiting(locks, "1", 2)
            first.cancel()
            await asyncio.wait([first])
            assert len(locks.waiting["1"]) == 1
        await second
        locks.release("1")

    run(main())


def test_a_waiter_cancelled_but_not_notified_yet_is_skipped(locks: KeyLocks) -> None:
    async def main() -> None:
        async with Session(locks, "1"):
            first = asyncio.create_task(Session(locks, "1").acquire())
            session = Session(locks, "1")
            second = asyncio.create_task(session.acquire())
            await until_waiting(locks, "1", 2)
            first.cancel()
        assert locks.held == {"1": session}
        await asyncio.wait([first, second])
        assert first.cancelled()
        session.release()

    run(main())


def test_a_waiter_cancelled_in_the_moment_it_was_given_the_key_passes_it_on(
    locks: KeyLocks,
) -> None:
    async def main() -> None:
        async with Session(locks, "1"):
            first = asyncio.create_task(Session(locks, "1").acquire())
            second = asyncio.create_task(Session(locks, "1").acquire())
            await until_waiting(locks, "1", 2)
        first.cancel()
        await asyncio.wait([first, second])
        assert first.cancelled()
        locks.release("1")

    run(main())


def test_a_cancelled_holder_gives_the_key_to_the_next(locks: KeyLocks) -> None:
    async def main() -> None:
        holding = asyncio.create_task(update(Session(locks, "1"), lambda: asyncio.sleep(3600)))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(Session(locks, "1").acquire())
        await until_waiting(locks, "1")
        holding.cancel()
        await waiting
        locks.release("1")

    run(main())


def test_an_interrupted_thread_leaves_the_line(locks: KeyLocks) -> None:
    class InterruptedEvent(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            raise KeyboardInterrupt

    locks.held["1"] = object()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_locks, "Event", InterruptedEvent)
        with pytest.raises(KeyboardInterrupt):
            run_sync(Session(locks, "1").acquire())
    assert not locks.waiting
    locks.release("1")


def abandoned_waiter(session: Session, loop: FakeTimeLoop) -> Coroutine[Any, Any, None]:
    """Let *session* wait on *loop*, which is closed without another turn."""
    course = session.acquire()

    async def begin() -> None:
        course.send(None)

    loop.run_until_complete(begin())
    loop.close()
    return course


def test_a_waiter_whose_loop_was_closed_is_passed_over(locks: KeyLocks) -> None:
    with Session(locks, "1"):
        course = abandoned_waiter(Session(locks, "1"), FakeTimeLoop())
        assert "1" in locks.waiting
    assert not locks.held
    course.close()


def test_a_waiter_whose_loop_is_just_being_closed_is_passed_over(locks: KeyLocks) -> None:
    class Closing(FakeTimeLoop):
        late = True

        def is_closed(self) -> bool:
            return not self.late and super().is_closed()

    with Session(locks, "1"):
        loop = Closing()
        course = abandoned_waiter(Session(locks, "1"), loop)
    assert not locks.held
    loop.late = False
    course.close()


def test_a_waiter_that_is_collected_after_it_was_given_the_key_passes_it_on(
    locks: KeyLocks,
) -> None:
    course = Session(locks, "1").acquire()

    async def begin() -> None:
        await Session(locks, "1").acquire()
        course.send(None)
        locks.release("1")

    run(begin())
    assert "1" in locks.held
    course.close()


# Timeouts


def test_waiting_ends_after_the_timeout(locks: KeyLocks) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with Session(locks, "424242"):
            began = loop.time()
            waiting = asyncio.create_task(Session(locks, "424242", 60).acquire())
            with pytest.raises(SessionLockTimeoutError, match="not free within 60 s") as caught:
                await waiting
            assert loop.time() - began == 60
            assert not locks.waiting
        assert caught.value.key == "424242"
        assert caught.value.timeout == 60

    run(main())


def test_a_timeout_is_short_of_the_warning(
    locks: KeyLocks, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with Session(locks, "1"):
            waiting = asyncio.create_task(Session(locks, "1", 10).acquire())
            with pytest.raises(SessionLockTimeoutError):
                await waiting
            assert loop.time() == 10

    run(main())
    assert not caplog.records


def test_without_a_timeout_it_waits_forever_and_warns_once(
    locks: KeyLocks, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with Session(locks, "1"):
            waiting = asyncio.create_task(Session(locks, "1", None).acquire())
            await asyncio.sleep(9.9)
            assert not caplog.records
            await asyncio.sleep(1_000_000)
        await waiting
        locks.release("1")

    run(main())
    assert [(record.name, record.levelno) for record in caplog.records] == [
        ("sessionkit", logging.WARNING)
    ]
    assert "waiting for key '1' for 10 s now; held by task 'main'" in caplog.text


def test_a_session_that_takes_its_key_again_is_warned_of_again(
    locks: KeyLocks, caplog: pytest.LogCaptureFixture
) -> None:
    async def visit() -> None:
        async with Session(locks, "1"):
            await asyncio.sleep(1)

    async def main() -> None:
        session = Session(locks, "1")
        for _ in range(2):
            waiting = [asyncio.create_task(visit()) for _ in range(3)]
            await asyncio.sleep(0)
            await session.acquire()
            more = [asyncio.create_task(visit()) for _ in range(3)]
            await asyncio.sleep(20)
            session.release()
            await asyncio.wait([*waiting, *more])

    run(main())
    assert len(caplog.records) == 2


def test_no_timer_is_left_of_a_key_that_came_in_time(locks: KeyLocks) -> None:
    async def visit(session: Session) -> None:
        async with session:
            pass

    async def main() -> None:
        session = Session(locks, "1", 60)
        gone = weakref.ref(session)
        async with Session(locks, "1"):
            waiting = asyncio.create_task(visit(session))
            del session
            await asyncio.sleep(30)
        await waiting
        del waiting
        gc.collect()
        assert asyncio.get_running_loop().time() == 30
        assert gone() is None

    run(main())


def test_a_key_given_between_timeout_and_wake_up_is_taken(locks: KeyLocks) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        await Session(locks, "1").acquire()
        waiting = asyncio.create_task(Session(locks, "1", 5).acquire())
        await until_waiting(locks, "1")
        loop.call_at(5, locks.release, "1")
        await waiting
        locks.release("1")

    run(main())


def test_a_thread_warns_and_ends_after_the_timeout(
    locks: KeyLocks, caplog: pytest.LogCaptureFixture
) -> None:
    locks.warn_after = 0.01
    caught: list[SessionLockTimeoutError] = []

    def visitor() -> None:
        with pytest.raises(SessionLockTimeoutError, match=r"'1' was not free within 0\.02 s") as e:
            run_sync(Session(locks, "1", 0.02).acquire())
        caught.append(e.value)

    with Session(locks, "1"):
        with thread(visitor):
            pass
        assert not locks.waiting
    assert caught[0].timeout == 0.02
    assert "waiting for key '1' for 0.01 s now" in caplog.text


def test_a_thread_that_gets_the_key_in_time_does_not_warn(
    locks: KeyLocks, caplog: pytest.LogCaptureFixture
) -> None:
    def visitor() -> None:
        with Session(locks, "1", None):
            pass

    def holder() -> None:
        with Session(locks, "1"), thread(visitor):
            wait_until(lambda: "1" in locks.waiting)
            locks.release("1")
            wait_until(lambda: not locks.held)
            locks.held["1"] = None

    with thread(holder):
        pass
    assert not caplog.records


# Tables


@dataclass
class DataclassStorage:
    """Cannot be hashed."""

    values: dict[str, Any] = field(default_factory=dict[str, Any])


class SlottedStorage:
    """Cannot be referred to weakly."""

    __slots__ = ()


class NamedStorage:
    def __init__(self, identity: object) -> None:
        self.identity = identity


class Wrapper:
    def __init__(self, wrapped: object) -> None:
        self.wrapped = wrapped


@pytest.mark.parametrize("kind", [DataclassStorage, SlottedStorage, object])
def test_every_storage_has_one_table_of_its_own(kind: Callable[[], object]) -> None:
    storage, other = kind(), kind()
    locks = locks_of(storage)
    assert locks_of(storage) is locks
    assert locks_of(other) is not locks


def test_wrappers_share_the_table_of_what_is_inside() -> None:
    storage = DataclassStorage()
    locks = locks_of(storage)
    assert locks_of(Wrapper(Wrapper(storage))) is locks
    assert locks_of(Wrapper(None)) is not locks


def test_storages_of_one_identity_share_a_table() -> None:
    locks = locks_of(NamedStorage(("redis", 0)))
    assert locks_of(Wrapper(NamedStorage(("redis", 0)))) is locks
    assert locks_of(NamedStorage(("redis", 1))) is not locks


@pytest.mark.parametrize("identity", [None, [], ([],)])
def test_an_identity_that_cannot_be_a_name_counts_for_nothing(identity: object) -> None:
    storage = NamedStorage(identity)
    locks = locks_of(storage)
    assert locks_of(storage) is locks
    assert locks_of(NamedStorage(identity)) is not locks


def test_an_identity_is_never_mistaken_for_the_id_of_a_storage() -> None:
    storage = object()
    locks = locks_of(storage)
    assert locks_of(NamedStorage(id(storage))) is not locks


def test_a_table_keeps_its_storage_alive_so_that_no_other_gets_its_id() -> None:
    storage = DataclassStorage()
    alive = weakref.ref(storage)
    locks = locks_of(storage)
    del storage
    gc.collect()
    assert alive() is not None
    del locks
    gc.collect()
    assert alive() is None


def test_a_table_shared_by_identity_keeps_no_storage_alive() -> None:
    storage = NamedStorage("one")
    alive = weakref.ref(storage)
    locks = locks_of(storage)
    del storage
    gc.collect()
    assert alive() is None
    assert locks_of(NamedStorage("one")) is locks


def test_a_table_vanishes_with_its_last_user() -> None:
    gc.collect()
    before = len(_locks.tables)
    locks = locks_of(NamedStorage("one"))
    assert len(_locks.tables) == before + 1
    del locks
    gc.collect()
    assert len(_locks.tables) == before


# Leaks


def test_sessions_that_waited_are_let_go(locks: KeyLocks) -> None:
    gone: list[weakref.ref[Session]] = []

    async def visit(number: int) -> None:
        session = Session(locks, "1", None if number % 3 else number + 1)
        gone.append(weakref.ref(session))
        with suppress(SessionLockTimeoutError):
            async with session:
                await asyncio.sleep(1)

    async def main() -> None:
        tasks = [asyncio.create_task(visit(number)) for number in range(30)]
        await asyncio.sleep(3)
        for task in tasks[::5]:
            task.cancel()
        await asyncio.wait(tasks)

    run(main())
    gc.collect()
    assert [reference() for reference in gone] == [None] * 30


# Forks


def in_child(check: Callable[[], object]) -> None:
    """Call *check* in a forked child of this process, and raise if it fails there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads, since Python 3.12
        child = os.fork()
    if child == 0:
        try:
            check()
        except BaseException:  # nothing may get out into the tests of the parent
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@forks
def test_a_forked_child_starts_without_the_keys_of_its_parent(locks: KeyLocks) -> None:
    taken, free = threading.Event(), threading.Event()

    def holder() -> None:
        with Session(locks, "1"), _locks.mutex, context._mutex:
            taken.set()
            free.wait()

    def visitor() -> None:
        with Session(locks, "2"):
            pass

    def check() -> None:
        assert not (locks.held or locks.waiting or _locks.blocked or open_here())
        assert _locks.mutex.acquire(blocking=False)
        assert context._mutex.acquire(blocking=False)
        with Session(locks, "1"), Session(locks, "2"):
            pass

    with Session(locks, "2"), thread(visitor):
        wait_until(lambda: "2" in locks.waiting)
        with thread(holder):
            taken.wait()
            try:
                in_child(check)
            finally:
                free.set()
        locks.release("2")
        wait_until(lambda: not locks.held)
        locks.held["2"] = None


@forks
def test_a_session_of_the_parent_ends_in_the_child_without_the_key() -> None:
    sessions = session(initial=dict[str, int], storage=MemorySessionStorage())
    other = sessions.sync.open("1")

    def leave() -> None:
        with other:
            opening.__exit__(None, None, None)
            with pytest.raises(SessionReentrancyError), sessions.sync.open("1"):
                pass

    opening = sessions.sync.open("1")
    with opening:
        in_child(leave)
