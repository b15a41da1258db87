"""In which order multi sessions lock, load, encode, write and close; and in threads."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import (
    MemorySessionStorage,
    MultiSession,
    SessionClosedError,
    SessionEncodeError,
    SessionWriteError,
    enhance_storage,
    lazy_session,
    multi_session,
    session,
)
from sessionkit.testing import FakeContext
from sessionkit.types import SyncLazySession
from tests.contexts import AsyncSpy, Handler, assert_nothing_left, lazy, run, strict, until, update
from tests.core import Clocked, Oops, Remote, counters, free
from tests.test_multi import Ctx, Flavored, Shop

if TYPE_CHECKING:
    from pathlib import Path


class Held:
    """A lock for ``lock=`` that notes who takes it."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def acquire(self, key: str, /) -> None:
        self.log.append(f"lock {key}")

    def release(self, key: str, held: Any, /) -> None:
        self.log.append(f"unlock {key}")


def test_strict_fragments_are_locked_in_sorted_order_and_let_go() -> None:
    lock = Held()
    storage = AsyncSpy()
    sessions = multi_session(
        b=strict(prefix="b:", storage=storage, lock=lock),
        c=strict(prefix="c:", storage=storage, lock=lock),
        a=strict(prefix="a:", storage=storage, lock=lock),
        z=lazy(prefix="z:", storage=storage, lock=lock),
    )

    run(update(sessions, Ctx(), lambda _: None))

    assert lock.log[:3] == ["lock a:1", "lock b:1", "lock c:1"]
    assert sorted(lock.log[3:]) == ["unlock a:1", "unlock b:1", "unlock c:1"]


def test_strict_fragments_are_loaded_side_by_side() -> None:
    async def main() -> None:
        shop = Shop(AsyncSpy())
        shop.storage.gate.clear()
        task = asyncio.create_task(update(shop.sessions, Ctx(), lambda _: None))
        await until(lambda: len(shop.storage.under_way) == 2)
        assert shop.storage.log == []
        shop.storage.gate.set()
        await task
        shop.assert_nothing_left()

    run(main())


def test_changes_are_written_side_by_side() -> None:
    async def main() -> None:
        shop = Shop(AsyncSpy())

        async def handler(ctx: Any) -> None:
            ctx.session.cart["n"] = 1
            ctx.session.log = {"n": 2}
            shop.storage.gate.clear()

        task = asyncio.create_task(update(shop.sessions, Ctx(), handler))
        await until(lambda: len(shop.storage.under_way) == 2)
        assert shop.storage.data == {}
        shop.storage.gate.set()
        await task
        assert len(shop.storage.data) == 2
        shop.assert_nothing_left()

    run(main())


@pytest.mark.parametrize("bad", ["cart", "prefs", "log", "notes"])
def test_if_one_cannot_be_encoded_none_is_written(bad: str) -> None:
    shop = Shop(AsyncSpy())

    async def handler(ctx: Any) -> None:
        for name in ("cart", "prefs", "log", "notes"):
            setattr(ctx.session, name, {"n": object() if name == bad else 1})

    with pytest.raises(SessionEncodeError) as caught:
        shop.handle(handler)
    assert caught.value.key == f"{bad}:1"
    assert shop.storage.data == {}
    shop.assert_nothing_left()


def change_all(ctx: Any) -> None:
    for name in ("cart", "prefs", "log"):
        setattr(ctx.session, name, {"n": 1})


def test_a_failing_write_tells_which_were_written() -> None:
    shop = Shop(AsyncSpy())
    shop.storage.broken = {"W prefs:1"}

    with pytest.raises(SessionWriteError) as caught:
        shop.handle(change_all)
    error = caught.value
    assert str(error) == ("prefs could not be written (W prefs:1 failed), but cart, log were")
    assert (error.written, error.failed) == (("cart", "log"), ("prefs",))
    assert isinstance(error.__cause__, OSError)
    assert shop.storage.data.keys() == {"cart:1", "log:1"}
    shop.assert_nothing_left()


