"""The parts of the layer, where a whole run does not show all of what they do."""

from __future__ import annotations

import asyncio
import inspect
import io
import os
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from sessionkit import SessionConflictError
from sessionkit.testing import BrokenPromise
from sessionkit.testing import _guard as guard
from sessionkit.testing._asking import ask_for
from sessionkit.testing._concurrency.counting import count_up, write_numbers
from sessionkit.testing._concurrency.places import Place, choose, counts, place_of, place_of_waiting
from sessionkit.testing._concurrency.processes import ProcessActor
from sessionkit.testing._concurrency.stepped import Stepped
from sessionkit.testing._concurrency.stops import Recorder, StopAt, Stops
from sessionkit.testing._concurrency.tasks import TaskActor
from sessionkit.testing._concurrency.threads import ThreadActor, blocking_view, in_thread, may_sleep
from sessionkit.testing._history import History
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._ops import (
    SEEN,
    STORED,
    Op,
    look,
    perform,
    perform_blocking,
    raised,
    read,
    write,
    write_if,
)
from sessionkit.testing._subject import Subject
from tests.testing import folders
from tests.testing.reference import Disk, Reference, promise_named
from tests.testing.steps import Steps, factory_of

MINE = textwrap.dedent(
    """
    import asyncio

    def inside(call):
        value = call()
        return value

    async def waiting():
        await asyncio.sleep(0)
    """
)


@pytest.fixture
def mine(tmp_path: Path) -> Any:
    """Code of a user's own."""
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    names: dict[str, Any] = {}
    exec(compile(MINE, str(path), "exec"), names)
    return names


# Places and stops


def test_a_place_shows_file_line_and_source(mine: Any) -> None:
    frame = mine["inside"](inspect.currentframe)
    assert frame is not None
    place = Place(mine["inside"].__code__.co_filename, 5)
    assert str(place) == "mine.py:5: value = call()"
    assert str(Place("nowhere.py", 7)) == "nowhere.py:7"


def test_a_place_in_the_standard_library_is_shown_where_it_was_called(
    mine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Place] = []

    class File(io.StringIO):
        def write(self, text: str, /) -> int:
            frame = sys._getframe(1)
            assert frame.f_code.co_name == "write_text"
            seen.append(place_of(frame))
            return 0

    def open_file(*_args: Any, **_options: Any) -> File:
        return File()

    monkeypatch.setattr(Path, "open", open_file)
    mine["inside"](lambda: (tmp_path / "x").write_text("x"))

    assert seen[0].file == __file__
    assert "inside write_text(), line" in str(seen[0])


def test_a_frame_that_no_code_of_a_storage_has_called_is_shown_itself() -> None:
    frame = inspect.currentframe()
    assert frame is not None
    while frame.f_back is not None:
        frame = frame.f_back
    assert place_of(frame).file == frame.f_code.co_filename


def test_where_a_coroutine_waits_is_the_innermost_line_of_the_storage(mine: Any) -> None:
    course = mine["waiting"]()
    course.send(None)

    place = place_of_waiting(course)

    assert place is not None
    assert str(place) == "mine.py:9: await asyncio.sleep(0)"
    assert place_of_waiting(asyncio.sleep) is None
    course.close()


def test_each_place_is_chosen_for_the_first_and_the_last_time_code_under_work_first() -> None:
    own = [Place("mine.py", n) for n in range(100)]
    library = [Place("/x/site-packages/lib.py", n) for n in range(100)]

    assert choose(own[:3] * 4, 24) == [0, 1, 2, 9, 10, 11]
    chosen = choose(library + own, 24)
    assert len([n for n in chosen if n >= 100]) == 24
    assert len([n for n in chosen if n < 100]) == 12


def test_half_of_the_places_that_are_chosen_are_the_outermost_ones() -> None:
    deep = [Place("mine.py", n, depth=3) for n in range(100)]
    middle = [Place("mine.py", n, depth=2) for n in range(4)]
    outermost = [Place("mine.py", n, depth=1) for n in range(8)]

    chosen = choose(deep + middle + outermost, 20)

    assert chosen[-8:] == [*range(104, 112)]
    assert len([n for n in chosen if 100 <= n < 104]) == 2
    assert len(chosen) == 20
    assert len(choose(deep + outermost * 9, 16)) == 16


def test_how_deep_a_place_lies_is_counted_in_the_storage_s_own_calls(mine: Any) -> None:
    def place() -> Place:
        return place_of(sys._getframe())

    assert mine["inside"](place).depth == place().depth + 1


def test_a_thread_that_has_something_to_do_does_not_sleep() -> None:
    inside, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        inside.set()
        go_on.wait()

    sleeper = threading.Thread(target=wait)
    sleeper.start()
    inside.wait()
    while not may_sleep(sleeper):  # it is on its way
        pass
    busy = threading.current_thread()

    assert may_sleep(busy) is not sys.platform.startswith("linux")
    go_on.set()
    sleeper.join()
    assert may_sleep(threading.Thread())  # nothing is known of it


