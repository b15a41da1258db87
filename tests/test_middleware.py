"""``await sessions(ctx, handler)``: when it reads, writes, raises and lets go."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from sessionkit import (
    FileSessionStorage,
    MemorySessionStorage,
    SessionClosedError,
    SQLiteSessionStorage,
)
from tests.contexts import (
    AsyncSpy,
    Ctx,
    Handler,
    Spy,
    assert_nothing_left,
    lazy,
    run,
    strict,
    until,
    update,
)


@pytest.fixture(params=[strict, lazy])
def make(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=["memory", "file", "sqlite", "sync", "async"])
def storage(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    makers: dict[str, Callable[[], Any]] = {
        "memory": MemorySessionStorage,
        "file": lambda: FileSessionStorage(tmp_path / "folder"),
        "sqlite": lambda: SQLiteSessionStorage(tmp_path / "bot.db"),
        "sync": Spy,
        "async": AsyncSpy,
    }
    return makers[request.param]()


async def data(ctx: Any) -> Any:
    found = ctx.session
    return await found if inspect.isawaitable(found) else found


async def count(ctx: Any) -> int:
    found = await data(ctx)
    found["n"] = found.get("n", 0) + 1
    return int(found["n"])


def test_it_counts_on_every_storage(make: Any, storage: Any) -> None:
    async def main() -> None:
        sessions = make(storage=storage)
        for number in (1, 2, 3):
            assert await update(sessions, Ctx(), count) == number
        assert await update(sessions, Ctx("other"), count) == 1
        assert_nothing_left(sessions)
        close = getattr(storage, "close", None)
        if close is not None and inspect.isawaitable(closing := close()):
            await closing

    run(main())


@pytest.mark.parametrize("error", [RuntimeError("mine"), asyncio.CancelledError(), SystemExit(3)])
def test_an_error_is_raised_as_it_is_and_changes_nothing(
    make: Any, storage: Any, error: BaseException
) -> None:
    async def main() -> None:
        sessions = make(storage=storage)

        async def fail(ctx: Any) -> None:
            await count(ctx)
            raise error

        for number in (1, 2):
            await update(sessions, Ctx(), count)
            with pytest.raises(type(error)) as caught:
                await update(sessions, Ctx(), fail)
            assert caught.value is error
            assert await sessions.get("1") == {"n": number}
            assert_nothing_left(sessions)
        close = getattr(storage, "close", None)
        if close is not None and inspect.isawaitable(closing := close()):
            await closing

    run(main())


async def async_handler(ctx: Any) -> str:
    return f"handled {ctx.chat}"


def sync_handler(ctx: Any) -> str:
    return f"handled {ctx.chat}"


def future_handler(ctx: Any) -> Any:
    return asyncio.ensure_future(async_handler(ctx))


@pytest.mark.parametrize("handler", [async_handler, sync_handler, future_handler])
@pytest.mark.parametrize("ctx", [Ctx("1"), Ctx(None)])
def test_handlers_are_sync_or_async_and_their_results_returned(
    make: Any, handler: Handler, ctx: Any
) -> None:
    async def main() -> None:
        sessions = make(storage=MemorySessionStorage())
        for _ in range(3):
            assert await update(sessions, ctx, handler) == f"handled {ctx.chat}"
            assert_nothing_left(sessions)

    run(main())


def test_sync_handlers_change_data_in_place() -> None:
    sessions = strict(storage=MemorySessionStorage())
    sessions.storage.write("1", {"n": 1})

    for number in (2, 3, 4):
        run(update(sessions, Ctx(), lambda ctx: ctx.session.update(n=ctx.session["n"] + 1)))
        assert sessions.storage.read("1") == {"n": number}
        assert_nothing_left(sessions)


def test_a_sync_handler_that_fails_changes_nothing() -> None:
    sessions = strict(storage=MemorySessionStorage())
    sessions.storage.write("1", {"n": 1})

    def fail(ctx: Any) -> None:
        ctx.session["n"] = 2
        raise RuntimeError

    for _ in range(3):
        with pytest.raises(RuntimeError):
            run(update(sessions, Ctx(), fail))
        assert sessions.storage.read("1") == {"n": 1}
        assert_nothing_left(sessions)


def test_a_handler_that_is_cancelled_from_outside_changes_nothing(make: Any) -> None:
    async def main() -> None:
        sessions = make(storage=MemorySessionStorage())
        sessions.storage.write("1", {"n": 1})
        inside = asyncio.Event()

        async def hang(ctx: Any) -> None:
            (await data(ctx))["n"] = 2
            inside.set()
            await asyncio.Event().wait()

        for _ in range(2):
            inside.clear()
            task = asyncio.create_task(update(sessions, Ctx(), hang))
            await inside.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert sessions.storage.read("1") == {"n": 1}
            assert_nothing_left(sessions)

    run(main())


def test_an_update_that_is_cancelled_while_it_waits_leaves_nothing() -> None:
    async def main() -> None:
        sessions = strict(storage=MemorySessionStorage())
        ctx = Ctx()
        async with sessions.open("1"):
            task = asyncio.create_task(update(sessions, ctx, count))
            await until(lambda: sessions._settings.locks.waiting)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert vars(ctx) == {"chat": "1"}
        assert_nothing_left(sessions)

    run(main())


def test_while_an_update_waits_its_data_says_so() -> None:
    async def main() -> None:
        sessions = strict(storage=MemorySessionStorage())
        ctx = Ctx()
        async with sessions.open("1"):
            task = asyncio.create_task(update(sessions, ctx, count))
            await until(lambda: sessions._settings.locks.waiting)
            with pytest.raises(SessionClosedError) as caught:
                ctx.session["n"]
            assert str(caught.value) == "the session '1' is still waiting to be opened"
        await task
        assert_nothing_left(sessions)

    run(main())


def test_an_update_that_is_dropped_half_way_lets_go() -> None:
    """The coroutine is closed, as when a loop is stopped."""
    sessions = strict(storage=MemorySessionStorage())
    sessions.storage.write("1", {"n": 1})

    async def hang(ctx: Any) -> None:
        ctx.session["n"] = 2
        await asyncio.Event().wait()

    async def main() -> None:
        for _ in range(2):
            course = update(sessions, Ctx(), hang)
            course.send(None)
            course.close()
            assert_nothing_left(sessions)

    run(main())
    assert sessions.storage.read("1") == {"n": 1}


def test_strict_reads_before_the_handler_and_once() -> None:
    storage = Spy(_1={"n": 1})
    sessions = strict(storage=storage)

    async def handler(ctx: Any) -> None:
        assert storage.log == ["R 1"]
        ctx.session["n"] = 2
        ctx.session = {"n": 3}
        assert storage.log == ["R 1"]

    run(update(sessions, Ctx(), handler))

    assert storage.log == ["R 1", "W 1"]
    assert storage.data == {"1": {"n": 3}}


@pytest.mark.parametrize("stored", [{"1": {"n": 1}}, {}])
def test_untouched_strict_reads_and_writes_nothing(stored: dict[str, Any]) -> None:
    storage = Spy()
    storage.data = stored

    run(update(strict(storage=storage), Ctx(), lambda _: None))

    assert storage.log == ["R 1"]


def test_a_failing_read_keeps_the_handler_from_running() -> None:
    storage = Spy(_1={"n": 1})
    storage.broken = {"R"}
    sessions = strict(storage=storage, initial=dict)
    ctx = Ctx()

    def never(ctx: Any) -> None:
        raise AssertionError

    with pytest.raises(OSError, match="R 1 failed"):
        run(update(sessions, ctx, never))
    assert storage.log == ["R 1"]
    assert vars(ctx) == {"chat": "1"}
    assert_nothing_left(sessions)


def test_a_failing_write_is_raised_and_nothing_left() -> None:
    storage = Spy(_1={"n": 1})
    storage.broken = {"W"}
    sessions = strict(storage=storage)
    ctx = Ctx()

    with pytest.raises(OSError, match="W 1 failed"):
        run(update(sessions, ctx, count))
    assert vars(ctx) == {"chat": "1"}
    assert_nothing_left(sessions)


# Nesting


def test_nested_middleware_shares_one_session(make: Any) -> None:
    storage = Spy(_1={"n": 1})
    sessions = make(storage=storage)
    seen: list[Any] = []

    async def outer(ctx: Any) -> None:
        await count(ctx)
        await update(sessions, ctx, inner)
        seen.append(await data(ctx) if make is strict else await sessions.of(ctx))

    async def inner(ctx: Any) -> None:
        await count(ctx)
        ctx.session = {"n": (await data(ctx))["n"] + 10}

    for ctx in (Ctx(), Ctx()):
        storage.log.clear()
        run(update(sessions, ctx, outer))
        assert storage.counts == "R1 W1 D0"

    assert seen == [{"n": 13}, {"n": 25}]
    assert_nothing_left(sessions)


def test_updates_of_different_chats_do_not_wait_for_each_other(make: Any) -> None:
    async def main() -> None:
        sessions = make(storage=MemorySessionStorage())
        together = asyncio.Barrier(3)

        async def meet(ctx: Any) -> None:
            await count(ctx)
            await together.wait()

        await asyncio.gather(*(update(sessions, Ctx(str(i)), meet) for i in range(3)))
        assert_nothing_left(sessions)

    run(main())


def test_updates_of_one_chat_wait_for_each_other(make: Any) -> None:
    async def main() -> None:
        sessions = make(storage=MemorySessionStorage())

        async def slow(ctx: Any) -> None:
            found = await data(ctx)
            before = found.get("n", 0)
            await asyncio.sleep(1)
            found["n"] = before + 1

        await asyncio.gather(*(update(sessions, Ctx(), slow) for _ in range(20)))
        assert await sessions.get("1") == {"n": 20}
        assert_nothing_left(sessions)

    run(main())


# Helpful texts


def test_the_session_tells_where_its_data_is() -> None:
    sessions = strict()

    async def handler(ctx: Any) -> None:
        opened: Any = sessions.of(ctx)
        told = "this is the Session; its data is one step away: write session.data"
        with pytest.raises(TypeError) as caught:
            opened["n"]
        assert str(caught.value) == f"{told}['n']"
        with pytest.raises(TypeError) as caught:
            opened["n"] = 1
        assert str(caught.value) == f"{told}['n']"
        with pytest.raises(AttributeError) as missing:
            opened.count += 1
        assert str(missing.value) == f"{told}.count"

    run(update(sessions, Ctx(), handler))


def test_the_factory_tells_where_the_data_is(make: Any) -> None:
    with pytest.raises(TypeError) as caught:
        _ = make()["n"]
    assert str(caught.value) == (
        "this is the factory; in a handler use ctx.session or the session argument"
    )


def test_reprs_tell_kind_and_storage() -> None:
    storage = Spy()
    assert repr(strict(storage=storage)) == f"<Sessions in {storage!r}>"
    assert repr(lazy(storage=storage)) == f"<LazySessions in {storage!r}>"
    assert strict(storage=storage).storage is storage


# Set-up and the end


def test_other_storages_for_tests_leave_the_first_alone(make: Any) -> None:
    first, second = MemorySessionStorage(), MemorySessionStorage()
    sessions = make(storage=first)

    other = sessions.with_storage(second)
    for _ in range(2):
        run(update(other, Ctx(), count))

    assert first.read("1") is None
    assert second.read("1") == {"n": 2}
    assert type(other) is type(sessions)


def test_what_a_url_opened_is_closed_and_what_was_given_is_not(make: Any) -> None:
    async def main() -> None:
        async with make(storage="memory:") as owner:
            await update(owner, Ctx(), count)
        with pytest.raises(SessionClosedError):
            await owner.get("1")
        await owner.close()

        given = MemorySessionStorage()
        async with make(storage=given) as borrower:
            await update(borrower, Ctx(), count)
        assert given.read("1") == {"n": 1}

    run(main())


def test_purging_is_the_storages_to_do() -> None:
    now = 0.0
    storage = MemorySessionStorage(ttl=10, clock=lambda: now)
    sessions = strict(storage=storage)

    def new(before: Any) -> Any:
        return {"n": 1}

    async def main() -> int:
        await sessions.update("1", new)
        return int(await sessions.purge_expired())

    assert run(main()) == 0
    now = 10.0
    assert run(sessions.purge_expired()) == 1

    with pytest.raises(TypeError, match="has no purge_expired"):
        run(strict(storage=Spy()).purge_expired())


def test_what_is_stored_can_be_listed(make: Any) -> None:
    async def main() -> None:
        sessions = make(storage=MemorySessionStorage(), prefix="p-")
        for chat in ("1", "2"):
            await update(sessions, Ctx(chat), count)
        listing = sessions.keys()
        assert sorted([key async for key in listing]) == ["1", "2"]
        assert [item async for item in sessions.items(chat=2)] == [("2", {"n": 1})]

    run(main())


async def yields(ctx: Any) -> Any:
    ctx.session = {"n": 1}
    yield


def yields_at_once(ctx: Any) -> Any:
    ctx.session = {"n": 1}
    yield


@pytest.mark.parametrize("handler", [yields, yields_at_once])
def test_a_generator_as_a_handler_is_refused(make: Any, handler: Any) -> None:
    sessions = make(storage=MemorySessionStorage())

    with pytest.raises(TypeError, match=r"yields\w*\(\) has a yield: it is a generator"):
        run(sessions(Ctx(), handler))
    with pytest.raises(TypeError, match="has a yield"):
        sessions.sync(Ctx(), handler)
    assert_nothing_left(sessions)
