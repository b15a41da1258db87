"""Whatever goes wrong, what is stored stays; nothing lands late."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from sessionkit import (
    SessionDecodeError,
    SessionEncodeError,
    SessionFlavor,
    multi_session,
    session,
)
from tests.core import (
    Ctx,
    Live,
    Oops,
    Remote,
    counters,
    free,
    run,
)

Data = dict[str, Any]


class Flavored(SessionFlavor[Data], Ctx):
    pass


# Errors


@dataclass
class Pet:
    age: int = 0


@pytest.mark.parametrize(
    "error", [Oops("x"), asyncio.CancelledError(), KeyboardInterrupt(), GeneratorExit()]
)
@pytest.mark.parametrize("kind", [Ctx, Flavored])
def test_a_handler_that_fails_leaves_the_old_data(
    storage: Any, kind: type[Ctx], error: BaseException
) -> None:
    async def handler(ctx: Any) -> None:
        ctx.session["n"] = 99
        raise error

    async def main() -> None:
        sessions = counters(storage)
        for before in (None, {"n": 1}):
            if before:
                storage.sync.write("1", before)
            for _ in range(2):
                try:
                    await sessions(kind(), handler)
                except BaseException as raised:
                    assert raised is error
            assert storage.sync.read("1") == before
        assert free(sessions)

    run(main())


def test_a_failing_handler_keeps_what_was_saved_before(storage: Any) -> None:
    async def main() -> None:
        sessions = counters(storage)
        with pytest.raises(Oops):
            async with sessions.open(1) as opened:
                opened.data["n"] = 1
                await opened.save()
                opened.data["n"] = 2
                raise Oops
        assert await sessions.get(1) == {"n": 1}

    run(main())


def test_saving_twice_does_not_clash_with_itself(storage: Any) -> None:
    async def main() -> None:
        sessions = counters(storage)
        async with sessions.open(1) as opened:
            for number in range(1, 4):
                opened.data["n"] = number
                assert opened.is_changed
                await opened.save()
                assert not opened.is_changed
            opened.data["n"] = 9
        assert await sessions.get(1) == {"n": 9}

    run(main())


@pytest.mark.parametrize(
    ("option", "error", "saved"),
    [
        (True, Oops(), True),
        (True, asyncio.CancelledError(), True),
        (True, KeyboardInterrupt(), False),
        (Oops, Oops(), True),
        (Oops, ValueError(), False),
        ((Oops, ValueError), ValueError(), True),
        (BaseException, KeyboardInterrupt(), True),
        (Exception, asyncio.CancelledError(), False),
        (False, Oops(), False),
        ((), Oops(), False),
    ],
)
def test_save_on_error_takes_types_as_except_does(
    option: Any, error: BaseException, saved: bool
) -> None:
    async def handler(ctx: Ctx) -> None:
        ctx.session["n"] = 1
        raise error

    async def main() -> None:
        sessions = counters(save_on_error=option)
        try:
            await sessions(Ctx(), handler)
        except BaseException as raised:
            assert raised is error
        assert await sessions.get(1) == {"n": int(saved)}

    run(main())


def test_a_cancelled_handler_writes_nothing(storage: Any) -> None:
    async def main() -> None:
        sessions = counters(storage)
        inside = asyncio.Event()

        async def handler(ctx: Ctx) -> None:
            ctx.session["n"] = 1
            inside.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(sessions(Ctx(), handler))
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await sessions.get(1) == {"n": 0}
        assert free(sessions)

    run(main())


def test_a_closed_coroutine_gives_the_key_back(storage: Any) -> None:
    async def main() -> None:
        sessions = counters(storage)
        storage.sync.write("1", {"n": 5})
        inside = asyncio.Event()

        async def handler(ctx: Ctx) -> None:
            ctx.session["n"] = 6
            inside.set()
            await asyncio.Event().wait()

        task = asyncio.ensure_future(_abandoned(sessions(Ctx(), handler), inside))
        await task
        assert free(sessions)
        assert storage.sync.read("1") == {"n": 5}

    run(main())


async def _abandoned(update: Any, inside: asyncio.Event) -> None:
    """Run a coroutine up to where the handler waits, and close it."""
    waits: Any = None
    while not inside.is_set():
        waits = update.send(None)
        if waits is not None and not inside.is_set():
            waits._asyncio_future_blocking = False
            await waits
    if waits is not None:
        waits._asyncio_future_blocking = False
        waits.cancel()
    update.close()


def test_marking_a_session_as_failed_writes_nothing(storage: Any) -> None:
    async def main() -> None:
        sessions = counters(storage)
        async with sessions.open(1) as opened:
            opened.data["n"] = 1
            await opened.save()
            opened.data["n"] = 2
            opened.discard()
        assert await sessions.get(1) == {"n": 1}

    run(main())


def test_a_failing_read_is_raised_and_never_leads_to_a_write() -> None:
    async def never(ctx: Ctx) -> None:
        raise AssertionError("the handler must not run")

    async def main() -> None:
        storage = Remote(**{"1": {"n": 5}})
        storage.fail("read")
        sessions = counters(storage)
        with pytest.raises(OSError, match="read failed"):
            await sessions(Ctx(), never)
        assert storage.calls == [("read", "1")]
        assert free(sessions)

    run(main())


def test_an_undecodable_value_is_raised_and_stays() -> None:
    async def main() -> None:
        storage = Live(**{"p-1": "many"})
        sessions = session(Pet, storage=storage, prefix="p-")
        with pytest.raises(SessionDecodeError) as caught:
            async with sessions.open(1):
                pass
        assert caught.value.key == "p-1"
        assert storage.values == {"p-1": "many"}
        assert free(sessions)
        await sessions.delete(1)
        assert not storage.values

    run(main())


@pytest.mark.parametrize("failure", ["read", "decode"])
def test_a_failing_reload_leaves_the_session_as_it_was(failure: str) -> None:
    async def main() -> None:
        storage = Remote(**{"1": {"age": 5}})
        sessions = session(Pet, storage=storage)
        with pytest.raises((OSError, SessionDecodeError)):
            async with sessions.open(1) as opened:
                opened.data.age = 6
                if failure == "read":
                    storage.fail("read")
                else:
                    storage.put("1", "undecodable")
                with pytest.raises((OSError, SessionDecodeError)):
                    await opened.reload()
                assert opened.data == Pet(6)
                raise OSError("give up")
        assert storage.count("write") == 0

    run(main())


def test_what_could_not_be_decoded_in_a_reload_is_not_overwritten() -> None:
    async def main() -> None:
        storage = Remote(**{"1": {"age": 5}})
        sessions = session(Pet, storage=storage)
        with pytest.raises(Exception, match="changed elsewhere"):
            async with sessions.open(1) as opened:
                storage.put("1", "undecodable")
                with pytest.raises(SessionDecodeError):
                    await opened.reload()
                opened.data.age += 1
        assert storage.value("1") == "undecodable"

    run(main())


def test_a_failing_write_is_raised_and_the_old_data_stays() -> None:
    async def main() -> None:
        storage = Remote(**{"1": {"n": 5}})
        sessions = counters(storage)
        storage.fail("write")
        with pytest.raises(OSError, match="write failed"):
            async with sessions.open(1) as opened:
                opened.data["n"] = 6
        assert storage.value("1") == {"n": 5}
        assert free(sessions)
        storage.fail("write")
        async with sessions.open(1) as opened:
            opened.data["n"] = 7
            with pytest.raises(OSError, match="write failed"):
                await opened.save()
            assert opened.is_changed
        assert storage.value("1") == {"n": 7}

    run(main())


def test_an_awaitable_put_into_a_strict_session_says_await() -> None:
    async def later() -> Data:
        return {}

    async def main() -> None:
        sessions = counters(Live(**{"1": {"n": 5}}))
        with pytest.raises(SessionEncodeError, match="forgot await") as caught:
            async with sessions.open(1) as opened:
                data: Any = later()
                opened.data = data
        assert caught.value.key == "1"
        assert await sessions.get(1) == {"n": 5}

    run(main())


# Writes that are cut short


@pytest.mark.parametrize("settling", [True, False])
def test_a_cancelled_write_keeps_the_lock_until_it_has_settled(settling: bool) -> None:
    async def main() -> None:
        storage = Remote(**{"1": {"n": 0}})
        gate = storage.gates["write"] = asyncio.Event()
        sessions = counters(storage)

        async def first(ctx: Ctx) -> None:
            ctx.session["n"] = 1

        async def count(ctx: Ctx) -> None:
            ctx.session["n"] += 10

        update = asyncio.create_task(sessions(Ctx(), first))
        await storage.begun.wait()
        for _ in range(2):  # a second cancellation does not end the wait either
            update.cancel()
            await asyncio.sleep(0)
        later = asyncio.create_task(sessions(Ctx(), count))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not update.done()
        assert storage.count("read") == 1
        if not settling:
            storage.fail("write", 1)
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await update
        await later
        assert storage.value("1") == {"n": 11}
        assert free(sessions)

    run(main())


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("several", [False, True])
def test_an_update_ends_after_what_a_task_saves(several: bool, cancelled: bool) -> None:
    async def main() -> None:
        storage = Remote(**{"1": {"n": 0}})
        gate = storage.gates["write"] = asyncio.Event()
        one = counters(storage)
        sessions: Any = multi_session(one=one) if several else one
        tasks: list[asyncio.Task[None]] = []

        async def handler(ctx: Ctx) -> None:
            opened = one.of(ctx)
            opened.data["n"] = 1
            tasks.append(asyncio.create_task(opened.save()))
            await storage.begun.wait()
            opened.data["n"] = 2
            if not cancelled:  # a second one waits for the first
                tasks.append(asyncio.create_task(opened.save()))

        update = asyncio.create_task(sessions(Ctx(), handler))
        await storage.begun.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        if cancelled:
            update.cancel()
            await asyncio.sleep(0)
        assert not update.done()
        assert one._settings.locks.held
        gate.set()
        ended = await asyncio.gather(update, *tasks, return_exceptions=True)
        assert isinstance(ended[0], asyncio.CancelledError) is cancelled
        assert storage.value("1") == {"n": 1 if cancelled else 2}
        assert free(one)

    run(main())


def test_a_write_that_fails_after_it_was_cancelled_raises_the_cancellation() -> None:
    async def main() -> None:
        begun, gate = asyncio.Event(), asyncio.Event()

        class Broken(Live):
            async def write(self, key: str, value: Any, /) -> None:  # type: ignore[override]  # either may be
                begun.set()
                await gate.wait()
                raise OSError("disk full")

        sessions = counters(Broken())
        update = asyncio.create_task(sessions.update(1, lambda data: {"n": data["n"] + 1}))
        await begun.wait()
        update.cancel()
        await asyncio.sleep(0)
        gate.set()
        with pytest.raises(asyncio.CancelledError) as caught:
            await update
        assert isinstance(caught.value.__cause__, OSError)
        assert free(sessions)

    run(main())