def test_of_several_failing_writes_all_are_named() -> None:
    shop = Shop()
    shop.storage.broken = {"W prefs:1", "W log:1"}

    with pytest.raises(SessionWriteError) as caught:
        shop.handle(change_all)
    assert str(caught.value) == ("prefs, log could not be written (W prefs:1 failed), but cart was")
    assert caught.value.failed == ("prefs", "log")


def test_if_nothing_was_written_the_error_is_the_storages() -> None:
    shop = Shop()
    shop.storage.broken = {"W"}

    with pytest.raises(OSError, match="W cart:1 failed"):
        shop.handle(change_all)
    shop.assert_nothing_left()


def test_a_cancelled_end_waits_for_what_it_writes() -> None:
    async def main() -> None:
        shop = Shop(AsyncSpy())

        async def handler(ctx: Any) -> None:
            change_all(ctx)
            shop.storage.gate.clear()

        task = asyncio.create_task(update(shop.sessions, Ctx(), handler))
        await until(lambda: len(shop.storage.under_way) == 3)
        task.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not task.done()
        assert "cart:1" in shop.declared.cart._settings.locks.held
        shop.storage.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(shop.storage.data) == 3
        shop.assert_nothing_left()

    run(main())


def test_an_unchanged_fragment_is_renewed_beside_one_that_changed() -> None:
    async def main() -> None:
        clock, inner = Clocked(), Remote()
        storage: Any = enhance_storage(inner, ttl=100, sliding=True, clock=clock)
        a, b = (counters(storage, prefix=prefix) for prefix in ("a-", "b-"))
        sessions: Any = multi_session(a=a, b=b)

        def change(ctx: Any) -> None:
            ctx.session.a["n"] += 1
            if clock.now < 1_700_000_001:
                ctx.session.b["n"] += 1

        await sessions(Ctx(), change)
        clock.now += 60
        await sessions(Ctx(), change)
        clock.now += 60
        assert (await a.get(1), await b.get(1)) == ({"n": 2}, {"n": 1})
        assert free(a)
        assert free(b)

    run(main())


def test_del_deletes_a_strict_fragment() -> None:
    shop = Shop(AsyncSpy(**{"_cart:1": {"n": 1}}))

    async def handler(ctx: Any) -> None:
        del ctx.session.cart

    shop.handle(handler)

    assert shop.storage.data == {}


# Lazy fragments


def test_what_was_assigned_to_lazy_fragments_is_awaited_at_the_end() -> None:
    shop = Shop(AsyncSpy(**{"_log:1": {"n": 1}}))

    async def counted(before: Any) -> Any:
        return {"n": (await before)["n"] + 1}

    async def handler(ctx: Any) -> None:
        ctx.session.log = counted(ctx.session.log)

    shop.handle(handler)

    assert shop.storage.data == {"log:1": {"n": 2}}


@pytest.mark.parametrize("text", ["in there", "forgot return"])
def test_if_an_awaitable_fails_nothing_is_written(text: str) -> None:
    shop = Shop()

    async def fail() -> Any:
        if text == "in there":
            raise LookupError(text)

    async def handler(ctx: Any) -> None:
        ctx.session.cart["n"] = 1
        ctx.session.log = fail()
        ctx.session.notes = {"n": 1}

    with pytest.raises((LookupError, SessionEncodeError), match=text):
        shop.handle(handler)
    assert shop.storage.data == {}
    shop.assert_nothing_left()


def test_assigned_in_opposite_order_lazy_fragments_do_not_wait_for_each_other() -> None:
    async def main() -> None:
        shop = Shop(AsyncSpy())

        def assign(*names: str) -> Handler:
            async def handler(ctx: Any) -> None:
                for name in names:
                    setattr(ctx.session, name, {"n": 1})
                await asyncio.sleep(1)

            return handler

        await asyncio.gather(
            update(shop.sessions, Ctx("1", "1"), assign("log", "notes")),
            update(shop.sessions, Ctx("2", "2"), assign("notes", "log")),
            update(shop.sessions, Ctx("1", "1"), assign("notes", "log")),
        )
        shop.assert_nothing_left()

    run(main())


