"""Assigning to lazy sessions: data, awaitables, before, while and after reading."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sessionkit import MemorySessionStorage, SessionEncodeError
from tests.contexts import (
    AsyncSpy,
    Ctx,
    Handler,
    Spy,
    assert_nothing_left,
    lazy,
    run,
    until,
    update,
)
from tests.test_lazy import Flavored


class Slotted:
    __slots__ = ("chat", "session")

    def __init__(self, chat: Any = "1") -> None:
        self.chat = chat


@pytest.fixture(params=[Ctx, Flavored, Slotted])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=[Spy, AsyncSpy])
def storage(request: pytest.FixtureRequest) -> Any:
    return request.param(_1={"n": 1})


def handle(sessions: Any, handler: Handler, ctx: Any) -> Any:
    run(update(sessions, type(ctx)("warm up"), lambda _: None))
    result = run(update(sessions, ctx, handler))
    assert_nothing_left(sessions)
    assert not hasattr(ctx, "session") or isinstance(ctx, Flavored)
    return result


def current(sessions: Any, ctx: Any) -> Any:
    """What awaiting gives, on any context: plain ones show what was assigned until then."""
    return sessions.of(ctx)


async def later(value: Any) -> Any:
    await asyncio.sleep(1)
    return value


@pytest.mark.parametrize("value", [{"n": 2}, {}, [], 0, "", False])
def test_assigning_needs_no_read_and_is_written_once(storage: Any, kind: Any, value: Any) -> None:
    sessions = lazy(storage=storage)

    async def handler(ctx: Any) -> None:
        ctx.session = value
        assert await current(sessions, ctx) == value
        assert sessions.of(ctx).is_changed

    handle(sessions, handler, kind())

    assert storage.counts == "R0 W1 D0"
    assert storage.data == {"1": value}


@pytest.mark.parametrize("delete", ["None", "del"])
def test_none_and_del_delete_without_reading(storage: Any, kind: Any, delete: str) -> None:
    sessions = lazy(storage=storage)

    async def handler(ctx: Any) -> None:
        if delete == "del":
            del ctx.session
        else:
            ctx.session = None
        assert await current(sessions, ctx) is None

    handle(sessions, handler, kind())

    assert storage.counts == "R0 W0 D1"
    assert storage.data == {}


def test_what_is_deleted_and_assigned_again_is_written(storage: Any, kind: Any) -> None:
    async def handler(ctx: Any) -> None:
        ctx.session = None
        ctx.session = {"n": 3}

    handle(lazy(storage=storage), handler, kind())

    assert storage.counts == "R0 W1 D0"


def test_read_and_then_assigned_it_is_written_once(storage: Any, kind: Any) -> None:
    async def handler(ctx: Any) -> None:
        found = await ctx.session
        ctx.session = {"n": found["n"] + 1}

    handle(lazy(storage=storage), handler, kind())

    assert storage.counts == "R1 W1 D0"
    assert storage.data == {"1": {"n": 2}}


def test_what_was_assigned_may_be_changed_in_place(storage: Any, kind: Any) -> None:
    sessions = lazy(storage=storage)

    async def handler(ctx: Any) -> None:
        ctx.session = mine = {"n": 5}
        assert await current(sessions, ctx) is mine
        mine["n"] += 1

    handle(sessions, handler, kind())

    assert storage.data == {"1": {"n": 6}}


def test_assigning_the_session_to_itself_changes_nothing(storage: Any, kind: Any) -> None:
    async def handler(ctx: Any) -> None:
        ctx.session = ctx.session
        assert (await ctx.session)["n"] == 1
        ctx.session = ctx.session

    handle(lazy(storage=storage), handler, kind())

    assert storage.counts == "R1 W0 D0"


def test_an_assignment_meets_no_conflict() -> None:
    sessions = lazy(storage=MemorySessionStorage())

    async def handler(ctx: Any) -> None:
        sessions.storage.write("1", {"somebody": "else"})
        ctx.session = {"n": 1}
        sessions.storage.write("1", {"somebody": "else"})

    handle(sessions, handler, Ctx())

    assert sessions.storage.read("1") == {"n": 1}


def test_an_assignment_while_a_read_is_in_flight_wins(kind: Any) -> None:
    async def main() -> None:
        storage = AsyncSpy(_1={"n": 1})
        sessions = lazy(storage=storage)
        storage.gate.clear()

        async def handler(ctx: Any) -> None:
            reader = asyncio.ensure_future(ctx.session)
            await until(lambda: storage.under_way)
            ctx.session = {"n": 7}
            storage.gate.set()
            assert await reader == {"n": 7}
            assert await current(sessions, ctx) == {"n": 7}

        await update(sessions, kind(), handler)
        assert storage.data == {"1": {"n": 7}}
        assert storage.counts == "R1 W1 D0"
        assert_nothing_left(sessions)

    run(main())


def test_unencodable_data_is_refused_and_the_stored_value_kept(kind: Any) -> None:
    storage = Spy(_1={"n": 1})

    async def handler(ctx: Any) -> None:
        ctx.session = {"at": {1, 2}}

    with pytest.raises(SessionEncodeError, match="The stored value was kept"):
        handle(lazy(storage=storage), handler, kind())
    assert storage.data == {"1": {"n": 1}}


# Awaitables


def test_an_awaitable_is_awaited_at_the_end(storage: Any, kind: Any) -> None:
    sessions = lazy(storage=storage)

    async def handler(ctx: Any) -> None:
        ctx.session = later({"n": 9})
        assert sessions.of(ctx).is_changed

    handle(sessions, handler, kind())

    assert storage.counts == "R0 W1 D0"
    assert storage.data == {"1": {"n": 9}}


def test_an_awaitable_may_be_awaited_before_and_is_only_once(storage: Any, kind: Any) -> None:
    sessions = lazy(storage=storage)

    async def handler(ctx: Any) -> None:
        ctx.session = later({"n": 9})
        found = await current(sessions, ctx)
        assert found is await current(sessions, ctx)
        found["n"] += 1

    handle(sessions, handler, kind())

    assert storage.data == {"1": {"n": 10}}


def test_tasks_and_futures_may_be_assigned(storage: Any, kind: Any) -> None:
    async def handler(ctx: Any) -> None:
        ctx.session = asyncio.create_task(later({"n": 9}))

    handle(lazy(storage=storage), handler, kind())

    assert storage.data == {"1": {"n": 9}}


def test_a_session_may_be_changed_by_a_coroutine_of_itself(storage: Any, kind: Any) -> None:
    """grammY's documented way to reset, which never returns there."""

    async def counted(before: Any) -> Any:
        found = await before
        found["n"] += 1
        return found

    async def handler(ctx: Any) -> None:
        ctx.session = counted(ctx.session)

    handle(lazy(storage=storage), handler, kind())

    assert storage.data == {"1": {"n": 2}}
    assert storage.counts == "R1 W1 D0"


