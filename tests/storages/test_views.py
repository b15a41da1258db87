"""A storage that blocks seen by tasks, and an async one seen by threads."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any, Final

import pytest

from sessionkit import (
    MemorySessionStorage,
    SessionClosedError,
    SessionError,
    SessionListingError,
    SQLiteSessionStorage,
    enhance_storage,
)
from sessionkit.codecs import JSONCodec
from sessionkit.storages.authoring import AsyncView, BlockingView, Lifetime, RecordStorage
from sessionkit.testing import Limits, StorageSuite
from tests.profiles import without
from tests.storages.dict_engine import DictEngine

TTL: Final = 60.0


@without("machine")
class OverAView(StorageSuite):
    """Without random histories, which are asked of what is inside."""

    limits = Limits(shared=False, durable=False, ttl=TTL)


class TestAsyncView(OverAView):
    def open(self, namespace: str) -> Any:
        inside = MemorySessionStorage(clock=self.clock)
        return AsyncView(enhance_storage(inside, ttl=TTL, clock=self.clock))


class TestBlockingView(OverAView):
    def open(self, namespace: str) -> Any:
        lifetime = Lifetime(TTL, self.clock)

        async def open_storage() -> RecordStorage:
            return RecordStorage(DictEngine(), JSONCodec(), lifetime, 5)

        return BlockingView(open_storage)


@pytest.mark.thorough
class TestEnhancedBlockingView(OverAView):
    def open(self, namespace: str) -> Any:
        lifetime = Lifetime(None, self.clock)
        view = BlockingView(lambda: RecordStorage(DictEngine(), JSONCodec(), lifetime, 5))
        return enhance_storage(view, ttl=TTL, clock=self.clock)


class Bare:
    """Three methods, and nothing to close."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()

    def read(self, key: str) -> Any:
        return self.rows.get(key)

    def write(self, key: str, value: Any) -> None:
        self.reached.set()
        self.gate.wait()
        self.rows[key] = value

    def delete(self, key: str) -> None:
        self.rows.pop(key, None)


def test_a_view_has_what_the_storage_has() -> None:
    async def main() -> None:
        async with AsyncView(Bare()) as view:
            await view.write("1", 1)
            assert await view.read("1") == 1
            assert view.sync.read("1") == 1
            assert not hasattr(view, "write_if")
        with pytest.raises(SessionClosedError):
            await view.read("1")

    asyncio.run(main())
    with BlockingView(Bare) as view:
        view.write("1", 1)
        assert view.sync.read("1") == 1
        assert not hasattr(view, "iter_keys")
        assert repr(view).startswith("BlockingView(")
    with pytest.raises(SessionClosedError):
        view.read("1")
    view.close()


def test_a_sliding_timeout_slides_through_a_view() -> None:
    def sliding() -> Any:
        return enhance_storage(MemorySessionStorage(), ttl=TTL, sliding=True)

    async def main() -> None:
        async with AsyncView(sliding()) as view:
            await view.renew("1", await view.write_if("1", 1, None))
            assert await view.read("1") == 1

    asyncio.run(main())
    with BlockingView(sliding) as view:
        view.renew("1", view.write_if("1", 1, None))
        assert view.read("1") == 1


@pytest.mark.parametrize("number", [1, 99, 100, 101])
def test_what_cannot_be_read_is_reported_after_all_else_was_listed(number: int) -> None:
    class Damaged(Bare):
        def iter_keys(self, prefix: str = "") -> Iterator[str]:
            yield from (f"{prefix}{each}" for each in range(number))
            raise SessionListingError("one was left out", keys=("x",))

    async def main() -> list[str]:
        found: list[str] = []
        async with AsyncView(Damaged()) as view:
            with pytest.raises(SessionListingError):
                async for key in view.iter_keys("a"):
                    found.append(key)
        return found

    listed: list[str] = []
    with BlockingView(Damaged) as blocking, pytest.raises(SessionListingError):
        listed.extend(blocking.iter_keys("a"))
    assert listed == asyncio.run(main()) == [f"a{each}" for each in range(number)]


def test_a_cancelled_write_on_a_thread_is_withdrawn_or_waited_for() -> None:
    async def main() -> None:
        inside = Bare()
        inside.gate.clear()
        async with AsyncView(inside, threads=1) as view:
            tasks = [asyncio.ensure_future(view.write(key, 1)) for key in "12"]
            await asyncio.to_thread(inside.reached.wait)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks[1:])
            assert [task.done() for task in tasks] == [False, True]
            inside.gate.set()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(each) for each in ended] == [asyncio.CancelledError] * 2
            assert inside.rows == {"1": 1}

    asyncio.run(main())


def test_ctrl_c_ends_the_call_first() -> None:
    ended: list[str] = []

    class Slow(Bare):
        async def read(self, key: str) -> Any:
            os.kill(os.getpid(), signal.SIGINT)
            try:
                await asyncio.sleep(3600)
            finally:
                ended.append(key)

    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with BlockingView(Slow) as view, pytest.raises(KeyboardInterrupt):
            view.read("1")
    finally:
        signal.signal(signal.SIGINT, handler)
    assert ended == ["1"]


def test_what_is_not_a_storage_is_refused_and_leaves_no_thread() -> None:
    before = threading.active_count()
    with pytest.raises(TypeError, match="is not a storage"):
        BlockingView(object)
    with pytest.raises(TypeError, match="is not a storage"):
        AsyncView(object())
    assert threading.active_count() == before


def test_a_forked_process_gets_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with BlockingView(lambda: SQLiteSessionStorage(":memory:")) as view:
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(SessionError, match="forked"):
            view.read("1")
        monkeypatch.undo()
        view.write("1", {"n": 1})
        assert dict(view.iter_items()) == {"1": {"n": 1}}
