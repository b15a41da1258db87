"""A storage that fails on purpose."""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import MemorySessionStorage, SQLiteSessionStorage, enhance_storage, session
from sessionkit.testing.context import FakeContext
from sessionkit.testing.faulty import FaultyStorage
from tests.clocks import FakeTimeLoop
from tests.enhanced import Full, Listed, Plain, PlainAsync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Pizza:
    count: int = 0


sessions = session(Pizza)


async def on_pizza(ctx: FakeContext[Pizza]) -> None:
    ctx.session.count += 1


async def pizza(storage: FaultyStorage, chat_id: int = 1) -> None:
    await sessions.with_storage(storage)(FakeContext(chat_id=chat_id), on_pizza)


INSIDE = [MemorySessionStorage, Plain, PlainAsync, Full]


@pytest.fixture(params=INSIDE)
def storage(request: pytest.FixtureRequest) -> FaultyStorage:
    """One over each kind of storage: with and without revisions, sync and async."""
    return FaultyStorage(request.param())


# Failing.


def test_without_faults_it_works(storage: FaultyStorage) -> None:
    asyncio.run(pizza(storage))

    assert storage.writes == [("1", {"count": 1})]
    assert repr(storage) == f"FaultyStorage({storage.wrapped!r})"


@pytest.mark.parametrize("operation", ["read", "write"])
def test_a_call_fails_and_does_nothing(storage: FaultyStorage, operation: str) -> None:
    async def main() -> None:
        storage.fail(operation)

        with pytest.raises(ConnectionError, match=f"{operation} failed, as this test asked for"):
            await pizza(storage)
        assert (await sessions.with_storage(storage.wrapped).get(1)).count == 0

        await pizza(storage)
        assert (await sessions.with_storage(storage).get(1)).count == 1

    asyncio.run(main())


def test_a_delete_fails(storage: FaultyStorage) -> None:
    async def main() -> None:
        await pizza(storage)
        storage.fail("delete")

        with pytest.raises(ConnectionError):
            await sessions.with_storage(storage).delete(1)

        assert (await sessions.with_storage(storage).get(1)).count == 1

    asyncio.run(main())


def test_other_keys_and_operations_pass() -> None:
    storage = FaultyStorage()
    storage.fail("write", key=1)

    storage.write("2", 5)
    assert storage.read("1") is None
    storage.delete("1")
    storage.write_if("1", None, None)
    with pytest.raises(ConnectionError):
        storage.write("1", 5)


def test_some_calls_pass_and_some_fail() -> None:
    storage = FaultyStorage()
    fault = storage.fail("write", key="1", after=1, times=2)

    storage.write("1", 1)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            storage.write("1", 2)
    storage.write("1", 3)

    assert fault.met == 2
    assert storage.read("1") == 3


def test_all_calls_fail_until_the_fault_is_lifted() -> None:
    storage = FaultyStorage()
    fault = storage.fail("read", times=None)

    for _ in range(3):
        with pytest.raises(ConnectionError):
            storage.read("1")
    fault.lift()
    fault.lift()

    assert storage.read("1") is None
    assert fault.met == 3


def test_all_faults_are_lifted_at_once() -> None:
    storage = FaultyStorage()
    storage.fail("read", times=None)
    storage.fail("write", times=None)

    storage.lift()
    storage.write("1", 5)

    assert storage.read("1") == 5
    storage.assert_all_met()


def test_the_error_is_the_tests_own() -> None:
    storage = FaultyStorage()
    full = OSError(28, "disk full")
    storage.fail("write", error=full)
    storage.fail("write", error=PermissionError)

    with pytest.raises(OSError, match="disk full") as caught:
        storage.write("1", 5)
    with pytest.raises(PermissionError, match="write failed, as this test asked for"):
        storage.write("1", 5)

    assert caught.value is full


def test_a_call_meets_the_oldest_fault_that_wants_it() -> None:
    storage = FaultyStorage()
    first = storage.fail("write", key="1")
    second = storage.fail("write")
    third = storage.fail("write", after=2)

    for key in ("2", "1", "1"):
        with pytest.raises(ConnectionError):
            storage.write(key, 5)

    assert [fault.met for fault in (first, second, third)] == [1, 1, 1]


@pytest.mark.parametrize("method", ["iter_keys", "iter_items", "has", "read_many", "write_many"])
def test_a_method_fails_by_its_name(method: str) -> None:
    storage = FaultyStorage(Full())
    argument: Any = {"write_many": {"1": 1}, "read_many": ["1"]}.get(method, "1")
    storage.fail(method)

    with pytest.raises(ConnectionError, match=f"{method} failed"):
        getattr(storage, method)(argument)


