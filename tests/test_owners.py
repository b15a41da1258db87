"""How messages describe the owner of a key."""

from __future__ import annotations

import asyncio
import threading
from asyncio import BaseEventLoop, base_events
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit._locks import owners
from sessionkit._locks.owners import describe_owner, holds_session
from sessionkit._storage.sync_or_async import run_sync
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


@holds_session
async def life_cycle(session: Session, handler: Callable[[], Awaitable[None]]) -> None:
    assert session.locks.held[session.key] is session
    await handler()


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
        f"key '1' was not free within 5 s; held by task 'on_text' (test_owners.py:{line}). "
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
    assert f"held by task 'on_photo' (test_owners.py:{line})" in run(main())


def test_without_a_function_of_the_users_the_task_is_named(locks: KeyLocks) -> None:
    async def main() -> str:
        course = update(Session(locks, "1"), lambda: asyncio.sleep(1000))
        task = asyncio.create_task(course, name="Task-of-mine")
        await asyncio.sleep(0)
        message = await timed_out(locks)
        await task
        return message

    assert "held by task 'Task-of-mine'. Slow" in run(main())


def test_an_owner_that_is_not_found_is_called_unknown(locks: KeyLocks) -> None:
    run(Session(locks, "1").acquire())
    assert "held by an unknown owner (another event loop, thread, or a finished task)" in run(
        timed_out(locks)
    )
    del locks.held["1"]


def test_a_key_that_has_just_become_free_is_held_by_nobody() -> None:
    assert describe_owner(None) == "by nobody at this moment"


def test_a_loop_learns_which_thread_holds_the_key(locks: KeyLocks) -> None:
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
    assert f"held by thread 'on_call' (test_owners.py:{line})" in message


def test_a_thread_learns_which_task_of_a_loop_elsewhere_holds_the_key(locks: KeyLocks) -> None:
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
    assert f"held by task 'on_text' (test_owners.py:{line})" in str(caught.value)


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
    assert "held by thread 'on_call' (test_owners.py:" in message


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


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of sessions that each search through all tasks looked for."""
    look_for, made = owners._look_for, list[int]()

    def counted(*holders: object) -> None:
        made.append(len(set(holders)))
        look_for(*holders)

    monkeypatch.setattr(owners, "_look_for", counted)
    return made


def test_a_flood_of_one_chat_logs_one_warning_and_looks_for_its_owner_once(
    locks: KeyLocks, caplog: pytest.LogCaptureFixture, searches: list[int]
) -> None:
    async def on_text() -> None:
        await slow_helper()

    async def main() -> list[object]:
        tasks = [asyncio.create_task(update(Session(locks, "1"), on_text))]
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(Session(locks, "1").acquire()) for _ in range(100)]
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        await asyncio.wait(tasks)
        return list(answers)

    answers = run(main())
    assert all("not free within 60 s; held by task 'on_text'" in str(each) for each in answers)
    assert len(answers) == 100
    assert len(caplog.records) == 1
    assert searches == [1]


def test_a_flood_of_many_chats_looks_for_all_their_owners_at_once(
    locks: KeyLocks, caplog: pytest.LogCaptureFixture, searches: list[int]
) -> None:
    async def on_text() -> None:
        await asyncio.sleep(15)

    async def by_hand(session: Session) -> None:
        await session.acquire()
        await asyncio.sleep(15)
        session.release()

    async def main() -> None:
        keys = [str(number) for number in range(50)]
        async with asyncio.TaskGroup() as group:
            for _ in range(2):  # the second waits
                for key in keys:
                    group.create_task(update(Session(locks, key), on_text))
            for _ in range(2):
                group.create_task(by_hand(Session(locks, "by hand")))

    run(main())
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == 51
    assert len([text for text in texts if "held by task 'on_text'" in text]) == 50
    assert len([text for text in texts if "held by an unknown owner" in text]) == 1
    assert searches == [51]


def test_an_owner_that_has_passed_its_session_on_is_looked_for_again(locks: KeyLocks) -> None:
    session = Session(locks, "1")

    async def on_text() -> None:
        await slow_helper()

    async def main() -> None:
        await session.acquire()
        first = asyncio.create_task(life_cycle(session, on_text))
        await asyncio.sleep(0)
        assert "'on_text'" in await timed_out(locks)
        first.cancel()
        await asyncio.wait([first])
        second = asyncio.create_task(life_cycle(session, on_text), name="second")
        await asyncio.sleep(0)
        assert "'on_text'" in await timed_out(locks)
        second.cancel()
        await asyncio.wait([second])
        session.release()

    run(main())


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
    assert f"by task 'on_text' (test_owners.py:{line})" in run(main())


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