def test_a_save_still_in_flight_at_the_end_is_over_before_anything_is_let_go() -> None:
    async def main() -> None:
        shop = Shop(AsyncSpy())
        saves: list[asyncio.Task[None]] = []

        async def handler(ctx: Any) -> None:
            ctx.session.prefs["n"] = 1
            shop.storage.gate.clear()
            saves.append(asyncio.create_task(shop.declared.prefs.of(ctx).save()))
            await until(lambda: shop.storage.under_way)
            raise Oops

        ending = asyncio.create_task(update(shop.sessions, Ctx(), handler))
        await until(lambda: saves)
        await asyncio.sleep(1)
        assert not ending.done()
        shop.storage.gate.set()
        with pytest.raises(Oops):
            await ending
        assert shop.storage.data == {"prefs:1": {"n": 1}}
        await saves[0]
        shop.assert_nothing_left()

    run(main())


def test_a_lazy_read_still_in_flight_at_the_end_holds_nothing() -> None:
    async def main() -> None:
        shop = Shop(AsyncSpy())
        readers: list[asyncio.Future[Any]] = []

        async def handler(ctx: Any) -> None:
            shop.storage.gate.clear()
            readers.append(asyncio.ensure_future(ctx.session.log))
            await until(lambda: shop.storage.under_way)

        await update(shop.sessions, Ctx(), handler)
        shop.storage.gate.set()
        await asyncio.wait(readers)
        assert readers[0].exception() is not None
        shop.assert_nothing_left()

    run(main())


def test_updates_of_one_user_in_several_chats_lose_nothing() -> None:
    async def main() -> None:
        shop = Shop(AsyncSpy())

        async def handler(ctx: Any) -> None:
            log = await ctx.session.log
            counts = [data.get("n", 0) for data in (ctx.session.cart, ctx.session.prefs, log)]
            await asyncio.sleep(0.1)
            for data, before in zip(
                (ctx.session.cart, ctx.session.prefs, log), counts, strict=True
            ):
                data["n"] = before + 1

        await asyncio.gather(
            *(update(shop.sessions, Ctx(f"c{i % 3}", f"u{i % 2}"), handler) for i in range(30))
        )
        assert sum(data["n"] for key, data in shop.storage.data.items() if "cart" in key) == 30
        assert sum(data["n"] for key, data in shop.storage.data.items() if "prefs" in key) == 30
        assert sum(data["n"] for key, data in shop.storage.data.items() if "log" in key) == 30
        shop.assert_nothing_left()

    run(main())


# Threads


@pytest.mark.parametrize("kind", [Ctx, Flavored])
def test_in_threads_it_is_opened_by_with(kind: Any) -> None:
    storage = MemorySessionStorage()
    storage.write("log:1", {"n": 1})
    shop = Shop(storage)
    ctx = kind()

    with shop.sessions.open(ctx) as opened:
        opened.cart["n"] = 1
        log: Any = opened.log
        assert "SyncLazySession" in repr(log)
        log.data["n"] += 1
        setattr(opened, "notes", {"n": 3})  # noqa: B010 (a dict would be taken for its type)
        assert opened.notes.data == {"n": 3}
        assert isinstance(shop.declared.log.sync.of(ctx), SyncLazySession)
        with shop.declared.cart.open(ctx) as cart:
            assert cart.data == {"n": 1}

    assert dict(storage.iter_items()) == {
        "cart:1": {"n": 1},
        "log:1": {"n": 2},
        "notes:1": {"n": 3},
    }
    shop.assert_nothing_left()


@pytest.mark.parametrize("kind", [Ctx, Flavored])
def test_in_threads_a_handler_is_run_with_all_fragments(kind: Any) -> None:
    shop, ctx = Shop(MemorySessionStorage()), kind()

    def handler(ctx: Any) -> str:
        ctx.session.cart["n"] = 1
        ctx.session.log.data["n"] = 2
        assert shop.sessions.sync.of(ctx) is ctx.session
        return "done"

    shop.storage.write("log:1", {"n": 1})
    assert shop.sessions.sync(ctx, handler) == "done"
    with shop.sessions.sync.open(ctx) as opened:
        assert opened.cart == {"n": 1}
    with pytest.raises(SessionClosedError):
        shop.sessions.sync.of(ctx)

    assert dict(shop.storage.iter_items()) == {"cart:1": {"n": 1}, "log:1": {"n": 2}}
    shop.assert_nothing_left()


