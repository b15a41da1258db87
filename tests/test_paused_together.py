"""A pause lets go of all that an update holds, and takes all of it again, or nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sessionkit import (
    LazySessions,
    MemorySessionStorage,
    MultiSession,
    SessionClosedError,
    SessionDeadlockError,
    SessionEncodeError,
    SessionLockTimeoutError,
    Sessions,
    lazy_session,
    multi_session,
    session,
)
from tests.core import Ctx, Lock, Remote, by_chat, counters, free, run, until

Data = dict[str, Any]


def nothing() -> Data:
    return {}


def same(data: Data) -> Data:
    return data


def tenfold(data: Data) -> Data:
    return {"n": data["n"] * 10}


def made(storage: Any, prefix: str, **options: Any) -> Sessions[Data]:
    return counters(storage, prefix=prefix, attribute=prefix, **options)


def lazily(storage: Any, prefix: str) -> LazySessions[Data]:
    return lazy_session(
        storage=storage, initial=nothing, get_session_key=by_chat, prefix=prefix, attribute=prefix
    )


def unlocked(sessions: Any) -> bool:
    """Whether nobody holds a key of the storage; contexts may have sessions open."""
    locks = sessions._settings.locks
    return not locks.held and not locks.waiting


@pytest.mark.parametrize("paused", ["a", "b", "c"])
def test_all_sessions_of_the_context_are_let_go_of_and_taken_again(
    storage: Any, paused: str
) -> None:
    async def main() -> None:
        a, b, c = made(storage, "a"), made(storage, "b"), lazily(storage, "c")
        by_name: dict[str, Any] = {"a": a, "b": b, "c": c}
        ctx = Ctx()
        async with a.open(ctx) as one, b.open(ctx) as two, c.open(ctx) as three:
            one.data["n"], two.data["n"] = 1, 2
            three.data = {"n": 3}
            async with by_name[paused].of(ctx).paused():
                assert unlocked(a)
                assert [(await each.get(1))["n"] for each in (a, b, c)] == [1, 2, 3]
                for each in (one, two):
                    with pytest.raises(SessionClosedError, match="paused"):
                        _ = each.data
                with pytest.raises(SessionClosedError, match="paused"):
                    await three
                with pytest.raises(SessionClosedError, match="paused"):
                    await two.save()
                for sessions in (a, b, c):
                    await sessions.update(1, tenfold)
            assert (one.data, two.data, await three) == ({"n": 10}, {"n": 20}, {"n": 30})
            one.data["n"] += 1
        assert await a.get(1) == {"n": 11}
        assert free(a)

    run(main())


def test_a_lazy_session_that_nobody_read_cannot_be_opened_inside_and_can_be_after() -> None:
    async def main() -> None:
        storage = MemorySessionStorage()
        strict, lazy = made(storage, "strict"), lazily(storage, "lazy")
        ctx = Ctx()
        async with strict.open(ctx) as opened, lazy.open(ctx) as unread:
            async with opened.paused():
                assert repr(unread) == "<LazySession '1', paused>"
                for use in (unread, unread.save()):
                    with pytest.raises(SessionClosedError, match="is paused"):
                        await use
                with pytest.raises(SessionClosedError, match="is paused"):
                    unread.data = {}
            assert await unread == {}
            async with unread.paused():
                with pytest.raises(SessionClosedError, match="is paused"):
                    _ = opened.data
        assert free(strict)

    run(main())


def test_fragments_pause_together_with_what_was_assigned_to_them() -> None:
    storage = MemorySessionStorage()

    class Shop(MultiSession):
        cart = counters(storage, prefix="cart")
        seen = lazily(storage, "seen")

    shop = multi_session(Shop)

    async def handler(ctx: Ctx) -> None:
        ctx.session = {"cart": {"n": 1}, "seen": {"n": 2}}
        async with Shop.seen.of(ctx).paused():
            assert unlocked(Shop.cart)
            assert [await each.get(1) for each in (Shop.cart, Shop.seen)] == [{"n": 1}, {"n": 2}]
            with pytest.raises(SessionClosedError, match="is paused"):
                ctx.session.cart["n"] = 99
        ctx.session.cart["n"] += 1

    async def main() -> None:
        await shop(Ctx(), handler)
        assert await Shop.cart.get(1) == {"n": 2}
        assert free(Shop.cart)

    run(main())


def test_in_threads_a_pause_covers_the_context_too() -> None:
    storage = MemorySessionStorage()
    a, b = made(storage, "a").sync, made(storage, "b").sync
    ctx = Ctx()
    with a.open(ctx) as one, b.open(ctx) as two, a.open(2) as other:
        with pytest.raises(SessionDeadlockError, match=r"paused\(other\)"), one.paused():
            raise AssertionError
        two.data["n"] = 1
        with one.paused(other):
            assert a.update(2, same) == {"n": 0}
            assert b.update(1, same) == {"n": 1}
        assert two.data == {"n": 1}


def test_a_key_that_is_open_beside_raises_before_the_slow_call_unless_it_is_included() -> None:
    async def main() -> None:
        sessions = counters()
        free_of_locks = session(lock=False, get_session_key=by_chat)
        ctx = Ctx()
        async with sessions.open(ctx) as mine, sessions.open(2) as other:
            for pause in (mine.paused(), other.paused()):
                with pytest.raises(SessionDeadlockError, match=r"paused\(other\)"):
                    async with pause:
                        raise AssertionError("not reached")
            with pytest.raises(TypeError, match="other open sessions, not 2"):
                async with mine.paused(2):
                    raise AssertionError("not reached")
            other.data["n"] = 2
            async with free_of_locks.open(1), mine.paused(other):
                assert await sessions.get(2) == {"n": 2}
                assert unlocked(sessions)
            mine.data["n"], other.data["n"] = 1, 3
        assert (await sessions.get(1), await sessions.get(2)) == ({"n": 1}, {"n": 3})
        assert free(sessions)

    run(main())


def test_nothing_is_written_or_let_go_of_if_one_of_them_cannot_be_stored() -> None:
    async def main() -> None:
        storage = Remote()
        a, b = made(storage, "a"), made(storage, "b")
        ctx = Ctx()
        with pytest.raises(SessionEncodeError):
            async with a.open(ctx) as one, b.open(ctx) as two:
                one.data["n"], two.data["n"] = 1, object()
                async with one.paused():
                    raise AssertionError("not reached")
        assert not await a.exists(1)
        assert free(a)

    run(main())


def test_all_are_taken_again_within_one_timeout_or_none() -> None:
    async def main() -> None:
        storage = MemorySessionStorage()
        a, b = made(storage, "a", lock_timeout=30), made(storage, "b", lock_timeout=30)
        holds = [a.open(1), b.open(1)]
        tasks: list[asyncio.Task[None]] = []
        clock = asyncio.get_running_loop().time
        ctx = Ctx()

        async def keep(opening: Any, until_second: float) -> None:
            await opening.begin()
            await asyncio.sleep(until_second)
            await opening.close()

        async with a.open(ctx) as one, b.open(ctx) as two:
            with pytest.raises(SessionLockTimeoutError, match="'b1'"):
                async with one.paused():
                    tasks = [
                        asyncio.create_task(keep(hold, seconds))
                        for hold, seconds in zip(holds, (20, 90), strict=True)
                    ]
                    await until(lambda: all(hold.is_open for hold in holds))
            assert clock() == 30
            assert await a.update(1, same) == {"n": 0}
            for each in (one, two):
                with pytest.raises(SessionClosedError, match="is paused"):
                    _ = each.data
        await asyncio.gather(*tasks)
        assert free(a)

    run(main())


@pytest.mark.parametrize(("outer", "inner"), [("a", "b"), ("b", "a")])
def test_a_pause_ends_beside_updates_that_lock_in_another_order(outer: str, inner: str) -> None:
    async def main() -> None:
        storage = Remote()
        first, second = made(storage, outer), made(storage, inner)
        begun = asyncio.Event()

        async def update(handler: Any) -> None:
            async def inside(ctx: Ctx) -> None:
                await second(ctx, handler)

            await first(Ctx(), inside)

        async def ask(ctx: Ctx) -> None:
            async with first.of(ctx).paused():
                begun.set()
                storage.gates["read"] = asyncio.Event()
                await until(lambda: f"{outer}1" in first._settings.locks.held)
            first.of(ctx).data["answer"] = second.of(ctx).data["answer"] = 42

        async def count(ctx: Ctx) -> None:
            first.of(ctx).data["n"] += 1

        asking = asyncio.create_task(update(ask))
        await begun.wait()
        counting = [asyncio.create_task(update(count)) for _ in range(3)]
        await until(lambda: f"{outer}1" in first._settings.locks.waiting)
        await asyncio.sleep(0)
        storage.gates["read"].set()
        await asyncio.gather(asking, *counting)
        assert await first.get(1) == {"n": 3, "answer": 42}
        assert await second.get(1) == {"n": 0, "answer": 42}
        assert unlocked(first)

    run(main())


def test_one_that_cannot_be_read_again_keeps_all_out_of_reach() -> None:
    async def main() -> None:
        storage = Remote()
        a, b = made(storage, "a"), made(storage, "b")
        ctx = Ctx()
        async with a.open(ctx) as one, b.open(ctx) as two:
            with pytest.raises(OSError, match="read failed"):
                async with one.paused():
                    storage.fail("read")
            assert unlocked(a)
            for each in (one, two):
                with pytest.raises(SessionClosedError, match="is paused"):
                    _ = each.data

    run(main())


@pytest.mark.parametrize("waits", [False, True])
def test_a_pause_that_outlives_its_sessions_takes_nothing(*, waits: bool) -> None:
    async def main() -> None:
        storage, lock = Remote(), Lock()
        a, b = made(storage, "a"), made(storage, "b", lock=lock)
        ctx, over, other = Ctx(), asyncio.Event(), b.open(1)

        async def outlives() -> None:
            async with a.of(ctx).paused():
                await over.wait()

        async with a.open(ctx), b.open(ctx):
            task = asyncio.create_task(outlives())
            await until(lambda: unlocked(a))
            if waits:  # for a key that comes free when the sessions have ended
                await other.begin()
                over.set()
                await until(lambda: a._settings.locks.waiting)
        if waits:
            await other.close()
        over.set()
        with pytest.raises(SessionClosedError, match="has ended"):
            await task
        assert free(a)
        verbs = [verb for verb, _ in lock.log]
        assert verbs.count("acquire") == verbs.count("release")

    run(main())


def test_a_session_that_ends_inside_the_pause_of_another_takes_nothing() -> None:
    async def main() -> None:
        storage = MemorySessionStorage()
        a, b = made(storage, "a"), made(storage, "b")
        ctx = Ctx()
        inner = b.open(ctx)
        async with a.open(ctx) as one:
            await inner.begin()
            async with one.paused():
                await inner.close()
            assert one.data == {"n": 0}
            assert await b.update(1, same) == {"n": 0}

    run(main())


def test_one_that_ends_while_all_are_read_again_stays_closed() -> None:
    async def main() -> None:
        storage = Remote()
        a, b = made(storage, "a"), made(storage, "b")
        ctx = Ctx()
        inner = b.open(ctx)
        async with a.open(ctx) as one:
            two = await inner.begin()

            async def pause() -> None:
                async with one.paused():
                    storage.gates["read"] = asyncio.Event()
                    storage.begun.clear()

            task = asyncio.create_task(pause())
            await storage.begun.wait()
            await inner.close()
            storage.gates["read"].set()
            await task
            assert one.data == {"n": 0}
            with pytest.raises(SessionClosedError, match="has ended"):
                _ = two.data
        assert free(a)

    run(main())


def test_a_pause_in_a_child_task_leaves_the_key_to_the_task_that_opened_it() -> None:
    async def main() -> None:
        sessions = counters(lock_timeout=5)

        async def pause(opened: Any) -> None:
            async with opened.paused():
                pass

        async with sessions.open(1) as opened:
            await asyncio.create_task(pause(opened))
            with pytest.raises(SessionDeadlockError):
                await sessions.update(1, same)

    run(main())


def test_a_chat_that_moves_meanwhile_is_found_under_its_new_key() -> None:
    async def main() -> None:
        storage = MemorySessionStorage()
        a, b = made(storage, "a"), lazily(storage, "b")
        ctx = Ctx()
        async with a.open(ctx) as one, b.open(ctx) as two:
            one.data["n"], (await two)["n"] = 1, 2
            async with one.paused():
                hold = a.open(1)
                await hold.begin()  # so that one waits while the chat moves

                async def move() -> None:
                    await until(lambda: a._settings.locks.waiting)
                    for each in (a, b):
                        each._settings.follow("1", "-100")
                    await hold.close()

                task = asyncio.create_task(move())
            await task
            assert (one.key, two.key) == ("-100", "-100")
            one.data["n"] = 5
        assert await a.get(-100) == {"n": 5}
        assert free(a)

    run(main())


def test_a_pause_waits_for_a_lazy_read_that_is_under_way() -> None:
    async def main() -> None:
        storage = Remote(b1={"n": 7})
        a, b = made(storage, "a"), lazily(storage, "b")
        ctx = Ctx()
        async with a.open(ctx) as one, b.open(ctx) as two:
            storage.gates["read"] = asyncio.Event()
            storage.begun.clear()
            reading = asyncio.create_task(two.reload())
            await storage.begun.wait()
            asyncio.get_running_loop().call_soon(storage.gates["read"].set)
            async with one.paused():
                assert unlocked(a)
            await reading
            assert await two == {"n": 7}
        assert free(a)

    run(main())


def test_two_users_can_give_each_other_from_inside_their_handlers() -> None:
    async def main() -> None:
        sessions = counters()

        async def gift(mine: int, other: int) -> None:
            async with sessions.open(Ctx(mine)) as opened:
                await asyncio.sleep(1)
                async with opened.paused(), sessions.open_many(mine, other) as (giver, taker):
                    giver.data["n"] -= 10
                    await asyncio.sleep(1)
                    taker.data["n"] += 10

        await asyncio.gather(gift(1, 2), gift(2, 1), gift(1, 2))
        assert (await sessions.get(1), await sessions.get(2)) == ({"n": -10}, {"n": 10})
        assert free(sessions)

    run(main())