def test_stops_count_the_lines_of_a_storage_and_no_others(mine: Any) -> None:
    frame = mine["inside"](lambda: inspect.currentframe().f_back)  # type: ignore[union-attr]
    places: list[Any] = []
    recorder = Recorder()
    stops = Stops(recorder)

    assert stops.trace(frame, "call", None) == stops.trace
    assert stops.trace(frame, "line", None) == stops.trace
    assert stops.trace(frame, "return", None) == stops.trace
    assert stops.trace(_frame_of_the_standard_library(), "call", None) is None
    assert [place.event for place in recorder.places] == ["line", "return"]

    stops.arm(StopAt(1, places.append))
    for _ in range(3):
        stops.trace(frame, "line", None)
    assert len(places) == 1
    stops.arm(None)
    assert stops.trace(frame, "line", None) is None


def _frame_of_the_standard_library() -> Any:
    walk: Any = os.walk(".")
    return walk.gi_frame


def test_code_of_an_installed_library_counts_and_that_of_python_does_not() -> None:
    assert counts(pytest.main.__code__)
    assert not counts(textwrap.dedent.__code__)
    assert not counts(Stops.trace.__code__)


def test_watching_gives_back_what_traced_before() -> None:
    before, before_in_threads = sys.gettrace(), threading.gettrace()
    stops = Stops()
    with stops.watching(threads=True):
        assert threading.gettrace() == stops.trace
    assert threading.gettrace() is before_in_threads
    with stops.watching():
        pass
    assert sys.gettrace() is before


# Calls


def test_a_call_is_shown_as_python() -> None:
    assert str(write_if("1", {"n": 1})) == "storage.write_if('1', {'n': 1}, revision)"
    assert str(look("1")) == "_, revision = storage.read_with_revision('1')"
    assert str(Op("iter_keys")) == "list(storage.iter_keys())"
    assert str(Op("write_if", ("1", 0, None), (("expires", 5.0),))).endswith("None, expires=5.0)")


def test_a_call_can_be_made_with_other_keys() -> None:
    names = {"1": "7"}
    assert write_if("1", "1").with_keys(names) == Op("write_if", ("7", "1", SEEN))
    assert Op("write_many", ({"1": 0},)).with_keys(names) == Op("write_many", ({"7": 0},))
    assert Op("read_many", (["1", "2"],)).with_keys(names) == Op("read_many", (["7", "2"],))
    assert Op("iter_keys").with_keys(names) == Op("iter_keys")


def test_calls_are_performed_by_tasks_and_by_threads() -> None:
    storage = Reference(Disk(), lambda: 0.0)
    seen: dict[str, Any] = {}

    async def main() -> None:
        assert await perform(storage, write("1", {"n": 1}), seen) is None
        assert await perform(storage, look("1"), seen) == {"n": 1}
        assert await perform(storage, write_if("1", {"n": 2}), seen) == STORED
        assert await perform(storage, Op("iter_items"), seen) == {"1": {"n": 2}}
        assert await perform(storage, Op("read_many", (["1", "2"],)), seen) == {"1": {"n": 2}}

    asyncio.run(main())
    assert perform_blocking(storage, Op("iter_keys"), seen) == ["1"]
    with pytest.raises(SessionConflictError):
        perform_blocking(storage, write_if("1", {"n": 3}), seen)
    assert raised(SessionConflictError("x", key="1")).kind == "conflict"


def test_threads_need_methods_that_block() -> None:
    storage = factory_of(Steps)("n", lambda: 0.0)
    for op in (read("1"), Op("iter_keys")):
        with pytest.raises(TypeError, match="must block on a thread"):
            perform_blocking(storage, op, {})


def test_a_revision_has_to_come_with_a_value() -> None:
    class Odd(Reference):
        def read_with_revision(self, key: str) -> Any:
            return 5

    with pytest.raises(TypeError, match="a tuple of value and revision, not 5"):
        perform_blocking(Odd(Disk(), lambda: 0.0), look("1"), {})


def test_a_key_that_is_listed_twice_is_an_error() -> None:
    class Double(Reference):
        def iter_keys(self, prefix: str = "") -> Any:
            return ["1", "1", "2"]

    with pytest.raises(ValueError, match="iter_keys\\(\\) gave '1' more than once"):
        perform_blocking(Double(Disk(), lambda: 0.0), Op("iter_keys"), {})


def test_none_among_what_is_listed_is_an_error() -> None:
    class Gone(Reference):
        def iter_items(self, prefix: str = "") -> Any:
            return [("1", None), ("2", 0)]

    with pytest.raises(ValueError, match="iter_items\\(\\) gave None under '1': leave it out"):
        perform_blocking(Gone(Disk(), lambda: 0.0), Op("iter_items"), {})


