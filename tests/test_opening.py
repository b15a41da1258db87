"""One use of a session in steps: begin, fail, hold, close, in whatever order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sessionkit import (
    InvalidSessionKeyError,
    MemorySessionStorage,
    NoSessionKeyError,
    SessionClosedError,
    SessionError,
    SessionReentrancyError,
    lazy_session,
    multi_session,
    session,
)
from tests.contexts import AsyncSpy, Ctx, Spy, assert_nothing_left, lazy, run, strict, update


@pytest.fixture
def sessions() -> Any:
    made = strict(storage=MemorySessionStorage())
    made.storage.write("1", {"n": 1})
    return made


def stored(sessions: Any, key: str = "1") -> Any:
    return sessions.storage.read(key)


def test_begin_and_close_are_what_async_with_does(sessions: Any) -> None:
    async def main() -> None:
        opening = sessions.open(Ctx())
        opened = await opening.begin()
        opened.data["n"] = 2
        assert stored(sessions) == {"n": 1}
        await opening.close()

    run(main())

    assert stored(sessions) == {"n": 2}
    assert_nothing_left(sessions)


def test_close_without_begin_is_a_no_op(sessions: Any) -> None:
    async def main() -> None:
        opening = sessions.open("1")
        await opening.close()
        await opening.close(RuntimeError())
        opened = await opening.begin()
        opened.data["n"] = 2
        await opening.close()
        await opening.close()

    run(main())

    assert stored(sessions) == {"n": 2}, "what was before begin() does not count"
    assert_nothing_left(sessions)


@pytest.mark.parametrize("how", ["close", "fail", "fail without an error", "async with"])
def test_after_an_error_nothing_is_written(sessions: Any, how: str) -> None:
    async def main() -> None:
        opening = sessions.open("1")
        if how == "async with":
            with pytest.raises(RuntimeError):
                async with opening as opened:
                    opened.data["n"] = 2
                    raise RuntimeError
            return
        opened = await opening.begin()
        opened.data["n"] = 2
        if how == "fail":
            opening.fail(RuntimeError())
        elif how != "close":
            opening.fail()
        await opening.close(RuntimeError() if how == "close" else None)

    run(main())

    assert stored(sessions) == {"n": 1}
    assert_nothing_left(sessions)


def test_the_first_error_decides_what_save_on_error_says() -> None:
    storage = MemorySessionStorage()
    sessions = strict(storage=storage, save_on_error=LookupError)

    async def main(*errors: Exception) -> None:
        opening = sessions.open("1")
        (await opening.begin()).data["n"] = str(errors)
        for error in errors:
            opening.fail(error)
        await opening.close()

    run(main(RuntimeError(), LookupError()))
    assert storage.read("1") is None
    run(main(LookupError(), RuntimeError()))
    assert storage.read("1") is not None


def test_one_opening_may_be_used_again(sessions: Any) -> None:
    async def main() -> None:
        opening = sessions.open("1")
        for _ in range(3):
            async with opening as opened:
                opened.data["n"] += 1
        opening.fail(RuntimeError())
        async with opening as opened:
            opened.data["n"] += 1

    run(main())

    assert stored(sessions) == {"n": 5}


def test_begin_twice_is_refused(sessions: Any) -> None:
    async def main() -> None:
        opening = sessions.open("1")
        await opening.begin()
        with pytest.raises(SessionError) as caught:
            await opening.begin()
        assert str(caught.value) == (
            "this use of <Session '1', open> is already active; call sessions.open() again"
        )
        await opening.close()

    run(main())
    assert_nothing_left(sessions)


def test_after_a_failed_begin_nothing_is_left_and_it_may_be_tried_again() -> None:
    storage = Spy(_1={"n": 1})
    sessions = strict(storage=storage)
    storage.broken = {"R"}

    async def main() -> None:
        ctx = Ctx()
        opening = sessions.open(ctx)
        with pytest.raises(OSError, match="failed"):
            await opening.begin()
        assert_nothing_left(sessions)
        storage.broken = set()
        async with opening as opened:
            opened.data["n"] = 2

    run(main())

    assert storage.data == {"1": {"n": 2}}
    assert_nothing_left(sessions)


# Holds


def test_a_hold_keeps_the_session_open_beyond_close(sessions: Any) -> None:
    async def main() -> None:
        opening = sessions.open("1")
        opened = await opening.begin()
        hold = opening.hold()
        await opening.close()
        opened.data["n"] = 2
        assert stored(sessions) == {"n": 1}

        async def in_another_task() -> None:
            await hold.release()

        await asyncio.create_task(in_another_task())
        with pytest.raises(SessionClosedError):
            _ = opened.data
        await hold.release()
        await opening.close()

    run(main())

    assert stored(sessions) == {"n": 2}
    assert_nothing_left(sessions)


def test_the_last_of_several_holds_ends_it(sessions: Any) -> None:
    async def main() -> None:
        opening = sessions.open("1")
        opened = await opening.begin()
        async with opening.hold() as first:
            second = opening.hold()
            await opening.close()
            await second.release()
            await second.release()
            opened.data["n"] = 2
        with pytest.raises(SessionClosedError):
            _ = opened.data
        await first.release()

    run(main())

    assert stored(sessions) == {"n": 2}
    assert_nothing_left(sessions)


def test_released_before_close_it_ends_with_close(sessions: Any) -> None:
    async def main() -> None:
        opening = sessions.open("1")
        opened = await opening.begin()
        async with opening.hold():
            opened.data["n"] = 2
        assert stored(sessions) == {"n": 1}
        await opening.close()

    run(main())

    assert stored(sessions) == {"n": 2}


@pytest.mark.parametrize("how", ["release", "async with"])
def test_an_error_of_a_hold_is_one_of_the_session(sessions: Any, how: str) -> None:
    async def main() -> None:
        opening = sessions.open("1")
        (await opening.begin()).data["n"] = 2
        hold = opening.hold()
        await opening.close()
        if how == "release":
            await hold.release(RuntimeError())
            return
        with pytest.raises(RuntimeError):
            async with hold:
                raise RuntimeError

    run(main())

    assert stored(sessions) == {"n": 1}
    assert_nothing_left(sessions)


@pytest.mark.parametrize("ended", [True, False])
def test_there_must_be_something_to_hold(sessions: Any, *, ended: bool) -> None:
    async def main() -> None:
        opening = sessions.open("1")
        if ended:
            await opening.begin()
            await opening.close()
        with pytest.raises(SessionError) as caught:
            opening.hold()
        assert str(caught.value) == "there is no open session to hold: begin() it before"

    run(main())


def test_a_failing_end_raises_where_the_session_is_ended() -> None:
    storage = Spy(_1={"n": 1})
    sessions = strict(storage=storage)
    storage.broken = {"W"}

    async def main() -> None:
        opening = sessions.open("1")
        (await opening.begin()).data["n"] = 2
        hold = opening.hold()
        await opening.close()
        with pytest.raises(OSError, match="W 1 failed"):
            await hold.release()
        await opening.close()

    run(main())
    assert_nothing_left(sessions)


# Joining


@pytest.mark.parametrize("make", [strict, lazy])
def test_opened_twice_on_one_context_it_is_one_session(make: Any) -> None:
    storage = AsyncSpy(_1={"n": 1})
    sessions = make(storage=storage)

    async def main() -> None:
        ctx = Ctx()
        async with sessions.open(ctx) as outer:
            async with sessions.open(ctx) as inner:
                assert inner is outer
                assert sessions.of(ctx) is outer
                inner.data = {"n": 2}
            assert storage.counts[3:] == "W0 D0" if make is lazy else "R1 W0 D0"
            outer.data = {"n": 3}

    run(main())

    assert storage.data == {"1": {"n": 3}}
    assert_nothing_left(sessions)


def test_an_error_that_is_caught_outside_of_an_inner_use_does_not_count(sessions: Any) -> None:
    async def handler(ctx: Any) -> None:
        with pytest.raises(RuntimeError):
            async with sessions.open(ctx) as inner:
                inner.data["n"] = 2
                raise RuntimeError

    for _ in range(2):
        run(update(sessions, Ctx(), handler))
    assert stored(sessions) == {"n": 2}


def test_the_key_of_an_open_session_cannot_be_opened_again(sessions: Any) -> None:
    async def handler(ctx: Any) -> None:
        with pytest.raises(SessionReentrancyError) as caught:
            async with sessions.open("1"):
                pass
        assert str(caught.value) == (
            "'1' is already open in this handler, so waiting for it would never end: "
            "use sessions.of(ctx), or pass the session on. To change it together with other "
            "keys: async with session.paused():, and inside sessions.open_many(...)"
        )
        async with sessions.open("2") as other:
            other.data["n"] = 2

    for _ in range(2):
        run(update(sessions, Ctx(), handler))
    assert stored(sessions, "2") == {"n": 2}
    assert_nothing_left(sessions)


def test_of_tells_where_it_works(sessions: Any) -> None:
    with pytest.raises(SessionClosedError) as caught:
        sessions.of(Ctx())
    assert str(caught.value) == (
        "no session of these is open on this Ctx: handle it inside "
        "'await sessions(ctx, handler)', or 'async with sessions.open(ctx)'"
    )


# What may be opened


def test_a_context_or_a_key_but_not_both(sessions: Any) -> None:
    for both in ((Ctx(), "2"), ("1", "2"), (1, 2)):
        with pytest.raises(TypeError) as caught:
            sessions.open(both[0], key=both[1])
        assert str(caught.value) == "give a context or a key to open, not both"


def test_nothing_cannot_be_opened(sessions: Any) -> None:
    with pytest.raises(NoSessionKeyError, match="None is not a session key"):
        sessions.open()
    for bad in ("", True):
        with pytest.raises(InvalidSessionKeyError):
            sessions.open(bad)
        with pytest.raises(InvalidSessionKeyError):
            sessions.open(key=bad)


def test_a_context_without_a_key_opens_a_session_without_data(sessions: Any) -> None:
    async def main() -> None:
        async with sessions.open(Ctx(None)) as opened:
            assert not opened.has_key
            with pytest.raises(NoSessionKeyError):
                _ = opened.data
            with pytest.raises(NoSessionKeyError):
                opened.data = {}

    run(main())
    assert_nothing_left(sessions)


def test_with_where_a_loop_runs_is_refused(sessions: Any) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError) as caught, sessions.open("1"):
            pass
        assert str(caught.value) == (
            "an event loop is running in this thread: use 'async with' (or await), not 'with'"
        )

    run(main())
    assert_nothing_left(sessions)


def test_who_opened_a_held_session_waits_for_its_key_like_anybody_else() -> None:
    sessions = session(initial=lambda: {"n": 0}, storage=MemorySessionStorage())

    async def main() -> None:
        opening = sessions.open(1)
        first = await opening.begin()
        hold = opening.hold()
        await opening.close()

        async def work() -> None:
            await asyncio.sleep(0)
            first.data["n"] += 1
            await hold.release()

        task = asyncio.create_task(work())
        async with sessions.open(1) as second:  # no SessionReentrancyError
            assert second.data == {"n": 1}
        await task

    asyncio.run(main())


def test_a_held_multi_session_waits_for_its_keys_too() -> None:
    shop = multi_session(
        cart=session(initial=lambda: {"n": 0}, prefix="cart:"),
        prefs=lazy_session(initial=lambda: {"n": 0}),
    )

    class Context:
        chat_id = 1

    async def main() -> None:
        opening = shop.open(Context())
        opened = await opening.begin()
        opened.cart["n"] += 1
        (await opened.prefs)["n"] += 1
        hold = opening.hold()
        await opening.close()
        task = asyncio.create_task(hold.release())
        async with shop.open(Context()) as again:
            assert again.cart == {"n": 1}
            assert await again.prefs == {"n": 1}
        await task

    asyncio.run(main())


def test_a_key_function_may_be_async_in_every_way_to_open_a_context() -> None:
    async def by_waiting(ctx: Any) -> Any:
        return ctx.chat

    async def main() -> None:
        async with strict(get_session_key=by_waiting).open(Ctx(7)) as opened:
            assert opened.key == "7"

    run(main())
    one, two = (strict(get_session_key=by_waiting, prefix=prefix) for prefix in "ab")
    seen: list[Any] = []
    multi_session(one=one, two=two).sync(Ctx(7), lambda ctx: seen.append(ctx.session.one))
    assert len(seen) == 1


def test_what_is_assigned_to_a_session_by_mistake_is_refused() -> None:
    async def main() -> None:
        async with strict().open(1) as opened:
            mistaken: Any = opened
            with pytest.raises(AttributeError, match=r"write session\.data\.n = \.\.\."):
                mistaken.n = 5

    run(main())
