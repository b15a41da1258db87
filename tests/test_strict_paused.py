"""Pauses for slow calls, changes that come too late, and waiting for too long."""

from __future__ import annotations

import asyncio
import datetime
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import (
    SessionClosedError,
    SessionConflictError,
    SessionLockTimeoutError,
    Sessions,
    session,
)
from sessionkit.testing import FakeClock
from tests.core import (
    Ctx,
    Lock,
    Oops,
    Remote,
    by_chat,
    counters,
    free,
    run,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


# Paused


def test_a_paused_session_saves_lets_others_in_and_loads_again(storage: Any) -> None:
    async def main() -> None:
        sessions = counters(storage)
        async with sessions.open(1) as opened:
            opened.data["n"] = 1
            async with opened.paused():
                async with sessions.open(1) as other:
                    assert other.data == {"n": 1}
                    other.data["n"] = 2
                with pytest.raises(SessionClosedError, match="is paused"):
                    _ = opened.data
                with pytest.raises(SessionClosedError, match="is paused"):
                    opened.data = {}
                with pytest.raises(SessionClosedError, match="is paused"):
                    await opened.save()
                with pytest.raises(SessionClosedError, match="is paused"):
                    opened.paused()
            assert opened.data == {"n": 2}
            opened.data["n"] += 1
        assert await sessions.get(1) == {"n": 3}
        assert free(sessions)

    run(main())


def test_a_paused_session_shows_nothing_on_its_context() -> None:
    async def handler(ctx: Ctx) -> None:
        async with sessions.of(ctx).paused():
            with pytest.raises(SessionClosedError, match="is paused"):
                ctx.session["n"] += 1
        ctx.session["n"] += 1

    sessions = counters()

    async def main() -> None:
        await sessions(Ctx(), handler)
        assert await sessions.get(1) == {"n": 1}

    run(main())


@pytest.mark.parametrize("how", ["assign", "delete"])
def test_assigning_to_a_plain_attribute_while_paused_is_not_lost_silently(how: str) -> None:
    async def handler(ctx: Ctx) -> None:
        with pytest.raises(SessionClosedError, match="is paused"):
            async with sessions.of(ctx).paused():
                if how == "assign":
                    ctx.session = {"n": 99}
                else:
                    del ctx.session
        ctx.session["n"] += 1

    sessions = counters()

    async def main() -> None:
        await sessions(Ctx(), handler)
        assert await sessions.get(1) == {"n": 1}

    run(main())


@pytest.mark.parametrize("error", [Oops(), asyncio.CancelledError()])
def test_after_an_error_in_a_pause_the_session_can_be_used_again(error: BaseException) -> None:
    async def main() -> None:
        sessions = counters()
        async with sessions.open(1) as opened:
            try:
                async with opened.paused():
                    await sessions.update(1, lambda data: {"n": data["n"] + 1})
                    raise error
            except BaseException as raised:
                assert raised is error
            opened.data["n"] += 1
        assert await sessions.get(1) == {"n": 2}
        assert free(sessions)

    run(main())


def test_a_slow_call_can_be_given_up_by_a_timeout_around_the_pause() -> None:
    async def main() -> None:
        sessions = counters()
        async with sessions.open(1) as opened:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5), opened.paused():
                    await asyncio.sleep(3600)
            opened.data["n"] = 7
        assert await sessions.get(1) == {"n": 7}

    run(main())


def test_a_handler_cancelled_in_a_pause_keeps_what_the_pause_saved() -> None:
    async def main() -> None:
        sessions = counters()
        paused = asyncio.Event()

        async def handler(ctx: Ctx) -> None:
            ctx.session["n"] = 1
            async with sessions.of(ctx).paused():
                paused.set()
                await asyncio.Event().wait()

        update = asyncio.create_task(sessions(Ctx(), handler))
        await paused.wait()
        update.cancel()
        with pytest.raises(asyncio.CancelledError):
            await update
        assert await sessions.get(1) == {"n": 1}
        assert free(sessions)

    run(main())


def test_cancellation_in_a_pause_propagates_even_if_the_key_is_gone() -> None:
    async def main() -> None:
        sessions = counters(lock_timeout=5)
        async with sessions.open(1) as opened:
            other = sessions.open(1)
            with pytest.raises(asyncio.CancelledError):
                async with opened.paused():
                    await other.begin()
                    raise asyncio.CancelledError
            with pytest.raises(SessionClosedError, match="is paused"):
                _ = opened.data
        await other.close()
        assert free(sessions)

    run(main())


def test_a_pause_raises_if_its_key_cannot_be_locked_again() -> None:
    async def main() -> None:
        storage = Remote()
        sessions = counters(storage, lock_timeout=5)
        opening = sessions.open(1)
        async with sessions.open(1) as opened:
            opened.data["n"] = 1
            with pytest.raises(SessionLockTimeoutError):
                async with opened.paused():
                    other = asyncio.create_task(opening.begin())
                    await other
            with pytest.raises(SessionClosedError):
                opened.data = {}
        assert storage.value("1") == {"n": 1}
        await opening.close()
        assert free(sessions)

    run(main())