def test_methods_without_key_fail() -> None:
    storage = FaultyStorage()
    storage.fail("purge_expired")
    storage.fail("close")

    with pytest.raises(ConnectionError):
        storage.purge_expired()
    with pytest.raises(ConnectionError):
        storage.close()


def test_a_batch_counts_for_each_of_its_keys() -> None:
    storage = FaultyStorage()
    storage.fail("write", key="2")
    storage.fail("read", key="3")

    with pytest.raises(ConnectionError):
        storage.write_many({"1": 1, "2": 2})
    with pytest.raises(ConnectionError):
        storage.read_many(["1", "3"])

    assert storage.read("1") is None


def test_an_async_method_fails_when_it_is_awaited() -> None:
    async def main() -> None:
        storage = FaultyStorage(PlainAsync())
        storage.fail("write")

        answer = storage.write("1", 5)
        with pytest.raises(ConnectionError):
            await answer

        assert await storage.read("1") is None

    asyncio.run(main())


# Answers that get lost, batches that are torn.


def test_an_answer_is_lost_although_the_write_took_place(storage: FaultyStorage) -> None:
    async def main() -> None:
        storage.lose_answer("write", key=1)

        with pytest.raises(TimeoutError, match="write took place, and its answer was lost"):
            await pizza(storage)

        assert (await sessions.with_storage(storage).get(1)).count == 1

    asyncio.run(main())


def test_an_answer_of_a_future_is_lost(tmp_path: Path) -> None:
    async def main() -> None:
        async with SQLiteSessionStorage(tmp_path / "bot.db") as inside:
            storage = FaultyStorage(inside)
            storage.lose_answer("write", error=OSError("gone"))

            with pytest.raises(OSError, match="gone"):
                await storage.write("1", 5)

            assert await inside.read("1") == 5

    asyncio.run(main())


@pytest.mark.parametrize("stored", [0, 1, 2])
def test_a_torn_batch_stores_its_first_values(stored: int) -> None:
    storage = FaultyStorage()
    storage.tear(stored=stored)
    batch = {"1": 1, "2": 2, "3": 3}

    with pytest.raises(ConnectionError, match=f"torn after {stored}"):
        storage.write_many(batch)

    assert storage.read_many(["1", "2", "3"]) == dict(list(batch.items())[:stored])
    assert storage.calls[0].args == (batch,)


# Hanging.


def test_a_call_hangs_until_it_is_released(storage: FaultyStorage) -> None:
    async def main() -> None:
        block = storage.block("write")
        update = asyncio.create_task(pizza(storage))

        await block.entered()
        assert not update.done()
        assert (await sessions.with_storage(storage.wrapped).get(1)).count == 0

        block.release()
        await update
        assert (await sessions.with_storage(storage).get(1)).count == 1

    asyncio.run(main())


def test_other_chats_go_on_while_one_hangs(storage: FaultyStorage) -> None:
    async def main() -> None:
        with storage.block("read", key=1) as block:
            update = asyncio.create_task(pizza(storage))
            await block.entered()

            await pizza(storage, chat_id=2)

            block.release()
            await update
        assert [key for key, _ in storage.writes] == ["2", "1"]

    asyncio.run(main())


def test_a_call_that_hung_may_fail_in_the_end(storage: FaultyStorage) -> None:
    async def main() -> None:
        with storage.block("write") as block:
            update = asyncio.create_task(pizza(storage))
            await block.entered()
            block.release(error=TimeoutError("no answer"))
            block.release()
            with pytest.raises(TimeoutError, match="no answer"):
                await update

        assert (await sessions.with_storage(storage).get(1)).count == 0

    asyncio.run(main())


def test_all_that_hang_are_released_together() -> None:
    async def main() -> None:
        storage = FaultyStorage()
        block = storage.block("read", times=None)
        reads = [asyncio.ensure_future(storage.read(key)) for key in "123"]
        await block.entered()

        storage.lift()

        assert await asyncio.gather(*reads) == [None, None, None]
        assert storage.read("1") is None
        assert block.met == 3

    asyncio.run(main())


def test_a_block_holds_as_many_calls_as_asked_for() -> None:
    async def main() -> None:
        storage = FaultyStorage()
        with storage.block("read", times=1, after=1) as block:
            assert storage.read("1") is None
            held = asyncio.ensure_future(storage.read("1"))
            await block.entered()
            assert storage.read("1") is None
        await held

    asyncio.run(main())


def test_a_cancelled_call_that_hung_does_nothing_later() -> None:
    async def main() -> None:
        storage = FaultyStorage()
        block = storage.block("write")
        update = asyncio.create_task(pizza(storage))
        await block.entered()

        update.cancel()
        with pytest.raises(asyncio.CancelledError):
            await update
        block.release()
        await asyncio.sleep(0)

        assert storage.read("1") is None

    asyncio.run(main())