def test_changes_may_be_chained() -> None:
    storage = Spy(_1={"n": 1})

    async def counted(before: Any, by: int) -> Any:
        return {"n": (await before)["n"] * 10 + by}

    async def handler(ctx: Any) -> None:
        for number in (2, 3, 4):
            ctx.session = counted(ctx.session, number)

    for ctx in (Ctx(), Flavored()):
        storage.data["1"] = {"n": 1}
        handle(lazy(storage=storage), handler, ctx)
        assert storage.data == {"1": {"n": 1234}}


def test_an_awaitable_sees_what_was_assigned_before_it() -> None:
    storage = Spy(_1={"n": 1})
    sessions = lazy(storage=storage)

    async def counted(ctx: Any) -> Any:
        return {"n": (await ctx.session)["n"] + 1}

    async def handler(ctx: Any) -> None:
        ctx.session = {"n": 5}
        ctx.session = counted(ctx)

    handle(sessions, handler, Flavored())

    assert storage.data == {"1": {"n": 6}}
    assert storage.counts == "R0 W1 D0"


def test_a_replaced_awaitable_is_closed_without_a_warning() -> None:
    storage = Spy(_1={"n": 1})

    async def handler(ctx: Any) -> None:
        ctx.session = later({"n": 5})
        ctx.session = later({"n": 6})
        ctx.session = {"n": 7}

    handle(lazy(storage=storage), handler, Flavored())

    assert storage.data == {"1": {"n": 7}}