def test_a_failing_read_after_a_pause_never_leads_to_a_write() -> None:
    async def main() -> None:
        storage = Remote(**{"1": {"n": 5}})
        sessions = counters(storage)
        async with sessions.open(1) as opened:
            with pytest.raises(OSError, match="read failed"):
                async with opened.paused():
                    storage.fail("read")
            with pytest.raises(SessionClosedError):
                opened.data = {"n": 1}
        assert storage.count("write") == 0
        assert free(sessions)

    run(main())


def test_a_conflict_at_the_beginning_of_a_pause_leaves_the_session_open() -> None:
    async def main() -> None:
        storage = Remote(**{"1": {"n": 5}})
        sessions = counters(storage)
        with pytest.raises(Oops):
            async with sessions.open(1) as opened:
                storage.put("1", {"n": 6})
                opened.data["n"] = 7
                with pytest.raises(SessionConflictError):
                    async with opened.paused():
                        raise AssertionError("not reached")
                assert opened.data == {"n": 7}
                raise Oops
        assert storage.value("1") == {"n": 6}
        assert free(sessions)

    run(main())


def test_a_pause_gives_the_users_lock_back_and_takes_it_again() -> None:
    async def main() -> None:
        lock = Lock()
        async with counters(lock=lock).open(1) as opened, opened.paused():
            lock.log.append(("in", "between"))
        verbs = [verb for verb, _ in lock.log]
        assert verbs == ["acquire", "release", "in", "acquire", "release"]

    run(main())


# Debug


def late_changes(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [text for text in caplog.messages if "was changed after its update had ended" in text]


def test_debug_reports_changes_that_came_too_late(caplog: pytest.LogCaptureFixture) -> None:
    async def main(sessions: Sessions[Any], change: Callable[[Any], Awaitable[None]]) -> None:
        async with sessions.open(1) as opened:
            kept = opened.data
            kept["n"] = 1
        await change(kept)
        async with sessions.open(1):
            pass
        async with sessions.open(1):
            pass

    async def nothing(kept: Any) -> None:
        pass

    async def count(kept: Any) -> None:
        kept["n"] += 1

    async def spoil(kept: Any) -> None:
        kept["n"] = object()

    run(main(counters(debug=True), nothing))
    run(main(counters(), count))
    assert not late_changes(caplog)
    run(main(counters(debug=True), count))
    assert len(late_changes(caplog)) == 1
    assert "async with sessions.open('1')" in late_changes(caplog)[0]
    run(main(counters(debug=True), spoil))
    assert len(late_changes(caplog)) == 2


def test_debug_hides_no_error_and_keeps_nothing_of_deleted_sessions() -> None:
    async def main() -> None:
        sessions = counters(debug=True)
        with pytest.raises(Oops):
            async with sessions.open(1) as opened:
                opened.data["n"] = object()
                raise Oops
        async with sessions.open(1) as opened:
            opened.data = None
        async with session(debug=True, get_session_key=by_chat).open(1):
            pass
        assert sessions._settings.kept == {}
        await sessions(Ctx(None), lambda ctx: None)

    run(main())


class Slow:
    """Takes some seconds of a clock for each read and write."""

    def __init__(self, clock: FakeClock, *, read: float = 0, write: float = 0) -> None:
        self.clock = clock
        self.seconds = {"read": read, "write": write}
        self.stored: dict[str, Any] = {}

    def read(self, key: str) -> Any:
        self.clock.advance(self.seconds["read"])
        return self.stored.get(key)

    def write(self, key: str, value: Any) -> None:
        self.clock.advance(self.seconds["write"])
        self.stored[key] = value

    def delete(self, key: str) -> None:
        del self.stored[key]


def test_debug_names_a_storage_that_blocks_the_loop_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    monkeypatch.setattr("sessionkit._session.settings.perf_counter", clock)

    async def change(**options: Any) -> None:
        async with counters(**options).open(1) as opened:
            opened.data["n"] += 1

    def blocked() -> list[str]:
        return [text for text in caplog.messages if "blocked the event loop" in text]

    run(change(storage=Slow(clock, read=1)))
    run(change(storage=Slow(clock, read=0.04, write=0.04), debug=True))
    assert blocked() == []
    threads = counters(storage=Slow(clock, read=1), debug=True)
    with threads.sync.open(1) as opened:
        opened.data["n"] += 1
    threads.sync.delete(1)
    assert blocked() == []

    run(change(storage=Slow(clock, read=0.25, write=0.5), debug=True))
    run(change(storage=Slow(clock, write=0.5), debug=True))

    assert [text.partition(",")[0] for text in blocked()] == [
        "Slow blocked the event loop for 250 ms to read a session",
        "Slow blocked the event loop for 500 ms to write a session",
    ]


# Waiting


def test_a_key_that_is_held_too_long_raises_after_the_timeout() -> None:
    async def main() -> None:
        sessions = counters(lock_timeout=datetime.timedelta(seconds=30))
        async with sessions.open(1):
            waiter = asyncio.create_task(sessions.get(1))
            assert await waiter == {"n": 0}  # looking needs no lock
            late = asyncio.create_task(sessions.update(1, lambda data: data))
            await until(lambda: sessions._settings.locks.waiting)
            with pytest.raises(SessionLockTimeoutError, match="within 30 s") as caught:
                await late
            assert caught.value.timeout == 30
            assert asyncio.get_running_loop().time() == 30
        assert free(sessions)

    run(main())
