"""Lazy sessions: read when awaited, once; written if changed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sessionkit import (
    LazySessionFlavor,
    NoInitialDataError,
    NoSessionKeyError,
    SessionClosedError,
    SessionError,
    SessionFlavor,
    keys,
    lazy_session,
)
from sessionkit._storage.sync_or_async import resolve
from tests.contexts import (
    NO_KEY,
    AsyncSpy,
    Ctx,
    Handler,
    Inline,
    Spy,
    assert_nothing_left,
    by_chat,
    lazy,
    run,
    until,
    update,
)


class Flavored(LazySessionFlavor[Any]):
    def __init__(self, chat: Any = "1") -> None:
        self.chat = chat


KINDS = [Ctx, Flavored]


@pytest.fixture(params=[Spy, AsyncSpy])
def storage(request: pytest.FixtureRequest) -> Any:
    return request.param(_1={"n": 1})


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


def handle(sessions: Any, handler: Handler, ctx: Any) -> Any:
    """Handle it twice, as the first and as a later update; return what the last gave."""
    run(update(sessions, type(ctx)("warm up"), nothing))
    result = run(update(sessions, ctx, handler))
    assert_nothing_left(sessions)
    return result


def nothing(ctx: Any) -> None:
    pass


def test_untouched_it_costs_no_storage_and_no_lock(storage: Any, kind: Any) -> None:
    sessions = lazy(storage=storage)

    async def handler(ctx: Any) -> None:
        sessions.of(ctx)
        assert not sessions._settings.locks.held

    handle(sessions, handler, kind())
    handle(sessions, nothing, kind())

    assert storage.log == []


def test_awaited_it_reads_once_and_writes_what_changed(storage: Any, kind: Any) -> None:
    sessions = lazy(storage=storage)

    async def handler(ctx: Any) -> None:
        found = await ctx.session
        assert found is await ctx.session
        assert found is await sessions.of(ctx)
        assert found is await sessions.of(ctx).data
        found["n"] += 1

    handle(sessions, handler, kind())

    assert storage.counts == "R1 W1 D0"
    assert storage.data == {"1": {"n": 2}}


def test_awaited_and_unchanged_it_writes_nothing(storage: Any, kind: Any) -> None:
    sessions = lazy(storage=storage)

    async def handler(ctx: Any) -> Any:
        return await ctx.session

    assert handle(sessions, handler, kind()) == {"n": 1}
    assert storage.counts == "R1 W0 D0"


def test_a_handler_may_return_the_session_itself(storage: Any, kind: Any) -> None:
    assert handle(lazy(storage=storage), lambda ctx: ctx.session, kind()) == {"n": 1}


def test_initial_data_is_given_and_written_only_if_changed(storage: Any, kind: Any) -> None:
    sessions = lazy(storage=storage, initial=lambda: {"new": True})

    async def look(ctx: Any) -> Any:
        return await ctx.session

    async def change(ctx: Any) -> Any:
        (await ctx.session)["new"] = False

    assert handle(sessions, look, kind("2")) == {"new": True}
    assert storage.counts == "R1 W0 D0"
    handle(sessions, change, kind("2"))
    assert storage.data["2"] == {"new": False}


def test_without_initial_missing_data_raises_when_awaited(storage: Any, kind: Any) -> None:
    sessions = lazy_session(storage=storage, get_session_key=by_chat)

    async def handler(ctx: Any) -> None:
        with pytest.raises(NoInitialDataError):
            await ctx.session

    handle(sessions, handler, kind("2"))
    assert storage.counts == "R1 W0 D0"


@pytest.mark.parametrize("kind", KINDS)
def test_many_readers_at_once_share_one_read(kind: Any) -> None:
    async def main() -> None:
        storage = AsyncSpy(_1={"n": 1})
        sessions = lazy(storage=storage)
        storage.gate.clear()

        async def handler(ctx: Any) -> None:
            readers = [asyncio.create_task(read(ctx)) for _ in range(5)]
            await until(lambda: storage.under_way)
            storage.gate.set()
            found = await asyncio.gather(*readers)
            assert all(each is found[0] for each in found)

        async def read(ctx: Any) -> Any:
            return await ctx.session

        await update(sessions, kind(), handler)
        assert storage.log == ["R 1"]
        assert_nothing_left(sessions)

    run(main())


def test_if_the_first_reader_is_cancelled_the_next_one_reads() -> None:
    async def main() -> None:
        storage = AsyncSpy(_1={"n": 1})
        sessions = lazy(storage=storage)
        storage.gate.clear()

        async def handler(ctx: Any) -> None:
            readers = [asyncio.ensure_future(ctx.session) for _ in range(3)]
            await until(lambda: storage.under_way)
            readers[0].cancel()
            storage.gate.set()
            assert await readers[1] is await readers[2]
            assert readers[0].cancelled()

        await update(sessions, Ctx(), handler)
        assert storage.log == ["R 1"]
        assert_nothing_left(sessions)

    run(main())


def test_a_failed_read_is_raised_and_tried_again(storage: Any, kind: Any) -> None:
    sessions = lazy(storage=storage)
    storage.broken = {"R"}

    async def handler(ctx: Any) -> None:
        for _ in range(2):
            with pytest.raises(OSError, match="R 1 failed"):
                await ctx.session
            assert not sessions._settings.locks.held
        storage.broken = set()
        (await ctx.session)["n"] = 7

    handle(sessions, handler, kind())

    assert storage.data == {"1": {"n": 7}}
    assert storage.counts == "R3 W1 D0"


def test_a_failed_read_leads_to_no_write(storage: Any, kind: Any) -> None:
    sessions = lazy(storage=storage, initial=dict)
    storage.broken = {"R"}

    async def handler(ctx: Any) -> None:
        with pytest.raises(OSError, match="failed"):
            await ctx.session

    handle(sessions, handler, kind())

    assert storage.counts == "R1 W0 D0"


@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError, KeyboardInterrupt])
def test_a_failing_handler_changes_nothing(storage: Any, kind: Any, error: Any) -> None:
    sessions = lazy(storage=storage)

    async def fail(ctx: Any) -> None:
        (await ctx.session)["n"] = 2
        raise error

    async def fail_later(ctx: Any) -> None:
        ctx.session = {"n": 3}
        raise error

    async def main(handler: Any) -> None:
        with pytest.raises(error):
            await update(sessions, kind(), handler)
        assert_nothing_left(sessions)

    for handler in (fail, fail_later):
        run(main(handler))
    assert storage.data == {"1": {"n": 1}}


def test_save_on_error_saves(storage: Any, kind: Any) -> None:
    sessions = lazy(storage=storage, save_on_error=True)

    async def fail(ctx: Any) -> None:
        ctx.session = {"n": 3}
        raise RuntimeError

    with pytest.raises(RuntimeError):
        handle(sessions, fail, kind())
    assert storage.data == {"1": {"n": 3}}


def test_two_updates_of_one_chat_wait_for_each_other() -> None:
    async def main() -> None:
        storage = AsyncSpy(_1={"n": 0})
        sessions = lazy(storage=storage)

        async def handler(ctx: Any) -> None:
            found = await ctx.session
            before = found["n"]
            await asyncio.sleep(1)
            found["n"] = before + 1

        await asyncio.gather(*(update(sessions, Ctx(), handler) for _ in range(10)))
        assert storage.data == {"1": {"n": 10}}
        assert_nothing_left(sessions)

    run(main())


# The end, and beyond


@pytest.mark.parametrize("touch", [True, False])
def test_after_the_end_every_use_raises(kind: Any, *, touch: bool) -> None:
    sessions = lazy(storage=Spy(_1={"n": 1}))
    text = "the update that owned '1' has ended; in a job or task: async with sessions.open('1')"

    async def handler(ctx: Any) -> list[Any]:
        if touch:
            await ctx.session
        return [ctx.session]

    async def main() -> None:
        (kept,) = await update(sessions, kind(), handler)
        assert repr(kept) == "<LazySession '1', closed>"
        for use in (lambda: kept, kept.save, kept.reload, kept.revert, kept.reset, kept.delete):
            with pytest.raises(SessionClosedError) as caught:
                await resolve(use())
            assert str(caught.value) == text
        kept.discard()
        for question in ("is_changed", "is_new"):
            with pytest.raises(SessionClosedError):
                getattr(kept, question)
        with pytest.raises(SessionClosedError):
            kept.data = {}

    handle(sessions, nothing, kind())
    run(main())


def test_a_reader_that_comes_too_late_gets_an_error_and_holds_nothing() -> None:
    async def main() -> None:
        storage = AsyncSpy(_1={"n": 1})
        sessions = lazy(storage=storage)
        storage.gate.clear()
        readers: list[asyncio.Task[Any]] = []

        async def handler(ctx: Any) -> None:
            readers.extend(asyncio.create_task(read(ctx.session)) for _ in range(2))
            await until(lambda: storage.under_way)

        async def read(session: Any) -> Any:
            return await session

        await update(sessions, Ctx(), handler)
        storage.gate.set()

        for reader in readers:
            with pytest.raises(SessionClosedError, match="the update that owned '1' has ended"):
                await reader
        assert_nothing_left(sessions)
        assert storage.counts == "R1 W0 D0"

    run(main())


def test_a_verb_that_comes_too_late_says_that_the_update_has_ended() -> None:
    async def main() -> None:
        storage = AsyncSpy(_1={"n": 1})
        sessions = lazy(storage=storage)
        storage.gate.clear()
        late: list[asyncio.Task[Any]] = []

        async def handler(ctx: Any) -> None:
            opened = sessions.of(ctx)
            late.extend(asyncio.create_task(verb()) for verb in (opened.reload, opened.reload))
            await until(lambda: storage.under_way)

        await update(sessions, Ctx(), handler)
        late[0].cancel()

        with pytest.raises(SessionClosedError, match="the update that owned '1' has ended"):
            await late[1]
        assert_nothing_left(sessions)

    run(main())


# Without a key, and misuse


class FlavoredInline(Inline, LazySessionFlavor[Any]):
    pass


@pytest.mark.parametrize("kind", [Inline, FlavoredInline])
def test_without_a_key_awaiting_raises_and_nothing_is_read(kind: Any) -> None:
    storage = Spy()
    sessions = lazy(storage=storage, get_session_key=keys.chat)

    async def handler(ctx: Any) -> str:
        opened = sessions.of(ctx)
        assert not opened.has_key
        assert repr(opened) == "<LazySession None, without a key>"
        for use in (lambda: opened, opened.save, opened.reload, opened.revert, opened.reset):
            with pytest.raises(NoSessionKeyError) as caught:
                await use()
            assert str(caught.value) == NO_KEY
        with pytest.raises(NoSessionKeyError):
            opened.data = {}
        return "ran"

    for _ in range(2):
        assert run(update(sessions, kind(), handler)) == "ran"
    assert storage.log == []
    assert_nothing_left(sessions)


def test_what_was_assigned_without_a_key_is_closed() -> None:
    sessions = lazy(get_session_key=keys.chat)

    async def changed() -> None: ...

    async def handler(ctx: Any) -> None:
        ctx.session = changed()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        run(update(sessions, Inline(), handler))


def test_using_the_data_without_await_tells_what_to_write(kind: Any) -> None:
    async def handler(ctx: Any) -> None:
        with pytest.raises(TypeError) as caught:
            ctx.session["n"]
        assert str(caught.value) == "lazy session: write (await ctx.session)['n']"
        with pytest.raises(TypeError) as caught:
            ctx.session["n"] = 1
        assert str(caught.value) == "lazy session: write (await ctx.session)['n'] = ..."
        with pytest.raises(AttributeError) as told:
            _ = ctx.session.count
        assert str(told.value) == "lazy session: write (await ctx.session).count"
        with pytest.raises(AttributeError):
            ctx.session.count = 1

    handle(lazy(), handler, kind())


def test_the_factory_tells_where_the_data_is() -> None:
    with pytest.raises(TypeError) as caught:
        _ = lazy()["n"]
    assert str(caught.value) == (
        "this is the factory; in a handler use ctx.session or the session argument"
    )


def test_is_new_needs_a_read(storage: Any, kind: Any) -> None:
    sessions = lazy(storage=storage)

    async def handler(ctx: Any) -> None:
        opened = sessions.of(ctx)
        with pytest.raises(SessionError) as caught:
            _ = opened.is_new
        assert str(caught.value) == "the lazy session '1' was not read yet: await ctx.session first"
        ctx.session = {"n": 1}
        with pytest.raises(SessionError, match="was not read yet"):
            _ = opened.is_new
        opened.revert()
        await opened
        assert not opened.is_new
        await opened.delete()
        assert opened.is_new

    handle(sessions, handler, kind())


def test_errors_have_the_key_as_the_storage_knows_it(kind: Any) -> None:
    sessions = lazy(prefix="p-")

    async def handler(ctx: Any) -> None:
        with pytest.raises(SessionError) as caught:
            _ = sessions.of(ctx).is_new
        assert caught.value.key == "p-1"

    handle(sessions, handler, kind())


def test_repr_tells_the_state(kind: Any) -> None:
    sessions = lazy()

    async def handler(ctx: Any) -> None:
        assert repr(sessions.of(ctx)) == "<LazySession '1', untouched>"
        await ctx.session
        assert repr(sessions.of(ctx)) == "<LazySession '1', open>"

    handle(sessions, handler, kind())


class StrictlyFlavored(SessionFlavor[Any]):
    chat = "1"


def test_a_strict_flavor_shows_a_lazy_session_as_well() -> None:
    """They differ for type checkers only."""

    async def handler(ctx: Any) -> None:
        (await ctx.session)["n"] = 1

    sessions = lazy()
    run(update(sessions, StrictlyFlavored(), handler))

    assert run(sessions.get("1")) == {"n": 1}
