"""What people are told about who holds a key."""

from __future__ import annotations

import asyncio
import threading
from asyncio import BaseEventLoop, base_events
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit._drive import eager, run_sync
from sessionkit._locks.whereabouts import whereabouts
from sessionkit.errors import SessionLockTimeoutError
from tests.clocks import FakeTimeLoop
from tests.lock_users import Session, clean_table, run, thread, update

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

    from sessionkit._locks.table import KeyLocks


@pytest.fixture
def locks() -> Iterator[KeyLocks]:
    with clean_table() as table:
        yield table


def line_of(text: str) -> int:
    """Return the line of this file that holds *text* and a mark."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.endswith(f"# {text}"))


async def slow_helper() -> None:
    await asyncio.sleep(1000)  # the slow call


async def timed_out(locks: KeyLocks) -> str:
    with pytest.raises(SessionLockTimeoutError) as caught:
        await asyncio.create_task(Session(locks, "1", 5).acquire())
    return str(caught.value)


def test_a_timeout_names_the_handler_below_the_life_cycle_and_its_line(locks: KeyLocks) -> None:
    async def on_text() -> None:
        await slow_helper()

    async def main() -> str:
        task = asyncio.create_task(update(Session(locks, "1"), on_text))
        await asyncio.sleep(0)
        message = await timed_out(locks)
        await task
        return message

    line = line_of("the slow call")
    assert run(main()) == (
        f"key '1' was not free within 5 s; held by task 'on_text' (test_whereabouts.py:{line}). "
        "Slow call inside? async with session.paused():. "
        "Opened again in a child task? Pass the session instead."
    )


def test_a_timeout_names_the_task_that_opened_the_session(locks: KeyLocks) -> None:
    async def on_photo() -> None:
        async with Session(locks, "1"):
            await slow_helper()

    async def main() -> str:
        task = asyncio.create_task(on_photo())
        await asyncio.sleep(0)
        message = await timed_out(locks)
        await task
        return message

    line = line_of("the slow call")
    assert f"held by task 'on_photo' (test_whereabouts.py:{line})" in run(main())


def test_without_a_function_of_the_users_the_task_is_named(locks: KeyLocks) -> None:
    async def main() -> str:
        course = update(Session(locks, "1"), lambda: asyncio.sleep(1000))
        task = asyncio.create_task(course, name="Task-of-mine")
        await asyncio.sleep(0)
        message = await timed_out(locks)
        await task
        return message

    assert "held by task 'Task-of-mine'. Slow" in run(main())


def test_a_holder_nobody_knows_is_said_to_be_out_of_sight(locks: KeyLocks) -> None:
    locks.held["1"] = object()
    assert "held by somebody out of sight" in run(timed_out(locks))
    del locks.held["1"]


def test_a_key_that_has_just_become_free_is_held_by_nobody() -> None:
    assert whereabouts(None) == "by nobody at this moment"


def test_a_loop_is_told_which_thread_holds_the_key(locks: KeyLocks) -> None:
    taken, free = threading.Event(), threading.Event()

    def on_call() -> None:
        with Session(locks, "1"):
            taken.set()
            free.wait()  # the blocking call

    with thread(on_call):
        taken.wait()
        try:
            message = run(timed_out(locks))
        finally:
            free.set()
    line = line_of("the blocking call")
    assert f"held by thread 'on_call' (test_whereabouts.py:{line})" in message


def test_a_thread_is_told_which_task_of_a_loop_elsewhere_holds_the_key(locks: KeyLocks) -> None:
    asleep = threading.Event()
    wake: list[Callable[[], object]] = []

    async def on_text() -> None:
        morning, loop = asyncio.Event(), asyncio.get_running_loop()
        wake.append(lambda: loop.call_soon_threadsafe(morning.set))
        loop.call_soon(asleep.set)
        await morning.wait()  # the suspended call

    def bot() -> None:
        asyncio.run(update(Session(locks, "1"), on_text))

    with thread(bot):
        asleep.wait()
        try:
            with pytest.raises(SessionLockTimeoutError) as caught:
                run_sync(Session(locks, "1", 0.001).acquire())
        finally:
            wake[0]()
    line = line_of("the suspended call")
    assert f"held by task 'on_text' (test_whereabouts.py:{line})" in str(caught.value)


def test_a_function_is_named_rather_than_the_module_that_calls_it(locks: KeyLocks) -> None:
    taken, free = threading.Event(), threading.Event()

    def on_call() -> None:
        taken.set()
        free.wait()

    script = compile("with session:\n    on_call()\n", "bot.py", "exec")
    space = {"__name__": "__main__", "session": Session(locks, "1"), "on_call": on_call}
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(exec, script, space)
        taken.wait()
        try:
            message = run(timed_out(locks))
        finally:
            free.set()
        done.result()
    assert "held by thread 'on_call' (test_whereabouts.py:" in message


def test_a_task_is_found_on_a_loop_of_another_make(locks: KeyLocks) -> None:
    theirs = BaseEventLoop.run_forever.__code__.replace(co_name="spin")

    class OtherLoop(FakeTimeLoop):
        run_forever = FunctionType(theirs, base_events.__dict__)

    async def on_text() -> None:
        await slow_helper()

    async def main() -> str:
        task = asyncio.create_task(update(Session(locks, "1"), on_text))
        await asyncio.sleep(0)
        message = await timed_out(locks)
        await task
        return message

    with asyncio.Runner(loop_factory=OtherLoop) as runner:
        assert "held by task 'on_text'" in runner.run(main())


class _Installed:
    """Functions compiled as if they were in other people's files."""

    def __init__(self, path: str, name: str) -> None:
        source = "async def call(inside):\n    await inside()\n"
        self.space: dict[str, Any] = {"__name__": name}
        exec(compile(source, path, "exec"), self.space)

    def __call__(self, inside: Callable[[], Awaitable[object]]) -> Coroutine[Any, Any, None]:
        course: Coroutine[Any, Any, None] = self.space["call"](inside)
        return course