def test_in_threads_async_handlers_are_refused() -> None:
    shop = Shop(MemorySessionStorage())

    async def handler(ctx: Any) -> None:
        """Is never begun."""

    with pytest.raises(TypeError, match="the handler is async, and there is no event loop here"):
        shop.sessions.sync(Ctx(), handler)
    shop.assert_nothing_left()


def test_the_view_for_threads_is_refused_where_a_loop_runs() -> None:
    shop = Shop(MemorySessionStorage())

    async def main() -> None:
        with pytest.raises(RuntimeError, match="event loop"):
            shop.sessions.sync(Ctx(), print)
        with pytest.raises(RuntimeError, match="event loop"):
            shop.sessions.sync.close()

    run(main())


def test_in_threads_an_error_writes_nothing() -> None:
    shop = Shop(MemorySessionStorage())

    with pytest.raises(RuntimeError), shop.sessions.open(Ctx()) as opened:
        opened.cart["n"] = 1
        opened.log = {"n": 1}
        raise RuntimeError

    assert dict(shop.storage.iter_items()) == {}
    shop.assert_nothing_left()


# As an argument, and at the end


def test_it_can_be_injected() -> None:
    shop = Shop(MemorySessionStorage())

    async def buy(ctx: Ctx, opened: Any, count: int) -> int:
        opened.cart["n"] = count
        return count

    def look(ctx: Ctx, opened: Any) -> int:
        return int(opened.cart["n"])

    bought = shop.sessions.inject(buy)
    assert run(bought(Ctx(), 3)) == 3
    assert shop.sessions.inject(look)(Ctx()) == 3
    assert list(inspect.signature(bought).parameters) == ["ctx", "count"]
    shop.assert_nothing_left()


def test_it_closes_what_its_fragments_opened(tmp_path: Path) -> None:
    storage = MemorySessionStorage()
    opened = session(dict[str, int], storage=f"sqlite:///{tmp_path}/a.db")
    given = session(dict[str, int], storage=storage)

    async def main() -> None:
        sessions = multi_session(opened=opened, given=given)
        async with sessions, sessions.open(FakeContext(chat_id=1)) as both:
            both.opened["n"] = both.given["n"] = 1
        with pytest.raises(SessionClosedError):
            await opened.get(1)
        assert await given.get(1) == {"n": 1}
        await sessions.close()  # a no-op the second time

    run(main())


def test_in_threads_it_closes_what_its_fragments_opened(tmp_path: Path) -> None:
    cart, prefs = (f"sqlite:///{tmp_path}/{name}.db" for name in ("cart", "prefs"))
    shop = multi_session(
        cart=session(dict[str, Any], storage=cart),
        prefs=lazy_session(dict[str, Any], storage=prefs),
    )

    with shop.sync as same:
        assert "MultiSessions of cart, prefs" in repr(same)
    for name in ("cart", "prefs"):
        with pytest.raises(SessionClosedError):
            getattr(shop._declared, name).storage.sync.read("1")


def test_one_storage_that_cannot_be_closed_keeps_no_other_from_it(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in "ab"]
    first, second = (session(dict[str, int], storage=url) for url in urls)

    async def fail() -> None:
        raise OSError

    setattr(second, "close", fail)  # noqa: B010 (a method, to type checkers)

    async def main() -> None:
        with pytest.raises(OSError):
            await multi_session(first=first, second=second).close()
        with pytest.raises(SessionClosedError):
            await first.get(1)

    run(main())


def test_one_fragment_of_two_multi_sessions_excludes_itself() -> None:
    shared = strict(prefix="shared:")

    class One(MultiSession):
        counter = shared
        mine = strict(prefix="one:")

    class Two(MultiSession):
        mine = strict(prefix="two:")
        counter = shared

    async def handler(ctx: Any) -> None:
        before = ctx.session.counter.get("n", 0)
        await asyncio.sleep(0.1)
        ctx.session.counter["n"] = before + 1

    async def main() -> None:
        kinds = [multi_session(One), multi_session(Two)]
        await asyncio.gather(*(update(kinds[i % 2], Ctx(), handler) for i in range(10)))
        assert await shared.get("1") == {"n": 10}
        assert_nothing_left(shared)

    run(main())
