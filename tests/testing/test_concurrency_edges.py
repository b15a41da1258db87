"""Storages that raise, refuse, hang or lack something, and what threads and tasks go through."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Self

import pytest

from sessionkit import FileSessionStorage
from sessionkit.protocols import Expected
from sessionkit.testing import BrokenPromise, Limits
from sessionkit.testing import _guard as guard
from sessionkit.testing._asking import ask_for
from sessionkit.testing._concurrency import cancelled
from sessionkit.testing._concurrency.counting import Turns
from sessionkit.testing._concurrency.freezer import Freezer, _Held, freezer
from sessionkit.testing._concurrency.killing import KILLED
from sessionkit.testing._concurrency.threads import pause
from sessionkit.testing._concurrency.workers import (
    WORKER,
    Gone,
    IdleWorkers,
    WorkerProcess,
    workers,
)
from sessionkit.testing._history import History
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._ops import Op, read, write
from sessionkit.testing._promises import promises
from sessionkit.testing._subject import Subject
from tests.profiles import thorough
from tests.testing import folders
from tests.testing.broken_steps import LandsLateOnThread
from tests.testing.reference import promise_named
from tests.testing.steps import Steps, factory_of

if TYPE_CHECKING:
    from pathlib import Path


def ask(name: str, kind: Any, limits: Limits | None = None) -> None:
    factory = factory_of(kind) if isinstance(kind, type) else kind
    with Subject(factory, limits=limits) as subject:
        asyncio.run(ask_for(promise_named(name), subject))


def break_(name: str, kind: Any, limits: Limits | None = None) -> BrokenPromise:
    with pytest.raises(BrokenPromise) as caught:
        ask(name, kind, limits)
    return caught.value


class Full(Steps):
    """Raises from every write after the first one of a key."""

    async def store(self, key: str, value: Any, expires: float | None = None) -> Any:
        if key in self.place.rows:
            raise OSError("the disk is full")
        return await super().store(key, value, expires)


class RefusesLoops(Steps):
    async def write(self, key: str, value: Any) -> None:
        self.place.loop = getattr(self.place, "loop", asyncio.get_running_loop())  # type: ignore[attr-defined]  # its own
        if self.place.loop is not asyncio.get_running_loop():  # type: ignore[attr-defined]  # its own
            raise RuntimeError("made for another event loop")
        await super().write(key, value)


class HangsOnClose(Steps):
    async def close(self) -> None:
        await asyncio.get_running_loop().create_future()


class TimesOutOnClose(Steps):
    async def close(self) -> None:
        raise TimeoutError("the server does not answer")


class SwallowsCancellation(Steps):
    async def tick(self) -> None:
        try:
            await super().tick()
        except asyncio.CancelledError:
            return


class RaisesWhenCancelled(Steps):
    async def tick(self) -> None:
        try:
            await super().tick()
        except asyncio.CancelledError:
            raise ConnectionError("the connection is lost") from None


class WaitsForItsThread(LandsLateOnThread):
    """Raises only when what it has begun on a thread is through."""

    async def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        begun = asyncio.ensure_future(asyncio.to_thread(self.put, key, value, expected))
        try:
            return await asyncio.shield(begun)
        except asyncio.CancelledError:
            await asyncio.wait((begun,))
            raise


class AllFailTogether(Steps):
    """If one call is cancelled, those beside it raise."""

    async def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        try:
            answer = await super().write_if(key, value, expected, expires=expires)
        except asyncio.CancelledError:
            self.closed = True
            raise
        if self.closed:
            raise ConnectionError("the connection is lost")
        return answer


@pytest.mark.parametrize(
    "name",
    [
        "one_of_two_conditional_writes_wins_among_tasks",
        "one_of_two_conditional_writes_wins_among_threads",
        "no_addition_is_lost_among_threads",
    ],
)
def test_an_error_that_is_not_a_conflict_breaks_the_promise(name: str) -> None:
    error = break_(name, Full)

    assert error.expected == "no error"
    assert "the disk is full" in error.got


def test_a_storage_may_refuse_another_event_loop() -> None:
    ask("second_event_loop_is_served_or_refused", RefusesLoops)


@pytest.mark.parametrize(
    "name",
    [thorough("cancelled_call_leaves_others_alone"), "cancelled_call_leaves_old_or_new"],
)
def test_a_machine_that_is_slower_than_the_kit_is_patient_is_not_taken_for_hanging(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancelled, "PATIENCE", 0.0)
    monkeypatch.setattr(guard, "GUARD", 1.0)

    def open_storage(namespace: str) -> FileSessionStorage:
        return FileSessionStorage(tmp_path / namespace)

    ask(name, open_storage)


def test_a_storage_that_hangs_when_it_is_closed_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guard, "GUARD", 0.05)

    error = break_("second_event_loop_is_served_or_refused", HangsOnClose)

    assert error.expected == "an answer within 0.05 seconds"


def test_the_first_error_is_reported_soon_if_closing_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessionkit.testing._subject._FAREWELL", 0.01)

    async def main() -> None:
        with Subject(factory_of(HangsOnClose)) as subject, pytest.raises(KeyError):
            async with subject.client():
                raise KeyError("1")

    asyncio.run(main())


def test_an_error_of_close_is_not_taken_for_hanging() -> None:
    error = break_("second_event_loop_is_served_or_refused", TimesOutOnClose)

    assert "the server does not answer" in error.got


@pytest.mark.parametrize("kind", [SwallowsCancellation, RaisesWhenCancelled])
@pytest.mark.parametrize(
    "name", ["cancelled_call_leaves_old_or_new", "cancelled_call_has_no_late_effect"]
)
def test_a_call_may_end_otherwise_than_by_cancelled_error(name: str, kind: Any) -> None:
    ask(name, kind)


def test_a_call_that_waits_for_its_thread_has_no_late_effect() -> None:
    ask("cancelled_call_has_no_late_effect", WaitsForItsThread)


def test_others_must_not_fail_with_what_is_cancelled() -> None:
    error = break_("cancelled_call_leaves_others_alone", AllFailTogether)

    assert "the connection is lost" in error.got


@pytest.mark.parametrize(
    "name",
    [
        *(each.name for each in promises() if each.name.endswith("_among_threads")),
        "closing_loses_no_write_of_a_thread",
        "second_event_loop_is_served_or_refused",
    ],
)
def test_a_storage_for_one_thread_is_not_used_by_others(name: str) -> None:
    with pytest.raises(LeftOut, match=re.escape("declared by Limits(threads=False)")):
        ask(name, Steps, Limits(threads=False))


def test_without_durability_only_errors_are_looked_at() -> None:
    limits = Limits(durable=False)
    ask("closing_loses_no_write_of_a_task", Steps, limits)
    ask("writes_are_seen_by_other_processes", folders.folder, limits)


def test_nothing_can_expire_where_nothing_does() -> None:
    class Eternal(Steps):
        supports_expiry = False

    with pytest.raises(LeftOut, match="nothing expires"):
        ask("new_value_in_place_of_expired_stays_among_tasks", Eternal)


def test_a_declared_timeout_is_used() -> None:
    class KilledWorker(Steps):
        async def store(self, key: str, value: Any, expires: float | None = None) -> Any:
            return await super().store(key, value, self.clock() + 60)

    ask("new_value_in_place_of_expired_stays_among_tasks", KilledWorker, Limits(ttl=60))


def test_a_child_that_fails_breaks_the_promise() -> None:
    error = break_("kill_leaves_old_or_new", folders.fails_in_children)

    assert error.expected == "no error there"
    assert "no space left" in error.got


def test_a_child_that_ends_by_itself_breaks_the_promise() -> None:
    error = break_("kill_leaves_old_or_new", folders.ends_in_children)

    assert error.got == "the process ended without a word"


def test_a_process_that_raises_breaks_the_promise() -> None:
    error = break_("reading_sees_old_or_new_among_processes", folders.fails_in_children)

    assert error.expected == "no error"
    assert "no space left" in error.got


@pytest.mark.parametrize("name", ["reading_sees_old_or_new_among_processes"])
def test_a_process_that_waits_is_let_go_on_when_the_other_fails(name: str) -> None:
    error = break_(name, folders.in_place)

    assert error.history[0] == "first process : storage = open('n1')"


def test_a_process_that_has_ended_is_reported_with_its_last_words() -> None:
    async def main() -> None:
        async with workers(subject, 1) as (process,):
            assert (
                await process.ask("open", subject.namespace(), subject.clock())
            ).kind == "answer"
            process._process.kill()
            with pytest.raises(Gone, match="without a word"):
                await process.receive()
            process.send("do", read("1"), -1)

    with Subject(folders.folder) as subject:
        asyncio.run(main())


class Run:
    """Promises that are asked for in one run."""

    def __init__(self, kind: Any) -> None:
        self.subject = Subject(kind)
        self._loop = asyncio.Runner()

    def __enter__(self) -> Self:
        self.subject.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.subject.__exit__(*exc_info)
        self._loop.close()

    def ask(self, name: str, expected: type[Exception] | None = None) -> set[int]:
        """Ask for a promise, and return which processes are ready after it."""
        with pytest.raises(expected) if expected else nullcontext():
            self._loop.run(ask_for(promise_named(name), self.subject))
        idle = self.subject.kept(IdleWorkers)
        running = [*idle.running(WORKER), *idle.running(KILLED)]
        return {process._process.pid for process in running}


def test_promises_of_one_run_have_the_same_processes() -> None:
    with Run(folders.sqlite) as run:
        first = run.ask("reading_sees_old_or_new_among_processes")
        assert len(first) == 2
        assert run.ask("writes_are_seen_by_other_processes") == first
        second = run.ask("kill_loses_nothing_that_was_confirmed")
        assert len(second) == 3
        assert second > first
        assert run.ask("revisions_outlive_a_kill") == second

    for pid in second:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_processes_that_do_not_share_the_data_are_kept_too() -> None:
    with Run(folders.memory) as run:
        first = run.ask("reading_sees_old_or_new_among_processes", LeftOut)
        assert len(first) == 2
        assert run.ask("writes_are_seen_by_other_processes", LeftOut) == first


def test_after_a_broken_promise_there_are_other_processes() -> None:
    with Run(folders.cached) as run:
        assert not run.ask("writes_are_seen_by_other_processes", BrokenPromise)


def test_other_processes_know_how_much_time_has_passed() -> None:
    async def main() -> Any:
        async with workers(subject, 1) as (process,):
            for _ in range(2):
                await process.ask("open", "n", subject.clock())
                await process.ask("do", write("1", {"n": 1}), -1)
                await process.ask("close")
                async with subject.client("n") as storage:
                    await subject.pass_time(59)
                    assert await storage.read("1") == {"n": 1}
                    await subject.pass_time(1)
                    assert await storage.read("1") is None

    with Subject(folders.sqlite_for_a_minute) as subject:
        asyncio.run(main())


def test_what_nobody_reads_any_more_is_lost() -> None:
    class Broken:
        def send(self, *message: Any) -> None:
            raise BrokenPipeError

    process: Any = WorkerProcess.__new__(WorkerProcess)
    process._channel = Broken()
    process.send("end")


def test_a_process_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessionkit.testing._concurrency.workers._FAREWELL", 0.01)

    async def main() -> None:
        async with workers(subject, 1) as (process,):
            process.send("do", write("1", 1), 0)  # nothing is open: an error, and then it ends

    with Subject(folders.folder) as subject:
        asyncio.run(main())


# What is called while threads are traced


def test_a_thread_waits_until_it_may_go_on() -> None:
    async def main() -> None:
        paused: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        go_on = threading.Event()
        go_on.set()
        pause(paused, go_on, "here")  # type: ignore[arg-type]  # any object
        assert await paused == "here"

    asyncio.run(main())


def test_others_run_in_between_at_the_first_lines_only() -> None:
    frame = inspect.currentframe()
    assert frame is not None
    turns = Turns()
    turns(0, frame, "line")
    assert turns.stops.act is turns
    turns(4000, frame, "line")
    assert turns.stops.act is None


def test_a_thread_is_held_for_a_short_time_and_if_it_is_kept_until_it_thaws() -> None:
    frame: Any = inspect.currentframe()

    async def main() -> None:
        holder = Freezer()
        holder.act(0, frame, "line")
        assert holder.uses_threads
        for keep in (False, True):
            holder.freeze()
            thread = threading.Thread(target=holder.act, args=(0, frame, "line"))
            thread.start()
            if keep:
                holder.keep()
                thread.join(0.25)
                assert thread.is_alive()
                holder.thaw()
            thread.join()
        await holder.drained()

    asyncio.run(main())


@pytest.fixture
def holder() -> Freezer:
    """One whose storage has used threads before."""
    made = Freezer()
    made.uses_threads = True
    return made


def test_keeping_waits_for_a_thread_that_was_begun(
    holder: Freezer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sessionkit.testing._concurrency.freezer._ARRIVAL", 10.0)

    class Arrival(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited_for.set()
            return super().wait(timeout)

    def arrive_late() -> None:
        waited_for.wait()
        holder.act(0, frame, "line")

    async def main() -> None:
        holder._arrived = Arrival()
        holder.freeze()
        thread = threading.Thread(target=arrive_late)
        thread.start()
        holder.keep()
        holder.hold_no_more()
        paused = holder._arrived.is_set()
        waited_for.set()
        holder.thaw()
        thread.join()
        assert paused

    frame: Any = inspect.currentframe()
    waited_for = threading.Event()
    asyncio.run(main())


def test_a_held_coroutine_can_be_awaited_and_closed() -> None:
    async def inner() -> str:
        await asyncio.sleep(0)
        return "through"

    async def no_pause(_number: int) -> None:
        return

    async def main() -> None:
        assert await _Held(inner(), no_pause) == "through"

    asyncio.run(main())
    unbegun = inner()
    _Held(unbegun, no_pause).close()
    assert inspect.getcoroutinestate(unbegun) == inspect.CORO_CLOSED


def test_a_task_that_never_began_is_tidied_up() -> None:
    async def inner() -> None:
        raise AssertionError("never begun")

    async def outer(*, wait: bool) -> None:
        task = asyncio.ensure_future(inner())
        if wait:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def main() -> None:
        async with freezer() as holder:
            for wait in (False, True):
                holder.freeze()
                await holder.begin(outer(wait=wait))

    asyncio.run(main())


def test_the_task_factory_of_the_loop_is_kept() -> None:
    made: list[Any] = []

    def factory(loop: Any, coro: Any, **options: Any) -> Any:
        made.append(coro)
        return asyncio.Task(coro, loop=loop, **options)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(factory)
        async with freezer() as holder:
            assert isinstance(holder, Freezer)
            await holder.begin(asyncio.sleep(0))
        assert loop.get_task_factory() is factory

    asyncio.run(main())
    assert made


def test_a_call_that_is_not_a_coroutine_function_is_shown_without_await() -> None:
    assert str(Op("read", ("1",))) == "storage.read('1')"
    assert History().lines == ()
