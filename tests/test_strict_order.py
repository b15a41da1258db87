"""One update of a chat at a time, locks of the user's, and the end of a session."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sessionkit import (
    NoSessionKeyError,
    Session,
    SessionClosedError,
    SessionEncodeError,
    SessionFlavor,
    SessionReentrancyError,
)
from sessionkit._session.record import Record
from sessionkit._session.strict import handle_of
from tests.core import (
    Ctx,
    Live,
    Lock,
    Oops,
    Remote,
    counters,
    free,
    run,
    until,
)

Data = dict[str, Any]


class Flavored(SessionFlavor[Data], Ctx):
    pass


# Order


def test_updates_of_one_chat_run_one_after_the_other_and_chats_side_by_side(storage: Any) -> None:
    async def main() -> None:
        sessions = counters(storage)
        open_now: list[Any] = []
        side_by_side = asyncio.Barrier(3)

        async def handler(ctx: Ctx) -> None:
            open_now.append(ctx.chat)
            assert len(set(open_now)) == len(open_now)
            before = ctx.session["n"]
            async with asyncio.timeout(60):
                await side_by_side.wait()
            ctx.session["n"] = before + 1
            open_now.remove(ctx.chat)

        await asyncio.gather(*(sessions(Ctx(number % 3), handler) for number in range(15)))
        assert [await sessions.get(chat) for chat in range(3)] == [{"n": 5}] * 3
        assert free(sessions)

    asyncio.run(main())


def test_opening_a_key_again_in_the_same_handler_is_refused_at_once() -> None:
    async def main() -> None:
        sessions = counters()
        async with sessions.open(424242):
            with pytest.raises(SessionReentrancyError) as caught:
                async with sessions.open(424242):
                    pass
            assert "'424242' is already open in this handler" in str(caught.value)
            assert "use sessions.of(ctx)" in str(caught.value)
            with pytest.raises(SessionReentrancyError):
                await sessions.update(424242, lambda data: data)
        assert free(sessions)

    run(main())


def test_without_a_lock_a_key_can_be_open_twice() -> None:
    async def main() -> None:
        sessions = counters(Live(), lock=False)
        async with sessions.open(1) as one, sessions.open(1) as other:
            one.data["n"] = 1
            other.data["n"] = 2
        assert await sessions.get(1) == {"n": 1}
        assert free(sessions)

    run(main())


# A lock of the user's


def test_a_lock_of_the_users_is_taken_before_the_read_and_given_back_after_the_write() -> None:
    async def main() -> None:
        storage, lock = Remote(), Lock()
        storage.calls = lock.log  # one log of both
        sessions = counters(storage, lock=lock, prefix="p-")
        async with sessions.open(1) as opened:
            opened.data["n"] = 1
        assert lock.log == [(verb, "p-1") for verb in ("acquire", "read", "write", "release")]
        assert free(sessions)

    run(main())


def test_a_lock_of_the_users_is_taken_by_one_update_after_the_other() -> None:
    async def main() -> None:
        lock = Lock()
        sessions = counters(lock=lock)
        await asyncio.gather(*(sessions(Ctx(), lambda ctx: None) for _ in range(2)))
        assert lock.log == [("acquire", "1"), ("release", "1")] * 2
        assert free(sessions)

    run(main())


def test_a_lock_that_cannot_be_had_leaves_nothing_behind() -> None:
    async def main() -> None:
        storage, lock = Remote(), Lock(fail_on="acquire")
        sessions = counters(storage, lock=lock)
        with pytest.raises(OSError, match="acquire failed"):
            async with sessions.open(1):
                pass
        assert not storage.calls
        assert free(sessions)

    run(main())


def test_a_lock_that_cannot_be_given_back_raises_after_the_write() -> None:
    async def main() -> None:
        storage, lock = Remote(), Lock(fail_on="release")
        sessions = counters(storage, lock=lock)
        with pytest.raises(OSError, match="release failed"):
            async with sessions.open(1) as opened:
                opened.data["n"] = 1
        assert storage.value("1") == {"n": 1}
        assert free(sessions)

    run(main())


def test_a_lock_is_given_back_if_the_read_or_the_write_fails() -> None:
    async def main() -> None:
        for verb in ("read", "write"):
            storage, lock = Remote(), Lock()
            storage.fail(verb)
            sessions = counters(storage, lock=lock)
            with pytest.raises(OSError, match=f"{verb} failed"):
                async with sessions.open(1) as opened:
                    opened.data["n"] = 1
            assert lock.log == [("acquire", "1"), ("release", "1")]
            assert free(sessions)

    run(main())


def test_a_lock_is_given_back_if_the_data_cannot_be_written() -> None:
    async def main() -> None:
        lock = Lock()
        sessions = counters(lock=lock)
        with pytest.raises(SessionEncodeError):
            async with sessions.open(1) as opened:
                opened.data["n"] = object()
        assert lock.log == [("acquire", "1"), ("release", "1")]
        assert free(sessions)

    run(main())


def test_a_cancellation_does_not_cut_the_giving_back_short() -> None:
    async def main() -> None:
        begun, gate = asyncio.Event(), asyncio.Event()
        freed: list[str] = []

        class Slow(Lock):
            async def release(self, key: str, held: str) -> None:
                begun.set()
                await gate.wait()
                freed.append(key)

        sessions = counters(lock=Slow())
        update = asyncio.create_task(sessions(Ctx(), lambda ctx: None))
        await begun.wait()
        update.cancel()
        await asyncio.sleep(0)
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await update
        assert freed == ["1"]
        assert free(sessions)

    run(main())


def test_a_lock_of_sync_methods_will_do_and_works_in_threads() -> None:
    log: list[str] = []

    class Plain:
        def acquire(self, key: str) -> int:
            log.append("acquire")
            return 5

        def release(self, key: str, held: int) -> None:
            log.append(f"release {held}")

    with counters(lock=Plain()).open(1) as opened:
        opened.data["n"] = 1
    assert log == ["acquire", "release 5"]


# The end


def test_every_use_of_a_closed_session_says_how_to_open_one() -> None:
    async def main() -> None:
        sessions = counters()
        async with sessions.open(424242) as opened:
            pass
        uses: list[Any] = [
            lambda: opened.data,
            lambda: setattr(opened, "data", {}),
            lambda: delattr(opened, "data"),
            lambda: opened.is_new,
            lambda: opened.is_changed,
            opened.revert,
            opened.reset,
            opened.paused,
        ]
        for use in uses:
            with pytest.raises(SessionClosedError, match="has ended; in a job or task"):
                use()
        for verb in (opened.save, opened.reload, opened.delete, lambda: opened.move(2)):
            with pytest.raises(SessionClosedError) as caught:
                await verb()
            assert "async with sessions.open('424242')" in str(caught.value)
            assert caught.value.key == "424242"
        assert opened.key == "424242"
        assert opened.has_key
        opened.discard()
        assert repr(opened) == "<Session '424242', closed>"

    run(main())


def test_without_a_key_handlers_run_and_touching_the_session_raises() -> None:
    async def handler(ctx: Any) -> str:
        with pytest.raises(NoSessionKeyError):
            _ = ctx.session["n"]
        opened: Session[Data] = sessions.of(ctx)
        assert not opened.has_key
        assert opened.key is None
        with pytest.raises(NoSessionKeyError):
            await opened.save()
        assert repr(opened) == "<Session None, without a key>"
        return "ran"

    storage = Remote()
    sessions = counters(storage)

    async def main() -> None:
        assert await sessions(Ctx(None), handler) == "ran"
        assert not storage.calls
        for verb in (sessions.get, sessions.delete):
            with pytest.raises(NoSessionKeyError):
                await verb(Ctx(None))
        assert free(sessions)

    run(main())


def test_assigning_without_a_key_is_noticed_at_the_latest_in_the_end() -> None:
    async def assign(ctx: Any) -> None:
        ctx.session = {"n": 1}

    async def assign_and_fail(ctx: Any) -> None:
        ctx.session = {"n": 1}
        raise Oops

    async def main() -> None:
        sessions = counters()
        for kind in (Ctx, Flavored):
            with pytest.raises(NoSessionKeyError):
                await sessions(kind(None), assign)
        with pytest.raises(Oops):
            await sessions(Ctx(None), assign_and_fail)
        assert free(sessions)

    run(main())


def test_a_context_that_refuses_to_be_put_back_still_frees_its_key() -> None:
    class Stubborn(Ctx):
        def __delattr__(self, name: str) -> None:
            raise RuntimeError("mine")

    async def main() -> None:
        sessions = counters()
        with pytest.raises(RuntimeError, match="mine"):
            await sessions(Stubborn(), lambda ctx: None)
        assert not sessions._settings.locks.held

    run(main())


def test_a_session_shows_what_state_it_is_in() -> None:
    async def main() -> None:
        sessions = counters()
        async with sessions.open(1) as opened:
            assert repr(opened) == "<Session '1', open>"
            async with opened.paused():
                assert repr(opened) == "<Session '1', paused>"
            with pytest.raises(TypeError, match=r"session\.data\['n'\]"):
                opened["n"]
        waiting = handle_of(Record[Data](sessions._settings, "1"))
        assert repr(waiting) == "<Session '1', not open yet>"
        with pytest.raises(SessionClosedError, match="still waiting to be opened"):
            _ = waiting.data

    run(main())


def test_a_hold_of_a_session_without_a_key_leaves_nothing_behind() -> None:
    async def main() -> None:
        sessions = counters()
        opening = sessions.open(Ctx(None))
        await opening.begin()
        async with opening.hold(asyncio.current_task()):
            await opening.close()
        assert free(sessions)

    run(main())


def test_a_waiting_session_is_not_usable_from_its_context() -> None:
    async def main() -> None:
        sessions = counters()
        ctx = Flavored()
        async with sessions.open(1):
            waiting = asyncio.create_task(sessions(ctx, lambda _: None))
            await until(lambda: sessions._settings.locks.waiting)
            with pytest.raises(SessionClosedError, match="still waiting"):
                _ = ctx.session
        await waiting

    run(main())


# Two saves of one session at a time


def test_two_saves_at_a_time_write_one_after_the_other(storage: Any) -> None:
    async def main() -> None:
        sessions = counters(storage)
        async with sessions.open(1) as opened:
            opened.data["n"] = 1
            await asyncio.gather(opened.save(), opened.save(force=True), opened.save())
        assert await sessions.get(1) == {"n": 1}
        async with sessions.open(1) as opened:
            opened.data["n"] = 2
            saving = asyncio.create_task(opened.save())
            await asyncio.sleep(0)
            opened.data["n"] = 3
        await saving
        assert await sessions.get(1) == {"n": 3}
        assert free(sessions)

    run(main())


def test_a_save_in_a_child_task_is_over_before_a_failing_handler_lets_go(storage: Any) -> None:
    async def main() -> None:
        sessions = counters(storage)
        tasks: list[asyncio.Task[None]] = []
        with pytest.raises(Oops):
            async with sessions.open(1) as opened:
                opened.data["n"] = 1
                tasks.append(asyncio.create_task(opened.save()))
                await asyncio.sleep(0)
                raise Oops
        stored = await sessions.get(1)
        await asyncio.gather(*tasks)
        assert await sessions.get(1) == stored == {"n": 1}

    run(main())


def test_a_save_beside_a_pause_is_saved_once(storage: Any) -> None:
    async def main() -> None:
        sessions = counters(storage)

        async def pause(opened: Any) -> None:
            async with opened.paused():
                await sessions.update(1, lambda data: {"n": data["n"] + 1})

        async with sessions.open(1) as opened:
            opened.data["n"] = 1
            await asyncio.gather(pause(opened), opened.save())
            assert opened.data == {"n": 2}
        assert await sessions.get(1) == {"n": 2}

    run(main())