def test_threads_count_and_write_numbers() -> None:
    storage = Reference(Disk(), lambda: 0.0)
    count_up(storage, 3)
    assert storage.read("1") == 3
    write_numbers(storage, 5, 7)
    assert sorted(storage.iter_keys()) == ["1", "5", "6"]


# Awaitables, step by step


def test_a_cancellation_reaches_what_is_awaited() -> None:
    async def inner() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "tidied up"
        raise AssertionError

    async def main() -> str:
        async def outer() -> Any:
            return await Stepped(inner())

        task = asyncio.ensure_future(outer())
        await asyncio.sleep(0)
        task.cancel()
        return str(await task)

    assert asyncio.run(main()) == "tidied up"


def test_what_hangs_is_said_with_where_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "GUARD", 0.01)
    history = History()
    history.begin("storage.read('1')")

    async def main() -> None:
        await guard.within(asyncio.sleep(60), history, lambda: "mine.py:7", times=2)

    with pytest.raises(BrokenPromise) as caught:
        asyncio.run(main())

    assert caught.value.history == ("storage.read('1')  # did not end",)
    assert caught.value.expected == "an answer within 0.02 seconds"
    assert caught.value.got == "none, it hangs: it waits at mine.py:7"


def test_where_a_thread_waits_can_be_seen() -> None:
    class Waits(Reference):
        def read(self, key: str) -> Any:
            return go_on.wait()

    async def main() -> None:
        thread = ThreadActor("thread", History(), Waits(Disk(), lambda: 0.0))
        assert thread.waits_at() is None
        assert thread._where() is None
        ended = asyncio.ensure_future(thread.do(read("1")))
        while thread._where() is None:
            await asyncio.sleep(0)
        assert "return go_on.wait()" in str(thread._where())
        while thread.waits_at() is None:  # it has not fallen asleep yet
            await asyncio.sleep(0)
        go_on.set()
        assert (await ended).answer is True

    go_on = threading.Event()
    asyncio.run(main())


def test_threads_use_the_sync_view_or_methods_that_block() -> None:
    class Odd(Reference):
        @property
        def sync(self) -> Any:
            return None

        def read(self, key: str) -> Any:
            raise OSError("nobody there")

    class Async(Steps):
        @property
        def sync(self) -> Any:
            return None

    odd = Odd(Disk(), lambda: 0.0)
    assert blocking_view(odd) is odd
    with pytest.raises(LeftOut, match="there is no sync view"):
        blocking_view(factory_of(Async)("n", lambda: 0.0))


def test_only_threads_and_tasks_can_tell_where_they_wait() -> None:
    process: Any = None
    process = ProcessActor("process", History(), None, process)
    assert process.waits_at() is None
    assert process._where() is None


def test_a_task_that_was_begun_is_given_up_at_the_end() -> None:
    async def main() -> None:
        storage = factory_of(Steps)("n", lambda: 0.0)
        task = TaskActor("task", History(), storage)
        await task.end()
        assert await task.start(read("1"), 0) is not None
        await task.end()
        assert task._task is not None
        assert task._task.cancelled()

    asyncio.run(main())


def test_a_task_may_be_resumed_twice() -> None:
    async def main() -> None:
        task = TaskActor("task", History(), factory_of(Steps)("n", lambda: 0.0))
        await task.start(read("1"), 0)
        assert (await task.finish()).kind == "answer"
        assert (await task.finish()).kind == "answer"

    asyncio.run(main())


def test_nobody_has_to_wait_for_a_thread() -> None:
    async def main() -> None:
        future, thread = in_thread(go_on.wait)
        future.cancel()
        go_on.set()
        await asyncio.to_thread(thread.join)
        await asyncio.sleep(0)
        assert future.cancelled()

    go_on = threading.Event()
    asyncio.run(main())


def test_a_break_that_does_not_come_again_is_shown_as_it_came() -> None:
    class Once(Reference):
        """Loses one write, of many."""

        writes = 0

        def write(self, key: str, value: Any) -> Any:
            Once.writes += 1
            if Once.writes != 60:
                super().write(key, value)

    class Locked(Once):
        def write(self, key: str, value: Any) -> Any:
            with lock:
                super().write(key, value)

    lock = threading.Lock()
    disks: dict[str, Disk] = {}

    def open_locked(namespace: str) -> Any:
        return Locked(disks.setdefault(namespace, Disk()), float)

    with Subject(open_locked) as subject, pytest.raises(BrokenPromise) as caught:
        asyncio.run(ask_for(promise_named("reading_sees_old_or_new_among_threads"), subject))
    assert "'1-" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["writes_are_seen_by_other_processes", "closing_loses_no_write_of_a_thread"]
)
def test_a_storage_with_everything_is_asked_foreverything(name: str) -> None:
    with Subject(folders.sqlite) as subject:
        asyncio.run(ask_for(promise_named(name), subject))