def test_an_awaitable_that_does_not_look_replaces_the_one_before() -> None:
    storage = Spy(_1={"n": 1})

    async def handler(ctx: Any) -> None:
        ctx.session = later({"n": 5})
        ctx.session = later({"n": 6})

    handle(lazy(storage=storage), handler, Flavored())

    assert storage.data == {"1": {"n": 6}}


def test_an_awaitable_of_none_is_an_error_and_nothing_is_lost(storage: Any, kind: Any) -> None:
    async def forgotten(before: Any) -> None:
        (await before)["n"] = 0

    async def handler(ctx: Any) -> None:
        ctx.session = forgotten(ctx.session)

    with pytest.raises(SessionEncodeError) as caught:
        handle(lazy(storage=storage), handler, kind())
    assert str(caught.value) == (
        "the awaitable assigned to the session '1' gave None: forgot return? "
        "Only None itself deletes. The stored value was kept."
    )
    assert caught.value.key == "1"
    assert storage.data == {"1": {"n": 1}}


def test_an_error_in_an_awaitable_is_raised_at_the_end(storage: Any, kind: Any) -> None:
    sessions = lazy(storage=storage)

    async def fail() -> Any:
        raise LookupError("in there")

    async def handler(ctx: Any) -> None:
        (await ctx.session)["n"] = 2
        ctx.session = fail()

    with pytest.raises(LookupError, match="in there"):
        handle(sessions, handler, kind())
    assert storage.counts == "R1 W0 D0"
    assert_nothing_left(sessions)


def test_an_error_in_an_awaitable_is_raised_where_it_is_awaited(storage: Any, kind: Any) -> None:
    sessions = lazy(storage=storage)

    async def fail() -> Any:
        raise LookupError("in there")

    async def handler(ctx: Any) -> None:
        ctx.session = fail()
        with pytest.raises(LookupError, match="in there"):
            await current(sessions, ctx)
        assert await ctx.session == {"n": 1}

    handle(sessions, handler, kind())

    assert storage.counts == "R1 W0 D0"


def test_when_the_handler_fails_the_awaitable_never_runs(storage: Any, kind: Any) -> None:
    async def never() -> Any:
        raise AssertionError

    async def handler(ctx: Any) -> None:
        ctx.session = never()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        handle(lazy(storage=storage), handler, kind())
    assert storage.log == []


def test_what_an_awaitable_assigns_itself_counts(storage: Any, kind: Any) -> None:
    async def reset(ctx: Any) -> None:
        ctx.session = {"n": 0}

    async def handler(ctx: Any) -> None:
        ctx.session = reset(ctx)

    handle(lazy(storage=storage), handler, kind())

    assert storage.data == {"1": {"n": 0}}


def test_what_an_awaitable_assigns_may_be_an_awaitable_again(storage: Any, kind: Any) -> None:
    async def reset(ctx: Any, times: int) -> Any:
        ctx.session = reset(ctx, times - 1) if times else later({"n": 0})

    async def handler(ctx: Any) -> None:
        ctx.session = reset(ctx, 3)

    handle(lazy(storage=storage), handler, kind())

    assert storage.data == {"1": {"n": 0}}


