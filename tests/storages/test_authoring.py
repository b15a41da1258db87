"""What authors of storages get: batches, unknown outcomes, deadlines, a whole storage."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final
from unittest.mock import patch

import pytest

from sessionkit import (
    InvalidSessionKeyError,
    MemorySessionStorage,
    SessionClosedError,
    SessionConflictError,
    SessionDecodeError,
    SessionEncodeError,
    SessionError,
    SessionListingError,
    SessionWriteError,
    session,
)
from sessionkit.codecs import JSONCodec
from sessionkit.protocols import ANY
from sessionkit.storages.authoring import (
    Batches,
    BlockingBatches,
    BlockingRecordStorage,
    Lifetime,
    Records,
    RecordStorage,
    Stored,
    UnknownOutcomeError,
    Write,
    key_bytes,
    key_of,
    new_token,
    open_keys,
    short_key,
)
from sessionkit.testing import Limits, StorageSuite
from sessionkit.types import Entry
from tests.clocks import FakeTimeLoop
from tests.profiles import without
from tests.storages.dict_engine import DictEngine, keys_of

TTL: Final = 60.0


def storage_over(
    engine: DictEngine, deadline: float = 5, ttl: float | None = None
) -> RecordStorage:
    storage = RecordStorage(engine, JSONCodec(), Lifetime(ttl, time.time), deadline)
    storage.identity = "dict"
    return storage


def threads_over(engine: DictEngine) -> BlockingRecordStorage:
    records = Records(engine, JSONCodec(), Lifetime(None, time.time), 5, blocking=True)
    return BlockingRecordStorage(records, "dict", "<dict>")


@without("machine")
class OverAnEngine(StorageSuite):
    """Without random histories, which are asked of other storages."""

    limits = Limits(shared=False, durable=False, ttl=TTL)


class TestTasks(OverAnEngine):
    def open(self, namespace: str) -> Any:
        storage = RecordStorage(DictEngine(), JSONCodec(), Lifetime(TTL, self.clock), 5)
        storage.identity = namespace
        return storage


class TestThreads(OverAnEngine):
    def open(self, namespace: str) -> Any:
        engine, lifetime = DictEngine(waits=False), Lifetime(TTL, self.clock)
        records = Records(engine, JSONCodec(), lifetime, 5, blocking=True)
        return BlockingRecordStorage(records, namespace, namespace)


def run_main(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=FakeTimeLoop) as runner:
        runner.run(main)


def run(course: Callable[[DictEngine, RecordStorage], Coroutine[Any, Any, None]]) -> DictEngine:
    engine = DictEngine()

    async def main() -> None:
        async with storage_over(engine) as storage:
            await course(engine, storage)

    run_main(main())
    return engine


def test_what_is_asked_for_at_one_moment_shares_a_call_sorted_by_key() -> None:
    async def course(_: DictEngine, storage: RecordStorage) -> None:
        await asyncio.gather(*(storage.write(key, {"n": 1}) for key in "cab"))
        await asyncio.gather(*map(storage.read, "cab"))

    calls = run(course).calls

    assert keys_of(calls, "apply") == [["a", "b", "c"]]
    assert keys_of(calls, "load") == [["c", "a", "b"]]


def test_what_is_asked_for_during_a_call_makes_up_the_next_one() -> None:
    async def course(engine: DictEngine, storage: RecordStorage) -> None:
        engine.gate = asyncio.Event()
        first = asyncio.ensure_future(storage.write("1", 1))
        await asyncio.sleep(0.01)
        others = [asyncio.ensure_future(storage.write(key, 1)) for key in "234"]
        await asyncio.sleep(0.01)
        engine.gate.set()
        await asyncio.gather(first, *others)

    assert keys_of(run(course).calls, "apply") == [["1"], ["2", "3", "4"]]


def test_one_key_is_in_a_call_once() -> None:
    async def course(engine: DictEngine, storage: RecordStorage) -> None:
        await asyncio.gather(*(storage.write("1", n) for n in range(3)), storage.write("2", 0))
        assert await storage.read("1") == 2

    assert keys_of(run(course).calls, "apply") == [["1", "2"], ["1"], ["1"]]


def test_what_is_given_together_is_a_call_of_many() -> None:
    async def course(engine: DictEngine, storage: RecordStorage) -> None:
        refused = await storage.write_entries([Entry("2", 1), Entry("1", 1), Entry("1", 2)])
        assert (refused, await storage.read_many("21")) == (["1"], {"2": 1, "1": 1})

    calls = run(course).calls
    assert keys_of(calls, "apply") == [["1", "2"], ["1"]]
    assert keys_of(calls, "load") == [["2", "1"]]


def test_a_call_of_many_has_the_keys_of_a_page_at_most() -> None:
    async def course(engine: DictEngine, storage: RecordStorage) -> None:
        await storage.write_many({str(number): number for number in range(501)})
        assert len(await storage.read_many([str(number) for number in range(501)])) == 501

    calls = run(course).calls
    assert [len(keys) for keys in keys_of(calls, "apply")] == [500, 1]
    assert [len(keys) for keys in keys_of(calls, "load")] == [500, 1]


def test_a_call_of_many_ends_where_values_are_large() -> None:
    async def course(engine: DictEngine, storage: RecordStorage) -> None:
        large = "x" * 3_000_000
        await storage.write_many({"1": large, "2": large, "3": large, "4": 1})

    assert keys_of(run(course).calls, "apply") == [["1", "2"], ["3", "4"]]


def test_an_error_of_a_call_of_many_is_that_of_each_key() -> None:
    async def course(engine: DictEngine, storage: RecordStorage) -> None:
        await storage.write_many({"1": 1, "2": 2})
        engine.blind = True
        with pytest.raises(SessionListingError, match="no server") as listing:
            _ = [entry async for entry in storage.iter_entries()]
        assert listing.value.keys == ("1", "2")
        engine.failure = SessionError("read only")
        with pytest.raises(SessionWriteError, match="read only") as writing:
            await storage.write_many({"1": 1, "2": 2})
        assert (writing.value.failed, writing.value.written) == (("1", "2"), ())

    run(course)


def test_a_conflict_and_a_refused_value_touch_no_neighbour() -> None:
    async def course(engine: DictEngine, storage: RecordStorage) -> None:
        await storage.write("1", 0)
        with pytest.raises(SessionEncodeError):
            await storage.write("2", {1, 2})
        ended = await asyncio.gather(
            storage.write_if("1", 1, None),
            storage.write_if("2", 2, None),
            storage.write_if("3", 3, "stale"),
            return_exceptions=True,
        )
        assert [type(each) for each in ended] == [SessionConflictError, str, SessionConflictError]
        assert await storage.read_many("123") == {"1": 0, "2": 2}

    run(course)


def test_a_cancelled_task_withdraws_what_has_not_begun_and_waits_for_what_has() -> None:
    async def course(engine: DictEngine, storage: RecordStorage) -> None:
        engine.gate = asyncio.Event()
        begun, neighbour = (asyncio.ensure_future(storage.write(key, 1)) for key in "12")
        await asyncio.sleep(0.01)
        waiting = asyncio.ensure_future(storage.write("3", 1))
        await asyncio.sleep(0)
        for task in (begun, waiting):
            task.cancel()
        await asyncio.sleep(0.01)
        assert (begun.done(), waiting.done()) == (False, True)
        begun.cancel()
        engine.gate.set()
        await neighbour
        with pytest.raises(asyncio.CancelledError):
            await begun
        engine.gate = None
        assert await storage.read_many("123") == {"1": 1, "2": 1}

    run(course)


def test_a_cancelled_batch_withdraws_and_waits_alike() -> None:
    async def course(engine: DictEngine, storage: RecordStorage) -> None:
        engine.gate = asyncio.Event()
        batch = asyncio.ensure_future(storage.write_many({"1": 1, "2": 2}))
        await asyncio.sleep(0.01)
        batch.cancel()
        await asyncio.sleep(0.01)
        assert not batch.done()
        engine.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await batch
        reading = asyncio.ensure_future(storage.read_many("12"))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert set(engine.rows) == {"1", "2"}

    run(course)


def test_a_coroutine_that_is_dropped_withdraws_its_write() -> None:
    async def course(engine: DictEngine, storage: RecordStorage) -> None:
        dropped: Any = storage.write("1", 1)
        dropped.send(None)
        dropped.close()
        await storage.write("2", 2)
        assert set(engine.rows) == {"2"}

    run(course)


def is_first(write: Write) -> bool:
    return write.key == "1"


@pytest.mark.parametrize("lost", ["reply", "request"])
def test_a_write_whose_reply_was_lost_is_looked_for(lost: str) -> None:
    async def course(engine: DictEngine, storage: RecordStorage) -> None:
        first = await storage.write_if("1", 1, None)
        if lost == "reply":
            engine.lost = is_first
        else:
            engine.undone = is_first
        ended = await asyncio.gather(
            storage.write_if("1", 2, first), storage.write_if("2", 2, None), return_exceptions=True
        )
        assert isinstance(ended[1], str)
        if lost == "reply":
            assert ended[0] == engine.rows["1"].revision
        else:
            assert isinstance(ended[0], SessionWriteError)
            assert "may have been written, or not: the connection was lost" in str(ended[0])
            assert ended[0].unknown == ("1",)

    run(course)


@pytest.mark.parametrize("fails", ["delete", "look"])
def test_what_cannot_be_known_is_said(fails: str) -> None:
    async def course(engine: DictEngine, storage: RecordStorage) -> None:
        await storage.write("1", 1)
        engine.lost = lambda _: True
        engine.blind = fails == "look"
        with pytest.raises(SessionWriteError, match="Read it again before you repeat"):
            await (storage.delete("1") if fails == "delete" else storage.write("1", 2))

    run(course)


def test_of_many_values_it_is_said_which_were_written() -> None:
    async def course(engine: DictEngine, storage: RecordStorage) -> None:
        engine.undone = lambda write: write.key == "2"
        with pytest.raises(SessionWriteError, match="1 of 3 values could not be") as caught:
            await storage.write_many({"1": 1, "2": 2, "3": 3})
        assert (caught.value.written, caught.value.failed) == (("1", "3"), ("2",))

    run(course)


def test_many_values_whose_reply_was_lost_are_looked_for() -> None:
    async def course(engine: DictEngine, storage: RecordStorage) -> None:
        apply, many = engine.apply, {"1": 1, "2": 2}

        async def lose_reply(writes: Sequence[Write]) -> Sequence[bool | SessionError]:
            await apply(writes)
            raise UnknownOutcomeError("the connection was lost")

        with patch.object(engine, "apply", lose_reply):
            await storage.write_many(many)
        assert await storage.read_many("12") == many
        engine.failure = UnknownOutcomeError("the connection was lost")
        with pytest.raises(SessionWriteError, match="2 of 2 values could not be") as caught:
            await storage.write_many(many)
        assert (caught.value.written, caught.value.failed) == ((), ("1", "2"))

    run(course)


def test_an_answer_that_does_not_come_is_an_error_and_holds_nobody_up() -> None:
    engine = DictEngine()

    async def main() -> None:
        async with storage_over(engine, deadline=0.1) as storage:
            engine.gate = asyncio.Event()
            early = asyncio.ensure_future(storage.write("1", 1))
            await asyncio.sleep(0.05)
            late = asyncio.ensure_future(storage.write("2", 1))
            engine.gate = None
            with pytest.raises(SessionWriteError, match=r"no answer within 0\.1 seconds"):
                await early
            await late
            engine.gate = asyncio.Event()
            for read in (storage.read("1"), storage.has("1")):
                with pytest.raises(SessionError, match=r"no answer within 0\.1 seconds"):
                    await read
            engine.gate = None
            assert await storage.read_many("12") == {"2": 1}

    run_main(main())


def test_of_one_call_each_waits_until_its_own_time() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def call(items: Sequence[int]) -> Sequence[int]:
            await gate.wait()
            return items

        batches: Batches[int, int] = Batches(call, deadline=0.1)
        first = asyncio.ensure_future(batches.run(1))
        await asyncio.sleep(0.05)
        second, third = (asyncio.ensure_future(batches.run(n)) for n in (2, 3))
        await asyncio.sleep(0.03)
        fourth = asyncio.ensure_future(batches.run(4))
        assert isinstance(await first, SessionError)
        for each in (second, third):
            assert isinstance(await each, SessionError)
        assert not fourth.done()
        gate.set()
        assert await fourth == 4

    run_main(main())


def test_what_had_to_wait_for_its_key_is_not_given_more_time() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def call(items: Sequence[str]) -> Sequence[str]:
            await gate.wait()
            return items

        batches: Batches[str, str] = Batches(call, deadline=0.1, key=str.lower)
        first, second = (asyncio.ensure_future(batches.run(item)) for item in "aA")
        await asyncio.sleep(0)
        other = asyncio.ensure_future(batches.run("b"))
        other_since = asyncio.get_running_loop().time()
        await asyncio.sleep(0.05)
        late = asyncio.ensure_future(batches.run("c"))
        assert isinstance(await first, SessionError)
        assert isinstance(await second, SessionError)
        assert asyncio.get_running_loop().time() - other_since < 0.14
        gate.set()
        await asyncio.gather(other, late)

    run_main(main())


class Calls:
    """Calls whose items come back once they are let go, and the tasks that made them."""

    def __init__(self) -> None:
        self.items: list[list[int]] = []
        self.makers: list[asyncio.Task[Any] | None] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.items.append(list(items))
        self.makers.append(asyncio.current_task())
        await self.gate.wait()
        return items


async def used_by_one() -> tuple[Batches[int, int], Calls]:
    """Batches that expect nobody else, with a call under way at the gate from now on."""
    calls = Calls()
    batches: Batches[int, int] = Batches(calls, deadline=0.1)
    while asyncio.current_task() not in calls.makers:
        await batches.run(0)
    calls.items.clear()
    calls.makers.clear()
    calls.gate.clear()
    return batches, calls


def test_who_is_alone_makes_the_call_and_what_is_asked_for_meanwhile_the_next() -> None:
    async def main() -> None:
        batches, calls = await used_by_one()
        tasks = [asyncio.ensure_future(batches.run(n)) for n in (1, 2, 3)]
        await asyncio.sleep(0.01)
        assert calls.makers == tasks[:1]
        closing = asyncio.ensure_future(batches.close())
        await asyncio.sleep(0.01)
        assert not closing.done()
        calls.gate.set()
        assert await asyncio.gather(*tasks) == [1, 2, 3]
        assert calls.items == [[1], [2, 3]]
        await closing

    run_main(main())


def test_who_is_alone_and_cancelled_breaks_off_the_call_and_holds_nobody_up() -> None:
    async def main() -> None:
        batches, calls = await used_by_one()
        alone, other = (asyncio.ensure_future(batches.run(n)) for n in (1, 2))
        await asyncio.sleep(0.01)
        alone.cancel()
        calls.gate.set()
        assert await other == 2
        assert alone.cancelled()

    run_main(main())


@pytest.mark.parametrize("cancelled", [False, True])
def test_who_is_alone_waits_no_longer_than_the_deadline(*, cancelled: bool) -> None:
    async def main() -> None:
        batches, _ = await used_by_one()

        async def read() -> object:
            before = asyncio.current_task()
            outcome = await batches.run(1)
            assert before is not None
            assert before.cancelling() == 0
            return outcome

        alone = asyncio.ensure_future(read())
        if cancelled:  # at the same moment
            loop = asyncio.get_running_loop()
            loop.call_at(loop.time() + 0.1, alone.cancel)
        await asyncio.wait([alone])
        if cancelled:
            assert alone.cancelled()
        else:
            assert isinstance(alone.result(), SessionError)

    run_main(main())


def test_a_lone_call_that_is_dropped_leaves_its_turn_to_others() -> None:
    async def main() -> None:
        batches, calls = await used_by_one()
        dropped = batches.run(1)
        dropped.send(None)
        other = asyncio.ensure_future(batches.run(2))
        await asyncio.sleep(0.01)
        dropped.close()
        calls.gate.set()
        assert await other == 2

    run_main(main())


def test_what_waited_longer_than_the_call_before_it_is_given_up_in_time() -> None:
    """A name may be in a call once, so that the second of its jobs comes after later ones."""

    async def main() -> None:
        begun: list[Sequence[str]] = []
        gates = [asyncio.Event() for _ in range(3)]

        async def call(items: Sequence[str]) -> Sequence[str]:
            begun.append(items)
            await gates[len(begun) - 1].wait()
            return items

        batches: Batches[str, str] = Batches(call, deadline=0.1, key=str.lower)
        jobs: list[asyncio.Future[Any]] = []
        for item in ("x", "a", "A", "b"):
            jobs.append(asyncio.ensure_future(batches.run(item)))
            await asyncio.sleep(0.01)
        gates[0].set()
        await asyncio.sleep(0.075)
        assert begun == [["x"], ["a", "b"]]
        gates[1].set()
        clock = asyncio.get_running_loop().time
        late = await jobs[2]
        assert isinstance(late, SessionError)
        assert clock() == pytest.approx(0.12)
        assert await jobs[3] == "b"

    run_main(main())


def test_an_error_of_the_engine_is_that_of_all_and_each_gets_its_own() -> None:
    async def course(engine: DictEngine, storage: RecordStorage) -> None:
        engine.failure = SessionError("no server: nothing was written")
        writes = [storage.write("1", 1), storage.write("2", 1)]
        errors: list[Any] = await asyncio.gather(*writes, return_exceptions=True)
        assert [(type(each), each.key) for each in errors] == [
            (SessionError, "1"),
            (SessionError, "2"),
        ]
        engine.failure = ZeroDivisionError()
        with pytest.raises(SessionWriteError, match="ZeroDivisionError") as caught:
            await storage.write("1", 1)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)

    run(course)


def test_a_loop_that_ends_leaves_nobody_waiting() -> None:
    engine = DictEngine()
    storage = storage_over(engine)

    async def main() -> None:
        engine.gate = asyncio.Event()
        tasks.append(asyncio.ensure_future(storage.write("1", 1)))
        await asyncio.sleep(0.01)

    tasks: list[Any] = []
    run_main(main())
    engine.gate = None
    run_main(storage.write("2", 2))

    assert set(engine.rows) == {"2"}


def test_a_closed_storage_refuses_and_has_finished_what_was_begun() -> None:
    async def main() -> None:
        engine = DictEngine()
        storage = storage_over(engine)
        engine.gate = asyncio.Event()
        writing = asyncio.ensure_future(storage.write("1", 1))
        await asyncio.sleep(0.01)
        closing = asyncio.ensure_future(storage.close())
        await asyncio.sleep(0.01)
        with pytest.raises(SessionClosedError):
            await storage.read("1")
        engine.gate.set()
        await asyncio.gather(writing, closing)
        assert set(engine.rows) == {"1"}

    run_main(main())


def test_a_listing_goes_past_what_cannot_be_read() -> None:
    async def course(engine: DictEngine, storage: RecordStorage) -> None:
        await storage.write_many({str(n): n for n in range(8)})
        engine.rows["3"] = Stored(b"{", new_token(), None)
        engine.broken = lambda key: key == "5"
        found: list[Any] = []
        with pytest.raises(SessionError, match="2 of the listed values"):
            async for _, value in storage.iter_items():
                found.append(value)
        assert found == [0, 1, 2, 4, 6, 7]
        with pytest.raises(SessionDecodeError, match="in a dict"):
            await storage.read("3")
        with pytest.raises(SessionError, match="broken"):
            await storage.read("5")

    run(course)


def test_a_guard_is_asked_before_a_write() -> None:
    async def course(engine: DictEngine, storage: RecordStorage) -> None:
        def refuse(key: str) -> None:
            raise SessionError(key)

        storage.guards.append(refuse)
        with pytest.raises(SessionError, match="7"):
            await storage.write("7", 1)
        assert engine.rows == {}

    run(course)


def test_none_nan_and_odd_keys_are_refused_at_the_call() -> None:
    storage = storage_over(DictEngine())
    with pytest.raises(SessionEncodeError, match="use delete"):
        _unawaited = storage.write("1", None)
    with pytest.raises(ValueError, match="NaN"):
        _unawaited2 = storage.write_if("1", 1, ANY, expires=float("nan"))
    with pytest.raises(InvalidSessionKeyError):
        _unawaited3 = storage.delete("")


def test_what_expired_and_was_purged_is_created_again_by_its_reader() -> None:
    now = [0.0]
    engine = DictEngine()
    storage = RecordStorage(engine, JSONCodec(), Lifetime(TTL, lambda: now[0]), 5)

    async def main() -> None:
        revisions = [await storage.write_if(key, 1, None) for key in "1234"]
        await storage.delete("4")
        with pytest.raises(SessionConflictError):
            await storage.write_if("4", 2, revisions[3])
        now[0] += TTL
        assert await storage.purge_expired() == 3
        await storage.write("3", 3)
        assert await storage.write_if("1", 2, revisions[0]) is not None
        assert await storage.write_if("2", None, revisions[1]) is None
        for value in (2, None):
            with pytest.raises(SessionConflictError):
                await storage.write_if("3", value, revisions[2])
        assert dict([item async for item in storage.iter_items()]) == {"1": 2, "3": 3}

    run_main(main())


# Threads


def test_threads_share_calls_while_one_is_under_way() -> None:
    sizes: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    async def call(items: Sequence[int]) -> Sequence[int]:
        sizes.append(len(items))
        begun.set()
        go_on.wait()
        return [item * 10 for item in items]

    batches: BlockingBatches[int, int] = BlockingBatches(call, deadline=5)
    found: list[Any] = []

    def work(number: int) -> None:
        try:
            batches.run(number).send(None)
        except StopIteration as end:
            found.append(end.value)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    threads[0].start()
    begun.wait()
    for thread in threads[1:]:
        thread.start()
    while len(batches._waiting) < 7:
        time.sleep(0.001)
    go_on.set()
    for thread in threads:
        thread.join()

    assert sizes == [1, 7]
    assert sorted(found) == [n * 10 for n in range(8)]


@pytest.mark.parametrize("begun", [True, False])
def test_ctrl_c_withdraws_what_has_not_begun_and_says_what_may_have_been_written(
    *, begun: bool
) -> None:
    engine = DictEngine(waits=False)
    storage = threads_over(engine)
    if begun:
        engine.failure = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            storage.write("1", 1)
        engine.failure = None
    else:
        writes: Any = storage._do._writes
        turn = writes._turn
        writes._turn = _Interrupting()
        with pytest.raises(KeyboardInterrupt):
            storage.write("1", 1)
        writes._turn = turn
    storage.write("2", 2)
    assert set(engine.rows) == {"2"}


class _Interrupting:
    """A lock at which Ctrl-C is pressed."""

    def __enter__(self) -> None:
        raise KeyboardInterrupt

    def __exit__(self, *_: object) -> None: ...


def test_ctrl_c_waits_for_a_call_that_another_thread_has_begun() -> None:
    batches: BlockingBatches[int, int] = BlockingBatches(None, deadline=5)  # type: ignore[arg-type]
    turn: Any = _TurnOfAnother(batches)
    batches._turn = turn
    with pytest.raises(KeyboardInterrupt):
        batches.run(1).send(None)
    assert [job.settled for job in turn.begun] == [True]


class _TurnOfAnother:
    """The lock while another thread has begun all calls; there Ctrl-C is pressed."""

    def __init__(self, batches: BlockingBatches[int, int]) -> None:
        self._batches = batches
        self.begun: list[Any] = []

    def __enter__(self) -> None:
        if not self.begun:
            self.begun = self._batches._take(self._batches._waiting)
            raise KeyboardInterrupt
        for job in self.begun:
            job.settle(10)

    def __exit__(self, *_: object) -> None: ...


def test_errors_of_an_engine_in_threads() -> None:
    engine = DictEngine(waits=False)
    with threads_over(engine) as storage:
        assert storage.sync is storage
        assert repr(storage) == "<dict>"
        engine.failure = SessionError("no server")
        with pytest.raises(SessionError, match="no server"):
            storage.write("1", 1)
        engine.failure = ZeroDivisionError()
        with pytest.raises(SessionWriteError, match="may have been written"):
            storage.write("1", 1)
    with pytest.raises(SessionClosedError):
        storage.read("1")


# Keys


def test_short_keys_are_kept_and_long_ones_cut_and_hashed() -> None:
    long, surrogate = "x" * 200, "\ud800"

    assert short_key("3/-100", 100) == b"3/-100"
    assert short_key(surrogate, 100) == key_bytes(surrogate)
    assert len(short_key(long, 100)) == 100
    assert short_key(long, 100) != short_key(long + "x", 100)
    assert short_key(short_key(long, 100).decode(), 100) != short_key(long, 100)
    assert (key_of(key_bytes(surrogate)), key_of(b"\xff")) == (surrogate, None)


def test_an_unknown_outcome_is_an_error_of_sessionkit() -> None:
    assert issubclass(UnknownOutcomeError, SessionError)


def test_keys_that_sessions_have_open_are_known_to_their_storage() -> None:
    class Few:
        """Has room for three values, and for those that are open."""

        def __init__(self) -> None:
            self.rows: dict[str, Any] = {}

        def read(self, key: str) -> Any:
            return self.rows.get(key)

        def write(self, key: str, value: Any) -> None:
            self.rows[key] = value
            held = open_keys(self)
            free = (other for other in list(self.rows) if other not in held)
            while len(self.rows) > 3 and (oldest := next(free, None)):
                del self.rows[oldest]

        def delete(self, key: str) -> None:
            self.rows.pop(key, None)

    storage = Few()
    sessions = session(dict[str, int], storage=storage, prefix="s-", get_session_key=str)
    sessions.sync.update(1, lambda data: {"n": 1})
    with sessions.open(1):
        assert "s-1" in open_keys(storage)
        for chat in (2, 3, 4, 5):
            sessions.sync.update(chat, lambda data: {"n": 1})
        assert storage.rows.keys() == {"s-1", "s-4", "s-5"}
    assert "s-1" not in open_keys(storage)


@pytest.mark.parametrize("kind", ["memory", "tasks", "threads"])
def test_a_storage_without_backup_says_what_to_use_instead(kind: str) -> None:
    kinds: dict[str, Any] = {
        "memory": MemorySessionStorage(),
        "tasks": storage_over(DictEngine()),
        "threads": threads_over(DictEngine()),
    }
    assert not hasattr(kinds[kind], "backup")
    with pytest.raises(AttributeError, match=r"own tool of the engine, .* sessionkit export"):
        kinds[kind].backup("copy")


FORKING = """
import os
from sessionkit.storages.authoring import new_token

print(new_token(), flush=True)
if child := os.fork():
    os.waitpid(child, 0)
print(*(new_token() for _ in range(100)), flush=True)
"""


def test_no_token_is_given_twice() -> None:
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert {len(token) for token in tokens} == {20}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork() is not for Windows")
def test_a_forked_child_gives_none_of_the_tokens_of_its_parent() -> None:
    command = [sys.executable, "-c", FORKING]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert len(lines) == len(set(lines)) == 201
