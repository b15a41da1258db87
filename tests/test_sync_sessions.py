"""Sessions in threads that run no event loop: everything, without await."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sessionkit import (
    FileSessionStorage,
    LazySessionFlavor,
    MemorySessionStorage,
    NoSessionKeyError,
    SessionClosedError,
    SQLiteSessionStorage,
    SyncSession,
)
from sessionkit.types import SyncLazySession
from tests.contexts import AsyncSpy, Ctx, Spy, assert_nothing_left, lazy, run, strict


def opened(name: str, folder: Any) -> Iterator[Any]:
    if name == "sqlite":
        made = SQLiteSessionStorage(folder / "bot.db")
        yield made
        made.sync.close()
    else:
        makers: dict[str, Callable[[], Any]] = {
            "memory": MemorySessionStorage,
            "file": lambda: FileSessionStorage(folder / "folder"),
            "plain": Spy,
        }
        yield makers[name]()


@pytest.fixture(params=["memory", "file", "sqlite"])
def listing(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Any]:
    yield from opened(request.param, tmp_path)


@pytest.fixture(params=["memory", "file", "sqlite", "plain"])
def storage(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Any]:
    yield from opened(request.param, tmp_path)


@pytest.fixture(params=[strict, lazy])
def make(request: pytest.FixtureRequest) -> Any:
    return request.param


def nothing(ctx: Any) -> None:
    pass


def forget(ctx: Any) -> None:
    ctx.session = None


def keep_mine(theirs: Any, mine: Any) -> Any:
    return mine


def add_up(theirs: Any, mine: Any) -> Any:
    return {"n": theirs["n"] + mine["n"]}


def set_to(n: int) -> Any:
    def change(found: Any) -> Any:
        return {**found, "n": n}

    return change


def count(session: Any) -> int:
    session.data["n"] = session.data.get("n", 0) + 1
    return int(session.data["n"])


def test_with_opens_saves_and_closes(make: Any, storage: Any) -> None:
    sessions = make(storage=storage)
    kind = SyncSession if make is strict else SyncLazySession

    for number in (1, 2):
        with sessions.open(Ctx()) as session:
            assert isinstance(session, kind)
            assert count(session) == number
    with sessions.sync.open(key=1) as session:
        assert session.data == {"n": 2}
        session.data = {"n": 5}
    with sessions.open("1") as session:
        assert session.data == {"n": 5}
        del session.data

    assert sessions.sync.get("1") == {}
    assert_nothing_left(sessions)


def test_an_error_writes_nothing(make: Any, storage: Any) -> None:
    sessions = make(storage=storage)

    with pytest.raises(RuntimeError), sessions.open("1") as session:
        count(session)
        raise RuntimeError

    assert sessions.sync.get("1") == {}
    assert_nothing_left(sessions)


def test_untouched_lazy_costs_nothing() -> None:
    spy = Spy()
    sessions = lazy(storage=spy)

    with sessions.open("1"):
        pass
    sessions.sync(Ctx(), nothing)

    assert spy.log == []


def test_each_verb_of_the_session_works(make: Any) -> None:
    storage = Spy(_1={"n": 1})
    sessions = make(storage=storage, initial=lambda: {"n": 0})

    with sessions.open("1") as session:
        assert (session.key, session.has_key) == ("1", True)
        assert count(session) == 2
        assert session.is_changed
        assert not session.is_new
        session.revert()
        assert session.data == {"n": 1}
        count(session)
        session.save()
        assert storage.data == {"1": {"n": 2}}
        session.save(force=True)
        assert storage.counts == "R1 W2 D0"
        storage.data["1"] = {"n": 7}
        session.reload()
        assert session.data == {"n": 7}
        session.reset()
        assert session.data == {"n": 0}
        session.move("2", keep_mine)
        assert session.key == "2"
        session.delete()
        assert storage.data == {}
        session.data = {"n": 9}
        session.discard()

    assert storage.data == {}
    assert_nothing_left(sessions)


def test_paused_lets_go_and_reloads(make: Any) -> None:
    storage = Spy(_1={"n": 1})
    sessions = make(storage=storage)

    with sessions.open("1") as session:
        count(session)
        with session.paused():
            assert not sessions._settings.locks.held
            assert storage.data == {"1": {"n": 2}}
            with pytest.raises(SessionClosedError, match="is paused"):
                _ = session.data
            with sessions.open("1") as other:
                count(other)
        assert session.data == {"n": 3}
        with pytest.raises(LookupError), session.paused():
            raise LookupError
        count(session)

    assert storage.data == {"1": {"n": 4}}
    assert_nothing_left(sessions)


def test_an_interrupt_inside_paused_is_raised(make: Any) -> None:
    sessions = make(storage=Spy(_1={"n": 1}))

    with pytest.raises(KeyboardInterrupt), sessions.open("1") as session:
        count(session)
        with session.paused():
            raise KeyboardInterrupt
    assert_nothing_left(sessions)


def test_reprs_and_mistakes_are_clear(make: Any) -> None:
    sessions = make(storage=Spy())
    assert repr(sessions.sync) == f"{sessions!r}.sync"

    with sessions.open("1") as session:
        assert repr(session).startswith(f"<{type(session).__name__} '1', ")
        with pytest.raises(TypeError) as caught:
            session["n"]
        assert str(caught.value) == (
            "this is the session, its data is one step away: session.data['n']"
        )
    with pytest.raises(SessionClosedError):
        _ = session.data
    with pytest.raises(SessionClosedError):
        session.save()


def test_without_a_key_every_use_raises(make: Any) -> None:
    sessions = make(storage=Spy())

    with sessions.open(Ctx(None)) as session:
        assert not session.has_key
        with pytest.raises(NoSessionKeyError):
            _ = session.data
        with pytest.raises(NoSessionKeyError):
            session.data = {}
        with pytest.raises(NoSessionKeyError):
            session.save()


# As middleware


class Flavored(LazySessionFlavor[Any]):
    chat = "1"


@pytest.mark.parametrize("kind", [Ctx, Flavored])
def test_as_middleware_the_data_shows_on_the_context(make: Any, kind: Any) -> None:
    storage = Spy(_1={"n": 1})
    sessions = make(storage=storage)
    ctx = kind()

    def handler(ctx: Any) -> str:
        data = ctx.session if make is strict else ctx.session.data
        data["n"] += 1
        opened = sessions.sync.of(ctx)
        assert opened.data is data
        count(opened)
        ctx.session = ctx.session
        return "handled"

    assert sessions.sync(ctx, handler) == "handled"
    assert storage.data == {"1": {"n": 3}}
    assert storage.counts == "R1 W1 D0"
    assert kind is Flavored or vars(ctx) == {"chat": "1"}

    def replace(ctx: Any) -> None:
        ctx.session = {"n": 10}
        assert sessions.sync.of(ctx).data == {"n": 10}

    sessions.sync(ctx, replace)
    assert storage.data == {"1": {"n": 10}}
    sessions.sync(ctx, forget)
    assert storage.data == {}
    assert_nothing_left(sessions)
    with pytest.raises(SessionClosedError):
        sessions.sync.of(ctx)


def test_nested_in_threads_it_is_one_session(make: Any) -> None:
    storage = Spy(_1={"n": 1})
    sessions = make(storage=storage)

    def handler(ctx: Any) -> None:
        sessions.sync(ctx, inner)
        count(sessions.sync.of(ctx))

    def inner(ctx: Any) -> None:
        count(sessions.sync.of(ctx))

    sessions.sync(Ctx(), handler)

    assert storage.data == {"1": {"n": 3}}
    assert storage.counts == "R1 W1 D0"


def test_an_async_handler_is_refused_and_nothing_written(make: Any) -> None:
    storage = Spy()
    sessions = make(storage=storage)

    async def handler(ctx: Any) -> None:
        raise AssertionError

    def changing(ctx: Any) -> Any:
        ctx.session = {"n": 1}
        return handler(ctx)

    with pytest.raises(TypeError) as caught:
        sessions.sync(Ctx(), changing)
    assert str(caught.value) == (
        "the handler is async, and there is no event loop here: await sessions(ctx, handler)"
    )
    assert storage.data == {}
    assert_nothing_left(sessions)


# By key


def test_a_storage_that_cannot_list_says_so(make: Any) -> None:
    with pytest.raises(TypeError, match="Spy has no iter_keys"):
        list(make(storage=Spy()).sync.keys())


def test_everything_by_key(make: Any, listing: Any) -> None:
    sessions = make(storage=listing)
    sync = sessions.sync

    assert sync.update("5", set_to(1)) == {"n": 1}
    assert sync.update(6, set_to(2)) == {"n": 2}
    assert sync.get(5) == {"n": 1}
    assert sync.get(Ctx("5")) == {"n": 1}
    assert sorted(sync.keys()) == ["5", "6"]
    assert list(sync.keys(chat=5)) == ["5"]
    assert sorted(sync.items()) == [("5", {"n": 1}), ("6", {"n": 2})]
    assert sync.move("5", "7")
    assert not sync.move("5", "8")
    assert sync.move("7", "6", add_up)
    assert sync.get("6") == {"n": 3}
    with sync.open_many("1", "2") as (one, two):
        one.data = {"n": 1}
        two.data = {"n": 2}
    sync.delete("6")
    sync.delete(Ctx("1"))
    assert sorted(sync.items()) == [("2", {"n": 2})]
    assert sync.purge_expired() == 0
    assert_nothing_left(sessions)


def test_a_listing_may_be_left_half_way(listing: Any) -> None:
    sessions = strict(storage=listing)
    for key in range(5):
        sessions.sync.update(key, set_to(1))

    for left in (sessions.sync.keys(), sessions.sync.items()):
        assert next(left)
        left.close()

    assert len(list(sessions.sync.keys())) == 5


@pytest.mark.parametrize(
    "verb",
    ["get", "delete", "update", "keys", "items", "move", "purge_expired", "close", "call", "with"],
)
def test_where_a_loop_runs_all_is_refused(make: Any, verb: str) -> None:
    sessions = make()
    arguments: dict[str, tuple[Any, ...]] = {
        "get": ("1",),
        "delete": ("1",),
        "update": ("1", dict),
        "move": ("1", "2"),
    }

    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"use 'async with' \(or await\), not 'with'"):
            if verb == "call":
                sessions.sync(Ctx(), dict)
            elif verb == "with":
                with sessions.sync.open_many("1", "2"):
                    pass
            else:
                getattr(sessions.sync, verb)(*arguments.get(verb, ()))

    run(main())
    assert_nothing_left(sessions)


def test_what_a_url_opened_is_closed(make: Any, tmp_path: Any) -> None:
    for url in ("memory:", f"sqlite:///{tmp_path}/bot.db"):
        with make(storage=url).sync as sync:
            sync.update("1", set_to(1))
        with pytest.raises(SessionClosedError):
            sync.get("1")
        sync.close()


def test_an_async_storage_says_what_to_use_instead(make: Any) -> None:
    sessions = make(storage=AsyncSpy())

    with pytest.raises(TypeError) as caught, sessions.open("1") as session:
        _ = session.data
    assert str(caught.value) == (
        "AsyncSpy answers with an awaitable, which a thread cannot wait for: use 'async with', "
        "or a storage that has a 'sync' view"
    )
    assert_nothing_left(sessions)


# Several threads, and loops


def test_threads_wait_for_each_other(make: Any, storage: Any) -> None:
    sessions = make(storage=storage)
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        for _ in range(25):
            with sessions.open("1") as session:
                count(session)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work) for _ in range(4)]:
            done.result()

    assert sessions.sync.get("1") == {"n": 100}
    assert_nothing_left(sessions)


def test_threads_and_loops_wait_for_each_other(make: Any) -> None:
    sessions = make(storage=MemorySessionStorage())

    def in_a_thread() -> None:
        for _ in range(50):
            with sessions.open("1") as session:
                count(session)

    async def in_a_loop() -> None:
        for _ in range(50):
            async with sessions.open("1") as session:
                data = await session if make is lazy else session.data
                before = data.get("n", 0)
                await asyncio.sleep(0)
                data["n"] = before + 1

    async def main() -> None:
        threads = [asyncio.to_thread(in_a_thread) for _ in range(2)]
        await asyncio.gather(*threads, in_a_loop(), in_a_loop())

    asyncio.run(main())

    assert sessions.sync.get("1") == {"n": 200}
    assert_nothing_left(sessions)


def test_a_thread_joins_what_a_handler_has_open() -> None:
    sessions = strict(storage=MemorySessionStorage())

    def blocking(ctx: Any) -> None:
        with sessions.open(ctx) as session:
            count(session)

    async def handler(ctx: Any) -> None:
        await asyncio.to_thread(blocking, ctx)
        assert ctx.session == {"n": 1}

    asyncio.run(sessions(Ctx(), handler))

    assert sessions.sync.get("1") == {"n": 1}