def test_a_call_that_comes_after_the_release_passes() -> None:
    storage = FaultyStorage()

    storage.block("read", times=None).release()

    assert storage.read("1") is None


def test_a_block_that_was_released_leaves_calls_to_other_faults() -> None:
    storage = FaultyStorage()
    block = storage.block("read", times=None)
    fault = storage.fail("read")

    block.release()

    with pytest.raises(ConnectionError):
        storage.read("1")
    assert (block.met, fault.met) == (0, 1)


def test_a_call_that_is_cancelled_while_it_is_released_stays_cancelled() -> None:
    async def main() -> None:
        storage = FaultyStorage()
        block = storage.block("read")
        held = asyncio.ensure_future(storage.read("1"))
        await block.entered()
        await asyncio.sleep(0)

        complaints: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, why: complaints.append(why))

        block.release()
        held.cancel()

        with pytest.raises(asyncio.CancelledError):
            await held
        await asyncio.sleep(0)
        assert complaints == []

    asyncio.run(main())


def test_an_enhanced_storage_hangs_and_fails_too() -> None:
    async def main() -> None:
        storage = FaultyStorage()
        enhanced = sessions.with_storage(enhance_storage(storage, ttl=60))
        with storage.block("read") as block:
            update = asyncio.create_task(enhanced(FakeContext(chat_id=1), on_pizza))
            await block.entered()
        await update

        with storage.fail("read"), pytest.raises(ConnectionError):
            await enhanced.get(1)
        assert (await enhanced.get(1)).count == 1

    asyncio.run(main())


def test_nobody_waits_forever_for_a_call_that_does_not_come() -> None:
    async def main() -> None:
        storage = FaultyStorage()
        storage.write("5", 5)
        block = storage.block("read", key="1")

        with pytest.raises(AssertionError, match="nothing was held up within 10 seconds") as caught:
            await block.entered()
        assert "write('5', 5)" in str(caught.value)

    with asyncio.Runner(loop_factory=FakeTimeLoop) as runner:
        runner.run(main())


# Threads.


def test_a_thread_hangs_until_it_is_released() -> None:
    storage = FaultyStorage()
    block = storage.block("write")

    def work() -> None:
        with sessions.with_storage(storage).open(1) as s:
            s.data.count += 1

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        block.wait_entered()
        assert storage.wrapped.read("1") is None
        block.release()
        done.result()

    assert storage.read("1") == {"count": 1}


def test_a_thread_that_hung_may_fail() -> None:
    storage = FaultyStorage()
    block = storage.block("read")

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(storage.read, "1")
        block.wait_entered()
        block.release(error=TimeoutError())
        with pytest.raises(TimeoutError):
            done.result()


def test_a_loop_waits_for_a_call_of_a_thread(tmp_path: Path) -> None:
    async def main() -> None:
        async with SQLiteSessionStorage(tmp_path / "bot.db") as inside:
            storage = FaultyStorage(inside)
            with storage.block("write") as block:
                write = asyncio.create_task(asyncio.to_thread(storage.sync.write, "1", 5))
                await block.entered()
                assert await storage.read("1") is None
            await write

            assert await storage.read("1") == 5

    asyncio.run(main())


def test_the_view_for_threads_meets_the_same_faults(tmp_path: Path) -> None:
    with SQLiteSessionStorage(tmp_path / "bot.db") as inside:
        storage = FaultyStorage(inside)
        storage.fail("write", times=None)

        with pytest.raises(ConnectionError):
            storage.sync.write("1", 5)

        storage.lift()
        storage.sync.write("1", 5)
        assert inside.sync.read("1") == 5


def test_nobody_blocks_a_thread_forever() -> None:
    block = FaultyStorage().block("read")

    with pytest.raises(AssertionError, match="nothing was held up within 0 seconds"):
        block.wait_entered(timeout=0)


@pytest.fixture
def restless() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-9)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
def test_of_many_threads_exactly_as_many_fail_as_asked_for() -> None:
    storage = FaultyStorage()
    faults = [storage.fail("write") for _ in range(100)]
    gate = threading.Barrier(4)

    def work() -> int:
        failed = 0
        gate.wait()
        for number in range(50):
            try:
                storage.write("1", number)
            except ConnectionError:
                failed += 1
        return failed

    with ThreadPoolExecutor(4) as pool:
        failed = [pool.submit(work) for _ in range(4)]

    assert sum(each.result() for each in failed) == 100
    assert [fault.met for fault in faults] == [1] * 100