def test_save_awaits_all_that_was_assigned() -> None:
    storage = Spy(_1={"n": 1})
    sessions = lazy(storage=storage)

    async def reset(ctx: Any) -> None:
        ctx.session = later({"n": 0})

    async def handler(ctx: Any) -> None:
        ctx.session = reset(ctx)
        await sessions.of(ctx).save()
        assert storage.data == {"1": {"n": 0}}

    for ctx in (Ctx(), Flavored()):
        handle(sessions, handler, ctx)


def test_an_awaitable_that_is_assigned_while_a_read_is_in_flight_wins(kind: Any) -> None:
    async def main() -> None:
        storage = AsyncSpy(_1={"n": 1})
        sessions = lazy(storage=storage)
        storage.gate.clear()

        async def handler(ctx: Any) -> None:
            reader = asyncio.ensure_future(ctx.session)
            await until(lambda: storage.under_way)
            ctx.session = later({"n": 7})
            storage.gate.set()
            assert await reader == {"n": 7}

        await update(sessions, kind(), handler)
        assert storage.data == {"1": {"n": 7}}

    run(main())


def test_an_awaitable_that_is_assigned_while_one_waits_for_the_key_wins(kind: Any) -> None:
    async def main() -> None:
        storage = AsyncSpy(_1={"n": 1})
        sessions = lazy(storage=storage)
        ctx = kind()

        async def handler(ctx: Any) -> None:
            ctx.session = later({"n": 3})
            assert await current(sessions, ctx) == {"n": 7}

        async with sessions.open("1") as holder:
            await holder
            waiter = asyncio.create_task(update(sessions, ctx, handler))
            await asyncio.sleep(2)
            assert sessions._settings.locks.waiting
            ctx.session = later({"n": 7})
        await waiter
        assert storage.data == {"1": {"n": 7}}

    run(main())


def test_an_awaitable_may_delete(storage: Any, kind: Any) -> None:
    async def forget(ctx: Any) -> None:
        await asyncio.sleep(0)
        ctx.session = None

    async def handler(ctx: Any) -> None:
        ctx.session = forget(ctx)

    handle(lazy(storage=storage), handler, kind())

    assert storage.data == {}


def test_an_assignment_while_an_awaitable_runs_wins(kind: Any) -> None:
    async def main() -> None:
        storage = AsyncSpy(_1={"n": 1})
        sessions = lazy(storage=storage)
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slow() -> Any:
            begun.set()
            await go_on.wait()
            return {"n": "old"}

        async def handler(ctx: Any) -> None:
            ctx.session = slow()
            reader = asyncio.ensure_future(current(sessions, ctx))
            await begun.wait()
            ctx.session = {"n": "new"}
            go_on.set()
            assert await reader == {"n": "new"}

        await update(sessions, kind(), handler)
        assert storage.data == {"1": {"n": "new"}}
        assert_nothing_left(sessions)

    run(main())


@pytest.mark.parametrize("where", ["awaitable", "lock"])
def test_a_cancelled_end_writes_nothing_and_lets_go(where: str) -> None:
    async def main() -> None:
        storage = AsyncSpy(_1={"n": 1})
        sessions = lazy(storage=storage)
        holder = sessions.open("1")
        begun = asyncio.Event()
        if where == "lock":
            await (await holder.begin())

        async def never() -> Any:
            begun.set()
            await asyncio.Event().wait()

        async def handler(ctx: Any) -> None:
            begun.set()
            ctx.session = {"n": 2} if where == "lock" else never()

        task = asyncio.create_task(update(sessions, Ctx(), handler))
        await begun.wait()
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await holder.close()

        assert storage.data == {"1": {"n": 1}}
        assert_nothing_left(sessions)

    run(main())


def test_a_failing_write_is_raised_after_the_handler(storage: Any, kind: Any) -> None:
    sessions = lazy(storage=storage)
    storage.broken = {"W"}

    async def handler(ctx: Any) -> None:
        ctx.session = {"n": 2}

    with pytest.raises(OSError, match="W 1 failed"):
        handle(sessions, handler, kind())
    assert_nothing_left(sessions)
    assert storage.data == {"1": {"n": 1}}
