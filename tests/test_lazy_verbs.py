"""save, reload, revert, reset, delete, move and paused, in each state of a lazy session."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sessionkit import (
    MemorySessionStorage,
    NoInitialDataError,
    SessionClosedError,
    SessionEncodeError,
    lazy_session,
)
from tests.contexts import (
    AsyncSpy,
    Ctx,
    Handler,
    Spy,
    assert_nothing_left,
    by_chat,
    lazy,
    run,
    update,
)
from tests.test_lazy import Flavored


@pytest.fixture(params=[Ctx, Flavored])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


async def touch(ctx: Any) -> None:
    """Leave it untouched."""


async def read(ctx: Any) -> None:
    await ctx.session


async def change(ctx: Any) -> None:
    (await ctx.session)["n"] = 2


async def assign(ctx: Any) -> None:
    ctx.session = {"n": 3}


async def assign_awaitable(ctx: Any) -> None:
    async def made() -> Any:
        return {"n": 4}

    ctx.session = made()


async def resolve_awaitable(ctx: Any) -> None:
    await assign_awaitable(ctx)
    if isinstance(ctx, Flavored):
        await ctx.session


async def delete(ctx: Any) -> None:
    ctx.session = None


STATES = [touch, read, change, assign, assign_awaitable, delete]
AFTER: dict[Handler, int] = {touch: 1, read: 1, change: 2, assign: 3, assign_awaitable: 4}


def handle(
    kind: Any, *steps: Handler, storage: Any = None, make: Any = lazy, **options: Any
) -> Any:
    """Run steps as one handler; return what is stored at the end."""
    storage = storage or Spy(_1={"n": 1})
    sessions = make(storage=storage, **options)

    async def handler(ctx: Any) -> None:
        ctx.opened = sessions.of(ctx)
        for step in steps:
            await step(ctx)
        del ctx.opened

    run(update(sessions, kind("warm up"), lambda _: None))
    run(update(sessions, kind(), handler))
    assert_nothing_left(sessions)
    return storage.data


@pytest.mark.parametrize("state", STATES)
def test_save_writes_now_what_would_be_written_at_the_end(kind: Any, state: Handler) -> None:
    storage = Spy(_1={"n": 1})
    expected = {"1": {"n": AFTER[state]}} if state is not delete else {}

    async def save(ctx: Any) -> None:
        await ctx.opened.save()
        assert storage.data == expected
        storage.log.clear()

    async def save_again(ctx: Any) -> None:
        assert not ctx.opened.is_changed
        await ctx.opened.save()
        await ctx.opened.save()

    handle(kind, state, save, save_again, storage=storage)

    assert storage.log == []
    assert storage.data == expected


def test_untouched_save_does_nothing_but_by_force(kind: Any) -> None:
    storage = Spy(_1={"n": 1})
    handle(kind, lambda ctx: ctx.opened.save(), storage=storage)
    assert storage.log == []

    handle(kind, lambda ctx: ctx.opened.save(force=True), storage=storage)
    assert storage.log == ["R 1", "W 1"]


@pytest.mark.parametrize("state", STATES)
def test_reload_gives_what_is_stored(kind: Any, state: Handler) -> None:
    async def reload(ctx: Any) -> None:
        await ctx.opened.reload()
        assert await ctx.session == {"n": 1}
        assert not ctx.opened.is_changed
        assert not ctx.opened.is_new

    assert handle(kind, state, reload) == {"1": {"n": 1}}


def test_untouched_reload_reads_once(kind: Any) -> None:
    storage = Spy(_1={"n": 1})
    handle(kind, lambda ctx: ctx.opened.reload(), storage=storage)
    assert storage.log == ["R 1"]


@pytest.mark.parametrize("state", [*STATES, resolve_awaitable])
def test_revert_gives_what_was_loaded(kind: Any, state: Handler) -> None:
    async def revert(ctx: Any) -> None:
        ctx.opened.revert()
        assert await ctx.session == {"n": 1}
        assert not ctx.opened.is_changed

    assert handle(kind, state, revert) == {"1": {"n": 1}}


def test_revert_after_save_gives_what_was_saved(kind: Any) -> None:
    async def save_and_change(ctx: Any) -> None:
        await ctx.opened.save()
        (await ctx.session)["n"] = 99

    async def revert(ctx: Any) -> None:
        ctx.opened.revert()

    stored = handle(kind, assign, save_and_change, revert)

    assert stored == {"1": {"n": 3}}


@pytest.mark.parametrize("state", STATES)
def test_reset_gives_what_initial_gives(kind: Any, state: Handler) -> None:
    async def reset(ctx: Any) -> None:
        ctx.opened.reset()
        assert await ctx.session == {"n": 0}

    assert handle(kind, state, reset, initial=lambda: {"n": 0}) == {"1": {"n": 0}}


@pytest.mark.parametrize("state", STATES)
def test_reset_without_initial_raises_and_changes_nothing(kind: Any, state: Handler) -> None:
    async def reset(ctx: Any) -> None:
        with pytest.raises(NoInitialDataError):
            ctx.opened.reset()
        after = AFTER.get(state)
        assert await ctx.session == (after and {"n": after})

    handle(kind, state, reset, make=lazy_session, get_session_key=by_chat)


@pytest.mark.parametrize("state", STATES)
def test_delete_deletes_now(kind: Any, state: Handler) -> None:
    storage = Spy(_1={"n": 1})

    async def forget(ctx: Any) -> None:
        await ctx.opened.delete()
        assert storage.data == {}
        assert await ctx.session is None
        assert ctx.opened.is_new
        assert not ctx.opened.is_changed

    handle(kind, state, forget, storage=storage)

    assert storage.counts.endswith("W0 D1")


def test_delete_needs_no_read(kind: Any) -> None:
    storage = Spy(_1={"n": 1})
    handle(kind, lambda ctx: ctx.opened.delete(), storage=storage)
    assert storage.log == ["D 1"]


def test_what_is_assigned_after_delete_is_written(kind: Any) -> None:
    assert handle(kind, lambda ctx: ctx.opened.delete(), assign) == {"1": {"n": 3}}


@pytest.mark.parametrize("state", STATES)
def test_move_takes_the_data_along(kind: Any, state: Handler) -> None:
    storage = Spy(_1={"n": 1})

    async def move(ctx: Any) -> None:
        await ctx.opened.move("2")
        assert ctx.opened.key == "2"

    handle(kind, state, move, storage=storage)

    assert storage.data == ({} if state is delete else {"2": {"n": AFTER[state]}})


def test_move_merges_with_what_is_there(kind: Any) -> None:
    storage = Spy(_1={"n": 1}, _2={"n": 10})

    def merge(theirs: Any, mine: Any) -> Any:
        return {"n": theirs["n"] + mine["n"]}

    async def move(ctx: Any) -> None:
        await ctx.opened.move(2, merge)
        (await ctx.session)["n"] += 100

    handle(kind, assign, move, storage=storage)

    assert storage.data == {"2": {"n": 113}}


@pytest.mark.parametrize("state", STATES)
def test_paused_lets_go_of_the_key(kind: Any, state: Handler) -> None:
    storage = Spy(_1={"n": 1})

    async def pause(ctx: Any) -> None:
        locks = ctx.opened._record._settings.locks
        async with ctx.opened.paused():
            assert not locks.held
            if state is not delete:
                assert storage.data == {"1": {"n": AFTER[state]}}
            storage.data["1"] = {"n": 50}
        assert (await ctx.session)["n"] == 50
        assert "1" in locks.held

    handle(kind, state, pause, storage=storage)

    assert storage.data == {"1": {"n": 50}}


def test_untouched_paused_costs_nothing(kind: Any) -> None:
    storage = Spy(_1={"n": 1})

    async def pause(ctx: Any) -> None:
        async with ctx.opened.paused():
            assert storage.log == []

    handle(kind, pause, storage=storage)

    assert storage.log == []


def test_inside_paused_the_data_is_out_of_reach() -> None:
    text = (
        "the session '1' is paused: take what you need before "
        "'async with session.paused()', and change it after"
    )

    async def pause(ctx: Any) -> None:
        async with ctx.opened.paused():
            with pytest.raises(SessionClosedError) as caught:
                await ctx.session
            assert str(caught.value) == text
            with pytest.raises(SessionClosedError):
                ctx.session = {"n": 1}

    assert handle(Flavored, change, pause) == {"1": {"n": 2}}


def test_an_error_inside_paused_is_the_handlers(kind: Any) -> None:
    async def pause(ctx: Any) -> None:
        with pytest.raises(LookupError):
            async with ctx.opened.paused():
                raise LookupError
        (await ctx.session)["n"] = 7

    assert handle(kind, change, pause) == {"1": {"n": 7}}


@pytest.mark.parametrize("save_on_error", [True, False])
def test_cancelled_inside_paused_nothing_is_left(kind: Any, *, save_on_error: bool) -> None:
    async def main() -> None:
        storage = AsyncSpy(_1={"n": 1})
        sessions = lazy(storage=storage, save_on_error=save_on_error)
        inside = asyncio.Event()

        async def handler(ctx: Any) -> None:
            (await ctx.session)["n"] = 2
            async with sessions.of(ctx).paused():
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(update(sessions, kind(), handler))
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert storage.data == {"1": {"n": 2}}
        assert_nothing_left(sessions)

    run(main())


def test_an_interrupt_inside_paused_is_raised_as_it_is(kind: Any) -> None:
    sessions = lazy(storage=Spy(_1={"n": 1}), save_on_error=(KeyboardInterrupt,))

    async def handler(ctx: Any) -> None:
        await ctx.session
        async with sessions.of(ctx).paused():
            if isinstance(ctx, Ctx):
                ctx.session = {"n": 2}
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(update(sessions, kind(), handler))
    assert_nothing_left(sessions)


def test_fail_writes_nothing_but_what_was_saved(kind: Any) -> None:
    async def fail(ctx: Any) -> None:
        ctx.opened.discard()

    assert handle(kind, fail, assign) == {"1": {"n": 1}}
    assert handle(kind, assign_awaitable, fail) == {"1": {"n": 1}}
    assert handle(kind, change, lambda ctx: ctx.opened.save(), assign, fail) == {"1": {"n": 2}}


def test_data_on_the_session_is_what_shows_on_the_context(kind: Any) -> None:
    async def by_data(ctx: Any) -> None:
        assert await ctx.opened.data == {"n": 1}
        ctx.opened.data = later = {"n": 5}
        assert await ctx.opened == later
        assert await ctx.session == {"n": 5}

    async def deleted(ctx: Any) -> None:
        del ctx.opened.data

    assert handle(kind, by_data) == {"1": {"n": 5}}
    assert handle(kind, by_data, deleted) == {}


def test_opened_by_key_it_is_awaited_as_well() -> None:
    sessions = lazy(storage=MemorySessionStorage())

    async def main() -> None:
        async with sessions.open("5") as opened:
            (await opened)["n"] = 1
        async with sessions.open(key=6) as opened:
            opened.data = {"n": 2}
        async with sessions.open("7") as opened:
            assert opened.key == "7"

    run(main())

    assert dict(sessions.storage.iter_items()) == {"5": {"n": 1}, "6": {"n": 2}}
    assert_nothing_left(sessions)


def test_unsaveable_data_is_refused_by_save_and_lost_at_no_time(kind: Any) -> None:
    async def save(ctx: Any) -> None:
        (await ctx.session)["bad"] = object()
        with pytest.raises(SessionEncodeError):
            await ctx.opened.save()
        del (await ctx.session)["bad"]

    assert handle(kind, save, change) == {"1": {"n": 2}}


def counted(found: Any) -> Any:
    return {**found, "n": 1}


@pytest.mark.parametrize("storage", [Spy(), MemorySessionStorage()])
def test_lazy_and_strict_by_key_verbs_are_the_same(storage: Any) -> None:
    sessions = lazy(storage=storage)

    async def main() -> None:
        await sessions.update("1", counted)
        assert await sessions.get("1") == {"n": 1}
        assert await sessions.move("1", "2")
        await sessions.delete("2")
        assert await sessions.get("2") == {}

    run(main())
    assert_nothing_left(sessions)