def test_a_loop_that_was_closed_is_not_woken() -> None:
    storage = FaultyStorage()
    block = storage.block("read")

    async def left_alone() -> Any:
        held = storage.read("1")
        held.send(None)
        return held

    held = asyncio.run(left_alone())
    block.release()

    held.close()
    assert block.met == 1


# Faults that are never met.


def test_a_fault_that_is_never_met_is_reported() -> None:
    storage = FaultyStorage()
    storage.fail("write", key="5", after=2)
    met = storage.fail("read")
    with pytest.raises(ConnectionError):
        storage.read("1")
    storage.write("5", {"count": 1})

    with pytest.raises(AssertionError) as caught:
        storage.assert_all_met()

    assert met.met == 1
    assert str(caught.value) == (
        "Not met:\n"
        "  fail('write', key='5', after=2): 1 of 3 calls came\n"
        "The storage was asked (keys are those in the storage, with prefix):\n"
        "  read('1')\n"
        "  write('5', {'count': 1})"
    )


def test_faults_that_were_met_satisfy() -> None:
    storage = FaultyStorage()
    storage.fail("read", times=None)
    storage.fail("write", times=2)

    with pytest.raises(ConnectionError):
        storage.read("1")
    for came in range(2):
        with pytest.raises(AssertionError, match=rf"'write', times=2\): {came} of 2 calls came"):
            storage.assert_all_met()
        with pytest.raises(ConnectionError):
            storage.write("1", 5)

    storage.assert_all_met()


def test_a_block_must_be_met_too() -> None:
    storage = FaultyStorage()
    block = storage.block("read", times=None)
    block.release()

    with pytest.raises(AssertionError, match=r"block\('read', times=None\): 0 of 1 calls came"):
        storage.assert_all_met()


def test_at_the_end_of_a_with_the_fault_was_met_and_is_lifted() -> None:
    storage = FaultyStorage()

    with storage.fail("read", times=None), pytest.raises(ConnectionError):
        storage.read("1")

    assert storage.read("1") is None
    storage.assert_all_met()


def test_a_with_without_the_fault_fails() -> None:
    storage = FaultyStorage()

    with (
        pytest.raises(AssertionError, match=r"fail\('read'\): 0 of 1 calls came\n.*\n  nothing"),
        storage.fail("read"),
    ):
        pass


def test_a_with_hides_no_error_of_the_test() -> None:
    storage = FaultyStorage()

    with pytest.raises(KeyError), storage.fail("read", times=None):
        raise KeyError

    assert storage.read("1") is None


def test_a_long_story_is_cut() -> None:
    storage = FaultyStorage()
    for number in range(21):
        storage.read(str(number))

    with pytest.raises(AssertionError) as caught:
        storage.fail("write").assert_met()

    assert "prefix):\n  ...\n  read('1')\n" in str(caught.value)


# Faults that cannot be.


@pytest.mark.parametrize("operation", ["touch", "write_if", "raed", "sync"])
def test_a_fault_of_what_the_storage_cannot_do_is_refused(operation: str) -> None:
    storage = FaultyStorage(Listed())

    with pytest.raises(ValueError, match=f"{operation!r} is not an operation of Listed") as caught:
        storage.fail(operation)

    assert str(caught.value).endswith("it has read, write, delete, has, iter_items, iter_keys")


def test_batches_can_be_torn_only_where_there_are_batches() -> None:
    with pytest.raises(ValueError, match="'write_many' is not an operation of Plain"):
        FaultyStorage(Plain()).tear()


def test_listings_cannot_be_held_up() -> None:
    with pytest.raises(ValueError, match="iter_keys cannot be held up, only fail"):
        FaultyStorage().block("iter_keys")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"times": 0}, ValueError, "times must be at least 1, not 0"),
        ({"times": "2"}, TypeError, "times must be a whole number, not '2'"),
        ({"times": True}, TypeError, "times must be a whole number, not True"),
        ({"after": -1}, ValueError, "after must be at least 0, not -1"),
        ({"key": 1.5}, TypeError, "key must be a str or an int, not 1.5"),
        ({"key": True}, TypeError, "key must be a str or an int, not True"),
        ({"error": "disk full"}, TypeError, "error must be an exception or a class of"),
        ({"error": int}, TypeError, "error must be an exception or a class of"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    storage = FaultyStorage()

    with pytest.raises(error, match=message):
        storage.fail("read", **arguments)

    assert storage.read("1") is None


def test_what_is_without_key_takes_none() -> None:
    with pytest.raises(ValueError, match="close has no key: leave out key='1'"):
        FaultyStorage().fail("close", key="1")


def test_a_batch_is_not_torn_before_its_begin() -> None:
    with pytest.raises(ValueError, match="stored must be at least 0, not -1"):
        FaultyStorage().tear(stored=-1)