def test_the_users_own_code_is_named_before_installed_packages(locks: KeyLocks) -> None:
    framework = _Installed("/lib/python3/site-packages/framework/run.py", "framework.run")
    client = _Installed("/lib/python3/dist-packages/client/http.py", "client.http")

    async def on_text() -> None:
        await client(slow)  # the call of a package

    def slow() -> Awaitable[None]:
        return asyncio.sleep(1000)

    async def main() -> str:
        task = asyncio.create_task(update(Session(locks, "1"), lambda: framework(on_text)))
        await asyncio.sleep(0)
        message = await timed_out(locks)
        await task
        return message

    line = line_of("the call of a package")
    assert f"by task 'on_text' (test_whereabouts.py:{line})" in run(main())


def test_an_installed_package_is_named_where_there_is_nothing_else(locks: KeyLocks) -> None:
    framework = _Installed("/lib/python3/site-packages/framework/run.py", "framework.run")

    async def main() -> str:
        course = update(Session(locks, "1"), lambda: framework(lambda: asyncio.sleep(1000)))
        task = asyncio.create_task(course)
        await asyncio.sleep(0)
        message = await timed_out(locks)
        await task
        return message

    assert "by task 'call' (run.py:2)" in run(main())


def test_the_handler_is_found_through_a_coroutine_that_was_begun_at_once(locks: KeyLocks) -> None:
    async def on_text() -> None:
        await slow_helper()

    async def framework() -> None:
        answer = eager(update(Session(locks, "1"), on_text))
        assert answer is not None
        await answer

    async def main() -> str:
        task = asyncio.create_task(framework())
        await asyncio.sleep(0)
        message = await timed_out(locks)
        await task
        return message

    line = line_of("the slow call")
    assert f"by task 'on_text' (test_whereabouts.py:{line})" in run(main())
